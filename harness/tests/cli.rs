//! The binary from outside: what it prints, where, how it ends, and what it leaves behind.

mod common;

use common::{Said, files, write_experiment};
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const RUNS: &str = "
[[run]]
recommender = 'random'
[[run]]
recommender = 'popularity'
params = { by = ['mean', 'counts'] }
[[run]]
recommender = 'als'
params = { factors = 4, iterations = 3 }
";

fn run(folder: &Path, args: &[&str]) -> Said {
    common::run_in(Path::new(env!("CARGO_BIN_EXE_evenhand")), folder, args)
}

/// A folder with `small.toml`.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    write_experiment(dir.path(), RUNS);
    dir
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), text).unwrap();
}

#[test]
fn compare_prints_a_row_for_every_setting() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "small.toml"]).ends(0);
    for row in ["random", "popularity by=mean", "popularity by=counts", "als factors=4 iterations=3"] {
        assert!(said.out.lines().any(|l| l.contains(row)), "{row} in\n{}", said.out);
    }
    for column in ["rmse", "ndcg@10", "recall@10", "coverage@10", "gini@10", "fit s", "gender gap", "gender=F"] {
        assert!(said.out.contains(column), "{column} in\n{}", said.out);
    }
    assert!(said.out.contains("8 of 8 cells finished (0 found, 8 run)"), "{}", said.out);
    assert!(said.err.contains("8 cells = 4 settings x 2 seeds") && said.err.contains("200 users  60 items"));
    assert_eq!(files(dir.path()), ["small.toml"], "nothing is written without --out");
}

#[test]
fn without_arguments_the_embedded_experiment_runs() {
    let dir = tempdir().unwrap();
    let set = ["--set", "data.simulator.users=60", "--set", "data.simulator.items=40", "--seeds", "0"];
    let said = run(dir.path(), &[&["compare", "--json", "--quiet"], &set[..]].concat()).ends(0);
    let json = said.json();
    let names: Vec<&str> =
        json["offline"]["settings"].as_array().unwrap().iter().map(|s| s["recommender"].as_str().unwrap()).collect();
    assert!(["random", "popularity", "als"].iter().all(|n| names.contains(n)), "{names:?}");
    assert_eq!((&json["overrides"][0], said.err.as_str()), (&"--seeds 0".into(), ""));
    let als = json["offline"]["settings"].as_array().unwrap().iter().find(|s| s["recommender"] == "als").unwrap();
    assert!(als["figures"].as_array().unwrap().iter().any(|f| f["metric"] == "rmse" && f["group"] == "gender=F"));
}

#[test]
fn own_data_is_compared_and_described() {
    let dir = tempdir().unwrap();
    let rows: String = (0..600).map(|n| format!("u{},i{},{}\n", n % 30, n * 7 % 41, n % 5 + 1)).collect();
    write(&dir, "mine.csv", format!("user,item,rating\n{rows}"));
    let said = run(dir.path(), &["compare", "--data", "mine.csv", "--seeds", "0..2", "--json", "-q"]).ends(0);
    assert_eq!(
        (&said.json()["offline"]["data"]["users"], &said.json()["seeds"]),
        (&30.into(), &serde_json::json!([0, 1]))
    );
    let said = run(dir.path(), &["data", "describe", "mine.csv", "--json"]).ends(0);
    assert_eq!(said.json()["data"]["items"], 41);
    let said = run(dir.path(), &["data", "describe", "mine.csv"]).ends(0);
    assert!(said.out.contains("30") && said.out.contains("like"), "{}", said.out);
    let part = ["data", "describe", "mine.csv", "--set", "data.select.top_items=3", "--set", "data.select.top_users=2"];
    let said = run(dir.path(), &part).ends(0);
    assert!(said.out.contains("selected: items with the most rows: 3 of 41\n"), "{}", said.out);
    let wrong = |set| run(dir.path(), &["data", "describe", "mine.csv", "--set", set]).ends(2).err;
    let said = wrong("data.select.top_item=3");
    assert!(
        said.contains("--set data.select.top_item=3: unknown key `top_item` (did you mean `top_items`?)"),
        "{said}"
    );
    assert!(wrong("select.top_items=3").contains("expected data.KEY=VALUE"));
}

