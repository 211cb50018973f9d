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
//!
//! [eval]
//! k = [10, 20]                      # list lengths; the table shows the first one
//! relevant = "liked"                # test values strictly above the data's threshold; or "all" test rows
//!
//! [[run]]
//! recommender = "als"
//! label = "als"                     # what tables call it; by default the name and the parameters given here
//! params = { factors = [32, 64], reg = 0.1 }
//! ```
//!
//! An array where a parameter is a single value is an axis of a grid: the run above has two settings. A parameter that
//! is a list itself takes an array of arrays as an axis. The parameters of a nested plugin may be axes too, and `none`
//! leaves out what may be left out: `fairness = ["none", { plugin = "value", rated_items = [true, false] }]`. The order
//! is that of the file, the first axis slowest. Two settings with the same effective parameters are one; a warning says
//! so. Two settings with the same label are an error.
//!
//! An unknown key, a wrong name or value is an error with its place and the nearest key or name that exists.

mod document;
mod grid;
mod plugin;
mod reader;
mod seeds;
#[cfg(test)]
mod tests;

pub use seeds::parse_seeds;

use crate::catalog;
use crate::failure::Failure;
use crate::load::{self, Grouping};
use crate::split::Split;
use document::Document;
use evenhand_core::{Recommender, Simulator};
use reader::Reader;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A comparison to be made, every name resolved and every parameter checked.
pub struct Experiment {
    /// What it is called in results.
    pub name: String,
    /// One repetition for each: a seed decides the split and all randomness of fitting, never the data.
    pub seeds: Vec<u64>,
    /// Where the data comes from.
    pub data: Source,
    /// How it is divided.
    pub split: Split,
    /// What is measured.
    pub eval: Eval,
    /// What is compared, in order.
    pub settings: Vec<Setting>,
    /// What the reader of the results should know.
    pub warnings: Vec<String>,
    /// The changes made on the command line, as given.
    pub overrides: Vec<String>,
    /// The whole as TOML, changes included: running it again gives the same results.
    pub effective: String,
}

/// Where data comes from.
pub enum Source {
    /// A file or folder.
    Path {
        /// The file or folder.
        path: PathBuf,
        /// How to read it.
        options: Box<load::Options>,
    },
    /// A simulator that emits a data set, the same one for every seed of the experiment: those repeat the measurement,
    /// not the world.
    Simulator {
        /// The simulator.
        recipe: Box<dyn Simulator>,
        /// What the world is drawn from.
        seed: u64,
        /// The groupings between which fairness is asked for; by default those of the simulator.
        protect: load::Protect,
    },
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eval {
    /// Lengths of the lists of recommendations, without repetition; the first one is shown in tables.
    #[serde(deserialize_with = "lengths")]
    pub k: Vec<usize>,
    /// Which test rows are relevant to their user.
    pub relevant: Relevant,
}

impl Default for Eval {
    fn default() -> Self {
        Self { k: vec![10], relevant: Relevant::Liked }
    }
}

/// Which test rows are relevant to their user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relevant {
    /// Those with a value strictly above the data's threshold.
    Liked,
    /// All of them.
    All,
}

fn lengths<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<usize>, D::Error> {
    let mut given = Vec::<usize>::deserialize(from)?;
    if given.is_empty() || given.contains(&0) {
        return Err(serde::de::Error::custom("expected at least one list length, each at least 1"));
    }
    let mut seen = std::collections::HashSet::new();
    given.retain(|&k| seen.insert(k));
    Ok(given)
}

/// One recommender with its parameters: a row of the table.
pub struct Setting {
    /// Name of the recommender.
    pub recommender: &'static str,
    /// What tables call the setting.
    pub label: String,
    /// Effective parameters, defaults included.
    pub params: Json,
    /// Package and version of the recommender and of every plugin nested in it.
    pub origins: Vec<String>,
    /// The recommender itself.
    pub recipe: Box<dyn Recommender>,
}

/// What the command line changes in an experiment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Data to be used instead of the experiment's, from `--data`.
    pub data: Option<PathBuf>,
    /// Seeds to be used instead, from `--seeds`.
    pub seeds: Option<Vec<u64>>,
    /// `KEY=VALUE` from `--set`: the path to a value with dots, and TOML. A `[[run]]` is found by its recommender, its
    /// label, its place from 0, or `*` for all: `run.als.params.factors=32`.
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
        let mut parts = Parts::default();
        let mut paths = Vec::new();
        for (key, value) in document.root.clone() {
            let span = value.span();
            match key.get_ref().as_ref() {
                "name" => parts.name = Some(reader.text(&value, "name")?),
                "seeds" => parts.seeds = Some(reader.seeds(&value)?),
                "data" => {
                    let source = reader.source(reader.table(value, "data")?, span)?;
                    paths = absolute(&source);
                    parts.data = Some(source);
                }
                "split" => parts.split = Some(reader.split(reader.table(value, "split")?, span)?),
                "eval" => parts.eval = Some(document.read(reader.table(value, "eval")?, span, "eval", &[])?),
                "run" => parts.settings = Some(reader.settings(value)?),
                other => return Err(document.unknown_key(key.span(), other, &KEYS)),
            }
        }
        let missing = |what: &str| document.error(0..0, format!("no {what}"));
        let settings = parts.settings.ok_or_else(|| missing("`[[run]]`: nothing to compare"))?;
        let data = parts.data.ok_or_else(|| missing("`[data]`: nothing to compare on"))?;
        let warnings = reader.warnings;
        for (key, path) in paths {
            // As it was resolved: the copy beside the results lies in another folder.
            document.set_text(&key, path, String::new())?;
        }
        Ok(Self {
            name: parts.name.unwrap_or_else(|| "comparison".into()),
            seeds: parts.seeds.unwrap_or_else(|| vec![0]),
            data,
            split: parts.split.unwrap_or_default(),
            eval: parts.eval.unwrap_or_default(),
            settings,
            warnings,
            overrides: given,
            effective: document.to_toml()?,
        })
    }
}

/// The keys of an experiment.
const KEYS: [&str; 6] = ["name", "seeds", "data", "split", "eval", "run"];

#[derive(Default)]
struct Parts {
    name: Option<String>,
    seeds: Option<Vec<u64>>,
    data: Option<Source>,
    split: Option<Split>,
    eval: Option<Eval>,
    settings: Option<Vec<Setting>>,
}

/// The paths of a data source as they hold in every folder, with their keys. One that is no Unicode stays as given.
fn absolute(source: &Source) -> Vec<(String, String)> {
    let Source::Path { path, options } = source else { return Vec::new() };
    let of_groups = |key, groupings: &BTreeMap<String, Grouping>| -> Vec<(String, PathBuf)> {
        let files = groupings.iter().filter_map(|(name, grouping)| match grouping {
            Grouping::File { file } => Some((format!("data.{key}.{name}.file"), load::beside(path, file))),
            Grouping::Rule { .. } => None,
        });
        files.collect()
    };
    let mut paths = vec![("data.path".to_string(), path.clone())];
    paths.extend(options.test.as_deref().map(|test| ("data.test".into(), load::beside(path, test))));
    paths.extend(of_groups("user_groups", &options.user_groups));
    paths.extend(of_groups("item_groups", &options.item_groups));
    let text = |path: PathBuf| std::path::absolute(&path).unwrap_or(path).into_os_string().into_string().ok();
    paths.into_iter().filter_map(|(key, path)| Some((key, text(path)?))).collect()
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
