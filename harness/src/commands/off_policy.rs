//! `off-policy`: what the agents of an experiment would have earned, from a log of other agents' actions.

use super::{print, print_json};
use crate::cli;
use crate::compare::base_run;
use crate::device;
use crate::experiment::{Agent, Experiment, Overrides};
use crate::failure::{End, Failure};
use crate::interrupt;
use crate::off_policy::{self, Evaluation, Log, Options, Target};
use crate::panics;
use crate::progress::{Progress, printable};
use crate::report::new_table;
use comfy_table::{Cell, CellAlignment};
use evenhand_core::Error;
use evenhand_core::metrics::off_policy::Estimate;
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub(super) fn run(args: &cli::OffPolicy) -> Result<End, Failure> {
    let overrides = Overrides { set: args.set.clone(), ..Overrides::default() };
    let experiment = Experiment::read(&args.experiment, &overrides)?;
    let Some(part) = &experiment.interactive else {
        let text = format!("{}: no `[[interactive.agent]]` to be evaluated", args.experiment.display());
        return Err(Failure::Usage(text));
    };
    let logs = off_policy::read(&args.log).map_err(Failure::of_data)?;
    let options = Options { train_share: args.train, draws: args.draws as usize, clip: args.clip };
    let cancel = interrupt::flag();
    let progress = if args.quiet { Progress::silent() } else { Progress::stderr() };
    let dense = device::open(args.machine.backend.device, &progress)?;
    let base = base_run(args.machine.threads.into(), &dense, &cancel)?;
    progress.begin(logs.len() * part.agents.len());
    let mut found = Vec::new();
    let pairs = logs.iter().flat_map(|log| part.agents.iter().map(move |agent| (log, agent)));
    for (log, agent) in pairs {
        let name = printable(&format!("{} on {}  seed {}", agent.setting.label, log.agent, log.seed)).into_owned();
        let target =
            Target { recommender: agent.setting.recipe.as_ref(), policy: agent.policy.as_ref(), reward_model: None };
        let run = base.clone().with_seed(log.seed).child("off-policy").with_observer(progress.start(&name));
        let start = Instant::now();
        let result = match panics::caught(|| off_policy::evaluate(log, &target, &options, &run)) {
            Ok(Err(Error::Cancelled)) if cancel.load(Ordering::SeqCst) => break,
            Ok(done) => done.map_err(|e| e.to_string()),
            Err(panic) => Err(panic),
        };
        match &result {
            Ok(_) => progress.finish(&name, &format!("{:.2} s", start.elapsed().as_secs_f64()), false),
            Err(reason) => progress.finish(&name, &format!("FAILED: {reason}"), true),
        }
        found.push(Found { log, agent, result });
    }
    progress.end();
    let interrupted = found.len() < logs.len() * part.agents.len();
    if args.json {
        print_json(&found.iter().map(Found::json).collect::<Vec<_>>())?;
    } else {
        let faults = found.iter().filter(|f| f.result.as_ref().is_err_and(|why| device::is_fault(why))).count();
        let remedy = device::remedy(faults, dense.as_ref());
        print(&format!("{}{}", text(&found), remedy.map_or_else(String::new, |text| format!("warn    {text}\n"))))?;
    }
    Ok(if interrupted {
        End::Interrupted
    } else if found.iter().any(|f| f.result.is_err()) {
        End::SomeFailed
    } else {
        End::Fine
    })
}

/// One agent on one log.
struct Found<'a> {
    log: &'a Log,
    agent: &'a Agent,
    result: Result<Evaluation, String>,
}

impl Found<'_> {
    fn json(&self) -> Json {
        let head = json!({
            "logged_agent": self.log.agent, "seed": self.log.seed, "target": self.agent.setting.label,
            "target_params": self.agent.setting.params, "target_policy": self.agent.policy_params,
        });
        let estimate = |e: &Estimate| json!({ "value": e.value, "standard_error": e.error });
        let tail = match &self.result {
            Err(reason) => json!({ "error": reason }),
            Ok(e) => json!({
                "train_periods": e.train_periods, "train_rows": e.train_rows, "periods": e.periods, "slates": e.slates,
                "logged": estimate(&e.logged),
                "inverse_propensity": estimate(&e.inverse_propensity),
                "self_normalised": e.self_normalised.as_ref().map(estimate),
                "direct_method": estimate(&e.direct_method),
                "doubly_robust": estimate(&e.doubly_robust),
                "effective_sample_size": e.overlap.effective, "mean_weight": e.overlap.mean,
                "largest_weight": e.overlap.largest, "clipped": e.clipped,
                "reward_model": e.reward_model, "warnings": e.warnings,
            }),
        };
        let entries = [head, tail].into_iter().filter_map(|json| match json {
            Json::Object(map) => Some(map),
            _ => None,
        });
        Json::Object(entries.flatten().collect())
    }
}

fn text(found: &[Found<'_>]) -> String {
    let mut table = new_table();
    table.set_header(["log", "seed", "agent", "logged", "ips", "snips", "direct", "doubly robust", "effective n"]);
    let mut below = String::new();
    for Found { log, agent, result } in found {
        let label = &agent.setting.label;
        let evaluation = match result {
            Ok(evaluation) => evaluation,
            Err(reason) => {
                let (of, seed) = (printable(&log.agent), log.seed);
                let _ = writeln!(below, "FAILED  {label} on the log of {of}, seed {seed}: {}", printable(reason));
                continue;
            }
        };
        for warning in &evaluation.warnings {
            let line = format!("warn    {label} on the log of {}: {}\n", printable(&log.agent), printable(warning));
            // Seeds share most of what there is to say.
            if !below.contains(&line) {
                below.push_str(&line);
            }
        }
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let shown = |e: &Estimate| {
            let error = e.error.map_or_else(String::new, |error| format!(" ±{error:.3}"));
            number(format!("{:.3}{error}", e.value))
        };
        let e = evaluation;
        table.add_row([
            Cell::new(printable(&log.agent)),
            number(log.seed.to_string()),
            Cell::new(label),
            shown(&e.logged),
            shown(&e.inverse_propensity),
            e.self_normalised.as_ref().map_or_else(|| number("-".into()), shown),
            shown(&e.direct_method),
            shown(&e.doubly_robust),
            number(format!("{:.0} of {}", e.overlap.effective, e.overlap.rows)),
        ]);
    }
    format!("reward per slate ± standard error, by the later periods of each log\n{table}\n{below}")
}
