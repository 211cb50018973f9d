//! The arithmetic of beliefs, in explicit vector instructions: see [`crate::linear`].
//!
//! Everything here is inlined into the `with_simd` that is dispatched; an update allocates nothing.

use super::gaussian::{Gaussian, Lost};
use crate::linear::{add_gram, add_rows, axpy, back_substitute, cholesky, forward_substitute, padded, unit_columns};
use pulp::{Simd, WithSimd};

/// Draws that are worked on together: they stay in the first-level cache.
pub(super) const PACK: usize = 64;

/// What draws need of a belief: U = D V with D diagonal, V unit upper triangular.
pub(super) struct Root {
    /// Inverse of D.
    inverse: Vec<f64>,
    /// Columns of -V, one per row.
    columns: Vec<f64>,
}

impl Root {
    pub(super) fn new(rank: usize) -> Self {
        let width = padded(rank);
        Self { inverse: vec![0.0; width], columns: vec![0.0; rank * width] }
    }

    #[inline(always)]
    pub(super) fn of(&mut self, belief: &Gaussian) {
        let (rank, width) = (belief.rank(), self.inverse.len());
        for j in 0..rank {
            self.inverse[j] = 1.0 / belief.factor()[j * width + j];
        }
        unit_columns(belief.factor(), rank, width, &self.inverse, &mut self.columns);
    }

    /// Turns standard normal rows z into `scale` U^-1 z; `lower` where they are lower triangular.
    #[inline(always)]
    pub(super) fn colour<S: Simd>(&self, simd: S, rank: usize, scale: f64, lower: bool, rows: &mut [f64]) {
        let width = self.inverse.len();
        let scale = simd.splat_f64s(scale);
        let inverse = S::as_simd_f64s(&self.inverse).0;
        for row in rows.chunks_exact_mut(width) {
            for (to, inverse) in S::as_mut_simd_f64s(row).0.iter_mut().zip(inverse) {
                *to = simd.mul_f64s(*to, simd.mul_f64s(scale, *inverse));
            }
        }
        back_substitute(simd, &self.columns, rank, width, lower, rows);
    }
}

/// Room for one belief's equations, reused.
pub(super) struct Room {
    pub(super) width: usize,
    /// Rows of evidence, or of random numbers that become such.
    pub(super) rows: Vec<f64>,
    /// Weights of the rows in h.
    pub(super) weights: Vec<f64>,
    /// Precision, upper triangle; its factor after an update.
    pub(super) gram: Vec<f64>,
    right: Vec<f64>,
    solved: Vec<f64>,
    /// The root of a belief; of which one is the business of the caller.
    pub(super) root: Root,
}

impl Room {
    pub(super) fn new(rank: usize) -> Self {
        let width = padded(rank);
        Self {
            width,
            rows: vec![0.0; PACK.max(rank + 1) * width],
            weights: vec![0.0; PACK],
            gram: vec![0.0; width * width],
            right: vec![0.0; width],
            solved: vec![0.0; width],
            root: Root::new(rank),
        }
    }

    /// Begins an update of `own`.
    #[inline(always)]
    pub(super) fn begin<S: Simd>(&mut self, simd: S, own: &Gaussian) {
        self.gram.fill(0.0);
        add_gram(simd, own.factor(), self.width, &mut self.gram);
    }

    /// Adds the first `count` rows to the precision.
    #[inline(always)]
    pub(super) fn add<S: Simd>(&mut self, simd: S, count: usize) {
        add_gram(simd, &self.rows[..count * self.width], self.width, &mut self.gram);
    }

