//! One half-step: the factors of one side, given those of the other. Rows are independent and solved in parallel.
//!
//! For entity e with partners j, their factors y_j and ratings r_j:
//! - explicit: `(sum_j y_j y_j' + L_e 1) x_e = sum_j r_j y_j`;
//! - implicit: `(Y'Y + sum_j a |r_j| y_j y_j' + L_e 1) x_e = sum over r_j > 0 of (1 + a |r_j|) y_j`.
//!
//! L_e is lambda, or lambda times the number of ratings (implicit: of ratings above 0). A pair that stands for c repeated
//! ratings counts c times in every sum and in the number of ratings.

use super::observed::{Observed, Weights};
use super::{Als, FeedbackKind, Solver, Weighting};
use crate::linear::{LANES, Real, add_gram, add_ranks, add_rows, axpy, cholesky, dot, padded, rescale, solve};
use crate::precision::Precision;
use evenhand_core::{Error, Result, Run};
use nalgebra::DMatrix;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Entities solved by one task.
const CHUNK: usize = 16;
/// Rows packed together for the Gram matrix: they stay in the first-level cache with it.
const PACK: usize = 64;
/// Rows of one partial sum of Y'Y. Fixed, so that the sum does not depend on the number of threads.
const PARTIAL: usize = 4096;

/// The other side, padded, with what all rows share.
struct Partners<T> {
    rank: usize,
    width: usize,
    rows: Vec<T>,
    /// Y'Y, upper triangle and mirrored; empty for explicit feedback.
    gram: Vec<T>,
}

impl<T: Real> Partners<T> {
    fn new(factors: &DMatrix<T>, implicit: bool) -> Self {
        let width = padded(factors.nrows());
        let mut rows = vec![T::ZERO; width * factors.ncols()];
        for (row, column) in rows.chunks_exact_mut(width).zip(factors.column_iter()) {
            row[..factors.nrows()].copy_from_slice(column.as_slice());
        }
        let mut partners = Self { rank: factors.nrows(), width, rows, gram: Vec::new() };
        if implicit {
            partners.gram = partners.whole_gram();
        }
        partners
    }

    #[inline(always)]
    fn row(&self, index: u32) -> &[T] {
        &self.rows[index as usize * self.width..][..self.width]
    }

    fn whole_gram(&self) -> Vec<T> {
        let width = self.width;
        let arch = pulp::Arch::new();
        let partials: Vec<Vec<T>> =
            self.rows.par_chunks(PARTIAL * width).map(|rows| arch.dispatch(Gram { rows, width })).collect();
        let mut sum = vec![T::ZERO; width * width];
        for partial in partials {
            sum.iter_mut().zip(partial).for_each(|(s, p)| *s = *s + p);
        }
        for i in 0..width {
            for j in 0..i {
                sum[i * width + j] = sum[j * width + i];
            }
        }
        sum
    }
}

/// Room for one row's equations, reused for all rows of a thread.
struct Scratch<T> {
    weights: Weights<T>,
    room: Room<T>,
}

struct Room<T> {
    matrix: Vec<T>,
    packed: Vec<T>,
    right: Vec<T>,
    inverse: Vec<T>,
    x: Vec<T>,
    direction: Vec<T>,
    product: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(width: usize) -> Self {
        let row = || vec![T::ZERO; width];
        let room = Room {
            matrix: vec![T::ZERO; width * width],
            packed: vec![T::ZERO; width * PACK],
            right: row(),
            inverse: row(),
            x: row(),
            direction: row(),
            product: row(),
        };
        Self { weights: Weights::new(), room }
    }
}

/// Solves every row of `side`, called `what` in messages, in place; its earlier values are where conjugate gradients
/// start.
pub(super) fn run<T: Real>(
    als: &Als,
    what: &str,
    observed: Observed<'_>,
    partners: &DMatrix<T>,
    side: &mut DMatrix<T>,
    run: &Run,
) -> Result<()> {
    let rank = partners.nrows();
    let arch = pulp::Arch::new();
    // The first failure by index, not by time: the message must not depend on scheduling.
    let failed = run.install(|| {
        let partners = Partners::new(partners, als.feedback == FeedbackKind::Implicit);
        let chunks = side.as_mut_slice().par_chunks_mut(rank * CHUNK).enumerate();
        let solve = |scratch: &mut Scratch<T>, (chunk, out)| {
            if run.check().is_err() {
                return None;
            }
            arch.dispatch(SolveRows { als, observed, partners: &partners, first: chunk * CHUNK, scratch, out })
        };
        chunks.map_init(|| Scratch::new(partners.width), solve).flatten_iter().min()
    });
    run.check()?;
    match failed {
        Some(entity) => {
            let remedy = match als.accumulate {
                Precision::F32 => "raise `lambda`, or set `accumulate` to f64",
                Precision::F64 => "raise `lambda`",
            };
            Err(Error::Unusable(format!(
                "the equations of {what} {entity} are singular to working precision: {remedy}"
            )))
        }
        None => Ok(()),
    }
}

