//! The generator of tables: its labels, how they are joined and scaled; in `properties`, what holds for anything it draws.

#[path = "properties.rs"]
mod properties;

pub(crate) use properties::invariants;

use crate::golden::{File, Tolerance};
use crate::{near, text};
use evenhand_plugins::group_linear::{Aggregation, Drawn, Over, Rule, scaled};
use nalgebra::DMatrix;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Names of the aggregates in the files.
const AGGREGATES: [(&str, Aggregation); 4] = [
    ("mean", Aggregation::Mean),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("perm", Aggregation::Permutation),
];

fn read<C: DeserializeOwned>(file: &File) -> Result<C, String> {
    serde_json::from_str(&file.text).map_err(text)
}

/// How far results may be from the expected ones.
#[derive(Deserialize)]
struct Absolute {
    abs: f64,
}

impl Absolute {
    fn near(&self, what: &str, got: &[f64], expected: &[f64]) -> Result<(), String> {
        near(Tolerance::new(0.0, self.abs), what, got, expected)
    }
}

/// A matrix that is written row by row.
fn matrix(rows: &[Vec<f64>], columns: usize) -> Result<DMatrix<f64>, String> {
    match rows.iter().find(|row| row.len() != columns) {
        Some(row) => Err(format!("a row of {} numbers, expected {columns}", row.len())),
        None => Ok(DMatrix::from_row_iterator(rows.len(), columns, rows.iter().flatten().copied())),
    }
}

fn labels_of(rule: &Rule, groups: usize, x: &[f64]) -> Vec<f64> {
    (0..groups).map(|group| rule.label(group, x)).collect()
}

#[derive(Deserialize)]
struct Labels {
    tolerance: Absolute,
    features: Vec<Vec<f64>>,
    linear_weights: Vec<Vec<f64>>,
    quadratic: Vec<Vec<Vec<f64>>>,
    labels: Vec<Vec<f64>>,
}

/// Noise-free labels in every group.
pub(crate) fn labels(file: &File) -> Result<usize, String> {
    let case: Labels = read(file)?;
    let (d, groups) = (case.linear_weights.len(), case.quadratic.len());
    let weights = Some(matrix(&case.linear_weights, groups)?);
    let quadratic = case.quadratic.iter().map(|m| matrix(m, d)).collect::<Result<_, _>>()?;
    let rule = Rule { weights, quadratic };
    if case.features.len() != case.labels.len() || case.features.iter().any(|x| x.len() != d) {
        return Err("features and labels of other sizes".into());
    }
    for (x, expected) in case.features.iter().zip(&case.labels) {
        case.tolerance.near("labels of a row", &labels_of(&rule, groups, x), expected)?;
    }
    Ok(case.labels.len())
}

#[derive(Deserialize)]
struct Joined {
    tolerance: Absolute,
    features: Vec<Vec<f64>>,
    linear_weights: Vec<Vec<f64>>,
    case: JoinedCase,
}

#[derive(Deserialize)]
struct JoinedCase {
    membership: Vec<Vec<u8>>,
    group_labels: Vec<Vec<f64>>,
    groups: Vec<String>,
    dominance_order: Vec<usize>,
    raw: BTreeMap<String, Vec<f64>>,
    scaled_0_1: BTreeMap<String, Vec<f64>>,
    scaled_group_labels: Vec<Vec<f64>>,
}

/// Labels of several groups joined into that of a row, and scaled.
pub(crate) fn aggregation(file: &File) -> Result<usize, String> {
    let Joined { tolerance, features, linear_weights, case } = read(file)?;
    let (groups, rows) = (case.groups.len(), features.len());
    let rule = Rule { weights: Some(matrix(&linear_weights, groups)?), quadratic: vec![] };
    if case.membership.len() != rows || case.group_labels.len() != rows {
        return Err("features, memberships and labels of other sizes".into());
    }
    for (x, expected) in features.iter().zip(&case.group_labels) {
        tolerance.near("labels of a row", &labels_of(&rule, groups, x), expected)?;
    }
    let active =
        matrix(&case.membership.iter().map(|row| row.iter().map(|&a| a.into()).collect()).collect::<Vec<_>>(), groups)?;
    let drawn = Drawn {
        features: matrix(&features, linear_weights.len())?.transpose(),
        membership: active.transpose().map(|a: f64| a == 1.0),
        groups: case.groups,
        rule,
        order: case.dominance_order,
        group_labels: matrix(&case.group_labels, groups)?.transpose(),
    };
    for (name, aggregation) in AGGREGATES {
        let (Some(raw), Some(scale)) = (case.raw.get(name), case.scaled_0_1.get(name)) else {
            return Err(format!("nothing is expected of `{name}`"));
        };
        let got = drawn.labels(aggregation, Over::Active).map_err(text)?;
        tolerance.near(name, &got, raw)?;
        tolerance.near(&format!("{name}, scaled"), &scaled(&got), scale)?;
    }
    if case.raw.len() != AGGREGATES.len() || case.scaled_0_1.len() != AGGREGATES.len() {
        return Err("an aggregate of no known name".into());
    }
    let expected = matrix(&case.scaled_group_labels, groups)?;
    for group in 0..groups {
        let column: Vec<f64> = expected.column(group).iter().copied().collect();
        tolerance.near("scaled labels of a group", &scaled(&drawn.labels_of(group)), &column)?;
    }
    Ok(rows)
}
