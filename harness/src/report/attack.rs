//! Recommenders under attack: their summary, and the tables for a terminal.

use super::columns::{Rows, number, plus_minus, row_label};
use super::summary::{MeanFigure, OfflineSummary, Summary, joined};
use super::table::{fitted, left_out, seeds};
use crate::cell::Outcome;
use crate::compare::Cell;
use crate::experiment::Offline;
use crate::protocol::attack::{CLEAN, DROP, NORMS, SPREAD};
use crate::protocol::{Attacked, Figure, metric_name};
use comfy_table::Cell as TableCell;
use serde::Serialize;
use std::fmt::Write;

/// Full rankings under one attack, or under none, over all finished cells of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackSummary {
    /// Name of the attack; `clean` for none.
    pub attack: String,
    /// Means of all numbers.
    pub figures: Vec<MeanFigure>,
}

impl AttackSummary {
    /// A figure of all users, by its name in tables.
    pub fn figure(&self, name: &str) -> Option<&MeanFigure> {
        self.figures.iter().find(|f| f.group.is_none() && f.name() == name)
    }
}

/// A setting against its control.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControlSummary {
    /// What tables call the setting.
    pub label: String,
    /// What tables call its control.
    pub control: String,
    /// Pairs of finished cells with one seed and fold.
    pub pairs: usize,
    /// Differences of the setting's numbers and the control's: mean and standard deviation over pairs.
    pub attacks: Vec<AttackSummary>,
}

/// The attacks of several cells joined, in the order in which they first occur.
pub(super) fn attacks(cells: &[&[Attacked]]) -> Vec<AttackSummary> {
    let mut names: Vec<&str> = Vec::new();
    for attacked in cells.iter().copied().flatten() {
        if !names.contains(&attacked.attack.as_str()) {
            names.push(&attacked.attack);
        }
    }
    let join = |name: &str| {
        let same = |attacks: &&[Attacked]| attacks.iter().position(|a| a.attack == name);
        let figures: Vec<&[Figure]> = cells.iter().filter_map(|c| Some(c[same(c)?].figures.as_slice())).collect();
        AttackSummary { attack: name.into(), figures: joined(&figures) }
    };
    names.into_iter().map(join).collect()
}

