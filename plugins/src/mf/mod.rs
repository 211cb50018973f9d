//! Matrix factorisation by gradient descent, fair if asked to be.
//!
//! ```text
//! y_ui = squash(w_u . v_i)
//! L = (1 - lambda) (sum over training rows (r - y)^2 / rows + l2/2 (|W|^2 + |V|^2)) + lambda fairness(Y)
//! ```
//!
//! Adam on all rows at once (full batch). Without a fairness loss lambda plays no part. A fairness loss sees the
//! predictions of all users for all items, which are computed tile by tile and never stored; one that has nothing but
//! the dense form gets them in a matrix. In single precision a backend of dense products may offer to do it, as a GPU
//! does; factors then differ from those of the CPU by rounding.
//!
//! Cho, Choi & Suh 2022, "Equal Experience in Recommender Systems", arXiv 2210.05936, whose published code starts the
//! factors of users uniformly in +-1/sqrt(users), those of items in +-1/sqrt(rank), as is done here.

mod descent;
mod objective;
mod observed;
mod parameters;
mod strips;
#[cfg(test)]
mod tests;
mod tiles;

pub use descent::{descend, gradient};
pub use objective::{Objective, Terms};

pub(crate) use objective::Evaluator;
pub(crate) use parameters::Parameters;

use crate::cells::Smooth;
use crate::early_stop::{HeldOut, Patience};
use crate::fairness_term::doubt_threshold;
use crate::precision::Precision;
use crate::squash::{Shape, Squash, Squashed};
use descent::Descent;
use evenhand_core::{
    FairnessData, FairnessLoss, Interactions, Model, Nested, Params, Recommender, Result, Run, Scale, Training, plugin,
};
use nalgebra::DMatrix;
use rand::RngExt;

plugin! {
    /// Matrix factorisation by full-batch gradient descent (Adam), with any fairness loss.
    pub struct Mf: Recommender = "mf",
        from "Cho, Choi & Suh 2022, Equal Experience in Recommender Systems, arXiv 2210.05936" {
        /// Length of a factor vector.
        rank: usize = 20, in 1..=1024;
        /// How a product of factors becomes a prediction. Five stars are cut off at 0 and 5, like other scales at their
        /// ends and at 0.
        squash: Shape = Shape::Auto;
        /// Learn a bias for every user and item too, starting from the mean rating.
        biases: bool = false;
        /// Weight of the squared factors: half of this times their sum, without biases, is added to the mean squared
        /// error.
        l2: f64 = 0.0, in 0.0..;
        /// Steps, each over all training rows.
        epochs: usize = 1000, in 1..;
        /// Step length of Adam.
        learning_rate: f64 = 1e-3, in 0.0..;
        /// What to be fair about, besides being accurate.
        fairness: Option<Nested<dyn FairnessLoss>> = None;
        /// Weight of the fairness loss; accuracy has the rest. Without a fairness loss it plays no part.
        lambda: f64 = 0.99, in 0.0..=1.0;
        /// Stop after so many epochs without a better prediction of held-out training rows, and return to the best.
        early_stop: Option<usize> = None, in 1..;
        /// Early stopping: share of the training rows that is held out.
        holdout: f64 = 0.1, in 0.0..1.0;
        /// Precision of factors and sums while fitting.
        precision: Precision = Precision::F32;
    }
}

impl Recommender for Mf {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.check()?;
        let start = self.start(train.ratings, run);
        run.install(|| match self.precision {
            Precision::F32 => self.descend::<f32>(train, start, run),
            Precision::F64 => self.descend::<f64>(train, start, run),
        })
    }
}

impl Mf {
    fn descend<T: Smooth>(&self, train: &Training<'_>, start: [DMatrix<f64>; 2], run: &Run) -> Result<Box<dyn Model>> {
        let held_out = match self.early_stop {
            Some(epochs) => Some((HeldOut::draw(train.ratings, self.holdout, run)?, epochs)),
            None => None,
        };
        let (rows, mut watched) = match &held_out {
            Some((HeldOut { learn, watch }, epochs)) => (learn, Some((watch, Patience::new(*epochs)))),
            None => (train.ratings, None),
        };
        let objective = self.objective(train, rows);
        if let Some((loss, data, _)) = &objective.fairness {
            doubt_threshold(*loss, data, train.scale, run)?;
        }
        let mut descent = Descent::<T>::new(objective, start, self.learning_rate, run)?;
        for epoch in 0..self.epochs {
            run.step(epoch, self.epochs)?;
            let terms = descent.step(epoch, run)?;
            let figure = |name, value| run.observer().figure(epoch, name, value);
            figure("rmse-train", terms.error.sqrt());
            figure("objective", terms.total);
            if self.fairness.is_some() {
                figure("fairness", terms.fairness);
            }
            if let Some((watch, patience)) = &mut watched {
                let error = descent.error(watch);
                figure("rmse-held-out", error);
                if !patience.goes_on(epoch, error, || descent.at.matrices()) {
                    break;
                }
            }
        }
        run.observer().progress(self.epochs, self.epochs);
        let best = watched.and_then(|(_, patience)| patience.into_best());
        let [users, items] = best.unwrap_or_else(|| descent.at.matrices()).map(|side| side.map(|x| x as f32));
        Ok(Box::new(Squashed::fitted([users, items], self.rank, objective.squash, Self::NAME)?))
    }

    fn objective<'a>(&'a self, train: &Training<'a>, rows: &'a Interactions) -> Objective<'a> {
        let data = FairnessData { train: rows, ..train.fairness() };
        let fairness = self.fairness.as_deref().map(|loss| (loss, data, self.lambda));
        Objective {
            train: rows,
            squash: clamp_at(self.squash.for_scale(train.scale), train.scale),
            l2: self.l2,
            accuracy: if fairness.is_some() { 1.0 - self.lambda } else { 1.0 },
            biases: self.biases,
            fairness,
        }
    }

    /// Uniform factors; where there are biases, those of the users are the mean rating, those of the items 0.
    fn start(&self, train: &Interactions, run: &Run) -> [DMatrix<f64>; 2] {
        let rows = self.rank + if self.biases { 2 } else { 0 };
        let side = |label: &str, entities: usize, width: f64, biases: [f64; 2]| {
            let streams = run.streams.child(label);
            let mut factors = DMatrix::zeros(rows, entities);
            for (entity, mut column) in factors.column_iter_mut().enumerate() {
                let mut rng = streams.rng(entity as u64);
                column.iter_mut().take(self.rank).for_each(|f| *f = rng.random_range(-width..=width));
                column.iter_mut().skip(self.rank).zip(biases).for_each(|(f, bias)| *f = bias);
            }
            factors
        };
        [
            side("mf/users", train.users(), 1.0 / (train.users().max(1) as f64).sqrt(), [train.mean(), 1.0]),
            side("mf/items", train.items(), 1.0 / (self.rank as f64).sqrt(), [1.0, 0.0]),
        ]
    }
}

/// The squash of a shape that is not `auto`, for products that start near 0.
fn clamp_at(shape: Shape, scale: Scale) -> Squash {
    match shape {
        Shape::Tanh => Squash::Tanh,
        Shape::None => Squash::None,
        Shape::FiveStars | Shape::Auto => Squash::Clamp {
            low: f64::from(scale.low.min(0.0)),
            high: f64::from(scale.high.max(0.0)),
            scale: 1.0,
            shift: 0.0,
        },
    }
}
