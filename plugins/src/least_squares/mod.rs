//! Linear least squares that finds the rank of its rows: the fits of [`ols`](crate::ols) and [`ridge`](crate::ridge), and
//! the best linear function in hindsight that online regressors are measured against.
//!
//! ```text
//! fit:        minimise  sum (w . x_t + b - y_t)^2 + alpha |w|^2       the intercept b is not penalised
//! hindsight:  minimise  sum (w . x_t - y_t)^2                         no intercept, no penalty
//! ```
//!
//! Of several minimisers the one of least norm is taken. Rows are reduced to a triangular factor by Householder
//! reflections, a block at a time, so that memory does not grow with their number; then columns are pivoted, and what is left
//! of a column below `epsilon max(rows, features)` times the largest one counts as 0. Where features are far from collinear, a fit solves the
//! normal equations of centred features instead, which costs less and loses no digit that matters.
//!
//! Sources: Golub & Van Loan, "Matrix Computations", 4th edition, sections 5.4 and 5.5; Demmel, Grigori, Hoemmen & Langou,
//! "Communication-optimal parallel and sequential QR and LU factorizations", 2012, for factors of stacked blocks.

mod fit;
mod triangle;

pub use fit::{Fit, fit};

use evenhand_core::GroupTable;
use triangle::{Solution, Triangle};

/// The best linear function in hindsight, without intercept or penalty.
#[derive(Clone, Debug)]
pub struct Hindsight {
    /// Its sum of squared errors.
    pub loss: f64,
    /// Rank of the features.
    pub rank: usize,
    /// Its weights, one per feature: of all best ones those of least norm.
    pub weights: Vec<f64>,
    solution: Solution,
}

impl Hindsight {
    /// That of some `rows` of `table`; `labels` has a label for every row of the table. Without rows it is 0.
    ///
    /// # Panics
    /// For a row out of range.
    pub fn of(table: &GroupTable, rows: &[usize], labels: &[f64]) -> Self {
        let d = table.features();
        let mut triangle = Triangle::new(d + 1);
        for &row in rows {
            let to = triangle.row();
            to[..d].copy_from_slice(table.row(row).0);
            to[d] = labels[row];
            triangle.keep();
        }
        let solution = triangle.solve();
        Self { loss: solution.loss, rank: solution.rank, weights: solution.weights.clone(), solution }
    }

    /// The sum of squared errors of the best linear function on the same rows without one of them, which has those features
    /// and that label. In closed form: `loss - e^2 / (1 - h)` with the error e and the leverage h of the row (Cook &
    /// Weisberg, "Residuals and Influence in Regression", 1982, section 2.2).
    ///
    /// # Panics
    /// For another number of features.
    pub fn without(&self, features: &[f64], label: f64) -> f64 {
        assert_eq!(features.len(), self.weights.len(), "one feature for each weight");
        let error = label - self.weights.iter().zip(features).map(|(w, x)| w * x).sum::<f64>();
        let rest = 1.0 - self.solution.leverage(features);
        // A row that is alone in some direction is met exactly: it adds nothing.
        if rest < ALONE { self.loss } else { (self.loss - error * error / rest).max(0.0) }
    }
}

/// One less the leverage of a row below which the row counts as alone in its direction.
const ALONE: f64 = 1e-10;

#[cfg(test)]
mod tests;
