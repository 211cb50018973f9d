//! Tables of features and memberships, with or without labels.

use crate::{Error, Result};
use nalgebra::DMatrix;
use std::collections::HashSet;

/// Rows of features, and the groups that each row is in. Features are finite; names are distinct.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTable {
    features: DMatrix<f64>,
    membership: DMatrix<bool>,
    feature_names: Vec<String>,
    groups: Vec<String>,
}

impl GroupTable {
    /// A table of `features`, d x rows, and of `membership`, groups x rows: one row of the table per column. With the
    /// names of the features and of the groups.
    ///
    /// # Errors
    /// [`Error::Shape`] where sizes do not agree; [`Error::Unusable`] for a name that occurs twice, or for a feature
    /// that is not finite: its row, from 1, and its name are told.
    pub fn new(
        features: DMatrix<f64>,
        membership: DMatrix<bool>,
        feature_names: Vec<String>,
        groups: Vec<String>,
    ) -> Result<Self> {
        if membership.ncols() != features.ncols() {
            return Err(Error::shape("rows of the memberships", features.ncols(), membership.ncols()));
        }
        for (what, kind, names, count) in [
            ("names of features", "feature", &feature_names, features.nrows()),
            ("names of groups", "group", &groups, membership.nrows()),
        ] {
            if names.len() != count {
                return Err(Error::shape(what, count, names.len()));
            }
            let mut seen = HashSet::new();
            if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
                return Err(Error::Unusable(format!("two {kind}s are called `{twice}`")));
            }
        }
        if let Some(at) = features.iter().position(|v| !v.is_finite()) {
            let (row, name) = (at / features.nrows() + 1, &feature_names[at % features.nrows()]);
            return Err(Error::Unusable(format!(
                "row {row}, feature `{name}`: {}, expected a finite number",
                features[at]
            )));
        }
        Ok(Self { features, membership, feature_names, groups })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.ncols()
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features.nrows()
    }

    /// Names of the features.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// Names of the groups.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The features of a row, and whether it is in each group.
    ///
    /// # Panics
    /// For a row out of range.
    pub fn row(&self, row: usize) -> (&[f64], &[bool]) {
        let (d, groups) = (self.features.nrows(), self.membership.nrows());
        (&self.features.as_slice()[row * d..][..d], &self.membership.as_slice()[row * groups..][..groups])
    }

    /// All features, d x rows.
    pub fn matrix(&self) -> &DMatrix<f64> {
        &self.features
    }

    /// The rows of `group`, ascending.
    ///
    /// # Panics
    /// For a group out of range.
    pub fn members(&self, group: usize) -> Vec<usize> {
        (0..self.rows()).filter(|&row| self.membership[(group, row)]).collect()
    }

    /// The rows of that number, in that order; a row may be taken more than once.
    ///
    /// # Panics
    /// For a row out of range.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.select_columns(rows),
            membership: self.membership.select_columns(rows),
            ..self.named()
        }
    }

    /// The same with a single group that all rows are in.
    pub fn into_one_group(self) -> Self {
        let membership = DMatrix::from_element(1, self.rows(), true);
        Self { membership, groups: vec!["all".into()], ..self }
    }

    /// The same without rows.
    fn named(&self) -> Self {
        Self {
            features: DMatrix::zeros(self.features.nrows(), 0),
            membership: DMatrix::from_element(self.membership.nrows(), 0, false),
            feature_names: self.feature_names.clone(),
            groups: self.groups.clone(),
        }
    }

    /// The same with each membership as one more feature, 0 or 1, called after its group. A membership that is a
    /// feature already, the same number in every row under whatever name, is not added once more.
    ///
    /// # Errors
    /// [`Error::Unusable`] where another feature is called like a group whose membership is added.
    pub fn with_indicators(&self) -> Result<Self> {
        let d = self.features.nrows();
        let added: Vec<usize> = (0..self.groups.len()).filter(|&group| !self.is_feature(group)).collect();
        let features = DMatrix::from_fn(d + added.len(), self.rows(), |at, row| match at.checked_sub(d) {
            Some(at) => indicator(self.membership[(added[at], row)]),
            None => self.features[(at, row)],
        });
        let names = self.feature_names.iter().chain(added.iter().map(|&group| &self.groups[group])).cloned().collect();
        Self::new(features, self.membership.clone(), names, self.groups.clone())
    }

    /// Whether some feature is 1 in each row of the group and 0 in all others; false without rows.
    fn is_feature(&self, group: usize) -> bool {
        let mut same: Vec<usize> = (0..self.features.nrows()).collect();
        for row in 0..self.rows() {
            let (features, active) = self.row(row);
            same.retain(|&at| features[at] == indicator(active[group]));
            if same.is_empty() {
                return false;
            }
        }
        self.rows() > 0 && !same.is_empty()
    }

    /// Whether these can be labels of the rows to learn from.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of them; [`Error::Unusable`] for no row, or a label that is not finite.
    pub fn check_labels(&self, labels: &[f64]) -> Result<()> {
        if labels.len() != self.rows() {
            return Err(Error::shape("labels", self.rows(), labels.len()));
        }
        if labels.is_empty() {
            return Err(Error::Unusable("a table without rows".into()));
        }
        match labels.iter().position(|label| !label.is_finite()) {
            Some(at) => {
                Err(Error::Unusable(format!("row {}: the label is {}, expected a finite number", at + 1, labels[at])))
            }
            None => Ok(()),
        }
    }

    /// Whether a regressor that learned from tables of those sizes can predict this one into `out`.
    ///
    /// # Errors
    /// [`Error::Shape`] where something differs.
    pub fn check_predicted(&self, (features, groups): (usize, usize), out: &[f64]) -> Result<()> {
        for (what, expected, got) in [
            ("features of the table", features, self.features.nrows()),
            ("groups of the table", groups, self.membership.nrows()),
            ("predictions", self.rows(), out.len()),
        ] {
            if expected != got {
                return Err(Error::shape(what, expected, got));
            }
        }
        Ok(())
    }
}

