//! Simulators: worlds with a known truth. They emit data sets, answer actions, or both.

use crate::{Dataset, Error, Feedback, Recipe, Result, Run, Slates};

/// A recipe for a world.
pub trait Simulator: Recipe {
    /// Builds the world. Its randomness is its own: the same run gives the same world whoever acts in it.
    ///
    /// # Errors
    /// Parameters that do not go together.
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>>;
}

/// What only the log may see: the truth about actions, aligned with the rows of the [`Feedback`].
///
/// Agents receive [`Feedback`]; that this is another type keeps the truth out of their reach.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Noise-free value of each action.
    pub expected: Vec<f64>,
    /// Noise-free value of the best action at that point.
    pub best: Vec<f64>,
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

    /// The users who ask for something in `period`, in order of asking.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions.
    fn requests(&mut self, period: usize) -> Result<Vec<u32>> {
        let _ = period;
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "asking for recommendations" })
    }

    /// What comes back when `users` are shown `slates` in `period`. Noise is keyed by (period, user), so that agents
    /// are compared on common random numbers.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions.
    fn answer(&mut self, period: usize, users: &[u32], slates: &Slates) -> Result<(Feedback, Audit)> {
        let _ = (period, users, slates);
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }
}
