//! The comparison: every setting on every division of the data with every seed, one cell after the other.
//!
//! Cells run one at a time, each on all threads: their times can be compared, and memory holds one model.
//!
//! Random numbers of a cell come from `Streams::new(seed).child("fit")`, the same node for every recommender, on
//! purpose. Streams are addressed by label and index, so no plugin can use up or shift what another one draws, and a
//! result depends neither on the other runs of the experiment nor on their order. Settings of one plugin get common
//! random numbers (the same start, say), which takes noise out of their difference. The split draws from another node,
//! so what is held out tells nothing about what a plugin draws.

use crate::cell::{self, Outcome};
use crate::experiment::{Experiment, Source};
use crate::failure::Failure;
use crate::load::{self, Description};
use crate::panics;
use crate::progress::Progress;
use crate::protocol::offline;
use crate::split::{Division, Fold};
use crate::store::Store;
use evenhand_core::{Dataset, Error, Run, Streams};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What surrounds a comparison and has no influence on its results.
#[derive(Debug)]
pub struct Host {
    /// Number of threads; 0 means one per processor.
    pub threads: usize,
    /// Set to stop after what is under way.
    pub cancel: Arc<AtomicBool>,
    /// Where progress is told.
    pub progress: Progress,
}

/// What came out of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// The data.
    pub data: Description,
    /// Hash of the data.
    pub digest: String,
    /// Names of the groupings of users and of items between which fairness is measured.
    pub protected: [Option<String>; 2],
    /// Test rows of the first division.
    pub test_rows: usize,
    /// What the reader of the results should know.
    pub warnings: Vec<String>,
    /// Every cell, by setting, seed and fold.
    pub cells: Vec<Cell>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// One cell of a comparison.
#[derive(Debug)]
pub struct Cell {
    /// Which one.
    pub place: Place,
    /// What became of it.
    pub end: CellEnd,
}

/// Which cell of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the setting.
    pub setting: usize,
    /// The seed.
    pub seed: u64,
    /// The fold, from 0.
    pub fold: usize,
}

/// What became of a cell.
#[derive(Debug)]
pub enum CellEnd {
    /// Measured now.
    Done(Outcome),
    /// Measured by an earlier run.
    Found(Outcome),
    /// The plugin failed; the reason.
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

/// Runs `experiment`. With a store, finished cells are found there and each new one is kept at once.
///
/// # Errors
/// [`Failure::Data`] where there is no data to compare on, [`Failure::Write`] where results can not be kept. A plugin
/// that fails is no error: its cell has [`CellEnd::Failed`].
pub fn compare(experiment: &Experiment, store: Option<&Store>, host: &Host) -> Result<Comparison, Failure> {
    let base = Run::new(0).with_threads(host.threads).map_err(|e| Failure::Usage(format!("--threads: {e}")))?;
    let base = base.with_dense(dense()).with_cancel(host.cancel.clone());
    let (data, remarks) = open(&experiment.data, &base, host)?;
    if let Some(choose) = &experiment.choose {
        choose.by.check(data.protected()).map_err(Failure::of_data)?;
    }
    let work = Work { experiment, digest: cell::digest(&data), data, store, host, base };
    // The division of the first seed tells how many folds there are, also where every cell is found.
    let first = work.divide(experiment.seeds[0])?;
    let test_rows = first.fold(0).map_err(Failure::of_data)?.test.len();
    let folds = first.count();
    let mut warnings = experiment.warnings.clone();
    warnings.extend(remarks);
    let about = if experiment.seeds.len() > 1 { format!(" (seed {})", experiment.seeds[0]) } else { String::new() };
    warnings.extend(first.warnings.iter().map(|w| format!("{w}{about}")));

    let places: Vec<Place> = places(experiment, folds).collect();
    let mut ends = work.found(&places);
    let description = load::describe(&work.data);
    announce(experiment, &description, test_rows, places.len(), ends.len(), host);
    host.progress.begin(places.len() - ends.len());
    let mut first = Some(first);
    for &seed in &experiment.seeds {
        let missing = |place: &&Place| place.seed == seed && !ends.contains_key(place);
        if places.iter().any(|place| missing(&place)) && !work.stopped() {
            let division =
                first.take().filter(|_| seed == experiment.seeds[0]).map_or_else(|| work.divide(seed), Ok)?;
            work.run_seed(seed, &division, &mut ends)?;
        }
    }
    host.progress.end();

    let interrupted = places.iter().any(|place| matches!(ends.get(place), None | Some(CellEnd::Skipped)));
    let mut end = |place| match ends.remove(&place) {
        // What was to be measured anew and is not: the earlier outcome still stands.
        None | Some(CellEnd::Skipped) => work.kept(place).map_or(CellEnd::Skipped, CellEnd::Found),
        Some(end) => end,
    };
    let cells: Vec<Cell> = places.into_iter().map(|place| Cell { place, end: end(place) }).collect();
    let other = |c: &&Cell| matches!(&c.end, CellEnd::Found(outcome) if outcome.build.as_deref() != cell::build());
    let others = cells.iter().filter(other).count();
    if others > 0 {
        let text = format!("{others} cells were found from another build of the program; --fresh measures them anew");
        host.progress.note(&format!("  warn    {text}"));
        warnings.push(text);
    }
    if cells.iter().filter_map(Cell::outcome).any(|o| !o.figures.iter().any(|f| f.metric == "ndcg")) {
        let text = "no test row is relevant to its user, so there are no ranking metrics; see `eval.relevant`";
        warnings.push(format!("{text} (values above {} are liked)", work.data.scale.like_above));
    }
    let protected = work.data.protected();
    let protected = [protected.users, protected.items].map(|groups| groups.map(|g| g.name().to_string()));
    Ok(Comparison { data: description, digest: work.digest, protected, test_rows, warnings, cells, interrupted })
}

/// What the cells of one comparison have in common.
struct Work<'a> {
    experiment: &'a Experiment,
    data: Dataset,
    digest: String,
    store: Option<&'a Store>,
    host: &'a Host,
    base: Run,
}

