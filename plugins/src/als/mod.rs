//! Alternating least squares for explicit and implicit feedback.
//!
//! With the factors of the items fixed, those of each user solve a small least-squares problem, and the other way
//! round. One sweep solves the items, then the users.
//!
//! - Explicit, with lambda weighted by the number of ratings ("ALS-WR"): Zhou, Wilkinson, Schreiber & Pan,
//!   "Large-scale parallel collaborative filtering for the Netflix prize", AAIM 2008.
//! - Implicit, confidence `c = 1 + alpha |r|`: Hu, Koren & Volinsky, "Collaborative filtering for implicit feedback
//!   datasets", ICDM 2008; conjugate gradients: Takacs, Pilaszy & Tikk, RecSys 2011.
//!
//! Several ratings of one pair are observations of their own. An entity without ratings has zero factors.
//!
//! A pair that was observed c times with mean v ([`evenhand_core::Repeats`]) adds `c y y'` and `c v y` to the equations
//! and c to the number of ratings, as c rows do whose values have that mean: a long history of explicit feedback takes
//! as much room as there are different pairs. Of implicit feedback c rows add `sum alpha |r| y y'`, which the mean tells
//! only where all values of the pair have the same sign; joined pairs are used as if they had, and not asked for.

mod half_step;
mod observed;

#[cfg(test)]
mod tests;

use crate::linear::Real;
use crate::precision::Precision;
use evenhand_core::{
    Compressed, Error, Factors, Interactions, Model, Output, Params, Recommender, Repeats, Result, Run, Training,
};
use evenhand_core::{choice, plugin};
use nalgebra::DMatrix;
use observed::Observed;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Users whose start is drawn by one task, at least.
const CHUNK: usize = 64;

choice! {
    /// What the values of the data are.
    pub enum FeedbackKind {
        /// Ratings: fit the observed values.
        Explicit = "explicit",
        /// Counts or events: fit 1 where observed, 0 elsewhere, with confidence 1 + alpha |value|.
        Implicit = "implicit",
    }
}

choice! {
    /// How the regularisation of an entity depends on its number of ratings.
    pub enum Weighting {
        /// lambda times the number of ratings.
        Count = "count",
        /// lambda.
        Plain = "plain",
    }
}

choice! {
    /// How the equations of one entity are solved.
    pub enum Solver {
        /// Exactly, by Cholesky's method.
        Cholesky = "cholesky",
        /// By a few steps of conjugate gradients from the earlier value.
        Cg = "cg",
    }
}

plugin! {
    /// Alternating least squares on explicit ratings or implicit feedback.
    pub struct Als: Recommender = "als",
        from "Zhou et al., AAIM 2008; Hu, Koren & Volinsky, ICDM 2008; Takacs, Pilaszy & Tikk, RecSys 2011" {
        /// Length of a factor vector.
        factors: usize = 32, in 1..=1024;
        /// Whether values are ratings to be fitted or evidence of interest.
        feedback: FeedbackKind = FeedbackKind::Explicit;
        /// Regularisation lambda.
        lambda: f64 = 0.1, in 0.0..;
        /// Whether lambda is multiplied by the number of ratings of the entity.
        weighting: Weighting = Weighting::Count;
        /// Implicit feedback: growth of confidence with the value.
        alpha: f64 = 10.0, in 0.0..;
        /// Explicit feedback: fit what the global mean and the damped item and user biases leave.
        biases: bool = true;
        /// Explicit feedback: pseudo-count that pulls the biases to zero.
        damping: f64 = 5.0, in 0.0..;
        /// Sweeps over both sides.
        iterations: usize = 15, in 1..;
        /// Exact solution, or a few cheap steps towards it.
        solver: Solver = Solver::Cholesky;
        /// Steps of conjugate gradients per sweep.
        steps: usize = 3, in 1..;
        /// Precision of factors and sums.
        accumulate: Precision = Precision::F32;
    }
}

