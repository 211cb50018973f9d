//! The offline part of an experiment: which recommenders are compared on which data.

use super::attack::{self, Attacks};
use super::choose::{self, Choose, Places};
use super::document;
use super::reader::Reader;
use super::setting::Setting;
use crate::failure::Failure;
use crate::load::{self, Grouping};
use crate::split::Split;
use evenhand_core::Simulator;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// Recommenders to be compared on held-out rows of a data set.
pub struct Offline {
    /// How it is divided.
    pub split: Split,
    /// Share of the training rows held out for choosing between settings.
    pub validation: Option<f64>,
    /// What is measured.
    pub eval: Eval,
    /// How the factors of fitted models are perturbed, if they are.
    pub attack: Option<Attacks>,
    /// What is compared, in order; with attacks, controls behind the settings that they belong to.
    pub settings: Vec<Setting>,
    /// How settings are chosen, if they are.
    pub choose: Option<Choose>,
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
    /// Whether the ranking metrics of every user are kept, for tests of significance.
    pub users: bool,
}

impl Default for Eval {
    fn default() -> Self {
        Self { k: vec![10], relevant: Relevant::Liked, users: false }
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

/// The keys of the offline part, as far as they have been read.
#[derive(Default)]
pub(super) struct Parts<'a, 't> {
    data: Option<Source>,
    split: Option<Split>,
    validation: Option<f64>,
    eval: Option<Eval>,
    attack: Option<(Attacks, Range<usize>)>,
    settings: Option<Vec<Setting>>,
    choose: Option<(Choose, Places<'a, 't>)>,
    /// Where the last of its keys stands, if there is any.
    begun: Option<Range<usize>>,
    /// The first one beside `data`, which is not of this part alone, and where it stands.
    own: Option<(&'static str, Range<usize>)>,
    /// Paths in it as they hold in every folder, with their keys.
    pub(super) paths: Vec<(String, String)>,
}

impl<'a, 't> Parts<'a, 't> {
    /// The keys of an experiment that belong to this part.
    pub(super) const KEYS: [&'static str; 6] = ["data", "split", "eval", "attack", "run", "choose"];

    /// Reads one of [`Self::KEYS`].
    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'a, 't>,
        key: &str,
        value: document::Value<'t>,
    ) -> Result<(), Failure> {
        let span = value.span();
        self.begun = Some(span.clone());
        // A key of one's own that stands in the file before one that the command line adds is the one to be told.
        let known = Self::KEYS.into_iter().find(|&known| known == key && known != "data");
        self.own = self.own.take().or(known.map(|known| (known, span.clone())));
        match key {
            "data" => {
                let source = reader.source(reader.table(value, "data")?, span)?;
                self.paths = absolute(&source);
                self.data = Some(source);
            }
            "split" => {
                let mut table = reader.table(value, "split")?;
                let validation = choose::validation(reader.document, &mut table)?;
                let split = reader.split(table, span)?;
                self.validation = choose::check_validation(reader.document, &split, validation)?;
                self.split = Some(split);
            }
            "eval" => self.eval = Some(reader.document.read(reader.table(value, "eval")?, span, "eval", &[])?),
            "attack" => self.attack = Some((attack::read(reader, value)?, span)),
            "run" => self.settings = Some(reader.settings(value)?),
            _ => self.choose = Some(choose::read(reader, value)?),
        }
        Ok(())
    }

    /// The data, and the whole part where there is any of it. Where the data is `shared`, it alone does not begin the
    /// part.
    pub(super) fn finish(
        self,
        reader: &Reader<'a, 't>,
        shared: bool,
    ) -> Result<(Option<Source>, Option<Offline>), Failure> {
        let Some(begun) = self.begun else { return Ok((None, None)) };
        match (&self.own, &self.settings) {
            (None, _) if shared => return Ok((self.data, None)),
            (Some((key, place)), None) if shared => {
                let text = format!("`[{key}]` without a `[[run]]` that it belongs to");
                return Err(reader.document.error(place.clone(), text));
            }
            _ => {}
        }
        // What the command line has begun alone, such as data for an experiment of agents, is told as its fault.
        let place = if reader.document.is_change(&begun) { begun } else { 0..0 };
        let missing = |what: &str| reader.document.error(place.clone(), format!("no {what}"));
        let settings = self.settings.ok_or_else(|| missing("`[[run]]`: nothing to compare"))?;
        let data = self.data.ok_or_else(|| missing("`[data]`: nothing to compare on"))?;
        if let Some((choose, places)) = &self.choose {
            choose.check(places, &settings, self.validation)?;
        }
        let (attack, settings) = match self.attack {
            Some((attacks, place)) => (Some(attacks), attack::with_controls(reader, settings, &place)?),
            None => (None, settings),
        };
        let offline = Offline {
            split: self.split.unwrap_or_default(),
            eval: self.eval.unwrap_or_default(),
            validation: self.validation,
            attack,
            settings,
            choose: self.choose.map(|(choose, _)| choose),
        };
        Ok((Some(data), Some(offline)))
    }
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
    let selected = options.select.files().into_iter();
    paths.extend(selected.map(|(key, file)| (format!("data.select.{key}"), load::beside(path, file))));
    paths.extend(of_groups("user_groups", &options.user_groups));
    paths.extend(of_groups("item_groups", &options.item_groups));
    paths.into_iter().filter_map(|(key, path)| Some((key, everywhere(path)?))).collect()
}

/// A path as it holds in every folder; `None` for one that is no Unicode.
pub(super) fn everywhere(path: PathBuf) -> Option<String> {
    std::path::absolute(&path).unwrap_or(path).into_os_string().into_string().ok()
}