impl Work<'_> {
    fn divide(&self, seed: u64) -> Result<Division<'_>, Failure> {
        Division::new(&self.data, &self.experiment.split, &Streams::new(seed)).map_err(Failure::of_data)
    }

    /// One fold of the division with that seed, its validation rows held out where there are to be some.
    fn fold<'d>(&self, seed: u64, division: &'d Division<'_>, at: usize) -> Result<Cow<'d, Fold>, Failure> {
        let e = self.experiment;
        let fold = division.fold(at).map_err(Failure::of_data)?;
        let Some(share) = e.validation else { return Ok(fold) };
        fold.with_validation(&e.split, share, &Streams::new(seed)).map(Cow::Owned).map_err(Failure::of_data)
    }

    fn stopped(&self) -> bool {
        self.host.cancel.load(Ordering::SeqCst)
    }

    fn identity(&self, place: Place) -> serde_json::Value {
        cell::identity(self.experiment, &self.digest, place)
    }

    /// The cells that an earlier run has finished.
    fn found(&self, places: &[Place]) -> HashMap<Place, CellEnd> {
        let finished = |&place: &Place| {
            let outcome = self.store?.finished(&cell::key(&self.identity(place)))?;
            Some((place, CellEnd::Found(outcome)))
        };
        places.iter().filter_map(finished).collect()
    }

    /// The outcome of an earlier run, also where cells are measured anew.
    fn kept(&self, place: Place) -> Option<Outcome> {
        self.store?.kept(&cell::key(&self.identity(place)))
    }

    /// Runs the cells of one seed that have no end yet.
    fn run_seed(&self, seed: u64, division: &Division<'_>, ends: &mut HashMap<Place, CellEnd>) -> Result<(), Failure> {
        for at in 0..division.count() {
            let places = (0..self.experiment.settings.len()).map(|setting| Place { setting, seed, fold: at });
            let missing: Vec<Place> = places.filter(|place| !ends.contains_key(place)).collect();
            if missing.is_empty() || self.stopped() {
                continue;
            }
            let fold = self.fold(seed, division, at)?;
            for place in missing {
                if self.stopped() {
                    break;
                }
                let end = self.run(place, &fold);
                if let (CellEnd::Done(outcome), Some(store)) = (&end, self.store) {
                    store.keep(outcome)?;
                }
                ends.insert(place, end);
            }
        }
        Ok(())
    }

    /// Runs one cell, whatever the plugin does.
    fn run(&self, place: Place, fold: &Fold) -> CellEnd {
        let setting = &self.experiment.settings[place.setting];
        let label = if fold.label.is_empty() { String::new() } else { format!("  {}", fold.label) };
        let name = format!("{}  seed {}{label}", setting.label, place.seed);
        let progress = &self.host.progress;
        let run = self.base.clone().with_seed(place.seed).child("fit").with_observer(progress.start(&name));
        let measured =
            panics::caught(|| offline::measure(setting.recipe.as_ref(), &self.data, fold, &self.experiment.eval, &run));
        let reason = match measured {
            Ok(Ok(measured)) => {
                let (cell, seconds) = (self.identity(place), measured.seconds);
                progress.finish(&name, &format!("{:.2} s", seconds.fit + seconds.evaluate), false);
                let build = self.store.and_then(|_| cell::build()).map(str::to_string);
                return CellEnd::Done(Outcome {
                    key: cell::key(&cell),
                    cell,
                    figures: measured.figures,
                    seconds,
                    build,
                });
            }
            Ok(Err(Error::Cancelled)) if self.stopped() => return CellEnd::Skipped,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        let reason = if reason.trim().is_empty() { "an error without a message".into() } else { reason };
        progress.finish(&name, &format!("FAILED: {reason}"), true);
        CellEnd::Failed(reason)
    }
}

