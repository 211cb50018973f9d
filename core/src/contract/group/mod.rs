//! Checks of group regressors: how they learn from a table. What they predict with is checked in `predictors`, learning
//! row by row in `online`.

mod online;
mod predictors;
mod tables;

use super::outcome::{Check, Outcome, Stop, caught, ensure, run_all};
use super::recipe;
use crate::metrics::r2;
use crate::params::parameters;
use crate::{Descriptor, Error, GroupPredictor, GroupRegressor, GroupTable, Result, Run};
use online::Round;
use predictors::observe;
use serde_json::{Value as Json, json};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tables::Tables;

/// Checks a group regressor with its default parameters.
pub fn group_regressor(descriptor: &Descriptor<dyn GroupRegressor>) -> Vec<Outcome> {
    group_regressor_with(descriptor, &json!({}))
}

/// Checks a group regressor with those parameters, an object; absent ones take their defaults.
///
/// Labels are within 0 and 1.
pub fn group_regressor_with(descriptor: &Descriptor<dyn GroupRegressor>, params: &Json) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    let runs = [1, 2, 7].map(|threads| Run::new(SEED).with_threads(threads).expect("the system starts seven threads"));
    let cells = (OnceCell::new(), OnceCell::new());
    let subject = Subject { descriptor, params, runs, data: tables::tables(), fitted: cells.0, streamed: cells.1 };
    outcomes.extend(run_all(descriptor.name, &checks(), &subject));
    outcomes
}

const SEED: u64 = 20;

/// Share of the variance of the labels that has to be explained. Ridge regression in one pass, the same for all groups,
/// explains more than 0.8.
const LEARNED: f64 = 0.5;

/// A group regressor under test.
struct Subject<'a> {
    descriptor: &'a Descriptor<dyn GroupRegressor>,
    params: &'a Json,
    /// On one, two and seven threads.
    runs: [Run; 3],
    data: Tables,
    fitted: OnceCell<Result<Box<dyn GroupPredictor>, String>>,
    /// All rounds, or why they could not be gone through.
    streamed: OnceCell<Result<Vec<Round>, String>>,
}

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("fits", "learns from a table with groups of one member and of none, constant and equal features", fits),
        Check(
            "finite",
            "rows in a group that had members are predicted; no prediction is infinite",
            predictors::finite,
        ),
        Check("rows", "the prediction of a row does not depend on the rows beside it", predictors::rows),
        Check(
            "predict-by",
            "each group that had members predicts all rows; others do too, or leave everything as it is",
            predictors::predict_by,
        ),
        Check("linear", "linear functions agree with the predictions", predictors::linear),
        Check("shapes", "other sizes and groups out of range are `Error::Shape`; no row is fine", predictors::shapes),
        Check("learns", "what is linear is learned: predictions are better than the mean label", learns),
        Check("labels", "too few or too many labels, none and those that are not finite are errors", labels),
        Check("degenerate", "tables in which there is little to learn are learned, and finite", degenerate),
        Check("threads", "the same bits on 1, 2 and 7 threads", threads),
        Check("seed", "the same bits for the same seed, whatever was learned before", seed),
        Check("cancel", "fitting with a run that was cancelled ends in `Error::Cancelled`", cancel),
        Check("begins", "begins if and only if it says that it learns row by row", online::begins),
        Check("rounds", "row by row, every row in a group that had members is predicted, finite", online::rounds),
        Check("causal", "a label changes no prediction up to that of its own row", online::causal),
        Check("order", "what follows changes nothing in the first rounds", online::order),
        Check("traceless", "nothing is learned by predicting, the row itself or others", online::traceless),
        Check("experts", "the experts' shares are such, and what they predict adds up", online::experts),
        Check("nobody", "a row in no group and without a prediction leaves no trace", online::nobody),
        Check(
            "refusals",
            "rows of other sizes and labels that are not finite are errors, not learned",
            online::refusals,
        ),
        Check("freezes", "a frozen one predicts what had been learned by then, and stays so", online::freezes),
    ]
}

impl Subject<'_> {
    /// A fresh recipe: what another one has done must not show.
    fn recipe(&self) -> Result<Box<dyn GroupRegressor>> {
        self.descriptor.build(&mut <dyn erased_serde::Deserializer>::erase(self.params))
    }

    /// The run on two threads.
    fn run(&self) -> &Run {
        &self.runs[1]
    }

    fn fit(&self, table: &GroupTable, labels: &[f64]) -> Result<Box<dyn GroupPredictor>> {
        self.recipe()?.fit(table, labels, self.run())
    }

    fn outcome(&self) -> &Result<Box<dyn GroupPredictor>, String> {
        let fit = || caught(|| self.fit(&self.data.train, &self.data.labels))?.map_err(|e| e.to_string());
        self.fitted.get_or_init(fit)
    }

    /// What was learned from the table, once for all checks that only look at it.
    fn fitted(&self) -> Result<&dyn GroupPredictor, Stop> {
        match self.outcome() {
            Ok(fitted) => Ok(fitted.as_ref()),
            Err(_) => Err(Stop::Skipped("nothing was learned: see `fits`".into())),
        }
    }
}

fn fits(s: &Subject<'_>) -> Result<(), Stop> {
    s.outcome().as_ref().map(|_| ()).map_err(|e| Stop::Failed(e.clone()))
}

