//! Policies against harm: their summary, and the tables for a terminal.

use super::columns::{Rows, by_group, number, rounded};
use super::summary::{MeanFigure, Summary, means, of_setting};
use super::table::{fitted, left_out, seeds};
use crate::cell::Outcome;
use crate::compare::HarmCells;
use crate::experiment::{Case, HarmOptions, Mitigation, Weight, price};
use crate::load::{Description, HarmLabels};
use crate::progress::printable;
use crate::protocol::harm::NAME;
use crate::protocol::mean_and_sd;
use comfy_table::Cell as TableCell;
use serde::Serialize;
use serde_json::Value as Json;
use std::fmt::Write;

/// Policies against harm, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HarmSummary {
    /// The data.
    pub data: Description,
    /// BLAKE3 hash of the data.
    pub digest: String,
    /// How items were told to be harmful.
    pub harmful: HarmLabels,
    /// Number of harmful items.
    pub harmful_items: usize,
    /// Number of users who were followed with each seed.
    pub followed_users: usize,
    /// How users behave and what was measured.
    pub options: HarmOptions,
    /// Cells of policies.
    pub cells: usize,
    /// Every case, in the order of the experiment.
    pub cases: Vec<CaseSummary>,
}

/// One policy over one recommender at one price, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseSummary {
    /// Name of the recommender.
    pub recommender: String,
    /// What results call the case.
    pub label: String,
    /// What tables call the recommender.
    pub embedding: String,
    /// What tables call the policy.
    pub policy_label: String,
    /// Effective parameters of the recommender.
    pub params: Json,
    /// Effective parameters of the policy, with `plugin`, its name.
    pub policy: Json,
    /// Price of harm.
    pub lambda: f64,
    /// Package and version of every plugin in it.
    pub origins: Vec<String>,
    /// Finished cells.
    pub cells: usize,
    /// Mean time of fitting the recommender, in seconds.
    pub fit_seconds: Option<f64>,
    /// Mean time of solving for the policy and of measuring it, in seconds.
    pub policy_seconds: Option<f64>,
    /// Means of all numbers.
    pub figures: Vec<MeanFigure>,
}

impl HarmSummary {
    pub(super) fn new(part: &Mitigation, compared: &HarmCells) -> Self {
        let case = |(n, case): (usize, &Case)| CaseSummary::new(case, &of_setting(&compared.cells, n));
        Self {
            data: compared.data.clone(),
            digest: compared.digest.clone(),
            harmful: part.harmful.clone(),
            harmful_items: compared.harmful,
            followed_users: compared.users,
            options: part.options.clone(),
            cells: compared.cells.len(),
            cases: part.cases.iter().enumerate().map(case).collect(),
        }
    }
}

impl CaseSummary {
    fn new(case: &Case, outcomes: &[&Outcome]) -> Self {
        let mean = |seconds: fn(&Outcome) -> f64| {
            let values: Vec<f64> = outcomes.iter().map(|o| seconds(o)).collect();
            (!values.is_empty()).then(|| mean_and_sd(&values).0)
        };
        Self {
            recommender: case.setting.plugin.into(),
            label: case.label.clone(),
            embedding: case.setting.label.clone(),
            policy_label: case.policy_label.clone(),
            params: case.setting.params.clone(),
            policy: case.policy_params.clone(),
            lambda: case.lambda,
            origins: case.origins.clone(),
            cells: outcomes.len(),
            fit_seconds: mean(|o| o.seconds.fit),
            policy_seconds: mean(|o| o.seconds.evaluate),
            figures: means(outcomes),
        }
    }

    /// A figure of all users.
    pub fn figure(&self, metric: &str) -> Option<&MeanFigure> {
        self.figures.iter().find(|f| f.group.is_none() && f.metric == metric)
    }

    fn mean(&self, metric: &str) -> Option<f64> {
        self.figure(metric).map(|f| f.mean)
    }
}

