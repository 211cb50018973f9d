//! Functions that are learned row by row, one for each group or one for all rows.

use super::{Forecaster, Rule, held};
use crate::group_models::GroupModels;
use crate::scope::Scope;
use evenhand_core::{Error, Expert, GroupPredictor, OnlineRegressor, Result, check_row};

/// An online regressor made of [`Forecaster`]s: a row is predicted by the mean of those of its groups, of which one that has
/// not learned yet says 0.
pub(crate) struct Bank {
    shape: (usize, usize),
    scope: Scope,
    lambda: f64,
    /// Whether predictions are held within 0 and 1.
    clip: bool,
    learners: Vec<Forecaster>,
    /// Whether each has learned from a row.
    begun: Vec<bool>,
    experts: Vec<Expert>,
}

impl Bank {
    /// For rows of `shape`: so many features, and so many groups that they may be in.
    pub(crate) fn new(rule: Rule, scope: Scope, shape: (usize, usize), lambda: f64, clip: bool) -> Self {
        let count = if scope == Scope::Pooled { 1 } else { shape.1 };
        let learners = vec![Forecaster::new(rule, shape.0, lambda); count];
        Self { shape, scope, lambda, clip, learners, begun: vec![false; count], experts: Vec::with_capacity(count) }
    }
}

/// A squared length of features, in units of lambda, beyond which the inverse keeps fewer than three digits of them.
const FARTHEST: f64 = 1e13;

/// The learners that a row in those groups is for.
fn awake(scope: Scope, active: &[bool]) -> impl Iterator<Item = usize> + '_ {
    let pooled = (scope == Scope::Pooled).then_some(0);
    let of_groups = if pooled.is_some() { &[] } else { active };
    pooled.into_iter().chain(of_groups.iter().enumerate().filter(|(_, active)| **active).map(|(group, _)| group))
}

impl OnlineRegressor for Bank {
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>> {
        check_row(features, active, self.shape)?;
        self.experts.clear();
        for at in awake(self.scope, active) {
            let plain = self.learners[at].predict(features);
            if !plain.is_finite() {
                self.experts.clear();
                return Err(Error::Diverged { what: "a prediction".into(), step: None });
            }
            let prediction = held(self.clip, plain);
            let group = (self.scope == Scope::PerGroup).then_some(at);
            self.experts.push(Expert { group, prediction, weight: 0.0 });
        }
        let weight = 1.0 / self.experts.len() as f64;
        self.experts.iter_mut().for_each(|expert| expert.weight = weight);
        let mean = self.experts.iter().map(|expert| weight * expert.prediction).sum();
        Ok((!self.experts.is_empty()).then_some(mean))
    }

    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()> {
        check_row(features, active, self.shape)?;
        if !label.is_finite() {
            return Err(Error::Diverged { what: "a label".into(), step: None });
        }
        let square: f64 = features.iter().map(|x| x * x).sum();
        // NaN is in no range.
        if !(0.0..=FARTHEST * self.lambda).contains(&square) {
            let most = (FARTHEST * self.lambda).sqrt();
            return Err(Error::Unusable(format!(
                "a row of features of length {:e}, at most {most:e} leaves digits with lambda = {}: scale the features",
                square.sqrt(),
                self.lambda
            )));
        }
        for at in awake(self.scope, active) {
            self.learners[at].observe(features, label);
            self.begun[at] = true;
        }
        Ok(())
    }

    fn experts(&self) -> &[Expert] {
        // One for all rows is no expert among others.
        if self.scope == Scope::PerGroup { &self.experts } else { &[] }
    }

    fn freeze(&self) -> Box<dyn GroupPredictor> {
        let models = self.learners.iter().zip(&self.begun).map(|(learner, &begun)| (learner.freeze(self.clip), begun));
        Box::new(GroupModels::online(self.scope, self.shape, models))
    }
}