impl Recommender for Als {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.train(train, None, run)
    }

    /// Starts from the users' latent factors of `earlier`; users who are new start where they would have started first.
    fn refit(&self, train: &Training<'_>, earlier: &dyn Model, run: &Run) -> Result<Box<dyn Model>> {
        let Some(factors) = earlier.factors() else {
            return Err(Error::Unsupported { plugin: earlier.kind().into(), operation: "a warm start of `als`" });
        };
        if factors.latent != self.factors {
            return Err(Error::shape("latent factors of the earlier model", self.factors, factors.latent));
        }
        for (what, now, then) in [
            ("users of the earlier model", train.ratings.users(), factors.users()),
            ("items of the earlier model", train.ratings.items(), factors.items()),
        ] {
            if then > now {
                return Err(Error::shape(what, format!("at most {now}"), then));
            }
        }
        self.train(train, Some(factors), run)
    }

    /// Of explicit feedback, for which it makes no difference.
    fn joins_repeats(&self) -> bool {
        self.feedback == FeedbackKind::Explicit
    }
}

impl Als {
    fn has_biases(&self) -> bool {
        self.biases && self.feedback == FeedbackKind::Explicit
    }

    fn train(&self, train: &Training<'_>, start: Option<&Factors>, run: &Run) -> Result<Box<dyn Model>> {
        self.check()?;
        run.check()?;
        let (train, repeats) = (train.ratings, train.repeats);
        if let Some(repeats) = repeats.filter(|r| r.by_user().len() != train.len()) {
            return Err(Error::shape("counts of repeated rows", train.len(), repeats.by_user().len()));
        }
        let output = if self.feedback == FeedbackKind::Explicit { Output::Rating } else { Output::Order };
        let biases = self.has_biases().then(|| Biases::of(train, repeats, self.damping));
        let residual = biases.as_ref().map(|b| b.subtract(train)).transpose()?;
        let data = residual.as_ref().unwrap_or(train);
        let (users, items) = match self.accumulate {
            Precision::F32 => self.sweeps::<f32>(data, repeats, start, run)?,
            Precision::F64 => {
                let (users, items) = self.sweeps::<f64>(data, repeats, start, run)?;
                (users.map(|v| v as f32), items.map(|v| v as f32))
            }
        };
        let model = match biases {
            Some(biases) => biases.fold(users, items, output),
            None => Factors::new(users, items, output)?,
        };
        Ok(Box::new(model))
    }

    fn sweeps<T: Real>(
        &self,
        data: &Interactions,
        repeats: Option<&Repeats>,
        start: Option<&Factors>,
        run: &Run,
    ) -> Result<(DMatrix<T>, DMatrix<T>)> {
        let mut users = self.unit_vectors(data.users(), run);
        let mut items = DMatrix::from_element(self.factors, data.items(), T::ZERO);
        if let Some(earlier) = start {
            for (new, old) in [(&mut users, &earlier.users), (&mut items, &earlier.items)] {
                for (mut new, old) in new.column_iter_mut().zip(old.column_iter()) {
                    new.iter_mut().zip(old.iter()).for_each(|(new, &old)| *new = T::of(f64::from(old)));
                }
            }
        }
        let (by_item, by_user) = sides(data, repeats);
        for sweep in 0..self.iterations {
            run.step(sweep, self.iterations)?;
            half_step::run(self, "item", by_item, &users, &mut items, run)?;
            half_step::run(self, "user", by_user, &items, &mut users, run)?;
        }
        run.observer().progress(self.iterations, self.iterations);
        Ok((users, items))
    }

    /// Random start vectors of length 1, each a function of the seed and the user alone: a refit on more data starts
    /// every user where it started before.
    fn unit_vectors<T: Real>(&self, users: usize, run: &Run) -> DMatrix<T> {
        let streams = run.streams.child("als/start");
        let mut start = DMatrix::from_element(self.factors, users, T::ZERO);
        let draw = |draws: &mut Vec<f64>, (user, column): (usize, &mut [T])| {
            draws.clear();
            let mut rng = streams.rng(user as u64);
            draws.extend(Distribution::<f64>::sample_iter(StandardNormal, &mut rng).take(self.factors));
            let norm = draws.iter().map(|d| d * d).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            column.iter_mut().zip(&*draws).for_each(|(c, d)| *c = T::of(d / norm));
        };
        let columns = start.as_mut_slice().par_chunks_mut(self.factors).enumerate();
        run.install(|| columns.with_min_len(CHUNK).for_each_init(Vec::new, draw));
        start
    }
}

