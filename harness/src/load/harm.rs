//! Harm labels: which items of a data set are harmful.

use super::guide;
use super::membership::members;
use super::sheet::Sheet;
use evenhand_core::{Dataset, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How items are told to be harmful: one of these.
///
/// ```toml
/// harmful = { groups = "genre", any = ["Horror", "War"] }
/// harmful = { file = "labels.csv", item = "movieId", column = "harmful" }        # 1 or 0, true or false, yes or no
/// harmful = { file = "codes.csv", item = "movieId", columns = ["sex", "drugs"], at_least = 4 }     # any of the columns
/// harmful = { guide = "IMDB_parental_detail_guide.csv", links = "links.csv", at_least = 4 }        # by default 4
/// ```
///
/// Items that the file or the guide does not know, or only with empty cells beside `at_least`, are harmless. For a data
/// set of the films alone that the guide knows see [`Select`](super::Select).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum HarmLabels {
    /// By groups of the items.
    Groups {
        /// A grouping of the items.
        groups: String,
        /// Labels of its groups: a harmful item is a member of any of them.
        any: Vec<String>,
    },
    /// By columns of a file whose first line names them. Lines about items that the data does not have are fine.
    Columns {
        /// The file; the fields of a line are separated by `,` or another separator that is recognised.
        file: PathBuf,
        /// The column with the id of the item.
        item: String,
        /// The columns that tell: a harmful item is so by any of them.
        columns: Vec<String>,
        /// A cell tells of harm from this number on; `None` where cells say 1 or 0, true or false, yes or no.
        at_least: Option<f64>,
    },
    /// By the parental guide of the Internet Movie Database, for films with MovieLens ids.
    Guide {
        /// The guide, with a `tconst` for each film and five codes from 1 (none) to 4 (severe).
        guide: PathBuf,
        /// The `imdbId` of each `movieId`.
        links: PathBuf,
        /// A harmful film has this code or a higher one in any of the five columns.
        at_least: f64,
    },
}

impl HarmLabels {
    /// The files that the rule names, with their keys.
    pub fn files_mut(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        match self {
            Self::Groups { .. } => Vec::new(),
            Self::Columns { file, .. } => vec![("file", file)],
            Self::Guide { guide, links, .. } => vec![("guide", guide), ("links", links)],
        }
    }
}

/// Whether each item of `data` is harmful. Paths are taken as they are.
///
/// # Errors
/// [`Error::OutOfRange`](evenhand_core::Error::OutOfRange) for a grouping or a label that is not there, with the nearest and
/// all names; [`Error::Io`](evenhand_core::Error::Io) and [`Error::Data`](evenhand_core::Error::Data), with the line, for
/// files: a column that is not there, a cell that does not tell, an item that occurs twice, or no item that does.
pub fn labels(rule: &HarmLabels, data: &Dataset) -> Result<Vec<bool>> {
    match rule {
        HarmLabels::Groups { groups, any } => members(data, groups, any, "harmful"),
        HarmLabels::Columns { file, item, columns, at_least } => {
            of_columns(&Sheet::read(file)?, item, columns, *at_least, data)
        }
        HarmLabels::Guide { guide, links, at_least } => {
            let codes = guide::highest(guide, links, &data.item_ids)?;
            Ok(codes.into_iter().map(|code| code.is_some_and(|code| f64::from(code) >= *at_least)).collect())
        }
    }
}

fn of_columns(
    sheet: &Sheet,
    item: &str,
    columns: &[String],
    at_least: Option<f64>,
    data: &Dataset,
) -> Result<Vec<bool>> {
    let id = sheet.column(item)?;
    let columns: Vec<_> = columns.iter().map(|name| Ok((name, sheet.column(name)?))).collect::<Result<_>>()?;
    let mut labels = vec![None; data.ratings.items()];
    for (line, cells) in sheet.rows() {
        let mut harmful = false;
        for &(name, at) in &columns {
            let cell = &cells[at];
            let (told, words) = match at_least {
                Some(least) => (reaches(cell, least), "a number, or nothing"),
                None => (truth(cell), "1 or 0, true or false, yes or no; for other numbers give `at_least`"),
            };
            harmful |= told.ok_or_else(|| sheet.fault(line, format!("{name} `{cell}`, expected {words}")))?;
        }
        let Some(index) = data.item_ids.index(&cells[id]) else { continue };
        if labels[index as usize].replace(harmful).is_some() {
            return Err(sheet.fault(line, format!("{item} `{}` occurs twice, expected one line per item", cells[id])));
        }
    }
    if labels.iter().all(Option::is_none) {
        return Err(sheet.useless(format!("no line is about any item of the data, by `{item}`")));
    }
    Ok(labels.into_iter().map(|label| label.unwrap_or(false)).collect())
}

/// Whether a cell has a number from `least` on; an empty one has not.
fn reaches(cell: &str, least: f64) -> Option<bool> {
    if cell.is_empty() {
        return Some(false);
    }
    cell.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| number >= least)
}

