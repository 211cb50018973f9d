//! `calibrate`: what every weight of not taking what is shown comes to, and which one to choose.

use super::{print, print_json};
use crate::cli;
use crate::compare::{Labelled, Loaded, base_run};
use crate::device;
use crate::experiment::{Calibration, Experiment, Overrides, Setting};
use crate::failure::{End, Failure};
use crate::interrupt;
use crate::panics;
use crate::progress::{Progress, printable};
use crate::protocol::harm::{self, Mean, Tried};
use crate::report::new_table;
use comfy_table::{Cell, CellAlignment};
use evenhand_core::{Error, Run};
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub(super) fn run(args: &cli::Calibrate) -> Result<End, Failure> {
    let seeds = args.seeds.as_ref().map(|s| s.0.clone());
    let overrides = Overrides { data: args.data.clone(), seeds, set: args.set.clone() };
    let experiment = Experiment::read(&args.experiment, &overrides)?;
    let Some((part, source)) = experiment.harm.as_ref().zip(experiment.data.as_ref()) else {
        let text = format!("{}: no `[harm]` to be calibrated", args.experiment.display());
        return Err(Failure::Usage(text));
    };
    let cancel = interrupt::flag();
    let progress = if args.quiet { Progress::silent() } else { Progress::stderr() };
    let dense = device::open(args.machine.backend.device, &progress)?;
    let base = base_run(args.machine.threads.into(), &dense, &cancel)?;
    let loaded = Loaded::open(source, &base, &progress)?;
    let labelled = Labelled::new(part, &loaded)?;
    let mut settings: Vec<&Arc<Setting>> = Vec::new();
    for case in &part.cases {
        if !settings.iter().any(|known| known.same(&case.setting)) {
            settings.push(&case.setting);
        }
    }
    let (rule, seed) = (harm::rule(&part.options), experiment.seeds[0]);
    progress.begin(settings.len());
    let mut found = Vec::new();
    for setting in &settings {
        let name = format!("{}  seed {seed}", setting.label);
        let run = base.clone().with_seed(seed).with_observer(progress.start(&name));
        let start = Instant::now();
        let result = match panics::caught(|| try_grid(setting, &labelled, &run)) {
            Ok(Err(Error::Cancelled)) if cancel.load(Ordering::SeqCst) => break,
            Ok(done) => done.map_err(|e| e.to_string()),
            Err(panic) => Err(panic),
        };
        match &result {
            Ok((tried, _)) if chosen(tried, &rule).is_none() => progress.finish(&name, &none(&rule), true),
            Ok(_) => progress.finish(&name, &format!("{:.2} s", start.elapsed().as_secs_f64()), false),
            Err(reason) => progress.finish(&name, &format!("FAILED: {reason}"), true),
        }
        found.push(Found { setting, result });
    }
    progress.end();
    let faults = found.iter().filter(|f| f.result.as_ref().is_err_and(|why| device::is_fault(why))).count();
    let remedy = device::remedy(faults, dense.as_ref());
    let warnings: Vec<&String> = experiment.warnings.iter().chain(&loaded.remarks).chain(&remedy).collect();
    if args.json {
        print_json(&found.iter().map(|f| f.json(&rule, seed, &warnings)).collect::<Vec<_>>())?;
    } else {
        let mut out = found.iter().map(|f| f.text(&rule, seed)).collect::<Vec<_>>().join("\n");
        warnings.iter().for_each(|warning| out.push_str(&format!("warn    {}\n", printable(warning))));
        print(&out)?;
    }
    Ok(if found.len() < settings.len() {
        End::Interrupted
    } else if found.iter().any(|f| f.chosen(&rule).is_none()) {
        End::SomeFailed
    } else {
        End::Fine
    })
}

/// Tries the grid on a recommender, fitted anew; and the number of users.
fn try_grid(setting: &Setting, labelled: &Labelled<'_>, run: &Run) -> evenhand_core::Result<(Vec<Tried>, usize)> {
    let embedding = harm::embed(setting.recipe.as_ref(), &labelled.loaded.data, run)?;
    harm::tried(embedding.model.as_ref(), &labelled.part.options, &labelled.harmful, run)
}

