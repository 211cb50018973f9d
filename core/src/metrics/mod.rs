//! Evaluation metrics: pure functions of slices, and counts that are fed by users; arithmetic in `f64`, no randomness.
//!
//! | metric | here | range, better | over |
//! | --- | --- | --- | --- |
//! | RMSE, MAE | [`rmse`], [`mae`] | 0.., lower | predicted and actual ratings |
//! | R2 | [`r2`] | ..=1, higher | predicted and actual values |
//! | hit rate, precision, recall, nDCG, MRR, MAP at K | [`Hits`] | 0..=1, higher | one user's ranked list, or positions |
//! | hit rate, nDCG, AUC | [`Position`] | 0..=1, higher | one held-out item among all its candidates |
//! | AUC, several held-out items | [`mean_auc`], [`Auc`] | 0..=1, higher | one user's scores of all items, or positions |
//! | coverage | [`coverage`] | 0..=1, higher is wider | how often each item was shown |
//! | Gini coefficient | [`gini`] | 0..1, lower is more even | how often each item was shown |
//! | DEE, UGF, CVS | [`Experience`] | 0.., lower is more even | recommendations, by groups of users and of items |
//! | VAL | [`GroupMeans`] | 0.., lower is more even | ratings and predictions, by groups of users and item |
//! | IPS, SNIPS, DR, DM | [`off_policy`] | value of a slate, higher | logged slates, and propensities of another policy |
//!
//! Conventions, the same everywhere:
//! * A rank counts from 0: the number of items placed before this one. The best rank is 0.
//! * Ties count against the held-out item, so a constant model earns nothing.
//! * What has no value (no rating, no relevant item, no candidate) is `None`, never 0 and never NaN. The reader averages
//!   over what has a value, and says how many that were.
//! * Lists of items called *ascending* hold each item once, in increasing order. A list that does not is a broken
//!   invariant and panics.

mod accuracy;
mod auc;
mod candidates;
mod exposure;
mod fairness;
pub mod off_policy;
mod ranking;
mod targets;

pub use accuracy::{mae, r2, rmse};
pub use auc::{Auc, Position, mean_auc};
pub use candidates::NonFinite;
pub use exposure::{coverage, gini};
pub use fairness::{Deviation, Experience, GroupMeans};
pub use ranking::Hits;
pub use targets::Targets;

/// Whether each item occurs once, in increasing order.
fn ascending(items: &[u32]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}