/// A yes or no in a cell.
fn truth(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// A [`HarmLabels`] as it stands in files.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    any: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guide: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
}

impl TryFrom<Written> for HarmLabels {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        const ONE: &str = "expected one of `groups`, `file` and `guide`";
        const GROUPS: &str = "expected `groups` and `any`, and no other key";
        const FILE: &str = "expected `file`, `item`, `column` or `columns`, perhaps `at_least`, and no other key";
        const GUIDE: &str = "expected `guide`, `links`, perhaps `at_least`, and no other key";
        if written.at_least.is_some_and(|least| !least.is_finite()) {
            return Err("`at_least` must be a finite number");
        }
        let Written { groups, any, file, item, column, columns, guide, links, at_least } = written;
        match (groups, file, guide) {
            (Some(groups), None, None) => match (any, item, column, columns, links, at_least) {
                (Some(any), None, None, None, None, None) if !any.is_empty() => Ok(Self::Groups { groups, any }),
                (Some(_), None, None, None, None, None) => Err("`any` must name at least one group"),
                _ => Err(GROUPS),
            },
            (None, Some(file), None) => match (any, item, column, columns, links) {
                (None, Some(item), Some(column), None, None) => {
                    Ok(Self::Columns { file, item, columns: vec![column], at_least })
                }
                (None, Some(item), None, Some(columns), None) if !columns.is_empty() => {
                    Ok(Self::Columns { file, item, columns, at_least })
                }
                (None, Some(_), None, Some(_), None) => Err("`columns` must name at least one column"),
                _ => Err(FILE),
            },
            (None, None, Some(guide)) => match (any, item, column, columns, links) {
                (None, None, None, None, Some(links)) => {
                    let at_least = at_least.unwrap_or(SEVERE);
                    if (1.0..=SEVERE).contains(&at_least) {
                        return Ok(Self::Guide { guide, links, at_least });
                    }
                    Err("`at_least` must be a code from 1 to 4")
                }
                _ => Err(GUIDE),
            },
            _ => Err(ONE),
        }
    }
}

/// The highest code of the parental guide.
const SEVERE: f64 = 4.0;

impl From<HarmLabels> for Written {
    fn from(labels: HarmLabels) -> Self {
        let none = Self::default();
        match labels {
            HarmLabels::Groups { groups, any } => Self { groups: Some(groups), any: Some(any), ..none },
            HarmLabels::Columns { file, item, columns, at_least } => {
                Self { file: Some(file), item: Some(item), columns: Some(columns), at_least, ..none }
            }
            HarmLabels::Guide { guide, links, at_least } => {
                Self { guide: Some(guide), links: Some(links), at_least: Some(at_least), ..none }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Groups, Ids, Interactions, Rows, Scale};
    use std::fs;

    fn rule(toml: &str) -> Result<HarmLabels, String> {
        #[derive(Deserialize)]
        struct Table {
            harmful: HarmLabels,
        }
        let table: Result<Table, _> = toml::from_str(&format!("harmful = {toml}"));
        table.map(|t| t.harmful).map_err(|e| e.message().to_string())
    }

    /// Films 10, 11, 12 and 13.
    fn data() -> Dataset {
        let mut data = Dataset::new("x", Interactions::new(1, 4, &Rows::default()).unwrap(), Scale::FIVE_STARS);
        data.item_ids = Ids::new((10..14).map(|id| id.to_string()).collect()).unwrap();
        let groups = [("War", vec![0, 2]), ("Horror", vec![2, 3]), ("Comedy", vec![1])];
        let groups = groups.map(|(label, members)| (label.to_string(), members)).to_vec();
        data.item_groups.push(Groups::new("genre", 4, groups).unwrap());
        data
    }

    /// The labels by a rule about files of this text: `t.csv`, and links of 10, 11 and 12 to films 1, 2 and 3.
    fn of(toml: &str, text: &str) -> Result<Vec<bool>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("t.csv"), text).unwrap();
        fs::write(dir.path().join("links.csv"), "movieId,imdbId\n10,1\n11,2\n12,3\n").unwrap();
        let mut rule = rule(toml)?;
        rule.files_mut().into_iter().for_each(|(_, file)| *file = dir.path().join(&*file));
        labels(&rule, &data()).map_err(|e| {
            let text = e.to_string();
            text.rsplit_once('/').map_or(text.clone(), |(_, end)| end.into())
        })
    }

    const T: bool = true;
    const F: bool = false;

