//! `compare`: read the experiment, run it, write and show what came out.

use super::{json_text, print};
use crate::cli;
use crate::compare::{Host, compare};
use crate::experiment::{Experiment, Overrides};
use crate::failure::{End, Failure};
use crate::interrupt;
use crate::progress::Progress;
use crate::report::{Summary, results_csv, terminal, timings_csv};
use crate::store::Store;
use std::path::Path;
use std::time::Instant;

/// What is compared when no experiment is named: on simulated data, or on the data of `--data`.
const SIMULATED: (&str, &str) = ("default.toml", include_str!("../../experiments/default.toml"));
const RATINGS: (&str, &str) = ("ratings.toml", include_str!("../../experiments/ratings.toml"));

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
    let store = args.out.as_deref().map(|dir| Store::open(dir, args.fresh)).transpose()?;
    let progress = if args.quiet { Progress::silent() } else { Progress::stderr() };
    let host = Host { threads: args.threads.into(), cancel: interrupt::flag(), progress };
    let comparison = compare(&experiment, store.as_ref(), &host)?;
    let summary = Summary::new(&experiment, &comparison);
    if let Some(store) = &store {
        store.write("experiment.toml", experiment.effective.as_bytes())?;
        store.write("results.csv", &results_csv(&experiment, &comparison))?;
        store.write("timings.csv", &timings_csv(&experiment, &comparison))?;
        store.write("summary.json", json_text(&summary).as_bytes())?;
    }
    if args.json {
        print(&json_text(&summary));
    } else {
        print(&terminal(&summary));
        if let Some(store) = &store {
            print(&format!("results in {}: results.csv, timings.csv, summary.json\n", store.dir().display()));
        }
    }
    host.progress.note(&format!("  took    {:.1} s", start.elapsed().as_secs_f64()));
    Ok(if comparison.interrupted {
        End::Interrupted
    } else if !summary.failures.is_empty() {
        End::SomeFailed
    } else {
        End::Fine
    })
}
