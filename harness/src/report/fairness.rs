//! The tables of fairness: all settings beside their accuracy, and those that were chosen.

use super::choice::Choice;
use super::columns::{Column, Rows, column, metric_table, number, present};
use super::summary::{OfflineSummary, SettingSummary};
use crate::experiment::Choose;
use crate::protocol::VALIDATION_RMSE;
use comfy_table::Cell;
use std::fmt::Write;

/// Of the table of fairness. The RMSE stands beside for the front; its deviation is in the main table.
const FAIRNESS: [Column; 6] = [
    column("rmse", false, -1.0, false),
    column("dee", false, -1.0, true),
    column("val", false, -1.0, true),
    column("ugf", false, -1.0, true),
    column("cvs", false, -1.0, true),
    column("dee", true, -1.0, false),
];

/// Of the settings that were chosen.
const CHOSEN: [Column; 6] = [
    column(VALIDATION_RMSE, false, -1.0, false),
    column("rmse", false, -1.0, true),
    column("dee", false, -1.0, true),
    column("val", false, -1.0, false),
    column("ugf", false, -1.0, false),
    column("cvs", false, -1.0, false),
];

/// Accuracy beside fairness, and who is on the front of both; none where nothing speaks of fairness.
pub(super) fn fairness_table(summary: &OfflineSummary) -> Option<Rows> {
    let columns = present(summary, &FAIRNESS);
    if columns.iter().all(|(name, _)| name == "rmse") {
        return None;
    }
    let settings: Vec<&SettingSummary> = summary.settings.iter().collect();
    let mut table = metric_table(summary, &settings, &columns);
    if settings.iter().any(|s| s.pareto) {
        table[0].insert(1, Cell::new("P"));
        let marks = settings.iter().map(|s| Cell::new(if s.pareto { "P" } else { "" }));
        table[1..].iter_mut().zip(marks).for_each(|(row, mark)| row.insert(1, mark));
    }
    Some(table)
}

/// What stands above and below the table of fairness.
pub(super) fn fairness_words(summary: &OfflineSummary) -> [String; 2] {
    let sides: Vec<&str> = summary.protected.iter().flatten().map(String::as_str).collect();
    let columns = present(summary, &FAIRNESS);
    let names = |which: fn(&Column) -> bool| -> String {
        let names: Vec<&str> = columns.iter().filter(|(_, c)| which(c)).map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let counted = names(|c| matches!(c.metric, "dee" | "ugf" | "cvs") && !c.of_list);
    let of_lists = names(|c| c.of_list);
    let parts = [
        (summary.settings.iter().any(|s| s.pareto), "P on the Pareto front of rmse and dee".into()),
        (!counted.is_empty(), format!("{counted} of predictions above {}", summary.data.scale.like_above)),
        (!of_lists.is_empty(), format!("{of_lists} of lists")),
    ];
    let below: Vec<String> = parts.into_iter().filter(|part| part.0).map(|part| part.1).collect();
    [format!("fairness between the groups of {}", sides.join(" x ")), below.join("; ")]
}

/// The settings that were chosen, by their figures on test rows; and what to say about the groups without one.
pub(super) fn choice_table(summary: &OfflineSummary, choice: &Choice) -> (Rows, String) {
    let mut without = String::new();
    let mut settings: Vec<&SettingSummary> = Vec::new();
    let mut sizes = Vec::new();
    for group in &choice.groups {
        match summary.settings.iter().find(|s| Some(&s.label) == group.chosen.as_ref()) {
            Some(setting) => {
                settings.push(setting);
                sizes.push(group.among.len());
            }
            None => {
                let reason = group.reason.as_deref().unwrap_or_default();
                let _ = writeln!(without, "nothing chosen among {}: {reason}", group.among.join(", "));
            }
        }
    }
    let mut table = metric_table(summary, &settings, &present(summary, &CHOSEN));
    table[0].insert(1, Cell::new("of"));
    table[1..].iter_mut().zip(sizes).for_each(|(row, size)| row.insert(1, number(size.to_string())));
    (table, without)
}

/// The rule of a choice in words.
pub(super) fn choice_words(rule: &Choose) -> String {
    let within = rule.within.map_or_else(String::new, |within| {
        let reference =
            rule.reference.as_ref().map_or_else(|| "the lowest of its group".into(), |r| format!("that of {r}"));
        format!(" with a validation-rmse of at most {} times {reference}", within.rmse)
    });
    format!("chosen over {}: the smallest {}{within}; test rows took no part", rule.over.join(", "), rule.by.metric())
}
