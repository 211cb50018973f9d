//! Matrix factorisation with each loss: gradients at the start and five steps of Adam, in both precisions.

use crate::golden::File;
use evenhand_core::{Error, FairnessData, FairnessLoss, Groups, Interactions, Rows, Run};
use evenhand_plugins::equal_experience::{EqualExperience, Variant};
use evenhand_plugins::mf::{Objective, descend, gradient};
use evenhand_plugins::precision::Precision;
use evenhand_plugins::squash::Squash;
use evenhand_plugins::{item_group::ItemGroup, user_group::UserGroup, value::Value};
use nalgebra::DMatrix;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    name: String,
    rating: String,
    tau: f64,
    h: f64,
    delta: f64,
    lam: f64,
    lr: f64,
    l2: f64,
    steps: usize,
    train: Vec<Vec<f32>>,
    user_groups: BTreeMap<String, Vec<u32>>,
    item_groups: BTreeMap<String, Vec<u32>>,
    #[serde(rename = "W0")]
    users: Vec<Vec<f64>>,
    #[serde(rename = "V0")]
    items: Vec<Vec<f64>>,
    runs: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    loss_per_step: Vec<f64>,
    #[serde(rename = "grad_W_step0")]
    users_gradient: Vec<Vec<f64>>,
    #[serde(rename = "grad_V_step0")]
    items_gradient: Vec<Vec<f64>>,
    #[serde(rename = "W_final")]
    users: Vec<Vec<f64>>,
    #[serde(rename = "V_final")]
    items: Vec<Vec<f64>>,
    pred_final: Vec<Vec<f64>>,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let cases = file.cases::<Case>()?;
    for case in &cases {
        for (run, expected) in &case.runs {
            for precision in [Precision::F64, Precision::F32] {
                case.check(run, expected, precision)
                    .map_err(|e| format!("{}: {run}: {precision:?}: {e}", case.name))?;
            }
        }
    }
    Ok(cases.len())
}

impl Case {
    fn check(&self, run: &str, expected: &Expected, precision: Precision) -> Result<(), String> {
        let &Self { tau, h: bandwidth, delta, lam, .. } = self;
        let (threshold, variant) = (Some(tau), Variant::Seed);
        let loss: Option<Box<dyn FairnessLoss>> = match run {
            "unfair" => None,
            "EqualExp" => Some(Box::new(EqualExperience { variant, bandwidth, delta, threshold })),
            "UGF" => Some(Box::new(UserGroup { variant, bandwidth, delta, threshold })),
            "CVS" => Some(Box::new(ItemGroup { variant, bandwidth, delta, threshold })),
            "VAL" => Some(Box::new(Value { rated_items: false })),
            other => return Err(format!("no loss for {other}")),
        };
        let squash = match &self.rating[..] {
            "five-stars" => Squash::Clamp { low: 0.0, high: 5.0, scale: 1.0, shift: 0.0 },
            "binary" => Squash::Tanh,
            other => return Err(format!("no squash for {other}")),
        };
        let train = self.train()?;
        let groups = |entities, lists: &BTreeMap<String, Vec<u32>>| {
            Groups::new("golden", entities, lists.clone().into_iter().collect()).map_err(said)
        };
        let (users, items) = (groups(train.users(), &self.user_groups)?, groups(train.items(), &self.item_groups)?);
        let data = FairnessData {
            train: &train,
            user_groups: Some(&users),
            item_groups: Some(&items),
            like_above: self.tau as f32,
        };
        let objective = Objective {
            train: &train,
            squash,
            l2: self.l2,
            // The code behind the figures scales accuracy without a fairness loss too.
            accuracy: 1.0 - lam,
            biases: false,
            fairness: loss.as_deref().map(|loss| (loss, data, lam)),
        };
        // Users are columns there, items rows.
        let start = || [matrix(&self.users), matrix(&self.items).transpose()];
        let tolerance = if precision == Precision::F64 { 1e-10 } else { 1e-4 };
        let run = Run::new(0);
        let (_, [of_users, of_items]) = gradient(objective, start(), precision, &run).map_err(said)?;
        near("gradient of the users", &of_users, &matrix(&expected.users_gradient), tolerance)?;
        near("gradient of the items", &of_items, &matrix(&expected.items_gradient).transpose(), tolerance)?;
        let after = |steps| descend(objective, start(), self.lr, steps, precision, &run).map_err(said);
        let (terms, [users, items]) = after(self.steps)?;
        near("users", &users, &matrix(&expected.users), tolerance)?;
        near("items", &items, &matrix(&expected.items).transpose(), tolerance)?;
        let predicted = (items.tr_mul(&users)).map(|z| squash.value(z));
        near("predictions", &predicted, &matrix(&expected.pred_final).transpose(), tolerance)?;
        for (step, &expected) in expected.loss_per_step.iter().enumerate() {
            // The figures hold a carrier of the gradient where the loss has a value of another meaning.
            let carrier = match &loss {
                Some(loss) => {
                    let (_, [users, items]) = after(step)?;
                    let predicted = items.tr_mul(&users).map(|z| squash.value(z));
                    let mut gradient = DMatrix::zeros(0, 0);
                    let value = loss.evaluate(&predicted, &data, &mut gradient, &run).map_err(said)?;
                    if loss.surrogate() { gradient.dot(&predicted) } else { value }
                }
                None => 0.0,
            };
            let got = terms[step].total + lam * (carrier - terms[step].fairness);
            // Single precision: a sum of terms of either sign, near a threshold.
            let scale = if precision == Precision::F64 { expected.abs() } else { 10.0 * expected.abs() };
            if (got - expected).abs() > tolerance * scale {
                return Err(format!("loss at step {step}: {got}, expected {expected}"));
            }
        }
        Ok(())
    }

    /// 0 stands for a cell without a row.
    fn train(&self) -> Result<Interactions, String> {
        let mut rows = Rows::default();
        for (user, ratings) in (0..).zip(&self.train) {
            for (item, &rating) in (0..).zip(ratings).filter(|(_, rating)| **rating != 0.0) {
                rows.push(user, item, rating);
            }
        }
        Interactions::new(self.train.len(), self.train[0].len(), &rows).map_err(said)
    }
}

/// A matrix from its rows.
fn matrix(rows: &[Vec<f64>]) -> DMatrix<f64> {
    DMatrix::from_fn(rows.len(), rows[0].len(), |r, c| rows[r][c])
}

fn said(error: Error) -> String {
    error.to_string()
}

/// Compares entries by the largest one.
fn near(what: &str, got: &DMatrix<f64>, expected: &DMatrix<f64>, tolerance: f64) -> Result<(), String> {
    if got.shape() != expected.shape() {
        return Err(format!("{what}: {:?}, expected {:?}", got.shape(), expected.shape()));
    }
    let off = (got - expected).amax() / expected.amax();
    if off <= tolerance { Ok(()) } else { Err(format!("{what}: off by {off:e} of the largest entry")) }
}
