//! Where users, items, ratings and times stand in a file of rows: told by the options, recognised otherwise.

use super::options::{Column, Columns, Options, Separator};
use evenhand_core::{Error, Result, nearest};
use std::path::Path;

/// How to read the rows of one file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) separator: Separator,
    /// Whether fields may be quoted, which takes the slower reader.
    pub(super) quoted: bool,
    /// Whether ids must be whole numbers.
    pub(super) numeric: bool,
    /// First byte and first line (from 1) of the rows.
    pub(super) body: usize,
    pub(super) first_line: u64,
    /// Fields per line.
    pub(super) fields: usize,
    /// Columns of the four roles, from 0.
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) rating: Option<usize>,
    pub(super) time: Option<usize>,
    /// What was guessed and may be wrong.
    pub(super) remarks: Vec<String>,
}

/// Lines that are looked at to recognise the separator.
const SAMPLE: usize = 20;
/// Names under which a column is recognised, in [`plain`] form.
const USERS: &[&str] =
    &["user", "userid", "users", "uid", "reviewer", "reviewerid", "customer", "customerid", "reader"];
const ITEMS: &[&str] = &[
    "item",
    "itemid",
    "items",
    "iid",
    "movie",
    "movieid",
    "artist",
    "artistid",
    "product",
    "productid",
    "asin",
    "book",
    "bookid",
    "isbn",
    "song",
    "songid",
    "track",
    "trackid",
    "business",
    "businessid",
];
const RATINGS: &[&str] =
    &["rating", "ratings", "score", "stars", "value", "label", "count", "weight", "overall", "plays", "playcount"];
const TIMES: &[&str] = &["timestamp", "time", "ts", "unixtime", "unixreviewtime"];

impl Layout {
    /// Four columns (user, item, rating, time) of whole-number ids and no header, as in the older MovieLens files.
    pub(super) fn fixed(separator: Separator) -> Self {
        let (quoted, numeric) = (false, true);
        let (body, first_line, fields) = (0, 1, 4);
        let (user, item, rating, time) = (0, 1, Some(2), Some(3));
        let remarks = Vec::new();
        Self { separator, quoted, numeric, body, first_line, fields, user, item, rating, time, remarks }
    }

    /// Recognises what `options` leave open in the first lines of `bytes`.
    pub(super) fn detect(path: &Path, bytes: &[u8], options: &Options, numeric: bool) -> Result<Self> {
        let sample = first_lines(bytes);
        let Some(&(line, body, first)) = sample.first() else {
            return Err(Error::data(path, "no rows, expected a line per row"));
        };
        if first.starts_with(b"%%MatrixMarket") {
            let reason = "a Matrix Market file, expected a line `user item [rating [time]]` per row";
            return Err(Error::line(path, line, reason));
        }
        let separator = match options.separator {
            Some(given) => given,
            None => separator(&sample).ok_or_else(|| {
                let reason =
                    "one field, expected at least user and item, separated by a tab, `::`, `,`, `;`, `|` or blanks";
                Error::line(path, line, reason)
            })?,
        };
        let quoted = separator.quotable().is_some() && bytes.contains(&b'"');
        let fields = cells(first, separator);
        let second = sample.get(1).map(|&(.., text)| cells(text, separator));
        let columns = &options.columns;
        let header = options.header.unwrap_or_else(|| is_header(&fields, second.as_deref(), columns));
        let roles = if header { named(&fields, columns) } else { numbered(fields.len(), columns) };
        let [user, item, rating, time] = roles.map_err(|reason| Error::line(path, line, reason))?;
        let (Some(user), Some(item)) = (user, item) else {
            let missing = if user.is_none() { "user" } else { "item" };
            let reason = if header {
                let neither = user.is_none() && item.is_none();
                let table = if neither { " (tables for group regressors are read by `[groupwise.data]`)" } else { "" };
                format!("no column of the {missing} among {}; name it by `columns.{missing}`{table}", list(&fields))
            } else {
                format!("one field, expected at least user and item separated by {}", name(separator))
            };
            return Err(Error::line(path, line, reason));
        };
        let taken = [("user", Some(user)), ("item", Some(item)), ("rating", rating), ("time", time)];
        for (at, (role, column)) in taken.iter().enumerate() {
            if let Some((other, _)) = taken[..at].iter().find(|(_, c)| c.is_some() && c == column) {
                let position = column.unwrap_or_default() + 1;
                return Err(Error::line(path, line, format!("column {position} can not be both {other} and {role}")));
            }
        }
        let mut remarks = Vec::new();
        let unused = fields.iter().enumerate().filter(|(at, _)| taken.iter().all(|(_, column)| *column != Some(*at)));
        let unused: Vec<String> = unused.map(|(_, name)| name.clone()).collect();
        if header && rating.is_none() && !unused.is_empty() {
            let remedy = "every row counts 1; name it with data.columns.rating";
            remarks.push(format!("no rating column among {}; {remedy}", list(&unused)));
        }
        if !header && *columns == Columns::default() {
            let roles: Vec<&str> = taken.iter().filter(|(_, column)| column.is_some()).map(|(role, _)| *role).collect();
            let text = format!("no header line; the columns are taken for {}, in this order", roles.join(", "));
            remarks.push(format!("{text}; name them with data.columns"));
        }
        let fields = fields.len();
        // The rows begin behind the header, or with the first line that is not blank.
        let (body, first_line) = if header { (body + first.len(), line) } else { (body, line) };
        Ok(Self { separator, quoted, numeric, body, first_line, fields, user, item, rating, time, remarks })
    }

