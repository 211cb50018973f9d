use super::super::{Experiment, Overrides};
use super::*;
use crate::cell;
use crate::compare::Place;
use std::path::Path;

const HEAD: &str = "[data]\nsimulator = 'biased-ratings'\n[harm]\nharmful = { groups = 'genre', any = ['F'] }\n";
const RUN: &str = "[[harm.run]]\nrecommender = 'als'\npolicy = 'uniform'\n";

fn parse(text: &str, set: &[&str]) -> Result<Experiment, Failure> {
    let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
    Experiment::parse("e.toml", text, Path::new(""), &overrides)
}

fn of(lines: &str, set: &[&str]) -> Mitigation {
    parse(&format!("{HEAD}{lines}"), set).unwrap().harm.unwrap()
}

fn labels(part: &Mitigation) -> Vec<&str> {
    part.cases.iter().map(|case| case.label.as_str()).collect()
}

#[test]
fn everything_but_labels_and_runs_has_a_default() {
    let plain = of(RUN, &[]);
    assert_eq!(plain.options, HarmOptions::default());
    assert_eq!(plain.options.dynamics(6.0), Dynamics::default());
    assert_eq!((plain.options.cardinality(), plain.options.users), (Cardinality::exactly(1), None));
    assert_eq!((&plain.options.c, &plain.options.lambda), (&Weight::Given(6.0), &vec![100.0]));
    assert_eq!(plain.harmful, HarmLabels::Groups { groups: "genre".into(), any: vec!["F".into()] });
    assert_eq!(labels(&plain), ["als uniform"]);
}

#[test]
fn cases_are_settings_times_policies_times_prices() {
    let lines = "lambda = [1, 10.5, 1]\n[[harm.run]]\nrecommender = 'als'\nlabel = 'mine'\nparams = { factors = [2, 4] }\n\
                 policy = ['uniform', { plugin = 'alternating', rounds = [3, 5] }]\n";
    let part = of(lines, &[]);
    let of_policies = |factors: usize| {
        let policies = ["uniform", "alternating(rounds=3)", "alternating(rounds=5)"];
        let each = move |policy| ["1", "10.5"].map(|price| format!("mine factors={factors} {policy} lambda={price}"));
        policies.into_iter().flat_map(each)
    };
    assert_eq!(labels(&part), of_policies(2).chain(of_policies(4)).collect::<Vec<_>>());
    let last = part.cases.last().unwrap();
    assert_eq!((last.lambda, last.policy_label.as_str()), (10.5, "alternating(rounds=5)"));
    assert_eq!(last.policy_params, json!({ "plugin": "alternating", "rounds": 5 }));
    assert_eq!((&last.setting.params["factors"], last.setting.label.as_str()), (&4.into(), "mine factors=4"));
    let kinds: Vec<&str> = last.origins.iter().map(|o| o.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["recommender/als", "policy/alternating"]);
    let set = ["harm.run.mine.params.factors=8", "harm.run.als.policy=top-k", "harm.lambda=2"];
    assert_eq!(labels(&of(lines, &set)), ["mine top-k"]);
    let twice = parse(&format!("{HEAD}{RUN}{RUN}"), &[]).unwrap();
    assert!(
        twice.warnings[0].contains("`als uniform` has the same parameters as `als uniform`"),
        "{:?}",
        twice.warnings
    );
}

#[test]
fn large_prices_have_short_labels() {
    let part = of(&format!("lambda = [0.5, 1e6, 2.5e6, 1e100]\n{RUN}"), &[]);
    let expected = ["0.5", "1000000", "2.5e6", "1e100"].map(|price| format!("als uniform lambda={price}"));
    assert_eq!(labels(&part), expected);
}

