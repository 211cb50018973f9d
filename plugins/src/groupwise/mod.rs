//! Predictions that are good for every group at once, from regressors that each know one group.
//!
//! There is an expert for each group, and one more for all rows unless `always_on` is false. An expert is a regressor of
//! its own, which predicts, pays and learns in the rows of its group alone and sleeps in others. A mixer weighs those that
//! are awake by what they lost:
//!
//! ```text
//! prediction      sum of share x prediction of the experts awake
//! expected loss   sum of share x (prediction - label)^2: that of one expert drawn by its share
//! ```
//!
//! The expected loss is what the mixer learns from and what the paper measures; the loss of the prediction is never larger,
//! because squared errors are convex. With N experts, AdaNormalHedge and losses in 0 to 1, the expected loss in the rows of
//! every group is at most that of the group's own regressor plus O(sqrt(T_g ln N)): the reduction calls any regressor as it
//! is, and its time per row grows with the number of groups, not with that of functions.
//!
//! Source: Acharya, Arunachaleswaran, Kannan, Roth & Ziani, "Oracle efficient algorithms for groupwise regret", ICLR 2024,
//! algorithm 1.

mod frozen;
#[cfg(test)]
mod tests;

use crate::ada_normal_hedge::AdaNormalHedge;
use crate::online_ridge::OnlineRidge;
use evenhand_core::{
    Error, Expert, GroupPredictor, GroupRegressor, Mixer, Mixing, Nested, OnlineRegressor, Result, Run, check_row,
    plugin,
};
use frozen::Frozen;

/// Any regressor that learns row by row.
type Base = Nested<dyn GroupRegressor>;
/// Any mixer.
type Mix = Nested<dyn Mixer>;

plugin! {
    /// An expert for each group, and a mixer of those that are awake: good for every group at once.
    pub struct Groupwise: GroupRegressor = "groupwise",
        from "Acharya, Arunachaleswaran, Kannan, Roth & Ziani 2024, Oracle efficient algorithms for groupwise regret, \
              arXiv 2310.04652" {
        /// What each expert is: any regressor that learns row by row.
        base: Base = Base::from(Box::<OnlineRidge>::default() as Box<dyn GroupRegressor>);
        /// How they are weighed.
        mixer: Mix = Mix::from(Box::<AdaNormalHedge>::default() as Box<dyn Mixer>);
        /// Whether there is an expert for all rows, besides those of the groups. Without one, a row in no group has no
        /// prediction.
        always_on: bool = true;
    }
}

impl GroupRegressor for Groupwise {
    fn online(&self) -> bool {
        true
    }

    fn begin(&self, features: usize, groups: usize, run: &Run) -> Result<Box<dyn OnlineRegressor>> {
        let count = groups + usize::from(self.always_on);
        // The same run for all: an expert of the same rows is the same expert.
        let experts = (0..count).map(|_| self.base.begin(features, 1, run)).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(Learner {
            shape: (features, groups),
            experts,
            mixing: self.mixer.begin(count)?,
            always_on: self.always_on,
            awake: Vec::with_capacity(count),
            shares: Vec::with_capacity(count),
            losses: Vec::with_capacity(count),
            said: Vec::with_capacity(count),
            features: vec![f64::NAN; features],
            active: vec![false; groups],
            pending: false,
        }))
    }
}

struct Learner {
    shape: (usize, usize),
    /// One for each group, then the one for all rows.
    experts: Vec<Box<dyn OnlineRegressor>>,
    mixing: Box<dyn Mixing>,
    always_on: bool,
    /// Who has predicted the last row, ascending.
    awake: Vec<usize>,
    /// Their shares.
    shares: Vec<f64>,
    /// Room for their losses.
    losses: Vec<f64>,
    /// The same for others to see.
    said: Vec<Expert>,
    /// The row predicted last, and its groups.
    features: Vec<f64>,
    active: Vec<bool>,
    /// Whether it is predicted without a failure, and not observed yet.
    pending: bool,
}

impl OnlineRegressor for Learner {
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>> {
        check_row(features, active, self.shape)?;
        self.pending = false;
        self.awake.clear();
        self.said.clear();
        let asked = self.ask(features, active);
        if asked.is_err() {
            self.said.clear();
        }
        self.pending = asked.is_ok();
        asked
    }

    /// After an error of an expert nothing more can be learned: some may have learned, others not.
    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()> {
        check_row(features, active, self.shape)?;
        if !label.is_finite() {
            return Err(Error::Diverged { what: "a label".into(), step: None });
        }
        if !self.pending || self.features != features || self.active != active {
            self.predict(features, active)?;
        }
        self.losses.clear();
        self.losses.extend(self.said.iter().map(|expert| (expert.prediction - label).powi(2)));
        if !self.losses.iter().all(|loss| loss.is_finite()) {
            return Err(Error::Diverged { what: "a loss".into(), step: None });
        }
        self.pending = false;
        // Who had no prediction may begin to learn all the same.
        candidates(active, self.always_on).try_for_each(|at| self.experts[at].observe(features, &[true], label))?;
        if !self.awake.is_empty() {
            self.mixing.update(&self.awake, &self.shares, &self.losses);
        }
        Ok(())
    }

    fn experts(&self) -> &[Expert] {
        &self.said
    }

    fn freeze(&self) -> Box<dyn GroupPredictor> {
        let experts = self.experts.iter().map(|expert| expert.freeze()).collect();
        Box::new(Frozen::new(self.shape, experts, self.mixing.copy(), self.always_on))
    }
}

impl Learner {
    /// Asks all experts whom the row is for, and mixes what they say.
    fn ask(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>> {
        self.features.copy_from_slice(features);
        self.active.copy_from_slice(active);
        let groups = self.shape.1;
        for at in candidates(active, self.always_on) {
            if let Some(prediction) = self.experts[at].predict(features, &[true])? {
                self.awake.push(at);
                self.said.push(Expert { group: (at < groups).then_some(at), prediction, weight: 0.0 });
            }
        }
        if self.awake.is_empty() {
            return Ok(None);
        }
        self.shares.resize(self.awake.len(), 0.0);
        self.mixing.shares(&self.awake, &mut self.shares);
        self.said.iter_mut().zip(&self.shares).for_each(|(expert, &share)| expert.weight = share);
        let mixed: f64 = self.said.iter().map(|expert| expert.weight * expert.prediction).sum();
        if !mixed.is_finite() {
            return Err(Error::Diverged { what: "a prediction".into(), step: None });
        }
        Ok(Some(mixed))
    }
}

/// The experts that a row in those groups is for, ascending.
fn candidates(active: &[bool], always_on: bool) -> impl Iterator<Item = usize> + '_ {
    let of_groups = active.iter().enumerate().filter(|(_, active)| **active).map(|(group, _)| group);
    of_groups.chain(always_on.then_some(active.len()))
}