/// The part of the report about policies against harm.
pub(super) fn text(part: &HarmSummary, summary: &Summary, width: Option<u16>) -> String {
    let mut out = String::new();
    let (experiment, data) = (printable(&summary.experiment), printable(&part.data.name));
    let about = seeds(summary);
    let _ = writeln!(out, "{experiment} against harm on {data}: {about}, mean ± standard deviation over users");
    let prices = &part.options.lambda;
    let (table, dropped) = fitted(policies(part, summary, prices[0]), width);
    let _ = writeln!(out, "{table}\n{}", words(part));
    out.push_str(&left_out(&dropped));
    if let Some(table) = gaps(part, prices[0]) {
        let (table, dropped) = fitted(table, width);
        let _ = write!(
            out,
            "\ngap between user groups of {ENOUGH} or more: the largest mean less the smallest one\n{table}\n{}",
            left_out(&dropped)
        );
    }
    if prices.len() > 1 {
        let (table, dropped) = fitted(trade_off(part), width);
        let _ = write!(out, "\nwhat harm costs: every policy at every lambda\n{table}\n{}", left_out(&dropped));
    }
    out
}

/// What the table is about.
fn words(part: &HarmSummary) -> String {
    let HarmOptions { lambda, steps, c, .. } = &part.options;
    let sets = part.options.sets();
    let items = part.data.items;
    let (users, harmful) = (part.followed_users, part.harmful_items);
    let weights = || part.cases.iter().filter_map(|case| case.mean("c"));
    let (low, high) = (weights().reduce(f64::min), weights().reduce(f64::max));
    let c = match (c, low.zip(high)) {
        (Weight::Given(c), _) => format!("c {c}"),
        (Weight::Calibrated(_), Some((low, high))) if low == high => format!("c {low}, calibrated"),
        (Weight::Calibrated(_), Some((low, high))) => format!("c {low:.4} to {high:.4}, calibrated"),
        (Weight::Calibrated(_), None) => "c not calibrated".into(),
    };
    let first = if lambda.len() > 1 { " (the first one)" } else { "" };
    let drawn = part.cases.iter().find_map(|case| case.mean("draws"));
    let drawn = drawn.map_or_else(String::new, |n| format!("; d its lottery is that of {n} draws"));
    format!(
        "{sets}, {c}, lambda {}{first}, {users} users, {harmful} of {items} items harmful; distance after \
         {steps} steps{drawn}",
        price(lambda[0])
    )
}

/// The columns with a deviation, and which way is better.
const SPREAD: [(&str, &str); 3] = [("objective", "↑"), ("click", "↑"), ("harm", "↓")];

/// A row for each recommender and policy at one price.
fn policies(part: &HarmSummary, summary: &Summary, lambda: f64) -> Rows {
    let there = |metric: &str| part.cases.iter().any(|case| case.figure(metric).is_some());
    let (certified, unsettled) =
        (there("certified"), part.cases.iter().any(|case| case.mean("not-converged") > Some(0.0)));
    let mut header = vec!["recommender".to_string(), "policy".into()];
    header.extend(SPREAD.map(|(metric, arrow)| format!("{metric} {arrow}")));
    header.push("distance".into());
    header.extend(certified.then(|| ["certified", "largest gap"].map(String::from)).into_iter().flatten());
    header.extend(unsettled.then(|| "not converged".to_string()));
    header.extend(["fit s", "policy s"].map(String::from));
    let mut table = vec![header.iter().map(TableCell::new).collect::<Vec<_>>()];
    let mut above = None;
    for case in part.cases.iter().filter(|case| case.lambda == lambda) {
        let mut row = vec![TableCell::new(once(&mut above, &case.embedding)), TableCell::new(row_label(part, case))];
        row.extend(SPREAD.map(|(metric, _)| number(spread(case, metric))));
        row.push(number(case.mean("distance").map_or_else(|| "-".into(), scientific)));
        if certified {
            let share = case.mean("certified").map(|share| format!("{:.0}%", share * 100.0));
            let gap = case.mean("gap-max").map(scientific);
            row.extend([share, gap].map(|text| number(text.unwrap_or_else(|| "-".into()))));
        }
        if unsettled {
            row.push(number(case.mean("not-converged").map_or_else(|| "-".into(), |count| format!("{count:.1}"))));
        }
        let failed = summary.failures.iter().any(|f| (f.protocol, &f.label) == (NAME, &case.label));
        row.extend([case.fit_seconds, case.policy_seconds].map(|seconds| {
            number(match seconds {
                Some(seconds) => format!("{seconds:.2}"),
                None if failed => "failed".into(),
                None => "-".into(),
            })
        }));
        table.push(row);
    }
    table
}

