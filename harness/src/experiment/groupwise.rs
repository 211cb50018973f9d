//! The groupwise part of an experiment: which group regressors are compared on which table.

use super::Setting;
use super::document::{Table, Value};
use super::offline::everywhere;
use super::reader::{Origin, Reader};
use super::setting::List;
use super::several::distinct;
use crate::failure::Failure;
use crate::load::TableOptions;
use crate::panics;
use evenhand_core::{Error, GroupRegressor, Run, Simulator};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::DeValue;

/// Group regressors to be compared on a table of features and memberships.
pub struct Groupwise {
    /// Where the table comes from.
    pub source: TableSource,
    /// What is measured.
    pub options: GroupwiseOptions,
    /// In which order rows come, for regressors that learn row by row.
    pub orders: Orders,
    /// Who is compared, in order.
    pub runs: Vec<GroupRun>,
    /// Paths in it as they hold in every folder, with their keys.
    pub(super) paths: Vec<(String, String)>,
}

/// Where a table of features and memberships comes from.
pub enum TableSource {
    /// A file.
    Path {
        /// The file.
        path: PathBuf,
        /// How to read it.
        options: Box<TableOptions>,
    },
    /// A simulator that emits a table, the same one for every seed of the experiment: those repeat the measurement, not
    /// the world.
    Simulator {
        /// The simulator.
        recipe: Box<dyn Simulator>,
        /// What the world is drawn from.
        seed: u64,
    },
}

/// What is measured: the keys of `[groupwise]` beside `data`, `orders` and `run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupwiseOptions {
    /// Share of the rows held out from regressors that learn from a whole table, between 0 and 1.
    pub test: f64,
    /// Whether memberships are features too.
    pub indicators: Indicators,
    /// What the losses of regressors that learn row by row are compared with.
    pub comparator: Comparator,
}

impl Default for GroupwiseOptions {
    fn default() -> Self {
        Self { test: 0.2, indicators: Indicators::default(), comparator: Comparator::AllRows }
    }
}

/// Whether memberships are features too, those apart that equal a feature in every row already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Indicators {
    /// Of regressors that learn from a whole table.
    pub batch: bool,
    /// Of regressors that learn row by row.
    pub online: bool,
}

impl Default for Indicators {
    fn default() -> Self {
        Self { batch: false, online: true }
    }
}

/// The best linear function in hindsight of a group, without an intercept and without a penalty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparator {
    /// Fitted to all rows of the group; its loss is that on all of them.
    AllRows,
    /// Fitted to all rows of the group but the last one in the order of the stream; its loss is that on those. The loss of
    /// the regressor is still that on all rows, as in published tables.
    AllButLast,
}

/// In which order rows come, for regressors that learn row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Shuffled by the seed.
    Shuffled,
    /// That of the table, with every seed.
    AsIs,
    /// One for each seed, from a file.
    File(PathBuf),
}

/// A group regressor and how it learns. A row of the table.
pub struct GroupRun {
    /// The regressor; runs that differ in how they learn share it.
    pub setting: Arc<Setting<dyn GroupRegressor>>,
    /// What results call the run.
    pub label: String,
    /// How it learns.
    pub learning: GroupLearning,
}

/// How a group regressor learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupLearning {
    /// Row by row, each of which is predicted first. The default for regressors that can.
    Online,
    /// From a whole table. The default for all other regressors.
    Batch,
}

impl GroupLearning {
    /// What experiments call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Batch => "batch",
        }
    }
}

impl GroupRun {
    /// All that decides what the run comes to, the options apart.
    pub fn identity(&self) -> Json {
        json!({
            "regressor": self.setting.plugin,
            "params": self.setting.params,
            "origins": self.setting.origins,
            "learning": self.learning,
        })
    }
}

impl Groupwise {
    /// Whether some run learns so.
    pub fn has(&self, learning: GroupLearning) -> bool {
        self.runs.iter().any(|run| run.learning == learning)
    }
}

/// Reads `[groupwise]`.
pub(super) fn read<'t>(reader: &mut Reader<'_, 't>, value: Value<'t>) -> Result<Groupwise, Failure> {
    let span = value.span();
    let mut table = reader.table(value, "groupwise")?;
    let missing = |what: &str| reader.document.error(span.clone(), format!("`[groupwise]` without {what}"));
    let data = table
        .remove("data")
        .ok_or_else(|| missing("`[groupwise.data]`, such as path = \"medical.csv\" or simulator = \"group-linear\""))?;
    let given = table.remove("run").ok_or_else(|| missing("`[[groupwise.run]]`: nothing to compare"))?;
    let orders = table.remove("orders");
    let place_of_test = table.get("test").map_or(span.clone(), |value| value.span());
    let options: GroupwiseOptions =
        reader.document.read(table, span.clone(), "groupwise", &["data", "orders", "run"])?;
    // Written so that NaN is refused.
    if !(options.test > 0.0 && options.test < 1.0) {
        let text = format!("`groupwise.test` = {}, expected a share above 0 and below 1", options.test);
        return Err(reader.document.error(place_of_test, text));
    }
    let mut paths = Vec::new();
    let ordered = orders.is_some();
    let orders = match orders {
        None => Orders::Shuffled,
        Some(value) => match reader.text(&value, "groupwise.orders")?.as_str() {
            SHUFFLED => Orders::Shuffled,
            AS_IS => Orders::AsIs,
            _ => {
                let path = reader.path(&value, "groupwise.orders")?;
                paths.extend(everywhere(path.clone()).map(|text| ("groupwise.orders".into(), text)));
                Orders::File(path)
            }
        },
    };
    let source = source(reader, data)?;
    if let TableSource::Path { path, .. } = &source {
        paths.extend(everywhere(path.clone()).map(|text| ("groupwise.data.path".into(), text)));
    }
    let same = |a: &GroupRun, b: &GroupRun| a.identity() == b.identity();
    let runs = reader.listed(given, "groupwise.run", runs, |run| &run.label, same)?;
    let part = Groupwise { source, options, orders, runs, paths };
    if ordered && !part.has(GroupLearning::Online) {
        reader.warnings.push("`groupwise.orders` is of no account: no run learns row by row".into());
    }
    Ok(part)
}

