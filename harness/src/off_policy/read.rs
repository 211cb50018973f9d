//! Reading a log of actions: strictly, the first fault named with its line and field.

use super::log::{Action, COLUMNS, Log};
use crate::load::Lines;
use evenhand_core::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;

/// Reads a log: one [`Log`] for each agent and seed, in the order of their first lines.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the first line at fault, the field and what was expected, or for a file without
/// actions.
pub fn read(path: &Path) -> Result<Vec<Log>> {
    parse(path, &std::fs::read(path).map_err(|source| Error::io(path, source))?)
}

/// The same from the bytes of a file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Log>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut lines = Lines::new(bytes);
    let mut record = csv::StringRecord::new();
    let mut groups = Groups { path, logs: vec![], index: HashMap::new(), slates: HashSet::new(), open: None };
    let mut header = true;
    loop {
        let more = match reader.read_record(&mut record) {
            Ok(more) => more,
            Err(error) => {
                let line = lines.before(error.position()) + 1;
                return Err(Error::line(path, line, "text that is not UTF-8, expected a log of actions"));
            }
        };
        if !more {
            break;
        }
        let line = lines.before(record.position()) + 1;
        if header {
            check_header(path, line, &record)?;
            header = false;
            continue;
        }
        let (seed, agent, action) = Fields::new(path, line, &record)?.parse()?;
        groups.add(seed, agent, action, line)?;
    }
    groups.finish()
}

fn check_header(path: &Path, line: u64, record: &csv::StringRecord) -> Result<()> {
    let found =
        record.iter().enumerate().map(|(at, name)| if at == 0 { name.trim_start_matches('\u{feff}') } else { name });
    if found.clone().eq(COLUMNS) {
        return Ok(());
    }
    let found = found.collect::<Vec<_>>().join(",");
    Err(Error::line(path, line, format!("header `{found}`, expected `{}`", COLUMNS.join(","))))
}

/// The fields of a line.
struct Fields<'a> {
    path: &'a Path,
    line: u64,
    record: &'a csv::StringRecord,
}

impl<'a> Fields<'a> {
    fn new(path: &'a Path, line: u64, record: &'a csv::StringRecord) -> Result<Self> {
        if record.len() != COLUMNS.len() {
            let reason = format!("{} fields, expected {}: {}", record.len(), COLUMNS.len(), COLUMNS.join(","));
            return Err(Error::line(path, line, reason));
        }
        Ok(Self { path, line, record })
    }

    /// Reads the fields from left to right.
    fn parse(&self) -> Result<(u64, &'a str, Action)> {
        const INDEX: &str = "a whole number from 0 on";
        let finite = |x: &f64| x.is_finite();
        let seed = self.get(0, INDEX, |_| true)?;
        let action = Action {
            period: self.get(2, INDEX, |_| true)?,
            // One more than the highest index must count in 32 bits.
            user: self.get(3, INDEX, |&u: &u32| u < u32::MAX)?,
            place: self.get(4, INDEX, |_| true)?,
            item: self.get(5, INDEX, |&i: &u32| i < u32::MAX)?,
            propensity: self.get(6, "a number above 0, at most 1", |&p: &f64| Action::is_propensity(p))?,
            draws: self.optional(7, "a whole number from 1 on, or nothing", |&n: &usize| n > 0)?,
            reward: self.get(8, "a finite number", finite)?,
            prediction: self.optional(9, "a finite number, or nothing", finite)?,
            cold: self.get(10, "true or false", |_| true)?,
        };
        Ok((seed, &self.record[1], action))
    }

    fn get<T: FromStr>(&self, column: usize, expected: &str, fine: impl Fn(&T) -> bool) -> Result<T> {
        self.record[column].trim().parse().ok().filter(fine).ok_or_else(|| {
            let reason = format!("field `{}` is `{}`, expected {expected}", COLUMNS[column], &self.record[column]);
            Error::line(self.path, self.line, reason)
        })
    }

    fn optional<T: FromStr>(&self, column: usize, expected: &str, fine: impl Fn(&T) -> bool) -> Result<Option<T>> {
        if self.record[column].trim().is_empty() { Ok(None) } else { self.get(column, expected, fine).map(Some) }
    }
}

/// The logs read so far.
struct Groups<'a> {
    path: &'a Path,
    logs: Vec<Log>,
    index: HashMap<(String, u64), usize>,
    /// Log, period and user of every slate.
    slates: HashSet<(usize, usize, u32)>,
    open: Option<Slate>,
}

/// The slate of the last line.
struct Slate {
    log: usize,
    /// Its first action in the log.
    first: usize,
    /// The last line.
    line: u64,
}

impl Groups<'_> {
    fn add(&mut self, seed: u64, agent: &str, action: Action, line: u64) -> Result<()> {
        let Action { period, user, place, item, .. } = action;
        let path = self.path;
        let fault = |reason: String| Err(Error::line(path, line, reason));
        if let Some(slate) = &mut self.open {
            let log = &mut self.logs[slate.log];
            let before = log.actions[slate.first];
            if (log.seed, log.agent.as_str(), before.period, before.user) == (seed, agent, period, user) {
                let shown = &log.actions[slate.first..];
                if place != shown.len() {
                    let next = shown.len();
                    return fault(format!("field `place` is `{place}`, expected {next}, the next one of its slate"));
                }
                if shown.iter().any(|earlier| earlier.item == item) {
                    return fault(format!(
                        "field `item` is `{item}`, expected an item that is not in the slate already"
                    ));
                }
                log.actions.push(action);
                slate.line = line;
                return Ok(());
            }
        }
        self.close()?;
        if place != 0 {
            return fault(format!("field `place` is `{place}`, expected 0, the first one of a slate"));
        }
        let known = self.index.len();
        let log = *self.index.entry((agent.to_string(), seed)).or_insert(known);
        if log == known {
            self.logs.push(Log { agent: agent.to_string(), seed, size: 0, actions: vec![] });
        }
        if !self.slates.insert((log, period, user)) {
            return fault(format!("user {user} has a slate in period {period} already, expected lines of it together"));
        }
        self.open = Some(Slate { log, first: self.logs[log].actions.len(), line });
        self.logs[log].actions.push(action);
        Ok(())
    }

    /// Ends the slate of the last line. The first one of a log says how many items all have.
    fn close(&mut self) -> Result<()> {
        let Some(Slate { log, first, line }) = self.open.take() else { return Ok(()) };
        let log = &mut self.logs[log];
        let size = log.actions.len() - first;
        if log.size == 0 {
            log.size = size;
        }
        if size != log.size {
            let Action { period, user, .. } = log.actions[first];
            let reason = format!(
                "field `place`: the slate of user {user} in period {period} has {size} places, expected {} as in the \
                 slates before",
                log.size
            );
            return Err(Error::line(self.path, line, reason));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Log>> {
        self.close()?;
        if self.logs.is_empty() {
            let reason = format!("no actions, expected lines of {}", COLUMNS.join(","));
            return Err(Error::data(self.path, reason));
        }
        Ok(self.logs)
    }
}
