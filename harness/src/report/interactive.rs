//! Agents in a world that answers: their summary, and the table for a terminal.

use super::columns::{Rows, number, rounded};
use super::summary::{MeanFigure, Summary, means, of_setting};
use super::table::{fitted, left_out, seeds};
use crate::cell::Outcome;
use crate::compare::Cell;
use crate::experiment::{Agent, Cold, Interactive, Learning, Options};
use crate::progress::printable;
use crate::protocol::interactive::{CUMULATIVE, NAME, REGRET};
use crate::protocol::{Curve, mean_and_sd};
use comfy_table::Cell as TableCell;
use serde::Serialize;
use serde_json::Value as Json;
use std::fmt::Write;

/// Agents in a world that answers, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InteractiveSummary {
    /// Effective parameters of the simulator, with `plugin`, its name.
    pub simulator: Json,
    /// How long and how.
    #[serde(flatten)]
    pub options: Options,
    /// Cells of agents.
    pub cells: usize,
    /// Every agent, in the order of the experiment.
    pub agents: Vec<AgentSummary>,
}

/// One agent in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentSummary {
    /// Name of the recommender.
    pub recommender: String,
    /// What tables call the agent.
    pub label: String,
    /// Effective parameters of the recommender.
    pub params: Json,
    /// Effective parameters of the policy, with `plugin`, its name.
    pub policy: Json,
    /// Package and version of every plugin in it.
    pub origins: Vec<String>,
    /// How it learns.
    pub learning: Learning,
    /// How it answers users of whom it has no observation.
    pub cold: Cold,
    /// Finished cells.
    pub cells: usize,
    /// Mean time of answering all periods, in seconds.
    pub inference_seconds: Option<f64>,
    /// Mean time of learning in all periods, in seconds.
    pub training_seconds: Option<f64>,
    /// Means of all numbers.
    pub figures: Vec<MeanFigure>,
    /// Means of all curves.
    pub curves: Vec<MeanCurve>,
}

/// A curve over all finished cells of an agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanCurve {
    /// What was measured.
    pub metric: String,
    /// The users it was measured on; `None` for all.
    pub group: Option<String>,
    /// The band of every period; `None` where no cell has a number.
    pub periods: Vec<Option<Band>>,
}

/// A number of one period over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Band {
    /// Mean over seeds.
    pub mean: f64,
    /// Sample standard deviation over seeds; `None` for a single one.
    pub sd: Option<f64>,
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
    /// Seeds that have the number.
    pub seeds: usize,
}

impl InteractiveSummary {
    pub(super) fn new(part: &Interactive, cells: &[Cell]) -> Self {
        let agent = |(n, agent): (usize, &Agent)| AgentSummary::new(agent, &of_setting(cells, n));
        Self {
            simulator: part.world.clone(),
            options: part.options.clone(),
            cells: cells.len(),
            agents: part.agents.iter().enumerate().map(agent).collect(),
        }
    }
}

impl AgentSummary {
    fn new(agent: &Agent, outcomes: &[&Outcome]) -> Self {
        let mean = |seconds: fn(&Outcome) -> f64| {
            let values: Vec<f64> = outcomes.iter().map(|o| seconds(o)).collect();
            (!values.is_empty()).then(|| mean_and_sd(&values).0)
        };
        Self {
            recommender: agent.setting.plugin.into(),
            label: agent.setting.label.clone(),
            params: agent.setting.params.clone(),
            policy: agent.policy_params.clone(),
            origins: agent.setting.origins.clone(),
            learning: agent.learning,
            cold: agent.cold,
            cells: outcomes.len(),
            inference_seconds: mean(|o| o.seconds.evaluate),
            training_seconds: mean(|o| o.seconds.fit),
            figures: means(outcomes),
            curves: bands(outcomes),
        }
    }

    /// A curve of all users.
    pub fn curve(&self, metric: &str) -> Option<&MeanCurve> {
        self.curves.iter().find(|c| c.group.is_none() && c.metric == metric)
    }

    /// A figure of all users.
    pub fn figure(&self, metric: &str) -> Option<&MeanFigure> {
        self.figures.iter().find(|f| f.group.is_none() && f.metric == metric)
    }
}

fn bands(outcomes: &[&Outcome]) -> Vec<MeanCurve> {
    let Some(first) = outcomes.first() else { return Vec::new() };
    let band = |curves: &[&Curve], period: usize| {
        let values: Vec<f64> = curves.iter().filter_map(|c| c.values.get(period).copied().flatten()).collect();
        let (mean, sd) = mean_and_sd(&values);
        let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        Some(Band { mean, sd, low, high, seeds: values.len() })
    };
    let join = |curve: &Curve| {
        let same = |c: &&Curve| (&c.metric, &c.group) == (&curve.metric, &curve.group);
        let curves: Vec<&Curve> = outcomes.iter().filter_map(|o| o.curves.iter().find(same)).collect();
        MeanCurve {
            metric: curve.metric.clone(),
            group: curve.group.clone(),
            periods: (0..curve.values.len()).map(|period| band(&curves, period)).collect(),
        }
    };
    first.curves.iter().map(join).collect()
}

