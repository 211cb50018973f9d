//! The plugins that come with Evenhand: one file each, a folder only where a family shares parts.
#![warn(missing_docs)]

mod adam;
mod cells;
mod early_stop;
mod fairness_term;
mod grouping;
mod linear;
mod periods;
mod plans;
mod product;
mod rates;
mod shown;
mod split;
mod urn;

pub mod als;
pub mod alternating;
pub mod apr;
pub mod autoencoder;
pub mod bayesian_linear;
pub mod beyond_parity;
pub mod biased_ratings;
pub mod bpr;
pub mod epsilon_greedy;
pub mod equal_experience;
pub mod gradient;
pub mod gradient_slsqp;
pub mod greedy;
pub mod group_linear;
pub mod item_group;
pub mod mf;
pub mod pairwise;
pub mod popularity;
pub mod precision;
pub mod preference_dynamics;
pub mod random;
pub mod softmax;
pub mod squash;
pub mod stationary;
pub mod thompson;
pub mod top_k;
pub mod ucb;
pub mod uniform;
pub mod user_group;
pub mod user_item;
pub mod value;
