//! The rows of one file, parsed from its bytes in parallel pieces.
//!
//! The result and the line of the first error do not depend on the number of threads: pieces end at line ends and are
//! taken in file order.

use super::ids::Column;
use super::layout::Layout;
use super::number;
use evenhand_core::{Error, Result};
use rayon::prelude::*;
use std::path::Path;

/// The rows of one piece of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) users: Column,
    pub(super) items: Column,
    pub(super) values: Vec<f32>,
    pub(super) times: Vec<i64>,
    lines: u64,
}

/// Why a piece was not read to its end.
enum Stop {
    /// An id of the user column (0) or item column (1) is not a whole number.
    Text(usize),
    /// What is wrong with the line.
    Fault(String),
}

/// Reads all rows of `bytes`. Values outside `range` are an error.
///
/// # Errors
/// [`Error::Data`] with the first line at fault, or for a file without rows.
pub(super) fn read(path: &Path, bytes: &[u8], layout: &Layout, range: Option<(f32, f32)>) -> Result<Vec<Piece>> {
    let body = &bytes[layout.body..];
    // Ids are taken for numbers until one is not; then its column is read again as text.
    let mut text = [false; 2];
    loop {
        let reader = Reader { layout, range, text };
        let outcomes: Vec<(Piece, Option<Stop>)> = if layout.quoted {
            vec![reader.quoted(body)]
        } else {
            pieces(body).into_par_iter().map(|piece| reader.plain(piece)).collect()
        };
        let mut again = false;
        for (_, stop) in &outcomes {
            if let Some(Stop::Text(column)) = stop {
                text[*column] = true;
                again = true;
            }
        }
        if again {
            continue;
        }
        let mut line = layout.first_line;
        let mut read = Vec::with_capacity(outcomes.len());
        for (piece, stop) in outcomes {
            line += piece.lines;
            if let Some(Stop::Fault(reason)) = stop {
                return Err(Error::line(path, line - 1, reason));
            }
            read.push(piece);
        }
        if read.iter().all(|piece| piece.values.is_empty()) {
            return Err(Error::data(path, format!("no rows, expected lines of {}", layout.expected())));
        }
        return Ok(read);
    }
}

/// The line (from 1) of each of the given rows (from 0, ascending): for messages, so it reads the file again.
pub(super) fn lines_of<const N: usize>(bytes: &[u8], layout: &Layout, rows: [usize; N]) -> [u64; N] {
    let body = &bytes[layout.body..];
    let lines: Vec<u64> = if layout.quoted {
        let mut lines = Lines::new(body);
        records(layout, body).byte_records().flatten().map(|record| lines.before(record.position())).collect()
    } else {
        let filled = |(_, line): &(u64, &[u8])| !line.trim_ascii().is_empty();
        (0..).zip(body.split(|&b| b == b'\n')).filter(filled).map(|(at, _)| at).collect()
    };
    rows.map(|row| layout.first_line + lines.get(row).copied().unwrap_or(0))
}

/// Cuts at line ends into pieces of about a quarter of a thread's share, but at least a megabyte.
fn pieces(mut body: &[u8]) -> Vec<&[u8]> {
    let size = (body.len() / (4 * rayon::current_num_threads())).max(1 << 20);
    let mut pieces = Vec::new();
    while body.len() > size {
        let Some(end) = body[size..].iter().position(|&b| b == b'\n') else { break };
        let (piece, rest) = body.split_at(size + end + 1);
        pieces.push(piece);
        body = rest;
    }
    pieces.push(body);
    pieces
}

fn records<'a>(layout: &Layout, body: &'a [u8]) -> csv::Reader<&'a [u8]> {
    let separator = layout.separator.quotable().unwrap_or(b',');
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(body)
}

