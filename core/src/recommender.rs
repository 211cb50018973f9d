//! Recommenders: from observed interactions to a fitted [`Model`].

use crate::data::Protected;
use crate::{Dataset, FairnessData, Groups, Interactions, Model, Recipe, Repeats, Result, Run, Scale};

/// What a recommender may learn from: the training rows, and what is known of users and items.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Training<'a> {
    /// The training rows.
    pub ratings: &'a Interactions,
    /// Groupings of the users.
    pub user_groups: &'a [Groups],
    /// Groupings of the items.
    pub item_groups: &'a [Groups],
    /// The groupings between which fairness is asked for.
    pub protected: Protected<'a>,
    /// Meaning of the values.
    pub scale: Scale,
    /// How often each pair was observed, where repeated pairs have been joined into their mean; otherwise every row of
    /// `ratings` is one observation. Only for recommenders that ask for it: see [`Recommender::joins_repeats`].
    pub repeats: Option<&'a Repeats>,
}

impl<'a> Training<'a> {
    /// Bare ratings: no groups, and a scale from the lowest to the highest value, likes above the middle.
    pub fn new(ratings: &'a Interactions) -> Self {
        let values = ratings.by_user().all_values();
        let low = values.iter().copied().reduce(f32::min).unwrap_or(0.0);
        let high = values.iter().copied().reduce(f32::max).unwrap_or(0.0);
        let scale = Scale { low, high, like_above: low + (high - low) / 2.0 };
        Self { ratings, user_groups: &[], item_groups: &[], protected: Protected::default(), scale, repeats: None }
    }

    /// `ratings`, usually a part of those of `data`, with the groups and the scale of `data`.
    pub fn of(data: &'a Dataset, ratings: &'a Interactions) -> Self {
        Self {
            ratings,
            user_groups: &data.user_groups,
            item_groups: &data.item_groups,
            protected: data.protected(),
            scale: data.scale,
            repeats: None,
        }
    }

    /// The same with groupings of the users, of which the first one is protected, and another scale.
    pub fn with_users(self, user_groups: &'a [Groups], scale: Scale) -> Self {
        let protected = Protected { users: user_groups.first(), ..self.protected };
        Self { user_groups, protected, scale, ..self }
    }

    /// The same with repeated rows joined.
    pub fn with_repeats(self, repeats: Option<&'a Repeats>) -> Self {
        Self { repeats, ..self }
    }

    /// What a fairness loss may look at.
    pub fn fairness(&self) -> FairnessData<'a> {
        FairnessData {
            train: self.ratings,
            user_groups: self.protected.users,
            item_groups: self.protected.items,
            like_above: self.scale.like_above,
        }
    }
}

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
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>>;

    /// Learns from `train`, starting where `earlier` stopped. Without a better way, from scratch.
    ///
    /// # Errors
    /// As [`Self::fit`]; [`crate::Error::Shape`] where `earlier` is of another shape.
    fn refit(&self, train: &Training<'_>, earlier: &dyn Model, run: &Run) -> Result<Box<dyn Model>> {
        let _ = earlier;
        self.fit(train, run)
    }

    /// Whether the scores of a user depend on what that user did. Where they do, the contract expects them to tell
    /// liked items from others; overridden only by baselines that are the same, or arbitrary, for everyone.
    fn personalised(&self) -> bool {
        true
    }

    /// Whether fitted models learn from fresh observations ([`Model::learn`]), starting from a fit of no rows.
    fn online(&self) -> bool {
        false
    }

    /// Whether [`Training::repeats`] is taken into account. Then a long history of repeated pairs takes as much room as
    /// there are different pairs.
    fn joins_repeats(&self) -> bool {
        false
    }

    /// The same training without what is claimed to help, for protocols that ask whether it helped: the same number of
    /// plain epochs beside adversarial ones, say. `None` where nothing is claimed, or where these parameters leave it out.
    fn control(&self) -> Option<Box<dyn Recommender>> {
        None
    }
}
