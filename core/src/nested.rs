//! Plugins as parameters of plugins.

use crate::params::{Kind, Never, Value, parameters};
use crate::{Error, Kinded, Registry, Result};
use serde_json::Value as Json;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

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

impl<T: ?Sized> From<Box<T>> for Nested<T> {
    /// A plugin at hand: the default of a parameter.
    fn from(plugin: Box<T>) -> Self {
        Self(plugin.into())
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
        Self::new(&name, &params).map_err(|error| {
            let reason = error.to_string();
            FAILURE.set(Some(error));
            D::Error::custom(reason)
        })
    }
}

impl<T: Kinded + ?Sized> Value for Nested<T> {
    const KIND: Kind = Kind::Plugin(T::KIND);
    type Scalar = Never;
}

thread_local! {
    /// Why the last nested plugin could not be built: serde passes nothing but text upwards.
    static FAILURE: Cell<Option<Error>> = const { Cell::new(None) };
}

/// The error of a nested plugin behind an error of serde with that text.
pub(crate) fn take(reason: &str) -> Option<Error> {
    FAILURE.take().filter(|error| reason.contains(&error.to_string()))
}

/// The error of a plugin that is nested in `plugin`, in the field `outer`.
pub(crate) fn at(plugin: &str, outer: &str, error: Error) -> Error {
    match error {
        Error::OutOfRange { field, value, range, .. } => {
            Error::OutOfRange { plugin: Some(plugin.into()), field: format!("{outer}.{field}"), value, range }
        }
        Error::Params { plugin: inner, reason, field, nearest } => Error::Params {
            plugin: plugin.into(),
            reason: format!("`{outer}`: parameters of `{inner}`: {reason}"),
            field: Some(field.map_or_else(|| outer.into(), |inner| format!("{outer}.{inner}"))),
            nearest,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Run, Simulator, plugin};
    use serde_json::json;

    type World = Nested<dyn Simulator>;

    plugin! {
        /// For tests: something to nest.
        struct Inner: Simulator = "test-inner" {
            /// A number.
            lambda: f32 = 0.1, in 0.0..=1.0;
        }
    }

    plugin! {
        /// For tests: what it is nested in.
        struct Outer: Simulator = "test-outer" {
            /// One.
            one: World = World::new("test-inner", &json!({ "lambda": 0.5 })).unwrap();
            /// Perhaps one.
            perhaps: Option<World> = Some(World::new("test-inner", &json!({})).unwrap());
            /// Some.
            several: Vec<World> = vec![];
        }
    }

    impl Simulator for Inner {
        fn open(&self, _: &Run) -> Result<Box<dyn Environment>> {
            unreachable!("only its parameters are looked at")
        }
    }

    impl Simulator for Outer {
        fn open(&self, _: &Run) -> Result<Box<dyn Environment>> {
            unreachable!("only its parameters are looked at")
        }
    }

    fn build(params: Json) -> Result<Json> {
        Ok(parameters(Registry::<dyn Simulator>::linked()?.build("test-outer", &params)?.as_ref()))
    }

    fn refusal(params: Json) -> Error {
        build(params).expect_err("a refusal")
    }

    fn inner(lambda: f64) -> Json {
        json!({ "plugin": "test-inner", "lambda": lambda })
    }

    #[test]
    fn by_default_by_name_by_object_and_back() {
        let defaults = json!({ "one": inner(0.5), "perhaps": inner(0.1), "several": [] });
        assert_eq!(build(json!({})).unwrap(), defaults);
        let written = json!({ "one": "test-inner", "perhaps": null, "several": ["test-inner", inner(0.25)] });
        let read = build(written).unwrap();
        assert_eq!(read, json!({ "one": inner(0.1), "perhaps": null, "several": [inner(0.1), inner(0.25)] }));
        assert_eq!(build(read.clone()).unwrap(), read);
        assert_eq!(build(json!({ "perhaps": "none" })).unwrap()["perhaps"], Json::Null);
        let deep = json!({ "one": { "plugin": "test-outer", "perhaps": "none" } });
        assert_eq!(build(deep).unwrap()["one"]["perhaps"], Json::Null);
    }

    #[test]
    fn a_number_out_of_range_is_named_by_its_path() {
        for (params, at) in [
            (json!({ "one": inner(7.0) }), "one.lambda"),
            (json!({ "perhaps": inner(7.0) }), "perhaps.lambda"),
            (json!({ "several": ["test-inner", inner(7.0)] }), "several[1].lambda"),
            (json!({ "one": { "plugin": "test-outer", "one": inner(7.0) } }), "one.one.lambda"),
        ] {
            let error = refusal(params);
            assert_eq!(error.to_string(), format!("`test-outer`: parameter `{at}` = 7, expected 0.0..=1.0"));
            assert!(matches!(error, Error::OutOfRange { field, .. } if field == at));
        }
    }

    #[test]
    fn an_unknown_name_and_a_wrong_parameter_keep_what_is_known_of_them() {
        let error = refusal(json!({ "one": "test-iner" }));
        assert!(matches!(error, Error::UnknownPlugin { nearest: Some(near), .. } if near == "test-inner"));
        assert!(matches!(refusal(json!({ "one": "none" })), Error::UnknownPlugin { .. }));

        let error = refusal(json!({ "one": { "plugin": "test-inner", "lamda": 1 } }));
        let text = "parameters of `test-outer`: `one`: parameters of `test-inner`: unknown field `lamda`, expected `lambda` \
                    (did you mean `lambda`?)";
        assert_eq!(error.to_string(), text);
        assert!(matches!(error, Error::Params { field: Some(f), nearest: Some(n), .. } if f == "one" && n == "lambda"));

        let error = refusal(json!({ "one": { "plugin": "test-inner", "lambda": "x" } }));
        assert!(matches!(error, Error::Params { field: Some(f), .. } if f == "one.lambda"));
        assert!(refusal(json!({ "one": 3 })).to_string().contains("`one`: 3, expected a plugin name"));
        assert!(refusal(json!({ "one": {} })).to_string().contains("missing field `plugin`"));
    }
}