#[test]
fn protected_groupings_are_chosen_and_shown() {
    let dir = folder();
    let compare = |change: &str| run(dir.path(), &["compare", "small.toml", "--seeds", "0", "--set", change]);
    let said = compare("data.protect.users=gender").ends(0);
    for line in
        ["  groups  users by gender (protected): M 100, F 100", "  groups  items by genre (protected): M 30, F 30"]
    {
        assert!(said.err.lines().any(|l| l == line), "{line} in\n{}", said.err);
    }
    let said = compare("data.protect.users=gendr").ends(2);
    let expected = "parameter `protect.users` = `gendr`, expected a grouping of the users (did you mean `gender`?)";
    assert!(said.err.contains(expected), "{}", said.err);
    let rows: String = (0..600).map(|n| format!("u{},i{},{}\n", n % 30, n * 7 % 41, n % 5 + 1)).collect();
    write(&dir, "mine.csv", format!("user,item,rating\n{rows}"));
    write(
        &dir,
        "ages.csv",
        (0..30).map(|n| format!("u{n},{}\n", if n < 10 { "young" } else { "old" })).collect::<String>(),
    );
    write(
        &dir,
        "mine.toml",
        "[data]\npath = 'mine.csv'\nuser_groups.age.file = 'ages.csv'\n[[run]]\nrecommender = 'random'\n",
    );
    let said = run(dir.path(), &["compare", "mine.toml", "--out", "out"]).ends(0);
    assert!(said.err.contains("  groups  users by age (protected): old 20, young 10"), "{}", said.err);
    let doubt = "protected groups of fewer than 30 users by age: `old` 20, `young` 10";
    assert!(said.out.contains(&format!("warn    {doubt}")), "{}", said.out);
    let again = run(dir.path(), &["compare", "out/experiment.effective.toml", "--out", "out"]).ends(0);
    assert!(again.out.contains("(1 found, 0 run)"), "{}", again.out);
    write(
        &dir,
        "ages.csv",
        (0..30).map(|n| format!("u{n},{}\n", if n < 9 { "young" } else { "old" })).collect::<String>(),
    );
    let other = run(dir.path(), &["compare", "mine.toml", "--out", "out"]).ends(0);
    assert!(other.out.contains("(0 found, 1 run)"), "other groups are another cell: {}", other.out);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let dir = folder();
    for threads in ["1", "2", "5"] {
        run(dir.path(), &["compare", "small.toml", "--threads", threads, "--out", threads, "-q"]).ends(0);
    }
    let results = |threads: &str| fs::read_to_string(dir.path().join(threads).join("results.csv")).unwrap();
    assert!(results("1") == results("2") && results("1") == results("5"));
    let rows = results("1");
    let header = "experiment,protocol,recommender,label,params,seed,fold,metric,k,group,attack,value,n";
    assert_eq!(rows.lines().next(), Some(header));
    for part in [
        ",rmse,,,",
        ",ndcg,10,gender=M,",
        ",auc,,,",
        ",auc-half-ties,,,",
        ",gini,10,,",
        ",mae,,gender=F,",
        ",r2,,gender=F,",
        ",worst-rmse,,,",
    ] {
        assert!(rows.contains(part), "{part}");
    }
}

#[test]
fn a_second_run_finds_what_the_first_has_finished() {
    let dir = folder();
    let compare = |more: &[&str]| run(dir.path(), &[&["compare", "small.toml", "--out", "o", "-q"], more].concat());
    let first = compare(&[]).ends(0);
    assert!(first.out.contains("(0 found, 8 run)"), "{}", first.out);
    let out = dir.path().join("o");
    assert_eq!(files(&out), ["cells", "experiment.effective.toml", "results.csv", "summary.json", "timings.csv"]);
    let results = fs::read(out.join("results.csv")).unwrap();
    assert!(compare(&[]).ends(0).out.contains("(8 found, 0 run)"));
    let cells = files(&out.join("cells"));
    fs::remove_file(out.join("cells").join(&cells[3])).unwrap();
    fs::write(out.join("cells").join(&cells[4]), "{ half").unwrap();
    assert!(compare(&[]).ends(0).out.contains("(6 found, 2 run)"));
    assert!(compare(&["--fresh"]).ends(0).out.contains("(0 found, 8 run)"));
    assert_eq!(fs::read(out.join("results.csv")).unwrap(), results);
    // What decides the result is in the key; what does not, is not.
    assert!(compare(&["--set", "name=other", "--threads", "1"]).ends(0).out.contains("(8 found, 0 run)"));
    assert!(compare(&["--set", "run.als.params.factors=5"]).ends(0).out.contains("(6 found, 2 run)"));
    assert!(compare(&["--set", "eval.k=[3]"]).ends(0).out.contains("(0 found, 8 run)"));
    assert!(compare(&["--set", "data.seed=1"]).ends(0).out.contains("(0 found, 8 run)"));
    // The experiment beside the results gives the same results.
    run(dir.path(), &["compare", "small.toml", "--out", "o", "-q"]).ends(0);
    let again = run(dir.path(), &["compare", "o/experiment.effective.toml", "--out", "o", "-q"]).ends(0);
    assert!(again.out.contains("(8 found, 0 run)"));
}

