//! What every implementation must pass, callable from any crate.
//!
//! A plugin author's whole test, beside `use my_plugins as _;`:
//!
//! ```no_run
//! use evenhand_core::{Recommender, Registry, contract};
//! let registry = Registry::<dyn Recommender>::linked().unwrap();
//! contract::assert_all(contract::recommender(registry.get("my-plugin").unwrap()));
//! ```
//!
//! Every check is a named function with a line on what it demands. A check reports; it does not panic, and neither
//! does the kit where a plugin panics. The data are small, fixed, and made in the kit.

mod answers;
mod chances;
mod fairness;
mod group;
mod learners;
mod mixer;
mod outcome;
mod policy;
mod recipe;
mod recommender;
mod simulator;
mod small;
mod states;
mod toy;

#[cfg(test)]
mod broken;

pub use fairness::{fairness_loss, fairness_loss_with};
pub use group::{group_regressor, group_regressor_with};
pub use mixer::{mixer, mixer_with};
pub use outcome::{Outcome, Stop, assert_all};
pub use policy::{policy, policy_over, policy_with};
pub use recipe::recipe;
pub use recommender::{recommender, recommender_on, recommender_with};
pub use simulator::{simulator, simulator_with};
