//! The comparison as text for a terminal.

use super::columns::{Column, Rows, all, by_group, column, metric_table, number, present};
use super::fairness::{choice_table, choice_words, fairness_table, fairness_words};
use super::rating::{rating_table, rating_words};
use super::summary::{FailedCell, OfflineSummary, SettingSummary, Summary};
use super::{attack, groupwise, harm, interactive};
use crate::progress::printable;
use crate::protocol::{metric_name, offline};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, ContentArrangement, Table};
use std::fmt::Write;

/// Of the main table.
const ACCURACY: [Column; 5] = [
    column("rmse", false, -1.0, true),
    column("ndcg", true, 1.0, true),
    column("recall", true, 1.0, true),
    column("coverage", true, 1.0, true),
    column("gini", true, -1.0, true),
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
    if let Some(part) = &summary.offline {
        of_recommenders(part, summary, width, &mut out);
    }
    if let Some(part) = &summary.interactive {
        if summary.offline.is_some() {
            out.push('\n');
        }
        out.push_str(&interactive::text(part, summary, width));
    }
    if let Some(part) = &summary.harm {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&harm::text(part, summary, width));
    }
    if let Some(part) = &summary.groupwise {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&groupwise::text(part, summary, width));
    }
    for warning in &summary.warnings {
        let _ = writeln!(out, "warn    {}", printable(warning));
    }
    for f in &summary.failures {
        // Nothing else has folds.
        let fold = if f.protocol == offline::NAME { format!(", fold {}", f.fold) } else { String::new() };
        let _ = writeln!(out, "FAILED  {}, seed {}{fold}: {}", f.label, f.seed, printable(&f.reason));
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

/// `3 seeds`.
pub(super) fn seeds(summary: &Summary) -> String {
    let seeds = summary.seeds.len();
    format!("{seeds} seed{}", if seeds == 1 { "" } else { "s" })
}

/// Recommenders on held-out rows.
fn of_recommenders(part: &OfflineSummary, summary: &Summary, width: Option<u16>, out: &mut String) {
    let folds = part.cells / (summary.seeds.len() * part.settings.len()).max(1);
    let folds = if folds > 1 { format!(" x {folds} folds") } else { String::new() };
    let spread = if part.cells > part.settings.len() { ", mean ± standard deviation" } else { "" };
    let _ = writeln!(
        out,
        "{} on {}: {}{folds}{spread}",
        printable(&summary.experiment),
        printable(&part.data.name),
        seeds(summary)
    );
    let (table, dropped) = fitted(main_table(part, &summary.failures), width);
    let _ = writeln!(out, "{table}");
    let _ = write!(out, "↓ lower is better, ↑ higher is better, * best of its column");
    let k = part.eval.k[0];
    let users = all(&part.settings).filter(|f| f.metric == "ndcg" && f.k == Some(k)).map(|f| f.n).min();
    let _ = writeln!(out, "{}", users.map_or_else(String::new, |n| format!("; ranking over {n} users")));
    out.push_str(&left_out(&dropped));
    if let Some(table) = gap_table(part, k) {
        let (table, dropped) = fitted(table, width);
        let _ = write!(
            out,
            "\n{}: gap between user groups of {ENOUGH} or more, and the lowest group\n{table}\n{}",
            metric_name("ndcg", Some(k)),
            left_out(&dropped)
        );
    }
    if let Some(table) = rating_table(part) {
        let (table, dropped) = fitted(table, width);
        let words = rating_words(part);
        let _ = write!(out, "\nrating error by group of users: rmse\n{table}\n{words}\n{}", left_out(&dropped));
    }
    if let Some(table) = fairness_table(part) {
        let (table, dropped) = fitted(table, width);
        let [above, below] = fairness_words(part);
        let _ = write!(out, "\n{above}\n{table}\n{below}\n{}", left_out(&dropped));
    }
    if let Some(text) = attack::text(part, summary, width) {
        let _ = write!(out, "\n{text}");
    }
    if let Some(choice) = &part.choice {
        let (table, without) = choice_table(part, choice);
        let _ = writeln!(out, "\n{}", choice_words(&choice.rule));
        // A header alone says nothing.
        if table.len() > 1 {
            let (table, dropped) = fitted(table, width);
            let _ = write!(out, "{table}\n{}", left_out(&dropped));
        }
        out.push_str(&without);
    }
}

/// The table with as many columns from the left as fit the width, and the names of the others. The first two stay: text
/// that the terminal wraps can still be read.
pub(super) fn fitted(rows: Rows, width: Option<u16>) -> (Table, Vec<String>) {
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
pub(super) fn left_out(columns: &[String]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    format!("left out, the terminal is too narrow: {}\n", columns.join(", "))
}

fn main_table(summary: &OfflineSummary, failures: &[FailedCell]) -> Rows {
    let settings: Vec<&SettingSummary> = summary.settings.iter().collect();
    let mut table = metric_table(summary, &settings, &present(summary, &ACCURACY));
    table[0].push(Cell::new("fit s"));
    for (row, setting) in table[1..].iter_mut().zip(settings) {
        row.push(number(match setting.fit_seconds {
            Some(seconds) => format!("{seconds:.2}"),
            None if failures.iter().any(|f| (f.protocol, &f.label) == (offline::NAME, &setting.label)) => {
                "failed".into()
            }
            None => "-".into(),
        }));
    }
    table
}

/// For each grouping of users how far the groups are apart, and which one is worst off.
fn gap_table(summary: &OfflineSummary, k: usize) -> Option<Rows> {
    let groupings: Vec<&str> = summary.data.user_groups.iter().map(|g| g.name.as_str()).collect();
    let mut shown = false;
    let header = groupings.iter().flat_map(|g| [format!("{g} gap"), "lowest".into()]);
    let header = std::iter::once("recommender".to_string()).chain(header);
    let mut table = vec![header.map(Cell::new).collect::<Vec<_>>()];
    for setting in &summary.settings {
        let mut row = vec![Cell::new(&setting.label)];
        for grouping in &groupings {
            match by_group(&setting.figures, grouping, ("ndcg", Some(k)), ENOUGH).as_slice() {
                [(low, worst), .., (high, _)] => {
                    shown = true;
                    row.extend([number(format!("{:.4}", high - low)), Cell::new(printable(worst))]);
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
