//! What the reader may say about a data set that its files do not say themselves.

use super::grouping::{self, Grouping};
use super::protect::Protect;
use super::select::{self, Select};
use evenhand_core::{Duplicates, Error, Result, Scale};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a data set is to be read. The default detects everything.
///
/// ```toml
/// format = "delimited"
/// separator = ","
/// columns = { user = "reader", item = "isbn", rating = 3 }
/// scale = { low = 0.0, high = 10.0, like_above = 5.0 }
/// duplicates = "last"
/// select = { items = { groups = "shelf", any = ["top"] }, top_users = 1000 }
/// protect = { users = "gender", items = "shelf" }
/// item_groups = { shelf = { file = "shelves.csv" } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Format of the files; by default recognised by the names of the files.
    pub format: Format,
    /// Which column is what; by default recognised by name, without a header line by position.
    pub columns: Columns,
    /// What stands between two fields; by default recognised in the first lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,
    /// Whether the first line names the columns; by default recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Declared range and like threshold of the values; a value outside is an error.
    ///
    /// By default that of the format, otherwise inferred (see [`infer`](super::infer)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// What becomes of several rows with the same user and item.
    ///
    /// The default `last` (a new rating replaces the old one) leaves one row per pair, so that no split can put
    /// the same pair on both sides. For logs of events `sum` counts, `keep` leaves every event a row.
    #[serde(with = "Rule")]
    pub duplicates: Duplicates,
    /// A file of test rows in the same format; a relative path begins in the folder of the ratings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Which part of the data is kept; by default all of it.
    #[serde(skip_serializing_if = "Select::is_open", deserialize_with = "select::read")]
    pub select: Select,
    /// Groupings of the users, by name, besides those that the files bring along; one of the same name is replaced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "grouping::of_users")]
    pub user_groups: BTreeMap<String, Grouping>,
    /// The same of the items. The MovieLens formats have one already: `genre-stereotype`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "grouping::of_items")]
    pub item_groups: BTreeMap<String, Grouping>,
    /// The groupings between which fairness is asked for.
    ///
    /// By default `gender` or else the first grouping of the users, and of the items the first one declared here, else
    /// `genre-stereotype`, else the first.
    #[serde(skip_serializing_if = "Protect::is_open")]
    pub protect: Protect,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::default(),
            columns: Columns::default(),
            separator: None,
            header: None,
            scale: None,
            duplicates: Duplicates::Last,
            test: None,
            select: Select::default(),
            user_groups: BTreeMap::new(),
            item_groups: BTreeMap::new(),
            protect: Protect::default(),
        }
    }
}

impl Options {
    /// Refuses a scale, a position or a grouping that no file could fit.
    pub(super) fn check(&self) -> Result<()> {
        let outside = |field: &str, value: String, range: &str| {
            Err(Error::OutOfRange { plugin: None, field: field.into(), value, range: range.into() })
        };
        if let Some(Scale { low, high, like_above }) = self.scale {
            if !(low.is_finite() && high.is_finite() && low < high) {
                return outside("scale", format!("{low} to {high}"), "finite numbers, low below high");
            }
            if !like_above.is_finite() {
                return outside("scale.like_above", like_above.to_string(), "a finite number");
            }
        }
        let Columns { user, item, rating, time } = &self.columns;
        for (role, column) in [("user", user), ("item", item), ("rating", rating), ("time", time)] {
            if column == &Some(Column::Position(0)) {
                return outside(&format!("columns.{role}"), "0".into(), "a position from 1, or a name");
            }
        }
        self.select.check()?;
        grouping::check("user_groups", &self.user_groups)?;
        grouping::check("item_groups", &self.item_groups)
    }

    /// Whether the layout of the file is described here, at least in part.
    pub(super) fn fixes_layout(&self) -> bool {
        self.columns != Columns::default() || self.separator.is_some() || self.header.is_some()
    }
}

/// Format of a data set. See the [module](super) for what each consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Recognised by the names of the files.
    #[default]
    Auto,
    /// `u.data`, `u.user`, `u.item`.
    #[serde(rename = "movielens-100k")]
    Movielens100k,
    /// `ratings.dat`, `users.dat`, `movies.dat`; also MovieLens 10M, which has no `users.dat`.
    #[serde(rename = "movielens-1m")]
    Movielens1m,
    /// `ratings.csv`, `movies.csv`: MovieLens 20M, 25M, 32M and latest.
    MovielensCsv,
    /// RecBole atomic files: `X.inter`, `X.user`, `X.item`.
    Recbole,
    /// A folder with a training and a test file, e.g. a leave-one-out pair.
    TrainTest,
    /// One file with a row per line.
    Delimited,
}

impl Format {
    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Movielens100k => "movielens-100k",
            Self::Movielens1m => "movielens-1m",
            Self::MovielensCsv => "movielens-csv",
            Self::Recbole => "recbole",
            Self::TrainTest => "train-test",
            Self::Delimited => "delimited",
        }
    }
}

/// Which column holds what. Once any column is given, ratings and times are read only where given too;
/// users and items are then still found by name or, without a header line, as the first and second column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Columns {
    /// Id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Column>,
    /// Id of the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Column>,
    /// Rating, count or weight. Without such a column every row counts 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<Column>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Column>,
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name of a column, or its position from 1")]
pub enum Column {
    /// Position, counted from 1.
    Position(usize),
    /// Name in the header line; case, `_`, `-` and blanks do not matter.
    Name(String),
}

