//! Labels: what the rules of the groups say of a row, and what becomes of several of them.

use evenhand_core::{Error, Result, choice};
use nalgebra::DMatrix;

choice! {
    /// How the labels of several groups become that of a row.
    pub enum Aggregation {
        /// Their mean.
        Mean = "mean",
        /// The least one.
        Min = "min",
        /// The greatest one.
        Max = "max",
        /// That of the group that comes first in an order of all groups, which is drawn once.
        Permutation = "permutation",
    }
}

choice! {
    /// Which groups count for the label of a row.
    pub enum Over {
        /// Those that the row is in.
        Active = "active",
        /// All of them.
        All = "all",
    }
}

impl Aggregation {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Permutation => "permutation",
        }
    }
}

impl Over {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::All => "all",
        }
    }
}

/// The noise-free label of each group: `x . w_g + x' S_g x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Weights w_g, features x groups; `None` without a linear term.
    pub weights: Option<DMatrix<f64>>,
    /// S_g, features x features, for each group; empty without a quadratic term.
    pub quadratic: Vec<DMatrix<f64>>,
}

impl Rule {
    /// The label of a row of features `x` in `group`.
    ///
    /// # Panics
    /// For a group out of range or another number of features.
    pub fn label(&self, group: usize, x: &[f64]) -> f64 {
        let dot = |column: &[f64]| {
            assert_eq!(column.len(), x.len(), "features of a row");
            column.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
        };
        let linear = self.weights.as_ref().map_or(0.0, |weights| dot(weights.column(group).as_slice()));
        let Some(matrix) = self.quadratic.get(group) else {
            assert!(self.quadratic.is_empty(), "group {group} of {}", self.quadratic.len());
            return linear;
        };
        // Column by column: no vector S x is needed.
        let columns = matrix.as_slice().chunks_exact(x.len().max(1));
        linear + columns.zip(x).map(|(column, x_k)| x_k * dot(column)).sum::<f64>()
    }
}

/// All that was drawn for a table of n rows, d features and some groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Features, d x n.
    pub features: DMatrix<f64>,
    /// Whether a row is in a group, groups x n.
    pub membership: DMatrix<bool>,
    /// Names of the groups, attribute after attribute.
    pub groups: Vec<String>,
    /// The rules of the groups.
    pub rule: Rule,
    /// All groups, the dominant one first.
    pub order: Vec<usize>,
    /// The label of each row in each group, noise included, groups x n: also for groups that the row is not in. Not scaled.
    pub group_labels: DMatrix<f64>,
}

impl Drawn {
    /// The label of each row, not scaled.
    ///
    /// # Errors
    /// [`Error::Unusable`] for a row without a group that counts: its number, from 1, is told.
    pub fn labels(&self, aggregation: Aggregation, over: Over) -> Result<Vec<f64>> {
        let (groups, rows) = self.group_labels.shape();
        let row = |row: usize| {
            let (labels, active) = (self.group_labels.as_slice(), self.membership.as_slice());
            let (labels, active) = (&labels[row * groups..][..groups], &active[row * groups..][..groups]);
            aggregate(labels, active, &self.order, aggregation, over)
                .ok_or_else(|| Error::Unusable(format!("row {} is in no group: it has no label", row + 1)))
        };
        (0..rows).map(row).collect()
    }

    /// The labels of all rows in `group`, not scaled.
    ///
    /// # Panics
    /// For a group out of range.
    pub fn labels_of(&self, group: usize) -> Vec<f64> {
        self.group_labels.row(group).iter().copied().collect()
    }
}

