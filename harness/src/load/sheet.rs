//! Tables whose first line names their columns.

use super::layout;
use super::regroup::expected;
use super::side::{self, Record};
use super::source::{bytes_of, without_mark};
use evenhand_core::{Error, Result};
use std::path::{Path, PathBuf};

/// A small table, all of it text.
#[derive(Debug)]
pub(super) struct Sheet {
    path: PathBuf,
    header: Record,
    rows: Vec<Record>,
}

impl Sheet {
    /// The table in the file `path`, its fields separated by `,` or another separator that is recognised.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for a file without a line below its header, and for a line of another number of fields.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = bytes_of(path)?;
        let bytes = without_mark(&bytes);
        let sample = layout::first_lines(bytes);
        let Some(&(first, ..)) = sample.first() else {
            return Err(Error::data(path, "no lines, expected one that names the columns"));
        };
        let separator = layout::separator(&sample)
            .ok_or_else(|| Error::line(path, first, "one field, expected a line that names at least two columns"))?;
        let mut rows = side::records(path, &side::decode(bytes), separator)?;
        let header = rows.remove(0);
        let fields = header.1.len();
        if let Some((line, cells)) = rows.iter().find(|(_, cells)| cells.len() != fields) {
            return Err(Error::line(path, *line, format!("{} fields, expected {fields}", cells.len())));
        }
        if rows.is_empty() {
            return Err(Error::data(path, "no lines but a header"));
        }
        Ok(Self { path: path.to_path_buf(), header, rows })
    }

    /// The place of the column called `name`.
    ///
    /// # Errors
    /// [`Error::Data`] for a name that no column has, or several.
    pub(super) fn column(&self, name: &str) -> Result<usize> {
        let (line, names) = &self.header;
        let mut places = (0..names.len()).filter(|&at| names[at] == name);
        match (places.next(), places.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(Error::line(&self.path, *line, format!("two columns `{name}`"))),
            (None, _) => {
                let range = expected("a column of the file", name, names.iter().map(String::as_str));
                Err(Error::line(&self.path, *line, format!("no column `{name}`, expected {range}")))
            }
        }
    }

    /// The lines below the header: number and fields.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &[String])> {
        self.rows.iter().map(|(line, cells)| (*line, cells.as_slice()))
    }

    /// A complaint about a line.
    pub(super) fn fault(&self, line: u64, reason: impl Into<String>) -> Error {
        Error::line(&self.path, line, reason)
    }

    /// A complaint about the whole file.
    pub(super) fn useless(&self, reason: impl Into<String>) -> Error {
        Error::data(&self.path, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sheet> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.csv"), text).unwrap();
        Sheet::read(&dir.path().join("t.csv"))
    }

    #[test]
    fn columns_are_found_by_name() {
        let sheet = read("\u{feff}id,note,id2\r\n\r\n1,\"a, b\",x\r\n2,,y\r\n").unwrap();
        let rows: Vec<_> = sheet.rows().map(|(line, cells)| (line, cells[1].as_str())).collect();
        assert_eq!((sheet.column("id2").unwrap(), rows), (2, vec![(3, "a, b"), (4, "")]));
        assert_eq!(read("id\tnote\n1\tx\n").unwrap().column("note").unwrap(), 1);
        let say = |error: Error| error.to_string().rsplit_once("t.csv").unwrap().1.to_string();
        let missing =
            ":1: no column `nota`, expected a column of the file (did you mean `note`?); there: id, id2, note";
        assert_eq!(say(sheet.column("nota").unwrap_err()), missing);
        assert_eq!(say(read("a,a\n1,2\n").unwrap().column("a").unwrap_err()), ":1: two columns `a`");
        assert_eq!(say(read("\n").unwrap_err()), ": no lines, expected one that names the columns");
        assert_eq!(say(read("id\n1\n").unwrap_err()), ":1: one field, expected a line that names at least two columns");
        assert_eq!(say(read("id,x\n").unwrap_err()), ": no lines but a header");
        assert_eq!(say(read("id,x\n1,2\n\n3\n").unwrap_err()), ":4: 1 fields, expected 2");
    }
}
