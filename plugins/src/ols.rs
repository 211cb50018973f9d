//! Ordinary least squares for each group, or for all rows:
//!
//! `minimise sum over rows t of the group of (w . x_t + b - y_t)^2`
//!
//! With an intercept. Where features are collinear, or a group has fewer rows than features, the function whose weights have
//! the least norm is taken: see [`crate::least_squares`]. A group with a single row gets its label and no weights.

use crate::linear_models::LinearModels;
use crate::scope::Scope;
use evenhand_core::{GroupPredictor, GroupRegressor, GroupTable, Result, Run, plugin};

plugin! {
    /// Ordinary least squares with an intercept, for each group or for all rows.
    pub struct Ols: GroupRegressor = "ols" {
        /// Whether each group has a model of its own.
        scope: Scope = Scope::PerGroup;
    }
}

impl GroupRegressor for Ols {
    fn fit(&self, table: &GroupTable, labels: &[f64], run: &Run) -> Result<Box<dyn GroupPredictor>> {
        Ok(Box::new(LinearModels::fit(self.scope, 0.0, table, labels, run)?))
    }
}
