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
    features: usize,
    numbers: Numbers,
    arch: Arch,
}

/// What it has learned, and the row in hand.
#[derive(Clone)]
struct Numbers {
    rule: Rule,
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
}

impl Forecaster {
    /// Nothing is observed yet; `lambda` is positive.
    pub(crate) fn new(rule: Rule, features: usize, lambda: f64) -> Self {
        let width = padded(features);
        let mut inverse = vec![0.0; features * width];
        (0..features).for_each(|j| inverse[j * width + j] = 1.0 / lambda);
        let row = || vec![0.0; width];
        let (theta, x, along, next) = (row(), row(), row(), row());
        let numbers = Numbers { rule, inverse, theta, x, along, next, waiting: None, spread: None };
        Self { features, numbers, arch: Arch::new() }
    }

    /// The prediction of a row, which becomes the one in hand.
    pub(crate) fn predict(&mut self, features: &[f64]) -> f64 {
        self.take(features);
        self.arch.dispatch(Predict(&mut self.numbers))
    }

    /// Learns from the label of a row. What is made of the row in hand is used, where that is the one.
    pub(crate) fn observe(&mut self, features: &[f64], label: f64) {
        if self.numbers.x[..self.features] != *features {
            self.take(features);
        }
        self.arch.dispatch(Observe { numbers: &mut self.numbers, label });
    }

    /// The function learned so far.
    pub(crate) fn fit(&self) -> Fit {
        Fit { weights: self.numbers.theta[..self.features].to_vec(), intercept: 0.0 }
    }

    /// How rows are predicted.
    pub(crate) fn rule(&self) -> Rule {
        self.numbers.rule
    }

    /// P, features x features.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let Numbers { inverse, along, waiting, .. } = &self.numbers;
        let (d, scale) = (self.features, waiting.unwrap_or(0.0));
        if d == 0 {
            return Vec::new();
        }
        let rows = inverse.chunks_exact(along.len()).zip(along);
        rows.flat_map(|(row, a)| row[..d].iter().zip(along).map(move |(p, b)| p + scale * a * b)).collect()
    }

    fn take(&mut self, features: &[f64]) {
        self.numbers.x[..self.features].copy_from_slice(features);
        self.numbers.spread = None;
    }
}

/// Predicts the row in hand.
struct Predict<'a>(&'a mut Numbers);

impl WithSimd for Predict<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let plain = dot(simd, &self.0.theta, &self.0.x);
        match self.0.rule {
            Rule::Ridge => plain,
            Rule::Forward => plain / (1.0 + self.0.spread(simd)),
        }
    }
}

/// Learns from the label of the row in hand.
struct Observe<'a> {
    numbers: &'a mut Numbers,
    label: f64,
}

impl WithSimd for Observe<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let numbers = self.numbers;
        let error = self.label - dot(simd, &numbers.theta, &numbers.x);
        let scale = 1.0 / (1.0 + numbers.spread(simd));
        axpy(simd, error * scale, &numbers.along, &mut numbers.theta);
        numbers.waiting = Some(-scale);
        numbers.spread = None;
    }
}

impl Numbers {
    /// x' P x of the row in hand; makes P x, and brings P up to date.
    #[inline(always)]
    fn spread<S: Simd>(&mut self, simd: S) -> f64 {
        if let Some(spread) = self.spread {
            return spread;
        }
        self.pass(simd);
        std::mem::swap(&mut self.along, &mut self.next);
        self.waiting = None;
        *self.spread.insert(dot(simd, &self.along, &self.x))
    }

    /// `P += waiting along along'`, and `next = P x`, which is the sum of the rows of P by x because P is symmetric: no sum
    /// within a vector is needed.
    #[inline(always)]
    fn pass<S: Simd>(&mut self, simd: S) {
        let vectors = self.along.len() / S::F64_LANES;
        // Some columns at a time, as many as registers hold: their sums and their part of `along` stay there over all rows.
        let most = if S::REGISTER_COUNT >= 32 { 8 } else { 4 };
        let mut from = 0;
        while from < vectors {
            let width = (vectors - from).min(most);
            from += match width {
                8.. => self.columns::<S, 8, 1>(simd, from),
                4..8 => self.columns::<S, 4, 2>(simd, from),
                2..4 => self.columns::<S, 2, 2>(simd, from),
                _ => self.columns::<S, 1, 2>(simd, from),
            };
        }
    }

    /// The same for `W` vectors of columns, `C` rows at a time, each in a chain of sums of its own: a single chain of few
    /// vectors would wait for itself. Returns how many vectors these are.
    #[inline(always)]
    fn columns<S: Simd, const W: usize, const C: usize>(&mut self, simd: S, from: usize) -> usize {
        let Self { inverse, x, along, next, waiting, .. } = self;
        let width = along.len();
        let mut at = *<&[S::f64s; W]>::try_from(&S::as_simd_f64s(along).0[from..from + W]).expect("so many");
        // Nothing waits: nothing is added.
        let scale = simd.splat_f64s(waiting.unwrap_or(0.0));
        at.iter_mut().for_each(|at| *at = simd.mul_f64s(scale, *at));
        let mut sums = [[simd.splat_f64s(0.0); W]; C];
        // Rows are padded to whole vectors, not to whole steps: the last step may be one of a single row.
        let mut rows = inverse.chunks_exact_mut(C * width);
        let mut numbers = x.chunks_exact(C).zip(along.chunks_exact(C));
        for (rows, (x, a)) in rows.by_ref().zip(numbers.by_ref()) {
            for c in 0..C {
                let (x, a) = (simd.splat_f64s(x[c]), simd.splat_f64s(a[c]));
                let row = &mut S::as_mut_simd_f64s(&mut rows[c * width..(c + 1) * width]).0[from..from + W];
                for n in 0..W {
                    let updated = simd.mul_add_f64s(a, at[n], row[n]);
                    row[n] = updated;
                    sums[c][n] = simd.mul_add_f64s(x, updated, sums[c][n]);
                }
            }
        }
        let rest = rows.into_remainder();
        if let (false, Some((x, a))) = (rest.is_empty(), numbers.next()) {
            let (x, a) = (simd.splat_f64s(x[0]), simd.splat_f64s(a[0]));
            let row = &mut S::as_mut_simd_f64s(&mut rest[..width]).0[from..from + W];
            for n in 0..W {
                let updated = simd.mul_add_f64s(a, at[n], row[n]);
                row[n] = updated;
                sums[0][n] = simd.mul_add_f64s(x, updated, sums[0][n]);
            }
        }
        let next = &mut S::as_mut_simd_f64s(next).0[from..from + W];
        for n in 0..W {
            next[n] = if C == 2 { simd.add_f64s(sums[0][n], sums[C - 1][n]) } else { sums[0][n] };
        }
        W
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