    /// Ends the update: factors the precision, then solves for the mean. `root` becomes that of `own`.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(&mut self, simd: S, own: &mut Gaussian, root: &mut Root) -> Result<(), Lost> {
        let (rank, width) = (own.rank(), self.width);
        if !cholesky(simd, &mut self.gram, rank, width, &mut self.solved) {
            return Err(Lost::Definite);
        }
        let (factor, _, _) = own.parts_mut();
        for j in 0..rank {
            factor[j * width + j..(j + 1) * width].copy_from_slice(&self.gram[j * width + j..(j + 1) * width]);
        }
        self.solve(simd, own, root)
    }

    /// The mean that follows from U and h, and the root.
    #[inline(always)]
    fn solve<S: Simd>(&mut self, simd: S, own: &mut Gaussian, root: &mut Root) -> Result<(), Lost> {
        let (rank, width) = (own.rank(), self.width);
        root.of(own);
        let (factor, natural, mean) = own.parts_mut();
        self.right.copy_from_slice(natural);
        forward_substitute(simd, factor, rank, width, &root.inverse, &mut self.right, &mut self.solved);
        mean[..rank].copy_from_slice(&self.solved[..rank]);
        root.colour(simd, rank, 1.0, false, mean);
        let mut sum = 0.0;
        for &x in mean.iter() {
            sum += x * 0.0; // NaN as soon as one entry is not finite
        }
        if sum == 0.0 { Ok(()) } else { Err(Lost::Finite) }
    }
}

/// Factors the precision that `room` holds, if asked to, and solves for the mean.
pub(super) struct Settle<'a> {
    pub(super) belief: &'a mut Gaussian,
    pub(super) room: &'a mut Room,
    pub(super) factor: bool,
}

impl WithSimd for Settle<'_> {
    type Output = Result<(), Lost>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let mut root = Root::new(self.belief.rank());
        if self.factor {
            self.room.finish(simd, self.belief, &mut root)
        } else {
            self.room.solve(simd, self.belief, &mut root)
        }
    }
}

/// Takes in rows that are scaled by the root of the noise precision, and so are their weights.
pub(super) struct Observe<'a> {
    pub(super) belief: &'a mut Gaussian,
    pub(super) rows: &'a [f64],
    pub(super) weights: &'a [f64],
    pub(super) room: &'a mut Room,
}

impl WithSimd for Observe<'_> {
    type Output = Result<(), Lost>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { belief, rows, weights, room } = self;
        let width = room.width;
        room.begin(simd, belief);
        for (rows, weights) in rows.chunks(PACK * width).zip(weights.chunks(PACK)) {
            room.rows[..rows.len()].copy_from_slice(rows);
            add_weighted(simd, belief, rows, weights);
            room.add(simd, weights.len());
        }
        let mut root = Root::new(belief.rank());
        room.finish(simd, belief, &mut root)
    }
}

/// `h += sum of weights[n] rows[n]`.
#[inline(always)]
pub(super) fn add_weighted<S: Simd>(simd: S, own: &mut Gaussian, rows: &[f64], weights: &[f64]) {
    let (_, natural, _) = own.parts_mut();
    add_rows(simd, rows, weights, natural.len(), 0, natural);
}

/// Turns rank + 1 rows of `room`, of A' and z, into those that stand for draws from a belief whose root `room` holds.
pub(super) struct Summary<'a> {
    pub(super) belief: &'a Gaussian,
    pub(super) scale: f64,
    pub(super) shift: f64,
    pub(super) room: &'a mut Room,
}

impl WithSimd for Summary<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rank = self.belief.rank();
        let Room { root, rows, width, .. } = self.room;
        summarise(simd, self.belief, root, self.scale, self.shift, &mut rows[..(rank + 1) * *width]);
    }
}

/// Rows k < rank become `scale` U^-1 times column k of A, the last one `scale` U^-1 z + `shift` mu, given those of A' and z.
#[inline(always)]
pub(super) fn summarise<S: Simd>(simd: S, other: &Gaussian, root: &Root, scale: f64, shift: f64, rows: &mut [f64]) {
    let rank = other.rank();
    root.colour(simd, rank, scale, true, rows);
    let width = root.inverse.len();
    axpy(simd, shift, other.padded_mean(), &mut rows[rank * width..]);
}
