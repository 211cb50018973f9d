//! Recommenders on held-out rows: every setting on every division of the data.

use super::Place;
use super::cells::{Cells, Runner};
use super::data::Loaded;
use crate::cell::{self, Outcome};
use crate::compare::Cell;
use crate::experiment::Offline;
use crate::failure::Failure;
use crate::load::{self, Description};
use crate::protocol::{offline, ranking};
use crate::split::{self, Division, Fold};
use crate::store::Store;
use evenhand_core::{Ids, Scale, Streams};
use std::borrow::Cow;

/// What came out of comparing recommenders on held-out rows.
#[derive(Debug)]
pub struct OfflineCells {
    /// The data.
    pub data: Description,
    /// Hash of the data.
    pub digest: String,
    /// Names of the groupings of users and of items between which fairness is measured.
    pub protected: [Option<String>; 2],
    /// Test rows of the first division.
    pub test_rows: usize,
    /// Names of the users, where their metrics are kept.
    pub user_ids: Option<Ids>,
    /// Every cell, by setting, seed and fold.
    pub cells: Vec<Cell>,
    /// Whether some cells were not run.
    pub(super) cut_short: bool,
}

/// A comparison of recommenders under way.
pub(super) struct Work<'a> {
    runner: &'a Runner<'a>,
    shared: Shared<'a>,
    seeds: &'a [u64],
    cells: Cells,
    /// The division of the first seed.
    first: Option<Division<'a>>,
    description: Description,
    test_rows: usize,
}

/// What the cells have in common.
#[derive(Clone, Copy)]
struct Shared<'a> {
    part: &'a Offline,
    loaded: &'a Loaded,
}

impl<'a> Work<'a> {
    /// Looks at the first division of the data, and for cells that are finished.
    pub(super) fn begin(
        part: &'a Offline,
        loaded: &'a Loaded,
        seeds: &'a [u64],
        runner: &'a Runner<'a>,
    ) -> Result<Self, Failure> {
        if let Some(choose) = &part.choose {
            choose.by.check(loaded.data.protected()).map_err(Failure::of_data)?;
        }
        let shared = Shared { part, loaded };
        // The division of the first seed tells how many folds there are, also where every cell is found.
        let mut first = shared.divide(seeds[0])?;
        let fold = shared.fold(seeds[0], &first, 0)?;
        let test_rows = fold.test.len();
        let without_rivals = without_rivals(part, &fold, loaded.data.scale);
        drop(fold);
        first.warnings.extend(without_rivals);
        let places = places(part, seeds, first.count()).collect();
        let whole = |store: &Store, outcome: &Outcome| !part.eval.users || store.has_users(outcome);
        let cells = Cells::begin(places, whole, runner, |place| cell::of_recommender(part, &loaded.digest, place));
        let description = load::describe(&loaded.data);
        let work = Self { runner, shared, seeds, cells, first: Some(first), description, test_rows };
        work.announce();
        Ok(work)
    }

    /// Cells to be run.
    pub(super) fn missing(&self) -> usize {
        self.cells.missing()
    }

    /// Runs them.
    pub(super) fn run(mut self, warnings: &mut Vec<String>) -> Result<OfflineCells, Failure> {
        let Shared { part, loaded: Loaded { data, digest, .. } } = self.shared;
        let about = if self.seeds.len() > 1 { format!(" (seed {})", self.seeds[0]) } else { String::new() };
        let doubts = self.first.iter().flat_map(|first| &first.warnings);
        warnings.extend(doubts.map(|w| format!("{w}{about}")));
        for &seed in self.seeds {
            if self.runner.stopped() || self.cells.without_end(|place| place.seed == seed).is_empty() {
                continue;
            }
            let first = self.first.take().filter(|_| seed == self.seeds[0]);
            let division = first.map_or_else(|| self.shared.divide(seed), Ok)?;
            for at in 0..division.count() {
                let missing = self.cells.without_end(|place| (place.seed, place.fold) == (seed, at));
                if missing.is_empty() || self.runner.stopped() {
                    continue;
                }
                let fold = self.shared.fold(seed, &division, at)?;
                for place in missing {
                    if self.runner.stopped() {
                        break;
                    }
                    let setting = &part.settings[place.setting];
                    let label = if fold.label.is_empty() { String::new() } else { format!("  {}", fold.label) };
                    let name = format!("{}  seed {seed}{label}", setting.label);
                    let identity = cell::of_recommender(part, digest, place);
                    let end = self.runner.run(&setting.label, &name, seed, identity, |run| {
                        offline::measure(setting.recipe.as_ref(), data, &fold, &part.eval, part.attack.as_ref(), run)
                    })?;
                    self.cells.set(place, end);
                }
            }
        }
        let done = self.cells.finish(self.runner, |place| cell::of_recommender(part, digest, place));
        if done.cells.iter().filter_map(Cell::outcome).any(|o| !o.figures.iter().any(|f| f.metric == "ndcg")) {
            let text = "no test row is relevant and has another item to be ranked against: no ranking metrics; see `eval.relevant`";
            warnings.push(format!("{text} (values above {} are liked)", data.scale.like_above));
        }
        warnings.extend(longer_than_the_catalogue(part, data.ratings.items()));
        warnings.extend(without_factors(part, &done.cells));
        let protected = data.protected();
        Ok(OfflineCells {
            data: self.description,
            digest: digest.clone(),
            protected: [protected.users, protected.items].map(|groups| groups.map(|g| g.name().to_string())),
            test_rows: self.test_rows,
            user_ids: part.eval.users.then(|| data.user_ids.clone()),
            cells: done.cells,
            cut_short: done.cut_short,
        })
    }

