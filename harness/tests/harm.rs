//! Policies against harm, through the binary: what is printed, kept, found again and refused.

mod common;

use common::{Said, files};
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const DATA: &str = "
name = 'small'
seeds = [0, 1]
[data]
simulator = { plugin = 'biased-ratings', users = 60, items = 24, r = 0.4, s = 0.4, test_share = 0.0 }
";
const HARM: &str = "
[harm]
harmful = { groups = 'genre', any = ['F'] }
c = 1.5
lambda = 5
users = 20
draws = 4
keep_users = true
[[harm.run]]
label = 'als'
recommender = 'als'
params = { factors = 3, iterations = 3 }
policy = ['uniform', 'top-k', 'alternating', 'greedy']
";

fn run(folder: &Path, args: &[&str]) -> Said {
    common::run_in(Path::new(env!("CARGO_BIN_EXE_evenhand")), folder, args)
}

/// A folder with `e.toml`.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("e.toml"), format!("{DATA}{HARM}")).unwrap();
    dir
}

/// The fields of the first row that has one like `policy`.
fn row<'a>(table: &'a str, policy: &str) -> Vec<&'a str> {
    let fields = |line: &'a str| line.split(['│', '┆']).map(str::trim).collect::<Vec<_>>();
    table.lines().map(fields).find(|fields| fields.contains(&policy)).unwrap_or_else(|| panic!("{policy} in\n{table}"))
}

#[test]
fn policies_are_measured_kept_and_equal_on_any_number_of_threads() {
    let dir = folder();
    let said = run(dir.path(), &["compare", "e.toml", "--out", "a", "--threads", "1"]).ends(0);
    let head = "small against harm on biased-ratings: 2 seeds, mean ± standard deviation over users";
    assert!(said.out.contains(head), "{}", said.out);
    let words = "sets of exactly 1, c 1.5, lambda 5, 20 users, 12 of 24 items harmful; distance after 30 steps; d its lottery \
                 is that of 4 draws";
    assert!(said.out.contains(words), "{}", said.out);
    let [top, greedy] = [row(&said.out, "top-k"), row(&said.out, "greedy d")];
    assert_eq!(top[3..7], greedy[3..7], "the same sets, so the same numbers");
    assert!(top[3].contains(" ±0.") && top[6].contains("e-"), "{top:?}");
    assert_ne!(row(&said.out, "uniform")[3..7], top[3..7]);
    assert!(said.out.contains("8 of 8 cells finished (0 found, 8 run)"), "{}", said.out);
    assert!(
        said.err.contains("8 cells = 4 policies x 2 seeds") && said.err.contains("harm    12 of 24 items  20 users")
    );
    let names = ["cells", "experiment.effective.toml", "results.csv", "summary.json", "timings.csv", "users.csv"];
    assert_eq!(files(&dir.path().join("a")), names);
    let read = |folder: &str, name: &str| fs::read_to_string(dir.path().join(folder).join(name)).unwrap();
    let results = read("a", "results.csv");
    assert!(results.contains(",harm,als,als uniform,"), "{results}");
    for metric in ["objective,,", "click-sd,,", "harm,,gender=F", "distance,,", "iterations,,", "lambda,,", "c,,"] {
        assert!(results.contains(&format!(",1,0,{metric},")), "{metric} in\n{results}");
    }
    assert_eq!(results.matches(",draws,,,,4,20\n").count(), 2, "of one policy with two seeds");
    let users = read("a", "users.csv");
    let of_user: Vec<f64> = users
        .lines()
        .filter(|line| line.starts_with("harm,als top-k,1,0,") && line.contains(",harm,"))
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    let mean = of_user.iter().sum::<f64>() / of_user.len() as f64;
    let stored = results.lines().find(|l| l.contains(",als top-k,") && l.contains(",1,0,harm,,,,")).unwrap();
    let stored: f64 = stored.split(",1,0,harm,,,,").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(of_user.len() == 20 && (mean - stored).abs() < 1e-12, "{mean} or {stored}");
    let summary: serde_json::Value = serde_json::from_str(&read("a", "summary.json")).unwrap();
    assert_eq!((&summary["schema"], &summary["harm"]["harmful_items"]), (&2.into(), &12.into()));
    assert_eq!(summary["harm"]["cases"][2]["policy"]["plugin"], "alternating");

    run(dir.path(), &["compare", "e.toml", "--out", "b", "--threads", "3", "-q"]).ends(0);
    ["results.csv", "users.csv"].iter().for_each(|name| assert!(read("a", name) == read("b", name), "{name}"));
    run(dir.path(), &["compare", "a/experiment.effective.toml", "--out", "c", "-q"]).ends(0);
    assert!(read("a", "results.csv") == read("c", "results.csv"), "the effective experiment says the same");
}

