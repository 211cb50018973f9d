//! VAL: predictions err by the same amount for every group of users, item by item, over all predictions.
//!
//! For item i and group of users g, with n_g users:
//!
//! ```text
//! a_g(i) = sum of the training ratings by g / (their number + 1e-8)     0 for an item that g has not rated
//! b_g(i) = mean of the predictions of ALL users of g, rated or not
//! d_g(i) = | a_g(i) - b_g(i) |
//! value  = mean over items of the mean over pairs of groups of | d_g(i) - d_h(i) |
//! dvalue/dy_ui = sum over the groups g of u of c_g(i) sgn(b_g(i) - a_g(i)) / n_g
//! c_g(i) = 1 / (items * pairs) * sum over the other groups h of sgn(d_g(i) - d_h(i)),   sgn(0) = 0
//! ```
//!
//! For two groups this is VAL, loss and metric, as of Jaewoong Cho, Moonseok Choi and Changho Suh, "Equal Experience
//! in Recommender Systems", arXiv 2210.05936, 2022. A lone group is compared with the users outside it.
//!
//! It is not `value-unfairness` ([`crate::beyond_parity`]), although it descends from there:
//!
//! | | `value` | `value-unfairness` |
//! | --- | --- | --- |
//! | predictions averaged over | all users of the group | those who rated the item |
//! | compared between groups | the sizes of the errors | the errors with their signs |
//! | an item that a group has not rated | counts, with mean rating 0 | does not count for that group |
//!
//! So `value` compares ratings of those who chose to rate with predictions for everyone, and where nobody rated just
//! mean predictions; its nearest relative is `absolute-unfairness`, which compares sizes too.

use crate::grouping::{Grouping, gaps, pairs, sign};
use evenhand_core::fairness::{CellSums, Classes, Pointwise, Streamed};
use evenhand_core::{FairnessData, FairnessLoss, Interactions, Result, plugin};
use nalgebra::DMatrix;

plugin! {
    /// Mean predictions are equally far from mean ratings for every group of users, item by item.
    pub struct Value: FairnessLoss = "value",
        from "Cho, Choi & Suh 2022, Equal Experience in Recommender Systems, arXiv 2210.05936" {
        /// Whether the mean is over the items with a training rating only, instead of all items as in the paper's code.
        rated_items: bool = false;
    }
}

impl FairnessLoss for Value {
    fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
        let Grouping { classes, groups, sizes } = Grouping::sides(data.grouped_users()?);
        let train = data.train;
        let ratings = mean_ratings(train, &classes, &groups, sizes.len());
        let counted: Vec<bool> =
            (0..train.items()).map(|i| !self.rated_items || train.by_item().count(i) > 0).collect();
        let items = counted.iter().filter(|&&counts| counts).count();
        let weight = 1.0 / (items.max(1) as f64 * pairs(sizes.len()));
        let outer = move |sums: &DMatrix<f64>| {
            let mut value = 0.0;
            let mut table = DMatrix::zeros(sums.nrows(), sums.ncols());
            let (mut errors, mut distances, mut slopes) =
                (vec![0.0; sizes.len()], vec![0.0; sizes.len()], vec![0.0; sizes.len()]);
            for item in (0..sums.ncols()).filter(|&i| counted[i]) {
                errors.fill(0.0);
                slopes.fill(0.0);
                for (&sum, of) in sums.column(item).iter().zip(&groups) {
                    of.iter().for_each(|&g| errors[g as usize] += sum);
                }
                for (g, error) in errors.iter_mut().enumerate() {
                    *error = *error / sizes[g] as f64 - ratings[(g, item)];
                    distances[g] = error.abs();
                }
                value += gaps(&distances, &mut slopes, |_, _| weight);
                for (slope, of) in table.column_mut(item).iter_mut().zip(&groups) {
                    let of_group = |g: usize| slopes[g] * sign(errors[g]) / sizes[g] as f64;
                    *slope = of.iter().map(|&g| of_group(g as usize)).sum();
                }
            }
            (value, table)
        };
        let items = Classes::each(train.items());
        let outer = Box::new(outer);
        Ok(Some(Streamed::Cells(CellSums { users: classes, items, of: Pointwise::Score, outer })))
    }

    fn mean_over_items(&self) -> bool {
        // The part of the items that is rated differs from one part of them to another.
        !self.rated_items
    }
}

/// a_g(i): groups x items.
fn mean_ratings(train: &Interactions, classes: &Classes, groups: &[&[u32]], count: usize) -> DMatrix<f64> {
    let (mut sums, mut counts) = (DMatrix::zeros(count, train.items()), DMatrix::zeros(count, train.items()));
    for (user, item, rating) in train.iter() {
        for &g in groups[classes.of()[user as usize] as usize] {
            let at = (g as usize, item as usize);
            sums[at] += f64::from(rating);
            counts[at] += 1.0;
        }
    }
    sums.zip_map(&counts, |sum: f64, count: f64| sum / (count + 1e-8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Groups, Rows, Run};

    /// Users 0 and 1 are one group, user 2 the other. Item 0 is rated 4 by user 0, 1 by user 2; item 1 by nobody.
    #[test]
    fn worked_by_hand() {
        let mut rows = Rows::default();
        for (user, item, rating) in [(0, 0, 4.0), (2, 0, 1.0)] {
            rows.push(user, item, rating);
        }
        let train = Interactions::new(3, 2, &rows).unwrap();
        let one = Groups::new("users", 3, vec![("a".into(), vec![0, 1])]).unwrap();
        let both = Groups::new("users", 3, vec![("a".into(), vec![0, 1]), ("b".into(), vec![2])]).unwrap();
        // Per user: item 0, item 1. Means of the first group 3 and 2, of the second 2.5 and 3.
        let scores = DMatrix::from_column_slice(2, 3, &[2.0, 2.0, 4.0, 2.0, 2.5, 3.0]);
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-7, "{got}, expected {expected}");
        for groups in [one, both] {
            let data = FairnessData { train: &train, user_groups: Some(&groups), item_groups: None, like_above: 3.0 };
            for (rated_items, items) in [(false, 2.0), (true, 1.0)] {
                let mut gradient = DMatrix::zeros(0, 0);
                let loss = Value { rated_items };
                let value = loss.evaluate(&scores, &data, &mut gradient, &Run::new(0)).unwrap();
                // Item 0: | |3 - 4| - |2.5 - 1| | = 1/2; item 1: | |2| - |3| | = 1, where it counts.
                near(value, if rated_items { 0.5 } else { 0.75 });
                // Lower the error of the second group (above its ratings), raise that of the first (below).
                near(gradient[(0, 0)], 0.5 / items);
                near(gradient[(0, 2)], 1.0 / items);
                near(gradient[(1, 1)], if rated_items { 0.0 } else { -0.25 });
            }
        }
    }
}