/// Every setting that has a control against it.
pub(super) fn controls(part: &Offline, cells: &[Cell]) -> Vec<ControlSummary> {
    let of_label = |label: &String| part.settings.iter().position(|s| s.label == *label);
    let paired = part.settings.iter().enumerate().filter_map(|(n, s)| Some((n, of_label(s.control.as_ref()?)?)));
    let compare = |(setting, control): (usize, usize)| {
        let outcome = |n: usize, like: &Cell| {
            let same =
                |c: &&Cell| (c.place.setting, c.place.seed, c.place.fold) == (n, like.place.seed, like.place.fold);
            cells.iter().find(same)?.outcome()
        };
        let of_setting = cells.iter().filter(|c| c.place.setting == setting);
        let pairs: Vec<Vec<Attacked>> = of_setting
            .filter_map(|cell| cell.outcome().zip(outcome(control, cell)))
            .map(|(setting, control)| differences(setting, control))
            .collect();
        ControlSummary {
            label: part.settings[setting].label.clone(),
            control: part.settings[control].label.clone(),
            pairs: pairs.len(),
            attacks: attacks(&pairs.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        }
    };
    paired.map(compare).collect()
}

/// The numbers of one cell less those of the other; spreads and lengths have no difference that means something.
fn differences(setting: &Outcome, control: &Outcome) -> Vec<Attacked> {
    let less = |figure: &Figure, of: &Attacked| {
        let key = |f: &Figure| (f.metric.clone(), f.k, f.group.clone());
        let other = of.figures.iter().find(|other| key(other) == key(figure))?;
        Some(Figure { value: figure.value - other.value, n: figure.n.min(other.n), ..figure.clone() })
    };
    let of_attack = |attacked: &Attacked| {
        let other = control.attacks.iter().find(|other| other.attack == attacked.attack)?;
        let compared =
            attacked.figures.iter().filter(|f| !f.metric.ends_with(SPREAD) && !NORMS.contains(&f.metric.as_str()));
        let figures = compared.filter_map(|figure| less(figure, other)).collect();
        Some(Attacked { attack: attacked.attack.clone(), figures })
    };
    setting.attacks.iter().filter_map(of_attack).collect()
}

/// The part of the report about attacks; none where nothing was attacked.
pub(super) fn text(part: &OfflineSummary, summary: &Summary, width: Option<u16>) -> Option<String> {
    let attack = part.attack.as_ref()?;
    let columns = columns(part);
    if columns.is_empty() {
        return None;
    }
    let mut out = String::new();
    let draws = attack.draws;
    let deviation = if part.cells > part.settings.len() { ", mean ± standard deviation" } else { "" };
    let spread = if draws > 1 { format!(", in brackets over {draws} draws") } else { String::new() };
    let _ = writeln!(out, "perturbed factors, full ranking: {}{deviation}{spread}", seeds(summary));
    let (table, dropped) = fitted(attacked(part, &columns), width);
    let unit = if attack.relative { "in lengths of the row itself" } else { "absolute" };
    let _ = writeln!(
        out,
        "{table}\ndrop: 1 - attacked / clean; norms: mean length of the factors of users, of items; eps {unit}"
    );
    out.push_str(&left_out(&dropped));
    if part.controls.iter().any(|c| c.pairs > 0) {
        let (table, dropped) = fitted(compared(part, &columns), width);
        let _ = write!(
            out,
            "\nsetting less control: mean difference ± standard error over pairs of equal seed and fold\n{table}\n{}",
            left_out(&dropped)
        );
    }
    Some(out)
}

/// Metrics that some setting has a number for, by their names in tables: those of the first length, then of the second.
fn columns(part: &OfflineSummary) -> Vec<String> {
    let k = |n: usize| part.eval.k.get(n).copied();
    let named = [("hr", k(0)), ("ndcg", k(0)), ("auc", None)].into_iter();
    let second = k(1).into_iter().flat_map(|k| [("hr", Some(k)), ("ndcg", Some(k))]);
    let names = named.chain(second).map(|(metric, k)| metric_name(metric, k));
    let there = |name: &String| part.settings.iter().flat_map(|s| &s.attacks).any(|a| a.figure(name).is_some());
    names.filter(there).collect()
}

/// The name in tables of a metric of the metric called `name`: `ndcg-drop@10`.
fn derived(name: &str, suffix: &str) -> String {
    match name.split_once('@') {
        Some((metric, k)) => format!("{metric}{suffix}@{k}"),
        None => format!("{name}{suffix}"),
    }
}

/// A row for each setting and attack, the clean one first.
fn attacked(part: &OfflineSummary, columns: &[String]) -> Rows {
    let of_column = |name: &String| [format!("{name} ↑"), "drop ↓".into()];
    let first = columns.iter().take(3).flat_map(of_column);
    let header = ["recommender", "attack"].map(str::to_string).into_iter().chain(first);
    let header = header.chain(["norms".to_string()]).chain(columns.iter().skip(3).flat_map(of_column));
    let mut table = vec![header.map(TableCell::new).collect::<Vec<_>>()];
    for setting in part.settings.iter().filter(|s| !s.attacks.is_empty()) {
        for (at, attack) in setting.attacks.iter().enumerate() {
            let label = if at == 0 { row_label(part, setting) } else { String::new() };
            let cells = |name: &String| [number(value(attack, name)), number(drop(attack, name))];
            let mut row = vec![TableCell::new(label), TableCell::new(&attack.attack)];
            row.extend(columns.iter().take(3).flat_map(cells));
            row.push(number(norms(attack)));
            row.extend(columns.iter().skip(3).flat_map(cells));
            table.push(row);
        }
    }
    table
}

fn value(attack: &AttackSummary, name: &str) -> String {
    let Some(figure) = attack.figure(name) else { return "-".into() };
    let spread = attack.figure(&derived(name, SPREAD)).map(|s| format!(" ({})", short(s.mean)));
    format!("{}{}", plus_minus(figure), spread.unwrap_or_default())
}

fn drop(attack: &AttackSummary, name: &str) -> String {
    // Not -0.0.
    let percent = |figure: &MeanFigure| format!("{:.1}%", (figure.mean * 1000.0).round() / 10.0 + 0.0);
    attack
        .figure(&derived(name, DROP))
        .map_or_else(|| if attack.attack == CLEAN { String::new() } else { "-".into() }, percent)
}

fn norms(attack: &AttackSummary) -> String {
    let norms: Vec<String> =
        NORMS.iter().filter_map(|name| attack.figure(name)).map(|f| format!("{:.2}", f.mean)).collect();
    norms.join(", ")
}

/// A small number without the zero before the point.
fn short(value: f64) -> String {
    format!("{value:.4}").trim_start_matches('0').to_string()
}

/// A row for each setting with a control and each attack.
fn compared(part: &OfflineSummary, columns: &[String]) -> Rows {
    let header = ["recommender", "less", "attack"].into_iter().map(str::to_string);
    let header = header.chain(columns.iter().map(|name| format!("{name} ↑"))).chain(["pairs".to_string()]);
    let mut table = vec![header.map(TableCell::new).collect::<Vec<_>>()];
    for control in &part.controls {
        for (at, attack) in control.attacks.iter().enumerate() {
            let names = if at == 0 { [control.label.as_str(), &control.control] } else { [""; 2] };
            let mut row: Vec<TableCell> =
                names.into_iter().chain([attack.attack.as_str()]).map(TableCell::new).collect();
            row.extend(columns.iter().map(|name| number(difference(attack, name))));
            row.push(number(if at == 0 { control.pairs.to_string() } else { String::new() }));
            table.push(row);
        }
    }
    table
}

fn difference(attack: &AttackSummary, name: &str) -> String {
    let Some(figure) = attack.figure(name) else { return "-".into() };
    let error = figure.sd.map(|sd| format!(" ±{}", short(sd / (figure.cells as f64).sqrt())));
    format!("{:+.4}{}", figure.mean + 0.0, error.unwrap_or_default())
}

#[cfg(test)]
mod tests;
