//! Group regressors on a table of features and memberships: every run with every seed.

use super::cells::{Cells, Runner};
use super::{Cell, Place};
use crate::cell;
use crate::experiment::{GroupLearning, Groupwise, GroupwiseOptions, Orders, TableSource};
use crate::failure::Failure;
use crate::load;
use crate::panics;
use crate::protocol::groupwise::{self, Ground, Order};
use evenhand_core::{Error, GroupData, Run, nearest};
use serde::Serialize;
use serde_json::Value as Json;
use std::path::Path;

/// What came out of comparing group regressors.
#[derive(Debug)]
pub struct GroupwiseCells {
    /// The table.
    pub data: TableDescription,
    /// Hash of the table.
    pub digest: String,
    /// Every cell, by run and seed.
    pub cells: Vec<Cell>,
    /// Whether some cells were not run.
    pub(super) cut_short: bool,
}

/// What there is in a table of features and memberships.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableDescription {
    /// What it is called.
    pub name: String,
    /// What the label is called.
    pub label: String,
    /// Number of rows.
    pub rows: usize,
    /// Number of features, memberships apart.
    pub features: usize,
    /// Number of memberships that are features too, where that is asked for: those that are not among the features anyway.
    pub indicators: usize,
    /// The groups.
    pub groups: Vec<GroupSize>,
}

/// A group and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupSize {
    /// What it is called.
    pub name: String,
    /// Number of its rows.
    pub rows: usize,
}

/// A comparison of group regressors under way.
pub(super) struct Work<'a> {
    runner: &'a Runner<'a>,
    seeds: &'a [u64],
    shared: Shared<'a>,
    cells: Cells,
}

/// What the cells have in common.
struct Shared<'a> {
    part: &'a Groupwise,
    data: TableDescription,
    digest: String,
    /// The table as it is, and with memberships as features, as far as they are asked for.
    plain: Option<Ground>,
    indicated: Option<Ground>,
    /// The order of the rows with each seed and its hash, where they are from a file and somebody learns row by row.
    orders: Option<Vec<(Vec<usize>, String)>>,
}

impl TableDescription {
    fn of(data: &GroupData) -> Self {
        let table = &data.table;
        let size = |(group, name): (usize, &String)| GroupSize { name: name.clone(), rows: table.members(group).len() };
        Self {
            name: data.name.clone(),
            label: data.label.clone(),
            rows: table.rows(),
            features: table.features(),
            indicators: 0,
            groups: table.groups().iter().enumerate().map(size).collect(),
        }
    }

    /// A word about groups that are too small for some figures; R2 is one where rows are `held_out`.
    fn warnings(&self, held_out: bool) -> Vec<String> {
        let named = |which: fn(usize) -> bool| {
            let names: Vec<String> =
                self.groups.iter().filter(|g| which(g.rows)).map(|g| format!("`{}`", g.name)).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let empty =
            named(|rows| rows == 0).map(|names| format!("groups without a row, which have no figures: {names}"));
        let single = named(|rows| rows == 1)
            .filter(|_| held_out)
            .map(|names| format!("groups of one row, which have no R2: {names}"));
        empty.into_iter().chain(single).collect()
    }
}

/// Loads the table, or has it made.
fn open(source: &TableSource, base: &Run) -> Result<GroupData, Failure> {
    let read = || match source {
        TableSource::Path { path, options } => base.install(|| load::load_table(path, options)),
        TableSource::Simulator { recipe, seed } => {
            let world = recipe.open(&base.clone().with_seed(*seed).child("data"))?;
            world.table().map_err(|error| match error {
                Error::Unsupported { operation, .. } => Error::Unsupported { plugin: recipe.name().into(), operation },
                other => other,
            })
        }
    };
    let data = panics::caught(read).map_err(|panic| Failure::Data(Error::Unusable(panic)))?;
    let data = data.map_err(Failure::of_data)?;
    data.table.check_labels(&data.labels).map_err(Failure::Data)?;
    Ok(data)
}

/// The table with memberships as features, for runs that learn so.
fn indicated(data: &GroupData, learning: GroupLearning) -> Result<GroupData, Failure> {
    let told = |error| match error {
        Error::Unusable(text) => {
            let key = format!("groupwise.indicators.{}", learning.name());
            Error::Unusable(format!("{text}, so memberships can not be features too; set {key} = false"))
        }
        other => other,
    };
    let table = data.table.with_indicators().map_err(|error| Failure::Data(told(error)))?;
    Ok(GroupData { table, ..data.clone() })
}

impl<'a> Shared<'a> {
    fn new(part: &'a Groupwise, seeds: &[u64], base: &Run) -> Result<Self, Failure> {
        let data = open(&part.source, base)?;
        let mut description = TableDescription::of(&data);
        if part.has(GroupLearning::Batch) && description.rows < 2 {
            let text = format!("`{}` has a single row, of which none can be held out", description.name);
            return Err(Failure::Data(Error::Unusable(text)));
        }
        let orders = match &part.orders {
            Orders::File(path) if part.has(GroupLearning::Online) => {
                if !path.exists() {
                    return Err(no_orders(path));
                }
                let orders = load::load_orders(path, description.rows, seeds).map_err(Failure::of_data)?;
                let hashed = |order: Vec<usize>| {
                    let bytes: Vec<u8> = order.iter().flat_map(|&row| (row as u64).to_le_bytes()).collect();
                    (order, blake3::hash(&bytes).to_hex().to_string())
                };
                Some(orders.into_iter().map(hashed).collect())
            }
            _ => None,
        };
        let digest = cell::digest_of_table(&data);
        let ways = [GroupLearning::Online, GroupLearning::Batch].into_iter().filter(|&way| part.has(way));
        let (with, without): (Vec<_>, Vec<_>) = ways.partition(|&way| has_indicators(&part.options, way));
        let with = with.first().map(|&way| indicated(&data, way)).transpose()?;
        description.indicators = with.as_ref().map_or(0, |wide| wide.table.features() - description.features);
        let plain = (!without.is_empty()).then(|| Ground::new(data));
        Ok(Self { part, data: description, digest, plain, indicated: with.map(Ground::new), orders })
    }

