//! An experiment: which recommenders are compared on which data, read from TOML.
//!
//! ```toml
//! name = "ml-1m"
//! seeds = [0, 1, 2]
//!
//! [data]
//! path = "ml-1m"                    # relative to this file
//! format = "movielens-1m"           # and every other option of `load::Options`; by default all is recognised
//! # or: simulator = { plugin = "biased-ratings", users = 600 }, and `seed`, by default 0, which draws another world
//! protect = { users = "gender", items = "genre" }     # fairness between whom; see `load::Options` for more groupings
//!
//! [split]
//! kind = "random"                   # see `split::Split`
//! test = 0.1
//! validation = 0.1                  # share of the training rows that `[choose]` goes by; by default there are none
//!
//! [eval]
//! k = [10, 20]                      # list lengths; the table shows the first one
//! relevant = "liked"                # test values strictly above the data's threshold; or "all" test rows
//! users = true                      # keep the ranking metrics of every user; by default they are not kept
//!
//! [attack]                          # perturb the factors of fitted models; without this table none are
//! direction = ["gradient", "random"]      # one or several; by default both
//! eps = [0.5, 1.0]                  # one or several, from 0; by default 0.5
//! relative = false                  # eps in lengths of the row itself
//! draws = 5                         # draws of negatives and of random directions that are averaged
//!
//! [[run]]
//! recommender = "als"
//! label = "als"                     # what tables call it; by default the name and the parameters given here
//! params = { factors = [32, 64], reg = 0.1 }
//!
//! [choose]                          # see `Choose`; by default nothing is chosen
//! over = ["lambda"]
//! by = "dee"
//! within = { rmse = 1.02 }
//! ```
//!
//! An experiment may have this, or agents in a world that answers, or both:
//!
//! ```toml
//! [interactive]
//! simulator = { plugin = "user-item", users = 500, noise = 0.2 }
//! periods = 30                      # see `Interactive` for the other keys
//!
//! [[interactive.agent]]
//! recommender = "als"
//! params = { factors = 10, biases = false }
//! policy = ["greedy", { plugin = "epsilon-greedy", epsilon = [0.05, 0.1] }]
//! learning = "refit"                # see `Learning`; by default what the recommender can do
//! ```
//!
//! And it may have policies that meet users who change with what they consume, on the same `[data]` as the recommenders:
//!
//! ```toml
//! [harm]
//! harmful = { groups = "genre", any = ["Horror"] }    # which items are harmful; see `load::HarmLabels`
//! k = 1                             # size of a set, by default 1
//! rule = "exactly"                  # of every set; or "at-most", or "independent": that many on average
//! c = 6.0                           # weight of not taking what is shown, or how to find it: { grid = [5, 10], click = 0.5 }
//! lambda = [10, 100]                # one or several prices of harm; several give a trade-off curve; by default 100
//! users = 100                       # drawn with each seed; by default all; see `HarmOptions` for the other keys
//!
//! [[harm.run]]
//! recommender = "mf"                # any recommender with factors: the profiles and the items as they see them
//! policy = ["uniform", "top-k", "alternating"]
//! ```
//!
//! And it may have group regressors on a table of features and memberships, from which rows are held out or which comes row
//! by row:
//!
//! ```toml
//! [groupwise.data]
//! path = "medical.csv"              # and every other option of `load::TableOptions`
//! # or: simulator = { plugin = "group-linear", samples = 10000 }, and `seed`, by default 0, which draws another table
//!
//! [groupwise]
//! test = 0.2                        # share of rows held out from regressors that learn from a whole table
//! indicators = { batch = false, online = true }       # whether memberships are features too
//! comparator = "all-rows"           # or "all-but-last", as in published tables; see `Comparator`
//! orders = "shuffled"               # of the rows, by the seed; or "as-is", or a file; see `load::load_orders`
//!
//! [[groupwise.run]]
//! regressor = "groupwise"
//! params = { base = "online-ridge", mixer = ["ada-normal-hedge", "uniform"] }
//! learning = ["online", "batch"]    # one or both; by default online where the regressor can
//! ```
//!
//! An array where a parameter is a single value is an axis of a grid: the run above has two settings. A parameter that
//! is a list itself takes an array of arrays as an axis. The parameters of a nested plugin may be axes too, and `none`
//! leaves out what may be left out: `fairness = ["none", { plugin = "value", rated_items = [true, false] }]`. The order
//! is that of the file, the first axis slowest. Two settings with the same effective parameters are one; a warning says
//! so. Two settings with the same label are an error. With `[attack]`, a setting whose recommender has a control is
//! followed by it, unless it is there already; its label is the name of the recommender and `, control`, or that of the
//! setting where the settings of the recommender have several controls. `[choose]` leaves it out.
//!
//! An unknown key, a wrong name or value is an error with its place and the nearest key or name that exists.

