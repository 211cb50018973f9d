//! The kit against plugins that each break one rule: the check of that rule must fail, and sound plugins must pass.

mod groups;
mod learners;
mod losses;
mod mixers;
mod plans;
mod policies;
mod pooled;
mod recipes;
mod recommenders;
mod simulators;

use super::{Outcome, Stop, assert_all};

/// Names of the failed checks.
fn failed(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().filter(|o| o.failed()).map(|o| o.check).collect()
}

fn outcome(check: &'static str, result: Result<(), Stop>) -> Outcome {
    Outcome { plugin: "x", check, about: "holds", result }
}

#[test]
fn skipped_is_no_failure() {
    assert_all([outcome("a", Ok(())), outcome("b", Err(Stop::Skipped("never mind".into())))]);
}

#[test]
#[should_panic(expected = "1 of 2 contract checks failed:\n  x: b (holds): failed: off by one")]
fn failures_are_listed() {
    assert_all([outcome("a", Ok(())), outcome("b", Err(Stop::Failed("off by one".into())))]);
}

#[test]
#[should_panic(expected = "no contract check ran")]
fn nothing_proves_nothing() {
    assert_all([]);
}
