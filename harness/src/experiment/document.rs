//! A TOML document that remembers where everything stands, with the command line's changes worked in.

use crate::failure::Failure;
use evenhand_core::nearest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table of the document: its keys and values with their places.
pub(super) type Table<'t> = DeTable<'t>;
/// A value of the document with its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Places from here on are not in the file but on the command line: the n-th change.
const COMMAND_LINE: usize = usize::MAX / 2;

/// No path to a value is longer than this.
const DEEPEST: usize = 32;

/// Characters of a change that messages repeat.
const LONGEST: usize = 200;

/// An experiment file, parsed but not yet understood.
#[derive(Debug)]
pub(super) struct Document<'t> {
    name: &'t str,
    text: &'t str,
    changes: Vec<String>,
    pub(super) root: Table<'t>,
}

impl<'t> Document<'t> {
    /// Parses `text`; `name` stands for the file in messages.
    pub(super) fn parse(name: &'t str, text: &'t str) -> Result<Self, Failure> {
        let mut document = Self { name, text, changes: Vec::new(), root: Table::new() };
        let parsed = DeTable::parse(text);
        document.root = parsed.map_err(|e| document.error(e.span().unwrap_or(0..0), e.message()))?.into_inner();
        Ok(document)
    }

    /// Puts TOML at `path`; `origin` is what was typed. See [`super::Overrides`] for the paths.
    pub(super) fn set_toml(&mut self, path: &str, toml: &'t str, origin: String) -> Result<(), Failure> {
        let here = self.change(origin);
        let value = parse_value(toml, &here).map_err(|reason| self.error(here.clone(), reason))?;
        self.put(path, value, here)
    }

    /// Puts text at `path`.
    pub(super) fn set_text(&mut self, path: &str, text: String, origin: String) -> Result<(), Failure> {
        let here = self.change(origin);
        self.put(path, Spanned::new(here.clone(), DeValue::String(text.into())), here)
    }

    /// A place for what was typed.
    fn change(&mut self, origin: String) -> Range<usize> {
        self.changes.push(origin);
        let at = COMMAND_LINE + self.changes.len() - 1;
        at..at
    }

    fn put(&mut self, path: &str, value: Value<'t>, here: Range<usize>) -> Result<(), Failure> {
        let segments: Vec<&str> = path.split('.').collect();
        if segments.iter().any(|s| s.is_empty()) {
            return Err(self.error(here, format!("`{path}`, expected a path such as `eval.k`")));
        }
        if segments.len() > DEEPEST {
            return Err(self.error(here, format!("a path of {} keys, expected at most {DEEPEST}", segments.len())));
        }
        put(&mut self.root, &segments, 0, value, &here).map_err(|reason| self.error(here, reason))
    }

    /// Where `span` begins, for people.
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        if span.start >= COMMAND_LINE {
            let change = &self.changes[span.start - COMMAND_LINE];
            let short: String = change.chars().take(LONGEST).collect();
            return if short.len() < change.len() { short + "..." } else { short };
        }
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
        format!("{}:{line}:{column}", self.name)
    }

    /// Whether something was given on the command line.
    pub(super) fn is_change(&self, span: &Range<usize>) -> bool {
        span.start >= COMMAND_LINE
    }

    /// The failure at some place.
    pub(super) fn error(&self, span: Range<usize>, reason: impl Into<String>) -> Failure {
        Failure::Experiment { place: self.place(&span), reason: reason.into() }
    }

    /// The failure of a key that nobody reads.
    pub(super) fn unknown_key(&self, span: Range<usize>, key: &str, known: &[&str]) -> Failure {
        let hint = nearest(key, known.iter().copied()).map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
        self.error(span, format!("unknown key `{key}`{hint}; known: {}", known.join(", ")))
    }

    /// Reads the whole table called `what` as `T`. `others` are keys that were taken out of it before.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        table: Table<'_>,
        span: Range<usize>,
        what: &str,
        others: &[&str],
    ) -> Result<T, Failure> {
        let keys: Vec<_> = table.keys().map(|key| (key.get_ref().to_string(), key.span())).collect();
        let source = toml::de::Deserializer::from(Spanned::new(span.clone(), table));
        serde_path_to_error::deserialize(source).map_err(|e| {
            let (path, e) = (e.path().to_string(), e.into_inner());
            let reason = e.message().trim();
            // serde words it: unknown field `it`, expected one of `a`, `b`
            let quoted: Vec<&str> = reason.split('`').skip(1).step_by(2).collect();
            // A tagged enum is read from a copy without places; the key itself is still there.
            let of_key =
                || keys.iter().find(|(key, _)| Some(&key.as_str()) == quoted.first()).map(|(_, span)| span.clone());
            let span = e.span().filter(|s| *s != span).or_else(of_key).unwrap_or(span);
            match quoted.split_first() {
                Some((key, known)) if reason.starts_with("unknown field") => {
                    // The others are keys of the table itself, not of one in it.
                    let others = if path == *key { others } else { &[] };
                    self.unknown_key(span, key, &[known, others].concat())
                }
                Some((wrong, known)) if reason.starts_with("unknown variant") => {
                    let hint = nearest(wrong, known.iter().copied());
                    let hint = hint.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
                    // One value may stand for a list of one.
                    let path = path.strip_suffix(']').and_then(|p| p.rsplit_once('[')).map_or(&*path, |(key, _)| key);
                    let (key, known) = (join(what, path), known.join(", "));
                    self.error(span, format!("`{key}` = `{wrong}`, expected {known}{hint}"))
                }
                _ => self.error(span, format!("`{}`: {}", join(what, &path), in_words(reason))),
            }
        })
    }

    /// The document as it is now, without comments.
    pub(super) fn to_toml(&self) -> Result<String, Failure> {
        let source = toml::de::Deserializer::from(Spanned::new(0..0, self.root.clone()));
        let table = toml::Table::deserialize(source).map_err(|e| self.error(e.span().unwrap_or(0..0), e.message()))?;
        toml::to_string_pretty(&table).map_err(|e| self.error(0..0, e.to_string()))
    }
}

