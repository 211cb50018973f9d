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
    /// The first byte behind their names.
    body: usize,
    /// Whether fields may be quoted, which takes the slower reader, and by which byte they are separated.
    quoted: Option<u8>,
}

impl Cells {
    /// The file `path`. Its separator is recognised where none is given; a file without any has one column.
    pub(super) fn open(path: &Path, separator: Option<Separator>) -> Result<Self> {
        let bytes = bytes_of(path)?;
        let text = decode(without_mark(&bytes)).into_owned();
        if !text.contains('\n') && text.trim_ascii().contains('\r') {
            return Err(Error::data(path, "line ends are CR only, expected LF or CRLF"));
        }
        let sample = layout::first_lines(text.as_bytes());
        let Some(&(header, at, first)) = sample.first() else {
            return Err(Error::data(path, "no lines, expected one that names the columns"));
        };
        let separator = separator.or_else(|| layout::separator(&sample)).unwrap_or(Separator::Comma);
        let (names, body) = (layout::cells(first, separator), at + first.len());
        let quoted = separator.quotable().filter(|_| text.contains('"'));
        let mut cells = Self { path: path.to_path_buf(), names, text, separator, header, body, quoted };
        if let Some(separator) = quoted {
            // A name may be of several lines.
            let mut record = csv::ByteRecord::new();
            let mut reader = records(&cells.text.as_bytes()[at..], separator);
            cells.next(&mut reader, &mut record, at)?;
            cells.body = at + reader.position().byte() as usize;
            cells.names = record.iter().map(in_one_line).collect();
        }
        Ok(cells)
    }

    /// Reads the next record of a quoted file, whose reader began at byte `start`; false at the end.
    ///
    /// # Errors
    /// [`Error::Data`] for a quote that is open at the end of the file.
    fn next(&self, reader: &mut csv::Reader<&[u8]>, record: &mut csv::ByteRecord, start: usize) -> Result<bool> {
        let some = reader.read_byte_record(record).map_err(|e| Error::data(&self.path, e.to_string()))?;
        if start + reader.position().byte() as usize == self.text.len() {
            let from = start + record.position().map_or(0, |p| p.byte() as usize);
            let separator = self.quoted.unwrap_or(b',');
            if let Some(open) = some.then(|| open_quote(&self.text.as_bytes()[from..], separator)).flatten() {
                return Err(self.fault(self.line_at(from + open), "a quote that is not closed"));
            }
        }
        Ok(some)
    }

    /// The line, from 1, that a byte is on.
    fn line_at(&self, byte: usize) -> u64 {
        1 + self.text.as_bytes()[..byte].iter().filter(|&&b| b == b'\n').count() as u64
    }

    /// Hands `take` every line below the first one, its number from 1 and its fields. Blank lines are left out.
    ///
    /// # Errors
    /// [`Error::Data`] for a line of another number of fields than names, or for no line; those of `take`.
    pub(super) fn each(&self, mut take: impl FnMut(u64, &[&[u8]]) -> Result<()>) -> Result<()> {
        let body = &self.text.as_bytes()[self.body..];
        let first = self.line_at(self.body);
        let mut some = false;
        let mut row = |line: u64, fields: &[&[u8]]| {
            if fields.len() != self.names.len() {
                let (count, s) = (fields.len(), if fields.len() == 1 { "" } else { "s" });
                return Err(self.fault(line, format!("{count} field{s}, expected {}", self.names.len())));
            }
            some = true;
            take(line, fields)
        };
        if let Some(separator) = self.quoted {
            let mut reader = records(body, separator);
            let (mut record, mut lines) = (csv::ByteRecord::new(), Lines::new(body));
            let mut room = Vec::with_capacity(self.names.len());
            while self.next(&mut reader, &mut record, self.body)? {
                let mut fields = room;
                fields.extend(record.iter());
                if fields != [b""] {
                    row(first + lines.before(record.position()), &fields)?;
                }
                room = emptied(fields);
            }
        } else {
            let mut fields = Vec::with_capacity(self.names.len());
            for (line, text) in (first..).zip(body.split(|&b| b == b'\n')) {
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

/// The records of a text of quoted fields.
fn records(text: &[u8], separator: u8) -> csv::Reader<&[u8]> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(separator).has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text)
}

/// A name, its line breaks made blanks.
fn in_one_line(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The same room without what is in it, for what lives elsewhere.
fn emptied<'b>(mut fields: Vec<&[u8]>) -> Vec<&'b [u8]> {
    fields.clear();
    fields.into_iter().map(|_| -> &'b [u8] { unreachable!("nothing is left") }).collect()
}

/// Where the quote stands that is still open at the end of a record.
fn open_quote(record: &[u8], separator: u8) -> Option<usize> {
    let mut open = None;
    let mut at = 0;
    let mut begins = true;
    while let Some(&byte) = record.get(at) {
        match open {
            None => {
                open = (begins && byte == b'"').then_some(at);
                // Line ends before a record belong to it.
                begins = byte == separator || begins && matches!(byte, b'\r' | b'\n');
            }
            // Two quotes stand for one.
            Some(_) if byte == b'"' && record.get(at + 1) == Some(&b'"') => at += 1,
            Some(_) if byte == b'"' => (open, begins) = (None, false),
            Some(_) => {}
        }
        at += 1;
    }
    open
}
