//! One step of training: forward through the network, the objective, and back to the gradient of every parameter.

use super::complete::{Ask, BLOCK, Complete, Ends, Fairness};
use super::network::Shape;
use super::ratings::{Coding, Ratings};
use super::{Activation, Autoencoder, sparse};
use crate::cells::Smooth;
use crate::fairness_term::{DenseLoss, doubt_threshold, streamed};
use crate::linear::{Real, padded};
use crate::product::{Onto, Panels, Stored, multiply};
use evenhand_core::fairness::{Observed, Streamed};
use evenhand_core::{Error, FairnessData, Interactions, Result, Run, Training};
use rand::RngExt;
use rayon::prelude::*;

/// Everything that one fit needs; allocated once.
pub(super) struct Pass<'a, T> {
    recipe: &'a Autoencoder,
    coding: Coding,
    pub(super) shape: Shape,
    pub(super) ratings: Ratings<T>,
    fairness: Loss<'a, T>,
    /// Units of every hidden layer, and what flows back to them: a row for every item.
    hidden: Vec<Vec<T>>,
    back: Vec<Vec<T>>,
    /// Factors of the units of the last hidden layer under dropout: 0 or 1 / (1 - dropout).
    kept: Vec<T>,
    /// Weights, or what flows back, between hidden layers.
    forth: Vec<Panels<T>>,
    turned: Vec<Panels<T>>,
    flowing: Vec<Panels<T>>,
    errors: Vec<T>,
    pub(super) gradient: Vec<T>,
}

enum Loss<'a, T> {
    None,
    Observed { loss: Observed<'a>, predicted: Vec<f64>, slopes: Vec<f64> },
    Complete(Fairness<'a>, Box<Complete<T>>),
}

/// The parts of the objective, and the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Objective {
    /// Mean squared error of the training rows.
    pub(super) accuracy: f64,
    /// Value of the fairness loss; 0 without one.
    pub(super) fairness: f64,
    /// What training makes small.
    pub(super) loss: f64,
}

impl<'a, T: Smooth> Pass<'a, T> {
    /// `ratings` are the rows to learn from, all of `train` or a part.
    ///
    /// # Errors
    /// [`Error::Unusable`] without rows; those of the fairness loss.
    pub(super) fn new(
        recipe: &'a Autoencoder,
        train: &Training<'a>,
        ratings: &'a Interactions,
        run: &Run,
    ) -> Result<Self> {
        if ratings.is_empty() {
            return Err(Error::Unusable("there are no training rows".into()));
        }
        let coding = Coding::new(recipe, train.scale);
        let shape = Shape::new(ratings.users(), &recipe.hidden);
        let data = FairnessData { train: ratings, ..train.fairness() };
        if let Some(loss) = &recipe.fairness {
            doubt_threshold(&**loss, &data, train.scale, run)?;
        }
        let (users, items, rows) = (ratings.users(), ratings.items(), ratings.len());
        let complete = |fairness| {
            let units = shape.units(recipe.hidden.len() - 1);
            Loss::Complete(fairness, Box::new(Complete::new(users, items, units)))
        };
        let fairness = match &recipe.fairness {
            None => Loss::None,
            Some(loss) => match streamed(&**loss, &data)? {
                Some(Streamed::Cells(sums)) => complete(Fairness::Cells(sums)),
                Some(Streamed::Observed(loss)) => {
                    Loss::Observed { loss, predicted: vec![0.0; rows], slopes: vec![0.0; rows] }
                }
                None => complete(Fairness::Dense(Box::new(DenseLoss::new(&**loss, data, BLOCK, run)?))),
            },
        };
        let order = match &fairness {
            Loss::Complete(fairness, _) => fairness.order(items),
            _ => (0..items as u32).collect(),
        };
        let layers = recipe.hidden.len();
        let units = |layer: usize| vec![T::ZERO; padded(items) * shape.units(layer)];
        let between = |make: &dyn Fn(usize) -> Panels<T>| (1..layers).map(make).collect();
        Ok(Self {
            recipe,
            coding,
            ratings: Ratings::new(ratings, coding, order),
            fairness,
            hidden: (0..layers).map(units).collect(),
            back: (0..layers).map(units).collect(),
            kept: vec![T::ZERO; if recipe.dropout > 0.0 { items * recipe.hidden[layers - 1] } else { 0 }],
            forth: between(&|layer| Panels::new(shape.units(layer - 1), shape.stride(layer))),
            turned: between(&|layer| Panels::new(shape.stride(layer), shape.units(layer - 1))),
            flowing: between(&|layer| Panels::new(items, shape.stride(layer))),
            errors: vec![T::ZERO; rows],
            gradient: vec![T::ZERO; shape.len()],
            shape,
        })
    }

