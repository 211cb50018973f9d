//! Tables about users or items, read into titles and groups.
//!
//! Rows about ids that do not occur in the ratings are counted and left out. Small files: read line by line as text.

use super::options::Separator;
use super::rows::Lines;
use evenhand_core::{Error, Groups, Ids, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Columns with more distinct values than this (zip codes, say) are no groups.
pub(super) const MOST_GROUPS: usize = 100;

/// One line of a table: its number from 1, and its fields.
pub(super) type Record = (u64, Vec<String>);

/// What a column of a table means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    /// Title of an item.
    Title,
    /// One group per distinct value.
    Category,
    /// Age in years, or the lowest age of a bracket: cut into brackets. Other text is an error.
    Age,
    /// A number that stands for the label of that place; other text stays.
    Code(&'static [&'static str]),
    /// Any number of groups, separated by the character.
    List(char),
    /// An age if every value is a number, otherwise a category.
    PerhapsAge,
}

/// A column that is used: place from 0, name, meaning.
pub(super) type Attribute = (usize, String, Meaning);

/// What a table says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    pub(super) titles: Vec<String>,
    pub(super) groups: Vec<Groups>,
    /// All columns but titles, whether groupings or not.
    pub(super) columns: Vec<Values>,
    /// Rows about unknown ids.
    pub(super) unknown: usize,
    /// Columns with too many distinct values.
    pub(super) left_out: Vec<String>,
}

/// The values of a column, of each user or item in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values {
    pub(super) name: String,
    /// Every distinct value, also those that only unknown ids have.
    pub(super) labels: Vec<String>,
    /// Places among the labels, for each user or item.
    pub(super) of: Vec<Vec<u32>>,
}

impl Values {
    /// The members of every value that has some, by label.
    fn groups(&self) -> Vec<(String, Vec<u32>)> {
        let mut members = vec![Vec::new(); self.labels.len()];
        for (entity, places) in (0..).zip(&self.of) {
            places.iter().for_each(|&place| members[place as usize].push(entity));
        }
        let mut groups: Vec<_> =
            self.labels.iter().cloned().zip(members).filter(|(_, members)| !members.is_empty()).collect();
        groups.sort_unstable();
        groups
    }
}

/// The records of a text, blank lines left out. Fields between commas or semicolons may be quoted.
pub(super) fn records(path: &Path, text: &str, separator: Separator) -> Result<Vec<Record>> {
    if let Some(byte) = separator.quotable() {
        let mut reader =
            csv::ReaderBuilder::new().delimiter(byte).has_headers(false).flexible(true).from_reader(text.as_bytes());
        let (mut records, mut lines) = (Vec::new(), Lines::new(text.as_bytes()));
        for record in reader.records() {
            let record = record.map_err(|e| Error::data(path, e.to_string()))?;
            let line = lines.before(record.position()) + 1;
            let fields: Vec<String> = record.iter().map(|f| f.trim().to_string()).collect();
            // The reader leaves out empty lines, not those of blanks.
            if fields != [""] {
                records.push((line, fields));
            }
        }
        return Ok(records);
    }
    let record = |(line, text): (u64, &str)| {
        let mut fields = Vec::new();
        separator.split(text.as_bytes(), &mut fields);
        // Cut at ASCII separators, so every field is still UTF-8.
        (line, fields.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect())
    };
    Ok((1..).zip(text.lines()).filter(|(_, l)| !l.trim().is_empty()).map(record).collect())
}

/// The text of a file: UTF-8 where valid, otherwise Latin-1, in which every byte is a character.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// Titles and groups of the known `ids` from `records`, whose field `id` is the id.
///
/// # Errors
/// [`Error::Data`] with the line for another number of fields than `fields`, an id that occurs twice, or a bad age.
pub(super) fn read(
    path: &Path,
    records: &[Record],
    id: usize,
    fields: usize,
    attributes: &[Attribute],
    ids: &Ids,
) -> Result<Side> {
    let mut side = Side::default();
    let mut rows: Vec<(Option<u32>, &Record)> = Vec::with_capacity(records.len());
    let mut seen = vec![false; ids.len()];
    for record in records {
        let (line, cells) = record;
        if cells.len() != fields {
            return Err(Error::line(path, *line, format!("{} fields, expected {fields}", cells.len())));
        }
        let entity = ids.index(&cells[id]);
        side.unknown += usize::from(entity.is_none());
        if entity.is_some_and(|entity| std::mem::replace(&mut seen[entity as usize], true)) {
            return Err(Error::line(path, *line, format!("id `{}` occurs twice, expected one line per id", cells[id])));
        }
        rows.push((entity, record));
    }
    for (column, name, meaning) in attributes {
        let cells = rows.iter().map(|&(entity, (line, cells))| (entity, *line, cells[*column].as_str()));
        let cells = cells.filter(|(_, _, cell)| !cell.is_empty());
        let known = cells.clone().filter_map(|(entity, _, cell)| Some((entity?, cell)));
        if *meaning == Meaning::Title {
            side.titles = vec![String::new(); ids.len()];
            known.for_each(|(entity, cell)| side.titles[entity as usize] = cell.to_string());
            continue;
        }
        let meaning = match meaning {
            Meaning::PerhapsAge if known.clone().all(|(_, cell)| bracket(cell).is_some()) => Meaning::Age,
            Meaning::PerhapsAge => Meaning::Category,
            other => *other,
        };
        let mut values = Values { name: name.clone(), labels: Vec::new(), of: vec![Vec::new(); ids.len()] };
        let mut places = HashMap::new();
        for (entity, line, cell) in cells {
            let labels = meaning.labels(cell);
            if labels.is_none() && entity.is_some() {
                return Err(Error::line(path, line, format!("{name} `{cell}`, expected a number of years")));
            }
            for label in labels.into_iter().flatten() {
                let place = *places.entry(label).or_insert_with_key(|label| {
                    values.labels.push(label.to_string());
                    values.labels.len() as u32 - 1
                });
                entity.into_iter().for_each(|entity| values.of[entity as usize].push(place));
            }
        }
        let groups = values.groups();
        if groups.len() > MOST_GROUPS {
            side.left_out.push(name.clone());
        } else if !groups.is_empty() {
            side.groups.push(Groups::new(name, ids.len(), groups)?);
        }
        side.columns.push(values);
    }
    Ok(side)
}

