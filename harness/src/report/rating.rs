//! The table of rating errors: all users beside each group of them.

use super::columns::{Rows, by_group, number, rounded, row_label};
use super::summary::{MeanFigure, OfflineSummary, SettingSummary};
use crate::progress::printable;
use crate::protocol::WORST_RMSE;
use comfy_table::Cell;

/// A grouping with more groups than this is shown by its best and its worst group only.
const MOST_GROUPS: usize = 8;

/// Of such groupings, groups with fewer test rows than this are neither: it would be noise.
const ENOUGH: u64 = 30;

/// One column for groups of users.
enum Column<'s> {
    /// A group, as figures name it.
    Group(String),
    /// The group of a grouping with the lowest error.
    Best(&'s str),
    /// The one with the highest.
    Worst(&'s str),
}

impl Column<'_> {
    fn name(&self) -> String {
        match self {
            Self::Group(name) => printable(name).into_owned(),
            Self::Best(grouping) => format!("{} best", printable(grouping)),
            Self::Worst(grouping) => format!("{} worst", printable(grouping)),
        }
    }

    /// What stands in the row of a setting.
    fn cell(&self, setting: &SettingSummary) -> Option<String> {
        let ends = |grouping: &str| by_group(&setting.figures, grouping, ("rmse", None), ENOUGH);
        let labelled = |(mean, label): &(f64, String)| format!("{} {}", printable(label), rounded(*mean, 4));
        match self {
            Self::Group(name) => of_group(setting, name).map(|f| rounded(f.mean, 4)),
            Self::Best(grouping) => ends(grouping).first().map(labelled),
            Self::Worst(grouping) => ends(grouping).last().map(labelled),
        }
    }
}

fn of_group<'s>(setting: &'s SettingSummary, name: &str) -> Option<&'s MeanFigure> {
    setting.figures.iter().find(|f| f.metric == "rmse" && f.group.as_deref() == Some(name))
}

/// For each setting that predicts ratings its RMSE over all test rows, over those of each group, and of the worst
/// group; none where no group has any.
pub(super) fn rating_table(summary: &OfflineSummary) -> Option<Rows> {
    let settings: Vec<&SettingSummary> = summary.settings.iter().filter(|s| s.mean("rmse").is_some()).collect();
    let columns = summary.data.user_groups.iter().flat_map(|grouping| {
        if grouping.sizes.len() > MOST_GROUPS {
            return vec![Column::Best(&grouping.name), Column::Worst(&grouping.name)];
        }
        grouping.sizes.iter().map(|(label, _)| Column::Group(format!("{}={label}", grouping.name))).collect()
    });
    // Groups without test rows would be columns of dashes.
    let columns: Vec<Column<'_>> =
        columns.filter(|column| settings.iter().any(|setting| column.cell(setting).is_some())).collect();
    if columns.is_empty() {
        return None;
    }
    let header = ["recommender".into(), "all".into()].into_iter().chain(columns.iter().map(Column::name));
    let mut table = vec![header.chain(["worst".to_string()]).map(Cell::new).collect::<Vec<_>>()];
    for setting in settings {
        let of_all = |name: &str| setting.mean(name).map(|mean| rounded(mean, 4));
        let groups = columns.iter().map(|column| column.cell(setting));
        let numbers = std::iter::once(of_all("rmse")).chain(groups).chain([of_all(WORST_RMSE)]);
        let numbers = numbers.map(|text| number(text.unwrap_or_else(|| "-".into())));
        table.push(std::iter::once(Cell::new(row_label(summary, setting))).chain(numbers).collect());
    }
    Some(table)
}

/// What stands below the table.
pub(super) fn rating_words(summary: &OfflineSummary) -> String {
    let among = summary.protected[0].as_deref().map_or_else(|| "all groups".into(), |g| format!("the groups by {g}"));
    let many: Vec<String> = summary
        .data
        .user_groups
        .iter()
        .filter(|grouping| grouping.sizes.len() > MOST_GROUPS)
        .map(|grouping| printable(&grouping.name).into_owned())
        .collect();
    let of_many = format!("; best and worst by {} of groups with {ENOUGH} test rows or more", many.join(", "));
    let of_many = if many.is_empty() { String::new() } else { of_many };
    format!("worst: the largest among {}, taken in every cell{of_many}", printable(&among))
}

#[cfg(test)]
mod tests {
    use super::super::Summary;
    use crate::compare::{Host, compare};
    use crate::experiment::{Experiment, Overrides};
    use std::fs;

    /// The report on 40 users, half of each gender and four of each of ten ages.
    fn report(recommenders: &[&str], groups: bool) -> String {
        let dir = tempfile::tempdir().unwrap();
        let rows = (0..3200).map(|n| format!("u{},i{},{}\n", n % 40, n * 7 % 81, (n * n + n / 40) % 5 + 1));
        fs::write(dir.path().join("rows.csv"), format!("user,item,rating\n{}", rows.collect::<String>())).unwrap();
        let of_users = |label: &dyn Fn(usize) -> String| -> String {
            (0..40).map(|user| format!("u{user},{}\n", label(user))).collect()
        };
        fs::write(dir.path().join("gender.csv"), of_users(&|user| ["F", "M"][user % 2].into())).unwrap();
        fs::write(dir.path().join("age.csv"), of_users(&|user| format!("a{}", user / 4))).unwrap();
        let groups = if groups { "user_groups = { gender.file = 'gender.csv', age.file = 'age.csv' }\n" } else { "" };
        let protect = if groups.is_empty() { "" } else { "protect.users = 'gender'\n" };
        let runs: String = recommenders.iter().map(|name| format!("[[run]]\nrecommender = '{name}'\n")).collect();
        let text = format!("[data]\npath = 'rows.csv'\n{groups}{protect}{runs}");
        let experiment = Experiment::parse("e", &text, dir.path(), &Overrides::default()).unwrap();
        let host = Host { threads: 1, ..Host::default() };
        super::super::terminal(&Summary::new(&experiment, &compare(&experiment, None, &host).unwrap()))
    }

    #[test]
    fn groups_stand_beside_all_and_many_of_them_by_their_ends() {
        let text = report(&["random", "popularity"], true);
        let part = text.split("rating error by group of users: rmse\n").nth(1).expect("a table").to_string();
        let fields = |from: &str| -> Vec<&str> {
            let line = part.lines().find(|line| line.contains(from)).unwrap();
            line.trim_matches('│').split('┆').map(str::trim).collect()
        };
        let names = ["recommender", "all", "age best", "age worst", "gender=F", "gender=M", "worst"];
        assert_eq!(fields("gender=F"), names);
        let row = fields("popularity");
        let value = |at: usize| -> f64 { row[at].rsplit(' ').next().unwrap().parse().unwrap() };
        assert!(row[2].starts_with('a') && value(2) < value(1) && value(1) < value(3), "{row:?}");
        assert_eq!(value(6), value(4).max(value(5)));
        let words = "worst: the largest among the groups by gender, taken in every cell; best and worst by age of groups \
            with 30 test rows or more";
        assert!(part.contains(words), "{part}");
        let table = part.split(words).next().unwrap();
        assert!(!table.contains("random"), "its scores are no ratings:\n{table}");
    }

    #[test]
    fn without_groups_or_ratings_there_is_no_table() {
        for (recommender, groups) in [("random", true), ("popularity", false)] {
            assert!(!report(&[recommender], groups).contains("rating error"), "{recommender}");
        }
    }
}
