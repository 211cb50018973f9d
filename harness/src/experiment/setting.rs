//! One plugin with its parameters: what `[[run]]` and its kin stand for, one for each point of their grid.

use super::document::Table;
use super::reader::Reader;
use super::{grid, plugin};
use crate::catalog::origins;
use crate::failure::Failure;
use evenhand_core::params::parameters;
use evenhand_core::{Kinded, Recommender};
use serde_json::Value as Json;
use std::ops::Range;
use toml::Spanned;

/// One plugin with its parameters: a row of the table.
pub struct Setting<T: ?Sized = dyn Recommender> {
    /// Name of the plugin.
    pub plugin: &'static str,
    /// What tables call the setting.
    pub label: String,
    /// Effective parameters, defaults included.
    pub params: Json,
    /// Package and version of the plugin and of every plugin nested in it.
    pub origins: Vec<String>,
    /// The plugin itself.
    pub recipe: Box<T>,
    /// Label of the setting that is its control, where attacks are asked for and it has one.
    pub control: Option<String>,
    /// Whether the experiment does not name it: it was added as the control of another one.
    pub added: bool,
}

impl<T: ?Sized> Setting<T> {
    /// Whether two settings are the same but for their labels.
    pub fn same(&self, other: &Self) -> bool {
        self.plugin == other.plugin && self.params == other.params
    }
}

/// A list of settings: what it is called, which key of its entries names the plugin, and which of their keys were taken
/// out before.
pub(super) struct List<'a> {
    pub(super) what: &'a str,
    pub(super) key: &'a str,
    pub(super) own: &'a [&'a str],
}

impl<'a> List<'a> {
    /// One of recommenders.
    pub(super) fn of_recommenders(what: &'a str, own: &'a [&'a str]) -> Self {
        Self { what, key: "recommender", own }
    }
}

impl<'t> Reader<'_, 't> {
    /// The settings of one plugin: its name and `params`, of an entry of `list`.
    pub(super) fn run<T: Kinded + ?Sized>(
        &self,
        mut table: Table<'t>,
        label: Option<&str>,
        span: Range<usize>,
        list: &List<'_>,
    ) -> Result<Vec<Setting<T>>, Failure> {
        let List { what, key, own } = list;
        let name = table.remove(*key);
        let params = table.remove("params");
        if let Some((unknown, _)) = table.iter().next() {
            let known = [&[key, "label", "params"], *own].concat();
            return Err(self.document.unknown_key(unknown.span(), unknown.get_ref(), &known));
        }
        let name = name.ok_or_else(|| self.document.error(span, format!("`[[{what}]]` without `{key}`")))?;
        let name = Spanned::new(name.span(), self.text(&name, key)?);
        let params = params.map(|p| self.table(p, "params")).transpose()?.unwrap_or_default();
        let points = grid::expand(self.document, self.catalog, &params, self.fields(T::KIND, name.get_ref()))?;
        let settings = points.into_iter().map(|point| {
            let recipe: Box<T> = plugin::build(self.document, &name, &params, &Json::Object(point.params))?;
            let (head, tail) = match label {
                Some(label) => (label, &point.axes),
                None => (recipe.name(), &point.shown),
            };
            let label = std::iter::once(head).chain(tail.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
            Ok(self.setting(recipe, label))
        });
        settings.collect()
    }

    /// A plugin under a label, without a control.
    pub(super) fn setting<T: Kinded + ?Sized>(&self, recipe: Box<T>, label: String) -> Setting<T> {
        let params = parameters(recipe.as_ref());
        let origins = origins(self.catalog, T::KIND, recipe.name(), &params);
        Setting { plugin: recipe.name(), label, params, origins, recipe, control: None, added: false }
    }
}