/// The label of a row by its `labels` in all groups, of which it is in those `active`; the permutation is `order`. `None` where
/// no group counts.
pub fn aggregate(
    labels: &[f64],
    active: &[bool],
    order: &[usize],
    aggregation: Aggregation,
    over: Over,
) -> Option<f64> {
    let counts = |group: usize| over == Over::All || active[group];
    let mut counting = (0..labels.len()).filter(|&group| counts(group)).map(|group| labels[group]);
    match aggregation {
        Aggregation::Min => counting.reduce(f64::min),
        Aggregation::Max => counting.reduce(f64::max),
        Aggregation::Permutation => order.iter().find(|&&group| counts(group)).map(|&group| labels[group]),
        Aggregation::Mean => {
            let first = counting.next()?;
            let (sum, count) = counting.fold((first, 1.0), |(sum, count), label| (sum + label, count + 1.0));
            Some(sum / count)
        }
    }
}

/// The same labels moved and stretched so that the least is 0 and the greatest 1; all 0 where they are equal.
pub fn scaled(labels: &[f64]) -> Vec<f64> {
    let (low, high) =
        labels.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &y| (low.min(y), high.max(y)));
    labels.iter().map(|y| if high > low { (y - low) / (high - low) } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two active groups of four: 3 and -1; the others are 9 and -5. Group 2 dominates, then 3, 0, 1.
    #[test]
    fn aggregates_by_hand() {
        let (labels, active, order) = ([3.0, 9.0, -5.0, -1.0], [true, false, false, true], [2, 3, 0, 1]);
        let label = |aggregation, over| aggregate(&labels, &active, &order, aggregation, over).unwrap();
        let all = [Aggregation::Mean, Aggregation::Min, Aggregation::Max, Aggregation::Permutation];
        assert_eq!(all.map(|a| label(a, Over::Active)), [1.0, -1.0, 3.0, -1.0]);
        assert_eq!(all.map(|a| label(a, Over::All)), [1.5, -5.0, 9.0, -5.0]);
        for aggregation in all {
            assert_eq!(aggregate(&labels, &[false; 4], &order, aggregation, Over::Active), None);
            assert_eq!(aggregate(&[-2.0], &[true], &[0], aggregation, Over::Active), Some(-2.0));
            assert!(aggregate(&labels, &[false; 4], &order, aggregation, Over::All).is_some());
        }
    }

    #[test]
    fn scaling_by_hand() {
        assert_eq!(scaled(&[3.0, -1.0, 1.0]), [1.0, 0.0, 0.5]);
        assert_eq!(scaled(&[7.0, 7.0]), [0.0, 0.0]);
        assert_eq!((scaled(&[7.0]), scaled(&[])), (vec![0.0], vec![]));
    }

    /// x = (1, 2); w = (3, 4): 11. S = [[1, 2], [5, 7]], not symmetric: 1 + 2 * 2 + 5 * 2 + 7 * 4 = 43.
    #[test]
    fn rules_by_hand() {
        let weights = Some(DMatrix::from_column_slice(2, 1, &[3.0, 4.0]));
        let quadratic = vec![DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 5.0, 7.0])];
        let label = |weights: &Option<_>, quadratic: &[_]| {
            Rule { weights: weights.clone(), quadratic: quadratic.to_vec() }.label(0, &[1.0, 2.0])
        };
        assert_eq!(label(&weights, &[]), 11.0);
        assert_eq!(label(&None, &quadratic), 43.0);
        assert_eq!(label(&weights, &quadratic), 54.0);
        assert_eq!(label(&None, &[]), 0.0);
    }

    #[test]
    fn a_row_without_a_group_is_named() {
        let drawn = Drawn {
            features: DMatrix::zeros(1, 2),
            membership: DMatrix::from_column_slice(1, 2, &[true, false]),
            groups: vec!["a".into()],
            rule: Rule { weights: None, quadratic: vec![] },
            order: vec![0],
            group_labels: DMatrix::from_column_slice(1, 2, &[4.0, 5.0]),
        };
        let said = drawn.labels(Aggregation::Mean, Over::Active).unwrap_err().to_string();
        assert_eq!(said, "data: row 2 is in no group: it has no label");
        assert_eq!(drawn.labels(Aggregation::Mean, Over::All).unwrap(), [4.0, 5.0]);
        assert_eq!(drawn.labels_of(0), [4.0, 5.0]);
    }
}
