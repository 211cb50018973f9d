//! Equal rates of recommendation over sets of cells: what `equal-experience`, `user-group` and `item-group` share.
//!
//! With S(y) the smoothed indicator of a prediction above tau ([`Exceedance`]), P(C) its mean over a set C of cells of
//! the users x items matrix, and A all cells:
//!
//! ```text
//! D_C   = P(A) - P(C)
//! value = sum over the sets of H(D_C),   H(D) = D^2 / 2 where |D| <= delta, delta (|D| - delta / 2) beyond
//! dvalue/dy_ui = phi((tau - y_ui) / h) / h * ( sum over the sets of w(D_C) / |A|
//!                                              - sum over the sets with cell ui of w(D_C) / |C| )
//! ```
//!
//! The sets are products of a group of users and a group of items, so the bracket depends on the membership of user and
//! item alone. Groups may overlap and leave out; a cell in no set has the first term only.

use crate::grouping::Grouping;
use evenhand_core::choice;
use evenhand_core::fairness::{CellSums, Exceedance, Pointwise, Streamed, Tail};
use nalgebra::DMatrix;

choice! {
    /// How the step at the threshold is smoothed (S), and how hard a difference pulls (w).
    pub enum Variant {
        /// As in the paper's code, to compare with it: an exponential near the Gaussian tail, which jumps at the
        /// threshold, with the Gaussian's slope; a pull equal to the difference within delta, but of delta / 2 beyond.
        Seed = "seed",
        /// The same smoothing; the pull is that of the penalty: the difference, cut off at delta.
        Huber = "huber",
        /// The Gaussian tail itself, and the pull of the penalty: the gradient is that of the value.
        Exact = "exact",
    }
}

/// The parameters of such a loss.
pub(crate) struct Rates {
    pub(crate) variant: Variant,
    pub(crate) bandwidth: f64,
    pub(crate) delta: f64,
    pub(crate) tau: f64,
}

impl Rates {
    /// The loss with a set for each pair of a group of users and a group of items.
    pub(crate) fn over<'a>(self, users: Grouping<'a>, items: Grouping<'a>) -> Streamed<'a> {
        let tail = if self.variant == Variant::Exact { Tail::Gaussian } else { Tail::Exponential };
        let of = Pointwise::Exceedance(Exceedance { tau: self.tau, bandwidth: self.bandwidth, tail });
        let Grouping { classes: user_classes, groups: user_sets, sizes: user_sizes } = users;
        let Grouping { classes: item_classes, groups: item_sets, sizes: item_sizes } = items;
        // A matrix without a cell has sums of 0, whatever they are divided by.
        let cells = |users: usize, items: usize| (users * items).max(1) as f64;
        let all = cells(user_classes.of().len(), item_classes.of().len());
        let sizes = DMatrix::from_fn(user_sizes.len(), item_sizes.len(), |g, k| cells(user_sizes[g], item_sizes[k]));
        let outer = move |sums: &DMatrix<f64>| {
            let pairs = |a: usize, b: usize| {
                let (users, items): (&[u32], &[u32]) = (user_sets[a], item_sets[b]);
                users.iter().flat_map(move |&g| items.iter().map(move |&k| (g as usize, k as usize)))
            };
            let mut of_sets = DMatrix::zeros(sizes.nrows(), sizes.ncols());
            for b in 0..sums.ncols() {
                for a in 0..sums.nrows() {
                    pairs(a, b).for_each(|set| of_sets[set] += sums[(a, b)]);
                }
            }
            let overall = sums.sum() / all;
            let (mut value, mut total) = (0.0, 0.0);
            let shares = of_sets.zip_map(&sizes, |sum: f64, size: f64| {
                let difference = overall - sum / size;
                let weight = self.weight(difference);
                value += self.penalty(difference);
                total += weight;
                weight / size
            });
            let slope = |a, b| total / all - pairs(a, b).map(|set| shares[set]).sum::<f64>();
            (value, DMatrix::from_fn(sums.nrows(), sums.ncols(), slope))
        };
        Streamed::Cells(CellSums { users: user_classes, items: item_classes, of, outer: Box::new(outer) })
    }

    /// H.
    fn penalty(&self, difference: f64) -> f64 {
        let (size, delta) = (difference.abs(), self.delta);
        if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
    }

    /// w.
    fn weight(&self, difference: f64) -> f64 {
        match self.variant {
            Variant::Seed if difference.abs() > self.delta => 0.5 * self.delta.copysign(difference),
            Variant::Seed => difference,
            Variant::Huber | Variant::Exact => difference.clamp(-self.delta, self.delta),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalty_and_weight_within_and_beyond_delta() {
        let rates = |variant| Rates { variant, bandwidth: 0.1, delta: 0.5, tau: 0.0 };
        for (difference, penalty, seed, clipped) in
            [(0.25, 0.03125, 0.25, 0.25), (-0.5, 0.125, -0.5, -0.5), (-1.0, 0.375, -0.25, -0.5), (0.0, 0.0, 0.0, 0.0)]
        {
            assert_eq!(rates(Variant::Seed).penalty(difference), penalty);
            assert_eq!(rates(Variant::Seed).weight(difference), seed);
            assert_eq!(rates(Variant::Huber).weight(difference), clipped);
            assert_eq!(rates(Variant::Exact).weight(difference), clipped);
        }
    }

    /// Three users and two items; users 0 and 1 in one group, 1 and 2 in another, item 0 in the only group of items.
    #[test]
    fn overlap_worked_by_hand() {
        let lists = |of: &[&[u32]]| of.iter().enumerate().map(|(g, m)| (g.to_string(), m.to_vec())).collect();
        let users = evenhand_core::Groups::new("users", 3, lists(&[&[0, 1], &[1, 2]])).unwrap();
        let items = evenhand_core::Groups::new("items", 2, lists(&[&[0]])).unwrap();
        let rates = Rates { variant: Variant::Exact, bandwidth: 0.1, delta: 0.5, tau: 0.0 };
        let Streamed::Cells(loss) = rates.over(Grouping::of(&users), Grouping::of(&items)) else { unreachable!() };
        // Three of the six cells are above the threshold: 0 and 1 on item 0, and 2 on item 1.
        let (value, table) = (loss.outer)(&DMatrix::from_row_slice(3, 2, &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0]));
        // P = 1/2; of the sets 1 and 1/2: D = -1/2 and 0, H = 1/8 and 0, w = -1/2 and 0, both of two cells.
        assert_eq!(value, 0.125);
        let base = -0.5 / 6.0;
        let expected = [base + 0.25, base, base + 0.25, base, base, base];
        assert!((table - DMatrix::from_row_slice(3, 2, &expected)).amax() < 1e-15);
    }
}
