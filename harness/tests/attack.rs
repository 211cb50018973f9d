//! Attacks on fitted factors, through the binary: what is printed, kept, found again and refused.

mod common;

use common::{Said, files, write_experiment};
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const PARTS: &str = "
[eval]
k = [5, 100]
users = true
[attack]
eps = [0.5, 1.0]
draws = 2
[[run]]
recommender = 'als'
params = { factors = 4, iterations = 3 }
[[run]]
recommender = 'mf'
params = { epochs = 3 }
[[run]]
recommender = 'random'
";
const ATTACKS: [&str; 4] = ["gradient eps=0.5", "gradient eps=1", "random eps=0.5", "random eps=1"];

fn run(folder: &Path, args: &[&str]) -> Said {
    common::run_in(Path::new(env!("CARGO_BIN_EXE_evenhand")), folder, args)
}

/// A folder with `small.toml`.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    write_experiment(dir.path(), PARTS);
    dir
}

/// The rows of a table without commas in its fields, as fields.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

#[test]
fn attacks_are_measured_kept_and_equal_on_any_number_of_threads() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "small.toml", "--out", "a", "--threads", "1"]).ends(0);
    let table = said.out.split("perturbed factors, full ranking: 2 seeds").nth(1).expect("the table of attacks");
    for attack in ATTACKS {
        assert_eq!(table.lines().filter(|l| l.contains(attack)).count(), 2, "{attack} in\n{table}");
    }
    assert!(said.out.contains("warn    `random` has no factors"), "{}", said.out);
    assert_eq!(said.out.matches("has no factors").count(), 1);
    assert!(said.out.contains("6 of 6 cells finished (0 found, 6 run)"), "{}", said.out);
    let names = ["cells", "experiment.effective.toml", "results.csv", "summary.json", "timings.csv", "users.csv"];
    assert_eq!(files(&dir.path().join("a")), names);
    let results = fs::read_to_string(dir.path().join("a/results.csv")).unwrap();
    assert!(results.lines().next().unwrap().ends_with(",seed,fold,metric,k,group,attack,value,n"));
    for metric in ["hr,5,,", "hr-drop,5,,", "ndcg-spread,100,,", "auc,,,", "auc-half-ties,,gender=F,"] {
        for attack in ATTACKS {
            assert!(results.contains(&format!(",{metric}{attack},")), "{metric} {attack}");
        }
    }
    assert!(results.contains(",user-norm,,,clean,") && results.contains(",recall,5,,,"));
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("a/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["offline"]["settings"][1]["attacks"].as_array().unwrap().len(), 5);
    assert!(summary["offline"].get("controls").is_none());

    run(dir.path(), &["compare", "small.toml", "--out", "b", "--threads", "3", "-q"]).ends(0);
    for name in ["results.csv", "users.csv"] {
        let read = |folder: &str| fs::read(dir.path().join(folder).join(name)).unwrap();
        assert!(read("a") == read("b"), "{name} differs between 1 and 3 threads");
    }
}

#[test]
fn the_metrics_of_users_are_what_the_means_are_made_of() {
    let dir = folder();
    run(dir.path(), &["compare", "small.toml", "--out", "o", "-q"]).ends(0);
    let results = fs::read_to_string(dir.path().join("o/results.csv")).unwrap();
    let users = rows(&dir.path().join("o/users.csv"));
    for (label, attack, metric, k) in [
        ("mf epochs=3", "", "ndcg", "5"),
        ("mf epochs=3", "clean", "auc", ""),
        ("als factors=4 iterations=3", "gradient eps=1", "ndcg", "100"),
        ("random", "", "recall", "5"),
    ] {
        let key = [label, "1", "0", attack, metric, k];
        let own: Vec<f64> = users
            .iter()
            .filter(|row| [&row[1], &row[2], &row[3], &row[5], &row[6], &row[7]].map(String::as_str) == key)
            .map(|row| row[8].parse().unwrap())
            .collect();
        let end = format!(",1,0,{metric},{k},,{attack},");
        let row = results.lines().find(|l| l.contains(&format!(",{label},")) && l.contains(&end)).unwrap();
        let (value, n) = row.split(&end).nth(1).unwrap().split_once(',').unwrap();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        assert_eq!(own.len().to_string(), n, "{key:?}");
        assert!((mean - value.parse::<f64>().unwrap()).abs() < 1e-12, "{key:?}: {mean} or {value}");
    }
    assert!(!users.iter().any(|row| row[1] == "random" && !row[5].is_empty()));
}

