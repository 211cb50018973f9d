//! A triangular factor of rows that come one by one, and its solution of least norm.

use crate::linear::{axpy, dot, dots};
use nalgebra::{DMatrix, DVector};
use pulp::{Arch, Simd, WithSimd};

/// Rows that are reflected into the triangle at once: a multiple of the lanes of a padded row.
const BLOCK: usize = 256;

/// The upper triangle R of rows `[x y]`: R'R is their Gram matrix. The largest of their numbers should be about 1.
pub(super) struct Triangle {
    width: usize,
    /// Row-major, width x width.
    r: Vec<f64>,
    /// Rows not yet reflected: a column of `BLOCK` numbers for each of `width`.
    block: Vec<f64>,
    /// Of those, how many are there.
    waiting: usize,
    /// The row to come.
    row: Vec<f64>,
    rows: usize,
}

impl Triangle {
    /// Of no row yet; rows are of `width` numbers, the last of which is the label.
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            r: vec![0.0; width * width],
            block: vec![0.0; width * BLOCK],
            waiting: 0,
            row: vec![0.0; width],
            rows: 0,
        }
    }

    /// The row to come, to be written.
    pub(super) fn row(&mut self) -> &mut [f64] {
        &mut self.row
    }

    /// Takes the row that was written.
    pub(super) fn keep(&mut self) {
        for (column, &value) in self.block.chunks_exact_mut(BLOCK).zip(&self.row) {
            column[self.waiting] = value;
        }
        self.waiting += 1;
        self.rows += 1;
        if self.waiting == BLOCK {
            self.reflect();
        }
    }

    fn reflect(&mut self) {
        for column in self.block.chunks_exact_mut(BLOCK) {
            column[self.waiting..].fill(0.0);
        }
        Arch::new().dispatch(Reflect { width: self.width, r: &mut self.r, block: &mut self.block });
        self.waiting = 0;
    }

    /// The weights of least norm that minimise the sum of squared errors.
    pub(super) fn solve(mut self) -> Solution {
        if self.waiting > 0 {
            self.reflect();
        }
        let d = self.width - 1;
        let at = |i: usize, j: usize| self.r[i * self.width + j];
        let r = DMatrix::from_fn(d, d, |i, j| if i <= j { at(i, j) } else { 0.0 });
        let z = DVector::from_fn(d, |i, _| at(i, d));
        let beside = at(d, d);
        let finite = r.iter().chain(&z).all(|v| v.is_finite());
        if d == 0 || !finite {
            // Overflow shows in everything.
            let (loss, weight) = if finite { (beside * beside, 0.0) } else { (f64::NAN, f64::NAN) };
            return Solution { loss, rank: 0, weights: vec![weight; d], directions: DMatrix::zeros(0, d) };
        }
        // R P = Q [A B; 0 0], then [A B] = L Z' with orthonormal columns of Z: a complete orthogonal decomposition. Not by
        // the library's singular values, which lose digits where R is of lower rank.
        let pivoted = r.col_piv_qr();
        let upper = pivoted.r();
        let noise = f64::EPSILON * self.rows.max(d) as f64 * upper[(0, 0)].abs();
        let rank = (0..d).take_while(|&k| upper[(k, k)].abs() > noise).count();
        let rotated = pivoted.q().tr_mul(&z);
        let loss = beside * beside + rotated.rows(rank, d - rank).norm_squared();
        let rows = upper.rows(0, rank).transpose().qr();
        let (mut basis, lower) = (rows.q(), rows.r().transpose());
        pivoted.p().inv_permute_rows(&mut basis);
        let along = lower.solve_lower_triangular(&rotated.rows(0, rank)).expect("its diagonal is not 0");
        let directions = lower.tr_solve_lower_triangular(&basis.transpose()).expect("its diagonal is not 0");
        Solution { loss, rank, weights: (basis * along).as_slice().to_vec(), directions }
    }
}

/// What a triangle comes to.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    pub(super) loss: f64,
    pub(super) rank: usize,
    pub(super) weights: Vec<f64>,
    /// Rank x d; what this makes of a row has the leverage of the row as its squared length.
    directions: DMatrix<f64>,
}

impl Solution {
    /// x' (X'X)^+ x, for a row x of X.
    pub(super) fn leverage(&self, features: &[f64]) -> f64 {
        (&self.directions * DVector::from_column_slice(features)).norm_squared()
    }
}

/// A squared length that is left of a column by rounding of rounding: to divide by it would overflow. Numbers are about 1.
const NOTHING: f64 = 1e-250;

/// Reflects the block into the triangle: column by column, each reflection takes in one row of the triangle and the block.
struct Reflect<'a> {
    width: usize,
    r: &'a mut [f64],
    block: &'a mut [f64],
}

impl WithSimd for Reflect<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { width, r, block } = self;
        for k in 0..width {
            let (left, right) = block.split_at_mut((k + 1) * BLOCK);
            let v = &left[k * BLOCK..];
            let row = &mut r[k * width + k..(k + 1) * width];
            let square = dot(simd, v, v);
            if square < NOTHING {
                continue;
            }
            let head = row[0];
            let length = (head * head + square).sqrt();
            // The sign that does not cancel.
            let pivot = if head > 0.0 { -length } else { length };
            let first = head - pivot;
            let beta = 2.0 / (first * first + square);
            row[0] = pivot;
            let mut columns = right.chunks_exact_mut(BLOCK);
            let mut row = row[1..].chunks_exact_mut(4);
            for four in row.by_ref() {
                let mut next = || columns.next().expect("a column for each number");
                let to = [next(), next(), next(), next()];
                let along = dots(simd, [&*to[0], &*to[1], &*to[2], &*to[3]], v);
                for n in 0..4 {
                    let step = beta * (first * four[n] + along[n]);
                    four[n] -= step * first;
                    axpy(simd, -step, v, to[n]);
                }
            }
            for (number, to) in row.into_remainder().iter_mut().zip(columns) {
                let step = beta * (first * *number + dot(simd, v, to));
                *number -= step * first;
                axpy(simd, -step, v, to);
            }
        }
    }
}
