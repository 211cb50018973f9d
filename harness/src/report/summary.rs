//! The summary: means and standard deviations over seeds and folds, what failed, what was compared.

use super::attack::{AttackSummary, ControlSummary, attacks, controls};
use super::choice::{Choice, choose};
use super::front::front;
use super::groupwise::GroupwiseSummary;
use super::harm::HarmSummary;
use super::interactive::InteractiveSummary;
use crate::cell::Outcome;
use crate::compare::{Cell, CellEnd, Comparison, OfflineCells};
use crate::experiment::{Attacks, Eval, Experiment, Offline, Setting};
use crate::load::Description;
use crate::protocol::{Figure, groupwise, harm, interactive, mean_and_sd, metric_name, offline};
use crate::split::Split;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::HashMap;

/// A comparison in short: what `--json` prints and `summary.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Layout of this summary. Readers ignore fields they do not know.
    pub schema: u32,
    /// Version of the harness.
    pub evenhand: String,
    /// Name of the experiment.
    pub experiment: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Changes made on the command line.
    pub overrides: Vec<String>,
    /// Cells in all.
    pub cells: usize,
    /// Cells that an earlier run had finished.
    pub found: usize,
    /// Cells run now, failed ones included.
    pub run: usize,
    /// Whether the comparison was stopped before its end.
    pub interrupted: bool,
    /// What the reader of the results should know.
    pub warnings: Vec<String>,
    /// Recommenders on held-out rows, where the experiment has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflineSummary>,
    /// Agents in a world that answers, where the experiment has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactive: Option<InteractiveSummary>,
    /// Policies against harm, where the experiment has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harm: Option<HarmSummary>,
    /// Group regressors, where the experiment has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groupwise: Option<GroupwiseSummary>,
    /// Every cell that failed.
    pub failures: Vec<FailedCell>,
}

/// Recommenders on held-out rows, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfflineSummary {
    /// The data.
    pub data: Description,
    /// BLAKE3 hash of the data.
    pub digest: String,
    /// Names of the groupings of users and of items between which fairness was measured.
    pub protected: [Option<String>; 2],
    /// How it was divided.
    pub split: Split,
    /// Share of the training rows that settings were chosen by.
    pub validation: Option<f64>,
    /// What was measured.
    pub eval: Eval,
    /// How fitted models were attacked, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attacks>,
    /// Cells of recommenders.
    pub cells: usize,
    /// Every setting, in the order of the experiment.
    pub settings: Vec<SettingSummary>,
    /// The settings that have a control against it, under every attack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlSummary>,
    /// What was chosen, where the experiment says how.
    pub choice: Option<Choice>,
}

/// One setting in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingSummary {
    /// Name of the recommender.
    pub recommender: String,
    /// What tables call the setting.
    pub label: String,
    /// Effective parameters.
    pub params: Json,
    /// Package and version of every plugin in it.
    pub origins: Vec<String>,
    /// Finished cells.
    pub cells: usize,
    /// Mean time of fitting.
    pub fit_seconds: Option<f64>,
    /// Whether no other setting has as low a mean RMSE and a mean DEE of the ratings as low, and one of them lower.
    pub pareto: bool,
    /// Means of all numbers.
    pub figures: Vec<MeanFigure>,
    /// Means of the numbers of full rankings, clean and under every attack, of what was attacked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<AttackSummary>,
}

impl SettingSummary {
    /// A figure of all users, by its name in tables.
    pub fn figure(&self, name: &str) -> Option<&MeanFigure> {
        self.figures.iter().find(|f| f.group.is_none() && f.name() == name)
    }

    /// Its mean.
    pub fn mean(&self, name: &str) -> Option<f64> {
        self.figure(name).map(|f| f.mean)
    }
}

/// A number over all finished cells of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanFigure {
    /// What was measured.
    pub metric: String,
    /// Length of the list, for metrics of a list.
    pub k: Option<usize>,
    /// The users it was measured on; `None` for all.
    pub group: Option<String>,
    /// Mean over seeds and folds.
    pub mean: f64,
    /// Sample standard deviation over seeds and folds; `None` for a single cell.
    pub sd: Option<f64>,
    /// Cells that have the number.
    pub cells: usize,
    /// The fewest users, rows or lists behind the number of a cell.
    pub n: u64,
}