    /// Says on stderr what is about to be compared.
    fn announce(&self) {
        let part = self.shared.part;
        let say = |text: String| self.runner.host.progress.note(&text);
        let held =
            part.validation.map_or_else(String::new, |share| format!("  validation {share} of the training rows"));
        say(format!("  split   {}  {} test rows{held}", part.split.name(), self.test_rows));
        let (cells, settings, seeds) = (self.cells.len(), part.settings.len(), self.seeds.len());
        let folds = cells / (seeds * settings);
        let folds = if folds > 1 { format!(" x {folds} folds") } else { String::new() };
        let plan = format!("{cells} cells = {settings} settings x {seeds} seeds{folds}");
        let missing = self.cells.missing();
        say(format!("  plan    {plan}   {} found   {missing} to run", cells - missing));
    }
}

impl<'a> Shared<'a> {
    fn divide(&self, seed: u64) -> Result<Division<'a>, Failure> {
        Division::new(&self.loaded.data, &self.part.split, &Streams::new(seed)).map_err(Failure::of_data)
    }

    /// One fold of the division with that seed, its validation rows held out where there are to be some.
    fn fold<'d>(&self, seed: u64, division: &'d Division<'_>, at: usize) -> Result<Cow<'d, Fold>, Failure> {
        let fold = division.fold(at).map_err(Failure::of_data)?;
        let Some(share) = self.part.validation else { return Ok(fold) };
        fold.with_validation(&self.part.split, share, &Streams::new(seed)).map(Cow::Owned).map_err(Failure::of_data)
    }
}

/// A warning where users are left out of the rankings because no item is left that could be ranked wrongly.
fn without_rivals(part: &Offline, fold: &Fold, scale: Scale) -> Option<String> {
    let count = ranking::without_rivals(fold, part.eval.relevant, scale);
    let text = format!("users with nothing to rank a test item against, who are not measured: {count}");
    (count > 0).then(|| split::told(fold, &part.split, &text))
}

/// A warning where lists of some length can not be filled.
fn longer_than_the_catalogue(part: &Offline, items: usize) -> Option<String> {
    let longer: Vec<String> = part.eval.k.iter().filter(|&&k| k > items).map(usize::to_string).collect();
    let text = || format!("`eval.k` = {} is above the {items} items: lists are that long at most", longer.join(", "));
    (!longer.is_empty()).then(text)
}

/// A warning for each setting whose models could not be attacked.
fn without_factors(part: &Offline, cells: &[Cell]) -> Vec<String> {
    let spared = |n: &usize| {
        let mut outcomes = cells.iter().filter(|c| c.place.setting == *n).filter_map(Cell::outcome);
        part.attack.is_some() && outcomes.any(|outcome| outcome.attacks.is_empty())
    };
    let settings = (0..part.settings.len()).filter(spared).map(|n| &part.settings[n].label);
    settings.map(|label| format!("`{label}` has no factors, so there are no figures of an attack on it")).collect()
}

/// All cells by setting, seed, fold.
fn places<'a>(part: &Offline, seeds: &'a [u64], folds: usize) -> impl Iterator<Item = Place> + use<'a> {
    let of_seed = move |setting, seed| (0..folds).map(move |fold| Place { setting, seed, fold });
    let of_setting = move |setting| seeds.iter().flat_map(move |&seed| of_seed(setting, seed));
    (0..part.settings.len()).flat_map(of_setting)
}