    /// What a line holds, for messages.
    pub(super) fn expected(&self) -> String {
        let mut roles = vec![(self.user, "user"), (self.item, "item")];
        roles.extend(self.rating.map(|c| (c, "rating")));
        roles.extend(self.time.map(|c| (c, "time")));
        roles.sort_unstable();
        let roles: Vec<&str> = roles.into_iter().map(|(_, role)| role).collect();
        format!("{} ({}) separated by {}", self.fields, roles.join(", "), name(self.separator))
    }
}

/// The first lines that are not blank: line number from 1, first byte, text without its line end.
pub(super) fn first_lines(bytes: &[u8]) -> Vec<(u64, usize, &[u8])> {
    let mut start = 0;
    (1..)
        .zip(bytes.split(|&b| b == b'\n'))
        .map(|(line, text)| {
            let at = start;
            start += text.len() + 1;
            (line, at, text)
        })
        .filter(|(.., text)| !text.trim_ascii().is_empty())
        .take(SAMPLE)
        .collect()
}

/// The fields of one line as text, unquoted.
pub(super) fn cells(line: &[u8], separator: Separator) -> Vec<String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(byte) = separator.quotable().filter(|_| line.contains(&b'"')) {
        let mut reader = csv::ReaderBuilder::new().delimiter(byte).has_headers(false).from_reader(line);
        let record = reader.byte_records().next().and_then(|r| r.ok()).unwrap_or_default();
        return record.iter().map(|f| String::from_utf8_lossy(f.trim_ascii()).into_owned()).collect();
    }
    let mut fields = Vec::new();
    separator.split(line, &mut fields);
    fields.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect()
}

/// The first separator that cuts all lines into the same number of fields, otherwise the first that cuts line 1.
pub(super) fn separator(sample: &[(u64, usize, &[u8])]) -> Option<Separator> {
    let count = |s: Separator, at: usize| cells(sample[at].2, s).len();
    let cuts = || Separator::ALL.into_iter().filter(|&s| count(s, 0) > 1);
    cuts().find(|&s| (1..sample.len()).all(|at| count(s, at) == count(s, 0))).or_else(|| cuts().next())
}

/// A header has a known name, or no number where the next line has one.
fn is_header(first: &[String], second: Option<&[String]>, columns: &Columns) -> bool {
    let Columns { user, item, rating, time } = columns;
    if [user, item, rating, time].into_iter().flatten().any(|c| matches!(c, Column::Name(_))) {
        return true;
    }
    let known = |name: &String| [USERS, ITEMS, RATINGS, TIMES].iter().any(|k| k.contains(&plain(name).as_str()));
    let number = |field: &String| field.parse::<f64>().is_ok();
    let without = |fields: &[String]| !fields.iter().any(number);
    without(first) && (first.iter().any(|name| known(name) || is_rating(name)) || second.is_some_and(|s| !without(s)))
}

type Roles = [Option<usize>; 4];

