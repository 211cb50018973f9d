//! Fairness losses: a number that training makes small, and its gradient with respect to the predictions.
//!
//! Every loss has the dense form [`FairnessLoss::evaluate`], which sees all predictions at once. A loss that depends on
//! them through a few numbers says so in [`FairnessLoss::streamed`], from which the dense form follows; training then
//! never holds a users x items matrix.

mod pointwise;
mod streamed;

pub use pointwise::{BAND, Exceedance, Pointwise, Tail};
pub use streamed::{CellSums, Classes, Observed, OfRows, Outer, Streamed};

use crate::{Error, Groups, Interactions, Recipe, Result, Run};
use nalgebra::DMatrix;

/// What a fairness loss may look at besides the predictions.
#[derive(Clone, Copy, Debug)]
pub struct FairnessData<'a> {
    /// The training rows.
    pub train: &'a Interactions,
    /// The groups of users to be treated alike, if the experiment has any.
    pub user_groups: Option<&'a Groups>,
    /// The groups of items to be treated alike, if the experiment has any.
    pub item_groups: Option<&'a Groups>,
    /// Threshold tau: a prediction strictly above it counts as recommended.
    pub like_above: f32,
}

impl<'a> FairnessData<'a> {
    /// The groups of users, for a loss that can not do without.
    ///
    /// # Errors
    /// [`Error::Unusable`] where there are none, where one has no member (named), or where the only one holds everybody;
    /// [`Error::Shape`] for groups of another number of users.
    pub fn grouped_users(&self) -> Result<&'a Groups> {
        usable("users", self.user_groups, self.train.users())
    }

    /// The groups of items, for a loss that can not do without.
    ///
    /// # Errors
    /// As [`Self::grouped_users`].
    pub fn grouped_items(&self) -> Result<&'a Groups> {
        usable("items", self.item_groups, self.train.items())
    }

    /// Checks that `scores` are items x users.
    ///
    /// # Errors
    /// [`Error::Shape`] where they are not.
    pub fn check_scores(&self, scores: &DMatrix<f64>) -> Result<()> {
        let expected = (self.train.items(), self.train.users());
        if scores.shape() == expected {
            return Ok(());
        }
        let text = |(items, users): (usize, usize)| format!("{items} x {users}");
        Err(Error::shape("scores, items x users", text(expected), text(scores.shape())))
    }
}

fn usable<'a>(of: &'static str, groups: Option<&'a Groups>, entities: usize) -> Result<&'a Groups> {
    let Some(groups) = groups.filter(|g| !g.is_empty()) else {
        return Err(Error::Unusable(format!("the fairness loss needs groups of {of}, and there are none")));
    };
    if groups.entities() != entities {
        return Err(Error::shape("entities of the groups", format!("{entities} {of}"), groups.entities()));
    }
    let label = |g: usize| format!("group `{}`/`{}` of {of}", groups.name(), groups.labels()[g]);
    if let Some(g) = (0..groups.len()).find(|&g| groups.members(g).is_empty()) {
        return Err(Error::Unusable(format!("{} has no member", label(g))));
    }
    if groups.len() == 1 && groups.members(0).len() == entities {
        return Err(Error::Unusable(format!("{} holds all of them: there is nothing to compare it with", label(0))));
    }
    Ok(groups)
}

/// A differentiable measure of unfairness.
///
/// An author implements [`Self::evaluate`], or [`Self::streamed`] where the loss depends on few numbers, and is done. The
/// other methods make checks stricter or training faster.
pub trait FairnessLoss: Recipe {
    /// Value of the loss at `scores` (items x users, all users in order); `gradient`, of the same shape, becomes its
    /// derivative with respect to every score. By default those of the streamed form.
    ///
    /// # Errors
    /// An empty group where the loss needs a member, named; [`Error::Shape`] for sizes that differ;
    /// [`Error::Unsupported`] for a loss that implements neither form; [`Error::Cancelled`].
    fn evaluate(
        &self,
        scores: &DMatrix<f64>,
        data: &FairnessData<'_>,
        gradient: &mut DMatrix<f64>,
        run: &Run,
    ) -> Result<f64> {
        run.check()?;
        let neither = || Error::Unsupported { plugin: self.name().into(), operation: "a dense or a streamed form" };
        self.streamed(data)?.ok_or_else(neither)?.evaluate(scores, data, gradient)
    }

    /// The same loss as a function of few numbers, for training without a users x items matrix. Checks `data` once for
    /// all steps. `None`: the loss has the dense form only.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
        let _ = data;
        Ok(None)
    }

    /// Whether the loss is a mean over items of terms, each of which sees the scores, the training rows and the groups of
    /// users of its own item alone. Training may then call [`Self::evaluate`] on a part of the items (with data of that
    /// part, without groups of items), and average.
    fn mean_over_items(&self) -> bool {
        false
    }

    /// Whether the gradient is on purpose not the derivative of the value: a surrogate that trains well. Finite
    /// differences are then no check.
    fn surrogate(&self) -> bool {
        false
    }
}
