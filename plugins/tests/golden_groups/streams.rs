//! Whole streams of rows from data files: sums of losses by group.

use super::golden::{self, File, Tolerance};
use super::{GROUPS, regressor, table, text};
use evenhand_core::{GroupTable, Run};
use evenhand_plugins::least_squares::Hindsight;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Columns of numbers with their names.
struct Sheet {
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
}

impl Sheet {
    fn read(name: &str) -> Result<Self, String> {
        let path = golden::data(&GROUPS).ok_or("EVENHAND_DATA is not set")?.join(name);
        let all = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut lines = all.lines();
        let names: Vec<String> = lines.next().ok_or("an empty file")?.split(',').map(String::from).collect();
        let mut columns = vec![Vec::new(); names.len()];
        for line in lines {
            for (column, cell) in columns.iter_mut().zip(line.split(',')) {
                column.push(cell.parse().map_err(|e| format!("{}: `{cell}`: {e}", path.display()))?);
            }
        }
        Ok(Self { names, columns })
    }

    fn column(&self, name: &str) -> Result<&[f64], String> {
        let at = self.names.iter().position(|n| n == name).ok_or_else(|| format!("no column `{name}`"))?;
        Ok(&self.columns[at])
    }

    /// Columns whose names begin so, with the rest of the names.
    fn beginning(&self, prefix: &str) -> (Vec<String>, Vec<&[f64]>) {
        let all = self.names.iter().zip(&self.columns);
        all.filter_map(|(name, column)| Some((name.strip_prefix(prefix)?.to_string(), column.as_slice()))).unzip()
    }
}

/// A table of columns.
fn of_columns(features: &[&[f64]], groups: &[String], membership: &[&[f64]]) -> Result<GroupTable, String> {
    let rows = features[0].len();
    let features: Vec<Vec<f64>> = (0..rows).map(|t| features.iter().map(|column| column[t]).collect()).collect();
    let membership: Vec<Vec<u8>> =
        (0..rows).map(|t| membership.iter().map(|column| u8::from(column[t] == 1.0)).collect()).collect();
    table(&features, &membership, groups)
}

/// The name of all rows.
const ALL: &str = "always_on";

/// Sums over the rows of a group, or of all.
#[derive(Clone, Default)]
struct Sums {
    size: usize,
    expected: f64,
    mixture: f64,
    single: f64,
    own: f64,
    share: f64,
    /// Of absolute differences of expected and own losses.
    magnitude: f64,
    /// The row that came last.
    last: usize,
}

/// Goes through the rows in that order; the last of the sums is that of all rows.
fn go(table: &GroupTable, labels: &[f64], order: &[usize]) -> Result<Vec<Sums>, String> {
    let (run, d, groups) = (Run::new(0), table.features(), table.groups().len());
    let begin = |name, params| regressor(name, &params)?.begin(d, groups, &run).map_err(text);
    let mut learner = begin("groupwise", json!({}))?;
    let mut single = begin("online-ridge", json!({ "scope": "pooled" }))?;
    let mut sums = vec![Sums::default(); groups + 1];
    for &row in order {
        let ((x, active), label) = (table.row(row), labels[row]);
        let square = |prediction: f64| (prediction - label).powi(2);
        let mixture = square(learner.predict(x, active).map_err(text)?.ok_or("no prediction")?);
        let alone = square(single.predict(x, active).map_err(text)?.ok_or("no prediction")?);
        let expected: f64 = learner.experts().iter().map(|e| e.weight * square(e.prediction)).sum();
        for expert in learner.experts() {
            let of = &mut sums[expert.group.unwrap_or(groups)];
            of.size += 1;
            of.expected += expected;
            of.mixture += mixture;
            of.single += alone;
            of.own += square(expert.prediction);
            of.share += expert.weight;
            of.magnitude += (expected - square(expert.prediction)).abs();
            of.last = row;
        }
        learner.observe(x, active, label).map_err(text)?;
        single.observe(x, active, label).map_err(text)?;
    }
    Ok(sums)
}

