//! The registry: every plugin linked into the program, by kind and name.
//!
//! `plugin!` files a [`Descriptor`] with `inventory`, one table per trait. `use plugin_crate as _;` once, anywhere in the
//! chain of crates, is necessary and sufficient to link a plugin crate.

use crate::nested;
use crate::params::{Field, Kind, Params, Recipe, parameters, schema};
use crate::{Error, FairnessLoss, GroupRegressor, Mixer, Policy, Recommender, Result, Simulator, nearest};
use serde::de::{Deserializer, Visitor};
use serde_json::Value as Json;
use std::fmt;
use std::sync::Mutex;

/// Where a plugin was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Origin {
    /// Package of the plugin.
    pub package: &'static str,
    /// Version of that package.
    pub version: &'static str,
    /// Module path of the declaration.
    pub module: &'static str,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.package, self.version, self.module)
    }
}

/// All that is known of a plugin without building it.
pub struct Descriptor<T: ?Sized + 'static> {
    /// Unique name within the kind, kebab-case.
    pub name: &'static str,
    /// Its documentation text.
    pub summary: &'static str,
    /// The paper it comes from; empty where there is none.
    pub paper: &'static str,
    /// Where it was declared.
    pub origin: Origin,
    /// Its documented parameters.
    pub fields: &'static [Field],
    build: fn(&mut dyn erased_serde::Deserializer<'_>) -> Result<Box<T>>,
    default: fn() -> Box<T>,
}

impl<T: Kinded + ?Sized> Descriptor<T> {
    /// Reads parameters; absent ones take their defaults.
    ///
    /// # Errors
    /// [`Error::Params`] for an unknown field or a wrong type, [`Error::OutOfRange`] for a value outside its range.
    pub fn build(&self, params: &mut dyn erased_serde::Deserializer<'_>) -> Result<Box<T>> {
        (self.build)(params)
    }

    /// The plugin with default parameters.
    pub fn with_defaults(&self) -> Box<T> {
        (self.default)()
    }

    /// The default parameters as JSON.
    pub fn defaults(&self) -> Json {
        parameters(self.with_defaults().as_ref())
    }

    /// JSON Schema of the parameters.
    pub fn schema(&self) -> Json {
        schema(self.name, self.summary, self.fields, &self.defaults())
    }
}

/// A plugin trait: it has a registry of its own.
pub trait Kinded: Recipe + 'static {
    /// What the kind is called in messages.
    const KIND: &'static str;
    #[doc(hidden)]
    fn linked() -> Vec<&'static Descriptor<Self>>;
    #[doc(hidden)]
    fn added() -> &'static Mutex<Vec<&'static Descriptor<Self>>>;
}

macro_rules! kinds { ($($tr:ident = $kind:literal),* $(,)?) => { $(
    impl Kinded for dyn $tr {
        const KIND: &'static str = $kind;
        fn linked() -> Vec<&'static Descriptor<Self>> {
            inventory::iter::<Descriptor<dyn $tr>>.into_iter().collect()
        }
        fn added() -> &'static Mutex<Vec<&'static Descriptor<Self>>> {
            static ADDED: Mutex<Vec<&'static Descriptor<dyn $tr>>> = Mutex::new(Vec::new());
            &ADDED
        }
    }
    impl Descriptor<dyn $tr> {
        /// The descriptor of plugin `P`.
        pub const fn of<P: Params + $tr>() -> Self {
            Self {
                name: P::NAME, summary: P::SUMMARY, paper: P::PAPER, origin: P::ORIGIN, fields: P::FIELDS,
                build: |d| Ok(Box::new(parse::<P>(d)?)),
                default: || Box::new(P::default()),
            }
        }
    }
    inventory::collect!(Descriptor<dyn $tr>);
)* } }
kinds! {
    Recommender = "recommender", FairnessLoss = "fairness-loss", Policy = "policy",
    Simulator = "simulator", GroupRegressor = "group-regressor", Mixer = "mixer",
}

/// The plugins of one kind, sorted by name.
pub struct Registry<T: ?Sized + 'static> {
    entries: Vec<&'static Descriptor<T>>,
}