/// The lines on which records of a quoted file begin, asked for in file order.
///
/// The line that `csv` tells is that of the blank lines or the line end before the record.
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    before: u64,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, before: 0 }
    }

    /// Number of lines before the one on which the record begins.
    pub(crate) fn before(&mut self, record: Option<&csv::Position>) -> u64 {
        let start = record.map_or(self.at, |p| p.byte() as usize).clamp(self.at, self.text.len());
        let blank = self.text[start..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.before += self.text[self.at..start + blank].iter().filter(|&&b| b == b'\n').count() as u64;
        self.at = start + blank;
        self.before
    }
}

#[derive(Clone, Copy)]
struct Reader<'l> {
    layout: &'l Layout,
    range: Option<(f32, f32)>,
    text: [bool; 2],
}

impl Reader<'_> {
    fn piece(&self) -> Piece {
        let [users, items] = self.text.map(Column::new);
        Piece { users, items, values: Vec::new(), times: Vec::new(), lines: 0 }
    }

    fn plain(&self, body: &[u8]) -> (Piece, Option<Stop>) {
        let mut piece = self.piece();
        let mut fields = Vec::with_capacity(self.layout.fields);
        for line in body.split_inclusive(|&b| b == b'\n') {
            piece.lines += 1;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.layout.separator.split(line, &mut fields);
            if fields.iter().all(|f| f.is_empty()) {
                continue;
            }
            if let Err(stop) = self.row(&fields, &mut piece) {
                return (piece, Some(stop));
            }
        }
        (piece, None)
    }

    fn quoted(&self, body: &[u8]) -> (Piece, Option<Stop>) {
        let mut piece = self.piece();
        let mut reader = records(self.layout, body);
        let mut record = csv::ByteRecord::new();
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return (piece, None),
                Err(error) => return (piece, Some(Stop::Fault(error.to_string()))),
            }
            let fields: Vec<&[u8]> = record.iter().collect();
            if fields.iter().all(|f| f.is_empty()) {
                continue;
            }
            if let Err(stop) = self.row(&fields, &mut piece) {
                piece.lines = Lines::new(body).before(record.position()) + 1;
                return (piece, Some(stop));
            }
        }
    }

    fn row(&self, fields: &[&[u8]], piece: &mut Piece) -> Result<(), Stop> {
        let layout = self.layout;
        if fields.len() != layout.fields {
            let many = if fields.len() == 1 { "1 field".into() } else { format!("{} fields", fields.len()) };
            return Err(Stop::Fault(format!("{many}, expected {}", layout.expected())));
        }
        self.id(0, fields[layout.user], &mut piece.users)?;
        self.id(1, fields[layout.item], &mut piece.items)?;
        let value = match layout.rating {
            None => 1.0,
            Some(column) => {
                number::value(fields[column]).ok_or_else(|| fault("rating", fields[column], "a finite number"))?
            }
        };
        if let Some((low, high)) = self.range.filter(|&(low, high)| !(low..=high).contains(&value)) {
            return Err(fault("rating", value.to_string().as_bytes(), &format!("a number from {low} to {high}")));
        }
        piece.values.push(value);
        if let Some(column) = layout.time {
            let time = number::time(fields[column]);
            piece.times.push(time.ok_or_else(|| fault("time", fields[column], "seconds since 1970 as a number"))?);
        }
        Ok(())
    }

    fn id(&self, which: usize, field: &[u8], column: &mut Column) -> Result<(), Stop> {
        let role = ["user", "item"][which];
        match column {
            Column::Numbers(rows) => match number::id(field) {
                Some(number) => rows.push(number),
                None if field.is_empty() => return Err(fault(role, field, "an id")),
                None if self.layout.numeric => return Err(fault(role, field, "an id that is a whole number")),
                None => return Err(Stop::Text(which)),
            },
            Column::Texts { places, rows } => {
                let id = std::str::from_utf8(field).ok().filter(|id| !id.is_empty());
                let id = id.ok_or_else(|| fault(role, field, "an id in UTF-8"))?;
                let place = match places.get(id) {
                    Some(&place) => place,
                    None => {
                        let next = places.len() as u32;
                        places.insert(id.to_string(), next);
                        next
                    }
                };
                rows.push(place);
            }
        }
        Ok(())
    }
}

