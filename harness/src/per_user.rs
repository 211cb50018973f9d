//! The numbers of every user, for tests of significance: kept beside the cell they belong to, and joined. They are
//! ranking metrics of recommenders, and of policies against harm what the user ends up with.
//!
//! | column | meaning |
//! | --- | --- |
//! | `protocol`, `label`, `seed`, `fold` | the cell; only in the joined table |
//! | `user` | index of the user; in the joined table the name that the user has in the data |
//! | `attack` | `clean` for the full ranking by unperturbed factors, else the attack; empty for all but full rankings |
//! | `metric`, `k` | the metric, and the length of the list where it is one of a list |
//! | `value` | the number, under an attack its mean over draws |
//!
//! Users who are not measured have no line.

use evenhand_core::{Error, Ids};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Columns of a kept file; the joined table has [`OF_CELL`] before them.
const COLUMNS: [&str; 5] = ["user", "attack", "metric", "k", "value"];
/// Columns that say which cell a line belongs to.
const OF_CELL: [&str; 4] = ["protocol", "label", "seed", "fold"];

/// One metric of every user who is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct PerUser {
    /// The attack; `None` for all but full rankings.
    pub attack: Option<String>,
    /// What was measured, e.g. `ndcg`.
    pub metric: String,
    /// Length of the list, for metrics of a list.
    pub k: Option<usize>,
    /// Index of the user and the number, users ascending.
    pub values: Vec<(u32, f64)>,
}

/// Writes what belongs to one cell.
pub(crate) fn write(kept: &[PerUser], to: &mut dyn Write) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(to);
    table.write_record(COLUMNS)?;
    for PerUser { attack, metric, k, values } in kept {
        let (attack, k) = (attack.as_deref().unwrap_or_default(), k.map_or_else(String::new, |k| k.to_string()));
        for (user, value) in values {
            table.write_record([&user.to_string(), attack, metric, &k, &value.to_string()])?;
        }
    }
    table.flush()
}

/// Rows that [`write()`] makes of them.
pub(crate) fn rows(kept: &[PerUser]) -> usize {
    kept.iter().map(|metric| metric.values.len()).sum()
}

/// Calls `each` with the user and the other fields of every line of a kept file.
///
/// # Errors
/// [`Error::Data`] for a file that is not one; those of `each`.
pub(crate) fn read(path: &Path, mut each: impl FnMut(u32, &csv::StringRecord) -> io::Result<()>) -> Result<(), Error> {
    let damaged = |reason: String| Error::data(path, reason);
    let mut file = File::open(path).map_err(|source| Error::io(path, source))?;
    let mut last = [0];
    let ends = file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).is_ok() && last == *b"\n";
    file.rewind().map_err(|source| Error::io(path, source))?;
    if !ends {
        return Err(damaged("the last line has no end".into()));
    }
    let mut table = csv::Reader::from_reader(file);
    if !table.headers().is_ok_and(|header| header.iter().eq(COLUMNS)) {
        return Err(damaged(format!("expected the columns {}", COLUMNS.join(","))));
    }
    for record in table.records() {
        let record = record.map_err(|e| damaged(e.to_string()))?;
        let user = record[0].parse().ok().filter(|_| record[4].parse::<f64>().is_ok_and(f64::is_finite));
        let user = user.ok_or_else(|| damaged("a line without a user or a number".into()))?;
        each(user, &record).map_err(|source| Error::io(path, source))?;
    }
    Ok(())
}

/// The joined table under way.
pub(crate) struct Joined<'a> {
    table: csv::Writer<&'a mut dyn Write>,
    ids: &'a Ids,
}

impl<'a> Joined<'a> {
    /// Begins the table; `ids` are the names of the users.
    pub(crate) fn new(to: &'a mut dyn Write, ids: &'a Ids) -> io::Result<Self> {
        let mut table = csv::Writer::from_writer(to);
        table.write_record(OF_CELL.iter().chain(&COLUMNS))?;
        Ok(Self { table, ids })
    }

    /// Adds a line of the cell with those fields.
    pub(crate) fn line(&mut self, of_cell: &[String; 4], user: u32, line: &csv::StringRecord) -> io::Result<()> {
        let name = self.ids.names().get(user as usize).ok_or(io::ErrorKind::InvalidData)?;
        let fields = of_cell.iter().map(String::as_str).chain([name.as_str()]).chain(line.iter().skip(1));
        Ok(self.table.write_record(fields)?)
    }

    /// Hands over what is still held back.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.table.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_joined_under_the_names_of_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        let ndcg = PerUser { attack: None, metric: "ndcg".into(), k: Some(5), values: vec![(0, 0.5), (2, 0.1 + 0.2)] };
        let auc = PerUser { attack: Some("a b".into()), metric: "auc".into(), k: None, values: vec![(2, 1.0)] };
        write(&[ndcg, auc], &mut std::fs::File::create(&path).unwrap()).unwrap();
        let ids = Ids::new(["u,1", "u2", "u3"].map(String::from).to_vec()).unwrap();
        let mut bytes = Vec::new();
        let mut joined = Joined::new(&mut bytes, &ids).unwrap();
        let cell = ["offline", "als", "7", "0"].map(String::from);
        read(&path, |user, line| joined.line(&cell, user, line)).unwrap();
        joined.finish().unwrap();
        let expected = "protocol,label,seed,fold,user,attack,metric,k,value\noffline,als,7,0,\"u,1\",,ndcg,5,0.5\n\
                        offline,als,7,0,u3,,ndcg,5,0.30000000000000004\noffline,als,7,0,u3,a b,auc,,1\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        let head = "user,attack,metric,k,value\n";
        for (text, fine) in [
            (head.to_string(), true),
            (format!("{head}1,,auc,,0.5\n"), true),
            (format!("{head}1,,auc,,0.\n2"), false),
            (format!("{head}1,,auc,,0.5"), false),
            (format!("{head}1,,auc,,\n"), false),
            (format!("{head}x,,auc,,1\n"), false),
            (format!("{head}1,,auc,,NaN\n"), false),
            ("user,value\n".into(), false),
            (String::new(), false),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read(&path, |_, _| Ok(())).is_ok(), fine, "{text:?}");
        }
        assert!(read(&dir.path().join("none"), |_, _| Ok(())).is_err());
    }
}
