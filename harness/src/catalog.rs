//! Every linked plugin of every kind in one list: what `list`, `describe` and nested parameters look things up in.

use evenhand_core::params::{Field, Kind};
use evenhand_core::{
    Error, FairnessLoss, GroupRegressor, Kinded, Mixer, Origin, Policy, Recommender, Registry, Simulator, nearest,
};
use serde_json::{Value as Json, json};

/// One plugin, its kind as text.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Kind of plugin, e.g. `recommender`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// First paragraph of its documentation.
    pub summary: &'static str,
    /// The paper it comes from; empty where there is none.
    pub paper: &'static str,
    /// Where it was declared.
    pub origin: Origin,
    /// Its parameters.
    pub fields: &'static [Field],
    /// Its default parameters.
    pub defaults: Json,
    /// JSON Schema of its parameters.
    pub schema: Json,
}

impl Entry {
    /// The summary as one line.
    pub fn line(&self) -> String {
        one_line(self.summary)
    }

    /// All that `list --json` tells.
    pub fn json(&self) -> Json {
        json!({
            "kind": self.kind, "name": self.name, "summary": self.line(), "paper": self.paper,
            "origin": self.origin, "params": self.defaults,
        })
    }
}

/// Text of several lines as one.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The kinds of plugins there are.
pub const KINDS: [&str; 6] = [
    <dyn Recommender as Kinded>::KIND,
    <dyn FairnessLoss as Kinded>::KIND,
    <dyn Policy as Kinded>::KIND,
    <dyn Simulator as Kinded>::KIND,
    <dyn GroupRegressor as Kinded>::KIND,
    <dyn Mixer as Kinded>::KIND,
];

/// All linked plugins, by kind, then name.
///
/// # Errors
/// [`Error::DuplicatePlugin`] where two of a kind share a name.
pub fn all() -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    add::<dyn Recommender>(&mut entries)?;
    add::<dyn FairnessLoss>(&mut entries)?;
    add::<dyn Policy>(&mut entries)?;
    add::<dyn Simulator>(&mut entries)?;
    add::<dyn GroupRegressor>(&mut entries)?;
    add::<dyn Mixer>(&mut entries)?;
    Ok(entries)
}

fn add<T: Kinded + ?Sized>(entries: &mut Vec<Entry>) -> Result<(), Error> {
    entries.extend(Registry::<T>::linked()?.iter().map(|d| Entry {
        kind: T::KIND,
        name: d.name,
        summary: d.summary,
        paper: d.paper,
        origin: d.origin,
        fields: d.fields,
        defaults: d.defaults(),
        schema: d.schema(),
    }));
    Ok(())
}

/// The plugins called `name`, or `kind/name`, among `entries`; at least one.
///
/// # Errors
/// [`Error::UnknownPlugin`] with the nearest name and all known ones.
pub fn named<'a>(entries: &'a [Entry], name: &str) -> Result<Vec<&'a Entry>, Error> {
    let (kind, name) = name.split_once('/').map_or((None, name), |(kind, name)| (Some(kind), name));
    let of_kind: Vec<&Entry> = entries.iter().filter(|e| kind.is_none_or(|k| k == e.kind)).collect();
    let found: Vec<&Entry> = of_kind.iter().copied().filter(|e| e.name == name).collect();
    if found.is_empty() {
        return Err(Error::UnknownPlugin {
            kind: kind.and_then(|k| KINDS.into_iter().find(|known| *known == k)).unwrap_or("linked"),
            name: name.into(),
            nearest: nearest(name, of_kind.iter().map(|e| e.name)),
            known: of_kind.iter().map(|e| e.name.to_string()).collect(),
        });
    }
    Ok(found)
}

/// The plugin kind that values of type `kind` name, if any.
pub(crate) fn plugin_kind(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Plugin(of) => Some(of),
        Kind::Optional(inner) | Kind::List(inner) => plugin_kind(inner),
        _ => None,
    }
}

/// `package version` of a plugin and of every plugin nested in its parameters: what decides its results beside them.
pub(crate) fn origins(entries: &[Entry], kind: &str, name: &str, params: &Json) -> Vec<String> {
    let Some(entry) = entries.iter().find(|e| e.kind == kind && e.name == name) else { return Vec::new() };
    let mut found = vec![format!("{kind}/{name} {} {}", entry.origin.package, entry.origin.version)];
    for field in entry.fields {
        let Some(kind) = plugin_kind(&field.kind) else { continue };
        let values = match &params[field.name] {
            Json::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            if let Some(name) = value["plugin"].as_str() {
                found.extend(origins(entries, kind, name, value));
            }
        }
    }
    found
}
