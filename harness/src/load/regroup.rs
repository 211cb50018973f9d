//! Groupings made by rule from the columns of a side table, or read from a file of ids and labels.

use super::detect::beside_data;
use super::grouping::{GENRE, Grouping, ListRule, STEREOTYPE, stereotype};
use super::layout;
use super::side::{self, Values};
use super::source::{bytes_of, without_mark};
use evenhand_core::{Error, Groups, Ids, Result, nearest};
use std::collections::BTreeMap;
use std::path::Path;

/// The users or the items, with what is known about them.
pub(super) struct Entities<'a> {
    /// `user` or `item`.
    pub(super) each: &'static str,
    pub(super) ids: &'a Ids,
    pub(super) columns: &'a [Values],
}

/// A grouping that was made, and how, in words.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) groups: Groups,
    pub(super) how: String,
}

type Members = Vec<(String, Vec<u32>)>;

impl Entities<'_> {
    /// The `declared` grouping called `name`. Relative paths begin beside the ratings of `data`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a column or value that does not exist, or a rule that leaves a group empty;
    /// [`Error::Data`] for a bad line of a file.
    pub(super) fn make(&self, name: &str, declared: &Grouping, data: &Path) -> Result<Made> {
        let each = self.each;
        let (members, how) = match declared {
            Grouping::File { file } => {
                let path = beside_data(data, file);
                (self.read(&path)?, format!("from {}", path.display()))
            }
            Grouping::Rule { from, rule, groups } => {
                let field = |key: &str| format!("{each}_groups.{name}.{key}");
                let refuse = |field: String, value: &str, range: String| {
                    Err(Error::OutOfRange { plugin: None, field, value: format!("`{value}`"), range })
                };
                let Some(column) = self.columns.iter().find(|c| c.name == *from) else {
                    let known = self.columns.iter().map(|c| c.name.as_str());
                    return refuse(field("from"), from, expected(&format!("a column about the {each}s"), from, known));
                };
                for (label, values) in groups {
                    if let Some(unknown) = values.iter().find(|v| !column.labels.contains(v)) {
                        let known = column.labels.iter().map(String::as_str);
                        let range = expected(&format!("a {from} of some {each}"), unknown, known);
                        return refuse(field(&format!("groups.{label}")), unknown, range);
                    }
                }
                let members = by_rule(column, *rule, groups);
                if let Some((label, _)) = members.iter().find(|(_, members)| members.is_empty()) {
                    let range = format!("at least one {each} with ratings whose {} {from} it is", rule.word());
                    return refuse(field(&format!("groups.{label}")), &groups[label].join(", "), range);
                }
                (members, in_words(from, *rule, groups))
            }
        };
        Ok(Made { groups: Groups::new(name, self.ids.len(), members)?, how })
    }

    /// The grouping that MovieLens items have unless another one of that name is declared; `None` where a group would
    /// be empty.
    pub(super) fn stereotype(&self) -> Result<Option<Made>> {
        let Some(column) = self.columns.iter().find(|c| c.name == GENRE) else { return Ok(None) };
        let (rule, mut groups) = stereotype();
        groups.values_mut().for_each(|genres| genres.retain(|g| column.labels.contains(g)));
        let members = by_rule(column, rule, &groups);
        if members.iter().any(|(_, members)| members.is_empty()) {
            return Ok(None);
        }
        let how = in_words(GENRE, rule, &groups);
        Ok(Some(Made { groups: Groups::new(STEREOTYPE, self.ids.len(), members)?, how }))
    }

    /// The groups in a file with lines of id and label.
    fn read(&self, path: &Path) -> Result<Members> {
        let each = self.each;
        let bytes = bytes_of(path)?;
        let bytes = without_mark(&bytes);
        let sample = layout::first_lines(bytes);
        let &[(first, ..), ..] = sample.as_slice() else {
            return Err(Error::data(path, "no lines, expected `id,label` on each"));
        };
        let separator = layout::separator(&sample)
            .ok_or_else(|| Error::line(path, first, "one field, expected an id and a label, e.g. `7,young`"))?;
        let mut records = side::records(path, &side::decode(bytes), separator)?;
        let is_header = |id: &str| self.ids.index(id).is_none() && (id == "id" || layout::is_id(id, each == "user"));
        if records.first().is_some_and(|(_, cells)| is_header(&cells[0])) {
            records.remove(0);
        }
        let mut groups: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (line, cells) in records {
            let [id, label] = cells.as_slice() else {
                let reason = format!("{} fields, expected 2: an id and a label", cells.len());
                return Err(Error::line(path, line, reason));
            };
            if label.is_empty() {
                return Err(Error::line(path, line, format!("{each} `{id}` without a label")));
            }
            if label.contains(char::is_control) {
                let reason = "a label with a line end or another control character; is a quote not closed?";
                return Err(Error::line(path, line, reason));
            }
            match self.ids.index(id) {
                Some(entity) => groups.entry(label.clone()).or_default().push(entity),
                None => unknown.push((line, id.clone())),
            }
        }
        if let Some((line, id)) = unknown.first() {
            let more = match unknown.len() - 1 {
                0 => String::new(),
                n => format!(", nor do those of {n} more lines"),
            };
            let reason = format!("{each} `{id}` does not occur in the ratings{more}; leave such lines out");
            return Err(Error::line(path, *line, reason));
        }
        if groups.is_empty() {
            return Err(Error::data(path, "no lines but a header, expected `id,label` on each"));
        }
        Ok(groups.into_iter().collect())
    }
}

