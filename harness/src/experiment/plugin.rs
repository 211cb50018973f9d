//! Plugins as values name them, built from a table, their errors placed where the mistake stands.

use super::document::{Document, Table, Value};
use super::grid;
use super::reader::Reader;
use crate::failure::Failure;
use evenhand_core::params::Field;
use evenhand_core::{Error, Kinded, Policy, Registry, Simulator};
use serde_json::Value as Json;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;

/// A policy, and what tables call it.
pub(super) type Named = (Arc<dyn Policy>, String);

impl<'t> Reader<'_, 't> {
    pub(super) fn simulator(&self, value: &Value<'t>) -> Result<Box<dyn Simulator>, Failure> {
        let (name, table) = self.named(value, "simulator")?;
        let json = grid::table_json(self.document, &table)?;
        build(self.document, &name, &table, &json)
    }

    /// A plugin as a value names it: its name, or a table of `plugin`, its name, and parameters.
    fn named(&self, value: &Value<'t>, kind: &str) -> Result<(Spanned<String>, Table<'t>), Failure> {
        match value.get_ref() {
            DeValue::String(name) => Ok((Spanned::new(value.span(), name.to_string()), Table::new())),
            DeValue::Table(table) => {
                let mut table = table.clone();
                let missing =
                    || self.document.error(value.span(), format!("expected `{kind} = {{ plugin = \"NAME\" }}`"));
                let name = table.remove("plugin").ok_or_else(missing)?;
                Ok((Spanned::new(name.span(), self.text(&name, "plugin")?), table))
            }
            _ => Err(self.document.error(value.span(), format!("expected a {kind}: its name, or a table"))),
        }
    }

    /// The policies that a value stands for, each as a table shows it: a list is an axis, and so are lists of parameters.
    pub(super) fn policies(&self, value: &Value<'t>) -> Result<Vec<Named>, Failure> {
        let kind = <dyn Policy as Kinded>::KIND;
        let values: Vec<&Value<'t>> = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        if values.is_empty() {
            return Err(self.document.error(value.span(), "a grid axis without a value"));
        }
        let mut policies = Vec::new();
        for value in values {
            let (name, table) = self.named(value, kind)?;
            for point in grid::expand(self.document, self.catalog, &table, self.fields(kind, name.get_ref()))? {
                let json = Json::Object(point.params);
                let policy: Box<dyn Policy> = build(self.document, &name, &table, &json)?;
                let shown = if point.shown.is_empty() { String::new() } else { format!("({})", point.shown.join(" ")) };
                policies.push((policy.into(), format!("{}{shown}", name.get_ref())));
            }
        }
        Ok(policies)
    }

    /// The parameters of a linked plugin; none where there is no such plugin: building it says so.
    pub(super) fn fields(&self, kind: &str, name: &str) -> &'static [Field] {
        self.catalog.iter().find(|e| (e.kind, e.name) == (kind, name)).map_or(&[], |e| e.fields)
    }
}

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
