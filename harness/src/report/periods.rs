//! The tables of every period of agents in a world that answers.

use super::long::Table;
use super::summary::Summary;
use crate::cell::Outcome;
use crate::compare::{Cell, Comparison};
use crate::experiment::Experiment;
use crate::protocol::Curve;
use crate::protocol::interactive::{INFERENCE, REGRET, TRAINING};

/// `periods.csv`: a row for each seed and period, columns for each agent: regret, error, seconds of answering and of
/// learning, then all other curves. Times differ from run to run.
pub fn periods_csv(experiment: &Experiment, comparison: &Comparison) -> Option<Vec<u8>> {
    let (part, compared) = experiment.interactive.as_ref().zip(comparison.interactive.as_ref())?;
    // The first columns stand in the order in which they were published.
    const FIRST: [(&str, &str); 4] = [
        (REGRET, "mean_regret"),
        ("ratings-mse", "ratings_mse"),
        (INFERENCE, "inference_time"),
        (TRAINING, "training_time"),
    ];
    let curves = |o: &'_ Outcome| -> Vec<Curve> { o.curves.iter().chain(&o.times).cloned().collect() };
    let mut names: Vec<(String, Option<String>)> = FIRST.iter().map(|(metric, _)| ((*metric).into(), None)).collect();
    for curve in compared.cells.iter().filter_map(Cell::outcome).flat_map(curves) {
        let name = (curve.metric, curve.group);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let column = |(metric, group): &(String, Option<String>), label: &str| {
        let known = FIRST.iter().find(|(name, _)| name == metric).map(|(_, column)| (*column).to_string());
        let metric = known.unwrap_or_else(|| metric.replace('-', "_"));
        let group = group.as_ref().map_or_else(String::new, |group| format!("[{group}]"));
        format!("{metric}{group}_{label}")
    };
    let labels: Vec<&str> = part.agents.iter().map(|a| a.setting.label.as_str()).collect();
    let header = names.iter().flat_map(|name| labels.iter().map(move |label| column(name, label)));
    let header: Vec<String> = ["seed", "period"].map(str::to_string).into_iter().chain(header).collect();
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for &seed in &experiment.seeds {
        let of_agent = |n: usize| {
            let cell = compared.cells.iter().find(|c| (c.place.setting, c.place.seed) == (n, seed));
            cell.and_then(Cell::outcome).map(curves).unwrap_or_default()
        };
        let of_agents: Vec<Vec<Curve>> = (0..labels.len()).map(of_agent).collect();
        for period in 0..part.options.periods {
            let mut row = vec![seed.to_string(), period.to_string()];
            for (metric, group) in &names {
                row.extend(of_agents.iter().map(|curves| {
                    let curve = curves.iter().find(|c| (&c.metric, &c.group) == (metric, group));
                    let value = curve.and_then(|c| c.values.get(period).copied().flatten());
                    value.map_or_else(String::new, |value| value.to_string())
                }));
            }
            table.row(row.iter());
        }
    }
    Some(table.finish())
}

/// `curves.csv`: the band over seeds of every curve: mean, standard deviation, lowest and highest. Equal seeds give equal
/// bytes.
pub fn curves_csv(summary: &Summary) -> Option<Vec<u8>> {
    let part = summary.interactive.as_ref()?;
    let mut table =
        Table::new(&["experiment", "label", "metric", "group", "period", "mean", "sd", "low", "high", "seeds"]);
    for agent in &part.agents {
        for curve in &agent.curves {
            for (period, band) in curve.periods.iter().enumerate() {
                let Some(band) = band else { continue };
                let row = [
                    summary.experiment.clone(),
                    agent.label.clone(),
                    curve.metric.clone(),
                    curve.group.clone().unwrap_or_default(),
                    period.to_string(),
                    band.mean.to_string(),
                    band.sd.map_or_else(String::new, |sd| sd.to_string()),
                    band.low.to_string(),
                    band.high.to_string(),
                    band.seeds.to_string(),
                ];
                table.row(row.iter());
            }
        }
    }
    Some(table.finish())
}
