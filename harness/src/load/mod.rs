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
//!   are alphabetical, so the first group of an item is also its first genre. Further groupings are declared in
//!   [`Options::user_groups`] and [`Options::item_groups`]: made by a rule from a column, or read from a file. MovieLens
//!   items have `genre-stereotype`: by their first genre, War, Crime, Film-Noir or Sci-Fi are M, Children's, Fantasy,
//!   Musical or Romance F (Cho, Choi & Suh 2022, as in their code).
//! * **Selected** is all of it, or the part that [`Options::select`] asks for. What is kept of what stands in
//!   [`Notes::selected`]; the other counts there are of the whole.
//! * **Protected** is one grouping of each side: see [`Options::protect`].
//! * **Times** that are all zero are no times.
//! * **Scale**: declared in the options, or the format's stars, or [inferred](infer) from the values.
//! * **Text** in side tables is UTF-8 or, failing that, Latin-1; ids must be UTF-8. A byte order mark, CRLF,
//!   blank lines and a missing last line end are fine.
//!
//! Tables for group regressors hold no ratings: see [`load_table`].

mod describe;
mod detect;
mod group_table;
mod grouping;
mod guide;
mod harm;
mod ids;
mod layout;
mod membership;
mod number;
mod options;
mod protect;
mod regroup;
mod rows;
mod scale;
mod select;
mod sheet;
mod side;
mod source;
mod tables;
#[cfg(test)]
mod tests;

pub use describe::{Bin, Description, GroupSizes, Spread, describe};
pub use group_table::{Closed, GroupRule, TableOptions, load_orders, load_table};
pub use grouping::{Grouping, ListRule};
pub use harm::{HarmLabels, labels as harm_labels};
pub use options::{Column, Columns, Format, Options, Separator};
pub use protect::{Protect, doubts};
pub use scale::infer;
pub use select::{Select, SelectItems};

use detect::Files;
pub(crate) use detect::beside_data as beside;
use evenhand_core::{Dataset, Duplicates, Error, Groups, Interactions, Result, Scale};
use regroup::Entities;
pub(crate) use rows::Lines;
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
    /// How the groupings were made that are no columns of the side tables.
    pub made: Vec<String>,
    /// Which part of the data was kept, where not all of it was.
    pub selected: Vec<String>,
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
        self.made.iter().try_for_each(|made| write!(f, "\ngroups: {made}"))?;
        self.selected.iter().try_for_each(|part| write!(f, "\nselected: {part}"))?;
        self.remarks.iter().try_for_each(|remark| write!(f, "\nnote: {remark}"))
    }
}

/// Loads the data set at `path`, a file or a folder.
///
/// # Errors
/// [`Error::Io`] for what can not be read, [`Error::Data`] for an unknown format or a bad line (with its number),
/// [`Error::OutOfRange`] for impossible options and names that the data does not have, [`Error::Unusable`] for fewer than two users.
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
    if options.scale.is_none() {
        remarks.extend(zeros(&parts, scale));
    }
    let (mut users, mut items) = (tables::users(&files, &user_ids)?, tables::items(&files, &item_ids)?);
    let mut made = Vec::new();
    let of_users = Entities { each: "user", ids: &user_ids, columns: &users.columns };
    for (name, declared) in &options.user_groups {
        add(&mut users.groups, of_users.make(name, declared, path)?, "users", &mut made);
    }
    let of_items = Entities { each: "item", ids: &item_ids, columns: &items.columns };
    for (name, declared) in &options.item_groups {
        add(&mut items.groups, of_items.make(name, declared, path)?, "items", &mut made);
    }
    if stars.is_some() && !options.item_groups.contains_key(grouping::STEREOTYPE) {
        of_items.stereotype()?.into_iter().for_each(|grouping| add(&mut items.groups, grouping, "items", &mut made));
    }
    let called = |groups: &[Groups], name: &str| groups.iter().position(|g| g.name() == name);
    let first = options.item_groups.keys().next().map_or(grouping::STEREOTYPE, String::as_str);
    let protected_items = called(&items.groups, first).unwrap_or(0);
    if options.item_groups.len() > 1 && options.protect.items.is_none() {
        remarks
            .push(format!("several groupings of items are declared; `{first}` is protected, see data.protect.items"));
    }
    let mut parts = parts.into_iter();
    let ratings = parts.next().expect("the ratings file comes first");
    let mut notes = Notes {
        format: files.format,
        rows: row_counts[0],
        test_rows: row_counts.get(1).copied().unwrap_or(0),
        duplicates,
        unknown: users.unknown + items.unknown,
        left_out: users.left_out.into_iter().chain(items.left_out).collect(),
        made,
        selected: Vec::new(),
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
        protected_users: called(&users.groups, "gender").unwrap_or(0),
        user_groups: users.groups,
        item_groups: items.groups,
        protected_items,
        scale,
    };
    dataset.check()?;
    let (mut dataset, selected) = options.select.apply(dataset, path)?;
    notes.selected = selected;
    options.protect.apply(&mut dataset)?;
    notes.remarks.extend(doubts(&dataset));
    Ok((dataset, notes))
}

/// Puts a grouping that was made behind the others, in the place of one of its name.
fn add(groups: &mut Vec<Groups>, made: regroup::Made, of: &str, how: &mut Vec<String>) {
    how.push(format!("{of} by {}: {}", made.groups.name(), made.how));
    groups.retain(|g| g.name() != made.groups.name());
    groups.push(made.groups);
}

/// A word about zeros among values of another meaning than yes and no: in some data they stand for missing ratings.
fn zeros(parts: &[Interactions], scale: Scale) -> Option<String> {
    let zeros = parts.iter().flat_map(|p| p.by_user().all_values()).filter(|&&v| v == 0.0).count();
    let doubtful = zeros > 0 && scale.low == 0.0 && scale.high > 1.0;
    let text = format!("{zeros} ratings of 0 count as the lowest of 0 to {}", scale.high);
    doubtful.then(|| format!("{text}; where 0 stands for no rating, leave such rows out, or declare data.scale"))
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
