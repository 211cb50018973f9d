//! Golden cases of group regressors: fits per group, the online algorithm step by step, whole streams, the generator.

#[path = "golden_groups/batch.rs"]
mod batch;
#[path = "golden_groups/generator.rs"]
mod generator;
mod golden;
#[path = "golden_groups/online.rs"]
mod online;
#[path = "golden_groups/streams.rs"]
mod streams;
#[path = "golden_groups/weights.rs"]
mod weights;

use evenhand_core::{GroupRegressor, GroupTable, Registry};
use golden::{System, Tolerance};
use nalgebra::DMatrix;
use serde_json::Value as Json;

const GROUPS: System = System {
    folder: "groups",
    kinds: &[
        ("ada-normal-hedge", weights::check),
        ("batch", batch::check),
        ("generator-invariants", generator::invariants),
        ("generator-labels", generator::labels),
        ("group-sums", streams::adult),
        ("label-aggregation", generator::aggregation),
        ("medical-table", streams::medical),
        ("online", online::check),
        ("rank-one-inverse", weights::inverse),
        ("stream", streams::synthetic),
    ],
    elsewhere: &[],
    with_data: &["group-sums", "medical-table", "stream"],
};

#[test]
fn every_file_agrees() {
    golden::check(&GROUPS, &golden::folder(&GROUPS)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn regressor(name: &str, params: &Json) -> Result<Box<dyn GroupRegressor>, String> {
    Registry::linked().and_then(|registry| registry.build(name, params)).map_err(text)
}

/// A table of rows of features and of memberships.
fn table(features: &[Vec<f64>], membership: &[Vec<u8>], groups: &[String]) -> Result<GroupTable, String> {
    let (d, rows) = (features.first().map_or(0, Vec::len), features.len());
    let whole = membership.len() == rows
        && features.iter().all(|row| row.len() == d)
        && membership.iter().all(|row| row.len() == groups.len());
    if !whole {
        return Err("rows of another number or length than stated".into());
    }
    let features = DMatrix::from_iterator(d, rows, features.iter().flatten().copied());
    let membership = DMatrix::from_iterator(groups.len(), rows, membership.iter().flatten().map(|&m| m == 1));
    GroupTable::new(features, membership, (0..d).map(|n| format!("x{n}")).collect(), groups.to_vec()).map_err(text)
}

/// Compares lists number by number.
fn near(tolerance: Tolerance, what: &str, got: &[f64], expected: &[f64]) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{what}: {} numbers, expected {}", got.len(), expected.len()));
    }
    let mut both = got.iter().zip(expected).enumerate();
    both.try_for_each(|(n, (got, expected))| tolerance.near(format!("{what}, number {n}"), *got, *expected))
}
