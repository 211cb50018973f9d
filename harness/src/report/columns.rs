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
                let value = if column.spread { plus_minus(f) } else { rounded(f.mean, 4) };
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

/// The groups of one grouping with so many users or more, by their mean of a metric, the lowest first.
pub(super) fn by_group(
    figures: &[MeanFigure],
    grouping: &str,
    (metric, k): (&str, Option<usize>),
    enough: u64,
) -> Vec<(f64, String)> {
    let of_group = |f: &&MeanFigure| f.metric == metric && f.k == k && f.n >= enough;
    let label = |f: &MeanFigure| {
        f.group.as_deref().and_then(|g| g.strip_prefix(grouping)?.strip_prefix('=')).map(str::to_string)
    };
    let groups = figures.iter().filter(of_group).filter_map(|f| Some((f.mean, label(f)?)));
    let mut groups: Vec<(f64, String)> = groups.collect();
    groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    groups
}

/// A number with so many digits behind the point. What rounds to 0 has no sign.
pub(super) fn rounded(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let zero = text.parse() == Ok(0.0);
    text.strip_prefix('-').filter(|_| zero).map_or_else(|| text.clone(), str::to_string)
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
    format!("{}{sd}", rounded(figure.mean, 4))
}

/// A cell that stands on the right.
pub(super) fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounds_to_zero_has_no_sign() {
        let texts = [-0.0004, -0.0, -0.0006, 0.0, -1.5, f64::NEG_INFINITY].map(|value| rounded(value, 3));
        assert_eq!(texts, ["0.000", "0.000", "-0.001", "0.000", "-1.500", "-inf"]);
    }
}
