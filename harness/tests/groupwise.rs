//! Group regressors, through the binary: what is printed, kept, found again and refused.

mod common;

use common::{Said, files};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const HEAD: &str = "
name = 'small'
seeds = [3, 4]
[groupwise.data]
path = 'table.csv'
label = 'y'
features = ['f_*']
groups = ['g_*']
";
const RUNS: &str = "
[[groupwise.run]]
label = 'single'
regressor = 'online-ridge'
params = { scope = 'pooled' }
[[groupwise.run]]
label = 'groupwise'
regressor = 'groupwise'
[[groupwise.run]]
label = 'ols'
regressor = 'ols'
params = { scope = ['per-group', 'pooled'] }
";

fn run(folder: &Path, args: &[&str]) -> Said {
    common::run_in(Path::new(env!("CARGO_BIN_EXE_evenhand")), folder, args)
}

/// A folder with `e.toml`, `table.csv` and `orders.csv`: 60 rows in one of two shapes, whose labels follow different lines,
/// and some of them in a colour; nobody is `rare`.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    let mut table = "f_a,f_b,g_round,g_square,g_red,g_rare,y\n".to_string();
    let mut orders = "seed_3,seed_4\n".to_string();
    for row in 0..60u32 {
        let (a, b) = (f64::from(row % 7), f64::from(row * row % 11));
        let (round, red) = (row % 3 != 0, row % 4 == 0);
        let y = if round { a + 0.5 * b } else { 4.0 - a } + f64::from(row % 5) / 10.0;
        let flag = |there: bool| u8::from(there);
        writeln!(table, "{a},{b},{},{},{},0,{y}", flag(round), flag(!round), flag(red)).unwrap();
        writeln!(orders, "{},{}", 59 - row, row * 7 % 60).unwrap();
    }
    fs::write(dir.path().join("table.csv"), table).unwrap();
    fs::write(dir.path().join("orders.csv"), orders).unwrap();
    fs::write(dir.path().join("e.toml"), format!("{HEAD}{RUNS}")).unwrap();
    dir
}

/// The fields of the rows that begin with `name`.
fn rows<'a>(text: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let fields = |line: &'a str| line.trim_matches('│').split(['│', '┆']).map(str::trim).collect::<Vec<_>>();
    text.lines().map(fields).filter(|fields| fields.len() > 1 && fields[0] == name).collect()
}

#[test]
fn regressors_are_measured_kept_and_equal_on_any_number_of_threads() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "e.toml", "--out", "a", "--threads", "1"]).ends(0);
    assert!(said.err.contains("  table   table  60 rows  2 features  4 groups\n"), "{}", said.err);
    assert!(said.err.contains("8 cells = 4 runs x 2 seeds   0 found   8 to run"), "{}", said.err);
    assert!(
        said.out.contains("small by groups of table, online: 2 seeds, mean ± sample standard deviation"),
        "{}",
        said.out
    );
    let head = ["group", "rows", "hindsight", "single ↓", "groupwise ↓", "expected ↓"];
    assert_eq!(rows(&said.out, "group")[0], head);
    let round = &rows(&said.out, "round")[0];
    let regret = |field: &str| -> f64 { field.split(' ').next().unwrap().parse().unwrap() };
    assert!(
        round[1] == "40" && regret(round[3]) > regret(round[5]) && regret(round[5]) >= regret(round[4]),
        "{round:?}"
    );
    assert_eq!(rows(&said.out, "rare")[0], ["rare", "0", "-", "-", "-", "-"]);
    let [apart, pooled] = ["ols scope=per-group", "ols scope=pooled"].map(|name| rows(&said.out, name).remove(0));
    assert!(regret(apart[1]) > regret(pooled[1]) && regret(apart[2]) < regret(pooled[2]), "{apart:?} {pooled:?}");
    assert!(said.out.contains("R2 of `ols scope=per-group`: in rows the model of a group alone"), "{}", said.out);
    assert!(!said.out.contains("R2 of `ols scope=pooled`"), "one model has one row");
    let model = |name| rows(&said.out, name).into_iter().find(|row| row.len() == 5).unwrap();
    assert!(regret(model("round")[1]) > 0.95 && regret(model("square")[1]) < 0.0, "{}", said.out);
    assert!(said.out.contains("no R2 of `rare`: no test row (2 of 2 seeds)"), "{}", said.out);
    assert!(said.out.contains("warn    groups without a row, which have no figures: `rare`"), "{}", said.out);
    assert!(said.out.contains("8 of 8 cells finished (0 found, 8 run)"), "{}", said.out);

    let names = ["cells", "experiment.effective.toml", "results.csv", "summary.json", "timings.csv"];
    assert_eq!(files(&dir.path().join("a")), names);
    let read = |folder: &str, name: &str| fs::read_to_string(dir.path().join(folder).join(name)).unwrap();
    let results = read("a", "results.csv");
    assert!(results.contains(",groupwise,online-ridge,single,"), "{results}");
    for row in [
        "regret,,,",
        "regret,,round,",
        "expected-regret,,red,",
        "hindsight,,,",
        "rank,,square,",
        "worst-regret,,,",
        "r2,,,",
        "rmse,,round,",
        "own-r2,,round,",
        "cross-r2 round,,square,",
        "test-rows,,rare,",
        "no-prediction,,,",
    ] {
        assert!(results.contains(&format!(",4,0,{row}")), "{row} in\n{results}");
    }
    assert!(results.contains(",rows,,rare,,0,0\n"), "{results}");
    let of_rare = |scope: &str| results.lines().any(|line| line.contains(scope) && line.contains(",cross-r2 rare,"));
    assert!(of_rare(",ols scope=pooled,") && !of_rare(",ols scope=per-group,"), "one model is that of every group");
    let summary: serde_json::Value = serde_json::from_str(&read("a", "summary.json")).unwrap();
    let part = &summary["groupwise"];
    assert_eq!((&part["data"]["rows"], &part["data"]["groups"][0]["rows"]), (&60.into(), &40.into()));
    assert_eq!(
        (&part["data"]["label"], &part["options"]["test"], &part["orders"]),
        (&"y".into(), &0.2.into(), &"shuffled".into())
    );
    assert_eq!((&part["runs"][1]["regressor"], &part["runs"][1]["learning"]), (&"groupwise".into(), &"online".into()));
    assert_eq!((&part["runs"][2]["without_r2"][0]["reason"], &part["cells"]), (&"no test row".into(), &8.into()));
    assert_eq!(part["digest"].as_str().unwrap().len(), 64);

    run(dir.path(), &["compare", "e.toml", "--out", "b", "--threads", "3", "-q"]).ends(0);
    assert!(results == read("b", "results.csv"));
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    run(&elsewhere, &["compare", "../a/experiment.effective.toml", "--out", "../c", "-q"]).ends(0);
    assert!(results == read("c", "results.csv"), "the effective experiment says the same");
}

