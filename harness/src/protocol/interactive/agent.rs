//! An agent at work: its model, what it has observed, and the way from one to the other.

use crate::experiment::{self, Cold, Learning};
use crate::off_policy::Action;
use crate::protocol::check_fitted;
use evenhand_core::{
    Error, Feedback, Groups, History, Interactions, Model, Output, Propensities, Repeats, Requests, Result, Rows, Run,
    Slates, Stage, Training, World,
};
use rand::seq::index;

/// An agent between two periods.
pub(super) struct Learner<'a> {
    agent: &'a experiment::Agent,
    run: &'a Run,
    stage: &'a Stage,
    /// Groupings of the users who are there.
    groups: Vec<Groups>,
    /// None as long as an agent that is fitted to observations has none.
    model: Option<Box<dyn Model>>,
    /// The observations of an agent that is fitted to them.
    history: History,
    /// Of which users there are observations.
    known: Vec<bool>,
}

/// What was shown in a period.
pub(super) struct Shown {
    /// The items, in the order of the requests.
    pub(super) slates: Slates,
    /// Whether a request was answered at random for want of an observation.
    pub(super) cold: Vec<bool>,
    /// The rating that the agent expected of each item; NaN where it expected none.
    pub(super) predictions: Vec<f32>,
}

impl<'a> Learner<'a> {
    /// An agent that has observed nothing, knows what everybody knows, and draws from below `run`.
    pub(super) fn new(agent: &'a experiment::Agent, stage: &'a Stage, run: &'a Run) -> Self {
        let history = History::new(agent.setting.recipe.joins_repeats());
        Self { agent, run, stage, groups: Vec::new(), model: None, history, known: Vec::new() }
    }

    /// Meets the users and items that are there by now, and learns from what has come back.
    pub(super) fn learn(&mut self, fresh: &Feedback, period: usize) -> Result<()> {
        // Newcomers are met before the period, in which what comes back is learned: two calls.
        let run = self.below(if fresh.rows.is_empty() { "meet" } else { "learn" }, period);
        if self.known.len() < fresh.users {
            self.known.resize(fresh.users, false);
            self.groups = self.stage.user_groups.iter().map(|groups| groups.first(fresh.users)).collect();
        }
        if self.agent.learning == Learning::Online {
            if self.model.is_none() {
                let none = Interactions::new(fresh.users, fresh.items, &Rows::default())?;
                self.model = Some(self.fit(&none, None)?);
            }
            if let Some(model) = &mut self.model {
                model.learn(fresh, &run)?;
            }
        } else {
            self.history.add(fresh)?;
            let shape = self.model.as_ref().map(|model| (model.users(), model.items()));
            // Without an observation there is nothing to fit, unless users of whom there is none are left to the model.
            let begun = shape.is_some() || !fresh.rows.is_empty() || self.agent.cold == Cold::Model;
            if begun && (!fresh.rows.is_empty() || shape != Some((fresh.users, fresh.items))) {
                let (ratings, repeats) = self.history.ratings()?;
                self.model = Some(self.fit(&ratings, repeats.as_ref())?);
            }
        }
        fresh.rows.iter().for_each(|row| self.known[row.user as usize] = true);
        Ok(())
    }

    /// The same random numbers each time: what is fitted again starts where it started before.
    fn fit(&self, ratings: &Interactions, repeats: Option<&Repeats>) -> Result<Box<dyn Model>> {
        let (recipe, run) = (&self.agent.setting.recipe, self.run.child("fit"));
        let train = &Training::new(ratings).with_users(&self.groups, self.stage.scale).with_repeats(repeats);
        let model = run.install(|| match &self.model {
            Some(earlier) if self.agent.learning == Learning::WarmStart => recipe.refit(train, earlier.as_ref(), &run),
            _ => recipe.fit(train, &run),
        })?;
        check_fitted(model.as_ref(), ratings)?;
        Ok(model)
    }

    /// Answers requests with slates of `size` items.
    pub(super) fn answer(&self, requests: &Requests, size: usize, period: usize) -> Result<Shown> {
        let run = self.below("act", period);
        let cold: Vec<bool> = requests.users.iter().map(|&user| self.is_cold(user)).collect();
        let met: Vec<u32> =
            requests.users.iter().zip(&cold).filter(|(_, cold)| !**cold).map(|(&user, _)| user).collect();
        let mut chosen = Slates { size, ..Slates::default() };
        if let Some(model) = self.model.as_deref().filter(|_| !met.is_empty()) {
            let policy = self.agent.policy.prepare(World::new(model, None), &run)?;
            chosen = run.install(|| policy.act(&met, size, &run))?;
            let places = met.len() * size;
            for (what, got) in [("items of a policy", chosen.items.len()), ("scores of a policy", chosen.scores.len())]
            {
                if (chosen.size, got) != (size, places) {
                    let got = format!("{got} in slates of {}", chosen.size);
                    return Err(Error::shape(what, format!("{places} in slates of {size}"), got));
                }
            }
        }
        let slates = if met.len() == cold.len() { chosen } else { self.join(chosen, requests, &cold, &run) };
        let rates = self.model.as_ref().is_some_and(|model| model.output() == Output::Rating);
        let predictions = if rates { slates.scores.clone() } else { vec![f32::NAN; slates.items.len()] };
        Ok(Shown { slates, cold, predictions })
    }