    /// What a run that learns so is measured on.
    fn ground(&self, learning: GroupLearning) -> &Ground {
        let ground = if has_indicators(&self.part.options, learning) { &self.indicated } else { &self.plain };
        ground.as_ref().expect("made for every way that some run learns")
    }

    /// The order of the rows with a seed, by its place among the seeds.
    fn order(&self, at: usize) -> Order<'_> {
        match (&self.orders, &self.part.orders) {
            (Some(orders), _) => Order::Given(&orders[at].0),
            (None, Orders::AsIs) => Order::AsIs,
            (None, _) => Order::Shuffled,
        }
    }

    fn identity(&self, place: Place, seeds: &[u64]) -> Json {
        let at = seeds.iter().position(|&seed| seed == place.seed);
        let hash = self.orders.as_ref().zip(at).map(|(orders, at)| orders[at].1.as_str());
        cell::of_group_regressor(self.part, &self.digest, hash, place)
    }
}

/// The complaint about orders that are neither a file nor one of the names.
fn no_orders(path: &Path) -> Failure {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hint = nearest(&name, Orders::NAMES).map_or_else(String::new, |n| format!(" (did you mean \"{n}\"?)"));
    let [first, second] = Orders::NAMES;
    let path = path.display();
    let text = format!("`groupwise.orders`: no file \"{path}\"; expected \"{first}\", \"{second}\" or a file{hint}");
    Failure::Data(Error::Unusable(text))
}

/// Whether memberships are features of runs that learn so.
fn has_indicators(options: &GroupwiseOptions, learning: GroupLearning) -> bool {
    match learning {
        GroupLearning::Batch => options.indicators.batch,
        GroupLearning::Online => options.indicators.online,
    }
}

impl<'a> Work<'a> {
    /// Opens the table, and looks for cells that are finished.
    ///
    /// # Errors
    /// [`Failure::Data`] for a table or orders that can not be read or made, memberships that can not be features, and
    /// where there is nothing to hold out.
    pub(super) fn begin(part: &'a Groupwise, seeds: &'a [u64], runner: &'a Runner<'a>) -> Result<Self, Failure> {
        let shared = Shared::new(part, seeds, &runner.base)?;
        let of_run = |setting| seeds.iter().map(move |&seed| Place { setting, seed, fold: 0 });
        let places = (0..part.runs.len()).flat_map(of_run).collect();
        let cells = Cells::begin(places, |_, _| true, runner, |place| shared.identity(place, seeds));
        let work = Self { runner, seeds, shared, cells };
        work.announce();
        Ok(work)
    }

    /// Cells to be run.
    pub(super) fn missing(&self) -> usize {
        self.cells.missing()
    }

    /// Runs them, all runs with one seed after each other.
    pub(super) fn run(mut self, warnings: &mut Vec<String>) -> Result<GroupwiseCells, Failure> {
        let Shared { part, .. } = self.shared;
        warnings.extend(self.shared.data.warnings(part.has(GroupLearning::Batch)));
        for (at, &seed) in self.seeds.iter().enumerate() {
            for place in self.cells.without_end(|place| place.seed == seed) {
                if self.runner.stopped() {
                    break;
                }
                let case = &part.runs[place.setting];
                let name = format!("{}  seed {seed}", case.label);
                let (ground, order) = (self.shared.ground(case.learning), self.shared.order(at));
                let measure = |run: &Run| groupwise::measure(ground, case, &part.options, order, run);
                let identity = self.shared.identity(place, self.seeds);
                let end = self.runner.run(&case.label, &name, seed, identity, measure)?;
                self.cells.set(place, end);
            }
        }
        let done = self.cells.finish(self.runner, |place| self.shared.identity(place, self.seeds));
        let Shared { data, digest, .. } = self.shared;
        Ok(GroupwiseCells { data, digest, cells: done.cells, cut_short: done.cut_short })
    }

    /// Says on stderr what is about to be compared.
    fn announce(&self) {
        let say = |text: String| self.runner.host.progress.note(&text);
        let data = &self.shared.data;
        let (name, rows, features, groups) = (&data.name, data.rows, data.features, data.groups.len());
        say(format!("  table   {name}  {rows} rows  {features} features  {groups} groups"));
        let (cells, runs, seeds) = (self.cells.len(), self.shared.part.runs.len(), self.seeds.len());
        let missing = self.cells.missing();
        let found = cells - missing;
        say(format!("  plan    {cells} cells = {runs} runs x {seeds} seeds   {found} found   {missing} to run"));
    }
}

#[cfg(test)]
mod tests;
