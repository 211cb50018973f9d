//! The comparison: every setting on every division of the data, every agent in its world, every policy against harm,
//! every group regressor, with every seed, one cell after the other.
//!
//! Cells run one at a time, each on all threads: their times can be compared, and memory holds one model.
//!
//! Random numbers of a cell come from a node of `Streams::new(seed)` that is the same for every recommender (`fit`),
//! agent (`agent`), policy against harm (`policy`) or group regressor (`fit`), on purpose. Streams are addressed by
//! label and index, so no plugin can use up or shift what another one draws, and a result depends neither on the
//! other runs of the experiment nor on their order. Settings of one plugin get common random numbers (the same start,
//! say), which takes noise out of their difference. Splits, worlds and attacks draw from other nodes, so what is held
//! out tells nothing about what a plugin draws.

mod cells;
mod data;
mod groupwise;
mod harm;
mod interactive;
mod offline;
#[cfg(test)]
mod tests;

pub use groupwise::{GroupSize, GroupwiseCells, TableDescription};
pub use harm::HarmCells;
pub(crate) use harm::Labelled;
pub use interactive::InteractiveCells;
pub use offline::OfflineCells;

use crate::cell::{self, Outcome};
use crate::device;
use crate::experiment::Experiment;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::store::Store;
use cells::Runner;
pub(crate) use data::Loaded;
use evenhand_core::Run;
use evenhand_core::dense::Dense;
use evenhand_kernels::Cpu;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What surrounds a comparison and has no influence on its results.
#[derive(Debug)]
pub struct Host {
    /// Number of threads; 0 means one per processor.
    pub threads: usize,
    /// What computes dense products.
    pub dense: Arc<dyn Dense>,
    /// Set to stop after what is under way.
    pub cancel: Arc<AtomicBool>,
    /// Where progress is told.
    pub progress: Progress,
}

/// One thread per processor, the CPU, no progress, never stopped.
impl Default for Host {
    fn default() -> Self {
        Self { threads: 0, dense: Arc::new(Cpu), cancel: Arc::default(), progress: Progress::silent() }
    }
}

/// What came out of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Recommenders on held-out rows, where the experiment has them.
    pub offline: Option<OfflineCells>,
    /// Agents in a world that answers, where the experiment has them.
    pub interactive: Option<InteractiveCells>,
    /// Policies against harm, where the experiment has them.
    pub harm: Option<HarmCells>,
    /// Group regressors, where the experiment has them.
    pub groupwise: Option<GroupwiseCells>,
    /// What the reader of the results should know.
    pub warnings: Vec<String>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Comparison {
    /// All cells: those of recommenders, then those of agents, of policies against harm, of group regressors.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        let offline = self.offline.iter().flat_map(|part| &part.cells);
        let agents = self.interactive.iter().flat_map(|part| &part.cells);
        let policies = self.harm.iter().flat_map(|part| &part.cells);
        let regressors = self.groupwise.iter().flat_map(|part| &part.cells);
        offline.chain(agents).chain(policies).chain(regressors)
    }
}

/// One cell of a comparison.
#[derive(Debug)]
pub struct Cell {
    /// Which one.
    pub place: Place,
    /// What became of it.
    pub end: CellEnd,
}

/// Which cell of its part of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the setting, of the agent, of the case of a policy against harm, or of the run of a group regressor.
    pub setting: usize,
    /// The seed.
    pub seed: u64,
    /// The fold, from 0; 0 of all but recommenders on held-out rows.
    pub fold: usize,
}

/// What became of a cell.
#[derive(Debug)]
pub enum CellEnd {
    /// Measured now.
    Done(Outcome),
    /// Measured by an earlier run.
    Found(Outcome),
    /// The plugin or the device failed; the reason.
    Failed(String),
    /// Not run, since the comparison was stopped.
    Skipped,
}

impl Cell {
    /// The outcome, if there is one.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.end {
            CellEnd::Done(outcome) | CellEnd::Found(outcome) => Some(outcome),
            CellEnd::Failed(_) | CellEnd::Skipped => None,
        }
    }
}

/// The run of everything that plugins do, without a seed: so many threads, the backend for dense products, a cancel
/// flag.
///
/// # Errors
/// [`Failure::Usage`] where the system refuses to start the threads.
pub(crate) fn base_run(threads: usize, dense: &Arc<dyn Dense>, cancel: &Arc<AtomicBool>) -> Result<Run, Failure> {
    let run = Run::new(0).with_threads(threads).map_err(|e| Failure::Usage(format!("--threads: {e}")))?;
    Ok(run.with_dense(dense.clone()).with_cancel(cancel.clone()))
}