/// Columns by the names in the header line.
fn named(header: &[String], columns: &Columns) -> Result<Roles, String> {
    let recognise = |known: &[&str]| known.iter().find_map(|k| header.iter().position(|h| plain(h) == *k));
    let find = |role: &str, column: &Option<Column>, default: Option<usize>| match column {
        None => Ok(default),
        Some(Column::Position(at)) => position(role, *at, header.len()).map(Some),
        Some(Column::Name(name)) => match header.iter().position(|h| plain(h) == plain(name)) {
            Some(at) => Ok(Some(at)),
            None => {
                let known: Vec<&str> = header.iter().map(|h| bare(h)).collect();
                let slip = nearest(name, known).map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
                Err(format!("no column `{name}` for the {role}{slip}, the header names {}", list(header)))
            }
        },
    };
    let rest = |known| if *columns == Columns::default() { recognise(known) } else { None };
    // Two of them are no answer.
    let worded = || {
        let mut found = (0..header.len()).filter(|&at| *columns == Columns::default() && is_rating(&header[at]));
        found.next().filter(|_| found.next().is_none())
    };
    Ok([
        find("user", &columns.user, recognise(USERS))?,
        find("item", &columns.item, recognise(ITEMS))?,
        find("rating", &columns.rating, rest(RATINGS).or_else(worded))?,
        find("time", &columns.time, rest(TIMES))?,
    ])
}

/// Whether the words of a column's name say that it holds ratings: `Book-Rating`, `reviewRating`, but not `rating_date`
/// nor `avg_rating`.
fn is_rating(name: &str) -> bool {
    let mut spaced = String::new();
    let mut before = ' ';
    for c in bare(name).chars() {
        if c.is_uppercase() && before.is_lowercase() {
            spaced.push(' ');
        }
        spaced.extend(if c.is_alphanumeric() { c } else { ' ' }.to_lowercase());
        before = c;
    }
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.last().is_some_and(|w| ["rating", "ratings", "score", "scores", "star", "stars"].contains(w))
        && !words.iter().any(|w| ["avg", "average", "mean", "num", "number", "count", "total", "predicted"].contains(w))
}

/// Whether a column of that name holds ids of users, or else of items.
pub(super) fn is_id(name: &str, of_users: bool) -> bool {
    let known = if of_users { USERS } else { ITEMS };
    known.contains(&plain(name).as_str())
}

/// Columns by position, for a file without a header line.
fn numbered(fields: usize, columns: &Columns) -> Result<Roles, String> {
    let find = |role: &str, column: &Option<Column>, default: Option<usize>| match column {
        None => Ok(default.filter(|&d| d < fields)),
        Some(Column::Position(at)) => position(role, *at, fields).map(Some),
        Some(Column::Name(name)) => Err(format!("column `{name}` for the {role}: no header line, give its position")),
    };
    let rest = |at| (*columns == Columns::default()).then_some(at);
    Ok([
        find("user", &columns.user, Some(0))?,
        find("item", &columns.item, Some(1))?,
        find("rating", &columns.rating, rest(2))?,
        find("time", &columns.time, rest(3))?,
    ])
}

fn position(role: &str, at: usize, fields: usize) -> Result<usize, String> {
    if at <= fields { Ok(at - 1) } else { Err(format!("column {at} for the {role}: the line has {fields} fields")) }
}

/// A column name without the type that RecBole appends.
pub(super) fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(bare, _)| bare)
}

