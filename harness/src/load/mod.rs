//! Loading: a data set from a file or a folder.
//!
//! | format | files | columns |
//! | --- | --- | --- |
//! | `movielens-100k` | `u.data` (or `*.base`); `u.user`, `u.item`, `u.genre` | tabs: user, item, rating, time |
//! | `movielens-1m` | `ratings.dat`; `users.dat`, `movies.dat` | `::`: user, item, rating, time |
//! | `movielens-csv` | `ratings.csv`, `movies.csv` | commas, named in a header line |
//! | `recbole` | `X.inter`; `X.user`, `X.item` | tabs, named and typed in a header line |
//! | `train-test` | `trainingset.tsv`, `testset.tsv` (or `train`/`test` in `.tsv`, `.csv`) | as `delimited` |
//! | `delimited` | one file | recognised or given by [`Options`] |
//!
//! Files behind a semicolon are optional. A `delimited` file has one row per line: user, item and, if there, rating and
//! time, separated by tabs, `::`, `;`, `,`, `|` or blanks. Columns are found by the names in a header line, without
//! one by position. Rows without a rating count 1; where that may be a mistake, and where there is no header line,
//! [`Notes::remarks`] says what was taken for what.
//!
//! * **Entities** are the users and items that occur in the ratings or the test rows. What side tables say about
//!   others is counted in [`Notes`] and left out.
//! * **Indices** follow the sorted ids (whole numbers by number, others as text), whatever the order of the rows.
//! * **Groups**: every column of categories in a side table, labels sorted, cells left empty left out. An age is cut
//!   into the brackets of MovieLens 1M (`18-24`), whose codes for ages and occupations get their published labels. A
//!   column with more than 100 distinct values (zip codes) is no grouping. Genres overlap; the genre lists of MovieLens
//!   are as alphabetical as the labels, so the first group of an item is also its first genre.
//! * **Times** that are all zero are no times.
//! * **Scale**: declared in the options, or the format's stars, or [inferred](infer) from the values.
//! * **Text** in side tables is UTF-8 or, failing that, Latin-1; ids must be UTF-8. A byte order mark, CRLF,
//!   blank lines and a missing last line end are fine.

mod describe;
mod detect;
mod ids;
mod layout;
mod number;
mod options;
mod rows;
mod scale;
mod side;
mod source;
mod tables;
#[cfg(test)]
mod tests;

pub use describe::{Bin, Description, GroupSizes, Spread, describe};
pub use options::{Column, Columns, Format, Options, Separator};
pub use scale::infer;

use detect::Files;
pub(crate) use detect::beside_data as beside;
use evenhand_core::{Dataset, Duplicates, Error, Interactions, Result, Scale};
use serde::Serialize;
use source::Source;
use std::fmt;
use std::path::{Path, PathBuf};

/// What happened while loading that the data set does not show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notes {
    /// The format, recognised or given.
    pub format: Format,
    /// Files that were read: ratings, test, users, items.
    pub files: Vec<PathBuf>,
    /// Rows of the ratings file.
    pub rows: usize,
    /// Rows of the test file.
    pub test_rows: usize,
    /// Rows, training and test, whose user and item had occurred before in the same file.
    pub duplicates: usize,
    /// Rows about users and items that do not occur in the ratings, left out.
    pub unknown: usize,
    /// Columns of side tables with too many distinct values for a grouping.
    pub left_out: Vec<String>,
    /// What was guessed and may be wrong; a comparison repeats it among its warnings.
    pub remarks: Vec<String>,
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows", self.format.name(), self.rows)?;
        if self.test_rows > 0 {
            write!(f, ", {} test rows", self.test_rows)?;
        }
        if self.duplicates > 0 {
            write!(f, ", {} repeat a user and item", self.duplicates)?;
        }
        if self.unknown > 0 {
            write!(f, ", {} lines about users or items without rows left out", self.unknown)?;
        }
        if !self.left_out.is_empty() {
            write!(f, ", too many values for groups: {}", self.left_out.join(", "))?;
        }
        self.remarks.iter().try_for_each(|remark| write!(f, "\nnote: {remark}"))
    }
}

