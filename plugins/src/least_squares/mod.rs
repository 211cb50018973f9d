//! Linear least squares that finds the rank of its rows: the fits of [`ols`](crate::ols) and [`ridge`](crate::ridge), and
//! the best linear function in hindsight that online regressors are measured against.
//!
//! ```text
//! fit:        minimise  sum (w . x_t + b - y_t)^2 + alpha |w|^2       the intercept b is not penalised
//! hindsight:  minimise  sum (w . x_t - y_t)^2                         no intercept, no penalty
//! ```
//!
//! Of several minimisers the one of least norm is taken. Rows are reduced to a triangular factor by Householder
//! reflections, a block at a time, so that memory does not grow with their number; then columns are pivoted, and what is
//! left of a column below `epsilon max(rows, features)` times the first pivot counts as 0. Where a bound on the condition
//! of the features shows that nothing is that small, and that no more than six digits are lost, a fit solves the normal
//! equations of centred features instead, which costs less.
//!
//! Sources: Golub & Van Loan, "Matrix Computations", 4th edition, sections 5.4 and 5.5; Demmel, Grigori, Hoemmen & Langou,
//! "Communication-optimal parallel and sequential QR and LU factorizations", 2012, for factors of stacked blocks.

mod fit;
mod triangle;

pub use fit::{Fit, fit};

use evenhand_core::GroupTable;
use fit::power_of_two;
use triangle::{Solution, Triangle};

/// The best linear function in hindsight, without intercept or penalty.
#[derive(Clone, Debug)]
pub struct Hindsight {
    /// Its sum of squared errors; NaN where numbers leave their range.
    pub loss: f64,
    /// Rank of the features.
    pub rank: usize,
    /// Its weights, one per feature: of all best ones those of least norm.
    pub weights: Vec<f64>,
    /// Of features and labels divided by these powers of two.
    solution: Solution,
    scales: (f64, f64),
}

impl Hindsight {
    /// That of some `rows` of `table`; `labels` has a label for every row of the table. Without rows it is 0.
    ///
    /// # Panics
    /// For a row out of range, or fewer labels than rows of the table.
    pub fn of(table: &GroupTable, rows: &[usize], labels: &[f64]) -> Self {
        let d = table.features();
        let largest = |of: &dyn Fn(usize) -> f64| power_of_two(rows.iter().map(|&row| of(row)).fold(0.0, f64::max));
        let scales = (
            largest(&|row| table.row(row).0.iter().fold(0.0, |most, x| most.max(x.abs()))),
            largest(&|row| labels[row].abs()),
        );
        let mut triangle = Triangle::new(d + 1);
        for &row in rows {
            let to = triangle.row();
            to.iter_mut().zip(table.row(row).0).for_each(|(to, x)| *to = x / scales.0);
            to[d] = labels[row] / scales.1;
            triangle.keep();
        }
        let solution = triangle.solve();
        let weights = solution.weights.iter().map(|w| w * (scales.1 / scales.0)).collect();
        Self { loss: solution.loss * scales.1 * scales.1, rank: solution.rank, weights, solution, scales }
    }

    /// The sum of squared errors of the best linear function on the same `rows` of `table` without `row`, which is one of
    /// them. In closed form: `loss - e^2 / (1 - h)` with the error e and the leverage h of the row (Cook & Weisberg,
    /// "Residuals and Influence in Regression", 1982, section 2.2); anew where hardly anything but that row speaks for some
    /// direction, and digits would be lost.
    ///
    /// # Panics
    /// As [`Self::of`].
    pub fn without(&self, table: &GroupTable, rows: &[usize], labels: &[f64], row: usize) -> f64 {
        let features: Vec<f64> = table.row(row).0.iter().map(|x| x / self.scales.0).collect();
        let rest = 1.0 - self.solution.leverage(&features);
        if rest < ALONE {
            let others: Vec<usize> = rows.iter().copied().filter(|&other| other != row).collect();
            return Self::of(table, &others, labels).loss;
        }
        let said: f64 = self.solution.weights.iter().zip(&features).map(|(w, x)| w * x).sum();
        let error = labels[row] / self.scales.1 - said;
        (self.solution.loss - error * error / rest).max(0.0) * self.scales.1 * self.scales.1
    }
}

/// One less the leverage of a row below which the closed form loses digits.
const ALONE: f64 = 1e-3;

#[cfg(test)]
mod tests;
