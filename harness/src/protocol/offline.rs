//! The offline protocol: fit on the training rows, then measure on the held-out ones.
//!
//! | metric | over | better |
//! | --- | --- | --- |
//! | `rmse`, `mae` | test rows; only models whose scores are ratings | lower |
//! | `ndcg`, `hr`, `recall`, `precision`, `mrr`, `map` at k | users with a relevant test item | higher |
//! | `auc`, `auc-half-ties` | the same users; ties count against the relevant item, or half | higher |
//! | `coverage` at k | the catalogue: share of items in some list | higher is wider |
//! | `gini` at k | the catalogue: how unevenly the lists show it | lower is more even |
//!
//! * Predicted ratings are taken as they are, not clamped to the scale: clamping would hide a model that runs away, and
//!   a plugin that wants it can do it.
//! * Every item is a candidate but those in the user's training rows, also items that occur in test rows only. A test
//!   row that repeats a training pair is no candidate, thus never relevant; it counts in `rmse` and `mae`.
//! * Users without a relevant test item have no ranking metrics and no list: `n` says how many are left.
//! * Every metric but coverage and gini is repeated for each group of users.
//! * Users are scored in blocks; per-user values are added in user order: results do not depend on the threads.
//!
//! The metrics are the harness's own. A plugin sees the training rows, never the test rows.

use super::{Figure, ranking, rating};
use crate::experiment::Eval;
use crate::split::Fold;
use evenhand_core::{Dataset, Error, Model, Output, Recommender, Result, Run, Training};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What the protocol is called in results.
pub const NAME: &str = "offline";

/// What one fitted recommender was measured to do, and how long that took.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The numbers.
    pub figures: Vec<Figure>,
    /// Wall-clock times; no part of the result.
    pub seconds: Seconds,
}

/// Wall-clock times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// Of fitting.
    pub fit: f64,
    /// Of scoring and measuring.
    pub evaluate: f64,
}

/// Fits `recipe` on the training rows of `fold` and measures it on the test rows.
///
/// # Errors
/// Those of the plugin; [`Error::Shape`] for a model of another shape than the data; [`Error::Diverged`] for scores that
/// are not finite; [`Error::Cancelled`].
pub fn measure(recipe: &dyn Recommender, data: &Dataset, fold: &Fold, eval: &Eval, run: &Run) -> Result<Measured> {
    let start = Instant::now();
    let model = run.install(|| recipe.fit(&Training::of(data, &fold.train), run))?;
    let fit = start.elapsed().as_secs_f64();
    run.check()?;
    check_shape(model.as_ref(), fold)?;
    let start = Instant::now();
    let mut figures = Vec::new();
    if model.output() == Output::Rating {
        figures.extend(rating::figures(model.as_ref(), data, &fold.test, run)?);
    }
    figures.extend(ranking::figures(model.as_ref(), data, fold, eval, run)?);
    Ok(Measured { figures, seconds: Seconds { fit, evaluate: start.elapsed().as_secs_f64() } })
}

fn check_shape(model: &dyn Model, fold: &Fold) -> Result<()> {
    let expected = (fold.train.users(), fold.train.items());
    let got = (model.users(), model.items());
    if expected == got {
        return Ok(());
    }
    let text = |(users, items): (usize, usize)| format!("{users} users and {items} items");
    Err(Error::shape("the fitted model", text(expected), text(got)))
}
