//! Policies that meet users who change with what they are shown: every case with every seed.

use super::cells::{Cells, Runner};
use super::data::Loaded;
use super::{Cell, Place};
use crate::cell::{self, Outcome};
use crate::experiment::{Mitigation, Setting};
use crate::failure::Failure;
use crate::load::{self, Description, HarmLabels};
use crate::panics;
use crate::protocol::harm::{self, Embedding};
use crate::store::Store;
use evenhand_core::{Error, Ids, Result, Run};
use std::sync::Arc;

/// What came out of comparing policies by the harm that they do.
#[derive(Debug)]
pub struct HarmCells {
    /// The data.
    pub data: Description,
    /// Hash of the data.
    pub digest: String,
    /// Number of harmful items.
    pub harmful: usize,
    /// Number of users who are drawn.
    pub users: usize,
    /// Names of the users, where their numbers are kept.
    pub user_ids: Option<Ids>,
    /// Every cell, by case and seed.
    pub cells: Vec<Cell>,
    /// Whether some cells were not run.
    pub(super) cut_short: bool,
}

/// A comparison of policies under way.
pub(super) struct Work<'a> {
    runner: &'a Runner<'a>,
    labelled: Labelled<'a>,
    seeds: &'a [u64],
    cells: Cells,
}

/// Data whose items are known to be harmful or not.
pub(crate) struct Labelled<'a> {
    pub(crate) part: &'a Mitigation,
    pub(crate) loaded: &'a Loaded,
    /// Whether each item is harmful; some are, and enough are not.
    pub(crate) harmful: Vec<bool>,
    labels: String,
}

/// A fitted recommender, or why it could not be fitted, kept for the next policy over it.
struct Kept {
    setting: Arc<Setting>,
    seed: u64,
    embedding: Result<Embedding, String>,
}

impl<'a> Labelled<'a> {
    /// Labels the items and looks whether there is something to compare.
    ///
    /// # Errors
    /// [`Failure::Data`] where no item is harmful or all are, or there is no user; [`Failure::Experiment`] where sets
    /// are larger than the items that may be shown, or more users are asked for than there are; those of
    /// [`load::harm_labels`].
    pub(crate) fn new(part: &'a Mitigation, loaded: &'a Loaded) -> Result<Self, Failure> {
        let data = &loaded.data;
        let (users, items) = (data.ratings.users(), data.ratings.items());
        let harmful = load::harm_labels(&part.harmful, data).map_err(Failure::of_data)?;
        let count = harmful.iter().filter(|&&h| h).count();
        let unusable = |text: String| {
            let text = format!("{text}; items are labelled by harmful = {}", written(&part.harmful));
            Err(Failure::Data(Error::Unusable(text)))
        };
        if users == 0 {
            return Err(Failure::Data(Error::Unusable("no user, so nobody is shown anything".into())));
        }
        if count == 0 {
            return unusable(format!("none of the {items} items is harmful, so there is no harm to mitigate"));
        }
        if count == items {
            return unusable(format!("all of the {items} items are harmful, so none may be shown"));
        }
        let refuse = |place: &String, reason| Err(Failure::Experiment { place: place.clone(), reason });
        let [place_of_k, place_of_users] = &part.places;
        let (k, left) = (part.options.k, items - count);
        if k > left {
            let reason = format!("`harm.k` = {k}, expected at most {left}, the items that are not harmful");
            return refuse(place_of_k, reason);
        }
        if let Some(wanted) = part.options.users.filter(|&wanted| wanted > users) {
            let reason = format!("`harm.users` = {wanted}, expected at most {users}, the users of the data");
            return refuse(place_of_users, reason);
        }
        let bytes: Vec<u8> = harmful.iter().map(|&h| u8::from(h)).collect();
        Ok(Self { part, loaded, labels: blake3::hash(&bytes).to_hex().to_string(), harmful })
    }

    fn identity(&self, place: Place) -> serde_json::Value {
        cell::of_harm(self.part, &self.loaded.digest, &self.labels, place)
    }

    fn count(&self) -> usize {
        self.harmful.iter().filter(|&&h| h).count()
    }

    fn users(&self) -> usize {
        self.part.options.users.unwrap_or(self.loaded.data.ratings.users())
    }
}