    /// The objective at `values`, whose gradient goes to [`Self::gradient`]; dropout as in that epoch.
    ///
    /// # Errors
    /// Those of the fairness loss.
    pub(super) fn step(&mut self, values: &[T], epoch: usize, run: &Run) -> Result<Objective> {
        self.forward(values, Some(epoch), run);
        run.install(|| {
            let mut objective = self.decode(values, run)?;
            self.backward(values);
            if self.recipe.l2 > 0.0 {
                let weight = self.accuracy_weight() * self.recipe.l2;
                objective.loss += self.shape.add_decay(weight, values, &mut self.gradient);
            }
            Ok(objective)
        })
    }

    /// Computes the units of all hidden layers; without dropout where there is no epoch.
    pub(super) fn forward(&mut self, values: &[T], epoch: Option<usize>, run: &Run) {
        run.install(|| self.hide(values, epoch, run));
    }

    fn hide(&mut self, values: &[T], epoch: Option<usize>, run: &Run) {
        let (shape, layers) = (&self.shape, self.hidden.len());
        for layer in 0..layers {
            let (lower, upper) = self.hidden.split_at_mut(layer);
            let (weights, stride) = (&values[shape.layer(layer)], shape.units(layer));
            let out = &mut upper[0];
            match lower.last() {
                None => sparse::encode(&self.ratings, weights, shape.stride(0), out, stride),
                Some(lower) => {
                    let (right, depth) = (&mut self.forth[layer - 1], shape.units(layer - 1));
                    right.pack(Stored::Rows(weights, shape.stride(layer)), depth);
                    multiply(Stored::Rows(lower, depth), right, Onto::Nothing, out, stride);
                }
            }
            let units = self.recipe.hidden[layer];
            let activation = self.recipe.activation;
            out.par_chunks_mut(stride).for_each(|row| activation.apply(row, units));
            if let Some(epoch) = epoch.filter(|_| layer + 1 == layers && !self.kept.is_empty()) {
                drop_out(self.recipe.dropout, &self.ratings.order, epoch, run, &mut self.kept, units);
                scale_by(&self.kept, units, out, stride);
            }
        }
    }

    /// Other rows of the same users and items, in the order of items of this pass.
    pub(super) fn rows(&self, other: &Interactions) -> Ratings<T> {
        Ratings::new(other, self.coding, self.ratings.order.clone())
    }

    /// The predictions of some rows, by user, without dropout.
    pub(super) fn predict(&mut self, values: &[T], rows: &Ratings<T>, out: &mut [f64], run: &Run) {
        self.forward(values, None, run);
        let last = self.hidden.len() - 1;
        let (hidden, decoder, units) =
            (&self.hidden[last], &values[self.shape.layer(last + 1)], self.shape.units(last));
        run.install(|| sparse::predict(rows, self.coding.squash, hidden, decoder, units, out));
    }

    /// The objective, what flows back to the last hidden layer, the gradient of the decoder.
    fn decode(&mut self, values: &[T], run: &Run) -> Result<Objective> {
        let last = self.hidden.len() - 1;
        let weight = self.accuracy_weight();
        let layer = self.shape.layer(last + 1);
        let (decoder, gradient) = (&values[layer.clone()], &mut self.gradient[layer]);
        let (hidden, units) = (&self.hidden[last][..], self.shape.units(last));
        let (ratings, back, squash) = (&self.ratings, &mut self.back[last][..], self.coding.squash);
        let rows = ratings.len() as f64;
        let mut errors = sparse::Errors { squash, weight: weight / rows, extra: None };
        let (squares, fairness) = match &mut self.fairness {
            Loss::Complete(fairness, complete) => {
                let ask = Ask { errors, lambda: self.recipe.lambda, run };
                let at = Ends { hidden, decoder, units };
                let [squares, value] = complete.step(fairness, ratings, at, ask, back, gradient)?;
                (squares, value)
            }
            observed => {
                let mut value = 0.0;
                if let Loss::Observed { loss, predicted, slopes } = observed {
                    sparse::predict(ratings, squash, hidden, decoder, units, predicted);
                    value = (loss.evaluate)(predicted, slopes);
                    slopes.iter_mut().for_each(|s| *s *= self.recipe.lambda);
                    errors.extra = Some(slopes);
                }
                let squares = sparse::decode(ratings, errors, hidden, decoder, units, &mut self.errors, gradient);
                sparse::back_to_hidden(ratings, &self.errors, decoder, units, back);
                (squares, value)
            }
        };
        let accuracy = squares / rows;
        let lambda = if self.recipe.fairness.is_some() { self.recipe.lambda } else { 0.0 };
        Ok(Objective { accuracy, fairness, loss: weight * accuracy + lambda * fairness })
    }

