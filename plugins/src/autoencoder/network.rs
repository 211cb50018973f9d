//! The parameters: a flat vector of padded matrices, weights and biases together, so that one step of Adam serves all.
//!
//! - Encoder, users + 1 rows of the first hidden layer: the weights from every user, then the biases.
//! - Between hidden layers, a row for every unit of the lower one, then the biases.
//! - Decoder, a row for every user: the weights from the last hidden layer, then the bias.
//!
//! So hidden units, followed by a constant 1, stand in rows that all products take as they are. Padding is zero and
//! stays so: its gradient is zero.

use super::Layer;
use crate::linear::{Real, padded};
use evenhand_core::{Error, Result, Run};
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rayon::prelude::*;
use std::ops::Range;

/// Sizes of the layers and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) users: usize,
    pub(super) hidden: Vec<usize>,
    /// Start of every layer's matrix; one element more than there are layers.
    offsets: Vec<usize>,
}

impl Shape {
    pub(super) fn new(users: usize, hidden: &[usize]) -> Self {
        let mut shape = Self { users, hidden: hidden.to_vec(), offsets: vec![0] };
        for layer in 0..=hidden.len() {
            let rows = match layer {
                0 => users + 1,
                _ if layer == hidden.len() => padded(users),
                // As long as a row of hidden units: products need no end in between.
                _ => padded(hidden[layer - 1] + 1),
            };
            shape.offsets.push(shape.offsets[layer] + rows * shape.stride(layer));
        }
        shape
    }

    /// Number of layers with parameters: one more than there are hidden ones.
    pub(super) fn layers(&self) -> usize {
        self.hidden.len() + 1
    }

    /// Length of a row of a layer's matrix.
    pub(super) fn stride(&self, layer: usize) -> usize {
        if layer == self.hidden.len() { self.units(layer - 1) } else { padded(self.hidden[layer]) }
    }

    /// Length of a row of hidden units: they, the constant 1, padding.
    pub(super) fn units(&self, hidden: usize) -> usize {
        padded(self.hidden[hidden] + 1)
    }

    /// Number of parameters, padding included.
    pub(super) fn len(&self) -> usize {
        self.offsets[self.layers()]
    }

    /// Place of a layer's matrix among all parameters.
    pub(super) fn layer(&self, layer: usize) -> Range<usize> {
        self.offsets[layer]..self.offsets[layer + 1]
    }

    /// Inputs and outputs of a layer.
    fn ends(&self, layer: usize) -> (usize, usize) {
        let end = |at: usize| if at == 0 || at > self.hidden.len() { self.users } else { self.hidden[at - 1] };
        (end(layer), end(layer + 1))
    }

    /// Place, within its layer, of the weight from `input` to `output`; the bias is that of input number `inputs`.
    fn place(&self, layer: usize, input: usize, output: usize) -> usize {
        let (row, column) = if layer == self.hidden.len() { (output, input) } else { (input, output) };
        row * self.stride(layer) + column
    }

    /// Weights and biases uniform in +-1 / sqrt(inputs), each row of a matrix from a stream of its own.
    pub(super) fn start<T: Real>(&self, run: &Run) -> Vec<T> {
        let mut values = vec![T::ZERO; self.len()];
        for layer in 0..self.layers() {
            let streams = run.streams.child("autoencoder/start").child(&layer.to_string());
            let ((inputs, outputs), stride) = (self.ends(layer), self.stride(layer));
            let (rows, columns) =
                if layer == self.hidden.len() { (outputs, inputs + 1) } else { (inputs + 1, outputs) };
            let bound = 1.0 / (inputs as f64).sqrt();
            values[self.layer(layer)].par_chunks_mut(stride).take(rows).enumerate().for_each(|(row, values)| {
                let mut rng = streams.rng(row as u64);
                values[..columns].iter_mut().for_each(|v| *v = T::of(rng.random_range(-bound..bound)));
            });
        }
        values
    }

    /// Padded parameters out of plain ones.
    ///
    /// # Errors
    /// [`Error::Shape`] where a layer is of another size.
    pub(super) fn import<T: Real>(&self, layers: &[Layer]) -> Result<Vec<T>> {
        if layers.len() != self.layers() {
            return Err(Error::shape("layers of the network", self.layers(), layers.len()));
        }
        let mut values = vec![T::ZERO; self.len()];
        for (at, layer) in layers.iter().enumerate() {
            let (inputs, outputs) = self.ends(at);
            let got = (layer.weights.nrows(), layer.weights.ncols(), layer.biases.len());
            if got != (outputs, inputs, outputs) {
                let expected = format!("{outputs} x {inputs}, {outputs} biases");
                return Err(Error::shape(
                    "weights of a layer",
                    expected,
                    format!("{} x {}, {} biases", got.0, got.1, got.2),
                ));
            }
            let values = &mut values[self.layer(at)];
            for output in 0..outputs {
                for input in 0..inputs {
                    values[self.place(at, input, output)] = T::of(layer.weights[(output, input)]);
                }
                values[self.place(at, inputs, output)] = T::of(layer.biases[output]);
            }
        }
        Ok(values)
    }

    /// Plain parameters, or gradients, out of padded ones.
    pub(super) fn export<T: Real>(&self, values: &[T]) -> Vec<Layer> {
        (0..self.layers()).map(|layer| self.export_layer(values, layer)).collect()
    }

    /// The same for one layer.
    pub(super) fn export_layer<T: Real>(&self, values: &[T], layer: usize) -> Layer {
        let ((inputs, outputs), values) = (self.ends(layer), &values[self.layer(layer)]);
        Layer {
            weights: DMatrix::from_fn(outputs, inputs, |o, i| values[self.place(layer, i, o)].wide()),
            biases: DVector::from_fn(outputs, |o, _| values[self.place(layer, inputs, o)].wide()),
        }
    }

    /// Adds `weight` times every parameter but the biases to its gradient; returns `weight` times half of the sum of
    /// their squares.
    pub(super) fn add_decay<T: Real>(&self, weight: f64, values: &[T], gradient: &mut [T]) -> f64 {
        let mut sum = 0.0;
        for layer in 0..self.layers() {
            let ((inputs, outputs), stride) = (self.ends(layer), self.stride(layer));
            let (rows, columns) = if layer == self.hidden.len() { (outputs, inputs) } else { (inputs, outputs) };
            let factor = T::of(weight);
            let gradient = gradient[self.layer(layer)].par_chunks_mut(stride);
            let sums: Vec<f64> = gradient
                .zip(values[self.layer(layer)].par_chunks(stride))
                .take(rows)
                .map(|(gradient, values)| {
                    let mut sum = 0.0;
                    for (g, &v) in gradient[..columns].iter_mut().zip(values) {
                        *g = *g + factor * v;
                        sum += v.wide() * v.wide();
                    }
                    sum
                })
                .collect();
            sum += sums.iter().sum::<f64>();
        }
        0.5 * weight * sum
    }
}
