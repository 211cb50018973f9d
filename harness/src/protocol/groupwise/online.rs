//! Learning row by row: predict, then observe.

use super::{Ground, figure, finite, parts};
use crate::experiment::Comparator;
use crate::protocol::{Figure, Measured, Seconds};
use evenhand_core::{Error, GroupData, GroupRegressor, Result, Run};
use evenhand_plugins::least_squares::Hindsight;
use std::time::Instant;

/// So often progress is told, and whether to stop is looked at, in rows.
const AT_ONCE: usize = 1024;

/// What a part of the rows came to.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    rows: usize,
    /// Rows without a prediction.
    silent: usize,
    /// Losses of the predictions.
    loss: f64,
    /// Losses of an expert drawn by its weight.
    expected: f64,
    /// Losses of the expert of this part, and in how many rows there was one.
    own: f64,
    own_rows: usize,
    /// The last one of the rows.
    last: usize,
}

/// What a stream of rows came to: of all of them, then of each group.
struct Followed {
    parts: Vec<Sums>,
    /// Experts behind all predictions.
    experts: usize,
}

/// Predicts and observes all rows in that order. Keeping sums on the way counts as learning; finding the best linear
/// functions, which all regressors share, is not timed.
pub(super) fn measure(
    recipe: &dyn GroupRegressor,
    ground: &Ground,
    comparator: Comparator,
    order: &[usize],
    run: &Run,
) -> Result<Measured> {
    let hindsight = ground.hindsight(run)?;
    let start = Instant::now();
    let followed = run.install(|| follow(recipe, &ground.data, order, run))?;
    let fit = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let figures = finite(figures(&followed, ground, hindsight, comparator))?;
    let seconds = Seconds { fit, evaluate: start.elapsed().as_secs_f64() };
    Ok(Measured { figures, seconds, ..Measured::default() })
}

fn follow(recipe: &dyn GroupRegressor, data: &GroupData, order: &[usize], run: &Run) -> Result<Followed> {
    let table = &data.table;
    let groups = table.groups().len();
    let mut learner = recipe.begin(table.features(), groups, &run.child("fit"))?;
    let mut followed = Followed { parts: vec![Sums::default(); groups + 1], experts: 0 };
    // Loss of the expert of each part in this row. Kept between rows: nothing is allocated for a row.
    let mut own: Vec<Option<f64>> = vec![None; groups + 1];
    for (at, &row) in order.iter().enumerate() {
        if at % AT_ONCE == 0 {
            run.step(at, order.len())?;
        }
        let (features, active) = table.row(row);
        let prediction = learner.predict(features, active)?;
        let label = data.labels[row];
        let loss = prediction.map(|prediction| (prediction - label).powi(2));
        if loss.is_some_and(|loss| !loss.is_finite()) {
            return Err(Error::Diverged { what: "the loss of a prediction".into(), step: Some(at) });
        }
        own.fill(None);
        let experts = learner.experts();
        let mut expected = if experts.is_empty() { loss.unwrap_or(0.0) } else { 0.0 };
        for expert in experts {
            let of_expert = (expert.prediction - label).powi(2);
            expected += expert.weight * of_expert;
            let part = expert.group.map_or(0, |group| group + 1);
            let slot = own.get_mut(part).ok_or_else(|| {
                Error::shape("group of an expert", format!("below {groups}"), expert.group.unwrap_or_default())
            })?;
            *slot = Some(of_expert);
        }
        followed.experts += if loss.is_some() { experts.len() } else { 0 };
        let there = std::iter::once(true).chain(active.iter().copied());
        for ((sums, own), _) in followed.parts.iter_mut().zip(&own).zip(there).filter(|(_, there)| *there) {
            sums.add(row, loss.map(|loss| (loss, expected)), *own);
        }
        learner.observe(features, active, label)?;
    }
    run.check()?;
    Ok(followed)
}

impl Sums {
    /// Adds a row with the loss of its prediction and the expected one, if there is a prediction; and the loss of the expert
    /// of this part, if there is one.
    fn add(&mut self, row: usize, losses: Option<(f64, f64)>, own: Option<f64>) {
        self.rows += 1;
        self.last = row;
        let Some((loss, expected)) = losses else {
            self.silent += 1;
            return;
        };
        self.loss += loss;
        self.expected += expected;
        if let Some(own) = own {
            self.own += own;
            self.own_rows += 1;
        }
    }

    /// Losses of the expert of this part, where it took part in all rows: otherwise they are of other rows.
    fn own_loss(&self) -> Option<f64> {
        (self.own_rows == self.rows).then_some(self.own)
    }

    /// Loss of the best linear function of all rows, where `group` is `None`, or of those of that group.
    fn best(&self, hindsight: &Hindsight, data: &GroupData, group: Option<usize>, comparator: Comparator) -> f64 {
        match comparator {
            Comparator::AllRows => hindsight.loss,
            // No row is left to lose on.
            Comparator::AllButLast if self.rows == 1 => 0.0,
            Comparator::AllButLast => {
                let rows = group.map_or_else(|| (0..data.table.rows()).collect(), |group| data.table.members(group));
                hindsight.without(&data.table, &rows, &data.labels, self.last)
            }
        }
    }
}

fn figures(
    followed: &Followed,
    ground: &Ground,
    hindsight: &[Option<Hindsight>],
    comparator: Comparator,
) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut worst = (f64::NEG_INFINITY, 0);
    let of_parts = parts(&ground.data.table).zip(&followed.parts).zip(hindsight);
    for (at, ((part, sums), hindsight)) in of_parts.enumerate() {
        let Some(hindsight) = hindsight else {
            figures.push(figure("rows", part, 0.0, 0));
            continue;
        };
        let best = sums.best(hindsight, &ground.data, at.checked_sub(1), comparator);
        let mut push = |metric: &str, value| figures.push(figure(metric, part, value, sums.rows));
        // Who says nothing loses nothing, and hindsight loses on all rows: nothing to compare.
        if sums.silent == 0 {
            push("regret", sums.loss - best);
            push("expected-regret", sums.expected - best);
            if let Some(own) = sums.own_loss() {
                push("own-regret", own - best);
            }
            if part.is_some() && sums.loss - best > worst.0 {
                worst = (sums.loss - best, sums.rows);
            }
        }
        push("loss", sums.loss);
        push("expected-loss", sums.expected);
        push("hindsight", best);
        push("rank", hindsight.rank as f64);
        push("rows", sums.rows as f64);
        push("no-prediction", sums.silent as f64);
    }
    figures.extend((worst.1 > 0).then(|| figure("worst-regret", None, worst.0, worst.1)));
    let all = &followed.parts[0];
    let predicted = all.rows - all.silent;
    if followed.experts > 0 && predicted > 0 {
        figures.push(figure("experts", None, followed.experts as f64 / predicted as f64, predicted));
    }
    figures
}
