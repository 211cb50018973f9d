//! Weights of AdaNormalHedge; the inverse that online ridge keeps.

use super::golden::{File, Tolerance};
use super::{near, regressor, table, text};
use evenhand_core::Run;
use evenhand_plugins::ada_normal_hedge::{log_weight, shares};
use serde::Deserialize;
use serde_json::{Value as Json, json};

#[derive(Deserialize)]
struct Weights {
    tolerance: Bounds,
    points: Vec<Point>,
    distributions: Vec<Distribution>,
}

#[derive(Deserialize)]
struct Bounds {
    rel: f64,
    abs: f64,
    log_abs: f64,
}

#[derive(Deserialize)]
struct Point {
    #[serde(rename = "R")]
    regret: f64,
    #[serde(rename = "C")]
    magnitude: f64,
    w_naive: Json,
    log_w: Json,
}

#[derive(Deserialize)]
struct Distribution {
    #[serde(rename = "R")]
    regret: Vec<f64>,
    #[serde(rename = "C")]
    magnitude: Vec<f64>,
    active: Vec<u8>,
    weights: Vec<f64>,
}

/// A number, or the name of one that JSON has no word for.
fn number(json: &Json) -> Result<f64, String> {
    match json.as_str() {
        Some("overflow") => Ok(f64::INFINITY),
        Some(name) => name.parse().map_err(text),
        None => json.as_f64().ok_or_else(|| format!("{json} is no number")),
    }
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let Weights { tolerance: Bounds { rel, abs, log_abs }, points, distributions } =
        serde_json::from_str(&file.text).map_err(text)?;
    for Point { regret, magnitude, w_naive, log_w } in &points {
        let what = format!("weight of R = {regret}, C = {magnitude}");
        let (naive, expected, got) = (number(w_naive)?, number(log_w)?, log_weight(*regret, *magnitude));
        if expected.is_finite() {
            Tolerance::new(0.0, log_abs).near(format!("logarithm of the {what}"), got, expected)?;
        } else if got != expected {
            return Err(format!("logarithm of the {what}: {got}, expected {expected}"));
        }
        if naive == f64::INFINITY {
            if got.exp().is_finite() {
                return Err(format!("{what}: {}, expected an overflow", got.exp()));
            }
        } else {
            Tolerance::new(rel, abs).near(what, got.exp(), naive)?;
        }
    }
    for case in &distributions {
        let awake: Vec<usize> = (0..case.active.len()).filter(|&i| case.active[i] == 1).collect();
        let mut some = vec![0.0; awake.len()];
        shares(awake.iter().map(|&i| (case.regret[i], case.magnitude[i])), &mut some);
        let mut all = vec![0.0; case.active.len()];
        awake.iter().zip(&some).for_each(|(&i, share)| all[i] = *share);
        near(Tolerance::new(rel, abs), "shares", &all, &case.weights)?;
    }
    Ok(points.len() + distributions.len())
}

#[derive(Deserialize)]
struct Inverses {
    tolerance: Absolute,
    lambda: f64,
    vectors: Vec<Vec<f64>>,
    inverses: Vec<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Absolute {
    abs: f64,
}

/// The inverse is seen through coefficients: after the vectors, one more observation of a unit vector and a label leaves
/// `theta = P e_j y`, with P the inverse that holds the unit vector too, so that `P_old e_j = theta / (y - theta_j)`.
pub(crate) fn inverse(file: &File) -> Result<usize, String> {
    let Inverses { tolerance, lambda, vectors, inverses } = serde_json::from_str(&file.text).map_err(text)?;
    let recipe = regressor("online-ridge", &json!({ "lambda": lambda, "scope": "pooled" }))?;
    let d = vectors.first().map_or(0, Vec::len);
    for (count, expected) in (1..).zip(&inverses) {
        for j in 0..d {
            let mut rows = vectors[..count].to_vec();
            rows.push((0..d).map(|i| f64::from(u8::from(i == j))).collect());
            let mut labels = vec![0.0; count];
            labels.push(1.0);
            let table = table(&rows, &vec![vec![]; rows.len()], &[])?;
            let fitted = recipe.fit(&table, &labels, &Run::new(0)).map_err(text)?;
            let mut theta = vec![0.0; d + 1];
            fitted.linear(&[], &mut theta).map_err(text)?;
            let column: Vec<f64> = theta[..d].iter().map(|t| t / (1.0 - theta[j])).collect();
            near(Tolerance::new(0.0, tolerance.abs), &format!("column {j} of inverse {count}"), &column, &expected[j])?;
        }
    }
    Ok(inverses.len())
}