impl Orders {
    /// What experiments call those that are no file.
    pub(crate) const NAMES: [&str; 2] = [SHUFFLED, AS_IS];
}

const SHUFFLED: &str = "shuffled";
const AS_IS: &str = "as-is";

/// Reads `[groupwise.data]`.
fn source<'t>(reader: &Reader<'_, 't>, value: Value<'t>) -> Result<TableSource, Failure> {
    const WHAT: &str = "groupwise.data";
    let span = value.span();
    let mut table = reader.table(value, WHAT)?;
    match reader.origin(&mut table, WHAT)? {
        Some(Origin::Path(path)) => {
            let label = table.get("label").map(|value| value.span());
            let options: Box<TableOptions> =
                Box::new(reader.document.read(table, span.clone(), WHAT, &Origin::KEYS)?);
            if options.label.is_empty() {
                if let Some(place) = label {
                    let text = "`groupwise.data.label` is empty, expected the column to predict";
                    return Err(reader.document.error(place, text));
                }
                return Err(reader.document.error(span, "`[groupwise.data]` without `label`, the column to predict"));
            }
            Ok(TableSource::Path { path, options })
        }
        Some(Origin::Simulator { recipe, seed }) => {
            reader.nothing_beside_a_simulator(&table)?;
            Ok(TableSource::Simulator { recipe, seed })
        }
        None => {
            // A slip in the key is likelier than its absence.
            reader.document.read::<TableOptions>(table, span.clone(), WHAT, &Origin::KEYS)?;
            Err(reader.document.error(span, "`[groupwise.data]` without `path` or `simulator`"))
        }
    }
}

/// The runs of one `[[groupwise.run]]`: each setting of the regressor with each way of learning.
fn runs<'t>(
    reader: &Reader<'_, 't>,
    mut table: Table<'t>,
    label: Option<&str>,
    span: Range<usize>,
) -> Result<Vec<GroupRun>, Failure> {
    let given = table.remove("learning").map(|value| ways(reader, &value)).transpose()?;
    let list = List { what: "groupwise.run", key: "regressor", own: &["learning"] };
    let mut runs = Vec::new();
    for setting in reader.run::<dyn GroupRegressor>(table, label, span.clone(), &list)? {
        let able = setting.recipe.online();
        if let Some(error) = able.then(|| unable(setting.recipe.as_ref())).flatten() {
            let text = format!("`{}` can not learn row by row with these parameters: {error}", setting.label);
            return Err(reader.document.error(span, text));
        }
        let usual = if able { GroupLearning::Online } else { GroupLearning::Batch };
        let setting = Arc::new(setting);
        for (learning, place) in given.as_deref().unwrap_or(&[(usual, 0..0)]) {
            if *learning == GroupLearning::Online && !able {
                let text = format!("`{}` does not learn online, expected batch", setting.plugin);
                return Err(reader.document.error(place.clone(), text));
            }
            // One way of several, or one that nothing else tells of.
            let told = given.as_ref().is_some_and(|given| given.len() > 1 || label.is_none());
            let tail = if told { format!(" {}", learning.name()) } else { String::new() };
            let label = format!("{}{tail}", setting.label);
            runs.push(GroupRun { setting: setting.clone(), label, learning: *learning });
        }
    }
    Ok(runs)
}

/// Why a regressor that learns row by row does not even begin: what is nested in it does not learn so. What else goes
/// wrong is told by its cells.
fn unable(recipe: &dyn GroupRegressor) -> Option<Error> {
    let begun = panics::caught(|| recipe.begin(1, 1, &Run::new(0)).map(drop)).ok()?;
    begun.err().filter(|error| matches!(error, Error::Unsupported { .. }))
}

/// The ways of learning that a value stands for, each once, with their places.
fn ways<'t>(reader: &Reader<'_, 't>, value: &Value<'t>) -> Result<Vec<(GroupLearning, Range<usize>)>, Failure> {
    let values: Vec<&Value<'t>> = match value.get_ref() {
        DeValue::Array(values) => values.iter().collect(),
        _ => vec![value],
    };
    if values.is_empty() {
        return Err(reader.document.error(value.span(), "`learning`: expected online, batch or both"));
    }
    let read = |value: &&Value<'t>| reader.choice::<GroupLearning>(value, "learning");
    let ways = values.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let place = |way| values[ways.iter().position(|other| *other == way).expect("one of them")].span();
    Ok(distinct(ways.clone()).into_iter().map(|way| (way, place(way))).collect())
}

#[cfg(test)]
mod tests;