#[test]
fn what_is_finished_is_found_again_and_only_that() {
    let dir = folder();
    let compare =
        |args: &[&str]| run(dir.path(), &[&["compare", "e.toml", "--out", "o", "-q"], args].concat()).ends(0).out;
    let plain = ["--set", "harm.keep_users=false"];
    assert!(compare(&plain).contains("(0 found, 8 run)"));
    assert!(compare(&plain).contains("(8 found, 0 run)"));
    let cells = dir.path().join("o/cells");
    let results = fs::read(dir.path().join("o/results.csv")).unwrap();
    fs::remove_file(cells.join(&files(&cells)[3])).unwrap();
    assert!(compare(&plain).contains("(7 found, 1 run)"));
    assert!(fs::read(dir.path().join("o/results.csv")).unwrap() == results);
    assert!(compare(&[]).contains("(0 found, 8 run)"), "there are no numbers of users yet");
    assert!(compare(&[]).contains("(8 found, 0 run)"));
    assert!(fs::read(dir.path().join("o/results.csv")).unwrap() == results);
    assert!(compare(&["--set", "harm.harmful.any=['M']"]).contains("(0 found, 8 run)"), "other items are harmful");
    let prices = compare(&["--set", "harm.lambda=[5, 50]"]);
    assert!(prices.contains("(8 found, 8 run)"), "{prices}");
}

#[test]
fn several_prices_give_a_curve() {
    let dir = folder();
    let set = ["--set", "harm.lambda=[0,5,50]", "--set", "harm.keep_users=false", "--seeds", "0", "-q"];
    let said = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(0);
    assert!(said.out.contains("lambda 0 (the first one)"), "{}", said.out);
    let curve = said.out.split("what harm costs: every policy at every lambda").nth(1).expect("a second table");
    let numbers = |from: &str| -> Vec<Vec<f64>> {
        let lines = curve.lines().skip_while(|line| !line.contains(from)).take(3);
        let mean = |field: &str| field.split_whitespace().next().unwrap().parse().unwrap();
        lines.map(|line| line.split(['│', '┆']).skip(3).take(4).map(mean).collect()).collect()
    };
    for policy in ["uniform", "top-k", "alternating"] {
        for (row, lambda) in numbers(policy).iter().zip([0.0, 5.0, 50.0]) {
            let [price, click, harm, objective] = row[..] else { panic!("{row:?}") };
            assert_eq!(price, lambda);
            assert!((objective - (click - lambda * harm)).abs() < 0.001 * (1.0 + lambda), "{row:?}");
        }
    }
    let json = run(dir.path(), &[&["compare", "e.toml", "--json"], &set[..]].concat()).ends(0).json();
    let labels: Vec<&str> =
        json["harm"]["cases"].as_array().unwrap().iter().map(|case| case["label"].as_str().unwrap()).collect();
    assert_eq!((labels.len(), labels[1]), (12, "als uniform lambda=5"));
}

#[test]
fn parts_of_one_experiment_share_the_data() {
    let dir = folder();
    let text = format!("{DATA}{HARM}[eval]\nusers = true\n[[run]]\nrecommender = 'random'\n");
    fs::write(dir.path().join("both.toml"), text).unwrap();
    let said = run(dir.path(), &["compare", "both.toml", "--out", "o", "--seeds", "0"]).ends(0);
    assert!(said.out.contains("5 of 5 cells finished") && said.out.contains("small on biased-ratings"), "{}", said.out);
    assert_eq!(said.err.matches("  data    ").count(), 1, "{}", said.err);
    let users = fs::read_to_string(dir.path().join("o/users.csv")).unwrap();
    assert!(users.contains("\noffline,random,0,0,") && users.contains("\nharm,als greedy,0,0,"));
}

