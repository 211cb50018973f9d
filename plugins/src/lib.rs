//! The plugins that come with Evenhand: one file each, a folder only where a family shares parts.
#![warn(missing_docs)]

mod adam;
mod cells;
mod linear;
mod product;

pub mod als;
pub mod autoencoder;
pub mod biased_ratings;
pub mod popularity;
pub mod random;
pub mod squash;
