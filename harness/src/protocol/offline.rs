//! The offline protocol: fit on the training rows, then measure on the held-out ones.
//!
//! | metric | over | better |
//! | --- | --- | --- |
//! | `rmse`, `mae` | test rows; only models whose scores are ratings | lower |
//! | `r2` | the same rows and models; where not all ratings are the same | higher |
//! | `worst-rmse` | the largest `rmse` of a protected group of users | lower |
//! | `ndcg`, `hr`, `recall`, `precision`, `mrr`, `map` at k | users with a relevant test item and another one to rank it against | higher |
//! | `auc`, `auc-half-ties` | the same users; ties count against the relevant item, or half | higher |
//! | `coverage` at k | the catalogue: share of items in some list | higher is wider |
//! | `gini` at k | the catalogue: how unevenly the lists show it | lower is more even |
//! | `dee`, `ugf`, `cvs`, `val` | all users x all items; only models whose scores are ratings | lower is more even |
//! | `dee`, `cvs` at k | the lists | lower is more even |
//! | `dee-mean`, `dee-mean` at k | `dee` divided by the number of pairs of groups | lower is more even |
//! | `validation-rmse` | validation rows, where there are any; only models whose scores are ratings | lower |
//!
//! * Predicted ratings are taken as they are, not clamped to the scale: clamping would hide a model that runs away, and
//!   a plugin that wants it can do it.
//! * Every item is a candidate but those in the user's training and validation rows, also items that occur in test rows
//!   only. A test row that repeats such a pair is no candidate, thus never relevant; it counts in `rmse`, `mae` and
//!   `r2`.
//! * Users without a relevant test item, or with no other item to rank it against, have no ranking metrics and no list:
//!   `n` says how many are left.
//! * Metrics of accuracy and ranking are repeated for each group of users. `worst-rmse` looks at the groups of the
//!   protected grouping, however few test rows they have, or at those of all groupings where none is protected; its `n`
//!   counts the rows of the worst group.
//! * Fairness is between the protected groups of users and of items: [`evenhand_core::metrics`] has the formulas. As
//!   ratings, an item is recommended where its prediction is strictly above the threshold of a like; no held-out row
//!   takes part in that. As lists, where it stands in the list of a user who has one. `ugf` of lists is 0, for they
//!   are of one length. A metric has no figure where a group that it needs is missing, or has no user or item.
//! * Users are scored in blocks; per-user values are added in user order: results do not depend on the threads.
//!
//! The metrics are the harness's own. A plugin sees the training rows, never the test rows: a fitted model is asked for
//! the ratings of test pairs only once its lists are made and its factors have been attacked.

use super::{Measured, Seconds, attack, check_fitted, ranking, rating, scores};
use crate::experiment::{Attacks, Eval};
use crate::split::Fold;
use evenhand_core::{Dataset, Output, Recommender, Result, Run, Training};
use std::time::Instant;

/// What the protocol is called in results.
pub const NAME: &str = "offline";

/// Raised when the same cell would be measured to other figures, or to more, by this protocol alone.
pub const REVISION: u32 = 1;

