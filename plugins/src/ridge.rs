//! Ridge regression for each group, or for all rows:
//!
//! `minimise sum over rows t of the group of (w . x_t + b - y_t)^2 + alpha |w|^2`
//!
//! With an intercept, which is not penalised; alpha is not scaled by the number of rows.
//!
//! Source: Hoerl & Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 1970.

use crate::group_models::GroupModels;
use crate::scope::Scope;
use evenhand_core::{GroupPredictor, GroupRegressor, GroupTable, Params, Result, Run, plugin};

plugin! {
    /// Least squares with penalised weights and an intercept, for each group or for all rows.
    pub struct Ridge: GroupRegressor = "ridge",
        from "Hoerl & Kennard 1970, Ridge regression: biased estimation for nonorthogonal problems" {
        /// Weight of the squared norm of the weights, against the sum of squared errors.
        alpha: f64 = 1.0, in 0.0..;
        /// Whether each group has a model of its own.
        scope: Scope = Scope::PerGroup;
    }
}

impl GroupRegressor for Ridge {
    fn fit(&self, table: &GroupTable, labels: &[f64], run: &Run) -> Result<Box<dyn GroupPredictor>> {
        self.check()?;
        Ok(Box::new(GroupModels::fit(self.scope, self.alpha, table, labels, run)?))
    }
}
