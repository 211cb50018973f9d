//! Small tables for the checks: fixed, and made here.

use crate::{GroupTable, Streams};
use nalgebra::DMatrix;
use rand::RngExt;

const ROWS: usize = 300;
/// The attributes, shape and colour, then a group of one row and one of none.
const GROUPS: [&str; 6] = ["circle", "square", "green", "red", "single", "nobody"];
const SINGLE: usize = 4;
/// Three features that vary, one that does not, and the first one once more.
const FEATURES: [&str; 5] = ["x", "y", "z", "constant", "copy"];

/// Rows to learn from, and other ones to predict.
pub(super) struct Tables {
    pub(super) train: GroupTable,
    pub(super) labels: Vec<f64>,
    /// Rows in groups that do not go together in `train`: in none, in one without members, in all of them.
    pub(super) probe: GroupTable,
}

/// Labels are within 0 and 1, linear in the features for each set of groups, with little noise.
pub(super) fn tables() -> Tables {
    let streams = Streams::new(7).child("contract/groups");
    let features = |rows, index| {
        let mut rng = streams.rng(index);
        let mut features = DMatrix::from_element(FEATURES.len(), rows, 1.0);
        for mut row in features.column_iter_mut() {
            (0..3).for_each(|at| row[at] = rng.random_range(-1.0..1.0));
            row[4] = row[0];
        }
        features
    };
    let mut rng = streams.rng(1);
    let mut membership = DMatrix::from_element(GROUPS.len(), ROWS, false);
    for (n, mut row) in membership.column_iter_mut().enumerate() {
        for attribute in [0, 2] {
            // One row in eight is in no group of an attribute, and some are in none at all.
            if n % 20 != 9 && !rng.random_bool(0.125) {
                row[attribute + usize::from(rng.random_bool(0.4))] = true;
            }
        }
    }
    membership[(SINGLE, ROWS / 2)] = true;
    let train = table(features(ROWS, 0), membership);
    let noise = (0..ROWS).map(|_| rng.random_range(-0.01..0.01)).collect::<Vec<f64>>();
    let labels = (0..ROWS).map(|row| label(&train, row) + noise[row]).collect();
    let sets: [&[usize]; 8] = [&[], &[5], &[0, 5], &[4], &[4, 5], &[0, 1], &[2], &[0, 1, 2, 3, 4, 5]];
    let membership = DMatrix::from_fn(GROUPS.len(), sets.len(), |group, row| sets[row].contains(&group));
    Tables { train, labels, probe: table(features(sets.len(), 2), membership) }
}

fn label(table: &GroupTable, row: usize) -> f64 {
    let common = [0.12, -0.12, 0.06];
    let own = [[0.05, 0.05, 0.0], [-0.05, 0.0, 0.05], [0.0, -0.05, 0.05], [0.05, 0.0, -0.05]];
    let (x, active) = table.row(row);
    let dot = |weights: &[f64; 3]| weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let of_groups: Vec<f64> = own.iter().zip(active).filter(|(_, in_it)| **in_it).map(|(own, _)| dot(own)).collect();
    0.5 + dot(&common) + of_groups.iter().sum::<f64>() / of_groups.len().max(1) as f64
}

fn table(features: DMatrix<f64>, membership: DMatrix<bool>) -> GroupTable {
    let names =
        |known: &[&str], count| (0..count).map(|n| known.get(n).map_or(format!("n{n}"), |s| s.to_string())).collect();
    let (of_features, groups) = (names(&FEATURES, features.nrows()), names(&GROUPS, membership.nrows()));
    GroupTable::new(features, membership, of_features, groups).expect("the kit's tables are sound")
}

/// Features of those sizes, different everywhere.
fn varied(features: usize, rows: usize) -> DMatrix<f64> {
    let mut rng = Streams::new(7).child("contract/groups/varied").rng(0);
    DMatrix::from_fn(features, rows, |_, _| rng.random_range(-1.0..1.0))
}

/// A table of that many features and groups.
pub(super) fn sized(features: usize, groups: usize, rows: usize) -> GroupTable {
    table(varied(features, rows), DMatrix::from_element(groups, rows, true))
}

/// Tables in which there is little to learn, with what they are, and their labels.
pub(super) fn degenerate() -> Vec<(&'static str, GroupTable, Vec<f64>)> {
    let halves = |rows| DMatrix::from_fn(2, rows, |group, row| row % 2 == group);
    let labels = |rows: usize| (0..rows).map(|row| (row % 3) as f64 / 2.0).collect();
    let copies = varied(1, 8);
    let single = DMatrix::from_fn(2, 8, |group, row| group == 0 || row == 3);
    vec![
        ("features that do not vary", table(DMatrix::from_element(3, 8, 0.5), halves(8)), labels(8)),
        ("features that are all 0", table(DMatrix::zeros(3, 8), halves(8)), labels(8)),
        ("collinear features", table(DMatrix::from_fn(3, 8, |x, r| (x + 1) as f64 * copies[r]), halves(8)), labels(8)),
        ("a group with a single member", table(varied(3, 8), single), labels(8)),
        ("a single row", table(varied(3, 1), DMatrix::from_element(2, 1, true)), labels(1)),
        ("more features than rows", table(varied(12, 4), halves(4)), labels(4)),
        ("labels that do not vary", table(varied(3, 8), halves(8)), vec![0.5; 8]),
        ("no feature", table(DMatrix::zeros(0, 8), halves(8)), labels(8)),
        ("no group", table(varied(3, 8), DMatrix::from_element(0, 8, true)), labels(8)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::LEARNED;
    use super::*;
    use crate::metrics::r2;
    use nalgebra::DVector;

    /// Ridge regression of penalty 1, without an intercept: the least that has to pass.
    #[test]
    fn one_linear_function_explains_enough_of_everybody_and_of_each_group() {
        let Tables { train, labels, .. } = tables();
        assert!(labels.iter().all(|label| (0.0..=1.0).contains(label)));
        let of = |rows: &[usize]| {
            let (x, y) = (train.select(rows), DVector::from_iterator(rows.len(), rows.iter().map(|&row| labels[row])));
            let d = FEATURES.len();
            let sums = x.matrix() * x.matrix().transpose() + DMatrix::identity(d, d);
            let weights = sums.cholesky().unwrap().solve(&(x.matrix() * &y));
            (x.matrix().tr_mul(&weights), y)
        };
        let rows = |group| train.members(group);
        for rows in [(0..ROWS).collect(), rows(0), rows(1), rows(2), rows(3)] {
            let (predicted, y) = of(&rows);
            let learned = r2(predicted.as_slice(), y.as_slice()).unwrap();
            assert!(learned > LEARNED + 0.3, "{} rows: {learned}", rows.len());
        }
        let members: Vec<_> = (0..GROUPS.len()).map(|group| rows(group).len()).collect();
        assert_eq!(members[4..], [1, 0]);
        let of_none = (0..ROWS).filter(|&row| !train.row(row).1.contains(&true)).count();
        assert!(members[..4].iter().all(|&n| n > 60) && of_none > 10, "{members:?}, {of_none}");
    }
}
