//! The pairwise ranking loss of user and item factors, and perturbations of the factors that raise it.

mod attack;

pub use attack::{Attack, Direction};