mod attack;
mod choose;
mod document;
mod grid;
mod groupwise;
mod harm;
mod interactive;
mod loading;
mod offline;
mod plugin;
mod reader;
mod seeds;
mod setting;
mod several;
#[cfg(test)]
mod tests;

pub use attack::Attacks;
pub(crate) use attack::direction_name;
pub use choose::{By, Choose, Within};
pub use groupwise::{
    Comparator, GroupLearning, GroupRun, Groupwise, GroupwiseOptions, Indicators, Orders, TableSource,
};
pub(crate) use harm::price;
pub use harm::{Calibration, Case, HarmOptions, Mitigation, Weight};
pub use interactive::{Agent, Cold, Interactive, Learning, Options};
pub(crate) use loading::load_options;
pub use offline::{Eval, Offline, Relevant, Source};
pub use seeds::parse_seeds;
pub use setting::Setting;

use crate::catalog;
use crate::failure::Failure;
use document::Document;
use reader::Reader;
use std::path::{Path, PathBuf};

/// A comparison to be made, every name resolved and every parameter checked.
pub struct Experiment {
    /// What it is called in results.
    pub name: String,
    /// One repetition for each: a seed decides the split and all randomness of fitting, never the data.
    pub seeds: Vec<u64>,
    /// Where the data comes from that recommenders and policies are measured on, if there is any.
    pub data: Option<Source>,
    /// Recommenders on held-out rows, if that is asked for.
    pub offline: Option<Offline>,
    /// Agents in a world that answers, if that is asked for.
    pub interactive: Option<Interactive>,
    /// Policies that meet users who change with what they are shown, if that is asked for.
    pub harm: Option<Mitigation>,
    /// Group regressors on a table of features and memberships, if that is asked for.
    pub groupwise: Option<Groupwise>,
    /// What the reader of the results should know.
    pub warnings: Vec<String>,
    /// The changes made on the command line, as given.
    pub overrides: Vec<String>,
    /// The whole as TOML, changes included: running it again gives the same results.
    pub effective: String,
}

/// What the command line changes in an experiment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Data to be used instead of the experiment's, from `--data`.
    pub data: Option<PathBuf>,
    /// Seeds to be used instead, from `--seeds`.
    pub seeds: Option<Vec<u64>>,
    /// `KEY=VALUE` from `--set`: the path to a value with dots, and TOML. A `[[run]]`, an `[[interactive.agent]]`, a
    /// `[[harm.run]]` or a `[[groupwise.run]]` is found by its recommender or regressor, its label, its place from 0, or `*`
    /// for all: `run.als.params.factors=32`.
    pub set: Vec<String>,
}

