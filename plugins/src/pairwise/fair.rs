//! Steps on a fairness loss between those on pairs.
//!
//! The predictions that the loss sees are `y_ui = tau + s_ui`: a score of 0 stands at the threshold tau of a like. Scores of pairs have
//! no such point of their own; the loss gives them one. With N likes the objective is N times
//! `(1 - lambda) mean loss of a pair + lambda fairness(Y)`.

use super::adagrad::Adagrad;
use super::tables::Tables;
use crate::cells::Smooth;
use crate::linear::{Real, axpy};
use crate::mf::{Evaluator, Objective, Parameters};
use crate::squash::Squash;
use evenhand_core::{FairnessLoss, Result, Run, Training};
use pulp::{Arch, Simd, WithSimd};

/// A fairness loss with room for its gradient.
pub(super) struct Fair<'a, T> {
    evaluator: Evaluator<'a, T>,
    /// The factors, with the biases as a last one.
    factors: Parameters<T>,
    /// The gradient in the same shape.
    flow: Parameters<T>,
    /// What is subtracted, in the shape of the tables.
    gradient: Tables<T>,
    weight: f64,
    all: [Vec<u32>; 2],
}

impl<'a, T: Smooth> Fair<'a, T> {
    /// # Errors
    /// Those of the loss about its data.
    pub(super) fn new(
        loss: &'a dyn FairnessLoss,
        weight: f64,
        train: &Training<'a>,
        at: &Tables<T>,
        run: &Run,
    ) -> Result<Self> {
        let tau = f64::from(train.scale.like_above);
        let far = f64::from(f32::MAX);
        let objective = Objective {
            train: train.ratings,
            squash: Squash::Clamp { low: -far, high: far, scale: 1.0, shift: tau },
            l2: 0.0,
            accuracy: 0.0,
            biases: false,
            fairness: Some((loss, train.fairness(), 1.0)),
        };
        let factors = Parameters::zeroed(
            at.rank + usize::from(!at.biases.is_empty()),
            train.ratings.users(),
            train.ratings.items(),
        );
        let evaluator = Evaluator::new(objective, &factors, run)?;
        let all = [train.ratings.users(), train.ratings.items()].map(|n| (0..n as u32).collect());
        Ok(Self { evaluator, flow: factors.zeros(), factors, gradient: at.zeros(), weight, all })
    }

    /// The value of the loss at `at`; its gradient, weighted, is kept.
    ///
    /// # Errors
    /// Those of the loss.
    pub(super) fn evaluate(&mut self, at: &Tables<T>, share: f64, run: &Run) -> Result<f64> {
        let (rank, width) = (at.rank, at.width);
        let to = self.factors.width;
        let biased = !at.biases.is_empty();
        for (rows, factors) in [(&at.users, &mut self.factors.users), (&at.items, &mut self.factors.items)] {
            for (factors, row) in factors.chunks_exact_mut(to).zip(rows.chunks_exact(width)) {
                factors[..rank].copy_from_slice(&row[..rank]);
                factors[rank..].fill(T::ZERO);
            }
        }
        if biased {
            self.factors.users.chunks_exact_mut(to).for_each(|user| user[rank] = T::ONE);
            self.factors.items.chunks_exact_mut(to).zip(&at.biases).for_each(|(item, &bias)| item[rank] = bias);
        }
        let terms = self.evaluator.evaluate(&self.factors, &mut self.flow, run)?;
        let weight = T::of(self.weight * share);
        for (flow, gradient) in
            [(&self.flow.users, &mut self.gradient.users), (&self.flow.items, &mut self.gradient.items)]
        {
            for (gradient, flow) in gradient.chunks_exact_mut(width).zip(flow.chunks_exact(to)) {
                gradient.iter_mut().zip(&flow[..rank]).for_each(|(g, &f)| *g = weight * f);
            }
        }
        if biased {
            let flow = self.flow.items.chunks_exact(to);
            self.gradient.biases.iter_mut().zip(flow).for_each(|(g, flow)| *g = weight * flow[rank]);
        }
        Ok(terms.fairness)
    }

    /// A step of gradient descent.
    pub(super) fn descend(&self, rate: f64, at: &mut Tables<T>) {
        Arch::new().dispatch(Descend { rate: T::of(-rate), gradient: &self.gradient, at });
    }

    /// A step of Adagrad.
    pub(super) fn step(&self, adagrad: &mut Adagrad<T>, at: &mut Tables<T>) {
        Arch::new().dispatch(Step { all: &self.all, gradient: &self.gradient, adagrad, at });
    }
}

struct Descend<'a, T> {
    rate: T,
    gradient: &'a Tables<T>,
    at: &'a mut Tables<T>,
}

impl<T: Real> WithSimd for Descend<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rate, gradient, at } = self;
        axpy(simd, rate, &gradient.users, &mut at.users);
        axpy(simd, rate, &gradient.items, &mut at.items);
        at.biases.iter_mut().zip(&gradient.biases).for_each(|(x, &g)| *x = *x + rate * g);
    }
}

struct Step<'a, T> {
    all: &'a [Vec<u32>; 2],
    gradient: &'a Tables<T>,
    adagrad: &'a mut Adagrad<T>,
    at: &'a mut Tables<T>,
}

impl<T: Real> WithSimd for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [users, items] = self.all;
        self.adagrad.step(simd, self.at, users, items, self.gradient);
    }
}
