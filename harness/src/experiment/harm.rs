//! The harm part of an experiment: which policies meet users who change with what they are shown.

use super::Setting;
use super::document::Value;
use super::offline::everywhere;
use super::reader::Reader;
use super::setting::List;
use super::several::{distinct, elements, listed};
use super::{document, grid};
use crate::catalog;
use crate::failure::Failure;
use crate::load::HarmLabels;
use evenhand_core::params::parameters;
use evenhand_core::{Cardinality, Dynamics, Error, Policy, SizeRule};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// Policies to be compared by what they come to where users change with what they are shown.
pub struct Mitigation {
    /// Which items are harmful.
    pub harmful: HarmLabels,
    /// How users behave and what is measured.
    pub options: HarmOptions,
    /// Where `k` and `users` were given, for messages.
    pub places: [String; 2],
    /// Who is compared, in order.
    pub cases: Vec<Case>,
    /// Paths in it as they hold in every folder, with their keys.
    pub(super) paths: Vec<(String, String)>,
}

/// How users behave and what is measured: the keys of `[harm]` beside `harmful` and `run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HarmOptions {
    /// Size of a set, at least 1.
    pub k: usize,
    /// How it binds.
    pub rule: SizeRule,
    /// Weight of not taking what is shown.
    pub c: Weight,
    /// Prices of a consumption of a harmful item, in clicks, 0 to 1e100; without repetition. Tables show the first one.
    pub lambda: Vec<f64>,
    /// Attraction to a harmful item that was consumed.
    pub alpha_harmful: f64,
    /// Attraction to any other item that was consumed.
    pub alpha_harmless: f64,
    /// Pull back to where the profile was at first.
    pub beta: f64,
    /// Number of users, drawn with each seed; `None` for all.
    pub users: Option<usize>,
    /// Expected steps after which the distance to the stationary profile is measured, up to 100,000.
    pub steps: usize,
    /// Slates drawn, 1 to 1,000,000, behind the lottery of a policy that can not state it.
    pub draws: usize,
    /// Whether the numbers of every user are kept.
    pub keep_users: bool,
}

/// Steps of a walk. They are taken in one go: more could not be stopped.
const MOST_STEPS: usize = 100_000;
/// Slates behind one lottery.
const MOST_DRAWS: usize = 1_000_000;
/// Squares of objectives at larger prices leave the range of numbers, and with them all deviations.
const LARGEST_PRICE: f64 = 1e100;

impl Default for HarmOptions {
    fn default() -> Self {
        let Dynamics { alpha_harmful, alpha_harmless, beta, c } = Dynamics::default();
        Self {
            k: 1,
            rule: SizeRule::default(),
            c: Weight::Given(c),
            lambda: vec![100.0],
            alpha_harmful,
            alpha_harmless,
            beta,
            users: None,
            steps: 30,
            draws: 1000,
            keep_users: false,
        }
    }
}

/// The weight of not taking what is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Weight {
    /// This one.
    Given(f64),
    /// Found for each fitted model.
    Calibrated(Calibration),
}

/// How a weight of not taking what is shown is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// The weights to choose from, without repetition; by default 0.5, 1, 2, 5, 10, 20, 50, 100, 200 and 400.
    pub grid: Vec<f64>,
    /// The largest weight is chosen at which the mean click of `uniform` is at least this, in 0 to 1.
    pub click: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { grid: vec![0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0], click: 0.5 }
    }
}

/// A recommender whose factors are the profiles, and a policy over it at one price of harm. A row of the table.
pub struct Case {
    /// The recommender; cases that share it share its label.
    pub setting: Arc<Setting>,
    /// What results call the case.
    pub label: String,
    /// The policy.
    pub policy: Arc<dyn Policy>,
    /// What tables call the policy.
    pub policy_label: String,
    /// Effective parameters of the policy, with `plugin`, its name.
    pub policy_params: Json,
    /// Package and version of every plugin in it.
    pub origins: Vec<String>,
    /// The price.
    pub lambda: f64,
}