#[test]
fn what_is_finished_is_found_again_and_only_that() {
    let dir = folder();
    let compare = |changes: &[&str]| {
        let changes: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
        run(dir.path(), &[&["compare", "e.toml", "--out", "o", "-q"], &changes[..]].concat()).ends(0).out
    };
    assert!(compare(&[]).contains("(0 found, 8 run)"));
    let results = fs::read(dir.path().join("o/results.csv")).unwrap();
    assert!(compare(&[]).contains("(8 found, 0 run)"));
    let cells = dir.path().join("o/cells");
    fs::remove_file(cells.join(&files(&cells)[5])).unwrap();
    assert!(compare(&[]).contains("(7 found, 1 run)"));
    assert!(fs::read(dir.path().join("o/results.csv")).unwrap() == results);
    assert!(compare(&["groupwise.test=0.3"]).contains("(4 found, 4 run)"), "what is held out is of no account online");
    assert!(compare(&["groupwise.comparator=all-but-last"]).contains("(4 found, 4 run)"));
    assert!(compare(&["groupwise.orders=orders.csv"]).contains("(4 found, 4 run)"));
    let orders = fs::read_to_string(dir.path().join("orders.csv")).unwrap();
    fs::write(dir.path().join("orders.csv"), orders.replacen("59,0\n58,7\n", "58,0\n59,7\n", 1)).unwrap();
    let other = compare(&["groupwise.orders=orders.csv"]);
    assert!(other.contains("(6 found, 2 run)"), "one seed has another order: {other}");
    let table = fs::read_to_string(dir.path().join("table.csv")).unwrap();
    fs::write(dir.path().join("table.csv"), table.replacen("0,0,0,1,1,0,4", "0,0,0,1,1,0,5", 1)).unwrap();
    assert!(compare(&[]).contains("(0 found, 8 run)"), "a label has changed");
}

