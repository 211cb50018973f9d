//! The online algorithm round by round.

use super::golden::{File, Tolerance};
use super::{near, regressor, table, text};
use evenhand_core::{GroupTable, OnlineRegressor, Run};
use evenhand_plugins::least_squares::Hindsight;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Online {
    tolerance: Bounds,
    case: Case,
}

#[derive(Deserialize)]
struct Bounds {
    abs: f64,
    #[serde(default)]
    rel: f64,
}

#[derive(Deserialize)]
struct Case {
    features: Vec<Vec<f64>>,
    labels: Vec<f64>,
    membership: Vec<Vec<u8>>,
    groups: Vec<String>,
    lambda: f64,
    clip_predictions_to_0_1: bool,
    forecaster: String,
    steps: Vec<Step>,
    #[serde(rename = "final")]
    sums: Vec<Sums>,
    single_ridge_losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Step {
    weights: Vec<f64>,
    expert_prediction: Vec<Option<f64>>,
    mixture_prediction: Option<f64>,
    expected_loss: f64,
    #[serde(rename = "R_after")]
    regrets: Vec<f64>,
    #[serde(default)]
    theta_after: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Sums {
    size: usize,
    expected_loss_sum: f64,
    mixture_loss_sum: f64,
    own_expert_loss_sum: f64,
    single_ridge_loss_sum: f64,
    hindsight_sse_all: f64,
    #[serde(rename = "hindsight_sse_first_Tg_minus_1")]
    hindsight_sse_but_last: f64,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let Online { tolerance, case } = serde_json::from_str(&file.text).map_err(text)?;
    let tolerance = Tolerance::new(tolerance.rel, tolerance.abs);
    let (lambda, clip) = (case.lambda, case.clip_predictions_to_0_1);
    let plugin = if case.forecaster.starts_with("vaw") { "vaw" } else { "online-ridge" };
    let base = json!({ "plugin": plugin, "lambda": lambda, "clip": clip });
    let all = table(&case.features, &case.membership, &case.groups)?;
    let groupwise = |always_on: bool| regressor("groupwise", &json!({ "base": base, "always_on": always_on }));
    rounds(&case, &all, groupwise(false)?.begin(all.features(), case.groups.len(), &Run::new(0)), tolerance)?;
    // The same where the last group is that of all rows: an expert of its own, without the group.
    if case.groups.last().is_some_and(|name| name == "always_on") {
        let fewer = case.groups.len() - 1;
        let membership: Vec<Vec<u8>> = case.membership.iter().map(|row| row[..fewer].to_vec()).collect();
        let some = table(&case.features, &membership, &case.groups[..fewer])?;
        rounds(&case, &some, groupwise(true)?.begin(some.features(), fewer, &Run::new(0)), tolerance)?;
    }
    let pooled = regressor(plugin, &json!({ "lambda": lambda, "clip": clip, "scope": "pooled" }))?;
    let mut single = pooled.begin(all.features(), case.groups.len(), &Run::new(0)).map_err(text)?;
    let mut losses = Vec::new();
    for (t, &label) in case.labels.iter().enumerate() {
        let (x, active) = all.row(t);
        let said = single.predict(x, active).map_err(text)?.ok_or("no prediction")?;
        losses.push((said - label).powi(2));
        single.observe(x, active, label).map_err(text)?;
    }
    near(tolerance, "losses of the single model", &losses, &case.single_ridge_losses)?;
    for (group, sums) in case.sums.iter().enumerate() {
        let members = all.members(group);
        let found = Hindsight::of(&all, &members, &case.labels);
        let loss: f64 = members.iter().map(|&t| losses[t]).sum();
        let last = *members.last().ok_or("a group without members")?;
        let but_last = found.without(&all, &members, &case.labels, last);
        let got = [members.len() as f64, loss, found.loss, but_last];
        let expected =
            [sums.size as f64, sums.single_ridge_loss_sum, sums.hindsight_sse_all, sums.hindsight_sse_but_last];
        near(tolerance, &format!("size, single loss and hindsight of group {group}"), &got, &expected)?;
    }
    Ok(case.steps.len())
}

/// Goes through all rounds. What is said of groups concerns the columns of the file, the last of which may stand for the
/// expert of all rows.
fn rounds(
    case: &Case,
    table: &GroupTable,
    learner: evenhand_core::Result<Box<dyn OnlineRegressor>>,
    tolerance: Tolerance,
) -> Result<(), String> {
    let mut learner = learner.map_err(text)?;
    let experts = case.groups.len();
    let mut sums = vec![[0.0; 3]; experts];
    for (t, (step, &label)) in case.steps.iter().zip(&case.labels).enumerate() {
        let what = |of: &str| format!("round {t}, {of}");
        let (x, active) = table.row(t);
        let said = learner.predict(x, active).map_err(text)?;
        let mut shares = vec![0.0; experts];
        let mut predictions = vec![None; experts];
        let mut expected_loss = 0.0;
        for expert in learner.experts() {
            let at = expert.group.unwrap_or(experts - 1);
            (shares[at], predictions[at]) = (expert.weight, Some(expert.prediction));
            expected_loss += expert.weight * (expert.prediction - label).powi(2);
        }
        tolerance.near(what("expected loss"), expected_loss, step.expected_loss)?;
        match (said, step.mixture_prediction) {
            (Some(said), Some(expected)) => {
                tolerance.near(what("prediction"), said, expected)?;
                near(tolerance, &what("shares"), &shares, &step.weights)?;
            }
            (None, None) => {}
            (said, expected) => return Err(what(&format!("prediction: {said:?}, expected {expected:?}"))),
        }
        for i in 0..experts {
            match (predictions[i], step.expert_prediction[i]) {
                (Some(said), Some(expected)) => tolerance.near(what("an expert"), said, expected)?,
                (None, None) => {}
                (said, expected) => return Err(what(&format!("expert {i}: {said:?}, expected {expected:?}"))),
            }
            if let Some(own) = predictions[i] {
                let losses = [expected_loss, (said.ok_or("no prediction")? - label).powi(2), (own - label).powi(2)];
                sums[i].iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
            }
            tolerance.near(what("regret of an expert"), sums[i][0] - sums[i][2], step.regrets[i])?;
        }
        learner.observe(x, active, label).map_err(text)?;
        let frozen = learner.freeze();
        for (group, theta) in step.theta_after.iter().enumerate().take(table.groups().len()) {
            let mut unit = vec![vec![0.0; table.features()]; table.features()];
            (0..table.features()).for_each(|j| unit[j][j] = 1.0);
            let units = super::table(&unit, &vec![vec![0; table.groups().len()]; unit.len()], table.groups())?;
            let mut got = vec![0.0; unit.len()];
            frozen.predict_by(group, &units, &mut got).map_err(text)?;
            near(tolerance, &what("coefficients"), &got, theta)?;
        }
    }
    for (group, (got, sums)) in sums.iter().zip(&case.sums).enumerate() {
        let expected = [sums.expected_loss_sum, sums.mixture_loss_sum, sums.own_expert_loss_sum];
        near(tolerance, &format!("sums of group {group}"), got, &expected)?;
    }
    Ok(())
}
