//! `compare`: read the experiment, run it, write and show what came out.

use super::{json_text, print};
use crate::cli;
use crate::compare::{Cell, Comparison, Host, Place, compare};
use crate::device;
use crate::experiment::{Experiment, Overrides};
use crate::failure::{End, Failure};
use crate::interrupt;
use crate::progress::Progress;
use crate::protocol::{harm, offline};
use crate::report::{Summary, curves_csv, periods_csv, results_csv, terminal, timings_csv};
use crate::store::Store;
use evenhand_core::Ids;
use std::path::Path;
use std::time::Instant;

/// What is compared when no experiment is named: on simulated data, or on the data of `--data`.
const SIMULATED: (&str, &str) = ("built-in default.toml", include_str!("../../experiments/default.toml"));
const RATINGS: (&str, &str) = ("built-in ratings.toml", include_str!("../../experiments/ratings.toml"));
/// The experiment as it was run. A name of its own: `experiment.toml` may be the user's.
const EFFECTIVE: &str = "experiment.effective.toml";
/// All numbers.
const RESULTS: &str = "results.csv";
/// All actions of agents.
const ACTIONS: &str = "actions.csv";
/// The numbers of every user.
const USERS: &str = "users.csv";

pub(super) fn run(args: &cli::Compare) -> Result<End, Failure> {
    let start = Instant::now();
    let overrides =
        Overrides { data: args.data.clone(), seeds: args.seeds.as_ref().map(|s| s.0.clone()), set: args.set.clone() };
    let experiment = match &args.experiment {
        Some(path) => Experiment::read(path, &overrides)?,
        None => {
            let (name, text) = if args.data.is_some() { RATINGS } else { SIMULATED };
            Experiment::parse(name, text, Path::new(""), &overrides)?
        }
    };
    if let (Some(dir), Some(path)) = (&args.out, &args.experiment) {
        spare(path, &dir.join(EFFECTIVE), &experiment)?;
    }
    if args.out.is_none() && experiment.interactive.as_ref().is_some_and(|part| part.options.log) {
        return Err(Failure::Usage("`interactive.log` without a folder for the log; add --out DIR".into()));
    }
    if args.out.is_none() && experiment.offline.as_ref().is_some_and(|part| part.eval.users) {
        return Err(Failure::Usage("`eval.users` without a folder for their metrics; add --out DIR".into()));
    }
    if args.out.is_none() && experiment.harm.as_ref().is_some_and(|part| part.options.keep_users) {
        return Err(Failure::Usage("`harm.keep_users` without a folder for their numbers; add --out DIR".into()));
    }
    let store = args.out.as_deref().map(|dir| Store::open(dir, args.fresh)).transpose()?;
    let progress = if args.quiet { Progress::silent() } else { Progress::stderr() };
    let dense = device::open(args.machine.backend.device, &progress)?;
    let host = Host { threads: args.machine.threads.into(), dense, cancel: interrupt::flag(), progress };
    let comparison = compare(&experiment, store.as_ref(), &host)?;
    let summary = Summary::new(&experiment, &comparison);
    // Shown first: a disk that is full by now must not hide what was found; nor does a lost reader prevent the files.
    let shown = print(&if args.json { json_text(&summary) } else { terminal(&summary) });
    if let Some(store) = &store {
        let said = write(store, &experiment, &comparison, &summary)?;
        if !args.json {
            print(&said)?;
        }
    }
    shown?;
    host.progress.note(&format!("  took    {:.1} s", start.elapsed().as_secs_f64()));
    Ok(if comparison.interrupted {
        End::Interrupted
    } else if !summary.failures.is_empty() {
        End::SomeFailed
    } else {
        End::Fine
    })
}