/// Groups with fewer users than this are left out of the gap: it would show noise.
const ENOUGH: u64 = 10;

/// For each grouping of users how far its groups are apart at one price; none where there are no two groups to compare.
fn gaps(part: &HarmSummary, lambda: f64) -> Option<Rows> {
    let gap =
        |case: &CaseSummary, grouping: &str, metric| match by_group(&case.figures, grouping, (metric, None), ENOUGH)
            .as_slice()
        {
            [(low, _), .., (high, _)] => Some(high - low),
            _ => None,
        };
    let cases = || part.cases.iter().filter(|case| case.lambda == lambda);
    let all = part.data.user_groups.iter().map(|grouping| grouping.name.as_str());
    // A grouping without two groups that are large enough would be columns of dashes.
    let groupings: Vec<&str> = all.filter(|g| cases().any(|case| gap(case, g, "objective").is_some())).collect();
    if groupings.is_empty() {
        return None;
    }
    let names = groupings.iter().flat_map(|g| SPREAD.map(|(metric, _)| format!("{} {metric}", printable(g))));
    let header = ["recommender", "policy"].map(String::from).into_iter().chain(names);
    let mut table = vec![header.map(TableCell::new).collect::<Vec<_>>()];
    let mut above = None;
    for case in cases() {
        let mut row = vec![TableCell::new(once(&mut above, &case.embedding)), TableCell::new(row_label(part, case))];
        for grouping in &groupings {
            let of = |(metric, _)| gap(case, grouping, metric).map_or_else(|| "-".into(), |gap| three(gap, gap));
            row.extend(SPREAD.map(|column| number(of(column))));
        }
        table.push(row);
    }
    Some(table)
}

/// A row for each recommender, policy and price.
fn trade_off(part: &HarmSummary) -> Rows {
    let header = ["recommender", "policy", "lambda", "click ↑", "harm ↓", "objective ↑"];
    let mut table = vec![header.map(TableCell::new).to_vec()];
    let (mut above, mut policy_above) = (None, None);
    for case in &part.cases {
        let embedding = once(&mut above, &case.embedding);
        if !embedding.is_empty() {
            policy_above = None;
        }
        let policy = once(&mut policy_above, &case.policy_label);
        let mut row = vec![TableCell::new(embedding), TableCell::new(policy), number(price(case.lambda))];
        row.extend(["click", "harm", "objective"].map(|metric| number(spread(case, metric))));
        table.push(row);
    }
    table
}

/// The text, or nothing where it is that of the row above.
fn once<'a>(above: &mut Option<&'a str>, text: &'a str) -> &'a str {
    if above.replace(text) == Some(text) { "" } else { text }
}

/// What a policy is called: means over fewer cells than the others have are marked, and so is a lottery that was drawn.
fn row_label(part: &HarmSummary, case: &CaseSummary) -> String {
    let expected = part.cells / part.cases.len().max(1);
    let fewer = (1..expected).contains(&case.cells);
    let fewer = if fewer { format!(" ({} of {expected})", case.cells) } else { String::new() };
    let drawn = if case.figure("draws").is_some() { " d" } else { "" };
    format!("{}{drawn}{fewer}", case.policy_label)
}

