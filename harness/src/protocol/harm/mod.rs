//! The harm protocol: what do policies come to where users change with what they are shown?
//!
//! A recommender is fitted on all rows. Its factors are the profiles that users begin with, and the items as profiles see
//! them. Some items are harmful and never shown; users come upon them by themselves. Each user is shown sets drawn from the
//! policy's lottery until the profile does not change any more, and the lottery is measured there. Nothing is simulated:
//! [`Harm`](evenhand_core::Harm) has the behaviour, [`evenhand_plugins::stationary`] solves for the profile.
//!
//! | metric | what | better |
//! | --- | --- | --- |
//! | `objective` | `click - lambda harm` | higher |
//! | `click` | probability that something shown is taken | higher |
//! | `harm` | probability that a harmful item is consumed | lower |
//! | `distance` | from the profile after so many expected steps to the stationary one | - |
//! | `...-sd` | sample standard deviation of these over users; needs two | - |
//! | `set-size` | mean size of the sets | - |
//! | `iterations` | mean steps of the search for the stationary profile | - |
//! | `not-converged` | number of users for whom it did not end | 0 |
//! | `gap`, `gap-max` | Frank-Wolfe gap of policies that optimise: mean and largest | lower |
//! | `certified` | share of users whose gap is at most 1e-6, in units of the objective where that is above 1 | higher |
//! | `evaluations` | mean number of lotteries that such a policy looked at | - |
//! | `lambda`, `c` | price of harm, and weight of not taking what is shown, which may be calibrated | - |
//! | `draws` | slates behind every lottery, of policies that can not state theirs | - |
//!
//! * Numbers are means over users, who are drawn with the seed alone: all policies meet the same ones.
//! * Objective, click and harm are repeated for each group of users.
//! * A policy that can not state its lottery, not at all or not under that rule, is drawn from: slates of exactly k items. Sets
//!   of independent items can not be drawn so.
//! * A policy that shows a harmful item, or sets of another size than was asked for, fails: its numbers would look better
//!   than they are.
//! * What the users of the rows have consumed before does not matter: it may be shown again.
//! * Test rows that come with the data are left out.
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis, "Harm mitigation in recommender systems under user
//! preference dynamics", KDD 2024.

mod calibrate;
mod figures;
mod study;
#[cfg(test)]
mod tests;

pub use calibrate::{Tried, chosen, rule, tried};
pub use study::{Followed, Row, Study};

use super::{Measured, Seconds, check_fitted};
use crate::experiment::{Case, HarmOptions};
use evenhand_core::{Dataset, Model, Recommender, Result, Run, Training};
use std::sync::OnceLock;
use std::time::Instant;

/// What the protocol is called in results.
pub const NAME: &str = "harm";

/// A fitted recommender, as a source of profiles.
pub struct Embedding {
    /// The model.
    pub model: Box<dyn Model>,
    /// Wall-clock time of fitting.
    pub seconds: f64,
    /// The weight of not taking what is shown, once it is known: all policies share it.
    c: OnceLock<f64>,
}

/// Fits `recipe` on all rows of `data`. `run` is that of the cell: fitting draws from its child `fit`.
///
/// # Errors
/// Those of the plugin; [`Shape`](evenhand_core::Error::Shape) for a model of another shape than the data;
/// [`Cancelled`](evenhand_core::Error::Cancelled).
pub fn embed(recipe: &dyn Recommender, data: &Dataset, run: &Run) -> Result<Embedding> {
    let start = Instant::now();
    let run = &run.child("fit");
    let model = run.install(|| recipe.fit(&Training::of(data, &data.ratings), run))?;
    let seconds = start.elapsed().as_secs_f64();
    run.check()?;
    check_fitted(model.as_ref(), &data.ratings)?;
    Ok(Embedding { model, seconds, c: OnceLock::new() })
}

/// Measures the policy of `case` on users of `embedding`. With the data, whether each item is harmful. `run` is that of the
/// cell: users are drawn from its child `users`, the policy draws from `policy`. An embedding is for one seed and for one set
/// of options: a weight of not taking what is shown that is to be found is found once.
///
/// # Errors
/// [`Unsupported`](evenhand_core::Error::Unsupported) for a model without factors, or a policy that can not state its
/// distribution where it is to show items independently; [`Unusable`](evenhand_core::Error::Unusable) for profiles that are
/// too long, or a policy that shows what it must not; [`OutOfRange`](evenhand_core::Error::OutOfRange) where no weight of
/// the grid will do; those of the plugin; [`Cancelled`](evenhand_core::Error::Cancelled).
pub fn measure(
    embedding: &Embedding,
    case: &Case,
    options: &HarmOptions,
    (data, harmful): (&Dataset, &[bool]),
    run: &Run,
) -> Result<Measured> {
    let model = embedding.model.as_ref();
    let c = match embedding.c.get() {
        Some(c) => *c,
        None => {
            let found = calibrate::weight(model, options, harmful, run)?;
            *embedding.c.get_or_init(|| found)
        }
    };
    let start = Instant::now();
    let users = study::draw_users(model.users(), options.users, run);
    let study = Study::new(model, options, harmful, users)?;
    let followed = study.follow(case.policy.as_ref(), c, case.lambda, &run.child("policy"))?;
    let figures = figures::figures(&followed, data, (c, case.lambda));
    let users = options.keep_users.then(|| figures::per_user(&followed));
    let seconds = Seconds { fit: embedding.seconds, evaluate: start.elapsed().as_secs_f64() };
    Ok(Measured { figures, users, seconds, ..Measured::default() })
}
