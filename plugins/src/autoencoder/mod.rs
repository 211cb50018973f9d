//! Autoencoder over items, with any fairness loss.
//!
//! A sample is an item: its column of coded ratings over all users, `x`. Hidden layers `a_1 = f(A_1 x + b_1)`,
//! `a_l = f(A_l a_(l-1) + b_l)`, with dropout of units of the last one (Cho et al. drop before the activation, which is
//! the same for `relu`); outputs `z = D a + d` for all users and predictions `y = squash(z)`. Full batch, by Adam, on
//!
//! `(1 - lambda) (sum over observed (r - y)^2 / count + l2/2 |weights|^2) + lambda fairness(all y)`,
//!
//! without a fairness loss on the first bracket. Five stars are coded as `(r - 1) / 4` and predicted as
//! `1 + 4 min(max(z, 0), 1)`; likes and dislikes of +-1 as they are and `tanh z`.
//!
//! - Sedhain, Menon, Sanner & Xie, "AutoRec: autoencoders meet collaborative filtering", WWW 2015.
//! - With fairness: Cho, Choi & Suh, "Equal experience in recommender systems", 2022 (arXiv 2210.05936).
//!
//! The encoder, and without a fairness loss the decoder too, is computed at the training rows only.

mod complete;
mod fit;
mod network;
mod pass;
mod ratings;
mod sparse;

#[cfg(test)]
mod tests;

use crate::cells::Smooth;
use crate::precision::Precision;
use crate::squash::Shape;
use evenhand_core::{Error, FairnessLoss, Model, Nested, Params, Recommender, Result, Run, Training};
use evenhand_core::{choice, plugin};
use nalgebra::{DMatrix, DVector};

choice! {
    /// What a hidden unit makes of its sum.
    pub enum Activation {
        /// `max(s, 0)`.
        Relu = "relu",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// `1 / (1 + exp(-s))`.
        Sigmoid = "sigmoid",
    }
}

choice! {
    /// The input of a pair without a rating.
    pub enum Missing {
        /// 0, after ratings were coded.
        Zero = "zero",
        /// What a rating of 0 is coded as: -0.25 for five stars, as in the published code of Cho et al.
        Seed = "seed",
    }
}

plugin! {
    /// Autoencoder over items, trained on ratings and any fairness loss.
    pub struct Autoencoder: Recommender = "autoencoder",
        from "Sedhain et al., WWW 2015; Cho, Choi & Suh 2022 (arXiv 2210.05936)" {
        /// Units of every hidden layer, at least one.
        hidden: Vec<usize> = vec![512, 512], in 1..=16384;
        /// Chance of dropping a unit of the last hidden layer while training.
        dropout: f64 = 0.7, in 0.0..1.0;
        /// Activation of the hidden units.
        activation: Activation = Activation::Relu;
        /// How an output becomes a prediction. Five stars are cut off at 1 and 5, like other scales at their
        /// ends.
        squash: Shape = Shape::Auto;
        /// Input of a pair without a rating.
        missing: Missing = Missing::Zero;
        /// Steps, each over all training rows.
        epochs: usize = 1000, in 1..;
        /// Step length of Adam.
        learning_rate: f64 = 1e-3, in 0.0..;
        /// Weight of the squared weights: half of this times their sum, without biases, is added to the mean squared
        /// error.
        l2: f64 = 0.0, in 0.0..;
        /// What to be fair about, besides being accurate.
        fairness: Option<Nested<dyn FairnessLoss>> = None;
        /// Weight of the fairness loss; accuracy has the rest. Without a fairness loss it plays no part.
        lambda: f64 = 0.99, in 0.0..=1.0;
        /// Stop after so many epochs without a better prediction of held-out training rows, and return to the best.
        early_stop: Option<usize> = None, in 1..;
        /// Early stopping: share of the training rows that is held out.
        holdout: f64 = 0.1, in 0.0..1.0;
        /// Precision of parameters and sums while fitting.
        precision: Precision = Precision::F32;
    }
}

impl Recommender for Autoencoder {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.check_layers()?;
        run.check()?;
        match self.precision {
            Precision::F32 => fit::fit::<f32>(self, train, run),
            Precision::F64 => fit::fit::<f64>(self, train, run),
        }
    }
}

impl Autoencoder {
    fn check_layers(&self) -> Result<()> {
        self.check()?;
        if self.hidden.is_empty() {
            return Err(Error::OutOfRange {
                plugin: Some(Self::NAME.into()),
                field: "hidden".into(),
                value: "[]".into(),
                range: "at least one layer".into(),
            });
        }
        Ok(())
    }
}

/// Parameters of one layer, or their gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Weights, outputs x inputs.
    pub weights: DMatrix<f64>,
    /// Biases of the outputs.
    pub biases: DVector<f64>,
}

/// One step of training, before Adam.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Predictions, items x users.
    pub predictions: DMatrix<f64>,
    /// Mean squared error of the training rows.
    pub accuracy: f64,
    /// Value of the fairness loss; 0 without one.
    pub fairness: f64,
    /// The objective.
    pub loss: f64,
    /// Its gradient, layer by layer.
    pub gradient: Vec<Layer>,
}

/// The first step of training from given parameters, encoder first, decoder last.
///
/// # Errors
/// [`Error::Shape`] for layers of another size than `recipe` and `train` ask for; those of the fairness loss.
pub fn step(recipe: &Autoencoder, train: &Training<'_>, layers: &[Layer], run: &Run) -> Result<Step> {
    recipe.check_layers()?;
    match recipe.precision {
        Precision::F32 => step_in::<f32>(recipe, train, layers, run),
        Precision::F64 => step_in::<f64>(recipe, train, layers, run),
    }
}

fn step_in<T: Smooth>(recipe: &Autoencoder, train: &Training<'_>, layers: &[Layer], run: &Run) -> Result<Step> {
    let mut pass = pass::Pass::<T>::new(recipe, train, train.ratings, run)?;
    let values = pass.shape.import::<T>(layers)?;
    let objective = pass.step(&values, 0, run)?;
    let gradient = pass.shape.export(&pass.gradient);
    let (squash, decoder) = (pass.squash(), &layers[layers.len() - 1]);
    let mut predictions = DMatrix::zeros(train.ratings.items(), train.ratings.users());
    for (item, units) in pass.units() {
        let units = DVector::from_iterator(units.len(), units.iter().map(|u| u.wide()));
        let outputs = &decoder.weights * units + &decoder.biases;
        predictions.row_mut(item).iter_mut().zip(outputs.iter()).for_each(|(y, &z)| *y = squash.value(z));
    }
    let pass::Objective { accuracy, fairness, loss } = objective;
    Ok(Step { predictions, accuracy, fairness, loss, gradient })
}
