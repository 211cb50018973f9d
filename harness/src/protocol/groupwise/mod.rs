//! The groupwise protocol: how well is a number predicted for the members of groups that overlap, and what does a regressor
//! that learns row by row lose against the best linear function of each group?
//!
//! **Batch**: a share of the rows is drawn with the seed and held out; the regressor learns from the others.
//!
//! | metric | what | better |
//! | --- | --- | --- |
//! | `r2`, `rmse` | explained share of the variance, and root mean squared error, of test rows | higher, lower |
//! | `worst-r2`, `worst-rmse` | the lowest and the largest of a group | higher, lower |
//! | `own-r2` | of the model of a group alone, on test rows of that group | higher |
//! | `cross-r2 MODEL` | of the model of the group MODEL alone, on test rows of another group | - |
//! | `train-rows`, `test-rows` | number of rows | - |
//! | `no-prediction` | number of test rows without a prediction, which are left out of the errors | 0 |
//!
//! **Online**: rows come in an order drawn with the seed, or a given one. Each is predicted, then its label is shown.
//! Losses are squared errors, summed over the rows of a group.
//!
//! | metric | what | better |
//! | --- | --- | --- |
//! | `regret` | `loss - hindsight`; negative where several functions in turn beat the best single one | lower |
//! | `expected-regret` | `expected-loss - hindsight` | lower |
//! | `own-regret` | the same of the expert of that group alone, of regressors made of experts | lower |
//! | `worst-regret` | the largest `regret` of a group | lower |
//! | `loss` | sum of losses of the prediction | lower |
//! | `expected-loss` | sum of losses of an expert drawn by its weight; `loss` where there are no experts | lower |
//! | `hindsight` | loss of the best linear function of the features: see [`Comparator`](crate::experiment::Comparator) | - |
//! | `rank` | of the features of all rows of the group | - |
//! | `rows` | number of rows | - |
//! | `no-prediction` | number of rows without a prediction; their labels are learned from | 0 |
//! | `experts` | mean number of experts behind a prediction, of regressors made of experts | - |
//!
//! * Numbers are of all rows and of each group. The n of an error of held-out rows is the number of those with a
//!   prediction, of `experts` the number of predictions, of other figures the number of rows; that of a worst one is of its
//!   group.
//! * Where a row has no prediction, there is no regret of it, nor of its groups and of all rows: who says nothing would lose
//!   nothing.
//! * R2 is not defined for fewer than two rows, nor for labels that are all the same: then there is no figure. A group
//!   without a member has `rows` 0, or `train-rows` and `test-rows` 0, and no other figure.
//! * A batch regressor sees features and memberships of test rows, never their labels; an online one sees a label after it
//!   has predicted the row. It may be told to learn from a whole table too.
//! * All regressors see the same rows in the same order. Rows to learn from come in the order in which they were drawn.
//! * Of a mixture of experts, squared errors are convex: `loss` is at most `expected-loss`, which published tables have.
//!
//! Sources: Acharya, Arunachaleswaran, Kannan, Roth & Ziani, "Oracle efficient algorithms for groupwise regret", ICLR 2024.

mod batch;
mod online;
#[cfg(test)]
mod tests;

pub use batch::held_out;

use super::{Figure, Measured};
use crate::experiment::{GroupLearning, GroupRun, GroupwiseOptions};
use crate::split::shuffle_front;
use evenhand_core::{Error, GroupData, GroupTable, Result, Run};
use evenhand_plugins::least_squares::Hindsight;
use std::sync::OnceLock;

/// What the protocol is called in results.
pub const NAME: &str = "groupwise";

/// Raised when the same cell would be measured to other figures, by this protocol alone.
pub const REVISION: u32 = 1;

/// Metric of the model of one group on another one: this, a blank and the name of the model's group.
pub(crate) const CROSS: &str = "cross-r2";

/// A table that regressors are measured on, and the best linear functions on it, which all of them share.
pub struct Ground {
    /// The table, with memberships as features where that is asked for.
    pub data: GroupData,
    /// Of all rows, then of each group; none of a group without members.
    hindsight: OnceLock<Vec<Option<Hindsight>>>,
}