#[test]
fn an_experiment_may_have_policies_alone_and_comes_back() {
    let lines = "k = 2\nrule = 'independent'\nc = { grid = [4, 2.0, 4], click = 0.6 }\nlambda = [1, 2]\nalpha_harmful = 0.4\n\
                 alpha_harmless = 0.3\nbeta = 0.1\nusers = 7\nsteps = 0\ndraws = 9\nkeep_users = true\n";
    let first = parse(&format!("{HEAD}{lines}{RUN}"), &["harm.users=9"]).unwrap();
    let again = parse(&first.effective, &[]).unwrap();
    assert!(first.offline.is_none() && first.data.is_some() && again.offline.is_none());
    let (first, again) = (first.harm.unwrap(), again.harm.unwrap());
    assert_eq!((&first.options, &first.harmful), (&again.options, &again.harmful));
    let expected = HarmOptions {
        k: 2,
        rule: SizeRule::Independent,
        c: Weight::Calibrated(Calibration { grid: vec![4.0, 2.0], click: 0.6 }),
        lambda: vec![1.0, 2.0],
        alpha_harmful: 0.4,
        alpha_harmless: 0.3,
        beta: 0.1,
        users: Some(9),
        steps: 0,
        draws: 9,
        keep_users: true,
    };
    assert_eq!(first.options, expected);
    assert_eq!(first.options.sets(), "sets of 2 on average");
    assert_eq!(labels(&first), labels(&again));
    let both = parse(&format!("{HEAD}{RUN}[[run]]\nrecommender = 'random'\n"), &[]).unwrap();
    assert!(both.offline.is_some() && both.harm.is_some());
    assert_eq!(of(&format!("c = {{}}\n{RUN}"), &[]).options.c, Weight::Calibrated(Calibration::default()));
}

