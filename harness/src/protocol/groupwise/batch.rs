//! Learning from a whole table, measured on rows that were held out.

use super::{CROSS, Ground, figure, finite, parts, rows_of};
use crate::protocol::{Figure, Measured, Seconds};
use crate::split::{share, shuffle_front};
use evenhand_core::{Error, GroupData, GroupPredictor, GroupRegressor, GroupTable, Result, Run};
use std::time::Instant;

/// Errors on a part of the test rows.
#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    /// Test rows with a prediction.
    rows: usize,
    /// Sum of squared errors.
    squares: f64,
    /// Sum of labels; later their mean.
    mean: f64,
    /// Sum of squared differences of the labels from their mean.
    total: f64,
    /// The first label, and whether all are the same.
    first: f64,
    varied: bool,
}

/// Learns from all but a share of the rows, and predicts that share.
pub(super) fn measure(recipe: &dyn GroupRegressor, ground: &Ground, test: f64, run: &Run) -> Result<Measured> {
    let data = &ground.data;
    let (train, test) = divide(data.table.rows(), test, run)?;
    let (train, test) = (data.select(&train), data.select(&test));
    let start = Instant::now();
    let fitting = run.child("fit");
    let fitted = run.install(|| recipe.fit(&train.table, &train.labels, &fitting))?;
    let fit = start.elapsed().as_secs_f64();
    run.check()?;
    let start = Instant::now();
    let mut figures = held_out(fitted.as_ref(), &test, run)?;
    let both = rows_of(&train.table).zip(rows_of(&test.table));
    for (part, (learned, held)) in parts(&data.table).zip(both) {
        let (learned, held) = (learned.len(), held.len());
        figures.push(figure("train-rows", part, learned as f64, learned));
        figures.push(figure("test-rows", part, held as f64, held));
    }
    let seconds = Seconds { fit, evaluate: start.elapsed().as_secs_f64() };
    Ok(Measured { figures: finite(figures)?, seconds, ..Measured::default() })
}

/// The rows to learn from and a share of test rows, both in the order in which they were drawn.
fn divide(rows: usize, test: f64, run: &Run) -> Result<(Vec<usize>, Vec<usize>)> {
    if rows < 2 {
        return Err(Error::Unusable(format!("{rows} row, expected at least 2 to hold some of them out")));
    }
    let mut order: Vec<usize> = (0..rows).collect();
    shuffle_front(&mut order, rows, &mut run.streams.child("split").rng(0));
    let train = order.split_off(share(rows, test));
    Ok((train, order))
}

/// How well the rows of `test` are predicted, together and by the model of each group: the figures of the protocol but the
/// numbers of rows.
///
/// # Errors
/// Those of the plugin; [`Diverged`](Error::Diverged) for a prediction that is infinite; [`Cancelled`](Error::Cancelled).
pub fn held_out(fitted: &dyn GroupPredictor, test: &GroupData, run: &Run) -> Result<Vec<Figure>> {
    let mut out = vec![f64::NAN; test.table.rows()];
    fitted.predict(&test.table, &mut out)?;
    let mut figures = predicted(&test.table, &errors(test, &out)?);
    for (part, rows) in parts(&test.table).zip(rows_of(&test.table)) {
        let silent = rows.iter().filter(|&&row| out[row].is_nan()).count();
        figures.push(figure("no-prediction", part, silent as f64, rows.len()));
    }
    figures.extend(crossed(fitted, test, &mut out, run)?);
    Ok(figures)
}

/// R2 and RMSE of all test rows and of each group, and the worst of a group.
fn predicted(table: &GroupTable, errors: &[Errors]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (part, errors) in parts(table).zip(errors) {
        figures.extend(errors.r2().map(|r2| figure("r2", part, r2, errors.rows)));
        figures.extend(errors.rmse().map(|rmse| figure("rmse", part, rmse, errors.rows)));
    }
    // A worst one is of as many rows as its group has.
    let mut worst = |metric, of: fn(&Errors) -> Option<f64>, worse: fn(&f64, &f64) -> std::cmp::Ordering| {
        let groups = errors[1..].iter().filter_map(|errors| Some((of(errors)?, errors.rows)));
        let found = groups.max_by(|a, b| worse(&a.0, &b.0));
        figures.extend(found.map(|(value, rows)| figure(metric, None, value, rows)));
    };
    worst("worst-r2", Errors::r2, |a, b| b.total_cmp(a));
    worst("worst-rmse", Errors::rmse, f64::total_cmp);
    figures
}

/// R2 of the model of each group on the test rows of every group.
fn crossed(fitted: &dyn GroupPredictor, test: &GroupData, out: &mut [f64], run: &Run) -> Result<Vec<Figure>> {
    let (mut own, mut cross) = (Vec::new(), Vec::new());
    for (model, name) in test.table.groups().iter().enumerate() {
        run.check()?;
        out.fill(f64::NAN);
        if !fitted.predict_by(model, &test.table, out)? {
            continue;
        }
        let metric = format!("{CROSS} {name}");
        let of_groups = parts(&test.table).zip(errors(test, out)?).skip(1);
        for (group, (part, errors)) in of_groups.enumerate() {
            let Some(r2) = errors.r2() else { continue };
            own.extend((group == model).then(|| figure("own-r2", part, r2, errors.rows)));
            cross.push(figure(metric.as_str(), part, r2, errors.rows));
        }
    }
    own.extend(cross);
    Ok(own)
}

/// The errors of all rows, then those of each group. A row whose prediction is NaN has none and is left out.
fn errors(test: &GroupData, out: &[f64]) -> Result<Vec<Errors>> {
    let GroupData { table, labels, .. } = test;
    if out.iter().any(|prediction| prediction.is_infinite()) {
        return Err(Error::Diverged { what: "a prediction".into(), step: None });
    }
    let mut parts = vec![Errors::default(); table.groups().len() + 1];
    let each = |parts: &mut [Errors], add: fn(&mut Errors, f64, f64)| {
        for (row, (&label, &prediction)) in labels.iter().zip(out).enumerate().filter(|(_, (_, p))| !p.is_nan()) {
            let active = table.row(row).1.iter().copied();
            let there = std::iter::once(true).chain(active);
            parts.iter_mut().zip(there).filter(|(_, there)| *there).for_each(|(part, _)| add(part, label, prediction));
        }
    };
    each(&mut parts, |part, label, _| {
        part.first = if part.rows == 0 { label } else { part.first };
        part.varied |= label != part.first;
        part.rows += 1;
        part.mean += label;
    });
    parts.iter_mut().for_each(|part| part.mean /= part.rows.max(1) as f64);
    // In a second pass: the difference of two large sums would lose the digits that count.
    each(&mut parts, |part, label, prediction| {
        part.squares += (label - prediction).powi(2);
        part.total += (label - part.mean).powi(2);
    });
    Ok(parts)
}

impl Errors {
    /// `None` for fewer than two rows, or labels that are all the same.
    fn r2(&self) -> Option<f64> {
        (self.varied && self.total > 0.0).then(|| 1.0 - self.squares / self.total)
    }

    /// `None` without a row.
    fn rmse(&self) -> Option<f64> {
        (self.rows > 0).then(|| (self.squares / self.rows as f64).sqrt())
    }
}
