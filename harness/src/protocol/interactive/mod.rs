//! The interactive protocol: an agent meets a world that answers. In each period users ask, the agent shows each of them a
//! slate, and learns from what comes back.
//!
//! | figure, and curve over periods | of | better |
//! | --- | --- | --- |
//! | `mean-regret` | requests: best minus expected value, summed over the slate; the figure is the mean over periods | lower |
//! | `last-regret` | `mean-regret` of the last period; a figure alone | lower |
//! | `cumulative-regret` | the sum of `mean-regret` so far | lower |
//! | `mean-value` | requests: expected value, summed over the slate | higher |
//! | `ratings-mse` | shown items with a prediction: squared error against the expected value | lower |
//! | `pairs-mse` | a fixed random set of pairs: the same, of the model; only models whose scores are ratings | lower |
//! | `distinct-items` | items shown in the period | |
//! | `reached-items` | items shown so far | |
//! | `gini` | the catalogue that is there: how unevenly the period's slates show it | lower is more even |
//! | `cold-users` | requests that were answered at random, for want of an observation; the figure is their sum | |
//!
//! * Figures are those of the last period, unless the table says otherwise. `mean-regret` and `cumulative-regret` are
//!   repeated for each group of users.
//! * Regret and errors are measured on noise-free values, which no agent sees: they come from [`Audit`], agents get
//!   [`evenhand_core::Feedback`].
//! * Recommenders are told the groups of the users who are there and the scale of the ratings, as in training on data: losses
//!   of fairness between users can be trained with here too.
//! * The predictions of shown items were made to choose them, so their error is biased upwards: an item is
//!   shown because it is overrated; those of `ucb` are upper bounds on purpose. `pairs-mse` is free of that.
//! * World, requests and noise are drawn from the seed alone, an agent's choices from another node: all agents meet the
//!   same users in the same order, with the same noise.
//! * Answering (drawing from the posterior, scoring, choosing) and learning are timed apart, everything else not at all.

mod agent;
mod log;
mod tally;
#[cfg(test)]
mod tests;

pub use tally::{CUMULATIVE, INFERENCE, REGRET, TRAINING};

use super::Measured;
use crate::experiment::{Agent, Options};
use agent::Learner;
use evenhand_core::{Audit, Environment, Error, Feedback, Requests, Result, Run, Simulator};
use rand::RngExt;
use std::time::Instant;
use tally::{Period, Tally};

/// What the protocol is called in results.
pub const NAME: &str = "interactive";

/// Lets `agent` live through the world of `simulator`, both drawn from below `run`.
///
/// # Errors
/// Those of the plugins; [`Error::Shape`] for slates longer than the catalogue; [`Error::Unsupported`] for a simulator
/// that does not answer, or a policy that needs what the model lacks; [`Error::Cancelled`].
pub fn measure(simulator: &dyn Simulator, agent: &Agent, options: &Options, run: &Run) -> Result<Measured> {
    let mut world = open(simulator, run)?;
    let stage = world.stage()?;
    let own = run.child("agent");
    let mut learner = Learner::new(agent, &stage, &own);
    let mut tally = Tally::new(&stage);
    let mut pairs = None;
    let mut there = (0, 0);
    let mut actions = Vec::new();
    for t in 0..options.periods {
        run.step(t, options.periods)?;
        let requests = world.requests(t)?;
        check(&requests, options)?;
        let mut training = 0.0;
        let now = (requests.present_users, requests.present_items);
        if std::mem::replace(&mut there, now) != now {
            let arrivals = Feedback { users: now.0, items: now.1, rows: Vec::new() };
            training += timed(|| learner.learn(&arrivals, t))?.1;
        }
        let (shown, inference) = timed(|| learner.answer(&requests, options.slate, t))?;
        let audit = world.answer(&requests.users, &shown.slates)?;
        check_audit(&audit, shown.slates.items.len(), t)?;
        let (users, items) = pairs.get_or_insert_with(|| draw_pairs(&requests, options.pairs, run));
        let pairs_mse = learner.error(users, items, &world.expected(users, items)?, t)?;
        if options.log {
            // What the agent knew when it acted, so before it learns.
            let propensities = learner.propensities(&requests, &shown, t)?;
            actions.extend(log::actions(t, &requests, &shown, &audit, &propensities));
        }
        let feedback = world.feedback()?;
        training += timed(|| learner.learn(&feedback, t))?.1;
        tally.add(&Period { requests: &requests, shown: &shown, audit: &audit, pairs_mse, inference, training });
    }
    run.observer().progress(options.periods, options.periods);
    Ok(Measured { actions, ..tally.finish(options.pairs) })
}

/// Number of items that are there from the start, in the world that [`measure`] opens.
///
/// # Errors
/// Those of the simulator.
pub fn first_items(simulator: &dyn Simulator, run: &Run) -> Result<usize> {
    Ok(open(simulator, run)?.requests(0)?.present_items)
}

fn open(simulator: &dyn Simulator, run: &Run) -> Result<Box<dyn Environment>> {
    simulator.open(&run.child("world"))
}

/// What came of `work`, and the seconds that it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed().as_secs_f64()))
}

fn check(requests: &Requests, options: &Options) -> Result<()> {
    if requests.users.is_empty() {
        return Err(Error::shape("users who ask in a period", "at least 1", 0));
    }
    if options.slate > requests.present_items {
        let expected = format!("at most the {} that are there", requests.present_items);
        return Err(Error::shape("items of a slate", expected, options.slate));
    }
    Ok(())
}

fn check_audit(audit: &Audit, shown: usize, period: usize) -> Result<()> {
    for (what, values) in
        [("expected values", &audit.expected), ("best values", &audit.best), ("observed values", &audit.observed)]
    {
        if values.len() != shown {
            return Err(Error::shape(what, shown, values.len()));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::Diverged { what: format!("one of the {what}"), step: Some(period) });
        }
    }
    Ok(())
}

/// Random pairs of those who are there from the start: users and items.
fn draw_pairs(first: &Requests, count: usize, run: &Run) -> (Vec<u32>, Vec<u32>) {
    let mut rng = run.streams.child("pairs").rng(0);
    let mut draw = |bound: usize| -> Vec<u32> { (0..count).map(|_| rng.random_range(0..bound as u32)).collect() };
    (draw(first.present_users), draw(first.present_items))
}