/// One recommender, with what every weight comes to.
struct Found<'a> {
    setting: &'a Setting,
    result: Result<(Vec<Tried>, usize), String>,
}

impl Found<'_> {
    /// The weight that a comparison would take; `None` where none will do, or nothing could be tried.
    fn chosen(&self, rule: &Calibration) -> Option<f64> {
        self.result.as_ref().ok().and_then(|(tried, _)| chosen(tried, rule))
    }

    fn json(&self, rule: &Calibration, seed: u64, warnings: &[&String]) -> Json {
        let Setting { plugin: recommender, label, params, .. } = self.setting;
        let head = json!({
            "recommender": recommender,
            "label": label,
            "params": params,
            "seed": seed,
            "warnings": warnings,
        });
        let value = |mean: &Mean| {
            let Mean { value, not_converged } = mean;
            json!({ "click": value.click, "harm": value.harm, "not_converged": not_converged })
        };
        let tail = match &self.result {
            Err(reason) => json!({ "error": reason }),
            Ok((tried, users)) => json!({
                "users": users,
                "at_least": rule.click,
                "chosen": chosen(tried, rule),
                "chosen_is_largest": chosen(tried, rule).is_some_and(|c| is_largest(c, rule)),
                "grid": tried.iter().map(|t| {
                    json!({ "c": t.c, "uniform": value(&t.uniform), "alternating": value(&t.alternating) })
                }).collect::<Vec<_>>(),
            }),
        };
        let entries = [head, tail].into_iter().filter_map(|json| match json {
            Json::Object(map) => Some(map),
            _ => None,
        });
        Json::Object(entries.flatten().collect())
    }

    fn text(&self, rule: &Calibration, seed: u64) -> String {
        let label = &self.setting.label;
        let (tried, users) = match &self.result {
            Ok(done) => done,
            Err(reason) => return format!("FAILED  {label}, seed {seed}: {}\n", printable(reason)),
        };
        let mut table = new_table();
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        // Most often there is nothing to say.
        let unsettled = tried.iter().any(|t| t.uniform.not_converged + t.alternating.not_converged > 0);
        let counts = ["not converged: uniform", "alternating"];
        let header = ["c", "click of uniform", "harm", "click of alternating", "harm"];
        table.set_header(header.into_iter().chain(counts.into_iter().filter(|_| unsettled)));
        let chosen = chosen(tried, rule);
        for t in tried {
            let mark = if chosen == Some(t.c) { "*" } else { " " };
            let [uniform, alternating] = [t.uniform.value, t.alternating.value];
            let numbers = [uniform.click, uniform.harm, alternating.click, alternating.harm];
            let head = number(format!("{}{mark}", t.c));
            let counts = [t.uniform.not_converged, t.alternating.not_converged].map(|count| number(count.to_string()));
            let numbers = numbers.map(|value| number(format!("{value:.3}")));
            table.add_row(std::iter::once(head).chain(numbers).chain(counts.into_iter().filter(|_| unsettled)));
        }
        let mut out = format!("{label}: means over {users} users, seed {seed}\n{table}\n");
        let click = rule.click;
        let _ = match chosen {
            Some(c) => writeln!(out, "* c = {c}, the largest at which the click of uniform is at least {click}"),
            None => writeln!(out, "{}", none(rule)),
        };
        if let Some(c) = chosen.filter(|&c| is_largest(c, rule)) {
            let _ = writeln!(out, "{c} is the largest of the grid: larger ones may do too");
        }
        if let Some(t) = tried.iter().find(|t| chosen == Some(t.c) && t.uniform.not_converged > 0) {
            let count = t.uniform.not_converged;
            let _ = writeln!(out, "warn    there the search did not end for {count} of {users} users of uniform");
        }
        out
    }
}

fn chosen(tried: &[Tried], rule: &Calibration) -> Option<f64> {
    harm::chosen(tried.iter().map(|t| (t.c, t.uniform.value.click)), rule.click)
}

/// What is said where no weight will do.
fn none(rule: &Calibration) -> String {
    format!("no c here at which the click of uniform is at least {}; try smaller ones", rule.click)
}

/// Whether the grid has no larger weight, so that one beyond it may be what is looked for.
fn is_largest(c: f64, rule: &Calibration) -> bool {
    rule.grid.iter().all(|&other| other <= c)
}
