//! Equal experience: the chance of being recommended is the same for every group of items and every group of users.
//!
//! The sets of cells are U_g x I_k, for all groups of users g and all groups of items k; on each the smoothed rate of
//! predictions above tau is pulled to that of all cells. The sum of the rates' distances over the same sets is the
//! metric DEE. With `variant = seed` the gradient is that of the paper's code; its value there (a carrier
//! of the gradient without a meaning of its own) is replaced by the penalty itself.
//!
//! Jaewoong Cho, Moonseok Choi and Changho Suh, "Equal Experience in Recommender Systems", arXiv 2210.05936, 2022.

pub use crate::rates::Variant;

use crate::grouping::Grouping;
use crate::rates::Rates;
use evenhand_core::fairness::Streamed;
use evenhand_core::{FairnessData, FairnessLoss, Result, plugin};

plugin! {
    /// Every group of users is recommended every group of items at the same rate.
    pub struct EqualExperience: FairnessLoss = "equal-experience",
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

impl FairnessLoss for EqualExperience {
    fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
        let &Self { variant, bandwidth, delta, threshold } = self;
        let (users, items) = (Grouping::of(data.grouped_users()?), Grouping::of(data.grouped_items()?));
        let tau = threshold.unwrap_or(f64::from(data.like_above));
        Ok(Some(Rates { variant, bandwidth, delta, tau }.over(users, items)))
    }

    fn surrogate(&self) -> bool {
        self.variant != Variant::Exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Groups, Interactions, Rows, Run};
    use nalgebra::DMatrix;

    /// Two users with one item each above 3, all above 0; the groups of users as given, each item in a group of its
    /// own.
    fn evaluate(loss: &EqualExperience, users: Option<&[&[u32]]>) -> Result<f64> {
        let train = Interactions::new(2, 2, &Rows::default()).unwrap();
        let groups = |of: &[&[u32]]| {
            let lists = of.iter().enumerate().map(|(g, members)| (format!("g{g}"), members.to_vec()));
            Groups::new("side", 2, lists.collect()).unwrap()
        };
        let (users, items) = (users.map(groups), groups(&[&[0], &[1]]));
        let data =
            FairnessData { train: &train, user_groups: users.as_ref(), item_groups: Some(&items), like_above: 3.0 };
        let scores = DMatrix::from_column_slice(2, 2, &[4.0, 1.0, 2.0, 5.0]);
        loss.evaluate(&scores, &data, &mut DMatrix::zeros(0, 0), &Run::new(0))
    }

    #[test]
    fn the_threshold_is_that_of_the_data_unless_given() {
        let own = |threshold| EqualExperience { threshold, delta: 1.0, ..EqualExperience::default() };
        let users: Option<&[&[u32]]> = Some(&[&[0], &[1]]);
        // Half of all cells are above 3, each set wholly or not at all: D^2 / 2 = 1/8, four times. All are above 0.
        assert_eq!(evaluate(&own(None), users).unwrap(), 0.5);
        assert_eq!(evaluate(&own(Some(0.0)), users).unwrap(), 0.0);
    }

    #[test]
    fn groups_are_needed_and_empty_ones_are_named() {
        let say = |users| evaluate(&EqualExperience::default(), users).unwrap_err().to_string();
        assert_eq!(say(Some(&[&[0], &[]])), "data: group `side`/`g1` of users has no member");
        assert_eq!(say(None), "data: the fairness loss needs groups of users, and there are none");
    }
}
