//! `check`: the contract kit on linked plugins.

use super::{print, print_json};
use crate::catalog;
use crate::cli;
use crate::device;
use crate::failure::{End, Failure};
use crate::panics;
use crate::progress::{Progress, printable};
use evenhand_core::contract::{self, Outcome, Stop};
use evenhand_core::dense::Dense;
use evenhand_core::{
    Descriptor, FairnessLoss, GroupRegressor, Kinded, Mixer, Policy, Recommender, Registry, Simulator,
};
use evenhand_kernels::cuda::Options;
use serde_json::json;
use std::sync::Arc;

pub(super) fn run(args: &cli::Check) -> Result<End, Failure> {
    let entries = catalog::all().map_err(Failure::Plugin)?;
    let chosen: Vec<(&str, &str)> = match &args.name {
        Some(name) => catalog::named(&entries, name).map_err(Failure::Plugin)?,
        None => entries.iter().collect(),
    }
    .into_iter()
    .map(|e| (e.kind, e.name))
    .collect();
    // What plugins are checked on is small, and would be left to the CPU.
    let options = Options { least_work: 0, ..Options::default() };
    let dense = device::open_with(args.backend.device, options, &Progress::stderr())?;
    let mut failed = 0;
    let mut total = 0;
    let mut answers = Vec::new();
    for (kind, name) in chosen {
        let outcomes = check(kind, name, &dense)?;
        total += outcomes.len();
        failed += outcomes.iter().filter(|o| o.failed()).count();
        if args.json {
            answers.extend(outcomes.iter().map(|o| answer(kind, o)));
        } else {
            // One plugin at a time: some checks take seconds.
            let lines: Vec<String> = outcomes.iter().map(|o| format!("  {}\n", line(o))).collect();
            print(&format!("{kind}/{name}\n{}", lines.concat()))?;
        }
    }
    if args.json {
        print_json(&answers)?;
    } else {
        print(&format!("{} of {total} checks failed\n", failed))?;
    }
    Ok(if failed > 0 { End::SomeFailed } else { End::Fine })
}

/// Checks one plugin. Of all kinds, recommenders alone have dense products computed.
fn check(kind: &str, name: &str, dense: &Arc<dyn Dense>) -> Result<Vec<Outcome>, Failure> {
    fn of<T: Kinded + ?Sized>(
        kind: &str,
        name: &str,
        checks: impl FnOnce(&Descriptor<T>) -> Vec<Outcome>,
    ) -> Option<Result<Vec<Outcome>, Failure>> {
        let run = || {
            let descriptor = Registry::<T>::linked().and_then(|r| r.get(name)).map_err(Failure::Plugin)?;
            // The kit turns panics into outcomes; this keeps them quiet.
            panics::caught(|| checks(descriptor)).map_err(Failure::Usage)
        };
        (kind == T::KIND).then(run)
    }
    of::<dyn Recommender>(kind, name, |d| contract::recommender_on(d, dense))
        .or_else(|| of::<dyn Simulator>(kind, name, contract::simulator))
        .or_else(|| of::<dyn FairnessLoss>(kind, name, contract::fairness_loss))
        .or_else(|| of::<dyn Policy>(kind, name, contract::policy))
        .or_else(|| of::<dyn GroupRegressor>(kind, name, contract::group_regressor))
        .or_else(|| of::<dyn Mixer>(kind, name, contract::mixer))
        .expect("every kind is listed")
}

fn line(outcome: &Outcome) -> String {
    let Outcome { check, about, .. } = outcome;
    match &outcome.result {
        Ok(()) => format!("ok      {check}"),
        Err(Stop::Skipped(why)) => format!("skipped {check}: {why}"),
        Err(Stop::Failed(why)) => format!("FAILED  {check} ({about}): {}", printable(why)),
    }
}

fn answer(kind: &str, outcome: &Outcome) -> serde_json::Value {
    let (result, why) = match &outcome.result {
        Ok(()) => ("passed", None),
        Err(Stop::Skipped(why)) => ("skipped", Some(why)),
        Err(Stop::Failed(why)) => ("failed", Some(why)),
    };
    let Outcome { plugin, check, about, .. } = outcome;
    json!({ "kind": kind, "plugin": plugin, "check": check, "about": about, "result": result, "reason": why })
}