/// Writes the files beside the cells; what to say about them.
fn write(
    store: &Store,
    experiment: &Experiment,
    comparison: &Comparison,
    summary: &Summary,
) -> Result<String, Failure> {
    let dir = store.dir().display();
    let results = results_csv(experiment, comparison);
    let lines = |bytes: &[u8]| bytes.iter().filter(|&&b| b == b'\n').count();
    if comparison.interrupted && store.read(RESULTS).is_some_and(|there| lines(&there) > lines(&results)) {
        return Ok(format!("interrupted: the tables in {dir} hold more and are left as they are\n"));
    }
    store.write(EFFECTIVE, experiment.effective.as_bytes())?;
    store.write(RESULTS, &results)?;
    store.write("timings.csv", &timings_csv(experiment, comparison))?;
    let mut names = vec![RESULTS, "timings.csv"];
    let periods = [("periods.csv", periods_csv(experiment, comparison)), ("curves.csv", curves_csv(summary))];
    for (name, table) in periods {
        let Some(table) = table else { continue };
        store.write(name, &table)?;
        names.push(name);
    }
    if let Some(part) = experiment.interactive.as_ref().filter(|part| part.options.log) {
        let outcomes = comparison.interactive.iter().flat_map(|compared| &compared.cells).filter_map(|cell| {
            Some((
                cell.outcome()?.key.as_str(),
                part.agents[cell.place.setting].setting.label.as_str(),
                cell.place.seed,
            ))
        });
        store.write_actions(ACTIONS, outcomes)?;
        names.push(ACTIONS);
    }
    if let Some((ids, cells)) = with_users(experiment, comparison) {
        store.write_users(USERS, cells.into_iter(), ids)?;
        names.push(USERS);
    } else {
        // Those of an earlier run are of other cells.
        store.remove(USERS)?;
    }
    store.write("summary.json", json_text(summary).as_bytes())?;
    names.push("summary.json");
    Ok(format!("results in {dir}: {}\n", names.join(", ")))
}

/// Key of a cell, with its protocol, label, seed and fold.
type KeptCell<'a> = (&'a str, [String; 4]);

/// The cells whose numbers of every user are kept; and the names of the users, which are those of the data for all of
/// them.
fn with_users<'a>(experiment: &'a Experiment, comparison: &'a Comparison) -> Option<(&'a Ids, Vec<KeptCell<'a>>)> {
    let of_cell = |cell: &'a Cell, protocol: &str, label: &str| {
        let Place { seed, fold, .. } = cell.place;
        Some((
            cell.outcome()?.key.as_str(),
            [protocol.to_string(), label.to_string(), seed.to_string(), fold.to_string()],
        ))
    };
    let (mut names, mut cells) = (None, Vec::new());
    if let Some((part, compared)) = experiment.offline.as_ref().zip(comparison.offline.as_ref())
        && let Some(ids) = &compared.user_ids
    {
        let label = |cell: &Cell| part.settings[cell.place.setting].label.as_str();
        cells.extend(compared.cells.iter().filter_map(|cell| of_cell(cell, offline::NAME, label(cell))));
        names = Some(ids);
    }
    if let Some((part, compared)) = experiment.harm.as_ref().zip(comparison.harm.as_ref())
        && let Some(ids) = &compared.user_ids
    {
        let label = |cell: &Cell| part.cases[cell.place.setting].label.as_str();
        cells.extend(compared.cells.iter().filter_map(|cell| of_cell(cell, harm::NAME, label(cell))));
        names = Some(ids);
    }
    Some((names?, cells))
}

/// Refuses to write the effective experiment over the experiment that was given, unless they say the same.
fn spare(given: &Path, effective: &Path, experiment: &Experiment) -> Result<(), Failure> {
    let same = given.canonicalize().ok().zip(effective.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    if same && std::fs::read_to_string(given).is_ok_and(|text| text != experiment.effective) {
        let given = given.display();
        let text = format!("{given}: --out would write over this experiment; copy it, or give another folder to --out");
        return Err(Failure::Usage(text));
    }
    Ok(())
}
