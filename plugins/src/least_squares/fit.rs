//! Fits with an intercept.

use super::triangle::Triangle;
use crate::linear::{add_gram, cholesky, padded, solve};
use evenhand_core::GroupTable;
use pulp::{Arch, Simd, WithSimd};

/// A linear function.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// One weight per feature.
    pub weights: Vec<f64>,
    /// Added to their product with the features.
    pub intercept: f64,
}

/// Fits a linear function to some `rows` of `table`; `labels` has a label for every row of the table. `penalty` is the
/// weight of the squared norm of the weights, from 0; at 0, of several best functions the one of least norm is taken.
/// `None` without rows; of one row, no weights and its label.
///
/// # Panics
/// For a row out of range.
pub fn fit(table: &GroupTable, rows: &[usize], labels: &[f64], penalty: f64) -> Option<Fit> {
    if rows.is_empty() {
        return None;
    }
    let n = rows.len() as f64;
    let d = table.features();
    let mut center = vec![0.0; d + 1];
    for &row in rows {
        center.iter_mut().zip(table.row(row).0).for_each(|(sum, x)| *sum += x);
        center[d] += labels[row];
    }
    center.iter_mut().for_each(|sum| *sum /= n);
    // What does not vary must not seem to, by the rounding of its mean.
    for (j, mean) in center[..d].iter_mut().enumerate() {
        let first = table.row(rows[0]).0[j];
        if rows.iter().all(|&row| table.row(row).0[j] == first) {
            *mean = first;
        }
    }
    let centred = Centred::new(table, rows, labels, &center);
    let weights = centred.normal(penalty).unwrap_or_else(|| centred.reflected(penalty));
    let intercept = center[d] - weights.iter().zip(&center).map(|(w, mean)| w * mean).sum::<f64>();
    Some(Fit { weights, intercept })
}

/// Rows less their mean.
pub(super) struct Centred<'a> {
    table: &'a GroupTable,
    rows: &'a [usize],
    labels: &'a [f64],
    /// Means of the features, then of the label.
    center: &'a [f64],
}

impl<'a> Centred<'a> {
    /// Some rows, whose means are those of `center`.
    pub(super) fn new(table: &'a GroupTable, rows: &'a [usize], labels: &'a [f64], center: &'a [f64]) -> Self {
        Self { table, rows, labels, center }
    }
}

/// Share of a feature's variance that the features before it leave unexplained, below which the normal equations lose
/// too many digits: the error is about the rounding unit over this.
const APART: f64 = 1e-4;

/// Rows whose products are summed up at once.
const BLOCK: usize = 128;

impl Centred<'_> {
    /// One row: features, then label.
    fn write(&self, row: usize, to: &mut [f64]) {
        let d = self.table.features();
        let features = self.table.row(row).0;
        for j in 0..d {
            to[j] = features[j] - self.center[j];
        }
        to[d] = self.labels[row] - self.center[d];
    }

    /// By the normal equations, unless they lose digits.
    pub(super) fn normal(&self, penalty: f64) -> Option<Vec<f64>> {
        let d = self.table.features();
        let width = padded(d + 1);
        let mut gram = vec![0.0; width * width];
        let mut block = vec![0.0; BLOCK * width];
        let arch = Arch::new();
        for some in self.rows.chunks(BLOCK) {
            for (&row, to) in some.iter().zip(block.chunks_exact_mut(width)) {
                self.write(row, &mut to[..=d]);
            }
            arch.dispatch(Gram { rows: &block[..some.len() * width], width, gram: &mut gram });
        }
        let mut weights: Vec<f64> = (0..width).map(|j| if j < d { gram[j * width + d] } else { 0.0 }).collect();
        // The label is no unknown.
        gram.chunks_exact_mut(width).for_each(|row| row[d] = 0.0);
        for j in 0..d {
            gram[j * width + j] += penalty;
        }
        let before: Vec<f64> = (0..d).map(|j| gram[j * width + j]).collect();
        arch.dispatch(Solve { gram: &mut gram, before: &before, width, to: &mut weights }).then(|| {
            weights.truncate(d);
            weights
        })
    }

    /// By a triangular factor, which finds the rank.
    pub(super) fn reflected(&self, penalty: f64) -> Vec<f64> {
        let d = self.table.features();
        let mut triangle = Triangle::new(d + 1);
        for &row in self.rows {
            self.write(row, triangle.row());
            triangle.keep();
        }
        if penalty > 0.0 {
            for j in 0..d {
                triangle.row().fill(0.0);
                triangle.row()[j] = penalty.sqrt();
                triangle.keep();
            }
        }
        triangle.solve().weights
    }
}

struct Gram<'a> {
    rows: &'a [f64],
    width: usize,
    gram: &'a mut [f64],
}

impl WithSimd for Gram<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_gram(simd, self.rows, self.width, self.gram);
    }
}

struct Solve<'a> {
    gram: &'a mut [f64],
    /// The diagonal.
    before: &'a [f64],
    width: usize,
    to: &'a mut [f64],
}

impl WithSimd for Solve<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { gram, before, width, to } = self;
        let d = before.len();
        let mut inverse = vec![0.0; width];
        if before.contains(&0.0) || !cholesky(simd, gram, d, width, &mut inverse) {
            return false;
        }
        let apart = |(&diagonal, &inverse): (&f64, &f64)| 1.0 / (inverse * inverse) >= APART * diagonal;
        if !before.iter().zip(&inverse).all(apart) {
            return false;
        }
        solve(simd, gram, d, width, &inverse, to);
        true
    }
}