/// Over all rows that are predicted, which is the business of `finite`, and over the members of each large group by its
/// own model.
fn learns(s: &Subject<'_>) -> Result<(), Stop> {
    let (Tables { train, labels, .. }, fitted) = (&s.data, s.fitted()?);
    let enough = |whose: &str, predicted: &[f64], labels: &[f64]| {
        // Without predicted rows there is none: not learned.
        let learned = r2(predicted, labels).unwrap_or(f64::NAN);
        ensure(learned > LEARNED, || format!("{whose}: R2 is {learned}, expected above {LEARNED}"))
    };
    let mut out = vec![0.0; train.rows()];
    fitted.predict(train, &mut out)?;
    let (predicted, of_them): (Vec<_>, Vec<_>) = out.iter().zip(labels).filter(|(p, _)| p.is_finite()).unzip();
    enough("all rows", &predicted, &of_them)?;
    for (group, name) in train.groups().iter().enumerate() {
        let members = train.members(group);
        if members.len() < train.rows() / 10 {
            continue;
        }
        let (mut out, own): (_, Vec<_>) = (vec![0.0; members.len()], members.iter().map(|&row| labels[row]).collect());
        // Whether there is such a model is the business of `predict-by`.
        if fitted.predict_by(group, &train.select(&members), &mut out)? {
            enough(&format!("members of `{name}`, by its model"), &out, &own)?;
        }
    }
    Ok(())
}

fn labels(s: &Subject<'_>) -> Result<(), Stop> {
    let Tables { train, labels, .. } = &s.data;
    s.fitted()?;
    let with = |at: usize, label: f64| {
        let mut labels = labels.clone();
        labels[at] = label;
        labels
    };
    let short = labels[1..].to_vec();
    let long = [&labels[..], &[0.5]].concat();
    for (what, labels) in [("a label too few", short), ("a label too many", long), ("no label", vec![])] {
        refused(what, s.fit(train, &labels))?;
    }
    match s.fit(&train.select(&[]), &[]) {
        Err(Error::Unusable(_)) => {}
        Err(e) => return Err(Stop::Failed(format!("no row ends in another error than `Error::Unusable`: {e}"))),
        Ok(_) => return Err(Stop::Failed("no row is accepted".into())),
    }
    for label in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in [0, labels.len() - 1] {
            let learned = s.fit(train, &with(at, label)).is_ok();
            ensure(!learned, || format!("row {}: the label is {label}, and no error", at + 1))?;
        }
    }
    Ok(())
}

/// Passes for an error of shape.
fn refused<T>(what: &str, result: Result<T>) -> Result<(), Stop> {
    match result {
        Err(Error::Shape { .. }) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("{what} ends in another error than `Error::Shape`: {e}"))),
        Ok(_) => Err(Stop::Failed(format!("{what}: no error"))),
    }
}

fn degenerate(s: &Subject<'_>) -> Result<(), Stop> {
    for (what, table, labels) in tables::degenerate() {
        let tried = caught(|| -> Result<(), Stop> {
            predictors::whole(s.fit(&table, &labels)?.as_ref(), &table, &table)?;
            // Whether it begins at all is the business of `begins`.
            match s.if_streamed() {
                Some(_) => online::whole(&online::stream(s, s.run(), &table, &labels)?, &table),
                None => Ok(()),
            }
        });
        if let Ok(Err(Stop::Failed(why) | Stop::Skipped(why))) | Err(why) = tried {
            return Err(Stop::Failed(format!("{what}: {why}")));
        }
    }
    Ok(())
}

fn threads(s: &Subject<'_>) -> Result<(), Stop> {
    let (Tables { train, labels, probe }, fitted) = (&s.data, s.fitted()?);
    let expected = [observe(fitted, train)?, observe(fitted, probe)?];
    let [one, _, seven] = &s.runs;
    for run in [one, seven] {
        let between = format!("2 and {} threads", run.threads());
        let again = s.recipe()?.fit(train, labels, run)?;
        expected[0].same(&observe(again.as_ref(), train)?, &between)?;
        expected[1].same(&observe(again.as_ref(), probe)?, &between)?;
        if let Some(rounds) = s.if_streamed() {
            online::same(rounds, &online::stream(s, run, train, labels)?, &between)?;
        }
    }
    Ok(())
}

fn seed(s: &Subject<'_>) -> Result<(), Stop> {
    let (Tables { train, labels, .. }, fitted) = (&s.data, s.fitted()?);
    let expected = observe(fitted, train)?;
    let recipe = s.recipe()?;
    let written = parameters(recipe.as_ref());
    let other = s.run().clone().with_seed(SEED + 1);
    let turned: Vec<f64> = labels.iter().map(|label| 1.0 - label).collect();
    // How this one ends is the business of `fits`.
    let _ = caught(|| recipe.fit(train, &turned, &other).is_ok());
    ensure(parameters(recipe.as_ref()) == written, || "fitting changed the parameters".into())?;
    let again = recipe.fit(train, labels, s.run())?;
    expected.same(&observe(again.as_ref(), train)?, "a first and a later fit")?;
    s.if_streamed().map_or(Ok(()), |rounds| online::apart(s, recipe.as_ref(), rounds))
}

fn cancel(s: &Subject<'_>) -> Result<(), Stop> {
    s.fitted()?;
    let run = s.run().clone().with_cancel(Arc::new(AtomicBool::new(true)));
    match s.recipe()?.fit(&s.data.train, &s.data.labels, &run) {
        Err(Error::Cancelled) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("it ends in another error: {e}"))),
        Ok(_) => Err(Stop::Failed("it goes on; call `run.check()?` at its start".into())),
    }
}