/// The backend for dense products.
fn dense() -> Arc<dyn evenhand_core::Dense> {
    Arc::new(evenhand_kernels::Cpu)
}

/// All cells by setting, seed, fold.
fn places(experiment: &Experiment, folds: usize) -> impl Iterator<Item = Place> + '_ {
    let of_seed = move |setting, seed| (0..folds).map(move |fold| Place { setting, seed, fold });
    let of_setting = move |setting| experiment.seeds.iter().flat_map(move |&seed| of_seed(setting, seed));
    (0..experiment.settings.len()).flat_map(of_setting)
}

/// Loads the data, or has it made; and what was guessed on the way.
fn open(source: &Source, base: &Run, host: &Host) -> Result<(Dataset, Vec<String>), Failure> {
    let read = || match source {
        Source::Path { path, options } => {
            let (data, notes) = base.install(|| load::load_with_notes(path, options))?;
            host.progress.note(&format!("  read    {notes}"));
            Ok((data, notes.remarks))
        }
        Source::Simulator { recipe, seed, protect } => {
            let mut data = recipe.open(&base.clone().with_seed(*seed).child("data"))?.dataset()?;
            data.check()?;
            protect.apply(&mut data)?;
            let doubts = load::doubts(&data);
            Ok((data, doubts))
        }
    };
    let data = panics::caught(read).map_err(|panic| Failure::Data(Error::Unusable(panic)))?;
    let (data, remarks) = data.map_err(Failure::of_data)?;
    data.check().map_err(Failure::Data)?;
    Ok((data, remarks))
}

/// Says on stderr what is about to be compared.
fn announce(e: &Experiment, data: &Description, test_rows: usize, cells: usize, found: usize, host: &Host) {
    let say = |text: String| host.progress.note(&text);
    say(format!("  data    {}  {} users  {} items  {} rows", data.name, data.users, data.items, data.rows));
    for groups in data.user_groups.iter().filter(|g| !g.protected) {
        say(format!("  groups  users by {groups}"));
    }
    for (side, groupings) in [("users", &data.user_groups), ("items", &data.item_groups)] {
        groupings.iter().filter(|g| g.protected).for_each(|groups| say(format!("  groups  {side} by {groups}")));
    }
    let held = e.validation.map_or_else(String::new, |share| format!("  validation {share} of the training rows"));
    say(format!("  split   {}  {test_rows} test rows{held}", e.split.name()));
    let (settings, seeds) = (e.settings.len(), e.seeds.len());
    let folds = cells / (seeds * settings);
    let folds = if folds > 1 { format!(" x {folds} folds") } else { String::new() };
    let plan = format!("{cells} cells = {settings} settings x {seeds} seeds{folds}");
    say(format!("  plan    {plan}   {found} found   {} to run", cells - found));
}