impl ListRule {
    fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Any => "any",
        }
    }
}

/// The members of every group, in the order of the labels.
fn by_rule(column: &Values, rule: ListRule, groups: &BTreeMap<String, Vec<String>>) -> Members {
    let mut of_value = vec![Vec::new(); column.labels.len()];
    for (g, values) in groups.values().enumerate() {
        let places = column.labels.iter().enumerate().filter(|(_, label)| values.contains(label));
        places.for_each(|(place, _)| of_value[place].push(g));
    }
    let mut members = vec![Vec::new(); groups.len()];
    for (entity, values) in (0..).zip(&column.of) {
        let counted = match rule {
            ListRule::First => &values[..values.len().min(1)],
            ListRule::Any => values,
        };
        let mut of: Vec<usize> = counted.iter().flat_map(|&v| &of_value[v as usize]).copied().collect();
        of.sort_unstable();
        of.dedup();
        of.into_iter().for_each(|g| members[g].push(entity));
    }
    groups.keys().cloned().zip(members).collect()
}

fn in_words(from: &str, rule: ListRule, groups: &BTreeMap<String, Vec<String>>) -> String {
    let groups: Vec<String> = groups.iter().map(|(label, values)| format!("{label} = {}", values.join(", "))).collect();
    format!("by {} {from}: {}", rule.word(), groups.join("; "))
}

/// What was expected in place of `wrong`, with the nearest and all known names.
pub(super) fn expected<'a>(what: &str, wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let hint = nearest(wrong, known.iter().copied()).map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
    let (named, more) = known.split_at(known.len().min(MOST_NAMED));
    let named = if named.is_empty() { "none".into() } else { named.join(", ") };
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{what}{hint}; there: {named}{more}")
}