#[test]
fn an_experiment_is_never_written_over() {
    let dir = folder();
    let args = ["--set", "run.*.params={}", "--seeds", "0", "--out", ".", "-q"];
    write(&dir, "experiment.toml", fs::read(dir.path().join("small.toml")).unwrap());
    let before = fs::read(dir.path().join("experiment.toml")).unwrap();
    run(dir.path(), &[&["compare", "experiment.toml"], &args[..]].concat()).ends(0);
    assert_eq!(fs::read(dir.path().join("experiment.toml")).unwrap(), before);
    let effective = fs::read(dir.path().join("experiment.effective.toml")).unwrap();
    let said = run(dir.path(), &["compare", "experiment.effective.toml", "--out", ".", "--seeds", "1"]).ends(2);
    assert!(said.err.contains("--out would write over this experiment"), "{}", said.err);
    assert_eq!(fs::read(dir.path().join("experiment.effective.toml")).unwrap(), effective);
}

#[test]
fn cells_of_another_build_are_told() {
    let dir = folder();
    let compare =
        |more: &[&str]| run(dir.path(), &[&["compare", "small.toml", "--out", "o", "--json"], more].concat()).ends(0);
    compare(&[]);
    assert_eq!(compare(&[]).json()["warnings"], serde_json::json!([]));
    let cells = dir.path().join("o/cells");
    let cell = cells.join(&files(&cells)[0]);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&cell).unwrap()).unwrap();
    json["build"] = "0123456789abcdef".into();
    fs::write(&cell, json.to_string()).unwrap();
    let said = compare(&[]);
    let text = "1 cells were found from another build of the program; --fresh measures them anew";
    assert_eq!(said.json()["warnings"][0], text);
    assert!(said.err.contains(text), "{}", said.err);
    assert_eq!(compare(&["--fresh"]).json()["warnings"], serde_json::json!([]));
}

#[test]
fn a_table_that_can_not_be_written_does_not_hide_the_report() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("o/results.csv")).unwrap();
    let said = run(dir.path(), &["compare", "small.toml", "--out", "o", "-q"]).ends(5);
    assert!(said.out.contains("8 of 8 cells finished"), "{}", said.out);
    assert!(said.err.starts_with("error: stopped, could not write o/results.csv: "), "{}", said.err);
}

#[cfg(target_os = "linux")]
#[test]
fn a_lost_answer_is_an_error_but_a_closed_pipe_is_not() {
    let dir = folder();
    let binary = Path::new(env!("CARGO_BIN_EXE_evenhand"));
    for args in [&["list"][..], &["--help"], &["compare", "small.toml", "--out", "o", "-q"]] {
        let mut command = common::command(binary, dir.path(), args);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let said = Said::of(command.stdout(full).output().unwrap()).ends(5);
        assert!(said.err.starts_with("error: stopped, could not write standard output: "), "{}", said.err);
    }
    assert!(dir.path().join("o/results.csv").exists(), "the files are written all the same");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Said::of(common::command(binary, dir.path(), &["list"]).stdout(writer).output().unwrap()).ends(0);
}

#[test]
fn guesses_about_the_data_are_warnings() {
    let dir = tempdir().unwrap();
    let rows: String = (0..600).map(|n| format!("u{},i{},{}\n", n % 30, n * 7 % 41, n % 5 + 1)).collect();
    write(&dir, "mine.csv", format!("user,item,grade\n{rows}"));
    let args = ["compare", "--data", "mine.csv", "--seeds", "0", "--json"];
    let said = run(dir.path(), &args).ends(0);
    let text = "no rating column among `grade`; every row counts 1; name it with data.columns.rating";
    assert!(said.json()["warnings"].as_array().unwrap().iter().any(|w| w == text) && said.err.contains(text));
    let said = run(dir.path(), &[&args[..], &["--set", "data.columns.rating=grade"]].concat()).ends(0);
    assert!(!said.out.contains("every row counts 1") && said.json()["offline"]["data"]["scale"]["high"] == 5.0);
}