impl Kept {
    /// # Errors
    /// [`Error::Cancelled`] alone: that is no fault of the recommender.
    fn new(setting: Arc<Setting>, seed: u64, loaded: &Loaded, run: &Run) -> Result<Self> {
        let embedding = match panics::caught(|| harm::embed(setting.recipe.as_ref(), &loaded.data, run)) {
            Ok(Err(Error::Cancelled)) => return Err(Error::Cancelled),
            Ok(fitted) => fitted.map_err(|error| error.to_string()),
            Err(panic) => Err(panic),
        };
        Ok(Self { setting, seed, embedding })
    }
}

/// A rule as it stands in experiments.
fn written(rule: &HarmLabels) -> String {
    toml::Value::try_from(rule).map_or_else(|_| format!("{rule:?}"), |value| value.to_string())
}

impl<'a> Work<'a> {
    /// Labels the items, and looks for cells that are finished.
    ///
    /// # Errors
    /// As [`Labelled::new`].
    pub(super) fn begin(
        part: &'a Mitigation,
        loaded: &'a Loaded,
        seeds: &'a [u64],
        runner: &'a Runner<'a>,
    ) -> Result<Self, Failure> {
        let labelled = Labelled::new(part, loaded)?;
        let of_case = |setting| seeds.iter().map(move |&seed| Place { setting, seed, fold: 0 });
        let places = (0..part.cases.len()).flat_map(of_case).collect();
        let whole = |store: &Store, outcome: &Outcome| !part.options.keep_users || store.has_users(outcome);
        let cells = Cells::begin(places, whole, runner, |place| labelled.identity(place));
        let work = Self { runner, labelled, seeds, cells };
        work.announce();
        Ok(work)
    }

    /// Cells to be run.
    pub(super) fn missing(&self) -> usize {
        self.cells.missing()
    }

    /// Runs them, all cases of one seed after each other: those over one recommender share what was fitted.
    pub(super) fn run(mut self, warnings: &mut Vec<String>) -> Result<HarmCells, Failure> {
        let Labelled { part, loaded, harmful, .. } = &self.labelled;
        let mut kept: Option<Kept> = None;
        for &seed in self.seeds {
            for place in self.cells.without_end(|place| place.seed == seed) {
                if self.runner.stopped() {
                    break;
                }
                let case = &part.cases[place.setting];
                let measure = |run: &Run| {
                    let known = kept.take().filter(|k| k.seed == seed && k.setting.same(&case.setting));
                    let known = match known {
                        Some(known) => known,
                        None => Kept::new(case.setting.clone(), seed, loaded, run)?,
                    };
                    // Kept before anything is measured: a policy that panics takes nothing with it.
                    match &kept.insert(known).embedding {
                        Ok(embedding) => harm::measure(embedding, case, &part.options, (&loaded.data, harmful), run),
                        Err(reason) => Err(Error::Plugin(reason.clone().into())),
                    }
                };
                let name = format!("{}  seed {seed}", case.label);
                let end = self.runner.run(&case.label, &name, seed, self.labelled.identity(place), measure)?;
                self.cells.set(place, end);
            }
        }
        let done = self.cells.finish(self.runner, |place| self.labelled.identity(place));
        warnings.extend(unsettled(part, &done.cells));
        Ok(HarmCells {
            data: load::describe(&loaded.data),
            digest: loaded.digest.clone(),
            harmful: self.labelled.count(),
            users: self.labelled.users(),
            user_ids: part.options.keep_users.then(|| loaded.data.user_ids.clone()),
            cells: done.cells,
            cut_short: done.cut_short,
        })
    }

    /// Says on stderr what is about to be compared.
    fn announce(&self) {
        let say = |text: String| self.runner.host.progress.note(&text);
        let (labelled, part) = (&self.labelled, self.labelled.part);
        let (harmful, items) = (labelled.count(), labelled.harmful.len());
        let sets = part.options.sets();
        say(format!("  harm    {harmful} of {items} items  {} users  {sets}", labelled.users()));
        let (cells, cases, seeds) = (self.cells.len(), part.cases.len(), self.seeds.len());
        let missing = self.cells.missing();
        let found = cells - missing;
        say(format!("  plan    {cells} cells = {cases} policies x {seeds} seeds   {found} found   {missing} to run"));
    }
}

