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
    let reason = "FAILED  als, seed 0: `factors` does not support stating its uncertainty";
    assert!(said.out.contains(reason) && said.out.contains("1 of 2 cells finished"), "{}", said.out);
    let set = ["--set", "interactive.log=false", "--set", "interactive.slate=31", "--seeds", "0"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(2);
    let reason = "--set interactive.slate=31: `interactive.slate` = 31, expected at most 30, the items there at first";
    assert!(said.err.contains(reason), "{}", said.err);
    fs::write(dir.path().join("long.toml"), EXPERIMENT.replace("log = true", "slate = 40")).unwrap();
    let said = run(dir.path(), &["compare", "long.toml"]).ends(2);
    assert!(said.err.contains("long.toml:7:9: `interactive.slate` = 40, expected at most 30"), "{}", said.err);
    fs::write(dir.path().join("label.toml"), EXPERIMENT.replace("'bayes'", "\"b\\u001b[31m\"")).unwrap();
    let said = run(dir.path(), &["compare", "label.toml"]).ends(2);
    assert!(said.err.contains("label.toml:14:9: label `b\\u{1b}[31m`, expected no characters that"), "{}", said.err);
    let said = run(dir.path(), &["compare", "e.toml", "--data", "ratings.csv"]).ends(2);
    assert!(said.err.contains("--data ratings.csv: no `[[run]]`: nothing to compare"), "{}", said.err);
    let set = ["--set", "interactive.agent.bayes.params.tau=0"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(2);
    assert!(said.err.contains("parameter `tau` = 0"), "{}", said.err);
}

/// Whether actions are logged decides nothing but that: cells are found without their log, and run again for it.
#[test]
fn cells_are_run_again_for_a_log_that_is_asked_for_and_missing() {
    let dir = folder();
    let path = |name: &str| dir.path().join("o").join(name);
    let compare = |set: &[&str]| {
        let args = ["compare", "e.toml", "--out", "o", "--seeds", "3", "-q"];
        run(dir.path(), &[&args, set].concat()).ends(0).out
    };
    let none = ["--set", "interactive.log=false"];
    assert!(compare(&none).contains("(0 found, 3 run)"));
    let results = fs::read(path("results.csv")).unwrap();
    assert!(compare(&[]).contains("(0 found, 3 run)"), "there is no log yet");
    let log = fs::read(path("actions.csv")).unwrap();
    assert!(compare(&[]).contains("(3 found, 0 run)") && compare(&none).contains("(3 found, 0 run)"));
    let names: Vec<String> = files(&path("cells")).into_iter().filter(|n| n.ends_with("actions.csv")).collect();
    fs::remove_file(path("cells").join(&names[0])).unwrap();
    fs::write(path("cells").join(&names[1]), "seed,agent\n").unwrap();
    let bayes = |name: &&String| fs::read_to_string(path("cells").join(name)).unwrap().contains("\n3,bayes,0,");
    assert!(compare(&[]).contains("(1 found, 2 run)"));
    assert_eq!(names.iter().filter(bayes).count(), 1, "a log names its agent");
    assert_eq!((fs::read(path("results.csv")).unwrap(), fs::read(path("actions.csv")).unwrap()), (results, log));
    // An outcome measured anew without a log has none of an earlier one.
    compare(&["--set", "interactive.log=false", "--fresh"]);
    assert_eq!(files(&path("cells")).len(), 3);
}

#[test]
fn options_of_the_evaluation_are_refused_by_name() {
    let dir = folder();
    for (flag, value, expected) in [
        ("--train", "1", "expected a number above 0 and below 1"),
        ("--train", "NaN", "expected a number above 0 and below 1"),
        ("--draws", "0", "0 is not in 1.."),
        ("--clip", "inf", "expected a number above 0"),
    ] {
        let said = run(dir.path(), &["off-policy", "o.csv", "e.toml", flag, value]).ends(2);
        assert!(said.err.contains(flag) && said.err.contains(expected), "{flag} {value}: {}", said.err);
    }
}

/// What was evaluated by then is shown.
#[cfg(unix)]
#[test]
fn an_evaluation_can_be_interrupted() {
    use std::io::{BufRead, BufReader};
    let dir = folder();
    run(dir.path(), &["compare", "e.toml", "--out", "o", "--seeds", "3", "-q"]).ends(0);
    let mut text = fs::read_to_string(dir.path().join("e.toml")).unwrap();
    text.push_str("[[interactive.agent]]\nlabel = 'slow'\nrecommender = 'mf'\nparams = { epochs = 100000000 }\n");
    text.push_str("policy = 'greedy'\n");
    fs::write(dir.path().join("slow.toml"), text).unwrap();
    let mut command = common::command(
        Path::new(env!("CARGO_BIN_EXE_evenhand")),
        dir.path(),
        &["off-policy", "o/actions.csv", "slow.toml"],
    );
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // A line for each pair of log and agent that is finished; the fourth is the one that takes for ever.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!((0..3).all(|_| lines.next().unwrap().unwrap().contains("  seed 3  ")));
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let said = Said::of(child.wait_with_output().unwrap()).ends(130);
    assert!(rest.iter().any(|line| line.contains("stopping")), "{rest:?}");
    assert!(said.out.contains("doubly robust") && said.out.contains("bayes") && !said.out.contains("FAILED"));
}
