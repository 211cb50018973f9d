//! Keys that take one value or several.

use super::document::Table;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeValue};

/// A single value becomes a list of one.
pub(super) fn listed<'t>(table: &mut Table<'t>, key: &str) {
    let Some(value) = table.get_mut(key).filter(|value| !value.get_ref().is_array()) else { return };
    let span = value.span();
    let mut list = DeArray::new();
    list.push(std::mem::replace(value, Spanned::new(span.clone(), DeValue::Boolean(false))));
    *value = Spanned::new(span, DeValue::Array(list));
}

/// The values in order, each once.
pub(super) fn distinct<T: PartialEq + Copy>(values: Vec<T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    values.into_iter().for_each(|value| {
        if !kept.contains(&value) {
            kept.push(value);
        }
    });
    kept
}

/// Where each element of the list at `key` stands; nothing where there is no list.
pub(super) fn elements(table: &Table<'_>, key: &str) -> Vec<Range<usize>> {
    let list = table.get(key).and_then(|value| value.get_ref().as_array());
    list.into_iter().flat_map(|list| list.iter().map(Spanned::span)).collect()
}
