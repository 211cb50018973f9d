//! How the groups of a table are made from its columns.

use evenhand_core::{Error, Result};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One entry of [`TableOptions::groups`](super::TableOptions::groups): a group or several.
///
/// ```toml
/// groups = [
///     "g_*",                                              # columns of 0 and 1
///     { column = "race" },                                # a group per value, `race=Black`
///     { column = "sex", values = ["Male", "Female"] },    # of these values, in this order
///     { column = "age", bins = [35, 50], labels = ["young", "middle", "old"] },       # age <= 35, up to 50, above
///     { column = "bmi", bins = [18.5, 25, 30], closed = "left", feature = true },     # bmi < 18.5, below 25, ...
/// ]
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRule {
    /// A column, or all columns that fit a pattern with `*`, whose cells are 1 for members and 0 for others.
    ///
    /// A group is called like its column; by a pattern with one `*`, like what that stands for (`g_*` makes `young` of
    /// `g_young`), unless a name then is empty, occurs twice among all groups or is `all`, as all rows together are
    /// called.
    Columns(String),
    /// A group for each value of a column, called `column=value`. No row is in two of them.
    Values {
        /// The column.
        column: String,
        /// The values that make groups, in this order; one that no row has is an error, for it may be a slip. None means
        /// all of them, sorted, of a column of at most 1000.
        values: Vec<String>,
        /// Whether the memberships are features too.
        feature: bool,
    },
    /// A group for each interval of a column of numbers. Each row is in one of them.
    Bins {
        /// The column.
        column: String,
        /// The bounds between the intervals, ascending.
        bins: Vec<f64>,
        /// Names of the intervals, one more than bounds, for groups called `column=label`; none means that groups are
        /// called like their interval, `35<age<=50`.
        labels: Vec<String>,
        /// To which interval a bound belongs.
        closed: Closed,
        /// Whether the memberships are features too.
        feature: bool,
    },
}

/// The end at which an interval holds its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// A bound belongs to the interval below it.
    #[default]
    Right,
    /// A bound belongs to the interval above it.
    Left,
}

impl Closed {
    /// The place, from 0, of the interval between `bins` that holds `value`.
    pub(super) fn place(self, bins: &[f64], value: f64) -> usize {
        bins.partition_point(|&bound| match self {
            Self::Right => bound < value,
            Self::Left => bound <= value,
        })
    }

    /// The interval of that place in words: `35<age<=50`. There is at least one bound.
    fn interval(self, column: &str, bins: &[f64], place: usize) -> String {
        let (lower, upper) = match self {
            Self::Right => ("<", "<="),
            Self::Left => ("<=", "<"),
        };
        match bins.get(place) {
            Some(high) if place == 0 => format!("{column}{upper}{high}"),
            Some(high) => format!("{}{lower}{column}{upper}{high}", bins[place - 1]),
            None => format!("{column}{}{}", if self == Self::Right { ">" } else { ">=" }, bins[place - 1]),
        }
    }
}

/// Names of the groups of the intervals between `bins`, in their order.
pub(super) fn interval_names(column: &str, bins: &[f64], labels: &[String], closed: Closed) -> Vec<String> {
    let name = |place| match labels.get(place) {
        Some(label) => format!("{column}={label}"),
        None => closed.interval(column, bins, place),
    };
    (0..=bins.len()).map(name).collect()
}

impl GroupRule {
    /// The column, or the pattern of columns.
    pub(super) fn column(&self) -> &str {
        match self {
            Self::Columns(column) | Self::Values { column, .. } | Self::Bins { column, .. } => column,
        }
    }

    /// Refuses what no table could fit.
    pub(super) fn check(&self) -> Result<()> {
        let Self::Bins { column, bins, labels, .. } = self else { return Ok(()) };
        let refuse = |key: &str, value: String, range: String| {
            Err(Error::OutOfRange { plugin: None, field: format!("groups.{column}.{key}"), value, range })
        };
        let ascending = bins.windows(2).all(|pair| pair[0] < pair[1]);
        if bins.is_empty() || !ascending || !bins.iter().all(|bound| bound.is_finite()) {
            return refuse("bins", format!("{bins:?}"), "finite numbers, ascending, at least one".into());
        }
        let intervals = bins.len() + 1;
        if !labels.is_empty() && labels.len() != intervals {
            let range = format!("{intervals} labels: one for each interval between the bins, below and above them");
            return refuse("labels", format!("[{}]", labels.join(", ")), range);
        }
        Ok(())
    }
}

/// A [`GroupRule`] as it stands in files, unless it is only a name.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    column: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bins: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<Closed>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    feature: bool,
}

impl TryFrom<Written> for GroupRule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { column, values, bins, labels, closed, feature } = written;
        let rule = match (values, bins) {
            (Some(_), Some(_)) => return Err("expected one of `values` and `bins`".into()),
            (Some(values), None) if values.is_empty() => return Err("`values` must name at least one value".into()),
            (_, None) if labels.is_some() || closed.is_some() => {
                return Err("`labels` and `closed` stand beside `bins` only".into());
            }
            (values, None) => Self::Values { column, values: values.unwrap_or_default(), feature },
            (None, Some(bins)) => {
                let (labels, closed) = (labels.unwrap_or_default(), closed.unwrap_or_default());
                Self::Bins { column, bins, labels, closed, feature }
            }
        };
        rule.check().map_err(|e| e.to_string())?;
        Ok(rule)
    }
}

