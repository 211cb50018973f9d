//! Ridge regression that learns row by row: follow the regularised leader.
//!
//! A row is predicted by `theta . x` with
//!
//! `theta = argmin sum over the rows observed so far of (theta . x - y)^2 + lambda |theta|^2`
//!
//! Without an intercept; before the first row, theta is 0. An update costs O(d^2): see [`crate::least_squares`] for the
//! batch form, which has an intercept.

use crate::forecaster::{Bank, Rule};
use crate::scope::Scope;
use evenhand_core::{GroupRegressor, OnlineRegressor, Params, Result, Run, plugin};

plugin! {
    /// Ridge regression learned row by row, for each group or for all rows.
    pub struct OnlineRidge: GroupRegressor = "online-ridge" {
        /// Weight of the squared norm of the weights. A row of features of squared length beyond 10^13 lambda is refused:
        /// double precision would keep too few digits of it.
        lambda: f64 = 1.0, in 1e-6..=1e6;
        /// Whether each group has a model of its own. One that has not learned yet predicts 0. Each takes d^2 numbers.
        scope: Scope = Scope::PerGroup;
        /// Whether predictions are held within 0 and 1, for labels that are. What is learned does not depend on it.
        clip: bool = false;
    }
}

impl GroupRegressor for OnlineRidge {
    fn online(&self) -> bool {
        true
    }

    fn begin(&self, features: usize, groups: usize, _: &Run) -> Result<Box<dyn OnlineRegressor>> {
        self.check()?;
        Ok(Box::new(Bank::new(Rule::Ridge, self.scope, (features, groups), self.lambda, self.clip)))
    }
}
