//! Fits of each group, and how well each predicts every group.

use super::golden::{File, Tolerance};
use super::{near, regressor, table, text};
use evenhand_core::metrics::r2;
use evenhand_core::{GroupTable, Run};
use evenhand_plugins::least_squares::Hindsight;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Batch {
    tolerance: Bounds,
    case: Case,
}

#[derive(Deserialize)]
struct Bounds {
    coef_rel: f64,
    r2_abs: f64,
}

#[derive(Deserialize)]
struct Case {
    features: Vec<Vec<f64>>,
    labels: Vec<f64>,
    membership: Vec<Vec<u8>>,
    groups: Vec<String>,
    train_rows: Vec<usize>,
    test_rows: Vec<usize>,
    fits: BTreeMap<String, Fits>,
    hindsight_no_intercept_all_rows: Vec<Best>,
}

#[derive(Deserialize)]
struct Fits {
    intercept: Vec<f64>,
    coef: Vec<Vec<f64>>,
    train_size: Vec<usize>,
    test_size: Vec<usize>,
    train_r2: Vec<Option<Json>>,
    cross_test_r2: Vec<Vec<Option<Json>>>,
}

#[derive(Deserialize)]
struct Best {
    theta: Vec<f64>,
    sse: f64,
    rank: usize,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let Batch { tolerance, case } = serde_json::from_str(&file.text).map_err(text)?;
    let all = table(&case.features, &case.membership, &case.groups)?;
    let pick = |rows: &[usize]| (all.select(rows), rows.iter().map(|&row| case.labels[row]).collect::<Vec<_>>());
    let (train, test) = (pick(&case.train_rows), pick(&case.test_rows));
    for (name, fits) in &case.fits {
        fit(name, fits, (&train.0, &train.1), (&test.0, &test.1), &tolerance).map_err(|e| format!("{name}: {e}"))?;
    }
    for (group, best) in case.hindsight_no_intercept_all_rows.iter().enumerate() {
        let found = Hindsight::of(&all, &all.members(group), &case.labels);
        let near_enough = Tolerance::new(tolerance.coef_rel, 0.0);
        near(near_enough, &format!("hindsight of group {group}"), &found.weights, &best.theta)?;
        near_enough.near(format!("squared error in hindsight of group {group}"), found.loss, best.sse)?;
        if found.rank != best.rank {
            return Err(format!("rank of group {group}: {}, expected {}", found.rank, best.rank));
        }
    }
    Ok(case.fits.len() + case.hindsight_no_intercept_all_rows.len())
}

fn fit(
    name: &str,
    fits: &Fits,
    (train, train_labels): (&GroupTable, &[f64]),
    (test, test_labels): (&GroupTable, &[f64]),
    tolerance: &Bounds,
) -> Result<(), String> {
    let recipe = match name.strip_prefix("ridge_") {
        Some(alpha) => regressor("ridge", &json!({ "alpha": alpha.parse::<f64>().map_err(text)? }))?,
        None => regressor(name, &json!({}))?,
    };
    let fitted = recipe.fit(train, train_labels, &Run::new(0)).map_err(text)?;
    let (d, groups) = (train.features(), train.groups().len());
    for model in 0..groups {
        let sizes = (train.members(model).len(), test.members(model).len());
        if sizes != (fits.train_size[model], fits.test_size[model]) {
            return Err(format!("group {model} has {sizes:?} rows"));
        }
        let mut alone = vec![false; groups];
        alone[model] = true;
        let mut function = vec![0.0; d + 1];
        if !fitted.linear(&alone, &mut function).map_err(text)? {
            return Err(format!("no model of group {model}"));
        }
        let expected = [fits.coef[model].as_slice(), &[fits.intercept[model]]].concat();
        near(Tolerance::new(tolerance.coef_rel, 0.0), &format!("model of group {model}"), &function, &expected)?;
        let score = |table: &GroupTable, labels: &[f64], group: usize| -> Result<Option<f64>, String> {
            let mut said = vec![0.0; table.rows()];
            fitted.predict_by(model, table, &mut said).map_err(text)?;
            let members = table.members(group);
            let pick = |all: &[f64]| members.iter().map(|&row| all[row]).collect::<Vec<_>>();
            Ok(r2(&pick(&said), &pick(labels)))
        };
        same(tolerance.r2_abs, score(train, train_labels, model)?, &fits.train_r2[model])?;
        for group in 0..groups {
            same(tolerance.r2_abs, score(test, test_labels, group)?, &fits.cross_test_r2[model][group])?;
        }
    }
    Ok(())
}

/// What is absent or "NaN" there is undefined here.
fn same(tolerance: f64, got: Option<f64>, expected: &Option<Json>) -> Result<(), String> {
    match (got, expected.as_ref().and_then(Json::as_f64)) {
        (Some(got), Some(expected)) => Tolerance::new(0.0, tolerance).near("R2", got, expected),
        (None, None) => Ok(()),
        (got, expected) => Err(format!("R2: {got:?}, expected {expected:?}")),
    }
}
