//! Mixers: shares for experts some of whom are asleep.

use crate::{Recipe, Result};

/// A way of weighing experts by what they lost so far. Some of them are asleep in a round: they have no share in it and
/// lose nothing.
pub trait Mixer: Recipe {
    /// Starts with so many experts of whom nothing is known: their shares are equal.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] for parameters out of range.
    fn begin(&self, experts: usize) -> Result<Box<dyn Mixing>>;
}

/// Shares that follow the losses. Experts of the same history have equal shares: those who were asleep all the time,
/// and those who were awake together and lost the same. The same losses give the same bits.
pub trait Mixing: Send + Sync {
    /// The shares of the experts `awake`, in ascending order, into `shares`, one for each of them: numbers from 0 to 1
    /// that add up to 1. There is at least one.
    fn shares(&self, awake: &[usize], shares: &mut [f64]);

    /// Learns from the losses of the experts `awake`, who had those `shares`. Losses are squared errors, finite and not
    /// negative; they may be far above 1.
    fn update(&mut self, awake: &[usize], shares: &[f64], losses: &[f64]);

    /// The same once more: what either learns from now on, the other does not.
    fn copy(&self) -> Box<dyn Mixing>;
}
