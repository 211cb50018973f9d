//! The registry: every plugin linked into the program, by kind and name.
//!
//! `plugin!` files a [`Descriptor`] with `inventory`, one table per trait. `use plugin_crate as _;` once, anywhere in the
//! chain of crates, is necessary and sufficient to link a plugin crate.

use crate::params::{Field, Kind, Never, Params, Recipe, Value, parameters, schema};
use crate::{Error, FairnessLoss, GroupRegressor, Policy, Recommender, Result, Simulator, nearest};
use serde_json::Value as Json;
use std::fmt;
use std::sync::{Arc, Mutex};

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
    /// First paragraph of its documentation.
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
    Simulator = "simulator", GroupRegressor = "group-regressor",
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

    /// Adds a plugin by hand, for hosts whose linker drops constructors (C programs linking a static library).
    pub fn add(descriptor: &'static Descriptor<T>) {
        T::added().lock().unwrap_or_else(|e| e.into_inner()).push(descriptor);
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

    /// Builds a plugin from JSON parameters, an object; absent parameters take their defaults.
    ///
    /// # Errors
    /// As [`Self::get`] and [`Descriptor::build`].
    pub fn build(&self, name: &str, params: &Json) -> Result<Box<T>> {
        self.get(name)?.build(&mut <dyn erased_serde::Deserializer>::erase(params))
    }
}

/// Reads the parameters of `P` and checks them.
fn parse<P: Params>(d: &mut dyn erased_serde::Deserializer<'_>) -> Result<P> {
    let params: P = serde_path_to_error::deserialize(d).map_err(|e| {
        let field = e.path().to_string();
        let reason = e.into_inner().to_string();
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

/// A parameter that is itself a plugin: `"name"`, or `{ plugin = "name", parameters ... }`.
pub struct Nested<T: ?Sized>(Arc<T>);

impl<T: Kinded + ?Sized> Nested<T> {
    /// A plugin by name with JSON parameters.
    ///
    /// # Errors
    /// As [`Registry::build`].
    pub fn new(name: &str, params: &Json) -> Result<Self> {
        Ok(Self(Registry::<T>::linked()?.build(name, params)?.into()))
    }
}

impl<T: ?Sized> Clone for Nested<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> std::ops::Deref for Nested<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Kinded + ?Sized> Nested<T> {
    fn json(&self) -> Json {
        let mut json = parameters(self.0.as_ref());
        json["plugin"] = self.0.name().into();
        json
    }
}

impl<T: Kinded + ?Sized> fmt::Debug for Nested<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.json())
    }
}

impl<T: Kinded + ?Sized> PartialEq for Nested<T> {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl<T: Kinded + ?Sized> serde::Serialize for Nested<T> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(to)
    }
}

impl<'de, T: Kinded + ?Sized> serde::Deserialize<'de> for Nested<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut params = Json::deserialize(from)?;
        let name = match &mut params {
            Json::String(name) => std::mem::take(name),
            Json::Object(map) => match map.remove("plugin") {
                Some(Json::String(name)) => name,
                _ => return Err(D::Error::missing_field("plugin")),
            },
            other => return Err(D::Error::custom(format!("{other}, expected a plugin name or {{ plugin = NAME }}"))),
        };
        if params.is_string() {
            params = Json::Object(serde_json::Map::new());
        }
        Self::new(&name, &params).map_err(D::Error::custom)
    }
}

impl<T: Kinded + ?Sized> Value for Nested<T> {
    const KIND: Kind = Kind::Plugin(T::KIND);
    type Scalar = Never;
}
