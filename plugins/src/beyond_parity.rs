//! Five objectives on the training rows: predictions err alike, or are alike, for the groups of users.
//!
//! With E_g\[y\]_j the mean prediction and E_g\[r\]_j the mean rating over the training rows of item j by users of
//! group g, and e_g = E_g\[y\]_j - E_g\[r\]_j:
//!
//! ```text
//! value-unfairness            mean over items of | e_g - e_h |
//! absolute-unfairness         mean over items of | |e_g| - |e_h| |
//! underestimation-unfairness  mean over items of | max(0, -e_g) - max(0, -e_h) |
//! overestimation-unfairness   mean over items of | max(0, e_g) - max(0, e_h) |
//! non-parity                  | E_g[y] - E_h[y] |, the means over all training rows of the groups
//! ```
//!
//! Sirui Yao and Bert Huang, "Beyond Parity: Fairness Objectives for Collaborative Filtering", NIPS 2017, for a group g
//! and all others. A lone group is compared with the users outside it; of three and more, all pairs, whose mean is
//! taken.
//!
//! - *Items rated by one side only.* The formula has no value for them (a mean over nothing). Here the mean is over the
//!   items that both groups of the pair have rated; the others count neither in the sum nor in the number of items. A
//!   pair that has no item in common (for `non-parity`: a side without a row) is left out, and without any pair the
//!   value is 0.
//! - Where a difference is 0, its absolute value and its positive part get the derivative 0.
//! - Repeated rows of a pair are observations of their own.
//! - `value` ([`crate::value`]) is another loss, which averages over all users of a group: see there.

use crate::grouping::{Grouping, gaps, sign};
use evenhand_core::fairness::{Observed, Streamed};
use evenhand_core::{FairnessData, FairnessLoss, Interactions, Result, plugin};
use nalgebra::DMatrix;

plugin! {
    /// Predictions err in the same direction by the same amount for every group of users, item by item.
    pub struct ValueUnfairness: FairnessLoss = "value-unfairness",
        from "Yao & Huang 2017, Beyond Parity: Fairness Objectives for Collaborative Filtering, NIPS" {}
}

plugin! {
    /// Predictions err by the same amount, in whatever direction, for every group of users, item by item.
    pub struct AbsoluteUnfairness: FairnessLoss = "absolute-unfairness",
        from "Yao & Huang 2017, Beyond Parity: Fairness Objectives for Collaborative Filtering, NIPS" {}
}

plugin! {
    /// Predictions fall short of the ratings by the same amount for every group of users, item by item.
    pub struct UnderestimationUnfairness: FairnessLoss = "underestimation-unfairness",
        from "Yao & Huang 2017, Beyond Parity: Fairness Objectives for Collaborative Filtering, NIPS" {}
}

plugin! {
    /// Predictions exceed the ratings by the same amount for every group of users, item by item.
    pub struct OverestimationUnfairness: FairnessLoss = "overestimation-unfairness",
        from "Yao & Huang 2017, Beyond Parity: Fairness Objectives for Collaborative Filtering, NIPS" {}
}

plugin! {
    /// The mean prediction is the same for every group of users.
    pub struct NonParity: FairnessLoss = "non-parity",
        from "Yao & Huang 2017, Beyond Parity: Fairness Objectives for Collaborative Filtering, NIPS" {}
}

/// What is compared: a function of the error e of a group, at an item or over all rows.
#[derive(Clone, Copy)]
enum Measure {
    Signed,
    Size,
    Shortfall,
    Excess,
}

/// What rows are averaged over.
#[derive(Clone, Copy, PartialEq)]
enum Per {
    /// Those of an item; the error is from the mean rating.
    Item,
    /// All of them; the "error" is the mean prediction itself.
    Group,
}

macro_rules! losses { ($($ty:ident = $per:ident $measure:ident;)*) => { $(
    impl FairnessLoss for $ty {
        fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
            form(Per::$per, Measure::$measure, data).map(Some)
        }
    }
)* } }
losses! {
    ValueUnfairness = Item Signed;
    AbsoluteUnfairness = Item Size;
    UnderestimationUnfairness = Item Shortfall;
    OverestimationUnfairness = Item Excess;
    NonParity = Group Signed;
}