impl Meaning {
    /// The values that a cell names; `None` where it should be an age and is none.
    fn labels(self, cell: &str) -> Option<Vec<Cow<'_, str>>> {
        Some(match self {
            Self::List(separator) => {
                cell.split(separator).map(str::trim).filter(|l| !l.is_empty()).map(Cow::Borrowed).collect()
            }
            Self::Age => vec![bracket(cell)?.into()],
            Self::Code(labels) => {
                let label = cell.parse().ok().and_then(|at: usize| labels.get(at));
                vec![label.map_or(cell, |l| *l).into()]
            }
            Self::Category | Self::PerhapsAge | Self::Title => vec![cell.into()],
        })
    }
}

/// The age brackets of MovieLens 1M, whose codes are the lowest ages of the brackets.
fn bracket(age: &str) -> Option<&'static str> {
    let age = age.parse::<f64>().ok().filter(|a| (0.0..200.0).contains(a))?;
    let (_, label) = BRACKETS.iter().rfind(|(from, _)| age >= *from)?;
    Some(label)
}

const BRACKETS: [(f64, &str); 7] = [
    (0.0, "under 18"),
    (18.0, "18-24"),
    (25.0, "25-34"),
    (35.0, "35-44"),
    (45.0, "45-49"),
    (50.0, "50-55"),
    (56.0, "56+"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Ids {
        Ids::new(names.iter().map(|n| n.to_string()).collect()).unwrap()
    }

    fn side(text: &str, meaning: Meaning) -> Result<Side> {
        let path = Path::new("x");
        let records = records(path, text, Separator::Pipe)?;
        read(path, &records, 0, 2, &[(1, "it".into(), meaning)], &ids(&["1", "2", "3"]))
    }

    fn sizes(side: &Side) -> Vec<(&str, usize)> {
        let groups = &side.groups[0];
        (0..groups.len()).map(|g| (groups.labels()[g].as_str(), groups.members(g).len())).collect()
    }

    #[test]
    fn groups_of_categories_lists_and_ages() {
        let s = side("1|M\n3|F\n2|\n9|M\n", Meaning::Category).unwrap();
        assert_eq!((sizes(&s), s.unknown, s.groups[0].of(1)), (vec![("F", 1), ("M", 1)], 1, [].as_slice()));
        let s = side("1|b a\n2|a\n", Meaning::List(' ')).unwrap();
        assert_eq!((sizes(&s), s.groups[0].of(0)), (vec![("a", 2), ("b", 1)], [0, 1].as_slice()));
        let s = side("1|17\n2|18\n3|56", Meaning::Age).unwrap();
        assert_eq!(sizes(&s), [("18-24", 1), ("56+", 1), ("under 18", 1)]);
        let s = side("1|1\n2|1\n3|7", Meaning::Code(&["other", "artist"])).unwrap();
        assert_eq!(sizes(&s), [("7", 1), ("artist", 2)]);
        assert_eq!(sizes(&side("1|24\n2|30", Meaning::PerhapsAge).unwrap()), [("18-24", 1), ("25-34", 1)]);
        assert_eq!(sizes(&side("1|24\n2|old", Meaning::PerhapsAge).unwrap()), [("24", 1), ("old", 1)]);
        assert_eq!(side("1|x y\n", Meaning::Title).unwrap().titles, ["x y", "", ""]);
    }

    #[test]
    fn lines_that_do_not_fit_are_named() {
        let say = |text, meaning| side(text, meaning).unwrap_err().to_string();
        assert_eq!(say("1|M\n\n2|F|x\n", Meaning::Category), "x:3: 3 fields, expected 2");
        assert_eq!(say("1|M\n1|F\n", Meaning::Category), "x:2: id `1` occurs twice, expected one line per id");
        assert_eq!(say("1|2x\n", Meaning::Age), "x:1: it `2x`, expected a number of years");
        assert_eq!(say("1|-3\n", Meaning::Age), "x:1: it `-3`, expected a number of years");
    }

    #[test]
    fn columns_with_many_values_are_left_out() {
        let names: Vec<String> = (0..=MOST_GROUPS).map(|n| n.to_string()).collect();
        let records: Vec<Record> = names.iter().map(|n| (1, vec![n.clone(), n.clone()])).collect();
        let ids = Ids::new(names).unwrap();
        let s = read(Path::new("x"), &records, 0, 2, &[(1, "zip".into(), Meaning::Category)], &ids).unwrap();
        assert_eq!((s.groups.len(), s.left_out), (0, vec!["zip".to_string()]));
    }

    #[test]
    fn text_that_is_not_utf8_is_latin1() {
        assert_eq!(decode(b"Caf\xe9"), "Caf\u{e9}");
        assert_eq!(decode("Café".as_bytes()), "Caf\u{e9}");
    }
}
