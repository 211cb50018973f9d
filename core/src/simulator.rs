//! Simulators: worlds with a known truth. They emit data sets, answer actions, or both.
//!
//! A world that answers actions is gone through in periods 0, 1, 2, ... In each: [`Environment::requests`], any number of
//! [`Environment::answer`], then [`Environment::feedback`]. Agents receive [`Requests`] and [`Feedback`]; the truth stands
//! in [`Audit`], another type, which only the log sees.

use crate::{Dataset, Error, Feedback, Groups, Recipe, Result, Run, Scale, Slates};

/// A recipe for a world.
pub trait Simulator: Recipe {
    /// Builds the world. Its randomness is its own: the same run gives the same world whoever acts in it.
    ///
    /// # Errors
    /// Parameters that do not go together.
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>>;
}

/// What is known to everybody about a world that answers actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Number of users, those included who appear later.
    pub users: usize,
    /// Number of items, those included that appear later.
    pub items: usize,
    /// Groupings of the users; the first one is protected.
    pub user_groups: Vec<Groups>,
    /// Meaning of the values.
    pub scale: Scale,
}

/// Who asks for something in a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// The users who ask, each once, in order of asking.
    pub users: Vec<u32>,
    /// Number of users who are there by now: those below it.
    pub present_users: usize,
    /// Number of items that are there by now: those below it.
    pub present_items: usize,
}

/// What only the log may see: the truth about actions, aligned with the items of their [`Slates`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Noise-free value of each item for its user.
    pub expected: Vec<f64>,
    /// Noise-free value of the best item for that place: at the j-th place of a slate, of the user's j-th best item of those
    /// that are there. The regret of a slate is the sum of `best - expected`, and never negative.
    pub best: Vec<f64>,
    /// The value that the user returns, now or later.
    pub observed: Vec<f64>,
}

/// An open world. Implement what the world can do.
pub trait Environment: Send {
    /// The data set that the world emits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world emits one.
    fn dataset(&self) -> Result<Dataset> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "emitting a data set" })
    }

    /// What is known about the world.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions.
    fn stage(&self) -> Result<Stage> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Begins `period`: who asks. Does not depend on earlier actions unless the world says so.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] for a period out of turn.
    fn requests(&mut self, period: usize) -> Result<Requests> {
        let _ = period;
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Shows `slates` to `users` in the period that has begun. Noise is keyed by (period, user, place), so that agents
    /// are compared on common random numbers.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] for a user or an item that is not there.
    fn answer(&mut self, users: &[u32], slates: &Slates) -> Result<Audit> {
        let _ = (users, slates);
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Ends the period: the observations that have arrived, in the order in which their items were shown.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions.
    fn feedback(&mut self) -> Result<Feedback> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Noise-free values of pairs in the period that has begun. For the log only.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] for lengths that differ, or an index out
    /// of range.
    fn expected(&self, users: &[u32], items: &[u32]) -> Result<Vec<f64>> {
        let _ = (users, items);
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }
}
