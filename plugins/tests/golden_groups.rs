//! Golden cases of group regression: so far, the generator of tables.

#[path = "golden_groups/generator.rs"]
mod generator;
mod golden;

use golden::System;

const GROUPS: System = System {
    folder: "groups",
    kinds: &[
        ("generator-invariants", generator::invariants),
        ("generator-labels", generator::labels),
        ("label-aggregation", generator::aggregation),
    ],
    elsewhere: &[],
};

#[test]
fn every_file_agrees() {
    golden::check(&GROUPS, &golden::folder(&GROUPS)).unwrap_or_else(|wrong| panic!("{wrong}"));
}