    /// The slates of all requests in order: those chosen, and items drawn uniformly for the cold ones, without a score.
    fn join(&self, chosen: Slates, requests: &Requests, cold: &[bool], run: &Run) -> Slates {
        let size = chosen.size;
        let streams = run.streams.child("cold");
        let mut slates = Slates { size, ..Slates::default() };
        let mut next = chosen.items.chunks(size).zip(chosen.scores.chunks(size));
        for (&user, &cold) in requests.users.iter().zip(cold) {
            if cold {
                let drawn = index::sample(&mut streams.rng(u64::from(user)), requests.present_items, size);
                slates.items.extend(drawn.iter().map(|item| item as u32));
                slates.scores.extend(std::iter::repeat_n(f32::NAN, size));
            } else if let Some((items, scores)) = next.next() {
                slates.items.extend(items);
                slates.scores.extend(scores);
            }
        }
        slates
    }

    /// How likely the agent was to show what it has shown in the period.
    pub(super) fn propensities(&self, requests: &Requests, shown: &Shown, period: usize) -> Result<Propensities> {
        let run = self.below("act", period);
        let size = shown.slates.size;
        // At each place, a cold user is shown every item with the same probability.
        let uniform = 1.0 / requests.present_items as f64;
        let mut all = Propensities { values: vec![uniform; shown.slates.items.len()], draws: None };
        let places = || shown.cold.iter().enumerate().filter(|(_, cold)| !**cold).map(|(at, _)| at);
        let met: Vec<u32> = places().map(|at| requests.users[at]).collect();
        if let Some(model) = self.model.as_deref().filter(|_| !met.is_empty()) {
            let mut chosen = Slates { size, ..Slates::default() };
            for at in places() {
                chosen.items.extend(&shown.slates.items[at * size..][..size]);
                chosen.scores.extend(&shown.slates.scores[at * size..][..size]);
            }
            let policy = self.agent.policy.prepare(World::new(model, None), &run)?;
            let of_met = run.install(|| policy.propensities(&met, &chosen, &run))?.of_own_actions();
            if of_met.values.len() != chosen.items.len() {
                return Err(Error::shape("propensities of a policy", chosen.items.len(), of_met.values.len()));
            }
            if let Some(value) = of_met.values.iter().find(|p| !Action::is_propensity(**p)) {
                let policy = self.agent.policy.name();
                return Err(Error::Unusable(format!(
                    "`{policy}` states a propensity of {value} for what it has shown, expected above 0, at most 1"
                )));
            }
            for (at, values) in places().zip(of_met.values.chunks(size)) {
                all.values[at * size..][..size].copy_from_slice(values);
            }
            all.draws = of_met.draws;
        }
        Ok(all)
    }

    /// Mean squared error of the model on pairs, whatever the policy would choose; none of a model that does not predict
    /// ratings.
    pub(super) fn error(&self, users: &[u32], items: &[u32], expected: &[f64], period: usize) -> Result<Option<f64>> {
        let Some(model) = self.model.as_deref().filter(|m| m.output() == Output::Rating) else { return Ok(None) };
        if users.is_empty() {
            return Ok(None);
        }
        let mut predicted = vec![0.0; users.len()];
        model.predict(users, items, &mut predicted, self.run)?;
        if let Some(at) = predicted.iter().position(|p| !p.is_finite()) {
            let what = format!("predicted rating of user {}, item {}", users[at], items[at]);
            return Err(Error::Diverged { what, step: Some(period) });
        }
        let squares: f64 = predicted.iter().zip(expected).map(|(&p, e)| (f64::from(p) - e).powi(2)).sum();
        Ok(Some(squares / users.len() as f64))
    }

    fn is_cold(&self, user: u32) -> bool {
        self.agent.cold == Cold::Random && !self.known.get(user as usize).copied().unwrap_or(false)
    }

    fn below(&self, label: &str, period: usize) -> Run {
        self.run.child(label).child(&period.to_string())
    }
}
