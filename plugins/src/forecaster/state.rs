//! One function that is being learned.

use crate::least_squares::Fit;
use crate::linear::{LANES, axpy, dot, padded};
use pulp::{Arch, Simd, WithSimd};

/// How a row is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// By what was observed.
    Ridge,
    /// With the row itself counted in.
    Forward,
}

/// A linear function without intercept that learns row by row.
#[derive(Clone)]
pub(crate) struct Forecaster {
    rule: Rule,
    features: usize,
    /// Rows of P, padded; what `waiting` says is not taken off yet.
    inverse: Vec<f64>,
    theta: Vec<f64>,
    /// The row in hand, padded.
    x: Vec<f64>,
    /// P x of the row in hand, or of the one observed last where that waits.
    along: Vec<f64>,
    /// Room for the next P x.
    next: Vec<f64>,
    /// The product `waiting * along along'` is still to be added to P.
    waiting: Option<f64>,
    /// x' P x, once P x is made of the row in hand.
    spread: Option<f64>,
    arch: Arch,
}

impl Forecaster {
    /// Nothing is observed yet; `lambda` is positive.
    pub(crate) fn new(rule: Rule, features: usize, lambda: f64) -> Self {
        let width = padded(features);
        let mut inverse = vec![0.0; features * width];
        (0..features).for_each(|j| inverse[j * width + j] = 1.0 / lambda);
        let row = || vec![0.0; width];
        Self {
            rule,
            features,
            inverse,
            theta: row(),
            x: row(),
            along: row(),
            next: row(),
            waiting: None,
            spread: None,
            arch: Arch::new(),
        }
    }

    /// The prediction of a row, which becomes the one in hand.
    pub(crate) fn predict(&mut self, features: &[f64]) -> f64 {
        self.take(features);
        let plain = self.plain();
        match self.rule {
            Rule::Ridge => plain,
            Rule::Forward => plain / (1.0 + self.spread()),
        }
    }

    /// Learns from the label of a row. What is made of the row in hand is used, where that is the one.
    pub(crate) fn observe(&mut self, features: &[f64], label: f64) {
        if self.x[..self.features] != *features {
            self.take(features);
        }
        let (error, scale) = (label - self.plain(), 1.0 / (1.0 + self.spread()));
        self.arch.dispatch(Add { scale: error * scale, row: &self.along, to: &mut self.theta });
        self.waiting = Some(-scale);
        self.spread = None;
    }

    /// The function learned so far.
    pub(crate) fn fit(&self) -> Fit {
        Fit { weights: self.theta[..self.features].to_vec(), intercept: 0.0 }
    }

    fn take(&mut self, features: &[f64]) {
        self.x[..self.features].copy_from_slice(features);
        self.spread = None;
    }

    fn plain(&self) -> f64 {
        self.arch.dispatch(Product { a: &self.theta, b: &self.x })
    }

    /// x' P x of the row in hand; makes P x, and brings P up to date.
    fn spread(&mut self) -> f64 {
        if let Some(spread) = self.spread {
            return spread;
        }
        let Self { inverse, x, along, next, waiting, features, .. } = self;
        let scale = waiting.take();
        self.arch.dispatch(Pass { inverse, scale, along, x: &x[..*features], next });
        std::mem::swap(&mut self.along, &mut self.next);
        let spread = self.arch.dispatch(Product { a: &self.along, b: &self.x });
        *self.spread.insert(spread)
    }
}

struct Product<'a> {
    a: &'a [f64],
    b: &'a [f64],
}

impl WithSimd for Product<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        dot(simd, self.a, self.b)
    }
}

struct Add<'a> {
    scale: f64,
    row: &'a [f64],
    to: &'a mut [f64],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        axpy(simd, self.scale, self.row, self.to);
    }
}