/// The path to a value below a table; that of the table itself is a dot.
fn join(table: &str, path: &str) -> String {
    if matches!(path, "." | "") { table.into() } else { format!("{table}.{path}") }
}

/// What serde says, without the names of Rust's types.
fn in_words(reason: &str) -> String {
    let wrong = reason.strip_prefix("invalid type: ").or_else(|| reason.strip_prefix("invalid value: "));
    let Some((got, expected)) = wrong.and_then(|w| w.rsplit_once(", expected ")) else {
        return reason.replacen("missing field", "missing", 1);
    };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a sequence" => "a list",
        "a string" | "path string" => "text",
        "a boolean" => "true or false",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    let got = match got {
        "sequence" => "a list".into(),
        "map" => "a table".into(),
        other => other.replacen("string ", "text ", 1).replacen("integer ", "", 1).replacen("floating point ", "", 1),
    };
    format!("expected {expected}, not {got}")
}

/// A value on its own, all of it at one place. What is no TOML is text: `name=trial` needs no quotes.
fn parse_value<'t>(text: &'t str, here: &Range<usize>) -> Result<Value<'t>, String> {
    match DeValue::parse(text) {
        Ok(value) => Ok(moved(value, here)),
        Err(e) if text.starts_with(['[', '{', '"', '\'']) => Err(format!("`{text}`: {}", e.message())),
        Err(_) => Ok(Spanned::new(here.clone(), DeValue::String(text.into()))),
    }
}

/// The same value with every place inside replaced by `here`.
fn moved<'t>(value: Value<'t>, here: &Range<usize>) -> Value<'t> {
    let inner = match value.into_inner() {
        DeValue::Array(values) => DeValue::Array(values.into_iter().map(|v| moved(v, here)).collect()),
        DeValue::Table(table) => DeValue::Table(
            table.into_iter().map(|(k, v)| (Spanned::new(here.clone(), k.into_inner()), moved(v, here))).collect(),
        ),
        other => other,
    };
    Spanned::new(here.clone(), inner)
}

/// Puts `value` at `whole`, a path of which `table` is what the first `passed` keys lead to, making tables on the way.
fn put<'t>(
    table: &mut Table<'t>,
    whole: &[&str],
    passed: usize,
    value: Value<'t>,
    here: &Range<usize>,
) -> Result<(), String> {
    let Some(key) = whole.get(passed) else { return Err("an empty path".into()) };
    let (so_far, rest) = (|| whole[..=passed].join("."), &whole[passed + 1..]);
    if rest.is_empty() {
        // Removed first: the key would keep its old place.
        table.remove(*key);
        table.insert(Spanned::new(here.clone(), (*key).to_string().into()), value);
        return Ok(());
    }
    if !table.contains_key(*key) {
        let empty = Spanned::new(here.clone(), DeValue::Table(Table::new()));
        table.insert(Spanned::new(here.clone(), (*key).to_string().into()), empty);
    }
    match table.get_mut(*key).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => put(inner, whole, passed + 1, value, here),
        Some(DeValue::Array(entries)) => {
            let (which, rest) = rest.split_first().expect("not empty");
            if !entries.iter().all(|e| e.get_ref().is_table()) {
                let key = so_far();
                return Err(format!("`{key}` is a list of values, which can only be set as a whole: {key}=[...]"));
            }
            let all = 0..entries.len();
            let chosen: Vec<usize> = all.filter(|&n| selects(which, n, entries[n].get_ref())).collect();
            if chosen.is_empty() {
                let names: Vec<&str> = entries.iter().filter_map(|e| plugin(e.get_ref())).collect();
                return Err(format!(
                    "no entry `{which}` in `{}`; there: 0..{}, {}",
                    so_far(),
                    entries.len(),
                    names.join(", ")
                ));
            }
            if rest.is_empty() {
                return Err(format!("`{}.{which}` is a table, expected a path to one of its values", so_far()));
            }
            let mut entries = entries.iter_mut();
            let mut next = 0;
            for n in chosen {
                let entry = entries.nth(n - next).expect("chosen among them");
                next = n + 1;
                if let DeValue::Table(inner) = entry.get_mut() {
                    put(inner, whole, passed + 2, value.clone(), here)?;
                }
            }
            Ok(())
        }
        _ => Err(format!("`{}` is a single value, nothing can be set below it", so_far())),
    }
}

/// Whether `which` means the n-th entry: by position from 0, plugin, label, or `*` for all.
fn selects(which: &str, n: usize, entry: &DeValue<'_>) -> bool {
    which == "*" || which.parse() == Ok(n) || plugin(entry) == Some(which) || text(entry, "label") == Some(which)
}

/// The plugin that an entry is about.
fn plugin<'a>(entry: &'a DeValue<'_>) -> Option<&'a str> {
    ["recommender", "regressor"].into_iter().find_map(|key| text(entry, key))
}

fn text<'a>(entry: &'a DeValue<'_>, key: &str) -> Option<&'a str> {
    entry.as_table()?.get(key)?.get_ref().as_str()
}
