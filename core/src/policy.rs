//! Policies: from what a model knows to what users are shown.
//!
//! A policy is a distribution over slates for every user. [`Acting::act`] draws from it; [`Acting::propensities`] says
//! how likely it was to show given items, its own or those of another policy's log: with that, logs can be evaluated
//! (Horvitz & Thompson 1952; Dudik, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011).

use crate::{Error, Interactions, Model, Recipe, Result, Run};

/// What a policy may look at.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The fitted model. Its items are the catalogue.
    pub model: &'a dyn Model,
    /// Items not to be shown again, by user.
    pub seen: Option<&'a Interactions>,
}

/// Items shown to each of some users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slates {
    /// Items per user.
    pub size: usize,
    /// The items, user after user, best position first; users x size.
    pub items: Vec<u32>,
    /// What the policy made of each item, aligned with `items`: the score of the model, or of the model drawn from the
    /// posterior.
    pub scores: Vec<f32>,
}

/// How likely a policy is to show given items at their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Propensities {
    /// Probability of each item at its place in the slate, given the user, in 0 to 1; users x size. The items at the other
    /// places are averaged over.
    pub values: Vec<f64>,
    /// Number of independent draws of which each value is the share that agreed; `None` where values are exact.
    pub draws: Option<usize>,
}

impl Propensities {
    /// The propensities as a log of the policy's own actions should hold them: of an estimate from m draws with c that
    /// agreed, (c + 1) / (m + 1), the action itself being one more draw. Never 0, and for an action of probability p the
    /// mean of its inverse is (1 - (1 - p)^(m + 1)) / p: inverse weights are too low on average, by no more than
    /// the chance of not meeting the action in all draws.
    pub fn of_own_actions(self) -> Self {
        let Some(m) = self.draws.map(|m| m as f64) else { return self };
        let values = self.values.into_iter().map(|p| (p * m + 1.0) / (m + 1.0)).collect();
        Self { values, ..self }
    }
}

/// A way of choosing what to show.
pub trait Policy: Recipe {
    /// Prepares for acting on what the model knows now; may solve for a policy.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the model lacks what the policy needs.
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>>;
}

/// A prepared policy. Acting is cheap.
pub trait Acting: Send + Sync {
    /// Draws `size` distinct items for each of `users`. The same run gives the same slates; a user's own draws come from
    /// the stream of the user's index below `run.streams`, and what is drawn for all users at once from there too: the slate
    /// of a user depends neither on the rest of the batch nor on the number of threads.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range or more items than can be shown: see [`World::check`].
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates>;

    /// How likely [`Self::act`] is to show `slates` to `users`, over all of its randomness. Estimates draw from
    /// `run.streams`, never what `act` draws with the same run.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user or an item out of range, or slates for another number of users.
    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities>;
}

impl World<'_> {
    /// Checks a request for `size` items for each of `users`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range, or a user who has not seen fewer than `size` items.
    pub fn check(&self, users: &[u32], size: usize) -> Result<()> {
        let (bound, items) = (self.model.users(), self.model.items());
        if let Some(user) = users.iter().find(|&&u| u as usize >= bound) {
            return Err(Error::shape("user index", format!("below {bound}"), user));
        }
        if size > items {
            return Err(Error::shape("items of a slate", format!("at most the {items} of the catalogue"), size));
        }
        let Some(seen) = self.seen else { return Ok(()) };
        if seen.users() < bound || seen.items() != items {
            let got = format!("{} x {}", seen.users(), seen.items());
            return Err(Error::shape("users x items of the seen", format!("{bound} x {items}"), got));
        }
        for &user in users {
            let partners = seen.by_user().partners(user as usize);
            let left = items - partners.chunk_by(|a, b| a == b).count();
            if left < size {
                let expected = format!("at most the {left} that user {user} has not seen");
                return Err(Error::shape("items of a slate", expected, size));
            }
        }
        Ok(())
    }

    /// Checks that `slates` are of `users` and of this world.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn check_slates(&self, users: &[u32], slates: &Slates) -> Result<()> {
        let (bound, items) = (self.model.users(), self.model.items());
        if let Some(user) = users.iter().find(|&&u| u as usize >= bound) {
            return Err(Error::shape("user index", format!("below {bound}"), user));
        }
        if let Some(item) = slates.items.iter().find(|&&i| i as usize >= items) {
            return Err(Error::shape("item index", format!("below {items}"), item));
        }
        let expected = users.len() * slates.size;
        if slates.items.len() != expected {
            return Err(Error::shape("items of the slates", expected, slates.items.len()));
        }
        Ok(())
    }
}
