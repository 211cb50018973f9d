//! A plugin crate outside of the workspace, as an author writes it: it builds with a two-line `main`, its plugins stand
//! beside all others, and those that misbehave spoil nothing but their own rows.

mod common;

use common::{Said, files, write_experiment};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// The binary of the outside crate, built once.
///
/// It is built from a copy in the target folder, so that the source tree stays as it is, with the workspace's
/// `Cargo.lock` beside it and without network: same versions, nothing to fetch that the workspace does not have.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (from, to) = (harness.join("tests/outside"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside"));
        fs::create_dir_all(to.join("src")).unwrap();
        let manifest = fs::read_to_string(from.join("Cargo.toml")).unwrap();
        let path = |p: &str| format!("path = {}", toml::Value::String(harness.join(p).to_str().unwrap().into()));
        let manifest =
            manifest.replace("path = \"../..\"", &path("")).replace("path = \"../../../core\"", &path("../core"));
        put(&to.join("Cargo.toml"), &manifest);
        for file in ["src/lib.rs", "src/main.rs"] {
            put(&to.join(file), &fs::read_to_string(from.join(file)).unwrap());
        }
        fs::copy(harness.join("../Cargo.lock"), to.join("Cargo.lock")).unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "--manifest-path"])
            .arg(to.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", to.join("target"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        to.join("target/debug/outside").with_extension(std::env::consts::EXE_EXTENSION)
    })
}

/// Writes a file unless it is so already: an untouched file is not compiled again.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
    }
}

fn run(folder: &Path, args: &[&str]) -> Said {
    common::run_in(binary(), folder, args)
}

#[test]
fn its_main_is_two_lines() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/src/main.rs")).unwrap();
    assert_eq!(main.lines().count(), 2);
}

#[test]
fn its_plugins_stand_beside_all_others() {
    let dir = tempdir().unwrap();
    let json = run(dir.path(), &["list", "--json"]).ends(0).json();
    let origin = |name: &str| json.as_array().unwrap().iter().find(|e| e["name"] == name).unwrap()["origin"].clone();
    assert_eq!(
        (&origin("flat")["package"], &origin("als")["package"]),
        (&"outside".into(), &"evenhand-plugins".into())
    );

    write_experiment(dir.path(), "[[run]]\nrecommender = 'flat'\n[[run]]\nrecommender = 'popularity'\n");
    let said = run(dir.path(), &["compare", "small.toml", "--json"]).ends(0);
    let json = said.json();
    assert_eq!(
        (&json["offline"]["settings"][0]["label"], &json["offline"]["settings"][0]["cells"]),
        (&"flat".into(), &2.into())
    );
    assert_eq!(json["offline"]["settings"][0]["origins"][0], "recommender/flat outside 0.1.0");
    // A constant model earns nothing where ties count against it, and half where they count half.
    let auc = |metric: &str| {
        let all = json["offline"]["settings"][0]["figures"].as_array().unwrap();
        all.iter().find(|f| f["metric"] == metric && f["group"].is_null()).unwrap()["mean"].clone()
    };
    assert_eq!((auc("auc"), auc("auc-half-ties")), (0.0.into(), 0.5.into()));
    assert!(run(dir.path(), &["describe", "flat"]).ends(0).out.contains("nobody, never"));
}

#[test]
fn a_plugin_that_fails_is_a_row_and_the_rest_goes_on() {
    let dir = tempdir().unwrap();
    let runs = ["'panics'", "'fails'", "'fails'\nparams = { late = true }", "'popularity'"];
    let runs: String = runs.iter().map(|r| format!("[[run]]\nrecommender = {r}\n")).collect();
    write_experiment(dir.path(), &runs);
    let said = run(dir.path(), &["compare", "small.toml", "--out", "o"]).ends(1);
    for expected in [
        "FAILED  panics, seed 0, fold 0: panicked at ",
        ": out of cheese after 200 users",
        "FAILED  fails, seed 1, fold 0: the stars are wrong",
        "FAILED  fails late=true, seed 0, fold 0: ",
        "2 of 8 cells finished (0 found, 8 run), 6 failed",
    ] {
        assert!(said.out.contains(expected), "{expected} in\n{}", said.out);
    }
    assert!(said.out.lines().any(|l| l.contains("panics") && l.contains("failed")));
    assert!(!said.err.contains("RUST_BACKTRACE") && !said.err.contains("thread '"), "{}", said.err);
    assert_eq!(files(&dir.path().join("o/cells")).len(), 2, "failed cells are run again");
    let results = fs::read_to_string(dir.path().join("o/results.csv")).unwrap();
    assert!(results.contains(",popularity,") && !results.contains("panics"));
    let json = run(dir.path(), &["compare", "small.toml", "--out", "o", "--json"]).ends(1).json();
    assert_eq!((&json["found"], &json["run"], json["failures"].as_array().unwrap().len()), (&2.into(), &6.into(), 6));
}

#[test]
fn what_plugins_say_is_safe_for_a_terminal() {
    let dir = tempdir().unwrap();
    write_experiment(dir.path(), "[[run]]\nrecommender = 'mumbles'\nparams = { aloud = [true, false] }\n");
    let said = run(dir.path(), &["compare", "small.toml"]).ends(1);
    assert!(said.out.contains("aloud=true, seed 0, fold 0: \\u{1b}[2Jgone\n"), "{}", said.out);
    assert!(said.out.contains("aloud=false, seed 0, fold 0: an error without a message\n"), "{}", said.out);
    assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{}", said.err);
}