/// Fits `recipe` on the training rows of `fold` and measures it on the test rows; then again under `attacks`, if there are
/// any and the model has factors: see [`attack`]. `run` is that of the cell: fitting draws from its child `fit`, attacks
/// from `attack`.
///
/// # Errors
/// Those of the plugin; [`Shape`](evenhand_core::Error::Shape) for a model of another shape than the data;
/// [`Diverged`](evenhand_core::Error::Diverged) for scores that are not finite;
/// [`Cancelled`](evenhand_core::Error::Cancelled).
pub fn measure(
    recipe: &dyn Recommender,
    data: &Dataset,
    fold: &Fold,
    eval: &Eval,
    attacks: Option<&Attacks>,
    run: &Run,
) -> Result<Measured> {
    let start = Instant::now();
    let cell = run;
    let run = &cell.child("fit");
    let model = run.install(|| recipe.fit(&Training::of(data, &fold.train), run))?;
    let fit = start.elapsed().as_secs_f64();
    run.check()?;
    check_fitted(model.as_ref(), &fold.train)?;
    let start = Instant::now();
    // Ranked first, attacked or not: a model that is asked for test pairs learns which pairs they are.
    let tested = ranking::tested(fold, eval.relevant, data.scale);
    let (ranked, mut users) = scores::measure(model.as_ref(), data, fold, &tested, eval, run)?;
    let mut attacked = Vec::new();
    if let (Some(attacks), Some(factors)) = (attacks, model.factors()) {
        let (found, of_users) = attack::measure(factors, data, fold, &tested, (eval, attacks), &cell.child("attack"))?;
        attacked = found;
        if let Some(users) = &mut users {
            users.extend(of_users);
        }
    }
    let mut figures = Vec::new();
    if model.output() == Output::Rating {
        figures.extend(rating::figures(model.as_ref(), data, &fold.test, run)?);
        if let Some(rows) = &fold.validation {
            figures.extend(rating::validation(model.as_ref(), rows, run)?);
        }
    }
    figures.extend(ranked);
    let seconds = Seconds { fit, evaluate: start.elapsed().as_secs_f64() };
    Ok(Measured { figures, attacks: attacked, users, seconds, ..Measured::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Factors, Interactions, Model, Rows, Scale};
    use nalgebra::DMatrix;
    use serde::Serialize;
    use std::collections::HashSet;
    use std::sync::{Mutex, OnceLock};

    const SHAPE: (usize, usize) = (20, 15);

    /// Likes low item numbers; with a memory, whatever it was asked to predict even more. Its factors are made when they
    /// are first asked for.
    #[derive(Debug, Serialize)]
    struct Peek {
        #[serde(skip)]
        asked: Option<Mutex<HashSet<(u32, u32)>>>,
        #[serde(skip)]
        factors: OnceLock<Factors>,
    }

    impl Peek {
        fn of(&self, user: u32, item: u32) -> f32 {
            let known = self.asked.as_ref().is_some_and(|asked| asked.lock().unwrap().contains(&(user, item)));
            if known { 5.0 } else { 1.0 - item as f32 / 100.0 }
        }
    }

    impl Model for Peek {
        fn kind(&self) -> &'static str {
            "peek"
        }

        fn users(&self) -> usize {
            SHAPE.0
        }

        fn items(&self) -> usize {
            SHAPE.1
        }

        fn output(&self) -> Output {
            Output::Rating
        }

        fn validate(&self) -> Result<()> {
            Ok(())
        }

        fn score(&self, users: &[u32], out: &mut DMatrix<f32>, _: &Run) -> Result<()> {
            *out = DMatrix::from_fn(SHAPE.1, users.len(), |item, at| self.of(users[at], item as u32));
            Ok(())
        }

        fn factors(&self) -> Option<&Factors> {
            let all = || DMatrix::from_fn(SHAPE.0, SHAPE.1, |user, item| self.of(user as u32, item as u32));
            let users = DMatrix::identity(SHAPE.0, SHAPE.0);
            Some(self.factors.get_or_init(|| Factors::new(users, all(), Output::Rating).unwrap()))
        }

        fn predict(&self, users: &[u32], items: &[u32], out: &mut [f32], _: &Run) -> Result<()> {
            if let Some(asked) = &self.asked {
                asked.lock().unwrap().extend(users.iter().copied().zip(items.iter().copied()));
            }
            out.fill(3.0);
            Ok(())
        }
    }

    evenhand_core::plugin! {
        /// For tests: fits a model that remembers what it is asked.
        pub struct Peeks: Recommender = "test-peeks" {
            /// Whether it does.
            remember: bool = false;
        }
    }

    impl Recommender for Peeks {
        fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
            Ok(Box::new(Peek { asked: self.remember.then(Mutex::default), factors: OnceLock::new() }))
        }
    }

    #[test]
    fn what_a_model_is_asked_for_does_not_help_it_to_rank() {
        let rows = |shift: u32| {
            let mut rows = Rows::default();
            (0..20).for_each(|user| rows.push(user, (user + shift) % 15, 5.0));
            Interactions::new(SHAPE.0, SHAPE.1, &rows).unwrap()
        };
        let fold = Fold { label: String::new(), train: rows(0), test: rows(7), validation: None };
        let data = Dataset::new("x", fold.train.clone(), Scale::FIVE_STARS);
        let attacks = Attacks::default();
        let found = |remember| {
            let recipe = Peeks { remember };
            let found = measure(&recipe, &data, &fold, &Eval::default(), Some(&attacks), &Run::new(0)).unwrap();
            (found.figures, found.attacks)
        };
        let honest = found(false);
        assert_eq!(honest.1.len(), 3);
        assert_eq!(found(true), honest);
        let names: Vec<&str> = honest.0.iter().map(|f| f.metric.as_str()).collect();
        assert_eq!((names[0], names[2]), ("rmse", "ndcg"), "rating figures stand in front");
    }
}