#[test]
fn folds_are_cells_of_their_own() {
    let dir = folder();
    let said =
        run(dir.path(), &["compare", "small.toml", "--set", "split={kind='k-fold',folds=3}", "--seeds", "4"]).ends(0);
    assert!(said.out.contains("12 of 12 cells") && said.out.contains("1 seed x 3 folds"), "{}", said.out);
}

#[test]
fn settings_are_chosen_on_validation_rows() {
    let dir = tempdir().unwrap();
    let choose = "[split]\nkind = 'random'\nvalidation = 0.2\n\
                  [choose]\nover = ['lambda']\nby = 'dee'\nwithin = { rmse = 1.05 }\n\
                  [[run]]\nrecommender = 'als'\nparams = { factors = 4, iterations = 3, lambda = [0.05, 0.1, 5.0] }\n";
    write_experiment(dir.path(), &format!("{choose}{RUNS}"));
    let said = run(dir.path(), &["compare", "small.toml", "--out", "o", "-q"]).ends(0);
    for text in [
        "fairness between the groups of gender x genre",
        "P on the Pareto front of rmse and dee; dee, ugf, cvs of predictions above 0; dee@10 of lists",
        "chosen over lambda: the smallest dee with a validation-rmse of at most 1.05 times the lowest of its group",
    ] {
        assert!(said.out.contains(text), "{text} in\n{}", said.out);
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("o/summary.json")).unwrap()).unwrap();
    let mean = |label: &str, metric: &str| {
        let setting = summary["offline"]["settings"].as_array().unwrap().iter().find(|s| s["label"] == label).unwrap();
        let figures = setting["figures"].as_array().unwrap();
        figures.iter().find(|f| f["metric"] == metric && f["k"].is_null()).unwrap()["mean"].as_f64().unwrap()
    };
    // By the rule, from the means of the summary.
    let group = &summary["offline"]["choice"]["groups"][0];
    let among: Vec<&str> = group["among"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    let lowest = among.iter().map(|l| mean(l, "validation-rmse")).fold(f64::INFINITY, f64::min);
    let within: Vec<&&str> = among.iter().filter(|l| mean(l, "validation-rmse") <= 1.05 * lowest).collect();
    assert!(among.len() == 3 && (1..3).contains(&within.len()), "{within:?} of {among:?}");
    let best = within.iter().min_by(|a, b| mean(a, "dee").total_cmp(&mean(b, "dee"))).unwrap();
    assert_eq!(group["chosen"], ***best);
    let pareto = |s: &serde_json::Value| s["pareto"] == true;
    assert!(summary["offline"]["settings"].as_array().unwrap().iter().any(pareto));
    let rows = fs::read_to_string(dir.path().join("o/results.csv")).unwrap();
    for part in [",dee,,,", ",dee-mean,,,", ",val,,,", ",ugf,,,", ",cvs,10,,", ",validation-rmse,,,"] {
        assert!(rows.contains(part), "{part}");
    }
    // Validation rows decide what is learned from, so they are part of a cell's identity; the choice is not.
    let again = |more: &[&str]| run(dir.path(), &[&["compare", "small.toml", "--out", "o", "-q"], more].concat());
    assert!(again(&["--set", "choose.by=val"]).ends(0).out.contains("(12 found, 0 run)"));
    assert!(again(&["--set", "split.validation=0.1"]).ends(0).out.contains("(0 found, 12 run)"));
}