/// The rows of one task, from entity `first` on.
struct SolveRows<'a, T> {
    als: &'a Als,
    observed: Observed<'a>,
    partners: &'a Partners<T>,
    first: usize,
    scratch: &'a mut Scratch<T>,
    out: &'a mut [T],
}

/// Everything below is inlined into this method, and so compiled for the best instructions that the processor has:
/// hence plain loops and `inline(always)` throughout.
impl<T: Real> WithSimd for SolveRows<'_, T> {
    /// The first entity whose equations are singular.
    type Output = Option<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<usize> {
        for (n, x) in self.out.chunks_exact_mut(self.partners.rank).enumerate() {
            if !solve_row(simd, self.als, self.observed, self.first + n, self.partners, self.scratch, x) {
                return Some(self.first + n);
            }
        }
        None
    }
}

/// The Gram matrix of some padded rows.
struct Gram<'a, T> {
    rows: &'a [T],
    width: usize,
}

impl<T: Real> WithSimd for Gram<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
        let mut gram = vec![T::ZERO; self.width * self.width];
        for rows in self.rows.chunks(PACK * self.width) {
            add_gram(simd, rows, self.width, &mut gram);
        }
        gram
    }
}

/// The ratings of one entity.
#[derive(Clone, Copy)]
struct Ratings<'a, T> {
    partners: &'a [u32],
    left: &'a [T],
    right: &'a [T],
    /// Whether a weight in `left` may differ from 1.
    weighted: bool,
    implicit: bool,
    ridge: T,
}

/// Solves one row. False where its equations are singular.
#[inline(always)]
fn solve_row<T: Real, S: Simd>(
    simd: S,
    als: &Als,
    observed: Observed<'_>,
    entity: usize,
    partners: &Partners<T>,
    s: &mut Scratch<T>,
    x: &mut [T],
) -> bool {
    let repeats = observed.repeats(entity);
    let Scratch { weights, room } = s;
    let count = weights.fill(als, observed.rows.values(entity), repeats);
    let ridge = match als.weighting {
        Weighting::Plain => als.lambda,
        Weighting::Count => als.lambda * count,
    };
    let implicit = als.feedback == FeedbackKind::Implicit;
    let ratings = Ratings {
        partners: observed.rows.partners(entity),
        left: &weights.left,
        right: &weights.right,
        weighted: implicit || repeats.is_some(),
        implicit,
        ridge: T::of(ridge),
    };
    let mut zero = true;
    for &right in ratings.right {
        zero &= right == T::ZERO;
    }
    if zero {
        // Nothing to fit: the solution is zero, whatever the matrix.
        x.fill(T::ZERO);
        return true;
    }
    let solved = match als.solver {
        Solver::Cholesky => exact(simd, ratings, partners, room, x),
        Solver::Cg => gradients(simd, als.steps, ratings, partners, room, x),
    };
    let mut sum = T::ZERO;
    for &v in x.iter() {
        sum = sum + v * T::ZERO; // NaN as soon as one entry is not finite
    }
    solved && sum == T::ZERO
}