/// Whether metrics of users are kept decides nothing but that: cells are found without them, and run again for them.
#[test]
fn cells_are_run_again_for_metrics_of_users_that_are_missing() {
    let dir = folder();
    let path = |name: &str| dir.path().join("o").join(name);
    let compare = |set: &[&str]| {
        let args = ["compare", "small.toml", "--out", "o", "--seeds", "3", "-q"];
        run(dir.path(), &[&args, set].concat()).ends(0).out
    };
    let none = ["--set", "eval.users=false"];
    assert!(compare(&none).contains("(0 found, 3 run)"));
    assert!(!path("users.csv").exists() && files(&path("cells")).len() == 3);
    assert!(compare(&[]).contains("(0 found, 3 run)"));
    let kept = || fs::read(path("users.csv")).unwrap();
    let (first, cells) = (kept(), files(&path("cells")));
    assert_eq!(cells.len(), 6);
    assert!(compare(&[]).contains("(3 found, 0 run)") && compare(&none).contains("(3 found, 0 run)"));
    assert!(!path("users.csv").exists(), "those of an earlier run would be taken for those of this one");
    let users: Vec<&String> = cells.iter().filter(|name| name.ends_with(".users.csv")).collect();
    fs::remove_file(path("cells").join(users[0])).unwrap();
    let cut = path("cells").join(users[1]);
    let text = fs::read_to_string(&cut).unwrap();
    // At the end of a line.
    fs::write(&cut, &text[..=text[..text.len() / 2].rfind('\n').unwrap()]).unwrap();
    assert!(compare(&[]).contains("(1 found, 2 run)"));
    assert!(kept() == first);
    // A cell that is measured anew without them does not keep those of before.
    assert!(compare(&[&none[..], &["--fresh"]].concat()).contains("(0 found, 3 run)"));
    assert_eq!(files(&path("cells")).len(), 3);
}

#[test]
fn users_have_the_names_of_the_data() {
    let dir = tempdir().unwrap();
    let lines: String = (0..600).map(|n| format!("u{},i{},{}\n", n % 30, n * 7 % 41, n % 5 + 1)).collect();
    fs::write(dir.path().join("mine.csv"), format!("user,item,rating\n{lines}")).unwrap();
    let text = "[data]\npath = 'mine.csv'\n[eval]\nusers = true\n[[run]]\nrecommender = 'popularity'\n";
    fs::write(dir.path().join("mine.toml"), text).unwrap();
    let said = run(dir.path(), &["compare", "mine.toml", "--out", "o"]).ends(0);
    assert!(said.out.contains("results in o: results.csv, timings.csv, users.csv, summary.json"), "{}", said.out);
    let users = rows(&dir.path().join("o/users.csv"));
    assert!(users.iter().all(|row| row[4].starts_with('u') && row[5].is_empty()) && users.len() > 50);
}

/// Cells with and without attacks do not stand in for each other.
#[test]
fn attacks_are_part_of_what_a_cell_is() {
    let dir = folder();
    let compare = |set: &str| {
        let args = ["compare", "small.toml", "--out", "o", "--seeds", "3", "-q", "--set", set];
        run(dir.path(), &args).ends(0).out
    };
    assert!(compare("attack.draws=1").contains("(0 found, 3 run)"));
    assert!(compare("attack.draws=2").contains("(0 found, 3 run)"));
    assert!(compare("attack.draws=1").contains("(3 found, 0 run)"));
    assert!(compare("attack.relative=true").contains("gradient eps=0.5 relative"));
    write_experiment(dir.path(), &PARTS.replace("[attack]\neps = [0.5, 1.0]\ndraws = 2\n", ""));
    let plain = compare("name=plain");
    assert!(plain.contains("(0 found, 3 run)") && !plain.contains("perturbed"), "{plain}");
}

#[test]
fn what_can_not_work_is_said() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "small.toml"]).ends(2);
    assert!(said.err.contains("`eval.users` without a folder for their metrics; add --out DIR"), "{}", said.err);
    for (set, expected) in [
        ("attack.eps=-1", "--set attack.eps=-1: `attack.eps` = -1, expected a finite number from 0"),
        ("attack.direction=up", "--set attack.direction=up: `attack.direction` = `up`, expected gradient, random"),
        ("attack.draw=3", "--set attack.draw=3: unknown key `draw` (did you mean `draws`?)"),
        ("eval.users=3", "--set eval.users=3: `eval.users`: expected true or false, not `3`"),
    ] {
        let said = run(dir.path(), &["compare", "small.toml", "--set", set]).ends(2);
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let text = fs::read_to_string(dir.path().join("small.toml")).unwrap();
    fs::write(dir.path().join("wrong.toml"), text.replace("draws = 2", "draws = 0")).unwrap();
    let said = run(dir.path(), &["compare", "wrong.toml"]).ends(2);
    assert!(said.err.contains("wrong.toml:11:9: `attack.draws` = 0, expected at least 1"), "{}", said.err);
}

