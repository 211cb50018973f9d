//! Parameters of plugins: declared once, with documentation, default and range.
//!
//! [`plugin!`](crate::plugin) declares the parameter struct of a plugin and registers it. The text beside a field is the
//! text in `describe`, in the JSON schema and in the API documentation; the range is both check and documentation.

use crate::{Error, Result};
use serde_json::{Value as Json, json};
use std::ops::{Bound, RangeBounds};

/// The type of a parameter, as shown to people and to JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A finite real number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Text.
    Text,
    /// One of some names, each with its meaning.
    Choice(&'static [(&'static str, &'static str)]),
    /// Another plugin of that kind: its name, or `{ plugin = NAME, parameters ... }`.
    Plugin(&'static str),
    /// Any number of values.
    List(&'static Kind),
    /// A value or nothing.
    Optional(&'static Kind),
}

impl Kind {
    /// A short name for tables.
    pub fn label(&self) -> String {
        match self {
            Self::Integer => "integer".into(),
            Self::Number => "number".into(),
            Self::Flag => "true | false".into(),
            Self::Text => "text".into(),
            Self::Choice(names) => names.iter().map(|n| n.0).collect::<Vec<_>>().join(" | "),
            Self::Plugin(kind) => format!("{kind} plugin"),
            Self::List(inner) => format!("list of {}", inner.label()),
            Self::Optional(inner) => format!("{} or nothing", inner.label()),
        }
    }

    fn schema(&self, bounds: Option<&Bounds>) -> Json {
        match self {
            Self::Integer | Self::Number => {
                let mut s = json!({ "type": if *self == Self::Integer { "integer" } else { "number" } });
                for (key, value) in bounds.into_iter().flat_map(|b| b.keywords()) {
                    s[key] = json!(value);
                }
                s
            }
            Self::Flag => json!({ "type": "boolean" }),
            Self::Text => json!({ "type": "string" }),
            Self::Choice(names) => json!({ "enum": names.iter().map(|n| n.0).collect::<Vec<_>>() }),
            Self::Plugin(_) => json!({ "anyOf": [
                { "type": "string" },
                { "type": "object", "required": ["plugin"], "properties": { "plugin": { "type": "string" } } },
            ] }),
            Self::List(inner) => json!({ "type": "array", "items": inner.schema(bounds) }),
            Self::Optional(inner) => json!({ "anyOf": [inner.schema(bounds), { "type": "null" }] }),
        }
    }
}

/// The ends of a numeric range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    low: Bound<f64>,
    high: Bound<f64>,
}

impl Bounds {
    fn keywords(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let pick = |bound, closed, open| match bound {
            Bound::Included(v) => Some((closed, v)),
            Bound::Excluded(v) => Some((open, v)),
            Bound::Unbounded => None,
        };
        let low = pick(self.low, "minimum", "exclusiveMinimum");
        low.into_iter().chain(pick(self.high, "maximum", "exclusiveMaximum"))
    }
}

/// One documented parameter.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the parameter.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The range as written in the declaration; empty where every value of the type will do.
    pub range: &'static str,
    /// The ends of the range as numbers, where there is one.
    pub bounds: Option<fn() -> Bounds>,
    /// What the parameter does.
    pub doc: &'static str,
}

/// JSON Schema (2020-12) of a plugin's parameters; `defaults` are the serialised default parameters.
pub fn schema(name: &str, summary: &str, fields: &[Field], defaults: &Json) -> Json {
    let mut properties = serde_json::Map::new();
    for field in fields {
        let bounds = field.bounds.map(|b| b());
        let mut s = field.kind.schema(bounds.as_ref());
        s["description"] = json!(field.doc.trim());
        s["default"] = defaults[field.name].clone();
        properties.insert(field.name.into(), s);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name, "description": summary.trim(), "type": "object",
        "properties": properties, "additionalProperties": false,
    })
}

/// A type that a parameter may have.
pub trait Value: serde::Serialize + serde::de::DeserializeOwned {
    /// How the type is shown.
    const KIND: Kind;
    /// What a range limits; `()` where no range applies.
    type Scalar: PartialOrd + std::fmt::Display;

    /// The numbers inside, for the range check.
    fn scalars(&self) -> Vec<Self::Scalar> {
        Vec::new()
    }

