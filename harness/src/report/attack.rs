//! Recommenders under attack: their summary, and the tables for a terminal.

use super::columns::{Rows, number, plus_minus, rounded, row_label};
use super::summary::{MeanFigure, OfflineSummary, Summary, joined};
use super::table::{fitted, left_out, seeds};
use crate::cell::Outcome;
use crate::compare::Cell;
use crate::experiment::Offline;
use crate::protocol::attack::{CLEAN, DROP, NORMS, OF_LIST, SPREAD};
use crate::protocol::ranking::OF_SCORES;
use crate::protocol::{Attacked, Figure, metric_name};
use comfy_table::Cell as TableCell;
use serde::Serialize;
use std::fmt::Write;

/// Both rules of ties are shown where the AUC differs by more: four digits tell no less. `results.csv` has both always.
const TIED: f64 = 5e-5;

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
    if columns.iter().all(Vec::is_empty) {
        return None;
    }
    let mut out = String::new();
    let draws = attack.draws;
    let deviation = if part.cells > part.settings.len() { ", mean ± standard deviation" } else { "" };
    let spread = if draws > 1 { format!(", in brackets over {draws} draws") } else { String::new() };
    let _ = writeln!(out, "perturbed factors, full ranking: {}{deviation}{spread}", seeds(summary));
    let unit = if attack.relative { "in lengths of the row itself" } else { "absolute" };
    let words =
        format!("drop: 1 - attacked / clean; norms: mean length of the factors of users, of items; eps {unit}\n");
    let (rows, names) = attacked(part, &columns);
    out.push_str(&shown(rows, &names, 2, &words, width));
    if part.controls.iter().any(|c| c.pairs > 0) {
        let control = one_control(part);
        let called = control.map_or_else(|| "control".into(), |label| format!("`{label}`"));
        let _ = writeln!(
            out,
            "\nsetting less {called}: mean difference ± standard error over pairs of equal seed and fold"
        );
        let (rows, names) = compared(part, &columns.concat(), control.is_none());
        out.push_str(&shown(rows, &names, if control.is_none() { 3 } else { 2 }, "", width));
    }
    Some(out)
}

/// A table and `words` about it. Columns that do not fit the terminal are left out by their `names`; a table that has none
/// behind the first `text` of them says nothing, and is left out whole.
fn shown(rows: Rows, names: &[String], text: usize, words: &str, width: Option<u16>) -> String {
    let (table, dropped) = fitted(rows, width);
    match names.len() - dropped.len() {
        kept if kept <= text => left_out(&["the whole table".into()]),
        kept => format!("{table}\n{words}{}", left_out(&names[kept..])),
    }
}

/// The control, where all settings that have one share it.
fn one_control(part: &OfflineSummary) -> Option<&str> {
    let first = &part.controls.first()?.control;
    part.controls.iter().all(|c| c.control == *first).then_some(first)
}

/// Metrics that some setting has a number for, by their names in tables: those of the first length and of no length, then of
/// the second. Both rules of ties where they make a difference.
fn columns(part: &OfflineSummary) -> [Vec<String>; 2] {
    let k = |n: usize| part.eval.k.get(n).copied();
    let rows = || part.settings.iter().flat_map(|s| &s.attacks);
    let apart = |a: &AttackSummary| Some((a.figure(OF_SCORES[0])?.mean - a.figure(OF_SCORES[1])?.mean).abs());
    let auc = if rows().filter_map(apart).any(|apart| apart > TIED) { &OF_SCORES[..] } else { &OF_SCORES[..1] };
    let first = OF_LIST.map(|metric| (metric, k(0))).into_iter().chain(auc.iter().map(|&metric| (metric, None)));
    let second = k(1).into_iter().flat_map(|k| OF_LIST.map(|metric| (metric, Some(k))));
    let there = |name: &String| rows().any(|a| a.figure(name).is_some());
    let named = |(metric, k): (&str, Option<usize>)| Some(metric_name(metric, k)).filter(there);
    [first.filter_map(named).collect(), second.filter_map(named).collect()]
}

/// The name in tables of a metric of the metric called `name`: `ndcg-drop@10`.
fn derived(name: &str, suffix: &str) -> String {
    match name.split_once('@') {
        Some((metric, k)) => format!("{metric}{suffix}@{k}"),
        None => format!("{name}{suffix}"),
    }
}

