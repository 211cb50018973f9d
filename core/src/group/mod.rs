//! Group regressors: predictions of a number from features, for members of groups that may overlap.
//!
//! A regressor learns from a whole [`GroupTable`] at once, or row by row: [`OnlineRegressor::predict`], then
//! [`OnlineRegressor::observe`]. One that learns online learns from a table by going over its rows once. A row is in
//! any number of groups; a grouping (an attribute) is a family of groups that do not overlap.
//!
//! A [`Mixer`] weighs the predictions of several experts, some of whom are asleep in a round. The reduction of Acharya,
//! Arunachaleswaran, Kannan, Roth & Ziani, "Oracle efficient algorithms for groupwise regret", ICLR 2024, joins both:
//! one regressor for each group, which learns from the rows of its group alone, and a mixer of those that are awake.

mod mixer;
mod table;

pub use mixer::{Mixer, Mixing};
pub use table::{GroupData, GroupTable};

use crate::{Error, Recipe, Result, Run};

/// A way of predicting numbers for members of groups.
///
/// Implement [`Self::fit`], or [`Self::begin`] and [`Self::online`]. Equal seeds give equal bits at any number of
/// threads, whatever has been learned before or beside.
pub trait GroupRegressor: Recipe {
    /// Whether it learns row by row: [`Self::begin`] works if and only if it says so.
    fn online(&self) -> bool {
        false
    }

    /// Learns from all rows of `table`, whose labels are `labels`. Without another way, online: in the order of the
    /// rows, once.
    ///
    /// A group without members, with a single one or with features that do not vary is no error: see
    /// [`GroupPredictor::predict_by`]. Nor are features that depend on each other, or a single row.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of labels than rows; [`Error::Unusable`] where there is no row, or for a
    /// label that is not finite: see [`GroupTable::check_labels`]; [`Error::Cancelled`].
    fn fit(&self, table: &GroupTable, labels: &[f64], run: &Run) -> Result<Box<dyn GroupPredictor>> {
        table.check_labels(labels)?;
        let mut learner = self.begin(table.features(), table.groups().len(), run)?;
        for (row, &label) in labels.iter().enumerate() {
            run.check()?;
            let (features, active) = table.row(row);
            learner.predict(features, active)?;
            learner.observe(features, active, label)?;
        }
        Ok(learner.freeze())
    }

    /// Starts to learn row by row: rows have `features` features and are in some of `groups` groups.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless it learns online.
    fn begin(&self, features: usize, groups: usize, run: &Run) -> Result<Box<dyn OnlineRegressor>> {
        let _ = (features, groups, run);
        Err(Error::Unsupported { plugin: self.name().into(), operation: "learning row by row" })
    }
}

/// What a group regressor has learned.
pub trait GroupPredictor: Send + Sync {
    /// Predicts the rows of `table` into `out`; NaN for a row for which there is no prediction, such as one in no group
    /// where every model is that of a group. A row in a group that had members is predicted, whatever other groups it
    /// is in. A row is predicted by what it holds alone, not by the rows beside it: the bits are the same in any table.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of features or of groups than learned from, or another length of `out`.
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()>;

    /// Predicts the rows of `table` into `out` by the model of `group` alone, whatever groups they are in. False where
    /// there is no such model, because the group had no member; then `out` stays. A model of all rows is that of every
    /// group.
    ///
    /// # Errors
    /// As [`Self::predict`]; [`Error::Shape`] for a group out of range.
    fn predict_by(&self, group: usize, table: &GroupTable, out: &mut [f64]) -> Result<bool>;

    /// Where rows in these groups are predicted by a linear function: its weights, one per feature, and then its
    /// intercept into `out`. False where there is no prediction for such rows; then `out` stays.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a regressor that is not linear, whatever the groups; [`Error::Shape`] for other
    /// sizes.
    fn linear(&self, active: &[bool], out: &mut [f64]) -> Result<bool> {
        let _ = (active, out);
        Err(Error::Unsupported { plugin: "this group regressor".into(), operation: "stating a linear function" })
    }
}

/// A group regressor that learns row by row. It never sees the label of a row before it has predicted it.
pub trait OnlineRegressor: Send {
    /// Predicts a row by what was observed so far; `None` where there is no prediction, such as for a row in no group
    /// where every expert is that of a group. A row in a group of which a row was observed is predicted. Nothing is
    /// learned by predicting: it may be done any number of times, for any rows.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of features or groups than announced; [`Error::Diverged`] for a prediction
    /// that is not finite.
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>>;

    /// Learns from the label of a row, which is the one predicted last. Nothing is learned from a row in no group for
    /// which there was no prediction.
    ///
    /// # Errors
    /// As [`Self::predict`]; [`Error::Diverged`] for a label that is not finite. Then nothing was learned.
    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()>;

    /// Who took part in the last prediction: it is the sum of their predictions by weight. Empty for a learner that is
    /// not made of experts, and where there was no prediction.
    fn experts(&self) -> &[Expert] {
        &[]
    }

    /// What has been learned so far, to predict with. Rows are predicted as [`Self::predict`] would now, NaN standing
    /// for `None`; what is learned later does not change it.
    fn freeze(&self) -> Box<dyn GroupPredictor>;
}

/// A part in a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expert {
    /// The group from whose rows it learns; `None` for all rows.
    pub group: Option<usize>,
    /// What it predicts.
    pub prediction: f64,
    /// Its share, in 0 to 1; shares add up to 1.
    pub weight: f64,
}

/// Checks the length of a row and of its memberships against those announced.
///
/// # Errors
/// [`Error::Shape`] where one differs.
pub fn check_row(features: &[f64], active: &[bool], (d, groups): (usize, usize)) -> Result<()> {
    match (features.len() == d, active.len() == groups) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::shape("features of a row", d, features.len())),
        _ => Err(Error::shape("groups of a row", groups, active.len())),
    }
}

/// Checks that `group` is one of `groups`.
///
/// # Errors
/// [`Error::Shape`] where it is not.
pub fn check_group(group: usize, groups: usize) -> Result<()> {
    if group < groups { Ok(()) } else { Err(Error::shape("group", format!("below {groups}"), group)) }
}

/// Checks what is asked of [`GroupPredictor::linear`] against the numbers of features and groups learned from.
///
/// # Errors
/// [`Error::Shape`] where something differs.
pub fn check_linear(active: &[bool], out: &[f64], (d, groups): (usize, usize)) -> Result<()> {
    match (active.len() == groups, out.len() == d + 1) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::shape("groups of a row", groups, active.len())),
        _ => Err(Error::shape("weights and intercept", d + 1, out.len())),
    }
}
