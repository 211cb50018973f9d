//! The four fairness losses on given predictions: rates, value and gradient.

use crate::golden::File;
use evenhand_core::fairness::{CellSums, Streamed};
use evenhand_core::{FairnessData, FairnessLoss, Groups, Interactions, Rows, Run};
use evenhand_plugins::equal_experience::{EqualExperience, Variant};
use evenhand_plugins::{item_group::ItemGroup, user_group::UserGroup, value::Value};
use nalgebra::DMatrix;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    name: String,
    n_users: usize,
    n_items: usize,
    tau: f64,
    h: f64,
    delta: f64,
    pred: Vec<Vec<f64>>,
    train: Vec<Vec<f32>>,
    user_groups: BTreeMap<String, Vec<u32>>,
    item_groups: BTreeMap<String, Vec<u32>>,
    losses: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    value: f64,
    grad: Vec<Vec<f64>>,
    #[serde(flatten)]
    smoothed: Option<Smoothed>,
}

/// What a loss of rates has in addition. Of VAL, `value` is the value; of these a carrier of the gradient.
#[derive(Deserialize)]
struct Smoothed {
    #[serde(rename = "P_all")]
    overall: f64,
    #[serde(rename = "P_group")]
    rates: BTreeMap<String, f64>,
    true_huber_sum: f64,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let cases = file.cases::<Case>()?;
    for case in &cases {
        case.check().map_err(|e| format!("{}: {e}", case.name))?;
    }
    Ok(cases.len())
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let (tau, bandwidth, delta) = (self.tau, self.h, self.delta);
        let (threshold, variant) = (Some(tau), Variant::Seed);
        let expected = |name: &str| self.losses.get(name).ok_or(format!("without {name}"));
        if self.losses.len() != 4 {
            return Err(format!("{} losses, expected 4", self.losses.len()));
        }
        self.compare(&EqualExperience { variant, bandwidth, delta, threshold }, expected("EqualExp")?)?;
        self.compare(&UserGroup { variant, bandwidth, delta, threshold }, expected("UGF")?)?;
        self.compare(&ItemGroup { variant, bandwidth, delta, threshold }, expected("CVS")?)?;
        self.compare(&Value { rated_items: false }, expected("VAL")?)
    }

    fn compare(&self, loss: &dyn FairnessLoss, expected: &Expected) -> Result<(), String> {
        self.compare_named(loss, expected).map_err(|e| format!("{}: {e}", loss.name()))
    }

    fn compare_named(&self, loss: &dyn FairnessLoss, expected: &Expected) -> Result<(), String> {
        let said = |e: evenhand_core::Error| e.to_string();
        let (predicted, wanted) = (self.matrix(&self.pred)?, self.matrix(&expected.grad)?);
        let train = self.train()?;
        let groups = |name, entities, lists: &BTreeMap<String, Vec<u32>>| {
            Groups::new(name, entities, lists.clone().into_iter().collect()).map_err(said)
        };
        let users = groups("users", self.n_users, &self.user_groups)?;
        let items = groups("items", self.n_items, &self.item_groups)?;
        // A threshold that would show: the parameter goes first.
        let data = FairnessData {
            train: &train,
            user_groups: Some(&users),
            item_groups: Some(&items),
            like_above: self.tau as f32 + 100.0,
        };
        let mut gradient = DMatrix::zeros(0, 0);
        let value = loss.evaluate(&predicted, &data, &mut gradient, &Run::new(0)).map_err(said)?;
        let error = (&gradient - &wanted).amax() / wanted.amax();
        if error.is_nan() || error > 1e-10 {
            return Err(format!("an entry of the gradient is off by {error:e} of the largest"));
        }
        let carrier = gradient.dot(&predicted);
        let Some(smoothed) = &expected.smoothed else {
            return near("value", value, expected.value);
        };
        near("gradient . predictions", carrier, expected.value)?;
        near("value", value, smoothed.true_huber_sum)?;
        let Some(Streamed::Cells(form)) = loss.streamed(&data).map_err(said)? else {
            return Err("not a loss of class sums".into());
        };
        near("P of all", self.rate(&form, &predicted, |_, _| true), smoothed.overall)?;
        for (set, &rate) in &smoothed.rates {
            // `M|F`: user group, item group; one letter: the one grouping that there is.
            let (of_users, of_items) = match set.split_once('|') {
                Some((u, i)) => (self.user_groups.get(u), self.item_groups.get(i)),
                None if form.users.len() > 1 => (self.user_groups.get(set), None),
                None => (None, self.item_groups.get(set)),
            };
            let inside = |group: Option<&Vec<u32>>, entity: usize| group.is_none_or(|g| g.contains(&(entity as u32)));
            let got = self.rate(&form, &predicted, |u, i| inside(of_users, u) && inside(of_items, i));
            near(&format!("P of {set}"), got, rate)?;
        }
        Ok(())
    }

    /// The mean of the summed function over some cells.
    fn rate(&self, form: &CellSums<'_>, predicted: &DMatrix<f64>, inside: impl Fn(usize, usize) -> bool) -> f64 {
        let cells = (0..self.n_users).flat_map(|u| (0..self.n_items).map(move |i| (u, i)));
        let values: Vec<f64> =
            cells.filter(|&(u, i)| inside(u, i)).map(|(u, i)| form.of.value(predicted[(i, u)])).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Items x users from lists by user.
    fn matrix(&self, rows: &[Vec<f64>]) -> Result<DMatrix<f64>, String> {
        let (users, items) = (self.n_users, self.n_items);
        if rows.len() != users || rows.iter().any(|row| row.len() != items) {
            return Err(format!("a matrix is not {users} x {items}"));
        }
        Ok(DMatrix::from_fn(items, users, |i, u| rows[u][i]))
    }

    /// 0 stands for a cell without a row.
    fn train(&self) -> Result<Interactions, String> {
        let mut rows = Rows::default();
        for (user, ratings) in (0..).zip(&self.train) {
            for (item, &rating) in (0..).zip(ratings).filter(|(_, rating)| **rating != 0.0) {
                rows.push(user, item, rating);
            }
        }
        Interactions::new(self.n_users, self.n_items, &rows).map_err(|e| e.to_string())
    }
}

fn near(what: &str, got: f64, expected: f64) -> Result<(), String> {
    if (got - expected).abs() <= 1e-10 * expected.abs() {
        return Ok(());
    }
    Err(format!("{what}: {got}, expected {expected}"))
}
