//! Every fairness loss beside the loss of pairs.

use crate::world::{bits, factors, fits, recommender, rng};
use evenhand_core::{Dataset, FairnessLoss, Groups, Registry, Run, Scale, Training};
use nalgebra::DMatrix;
use rand::RngExt;
use serde_json::json;

/// Losses of the shares of items that are recommended.
const RATES: [&str; 3] = ["equal-experience", "item-group", "user-group"];

/// Ratings of two groups of users, of whom the second likes less.
fn data() -> Dataset {
    let mut rng = rng(9);
    let train = crate::world::table(24, 16, |user, item| {
        // Of its own kind the second group likes only the first items.
        let likes = fits(user, item) && (user < 12 || item < 6);
        rng.random_bool(0.7).then_some(if likes { 5.0 } else { 2.0 })
    });
    let mut data = Dataset::new("two groups", train, Scale::FIVE_STARS);
    let halves = |name, entities: u32| {
        let groups =
            vec![("first".into(), (0..entities / 2).collect()), ("second".into(), (entities / 2..entities).collect())];
        vec![Groups::new(name, entities as usize, groups).unwrap()]
    };
    (data.user_groups, data.item_groups) = (halves("users", 24), halves("items", 16));
    data
}

#[test]
fn every_loss_is_lowered() {
    let (data, losses, run) = (data(), Registry::<dyn FairnessLoss>::linked().unwrap(), Run::new(3));
    let train = Training::of(&data, &data.ratings);
    assert!(losses.iter().len() >= 9);
    for (name, mut params) in [
        ("bpr", json!({ "optimiser": "sgd", "epochs": 30 })),
        ("bpr", json!({ "optimiser": "adagrad", "epochs": 20, "batch": 32, "item_bias": false })),
        ("apr", json!({ "epochs": 5, "adversarial_epochs": 15, "batch": 32, "eps": 0.1, "item_bias": true })),
    ] {
        (params["factors"], params["learning_rate"]) = (json!(4), json!(0.05));
        (params["start"], params["fairness_steps"]) = (json!(0.01), json!(4));
        params["likes"] = json!("liked");
        let plain = factors(recommender(name, &params).fit(&train, &run).unwrap().as_ref());
        for loss in losses.iter() {
            params["fairness"] = json!({ "plugin": loss.name });
            params["lambda"] = json!(0.8);
            let fair = factors(recommender(name, &params).fit(&train, &run).unwrap().as_ref());
            let built = losses.build(loss.name, &json!({})).unwrap();
            let value = |at: &evenhand_core::Factors| {
                let tau = data.scale.like_above;
                let predicted = at.items.tr_mul(&at.users).map(|score| f64::from(tau + score));
                let mut gradient = DMatrix::zeros(0, 0);
                built.evaluate(&predicted, &train.fairness(), &mut gradient, &run).unwrap()
            };
            let (before, after) = (value(&plain), value(&fair));
            // Distances grow with the scores of pairs; differences of rates are small as soon as most scores are far from 0.
            let bound = if RATES.contains(&loss.name) { before.max(1e-4) } else { 0.8 * before };
            assert!(after < bound, "{name}, {params}: {before} became {after}");
            assert_ne!(bits(&plain), bits(&fair), "{name}, {params}");
        }
    }
}

/// Without a weight a loss changes nothing, however often it is looked at.
#[test]
fn a_loss_without_weight() {
    let (data, run) = (data(), Run::new(3));
    let train = Training::of(&data, &data.ratings);
    for optimiser in ["sgd", "adagrad"] {
        let mut params = json!({ "factors": 4, "epochs": 3, "batch": 32, "optimiser": optimiser });
        let plain = factors(recommender("bpr", &params).fit(&train, &run).unwrap().as_ref());
        params["fairness"] = json!({ "plugin": "value-unfairness" });
        for (lambda, same) in [(0.0, true), (1e-3, false)] {
            params["lambda"] = json!(lambda);
            let fair = factors(recommender("bpr", &params).fit(&train, &run).unwrap().as_ref());
            assert_eq!(bits(&fair) == bits(&plain), same, "{params}");
        }
    }
}