    /// From what flows back to the last hidden layer to the gradients of the layers below the decoder.
    fn backward(&mut self, values: &[T]) {
        let (shape, layers, items) = (&self.shape, self.hidden.len(), self.ratings.items());
        for layer in (0..layers).rev() {
            let (units, row, stride) = (self.recipe.hidden[layer], shape.units(layer), shape.stride(layer));
            let (below, at) = self.back.split_at_mut(layer);
            let back = &mut at[0];
            let (activation, mut share) = (self.recipe.activation, 1.0);
            if layer + 1 == layers && !self.kept.is_empty() {
                scale_by(&self.kept, units, back, row);
                // Units that were kept are that much larger than the activation made them.
                share = 1.0 - self.recipe.dropout;
            }
            back.par_chunks_mut(row).zip(self.hidden[layer].par_chunks(row)).for_each(|(back, hidden)| {
                activation.flow_back(back, hidden, T::of(share), units);
            });
            let gradient = &mut self.gradient[shape.layer(layer)];
            let Some(below) = below.last_mut() else {
                sparse::encoder_gradient(&self.ratings, back, row, gradient, stride);
                continue;
            };
            let lower = shape.units(layer - 1);
            let [flowing, turned] = [&mut self.flowing[layer - 1], &mut self.turned[layer - 1]];
            flowing.pack(Stored::Rows(back, row), items);
            multiply(Stored::Columns(&self.hidden[layer - 1], lower), flowing, Onto::Nothing, gradient, stride);
            turned.pack(Stored::Columns(&values[shape.layer(layer)], stride), stride);
            multiply(Stored::Rows(back, row), turned, Onto::Nothing, below, lower);
        }
    }

    fn accuracy_weight(&self) -> f64 {
        if self.recipe.fairness.is_some() { 1.0 - self.recipe.lambda } else { 1.0 }
    }

    /// Every item with its units of the last hidden layer, as the last [`Self::forward`] left them.
    pub(super) fn units(&self) -> impl Iterator<Item = (usize, &[T])> {
        let last = self.hidden.len() - 1;
        let rows = self.hidden[last].chunks_exact(self.shape.units(last));
        self.ratings.order.iter().zip(rows).map(move |(&item, row)| (item as usize, &row[..self.recipe.hidden[last]]))
    }

    /// From outputs to predictions.
    pub(super) fn squash(&self) -> crate::squash::Squash {
        self.coding.squash
    }
}

/// Draws which units are kept, a stream for every epoch and item.
pub(super) fn drop_out<T: Real>(dropout: f64, order: &[u32], epoch: usize, run: &Run, kept: &mut [T], units: usize) {
    let streams = run.streams.child("autoencoder/dropout");
    let factor = T::of(1.0 / (1.0 - dropout));
    let below = (dropout * 2f64.powi(32)) as u64;
    kept.par_chunks_mut(units).zip(order).for_each(|(kept, &item)| {
        let mut rng = streams.rng((epoch * order.len() + item as usize) as u64);
        kept.iter_mut().for_each(|k| *k = if u64::from(rng.random::<u32>()) < below { T::ZERO } else { factor });
    });
}

/// Rows of `stride` numbers, of which the first `units` are multiplied by those of `kept`.
fn scale_by<T: Real>(kept: &[T], units: usize, rows: &mut [T], stride: usize) {
    kept.par_chunks(units).zip(rows.par_chunks_mut(stride)).for_each(|(kept, row)| {
        row.iter_mut().zip(kept).for_each(|(v, &k)| *v = *v * k);
    });
}

impl Activation {
    /// From sums to units: the first `units` of a row; then the constant 1, then padding.
    fn apply<T: Real>(self, row: &mut [T], units: usize) {
        let (sums, rest) = row.split_at_mut(units);
        match self {
            // A NaN must come through.
            Self::Relu => sums.iter_mut().for_each(|v| *v = if *v < T::ZERO { T::ZERO } else { *v }),
            Self::Tanh => sums.iter_mut().for_each(|v| *v = T::of(v.wide().tanh())),
            Self::Sigmoid => sums.iter_mut().for_each(|v| *v = T::of(1.0 / (1.0 + (-v.wide()).exp()))),
        }
        rest.fill(T::ZERO);
        rest[0] = T::ONE;
    }

    /// From what flows back to the units, which are `share` of what stands in `row`, to what flows back to their sums;
    /// nothing to constants and padding.
    fn flow_back<T: Real>(self, back: &mut [T], row: &[T], share: T, units: usize) {
        let (back, rest) = back.split_at_mut(units);
        let pairs = back.iter_mut().zip(row).map(|(b, &v)| (b, v * share));
        match self {
            Self::Relu => pairs.for_each(|(b, v)| *b = if v > T::ZERO { *b } else { T::ZERO }),
            Self::Tanh => pairs.for_each(|(b, v)| *b = *b * (T::ONE - v * v)),
            Self::Sigmoid => pairs.for_each(|(b, v)| *b = *b * (v * (T::ONE - v))),
        }
        rest.fill(T::ZERO);
    }
}
