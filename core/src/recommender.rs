//! Recommenders: from observed interactions to a fitted [`Model`].

use crate::{Interactions, Model, Recipe, Result, Run};

/// A way of learning what users like.
///
/// Implementors are parameters; fitting returns the state. A recommender sees training rows only. Equal seeds give
/// equal bits at any number of threads: draw from `run.streams`, addressed by user, row or epoch, and add
/// floating-point numbers in an order that does not depend on scheduling.
pub trait Recommender: Recipe {
    /// Learns from `train`.
    ///
    /// Users and items without a row are there and get some score too.
    ///
    /// # Errors
    /// Whatever prevents fitting; the comparison goes on without this one. [`crate::Error::Cancelled`] once the run is
    /// asked to stop: check `run.step` once per sweep.
    fn fit(&self, train: &Interactions, run: &Run) -> Result<Box<dyn Model>>;

    /// Learns from `train`, starting where `earlier` stopped. Without a better way, from scratch.
    ///
    /// # Errors
    /// As [`Self::fit`]; [`crate::Error::Shape`] where `earlier` is of another shape.
    fn refit(&self, train: &Interactions, earlier: &dyn Model, run: &Run) -> Result<Box<dyn Model>> {
        let _ = earlier;
        self.fit(train, run)
    }

    /// Whether the scores of a user depend on what that user did. Where they do, the contract expects them to tell
    /// liked items from others; overridden only by baselines that are the same, or arbitrary, for everyone.
    fn personalised(&self) -> bool {
        true
    }
}
