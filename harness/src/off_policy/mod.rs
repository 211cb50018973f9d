//! Off-policy evaluation: what other recommenders and policies would have earned, from the log of an agent.
//!
//! [`read()`] gives one [`Log`] for each agent and seed of a file that a [`Writer`] wrote; [`evaluate()`] fits a [`Target`] on
//! the first periods of one and estimates its value on the others. [`evenhand_core::metrics::off_policy`] has the
//! estimators and what they assume.

pub mod evaluate;
mod evidence;
pub mod log;
mod read;
#[cfg(test)]
mod tests;

pub use evaluate::{Evaluation, Options, Target, evaluate, fit};
pub use log::{Action, COLUMNS, Log, Writer};
pub use read::{parse, read};