/// Some rows, and their best function in hindsight.
type Best = (Vec<usize>, Hindsight);

/// The best functions in hindsight of every group, then of all rows, with the rows in that order.
fn hindsight(table: &GroupTable, labels: &[f64], order: &[usize]) -> Vec<Best> {
    let is = |row: usize, group: usize| table.row(row).1.get(group).copied().unwrap_or(true);
    let of_part = |group: usize| {
        let rows: Vec<usize> = order.iter().copied().filter(|&row| is(row, group)).collect();
        let best = Hindsight::of(table, &rows, labels);
        (rows, best)
    };
    (0..=table.groups().len()).map(of_part).collect()
}

#[derive(Deserialize)]
struct Expected {
    size: usize,
    expected_loss_sum: f64,
    mixture_loss_sum: f64,
    single_ridge_loss_sum: f64,
    own_expert_loss_sum: f64,
    hindsight_sse: f64,
    feature_rank: Option<usize>,
    #[serde(rename = "final_R")]
    regret: Option<f64>,
    #[serde(rename = "final_C")]
    magnitude: Option<f64>,
    weight_sum: Option<f64>,
}

/// One pass in the order of the file against the sums of every group.
fn in_order(
    table: &GroupTable,
    labels: &[f64],
    expected: &BTreeMap<String, Expected>,
    tolerance: Tolerance,
) -> Result<(), String> {
    let order: Vec<usize> = (0..table.rows()).collect();
    let (sums, best) = (go(table, labels, &order)?, hindsight(table, labels, &order));
    if expected.len() != sums.len() {
        return Err(format!("{} groups, expected {}", sums.len(), expected.len()));
    }
    let names = table.groups().iter().map(String::as_str).chain([ALL]);
    for ((name, sums), (_, best)) in names.zip(&sums).zip(&best) {
        let expected = expected.get(name).ok_or_else(|| format!("nothing is expected of `{name}`"))?;
        let check = |what: &str, got, expected| tolerance.near(format!("{name}, {what}"), got, expected);
        check("size", sums.size as f64, expected.size as f64)?;
        check("expected loss", sums.expected, expected.expected_loss_sum)?;
        check("loss", sums.mixture, expected.mixture_loss_sum)?;
        check("loss of the single model", sums.single, expected.single_ridge_loss_sum)?;
        check("loss of its own expert", sums.own, expected.own_expert_loss_sum)?;
        check("hindsight", best.loss, expected.hindsight_sse)?;
        if let Some(regret) = expected.regret {
            check("regret to its expert", sums.expected - sums.own, regret)?;
        }
        if let Some(magnitude) = expected.magnitude {
            check("absolute regrets", sums.magnitude, magnitude)?;
        }
        if let Some(share) = expected.weight_sum {
            check("sum of shares", sums.share, share)?;
        }
        if expected.feature_rank.is_some_and(|rank| rank != best.rank) {
            return Err(format!("{name}: rank {}, expected {:?}", best.rank, expected.feature_rank));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Stream {
    tolerance: Relative,
    runs: BTreeMap<String, BTreeMap<String, Expected>>,
}

#[derive(Deserialize)]
struct Relative {
    rel: f64,
}

pub(crate) fn synthetic(file: &File) -> Result<usize, String> {
    let stream: Stream = serde_json::from_str(&file.text).map_err(text)?;
    let tolerance = Tolerance::new(stream.tolerance.rel, 0.0);
    let sheet = Sheet::read("synthetic_stream_10k_d20_g8.csv")?;
    let (_, features) = sheet.beginning("x_");
    let (groups, membership) = sheet.beginning("g_");
    let plain = of_columns(&features, &groups, &membership)?;
    let wide = plain.with_indicators().map_err(text)?;
    for (name, expected) in &stream.runs {
        let (label, features) = name.split_once('|').ok_or_else(|| format!("`{name}`"))?;
        let table = match features {
            "features20" => &plain,
            "features20_plus_8_indicators" => &wide,
            other => return Err(format!("unknown features `{other}`")),
        };
        in_order(table, sheet.column(label)?, expected, tolerance).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(stream.runs.len())
}

#[derive(Deserialize)]
struct Adult {
    tolerance: LossTolerance,
    groups: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct LossTolerance {
    loss_sums_rel: f64,
    hindsight_rel: f64,
}

#[derive(Deserialize)]
struct Codes {
    codes: BTreeMap<String, Vec<String>>,
}

pub(crate) fn adult(file: &File) -> Result<usize, String> {
    let adult: Adult = serde_json::from_str(&file.text).map_err(text)?;
    let sheet = Sheet::read("adult_binary_standin.csv")?;
    let path = golden::data(&GROUPS).ok_or("EVENHAND_DATA is not set")?.join("adult_binary_standin_codes.json");
    let codes = std::fs::read_to_string(path).map_err(text)?;
    let Codes { codes } = serde_json::from_str(&codes).map_err(text)?;
    let mut features: Vec<Vec<f64>> = Vec::new();
    for name in ["hours-per-week", "age", "capital-gain", "capital-loss", "education-num"] {
        let column = sheet.column(name)?;
        let (low, high) = column.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        features.push(column.iter().map(|v| (v - low) / (high - low)).collect());
    }
    let is = |name: &str, holds: &dyn Fn(f64) -> bool| -> Result<Vec<f64>, String> {
        Ok(sheet.column(name)?.iter().map(|&v| f64::from(u8::from(holds(v)))).collect())
    };
    let level = |name: &str, value: &str| {
        let known = codes.get(name).ok_or_else(|| format!("no codes of `{name}`"))?;
        let code = known.iter().position(|k| k == value).ok_or_else(|| format!("no code of {name} `{value}`"))?;
        is(name, &|v| v == code as f64)
    };
    for (name, values) in &codes {
        for value in values {
            features.push(level(name, value)?);
        }
    }
    let mut groups = vec![
        ("young", is("age", &|v| v <= 35.0)?),
        ("middle", is("age", &|v| v > 35.0 && v <= 50.0)?),
        ("old", is("age", &|v| v > 50.0)?),
        ("HighSchool&less", is("education-num", &|v| v <= 9.0)?),
        ("College&more", is("education-num", &|v| v > 9.0)?),
    ];
    features.extend(groups.iter().map(|(_, column)| column.clone()));
    for (attribute, values) in [
        ("sex", &["Male", "Female"][..]),
        ("race", &["White", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other", "Black"]),
    ] {
        for value in values {
            groups.push((value, level(attribute, value)?));
        }
    }
    let names: Vec<String> = groups.iter().map(|(name, _)| name.to_string()).collect();
    let slices = |columns: &mut dyn Iterator<Item = &Vec<f64>>| -> Vec<Vec<f64>> { columns.cloned().collect() };
    let (features, membership) = (slices(&mut features.iter()), slices(&mut groups.iter().map(|(_, column)| column)));
    let features: Vec<&[f64]> = features.iter().map(Vec::as_slice).collect();
    let membership: Vec<&[f64]> = membership.iter().map(Vec::as_slice).collect();
    let table = of_columns(&features, &names, &membership)?;
    let LossTolerance { loss_sums_rel, hindsight_rel } = adult.tolerance;
    let tolerance = Tolerance::new(loss_sums_rel.min(hindsight_rel), 0.0);
    in_order(&table, sheet.column("y")?, &adult.groups, tolerance)?;
    Ok(1)
}

#[derive(Deserialize)]
struct Medical {
    tolerance: MedicalTolerance,
    shuffle_seeds: Vec<u64>,
    groups: Vec<MedicalGroup>,
}

#[derive(Deserialize)]
struct MedicalTolerance {
    loss_sums_abs: f64,
    hindsight_abs: f64,
}

#[derive(Deserialize)]
struct MedicalGroup {
    group: String,
    size: usize,
    feature_rank_in_group: usize,
    single_ridge_loss: Spread,
    expected_loss: Spread,
    mixture_loss: Spread,
    own_expert_loss: Spread,
    hindsight_sse_all: Spread,
    hindsight_sse_without_last_row: Spread,
    regret_single_as_in_tables: Spread,
    regret_meta_as_in_tables: Spread,
}

/// Over shuffles; the deviation is that of the population.
#[derive(Deserialize)]
struct Spread {
    mean: f64,
    sd: f64,
}

impl Spread {
    fn check(&self, what: String, tolerance: f64, values: impl Iterator<Item = f64>) -> Result<(), String> {
        let values: Vec<f64> = values.collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let tolerance = Tolerance::new(0.0, tolerance);
        tolerance.near(format!("{what}, deviation"), sd, self.sd)?;
        tolerance.near(format!("{what}, mean"), mean, self.mean)
    }
}

pub(crate) fn medical(file: &File) -> Result<usize, String> {
    let Medical { tolerance, shuffle_seeds, groups } = serde_json::from_str(&file.text).map_err(text)?;
    let (sheet, orders) = (Sheet::read("medical_prepared.csv")?, Sheet::read("medical_permutations.csv")?);
    let (_, features) = sheet.beginning("f_");
    let (names, membership) = sheet.beginning("g_");
    let table = of_columns(&features, &names, &membership)?;
    let labels = sheet.column("y")?;
    // Hindsight is found anew in every order, on which it must not depend.
    let shuffles = shuffle_seeds.iter().map(|seed| {
        let order: Vec<usize> = orders.column(&format!("seed_{seed}"))?.iter().map(|&row| row as usize).collect();
        Ok((go(&table, labels, &order)?, hindsight(&table, labels, &order)))
    });
    let shuffles: Vec<(Vec<Sums>, Vec<Best>)> = shuffles.collect::<Result<_, String>>()?;
    let (losses, exact) = (tolerance.loss_sums_abs, tolerance.hindsight_abs);
    for expected in &groups {
        let name = &expected.group;
        let at = names.iter().position(|n| n == name).unwrap_or(names.len());
        if at == names.len() && name != ALL {
            return Err(format!("no group `{name}`"));
        }
        let both = || shuffles.iter().map(|(sums, best)| (&sums[at], &best[at].0, &best[at].1));
        let of = || both().map(|(sums, ..)| sums);
        if both().any(|(sums, _, best)| (sums.size, best.rank) != (expected.size, expected.feature_rank_in_group)) {
            return Err(format!("{name}: another size than {} or rank", expected.size));
        }
        let but_last: Vec<f64> =
            both().map(|(sums, rows, best)| best.without(&table, rows, labels, sums.last)).collect();
        let what = |what: &str| format!("{name}, {what}");
        expected.single_ridge_loss.check(what("single loss"), losses, of().map(|s| s.single))?;
        expected.expected_loss.check(what("expected loss"), losses, of().map(|s| s.expected))?;
        expected.mixture_loss.check(what("loss"), losses, of().map(|s| s.mixture))?;
        expected.own_expert_loss.check(what("own loss"), losses, of().map(|s| s.own))?;
        expected.hindsight_sse_all.check(what("hindsight"), exact, both().map(|(.., best)| best.loss))?;
        expected.hindsight_sse_without_last_row.check(
            what("hindsight but the last row"),
            exact,
            but_last.iter().copied(),
        )?;
        let regret = |loss: fn(&Sums) -> f64| of().map(loss).zip(&but_last).map(|(loss, best)| loss - best);
        expected.regret_single_as_in_tables.check(what("single regret"), exact, regret(|s| s.single))?;
        expected.regret_meta_as_in_tables.check(what("expected regret"), exact, regret(|s| s.expected))?;
    }
    Ok(groups.len())
}
