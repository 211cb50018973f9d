//! The comparison as text for a terminal.

use super::choice::{self, Choice};
use super::summary::{MeanFigure, SettingSummary, Summary};
use crate::experiment::Choose;
use crate::progress::printable;
use crate::protocol::{VALIDATION_RMSE, metric_name};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use std::fmt::Write;

/// A column of the main table: metric, whether it is one of a list, and which way is better (-1 for lower).
const COLUMNS: [(&str, bool, f64); 5] =
    [("rmse", false, -1.0), ("ndcg", true, 1.0), ("recall", true, 1.0), ("coverage", true, 1.0), ("gini", true, -1.0)];

/// The same of the table of fairness, and of the settings that were chosen.
const FAIRNESS: [(&str, bool, f64); 6] = [
    ("rmse", false, -1.0),
    ("dee", false, -1.0),
    ("val", false, -1.0),
    ("ugf", false, -1.0),
    ("cvs", false, -1.0),
    ("dee", true, -1.0),
];
const CHOSEN: [(&str, bool, f64); 6] = [
    (VALIDATION_RMSE, false, -1.0),
    ("rmse", false, -1.0),
    ("dee", false, -1.0),
    ("val", false, -1.0),
    ("ugf", false, -1.0),
    ("cvs", false, -1.0),
];

/// Groups with fewer users than this are left out of the gap: it would show noise.
const ENOUGH: u64 = 30;

/// The whole report, no wider than the terminal, if stdout is one.
pub fn terminal(summary: &Summary) -> String {
    let table = Table::new();
    // A pseudo-terminal may say that it has no width at all.
    report(summary, table.width().filter(|&width| table.is_tty() && width > 0))
}

fn report(summary: &Summary, width: Option<u16>) -> String {
    let mut out = String::new();
    let seeds = summary.seeds.len();
    let plural = if seeds == 1 { "" } else { "s" };
    let folds = summary.cells / (seeds * summary.settings.len()).max(1);
    let folds = if folds > 1 { format!(" x {folds} folds") } else { String::new() };
    let spread = if summary.cells > summary.settings.len() { ", mean ± standard deviation" } else { "" };
    let _ = writeln!(out, "{} on {}: {seeds} seed{plural}{folds}{spread}", summary.experiment, summary.data.name);
    let (table, dropped) = fitted(main_table(summary), width);
    let _ = writeln!(out, "{table}");
    let _ = write!(out, "↓ lower is better, ↑ higher is better, * best of its column");
    let k = summary.eval.k[0];
    let users = all(&summary.settings).filter(|f| f.metric == "ndcg" && f.k == Some(k)).map(|f| f.n).min();
    let _ = writeln!(out, "{}", users.map_or_else(String::new, |n| format!("; ranking over {n} users")));
    out.push_str(&left_out(&dropped));
    if let Some(table) = gap_table(summary, k) {
        let (table, dropped) = fitted(table, width);
        let _ = write!(
            out,
            "\n{}: gap between user groups of {ENOUGH} or more, and the lowest group\n{table}\n{}",
            metric_name("ndcg", Some(k)),
            left_out(&dropped)
        );
    }
    if let Some(table) = fairness_table(summary) {
        let (table, dropped) = fitted(table, width);
        let [above, below] = fairness_words(summary);
        let _ = write!(out, "\n{above}\n{table}\n{below}\n{}", left_out(&dropped));
    }
    if let Some(choice) = &summary.choice {
        let (table, without) = choice_table(summary, choice);
        let (table, dropped) = fitted(table, width);
        let _ = write!(out, "\n{}\n{table}\n{without}{}", choice_words(&choice.rule), left_out(&dropped));
    }
    for warning in &summary.warnings {
        let _ = writeln!(out, "warn    {}", printable(warning));
    }
    for f in &summary.failures {
        let _ = writeln!(out, "FAILED  {}, seed {}, fold {}: {}", f.label, f.seed, f.fold, printable(&f.reason));
    }
    let done = summary.found + summary.run - summary.failures.len();
    let _ = write!(out, "{done} of {} cells finished ({} found, {} run)", summary.cells, summary.found, summary.run);
    if !summary.failures.is_empty() {
        let _ = write!(out, ", {} failed", summary.failures.len());
    }
    if summary.interrupted {
        let _ = write!(out, ", interrupted");
    }
    out.push('\n');
    out
}

/// The rows of a table, its header first.
type Rows = Vec<Vec<Cell>>;

