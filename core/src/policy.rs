//! Policies: from what a model knows to what users are shown.
//!
//! A policy is a distribution over slates for every user. [`Acting::act`] draws from it; [`Acting::propensities`] says
//! how likely it was to show given items, its own or those of another policy's log: with that, logs can be evaluated
//! (Horvitz & Thompson 1952; Dudik, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011).

use crate::{Cardinality, Error, Harm, Interactions, Model, Plan, Posterior, Recipe, Result, Run};

/// What a policy may look at.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The fitted model. Its items are the catalogue.
    pub model: &'a dyn Model,
    /// Items not to be shown, by user: what was seen before, what is harmful.
    pub seen: Option<&'a Interactions>,
    /// What is known about harm, for policies that reckon with it; the harmful items are among those `seen` too.
    pub harm: Option<Harm<'a>>,
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

impl Slates {
    /// Room for `size` items of each of `users` users.
    pub fn new(users: usize, size: usize) -> Self {
        Self { size, items: vec![0; users * size], scores: vec![0.0; users * size] }
    }

    /// The items of the `b`-th user of the batch, best position first.
    pub fn of(&self, b: usize) -> &[u32] {
        &self.items[b * self.size..][..self.size]
    }
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
    /// [`Error::OutOfRange`] for a parameter; [`Error::Unsupported`] where the model lacks what the policy needs;
    /// [`Error::Cancelled`] once the run is asked to stop.
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>>;
}

/// A prepared policy. Acting is cheap.
pub trait Acting: Send + Sync {
    /// Draws `size` distinct items for each of `users`. The same run gives the same slates; a user's own draws come from
    /// the stream of the user's index below `run.streams`, and what is drawn for all users at once from there too: the slate
    /// of a user depends neither on the rest of the batch nor on the number of threads.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range or more items than can be shown: see [`World::check`];
    /// [`Error::Diverged`] for a score that could be shown and is not finite.
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates>;

    /// How likely [`Self::act`] is to show `slates` to `users`, over all of its randomness. Estimates draw from
    /// `run.streams`, never what `act` draws with the same run.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user or an item out of range, or slates for another number of users or of more items
    /// than can be shown: see [`World::check_slates`].
    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities>;

    /// The whole distribution over sets of items that each of `users` is shown under that cardinality.
    ///
    /// With [`SizeRule::Exactly`](crate::SizeRule::Exactly) these are the sets that [`Self::act`] shows, in the order of its
    /// choice.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the policy can say, or for a rule that it can not follow; otherwise as [`Self::act`].
    fn plans(&self, users: &[u32], cardinality: Cardinality, run: &Run) -> Result<Vec<Plan>> {
        let _ = (users, cardinality, run);
        Err(Error::Unsupported { plugin: "this policy".into(), operation: "stating its distribution over sets" })
    }
}

impl<'a> World<'a> {
    /// A world without harm.
    pub fn new(model: &'a dyn Model, seen: Option<&'a Interactions>) -> Self {
        Self { model, seen, harm: None }
    }

    /// What the model knows of its own uncertainty.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it knows nothing of it.
    pub fn posterior(&self) -> Result<&'a dyn Posterior> {
        let unsupported =
            || Error::Unsupported { plugin: self.model.kind().into(), operation: "stating its uncertainty" };
        self.model.posterior().ok_or_else(unsupported)
    }

    /// The items not to be shown to `user`, ascending, each once. The user must be in range.
    pub fn seen_by(&self, user: u32) -> impl Iterator<Item = u32> + '_ {
        let partners = self.seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
        partners.chunk_by(|a, b| a == b).map(|same| same[0])
    }

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
        if let Some(seen) = self.seen.filter(|s| s.users() < bound || s.items() != items) {
            let got = format!("{} x {}", seen.users(), seen.items());
            return Err(Error::shape("users x items of the seen", format!("{bound} x {items}"), got));
        }
        for &user in users {
            let left = items - self.seen_by(user).count();
            if left < size {
                let expected = format!("at most the {left} that user {user} has not seen");
                return Err(Error::shape("items of a slate", expected, size));
            }
        }
        Ok(())
    }

    /// Checks that `slates` are of `users` and of this world, and no longer than a request may be.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn check_slates(&self, users: &[u32], slates: &Slates) -> Result<()> {
        self.check(users, slates.size)?;
        let items = self.model.items();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Factors, Output, Rows};
    use nalgebra::DMatrix;

    #[test]
    fn requests_and_slates_must_fit() {
        let model = Factors::new(DMatrix::zeros(1, 2), DMatrix::zeros(1, 3), Output::Order).unwrap();
        let mut rows = Rows::default();
        [2, 0, 2].into_iter().for_each(|item| rows.push(1, item, 1.0));
        let seen = Interactions::new(2, 3, &rows).unwrap();
        let world = World::new(&model, Some(&seen));
        assert_eq!(world.seen_by(1).collect::<Vec<_>>(), [0, 2]);
        let slates = |size, items: &[u32]| Slates { size, items: items.to_vec(), scores: vec![] };
        let two = slates(2, &[0, 1, 1, 2]);
        assert_eq!((two.of(0), two.of(1), slates(0, &[]).of(1)), ([0, 1].as_slice(), [1, 2].as_slice(), [].as_slice()));
        assert!(world.check(&[0, 1, 0], 1).is_ok() && world.check(&[], 3).is_ok());
        assert!(world.check_slates(&[0, 0], &two).is_ok() && world.check_slates(&[1], &slates(0, &[])).is_ok());
        let say = |checked: Result<()>| checked.unwrap_err().to_string();
        assert_eq!(say(world.check(&[0, 2], 1)), "user index: expected below 2, got 2");
        assert_eq!(say(world.check(&[], 4)), "items of a slate: expected at most the 3 of the catalogue, got 4");
        let left = "items of a slate: expected at most the 1 that user 1 has not seen, got 2";
        assert_eq!(say(world.check(&[0, 1], 2)), left);
        assert_eq!(say(world.check_slates(&[0, 1], &two)), left);
        assert_eq!(say(world.check_slates(&[0], &two)), "items of the slates: expected 2, got 4");
        assert_eq!(say(world.check_slates(&[0], &slates(1, &[3]))), "item index: expected below 3, got 3");
        // Of a size that no product can hold.
        assert!(world.check_slates(&[0, 0], &slates(usize::MAX, &[])).is_err());
        let narrow = Interactions::new(2, 2, &Rows::default()).unwrap();
        let world = World { seen: Some(&narrow), ..world };
        assert_eq!(say(world.check(&[0], 1)), "users x items of the seen: expected 2 x 3, got 2 x 2");
    }

    #[test]
    fn a_log_counts_the_action_as_one_more_draw() {
        let of = |values: &[f64], draws| Propensities { values: values.to_vec(), draws }.of_own_actions();
        assert_eq!(of(&[0.0, 0.5, 1.0], Some(4)).values, [0.2, 0.6, 1.0]);
        assert_eq!(of(&[0.25], None).values, [0.25]);
    }
}