fn fault(role: &str, field: &[u8], expected: &str) -> Stop {
    Stop::Fault(complaint(role, field, expected))
}

/// Role, offending text (shortened) and expectation.
pub(super) fn complaint(role: &str, field: &[u8], expected: &str) -> String {
    let text = String::from_utf8_lossy(field);
    let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let dots = if text.chars().nth(40).is_some() { "..." } else { "" };
    format!("{role} `{short}{dots}`, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::options::{Options, Separator};

    fn error(text: &[u8], range: Option<(f32, f32)>) -> String {
        let path = Path::new("x");
        let layout = Layout::detect(path, text, &Options::default(), false).unwrap();
        read(path, text, &layout, range).unwrap_err().to_string()
    }

    #[test]
    fn faults_name_line_field_and_expectation() {
        assert_eq!(error(b"1\t2\t3\n\n1\t2\tfour\n", None), "x:3: rating `four`, expected a finite number");
        assert_eq!(error(b"1\t2\tNaN\n", None), "x:1: rating `NaN`, expected a finite number");
        assert_eq!(error(b"1\t2\t3\n1\t2\tinf\n", None), "x:2: rating `inf`, expected a finite number");
        assert_eq!(error(b"1\t2\t6\n", Some((1.0, 5.0))), "x:1: rating `6`, expected a number from 1 to 5");
        assert_eq!(error(b"1\t2\t3\n1\t2\n", None), "x:2: 2 fields, expected 3 (user, item, rating) separated by tabs");
        assert_eq!(error(b"1\t2\t3\n1\t\t2\n", None), "x:2: item ``, expected an id");
        assert_eq!(error(b"a\t2\n\xff\t2\n", None), "x:2: user `\u{fffd}`, expected an id in UTF-8");
        assert_eq!(
            error(b"1::2::3::4\n1::2::3::Monday\n", None),
            "x:2: time `Monday`, expected seconds since 1970 as a number"
        );
        assert_eq!(error(b"user,item\n", None), "x: no rows, expected lines of 2 (user, item) separated by `,`");
        assert_eq!(
            error(b"user,item,rating\n\"a\",b,1\n\n\"a\",b,x\n", None),
            "x:4: rating `x`, expected a finite number"
        );
        let long = [b"1,2,".as_slice(), &[b'z'; 100]].concat();
        assert!(error(&long, None).contains(&format!("`{}...`", "z".repeat(40))));
    }

    #[test]
    fn fixed_layouts_want_whole_numbers() {
        let layout = Layout::fixed(Separator::DoubleColon);
        let error = read(Path::new("x"), b"1::2::3::0\nann::2::3::0\n", &layout, None).unwrap_err().to_string();
        assert_eq!(error, "x:2: user `ann`, expected an id that is a whole number");
    }

    #[test]
    fn the_first_error_is_reported_at_any_number_of_threads() {
        let mut text = String::new();
        for row in 0..400_000 {
            text.push_str(if row % 100_000 == 99_999 { "1\t2\tx\n" } else { "1\t2\t3\n" });
        }
        let layout = Layout::detect(Path::new("x"), text.as_bytes(), &Options::default(), false).unwrap();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let error = pool.install(|| read(Path::new("x"), text.as_bytes(), &layout, None).unwrap_err());
            assert!(error.to_string().starts_with("x:100000: rating `x`"), "{error}");
        }
    }

    #[test]
    fn rows_know_their_lines() {
        for text in ["user,item\n1,2\n\n3,4\n5,6", "user,item\n\"1\",2\n\n3,4\n5,6"] {
            let layout = Layout::detect(Path::new("x"), text.as_bytes(), &Options::default(), false).unwrap();
            assert_eq!(lines_of(text.as_bytes(), &layout, [0, 1, 2]), [2, 4, 5]);
        }
    }
}