#[test]
fn what_can_not_work_is_said() {
    let dir = folder();
    let set = |changes: &[&'static str]| -> Vec<&'static str> {
        let changes = changes.iter().flat_map(|change| ["--set", change]);
        ["compare", "e.toml", "--seeds", "0", "--set", "harm.keep_users=false"].into_iter().chain(changes).collect()
    };
    let said = run(dir.path(), &["compare", "e.toml"]).ends(2);
    assert!(said.err.contains("`harm.keep_users` without a folder for their numbers; add --out DIR"), "{}", said.err);
    for (changes, code, expected) in [
        (&["harm.k=13"][..], 2, "--set harm.k=13: `harm.k` = 13, expected at most 12, the items that are not harmful"),
        (&["harm.users=61"], 2, "--set harm.users=61: `harm.users` = 61, expected at most 60, the users of the data"),
        (
            &["harm.harmful.any=['M', 'F']"],
            3,
            "all of the 24 items are harmful, so none may be shown; items are labelled by harmful = {",
        ),
        (&["harm.harmful.any=[]"], 2, "--set harm.harmful.any=[]: `harm.harmful`: `any` must name at least one group"),
        (&["harm.harmful.any=['Horror']"], 2, "`Horror`, expected a group of items by genre; there: F, M"),
        (&["harm.run.als.policy=unifrom"], 2, "no policy plugin `unifrom` (did you mean `uniform`?)"),
    ] {
        let said = run(dir.path(), &set(changes)).ends(code);
        assert!(said.err.contains(expected), "expected {expected}\n     got {}", said.err);
    }
    let params = "harm.run.0.params={}";
    let said = run(dir.path(), &set(&["harm.run.0.recommender=random", params, "harm.run.0.policy=uniform"])).ends(1);
    let reason = "FAILED  als uniform, seed 0: `random` does not support profiles: it has no factors";
    assert!(said.out.contains(reason) && row(&said.out, "uniform").contains(&"failed"), "{}", said.out);
    let said = run(dir.path(), &set(&["harm.rule=independent"])).ends(1);
    let reason = "FAILED  als greedy, seed 0: `greedy` can not state its distribution over sets, which `harm.rule` = \
                  `independent` needs";
    assert!(said.out.contains(reason) && said.out.contains("3 of 4 cells finished"), "{}", said.out);
    let said = run(dir.path(), &set(&["harm.c={grid=[50, 90]}"])).ends(1);
    let reason = "parameter `harm.c.grid` = [50.0, 90.0], expected a weight at which the mean click of `uniform`";
    assert!(said.out.matches(reason).count() == 4 && said.out.contains("c not calibrated"), "{}", said.out);
    let said = run(dir.path(), &["calibrate", "none.toml"]).ends(2);
    assert!(said.err.contains("none.toml"), "{}", said.err);
    fs::write(dir.path().join("plain.toml"), format!("{DATA}[[run]]\nrecommender = 'random'\n")).unwrap();
    let said = run(dir.path(), &["calibrate", "plain.toml"]).ends(2);
    assert!(said.err.contains("plain.toml: no `[harm]` to be calibrated"), "{}", said.err);
}

#[test]
fn a_weight_is_calibrated_as_the_comparison_would() {
    let dir = folder();
    let grid = "harm.c={grid=[0.25,0.5,1,2,4],click=0.5}";
    let args = ["calibrate", "e.toml", "--set", grid];
    let json = run(dir.path(), &[&args[..], &["--json", "-q"]].concat()).ends(0).json();
    let [found] = json.as_array().unwrap().as_slice() else { panic!("one recommender in {json}") };
    assert_eq!((&found["label"], &found["users"], &found["seed"]), (&"als".into(), &20.into(), &0.into()));
    let click = |entry: &serde_json::Value, policy: &str| entry[policy]["click"].as_f64().unwrap();
    let rows = found["grid"].as_array().unwrap();
    assert!(rows.windows(2).all(|pair| click(&pair[0], "uniform") > click(&pair[1], "uniform")), "{found}");
    assert!(rows.iter().all(|row| click(row, "alternating") > click(row, "uniform")), "{found}");
    let enough = rows.iter().rfind(|row| click(row, "uniform") >= 0.5).unwrap();
    assert_eq!(found["chosen"], enough["c"]);
    let said = run(dir.path(), &args).ends(0);
    let line = format!(
        "* c = {}, the largest at which the click of uniform is at least 0.5",
        found["chosen"].as_f64().unwrap()
    );
    assert!(said.out.contains("als: means over 20 users, seed 0") && said.out.contains(&line), "{}", said.out);
    let set = ["--seeds", "0", "--set", "harm.keep_users=false", "--set", grid, "-q", "--json"];
    let summary = run(dir.path(), &[&["compare", "e.toml"], &set[..]].concat()).ends(0).json();
    let figures = summary["harm"]["cases"][0]["figures"].as_array().unwrap();
    let mean =
        |metric: &str| figures.iter().find(|f| f["metric"] == metric && f["group"].is_null()).unwrap()["mean"].clone();
    assert_eq!((mean("c"), mean("click")), (found["chosen"].clone(), enough["uniform"]["click"].clone()));
    let none = run(dir.path(), &["calibrate", "e.toml", "--set", "harm.c={grid=[90]}"]).ends(1);
    let text = "no c here at which the click of uniform is at least 0.5; try smaller ones";
    assert!(none.out.contains(text) && none.err.contains(text), "{} {}", none.out, none.err);
    let last = ["--set", "harm.c={grid=[0.25,0.125]}", "-q"];
    let said = run(dir.path(), &[&["calibrate", "e.toml"], &last[..]].concat()).ends(0);
    assert!(said.out.contains("0.25 is the largest of the grid: larger ones may do too"), "{}", said.out);
    assert_eq!((&found["at_least"], &found["chosen_is_largest"]), (&0.5.into(), &false.into()));
    assert_eq!(
        (&rows[0]["uniform"]["not_converged"], &rows[0]["alternating"]["not_converged"]),
        (&0.into(), &0.into())
    );
    let again = HARM[HARM.find("[[").unwrap()..].replacen("label = 'als'", "label = 'again'", 1);
    fs::write(dir.path().join("twice.toml"), format!("{DATA}{HARM}{again}")).unwrap();
    let said = run(dir.path(), &["calibrate", "twice.toml", "-q"]).ends(0);
    assert!(said.out.contains("warn    ") && said.out.contains("has the same parameters as"), "{}", said.out);
    let usual = run(dir.path(), &["calibrate", "e.toml", "--json", "-q"]).ends(0).json();
    assert_eq!(usual[0]["grid"].as_array().unwrap().len(), 10);
}
