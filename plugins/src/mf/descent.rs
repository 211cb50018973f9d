//! Gradient descent on an [`Objective`] by Adam, all training rows in every step.

use super::Mf;
use super::objective::{Evaluator, Objective, Terms};
use super::parameters::Parameters;
use crate::adam::Adam;
use crate::cells::Smooth;
use crate::precision::Precision;
use evenhand_core::{Error, Interactions, Params, Result, Run};
use nalgebra::DMatrix;

/// Factors on their way down.
pub(super) struct Descent<'a, T> {
    evaluator: Evaluator<'a, T>,
    pub(super) at: Parameters<T>,
    gradient: Parameters<T>,
    users: Adam<T>,
    items: Adam<T>,
}

impl<'a, T: Smooth> Descent<'a, T> {
    pub(super) fn new(objective: Objective<'a>, start: [DMatrix<f64>; 2], rate: f64, run: &Run) -> Result<Self> {
        let [users, items] = &start;
        let train = objective.train;
        if users.nrows() != items.nrows() || users.nrows() == 0 {
            return Err(Error::shape("rank of the item factors", users.nrows().max(1), items.nrows()));
        }
        if (users.ncols(), items.ncols()) != (train.users(), train.items()) {
            let text = |users, items| format!("{users} users, {items} items");
            let (expected, got) = (text(train.users(), train.items()), text(users.ncols(), items.ncols()));
            return Err(Error::shape("factors", expected, got));
        }
        if objective.biases && users.nrows() < 2 {
            return Err(Error::shape("rank of factors with biases", "at least 2", users.nrows()));
        }
        if let Some((_, data, _)) = objective.fairness {
            let size =
                |rows: &Interactions| format!("{} of {} users, {} items", rows.len(), rows.users(), rows.items());
            let (expected, got) = (size(train), size(data.train));
            if expected != got {
                return Err(Error::shape("training rows of the fairness loss", expected, got));
            }
        }
        let at = Parameters::new(users, items);
        let evaluator = Evaluator::new(objective, &at, run)?;
        let (users, items) = (Adam::new(rate, at.users.len()), Adam::new(rate, at.items.len()));
        Ok(Self { evaluator, gradient: at.zeros(), at, users, items })
    }

    /// Root mean squared error of the predictions of `rows`.
    pub(super) fn error(&self, rows: &Interactions) -> f64 {
        self.evaluator.error(&self.at, rows)
    }

    /// One step; the terms of the objective are those before it.
    pub(super) fn step(&mut self, epoch: usize, run: &Run) -> Result<Terms> {
        let terms = self.evaluator.evaluate(&self.at, &mut self.gradient, run)?;
        let sound = self.users.step(&mut self.at.users, &self.gradient.users)
            & self.items.step(&mut self.at.items, &self.gradient.items);
        if !sound || !terms.total.is_finite() {
            let what = if sound { "the objective" } else { "a factor" };
            return Err(Error::Diverged { what: format!("{what} of `{}`", Mf::NAME), step: Some(epoch) });
        }
        Ok(terms)
    }
}

/// Value and gradient of `objective` at factors of the users (rank x users) and of the items (rank x items).
///
/// # Errors
/// Those of the fairness loss; [`Error::Shape`] for factors of another shape than the data, or a fairness loss on rows of
/// another.
pub fn gradient(
    objective: Objective<'_>,
    at: [DMatrix<f64>; 2],
    precision: Precision,
    run: &Run,
) -> Result<(Terms, [DMatrix<f64>; 2])> {
    fn of<T: Smooth>(objective: Objective<'_>, at: [DMatrix<f64>; 2], run: &Run) -> Result<(Terms, [DMatrix<f64>; 2])> {
        let mut descent = Descent::<T>::new(objective, at, 0.0, run)?;
        let terms = descent.evaluator.evaluate(&descent.at, &mut descent.gradient, run)?;
        Ok((terms, descent.gradient.matrices()))
    }
    run.install(|| match precision {
        Precision::F32 => of::<f32>(objective, at, run),
        Precision::F64 => of::<f64>(objective, at, run),
    })
}

/// `steps` steps of Adam from `start`: the terms before each step, and the factors after the last.
///
/// # Errors
/// As [`gradient`]; [`Error::Diverged`] with the step; [`Error::Cancelled`].
pub fn descend(
    objective: Objective<'_>,
    start: [DMatrix<f64>; 2],
    rate: f64,
    steps: usize,
    precision: Precision,
    run: &Run,
) -> Result<(Vec<Terms>, [DMatrix<f64>; 2])> {
    fn of<T: Smooth>(mut descent: Descent<'_, T>, steps: usize, run: &Run) -> Result<(Vec<Terms>, [DMatrix<f64>; 2])> {
        let step = |step| {
            run.step(step, steps)?;
            descent.step(step, run)
        };
        let terms = (0..steps).map(step).collect::<Result<_>>()?;
        run.observer().progress(steps, steps);
        Ok((terms, descent.at.matrices()))
    }
    run.install(|| match precision {
        Precision::F32 => of(Descent::<f32>::new(objective, start, rate, run)?, steps, run),
        Precision::F64 => of(Descent::<f64>::new(objective, start, rate, run)?, steps, run),
    })
}
