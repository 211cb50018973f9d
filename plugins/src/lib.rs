//! The plugins that come with Evenhand: one file each, a folder only where a family shares parts.
#![warn(missing_docs)]

mod adam;
mod cells;
mod early_stop;
mod linear;

pub mod als;
pub mod biased_ratings;
pub mod mf;
pub mod popularity;
pub mod random;
pub mod squash;