/// A word about each recommender and seed whose weight of not taking what is shown was chosen by profiles that are not
/// stationary.
fn unsettled(part: &Mitigation, cells: &[Cell]) -> Vec<String> {
    let mut warnings = Vec::new();
    for cell in cells {
        let figures = cell.outcome().map_or(&[][..], |outcome| &outcome.figures);
        let found = figures.iter().find(|f| f.metric == harm::NOT_CONVERGED && f.value > 0.0);
        let Some((found, c)) = found.zip(figures.iter().find(|f| f.metric == "c")) else { continue };
        let (label, seed) = (&part.cases[cell.place.setting].setting.label, cell.place.seed);
        let (count, users, c) = (found.value, found.n, c.value);
        let text = format!(
            "`{label}`, seed {seed}: c = {c} was chosen with {count} of {users} users of `uniform` whose search for \
             the stationary profile did not end"
        );
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{CellEnd, Host, compare};
    use crate::experiment::{Experiment, Overrides};
    use crate::protocol::{Figure, Seconds};
    use evenhand_core::{Model, Recommender, Training, plugin};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static FITS: AtomicUsize = AtomicUsize::new(0);

    plugin! {
        /// For tests: can not be fitted, or panics.
        pub struct Unfit: Recommender = "test-unfit" {
            /// Whether it panics.
            panics: bool = false;
        }
    }

    impl Recommender for Unfit {
        fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
            FITS.fetch_add(1, Ordering::SeqCst);
            assert!(!self.panics, "never fits");
            Err(Error::Unusable("nothing to learn".into()))
        }
    }

    fn experiment(recommender: &str) -> Experiment {
        let text = format!(
            "seeds = [0, 1]\n[data]\nsimulator = {{ plugin = 'biased-ratings', users = 60, items = 24 }}\n[harm]\n\
             harmful = {{ groups = 'genre', any = ['F'] }}\nlambda = [1, 2]\n[[harm.run]]\n{recommender}\n\
             policy = ['uniform', 'top-k']\n"
        );
        Experiment::parse("e", &text, Path::new(""), &Overrides::default()).unwrap()
    }

    #[test]
    fn what_can_not_be_fitted_is_tried_once_with_each_seed() {
        let experiment = experiment("recommender = 'test-unfit'\nlabel = 'unfit'\nparams = { panics = [false, true] }");
        let host = Host { threads: 1, ..Host::default() };
        let cells = compare(&experiment, None, &host).unwrap().harm.unwrap().cells;
        assert_eq!((cells.len(), FITS.load(Ordering::SeqCst)), (16, 4));
        for Cell { place, end } in &cells {
            let CellEnd::Failed(reason) = end else { panic!("{end:?}") };
            let panics = experiment.harm.as_ref().unwrap().cases[place.setting].label.contains("panics=true");
            assert!(reason.contains(if panics { "never fits" } else { "data: nothing to learn" }), "{reason}");
        }
    }

    #[test]
    fn weights_chosen_by_profiles_that_are_not_stationary_are_told() {
        let part = experiment("recommender = 'als'\nlabel = 'mine'").harm.unwrap();
        let figure = |metric: &str, value| Figure { metric: metric.into(), k: None, group: None, value, n: 10 };
        let cell = |setting, seed, count| {
            let outcome = Outcome {
                key: String::new(),
                cell: serde_json::Value::Null,
                figures: vec![figure("c", 2.5), figure(harm::NOT_CONVERGED, count)],
                curves: vec![],
                attacks: vec![],
                times: vec![],
                user_rows: None,
                seconds: Seconds::default(),
                build: None,
                device: "cpu".into(),
            };
            Cell { place: Place { setting, seed, fold: 0 }, end: CellEnd::Found(outcome) }
        };
        let text = "`mine`, seed 1: c = 2.5 was chosen with 3 of 10 users of `uniform` whose search for the stationary \
                    profile did not end";
        assert_eq!(unsettled(&part, &[cell(0, 0, 0.0), cell(0, 1, 3.0), cell(1, 1, 3.0)]), [text]);
    }
}
