//! The fairness losses on small random data: their gradients, their formulas, their symmetries.

#[path = "fairness_losses/gradients.rs"]
mod gradients;
#[path = "fairness_losses/properties.rs"]
mod properties;
#[path = "fairness_losses/world.rs"]
mod world;