#[test]
fn a_leaking_split_is_warned_of() {
    let dir = tempdir().unwrap();
    let rows: String = (0..400).map(|n| format!("{},{},{},{}\n", n % 20, n * 7 % 41, n % 5 + 1, n * n % 397)).collect();
    write(&dir, "mine.csv", format!("user,item,rating,timestamp\n{rows}"));
    let args = ["compare", "--data", "mine.csv", "--set", "split.kind=leave-last-out", "--set", "split.test=0.1"];
    let said = run(dir.path(), &args).ends(2);
    assert!(said.err.contains("unknown key `test`"), "{}", said.err);
    // The share of the built-in experiment is still there.
    let said = run(dir.path(), &args[..5]).ends(2);
    let place =
        "error: built-in ratings.toml:10:1: unknown key `test`: split `leave-last-out` takes no key but `kind`; ";
    assert_eq!(said.err.trim_end(), format!("{place}write --set split={{kind='leave-last-out'}}"));
    let args = ["compare", "--data", "mine.csv", "--set", "split={kind='leave-last-out'}", "--seeds", "0", "-q"];
    assert!(run(dir.path(), &args).ends(0).out.contains("models learn from their future"));
}

#[test]
fn wrong_experiments_end_with_2_and_a_place() {
    let dir = folder();
    let small = fs::read_to_string(dir.path().join("small.toml")).unwrap();
    for (from, to, expected) in [
        ("'als'", "'alz'", "error: wrong.toml:12:15: no recommender plugin `alz` (did you mean `als`?)"),
        ("seeds", "sedes", "error: wrong.toml:2:1: unknown key `sedes` (did you mean `seeds`?)"),
        ("factors = 4", "factrs = 4", "error: wrong.toml:13:12: parameters of `als`: unknown field `factrs`"),
        ("factors = 4", "factors = 0", "error: wrong.toml:13:22: `als`: parameter `factors` = 0, expected 1..=1024"),
        ("= [0, 1]", "= [0, 1", "error: wrong.toml:"),
    ] {
        write(&dir, "wrong.toml", small.replacen(from, to, 1));
        let said = run(dir.path(), &["compare", "wrong.toml"]).ends(2);
        assert!(said.err.starts_with(expected), "expected {expected}\n     got {}", said.err);
        assert_eq!((said.out.as_str(), said.err.matches("error:").count()), ("", 1));
    }
    assert!(run(dir.path(), &["compare", "none.toml"]).ends(2).err.starts_with("error: none.toml: "));
    assert!(run(dir.path(), &["compare", "small.toml", "--seeds", "x"]).ends(2).err.contains("no whole number"));
    assert!(run(dir.path(), &["compare", "--threads=-1"]).ends(2).err.contains("--threads"));
    assert!(run(dir.path(), &["compair"]).ends(2).err.contains("compare"));
}

#[test]
fn bad_data_ends_with_3_and_a_place() {
    let dir = tempdir().unwrap();
    let compare = |name: &str| run(dir.path(), &["compare", "--data", name, "-q"]);
    assert!(compare("none").ends(3).err.starts_with("error: none: "));
    write(&dir, "bad.csv", "user,item,rating\n1,2,3\n1,3,many\n");
    assert!(compare("bad.csv").ends(3).err.starts_with("error: bad.csv:3: "));
    write(&dir, "empty.csv", "");
    assert!(compare("empty.csv").ends(3).err.starts_with("error: empty.csv: "));
    write(&dir, "one.csv", "1,1,1\n1,2,5\n");
    assert!(compare("one.csv").ends(3).err.contains("user"));
    assert_eq!(run(dir.path(), &["data", "describe", "none"]).ends(3).out, "");
    run(dir.path(), &["compare", "--data", "bad.csv", "--out", "left/over"]).ends(3);
    assert!(!dir.path().join("left").exists(), "nothing is left behind");
}

#[test]
fn a_folder_that_can_not_be_written_is_refused_before_any_work() {
    let dir = folder();
    write(&dir, "file", "x");
    // The data is missing too: had any work begun, that would be the error.
    let args = ["compare", "--data", "none", "--out", "file/below"];
    assert!(run(dir.path(), &args).ends(2).err.starts_with("error: output folder file/below: "));
    assert_eq!(files(dir.path()), ["file", "small.toml"]);
    assert_eq!(run(dir.path(), &["compare", "--fresh"]).ends(2).out, "");
}

