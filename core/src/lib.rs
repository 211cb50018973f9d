//! Contracts and shared vocabulary of Evenhand, a framework for fairness-aware recommender research.
//!
//! A plugin is one file: parameters declared with [`plugin!`], and one trait implemented for them.
//!
//! | trait | from | to |
//! | --- | --- | --- |
//! | [`Recommender`] | [`Training`] rows | a [`Model`]: scores of all items for some users |
//! | [`FairnessLoss`] | predictions and [`Groups`] | a value and its gradient |
//! | [`Policy`] | a model | [`Slates`], and how likely it was to show them |
//! | [`Simulator`] | a seed | an [`Environment`]: a [`Dataset`], a [`GroupData`], or answers to actions |
//! | [`GroupRegressor`] | a [`GroupTable`], whole or row by row | predictions for members of groups |
//! | [`Mixer`] | losses of experts, some asleep | their shares in the next prediction |
//!
//! Around them:
//! - [`Run`] is all that a plugin may use besides its data: [`Streams`] of random numbers, threads, the [`Dense`]
//!   backend, the cancel flag, the observer.
//! - [`Registry`] finds plugins by name; [`snapshot`] stores fitted models; [`metrics`] measures them;
//!   [`contract`] holds what every implementation must pass.
//! - [`Error`] is structured by what the reader can do about it.
//!
//! Factors, scores and kernels are `f32`; losses, metrics, policies, regressors and accumulators `f64`.
#![warn(missing_docs)]

extern crate self as evenhand_core;

pub mod contract;
pub mod dense;
pub mod fairness;
pub mod metrics;
pub mod params;
pub mod snapshot;

mod batches;
mod data;
mod error;
mod group;
mod harm;
mod history;
mod interactions;
mod lottery;
mod model;
mod nested;
mod policy;
mod recommender;
mod registry;
mod rng;
mod run;
mod simulator;
mod squash;

pub use batches::top_k_by;
pub use data::{Dataset, Groups, Ids, Protected, Scale};
pub use dense::{Dense, TopK};
pub use error::{Error, Result, Source, nearest};
pub use fairness::{FairnessData, FairnessLoss};
pub use group::{
    Expert, GroupData, GroupPredictor, GroupRegressor, GroupTable, Mixer, Mixing, OnlineRegressor, check_group,
    check_linear, check_row,
};
pub use harm::{Cardinality, Dynamics, Harm, SizeRule};
pub use history::{History, Repeats};
pub use interactions::{Compressed, Duplicates, Interactions, Rows};
pub use lottery::{Certificate, Lottery, Plan};
pub use model::{Factors, Feedback, Model, Observation, Output, Posterior};
pub use nested::Nested;
pub use params::{Field, Params, Recipe};
pub use policy::{Acting, Policy, Propensities, Slates, World};
pub use recommender::{Recommender, Training};
pub use registry::{Descriptor, Kinded, Origin, Registry};
pub use rng::{Rng, Streams};
pub use run::{Observer, Run, Silent};
pub use simulator::{Audit, Environment, Requests, Simulator, Stage};
pub use squash::Squash;

/// What the macros need; not part of the interface.
#[doc(hidden)]
pub mod private {
    pub use {inventory, serde};
}