impl From<&str> for Column {
    /// Digits are a position, anything else a name.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.into()), Self::Position)
    }
}

/// What stands between two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// A tab; also written `"\t"`.
    #[serde(alias = "\t")]
    Tab,
    /// A comma; also written `","`. Fields may be quoted.
    #[serde(alias = ",")]
    Comma,
    /// A semicolon; also written `";"`. Fields may be quoted.
    #[serde(alias = ";")]
    Semicolon,
    /// A vertical bar; also written `"|"`.
    #[serde(alias = "|")]
    Pipe,
    /// One or more blanks; also written `" "`.
    #[serde(alias = " ")]
    Space,
    /// Two colons; also written `"::"`.
    #[serde(alias = "::")]
    DoubleColon,
}

impl Separator {
    /// In the order in which they are tried on a file.
    pub(super) const ALL: [Self; 6] =
        [Self::DoubleColon, Self::Tab, Self::Semicolon, Self::Comma, Self::Pipe, Self::Space];

    /// The byte of a separator between fields that may be quoted.
    pub(super) fn quotable(self) -> Option<u8> {
        match self {
            Self::Comma => Some(b','),
            Self::Semicolon => Some(b';'),
            _ => None,
        }
    }

    /// Cuts `line` into `fields`, which is cleared first; quotes are left as they are, blanks around a field removed.
    pub(super) fn split<'a>(self, line: &'a [u8], fields: &mut Vec<&'a [u8]>) {
        fields.clear();
        let byte = match self {
            Self::Tab => b'\t',
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Pipe => b'|',
            Self::Space => {
                return fields.extend(line.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty()));
            }
            Self::DoubleColon => return split_at_colons(line, fields),
        };
        fields.extend(line.split(|&b| b == byte).map(<[u8]>::trim_ascii));
    }
}

fn split_at_colons<'a>(line: &'a [u8], fields: &mut Vec<&'a [u8]>) {
    let (mut start, mut at) = (0, 0);
    while at + 1 < line.len() {
        if line[at] == b':' && line[at + 1] == b':' {
            fields.push(line[start..at].trim_ascii());
            at += 2;
            start = at;
        } else {
            at += 1;
        }
    }
    fields.push(line[start..].trim_ascii());
}

/// The names of [`Duplicates`] in files.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Duplicates", rename_all = "kebab-case")]
enum Rule {
    Keep,
    Sum,
    Mean,
    Last,
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(separator: Separator, line: &str) -> Vec<String> {
        let mut fields = Vec::new();
        separator.split(line.as_bytes(), &mut fields);
        fields.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect()
    }

    #[test]
    fn lines_are_cut_at_their_separator() {
        assert_eq!(split(Separator::DoubleColon, "1::a:b::"), ["1", "a:b", ""]);
        assert_eq!(split(Separator::DoubleColon, ":"), [":"]);
        assert_eq!(split(Separator::Comma, "1, 2,"), ["1", "2", ""]);
        assert_eq!(split(Separator::Space, " 1  2 "), ["1", "2"]);
        assert_eq!(split(Separator::Tab, ""), [""]);
    }

    #[test]
    fn options_are_read_from_toml() {
        let text =
            "format = 'movielens-100k'\nseparator = '::'\nduplicates = 'sum'\ncolumns = { user = 2, item = 'isbn' }";
        let options: Options = toml::from_str(text).unwrap();
        assert_eq!(options.format, Format::Movielens100k);
        assert_eq!(options.separator, Some(Separator::DoubleColon));
        assert_eq!(options.duplicates, Duplicates::Sum);
        assert_eq!(options.columns.user, Some(Column::from("2")));
        assert_eq!(options.columns.item, Some(Column::from("isbn")));
        assert_eq!(toml::from_str::<Options>(&toml::to_string(&options).unwrap()).unwrap(), options);
        assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
        assert!(toml::from_str::<Options>("formt = 'auto'").unwrap_err().to_string().contains("unknown field `formt`"));
    }

    #[test]
    fn every_format_has_its_name() {
        let all = ["auto", "movielens-100k", "movielens-1m", "movielens-csv", "recbole", "train-test", "delimited"];
        for name in all {
            let format: Format = serde_json::from_value(name.into()).unwrap();
            assert_eq!(format.name(), name);
        }
    }

    #[test]
    fn impossible_options_are_refused() {
        let scale =
            |low, high, like_above| Options { scale: Some(Scale { low, high, like_above }), ..Options::default() };
        assert!(scale(5.0, 1.0, 3.0).check().unwrap_err().to_string().contains("`scale` = 5 to 1"));
        assert!(scale(1.0, 5.0, f32::NAN).check().unwrap_err().to_string().contains("scale.like_above"));
        let columns = Columns { item: Some(Column::Position(0)), ..Columns::default() };
        let error = Options { columns, ..Options::default() }.check().unwrap_err().to_string();
        assert_eq!(error, "parameter `columns.item` = 0, expected a position from 1, or a name");
    }
}