/// The part of the report about agents.
pub(super) fn text(part: &InteractiveSummary, summary: &Summary, width: Option<u16>) -> String {
    let mut out = String::new();
    let world = part.simulator["plugin"].as_str().unwrap_or_default();
    let spread = if part.cells > part.agents.len() { ", mean ± standard deviation" } else { "" };
    let (periods, about) = (part.options.periods, seeds(summary));
    let _ = writeln!(out, "{} in {world}: {periods} periods, {about}{spread}", printable(&summary.experiment));
    let (table, dropped) = fitted(agents(part, summary), width);
    let _ = writeln!(out, "{table}");
    let _ = write!(out, "regret over the periods, all curves on one scale from 0");
    let scale = highest(part);
    let _ = writeln!(out, "{}", scale.map_or_else(String::new, |high| format!(" to {high:.2}")));
    out.push_str(&left_out(&dropped));
    if let Some(table) = groups(part) {
        let (table, dropped) = fitted(table, width);
        let _ = write!(out, "\ncumulative regret of groups of users\n{table}\n{}", left_out(&dropped));
    }
    out
}

/// Columns after the curve, with their headings; whether they show the deviation.
const COLUMNS: [(&str, &str, bool); 6] = [
    ("last-regret", "last regret ↓", true),
    (CUMULATIVE, "cumulative ↓", true),
    ("ratings-mse", "mse shown ↓", false),
    ("pairs-mse", "mse pairs ↓", false),
    ("distinct-items", "items", false),
    ("gini", "gini ↓", false),
];

fn agents(part: &InteractiveSummary, summary: &Summary) -> Rows {
    let there = |metric: &str| part.agents.iter().any(|agent| agent.figure(metric).is_some());
    let columns: Vec<_> = COLUMNS.into_iter().filter(|(metric, ..)| there(metric)).collect();
    let names = columns.iter().map(|(_, name, _)| (*name).to_string());
    let header = ["agent", "regret"].map(str::to_string).into_iter().chain(names);
    let header = header.chain(["answer s", "learn s"].map(str::to_string));
    let mut table = vec![header.map(TableCell::new).collect::<Vec<_>>()];
    let high = highest(part).unwrap_or(0.0);
    let expected = part.cells / part.agents.len().max(1);
    for agent in &part.agents {
        let fewer = (1..expected).contains(&agent.cells);
        let fewer = if fewer { format!(" ({} of {expected})", agent.cells) } else { String::new() };
        let mut row = vec![TableCell::new(format!("{}{fewer}", agent.label)), TableCell::new(sparkline(agent, high))];
        for (metric, _, spread) in &columns {
            row.push(number(agent.figure(metric).map_or_else(|| "-".into(), |f| shown(f, *spread))));
        }
        let failed = summary.failures.iter().any(|f| (f.protocol, &f.label) == (NAME, &agent.label));
        for seconds in [agent.inference_seconds, agent.training_seconds] {
            row.push(number(match seconds {
                Some(seconds) => format!("{seconds:.3}"),
                None if failed => "failed".into(),
                None => "-".into(),
            }));
        }
        table.push(row);
    }
    table
}

/// A number with about as many digits as mean something beside its deviation.
fn shown(figure: &MeanFigure, spread: bool) -> String {
    let whole = figure.metric == "distinct-items";
    let text = |value: f64| match value.abs() {
        _ if whole => format!("{value:.1}"),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => rounded(value, 3),
    };
    let sd =
        figure.sd.filter(|_| spread).map_or_else(String::new, |sd| format!(" ±{}", text(sd).trim_start_matches('0')));
    format!("{}{sd}", text(figure.mean))
}

/// For each group the cumulative regret, and the largest difference between groups of a grouping.
fn groups(part: &InteractiveSummary) -> Option<Rows> {
    let of_groups = |agent: &AgentSummary| -> Vec<MeanFigure> {
        agent.figures.iter().filter(|f| f.metric == CUMULATIVE && f.group.is_some()).cloned().collect()
    };
    let names: Vec<String> =
        part.agents.iter().map(of_groups).find(|g| !g.is_empty())?.into_iter().filter_map(|f| f.group).collect();
    let header = std::iter::once("agent").chain(names.iter().map(String::as_str)).chain(["gap"]);
    let mut table = vec![header.map(|name| TableCell::new(printable(name))).collect::<Vec<_>>()];
    for agent in &part.agents {
        let figures = of_groups(agent);
        let figure = |name: &String| figures.iter().find(|f| f.group.as_ref() == Some(name));
        let cells = names.iter().map(|name| number(figure(name).map_or_else(|| "-".into(), |f| shown(f, true))));
        let means = || figures.iter().map(|f| f.mean);
        let gap =
            means().reduce(f64::max).zip(means().reduce(f64::min)).map(|(high, low)| format!("{:.3}", high - low));
        let row = std::iter::once(TableCell::new(&agent.label)).chain(cells);
        table.push(row.chain([number(gap.unwrap_or_else(|| "-".into()))]).collect());
    }
    Some(table)
}

/// The highest mean regret of any agent in any period: the top of the scale.
fn highest(part: &InteractiveSummary) -> Option<f64> {
    let curves = part.agents.iter().filter_map(|agent| agent.curve(REGRET));
    curves.flat_map(|c| &c.periods).flatten().map(|band| band.mean).reduce(f64::max)
}

/// No curve is longer than this.
const LONGEST: usize = 16;

/// The curve of mean regret in blocks of eight heights; several periods share a block where there are many.
fn sparkline(agent: &AgentSummary, high: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(curve) = agent.curve(REGRET) else { return String::new() };
    let periods = curve.periods.len();
    let width = periods.min(LONGEST);
    let block = |at: usize| {
        let (from, to) = (at * periods / width, (at + 1) * periods / width);
        let means: Vec<f64> = curve.periods[from..to].iter().flatten().map(|band| band.mean).collect();
        if means.is_empty() {
            return ' ';
        }
        let height = if high > 0.0 { mean_and_sd(&means).0 / high } else { 0.0 };
        BLOCKS[((height * 8.0) as usize).min(7)]
    };
    (0..width).map(block).collect()
}
