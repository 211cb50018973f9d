//! The harm protocol: what do policies come to where users change with what they are shown?
//!
//! A recommender is fitted on all rows. Its factors are the profiles that users begin with, and the items as profiles
//! see them. Some items are harmful and never shown; users come upon them by themselves. Each user is shown sets drawn
//! from the policy's lottery until the profile does not change any more, and the lottery is measured there. Nothing is
//! simulated: [`Harm`](evenhand_core::Harm) has the behaviour, [`evenhand_plugins::stationary`] solves for the profile.
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
//! | `gap`, `gap-max` | Frank-Wolfe gap of policies that optimise: mean and largest, of users who have one | lower |
//! | `certified` | share of users whose gap is at most 1e-6, in units of the objective where that is above 1 | higher |
//! | `ended` | share of users for whom the search of such a policy ended by itself | higher |
//! | `evaluations` | mean number of lotteries that such a policy looked at | - |
//! | `lambda`, `c` | price of harm, and weight of not taking what is shown, which may be calibrated | - |
//! | `c-not-converged` | number of users for whom the search did not end at `c`, where it was calibrated | 0 |
//! | `draws` | slates behind every lottery, of policies that can not state theirs | - |
//!
//! * Numbers are means over users, who are drawn with the seed alone: all policies meet the same ones.
//! * Objective, click, harm and distance are repeated for each group of users.
//! * A policy that can not state its lottery, not at all or not under that rule, is drawn from: slates of exactly k
//!   items. Sets of independent items can not be drawn so.
//! * `gap`, `ended` and `evaluations` are the policy's own statement: nothing here looks whether they hold. An infinite
//!   gap says that there is none: such a user is not certified, and left out of `gap` and `gap-max`.
//! * A policy that shows a harmful item, or sets of another size than was asked for, fails: its numbers would look
//!   better than they are.
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

pub use calibrate::{Mean, NOT_CONVERGED, Tried, chosen, rule, tried};
pub use study::{Audience, Followed, Row, Study};

use super::{Measured, Seconds, check_fitted};
use crate::experiment::{Case, HarmOptions};
use calibrate::Found;
use evenhand_core::{Dataset, Error, Model, Recommender, Result, Run, Training};
use std::sync::OnceLock;
use std::time::Instant;

/// What the protocol is called in results.
pub const NAME: &str = "harm";

/// Raised when the same cell would be measured to other figures, by this protocol alone.
pub const REVISION: u32 = 3;

/// A fitted recommender, as a source of profiles.
pub struct Embedding {
    /// The model.
    pub model: Box<dyn Model>,
    /// Wall-clock time of fitting.
    pub seconds: f64,
    /// The users who are followed, once they are drawn: all policies share them.
    audience: OnceLock<Audience>,
    /// The weight of not taking what is shown, once it is known, or why there is none: all policies share it.
    weight: OnceLock<Result<Found, String>>,
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
    Ok(Embedding { model, seconds, audience: OnceLock::new(), weight: OnceLock::new() })
}

/// Measures the policy of `case` on users of `embedding`. With the data, whether each item is harmful. `run` is that of
/// the cell: users are drawn from its child `users`, the policy draws from `policy`. An embedding is for one seed and
/// for one set of options: a weight of not taking what is shown that is to be found is found once.
///
/// # Errors
/// [`Unsupported`](evenhand_core::Error::Unsupported) for a model without factors;
/// [`Unusable`](evenhand_core::Error::Unusable) for profiles that are too long, or a policy that shows what it must not
/// or states a gap below 0; [`Plugin`](evenhand_core::Error::Plugin), with the reason alone, where no weight could be
/// found, which is tried once, and for a policy that can not state its distribution where it is to show items
/// independently; those of the plugin; [`Cancelled`](evenhand_core::Error::Cancelled).
pub fn measure(
    embedding: &Embedding,
    case: &Case,
    options: &HarmOptions,
    (data, harmful): (&Dataset, &[bool]),
    run: &Run,
) -> Result<Measured> {
    let model = embedding.model.as_ref();
    let audience = match embedding.audience.get() {
        Some(drawn) => drawn,
        None => {
            let drawn = Audience::draw(model, options.users, harmful, run)?;
            embedding.audience.get_or_init(|| drawn)
        }
    };
    let known = match embedding.weight.get() {
        Some(known) => known,
        None => {
            let found = match calibrate::weight(model, options, harmful, run) {
                // It was not looked for to the end: the next one may find it.
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                other => other.map_err(|error| error.to_string()),
            };
            embedding.weight.get_or_init(|| found)
        }
    };
    let weight = known.as_ref().map_err(|reason| Error::Plugin(reason.clone().into()))?;
    let start = Instant::now();
    let study = Study::new(model, options, harmful, audience);
    let c = weight.c;
    let followed = study.follow(case.policy.as_ref(), c, case.lambda, &run.child("policy"))?;
    let mut figures = figures::figures(&followed, data, (c, case.lambda));
    figures.extend(weight.figure());
    let users = options.keep_users.then(|| figures::per_user(&followed));
    let seconds = Seconds { fit: embedding.seconds, evaluate: start.elapsed().as_secs_f64() };
    Ok(Measured { figures, users, seconds, ..Measured::default() })
}
