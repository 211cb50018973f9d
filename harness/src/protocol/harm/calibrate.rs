//! How much a recommendation matters: the weight of not taking what is shown, chosen so that recommendations are taken
//! often enough.
//!
//! The largest weight of a grid is chosen at which the mean click of `uniform` is at least some number: small weights
//! leave no room for harm, large ones none for policies.

use super::study::{Audience, Followed, Row, Study};
use crate::experiment::{Calibration, HarmOptions, Weight};
use crate::protocol::{Figure, mean_and_sd};
use evenhand_core::{Error, Model, Policy, Result, Run};
use evenhand_plugins::alternating::Alternating;
use evenhand_plugins::stationary::Value;
use evenhand_plugins::uniform::Uniform;

/// Number of users for whom the search did not end at the weight that was found.
pub const NOT_CONVERGED: &str = "c-not-converged";

/// Users to calibrate on where the experiment does not say how many it is about.
const USERS: usize = 10;

/// What a weight of not taking what is shown comes to; means over users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// The weight.
    pub c: f64,
    /// Under `uniform`.
    pub uniform: Mean,
    /// Under `alternating`, the published baseline that is the strongest.
    pub alternating: Mean,
}

/// What a policy comes to at one weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Means over users.
    pub value: Value,
    /// Number of users for whom the search for the stationary profile did not end: the means are not theirs.
    pub not_converged: usize,
}

/// A weight to compare at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) c: f64,
    /// Of `uniform` at that weight, with the number of users, where it was calibrated.
    not_converged: Option<(usize, usize)>,
}

impl Found {
    /// What the reader of the results should know about it.
    pub(super) fn figure(&self) -> Option<Figure> {
        let (count, users) = self.not_converged?;
        Some(Figure { metric: NOT_CONVERGED.into(), k: None, group: None, value: count as f64, n: users as u64 })
    }
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
    let audience = audience(model, options, harmful, run)?;
    let study = Study::new(model, options, harmful, &audience);
    let alternating = Alternating::default();
    let grid = rule(options).grid;
    let one = |&c: &f64| {
        let value = |policy: &dyn Policy| Ok::<_, Error>(mean(&follow(&study, policy, c, run)?));
        Ok(Tried { c, uniform: value(&Uniform {})?, alternating: value(&alternating)? })
    };
    Ok((grid.iter().map(one).collect::<Result<_>>()?, audience.users()))
}

/// The largest weight at which the mean click of `uniform` is at least `click`. With each weight, that click.
pub fn chosen(clicks: impl IntoIterator<Item = (f64, f64)>, click: f64) -> Option<f64> {
    clicks.into_iter().filter(|(_, of_uniform)| *of_uniform >= click).map(|(c, _)| c).reduce(f64::max)
}

/// The weight that the experiment gives, or asks to be found.
pub(super) fn weight(model: &dyn Model, options: &HarmOptions, harmful: &[bool], run: &Run) -> Result<Found> {
    let Calibration { grid, click } = match &options.c {
        Weight::Given(c) => return Ok(Found { c: *c, not_converged: None }),
        Weight::Calibrated(calibration) => calibration,
    };
    let audience = audience(model, options, harmful, run)?;
    let study = Study::new(model, options, harmful, &audience);
    let one = |&c: &f64| Ok((c, mean(&follow(&study, &Uniform {}, c, run)?)));
    let tried: Vec<(f64, Mean)> = grid.iter().map(one).collect::<Result<_>>()?;
    let clicks = || tried.iter().map(|(c, mean)| (*c, mean.value.click));
    let c = chosen(clicks(), *click).ok_or_else(|| {
        let best = clicks().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let best = best.map_or_else(String::new, |(c, click)| format!("; at best it is {click:.3}, at {c}"));
        Error::OutOfRange {
            plugin: None,
            field: "harm.c.grid".into(),
            value: format!("{grid:?}"),
            range: format!("a weight at which the mean click of `uniform` is at least {click}{best}"),
        }
    })?;
    let at = tried.iter().find(|(weight, _)| *weight == c);
    Ok(Found { c, not_converged: at.map(|(_, mean)| (mean.not_converged, audience.users())) })
}

fn audience(model: &dyn Model, options: &HarmOptions, harmful: &[bool], run: &Run) -> Result<Audience> {
    Audience::draw(model, options.users.or(Some(USERS)), harmful, run)
}

fn follow(study: &Study<'_>, policy: &dyn Policy, c: f64, run: &Run) -> Result<Followed> {
    // Neither of the policies that are tried reckons with a price.
    study.follow(policy, c, 0.0, &run.child("calibrate"))
}

fn mean(followed: &Followed) -> Mean {
    let not_converged = followed.rows.iter().filter(|row| !row.converged).count();
    let mean = |of: fn(&Row) -> f64| mean_and_sd(&followed.rows.iter().map(of).collect::<Vec<_>>()).0;
    Mean { value: Value { click: mean(|row| row.value.click), harm: mean(|row| row.value.harm) }, not_converged }
}
