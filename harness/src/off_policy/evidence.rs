//! What the estimators need to know of a log and a target, gathered period by period.

use super::Action;
use evenhand_core::metrics::off_policy::{Overlap, weights};
use evenhand_core::{Acting, Error, Model, Result, Run, Slates, World};

/// A period that is evaluated.
pub(super) struct Period<'a> {
    pub(super) world: World<'a>,
    pub(super) acting: &'a dyn Acting,
    pub(super) rewards_by: &'a dyn Model,
    pub(super) size: usize,
    pub(super) actions: &'a [Action],
}

/// What the estimators need: slates x size, `expected` one for each slate.
#[derive(Default)]
pub(super) struct Evidence {
    pub(super) rewards: Vec<f64>,
    pub(super) logged: Vec<f64>,
    pub(super) target: Vec<f64>,
    pub(super) predicted: Vec<f64>,
    pub(super) expected: Vec<f64>,
    /// Logged propensities that were estimated.
    estimated: usize,
    /// Draws of which propensities of the target are shares.
    target_draws: Option<usize>,
}

impl Period<'_> {
    /// What the reward model says of slates.
    fn predict(&self, users: &[u32], items: &[u32], run: &Run) -> Result<Vec<f64>> {
        let each: Vec<u32> = users.iter().flat_map(|&user| std::iter::repeat_n(user, self.size)).collect();
        let mut scores = vec![0.0; items.len()];
        self.rewards_by.predict(&each, items, &mut scores, run)?;
        if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
            let what = format!("predicted reward of user {}, item {}", each[at], items[at]);
            return Err(Error::Diverged { what, step: Some(self.actions[0].period) });
        }
        Ok(scores.into_iter().map(f64::from).collect())
    }
}

impl Evidence {
    /// Adds a period.
    ///
    /// # Errors
    /// Those of policy and model; [`Error::Diverged`] for a prediction that is not finite.
    pub(super) fn add(&mut self, period: &Period<'_>, draws: usize, run: &Run) -> Result<()> {
        let number = period.actions[0].period.to_string();
        let users: Vec<u32> = period.actions.iter().step_by(period.size).map(|a| a.user).collect();
        let items: Vec<u32> = period.actions.iter().map(|a| a.item).collect();
        self.rewards.extend(period.actions.iter().map(|a| a.reward));
        self.logged.extend(period.actions.iter().map(|a| a.propensity));
        self.estimated += period.actions.iter().filter(|a| a.draws.is_some()).count();
        self.predicted.extend(period.predict(&users, &items, run)?);

        let slates = Slates { size: period.size, scores: vec![0.0; items.len()], items };
        let own = period.acting.propensities(&users, &slates, &run.child("propensities").child(&number))?;
        if own.values.len() != slates.items.len() {
            return Err(Error::shape("propensities of the target", slates.items.len(), own.values.len()));
        }
        self.target.extend(own.values);
        self.target_draws = self.target_draws.max(own.draws);

        let streams = run.child("draws").child(&number);
        let mut expected = vec![0.0; users.len()];
        for draw in 0..draws {
            let drawn = period.acting.act(&users, period.size, &streams.child(&draw.to_string()))?;
            period.world.check_slates(&users, &drawn)?;
            let values = period.predict(&users, &drawn.items, run)?;
            for (sum, slate) in expected.iter_mut().zip(values.chunks(period.size)) {
                *sum += slate.iter().sum::<f64>() / draws as f64;
            }
        }
        self.expected.extend(expected);
        Ok(())
    }

    /// Checks that propensities make weights.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    pub(super) fn check(&self) -> Result<()> {
        let weight = |(target, logged): &(&f64, &f64)| (*target / *logged).is_finite() && **target >= 0.0;
        match self.target.iter().zip(&self.logged).find(|pair| !weight(pair)) {
            Some((target, logged)) => {
                let text = format!("a target propensity of {target} over a logged one of {logged} is no weight");
                Err(Error::Unusable(text))
            }
            None => Ok(()),
        }
    }

    /// What the reader of the estimates should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(overlap) = Overlap::of(&weights(&self.target, &self.logged, None)) else { return warnings };
        let Overlap { rows, zeros, mean, mean_error, .. } = overlap;
        let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / rows as f64);
        if zeros > 0 {
            let text = match self.target_draws {
                None => format!("the target would never have shown {} of the {rows} logged items", percent(zeros)),
                Some(_) => {
                    format!("the target showed {} of the {rows} logged items in none of its draws", percent(zeros))
                }
            };
            warnings.push(text);
        }
        if mean_error.is_some_and(|error| (mean - 1.0).abs() > 4.0 * error) {
            warnings.push(format!(
                "the weights average {mean:.3}, expected 1: the log had no chance for some of what the target shows, or \
                 propensities are wrong"
            ));
        }
        if self.estimated > 0 {
            let share = percent(self.estimated);
            warnings.push(format!("{share} of the logged propensities are estimates: their inverses are biased"));
        }
        if let Some(draws) = self.target_draws {
            warnings.push(format!("the propensities of the target are shares of {draws} draws"));
        }
        warnings
    }
}