/// A column name as it is compared: bare, lower case, letters and digits only.
fn plain(name: &str) -> String {
    bare(name).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn list(names: &[String]) -> String {
    names.iter().map(|n| format!("`{}`", bare(n))).collect::<Vec<_>>().join(", ")
}

fn name(separator: Separator) -> &'static str {
    match separator {
        Separator::Tab => "tabs",
        Separator::Comma => "`,`",
        Separator::Semicolon => "`;`",
        Separator::Pipe => "`|`",
        Separator::Space => "blanks",
        Separator::DoubleColon => "`::`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(text: &str, options: &Options) -> Result<Layout> {
        Layout::detect(Path::new("x"), text.as_bytes(), options, false)
    }

    fn columns(user: &str, item: &str) -> Options {
        let columns = Columns { user: Some(user.into()), item: Some(item.into()), ..Columns::default() };
        Options { columns, ..Options::default() }
    }

    /// Separator, first line of the rows, user, item, rating, time.
    fn found(text: &str) -> (Separator, u64, usize, usize, Option<usize>, Option<usize>) {
        let l = detect(text, &Options::default()).unwrap();
        (l.separator, l.first_line + u64::from(text[l.body..].starts_with('\n')), l.user, l.item, l.rating, l.time)
    }

    #[test]
    fn separators_and_headers_are_recognised() {
        assert_eq!(found("1\t2\t3\t4\n"), (Separator::Tab, 1, 0, 1, Some(2), Some(3)));
        assert_eq!(found("1::2::3"), (Separator::DoubleColon, 1, 0, 1, Some(2), None));
        assert_eq!(found("\n\nann bread\nbob milk\n"), (Separator::Space, 3, 0, 1, None, None));
        assert_eq!(found("movieId,rating,userId\n1,2,3\n"), (Separator::Comma, 2, 2, 0, Some(1), None));
        assert_eq!(found("\"User-ID\";\"ISBN\";\"x\"\n1;2;3,5\n"), (Separator::Semicolon, 2, 0, 1, None, None));
        assert_eq!(
            found("item_id:token\tuser_id:token\ttimestamp:float\n1\t2\t3\n"),
            (Separator::Tab, 2, 1, 0, None, Some(2))
        );
    }

    #[test]
    fn ratings_are_known_by_their_words() {
        for name in ["Book-Rating", "reviewRating", "user score", "review_stars:float"] {
            assert!(is_rating(name), "{name}");
            assert_eq!(found(&format!("user,item,{name}\na,b,3\n")).4, Some(2), "{name}");
        }
        for name in ["rating_date", "avg_rating", "operating", "numRatings", "upstart"] {
            assert!(!is_rating(name), "{name}");
        }
        assert_eq!(found("user,item,story_score,music_score\n1,2,3,4\n").4, None);
    }

    #[test]
    fn what_is_guessed_is_told() {
        let remarks = |text: &str, options: &Options| detect(text, options).unwrap().remarks;
        let auto = Options::default();
        assert_eq!(
            remarks("user,item,grade,timestamp\na,b,3,0\n", &auto),
            ["no rating column among `grade`; every row counts 1; name it with data.columns.rating"]
        );
        assert!(remarks("a,b,c\n1,2,3\n", &columns("a", "b"))[0].starts_with("no rating column among `c`;"));
        for whole in ["user,item\na,b\n", "user,item,timestamp\na,b,0\n", "user,item,rating,x\na,b,3,0\n"] {
            assert_eq!(remarks(whole, &auto), [""; 0], "{whole}");
        }
        assert_eq!(
            remarks("1,2,3\n", &auto),
            [
                "no header line; the columns are taken for user, item, rating, in this order; name them with data.columns"
            ]
        );
        assert_eq!(remarks("1,2,3\n", &columns("1", "2")), [""; 0]);
    }

    #[test]
    fn columns_can_be_given() {
        let l = detect("a,b,c\n1,2,3\n", &columns("C", "a")).unwrap();
        assert_eq!((l.user, l.item, l.rating, l.time), (2, 0, None, None));
        let l = detect("1,2,3\n", &columns("3", "1")).unwrap();
        assert_eq!((l.user, l.item, l.rating, l.body), (2, 0, None, 0));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let say = |text: &str, options: &Options| detect(text, options).unwrap_err().to_string();
        let auto = Options::default();
        assert_eq!(
            say("user,item,stars\n1,2,3\n", &columns("usr", "item")),
            "x:1: no column `usr` for the user (did you mean `user`?), the header names `user`, `item`, `stars`"
        );
        assert_eq!(say("1,2\n", &columns("1", "7")), "x:1: column 7 for the item: the line has 2 fields");
        assert_eq!(say("1,2\n", &columns("2", "2")), "x:1: column 2 can not be both user and item");
        assert!(say("1,2\n", &Options { header: Some(false), ..columns("a", "b") }).contains("give its position"));
        assert_eq!(
            say("who,item\n1,2\n", &auto),
            "x:1: no column of the user among `who`, `item`; name it by `columns.user`"
        );
        assert_eq!(
            say("age,sex,cost\n1,F,2\n", &auto),
            "x:1: no column of the user among `age`, `sex`, `cost`; name it by `columns.user` (tables for group \
             regressors are read by `[groupwise.data]`)"
        );
        assert!(say("%%MatrixMarket matrix coordinate real general\n", &auto).contains("Matrix Market"));
        assert!(say("hello\n", &auto).contains("x:1: one field"));
        assert!(
            say("a b\n", &Options { separator: Some(Separator::Tab), ..auto.clone() }).contains("separated by tabs")
        );
        assert!(say("\n \n", &auto).contains("no rows"));
    }
}
