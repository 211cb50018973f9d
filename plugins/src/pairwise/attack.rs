//! Perturbations of factors: what a ranking loses when its parameters are moved a little, in the worst direction or in any.
//!
//! With the gradient G of the pairwise loss, every row r of the users' and of the items' factors moves by
//! `D_r = eps G_r / sqrt(max(|G_r|^2, 1e-12))`: a step of length eps (shorter where the gradient all but vanishes; none where no
//! pair touches the row) that raises the loss, to first order as far as any step of that length can. He, He, Du & Chua 2018,
//! "Adversarial personalized ranking for recommendation", equation 8. The control moves each row in a direction drawn at random.

use super::batch::{Batch, Slots, Triples};
use super::gradient::{Among, Gradient};
use super::pairs::{Pairs, Pool, Positives};
use super::tables::Tables;
use crate::linear::{Real, axpy, dot, rescale};
use evenhand_core::{Error, Factors, Interactions, Result, Run, choice};
use nalgebra::DMatrix;
use pulp::{Arch, Simd, WithSimd};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

choice! {
    /// The direction in which every row of factors is moved.
    pub enum Direction {
        /// Where the pairwise loss grows fastest.
        Gradient = "gradient",
        /// Any, drawn at random: the control.
        Random = "random",
    }
}

/// A perturbation of the factors of a fitted model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attack {
    /// Where each row is moved.
    pub direction: Direction,
    /// How far: the length of the change of a row; at least 0.
    pub eps: f64,
    /// Whether `eps` counts in lengths of the row itself.
    pub relative: bool,
}

/// Below this the squared length of a gradient counts as this.
const FLOOR: f64 = 1e-12;

impl Attack {
    /// The factors with every row moved; biases and constants among them stay.
    ///
    /// The loss is that of the pairs of a user, each row of `train` with a value above 0, and an item drawn from
    /// `run.streams` that is not among these. Single precision.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an `eps` below 0 or not finite, [`Error::Shape`] for rows of another shape than the factors,
    /// [`Error::Diverged`] where the result is not finite, [`Error::Cancelled`].
    pub fn perturb(&self, factors: &Factors, train: &Interactions, run: &Run) -> Result<Factors> {
        if !(self.eps.is_finite() && self.eps >= 0.0) {
            let (value, range) = (self.eps.to_string(), "0 or more".into());
            return Err(Error::OutOfRange { plugin: None, field: "eps".into(), value, range });
        }
        let shape = |users, items| format!("{users} users x {items} items");
        let expected = shape(factors.users.ncols(), factors.items.ncols());
        let got = shape(train.users(), train.items());
        if expected != got {
            return Err(Error::shape("rows that the attack starts from", expected, got));
        }
        run.check()?;
        if factors.latent == 0 {
            return Ok(factors.clone()); // nothing was learned that could be moved
        }
        run.install(|| {
            let mut moved = factors.clone();
            let delta = match self.direction {
                Direction::Gradient => self.against(factors, train, run)?,
                Direction::Random => self.anywhere(factors, run),
            };
            for (side, rows) in [(&mut moved.users, &delta.users), (&mut moved.items, &delta.items)] {
                for (mut column, row) in side.column_iter_mut().zip(rows.chunks_exact(delta.width)) {
                    column.iter_mut().zip(row).take(factors.latent).for_each(|(x, d)| *x += d);
                }
            }
            if moved.users.iter().chain(moved.items.iter()).any(|x| !x.is_finite()) {
                return Err(Error::Diverged { what: "a perturbed factor".into(), step: None });
            }
            Ok(moved)
        })
    }