    #[test]
    fn members_of_any_of_the_groups_are_harmful() {
        assert_eq!(of("{ groups = 'genre', any = ['War', 'Horror'] }", ""), Ok(vec![T, F, T, T]));
        assert_eq!(of("{ groups = 'genre', any = ['Comedy'] }", ""), Ok(vec![F, T, F, F]));
        let text = "parameter `harmful.any` = `Horor`, expected a group of items by genre (did you mean `Horror`?); \
                    there: Comedy, Horror, War";
        assert_eq!(of("{ groups = 'genre', any = ['War', 'Horor'] }", ""), Err(text.into()));
        let text = "parameter `harmful.groups` = `genres`, expected a grouping of the items (did you mean `genre`?); \
                    there: genre";
        assert_eq!(of("{ groups = 'genres', any = ['War'] }", ""), Err(text.into()));
    }

    #[test]
    fn columns_of_a_file_tell() {
        let yes_and_no = "id;it\n13;yes\n10;TRUE\n99;1\n11;0\n";
        assert_eq!(of("{ file = 't.csv', item = 'id', column = 'it' }", yes_and_no), Ok(vec![T, F, F, T]));
        let codes = "a,id,b\n3,10,4\n3.5,11,\n,12,4\n";
        assert_eq!(
            of("{ file = 't.csv', item = 'id', columns = ['a', 'b'], at_least = 4 }", codes),
            Ok(vec![T, F, T, F])
        );
        assert_eq!(of("{ file = 't.csv', item = 'id', column = 'a', at_least = 3.5 }", codes), Ok(vec![F, T, F, F]));
    }

    #[test]
    fn bad_lines_of_a_file_are_named() {
        let say = |text: &str| of("{ file = 't.csv', item = 'id', column = 'it' }", text).unwrap_err();
        let cell = "t.csv:3: it `2`, expected 1 or 0, true or false, yes or no; for other numbers give `at_least`";
        assert_eq!(say("id,it\n10,1\n11,2\n"), cell);
        assert!(say("id,it\n10,\n").starts_with("t.csv:2: it ``, expected 1 or 0"));
        assert_eq!(say("id,it\n10,1\n\n10,1\n"), "t.csv:4: id `10` occurs twice, expected one line per item");
        assert_eq!(say("id,it\n20,1\n"), "t.csv: no line is about any item of the data, by `id`");
        let column = "t.csv:1: no column `it`, expected a column of the file (did you mean `id`?); there: id, note";
        assert_eq!(say("id,note\n10,1\n"), column);
        let number = of("{ file = 't.csv', item = 'id', column = 'it', at_least = 2 }", "id,it\n10,many\n");
        assert_eq!(number.unwrap_err(), "t.csv:2: it `many`, expected a number, or nothing");
    }

    #[test]
    fn films_are_harmful_by_the_guide() {
        let guide = "tconst,sex_code,violence_code,profanity_code,drug_code,intense_code\n\
            tt0000001,1,4,1,1,1\ntt0000002,3,1,1,1,1\ntt0000004,4,4,4,4,4\n";
        assert_eq!(of("{ guide = 't.csv', links = 'links.csv' }", guide), Ok(vec![T, F, F, F]));
        assert_eq!(of("{ guide = 't.csv', links = 'links.csv', at_least = 3 }", guide), Ok(vec![T, T, F, F]));
    }

    #[test]
    fn rules_that_are_none_are_refused() {
        for (text, expected) in [
            ("{ any = ['x'] }", "expected one of `groups`, `file` and `guide`"),
            ("{ groups = 'x', file = 'x' }", "expected one of `groups`, `file` and `guide`"),
            ("{ groups = 'x' }", "expected `groups` and `any`, and no other key"),
            ("{ groups = 'x', any = ['y'], at_least = 1 }", "expected `groups` and `any`, and no other key"),
            ("{ groups = 'x', any = [] }", "`any` must name at least one group"),
            (
                "{ file = 'x', column = 'y' }",
                "expected `file`, `item`, `column` or `columns`, perhaps `at_least`, and no other key",
            ),
            ("{ file = 'x', item = 'i', columns = [] }", "`columns` must name at least one column"),
            ("{ guide = 'x' }", "expected `guide`, `links`, perhaps `at_least`, and no other key"),
            ("{ guide = 'x', links = 'y', at_least = 5 }", "`at_least` must be a code from 1 to 4"),
            ("{ file = 'x', item = 'i', column = 'c', at_least = inf }", "`at_least` must be a finite number"),
        ] {
            assert_eq!(rule(text), Err(expected.into()), "{text}");
        }
        assert!(rule("{ group = 'x' }").unwrap_err().starts_with("unknown field `group`"));
    }

    #[test]
    fn rules_survive_a_round_trip() {
        for text in [
            "{ groups = 'genre', any = ['War'] }",
            "{ file = 'x', item = 'i', column = 'c' }",
            "{ file = 'x', item = 'i', columns = ['c', 'd'], at_least = 2 }",
            "{ guide = 'x', links = 'y' }",
        ] {
            let read = rule(text).unwrap();
            assert_eq!(serde_json::from_value::<HarmLabels>(serde_json::to_value(&read).unwrap()).unwrap(), read);
        }
    }
}
