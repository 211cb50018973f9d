//! Group regressors: predictions from features for members of overlapping groups.

use crate::{Recipe, Result, Run};
use nalgebra::{DMatrix, DVector};

/// Rows of features with group membership.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTable {
    /// Features, d x rows: one row of the table per column.
    pub features: DMatrix<f64>,
    /// Membership, groups x rows.
    pub membership: DMatrix<bool>,
}

/// A way of predicting numbers for members of groups.
pub trait GroupRegressor: Recipe {
    /// Learns from a whole table. `labels` has one entry per row.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where sizes differ; a group without members where one is needed, named.
    fn fit(&self, table: &GroupTable, labels: &DVector<f64>, run: &Run) -> Result<Box<dyn GroupPredictor>>;

    /// Starts an online learner for `features` features and `groups` groups.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] unless the regressor learns online.
    fn begin(&self, features: usize, groups: usize, run: &Run) -> Result<Box<dyn OnlineRegressor>> {
        let _ = (features, groups, run);
        Err(crate::Error::Unsupported { plugin: self.name().into(), operation: "online learning" })
    }
}

/// A fitted group regressor.
pub trait GroupPredictor: Send + Sync {
    /// Predictions of the model of `group`, one per row of `table`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where sizes differ from those fitted.
    fn predict(&self, group: usize, table: &GroupTable) -> Result<DVector<f64>>;
}

/// An online group regressor: predict, then observe. It never sees a label before its prediction.
pub trait OnlineRegressor: Send {
    /// Prediction for one row, given which groups are active.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where sizes differ from those announced.
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<f64>;

    /// The label of the row predicted last.
    ///
    /// # Errors
    /// As [`Self::predict`].
    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()>;
}