#[test]
fn plugins_are_listed_and_described() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &["list"]).ends(0);
    for name in ["random", "popularity", "als", "biased-ratings"] {
        assert!(said.out.contains(name), "{name} in\n{}", said.out);
    }
    let json = run(dir.path(), &["list", "recommenders", "--json"]).ends(0).json();
    let als = json.as_array().unwrap().iter().find(|e| e["name"] == "als").unwrap();
    assert_eq!((&als["kind"], &als["origin"]["package"]), (&"recommender".into(), &"evenhand-plugins".into()));
    assert!(json.as_array().unwrap().iter().all(|e| e["kind"] == "recommender"));
    assert!(run(dir.path(), &["list", "recomender"]).ends(2).err.contains("did you mean `recommender`?"));

    let said = run(dir.path(), &["describe", "als"]).ends(0);
    assert!(
        said.out.contains("factors") && said.out.contains("1..=1024") && said.out.contains("Koren"),
        "{}",
        said.out
    );
    let schema = run(dir.path(), &["describe", "recommender/als", "--schema"]).ends(0).json();
    assert_eq!((&schema["title"], &schema["properties"]["factors"]["minimum"]), (&"als".into(), &1.0.into()));
    assert!(run(dir.path(), &["describe", "alz"]).ends(2).err.contains("did you mean `als`?"));
    assert!(run(dir.path(), &["describe", "policy/als"]).ends(2).err.starts_with("error: no policy plugin `als`"));
}

#[test]
fn contracts_are_checked() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &["check", "popularity"]).ends(0);
    assert!(said.out.contains("ok ") && said.out.contains("0 of "), "{}", said.out);
    let json = run(dir.path(), &["check", "random", "--json"]).ends(0).json();
    assert!(json.as_array().unwrap().iter().any(|o| o["result"] == "passed" && o["plugin"] == "random"));
    assert!(run(dir.path(), &["check", "populrity"]).ends(2).err.contains("did you mean `popularity`?"));
    assert!(run(dir.path(), &["check"]).ends(2).err.contains("--all"));
}

#[test]
fn help_has_examples() {
    let dir = tempdir().unwrap();
    assert!(run(dir.path(), &["--help"]).ends(0).out.contains("Exit codes: 0"));
    for command in ["compare", "list", "describe", "check"] {
        assert!(run(dir.path(), &[command, "--help"]).ends(0).out.contains("Examples:"), "{command}");
    }
}

/// Ratings of 40 users with two cohorts, and no grouping of the items.
const COHORTS: &str = "name = 'cohorts'\n[data]\npath = 'r.csv'\nuser_groups.cohort.file = 'c.csv'\n\
    [split]\nkind = 'random'\ntest = 0.2\n[[run]]\nrecommender = 'popularity'\n";

fn cohorts() -> TempDir {
    let dir = tempdir().unwrap();
    let rating = |n: u32| format!("{},{},{}\n", n / 10, n * 7 % 23, 1 + n % 5);
    write(&dir, "r.csv", "user,item,rating\n".to_string() + &(0..400).map(rating).collect::<String>());
    write(&dir, "c.csv", (0..40).map(|u| format!("{u},{}\n", ["new", "old"][u % 2])).collect::<String>());
    write(&dir, "cohorts.toml", COHORTS);
    dir
}

#[test]
fn the_legend_names_the_fairness_that_is_shown() {
    let said = run(cohorts().path(), &["compare", "cohorts.toml"]).ends(0);
    assert!(said.out.contains("\nfairness between the groups of cohort\n"), "{}", said.out);
    assert!(said.out.contains("\nugf of predictions above 3\n"), "{}", said.out);
}

#[test]
fn a_choice_by_what_the_data_can_not_show_is_refused_before_any_run() {
    let dir = cohorts();
    let choose = |by: &str| format!("choose={{over=['damping'],by='{by}'}}");
    let args = |set: &str| ["compare", "cohorts.toml", "--set", set].map(str::to_string);
    let said = |set: &str| run(dir.path(), &args(set).each_ref().map(String::as_str));
    let refused = said(&choose("dee")).ends(2);
    assert!(
        refused.err.contains("`choose.by` = `dee`, expected `rmse`, or data with protected groups"),
        "{}",
        refused.err
    );
    assert!(!refused.err.contains("plan"), "{}", refused.err);
    said(&choose("ugf")).ends(0);
    let failing = ["--set", "run.0.recommender=mf", "--set", "run.0.params={epochs=1,fairness='equal-experience'}"];
    let choose = "choose={over=['lambda'],by='ugf'}";
    let failed = run(dir.path(), &[&["compare", "cohorts.toml", "--set", choose], &failing[..]].concat()).ends(1);
    let nothing =
        "test rows took no part\nnothing chosen among mf epochs=1 fairness=equal-experience: no finished cell";
    assert!(failed.out.contains(nothing), "no table without rows:\n{}", failed.out);
}