impl Measure {
    fn value(self, error: f64) -> f64 {
        match self {
            Self::Signed => error,
            Self::Size => error.abs(),
            Self::Shortfall => (-error).max(0.0),
            Self::Excess => error.max(0.0),
        }
    }

    fn slope(self, error: f64) -> f64 {
        match self {
            Self::Signed => 1.0,
            Self::Size => sign(error),
            Self::Shortfall => sign(error).min(0.0),
            Self::Excess => sign(error).max(0.0),
        }
    }
}

fn form<'a>(per: Per, measure: Measure, data: &FairnessData<'a>) -> Result<Streamed<'a>> {
    let rows = SidedRows::new(per, data.train, Grouping::sides(data.grouped_users()?));
    Ok(Streamed::Observed(Observed { evaluate: Box::new(move |y, slopes| rows.evaluate(measure, y, slopes)) }))
}

/// The training rows by side and place; a place is an item, or the only one where all rows are averaged.
struct SidedRows<'a> {
    per: Per,
    train: &'a Interactions,
    sides: Grouping<'a>,
    /// Rows of every side at every place.
    counts: DMatrix<f64>,
    /// What the mean prediction of every side at every place is measured from.
    from: DMatrix<f64>,
    /// Weight of a pair of sides at each place where both have rows.
    weights: DMatrix<f64>,
}

impl<'a> SidedRows<'a> {
    fn new(per: Per, train: &'a Interactions, sides: Grouping<'a>) -> Self {
        let (count, places) = (sides.sizes.len(), if per == Per::Item { train.items() } else { 1 });
        let empty = DMatrix::zeros(count, places);
        let weights = DMatrix::zeros(count, count);
        let mut rows = Self { per, train, sides, counts: empty.clone(), from: empty.clone(), weights };
        let (mut counts, mut sums) = (empty.clone(), empty);
        let ratings = train.by_user().all_values();
        rows.for_each(|row, cell| {
            counts[cell] += 1.0;
            if per == Per::Item {
                sums[cell] += f64::from(ratings[row]);
            }
        });
        rows.from = sums.zip_map(&counts, |sum, count| if count > 0.0 { sum / count } else { 0.0 });
        rows.counts = counts;
        let mut common = DMatrix::zeros(count, count);
        for place in 0..places {
            rows.pairs_at(place).for_each(|pair| common[pair] += 1.0);
        }
        let pairs = common.iter().filter(|&&c| c > 0.0).count() as f64;
        rows.weights = common.map(|c: f64| if c > 0.0 { 1.0 / (pairs * c) } else { 0.0 });
        rows
    }

    /// Calls `with` for the sides of each row, in order of the rows: its number, and (side, place).
    fn for_each(&self, mut with: impl FnMut(usize, (usize, usize))) {
        let by_user = self.train.by_user();
        for (user, &class) in self.sides.classes.of().iter().enumerate() {
            let sides = self.sides.groups[class as usize];
            for (row, &item) in (by_user.offsets()[user]..).zip(by_user.partners(user)) {
                let place = if self.per == Per::Item { item as usize } else { 0 };
                sides.iter().for_each(|&side| with(row, (side as usize, place)));
            }
        }
    }

    /// The pairs of sides that both have rows at `place`, the lower one first.
    fn pairs_at(&self, place: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let present = move |side: &usize| self.counts[(*side, place)] > 0.0;
        (0..self.counts.nrows()).filter(present).flat_map(move |h| (0..h).filter(present).map(move |g| (g, h)))
    }

    fn evaluate(&self, measure: Measure, predicted: &[f64], slopes: &mut [f64]) -> f64 {
        let mut table = DMatrix::zeros(self.counts.nrows(), self.counts.ncols());
        self.for_each(|row, cell| table[cell] += predicted[row]);
        let (mut measured, mut pulls) = (vec![0.0; table.nrows()], vec![0.0; table.nrows()]);
        let mut value = 0.0;
        for (place, mut column) in table.column_iter_mut().enumerate() {
            let counts = self.counts.column(place);
            pulls.fill(0.0);
            // From sums of predictions to errors; a side without rows has none.
            column.zip_zip_apply(&counts, &self.from.column(place), |sum, count, from| {
                *sum = if count > 0.0 { *sum / count - from } else { 0.0 };
            });
            measured.iter_mut().zip(&column).for_each(|(m, &error)| *m = measure.value(error));
            value += gaps(&measured, &mut pulls, |g, h| {
                if counts[g] > 0.0 && counts[h] > 0.0 { self.weights[(g, h)] } else { 0.0 }
            });
            // From errors to the derivative at each row of a side.
            for ((error, pull), &count) in column.iter_mut().zip(&pulls).zip(&counts) {
                *error = if count > 0.0 { pull * measure.slope(*error) / count } else { 0.0 };
            }
        }
        slopes.fill(0.0);
        self.for_each(|row, cell| slopes[row] += table[cell]);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Groups, Rows, Run};