/// Runs `experiment`. With a store, finished cells are found there and each new one is kept at once.
///
/// # Errors
/// [`Failure::Data`] where there is no data to compare on, or no harm in it to compare by, [`Failure::Experiment`] for
/// slates longer than the catalogue, [`Failure::Write`] where results can not be kept. A plugin that fails is no error:
/// its cell has [`CellEnd::Failed`].
pub fn compare(experiment: &Experiment, store: Option<&Store>, host: &Host) -> Result<Comparison, Failure> {
    let base = base_run(host.threads, &host.dense, &host.cancel)?;
    let runner = Runner { store, host, base };
    let seeds = &experiment.seeds;
    let mut warnings = experiment.warnings.clone();
    let open = |source| Loaded::open(source, &runner.base, &host.progress);
    let loaded = experiment.data.as_ref().map(open).transpose()?;
    if let Some(loaded) = &loaded {
        loaded.announce(&runner);
        warnings.extend(loaded.remarks.iter().cloned());
    }
    let offline = experiment.offline.as_ref().zip(loaded.as_ref());
    let offline = offline.map(|(part, loaded)| offline::Work::begin(part, loaded, seeds, &runner)).transpose()?;
    let interactive =
        experiment.interactive.as_ref().map(|part| interactive::Work::begin(part, seeds, &runner)).transpose()?;
    let harm = experiment.harm.as_ref().zip(loaded.as_ref());
    let harm = harm.map(|(part, loaded)| harm::Work::begin(part, loaded, seeds, &runner)).transpose()?;
    let groupwise = experiment.groupwise.as_ref();
    let groupwise = groupwise.map(|part| groupwise::Work::begin(part, seeds, &runner)).transpose()?;
    let missing = [
        offline.as_ref().map_or(0, |w| w.missing()),
        interactive.as_ref().map_or(0, |w| w.missing()),
        harm.as_ref().map_or(0, |w| w.missing()),
        groupwise.as_ref().map_or(0, |w| w.missing()),
    ];
    host.progress.begin(missing.iter().sum());
    let offline = offline.map(|work| work.run(&mut warnings)).transpose()?;
    let interactive = interactive.map(interactive::Work::run).transpose()?;
    let harm = harm.map(|work| work.run(&mut warnings)).transpose()?;
    let groupwise = groupwise.map(|work| work.run(&mut warnings)).transpose()?;
    host.progress.end();
    let interrupted = offline.as_ref().is_some_and(|p| p.cut_short)
        || interactive.as_ref().is_some_and(|p| p.cut_short)
        || harm.as_ref().is_some_and(|p| p.cut_short)
        || groupwise.as_ref().is_some_and(|p| p.cut_short);
    let mut comparison = Comparison { offline, interactive, harm, groupwise, warnings, interrupted };
    let late = [of_another_build(&comparison), of_several_devices(&comparison), on_a_broken_device(&comparison, host)];
    for text in late.into_iter().flatten() {
        host.progress.note(&format!("  warn    {text}"));
        comparison.warnings.push(text);
    }
    Ok(comparison)
}

/// A warning where another program has measured what was found.
fn of_another_build(comparison: &Comparison) -> Option<String> {
    let other = |c: &&Cell| matches!(&c.end, CellEnd::Found(outcome) if outcome.build.as_deref() != cell::build());
    let others = comparison.cells().filter(other).count();
    let text = || format!("{others} cells were found from another build of the program; --fresh measures them anew");
    (others > 0).then(text)
}

/// A warning where times can not be compared, since not all are of one device.
fn of_several_devices(comparison: &Comparison) -> Option<String> {
    let mut cells: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in comparison.cells().filter_map(Cell::outcome) {
        *cells.entry(&outcome.device).or_default() += 1;
    }
    let counts: Vec<String> = cells.iter().map(|(device, count)| format!("`{device}` {count}")).collect();
    let text = || {
        let counts = counts.join(", ");
        format!(
            "times are of several devices (cells: {counts}) and do not compare, nor do the last digits of what is \
             trained on a fairness loss; --fresh finds all on one"
        )
    };
    (counts.len() > 1).then(text)
}

/// A word about how to go on where a device has failed.
fn on_a_broken_device(comparison: &Comparison, host: &Host) -> Option<String> {
    let failed = comparison.cells().filter(|c| matches!(&c.end, CellEnd::Failed(why) if device::is_fault(why))).count();
    device::remedy(failed, host.dense.as_ref())
}