    /// Whether all numbers inside are finite.
    fn is_finite(&self) -> bool {
        true
    }
}

/// Stands in as [`Value::Scalar`] of types without a range.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Never {}

impl std::fmt::Display for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

macro_rules! values {
    ($($ty:ty = $kind:ident $(, finite $finite:ident)?;)*) => { $(
        impl Value for $ty {
            const KIND: Kind = Kind::$kind;
            type Scalar = $ty;
            fn scalars(&self) -> Vec<$ty> { vec![*self] }
            $(fn is_finite(&self) -> bool { <$ty>::$finite(*self) })?
        }
    )* };
}
values! {
    usize = Integer; u32 = Integer; u64 = Integer; i64 = Integer;
    f32 = Number, finite is_finite; f64 = Number, finite is_finite;
}

impl Value for bool {
    const KIND: Kind = Kind::Flag;
    type Scalar = Never;
}

impl Value for String {
    const KIND: Kind = Kind::Text;
    type Scalar = Never;
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = Kind::Optional(&T::KIND);
    type Scalar = T::Scalar;
    fn scalars(&self) -> Vec<T::Scalar> {
        self.iter().flat_map(T::scalars).collect()
    }
    fn is_finite(&self) -> bool {
        self.iter().all(T::is_finite)
    }
}

impl<T: Value> Value for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
    type Scalar = T::Scalar;
    fn scalars(&self) -> Vec<T::Scalar> {
        self.iter().flat_map(T::scalars).collect()
    }
    fn is_finite(&self) -> bool {
        self.iter().all(T::is_finite)
    }
}

/// Checks one field against its range. Part of [`plugin!`](crate::plugin).
#[doc(hidden)]
pub fn in_range<T: Value>(
    plugin: &str,
    field: &str,
    value: &T,
    range: impl RangeBounds<T::Scalar>,
    text: &str,
) -> Result<()> {
    match value.scalars().into_iter().find(|v| !range.contains(v)) {
        Some(v) => Err(refuse(plugin, field, v.to_string(), text)),
        None => Ok(()),
    }
}

/// Refuses NaN and infinities. Part of [`plugin!`](crate::plugin).
#[doc(hidden)]
pub fn finite<T: Value>(plugin: &str, field: &str, value: &T) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(refuse(plugin, field, "a non-finite number".into(), "a finite number"))
}

fn refuse(plugin: &str, field: &str, value: String, range: &str) -> Error {
    Error::OutOfRange { plugin: Some(plugin.into()), field: field.into(), value, range: range.into() }
}

/// The ends of a range as numbers. Part of [`plugin!`](crate::plugin).
#[doc(hidden)]
pub fn bounds<T: ToString>(range: impl RangeBounds<T>) -> Bounds {
    // Through text, because the literal may be of any numeric type; ranges are written with few digits.
    let number = |b: Bound<&T>| match b {
        Bound::Included(v) => v.to_string().parse().map_or(Bound::Unbounded, Bound::Included),
        Bound::Excluded(v) => v.to_string().parse().map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded => Bound::Unbounded,
    };
    Bounds { low: number(range.start_bound()), high: number(range.end_bound()) }
}

/// What [`plugin!`](crate::plugin) knows of a parameter struct.
pub trait Params: Default + serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// The documented fields.
    const FIELDS: &'static [Field];
    /// Name of the plugin.
    const NAME: &'static str;
    /// The documentation text.
    const SUMMARY: &'static str;
    /// The paper it comes from; empty where there is none.
    const PAPER: &'static str;
    /// Where it was declared.
    const ORIGIN: crate::Origin;

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the first field outside.
    fn check(&self) -> Result<()>;
}

/// A recipe: parameters that can be named and written down. Implemented by [`plugin!`](crate::plugin) alone.
pub trait Recipe: erased_serde::Serialize + Send + Sync {
    /// Name of the plugin.
    fn name(&self) -> &'static str;
}

impl<P: Params> Recipe for P {
    fn name(&self) -> &'static str {
        P::NAME
    }
}

