//! From files of rows to interactions over common indices.

use super::ids;
use super::layout::Layout;
use super::options::{Format, Options, Separator};
use super::rows::{self, Piece};
use evenhand_core::{Duplicates, Error, Ids, Interactions, Result, Rows};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The rows of one file, with the ids as they stand there.
pub(super) struct Source {
    path: PathBuf,
    layout: Layout,
    pieces: Vec<Piece>,
}

impl Source {
    /// Reads the ratings or test file `path`; values outside `range` are an error.
    pub(super) fn read(path: &Path, format: Format, options: &Options, range: Option<(f32, f32)>) -> Result<Self> {
        let bytes = bytes_of(path)?;
        let text = without_mark(&bytes);
        let layout = layout_of(path, text, format, options)?;
        let pieces = rows::read(path, text, &layout, range)?;
        Ok(Self { path: path.to_path_buf(), layout, pieces })
    }

    /// What was guessed about the file and may be wrong.
    pub(super) fn remarks(&self) -> &[String] {
        &self.layout.remarks
    }
}

fn layout_of(path: &Path, text: &[u8], format: Format, options: &Options) -> Result<Layout> {
    match format {
        Format::Movielens100k => Ok(Layout::fixed(Separator::Tab)),
        Format::Movielens1m => Ok(Layout::fixed(Separator::DoubleColon)),
        _ => Layout::detect(path, text, options, format == Format::MovielensCsv),
    }
}

/// The rows of one file, with dense indices.
pub(super) struct Table {
    path: PathBuf,
    layout: Layout,
    rows: Rows,
}

/// Gives the ids of all `sources` common indices: users, items, and a table per source.
pub(super) fn index(sources: Vec<Source>) -> Result<(Ids, Ids, Vec<Table>)> {
    let (mut users, mut items, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        let (mut values, mut times) = (Vec::new(), Vec::new());
        let pieces = source.pieces.len();
        for piece in source.pieces {
            users.push(piece.users);
            items.push(piece.items);
            append(&mut values, piece.values);
            append(&mut times, piece.times);
        }
        if u32::try_from(values.len()).is_err() {
            return Err(Error::data(&source.path, format!("{} rows, expected fewer than 2^32", values.len())));
        }
        rest.push((source.path, source.layout, values, times, pieces));
    }
    let ((user_names, users), (item_names, items)) = rayon::join(|| ids::intern(users), || ids::intern(items));
    let (mut users, mut items) = (users.into_iter(), items.into_iter());
    let mut tables = Vec::new();
    for (path, layout, values, mut times, pieces) in rest {
        if times.iter().all(|&t| t == 0) {
            times = Vec::new();
        }
        let (mut user_rows, mut item_rows) = (Vec::new(), Vec::new());
        users.by_ref().take(pieces).for_each(|p| append(&mut user_rows, p));
        items.by_ref().take(pieces).for_each(|p| append(&mut item_rows, p));
        tables.push(Table { path, layout, rows: Rows { users: user_rows, items: item_rows, values, times } });
    }
    Ok((Ids::new(user_names)?, Ids::new(item_names)?, tables))
}

/// Appends, without a copy where there is nothing yet.
fn append<T>(to: &mut Vec<T>, mut from: Vec<T>) {
    if to.is_empty() { *to = from } else { to.append(&mut from) }
}

impl Table {
    /// Number of rows of the file.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows under the rule for duplicates, and how many repeated an earlier pair.
    pub(super) fn interactions(self, users: &Ids, items: &Ids, rule: Duplicates) -> Result<(Interactions, usize)> {
        let all = Interactions::new(users.len(), items.len(), &self.rows)?;
        let repeated = duplicates(&all);
        if repeated == 0 || rule == Duplicates::Keep {
            return Ok((all, repeated));
        }
        if rule == Duplicates::Refuse {
            return Err(self.first_duplicate(users, items)?);
        }
        Ok((all.merge(rule)?, repeated))
    }

    /// The complaint about the first row that repeats an earlier one.
    fn first_duplicate(&self, users: &Ids, items: &Ids) -> Result<Error> {
        let mut seen = HashMap::new();
        for (row, (&user, &item)) in self.rows.users.iter().zip(&self.rows.items).enumerate() {
            if let Some(first) = seen.insert((user, item), row) {
                let bytes = bytes_of(&self.path)?;
                let [first, line] = rows::lines_of(without_mark(&bytes), &self.layout, [first, row]);
                let (user, item) = (users.name(user), items.name(item));
                let reason = format!("user `{user}` and item `{item}` again, first on line {first}");
                let remedy = "`duplicates = \"last\"`, \"mean\", \"sum\" or \"keep\" accepts this";
                return Ok(Error::line(&self.path, line, format!("{reason}; {remedy}")));
            }
        }
        Ok(Error::data(&self.path, "duplicate rows"))
    }
}

/// Number of rows that repeat the user and item of an earlier row.
pub(super) fn duplicates(interactions: &Interactions) -> usize {
    let by_user = interactions.by_user();
    let repeats = |user| by_user.partners(user).windows(2).filter(|pair| pair[0] == pair[1]).count();
    (0..interactions.users()).map(repeats).sum()
}

/// All bytes of a file, with a plain word about files that are no text.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let kinds: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "a gzip archive, unpack it first"),
        (b"PK\x03\x04", "a zip archive, unpack it first"),
        (b"\xff\xfe", "UTF-16 text, expected UTF-8"),
        (b"\xfe\xff", "UTF-16 text, expected UTF-8"),
    ];
    match kinds.iter().find(|(start, _)| bytes.starts_with(start)) {
        Some((_, reason)) => Err(Error::data(path, *reason)),
        None => Ok(bytes),
    }
}

/// The text behind a byte order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
