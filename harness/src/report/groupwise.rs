//! Group regressors on a table of features and memberships: their summary, and the tables for a terminal.

mod batch;
mod online;
#[cfg(test)]
mod tests;

use super::columns::rounded;
use super::summary::{MeanFigure, Summary, means, of_setting};
use super::table::seeds;
use crate::cell::Outcome;
use crate::compare::{GroupwiseCells, TableDescription};
use crate::experiment::{GroupLearning, GroupRun, Groupwise, GroupwiseOptions, Orders};
use crate::progress::printable;
use crate::protocol::groupwise::NAME;
use crate::protocol::mean_and_sd;
use serde::Serialize;
use serde_json::Value as Json;

/// Group regressors, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupwiseSummary {
    /// The table.
    pub data: TableDescription,
    /// BLAKE3 hash of the table.
    pub digest: String,
    /// What was measured.
    pub options: GroupwiseOptions,
    /// In which order rows came: `shuffled`, `as-is` or a file.
    pub orders: String,
    /// Cells of group regressors.
    pub cells: usize,
    /// Every run, in the order of the experiment.
    pub runs: Vec<GroupRunSummary>,
}

/// One group regressor that learns in one way, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupRunSummary {
    /// Name of the regressor.
    pub regressor: String,
    /// What results call the run.
    pub label: String,
    /// Effective parameters.
    pub params: Json,
    /// Package and version of every plugin in it.
    pub origins: Vec<String>,
    /// How it learns.
    pub learning: GroupLearning,
    /// Finished cells.
    pub cells: usize,
    /// Mean time of learning, in seconds.
    pub fit_seconds: Option<f64>,
    /// Mean time of measuring, in seconds.
    pub evaluate_seconds: Option<f64>,
    /// Means of all numbers; deviations are of the sample, over seeds.
    pub figures: Vec<MeanFigure>,
    /// Where there is no R2 of held-out rows, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_r2: Vec<WithoutR2>,
}

/// Cells without an R2 of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WithoutR2 {
    /// The group; `None` for all rows.
    pub group: Option<String>,
    /// Why: `no test row`, `no prediction`, `one test row`, `one row with a prediction` or `constant labels`.
    pub reason: &'static str,
    /// Number of cells.
    pub cells: usize,
}

impl GroupwiseSummary {
    pub(super) fn new(part: &Groupwise, compared: &GroupwiseCells) -> Self {
        let run = |(n, run): (usize, &GroupRun)| GroupRunSummary::new(run, &of_setting(&compared.cells, n));
        Self {
            data: compared.data.clone(),
            digest: compared.digest.clone(),
            options: part.options.clone(),
            orders: match &part.orders {
                Orders::Shuffled => "shuffled".into(),
                Orders::AsIs => "as-is".into(),
                Orders::File(path) => path.display().to_string(),
            },
            cells: compared.cells.len(),
            runs: part.runs.iter().enumerate().map(run).collect(),
        }
    }

    /// The runs that learn so.
    fn of(&self, learning: GroupLearning) -> Vec<&GroupRunSummary> {
        self.runs.iter().filter(|run| run.learning == learning).collect()
    }

    /// What a run is called: means over fewer cells than the others have are marked.
    fn label(&self, run: &GroupRunSummary) -> String {
        let expected = self.cells / self.runs.len().max(1);
        let fewer = (1..expected).contains(&run.cells);
        let fewer = if fewer { format!(" ({} of {expected})", run.cells) } else { String::new() };
        format!("{}{fewer}", run.label)
    }

    /// How many features there are, in words; with memberships among them or without.
    fn features(&self, with_memberships: bool) -> String {
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let memberships = plural(self.data.indicators, "membership");
        let with = with_memberships && self.data.indicators > 0;
        let with = if with { format!(" and {memberships}") } else { String::new() };
        format!("{}{with}", plural(self.data.features, "feature"))
    }

    /// All rows, then each group, with what tables call them.
    fn parts(&self) -> impl Iterator<Item = (Option<&str>, String, usize)> {
        let groups = self.data.groups.iter().map(|g| (Some(g.name.as_str()), printable(&g.name).into_owned(), g.rows));
        std::iter::once((None, "all".into(), self.data.rows)).chain(groups)
    }
}