impl<'de> Deserialize<'de> for GroupRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Rule;

        impl<'de> Visitor<'de> for Rule {
            type Value = GroupRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column of 0 and 1, a pattern such as \"g_*\", or a table with `column`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<GroupRule, E> {
                Ok(GroupRule::Columns(name.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GroupRule, A::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(map))?;
                written.try_into().map_err(A::Error::custom)
            }
        }

        from.deserialize_any(Rule)
    }
}

impl Serialize for GroupRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let some = |texts: &Vec<String>| (!texts.is_empty()).then(|| texts.clone());
        match self {
            Self::Columns(name) => to.serialize_str(name),
            Self::Values { column, values, feature } => {
                let (column, values) = (column.clone(), some(values));
                Written { column, values, feature: *feature, ..Written::default() }.serialize(to)
            }
            Self::Bins { column, bins, labels, closed, feature } => {
                let (column, bins, labels, closed) = (column.clone(), Some(bins.clone()), some(labels), Some(*closed));
                Written { column, values: None, bins, labels, closed, feature: *feature }.serialize(to)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TableOptions;
    use super::*;

    fn rule(toml: &str) -> Result<GroupRule, String> {
        let options: Result<TableOptions, _> = toml::from_str(&format!("groups = [{toml}]"));
        options.map(|mut options| options.groups.remove(0)).map_err(|e| e.message().to_string())
    }

    #[test]
    fn rules_survive_a_round_trip() {
        for text in [
            "'g_*'",
            "{ column = 'sex' }",
            "{ column = 'sex', values = ['M', 'F'], feature = true }",
            "{ column = 'age', bins = [35, 50.5], labels = ['a', 'b', 'c'], closed = 'left' }",
            "{ column = 'age', bins = [35] }",
        ] {
            let options = TableOptions { groups: vec![rule(text).unwrap()], ..TableOptions::default() };
            let json = serde_json::to_value(&options).unwrap();
            assert_eq!(serde_json::from_value::<TableOptions>(json).unwrap(), options, "{text}");
            assert_eq!(toml::from_str::<TableOptions>(&toml::to_string(&options).unwrap()).unwrap(), options);
        }
        assert_eq!(rule("'a'"), Ok(GroupRule::Columns("a".into())));
    }

    #[test]
    fn rules_that_no_table_fits_are_refused() {
        let bins = "expected finite numbers, ascending, at least one";
        for (text, expected) in [
            ("{ column = 'a', bins = [50, 35] }", format!("parameter `groups.a.bins` = [50.0, 35.0], {bins}")),
            ("{ column = 'a', bins = [35, 35] }", format!("parameter `groups.a.bins` = [35.0, 35.0], {bins}")),
            ("{ column = 'a', bins = [] }", format!("parameter `groups.a.bins` = [], {bins}")),
            ("{ column = 'a', bins = [nan] }", format!("parameter `groups.a.bins` = [NaN], {bins}")),
            (
                "{ column = 'a', bins = [35], labels = ['x'] }",
                "parameter `groups.a.labels` = [x], expected 2 labels: one for each interval between the bins, below and \
                 above them"
                    .into(),
            ),
            ("{ column = 'a', bins = [35], values = ['x'] }", "expected one of `values` and `bins`".into()),
            ("{ column = 'a', values = [] }", "`values` must name at least one value".into()),
            ("{ column = 'a', labels = ['x'] }", "`labels` and `closed` stand beside `bins` only".into()),
            ("{ values = ['x'] }", "missing field `column`".into()),
        ] {
            assert_eq!(rule(text), Err(expected), "{text}");
        }
        assert!(rule("{ column = 'a', bin = [1] }").unwrap_err().starts_with("unknown field `bin`"));
        let kind = "invalid type: integer `3`, expected the name of a column of 0 and 1, a pattern such as \"g_*\", or a \
            table with `column`";
        assert_eq!(rule("3"), Err(kind.into()));
    }

    #[test]
    fn intervals_hold_their_bounds_at_one_end() {
        let bins = [18.5, 25.0];
        let places = |closed: Closed| [18.0, 18.5, 20.0, 25.0, 26.0].map(|value| closed.place(&bins, value));
        assert_eq!(places(Closed::Right), [0, 0, 1, 1, 2]);
        assert_eq!(places(Closed::Left), [0, 1, 1, 2, 2]);
        let names = |closed| interval_names("bmi", &bins, &[], closed);
        assert_eq!(names(Closed::Right), ["bmi<=18.5", "18.5<bmi<=25", "bmi>25"]);
        assert_eq!(names(Closed::Left), ["bmi<18.5", "18.5<=bmi<25", "bmi>=25"]);
        assert_eq!(
            interval_names("age", &[35.0], &["young".into(), "old".into()], Closed::Right),
            ["age=young", "age=old"]
        );
    }
}
