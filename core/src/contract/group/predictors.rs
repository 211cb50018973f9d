//! Checks of what group regressors predict with.

use super::super::outcome::{Stop, ensure};
use super::tables::{self, Tables};
use super::{Subject, refused};
use crate::{Error, GroupPredictor, GroupTable, Result};

/// Stands in `out` before a prediction: what is not written, or added to, shows.
const UNWRITTEN: f64 = f64::INFINITY;

/// All that a predictor says of some rows.
#[derive(Debug)]
pub(super) struct Observed {
    predictions: Vec<f64>,
    /// By the model of each group, where there is one.
    by: Vec<Option<Vec<f64>>>,
    /// The linear function for the groups of each row, where there is one. Empty for a regressor that is not linear.
    linear: Vec<Option<Vec<f64>>>,
}

/// NaN is NaN.
fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }).collect()
}

impl Observed {
    /// Fails where a bit differs.
    pub(super) fn same(&self, other: &Self, between: &str) -> Result<(), Stop> {
        let each = |values: &[Option<Vec<f64>>]| values.iter().map(|v| v.as_deref().map(bits)).collect::<Vec<_>>();
        let differ = |what: &str| format!("{what} differ between {between}");
        ensure(bits(&self.predictions) == bits(&other.predictions), || differ("predictions"))?;
        ensure(each(&self.by) == each(&other.by), || differ("predictions by a group's model"))?;
        ensure(each(&self.linear) == each(&other.linear), || differ("linear functions"))
    }

    /// The same of the rows of that number.
    fn select(&self, rows: &[usize]) -> Self {
        let of = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<_>>();
        Self {
            predictions: of(&self.predictions),
            by: self.by.iter().map(|by| by.as_deref().map(of)).collect(),
            linear: rows.iter().filter_map(|&row| self.linear.get(row).cloned()).collect(),
        }
    }
}

/// Looks at all that a predictor says of the rows of `table`.
pub(super) fn observe(predictor: &dyn GroupPredictor, table: &GroupTable) -> Result<Observed, Stop> {
    let known = |(there, values): (bool, Vec<f64>)| there.then_some(values);
    let by = |group| by_group(predictor, group, table).map(known);
    let mut linear = Vec::new();
    for row in 0..table.rows() {
        match linear_function(predictor, table, row) {
            Err(Error::Unsupported { .. }) => break,
            function => linear.push(known(function?)),
        }
    }
    Ok(Observed {
        predictions: predictions(predictor, table)?,
        by: (0..table.groups().len()).map(by).collect::<Result<_>>()?,
        linear,
    })
}

pub(super) fn predictions(predictor: &dyn GroupPredictor, table: &GroupTable) -> Result<Vec<f64>> {
    let mut out = vec![UNWRITTEN; table.rows()];
    predictor.predict(table, &mut out)?;
    Ok(out)
}

/// Whether there is a model of `group`, and what was written.
fn by_group(predictor: &dyn GroupPredictor, group: usize, table: &GroupTable) -> Result<(bool, Vec<f64>)> {
    let mut out = vec![UNWRITTEN; table.rows()];
    Ok((predictor.predict_by(group, table, &mut out)?, out))
}

/// Whether there is a linear function for the groups of a row, and what was written.
fn linear_function(predictor: &dyn GroupPredictor, table: &GroupTable, row: usize) -> Result<(bool, Vec<f64>)> {
    let mut out = vec![UNWRITTEN; table.features() + 1];
    Ok((predictor.linear(table.row(row).1, &mut out)?, out))
}

fn untouched(out: &[f64]) -> bool {
    out.iter().all(|&v| v == UNWRITTEN)
}

pub(super) fn finite(s: &Subject<'_>) -> Result<(), Stop> {
    let Tables { train, probe, .. } = &s.data;
    [train, probe].into_iter().try_for_each(|table| whole(s.fitted()?, train, table))
}

/// Whether a predictor that learned from `train` predicts the rows of `table` that have to be, and none by an infinity.
pub(super) fn whole(predictor: &dyn GroupPredictor, train: &GroupTable, table: &GroupTable) -> Result<(), Stop> {
    let peopled: Vec<bool> = (0..train.groups().len()).map(|group| !train.members(group).is_empty()).collect();
    for (row, value) in predictions(predictor, table)?.into_iter().enumerate() {
        let active = table.row(row).1;
        let needed = active.iter().zip(&peopled).any(|(active, peopled)| *active && *peopled);
        ensure(value.is_finite() || value.is_nan() && !needed, || {
            let which = if needed { "a group that had members" } else { "no group that had members" };
            format!("row {} of {}, in {which}: {value}", row + 1, table.rows())
        })?;
    }
    Ok(())
}