    fn against(&self, factors: &Factors, train: &Interactions, run: &Run) -> Result<Tables<f32>> {
        let positives = Positives::new(train, |value| value > 0.0)?;
        if positives.len() == 0 {
            run.observer()
                .note("no training row is a like that something could be compared with: the attack moves nothing");
        }
        let mut triples = Triples::default();
        Pairs::new(&positives, Pool::Uniform, 1).for_all(&run.streams.child("attack/negatives"), &mut triples);
        let mut batch = Batch::default();
        batch.arrange(&triples, &mut Slots::new(train.users(), train.items()));
        // Biases take part in the margins, yet they are not moved.
        let (latent, rank) = (factors.latent, factors.rank());
        let at = tables(factors);
        let mut gradient = Gradient::default();
        gradient.compute(Arch::new(), &batch, &Among { all: &at, batch: &batch }, &at, true);
        let mut delta = at.zeros();
        let width = at.width;
        for (which, from, to) in [
            (&batch.users, &mut gradient.rows.users, &mut delta.users),
            (&batch.items, &mut gradient.rows.items, &mut delta.items),
        ] {
            for (&row, from) in which.iter().zip(from.chunks_exact_mut(width)) {
                from[latent..rank].fill(0.0);
                to[row as usize * width..][..width].copy_from_slice(from);
            }
        }
        self.scale(&at, latent, &mut delta);
        Ok(delta)
    }

    fn anywhere(&self, factors: &Factors, run: &Run) -> Tables<f32> {
        let at = tables(factors);
        let mut delta = at.zeros();
        let latent = factors.latent;
        for (label, rows) in [("attack/users", &mut delta.users), ("attack/items", &mut delta.items)] {
            let streams = run.streams.child(label);
            rows.par_chunks_exact_mut(at.width).enumerate().for_each(|(row, to)| {
                let mut rng = streams.rng(row as u64);
                to[..latent].iter_mut().for_each(|x| *x = StandardNormal.sample(&mut rng));
            });
        }
        self.scale(&at, latent, &mut delta);
        delta
    }

    /// Directions become steps.
    fn scale(&self, at: &Tables<f32>, latent: usize, delta: &mut Tables<f32>) {
        let arch = Arch::new();
        for (rows, delta) in [(&at.users, &mut delta.users), (&at.items, &mut delta.items)] {
            let width = at.width;
            rows.par_chunks_exact(width).zip(delta.par_chunks_exact_mut(width)).for_each(|(row, delta)| {
                let length = || row[..latent].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                let eps = if self.relative { self.eps * length() } else { self.eps };
                arch.dispatch(Normalise { eps: eps as f32, width, rows: delta });
            });
        }
    }
}

/// All factors in rows, biases and constants among them.
fn tables(factors: &Factors) -> Tables<f32> {
    let wide = |side: &DMatrix<f32>| side.map(f64::from);
    Tables::new(&wide(&factors.users), &wide(&factors.items), Vec::new())
}

/// Rows become steps of length eps in their direction.
pub(super) struct Normalise<'a, T> {
    pub(super) eps: T,
    pub(super) width: usize,
    pub(super) rows: &'a mut [T],
}

impl<T: Real> WithSimd for Normalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { eps, width, rows } = self;
        for row in rows.chunks_exact_mut(width) {
            let square: T = dot(simd, row, row);
            let square = if square > T::of(FLOOR) { square } else { T::of(FLOOR) };
            rescale(simd, eps / square.sqrt(), row);
        }
    }
}

/// `to = rows + delta`, row after row of a batch: `which` names the rows of `rows`.
pub(super) struct Moved<'a, T> {
    pub(super) width: usize,
    pub(super) which: &'a [u32],
    pub(super) rows: &'a [T],
    /// By slot, or of all rows.
    pub(super) delta: Steps<'a, T>,
    pub(super) to: &'a mut [T],
}

/// Steps of the rows of a batch.
#[derive(Clone, Copy)]
pub(super) enum Steps<'a, T> {
    /// By slot.
    OfBatch(&'a [T]),
    /// Of all users or items.
    OfAll(&'a [T]),
}

impl<T: Real> WithSimd for Moved<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { width, which, rows, delta, to } = self;
        for (slot, (&row, to)) in which.iter().zip(to.chunks_exact_mut(width)).enumerate() {
            let row = row as usize * width;
            let delta = match delta {
                Steps::OfBatch(steps) => &steps[slot * width..][..width],
                Steps::OfAll(steps) => &steps[row..][..width],
            };
            to.copy_from_slice(&rows[row..][..width]);
            axpy(simd, T::ONE, delta, to);
        }
    }
}
