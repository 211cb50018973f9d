//! Adagrad on some rows: `a += g^2`, `x -= rate g / sqrt(a + 1e-7)`, with a = 0.1 before the first step.
//!
//! Rows without a gradient stay as they are, so touching only the rows of a batch gives what a pass over all of them would.
//! Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization".

use super::tables::Tables;
use crate::linear::Real;
use pulp::Simd;

const START: f64 = 0.1;
const EPSILON: f64 = 1e-7;

/// The sums of squared derivatives, in the shape of the parameters.
#[derive(Clone, Debug)]
pub(super) struct Adagrad<T> {
    pub(super) rate: f64,
    pub(super) sums: Tables<T>,
}

impl<T: Real> Adagrad<T> {
    /// Before the first step on parameters of that shape.
    pub(super) fn new(rate: f64, parameters: &Tables<T>) -> Self {
        let mut adagrad = Self { rate, sums: parameters.zeros() };
        adagrad.reset();
        adagrad
    }

    /// As before the first step.
    pub(super) fn reset(&mut self) {
        for sums in [&mut self.sums.users, &mut self.sums.items, &mut self.sums.biases] {
            sums.fill(T::of(START));
        }
    }

    /// One step on the rows of `users` and `items`; `gradient` holds theirs, one after the other.
    #[inline(always)]
    pub(super) fn step<S: Simd>(
        &mut self,
        simd: S,
        at: &mut Tables<T>,
        users: &[u32],
        items: &[u32],
        gradient: &Tables<T>,
    ) {
        let (rate, width) = (T::of(self.rate), at.width);
        rows(simd, rate, width, users, &gradient.users, &mut at.users, &mut self.sums.users);
        rows(simd, rate, width, items, &gradient.items, &mut at.items, &mut self.sums.items);
        if !at.biases.is_empty() {
            for (&item, &g) in items.iter().zip(&gradient.biases) {
                let (x, sum) = (&mut at.biases[item as usize], &mut self.sums.biases[item as usize]);
                *sum = *sum + g * g;
                *x = *x - rate * g / (*sum + T::of(EPSILON)).sqrt();
            }
        }
    }
}

#[inline(always)]
fn rows<T: Real, S: Simd>(simd: S, rate: T, width: usize, which: &[u32], gradient: &[T], at: &mut [T], sums: &mut [T]) {
    let (rate, epsilon) = (T::splat(simd, rate), T::splat(simd, T::of(EPSILON)));
    for (&row, g) in which.iter().zip(gradient.chunks_exact(width)) {
        let first = row as usize * width;
        let x = T::vectors_mut::<S>(&mut at[first..first + width]);
        let sums = T::vectors_mut::<S>(&mut sums[first..first + width]);
        for ((x, sum), &g) in x.iter_mut().zip(sums).zip(T::vectors::<S>(g)) {
            *sum = T::fma(simd, g, g, *sum);
            let root = T::roots(simd, T::plus(simd, *sum, epsilon));
            *x = T::minus(simd, *x, T::over(simd, T::times(simd, rate, g), root));
        }
    }
}
