//! The objective of matrix factorisation and its gradient, in single or double precision.
//!
//! ```text
//! L = a (sum over training rows (r - y)^2 / rows + l2/2 (|W|^2 + |V|^2)) + f fairness(Y),   y_ui = squash(w_u . v_i)
//! ```

use super::observed::{self, Rows};
use super::parameters::Parameters;
use super::strips::{Accuracy, Flow, Strips};
use super::tiles::TILE;
use crate::cells::{Cell, Smooth};
use crate::fairness_term::{DenseLoss, streamed};
use crate::squash::Squash;
use evenhand_core::dense::{CellPasses, CellProblem};
use evenhand_core::fairness::{CellSums, Observed, Pointwise, Streamed};
use evenhand_core::{Error, FairnessData, FairnessLoss, Interactions, Result, Run};
use nalgebra::DMatrix;

/// Items whose predictions are held at a time for a loss that is a mean over items.
const ITEMS_AT_ONCE: usize = 4 * TILE;

/// What is to be made small.
#[derive(Clone, Copy)]
pub struct Objective<'a> {
    /// The training rows.
    pub train: &'a Interactions,
    /// From products to predictions.
    pub squash: Squash,
    /// Weight of the squared factors beside the mean squared error.
    pub l2: f64,
    /// Weight a of accuracy: the mean squared error and the squared factors.
    pub accuracy: f64,
    /// Whether the last two factors are (user bias, 1) and (1, item bias): ones stay ones, biases are not shrunk.
    pub biases: bool,
    /// The fairness loss, what it may look at, and its weight f.
    pub fairness: Option<(&'a dyn FairnessLoss, FairnessData<'a>, f64)>,
}

/// The terms of the objective at one point, unweighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Mean squared error over the training rows.
    pub error: f64,
    /// Value of the fairness loss; 0 without one.
    pub fairness: f64,
    /// The objective.
    pub total: f64,
}

/// An [`Objective`] with the buffers to compute its gradient again and again.
pub(crate) struct Evaluator<'a, T> {
    objective: Objective<'a>,
    rows: Rows<'a, T>,
    form: Form<'a, T>,
}

