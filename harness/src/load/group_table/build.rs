//! From columns to a table with labels.

use super::super::regroup::expected;
use super::cells::Cells;
use super::columns::{Column, Columns};
use super::options::TableOptions;
use super::pattern::starred;
use super::plan::Plan;
use super::rule::{Closed, GroupRule, interval_names};
use evenhand_core::{Error, GroupData, GroupTable, Result};
use nalgebra::DMatrix;
use std::collections::{HashMap, HashSet};

/// What decides whether a row is in a group.
enum Membership<'a> {
    /// A number other than 0.
    Flag(&'a [f64]),
    /// A value.
    Value(&'a [u32], u32),
    /// A number in the interval of a place between bounds.
    Interval(&'a [f64], &'a [f64], Closed, usize),
}

impl Membership<'_> {
    fn of(&self, row: usize) -> bool {
        match *self {
            Self::Flag(numbers) => numbers[row] != 0.0,
            Self::Value(codes, code) => codes[row] == code,
            Self::Interval(numbers, bins, closed, place) => closed.place(bins, numbers[row]) == place,
        }
    }
}

/// A group to be.
struct Group<'a> {
    name: String,
    membership: Membership<'a>,
    feature: bool,
}

/// The table of the columns that were planned.
pub(super) fn table(cells: &Cells, plan: &Plan, mut columns: Columns, options: &TableOptions) -> Result<GroupData> {
    let mut labels = std::mem::take(&mut columns.all[plan.label].numbers);
    if options.scale_label {
        let (low, width) = range(&labels);
        labels.iter_mut().for_each(|label| *label = scaled(*label, low, width));
    }
    let groups = groups(cells, plan, &columns, options)?;
    let rows = columns.rows;
    let membership = DMatrix::from_fn(groups.len(), rows, |group, row| groups[group].membership.of(row));
    let (names, features) = features(cells, plan, &columns, &groups, &membership);
    if names.is_empty() {
        let alone = cells.names.len() == 1;
        let text = if alone { "the file has no column but the label" } else { "no column is left for a feature" };
        return Err(cells.misnamed(text));
    }
    let group_names: Vec<String> = groups.into_iter().map(|group| group.name).collect();
    if group_names.iter().any(|name| name == ALL) {
        let text = format!("groups: a column `{ALL}` can be no group, for all rows together are called so");
        return Err(cells.misnamed(text));
    }
    for (kind, names) in [("feature", &names), ("group", &group_names)] {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Error::data(&cells.path, format!("two {kind}s are called `{twice}`")));
        }
    }
    let name = cells.path.file_stem().unwrap_or_default().to_string_lossy();
    let table = GroupTable::new(features, membership, names, group_names)?;
    GroupData::new(name, table, &options.label, labels)
}

/// The groups of all rules, in their order.
fn groups<'a>(cells: &Cells, plan: &Plan, columns: &'a Columns, options: &'a TableOptions) -> Result<Vec<Group<'a>>> {
    let names = names(cells, plan, columns, options);
    let mut groups = Vec::new();
    for ((rule, at), names) in options.groups.iter().zip(&plan.groups).zip(names) {
        let column = |at: usize| &columns.all[at];
        let (memberships, feature): (Vec<Membership>, bool) = match rule {
            GroupRule::Columns(_) => (at.iter().map(|&at| Membership::Flag(&column(at).numbers)).collect(), false),
            GroupRule::Values { column: called, values, feature } => {
                let column = column(at[0]);
                let of = |value| {
                    let code = column.code(value).ok_or_else(|| unknown(cells, called, value, column))?;
                    Ok(Membership::Value(&column.codes, code))
                };
                let values = if values.is_empty() { &column.values } else { values };
                (values.iter().map(|value| of(value)).collect::<Result<_>>()?, *feature)
            }
            GroupRule::Bins { bins, closed, feature, .. } => {
                let numbers = &column(at[0]).numbers;
                ((0..=bins.len()).map(|at| Membership::Interval(numbers, bins, *closed, at)).collect(), *feature)
            }
        };
        groups.extend(names.into_iter().zip(memberships).map(|(name, membership)| Group { name, membership, feature }));
    }
    Ok(groups)
}