/// The effective parameters of a recipe as JSON, keys sorted, numbers with the fewest digits that give them back.
pub fn parameters(recipe: &(impl Recipe + ?Sized)) -> Json {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::new(&mut text);
    // A detour through text: a direct conversion would widen f32 to f64 and show its binary tail.
    recipe
        .erased_serialize(&mut <dyn erased_serde::Serializer>::erase(&mut json))
        .and_then(|()| serde_json::from_slice(&text).map_err(serde::ser::Error::custom))
        .expect("parameters are plain data")
}

/// Declares a plugin: its documented parameters, and its place in the registry.
///
/// ```
/// use evenhand_core::plugin;
/// use evenhand_core::{Model, Recommender, Result, Run, Training};
///
/// plugin! {
///     /// The same score for every item.
///     pub struct Flat: Recommender = "flat", from "nobody, never" {
///         /// The score.
///         level: f32 = 3.0, in 0.0..=5.0;
///     }
/// }
/// # impl Recommender for Flat {
/// #     fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> { unreachable!() }
/// # }
/// let known = evenhand_core::Registry::<dyn Recommender>::linked().unwrap();
/// assert_eq!(known.get("flat").unwrap().fields[0].range, "0.0..=5.0");
/// assert!(known.build("flat", &serde_json::json!({ "level": 7.0 })).is_err());
/// ```
#[macro_export]
macro_rules! plugin {
    (
        $(#[doc = $summary:literal])+
        $vis:vis struct $ty:ident : $trait:ident = $name:literal $(, from $paper:literal)? {
            $( $(#[doc = $doc:literal])+ $field:ident : $fty:ty = $default:expr $(, in $range:expr)? ; )*
        }
    ) => {
        $(#[doc = $summary])+
        #[derive(Clone, Debug, PartialEq, $crate::private::serde::Serialize, $crate::private::serde::Deserialize)]
        #[serde(crate = "evenhand_core::private::serde", default, deny_unknown_fields,
            expecting = "parameters by name")]
        $vis struct $ty { $( $(#[doc = $doc])+ pub $field: $fty, )* }

        impl ::core::default::Default for $ty {
            fn default() -> Self { Self { $( $field: $default, )* } }
        }

        impl $crate::Params for $ty {
            const FIELDS: &'static [$crate::Field] = &[ $( $crate::Field {
                name: ::core::stringify!($field),
                kind: <$fty as $crate::params::Value>::KIND,
                range: ::core::concat!("" $(, ::core::stringify!($range))?),
                bounds: $crate::plugin!(@bounds $($range)?),
                doc: ::core::concat!($($doc, "\n"),+),
            }, )* ];
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = ::core::concat!($($summary, "\n"),+);
            const PAPER: &'static str = ::core::concat!("" $(, $paper)?);
            const ORIGIN: $crate::Origin = $crate::Origin {
                package: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                module: ::core::module_path!(),
            };
            fn check(&self) -> $crate::Result<()> {
                $( $crate::params::finite(Self::NAME, ::core::stringify!($field), &self.$field)?; )*
                $( $( $crate::params::in_range(
                    Self::NAME, ::core::stringify!($field), &self.$field, $range, ::core::stringify!($range))?; )? )*
                ::core::result::Result::Ok(())
            }
        }

        $crate::private::inventory::submit! { $crate::Descriptor::<dyn $crate::$trait>::of::<$ty>() }
    };
    (@bounds) => { ::core::option::Option::None };
    (@bounds $range:expr) => { ::core::option::Option::Some(|| $crate::params::bounds($range)) };
}

/// Declares a parameter type that is one of some names.
///
/// ```
/// evenhand_core::choice! {
///     /// How to solve the normal equations.
///     pub enum Solver {
///         /// Exactly.
///         Cholesky = "cholesky",
///         /// By a few steps of conjugate gradients.
///         Cg = "cg",
///     }
/// }
/// assert_eq!(serde_json::to_string(&Solver::Cg).unwrap(), "\"cg\"");
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $vis:vis enum $ty:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $name:literal ),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq,
            $crate::private::serde::Serialize, $crate::private::serde::Deserialize)]
        #[serde(crate = "evenhand_core::private::serde")]
        $vis enum $ty { $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+ }

        impl $crate::params::Value for $ty {
            const KIND: $crate::params::Kind =
                $crate::params::Kind::Choice(&[$( ($name, ::core::concat!($($doc, "\n"),+)) ),+]);
            type Scalar = $crate::params::Never;
        }
    };
}