/// Loads the data set at `path`, a file or a folder.
///
/// # Errors
/// [`Error::Io`] for what can not be read, [`Error::Data`] for an unknown format or a bad line (with its number),
/// [`Error::OutOfRange`] for impossible options, [`Error::Unusable`] for fewer than two users.
pub fn load(path: &Path, options: &Options) -> Result<Dataset> {
    load_with_notes(path, options).map(|(dataset, _)| dataset)
}

/// [`load`], and what happened on the way.
///
/// # Errors
/// As [`load`].
pub fn load_with_notes(path: &Path, options: &Options) -> Result<(Dataset, Notes)> {
    options.check()?;
    let files = detect::find(path, options)?;
    let stars = stars(&files);
    if stars.is_some() && options.fixes_layout() {
        let reason = "the columns of this format are fixed; for others give `format = \"delimited\"`";
        return Err(Error::data(path, format!("{}: {reason}", files.format.name())));
    }
    let range = options.scale.or(stars).map(|s| (s.low, s.high));
    let mut sources = Vec::new();
    for file in std::iter::once(&files.ratings).chain(&files.test) {
        sources.push(Source::read(file, files.format, options, range)?);
    }
    let mut remarks: Vec<String> = sources.iter().flat_map(|s| s.remarks().iter().cloned()).collect();
    remarks.dedup();
    let (user_ids, item_ids, tables) = source::index(sources)?;
    if user_ids.len() < 2 {
        return Err(Error::Unusable(format!(
            "{}: {} user, expected at least two users",
            path.display(),
            user_ids.len()
        )));
    }
    let row_counts: Vec<usize> = tables.iter().map(|t| t.len()).collect();
    let mut parts = Vec::new();
    let mut duplicates = 0;
    for table in tables {
        let (part, repeated) = table.interactions(&user_ids, &item_ids, options.duplicates)?;
        duplicates += repeated;
        parts.push(part);
    }
    let scale = scale_of(&parts, options, stars)?;
    let (users, items) = (tables::users(&files, &user_ids)?, tables::items(&files, &item_ids)?);
    let mut parts = parts.into_iter();
    let ratings = parts.next().expect("the ratings file comes first");
    let notes = Notes {
        format: files.format,
        rows: row_counts[0],
        test_rows: row_counts.get(1).copied().unwrap_or(0),
        duplicates,
        unknown: users.unknown + items.unknown,
        left_out: users.left_out.into_iter().chain(items.left_out).collect(),
        remarks,
        files: [Some(files.ratings), files.test, files.users, files.items].into_iter().flatten().collect(),
    };
    let dataset = Dataset {
        name: files.name,
        ratings,
        test: parts.next(),
        user_ids,
        item_ids,
        item_titles: items.titles,
        user_groups: users.groups,
        item_groups: items.groups,
        protected_users: 0,
        protected_items: 0,
        scale,
    };
    dataset.check()?;
    Ok((dataset, notes))
}

/// The scale of a MovieLens format; half stars from MovieLens 10M on, which no longer has a table of users.
fn stars(files: &Files) -> Option<Scale> {
    match files.format {
        Format::Movielens1m if files.users.is_none() => Some(scale::HALF_STARS),
        Format::Movielens100k | Format::Movielens1m => Some(Scale::FIVE_STARS),
        Format::MovielensCsv => Some(scale::HALF_STARS),
        _ => None,
    }
}

/// The declared scale, that of the format unless values were added up, or the inferred one.
fn scale_of(parts: &[Interactions], options: &Options, stars: Option<Scale>) -> Result<Scale> {
    let values = || parts.iter().flat_map(|p| p.by_user().all_values().iter().copied());
    let summed = options.duplicates == Duplicates::Sum;
    if let Some(scale) = options.scale {
        let outside = |v: &f32| !(scale.low..=scale.high).contains(v);
        if let Some(sum) = values().find(outside) {
            let Scale { low, high, .. } = scale;
            let reason = format!("rows of one user and item add up to {sum}, expected {low} to {high} as declared");
            return Err(Error::Unusable(reason));
        }
        return Ok(scale);
    }
    Ok(stars.filter(|_| !summed).unwrap_or_else(|| infer(values())))
}