/// Mean and deviation over users, both averaged over seeds.
fn spread(case: &CaseSummary, metric: &str) -> String {
    let Some(mean) = case.mean(metric) else { return "-".into() };
    let digits = |value: f64| three(value, mean);
    let sd = case.mean(&format!("{metric}-sd")).map_or_else(String::new, |sd| format!(" ±{}", digits(sd)));
    format!("{}{sd}", digits(mean))
}

/// A number with three digits behind the point, or short where numbers are `like` this large: an objective is, at a
/// high price.
fn three(value: f64, like: f64) -> String {
    if like.abs() < 1e6 { rounded(value, 3) } else { format!("{value:.3e}") }
}

/// A number with one digit behind the point.
fn scientific(value: f64) -> String {
    format!("{:.1e}", value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Host, compare};
    use crate::experiment::{Experiment, Overrides};
    use std::path::Path;

    /// A policy for tests states a gap of 0.5 for the first of sixty users.
    #[test]
    fn certificates_have_columns_where_a_policy_has_one() {
        let text = |policies: &str| {
            let text = format!(
                "[data]\nsimulator = {{ plugin = 'biased-ratings', users = 60, items = 24 }}\n\
                 [harm]\nharmful = {{ groups = 'genre', any = ['F'] }}\nk = 2\nrule = 'at-most'\n[[harm.run]]\n\
                 recommender = 'als'\nparams = {{ factors = 2, iterations = 1 }}\npolicy = {policies}\n"
            );
            let experiment = Experiment::parse("e", &text, Path::new(""), &Overrides::default()).unwrap();
            let host = Host { threads: 1, ..Host::default() };
            let summary = Summary::new(&experiment, &compare(&experiment, None, &host).unwrap());
            super::text(summary.harm.as_ref().unwrap(), &summary, None)
        };
        let both = text("['uniform', { plugin = 'test-stubborn', items = [1, 2], gap = 0.5 }]");
        let row = |policy: &str| -> Vec<&str> {
            let line = both.lines().find(|line| line.contains(policy)).unwrap();
            line.split(['│', '┆']).map(str::trim).collect()
        };
        let place = row("certified").iter().position(|name| *name == "certified").unwrap();
        assert_eq!(row("certified")[place..place + 3], ["certified", "largest gap", "fit s"]);
        assert_eq!(row("stubborn")[place..place + 2], ["98%", "5.0e-1"]);
        assert_eq!(row("uniform")[place..place + 2], ["-", "-"]);
        assert!(both.contains("sets of at most 2, c 6, lambda 100, 60 users, 12 of 24 items harmful"), "{both}");
        assert!(!text("'uniform'").contains("certified"));
        let gaps = both.split("gap between user groups of 10 or more").nth(1).expect("a table of gaps");
        let fields = |from: &str| -> Vec<&str> {
            let line = gaps.lines().find(|line| line.contains(from)).unwrap();
            line.trim_matches('│').split(['│', '┆']).map(str::trim).collect()
        };
        let names = ["recommender", "policy", "gender objective", "gender click", "gender harm"];
        assert_eq!(fields("gender"), names);
        let gap: Vec<f64> = fields("uniform")[2..].iter().map(|field| field.parse().unwrap()).collect();
        assert!(gap.iter().all(|gap| *gap >= 0.0) && gap[0] > gap[2], "{gap:?}");
    }

    #[test]
    fn small_numbers_have_one_digit_behind_the_point() {
        assert_eq!([5.83e-8, 0.0, 12.0].map(scientific), ["5.8e-8", "0.0e0", "1.2e1"]);
    }

    #[test]
    fn objectives_at_high_prices_stay_short() {
        assert_eq!([three(-0.0001, 0.5), three(0.25, -2e99), three(-2e99, -2e99)], ["0.000", "2.500e-1", "-2.000e99"]);
    }

    #[test]
    fn what_stands_above_is_not_repeated() {
        let mut above = None;
        assert_eq!(["a", "a", "b", "a"].map(|text| once(&mut above, text)), ["a", "", "b", "a"]);
    }
}