/// The complaint about a value that no row has.
fn unknown(cells: &Cells, called: &str, value: &str, column: &Column) -> Error {
    let range = expected("a value of the column", value, column.values.iter().map(String::as_str));
    Error::data(&cells.path, format!("groups: {called} is never `{value}`, expected {range}"))
}

/// What reports call all rows.
const ALL: &str = "all";

/// The names of the groups of each rule. Of one that takes 0/1 columns: what the only star of its pattern stands for,
/// where that names every group of the rule and nothing else, otherwise the names of the columns.
fn names(cells: &Cells, plan: &Plan, columns: &Columns, options: &TableOptions) -> Vec<Vec<String>> {
    let full = |at: &[usize]| -> Vec<String> { at.iter().map(|&at| cells.names[at].clone()).collect() };
    let names = options.groups.iter().zip(&plan.groups).map(|(rule, at)| match rule {
        GroupRule::Columns(pattern) => {
            let short: Option<Vec<String>> = full(at)
                .iter()
                .map(|name| starred(pattern, name).filter(|short| !short.is_empty()).map(str::to_string))
                .collect();
            short.unwrap_or_else(|| full(at))
        }
        GroupRule::Values { column, values, .. } => {
            let values = if values.is_empty() { &columns.all[at[0]].values } else { values };
            values.iter().map(|value| of_value(column, value)).collect()
        }
        GroupRule::Bins { column, bins, labels, closed, .. } => interval_names(column, bins, labels, *closed),
    });
    let mut names: Vec<Vec<String>> = names.collect();
    let mut times: HashMap<String, usize> = HashMap::new();
    names.iter().flatten().for_each(|name| *times.entry(name.clone()).or_default() += 1);
    for ((rule, at), names) in options.groups.iter().zip(&plan.groups).zip(&mut names) {
        if matches!(rule, GroupRule::Columns(_)) && names.iter().any(|name| times[name] > 1 || name == ALL) {
            *names = full(at);
        }
    }
    names
}

/// What a group or a feature of one value is called.
fn of_value(column: &str, value: &str) -> String {
    format!("{column}={value}")
}

/// The names of the features, and the features, d x rows.
fn features(
    cells: &Cells,
    plan: &Plan,
    columns: &Columns,
    groups: &[Group<'_>],
    membership: &DMatrix<bool>,
) -> (Vec<String>, DMatrix<f64>) {
    /// What a feature is made from.
    enum Feature<'a> {
        Number(&'a [f64], Option<(f64, f64)>),
        Value(&'a [u32], u32),
        Group(usize),
    }
    let (mut names, mut features) = (Vec::new(), Vec::new());
    for (&at, &scaled) in plan.features.iter().zip(&plan.scaled) {
        let numbers = &columns.all[at].numbers;
        names.push(cells.names[at].clone());
        features.push(Feature::Number(numbers, scaled.then(|| range(numbers))));
    }
    for &at in &plan.categories {
        let column = &columns.all[at];
        for (code, value) in (0..).zip(&column.values) {
            names.push(of_value(&cells.names[at], value));
            features.push(Feature::Value(&column.codes, code));
        }
    }
    for (at, group) in groups.iter().enumerate().filter(|(_, group)| group.feature) {
        names.push(group.name.clone());
        features.push(Feature::Group(at));
    }
    let matrix = DMatrix::from_fn(features.len(), columns.rows, |at, row| match features[at] {
        Feature::Number(numbers, None) => numbers[row],
        Feature::Number(numbers, Some((low, width))) => scaled(numbers[row], low, width),
        Feature::Value(codes, code) => f64::from(u8::from(codes[row] == code)),
        Feature::Group(group) => f64::from(u8::from(membership[(group, row)])),
    });
    (names, matrix)
}

/// The smallest number, and how far the largest one is from it.
fn range(numbers: &[f64]) -> (f64, f64) {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high - low)
}

/// The place of a number in a range, in 0..=1; 0 in a range without width.
fn scaled(number: f64, low: f64, width: f64) -> f64 {
    if width > 0.0 { (number - low) / width } else { 0.0 }
}
