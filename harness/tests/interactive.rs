//! Agents in a world that answers, through the binary: what it prints and leaves behind, and what is made of its log.

mod common;

use common::{Said, files};
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const EXPERIMENT: &str = "
name = 'small'
seeds = [0, 1]
[interactive]
simulator = { plugin = 'user-item', users = 60, items = 30, attributes = 4 }
periods = 6
log = true
[[interactive.agent]]
label = 'als'
recommender = 'als'
params = { factors = 4, biases = false, iterations = 1 }
policy = ['greedy', { plugin = 'epsilon-greedy', epsilon = 0.5 }]
[[interactive.agent]]
label = 'bayes'
recommender = 'bayesian-linear'
params = { factors = 4 }
policy = { plugin = 'thompson', draws = 8 }
";

fn run(folder: &Path, args: &[&str]) -> Said {
    common::run_in(Path::new(env!("CARGO_BIN_EXE_evenhand")), folder, args)
}

fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("e.toml"), EXPERIMENT).unwrap();
    dir
}

#[test]
fn tables_of_every_period_resumed_and_equal_on_any_number_of_threads() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "e.toml", "--out", "a", "--threads", "1"]).ends(0);
    for part in
        ["small in user-item: 6 periods, 2 seeds", "als greedy", "bayes", "cumulative regret of groups of users"]
    {
        assert!(said.out.contains(part), "{part} in\n{}", said.out);
    }
    let row = said.out.lines().find(|l| l.contains("als greedy")).unwrap();
    assert!(row.chars().any(|c| ('▁'..='█').contains(&c)), "a curve in {row}");
    assert!(said.out.contains("6 of 6 cells finished (0 found, 6 run)"), "{}", said.out);
    assert!(said.err.contains("world   user-item  6 periods") && said.err.contains("6 cells = 3 agents x 2 seeds"));
    let expected = [
        "actions.csv",
        "cells",
        "curves.csv",
        "experiment.effective.toml",
        "periods.csv",
        "results.csv",
        "summary.json",
        "timings.csv",
    ];
    assert_eq!(files(&dir.path().join("a")), expected);
    let read = |folder: &str, name: &str| fs::read_to_string(dir.path().join(folder).join(name)).unwrap();
    let periods = read("a", "periods.csv");
    let head = "seed,period,mean_regret_als greedy,mean_regret_als epsilon-greedy(epsilon=0.5),mean_regret_bayes,\
                ratings_mse_als greedy";
    assert!(periods.starts_with(head), "{}", periods.lines().next().unwrap());
    for column in
        ["inference_time_bayes", "training_time_bayes", "distinct_items_bayes", "gini_bayes", "pairs_mse_bayes"]
    {
        assert!(periods.lines().next().unwrap().contains(column), "{column}");
    }
    assert_eq!(periods.lines().count(), 1 + 2 * 6);
    assert!(read("a", "curves.csv").contains("small,bayes,mean-regret,taste=minority,5,"));
    assert!(read("a", "results.csv").contains(",interactive,als,als greedy,"));
    assert_eq!(read("a", "actions.csv").lines().count(), 1 + 3 * 2 * 6 * 60);

    run(dir.path(), &["compare", "e.toml", "--out", "b", "--threads", "5", "-q"]).ends(0);
    for name in ["results.csv", "curves.csv", "actions.csv"] {
        assert!(read("a", name) == read("b", name), "{name} differs between 1 and 5 threads");
    }
    let cells = files(&dir.path().join("b/cells"));
    let kept = cells.iter().find(|name| !name.contains("actions")).unwrap();
    fs::remove_file(dir.path().join("b/cells").join(kept)).unwrap();
    let again = run(dir.path(), &["compare", "e.toml", "--out", "b"]).ends(0);
    assert!(again.out.contains("(5 found, 1 run)"), "{}", again.out);
    assert!(read("a", "actions.csv") == read("b", "actions.csv"));
    let longer = run(dir.path(), &["compare", "e.toml", "--out", "b", "--set", "interactive.periods=7"]).ends(0);
    assert!(longer.out.contains("(0 found, 6 run)"), "{}", longer.out);
}

#[test]
fn a_log_tells_what_others_would_have_earned() {
    let dir = folder();
    run(dir.path(), &["compare", "e.toml", "--out", "o", "--seeds", "3", "-q"]).ends(0);
    let said = run(dir.path(), &["off-policy", "o/actions.csv", "e.toml", "--json"]).ends(0);
    let json = said.json();
    let all = json.as_array().unwrap();
    assert_eq!(all.len(), 9, "three agents on the logs of three");
    let own = |agent: &str| all.iter().find(|e| e["logged_agent"] == agent && e["target"] == agent).unwrap();
    let explorer = own("als epsilon-greedy(epsilon=0.5)");
    assert_eq!((&explorer["periods"], &explorer["slates"], &explorer["seed"]), (&3.into(), &180.into(), &3.into()));
    for estimator in ["logged", "inverse_propensity", "self_normalised", "direct_method", "doubly_robust"] {
        assert!(explorer[estimator]["value"].as_f64().unwrap() > 0.0, "{estimator} in {explorer}");
    }
    let said = run(dir.path(), &["off-policy", "o/actions.csv", "e.toml"]).ends(0);
    assert!(said.out.contains("doubly robust") && said.out.contains("bayes"), "{}", said.out);
    let damaged = fs::read_to_string(dir.path().join("o/actions.csv")).unwrap().replacen(",false", ",perhaps", 1);
    fs::write(dir.path().join("damaged.csv"), damaged).unwrap();
    let said = run(dir.path(), &["off-policy", "damaged.csv", "e.toml"]).ends(3);
    assert!(said.err.contains("damaged.csv:") && said.err.contains("perhaps"), "{}", said.err);
}

#[test]
fn what_can_not_work_is_said() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "e.toml"]).ends(2);
    assert!(said.err.contains("`interactive.log` without a folder for the log; add --out DIR"), "{}", said.err);
    let set = ["--set", "interactive.log=false", "--set", "interactive.agent.0.policy=thompson", "--seeds", "0"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(1);
    let reason = "FAILED  als, seed 0: `factors` does not support drawing from a posterior";
    assert!(said.out.contains(reason) && said.out.contains("1 of 2 cells finished"), "{}", said.out);
    let set = ["--set", "interactive.log=false", "--set", "interactive.slate=31", "--seeds", "0"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(1);
    assert!(said.out.contains("items of a slate: expected at most the 30 that are there, got 31"), "{}", said.out);
    let set = ["--set", "interactive.agent.bayes.params.tau=0"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(2);
    assert!(said.err.contains("parameter `tau` = 0"), "{}", said.err);
}