impl GroupRunSummary {
    fn new(run: &GroupRun, outcomes: &[&Outcome]) -> Self {
        let mean = |seconds: fn(&Outcome) -> f64| {
            let values: Vec<f64> = outcomes.iter().map(|o| seconds(o)).collect();
            (!values.is_empty()).then(|| mean_and_sd(&values).0)
        };
        Self {
            regressor: run.setting.plugin.into(),
            label: run.label.clone(),
            params: run.setting.params.clone(),
            origins: run.setting.origins.clone(),
            learning: run.learning,
            cells: outcomes.len(),
            fit_seconds: mean(|o| o.seconds.fit),
            evaluate_seconds: mean(|o| o.seconds.evaluate),
            figures: means(outcomes),
            without_r2: without_r2(outcomes),
        }
    }

    /// A figure of a group; `None` for that of all rows.
    pub fn figure(&self, metric: &str, group: Option<&str>) -> Option<&MeanFigure> {
        self.figures.iter().find(|f| f.metric == metric && f.group.as_deref() == group)
    }

    /// Whether a cell has failed.
    fn failed(&self, summary: &Summary) -> bool {
        summary.failures.iter().any(|f| (f.protocol, &f.label) == (NAME, &self.label))
    }
}

/// Why there is no R2 of a group: what is missing beside it tells.
fn without_r2(outcomes: &[&Outcome]) -> Vec<WithoutR2> {
    let mut found: Vec<WithoutR2> = Vec::new();
    for outcome in outcomes {
        let of = |metric: &str, group: &Option<String>| {
            outcome.figures.iter().find(|f| f.metric == metric && f.group == *group)
        };
        for held in outcome.figures.iter().filter(|f| f.metric == "test-rows") {
            if of("r2", &held.group).is_some() {
                continue;
            }
            let reason = match of("rmse", &held.group).map(|rmse| rmse.n) {
                None if held.value == 0.0 => "no test row",
                None => "no prediction",
                Some(1) if held.value > 1.0 => "one row with a prediction",
                Some(1) => "one test row",
                Some(_) => "constant labels",
            };
            match found.iter_mut().find(|w| (&w.group, w.reason) == (&held.group, reason)) {
                Some(known) => known.cells += 1,
                None => found.push(WithoutR2 { group: held.group.clone(), reason, cells: 1 }),
            }
        }
    }
    found
}

/// The part of the report about group regressors.
pub(super) fn text(part: &GroupwiseSummary, summary: &Summary, width: Option<u16>) -> String {
    let texts = [online::text(part, summary, width), batch::text(part, summary, width)];
    texts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// The line above the first table of runs that learn so.
fn heading(part: &GroupwiseSummary, summary: &Summary, learning: GroupLearning) -> String {
    let (experiment, data) = (printable(&summary.experiment), printable(&part.data.name));
    let spread = if summary.seeds.len() > 1 { ", mean ± sample standard deviation over seeds" } else { "" };
    format!("{experiment} by groups of {data}, {}: {}{spread}", learning.name(), seeds(summary))
}

/// Mean and standard deviation with about as many digits as mean something beside its size.
fn shown(figure: &MeanFigure) -> String {
    with_deviation(figure, digits(figure.mean))
}

/// Mean and standard deviation with so many digits behind the point, or short where the mean is large or tiny.
fn with_deviation(figure: &MeanFigure, digits: usize) -> String {
    let one = |value: f64| if out_of_size(figure.mean) { format!("{value:.2e}") } else { rounded(value, digits) };
    let sd = figure.sd.map_or_else(String::new, |sd| {
        let text = one(sd);
        // A point is enough of a zero.
        let text = text.strip_prefix("0.").map_or(text.clone(), |digits| format!(".{digits}"));
        format!(" ±{text}")
    });
    format!("{}{sd}", one(figure.mean))
}

/// A number alone, likewise.
fn alone(value: f64) -> String {
    if out_of_size(value) { format!("{value:.2e}") } else { rounded(value, digits(value)) }
}

/// Whether a number would have too many digits, or none.
fn out_of_size(value: f64) -> bool {
    value != 0.0 && !(5e-4..1e7).contains(&value.abs())
}

/// Digits behind the point of a number of that size.
fn digits(value: f64) -> usize {
    match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    }
}
