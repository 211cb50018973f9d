//! The cells of a file, line by line, without a copy of them.

use super::super::layout;
use super::super::options::Separator;
use super::super::rows::Lines;
use super::super::side::decode;
use super::super::source::{bytes_of, without_mark};
use evenhand_core::{Error, Result};
use std::path::{Path, PathBuf};

/// The text of a file whose first line names its columns.
pub(super) struct Cells {
    pub(super) path: PathBuf,
    /// Names of the columns.
    pub(super) names: Vec<String>,
    text: String,
    separator: Separator,
    /// The line, from 1, that names the columns.
    header: u64,
    /// The first byte behind that line.
    body: usize,
}

impl Cells {
    /// The file `path`. Its separator is recognised where none is given; a file without any has one column.
    pub(super) fn open(path: &Path, separator: Option<Separator>) -> Result<Self> {
        let bytes = bytes_of(path)?;
        let text = decode(without_mark(&bytes)).into_owned();
        let sample = layout::first_lines(text.as_bytes());
        let Some(&(header, at, first)) = sample.first() else {
            return Err(Error::data(path, "no lines, expected one that names the columns"));
        };
        let separator = separator.or_else(|| layout::separator(&sample)).unwrap_or(Separator::Comma);
        let (names, body) = (layout::cells(first, separator), at + first.len());
        Ok(Self { path: path.to_path_buf(), names, text, separator, header, body })
    }

    /// Hands `take` every line below the first one, its number from 1 and its fields. Blank lines are left out.
    ///
    /// # Errors
    /// [`Error::Data`] for a line of another number of fields than names, or for no line; those of `take`.
    pub(super) fn each(&self, mut take: impl FnMut(u64, &[&[u8]]) -> Result<()>) -> Result<()> {
        let body = &self.text.as_bytes()[self.body..];
        let mut some = false;
        let mut row = |line: u64, fields: &[&[u8]]| {
            if fields.len() != self.names.len() {
                return Err(self.fault(line, format!("{} fields, expected {}", fields.len(), self.names.len())));
            }
            some = true;
            take(line, fields)
        };
        if let Some(separator) = self.separator.quotable().filter(|_| self.text.contains('"')) {
            let mut reader = csv::ReaderBuilder::new()
                .delimiter(separator)
                .has_headers(false)
                .flexible(true)
                .trim(csv::Trim::All)
                .from_reader(body);
            let (mut record, mut lines) = (csv::ByteRecord::new(), Lines::new(body));
            while reader.read_byte_record(&mut record).map_err(|e| Error::data(&self.path, e.to_string()))? {
                let fields: Vec<&[u8]> = record.iter().collect();
                if fields != [b""] {
                    row(self.header + lines.before(record.position()), &fields)?;
                }
            }
        } else {
            let mut fields = Vec::with_capacity(self.names.len());
            for (line, text) in (self.header..).zip(body.split(|&b| b == b'\n')) {
                if !text.trim_ascii().is_empty() {
                    self.separator.split(text, &mut fields);
                    row(line, &fields)?;
                }
            }
        }
        if some { Ok(()) } else { Err(Error::data(&self.path, "no lines but a header")) }
    }

    /// A complaint about a line.
    pub(super) fn fault(&self, line: u64, reason: impl Into<String>) -> Error {
        Error::line(&self.path, line, reason)
    }

    /// A complaint about the names of the columns.
    pub(super) fn misnamed(&self, reason: impl Into<String>) -> Error {
        self.fault(self.header, reason)
    }
}