impl MeanFigure {
    /// The metric as tables name it.
    pub fn name(&self) -> String {
        metric_name(&self.metric, self.k)
    }
}

/// A cell that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedCell {
    /// The protocol.
    pub protocol: &'static str,
    /// Name of the recommender, or of the group regressor.
    pub recommender: String,
    /// What tables call the setting.
    pub label: String,
    /// The seed.
    pub seed: u64,
    /// The fold, from 0.
    pub fold: usize,
    /// Why it failed.
    pub reason: String,
}

impl Summary {
    /// The summary of a comparison.
    pub fn new(experiment: &Experiment, comparison: &Comparison) -> Self {
        let count = |which: fn(&CellEnd) -> bool| comparison.cells().filter(|c| which(&c.end)).count();
        let offline = experiment.offline.as_ref().zip(comparison.offline.as_ref());
        let interactive = experiment.interactive.as_ref().zip(comparison.interactive.as_ref());
        let mut failures = Vec::new();
        if let Some((part, cells)) = offline {
            let of = |n: usize| (part.settings[n].plugin, part.settings[n].label.as_str());
            failed(offline::NAME, &cells.cells, of, &mut failures);
        }
        if let Some((part, cells)) = interactive {
            let of = |n: usize| (part.agents[n].setting.plugin, part.agents[n].setting.label.as_str());
            failed(interactive::NAME, &cells.cells, of, &mut failures);
        }
        let mitigation = experiment.harm.as_ref().zip(comparison.harm.as_ref());
        if let Some((part, cells)) = mitigation {
            let of = |n: usize| (part.cases[n].setting.plugin, part.cases[n].label.as_str());
            failed(harm::NAME, &cells.cells, of, &mut failures);
        }
        let regressors = experiment.groupwise.as_ref().zip(comparison.groupwise.as_ref());
        if let Some((part, cells)) = regressors {
            let of = |n: usize| (part.runs[n].setting.plugin, part.runs[n].label.as_str());
            failed(groupwise::NAME, &cells.cells, of, &mut failures);
        }
        Self {
            schema: 2,
            evenhand: env!("CARGO_PKG_VERSION").into(),
            experiment: experiment.name.clone(),
            seeds: experiment.seeds.clone(),
            overrides: experiment.overrides.clone(),
            cells: comparison.cells().count(),
            found: count(|end| matches!(end, CellEnd::Found(_))),
            run: count(|end| matches!(end, CellEnd::Done(_) | CellEnd::Failed(_))),
            interrupted: comparison.interrupted,
            warnings: comparison.warnings.clone(),
            offline: offline.map(|(part, cells)| OfflineSummary::new(part, cells)),
            interactive: interactive.map(|(part, cells)| InteractiveSummary::new(part, &cells.cells)),
            harm: mitigation.map(|(part, cells)| HarmSummary::new(part, cells)),
            groupwise: regressors.map(|(part, cells)| GroupwiseSummary::new(part, cells)),
            failures,
        }
    }
}

impl OfflineSummary {
    fn new(part: &Offline, compared: &OfflineCells) -> Self {
        let mut settings: Vec<_> =
            part.settings.iter().enumerate().map(|(n, s)| setting(s, &of_setting(&compared.cells, n))).collect();
        mark_front(&mut settings);
        Self {
            data: compared.data.clone(),
            digest: compared.digest.clone(),
            protected: compared.protected.clone(),
            split: part.split.clone(),
            validation: part.validation,
            eval: part.eval.clone(),
            attack: part.attack.clone(),
            cells: compared.cells.len(),
            choice: part.choose.as_ref().map(|rule| choose(rule, &part.settings, &settings)),
            settings,
            controls: controls(part, &compared.cells),
        }
    }
}

