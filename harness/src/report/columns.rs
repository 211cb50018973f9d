//! Tables of metrics: a row for each setting, a column for each metric, the best of each column marked.

use super::summary::{MeanFigure, OfflineSummary, SettingSummary};
use crate::protocol::metric_name;
use comfy_table::{Cell, CellAlignment};

/// The rows of a table, its header first.
pub(super) type Rows = Vec<Vec<Cell>>;

/// A column of metrics.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) metric: &'static str,
    /// Whether it is a metric of lists.
    pub(super) of_list: bool,
    /// Which way is better: -1 for lower.
    pub(super) sign: f64,
    /// Whether the standard deviation is shown. Not all, or the table would be wider than most terminals.
    pub(super) spread: bool,
}

/// One of them.
pub(super) const fn column(metric: &'static str, of_list: bool, sign: f64, spread: bool) -> Column {
    Column { metric, of_list, sign, spread }
}

/// The figures of all users.
pub(super) fn all(settings: &[SettingSummary]) -> impl Iterator<Item = &MeanFigure> {
    settings.iter().flat_map(|s| &s.figures).filter(|f| f.group.is_none())
}

/// The columns that some setting has a number for, by their names in tables.
pub(super) fn present(summary: &OfflineSummary, columns: &[Column]) -> Vec<(String, Column)> {
    let k = summary.eval.k[0];
    let named = columns.iter().map(|&c| (metric_name(c.metric, c.of_list.then_some(k)), c));
    named.filter(|(name, _)| all(&summary.settings).any(|f| f.name() == *name)).collect()
}

/// A row for each of `settings`: its label, then `columns`, the best of each marked. The header is the first row.
pub(super) fn metric_table(
    summary: &OfflineSummary,
    settings: &[&SettingSummary],
    columns: &[(String, Column)],
) -> Rows {
    let arrow = |sign: f64| if sign < 0.0 { "↓" } else { "↑" };
    let names = columns.iter().map(|(name, c)| format!("{name} {}", arrow(c.sign)));
    let mut table = vec![std::iter::once("recommender".to_string()).chain(names).map(Cell::new).collect::<Vec<_>>()];
    let best: Vec<Option<f64>> = columns.iter().map(|(name, c)| best(settings, name, c.sign)).collect();
    for setting in settings {
        let mut row = vec![Cell::new(row_label(summary, setting))];
        for ((name, column), best) in columns.iter().zip(&best) {
            let text = |f: &MeanFigure| {
                let value = if column.spread { plus_minus(f) } else { format!("{:.4}", f.mean) };
                format!("{value}{}", mark(f.mean, *best))
            };
            row.push(number(setting.figure(name).map_or_else(|| "-".into(), text)));
        }
        table.push(row);
    }
    table
}

/// What a row of a setting begins with: means over fewer cells than the others have are marked.
pub(super) fn row_label(summary: &OfflineSummary, setting: &SettingSummary) -> String {
    let expected = summary.cells / summary.settings.len().max(1);
    let fewer = (1..expected).contains(&setting.cells);
    let fewer = if fewer { format!(" ({} of {expected})", setting.cells) } else { String::new() };
    format!("{}{fewer}", setting.label)
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

/// Mean and standard deviation.
pub(super) fn plus_minus(figure: &MeanFigure) -> String {
    // The zero before the point is left out, or the table would be wider than most terminals.
    let sd = figure.sd.map_or_else(String::new, |sd| format!(" ±{}", format!("{sd:.4}").trim_start_matches('0')));
    format!("{:.4}{sd}", figure.mean)
}

/// A cell that stands on the right.
pub(super) fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
