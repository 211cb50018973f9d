//! Item-group fairness (CVS): every group of items is recommended at the same rate.
//!
//! The sets of cells are all users x I_k, for all groups of items k; on each the smoothed rate of predictions above tau
//! is pulled to that of all cells. The sum of the rates' distances over the same sets is the metric CVS. Groups of
//! users play no part. Variants as of [`crate::equal_experience`].
//!
//! One of the losses that Jaewoong Cho, Moonseok Choi and Changho Suh compare theirs with: "Equal Experience in
//! Recommender Systems", arXiv 2210.05936, 2022.

pub use crate::rates::Variant;

use crate::grouping::Grouping;
use crate::rates::Rates;
use evenhand_core::fairness::Streamed;
use evenhand_core::{FairnessData, FairnessLoss, Result, plugin};

plugin! {
    /// Every group of items is recommended at the same rate.
    pub struct ItemGroup: FairnessLoss = "item-group",
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

impl FairnessLoss for ItemGroup {
    fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
        let &Self { variant, bandwidth, delta, threshold } = self;
        let (users, items) = (Grouping::everyone(data.train.users()), Grouping::of(data.grouped_items()?));
        let tau = threshold.unwrap_or(f64::from(data.like_above));
        Ok(Some(Rates { variant, bandwidth, delta, tau }.over(users, items)))
    }

    fn surrogate(&self) -> bool {
        self.variant != Variant::Exact
    }
}
