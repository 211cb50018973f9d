//! Errors of regressors that learn from a whole table on rows that were held out.

use super::super::columns::{Rows, number, rounded};
use super::super::summary::Summary;
use super::super::table::{fitted, left_out};
use super::{GroupRunSummary, GroupwiseSummary, alone, digits, heading, shown, with_deviation};
use crate::experiment::GroupLearning;
use crate::progress::printable;
use crate::protocol::groupwise::CROSS;
use comfy_table::Cell as TableCell;
use std::fmt::Write;

/// A matrix of more groups than this is wider than terminals.
const WIDEST: usize = 12;
/// Matrices of more runs than this are a long read: then the first one stands for all.
const FEW: usize = 3;

/// Nothing where no run learns so.
pub(super) fn text(part: &GroupwiseSummary, summary: &Summary, width: Option<u16>) -> Option<String> {
    let runs = part.of(GroupLearning::Batch);
    if runs.is_empty() {
        return None;
    }
    let mut out = String::new();
    let (table, dropped) = fitted(errors(part, summary, &runs), width);
    let _ = writeln!(out, "{}\n{table}\n{}", heading(part, summary, GroupLearning::Batch), words(part));
    silent(&runs).into_iter().for_each(|line| out.push_str(&line));
    out.push_str(&left_out(&dropped));
    let (table, dropped) = fitted(by_group(part, &runs), width);
    let _ = write!(out, "\nR2 of the test rows of each group\n{table}\n{}", left_out(&dropped));
    without(summary, &runs).into_iter().for_each(|line| out.push_str(&line));
    let apart: Vec<&GroupRunSummary> = runs.into_iter().filter(|run| differ(part, run)).collect();
    let groups = part.data.groups.len();
    if groups > WIDEST && !apart.is_empty() {
        let _ = writeln!(out, "\nR2 of the model of each group on every other one: {groups} groups, see results.csv");
        return Some(out);
    }
    let shown = if apart.len() > FEW { 1 } else { apart.len() };
    for run in &apart[..shown] {
        let (table, dropped) = fitted(crossed(part, run), width);
        let _ = write!(
            out,
            "\nR2 of `{}`: in rows the model of a group alone, in columns the test rows of a group\n{table}\n{}",
            run.label,
            left_out(&dropped)
        );
    }
    if shown < apart.len() {
        let _ = writeln!(out, "and of {} other runs: see results.csv", apart.len() - shown);
    }
    Some(out)
}

/// What was held out of what.
fn words(part: &GroupwiseSummary) -> String {
    let (test, rows, features) = (part.options.test, part.data.rows, part.features(part.options.indicators.batch));
    format!("{test} of {rows} rows held out, {features}; worst: the group with the largest mean RMSE")
}

/// A row for each run.
fn errors(part: &GroupwiseSummary, summary: &Summary, runs: &[&GroupRunSummary]) -> Rows {
    let header = ["regressor", "R2 ↑", "RMSE ↓", "worst RMSE ↓", "worst group", "fit s"];
    let mut table = vec![header.map(TableCell::new).to_vec()];
    for run in runs {
        // One digit more than for groups: on so many rows they mean something.
        let text = |metric: &str| {
            let figure = run.figure(metric, None);
            number(figure.map_or_else(|| "-".into(), |f| with_deviation(f, digits(f.mean) + 1)))
        };
        let of_groups = run.figures.iter().filter(|f| f.metric == "rmse" && f.group.is_some());
        let worst = of_groups.max_by(|a, b| a.mean.total_cmp(&b.mean)).and_then(|f| f.group.as_deref());
        let seconds = match run.fit_seconds {
            Some(seconds) => format!("{seconds:.2}"),
            None if run.failed(summary) => "failed".into(),
            None => "-".into(),
        };
        table.push(vec![
            TableCell::new(part.label(run)),
            text("r2"),
            text("rmse"),
            text("worst-rmse"),
            TableCell::new(worst.map_or_else(|| "-".into(), printable)),
            number(seconds),
        ]);
    }
    table
}

/// A line about test rows that have no prediction.
fn silent(runs: &[&GroupRunSummary]) -> Option<String> {
    let counts = runs.iter().filter_map(|run| {
        let count = run.figure("no-prediction", None).map(|f| f.mean).filter(|&count| count > 0.0)?;
        Some(format!("{} {}", run.label, rounded(count, usize::from(count.fract() != 0.0))))
    });
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty()).then(|| format!("test rows without a prediction, left out: {}\n", counts.join(", ")))
}

/// R2: a row for each group, a column for each run.
fn by_group(part: &GroupwiseSummary, runs: &[&GroupRunSummary]) -> Rows {
    let header = ["group", "test rows"].map(String::from).into_iter().chain(runs.iter().map(|run| part.label(run)));
    let mut table = vec![header.map(TableCell::new).collect::<Vec<_>>()];
    for (group, name, _) in part.parts() {
        let held = runs.iter().find_map(|run| run.figure("test-rows", group)).map(|f| f.mean);
        let held = held.map_or_else(|| "-".into(), |rows| rounded(rows, usize::from(rows.fract() != 0.0)));
        let mut row = vec![TableCell::new(name), number(held)];
        row.extend(runs.iter().map(|run| number(run.figure("r2", group).map_or_else(|| "-".into(), shown))));
        table.push(row);
    }
    table
}

/// Lines about groups without an R2. Most are without one in all runs.
fn without(summary: &Summary, runs: &[&GroupRunSummary]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for run in runs {
        for without in &run.without_r2 {
            let name = without.group.as_deref().map_or_else(|| "all rows".into(), |g| format!("`{}`", printable(g)));
            let seeds = summary.seeds.len();
            let count = if seeds > 1 { format!(" ({} of {seeds} seeds)", without.cells) } else { String::new() };
            let line = format!("no R2 of {name}: {}{count}\n", without.reason);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// R2 of the model of a group on another one.
fn cross(run: &GroupRunSummary, model: &str, group: &str) -> Option<f64> {
    run.figure(&format!("{CROSS} {model}"), Some(group)).map(|f| f.mean)
}

/// Whether a run has models of groups that differ: a model of all rows is that of every group.
fn differ(part: &GroupwiseSummary, run: &GroupRunSummary) -> bool {
    let groups = || part.data.groups.iter().map(|g| g.name.as_str());
    groups().any(|group| {
        let mut of_models = groups().filter_map(|model| cross(run, model, group));
        let first = of_models.next();
        of_models.any(|r2| Some(r2) != first)
    })
}

/// The matrix of a run: models in rows, groups in columns.
fn crossed(part: &GroupwiseSummary, run: &GroupRunSummary) -> Rows {
    let names = || part.data.groups.iter().map(|g| g.name.as_str());
    let header = std::iter::once(TableCell::new("model")).chain(names().map(|name| TableCell::new(printable(name))));
    let mut table = vec![header.collect::<Vec<_>>()];
    for model in names() {
        let mut row = vec![TableCell::new(printable(model))];
        row.extend(names().map(|group| {
            let r2 = cross(run, model, group);
            number(r2.map_or_else(|| "-".into(), alone))
        }));
        table.push(row);
    }
    table
}
