//! Adam, full batch: Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
//!
//! With gradient g at step t (from 1): `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
//! `x -= rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)`; b1 = 0.9, b2 = 0.999, eps = 1e-8.

use crate::linear::Real;
use rayon::prelude::*;

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// Parameters updated by one task.
const CHUNK: usize = 1 << 14;

/// The moments of one group of parameters.
#[derive(Clone, Debug)]
pub(crate) struct Adam<T> {
    rate: f64,
    step: i32,
    first: Vec<T>,
    second: Vec<T>,
}

impl<T: Real> Adam<T> {
    /// Zero moments of that many parameters.
    pub(crate) fn new(rate: f64, parameters: usize) -> Self {
        Self { rate, step: 0, first: vec![T::ZERO; parameters], second: vec![T::ZERO; parameters] }
    }

    /// One step against `gradient`. False where a parameter or a moment is no longer finite.
    pub(crate) fn step(&mut self, parameters: &mut [T], gradient: &[T]) -> bool {
        self.step += 1;
        let [first, second] = BETA.map(|beta| 1.0 - beta.powi(self.step));
        let correction = T::of(1.0 / second.sqrt());
        let rate = T::of(self.rate / first);
        let [b1, b2] = BETA.map(T::of);
        let [c1, c2] = BETA.map(|beta| T::of(1.0 - beta));
        let epsilon = T::of(EPSILON);
        let chunks = parameters.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        let moments = self.first.par_chunks_mut(CHUNK).zip(self.second.par_chunks_mut(CHUNK));
        chunks
            .zip(moments)
            .map(|((x, g), (m, v))| {
                // Zero times a number that is not finite is NaN.
                let mut sound = T::ZERO;
                for (((x, &g), m), v) in x.iter_mut().zip(g).zip(m).zip(v) {
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * (g * g);
                    *x = *x - rate * *m / (v.sqrt() * correction + epsilon);
                    sound = sound + T::ZERO * (*x + *v);
                }
                sound == T::ZERO
            })
            .reduce(|| true, |a, b| a && b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        let mut adam = Adam::new(0.1, 2);
        let mut x = [1.0f64, -1.0];
        // The first step has the length of the rate, whatever the gradient.
        assert!(adam.step(&mut x, &[4.0, -0.5]));
        assert!((x[0] - 0.9).abs() < 1e-8 && (x[1] + 0.9).abs() < 1e-8);
        // m = 0.36 + 0.1, corrected by 0.19; v = 0.999 * 0.016 + 0.001, corrected by 0.001999.
        assert!(adam.step(&mut x, &[1.0, 0.0]));
        let m = (0.9 * 0.4 + 0.1) / 0.19;
        let v = (0.999 * 0.016 + 0.001) / 0.001_999;
        assert!((x[0] - (0.9 - 0.1 * m / v.sqrt())).abs() < 1e-8, "{}", x[0]);
    }

    #[test]
    fn what_is_not_finite_is_noticed() {
        let mut adam = Adam::new(0.1, 3);
        assert!(!adam.step(&mut [1.0f32; 3], &[0.0, f32::NAN, 0.0]));
        // The square of the gradient overflows: steps of length 0 from now on.
        assert!(!Adam::new(0.1, 3).step(&mut [1.0f32; 3], &[0.0, 1e30, 0.0]));
        assert!(Adam::new(0.1, 3).step(&mut [1.0f32; 3], &[0.0, 1e15, 0.0]));
    }
}