pub(super) fn rows(s: &Subject<'_>) -> Result<(), Stop> {
    let fitted = s.fitted()?;
    for table in [&s.data.train, &s.data.probe] {
        let all = observe(fitted, table)?;
        let backwards: Vec<usize> = (0..table.rows()).rev().collect();
        let few = [table.rows() / 2, 0, table.rows() / 2];
        let alone = (0..table.rows()).map(|row| vec![row]);
        for rows in [backwards, few.to_vec()].into_iter().chain(alone) {
            let got = observe(fitted, &table.select(&rows))?;
            all.select(&rows).same(&got, &format!("tables of {} and {} rows", table.rows(), rows.len()))?;
        }
    }
    Ok(())
}

pub(super) fn predict_by(s: &Subject<'_>) -> Result<(), Stop> {
    let (Tables { train, probe, .. }, fitted) = (&s.data, s.fitted()?);
    for (group, name) in train.groups().iter().enumerate() {
        let members = train.members(group).len();
        let both = [by_group(fitted, group, train)?, by_group(fitted, group, probe)?];
        for (there, predicted) in &both {
            if *there {
                let sick = predicted.iter().find(|v| !v.is_finite());
                sick.map_or(Ok(()), |v| Err(Stop::Failed(format!("the model of `{name}` predicts {v}"))))?;
                continue;
            }
            ensure(members == 0, || format!("`{name}` had {members} members, and no model"))?;
            ensure(untouched(predicted), || format!("`{name}` has no model, and writes all the same"))?;
        }
        ensure(both[0].0 == both[1].0, || format!("`{name}` has a model for some tables alone"))?;
    }
    Ok(())
}

pub(super) fn linear(s: &Subject<'_>) -> Result<(), Stop> {
    let fitted = s.fitted()?;
    let tables = [&s.data.train, &s.data.probe];
    if let Err(Error::Unsupported { .. }) = linear_function(fitted, tables[0], 0) {
        return Err(Stop::Skipped("it states no linear function".into()));
    }
    for table in tables {
        for (row, predicted) in predictions(fitted, table)?.into_iter().enumerate() {
            let (features, active) = table.row(row);
            let about = |said: String| move || format!("rows in {}: {said}", named(table, active));
            let (there, function) = linear_function(fitted, table, row)?;
            if !there {
                ensure(predicted.is_nan(), about(format!("no linear function, and a prediction of {predicted}")))?;
                ensure(untouched(&function), about("no linear function, and it writes one".into()))?;
                continue;
            }
            let (weights, intercept) = function.split_at(features.len());
            let terms = weights.iter().zip(features).map(|(w, x)| w * x).chain(intercept.iter().copied());
            let add = |(sum, scale): (f64, f64), term: f64| (sum + term, scale + term.abs());
            let (value, scale) = terms.fold((0.0, 1.0), add);
            // Not near for NaN either.
            let near = (value - predicted).abs() <= 1e-9 * scale;
            ensure(near, about(format!("the linear function gives {value}, the prediction is {predicted}")))?;
        }
    }
    Ok(())
}

fn named(table: &GroupTable, active: &[bool]) -> String {
    let names: Vec<_> = table.groups().iter().zip(active).filter(|(_, in_it)| **in_it).map(|(name, _)| name).collect();
    if names.is_empty() { "no group".into() } else { format!("{names:?}") }
}

pub(super) fn shapes(s: &Subject<'_>) -> Result<(), Stop> {
    let (Tables { train, probe, .. }, fitted) = (&s.data, s.fitted()?);
    let (d, groups) = (train.features(), train.groups().len());
    let predict = |what: &str, table: &GroupTable, length| {
        refused(what, fitted.predict(table, &mut vec![0.0; length]))?;
        (0..groups.min(table.groups().len())).try_for_each(|group| {
            refused(&format!("{what}, by a group"), fitted.predict_by(group, table, &mut vec![0.0; length]))
        })
    };
    predict("a table of fewer features", &tables::sized(d - 1, groups, 3), 3)?;
    predict("a table of more features", &tables::sized(d + 1, groups, 3), 3)?;
    predict("a table of fewer groups", &tables::sized(d, groups - 1, 3), 3)?;
    predict("a table of more groups", &tables::sized(d, groups + 1, 3), 3)?;
    predict("room for fewer predictions than rows", probe, probe.rows() - 1)?;
    predict("room for more predictions than rows", probe, probe.rows() + 1)?;
    for group in [groups, usize::MAX] {
        let out = &mut vec![0.0; probe.rows()];
        refused(&format!("group {group} of {groups}"), fitted.predict_by(group, probe, out))?;
    }
    for (what, active, length) in [
        ("memberships in fewer groups", groups - 1, d + 1),
        ("memberships in more groups", groups + 1, d + 1),
        ("room for fewer weights", groups, d),
        ("room for more weights", groups, d + 2),
    ] {
        match fitted.linear(&vec![true; active], &mut vec![0.0; length]) {
            Err(Error::Unsupported { .. }) => {}
            stated => refused(what, stated)?,
        }
    }
    observe(fitted, &probe.select(&[])).map(drop)
}