impl HarmOptions {
    /// How profiles move with that weight of not taking what is shown.
    pub fn dynamics(&self, c: f64) -> Dynamics {
        let Self { alpha_harmful, alpha_harmless, beta, .. } = *self;
        Dynamics { alpha_harmful, alpha_harmless, beta, c }
    }

    /// How many items are shown at once.
    pub fn cardinality(&self) -> Cardinality {
        Cardinality { size: self.k, rule: self.rule }
    }

    /// The same in words.
    pub fn sets(&self) -> String {
        let k = self.k;
        match self.rule {
            SizeRule::Exactly => format!("sets of exactly {k}"),
            SizeRule::AtMost => format!("sets of at most {k}"),
            SizeRule::Independent => format!("sets of {k} on average"),
        }
    }
}

impl Case {
    /// All that decides what the case comes to, the options apart.
    pub fn identity(&self) -> Json {
        json!({
            "recommender": self.setting.plugin,
            "params": self.setting.params,
            "policy": self.policy_params,
            "origins": self.origins,
            "lambda": self.lambda,
        })
    }
}

/// A price in labels and tables.
pub(crate) fn price(lambda: f64) -> String {
    if lambda > 1e6 { format!("{lambda:e}") } else { lambda.to_string() }
}

/// Reads `[harm]`.
pub(super) fn read<'t>(reader: &mut Reader<'_, 't>, value: Value<'t>) -> Result<Mitigation, Failure> {
    let span = value.span();
    let mut table = reader.table(value, "harm")?;
    let places: HashMap<String, Range<usize>> =
        table.iter().map(|(k, v)| (k.get_ref().to_string(), v.span())).collect();
    let missing = |what: &str| reader.document.error(span.clone(), format!("`[harm]` without {what}"));
    let harmful = table.remove("harmful").ok_or_else(|| {
        missing("`harmful`, which says what items are, e.g. harmful = { groups = \"genre\", any = [\"Horror\"] }")
    })?;
    let given = table.remove("run").ok_or_else(|| missing("`[[harm.run]]`: nothing to compare"))?;
    let c = table.remove("c");
    listed(&mut table, "lambda");
    let each_lambda = elements(&table, "lambda");
    let mut options: HarmOptions = reader.document.read(table, span.clone(), "harm", &["harmful", "run"])?;
    let place = |key: &str| places.get(key).unwrap_or(&span).clone();
    let refuse = |place: Range<usize>, key: &str, value: &dyn Display, expected: &str| {
        reader.document.error(place, format!("`harm.{key}` = {value}, expected {expected}"))
    };
    for (key, value) in [("k", options.k), ("draws", options.draws), ("users", options.users.unwrap_or(1))] {
        if value == 0 {
            return Err(refuse(place(key), key, &value, "at least 1"));
        }
    }
    for (key, value, most) in [("steps", options.steps, MOST_STEPS), ("draws", options.draws, MOST_DRAWS)] {
        if value > most {
            return Err(refuse(place(key), key, &value, &format!("at most {most}")));
        }
    }
    if options.lambda.is_empty() {
        return Err(reader.document.error(place("lambda"), "`harm.lambda`: expected at least one price"));
    }
    for (at, lambda) in options.lambda.iter_mut().enumerate() {
        if !(0.0..=LARGEST_PRICE).contains(lambda) {
            let place = each_lambda.get(at).cloned().unwrap_or_else(|| place("lambda"));
            return Err(refuse(place, "lambda", &price(*lambda), "a number from 0 to 1e100"));
        }
        // -0 is 0.
        *lambda += 0.0;
    }
    options.lambda = distinct(options.lambda);
    let dynamics = options.dynamics(0.0);
    let check = |c: f64, place_of_c: &Range<usize>| match (Dynamics { c, ..dynamics }).check() {
        Err(Error::OutOfRange { field, value, range, .. }) => {
            // What an alpha adds up to with beta may be the fault of either.
            let given = [field.as_str(), "beta"].into_iter().find_map(|key| places.get(key));
            let place = if field == "c" { place_of_c } else { given.unwrap_or(&span) };
            Err(refuse(place.clone(), &field, &value, &range))
        }
        other => other.map_err(|error| reader.document.error(span.clone(), error.to_string())),
    };
    options.c = match c {
        None => {
            check(Dynamics::default().c, &span)?;
            options.c
        }
        Some(c) => weight(reader, c, check)?,
    };
    let mut harmful: HarmLabels = {
        let span = harmful.span();
        reader.document.read(reader.table(harmful, "harm.harmful")?, span, "harm.harmful", &[])?
    };
    let mut paths = Vec::new();
    for (key, path) in harmful.files_mut() {
        *path = reader.folder.join(&*path);
        paths.extend(everywhere(path.clone()).map(|text| (format!("harm.harmful.{key}"), text)));
    }
    let places = ["k", "users"].map(|key| reader.document.place(&place(key)));
    let lambda = options.lambda.clone();
    let read = |reader: &Reader<'_, 't>, table, label: Option<&str>, span| cases(reader, table, label, span, &lambda);
    let same = |a: &Case, b: &Case| a.identity() == b.identity();
    let cases = reader.listed(given, "harm.run", read, |case| &case.label, same)?;
    Ok(Mitigation { harmful, options, places, cases, paths })
}

