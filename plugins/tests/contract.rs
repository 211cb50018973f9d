//! Every plugin of this crate against the contract of its kind.

use evenhand_core::contract::{
    Outcome, assert_all, fairness_loss, fairness_loss_with, policy, policy_with, recipe, recommender, recommender_with,
    simulator,
};
use evenhand_core::params::Kind;
use evenhand_core::{Descriptor, FairnessLoss, GroupRegressor, Kinded, Policy, Recommender, Registry, Simulator};
use evenhand_plugins as _;
use serde_json::{Value as Json, json};

/// Checks all registered plugins of a kind. Those expected must be among them: a test target that does not link the
/// plugins sees an empty registry, and a loop over nothing passes.
fn all<T: Kinded + ?Sized>(expected: &[&str], check: fn(&Descriptor<T>) -> Vec<Outcome>) {
    let registry = Registry::<T>::linked().unwrap();
    let missing: Vec<_> = expected.iter().filter(|name| registry.get(name).is_err()).collect();
    assert!(missing.is_empty(), "{} plugins that are not registered: {missing:?}", T::KIND);
    let outcomes: Vec<_> = registry.iter().flat_map(check).collect();
    // Skipped checks are worth a look; `cargo test -- --nocapture` shows them.
    outcomes.iter().filter(|o| o.result.is_err()).for_each(|o| println!("{o}"));
    if registry.iter().len() > 0 {
        assert_all(outcomes);
    }
}

#[test]
fn recommenders() {
    // Built without optimisation, some defaults take minutes; `cargo test --release` checks them all.
    let check = |plugin: &Descriptor<dyn Recommender>| match cfg!(debug_assertions) {
        true => recommender_with(plugin, &small(plugin.name)),
        false => recommender(plugin),
    };
    let expected = ["als", "apr", "autoencoder", "bayesian-linear", "bpr", "mf", "popularity", "random"];
    all::<dyn Recommender>(&expected, check);
}

/// Parameters under which a plugin is checked where its defaults take too long.
fn small(plugin: &str) -> Json {
    match plugin {
        "apr" => json!({ "factors": 8, "epochs": 10, "adversarial_epochs": 5, "batch": 32 }),
        "autoencoder" => json!({ "hidden": [64], "epochs": 200, "learning_rate": 0.02, "dropout": 0.5 }),
        "bpr" => json!({ "factors": 8, "epochs": 30, "learning_rate": 0.05 }),
        "gradient" => json!({ "starts": 1, "pairs": 0, "steps": 20 }),
        "gradient-slsqp" => json!({ "starts": 0, "evaluations": 3 }),
        _ => json!({}),
    }
}

#[test]
fn simulators() {
    all::<dyn Simulator>(&["biased-ratings", "group-linear", "preference-dynamics", "user-item"], simulator);
}

#[test]
fn fairness_losses() {
    let expected = [
        "absolute-unfairness",
        "equal-experience",
        "item-group",
        "non-parity",
        "overestimation-unfairness",
        "underestimation-unfairness",
        "user-group",
        "value",
        "value-unfairness",
    ];
    all::<dyn FairnessLoss>(&expected, fairness_loss);
}

#[test]
fn policies() {
    let check = |plugin: &Descriptor<dyn Policy>| match cfg!(debug_assertions) {
        true => policy_with(plugin, &small(plugin.name)),
        false => policy(plugin),
    };
    let explore = ["epsilon-greedy", "greedy", "softmax", "thompson", "ucb"];
    let plan = ["alternating", "gradient", "gradient-slsqp", "top-k", "uniform"];
    all::<dyn Policy>(&[&explore[..], &plan].concat(), check);
}

#[test]
fn policies_at_the_ends_of_their_parameters() {
    let registry = Registry::<dyn Policy>::linked().unwrap();
    for (name, params) in [
        ("epsilon-greedy", json!({ "epsilon": 0.0 })),
        ("epsilon-greedy", json!({ "epsilon": 1.0 })),
        ("gradient", json!({ "vertices": 0, "anchors": 0, "draws": 4, "steps": 1 })),
        ("softmax", json!({ "temperature": 1e-9 })),
        ("softmax", json!({ "temperature": 0.1, "draws": 1 })),
        ("thompson", json!({ "draws": 1 })),
        ("ucb", json!({ "width": 0.0 })),
    ] {
        println!("{name} with {params}");
        assert_all(policy_with(registry.get(name).unwrap(), &params));
    }
}

#[test]
fn group_regressors() {
    all::<dyn GroupRegressor>(&["groupwise", "ols", "online-ridge", "ridge", "vaw"], recipe);
}

/// A choice or a flag switches to other code: every plugin of a kind with every such value that is not its default.
/// Returns the number of them.
fn choices<T: Kinded + ?Sized>(check: fn(&Descriptor<T>, &Json) -> Vec<Outcome>) -> usize {
    let mut tried = 0;
    for plugin in Registry::<T>::linked().unwrap().iter() {
        let defaults = plugin.defaults();
        for field in plugin.fields {
            let values: Vec<Json> = match field.kind {
                Kind::Choice(names) => names.iter().map(|(name, _)| json!(name)).collect(),
                Kind::Flag => vec![json!(false), json!(true)],
                _ => Vec::new(),
            };
            for value in values.into_iter().filter(|value| defaults[field.name] != *value) {
                println!("{} with {} = {value}", plugin.name, field.name);
                let mut params = match plugin.name {
                    // Of `iid`, a twentieth of the rows; and each rating is gone over more often.
                    "bayesian-linear" => json!({ "samples": 50, "iterations": 3 }),
                    name => small(name),
                };
                params[field.name] = value;
                assert_all(check(plugin, &params));
                tried += 1;
            }
        }
    }
    tried
}

#[test]
fn choices_of_recommenders() {
    assert!(choices::<dyn Recommender>(recommender_with) > 0, "popularity has a choice");
}

#[test]
fn choices_of_fairness_losses() {
    assert!(choices::<dyn FairnessLoss>(fairness_loss_with) >= 7, "two more variants of three losses, and a flag");
}