#[test]
fn mistakes_are_placed() {
    for (lines, expected) in [
        ("k = 0", "e.toml:5:5: `harm.k` = 0, expected at least 1"),
        ("k = -1", "e.toml:5:5: `harm.k`: expected a whole number from 0, not `-1`"),
        ("users = 0", "e.toml:5:9: `harm.users` = 0, expected at least 1"),
        ("draws = 0", "e.toml:5:9: `harm.draws` = 0, expected at least 1"),
        ("rule = 'exacty'", "e.toml:5:8: `harm.rule` = `exacty`, expected exactly, at-most, independent (did you"),
        ("lambda = []", "e.toml:5:10: `harm.lambda`: expected at least one price"),
        ("lambda = -1", "e.toml:5:10: `harm.lambda` = -1, expected a number from 0 to 1e100"),
        ("lambda = [1, inf]", "e.toml:5:14: `harm.lambda` = inf, expected a number from 0 to 1e100"),
        ("lambda = [1, 2e100]", "e.toml:5:14: `harm.lambda` = 2e100, expected a number from 0 to 1e100"),
        ("steps = 100001", "e.toml:5:9: `harm.steps` = 100001, expected at most 100000"),
        ("draws = 1000001", "e.toml:5:9: `harm.draws` = 1000001, expected at most 1000000"),
        ("lambda = [1, 'x']", "e.toml:5:14: `harm.lambda[1]`: expected a number, not text \"x\""),
        ("c = 0", "e.toml:5:5: `harm.c` = 0, expected a finite number above 0"),
        ("c = inf", "e.toml:5:5: expected a finite number"),
        ("c = 'x'", "e.toml:5:5: `harm.c`: expected a number, or a table such as { grid = [5, 10, 20], click = 0.5 }"),
        ("c = { grid = [1, -1] }", "e.toml:5:18: `harm.c` = -1, expected a finite number above 0"),
        ("c = { grid = [] }", "e.toml:5:5: `harm.c.grid`: expected at least one weight"),
        ("c = { click = 1.5 }", "e.toml:5:15: `harm.c.click` = 1.5, expected 0.0..=1.0"),
        ("c = { gird = [1] }", "e.toml:5:7: unknown key `gird` (did you mean `grid`?)"),
        ("beta = 1.5", "e.toml:5:8: `harm.beta` = 1.5, expected 0.0..=1.0"),
        ("beta = 0.75", "e.toml:5:8: `harm.alpha_harmful` = 0.5, expected at most 1 - beta = 0.25"),
        ("alpha_harmful = 0.9", "e.toml:5:17: `harm.alpha_harmful` = 0.9, expected at most 1 - beta = 0.8"),
        ("alpha_harmless = nan", "e.toml:5:18: `harm.alpha_harmless` = NaN, expected 0.0..=1.0"),
        ("lamda = 1", "e.toml:5:1: unknown key `lamda` (did you mean `lambda`?); known: k, rule, c, lambda"),
        ("keep_users = 1", "e.toml:5:14: `harm.keep_users`: expected true or false, not `1`"),
    ] {
        let error = parse(&format!("{HEAD}{lines}\n{RUN}"), &[]).err().expect(lines).to_string();
        assert!(error.starts_with(expected), "expected {expected}\n     got {error}");
    }
    let data = "[data]\nsimulator = 'biased-ratings'\n";
    let als = "[[harm.run]]\nrecommender = 'als'\n";
    for (text, expected) in [
        (format!("{data}[harm]\n{RUN}"), "e.toml:3:1: `[harm]` without `harmful`"),
        (HEAD.to_string(), "e.toml:3:1: `[harm]` without `[[harm.run]]`: nothing to compare"),
        (HEAD.replacen("[data]\nsimulator = 'biased-ratings'\n", "", 1) + RUN, "e.toml:1:1: `[harm]` and no `[data]`"),
        (format!("{HEAD}{als}"), "e.toml:5:1: `[[harm.run]]` without `policy`, e.g. policy = [\"uniform\""),
        (
            format!("{HEAD}{als}policy = 'unifrom'\n"),
            "e.toml:7:10: no policy plugin `unifrom` (did you mean `uniform`?)",
        ),
        (format!("{HEAD}{RUN}k = 2\n"), "e.toml:8:1: unknown key `k`"),
        (
            format!("{data}[harm]\nharmful = 'x'\n{RUN}"),
            "e.toml:4:11: `harm.harmful` is of type string, expected a table",
        ),
        (
            format!("{HEAD}{RUN}[split]\nkind = 'random'\n[eval]\nk = [5]\n"),
            "e.toml:8:1: `[split]` without a `[[run]]` that it belongs to",
        ),
        (format!("{HEAD}{RUN}[eval]\nk = [5]\n"), "e.toml:8:1: `[eval]` without a `[[run]]` that it belongs to"),
        (format!("harm = 3\n{data}"), "e.toml:1:8: `harm` is of type integer, expected a table"),
    ] {
        let error = parse(&text, &[]).err().expect(&text).to_string();
        assert!(error.starts_with(expected), "expected {expected}\n     got {error}");
    }
    let error = parse(&format!("{HEAD}{RUN}"), &["harm.k=0"]).err().unwrap().to_string();
    assert_eq!(error, "--set harm.k=0: `harm.k` = 0, expected at least 1");
}

#[test]
fn only_what_decides_a_result_is_in_the_identity_of_a_cell() {
    let place = Place { setting: 0, seed: 1, fold: 0 };
    let identity = |lines: &str, labels: &str| cell::of_harm(&of(&format!("{lines}{RUN}"), &[]), "d", labels, place);
    let plain = identity("", "l");
    assert_eq!((&plain["protocol"], &plain["case"]["lambda"]), (&"harm".into(), &100.0.into()));
    for same in ["keep_users = true\n", "lambda = [100, 1]\n", "c = 6\n"] {
        assert_eq!(identity(same, "l"), plain, "{same}");
    }
    let others = [
        "k = 2\n",
        "rule = 'at-most'\n",
        "c = 5\n",
        "c = {}\n",
        "lambda = 1\n",
        "alpha_harmful = 0.4\n",
        "beta = 0.1\n",
        "alpha_harmless = 0.2\n",
        "users = 9\n",
        "steps = 9\n",
        "draws = 9\n",
    ];
    let mut keys: Vec<String> = others.iter().map(|lines| cell::key(&identity(lines, "l"))).collect();
    keys.extend([cell::key(&plain), cell::key(&identity("", "other labels"))]);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), others.len() + 2);
}
