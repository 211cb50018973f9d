//! What a data set holds, in figures.

use super::source::duplicates;
use evenhand_core::{Compressed, Dataset, Groups, Scale};
use serde::Serialize;
use std::fmt;

/// Data with more distinct values than this has no histogram.
const MOST_BINS: usize = 20;

/// The figures of one data set; made by [`describe`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// What the data set is called.
    pub name: String,
    /// Number of users.
    pub users: usize,
    /// Number of items.
    pub items: usize,
    /// Number of (training) rows.
    pub rows: usize,
    /// Number of test rows, for data that is published already split.
    pub test_rows: Option<usize>,
    /// Share of all user-item pairs that have a row.
    pub density: f64,
    /// Rows that repeat the user and item of another.
    pub duplicates: usize,
    /// Mean value.
    pub mean: f64,
    /// Rows per value, ascending; empty for more than 20 distinct values.
    pub values: Vec<Bin>,
    /// Declared or inferred meaning of the values.
    pub scale: Scale,
    /// Share of rows that are likes.
    pub likes: f64,
    /// Rows per user.
    pub per_user: Spread,
    /// Rows per item.
    pub per_item: Spread,
    /// First and last time in seconds since 1970, for data with times.
    pub times: Option<(i64, i64)>,
    /// Groupings of the users.
    pub user_groups: Vec<GroupSizes>,
    /// Groupings of the items.
    pub item_groups: Vec<GroupSizes>,
}

/// How often a value occurs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// The value.
    pub value: f32,
    /// Rows that have it.
    pub rows: usize,
}

/// How many rows the users, or the items, have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Fewest rows.
    pub min: usize,
    /// Mean number of rows.
    pub mean: f64,
    /// Most rows.
    pub max: usize,
    /// How many have no (training) row at all.
    pub without: usize,
}

/// A grouping and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSizes {
    /// What the groups are about.
    pub name: String,
    /// Label and number of members of each group.
    pub sizes: Vec<(String, usize)>,
    /// Users or items in no group.
    pub ungrouped: usize,
    /// Whether some are in more than one group.
    pub overlapping: bool,
    /// Whether fairness is asked for between these groups.
    pub protected: bool,
}

/// The figures of `data`.
pub fn describe(data: &Dataset) -> Description {
    let ratings = &data.ratings;
    let rows = ratings.len();
    let repeated = duplicates(ratings);
    let values = ratings.by_user().all_values();
    let share = |part: usize, whole: f64| if whole > 0.0 { part as f64 / whole } else { 0.0 };
    let times = ratings.times().and_then(|t| Some((*t.iter().min()?, *t.iter().max()?)));
    Description {
        name: data.name.clone(),
        users: ratings.users(),
        items: ratings.items(),
        rows,
        test_rows: data.test.as_ref().map(|t| t.len()),
        density: share(rows - repeated, ratings.users() as f64 * ratings.items() as f64),
        duplicates: repeated,
        mean: ratings.mean(),
        values: histogram(values),
        scale: data.scale,
        likes: share(values.iter().filter(|&&v| data.scale.likes(v)).count(), rows as f64),
        per_user: spread(ratings.by_user()),
        per_item: spread(ratings.by_item()),
        times,
        user_groups: groupings(&data.user_groups, data.protected_users),
        item_groups: groupings(&data.item_groups, data.protected_items),
    }
}

fn histogram(values: &[f32]) -> Vec<Bin> {
    let mut bins: Vec<Bin> = Vec::new();
    for &value in values {
        match bins.iter().position(|b| b.value == value) {
            Some(at) => bins[at].rows += 1,
            None if bins.len() == MOST_BINS => return Vec::new(),
            None => bins.push(Bin { value, rows: 1 }),
        }
    }
    bins.sort_by(|a, b| a.value.total_cmp(&b.value));
    bins
}

fn spread(rows: &Compressed) -> Spread {
    let counts = || (0..rows.len()).map(|e| rows.count(e));
    Spread {
        min: counts().min().unwrap_or(0),
        mean: rows.all_values().len() as f64 / rows.len().max(1) as f64,
        max: counts().max().unwrap_or(0),
        without: counts().filter(|&c| c == 0).count(),
    }
}

fn groupings(groupings: &[Groups], protected: usize) -> Vec<GroupSizes> {
    groupings.iter().enumerate().map(|(at, groups)| sizes(groups, at == protected)).collect()
}