/// One half-step in double precision: factors of every entity of `rows` (k x entities), given its partners' factors
/// (k x partners). Entities without ratings get zeros.
///
/// # Errors
/// [`Error::Shape`] where a partner has no column, [`Error::Unusable`] where the equations are singular.
pub fn half_step(als: &Als, rows: &Compressed, partners: &DMatrix<f64>, run: &Run) -> Result<DMatrix<f64>> {
    if partners.nrows() == 0 {
        return Err(Error::shape("rank of the partners' factors", "at least 1", 0));
    }
    if let Some(&worst) = rows.all_partners().iter().max().filter(|&&p| p as usize >= partners.ncols()) {
        return Err(Error::shape("partner index", format!("below {}", partners.ncols()), worst));
    }
    let mut side = DMatrix::zeros(partners.nrows(), rows.len());
    half_step::run(als, "row", Observed { rows, repeats: None }, partners, &mut side, run)?;
    Ok(side)
}

/// The ratings by item and by user, with how often each was observed.
fn sides<'a>(data: &'a Interactions, repeats: Option<&'a Repeats>) -> (Observed<'a>, Observed<'a>) {
    let by_item = Observed { rows: data.by_item(), repeats: repeats.map(Repeats::by_item) };
    let by_user = Observed { rows: data.by_user(), repeats: repeats.map(Repeats::by_user) };
    (by_item, by_user)
}

/// Global mean, and damped means of what is left: `b_i = sum (r - mean) / (n_i + damping)`, then
/// `b_u = sum (r - mean - b_i) / (n_u + damping)`. All over observations: a repeated pair counts as often as it was made.
struct Biases {
    mean: f64,
    users: Vec<f64>,
    items: Vec<f64>,
}

impl Biases {
    fn of(train: &Interactions, repeats: Option<&Repeats>, damping: f64) -> Self {
        let (by_item, by_user) = sides(train, repeats);
        let mean = match by_user.repeats {
            None => train.mean(),
            Some(times) => {
                let weighted = times.iter().zip(by_user.rows.all_values()).map(|(&c, &v)| f64::from(c) * f64::from(v));
                weighted.sum::<f64>() / times.iter().copied().map(f64::from).sum::<f64>().max(f64::MIN_POSITIVE)
            }
        };
        let side = |observed: Observed<'_>, other: Option<&[f64]>| -> Vec<f64> {
            let bias = |entity| {
                let repeats = observed.repeats(entity);
                let (mut sum, mut count) = (0.0, 0.0);
                for (n, (p, v)) in observed.rows.row(entity).enumerate() {
                    let times = repeats.map_or(1.0, |times| f64::from(times[n]));
                    sum += times * (f64::from(v) - mean - other.map_or(0.0, |b| b[p as usize]));
                    count += times;
                }
                if count == 0.0 { 0.0 } else { sum / (count + damping) }
            };
            (0..observed.rows.len()).map(bias).collect()
        };
        let items = side(by_item, None);
        let users = side(by_user, Some(&items));
        Self { mean, users, items }
    }

    fn subtract(&self, train: &Interactions) -> Result<Interactions> {
        train.map_values(|u, i, v| (f64::from(v) - self.mean - self.users[u as usize] - self.items[i as usize]) as f32)
    }

    /// Appends the factor pairs (mean + user bias, 1) and (1, item bias).
    fn fold(&self, users: DMatrix<f32>, items: DMatrix<f32>, output: Output) -> Factors {
        let k = users.nrows();
        let (mut users, mut items) = (users.resize_vertically(k + 2, 1.0), items.resize_vertically(k + 2, 1.0));
        users.row_mut(k).iter_mut().zip(&self.users).for_each(|(f, b)| *f = (self.mean + b) as f32);
        items.row_mut(k + 1).iter_mut().zip(&self.items).for_each(|(f, b)| *f = *b as f32);
        Factors { users, items, latent: k, output }
    }
}
