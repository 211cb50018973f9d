//! Fairness losses: a number that training makes small, and its gradient with respect to the predictions.

use crate::{Groups, Interactions, Recipe, Result, Run};
use nalgebra::DMatrix;

/// What a fairness loss may look at besides the predictions.
#[derive(Clone, Copy, Debug)]
pub struct FairnessData<'a> {
    /// The training rows.
    pub train: &'a Interactions,
    /// Groups of the users.
    pub user_groups: &'a Groups,
    /// Groups of the items.
    pub item_groups: &'a Groups,
    /// Threshold tau: a prediction strictly above it counts as recommended.
    pub like_above: f32,
}

/// A differentiable measure of unfairness.
pub trait FairnessLoss: Recipe {
    /// Value of the loss at `scores` (items x users, all users in order); `gradient`, of the same shape, becomes its
    /// derivative with respect to every score.
    ///
    /// # Errors
    /// An empty group where the loss needs a member, named; [`crate::Error::Shape`] for sizes that differ.
    fn evaluate(
        &self,
        scores: &DMatrix<f64>,
        data: &FairnessData<'_>,
        gradient: &mut DMatrix<f64>,
        run: &Run,
    ) -> Result<f64>;
}
