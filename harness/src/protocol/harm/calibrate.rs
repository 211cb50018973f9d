//! How much a recommendation matters: the weight of not taking what is shown, chosen so that recommendations are taken often
//! enough.
//!
//! The largest weight of a grid is chosen at which the mean click of `uniform` is at least some number: small weights
//! leave no room for harm, large ones none for policies.

use super::study::{Followed, Row, Study, draw_users};
use crate::experiment::{Calibration, HarmOptions, Weight};
use crate::protocol::mean_and_sd;
use evenhand_core::{Error, Model, Policy, Result, Run};
use evenhand_plugins::alternating::Alternating;
use evenhand_plugins::stationary::Value;
use evenhand_plugins::uniform::Uniform;

/// Users to calibrate on where the experiment does not say how many it is about.
const USERS: usize = 10;

/// What a weight of not taking what is shown comes to; means over users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// The weight.
    pub c: f64,
    /// Under `uniform`.
    pub uniform: Value,
    /// Under `alternating`, the published baseline that is the strongest.
    pub alternating: Value,
}

/// The grid and the rule of an experiment; the usual ones where it gives a weight.
pub fn rule(options: &HarmOptions) -> Calibration {
    match &options.c {
        Weight::Given(_) => Calibration::default(),
        Weight::Calibrated(calibration) => calibration.clone(),
    }
}

/// Tries every weight of the grid; and the number of users that it was tried on. `run` is that of a cell.
///
/// # Errors
/// As [`measure`](super::measure).
pub fn tried(model: &dyn Model, options: &HarmOptions, harmful: &[bool], run: &Run) -> Result<(Vec<Tried>, usize)> {
    let study = study(model, options, harmful, run)?;
    let alternating = Alternating::default();
    let grid = rule(options).grid;
    let one = |&c: &f64| {
        let value = |policy: &dyn Policy| Ok::<_, Error>(mean(&follow(&study, policy, c, run)?));
        Ok(Tried { c, uniform: value(&Uniform {})?, alternating: value(&alternating)? })
    };
    Ok((grid.iter().map(one).collect::<Result<_>>()?, study.users()))
}

/// The largest weight at which the mean click of `uniform` is at least `click`. With each weight, that click.
pub fn chosen(clicks: impl IntoIterator<Item = (f64, f64)>, click: f64) -> Option<f64> {
    clicks.into_iter().filter(|(_, of_uniform)| *of_uniform >= click).map(|(c, _)| c).reduce(f64::max)
}

/// The weight that the experiment gives, or asks to be found.
pub(super) fn weight(model: &dyn Model, options: &HarmOptions, harmful: &[bool], run: &Run) -> Result<f64> {
    let Calibration { grid, click } = match &options.c {
        Weight::Given(c) => return Ok(*c),
        Weight::Calibrated(calibration) => calibration,
    };
    let study = study(model, options, harmful, run)?;
    let one = |&c: &f64| Ok((c, mean(&follow(&study, &Uniform {}, c, run)?).click));
    let clicks: Vec<(f64, f64)> = grid.iter().map(one).collect::<Result<_>>()?;
    chosen(clicks.iter().copied(), *click).ok_or_else(|| {
        let best = clicks.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let best = best.map_or_else(String::new, |(c, click)| format!("; at best it is {click:.3}, at {c}"));
        Error::OutOfRange {
            plugin: None,
            field: "harm.c.grid".into(),
            value: format!("{grid:?}"),
            range: format!("a weight at which the mean click of `uniform` is at least {click}{best}"),
        }
    })
}

fn study<'a>(model: &'a dyn Model, options: &'a HarmOptions, harmful: &'a [bool], run: &Run) -> Result<Study<'a>> {
    Study::new(model, options, harmful, draw_users(model.users(), options.users.or(Some(USERS)), run))
}

fn follow(study: &Study<'_>, policy: &dyn Policy, c: f64, run: &Run) -> Result<Followed> {
    // Neither of the policies that are tried reckons with a price.
    study.follow(policy, c, 0.0, &run.child("calibrate"))
}

fn mean(followed: &Followed) -> Value {
    let mean = |of: fn(&Row) -> f64| mean_and_sd(&followed.rows.iter().map(of).collect::<Vec<_>>()).0;
    Value { click: mean(|row| row.value.click), harm: mean(|row| row.value.harm) }
}
