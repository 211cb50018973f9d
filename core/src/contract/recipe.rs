//! Checks of parameters, the same for every kind of plugin.

use super::outcome::{Check, Outcome, Stop, ensure, run_all};
use crate::params::{Kind, parameters};
use crate::registry::Kinded;
use crate::{Descriptor, Error, Result};
use serde::de::value::{Error as ValueError, F64Deserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde_json::{Value as Json, json};

/// Checks the documentation and the parameters of any plugin.
pub fn recipe<T: Kinded + ?Sized>(descriptor: &Descriptor<T>) -> Vec<Outcome> {
    run_all(descriptor.name, &checks(), descriptor)
}

fn checks<T: Kinded + ?Sized>() -> Vec<Check<Descriptor<T>>> {
    vec![
        Check("documented", "a kebab-case name, a summary, a text for every field", documented),
        Check("defaults", "the default parameters are valid, and return equal when reread", defaults),
        Check("ranges", "values outside a documented range are refused by field, its ends are not", ranges),
        Check("finite-parameters", "NaN and infinities are refused by field", finite_parameters),
        Check("unknown-field", "a parameter that does not exist is refused", unknown_field),
        Check("wrong-type", "a value of another type is refused by field", wrong_type),
    ]
}

fn documented<T: Kinded + ?Sized>(d: &Descriptor<T>) -> Result<(), Stop> {
    let kebab = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    ensure(d.name.split('-').all(kebab), || format!("name `{}` is not kebab-case", d.name))?;
    ensure(!d.summary.trim().is_empty(), || "no summary".into())?;
    ensure(d.with_defaults().name() == d.name, || "registered under another name than its own".into())?;
    let silent = d.fields.iter().find(|f| f.doc.trim().is_empty());
    silent.map_or(Ok(()), |f| Err(Stop::Failed(format!("field `{}` has no documentation", f.name))))
}

fn defaults<T: Kinded + ?Sized>(d: &Descriptor<T>) -> Result<(), Stop> {
    let written = d.defaults();
    let names = |json: &Json| json.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut documented: Vec<_> = d.fields.iter().map(|f| f.name.to_string()).collect();
    documented.sort();
    let written_names = names(&written);
    ensure(written_names == documented, || format!("documented are {documented:?}, written {written_names:?}"))?;
    for given in [&written, &json!({})] {
        let reread = parameters(build(d, given)?.as_ref());
        ensure(reread == written, || format!("{given} is reread as {reread}, expected {written}"))?;
    }
    Ok(())
}

fn ranges<T: Kinded + ?Sized>(d: &Descriptor<T>) -> Result<(), Stop> {
    let schema = d.schema();
    for field in d.fields {
        let (inside, outside) = probes(&schema["properties"][field.name]);
        ensure(field.range.is_empty() || !outside.is_empty(), || {
            format!("`{}`: the range {} has no end that could be tried", field.name, field.range)
        })?;
        for value in inside {
            build(d, &json!({ field.name: value }))
                .map_err(|e| Stop::Failed(format!("`{}` = {value} is an end of its range: {e}", field.name)))?;
        }
        for value in outside {
            refused(field.name, &value.to_string(), build(d, &json!({ field.name: value })))?;
        }
    }
    Ok(())
}

fn finite_parameters<T: Kinded + ?Sized>(d: &Descriptor<T>) -> Result<(), Stop> {
    for field in d.fields {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            // Not by JSON, which has no word for them.
            let entry = Entry { kind: field.kind, value };
            let map = MapDeserializer::<_, ValueError>::new(std::iter::once((field.name, entry)));
            let built = d.build(&mut <dyn erased_serde::Deserializer>::erase(map));
            refused(field.name, &value.to_string(), built)?;
        }
    }
    Ok(())
}

fn unknown_field<T: Kinded + ?Sized>(d: &Descriptor<T>) -> Result<(), Stop> {
    const STRANGER: &str = "no_such_parameter";
    match build(d, &json!({ STRANGER: 1 })) {
        Err(e) if e.to_string().contains(STRANGER) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("refused without naming the field: {e}"))),
        Ok(_) => Err(Stop::Failed(format!("`{STRANGER}` is accepted"))),
    }
}

fn wrong_type<T: Kinded + ?Sized>(d: &Descriptor<T>) -> Result<(), Stop> {
    let value = json!({ "unexpected": true });
    d.fields.iter().try_for_each(|f| refused(f.name, &value.to_string(), build(d, &json!({ f.name: value }))))
}

fn build<T: Kinded + ?Sized>(d: &Descriptor<T>, params: &Json) -> Result<Box<T>> {
    d.build(&mut <dyn erased_serde::Deserializer>::erase(params))
}

/// Passes for an error that names the field.
fn refused<T: ?Sized>(field: &str, value: &str, built: Result<Box<T>>) -> Result<(), Stop> {
    let named = |path: &str| path.split(['.', '[']).next() == Some(field);
    match built {
        Err(Error::OutOfRange { field: at, .. } | Error::Params { field: Some(at), .. }) if named(&at) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("`{field}` = {value} is refused without naming the field: {e}"))),
        Ok(_) => Err(Stop::Failed(format!("`{field}` = {value} is accepted"))),
    }
}

/// Values at the closed ends of the range in a schema, and values beyond its ends.
fn probes(schema: &Json) -> (Vec<Json>, Vec<Json>) {
    if let Some(list) = schema.get("items") {
        let wrap = |values: Vec<Json>| values.into_iter().map(|v| json!([v])).collect();
        let (inside, outside) = probes(list);
        return (wrap(inside), wrap(outside));
    }
    if let Some(present) = schema.get("anyOf") {
        return probes(&present[0]);
    }
    let end = |key: &str| schema.get(key).and_then(Json::as_f64);
    // Far enough to survive rounding to f32.
    let step = |end: f64| end.abs().max(1.0);
    let inside = [end("minimum"), end("maximum")];
    let outside = [
        end("minimum").map(|v| v - step(v)),
        end("maximum").map(|v| v + step(v)),
        end("exclusiveMinimum"),
        end("exclusiveMaximum"),
    ];
    let values = |ends: &[Option<f64>]| ends.iter().flatten().map(|&v| number(v)).collect();
    (values(&inside), values(&outside))
}

/// Whole numbers without a fraction, as an integer field wants them.
fn number(v: f64) -> Json {
    let whole = v as i64;
    if whole as f64 == v { json!(whole) } else { json!(v) }
}

/// A number in the wrapping that a parameter of that kind reads.
struct Entry {
    kind: Kind,
    value: f64,
}

impl<'de> IntoDeserializer<'de, ValueError> for Entry {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Entry {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let inner = |kind: &Kind| Self { kind: *kind, value: self.value };
        match self.kind {
            Kind::Optional(kind) => visitor.visit_some(inner(kind)),
            Kind::List(kind) => SeqDeserializer::new(std::iter::once(inner(kind))).deserialize_any(visitor),
            _ => F64Deserializer::new(self.value).deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