/// The table with as many columns from the left as fit the width, and the names of the others. The first two stay: text
/// that the terminal wraps can still be read.
fn fitted(rows: Rows, width: Option<u16>) -> (Table, Vec<String>) {
    let columns = rows.first().map_or(0, Vec::len);
    let mut count = columns;
    loop {
        let mut table = plain_table();
        let mut shown = rows.iter().map(|row| row.iter().take(count).cloned());
        table.set_header(shown.next().into_iter().flatten());
        shown.for_each(|row| {
            table.add_row(row);
        });
        let wide = width.is_some_and(|width| table.lines().any(|line| line.chars().count() > usize::from(width)));
        if !wide || count <= 2 {
            let dropped = rows.iter().take(1).flatten().skip(count).map(|cell| cell.content()).collect();
            return (table, dropped);
        }
        count -= 1;
    }
}

/// The footer of a table without some of its columns.
fn left_out(columns: &[String]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    format!("left out, the terminal is too narrow: {}\n", columns.join(", "))
}

fn all(settings: &[SettingSummary]) -> impl Iterator<Item = &MeanFigure> {
    settings.iter().flat_map(|s| &s.figures).filter(|f| f.group.is_none())
}

/// The columns of metrics that some setting has: name in tables, and which way is better.
fn present(summary: &Summary, columns: &[(&str, bool, f64)]) -> Vec<(String, f64)> {
    let k = summary.eval.k[0];
    let named = columns.iter().map(|&(metric, of_list, sign)| (metric_name(metric, of_list.then_some(k)), sign));
    named.filter(|(name, _)| all(&summary.settings).any(|f| f.name() == *name)).collect()
}

/// A row for each of `settings`: its label, then `columns`, the best of each marked. The header is the first row.
fn metric_table(summary: &Summary, settings: &[&SettingSummary], columns: &[(String, f64)]) -> Rows {
    let arrow = |sign: f64| if sign < 0.0 { "↓" } else { "↑" };
    let names = columns.iter().map(|(name, sign)| format!("{name} {}", arrow(*sign)));
    let mut table = vec![std::iter::once("recommender".to_string()).chain(names).map(Cell::new).collect::<Vec<_>>()];
    let best: Vec<Option<f64>> = columns.iter().map(|(name, sign)| best(settings, name, *sign)).collect();
    // Means over fewer cells than the others have are marked.
    let expected = summary.cells / summary.settings.len().max(1);
    for setting in settings {
        let part = if (1..expected).contains(&setting.cells) {
            format!(" ({} of {expected})", setting.cells)
        } else {
            String::new()
        };
        let mut row = vec![Cell::new(format!("{}{part}", setting.label))];
        for ((name, _), best) in columns.iter().zip(&best) {
            let figure = setting.figure(name);
            row.push(number(
                figure.map_or_else(|| "-".into(), |f| format!("{}{}", plus_minus(f), mark(f.mean, *best))),
            ));
        }
        table.push(row);
    }
    table
}

fn main_table(summary: &Summary) -> Rows {
    let settings: Vec<&SettingSummary> = summary.settings.iter().collect();
    let mut table = metric_table(summary, &settings, &present(summary, &COLUMNS));
    table[0].push(Cell::new("fit s"));
    for (row, setting) in table[1..].iter_mut().zip(settings) {
        row.push(number(match setting.fit_seconds {
            Some(seconds) => format!("{seconds:.2}"),
            None if summary.failures.iter().any(|f| f.label == setting.label) => "failed".into(),
            None => "-".into(),
        }));
    }
    table
}

