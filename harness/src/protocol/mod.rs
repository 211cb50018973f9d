//! Protocols: ways of measuring a plugin. Each turns one fitted plugin into [`Figure`]s.
//!
//! | protocol | question |
//! | --- | --- |
//! | [`offline`] | how well are held-out rows predicted and ranked, for whom, and what gets shown |

mod fairness;
pub mod offline;
mod ranking;
mod rating;
mod scores;

use serde::{Deserialize, Serialize};

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured, e.g. `ndcg`.
    pub metric: String,
    /// Length of the list, for metrics of a list.
    pub k: Option<usize>,
    /// The users it was measured on, e.g. `gender=F`; `None` for all.
    pub group: Option<String>,
    /// The number; finite.
    pub value: f64,
    /// How many things it is a mean over: users for ranking and fairness metrics, rows for rating metrics, lists for
    /// exposure.
    pub n: u64,
}

impl Figure {
    /// The metric as tables name it: `ndcg@10`, `rmse`.
    pub fn name(&self) -> String {
        metric_name(&self.metric, self.k)
    }
}

/// The root mean squared error on validation rows.
pub const VALIDATION_RMSE: &str = "validation-rmse";

/// `ndcg@10`, or `rmse` where there is no list length.
pub fn metric_name(metric: &str, k: Option<usize>) -> String {
    k.map_or_else(|| metric.to_string(), |k| format!("{metric}@{k}"))
}

/// Groups of users as reports name them, with their members: `gender=F`.
fn user_groups(data: &evenhand_core::Dataset) -> impl Iterator<Item = (String, &[u32])> {
    data.user_groups.iter().flat_map(|groups| {
        groups.labels().iter().enumerate().map(|(g, label)| (format!("{}={label}", groups.name()), groups.members(g)))
    })
}