/// How the fairness loss is computed.
enum Form<'a, T> {
    Absent,
    /// Its value and gradient by sums of factors: predictions are products, and summed as they are.
    Linear(CellSums<'a>),
    Cells(CellSums<'a>, Strips<T>, Vec<T>),
    /// The same by the run's backend of dense products, in single precision.
    Passes(CellSums<'a>, Box<dyn CellPasses>),
    Observed(Observed<'a>, [Vec<f64>; 2]),
    /// All predictions, or those for some items at a time.
    Dense(Box<DenseLoss<'a>>, Strips<T>),
}

impl<'a, T: Smooth> Evaluator<'a, T> {
    /// # Errors
    /// Those of the fairness loss about its data; [`Error::Unusable`] without training rows, or where a loss that needs
    /// all predictions at once needs more memory than there is.
    pub(crate) fn new(objective: Objective<'a>, at: &Parameters<T>, run: &Run) -> Result<Self> {
        if objective.train.is_empty() {
            return Err(Error::Unusable("there are no training rows".into()));
        }
        let form = match objective.fairness {
            None => Form::Absent,
            Some((loss, data, _)) => match streamed(loss, &data)? {
                Some(Streamed::Observed(observed)) => {
                    let rows = || vec![0.0; objective.train.len()];
                    Form::Observed(observed, [rows(), rows()])
                }
                Some(Streamed::Cells(cells)) if cells.of == Pointwise::Score && objective.squash == Squash::None => {
                    Form::Linear(cells)
                }
                Some(Streamed::Cells(cells)) => match passes(&objective, &cells, at, run)? {
                    Some(passes) => Form::Passes(cells, passes),
                    None => {
                        let strips = Strips::new(at, cells.users.len());
                        let coefficient = vec![T::ZERO; cells.users.len() * strips.columns()];
                        Form::Cells(cells, strips, coefficient)
                    }
                },
                None => {
                    let loss = DenseLoss::new(loss, data, ITEMS_AT_ONCE, run)?;
                    Form::Dense(Box::new(loss), Strips::new(at, 0))
                }
            },
        };
        Ok(Self { objective, rows: Rows::new(objective.train), form })
    }

    /// Root mean squared error of the predictions of `rows` at `at`.
    pub(super) fn error(&self, at: &Parameters<T>, rows: &Interactions) -> f64 {
        let mut predicted = vec![0.0; rows.len()];
        observed::predict(rows, at, self.objective.squash, &mut predicted);
        let squares: f64 =
            predicted.iter().zip(rows.by_user().all_values()).map(|(p, &r)| (p - f64::from(r)).powi(2)).sum();
        (squares / rows.len() as f64).sqrt()
    }

    /// The terms of the objective at `at`; `gradient` becomes its derivative.
    pub(crate) fn evaluate(&mut self, at: &Parameters<T>, gradient: &mut Parameters<T>, run: &Run) -> Result<Terms> {
        let Objective { train, squash, accuracy, fairness, .. } = self.objective;
        gradient.users.fill(T::ZERO);
        gradient.items.fill(T::ZERO);
        let weight = fairness.map_or(0.0, |(.., weight)| weight);
        let weight_of_row = accuracy / train.len() as f64;
        let of_rows = Accuracy { train, squash, weight: weight_of_row };
        let (mut value, mut extra) = (0.0, None);
        // Squared errors, where a pass over all cells comes across the training rows.
        let mut squares = None;
        match &mut self.form {
            Form::Absent => {}
            Form::Linear(cells) => value = linear(cells, weight, at, gradient),
            Form::Cells(cells, strips, coefficient) => {
                let cell = Cell { squash, of: cells.of };
                strips.load(at);
                let sums = strips.sums(at, &cell, &cells.users, &cells.items);
                let (of_sums, table) = (cells.outer)(&sums);
                value = of_sums;
                let columns = strips.columns();
                for a in 0..strips.user_classes() {
                    for (c, &b) in coefficient[a * columns..].iter_mut().zip(cells.items.of()) {
                        *c = T::of(weight * table[(a, b as usize)]);
                    }
                }
                let flow = Flow::Cells { of: cells.of, classes: &cells.users, coefficient };
                squares = Some(strips.add_gradient(at, of_rows, flow, 0..columns / TILE, gradient));
            }
            Form::Passes(cells, passes) => {
                let single = "passes are for single precision";
                let [users, items] = [&at.users, &at.items].map(|rows| T::single(rows).expect(single));
                let (of_sums, table) = (cells.outer)(&passes.sums(users, items)?);
                value = of_sums;
                let [users, items] =
                    [&mut gradient.users, &mut gradient.items].map(|rows| T::single_mut(rows).expect(single));
                squares = Some(passes.add_gradient(&(table * weight), weight_of_row, users, items)?);
            }
            Form::Observed(loss, [predicted, slopes]) => {
                observed::predict(train, at, squash, predicted);
                value = (loss.evaluate)(predicted, slopes);
                slopes.iter_mut().for_each(|s| *s *= weight);
                extra = Some(&slopes[..]);
            }
            Form::Dense(loss, strips) => {
                strips.load(at);
                let mut sum = 0.0;
                for part in 0..loss.len() {
                    let items = loss.enter(part);
                    let tiles = items.start / TILE..items.end.div_ceil(TILE);
                    strips.predict(at, squash, tiles.clone(), &mut loss.predictions);
                    value += loss.evaluate(part, run)?;
                    loss.slopes *= weight;
                    let flow = Flow::Given { by_prediction: &loss.slopes };
                    sum += strips.add_gradient(at, of_rows, flow, tiles, gradient);
                }
                squares = Some(sum);
            }
        }
        let squares = squares.unwrap_or_else(|| self.rows.add_gradient(at, squash, weight_of_row, extra, gradient));
        let shrinkage = self.objective.shrink(at, gradient);
        let error = squares / train.len() as f64;
        Ok(Terms { error, fairness: value, total: accuracy * error + shrinkage + weight * value })
    }
}

impl Objective<'_> {
    /// Adds the gradient of the squared factors, and removes that of the constants. Returns the value.
    fn shrink<T: Smooth>(&self, at: &Parameters<T>, gradient: &mut Parameters<T>) -> f64 {
        let (width, weight) = (at.width, self.accuracy * self.l2);
        let latent = if self.biases { at.rank - 2 } else { at.rank };
        let mut sum = 0.0;
        if weight > 0.0 {
            for (at, gradient) in [(&at.users, &mut gradient.users), (&at.items, &mut gradient.items)] {
                for (at, gradient) in at.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
                    for (x, g) in at.iter().zip(gradient).take(latent) {
                        sum += x.wide() * x.wide();
                        *g = *g + T::of(weight) * *x;
                    }
                }
            }
        }
        if self.biases {
            gradient.users.chunks_exact_mut(width).for_each(|row| row[latent + 1] = T::ZERO);
            gradient.items.chunks_exact_mut(width).for_each(|row| row[latent] = T::ZERO);
        }
        0.5 * weight * sum
    }
}

/// What the run's backend offers for a loss of sums over cells.
fn passes<T: Smooth>(
    objective: &Objective<'_>,
    cells: &CellSums<'_>,
    at: &Parameters<T>,
    run: &Run,
) -> Result<Option<Box<dyn CellPasses>>> {
    if T::single(&at.users).is_none() {
        return Ok(None);
    }
    run.dense().cell_passes(&CellProblem {
        rank: at.rank,
        width: at.width,
        train: objective.train,
        squash: objective.squash,
        of: cells.of,
        users: &cells.users,
        items: &cells.items,
    })
}

/// A loss of sums of plain products: the products of sums.
fn linear<T: Smooth>(cells: &CellSums<'_>, weight: f64, at: &Parameters<T>, gradient: &mut Parameters<T>) -> f64 {
    let width = at.width;
    let of_classes = |rows: &[T], classes: &evenhand_core::fairness::Classes| {
        let mut sums = DMatrix::<f64>::zeros(width, classes.len());
        for (row, &class) in rows.chunks_exact(width).zip(classes.of()) {
            sums.column_mut(class as usize).iter_mut().zip(row).for_each(|(s, x)| *s += x.wide());
        }
        sums
    };
    let (users, items) = (of_classes(&at.users, &cells.users), of_classes(&at.items, &cells.items));
    let (value, table) = (cells.outer)(&users.tr_mul(&items));
    let to_users = &items * table.transpose() * weight;
    let to_items = &users * &table * weight;
    for (rows, flow, classes) in
        [(&mut gradient.users, to_users, &cells.users), (&mut gradient.items, to_items, &cells.items)]
    {
        for (row, &class) in rows.chunks_exact_mut(width).zip(classes.of()) {
            row.iter_mut().zip(flow.column(class as usize).iter()).for_each(|(g, f)| *g = *g + T::of(*f));
        }
    }
    value
}