/// Adds the cells that failed; `setting` is the plugin of the one of that index, and what results call it.
fn failed<'a>(
    protocol: &'static str,
    cells: &[Cell],
    setting: impl Fn(usize) -> (&'static str, &'a str),
    failures: &mut Vec<FailedCell>,
) {
    for Cell { place, end } in cells {
        let CellEnd::Failed(reason) = end else { continue };
        let (plugin, label) = setting(place.setting);
        failures.push(FailedCell {
            protocol,
            recommender: plugin.into(),
            label: label.into(),
            seed: place.seed,
            fold: place.fold,
            reason: reason.clone(),
        });
    }
}

/// The finished cells of one setting, of one agent, or of one case.
pub(super) fn of_setting(cells: &[Cell], n: usize) -> Vec<&Outcome> {
    cells.iter().filter(|c| c.place.setting == n).filter_map(Cell::outcome).collect()
}

fn setting(setting: &Setting, outcomes: &[&Outcome]) -> SettingSummary {
    let seconds: Vec<f64> = outcomes.iter().map(|o| o.seconds.fit).collect();
    SettingSummary {
        recommender: setting.plugin.into(),
        label: setting.label.clone(),
        params: setting.params.clone(),
        origins: setting.origins.clone(),
        cells: outcomes.len(),
        fit_seconds: (!seconds.is_empty()).then(|| mean_and_sd(&seconds).0),
        pareto: false,
        figures: means(outcomes),
        attacks: attacks(&outcomes.iter().map(|o| o.attacks.as_slice()).collect::<Vec<_>>()),
    }
}

/// Marks the front of RMSE and DEE among the settings with the most finished cells: means over fewer can not be compared.
fn mark_front(settings: &mut [SettingSummary]) {
    let most = settings.iter().map(|s| s.cells).max().unwrap_or(0);
    let point = |s: &SettingSummary| s.mean("rmse").zip(s.mean("dee")).filter(|_| s.cells == most);
    let points: Vec<_> = settings.iter().map(point).collect();
    settings.iter_mut().zip(front(&points)).for_each(|(s, on)| s.pareto = on);
}

/// Joins the figures of several cells, in the order in which they first occur.
pub(super) fn means(outcomes: &[&Outcome]) -> Vec<MeanFigure> {
    joined(&outcomes.iter().map(|o| o.figures.as_slice()).collect::<Vec<_>>())
}

/// The same, of figures.
pub(super) fn joined(cells: &[&[Figure]]) -> Vec<MeanFigure> {
    type Values = Vec<(f64, u64)>;
    let mut order: Vec<&Figure> = Vec::new();
    let mut values: HashMap<(&str, Option<usize>, Option<&str>), Values> = HashMap::new();
    for figure in cells.iter().copied().flatten() {
        let list = values.entry((&figure.metric, figure.k, figure.group.as_deref())).or_default();
        if list.is_empty() {
            order.push(figure);
        }
        list.push((figure.value, figure.n));
    }
    let join = |figure: &Figure| {
        let list = &values[&(figure.metric.as_str(), figure.k, figure.group.as_deref())];
        let (mean, sd) = mean_and_sd(&list.iter().map(|v| v.0).collect::<Vec<_>>());
        let (metric, k, group) = (figure.metric.clone(), figure.k, figure.group.clone());
        let n = list.iter().map(|v| v.1).min().unwrap_or(0);
        MeanFigure { metric, k, group, mean, sd, cells: list.len(), n }
    };
    order.into_iter().map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_joined_by_metric_length_and_group() {
        let figure = |metric: &str, group: Option<&str>, value, n| {
            let (metric, group) = (metric.to_string(), group.map(str::to_string));
            Figure { metric, k: Some(5), group, value, n }
        };
        let first = [figure("ndcg", None, 0.5, 10), figure("ndcg", Some("g=a"), 0.25, 4)];
        let second = [figure("ndcg", None, 1.5, 8)];
        let joined = joined(&[&first, &second]);
        assert_eq!(joined.len(), 2);
        assert_eq!((joined[0].mean, joined[0].sd, joined[0].n), (1.0, Some(0.5f64.sqrt()), 8));
        assert_eq!((joined[1].mean, joined[1].sd, joined[1].cells), (0.25, None, 1));
        assert_eq!(joined[0].name(), "ndcg@5");
    }
}