/// Names that a message lists.
const MOST_NAMED: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn column() -> Values {
        // Ids 1 to 5; a War film only outside the data, a Western in no list.
        let labels = ["Drama", "Crime", "Musical", "Western", "War"].map(String::from).to_vec();
        let of = vec![vec![0, 1], vec![1, 2], vec![2, 1], vec![], vec![3, 2]];
        Values { name: "genre".into(), labels, of }
    }

    fn ids() -> Ids {
        Ids::new((1..=5).map(|n| n.to_string()).collect()).unwrap()
    }

    fn rule(rule: ListRule, groups: &[(&str, &[&str])]) -> Grouping {
        let list = |values: &[&str]| values.iter().map(|v| v.to_string()).collect();
        let groups = groups.iter().map(|(label, values)| (label.to_string(), list(values))).collect();
        Grouping::Rule { from: "genre".into(), rule, groups }
    }

    fn make(declared: &Grouping) -> Result<Made> {
        let (columns, ids) = ([column()], ids());
        Entities { each: "item", ids: &ids, columns: &columns }.make("kind", declared, Path::new("/d/ratings.csv"))
    }

    fn members(made: &Made) -> Vec<(&str, &[u32])> {
        let groups = &made.groups;
        (0..groups.len()).map(|g| (groups.labels()[g].as_str(), groups.members(g))).collect()
    }

    fn say(declared: &Grouping) -> String {
        make(declared).unwrap_err().to_string()
    }

    #[test]
    fn the_first_value_or_any_decides() {
        let lists: [(&str, &[&str]); 2] = [("m", &["War", "Crime"]), ("f", &["Musical"])];
        let first = make(&rule(ListRule::First, &lists)).unwrap();
        assert_eq!(members(&first), [("f", [2].as_slice()), ("m", &[1])]);
        assert_eq!(first.how, "by first genre: f = Musical; m = War, Crime");
        let any = make(&rule(ListRule::Any, &lists)).unwrap();
        assert_eq!(members(&any), [("f", [1, 2, 4].as_slice()), ("m", &[0, 1, 2])]);
        let nested = make(&rule(ListRule::Any, &[("a", &["Crime"]), ("b", &["Crime", "Drama"])])).unwrap();
        assert_eq!(members(&nested), [("a", [0, 1, 2].as_slice()), ("b", &[0, 1, 2])]);
    }

    #[test]
    fn unknown_names_and_empty_groups_are_named() {
        let unknown = "parameter `item_groups.kind.groups.m` = `Crimes`, expected a genre of some item \
            (did you mean `Crime`?); there: Crime, Drama, Musical, War, Western";
        assert_eq!(say(&rule(ListRule::Any, &[("m", &["War", "Crimes"])])), unknown);
        let empty = "parameter `item_groups.kind.groups.m` = `War`, expected at least one item with ratings whose first \
            genre it is";
        assert_eq!(say(&rule(ListRule::First, &[("f", &["Musical"]), ("m", &["War"])])), empty);
        let Grouping::Rule { rule, groups, .. } = rule(ListRule::First, &[("m", &["War"])]) else { unreachable!() };
        let column = "parameter `item_groups.kind.from` = `genr`, expected a column about the items \
            (did you mean `genre`?); there: genre";
        assert_eq!(say(&Grouping::Rule { from: "genr".into(), rule, groups }), column);
    }

    #[test]
    fn the_stereotype_needs_both_of_its_groups() {
        let (mut columns, ids) = ([column()], ids());
        let made = Entities { each: "item", ids: &ids, columns: &columns }.stereotype().unwrap().unwrap();
        assert_eq!(
            (made.groups.name(), members(&made)),
            ("genre-stereotype", vec![("F", [2].as_slice()), ("M", &[1])])
        );
        assert_eq!(made.how, "by first genre: F = Musical; M = Crime, War");
        columns[0].of[1].clear();
        assert!(Entities { each: "item", ids: &ids, columns: &columns }.stereotype().unwrap().is_none());
        assert!(Entities { each: "item", ids: &ids, columns: &[] }.stereotype().unwrap().is_none());
    }

    fn file(text: &str) -> Result<Made> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("g.csv"), text).unwrap();
        let ids = ids();
        let users = Entities { each: "user", ids: &ids, columns: &[] };
        users.make("cohort", &Grouping::File { file: "g.csv".into() }, dir.path())
    }

    #[test]
    fn files_list_ids_and_labels() {
        let expected = [("new, old", [0, 4].as_slice()), ("old", &[0])];
        for text in [
            "1,old\n\n1,\"new, old\"\n5,\"new, old\"\n1,old",
            "userId;cohort\r\n1;old\r\n5;new, old\r\n1;\"new, old\"",
            "\u{feff}id\tit\n5\tnew, old\n1\told\n1\tnew, old\n",
            "\u{feff}\"1\",\"old\"\r\n  \r\n5,\"new, old\"\r\n1,\"new, old\"\r\n \t\r\n",
        ] {
            assert_eq!(members(&file(text).unwrap()), expected, "{text}");
        }
        assert!(file("1 old").unwrap().how.ends_with("g.csv"));
    }

    #[test]
    fn bad_lines_of_a_file_are_named() {
        let say = |text| file(text).unwrap_err().to_string().rsplit_once("g.csv").unwrap().1.to_string();
        let unknown = ":3: user `9` does not occur in the ratings, nor do those of 1 more lines; leave such lines out";
        assert_eq!(say("1,a\n\n9,a\n2,b\n8,a\n"), unknown);
        assert_eq!(say("1,a\nno,a\n"), ":2: user `no` does not occur in the ratings; leave such lines out");
        assert_eq!(say("1,a\n2,a,b\n"), ":2: 3 fields, expected 2: an id and a label");
        assert_eq!(say("1,a\n2,\n"), ":2: user `2` without a label");
        let quote = ":1: a label with a line end or another control character; is a quote not closed?";
        assert_eq!(say("1,\"a\n2,b\n"), quote);
        assert_eq!(say("1,a\u{1b}[2J\n"), quote);
        assert_eq!(say("1\n2\n"), ":1: one field, expected an id and a label, e.g. `7,young`");
        assert_eq!(say("\n \n"), ": no lines, expected `id,label` on each");
        assert_eq!(say("id,label\n"), ": no lines but a header, expected `id,label` on each");
    }
}