/// Builds the matrix and factors it.
#[inline(always)]
fn exact<T: Real, S: Simd>(
    simd: S,
    ratings: Ratings<'_, T>,
    partners: &Partners<T>,
    s: &mut Room<T>,
    x: &mut [T],
) -> bool {
    let (rank, width, count) = (partners.rank, partners.width, ratings.partners.len());
    if ratings.implicit {
        s.matrix.copy_from_slice(&partners.gram);
    } else {
        s.matrix.fill(T::ZERO);
    }
    s.right.fill(T::ZERO);
    for from in (0..count).step_by(PACK) {
        let to = count.min(from + PACK);
        for n in from..to {
            s.packed[(n - from) * width..][..width].copy_from_slice(partners.row(ratings.partners[n]));
        }
        add_rows(simd, &s.packed, &ratings.right[from..to], width, 0, &mut s.right);
        if ratings.weighted {
            for n in from..to {
                // The root goes to both factors of y y'.
                rescale(simd, ratings.left[n].sqrt(), &mut s.packed[(n - from) * width..][..width]);
            }
        }
        add_gram(simd, &s.packed[..(to - from) * width], width, &mut s.matrix);
    }
    for d in 0..rank {
        s.matrix[d * width + d] = s.matrix[d * width + d] + ratings.ridge;
    }
    let positive = cholesky(simd, &mut s.matrix, rank, width, &mut s.inverse);
    if positive {
        solve(simd, &mut s.matrix, rank, width, &s.inverse, &mut s.right);
        x.copy_from_slice(&s.right[..rank]);
    }
    positive
}

/// `product = sign A p + right side`, without forming A; the right side is left out where `residual` is false.
#[inline(always)]
fn multiply<T: Real, S: Simd>(
    simd: S,
    ratings: Ratings<'_, T>,
    partners: &Partners<T>,
    residual: bool,
    p: &[T],
    product: &mut [T],
) {
    // For the residual, A enters with the sign -1 and the ratings' own terms join in the same pass over the rows.
    product.fill(T::ZERO);
    axpy(simd, ratings.ridge, p, product);
    if ratings.implicit {
        add_rows(simd, &partners.gram, p, partners.width, 0, product);
    }
    if residual {
        rescale(simd, T::ZERO - T::ONE, product);
    }
    let n = multiply_rows::<T, S, 8>(simd, ratings, partners, residual, 0, p, product);
    let n = multiply_rows::<T, S, 4>(simd, ratings, partners, residual, n, p, product);
    multiply_rows::<T, S, 1>(simd, ratings, partners, residual, n, p, product);
}

/// Adds the part of the ratings from `n` on, `R` at a time as long as there are so many; returns where it stopped.
#[inline(always)]
fn multiply_rows<T: Real, S: Simd, const R: usize>(
    simd: S,
    ratings: Ratings<'_, T>,
    partners: &Partners<T>,
    residual: bool,
    mut n: usize,
    p: &[T],
    product: &mut [T],
) -> usize {
    let sign = if residual { T::ZERO - T::ONE } else { T::ONE };
    while n + R <= ratings.partners.len() {
        let mut rows = [p; R];
        let (mut base, mut weights) = ([T::ZERO; R], [T::ZERO; R]);
        for r in 0..R {
            rows[r] = partners.row(ratings.partners[n + r]);
            weights[r] = sign * ratings.left[n + r];
            if residual {
                base[r] = ratings.right[n + r];
            }
        }
        add_ranks(simd, rows, base, weights, p, product);
        n += R;
    }
    n
}

/// A few steps of conjugate gradients from the row's earlier value (Takacs, Pilaszy & Tikk 2011), without the matrix.
#[inline(always)]
fn gradients<T: Real, S: Simd>(
    simd: S,
    steps: usize,
    ratings: Ratings<'_, T>,
    partners: &Partners<T>,
    s: &mut Room<T>,
    x: &mut [T],
) -> bool {
    let rank = partners.rank;
    s.x.fill(T::ZERO);
    s.x[..rank].copy_from_slice(x);
    // `right` holds the residual.
    multiply(simd, ratings, partners, true, &s.x, &mut s.right);
    s.direction.copy_from_slice(&s.right);
    let mut residual = dot(simd, &s.right, &s.right);
    // Far below what one sweep changes; stops before 0 / 0.
    let enough = T::of(1e-20);
    for _ in 0..steps {
        if residual <= enough {
            break;
        }
        multiply(simd, ratings, partners, false, &s.direction, &mut s.product);
        let curvature = dot(simd, &s.direction, &s.product);
        if curvature <= T::ZERO {
            return false;
        }
        let step = residual / curvature;
        axpy(simd, step, &s.direction, &mut s.x);
        axpy(simd, T::ZERO - step, &s.product, &mut s.right);
        let next = dot(simd, &s.right, &s.right);
        let ratio = next / residual;
        rescale(simd, ratio, &mut s.direction);
        axpy(simd, T::ONE, &s.right, &mut s.direction);
        residual = next;
    }
    x.copy_from_slice(&s.x[..rank]);
    true
}

const _: () = assert!(LANES.is_multiple_of(8), "tiles of the Gram matrix must not straddle blocks");
