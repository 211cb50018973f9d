//! What the periods add up to.

use super::agent::Shown;
use crate::protocol::{Curve, Figure, Measured, Seconds, named_groups};
use evenhand_core::{Audit, Requests, Stage, metrics};

/// All that is known about a period once it is over.
pub(super) struct Period<'a> {
    pub(super) requests: &'a Requests,
    pub(super) shown: &'a Shown,
    pub(super) audit: &'a Audit,
    /// Squared error on the fixed random pairs.
    pub(super) pairs_mse: Option<f64>,
    /// Seconds of answering.
    pub(super) inference: f64,
    /// Seconds of learning.
    pub(super) training: f64,
}

/// The curves so far.
pub(super) struct Tally {
    curves: Vec<Curve>,
    times: [Curve; 2],
    /// The groups of the users: name and members.
    groups: Vec<(String, Vec<bool>)>,
    /// Which items were shown so far.
    reached: Vec<bool>,
    /// Sums of mean regrets: of all users, then of each group.
    cumulative: Vec<f64>,
    /// Requests of all users, then of each group.
    requests: Vec<u64>,
    /// How many there were of what the last period's numbers are over.
    last: Last,
}

/// Of the last period.
#[derive(Default)]
struct Last {
    /// Requests of all users, then of each group.
    requests: Vec<u64>,
    /// Items shown.
    shown: u64,
    /// Those of them with a prediction.
    predicted: u64,
    /// Items that are there.
    there: u64,
}

/// Mean regret in a period.
pub const REGRET: &str = "mean-regret";
/// The sum of mean regrets up to a period.
pub const CUMULATIVE: &str = "cumulative-regret";
/// Curves of all users beside those.
const OTHERS: [&str; 7] =
    ["mean-value", "ratings-mse", "pairs-mse", "distinct-items", "reached-items", "gini", "cold-users"];
/// Seconds of answering.
pub const INFERENCE: &str = "inference-seconds";
/// Seconds of learning.
pub const TRAINING: &str = "training-seconds";

impl Tally {
    pub(super) fn new(stage: &Stage) -> Self {
        let groups: Vec<_> = named_groups(&stage.user_groups)
            .map(|(name, members)| {
                let mut flags = vec![false; stage.users];
                members.iter().for_each(|&m| flags[m as usize] = true);
                (name, flags)
            })
            .collect();
        let curve = |metric: &str, group: Option<&str>| Curve {
            metric: metric.into(),
            group: group.map(str::to_string),
            values: Vec::new(),
        };
        let whom = || std::iter::once(None).chain(groups.iter().map(|(name, _)| Some(name.as_str())));
        let mut curves: Vec<Curve> = whom().map(|group| curve(REGRET, group)).collect();
        curves.extend(whom().map(|group| curve(CUMULATIVE, group)));
        curves.extend(OTHERS.map(|metric| curve(metric, None)));
        let count = groups.len() + 1;
        Self {
            curves,
            times: [INFERENCE, TRAINING].map(|metric| curve(metric, None)),
            groups,
            reached: vec![false; stage.items],
            cumulative: vec![0.0; count],
            requests: vec![0; count],
            last: Last::default(),
        }
    }

    /// Adds a period.
    pub(super) fn add(&mut self, period: &Period<'_>) {
        let Period { requests, shown, audit, .. } = period;
        let size = shown.slates.size;
        let regret: Vec<f64> = audit.regrets(size).collect();
        let values = audit.expected.chunks_exact(size).map(|slate| slate.iter().sum::<f64>());
        let mut row: Vec<Option<f64>> = vec![mean(regret.iter().copied())];
        let mut asked = vec![regret.len() as u64];
        for (_, members) in &self.groups {
            let of_group = || requests.users.iter().zip(&regret).filter(|(user, _)| members[**user as usize]);
            asked.push(of_group().count() as u64);
            row.push(mean(of_group().map(|(_, &regret)| regret)));
        }
        self.requests.iter_mut().zip(&asked).for_each(|(sum, count)| *sum += count);
        for (sum, mean) in self.cumulative.iter_mut().zip(row.clone()) {
            *sum += mean.unwrap_or(0.0);
            row.push(Some(*sum));
        }
        let mut counts = vec![0u64; requests.present_items];
        shown.slates.items.iter().for_each(|&item| {
            counts[item as usize] += 1;
            self.reached[item as usize] = true;
        });
        self.last = Last {
            requests: asked,
            shown: shown.slates.items.len() as u64,
            predicted: shown.predictions.iter().filter(|p| !p.is_nan()).count() as u64,
            there: requests.present_items as u64,
        };
        let count = |n: usize| Some(n as f64);
        row.extend([
            mean(values),
            audit.squared_error(&shown.predictions),
            period.pairs_mse,
            count(counts.iter().filter(|&&c| c > 0).count()),
            count(self.reached.iter().filter(|&&r| r).count()),
            metrics::gini(&counts),
            count(shown.cold.iter().filter(|&&cold| cold).count()),
        ]);
        self.curves.iter_mut().zip(row).for_each(|(curve, value)| curve.values.push(value));
        let times = [period.inference, period.training];
        self.times.iter_mut().zip(times).for_each(|(curve, seconds)| curve.values.push(Some(seconds)));
    }

    /// The curves, and the figures that stand for them.
    pub(super) fn finish(self, pairs: usize) -> Measured {
        let total = |curve: &Curve| curve.values.iter().flatten().sum::<f64>();
        let seconds = Seconds { evaluate: total(&self.times[0]), fit: total(&self.times[1]) };
        let mut figures = Vec::new();
        for (at, curve) in self.curves.iter().enumerate() {
            let mut figure = |metric: &str, value: Option<f64>, n: u64| {
                let (metric, group) = (metric.to_string(), curve.group.clone());
                figures.extend(value.map(|value| Figure { metric, k: None, group, value, n }));
            };
            let whose = at % self.requests.len();
            let (requests, asked) = (self.requests[whose], self.last.requests.get(whose).copied().unwrap_or(0));
            let last = curve.values.last().copied().flatten();
            match curve.metric.as_str() {
                REGRET => {
                    figure(REGRET, mean(curve.values.iter().copied().flatten()), requests);
                    figure("last-regret", last, asked);
                }
                CUMULATIVE => figure(CUMULATIVE, last, requests),
                "pairs-mse" => figure("pairs-mse", last, pairs as u64),
                "cold-users" => figure("cold-users", Some(total(curve)), self.requests[0]),
                "mean-value" => figure("mean-value", last, self.last.requests.first().copied().unwrap_or(0)),
                "ratings-mse" => figure("ratings-mse", last, self.last.predicted),
                "gini" => figure("gini", last, self.last.there),
                other => figure(other, last, self.last.shown),
            }
        }
        Measured { figures, curves: self.curves, times: self.times.into(), seconds, ..Measured::default() }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
