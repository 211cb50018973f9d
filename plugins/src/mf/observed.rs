//! The part of the objective that lives on the training rows: predictions, errors and their gradient.
//!
//! Row n rates item i by user u: `z = w_u . v_i`, `y = squash(z)`, and with any derivative `d_n` of the objective by y,
//! `e_n = d_n squash'(z)` flows back: `dw_u += e_n v_i`, `dv_i += e_n w_u`.

use super::parameters::Parameters;
use crate::linear::{Real, axpy, dot};
use crate::split::split;
use crate::squash::Squash;
use evenhand_core::Interactions;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Entities handled by one task.
const CHUNK: usize = 64;

/// The training rows and what is kept for each of them.
pub(super) struct Rows<'a, T> {
    train: &'a Interactions,
    /// For every row by item, its place by user.
    place: Vec<u32>,
    /// `e` by user.
    errors: Vec<T>,
}

impl<'a, T: Real> Rows<'a, T> {
    pub(super) fn new(train: &'a Interactions) -> Self {
        let mut next = train.by_item().offsets().to_vec();
        let mut place = vec![0; train.len()];
        for (n, &item) in train.by_user().all_partners().iter().enumerate() {
            // Rows of an item stand in the order of its users.
            place[next[item as usize]] = n as u32;
            next[item as usize] += 1;
        }
        Self { train, place, errors: vec![T::ZERO; train.len()] }
    }

    /// Adds the gradient of `weight * (sum of squared errors) + extra` to `gradient`; `extra` holds a derivative by the
    /// prediction of every row. Returns the sum of squared errors.
    pub(super) fn add_gradient(
        &mut self,
        at: &Parameters<T>,
        squash: Squash,
        weight: f64,
        extra: Option<&[f64]>,
        gradient: &mut Parameters<T>,
    ) -> f64 {
        let arch = pulp::Arch::new();
        let (train, width) = (self.train, at.width);
        let chunks = split(train.by_user().offsets(), &mut self.errors, CHUNK);
        let users = gradient.users.par_chunks_mut(CHUNK * width);
        let sums: Vec<f64> = chunks
            .into_par_iter()
            .zip(users)
            .map(|((first, errors), to)| {
                arch.dispatch(ToUsers { rows: train, at, squash, weight, extra, first, errors, to })
            })
            .collect();
        let (place, errors) = (&self.place[..], &self.errors[..]);
        gradient.items.par_chunks_mut(CHUNK * width).enumerate().for_each(|(chunk, to)| {
            arch.dispatch(ToItems { rows: train, at, place, errors, first: chunk * CHUNK, to });
        });
        sums.iter().sum()
    }
}

/// The predictions of all `rows`, by user.
pub(super) fn predict<T: Real>(rows: &Interactions, at: &Parameters<T>, squash: Squash, out: &mut [f64]) {
    let arch = pulp::Arch::new();
    split(rows.by_user().offsets(), out, CHUNK).into_par_iter().for_each(|(first, out)| {
        arch.dispatch(Predict { rows, at, squash, first, out });
    });
}

struct Predict<'a, T> {
    rows: &'a Interactions,
    at: &'a Parameters<T>,
    squash: Squash,
    first: usize,
    out: &'a mut [f64],
}

impl<T: Real> WithSimd for Predict<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let by_user = self.rows.by_user();
        let start = by_user.offsets()[self.first];
        for user in self.first..(self.first + CHUNK).min(by_user.len()) {
            let row = self.at.user(user);
            let from = by_user.offsets()[user] - start;
            for (n, &item) in by_user.partners(user).iter().enumerate() {
                self.out[from + n] = self.squash.value(dot(simd, row, self.at.item(item as usize)).wide());
            }
        }
    }
}

struct ToUsers<'a, T> {
    rows: &'a Interactions,
    at: &'a Parameters<T>,
    squash: Squash,
    weight: f64,
    extra: Option<&'a [f64]>,
    first: usize,
    errors: &'a mut [T],
    to: &'a mut [T],
}

impl<T: Real> WithSimd for ToUsers<'_, T> {
    /// Sum of squared errors.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let by_user = self.rows.by_user();
        let (start, width) = (by_user.offsets()[self.first], self.at.width);
        let mut sum = 0.0;
        for (user, to) in (self.first..).zip(self.to.chunks_exact_mut(width)) {
            let row = self.at.user(user);
            let from = by_user.offsets()[user];
            for (n, (&item, &rating)) in by_user.partners(user).iter().zip(by_user.values(user)).enumerate() {
                let item = self.at.item(item as usize);
                let z = dot(simd, row, item).wide();
                let miss = self.squash.value(z) - f64::from(rating);
                sum += miss * miss;
                let mut by_prediction = 2.0 * self.weight * miss;
                if let Some(extra) = self.extra {
                    by_prediction += extra[from + n];
                }
                let error = T::of(by_prediction * self.squash.slope(z));
                self.errors[from - start + n] = error;
                axpy(simd, error, item, to);
            }
        }
        sum
    }
}

struct ToItems<'a, T> {
    rows: &'a Interactions,
    at: &'a Parameters<T>,
    place: &'a [u32],
    errors: &'a [T],
    first: usize,
    to: &'a mut [T],
}

impl<T: Real> WithSimd for ToItems<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let by_item = self.rows.by_item();
        for (item, to) in (self.first..).zip(self.to.chunks_exact_mut(self.at.width)) {
            let places = &self.place[by_item.offsets()[item]..by_item.offsets()[item + 1]];
            for (&user, &place) in by_item.partners(item).iter().zip(places) {
                axpy(simd, self.errors[place as usize], self.at.user(user as usize), to);
            }
        }
    }
}
