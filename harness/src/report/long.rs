//! The long tables: one number per row, easy to read into anything.
//!
//! Numbers are written with the fewest digits that give them back exactly.

use crate::compare::{Cell, CellEnd, Comparison};
use crate::experiment::Experiment;
use crate::protocol::{groupwise, harm, interactive, offline};
use serde_json::Value as Json;

/// `results.csv`: every number of every finished cell, in the order of the experiment. Equal seeds give equal bytes.
/// The column `attack` is empty but for full rankings: see [`crate::protocol::attack`].
pub fn results_csv(experiment: &Experiment, comparison: &Comparison) -> Vec<u8> {
    let mut table = Table::new(&[&HEAD[..], &["metric", "k", "group", "attack", "value", "n"]].concat());
    for (head, cell) in cells(experiment, comparison) {
        let Some(outcome) = cell.outcome() else { continue };
        let attacked = outcome.attacks.iter().flat_map(|a| a.figures.iter().map(|figure| (a.attack.as_str(), figure)));
        for (attack, figure) in outcome.figures.iter().map(|figure| ("", figure)).chain(attacked) {
            let k = figure.k.map_or_else(String::new, |k| k.to_string());
            let tail = [
                figure.metric.clone(),
                k,
                figure.group.clone().unwrap_or_default(),
                attack.into(),
                figure.value.to_string(),
                figure.n.to_string(),
            ];
            table.row(head.iter().chain(&tail));
        }
    }
    table.finish()
}

/// `timings.csv`: how long each finished cell took, whether an earlier run measured it, and on which device.
pub fn timings_csv(experiment: &Experiment, comparison: &Comparison) -> Vec<u8> {
    let mut table = Table::new(&[&HEAD[..], &["fit_seconds", "evaluate_seconds", "found", "device"]].concat());
    for (head, cell) in cells(experiment, comparison) {
        let Some(outcome) = cell.outcome() else { continue };
        let found = matches!(cell.end, CellEnd::Found(_));
        let seconds = [outcome.seconds.fit, outcome.seconds.evaluate].map(|s| format!("{s:.6}"));
        table.row(head.iter().chain(&seconds).chain(&[found.to_string(), outcome.device.clone()]));
    }
    table.finish()
}

/// The columns that say which cell a row belongs to. Under `recommender` stands the regressor, of group regressors.
const HEAD: [&str; 7] = ["experiment", "protocol", "recommender", "label", "params", "seed", "fold"];

/// Every cell with those columns.
fn cells<'a>(
    experiment: &'a Experiment,
    comparison: &'a Comparison,
) -> impl Iterator<Item = ([String; HEAD.len()], &'a Cell)> {
    let head = |protocol: &str, (plugin, params): (&str, &Json), label: &str, cell: &Cell| {
        [
            experiment.name.clone(),
            protocol.into(),
            plugin.into(),
            label.to_string(),
            params.to_string(),
            cell.place.seed.to_string(),
            cell.place.fold.to_string(),
        ]
    };
    let recommenders = experiment.offline.iter().zip(&comparison.offline).flat_map(move |(part, compared)| {
        let setting = |cell: &Cell| &part.settings[cell.place.setting];
        let plugin = move |cell: &Cell| (setting(cell).plugin, &setting(cell).params);
        let of_cell = move |cell| (head(offline::NAME, plugin(cell), &setting(cell).label, cell), cell);
        compared.cells.iter().map(of_cell)
    });
    let agents = experiment.interactive.iter().zip(&comparison.interactive).flat_map(move |(part, compared)| {
        let setting = |cell: &Cell| &part.agents[cell.place.setting].setting;
        let plugin = move |cell: &Cell| (setting(cell).plugin, &setting(cell).params);
        let of_cell = move |cell| (head(interactive::NAME, plugin(cell), &setting(cell).label, cell), cell);
        compared.cells.iter().map(of_cell)
    });
    let policies = experiment.harm.iter().zip(&comparison.harm).flat_map(move |(part, compared)| {
        let case = |cell: &Cell| &part.cases[cell.place.setting];
        let plugin = move |cell: &Cell| (case(cell).setting.plugin, &case(cell).setting.params);
        let of_cell = move |cell| (head(harm::NAME, plugin(cell), &case(cell).label, cell), cell);
        compared.cells.iter().map(of_cell)
    });
    let regressors = experiment.groupwise.iter().zip(&comparison.groupwise).flat_map(move |(part, compared)| {
        let run = |cell: &Cell| &part.runs[cell.place.setting];
        let plugin = move |cell: &Cell| (run(cell).setting.plugin, &run(cell).setting.params);
        let of_cell = move |cell| (head(groupwise::NAME, plugin(cell), &run(cell).label, cell), cell);
        compared.cells.iter().map(of_cell)
    });
    recommenders.chain(agents).chain(policies).chain(regressors)
}

/// A table in memory.
pub(super) struct Table(csv::Writer<Vec<u8>>);

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(header).expect("memory takes all");
        Self(writer)
    }

    pub(super) fn row<'a>(&mut self, fields: impl Iterator<Item = &'a String>) {
        self.0.write_record(fields).expect("memory takes all, rows have one length");
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes all")
    }
}