/// A membership as a number.
fn indicator(active: bool) -> f64 {
    f64::from(u8::from(active))
}

/// A table with a label for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupData {
    /// What it is called in results.
    pub name: String,
    /// The rows.
    pub table: GroupTable,
    /// What the label is called.
    pub label: String,
    /// One label per row, finite.
    pub labels: Vec<f64>,
}

impl GroupData {
    /// A table with labels.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of labels than rows; [`Error::Unusable`] for no row, or a label that is not
    /// finite: its row, from 1, is told.
    pub fn new(name: impl Into<String>, table: GroupTable, label: impl Into<String>, labels: Vec<f64>) -> Result<Self> {
        table.check_labels(&labels)?;
        Ok(Self { name: name.into(), table, label: label.into(), labels })
    }

    /// The rows of that number, in that order.
    ///
    /// # Panics
    /// For a row out of range.
    pub fn select(&self, rows: &[usize]) -> Self {
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Self { table: self.table.select(rows), labels, name: self.name.clone(), label: self.label.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn table() -> GroupTable {
        let features = DMatrix::from_column_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let membership = DMatrix::from_column_slice(2, 3, &[true, false, false, false, true, true]);
        GroupTable::new(features, membership, names(&["x", "y"]), names(&["a", "b"])).unwrap()
    }

    #[test]
    fn rows_members_and_indicators() {
        let table = table();
        assert_eq!((table.rows(), table.features(), table.groups().len()), (3, 2, 2));
        assert_eq!(table.row(2), (&[5.0, 6.0][..], &[true, true][..]));
        assert_eq!((table.members(0), table.members(1)), (vec![0, 2], vec![2]));
        let picked = table.select(&[2, 0, 2]);
        assert_eq!((picked.rows(), picked.row(1), picked.members(1)), (3, table.row(0), vec![0, 2]));
        let wide = table.with_indicators().unwrap();
        assert_eq!((wide.row(0).0, wide.row(1).0), (&[1.0, 2.0, 1.0, 0.0][..], &[3.0, 4.0, 0.0, 0.0][..]));
        assert_eq!(wide.feature_names(), names(&["x", "y", "a", "b"]));
        assert_eq!(table.select(&[]).rows(), 0);
    }

    #[test]
    fn memberships_that_are_features_already_are_not_added() {
        // Of the groups a and b, a is the feature `g_a`; `b` is another thing than the group b.
        let with = |of_features: &[&str], second: [f64; 3]| {
            let [x, y, z] = second;
            let features = DMatrix::from_column_slice(2, 3, &[1.0, x, 0.0, y, 1.0, z]);
            let membership = table().membership;
            GroupTable::new(features, membership, names(of_features), names(&["a", "b"])).unwrap().with_indicators()
        };
        let wide = with(&["g_a", "x"], [0.0, 0.0, 2.0]).unwrap();
        assert_eq!(wide.feature_names(), names(&["g_a", "x", "b"]));
        assert_eq!(wide.row(2), (&[1.0, 2.0, 1.0][..], &[true, true][..]));
        assert_eq!(with(&["a", "b"], [0.0, 0.0, 1.0]).unwrap().feature_names(), names(&["a", "b"]));
        let said = with(&["a", "b"], [0.0, 0.0, 2.0]).unwrap_err().to_string();
        assert!(said.ends_with("two features are called `b`"), "{said}");
        let none = table().select(&[]).with_indicators().unwrap();
        assert_eq!((none.rows(), none.features()), (0, 4));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good = table();
        let build = |features: DMatrix<f64>, rows, of_features: &[&str], of_groups: &[&str]| {
            let membership = DMatrix::from_element(2, rows, true);
            GroupTable::new(features, membership, names(of_features), names(of_groups)).unwrap_err().to_string()
        };
        let x = || good.matrix().clone();
        assert_eq!(build(x(), 2, &["x", "y"], &["a", "b"]), "rows of the memberships: expected 3, got 2");
        assert_eq!(build(x(), 3, &["x"], &["a", "b"]), "names of features: expected 2, got 1");
        assert_eq!(build(x(), 3, &["x", "y"], &["a"]), "names of groups: expected 2, got 1");
        assert!(build(x(), 3, &["x", "x"], &["a", "b"]).ends_with("two features are called `x`"));
        assert!(build(x(), 3, &["x", "y"], &["a", "a"]).ends_with("two groups are called `a`"));
        let mut bad = x();
        bad[(1, 2)] = f64::NAN;
        let said = build(bad, 3, &["x", "y"], &["a", "b"]);
        assert!(said.ends_with("row 3, feature `y`: NaN, expected a finite number"), "{said}");
        let label = |labels: Vec<f64>| GroupData::new("d", good.clone(), "z", labels).map_err(|e| e.to_string());
        assert_eq!(label(vec![0.0; 2]).unwrap_err(), "labels: expected 3, got 2");
        let said = label(vec![0.0, f64::INFINITY, 0.0]).unwrap_err();
        assert!(said.ends_with("row 2: the label is inf, expected a finite number"), "{said}");
        assert_eq!(label(vec![1.0, 2.0, 3.0]).unwrap().select(&[1, 1]).labels, [2.0, 2.0]);
        let none = good.select(&[]);
        assert!(none.check_labels(&[]).unwrap_err().to_string().ends_with("a table without rows"));
        assert!(good.check_predicted((2, 2), &[0.0; 3]).is_ok());
        assert!(good.check_predicted((2, 1), &[0.0; 3]).is_err() && good.check_predicted((2, 2), &[0.0; 2]).is_err());
    }
}
