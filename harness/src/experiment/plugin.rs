//! Building a plugin from a table, its errors placed where the mistake stands.

use super::document::{Document, Table, Value};
use crate::failure::Failure;
use evenhand_core::{Error, Kinded, Registry};
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::DeValue;

/// Builds the plugin called `name` from `json`. `table` is where `json` came from: errors are placed in it.
pub(super) fn build<T: Kinded + ?Sized>(
    document: &Document<'_>,
    name: &Spanned<String>,
    table: &Table<'_>,
    json: &Json,
) -> Result<Box<T>, Failure> {
    let registry = Registry::<T>::linked().map_err(Failure::Plugin)?;
    registry.build(name.get_ref(), json).map_err(|error| {
        let (field, at_key) = match &error {
            Error::Params { field: Some(field), .. } => (Some(field.as_str()), false),
            // serde words it: unknown field `it`, expected one of `a`, `b`
            Error::Params { reason, .. } if reason.starts_with("unknown field") => (reason.split('`').nth(1), true),
            Error::OutOfRange { field, .. } => (Some(field.as_str()), false),
            _ => (None, false),
        };
        let nested = match &error {
            Error::UnknownPlugin { name: wrong, .. } if wrong != name.get_ref() => Some(wrong),
            _ => None,
        };
        let top = field.map(|f| f.split(['.', '[']).next().unwrap_or(f));
        let found = table.iter().find(|(key, value)| match nested {
            Some(wrong) => names(value, wrong),
            None => top.is_some_and(|top| key.get_ref() == top),
        });
        let span = found.map_or(name.span(), |(key, value)| if at_key { key.span() } else { value.span() });
        document.error(span, error.to_string())
    })
}

/// Whether the text is somewhere in a value.
fn names(value: &Value<'_>, text: &str) -> bool {
    match value.get_ref() {
        DeValue::String(it) => it == text,
        DeValue::Array(values) => values.iter().any(|v| names(v, text)),
        DeValue::Table(table) => table.values().any(|v| names(v, text)),
        _ => false,
    }
}
