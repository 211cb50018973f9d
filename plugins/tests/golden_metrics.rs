//! The fairness metrics of the equal-experience golden cases: each states them for a matrix of predictions.

mod golden;

use evenhand_core::metrics::{Experience, GroupMeans, rmse};
use evenhand_core::{Groups, Interactions, Protected, Rows};
use golden::{File, System};
use serde::Deserialize;
use std::collections::BTreeMap;

const METRICS: System = System {
    folder: "equal-experience",
    kinds: &[("fairness-losses", cases), ("edge-cases", cases), ("mf-adam", runs), ("ae-step", cases)],
    elsewhere: &["synthetic", "synthetic-letters"],
    with_data: &[],
};

#[test]
fn every_file_agrees() {
    let checked = golden::check(&METRICS, &golden::folder(&METRICS)).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(checked >= METRICS.kinds.len(), "{checked} files");
}

/// What the kinds have in common. Matrices are lists of users; 0 is no rating.
#[derive(Deserialize)]
struct World {
    tau: f64,
    train: Vec<Vec<f64>>,
    test: Vec<Vec<f64>>,
    user_groups: BTreeMap<String, Vec<u32>>,
    item_groups: BTreeMap<String, Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Metrics {
    rmse: f64,
    dee: f64,
    val: f64,
    ugf: f64,
    cvs: f64,
}

fn cases(file: &File) -> Result<usize, String> {
    #[derive(Deserialize)]
    struct Case {
        #[serde(flatten)]
        world: World,
        pred: Vec<Vec<f64>>,
        metrics: Metrics,
    }
    let cases = file.cases::<Case>()?;
    for (at, case) in cases.iter().enumerate() {
        agree(&case.world, &case.pred, &case.metrics).map_err(|e| format!("case {at}: {e}"))?;
    }
    Ok(cases.len())
}

/// Trajectories of several algorithms in one world.
fn runs(file: &File) -> Result<usize, String> {
    #[derive(Deserialize)]
    struct Case {
        #[serde(flatten)]
        world: World,
        runs: BTreeMap<String, Trajectory>,
    }
    #[derive(Deserialize)]
    struct Trajectory {
        pred_final: Vec<Vec<f64>>,
        metrics: Metrics,
    }
    let cases = file.cases::<Case>()?;
    for (at, case) in cases.iter().enumerate() {
        for (name, run) in &case.runs {
            agree(&case.world, &run.pred_final, &run.metrics).map_err(|e| format!("case {at}, {name}: {e}"))?;
        }
    }
    Ok(cases.iter().map(|c| c.runs.len()).sum())
}

/// Whether the metrics of `predictions` are the expected ones.
fn agree(world: &World, predictions: &[Vec<f64>], expected: &Metrics) -> Result<(), String> {
    let (users, items) = (world.train.len(), world.train[0].len());
    let grouping = |name, entities, lists: &BTreeMap<String, Vec<u32>>| {
        Groups::new(name, entities, lists.clone().into_iter().collect()).map_err(|e| e.to_string())
    };
    let user_groups = grouping("users", users, &world.user_groups)?;
    let item_groups = grouping("items", items, &world.item_groups)?;
    let protected = Protected { users: Some(&user_groups), items: Some(&item_groups) };
    let (mut counts, mut means) = (Experience::new(protected, items), GroupMeans::new(&user_groups, items));
    for (user, row) in (0..).zip(predictions) {
        counts.add_predictions(user, row, world.tau);
        means.add(user, row);
    }
    let mut rows = Rows::default();
    let rated = |matrix: &[Vec<f64>]| -> Vec<(u32, u32, f64)> {
        let cells = matrix.iter().zip(0..).flat_map(|(row, user)| row.iter().zip(0..).map(move |(r, i)| (user, i, *r)));
        cells.filter(|cell| cell.2 != 0.0).collect()
    };
    rated(&world.train).into_iter().for_each(|(user, item, rating)| rows.push(user, item, rating as f32));
    let train = Interactions::new(users, items, &rows).map_err(|e| e.to_string())?;
    let test = rated(&world.test);
    let predicted: Vec<f32> = test.iter().map(|&(u, i, _)| predictions[u as usize][i as usize] as f32).collect();
    let actual: Vec<f32> = test.iter().map(|&(.., rating)| rating as f32).collect();
    for (what, got, expected, bound) in [
        ("DEE", counts.dee().map(|d| d.sum), expected.dee, 1e-12),
        ("UGF", counts.ugf().map(|d| d.sum), expected.ugf, 1e-12),
        ("CVS", counts.cvs().map(|d| d.sum), expected.cvs, 1e-12),
        ("VAL", means.val(&train), expected.val, 1e-12),
        // Of predictions in single precision.
        ("RMSE", rmse(&predicted, &actual), expected.rmse, 1e-6),
    ] {
        let got = got.ok_or_else(|| format!("no {what}"))?;
        if (got - expected).abs() > bound {
            return Err(format!("{what} {got}, expected {expected} within {bound}"));
        }
    }
    Ok(())
}
