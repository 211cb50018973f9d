//! Groupings that the reader declares: by rule from a column of a side table, or from a file.

use evenhand_core::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// How a grouping of the users or items is made.
///
/// ```toml
/// [item_groups.genre-stereotype]      # the name of the grouping
/// from = "genre"                      # a column of the side table
/// rule = "first"                      # only the first value of a list counts; or "any"
/// groups = { M = ["War", "Crime", "Film-Noir", "Sci-Fi"], F = ["Children's", "Fantasy", "Musical", "Romance"] }
///
/// [user_groups.cohort]
/// file = "cohorts.csv"                # a line `id,label` for each membership
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Grouping {
    /// By the values of a column.
    Rule {
        /// The column, e.g. `genre`.
        from: String,
        /// Which values of a list count.
        rule: ListRule,
        /// The label of each group and the values that make a user or an item its member.
        groups: BTreeMap<String, Vec<String>>,
    },
    /// From a file with lines of an id and a label, separated by a tab, `,` or another separator that is recognised.
    ///
    /// An id on several lines is in several groups; equal lines count once. A first line that begins with `id`, or with
    /// another name for ids of users or items, is a header.
    File {
        /// The file; a relative path begins in the folder of the ratings.
        file: PathBuf,
    },
}

/// Which values of a list decide about groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListRule {
    /// The first one in the order of the file: groups do not overlap.
    #[default]
    First,
    /// All of them: groups may overlap.
    Any,
}

/// A [`Grouping`] as it stands in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<ListRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

impl TryFrom<Written> for Grouping {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written { from: None, rule: None, groups: None, file: Some(file) } => Ok(Self::File { file }),
            Written { file: Some(_), .. } => Err("a grouping from a `file` takes no other key"),
            Written { groups: None, .. } => Err("expected `groups = { LABEL = [\"VALUE\", ...] }`, or a `file`"),
            Written { from, rule, groups: Some(groups), file: None } => {
                let from = from.unwrap_or_else(|| GENRE.into());
                Ok(Self::Rule { from, rule: rule.unwrap_or_default(), groups })
            }
        }
    }
}

impl From<Grouping> for Written {
    fn from(grouping: Grouping) -> Self {
        match grouping {
            Grouping::Rule { from, rule, groups } => {
                Self { from: Some(from), rule: Some(rule), groups: Some(groups), file: None }
            }
            Grouping::File { file } => Self { from: None, rule: None, groups: None, file: Some(file) },
        }
    }
}

/// The column of items that groupings are made from unless another one is named.
pub(super) const GENRE: &str = "genre";

/// The grouping of items that every MovieLens format has.
pub(super) const STEREOTYPE: &str = "genre-stereotype";

/// Genres that are said to be watched by men or by women, as in the code of Cho, Choi & Suh 2022, "Equal Experience in
/// Recommender Systems". From MovieLens 20M on `Children's` is spelled `Children`. Their text has Action in place of Sci-Fi.
pub(super) fn stereotype() -> (ListRule, BTreeMap<String, Vec<String>>) {
    let group = |label: &str, genres: &[&str]| (label.into(), genres.iter().map(|g| g.to_string()).collect());
    let groups = [
        group("F", &["Children", "Children's", "Fantasy", "Musical", "Romance"]),
        group("M", &["Crime", "Film-Noir", "Sci-Fi", "War"]),
    ];
    (ListRule::First, groups.into())
}

/// Refuses what no data could fit. `field` is `user_groups` or `item_groups`.
pub(super) fn check(field: &str, groupings: &BTreeMap<String, Grouping>) -> Result<()> {
    let refuse = |field: String, value: &str, range: String| {
        Err(Error::OutOfRange { plugin: None, field, value: format!("`{value}`"), range })
    };
    for (name, grouping) in groupings {
        let odd = |c: char| c.is_control() || matches!(c, '.' | '=');
        if name.trim().is_empty() || name.contains(odd) {
            return refuse(field.into(), name, "a name without `.`, `=` and control characters".into());
        }
        let Grouping::Rule { rule, groups, .. } = grouping else { continue };
        let field = format!("{field}.{name}.groups");
        if groups.is_empty() {
            return refuse(field, "{}", "at least one group".into());
        }
        let mut group_of = HashMap::new();
        for (label, values) in groups {
            if values.is_empty() {
                return refuse(format!("{field}.{label}"), "[]", "at least one value".into());
            }
            for value in values {
                let before = group_of.insert(value, label).filter(|before| *before != label);
                if let Some(before) = before.filter(|_| *rule == ListRule::First) {
                    let range =
                        format!("a value that is not in `{before}` too; rule = \"any\" allows groups to overlap");
                    return refuse(format!("{field}.{label}"), value, range);
                }
            }
        }
    }
    Ok(())
}

/// Reads and [checks](check) groupings of the users.
pub(super) fn of_users<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Grouping>, D::Error> {
    read("user_groups", from)
}

/// Reads and [checks](check) groupings of the items.
pub(super) fn of_items<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Grouping>, D::Error> {
    read("item_groups", from)
}

fn read<'de, D: Deserializer<'de>>(field: &str, from: D) -> Result<BTreeMap<String, Grouping>, D::Error> {
    let groupings = BTreeMap::deserialize(from)?;
    check(field, &groupings).map_err(D::Error::custom)?;
    Ok(groupings)
}

#[cfg(test)]
mod tests {
    use crate::load::Options;

    fn say(toml: &str) -> String {
        toml::from_str::<Options>(toml).unwrap_err().message().to_string()
    }

    #[test]
    fn groupings_survive_a_round_trip() {
        let text = "[item_groups.x]\nrule = 'any'\ngroups = { a = ['War'] }\n[user_groups.y]\nfile = 'y.csv'\n";
        let options: Options = toml::from_str(text).unwrap();
        let again = toml::to_string(&options).unwrap();
        assert!(again.contains("from = \"genre\"") && again.contains("file = \"y.csv\""), "{again}");
        assert_eq!(toml::from_str::<Options>(&again).unwrap(), options);
    }

    #[test]
    fn what_no_data_could_fit_is_refused() {
        let overlap = |rule: &str| format!("[item_groups.x]\nrule = '{rule}'\ngroups = {{ a = ['War'], b = ['War'] }}");
        let twice = "parameter `item_groups.x.groups.b` = `War`, expected a value that is not in `a` too; \
            rule = \"any\" allows groups to overlap";
        assert_eq!(say(&overlap("first")), twice);
        assert!(toml::from_str::<Options>(&overlap("any")).is_ok());
        assert!(toml::from_str::<Options>("item_groups.x.groups.a = ['War', 'War']").is_ok(), "harmless");
        let empty = "parameter `user_groups.x.groups.a` = `[]`, expected at least one value";
        assert_eq!(say("user_groups.x.groups.a = []"), empty);
        assert!(say("item_groups.x.groups = {}").ends_with("expected at least one group"));
        assert!(say("item_groups.'a.b' = { file = 'x' }").contains("= `a.b`, expected a name without `.`, `=`"));
        assert!(say("item_groups.\"a\\nb\" = { file = 'x' }").contains("control characters"));
        assert!(say("item_groups.x = { file = 'x', rule = 'any' }").contains("takes no other key"));
        assert!(say("item_groups.x = { from = 'genre' }").starts_with("expected `groups = "));
        assert!(say("item_groups.x = { form = 'genre' }").starts_with("unknown field `form`"));
    }
}
