//! Policies: from what a model knows to what users are shown.

use crate::{Interactions, Model, Recipe, Result, Run};

/// What a policy may look at.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The fitted model.
    pub model: &'a dyn Model,
    /// Items not to be shown again, by user.
    pub seen: Option<&'a Interactions>,
}

/// Items shown to each of some users, with the probability of having shown them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slates {
    /// Items per user.
    pub size: usize,
    /// The items, user after user, best position first; users x size.
    pub items: Vec<u32>,
    /// Probability of each item at its place given the user, in (0, 1], aligned with `items`.
    pub propensities: Vec<f64>,
}

/// A way of choosing what to show.
pub trait Policy: Recipe {
    /// Prepares for acting; may solve for a policy.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] where the model lacks what the policy needs.
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>>;
}

/// A prepared policy. Acting is cheap.
pub trait Acting: Send + Sync {
    /// Chooses `size` distinct items for each of `users`. Draws come from `run.streams`, one stream per user index.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a user out of range or more items than can be shown.
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates>;
}
