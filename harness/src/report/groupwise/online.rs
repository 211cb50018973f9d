//! Regrets of regressors that learn row by row, as published tables have them: a row for each group.

use super::super::columns::{Rows, number};
use super::super::summary::{MeanFigure, Summary};
use super::super::table::{fitted, left_out};
use super::{GroupRunSummary, GroupwiseSummary, alone, heading, shown};
use crate::experiment::{Comparator, GroupLearning};
use comfy_table::Cell as TableCell;
use std::fmt::Write;

/// Nothing where no run learns so.
pub(super) fn text(part: &GroupwiseSummary, summary: &Summary, width: Option<u16>) -> Option<String> {
    let runs = part.of(GroupLearning::Online);
    if runs.is_empty() {
        return None;
    }
    let mut out = String::new();
    let (table, dropped) = fitted(regrets(part, summary, &runs), width);
    let _ = writeln!(out, "{}\n{table}", heading(part, summary, GroupLearning::Online));
    out.push_str(&left_out(&dropped));
    words(part, &runs).iter().for_each(|line| {
        let _ = writeln!(out, "{line}");
    });
    Some(out)
}

/// Whether a run is made of several experts: one alone is what it predicts.
fn of_experts(run: &GroupRunSummary) -> bool {
    run.figure("experts", None).is_some_and(|figure| figure.mean > 1.0)
}

/// A row for each group, with the regret of every run; of those made of experts, with the expected one too.
fn regrets(part: &GroupwiseSummary, summary: &Summary, runs: &[&GroupRunSummary]) -> Rows {
    let mut header = ["group", "rows", "hindsight"].map(String::from).to_vec();
    for run in runs {
        header.push(format!("{} ↓", part.label(run)));
        header.extend(of_experts(run).then(|| "expected ↓".into()));
    }
    let mut table = vec![header.iter().map(TableCell::new).collect::<Vec<_>>()];
    for (group, name, rows) in part.parts() {
        let hindsight = runs.iter().find_map(|run| run.figure("hindsight", group));
        let hindsight = hindsight.map_or_else(|| "-".into(), |f| alone(f.mean));
        let mut row = vec![TableCell::new(name), number(rows.to_string()), number(hindsight)];
        for run in runs {
            let text = |figure: Option<&MeanFigure>| match figure {
                Some(figure) => shown(figure),
                None if group.is_none() && run.failed(summary) => "failed".into(),
                None => "-".into(),
            };
            row.push(number(text(run.figure("regret", group))));
            row.extend(of_experts(run).then(|| number(text(run.figure("expected-regret", group)))));
        }
        table.push(row);
    }
    table
}

/// What the table is about.
fn words(part: &GroupwiseSummary, runs: &[&GroupRunSummary]) -> Vec<String> {
    let features = part.features(part.options.indicators.online);
    let rows = match part.options.comparator {
        Comparator::AllRows => "all rows of the group",
        Comparator::AllButLast => "all rows of the group but its last one",
    };
    let mut lines = vec![
        "regret: squared errors on the rows of a group less hindsight; below 0 where several functions in turn beat the best"
            .to_string(),
        format!("hindsight: those of the best linear function of {features} on {rows}, no intercept"),
    ];
    if runs.iter().any(|run| of_experts(run)) {
        lines.push("expected: regret of an expert drawn by its weight, which published tables have".into());
    }
    let each = |of: &dyn Fn(&GroupRunSummary) -> Option<String>| -> Vec<String> {
        runs.iter().filter_map(|run| Some(format!("{} {}", run.label, of(run)?))).collect()
    };
    let silent = each(&|run| {
        let count = run.figure("no-prediction", None).map(|f| f.mean).filter(|&count| count > 0.0)?;
        Some(if count.fract() == 0.0 { count.to_string() } else { format!("{count:.1}") })
    });
    if !silent.is_empty() {
        lines.push(format!("no regret where some rows had no prediction: {} rows", silent.join(" rows, ")));
    }
    let seconds = each(&|run| run.fit_seconds.map(|seconds| format!("{seconds:.2}")));
    if !seconds.is_empty() {
        lines.push(format!("seconds: {}", seconds.join(", ")));
    }
    lines
}
