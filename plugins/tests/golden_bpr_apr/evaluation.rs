//! Positions of held-out items, by the reference backend and by a model of factors, and the metrics that follow from them.

use crate::golden::File;
use crate::{TOLERANCE, columns, moved, sides};
use evenhand_core::dense::Reference;
use evenhand_core::metrics::Position;
use evenhand_core::{Dense, Factors, Interactions, Model, Output, Rows, Run};
use nalgebra::DMatrix;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is read and says nothing is named, so that what is not known is an error")]
struct Case {
    kind: String,
    name: String,
    note: String,
    #[serde(rename = "P")]
    users: crate::Rows,
    #[serde(rename = "Q")]
    items: crate::Rows,
    #[serde(rename = "delta_P")]
    user_delta: Option<crate::Rows>,
    #[serde(rename = "delta_Q")]
    item_delta: Option<crate::Rows>,
    train: Vec<Vec<u32>>,
    test: Vec<u32>,
    per_user: Vec<OfUser>,
    mean: Mean,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfUser {
    user: u32,
    candidates: u32,
    greater: u32,
    equal: u32,
    position: u32,
    auc: f64,
    auc_half_ties: f64,
    #[serde(rename = "HR")]
    hits: BTreeMap<usize, f64>,
    #[serde(rename = "nDCG")]
    ndcg: BTreeMap<usize, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    #[serde(rename = "AUC")]
    auc: f64,
    #[serde(rename = "AUC_half_ties")]
    auc_half_ties: f64,
    #[serde(rename = "HR")]
    hits: BTreeMap<usize, f64>,
    #[serde(rename = "nDCG")]
    ndcg: BTreeMap<usize, f64>,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let case: Case = serde_json::from_str(&file.text).map_err(|e| e.to_string())?;
    case.check().map_err(|e| format!("{}: {e}", case.name))?;
    Ok(case.test.len())
}

/// Ties are exact only where single precision holds every score.
fn narrow(side: &DMatrix<f64>) -> Result<DMatrix<f32>, String> {
    let exact = side.iter().all(|x| (2.0 * x).fract() == 0.0 && x.abs() < 100.0);
    if exact { Ok(side.map(|x| x as f32)) } else { Err("a factor that is not half an integer".into()) }
}

fn likes(items: usize, lists: impl ExactSizeIterator<Item = Vec<u32>>) -> Result<Interactions, String> {
    let (users, mut rows) = (lists.len(), Rows::default());
    (0..).zip(lists).for_each(|(user, list)| list.iter().for_each(|&item| rows.push(user, item, 1.0)));
    Interactions::new(users, items, &rows).map_err(|e| e.to_string())
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let [users, items] = match (&self.user_delta, &self.item_delta) {
            (None, None) => [columns(&self.users)?, columns(&self.items)?],
            (Some(user_delta), Some(item_delta)) => {
                moved(&sides(&self.users, &self.items)?, &sides(user_delta, item_delta)?)
            }
            _ => return Err("a delta of users or items alone".into()),
        };
        let n = users.ncols();
        if n == 0 || [self.train.len(), self.test.len(), self.per_user.len()] != [n; 3] {
            return Err(format!("expected lists of {n} users"));
        }
        let factors = Factors::new(narrow(&users)?, narrow(&items)?, Output::Order).map_err(|e| e.to_string())?;
        let seen = likes(items.ncols(), self.train.iter().cloned())?;
        let held_out = likes(items.ncols(), self.test.iter().map(|&item| vec![item]))?;
        let rows: Vec<u32> = self.per_user.iter().map(|expected| expected.user).collect();
        let by_user = (seen.by_user(), held_out.by_user());
        let by_backend = Reference.ranks(&factors.users, &rows, &factors.items, Some(by_user.0), by_user.1);
        let by_model = factors.ranks(&rows, Some(&seen), &held_out, &Run::new(0));
        for positions in [by_backend, by_model] {
            let positions = positions.map_err(|e| e.to_string())?;
            if positions.len() != n {
                return Err(format!("{} positions of {n} users", positions.len()));
            }
            for (expected, position) in self.per_user.iter().zip(&positions) {
                expected.check(position).map_err(|e| format!("user {}: {e}", expected.user))?;
            }
            self.mean.check(&positions).map_err(|e| format!("mean: {e}"))?;
        }
        Ok(())
    }
}

impl OfUser {
    fn check(&self, got: &Position) -> Result<(), String> {
        let expected = Position { greater: self.greater, equal: self.equal, candidates: self.candidates };
        if (got, got.rank()) != (&expected, self.position) {
            return Err(format!("{got:?}, expected {expected:?} and rank {}", self.position));
        }
        TOLERANCE.near("AUC", got.auc().ok_or("no candidate")?, self.auc)?;
        TOLERANCE.near("AUC, half ties", got.auc_half_ties().ok_or("no candidate")?, self.auc_half_ties)?;
        at_each("HR", &self.hits, |k| got.hit_at(k))?;
        at_each("nDCG", &self.ndcg, |k| got.ndcg_at(k))
    }
}

impl Mean {
    fn check(&self, got: &[Position]) -> Result<(), String> {
        let mean = |of: &dyn Fn(&Position) -> f64| got.iter().map(of).sum::<f64>() / got.len() as f64;
        TOLERANCE.near("AUC", mean(&|p| p.auc().unwrap_or(f64::NAN)), self.auc)?;
        TOLERANCE.near("AUC, half ties", mean(&|p| p.auc_half_ties().unwrap_or(f64::NAN)), self.auc_half_ties)?;
        at_each("HR", &self.hits, |k| mean(&|p| p.hit_at(k)))?;
        at_each("nDCG", &self.ndcg, |k| mean(&|p| p.ndcg_at(k)))
    }
}

fn at_each(what: &str, expected: &BTreeMap<usize, f64>, got: impl Fn(usize) -> f64) -> Result<(), String> {
    if expected.is_empty() {
        return Err(format!("{what} at no cut-off"));
    }
    expected.iter().try_for_each(|(&k, &e)| TOLERANCE.near(format_args!("{what}@{k}"), got(k), e))
}