#[test]
fn the_contract_kit_runs_on_it() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &["check", "panics"]).ends(1);
    assert!(said.out.contains("FAILED") && said.out.contains("out of cheese"), "{}", said.out);
    assert!(!said.err.contains("thread '"), "{}", said.err);
}

/// The first signal keeps what is finished; the next run goes on there.
#[cfg(unix)]
#[test]
fn an_interrupted_comparison_is_resumed() {
    let dir = tempdir().unwrap();
    write_experiment(dir.path(), "[[run]]\nrecommender = 'slow'\nparams = { steps = [1, 300] }\n");
    let args = ["compare", "small.toml", "--out", "o"];
    let mut command = common::command(binary(), dir.path(), &args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let cells = dir.path().join("o/cells");
    let start = Instant::now();
    let finished = |cells: &Path| cells.is_dir() && files(cells).iter().any(|f| f.ends_with(".json"));
    while !finished(&cells) {
        assert!(start.elapsed() < Duration::from_secs(60), "no cell is ever finished");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = Said::of(child.wait_with_output().unwrap()).ends(130);
    assert!(start.elapsed() < Duration::from_secs(60), "stopped within a step");
    assert!(said.out.contains("1 of 4 cells finished (0 found, 1 run), interrupted"), "{}", said.out);
    assert!(fs::read_to_string(dir.path().join("o/results.csv")).unwrap().contains(",slow,"));
    let again = run(dir.path(), &["compare", "small.toml", "--out", "o", "--set", "run.0.params.steps=1"]).ends(0);
    assert!(again.out.contains("2 of 2 cells finished (1 found, 1 run)"), "{}", again.out);
}

/// What a complete run has written is not replaced by less.
#[cfg(unix)]
#[test]
fn an_interrupted_fresh_run_keeps_the_tables_whole() {
    let dir = tempdir().unwrap();
    write_experiment(dir.path(), "[[run]]\nrecommender = 'slow'\nparams = { steps = 20 }\n");
    let args = ["compare", "small.toml", "--out", "o"];
    run(dir.path(), &args).ends(0);
    let results = || fs::read_to_string(dir.path().join("o/results.csv")).unwrap();
    let whole = results();
    let interrupted = |more: &[&str]| {
        let mut command = common::command(binary(), dir.path(), &[&args[..], more].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Said before the first cell, and after signals are listened to.
        let told = BufReader::new(child.stderr.take().unwrap());
        let mut told = told.lines().map_while(Result::ok).skip_while(|line| !line.contains("  plan  "));
        assert!(told.next().is_some());
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        Said::of(child.wait_with_output().unwrap()).ends(130)
    };
    let said = interrupted(&["--fresh"]);
    assert!(said.out.contains("2 of 2 cells finished (2 found, 0 run), interrupted"), "{}", said.out);
    assert_eq!(results(), whole);
    // Another experiment in the same folder, which has nothing yet.
    let said = interrupted(&["--set", "run.0.params.steps=30"]);
    assert!(said.out.contains("hold more and are left as they are"), "{}", said.out);
    assert_eq!(results(), whole);
}

#[test]
fn an_agent_that_fails_is_a_row_and_the_others_go_on() {
    let dir = tempdir().unwrap();
    let agents: String = ["panics", "fails", "popularity"]
        .iter()
        .map(|name| format!("[[interactive.agent]]\nrecommender = '{name}'\nlabel = '{name}'\npolicy = 'greedy'\n"))
        .collect();
    let head =
        "seeds = [0, 1]\n[interactive]\nsimulator = { plugin = 'user-item', users = 20, items = 9 }\nperiods = 4\n";
    std::fs::write(dir.path().join("agents.toml"), format!("{head}{agents}")).unwrap();
    let said = run(dir.path(), &["compare", "agents.toml", "--out", "o"]).ends(1);
    for name in ["panics", "fails"] {
        let row = said.out.lines().find(|line| line.contains(&format!("│ {name} "))).unwrap();
        assert!(row.matches("failed").count() == 2 && row.contains(" - "), "{row}");
        assert!(said.out.contains(&format!("FAILED  {name}, seed 1: ")), "{}", said.out);
    }
    assert!(said.out.contains("2 of 6 cells finished (0 found, 6 run), 4 failed"), "{}", said.out);
    let periods = std::fs::read_to_string(dir.path().join("o/periods.csv")).unwrap();
    let mut rows = periods.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name: &str| header.iter().position(|field| field == name).unwrap();
    let (failed, fine) = (column("mean_regret_panics"), column("mean_regret_popularity"));
    assert_eq!(rows.clone().count(), 8);
    assert!(rows.all(|row| row[failed].is_empty() && row[fine].parse::<f64>().is_ok()));
    let again = run(dir.path(), &["compare", "agents.toml", "--out", "o", "--json"]).ends(1).json();
    assert_eq!((&again["found"], &again["run"]), (&2.into(), &4.into()));
    assert_eq!(
        (&again["failures"][0]["protocol"], &again["failures"][0]["label"]),
        (&"interactive".into(), &"panics".into())
    );
}
