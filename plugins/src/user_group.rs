//! User-group fairness (UGF): every group of users is recommended items at the same rate.
//!
//! The sets of cells are U_g x all items, for all groups of users g; on each the smoothed rate of predictions above tau
//! is pulled to that of all cells. The sum of the rates' distances over the same sets is the metric UGF. Groups of
//! items play no part. Variants as of [`crate::equal_experience`].
//!
//! One of the losses that Jaewoong Cho, Moonseok Choi and Changho Suh compare theirs with: "Equal Experience in
//! Recommender Systems", arXiv 2210.05936, 2022.

pub use crate::rates::Variant;

use crate::grouping::Grouping;
use crate::rates::Rates;
use evenhand_core::fairness::Streamed;
use evenhand_core::{FairnessData, FairnessLoss, Result, plugin};

plugin! {
    /// Every group of users is recommended items at the same rate.
    pub struct UserGroup: FairnessLoss = "user-group",
        from "Cho, Choi & Suh 2022, Equal Experience in Recommender Systems, arXiv 2210.05936" {
        /// The form of the smoothing and of the pull.
        variant: Variant = Variant::Seed;
        /// Width h of the smoothed step at the threshold, in units of the predictions. Predictions more than 8.5 widths
        /// away have no gradient.
        bandwidth: f64 = 0.01, in 1e-9..;
        /// Difference of rates at which the penalty turns from quadratic to linear.
        delta: f64 = 0.01, in 1e-9..;
        /// Threshold tau: a prediction above it counts as recommended. Nothing: the one of the data set.
        threshold: Option<f64> = None;
    }
}

impl FairnessLoss for UserGroup {
    fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
        let &Self { variant, bandwidth, delta, threshold } = self;
        let (users, items) = (Grouping::of(data.grouped_users()?), Grouping::everyone(data.train.items()));
        let tau = threshold.unwrap_or(f64::from(data.like_above));
        Ok(Some(Rates { variant, bandwidth, delta, tau }.over(users, items)))
    }

    fn surrogate(&self) -> bool {
        self.variant != Variant::Exact
    }
}