/// In which order rows come.
#[derive(Clone, Copy, Debug)]
pub enum Order<'a> {
    /// Shuffled by the seed.
    Shuffled,
    /// That of the table.
    AsIs,
    /// This one: each row once.
    Given(&'a [usize]),
}

impl Ground {
    /// Nothing is computed yet.
    pub fn new(data: GroupData) -> Self {
        Self { data, hindsight: OnceLock::new() }
    }

    /// The best linear functions, found once: they do not depend on the order of the rows.
    fn hindsight(&self, run: &Run) -> Result<&[Option<Hindsight>]> {
        if let Some(found) = self.hindsight.get() {
            return Ok(found);
        }
        let GroupData { table, labels, .. } = &self.data;
        let mut found = Vec::new();
        for (part, rows) in parts(table).zip(rows_of(table)) {
            run.check()?;
            let best = (!rows.is_empty()).then(|| run.install(|| Hindsight::of(table, &rows, labels)));
            if best.as_ref().is_some_and(|best| !best.loss.is_finite()) {
                let of = part.map_or_else(|| "all rows".into(), |group| format!("`{group}`"));
                let why = "its squared errors leave the range of numbers: scale features and labels";
                return Err(Error::Unusable(format!("the best linear function of {of}: {why}")));
            }
            found.push(best);
        }
        Ok(self.hindsight.get_or_init(|| found))
    }
}

/// What figures call all rows, then each group.
fn parts(table: &GroupTable) -> impl Iterator<Item = Option<&str>> {
    std::iter::once(None).chain(table.groups().iter().map(|group| Some(group.as_str())))
}

/// All rows, then those of each group.
fn rows_of(table: &GroupTable) -> impl Iterator<Item = Vec<usize>> {
    std::iter::once((0..table.rows()).collect()).chain((0..table.groups().len()).map(|group| table.members(group)))
}

/// Measures the regressor of `case`. `run` is that of the cell: test rows are drawn from its child `split`, the order from
/// `order`, the plugin draws from `fit`. The order is for learning row by row.
///
/// # Errors
/// Those of the plugin; [`Shape`](Error::Shape) for an order of another number of rows, or an expert of a group that is
/// not there; [`Diverged`](Error::Diverged) for a number that is not finite; [`Unusable`](Error::Unusable) for a table
/// with fewer than two rows to be divided; [`Cancelled`](Error::Cancelled).
pub fn measure(
    ground: &Ground,
    case: &GroupRun,
    options: &GroupwiseOptions,
    order: Order<'_>,
    run: &Run,
) -> Result<Measured> {
    let recipe = case.setting.recipe.as_ref();
    match case.learning {
        GroupLearning::Batch => batch::measure(recipe, ground, options.test, run),
        GroupLearning::Online => online::measure(recipe, ground, options.comparator, &rows(ground, order, run)?, run),
    }
}

/// The rows in that order.
fn rows(ground: &Ground, order: Order<'_>, run: &Run) -> Result<Vec<usize>> {
    let rows = ground.data.table.rows();
    let mut all: Vec<usize> = (0..rows).collect();
    match order {
        Order::AsIs => {}
        Order::Shuffled => shuffle_front(&mut all, rows, &mut run.streams.child("order").rng(0)),
        Order::Given(given) => {
            let mut sorted = given.to_vec();
            sorted.sort_unstable();
            if sorted != all {
                return Err(Error::shape("the order of the rows", format!("each of {rows} once"), "another list"));
            }
            all.copy_from_slice(given);
        }
    }
    Ok(all)
}

/// A figure of a part of the rows.
fn figure(metric: impl Into<String>, part: Option<&str>, value: f64, n: usize) -> Figure {
    Figure { metric: metric.into(), k: None, group: part.map(str::to_string), value, n: n as u64 }
}

/// Refuses figures that are not finite.
fn finite(figures: Vec<Figure>) -> Result<Vec<Figure>> {
    match figures.iter().find(|figure| !figure.value.is_finite()) {
        Some(figure) => Err(Error::Diverged { what: format!("`{}`", figure.metric), step: None }),
        None => Ok(figures),
    }
}
