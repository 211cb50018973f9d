//! What the parts of a document mean.

use super::document::{self, Document, Table};
use super::seeds::{distinct, parse_seeds};
use super::setting::{List, Setting};
use super::{Source, grid};
use crate::catalog::{Entry, one_line};
use crate::failure::Failure;
use crate::load;
use crate::progress::printable;
use crate::split::Split;
use evenhand_core::{Simulator, nearest};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

/// Where data comes from, its options apart.
pub(super) enum Origin {
    /// A file or folder.
    Path(PathBuf),
    /// A simulator, and what its world is drawn from.
    Simulator { recipe: Box<dyn Simulator>, seed: u64 },
}

impl Origin {
    /// The keys that say it.
    pub(super) const KEYS: [&str; 3] = ["path", "simulator", "seed"];
}

/// Understands the parts of a document.
pub(super) struct Reader<'a, 't> {
    pub(super) document: &'a Document<'t>,
    pub(super) catalog: &'a [Entry],
    /// What paths are relative to.
    pub(super) folder: &'a Path,
    pub(super) warnings: Vec<String>,
}

impl<'t> Reader<'_, 't> {
    pub(super) fn table(&self, value: document::Value<'t>, what: &str) -> Result<Table<'t>, Failure> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(table),
            other => {
                Err(self.document.error(span, format!("`{what}` is of type {}, expected a table", other.type_str())))
            }
        }
    }

    pub(super) fn text(&self, value: &document::Value<'_>, what: &str) -> Result<String, Failure> {
        let text = value.get_ref().as_str().map(str::to_string);
        text.ok_or_else(|| self.document.error(value.span(), format!("`{what}` must be text")))
    }

    pub(super) fn seeds(&self, value: &document::Value<'_>) -> Result<Vec<u64>, Failure> {
        let json = grid::json(self.document, value)?;
        let read = match &json {
            Json::String(text) => parse_seeds(text),
            _ => serde_json::from_value(json).map_err(|_| "not a list of whole numbers".into()).and_then(distinct),
        };
        read.map_err(|reason| {
            self.document.error(value.span(), format!("`seeds`: {reason}; expected such as [0, 1, 2], or \"0..3\""))
        })
    }

    fn whole(&self, value: &document::Value<'_>, what: &str) -> Result<u64, Failure> {
        let number = grid::json(self.document, value)?.as_u64();
        number.ok_or_else(|| self.document.error(value.span(), format!("`{what}` must be a whole number from 0")))
    }

    /// A path. What is typed on the command line is relative to where it is typed, any other to the experiment.
    pub(super) fn path(&self, value: &document::Value<'_>, what: &str) -> Result<PathBuf, Failure> {
        let text = self.text(value, what)?;
        let relative = if self.document.is_change(&value.span()) { Path::new("") } else { self.folder };
        Ok(relative.join(text))
    }

    /// The data source.
    pub(super) fn source(&self, mut table: Table<'t>, span: Range<usize>) -> Result<Source, Failure> {
        match self.origin(&mut table, "data")? {
            Some(Origin::Path(path)) => {
                let options = Box::new(self.document.read(table, span, "data", &Origin::KEYS)?);
                Ok(Source::Path { path, options })
            }
            Some(Origin::Simulator { recipe, seed }) => {
                let protect = match table.remove("protect") {
                    Some(value) => {
                        let span = value.span();
                        self.document.read(self.table(value, "data.protect")?, span, "data.protect", &[])?
                    }
                    None => load::Protect::default(),
                };
                self.nothing_beside_a_simulator(&table)?;
                Ok(Source::Simulator { recipe, seed, protect })
            }
            None => {
                // A slip in the key is likelier than its absence.
                self.document.read::<load::Options>(table, span.clone(), "data", &Origin::KEYS)?;
                Err(self.document.error(span, "`[data]` without `path` or `simulator`"))
            }
        }
    }

    /// Where the data comes from that a table called `what` tells of, whose keys for it are taken out; `None` where it
    /// does not say.
    pub(super) fn origin(&self, table: &mut Table<'t>, what: &str) -> Result<Option<Origin>, Failure> {
        match (table.remove("path"), table.remove("simulator")) {
            (Some(path), None) => {
                if let Some((seed, _)) = table.iter().find(|(key, _)| key.get_ref() == "seed") {
                    let text = "`seed` goes with a `simulator`, whose world it draws; beside `path` there is none";
                    return Err(self.document.error(seed.span(), text));
                }
                Ok(Some(Origin::Path(self.path(&path, &format!("{what}.path"))?)))
            }
            (None, Some(simulator)) => {
                let seed = table.remove("seed").map(|v| self.whole(&v, &format!("{what}.seed"))).transpose()?;
                Ok(Some(Origin::Simulator { recipe: self.simulator(&simulator)?, seed: seed.unwrap_or(0) }))
            }
            (Some(_), Some(simulator)) => {
                Err(self.document.error(simulator.span(), "`path` and `simulator` given, expected one of them"))
            }
            (None, None) => {
                table.remove("seed");
                Ok(None)
            }
        }
    }

    /// Refuses what is left of the table of a simulator.
    pub(super) fn nothing_beside_a_simulator(&self, table: &Table<'_>) -> Result<(), Failure> {
        let Some((key, _)) = table.iter().next() else { return Ok(()) };
        let text = format!("`{}` does not go with a simulator, whose parameters stand in its own table", key.get_ref());
        Err(self.document.error(key.span(), text))
    }

    /// One of some names.
    pub(super) fn choice<T: DeserializeOwned>(&self, value: &document::Value<'t>, what: &str) -> Result<T, Failure> {
        let text = self.text(value, what)?;
        serde_json::from_value(text.clone().into()).map_err(|e| {
            let (known, hint) = variants(&e, &text);
            self.document.error(value.span(), format!("`{what}` = `{text}`, expected {known}{hint}"))
        })
    }

    /// Key by key: serde reads a tagged table from a copy that knows no places.
    pub(super) fn split(&self, mut table: Table<'_>, span: Range<usize>) -> Result<Split, Failure> {
        let kind = table.remove("kind");
        let kind = kind.ok_or_else(|| self.document.error(span, "`[split]` without `kind`, e.g. kind = \"random\""))?;
        let name = self.text(&kind, "split.kind")?;
        let plain: Split = serde_json::from_value(json!({ "kind": name })).map_err(|e| {
            let (known, hint) = variants(&e, &name);
            self.document.error(kind.span(), format!("`split.kind`: no kind `{name}`{hint}; known: {known}"))
        })?;
        let mut rule = serde_json::to_value(&plain).expect("plain data");
        let keys: Vec<String> = rule.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        let mut places = Vec::new();
        for (key, value) in &table {
            let (key, place) = (key.get_ref().as_ref(), key.span());
            if keys.len() == 1 {
                let text = format!("split `{name}` takes no key but `kind`; write --set split={{kind='{name}'}}");
                return Err(self.document.error(place, format!("unknown key `{key}`: {text}")));
            }
            if !keys.iter().any(|k| k == key) {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                return Err(self.document.unknown_key(place, key, &keys));
            }
            let (what, given) = (format!("split.{key}"), grid::json(self.document, value)?);
            if rule[key].is_u64() {
                self.whole(value, &what)?;
            } else if !given.is_number() {
                return Err(self.document.error(value.span(), format!("`{what}` must be a number")));
            }
            rule[key] = given;
            places.push(value.span());
        }
        // No kind takes two values, so the one that is refused is the one that was given.
        let place = places.pop().unwrap_or_else(|| kind.span());
        let split: Split =
            serde_json::from_value(rule).map_err(|e| self.document.error(place.clone(), e.to_string()))?;
        split.check().map_err(|e| self.document.error(place, e.to_string()))?;
        Ok(split)
    }

    pub(super) fn settings(&mut self, value: document::Value<'t>) -> Result<Vec<Setting>, Failure> {
        let read = |reader: &Self, table, label: Option<&str>, span| {
            reader.run(table, label, span, &List::of_recommenders("run", &[]))
        };
        self.listed(value, "run", read, |s| &s.label, Setting::same)
    }

    /// What the tables of a list stand for, each of them for some entries. Twins are left out with a warning; two entries
    /// with one label are an error.
    pub(super) fn listed<T>(
        &mut self,
        value: document::Value<'t>,
        what: &str,
        read: impl Fn(&Self, Table<'t>, Option<&str>, Range<usize>) -> Result<Vec<T>, Failure>,
        label_of: impl Fn(&T) -> &str,
        same: impl Fn(&T, &T) -> bool,
    ) -> Result<Vec<T>, Failure> {
        let span = value.span();
        let DeValue::Array(tables) = value.into_inner() else {
            return Err(self.document.error(span, format!("`{what}` must be written `[[{what}]]`")));
        };
        let mut entries: Vec<T> = Vec::new();
        let mut given: Vec<String> = Vec::new();
        for table in tables {
            let span = table.span();
            let mut table = self.table(table, what)?;
            let label =
                table.remove("label").map(|v| Ok((one_line(&self.text(&v, "label")?), v.span()))).transpose()?;
            let twice = |label: &str| format!("label `{label}` occurs twice, tables could not tell the two apart");
            if let Some((label, place)) = &label {
                if label.is_empty() {
                    let text = "an empty label; without one, tables show the name and the parameters";
                    return Err(self.document.error(place.clone(), text));
                }
                let shown = printable(label);
                if shown != *label {
                    let text = format!("label `{shown}`, expected no characters that steer a terminal");
                    return Err(self.document.error(place.clone(), text));
                }
                if given.contains(label) {
                    return Err(self.document.error(place.clone(), twice(label)));
                }
                given.push(label.clone());
            }
            let place = label.as_ref().map_or(span.clone(), |(_, place)| place.clone());
            for entry in read(self, table, label.as_ref().map(|(label, _)| label.as_str()), span)? {
                let name = label_of(&entry);
                match entries.iter().find(|other| same(other, &entry)) {
                    Some(twin) => {
                        let text = format!("`{name}` has the same parameters as `{}` and is left out", label_of(twin));
                        self.warnings.push(text);
                    }
                    None if entries.iter().any(|other| label_of(other) == name) => {
                        return Err(self.document.error(place, twice(name)));
                    }
                    None => entries.push(entry),
                }
            }
        }
        if entries.is_empty() {
            return Err(self.document.error(span, format!("no `[[{what}]]`: nothing to compare")));
        }
        Ok(entries)
    }
}

/// The names that serde would have read instead of `given`, and the nearest one in words.
fn variants(error: &serde_json::Error, given: &str) -> (String, String) {
    let reason = error.to_string();
    // serde words it: unknown variant `it`, expected one of `a`, `b`
    let known: Vec<&str> = reason.split('`').skip(1).step_by(2).skip(1).collect();
    let hint = nearest(given, known.iter().copied());
    (known.join(", "), hint.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)")))
}
