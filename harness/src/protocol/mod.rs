//! Protocols: ways of measuring a plugin. Each turns one fitted plugin into [`Figure`]s.
//!
//! | protocol | question |
//! | --- | --- |
//! | [`offline`] | how well are held-out rows predicted and ranked, for whom, and what gets shown |
//! | [`attack`] | what does a ranking lose when the factors behind it are perturbed |
//! | [`interactive`] | what does an agent lose while it learns from what its own choices return |
//! | [`harm`] | what do policies come to where users change with what they are shown |
//! | [`groupwise`] | how well are numbers predicted for groups that overlap, and at what regret row by row |

pub mod attack;
mod fairness;
pub mod groupwise;
pub mod harm;
pub mod interactive;
pub mod offline;
pub(crate) mod ranking;
mod rating;
mod scores;

use crate::off_policy::Action;
use crate::per_user::PerUser;
use evenhand_core::{Error, Groups, Interactions, Model};
use serde::{Deserialize, Serialize};

/// What one cell was measured to do, and how long that took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The numbers.
    pub figures: Vec<Figure>,
    /// The numbers of every period, of agents.
    pub curves: Vec<Curve>,
    /// Wall-clock times of every period in seconds, of agents; no part of the result.
    pub times: Vec<Curve>,
    /// Every action, of agents that were asked to log them.
    pub actions: Vec<Action>,
    /// What full rankings came to, clean and under every attack, of recommenders that were attacked.
    pub attacks: Vec<Attacked>,
    /// The numbers of every user, of cells that were asked to keep them.
    pub users: Option<Vec<PerUser>>,
    /// Wall-clock times; no part of the result.
    pub seconds: Seconds,
}

/// Wall-clock times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// Of fitting; of an agent, of learning in all periods.
    pub fit: f64,
    /// Of scoring and measuring; of an agent, of answering in all periods.
    pub evaluate: f64,
}

/// A number for every period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// What was measured, e.g. `mean-regret`.
    pub metric: String,
    /// The users it was measured on, e.g. `taste=minority`; `None` for all.
    pub group: Option<String>,
    /// The numbers by period; `None` where there is nothing to measure.
    pub values: Vec<Option<f64>>,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured, e.g. `ndcg`.
    pub metric: String,
    /// Length of the list, for metrics of a list.
    pub k: Option<usize>,
    /// The users it was measured on, e.g. `gender=F`, or the group of rows of a table; `None` for all.
    pub group: Option<String>,
    /// The number; finite.
    pub value: f64,
    /// How many things it is a mean over: users for ranking and fairness metrics, rows for rating metrics and those of group
    /// regressors, lists for exposure.
    pub n: u64,
}

impl Figure {
    /// The metric as tables name it: `ndcg@10`, `rmse`.
    pub fn name(&self) -> String {
        metric_name(&self.metric, self.k)
    }
}

/// What full rankings came to under one attack, or under none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attacked {
    /// Name of the attack, e.g. `gradient eps=0.5`, or [`attack::CLEAN`].
    pub attack: String,
    /// The numbers.
    pub figures: Vec<Figure>,
}

/// The root mean squared error on validation rows.
pub const VALIDATION_RMSE: &str = "validation-rmse";

/// The largest root mean squared error of a group of users.
pub const WORST_RMSE: &str = "worst-rmse";

/// `ndcg@10`, or `rmse` where there is no list length.
pub fn metric_name(metric: &str, k: Option<usize>) -> String {
    k.map_or_else(|| metric.to_string(), |k| format!("{metric}@{k}"))
}

/// Mean and sample standard deviation; the latter needs two values.
pub(crate) fn mean_and_sd(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

/// Whether a model is of the users and items that it was fitted to.
///
/// # Errors
/// [`Error::Shape`] where it is not.
pub(crate) fn check_fitted(model: &dyn Model, ratings: &Interactions) -> Result<(), Error> {
    let (expected, got) = ((ratings.users(), ratings.items()), (model.users(), model.items()));
    if expected == got {
        return Ok(());
    }
    let text = |(users, items): (usize, usize)| format!("{users} users and {items} items");
    Err(Error::shape("the fitted model", text(expected), text(got)))
}

/// Groups as reports name them, with their members: `gender=F`.
fn named_groups(groupings: &[Groups]) -> impl Iterator<Item = (String, &[u32])> {
    groupings.iter().flat_map(|groups| {
        groups.labels().iter().enumerate().map(|(g, label)| (format!("{}={label}", groups.name()), groups.members(g)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_by_hand() {
        assert_eq!(mean_and_sd(&[1.0, 2.0, 3.0]), (2.0, Some(1.0)));
        assert_eq!(mean_and_sd(&[5.0]), (5.0, None));
    }
}
