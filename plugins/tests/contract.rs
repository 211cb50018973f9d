//! Every plugin of this crate against the contract of its kind.

use evenhand_core::contract::{Outcome, assert_all, fairness_loss, recipe, recommender, recommender_with, simulator};
use evenhand_core::params::Kind;
use evenhand_core::{Descriptor, FairnessLoss, GroupRegressor, Kinded, Policy, Recommender, Registry, Simulator};
use evenhand_plugins as _;
use serde_json::json;

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
    all::<dyn Recommender>(&["als", "popularity", "random"], recommender);
}

#[test]
fn simulators() {
    all::<dyn Simulator>(&["biased-ratings"], simulator);
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
    all::<dyn Policy>(&[], recipe);
}

#[test]
fn group_regressors() {
    all::<dyn GroupRegressor>(&[], recipe);
}

/// A choice switches to other code: every recommender with every choice that is not its default.
#[test]
fn choices() {
    let registry = Registry::<dyn Recommender>::linked().unwrap();
    let mut tried = 0;
    for plugin in registry.iter() {
        let defaults = plugin.defaults();
        for field in plugin.fields {
            let Kind::Choice(names) = field.kind else { continue };
            for (name, _) in names.iter().filter(|(name, _)| defaults[field.name] != *name) {
                let outcomes = recommender_with(plugin, &json!({ field.name: name }));
                println!("{} with {} = {name}", plugin.name, field.name);
                assert_all(outcomes);
                tried += 1;
            }
        }
    }
    assert!(tried > 0, "popularity has a choice");
}