/// Reads `c`, a number or a table.
fn weight<'t>(
    reader: &Reader<'_, 't>,
    value: Value<'t>,
    check: impl Fn(f64, &Range<usize>) -> Result<(), Failure>,
) -> Result<Weight, Failure> {
    let span = value.span();
    if !value.get_ref().is_table() {
        let c = grid::json(reader.document, &value)?.as_f64().ok_or_else(|| {
            let text = "`harm.c`: expected a number, or a table such as { grid = [5, 10, 20], click = 0.5 }";
            reader.document.error(span.clone(), text)
        })?;
        check(c, &span)?;
        return Ok(Weight::Given(c));
    }
    let table = reader.table(value, "harm.c")?;
    let (each, click) = (elements(&table, "grid"), table.get("click").map_or(span.clone(), |v| v.span()));
    let mut calibration: Calibration = reader.document.read(table, span.clone(), "harm.c", &[])?;
    if calibration.grid.is_empty() {
        return Err(reader.document.error(span, "`harm.c.grid`: expected at least one weight"));
    }
    for (at, &c) in calibration.grid.iter().enumerate() {
        check(c, each.get(at).unwrap_or(&span))?;
    }
    if !(0.0..=1.0).contains(&calibration.click) {
        let text = format!("`harm.c.click` = {}, expected 0.0..=1.0", calibration.click);
        return Err(reader.document.error(click, text));
    }
    calibration.grid = distinct(calibration.grid);
    Ok(Weight::Calibrated(calibration))
}

/// The cases of one `[[harm.run]]`: each setting of the recommender with each policy at each price.
fn cases<'t>(
    reader: &Reader<'_, 't>,
    mut table: document::Table<'t>,
    label: Option<&str>,
    span: Range<usize>,
    lambda: &[f64],
) -> Result<Vec<Case>, Failure> {
    let policy = table.remove("policy").ok_or_else(|| {
        let text = "`[[harm.run]]` without `policy`, e.g. policy = [\"uniform\", \"top-k\"]";
        reader.document.error(span.clone(), text)
    })?;
    let policies = reader.policies(&policy)?;
    let mut cases = Vec::new();
    for setting in reader.run(table, label, span, &List::of_recommenders("harm.run", &["policy"]))? {
        let setting = Arc::new(setting);
        for (policy, shown) in &policies {
            let mut policy_params = parameters(policy.as_ref());
            let of_policy = catalog::origins(reader.catalog, "policy", policy.name(), &policy_params);
            policy_params["plugin"] = policy.name().into();
            cases.extend(lambda.iter().map(|&of_case| {
                let axis = if lambda.len() > 1 { format!(" lambda={}", price(of_case)) } else { String::new() };
                Case {
                    setting: setting.clone(),
                    label: format!("{} {shown}{axis}", setting.label),
                    policy: policy.clone(),
                    policy_label: shown.clone(),
                    policy_params: policy_params.clone(),
                    origins: setting.origins.iter().chain(&of_policy).cloned().collect(),
                    lambda: of_case,
                }
            }));
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests;
