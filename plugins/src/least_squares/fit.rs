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
/// `None` without rows; of one row, no weights and its label. Numbers out of range make weights that are not finite.
///
/// # Panics
/// For a row out of range, or fewer labels than rows of the table.
pub fn fit(table: &GroupTable, rows: &[usize], labels: &[f64], penalty: f64) -> Option<Fit> {
    let (first, d) = (*rows.first()?, table.features());
    let (x_first, y_first) = (table.row(first).0, labels[first]);
    // From the first row on: sums of large numbers that hardly differ would lose what they differ by, and what does not vary
    // has exactly its value as mean.
    let (mut center, mut largest) = (vec![0.0; d + 1], vec![0.0; d + 1]);
    for &row in rows {
        let (sums, largest) = (&mut center[..d], &mut largest[..d]);
        let x = &table.row(row).0[..d];
        for j in 0..d {
            let off = x[j] - x_first[j];
            sums[j] += off;
            // The form that becomes one instruction.
            largest[j] = if off.abs() > largest[j] { off.abs() } else { largest[j] };
        }
    }
    for &row in rows {
        let off = labels[row] - y_first;
        center[d] += off;
        largest[d] = f64::max(largest[d], off.abs());
    }
    let first = x_first.iter().chain([&y_first]);
    center.iter_mut().zip(first).for_each(|(sum, first)| *sum = first + *sum / rows.len() as f64);
    let scales = (power_of_two(largest[..d].iter().copied().fold(0.0, f64::max)), power_of_two(largest[d]));
    let centred = Centred { table, rows, labels, center: &center, scales };
    let penalty = penalty / scales.0 / scales.0;
    let mut weights = match penalty.is_finite() {
        true => centred.normal(penalty).unwrap_or_else(|| centred.reflected(penalty)),
        // Next to it, features are nothing.
        false => vec![0.0; d],
    };
    weights.iter_mut().for_each(|w| *w *= scales.1 / scales.0);
    let intercept = center[d] - weights.iter().zip(&center).map(|(w, mean)| w * mean).sum::<f64>();
    Some(Fit { weights, intercept })
}

/// A power of two near `x`, to divide by without rounding; 1 for 0.
pub(super) fn power_of_two(x: f64) -> f64 {
    if x > 0.0 && x.is_finite() { x.log2().round().clamp(-1000.0, 1000.0).exp2() } else { 1.0 }
}

/// Rows less their mean.
pub(super) struct Centred<'a> {
    pub(super) table: &'a GroupTable,
    pub(super) rows: &'a [usize],
    pub(super) labels: &'a [f64],
    /// Means of the features, then of the label.
    pub(super) center: &'a [f64],
    /// What features and labels are divided by, so that squares stay in range.
    pub(super) scales: (f64, f64),
}

/// The normal equations lose about as many digits as this has: a bound on the condition of their matrix with the diagonal
/// scaled to 1.
const WORST: f64 = 1e6;

/// Rows whose products are summed up at once.
const BLOCK: usize = 128;

impl Centred<'_> {
    /// One row: features, then label.
    fn write(&self, row: usize, to: &mut [f64]) {
        let d = self.table.features();
        let (features, center, by) = (&self.table.row(row).0[..d], &self.center[..d], 1.0 / self.scales.0);
        for (j, to) in to[..d].iter_mut().enumerate() {
            *to = (features[j] - center[j]) * by;
        }
        to[d] = (self.labels[row] - self.center[d]) / self.scales.1;
    }

    /// By the normal equations, unless they lose digits or rank.
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
        let largest = (0..d).map(|j| gram[j * width + j]).fold(0.0, f64::max);
        if largest == 0.0 {
            return Some(vec![0.0; d]);
        }
        for j in 0..d {
            let diagonal = &mut gram[j * width + j];
            // What does not vary has no products with others: any number makes its weight 0.
            *diagonal = if *diagonal == 0.0 { largest } else { *diagonal } + penalty;
        }
        let before: Vec<f64> = (0..d).map(|j| gram[j * width + j]).collect();
        // Where singular values may be so far apart that the smallest counts as 0, the triangle has to look.
        let noise = f64::EPSILON * self.rows.len().max(d) as f64;
        let most = (1.0 / (noise * noise)).min(1e20);
        arch.dispatch(Solve { gram: &mut gram, before: &before, width, most, to: &mut weights }).then(|| {
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
    /// Bound on the condition of the matrix as it is.
    most: f64,
    to: &'a mut [f64],
}

impl WithSimd for Solve<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { gram, before, width, most, to } = self;
        let d = before.len();
        let mut inverse = vec![0.0; width];
        if !cholesky(simd, gram, d, width, &mut inverse) {
            return false;
        }
        // The largest eigenvalue is at most the trace, the inverse of the smallest one at most that of the inverse.
        let of_inverse = inverse_diagonal(gram, d, width, &inverse);
        let scaled: f64 = before.iter().zip(&of_inverse).map(|(a, b)| a * b).sum();
        let plain = before.iter().sum::<f64>() * of_inverse.iter().sum::<f64>();
        if !(scaled * d as f64 <= WORST && plain <= most) {
            return false;
        }
        solve(simd, gram, d, width, &inverse, to);
        true
    }
}

/// The diagonal of the inverse of U'U: the squared lengths of the rows of the inverse of U.
fn inverse_diagonal(u: &[f64], d: usize, width: usize, inverse: &[f64]) -> Vec<f64> {
    let mut squares = vec![0.0; d];
    let mut column = vec![0.0; d];
    for k in 0..d {
        // Solves U c = e_k from below.
        column[k] = inverse[k];
        for i in (0..k).rev() {
            let sum: f64 = (i + 1..=k).map(|j| u[i * width + j] * column[j]).sum();
            column[i] = -sum * inverse[i];
        }
        squares.iter_mut().zip(&column[..=k]).for_each(|(sum, c)| *sum += c * c);
    }
    squares
}
