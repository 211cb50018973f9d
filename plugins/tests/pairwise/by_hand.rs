//! Steps of the recommenders that can be followed by hand: of one pair, or of biases alone.

use crate::world::{factors, fit, recommender, table};
use evenhand_core::{Factors, Output, Run, Training};
use nalgebra::DMatrix;
use serde_json::{Value as Json, json};

/// One user who likes the first of two items; the last factor is the items' bias.
fn pair(stretch: f32) -> Factors {
    Factors {
        users: DMatrix::from_row_slice(4, 1, &[0.5, -0.25 * stretch, 1.0, 1.0]),
        items: DMatrix::from_row_slice(4, 2, &[0.5, -0.5, 1.0, 0.25, 0.0, 0.75, 0.125, -0.5]),
        latent: 3,
        output: Output::Order,
    }
}

fn refitted(from: &Factors, params: &Json) -> Factors {
    let likes = table(1, 2, |_, item| (item == 0).then_some(1.0));
    let model = recommender("bpr", params).refit(&Training::new(&likes), from, &Run::new(1)).unwrap();
    factors(model.as_ref())
}

/// Compares with one step along the gradient of the pair, at a margin whose loss has that slope.
fn one_step(from: &Factors, params: &Json, slope: f32) {
    let got = refitted(from, params);
    let (rate, l2) = (0.5, 0.125);
    let shrink = |x: f32| x * (1.0 - rate * l2);
    for f in 0..4 {
        let (p, i, j) = (from.users[(f, 0)], from.items[(f, 0)], from.items[(f, 1)]);
        // The last one is 1 for every user, and stays so.
        let user = if f < 3 { shrink(p) - rate * slope * (i - j) } else { 1.0 };
        let items = [shrink(i) - rate * slope * p, shrink(j) + rate * slope * p];
        for (got, expected) in
            [got.users[(f, 0)], got.items[(f, 0)], got.items[(f, 1)]].into_iter().zip([user, items[0], items[1]])
        {
            assert!(
                (got - expected).abs() <= 1e-6 * expected.abs(),
                "{params}, factor {f}: {got}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_step_of_gradient_descent() {
    let params = json!({ "factors": 3, "epochs": 1, "learning_rate": 0.5, "l2": 0.125 });
    for precision in ["f32", "f64"] {
        for candidates in [1, 3] {
            let mut params = params.clone();
            (params["precision"], params["candidates"]) = (json!(precision), json!(candidates));
            // 0.5 1 - 0.25 0.75 - 0.75 + 0.625
            one_step(&pair(1.0), &params, -1.0 / (1.0 + 0.1875f32.exp()));
            // A margin of -149.8: without a gradient only the squares are left.
            one_step(&pair(800.0), &params, 0.0);
            params["cut"] = json!(false);
            one_step(&pair(800.0), &params, -1.0);
        }
    }
}

/// Factors of 0 have no gradient, so that biases learn alone. Three users like the first item, one the second.
#[test]
fn two_steps_of_adagrad() {
    let train = table(4, 2, |user, item| (item == u32::from(user == 3)).then_some(1.0));
    let (rate, l2) = (0.05, 0.125);
    let mut expected: [f64; 2] = [0.0; 2];
    let mut sum = 0.1;
    for epochs in 1..3 {
        let slope = |margin: f64| -1.0 / (1.0 + margin.exp());
        let margin = expected[0] - expected[1];
        // Both items take part in every pair.
        let g = 3.0 * slope(margin) - slope(-margin) + l2 * 4.0 * expected[0];
        sum += g * g;
        let step = rate * g / (sum + 1e-7f64).sqrt();
        expected = [expected[0] - step, expected[1] + step];
        for (name, more) in [("bpr", json!({ "optimiser": "adagrad" })), ("apr", json!({ "adversarial_epochs": 0 }))] {
            let mut params = json!({ "factors": 2, "epochs": epochs, "start": 0.0, "l2": l2, "item_bias": true, "learning_rate": rate });
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let got = fit(name, &params, &train, &Run::new(1));
            assert!(got.items.rows(0, 2).iter().chain(got.users.rows(0, 2).iter()).all(|&x| x == 0.0));
            for (&got, expected) in got.items.row(2).iter().zip(expected) {
                assert!((f64::from(got) - expected).abs() < 1e-7, "{name}: {got}, expected {expected}");
            }
        }
    }
}