/// `P += scale along along'`, and `next = P x`, which is the sum of the rows of P by x because P is symmetric: no sum
/// within a vector is needed.
struct Pass<'a> {
    inverse: &'a mut [f64],
    scale: Option<f64>,
    along: &'a [f64],
    x: &'a [f64],
    next: &'a mut [f64],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.along.len();
        let vectors = width / S::F64_LANES;
        // Some columns at a time, as many as registers hold: their sums and their part of `along` stay there over all rows.
        let most = if S::REGISTER_COUNT >= 32 { 8 } else { 4 };
        let mut from = 0;
        let mut pass = self;
        while from < vectors {
            match (vectors - from).min(most) {
                8.. => pass.columns::<S, 8>(simd, from),
                4..8 => pass.columns::<S, 4>(simd, from),
                2..4 => pass.columns::<S, 2>(simd, from),
                _ => pass.columns::<S, 1>(simd, from),
            }
            from += match (vectors - from).min(most) {
                8.. => 8,
                4..8 => 4,
                2..4 => 2,
                _ => 1,
            };
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn columns<S: Simd, const W: usize>(&mut self, simd: S, from: usize) {
        let width = self.along.len();
        let part = |row: &[f64]| -> [S::f64s; W] {
            let vectors = &S::as_simd_f64s(row).0[from..from + W];
            std::array::from_fn(|n| vectors[n])
        };
        let mut sums = [simd.splat_f64s(0.0); W];
        match self.scale {
            Some(scale) => {
                let along = part(self.along);
                for ((row, &x), &a) in self.inverse.chunks_exact_mut(width).zip(self.x).zip(self.along) {
                    let (x, a) = (simd.splat_f64s(x), simd.splat_f64s(scale * a));
                    let row = &mut S::as_mut_simd_f64s(row).0[from..from + W];
                    for n in 0..W {
                        let updated = simd.mul_add_f64s(a, along[n], row[n]);
                        row[n] = updated;
                        sums[n] = simd.mul_add_f64s(x, updated, sums[n]);
                    }
                }
            }
            None => {
                for (row, &x) in self.inverse.chunks_exact(width).zip(self.x) {
                    let x = simd.splat_f64s(x);
                    let row = &S::as_simd_f64s(row).0[from..from + W];
                    for n in 0..W {
                        sums[n] = simd.mul_add_f64s(x, row[n], sums[n]);
                    }
                }
            }
        }
        S::as_mut_simd_f64s(self.next).0[from..from + W].copy_from_slice(&sums);
    }
}

const _: () = assert!(LANES.is_multiple_of(8), "padded rows are whole vectors");

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DVector};
    use proptest::prelude::*;
    use rand::RngExt;

    /// By solving the whole system for each row.
    fn plainly(rule: Rule, lambda: f64, rows: &[(Vec<f64>, f64)]) -> Vec<f64> {
        let d = rows[0].0.len();
        let (mut a, mut b) = (DMatrix::identity(d, d) * lambda, DVector::zeros(d));
        rows.iter()
            .map(|(x, y)| {
                let x = DVector::from_column_slice(x);
                let after = &a + &x * x.transpose();
                let counted = if rule == Rule::Forward { &after } else { &a };
                let predicted = counted.clone().cholesky().unwrap().solve(&b).dot(&x);
                a = after;
                b += &x * *y;
                predicted
            })
            .collect()
    }

    fn rows(count: usize, d: usize, seed: u64) -> Vec<(Vec<f64>, f64)> {
        let mut rng = evenhand_core::Streams::new(seed).rng(0);
        let mut row = || (0..d).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
        (0..count).map(|_| (row(), row()[0])).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_solving_anew(d in 1usize..40, lambda in 0.1f64..5.0, seed in 0u64..100) {
            for rule in [Rule::Ridge, Rule::Forward] {
                let rows = rows(30, d, seed);
                let mut learner = Forecaster::new(rule, d, lambda);
                for ((x, y), expected) in rows.iter().zip(plainly(rule, lambda, &rows)) {
                    // Looking at other rows in between changes nothing.
                    let seen = learner.predict(x);
                    learner.predict(&rows[7].0);
                    prop_assert_eq!(seen.to_bits(), learner.predict(x).to_bits());
                    prop_assert!((seen - expected).abs() < 1e-10, "{} {}", seen, expected);
                    learner.observe(x, *y);
                }
            }
        }
    }

    #[test]
    fn a_row_may_be_observed_without_being_predicted() {
        for rule in [Rule::Ridge, Rule::Forward] {
            let rows = rows(20, 5, 3);
            let [mut one, mut other] = [(); 2].map(|()| Forecaster::new(rule, 5, 1.0));
            for (x, y) in &rows {
                one.predict(x);
                one.observe(x, *y);
                other.predict(&rows[3].0);
                other.observe(x, *y);
            }
            assert_eq!(one.fit(), other.fit());
        }
    }
}