/// Users and items of a pair of files, neither sorted nor numbered without gaps. Item 555 and user 88 occur only in test,
/// user 77 only in training; user 400 has or holds out every item; one test row of user 5 and that of user 30 are known.
const TRAIN: [(u32, &[u32]); 6] = [
    (400, &[41, 3, 100, 7, 20]),
    (12, &[41, 3]),
    (5, &[20, 3, 7]),
    (77, &[100, 7, 3, 20]),
    (9, &[1000, 3, 7]),
    (30, &[7, 3, 41, 20]),
];
const TEST: [(u32, &[u32]); 6] =
    [(88, &[20]), (9, &[100]), (400, &[1000, 555]), (5, &[555, 3, 41]), (30, &[3]), (12, &[7])];
const OF_PAIR: &str = "
[data]
path = 'pair'
[split]
kind = 'given'
[eval]
k = [1, 50]
relevant = 'all'
users = true
[attack]
draws = 2
[[run]]
recommender = 'bpr'
params = { optimiser = 'adagrad', factors = 4, epochs = 3, batch = 8 }
[[run]]
recommender = 'als'
params = { factors = 4, iterations = 3, feedback = 'implicit' }
[[run]]
recommender = 'popularity'
params.by = 'counts'
label = 'popularity'
";

#[test]
fn a_pair_of_files_with_every_kind_of_edge() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("pair")).unwrap();
    for (name, rows) in [("train.tsv", TRAIN), ("test.tsv", TEST)] {
        let line = |(user, items): &(u32, &[u32])| items.iter().map(|i| format!("{user}\t{i}\n")).collect::<String>();
        let lines: String = rows.iter().map(line).collect();
        fs::write(dir.path().join("pair").join(name), format!("user\titem\n{lines}")).unwrap();
    }
    fs::write(dir.path().join("pair.toml"), OF_PAIR).unwrap();
    let said = run(dir.path(), &["compare", "pair.toml", "--out", "a", "--threads", "1"]).ends(0);
    for warning in [
        "split `given`: users that occur only in test: 1, in 1 of 9 test rows",
        "split `given`: items that occur only in test: 1, in 2 of 9 test rows",
        "split `given`: 2 of 9 test rows repeat a user and item of the training rows and are not ranked",
        "split `given`: users with nothing to rank a test item against, who are not measured: 1",
        "`eval.k` = 50 is above the 7 items: lists are that long at most",
    ] {
        assert_eq!(said.out.matches(&format!("warn    {warning}\n")).count(), 1, "{warning} in\n{}", said.out);
    }
    assert!(said.out.contains("; ranking over 4 users\n"), "{}", said.out);

    // Ratings of items 3, 7, 20, 41, 100, 1000, 555: 6, 5, 4, 3, 2, 1, 0. Of what the users have not seen, by that order:
    //
    // user  5: [41], 100, 1000, [555]                       AUC (2 + 0) / 4, first: hit
    // user  9: 20, 41, [100], 555                           AUC 1 / 3, first: no hit
    // user 12: [7], 20, 100, 1000, 555                      AUC 4 / 4, first: hit
    // user 88: 3, 7, [20], 41, 100, 1000, 555               AUC 4 / 6, first: no hit
    let of_users = [("5", 0.5, 1.0), ("9", 1.0 / 3.0, 0.0), ("12", 1.0, 1.0), ("88", 2.0 / 3.0, 0.0)];
    let (results, users) = (rows(&dir.path().join("a/results.csv")), rows(&dir.path().join("a/users.csv")));
    for attack in ["", "clean"] {
        for (metric, k, expected) in
            [("hr", "1", 0.5), ("hr", "50", 1.0), ("auc", "", 0.625), ("auc-half-ties", "", 0.625)]
        {
            let end = [metric, k, "", attack];
            let row = results.iter().find(|r| r.contains(&"popularity".into()) && r[r.len() - 6..r.len() - 2] == end);
            let [.., value, n] = row.unwrap().as_slice() else { unreachable!() };
            assert!((value.parse::<f64>().unwrap() - expected).abs() < 1e-12 && n == "4", "{end:?}: {value} {n}");
        }
        for (metric, expected) in [("auc", of_users.map(|u| (u.0, u.1))), ("hr", of_users.map(|u| (u.0, u.2)))] {
            let own = users.iter().filter(|r| r[1] == "popularity" && r[5] == attack && r[6] == metric && r[7] != "50");
            let own: Vec<(&str, f64)> = own.map(|r| (r[4].as_str(), r[8].parse().unwrap())).collect();
            assert_eq!(own.len(), 4, "{own:?}");
            for ((user, value), (expected_user, expected)) in own.iter().zip(expected) {
                assert!(*user == expected_user && (value - expected).abs() < 1e-12, "{metric} {attack}: {own:?}");
            }
        }
    }
    assert!(!users.iter().any(|row| ["400", "30", "77"].contains(&row[4].as_str())));

    run(dir.path(), &["compare", "pair.toml", "--out", "b", "--threads", "3", "-q"]).ends(0);
    for name in ["results.csv", "users.csv"] {
        let read = |folder: &str| fs::read(dir.path().join(folder).join(name)).unwrap();
        assert!(read("a") == read("b"), "{name} differs between 1 and 3 threads");
    }
}
