//! The Vovk-Azoury-Warmuth forecaster: online ridge regression that counts the row to be predicted in.
//!
//! A row is predicted by `theta . x` with
//!
//! `theta = (lambda I + sum over the rows so far and this one of x x')^-1  sum over the rows so far of y x`
//!
//! which is the prediction of [`online-ridge`](crate::online_ridge) divided by `1 + x' P x`: drawn to 0 where the row is
//! unlike those before. Its regret is O(d ln T) without a bound on the predictions, but on easy data it pays for that.
//!
//! Sources: Vovk, "Competitive on-line statistics", 2001; Azoury & Warmuth, "Relative loss bounds for on-line density
//! estimation with the exponential family of distributions", 2001.

use crate::forecaster::{Bank, Rule};
use crate::scope::Scope;
use evenhand_core::{GroupRegressor, OnlineRegressor, Params, Result, Run, plugin};

plugin! {
    /// Online ridge regression that counts the row to be predicted in, for each group or for all rows.
    pub struct Vaw: GroupRegressor = "vaw", from "Vovk 2001, Competitive on-line statistics" {
        /// Weight of the squared norm of the weights. A row of features of squared length beyond 10^13 lambda is refused:
        /// double precision would keep too few digits of it.
        lambda: f64 = 1.0, in 1e-6..=1e6;
        /// Whether each group has a model of its own. One that has not learned yet predicts 0. Each takes d^2 numbers.
        scope: Scope = Scope::PerGroup;
        /// Whether predictions are held within 0 and 1, for labels that are. What is learned does not depend on it.
        clip: bool = false;
    }
}

impl GroupRegressor for Vaw {
    fn online(&self) -> bool {
        true
    }

    fn begin(&self, features: usize, groups: usize, _: &Run) -> Result<Box<dyn OnlineRegressor>> {
        self.check()?;
        Ok(Box::new(Bank::new(Rule::Forward, self.scope, (features, groups), self.lambda, self.clip)))
    }
}