fn sizes(groups: &Groups, protected: bool) -> GroupSizes {
    let of = || (0..groups.entities() as u32).map(|e| groups.of(e).len());
    GroupSizes {
        name: groups.name().to_string(),
        sizes: groups.labels().iter().enumerate().map(|(g, l)| (l.clone(), groups.members(g).len())).collect(),
        ungrouped: of().filter(|&n| n == 0).count(),
        overlapping: of().any(|n| n > 1),
        protected,
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        writeln!(f, "  users     {:>9}   {}", self.users, self.per_user)?;
        writeln!(f, "  items     {:>9}   {}", self.items, self.per_item)?;
        write!(f, "  rows      {:>9}   {:.3} % of all pairs", self.rows, 100.0 * self.density)?;
        match self.duplicates {
            0 => writeln!(f, ", no duplicates")?,
            n => writeln!(f, ", {n} duplicates")?,
        }
        if let Some(rows) = self.test_rows {
            writeln!(f, "  test rows {rows:>9}")?;
        }
        let Scale { low, high, like_above } = self.scale;
        let likes = 100.0 * self.likes;
        writeln!(f, "  values    {low} to {high}, mean {:.3}; above {like_above} a like: {likes:.1} %", self.mean)?;
        for Bin { value, rows } in &self.values {
            writeln!(f, "  {value:>9} {rows:>9}   {:.1} %", 100.0 * *rows as f64 / self.rows as f64)?;
        }
        match self.times {
            Some((first, last)) => writeln!(f, "  times     {} to {}", date(first), date(last))?,
            None => writeln!(f, "  times     none")?,
        }
        self.user_groups.iter().try_for_each(|g| writeln!(f, "  users by {g}"))?;
        self.item_groups.iter().try_for_each(|g| writeln!(f, "  items by {g}"))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} rows each, mean {:.1}", self.min, self.max, self.mean)?;
        if self.without > 0 { write!(f, "; {} without", self.without) } else { Ok(()) }
    }
}

impl fmt::Display for GroupSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.protected { " (protected)" } else { "" })?;
        for (at, (label, size)) in self.sizes.iter().enumerate() {
            write!(f, "{} {label} {size}", if at == 0 { ":" } else { "," })?;
        }
        if self.ungrouped > 0 {
            write!(f, "; in none {}", self.ungrouped)?;
        }
        if self.overlapping { write!(f, "; overlapping") } else { Ok(()) }
    }
}

/// The date of a time in seconds since 1970, as year-month-day in the Gregorian calendar (UTC).
fn date(seconds: i64) -> String {
    // Years begin in March here, so that the leap day is the last of its year; an era is 400 such years.
    let day = seconds.div_euclid(86_400) + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Interactions, Rows};

    fn small() -> Dataset {
        let mut rows = Rows::default();
        [(0, 0, 5.0), (0, 0, 3.0), (1, 2, 3.0), (1, 0, 1.0)].iter().for_each(|&(u, i, v)| rows.push(u, i, v));
        rows.times = vec![951_782_400, 0, -1, 86_400];
        let mut data = Dataset::new("small", Interactions::new(3, 4, &rows).unwrap(), Scale::FIVE_STARS);
        let groups = vec![("a".into(), vec![0, 1]), ("b".into(), vec![1])];
        data.user_groups.push(Groups::new("side", 3, groups).unwrap());
        data
    }

    #[test]
    fn figures_of_a_small_data_set() {
        let d = describe(&small());
        assert_eq!((d.users, d.items, d.rows, d.duplicates, d.density), (3, 4, 4, 1, 0.25));
        assert_eq!((d.mean, d.likes, d.times), (3.0, 0.25, Some((-1, 951_782_400))));
        assert_eq!(d.values.iter().map(|b| (b.value, b.rows)).collect::<Vec<_>>(), [(1.0, 1), (3.0, 2), (5.0, 1)]);
        assert_eq!((d.per_user.min, d.per_user.max, d.per_user.without, d.per_item.without), (0, 2, 1, 2));
        assert_eq!((d.user_groups[0].ungrouped, d.user_groups[0].overlapping), (1, true));
        let text = d.to_string();
        assert!(text.contains("1969-12-31 to 2000-02-29"), "{text}");
        assert!(text.contains("users by side (protected): a 2, b 1; in none 1; overlapping"), "{text}");
        assert!(serde_json::to_value(&d).unwrap()["values"][1]["rows"] == 2);
    }

    #[test]
    fn many_distinct_values_have_no_histogram() {
        assert!(histogram(&(0..30).map(|v| v as f32).collect::<Vec<_>>()).is_empty());
    }

    #[test]
    fn dates() {
        for (seconds, text) in [(0, "1970-01-01"), (978_824_330, "2001-01-06"), (4_107_542_399, "2100-02-28")] {
            assert_eq!(date(seconds), text);
        }
    }
}