/// A row for each setting and attack, the clean one first; and names of the columns that tell them apart.
fn attacked(part: &OfflineSummary, [first, second]: &[Vec<String>; 2]) -> (Rows, Vec<String>) {
    let header = |loss: fn(&str) -> String| -> Vec<String> {
        let of_column = |name: &String| [format!("{name} ↑"), format!("{} ↓", loss(name))];
        let before = ["recommender", "attack"].map(str::to_string).into_iter().chain(first.iter().flat_map(of_column));
        before.chain(["norms".to_string()]).chain(second.iter().flat_map(of_column)).collect()
    };
    let mut table = vec![header(|_| "drop".into()).into_iter().map(TableCell::new).collect::<Vec<_>>()];
    for setting in part.settings.iter().filter(|s| !s.attacks.is_empty()) {
        for (at, attack) in setting.attacks.iter().enumerate() {
            let label = if at == 0 { row_label(part, setting) } else { String::new() };
            let cells = |name: &String| [number(value(attack, name)), number(loss(&setting.attacks, attack, name))];
            let mut row = vec![TableCell::new(label), TableCell::new(&attack.attack)];
            row.extend(first.iter().flat_map(cells));
            row.push(number(norms(attack)));
            row.extend(second.iter().flat_map(cells));
            table.push(row);
        }
    }
    (table, header(|name| derived(name, DROP)))
}

fn value(attack: &AttackSummary, name: &str) -> String {
    let Some(figure) = attack.figure(name) else { return "-".into() };
    let spread = attack.figure(&derived(name, SPREAD)).map(|s| format!(" ({})", short(s.mean)));
    format!("{}{}", plus_minus(figure), spread.unwrap_or_default())
}

/// What is lost of the clean mean: a mean of the losses of cells would not follow from the means that stand beside it.
fn loss(of_setting: &[AttackSummary], attack: &AttackSummary, name: &str) -> String {
    if attack.attack == CLEAN {
        return String::new();
    }
    let mean = |attack: &AttackSummary| attack.figure(name).map(|figure| figure.mean);
    let clean = of_setting.iter().find(|a| a.attack == CLEAN).and_then(mean).filter(|&clean| clean > 0.0);
    // Not -0.0.
    let percent =
        |(clean, attacked): (f64, f64)| format!("{:.1}%", (1000.0 - attacked / clean * 1000.0).round() / 10.0 + 0.0);
    clean.zip(mean(attack)).map_or_else(|| "-".into(), percent)
}

fn norms(attack: &AttackSummary) -> String {
    let norms: Vec<String> =
        NORMS.iter().filter_map(|name| attack.figure(name)).map(|f| three_digits(f.mean)).collect();
    norms.join(", ")
}

/// A number with three significant digits.
fn three_digits(value: f64) -> String {
    let scientific = format!("{value:.2e}");
    match scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()) {
        Some(exponent @ -4..=4) => format!("{value:.*}", 2usize.saturating_add_signed(-exponent as isize)),
        _ => scientific,
    }
}

/// A small number without the zero before the point.
fn short(value: f64) -> String {
    rounded(value, 4).trim_start_matches('0').to_string()
}

/// A row for each setting with a control and each attack; and the names of the columns. With `less`, one names the control.
fn compared(part: &OfflineSummary, columns: &[String], less: bool) -> (Rows, Vec<String>) {
    let text = ["recommender"].into_iter().chain(less.then_some("less")).chain(["attack"]).map(str::to_string);
    let header = text.chain(columns.iter().map(|name| format!("{name} ↑"))).chain(["pairs".to_string()]);
    let header: Vec<String> = header.collect();
    let mut table = vec![header.iter().map(TableCell::new).collect::<Vec<_>>()];
    for control in &part.controls {
        for (at, attack) in control.attacks.iter().enumerate() {
            let [label, of_control] = if at == 0 { [control.label.as_str(), &control.control] } else { [""; 2] };
            let text = [label].into_iter().chain(less.then_some(of_control)).chain([attack.attack.as_str()]);
            let mut row: Vec<TableCell> = text.map(TableCell::new).collect();
            row.extend(columns.iter().map(|name| number(difference(attack, name))));
            row.push(number(if at == 0 { control.pairs.to_string() } else { String::new() }));
            table.push(row);
        }
    }
    (table, header)
}

fn difference(attack: &AttackSummary, name: &str) -> String {
    let Some(figure) = attack.figure(name) else { return "-".into() };
    let error = figure.sd.map(|sd| format!(" ±{}", short(sd / (figure.cells as f64).sqrt())));
    format!("{:+.4}{}", figure.mean + 0.0, error.unwrap_or_default())
}

#[cfg(test)]
mod tests;