#[test]
fn orders_come_from_the_table_or_from_a_file() {
    let dir = folder();
    let of = |orders: &str| {
        let set = [format!("groupwise.orders={orders}"), "groupwise.run.groupwise.learning=['online','batch']".into()];
        let said = run(dir.path(), &["compare", "e.toml", "-q", "--json", "--set", &set[0], "--set", &set[1]]).ends(0);
        let json = said.json();
        assert_eq!(json["groupwise"]["runs"][2]["label"], "groupwise batch");
        let figures = json["groupwise"]["runs"][0]["figures"].as_array().unwrap().clone();
        let regret = figures.into_iter().find(|f| f["metric"] == "regret" && f["group"].is_null()).unwrap();
        (regret["mean"].as_f64().unwrap(), regret["sd"].as_f64().unwrap())
    };
    let [as_is, shuffled, file] = ["as-is", "shuffled", "orders.csv"].map(of);
    assert!(as_is.1 == 0.0 && shuffled.1 > 0.0 && file.1 > 0.0, "{as_is:?} {shuffled:?} {file:?}");
    assert!(as_is.0 != shuffled.0 && shuffled.0 != file.0);
}

#[test]
fn what_can_not_work_is_said() {
    let dir = folder();
    let refused = |changes: &[&str], code| {
        let changes: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
        run(dir.path(), &[&["compare", "e.toml"], &changes[..]].concat()).ends(code).err
    };
    for (changes, code, expected) in [
        (&["groupwise.data.label=z"][..], 3, "table.csv"),
        (&["groupwise.data.path=none.csv"], 3, "none.csv"),
        (&["groupwise.data.groups=['h_*']"], 3, "h_*"),
        (&["groupwise.data.lable=y"], 2, "--set groupwise.data.lable=y: unknown key `lable` (did you mean `label`?)"),
        (&["groupwise.orders=orders.csv", "seeds=[5]"], 3, "orders.csv"),
        (&["groupwise.orders=table.csv"], 3, "table.csv"),
        (
            &["groupwise.orders=shufled"],
            3,
            "`groupwise.orders`: no file \"shufled\"; expected \"shuffled\", \"as-is\" or a file (did you mean \
             \"shuffled\"?)",
        ),
        (
            &["groupwise.run.groupwise.params.base=ols"],
            2,
            "`groupwise` can not learn row by row with these parameters: `ols` does not support learning row by row",
        ),
        (
            &["groupwise.test=1.5"],
            2,
            "--set groupwise.test=1.5: `groupwise.test` = 1.5, expected a share above 0 and below 1",
        ),
        (&["groupwise.run.single.regressor=olds"], 2, "no group-regressor plugin `olds` (did you mean `ols`?)"),
        (&["groupwise.run.ols.learning=online"], 2, "`ols` does not learn online, expected batch"),
        (&["groupwise.run.single.params.lambda=-1"], 2, "parameter `lambda` = -1"),
        (&["groupwise.data={ simulator = 'user-item' }"], 3, "`user-item` does not support emitting a table of groups"),
    ] {
        let said = refused(changes, code);
        assert!(said.contains(expected), "expected {expected}\n     got {said}");
    }
    let said = run(dir.path(), &["compare", "e.toml", "--data", "ratings.csv"]).ends(2);
    assert!(said.err.contains("--data ratings.csv: no `[[run]]`: nothing to compare"), "{}", said.err);
}

#[test]
fn memberships_that_are_features_already_are_no_features_once_more() {
    let dir = folder();
    let regrets = |changes: &[&str]| {
        let changes: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
        let args = [&["compare", "e.toml", "-q", "--json", "--seeds", "3"], &changes[..]].concat();
        let json = run(dir.path(), &args).ends(0).json();
        json["groupwise"]["runs"][0]["figures"].clone()
    };
    // `g_red` is the feature, `red` the group.
    let both = "groupwise.data.features=['f_*', 'g_*']";
    assert!(regrets(&[both]) == regrets(&[both, "groupwise.indicators.online=false"]));
    assert!(regrets(&[]) != regrets(&["groupwise.indicators.online=false"]));
    let bins = "groupwise.data.groups=[{ column = 'f_a', bins = [3], feature = true }]";
    assert!(regrets(&[bins]) == regrets(&[bins, "groupwise.indicators.online=false"]));
}

#[test]
fn a_regressor_that_fails_is_a_row_and_the_others_go_on() {
    let dir = folder();
    let table = fs::read_to_string(dir.path().join("table.csv")).unwrap();
    fs::write(dir.path().join("huge.csv"), table.replacen("0,0,0,1,1,0,4", "0,0,0,1,1,0,1e200", 1)).unwrap();
    let set = ["--set", "groupwise.data.path=huge.csv", "--seeds", "3", "-q"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(1);
    let failed = |label: &str| said.out.lines().any(|line| line.starts_with(&format!("FAILED  {label}, seed 3: ")));
    assert!(failed("single") && said.out.contains("became non-finite"), "{}", said.out);
    let all = &rows(&said.out, "all")[0];
    assert_eq!(all[3], "failed", "{}", said.out);
    assert!(said.out.contains(" of 4 cells finished"), "{}", said.out);
}