    /// Users 0 and 1 in one group, 2 in the other, 3 in none. Item 0 is rated by both, item 1 by the first group
    /// alone, item 2 by user 3 and user 2.
    #[test]
    fn worked_by_hand() {
        let mut rows = Rows::default();
        let ratings = [(0, 0, 4.0), (1, 0, 2.0), (2, 0, 1.0), (0, 1, 5.0), (2, 2, 3.0), (3, 2, 3.0)];
        for (user, item, rating) in ratings {
            rows.push(user, item, rating);
        }
        let train = Interactions::new(4, 3, &rows).unwrap();
        let lists = vec![("a".into(), vec![0, 1]), ("b".into(), vec![2])];
        let groups = Groups::new("users", 4, lists).unwrap();
        let data = FairnessData { train: &train, user_groups: Some(&groups), item_groups: None, like_above: 3.0 };
        // Item 0: the first group is predicted 2 and 3 (error -1/2), the second 2 (error 1).
        let scores = DMatrix::from_column_slice(3, 4, &[2.0, 4.0, 9.0, 3.0, 9.0, 9.0, 2.0, 9.0, 4.5, 9.0, 9.0, 9.0]);
        let check = |loss: &dyn FairnessLoss, value: f64, of_item_0: [f64; 3]| {
            let mut gradient = DMatrix::zeros(0, 0);
            assert_eq!(loss.evaluate(&scores, &data, &mut gradient, &Run::new(0)).unwrap(), value, "{}", loss.name());
            assert_eq!([gradient[(0, 0)], gradient[(0, 1)], gradient[(0, 2)]], of_item_0, "{}", loss.name());
            gradient
        };
        let elsewhere = |gradient: DMatrix<f64>| gradient.rows(1, 2).amax();
        assert_eq!(elsewhere(check(&ValueUnfairness {}, 1.5, [-0.5, -0.5, 1.0])), 0.0);
        assert_eq!(elsewhere(check(&AbsoluteUnfairness {}, 0.5, [0.5, 0.5, 1.0])), 0.0);
        assert_eq!(elsewhere(check(&UnderestimationUnfairness {}, 0.5, [-0.5, -0.5, 0.0])), 0.0);
        assert_eq!(elsewhere(check(&OverestimationUnfairness {}, 1.0, [0.0, 0.0, 1.0])), 0.0);
        // (2 + 3 + 4) / 3 and (2 + 4.5) / 2: every row of a group counts, those of user 3 do not.
        let third = 1.0 / 3.0;
        let gradient = check(&NonParity {}, 0.25, [-third, -third, 0.5]);
        assert_eq!((gradient[(1, 0)], gradient[(2, 2)], gradient[(2, 3)]), (-third, 0.5, 0.0));
    }

    #[test]
    fn without_a_common_item_there_is_nothing_to_compare() {
        let mut rows = Rows::default();
        for (user, item, rating) in [(0, 0, 4.0), (1, 1, 2.0)] {
            rows.push(user, item, rating);
        }
        let train = Interactions::new(2, 2, &rows).unwrap();
        let groups = Groups::new("users", 2, vec![("a".into(), vec![0])]).unwrap();
        let data = FairnessData { train: &train, user_groups: Some(&groups), item_groups: None, like_above: 3.0 };
        let mut gradient = DMatrix::zeros(0, 0);
        let scores = DMatrix::from_column_slice(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let value = ValueUnfairness {}.evaluate(&scores, &data, &mut gradient, &Run::new(0)).unwrap();
        assert_eq!((value, gradient.amax()), (0.0, 0.0));
        assert_eq!(NonParity {}.evaluate(&scores, &data, &mut gradient, &Run::new(0)).unwrap(), 3.0);
    }
}