impl Experiment {
    /// Reads the experiment file at `path`.
    ///
    /// # Errors
    /// [`Failure::Read`], or as [`Self::parse`].
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.into(), source })?;
        Self::parse(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")), overrides)
    }

    /// Reads an experiment from `text`. Messages call it `name`; paths in it are relative to `folder`.
    ///
    /// # Errors
    /// [`Failure::Experiment`] with the place of the first fault, [`Failure::Plugin`] where the registry is broken.
    pub fn parse(name: &str, text: &str, folder: &Path, overrides: &Overrides) -> Result<Self, Failure> {
        let mut document = Document::parse(name, text)?;
        let mut warnings = Vec::new();
        let given = apply(&mut document, overrides, &mut warnings)?;
        let catalog = catalog::all().map_err(Failure::Plugin)?;
        let mut reader = Reader { document: &document, catalog: &catalog, folder, warnings };
        let (mut name, mut seeds, mut interactive, mut harm, mut groupwise) = (None, None, None, None, None);
        let mut offline = offline::Parts::default();
        for (key, value) in document.root.clone() {
            match key.get_ref().as_ref() {
                "name" => name = Some(reader.text(&value, "name")?),
                "seeds" => seeds = Some(reader.seeds(&value)?),
                "interactive" => interactive = Some(interactive::read(&mut reader, value)?),
                "harm" => {
                    let span = value.span();
                    harm = Some((harm::read(&mut reader, value)?, span));
                }
                "groupwise" => groupwise = Some(groupwise::read(&mut reader, value)?),
                part if offline::Parts::KEYS.contains(&part) => offline.read(&mut reader, part, value)?,
                other => {
                    let known =
                        [&["name", "seeds", "interactive", "harm", "groupwise"][..], &offline::Parts::KEYS].concat();
                    return Err(document.unknown_key(key.span(), other, &known));
                }
            }
        }
        let mut paths = std::mem::take(&mut offline.paths);
        paths.extend(harm.iter_mut().flat_map(|(part, _)| std::mem::take(&mut part.paths)));
        paths.extend(groupwise.iter_mut().flat_map(|part| std::mem::take(&mut part.paths)));
        let (data, offline) = offline.finish(&reader, harm.is_some())?;
        let warnings = reader.warnings;
        if offline.is_none() && interactive.is_none() && harm.is_none() && groupwise.is_none() {
            let text = "no `[[run]]`, no `[interactive]`, no `[harm]` and no `[groupwise]`: nothing to compare";
            return Err(document.error(0..0, text));
        }
        if let (Some((_, span)), None) = (&harm, &data) {
            return Err(document.error(span.clone(), "`[harm]` and no `[data]`: nothing to compare on"));
        }
        for (key, path) in paths {
            // As it was resolved: the copy beside the results lies in another folder.
            document.set_text(&key, path, String::new())?;
        }
        Ok(Self {
            name: name.unwrap_or_else(|| "comparison".into()),
            seeds: seeds.unwrap_or_else(|| vec![0]),
            data,
            offline,
            interactive,
            harm: harm.map(|(part, _)| part),
            groupwise,
            warnings,
            overrides: given,
            effective: document.to_toml()?,
        })
    }
}

/// Works the command line's changes into the document; returns them as text.
fn apply<'t>(
    document: &mut Document<'t>,
    overrides: &'t Overrides,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, Failure> {
    let mut given = Vec::new();
    if let Some(path) = &overrides.data {
        let path = path.to_str().ok_or_else(|| Failure::Usage(format!("--data {}: not UTF-8", path.display())))?;
        let former = document.root.remove("data").map(toml::Spanned::into_inner);
        if let Some(toml::de::DeValue::Table(former)) = former {
            let lost: Vec<String> =
                former.keys().map(|k| k.get_ref()).filter(|k| *k != "path").map(|k| format!("`{k}`")).collect();
            if former.contains_key("path") && !lost.is_empty() {
                let text = "--data takes the place of the whole [data] table, so these no longer hold";
                warnings.push(format!("{text}: {}; repeat what fits with --set data.KEY=VALUE", lost.join(", ")));
            }
        }
        let origin = format!("--data {path}");
        document.set_text("data.path", path.into(), origin.clone())?;
        given.push(origin);
    }
    if let Some(seeds) = &overrides.seeds {
        let list: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let origin = format!("--seeds {}", list.join(","));
        document.set_text("seeds", list.join(","), origin.clone())?;
        given.push(origin);
    }
    for change in &overrides.set {
        let origin = format!("--set {change}");
        let (path, value) = change
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("{origin}: expected KEY=VALUE, e.g. --set eval.k=[10,20]")))?;
        document.set_toml(path.trim(), value.trim(), origin.clone())?;
        given.push(origin);
    }
    Ok(given)
}