impl<T: Kinded + ?Sized> Registry<T> {
    /// Everything that is linked in or was added.
    ///
    /// # Errors
    /// [`Error::DuplicatePlugin`] where two share a name.
    pub fn linked() -> Result<Self> {
        let mut entries = T::linked();
        entries.extend(T::added().lock().unwrap_or_else(|e| e.into_inner()).iter());
        entries.sort_by_key(|d| (d.name, d.origin.module)); // the linker's order is unspecified
        entries.dedup_by(|a, b| std::ptr::eq(*a, *b));
        match entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(Error::DuplicatePlugin {
                kind: T::KIND,
                name: pair[0].name,
                first: pair[0].origin.to_string(),
                second: pair[1].origin.to_string(),
            }),
            None => Ok(Self { entries }),
        }
    }

    /// Adds a plugin by hand, for hosts whose linker drops constructors (C programs linking a static library). Adding one
    /// that is there already changes nothing.
    pub fn add(descriptor: &'static Descriptor<T>) {
        let mut added = T::added().lock().unwrap_or_else(|e| e.into_inner());
        if !added.iter().any(|d| std::ptr::eq(*d, descriptor)) {
            added.push(descriptor);
        }
    }

    /// All plugins, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static Descriptor<T>> + '_ {
        self.entries.iter().copied()
    }

    /// The plugin of that name.
    ///
    /// # Errors
    /// [`Error::UnknownPlugin`] with the nearest name and all known ones.
    pub fn get(&self, name: &str) -> Result<&'static Descriptor<T>> {
        self.entries.iter().copied().find(|d| d.name == name).ok_or_else(|| Error::UnknownPlugin {
            kind: T::KIND,
            name: name.into(),
            nearest: nearest(name, self.entries.iter().map(|d| d.name)),
            known: self.entries.iter().map(|d| d.name.to_string()).collect(),
        })
    }

    /// Builds a plugin from JSON parameters, an object; absent parameters take their defaults. A nested plugin that may
    /// be left out can be written as `"none"`, for formats without a null.
    ///
    /// # Errors
    /// As [`Self::get`] and [`Descriptor::build`].
    pub fn build(&self, name: &str, params: &Json) -> Result<Box<T>> {
        let plugin = self.get(name)?;
        let mut params = params.clone();
        for field in plugin.fields.iter().filter(|f| matches!(f.kind, Kind::Optional(Kind::Plugin(_)))) {
            match params.get_mut(field.name) {
                Some(value) if *value == "none" => *value = Json::Null,
                _ => {}
            }
        }
        plugin.build(&mut <dyn erased_serde::Deserializer>::erase(&params))
    }
}

/// Reads the parameters of `P` and checks them.
fn parse<P: Params>(d: &mut dyn erased_serde::Deserializer<'_>) -> Result<P> {
    let params: P = serde_path_to_error::deserialize(ByName(d)).map_err(|e| {
        let field = e.path().to_string();
        let reason = e.into_inner().to_string();
        if let Some(error) = nested::take(&reason) {
            return nested::at(P::NAME, &field, error);
        }
        // serde words both cases as: unknown field|variant `it`, expected ... `a`, `b`
        let quoted: Vec<&str> = reason.split('`').skip(1).step_by(2).collect();
        let nearest = match quoted.split_first() {
            Some((wrong, known)) if reason.starts_with("unknown ") => nearest(wrong, known.iter().copied()),
            _ => None,
        };
        let named = P::FIELDS.iter().any(|f| f.name == field.split(['.', '[']).next().unwrap_or_default());
        let field = named.then_some(field);
        let reason = match &field {
            Some(field) => format!("`{field}`: {reason}"),
            None => reason,
        };
        Error::Params { plugin: P::NAME.into(), reason, field, nearest }
    })?;
    params.check()?;
    Ok(params)
}

/// Parameters are read by name alone: a sequence in the order of the fields is refused.
struct ByName<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ByName<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Run, plugin};
    use serde_json::json;

    plugin! {
        /// For tests: registered like any other.
        struct Linked: Simulator = "test-linked" {
            /// A number.
            tau: f64 = 3.0, in 0.0..;
        }
    }

    /// For tests: not registered.
    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Loose {}

    impl Params for Loose {
        const FIELDS: &'static [Field] = &[];
        const NAME: &'static str = "test-loose";
        const SUMMARY: &'static str = "Loose.";
        const PAPER: &'static str = "";
        const ORIGIN: Origin = Origin { package: "here", version: "0", module: "here" };

        fn check(&self) -> Result<()> {
            Ok(())
        }
    }

    impl Simulator for Linked {
        fn open(&self, _: &Run) -> Result<Box<dyn Environment>> {
            unreachable!("only its parameters are looked at")
        }
    }

    impl Simulator for Loose {
        fn open(&self, _: &Run) -> Result<Box<dyn Environment>> {
            unreachable!("only its parameters are looked at")
        }
    }

    type Worlds = Registry<dyn Simulator>;

    #[test]
    fn adding_by_hand_works_once_and_again() {
        static LOOSE: Descriptor<dyn Simulator> = Descriptor::<dyn Simulator>::of::<Loose>();
        let names = || Worlds::linked().unwrap().iter().map(|d| d.name).collect::<Vec<_>>();
        let before = names();
        assert!(before.contains(&"test-linked") && !before.contains(&"test-loose"));
        Worlds::add(Worlds::linked().unwrap().get("test-linked").unwrap());
        assert_eq!(names(), before);
        Worlds::add(&LOOSE);
        Worlds::add(&LOOSE);
        assert_eq!(names().len(), before.len() + 1);
        assert!(Worlds::linked().unwrap().build("test-loose", &json!({})).is_ok());
    }

    #[test]
    fn parameters_come_by_name() {
        let say = |params| Worlds::linked().unwrap().build("test-linked", &params).err().unwrap().to_string();
        for (params, got) in [(json!([3]), "sequence"), (json!(null), "null"), (json!("tau"), "string \"tau\"")] {
            let expected = format!("parameters of `test-linked`: invalid type: {got}, expected parameters by name");
            assert_eq!(say(params), expected);
        }
        assert_eq!(say(json!({ "tau": -1 })), "`test-linked`: parameter `tau` = -1, expected 0.0..");
        let text = "[3]";
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Worlds::linked().unwrap().get("test-linked").unwrap();
        assert!(read.build(&mut <dyn erased_serde::Deserializer>::erase(&mut json)).is_err());
    }
}
