//! Grids: a value that is an array where the plugin takes one value stands for each of its elements in turn.
//!
//! TOML has no word for nothing; the text `none` stands for it in a parameter that may be left out (`fairness = "none"`),
//! unless text or a plugin of that name is what the parameter takes.

use super::document::{Document, Table, Value};
use crate::catalog::{Entry, plugin_kind};
use crate::failure::Failure;
use evenhand_core::params::{Field, Kind};
use serde_json::Value as Json;
use toml::de::DeValue;

/// One point of a grid: parameters to build a plugin from, and how a table shows them.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    pub(super) params: serde_json::Map<String, Json>,
    /// `key=value` of every given parameter.
    pub(super) shown: Vec<String>,
    /// The same, of the axes alone.
    pub(super) axes: Vec<String>,
}

/// All points of `table`, first key slowest, keys in the order of the file. `fields` are the plugin's.
///
/// # Errors
/// An axis without a value; a value that no parameter can have.
pub(super) fn expand(
    document: &Document<'_>,
    catalog: &[Entry],
    table: &Table<'_>,
    fields: &[Field],
) -> Result<Vec<Point>, Failure> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let mut points = vec![Point::default()];
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        let kind = fields.iter().find(|f| f.name == name).map(|f| f.kind);
        let choices = alternatives(document, catalog, value, kind.as_ref())?;
        let axis = choices.len() > 1;
        points = points
            .into_iter()
            .flat_map(|point| {
                choices.iter().map(move |(json, text)| {
                    let mut point = point.clone();
                    point.params.insert(name.into(), json.clone());
                    point.shown.push(format!("{name}={text}"));
                    if axis {
                        point.axes.push(format!("{name}={text}"));
                    }
                    point
                })
            })
            .collect();
    }
    Ok(points)
}

/// The values that `value` stands for, each with its text.
fn alternatives(
    document: &Document<'_>,
    catalog: &[Entry],
    value: &Value<'_>,
    kind: Option<&Kind>,
) -> Result<Vec<(Json, String)>, Failure> {
    let elements = match value.get_ref() {
        DeValue::Array(elements) if is_axis(elements.iter().map(|e| e.get_ref()), kind) => elements,
        DeValue::Table(table) => return nested(document, catalog, table, kind),
        _ => return Ok(vec![single(document, catalog, value, kind)?]),
    };
    if elements.iter().next().is_none() {
        return Err(document.error(value.span(), "a grid axis without a value"));
    }
    let each = elements.iter().map(|e| match e.get_ref() {
        DeValue::Table(table) => nested(document, catalog, table, kind),
        _ => single(document, catalog, e, kind).map(|one| vec![one]),
    });
    Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
}

/// A value that stands for itself, or for nothing, with its text.
fn single(
    document: &Document<'_>,
    catalog: &[Entry],
    value: &Value<'_>,
    kind: Option<&Kind>,
) -> Result<(Json, String), Failure> {
    if value.get_ref().as_str() == Some(NONE) && kind.is_some_and(|kind| leaves_out(catalog, kind)) {
        return Ok((Json::Null, NONE.into()));
    }
    let json = json(document, value)?;
    let text = show(&json);
    Ok((json, text))
}

/// Stands for nothing in a parameter that may be left out.
const NONE: &str = "none";

/// Whether the text [`NONE`] can only mean nothing.
fn leaves_out(catalog: &[Entry], kind: &Kind) -> bool {
    match kind {
        Kind::Optional(Kind::Plugin(of)) => !catalog.iter().any(|e| (e.kind, e.name) == (*of, NONE)),
        Kind::Optional(Kind::Integer | Kind::Number | Kind::Flag) => true,
        _ => false,
    }
}

/// Whether an array stands for alternatives. For a parameter that is a list itself, only an array of arrays does.
fn is_axis<'a>(mut elements: impl Iterator<Item = &'a DeValue<'a>>, kind: Option<&Kind>) -> bool {
    match kind {
        Some(Kind::List(_) | Kind::Optional(Kind::List(_))) => {
            let mut any = false;
            elements.all(|e| {
                any = true;
                e.is_array()
            }) && any
        }
        _ => true,
    }
}

/// The alternatives of a nested plugin: its parameters may be axes too.
fn nested(
    document: &Document<'_>,
    catalog: &[Entry],
    table: &Table<'_>,
    kind: Option<&Kind>,
) -> Result<Vec<(Json, String)>, Failure> {
    let name = table.get("plugin").and_then(|v| v.get_ref().as_str());
    let entry = kind
        .and_then(plugin_kind)
        .zip(name)
        .and_then(|(kind, name)| catalog.iter().find(|entry| (entry.kind, entry.name) == (kind, name)));
    let Some(entry) = entry else {
        // Not a known plugin: building it says what is wrong.
        let json = table_json(document, table)?;
        let text = show(&json);
        return Ok(vec![(json, text)]);
    };
    let points = expand(document, catalog, table, entry.fields)?;
    Ok(points.into_iter().map(|p| Json::Object(p.params)).map(|json| (json.clone(), show(&json))).collect())
}

/// A value as JSON, which parameters are read from.
pub(super) fn json(document: &Document<'_>, value: &Value<'_>) -> Result<Json, Failure> {
    let unreadable = || document.error(value.span(), "not a value that a parameter can have");
    Ok(match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Integer(number) => {
            let radix = number.radix();
            let parsed = i64::from_str_radix(number.as_str(), radix).map(Json::from);
            parsed.or_else(|_| u64::from_str_radix(number.as_str(), radix).map(Json::from)).map_err(|_| unreadable())?
        }
        DeValue::Float(number) => {
            let finite = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Json::Number(finite.ok_or_else(|| document.error(value.span(), "expected a finite number"))?)
        }
        DeValue::Array(values) => values.iter().map(|v| json(document, v)).collect::<Result<_, _>>()?,
        DeValue::Table(table) => table_json(document, table)?,
        DeValue::Datetime(_) => return Err(unreadable()),
    })
}

pub(super) fn table_json(document: &Document<'_>, table: &Table<'_>) -> Result<Json, Failure> {
    let entries = table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), json(document, value)?)));
    Ok(Json::Object(entries.collect::<Result<_, Failure>>()?))
}

/// A parameter as a table shows it: text bare, a nested plugin as `name(key=value)`.
fn show(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Object(map) => {
            let rest: Vec<String> =
                map.iter().filter(|(key, _)| *key != "plugin").map(|(key, v)| format!("{key}={}", show(v))).collect();
            let name = map.get("plugin").map(show).unwrap_or_default();
            if rest.is_empty() { name } else { format!("{name}({})", rest.join(" ")) }
        }
        other => other.to_string(),
    }
}