/// Accuracy beside fairness, and who is on the front of both; none where nothing speaks of fairness.
fn fairness_table(summary: &Summary) -> Option<Rows> {
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
fn fairness_words(summary: &Summary) -> [String; 2] {
    let sides: Vec<&str> = summary.protected.iter().flatten().map(String::as_str).collect();
    let front = if summary.settings.iter().any(|s| s.pareto) { "P: no other has rmse and dee as low; " } else { "" };
    let threshold = summary.data.scale.like_above;
    let ratings = format!("dee, ugf, cvs of predictions above {threshold}");
    let below = format!("{front}{ratings}; those at {} of the lists", summary.eval.k[0]);
    [format!("fairness between the groups of {}", sides.join(" x ")), below]
}

/// The settings that were chosen, by their figures on test rows; and what to say about the groups without one.
fn choice_table(summary: &Summary, choice: &Choice) -> (Rows, String) {
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
fn choice_words(rule: &Choose) -> String {
    let within = rule.within.map_or_else(String::new, |within| {
        let reference =
            rule.reference.as_ref().map_or_else(|| "the lowest of its group".into(), |r| format!("that of {r}"));
        format!(" with a validation-rmse of at most {} times {reference}", within.rmse)
    });
    format!(
        "chosen over {}: the smallest {}{within}; test rows took no part",
        rule.over.join(", "),
        choice::metric(rule.by)
    )
}

/// The best mean of a column; none where there is nothing to be better than.
fn best(settings: &[&SettingSummary], name: &str, sign: f64) -> Option<f64> {
    let means: Vec<f64> = settings.iter().filter_map(|s| s.mean(name)).collect();
    let best = means.iter().copied().max_by(|a, b| (sign * a).total_cmp(&(sign * b)))?;
    means.iter().any(|&m| m != best).then_some(best)
}

fn mark(mean: f64, best: Option<f64>) -> &'static str {
    if Some(mean) == best { "*" } else { " " }
}

fn plus_minus(figure: &MeanFigure) -> String {
    // The zero before the point is left out, or the table would be wider than most terminals.
    let sd = figure.sd.map_or_else(String::new, |sd| format!(" ±{}", format!("{sd:.4}").trim_start_matches('0')));
    format!("{:.4}{sd}", figure.mean)
}

/// For each grouping of users how far the groups are apart, and which one is worst off.
fn gap_table(summary: &Summary, k: usize) -> Option<Rows> {
    let groupings: Vec<&str> = summary.data.user_groups.iter().map(|g| g.name.as_str()).collect();
    let mut shown = false;
    let header = groupings.iter().flat_map(|g| [format!("{g} gap"), "lowest".into()]);
    let header = std::iter::once("recommender".to_string()).chain(header);
    let mut table = vec![header.map(Cell::new).collect::<Vec<_>>()];
    for setting in &summary.settings {
        let mut row = vec![Cell::new(&setting.label)];
        for grouping in &groupings {
            let of_group = |f: &&MeanFigure| f.metric == "ndcg" && f.k == Some(k) && f.n >= ENOUGH;
            let label = |f: &MeanFigure| {
                f.group.as_deref().and_then(|g| g.strip_prefix(grouping)?.strip_prefix('=')).map(str::to_string)
            };
            let mut groups: Vec<(f64, String)> =
                setting.figures.iter().filter(of_group).filter_map(|f| Some((f.mean, label(f)?))).collect();
            groups.sort_by(|a, b| a.0.total_cmp(&b.0));
            match groups.as_slice() {
                [(low, worst), .., (high, _)] => {
                    shown = true;
                    row.extend([number(format!("{:.4}", high - low)), Cell::new(worst)]);
                }
                _ => row.extend([number("-".into()), Cell::new("-")]),
            }
        }
        table.push(row);
    }
    shown.then_some(table)
}

/// An empty table in the style of all tables: no lines between rows.
fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table
}

/// An empty table for text, no wider than the terminal: long cells are wrapped.
pub(crate) fn new_table() -> Table {
    let mut table = plain_table();
    // A pseudo-terminal may say that it has no width at all; then nothing is wrapped, as in a file.
    if table.is_tty() && table.width().is_some_and(|width| width >= NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// A terminal narrower than this would cut words into letters.
const NARROWEST: u16 = 60;

fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_do_not_fit_are_left_out_whole() {
        let rows = || {
            let row = |cells: [&str; 4]| cells.map(Cell::new).to_vec();
            vec![row(["recommender", "rmse", "ndcg@10", "fit s"]), row(["als factors=8", "0.9000 ±.0100", "0.1", "1"])]
        };
        let widest = |table: &Table| table.lines().map(|l| l.chars().count()).max().unwrap();
        let (all, none) = fitted(rows(), None);
        assert_eq!((none.len(), widest(&all)), (0, 51));
        assert_eq!(fitted(rows(), Some(51)).1, [""; 0]);
        let (table, dropped) = fitted(rows(), Some(50));
        assert_eq!(dropped, ["fit s"]);
        assert!(widest(&table) <= 50 && table.to_string().contains("0.9000 ±.0100"));
        let (table, dropped) = fitted(rows(), Some(10));
        assert_eq!(dropped, ["ndcg@10", "fit s"]);
        assert!(table.to_string().contains("als factors=8"));
        assert_eq!(left_out(&dropped), "left out, the terminal is too narrow: ndcg@10, fit s\n");
    }
}
