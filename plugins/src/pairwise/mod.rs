//! The pairwise ranking loss of user and item factors: what [`crate::bpr`] and [`crate::apr`] learn by, and perturbations of the
//! factors of any model that raise it.
//!
//! A pair is an item i that the user u likes and an item j that it is not known to like; its margin is the difference of their
//! scores, its loss `ln(1 + e^-margin)`.
//!
//! | file | what |
//! | --- | --- |
//! | [`loss`] | the loss of a margin, and its derivative |
//! | `pairs`, `batch` | what is compared with what, and batches sorted by row |
//! | `gradient`, `attack` | the gradient over a batch; steps of every row along it |
//! | `descent`, `adagrad`, `minibatch` | mini-batches, alone or against an adversary |
//! | `blocks` | one pair after the other, in parallel |
//! | `fair` | steps on a fairness loss between |
//! | `fit` | all of it, in stages |

mod adagrad;
mod attack;
mod batch;
mod blocks;
mod descent;
mod fair;
mod fit;
mod gradient;
pub mod loss;
mod minibatch;
mod pairs;
mod stepper;
mod tables;

pub use attack::{Attack, Direction};
pub use batch::Triples;
pub use descent::{CleanDelta, Scope};
pub use fit::Likes;
pub use pairs::Pool;
pub use stepper::{Against, Stepper};

pub(crate) use descent::Adversary;
pub(crate) use fit::{Batches, Plan, Stage};
