//! Devices through the binary: what is chosen, what is told of a machine without a GPU or with a broken driver.

mod common;

use common::{Said, write_experiment};
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const RUNS: &str = "
[[run]]
recommender = 'popularity'
[[run]]
recommender = 'als'
params = { factors = 4, iterations = 3 }
[harm]
harmful = { groups = 'genre', any = ['F'] }
users = 5
[[harm.run]]
recommender = 'als'
policy = 'uniform'
[[interactive.agent]]
recommender = 'als'
policy = 'greedy'
[interactive]
simulator = { plugin = 'user-item', users = 20, items = 10 }
periods = 2
";

/// Runs the binary where no GPU can be seen, whatever the machine has.
fn run(folder: &Path, args: &[&str]) -> Said {
    let mut command = common::command(Path::new(env!("CARGO_BIN_EXE_evenhand")), folder, args);
    quiet(Said::of(command.env("CUDA_VISIBLE_DEVICES", "").output().unwrap()))
}

/// The same, once it is sure that nothing has panicked.
#[track_caller]
fn quiet(said: Said) -> Said {
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    write_experiment(dir.path(), RUNS);
    dir
}

#[test]
fn cuda_where_there_is_none_is_refused_with_the_reason_before_any_work() {
    let dir = folder();
    let reason = run(dir.path(), &["doctor", "--json"]).ends(0).json()["cuda"]["reason"].as_str().unwrap().to_string();
    for args in [
        &["compare", "small.toml", "--out", "o"][..],
        &["calibrate", "small.toml"],
        &["check", "als"],
        &["check", "--all"],
    ] {
        let said = run(dir.path(), &[args, &["--device", "cuda"]].concat()).ends(2);
        let expected = format!("error: --device cuda: {reason}; `evenhand doctor` tells more\n");
        assert_eq!((said.err, said.out), (expected, String::new()), "{args:?}");
    }
    assert!(!dir.path().join("o").exists());
}

#[test]
fn an_unknown_device_is_told_which_there_are() {
    let dir = folder();
    for command in [&["compare"][..], &["check", "als"], &["calibrate", "e"], &["off-policy", "log", "e"]] {
        let said = run(dir.path(), &[command, &["--device", "gpu"]].concat()).ends(2);
        assert!(said.err.contains("[possible values: auto, cpu, cuda]"), "{}", said.err);
    }
    let help = run(dir.path(), &["compare", "--help"]).ends(0).out;
    for text in ["--device <DEVICE>", "[default: auto]", "evenhand doctor", "no driver is looked for"] {
        assert!(help.contains(text), "{text} in\n{help}");
    }
}

#[test]
fn results_do_not_depend_on_the_device() {
    let dir = folder();
    // With whatever the machine has.
    let compare = |device: &str| {
        let args = ["compare", "small.toml", "--seeds", "0", "--device", device, "--out", device];
        quiet(common::run_in(Path::new(env!("CARGO_BIN_EXE_evenhand")), dir.path(), &args).ends(0))
    };
    for device in ["auto", "cpu"] {
        compare(device);
    }
    let read = |device: &str, name: &str| fs::read_to_string(dir.path().join(device).join(name)).unwrap();
    assert_eq!(read("auto", "results.csv"), read("cpu", "results.csv"));
    let timings = read("cpu", "timings.csv");
    assert!(timings.lines().next().unwrap().ends_with(",found,device"), "{timings}");
    assert!(timings.lines().skip(1).all(|line| line.ends_with(",false,cpu")), "{timings}");
    // Cells of another device are found, and their times told apart.
    let cells = dir.path().join("cpu/cells");
    let cell = cells.join(&common::files(&cells)[0]);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&cell).unwrap()).unwrap();
    json["device"] = "other".into();
    fs::write(&cell, json.to_string()).unwrap();
    let told = "warn    times are of several devices (cells: `cpu` ";
    let said = compare("cpu");
    assert!(said.out.contains(told) && said.err.contains(told), "{}{}", said.out, said.err);
    // Cells that do not say are of the CPU.
    json.as_object_mut().unwrap().remove("device");
    fs::write(&cell, json.to_string()).unwrap();
    let said = compare("cpu");
    assert!(said.out.contains(" 0 run)") && !said.out.contains("several devices"), "{}", said.out);
}

#[test]
fn a_doctor_looks_at_the_machine() {
    let dir = tempdir().unwrap();
    let json = run(dir.path(), &["doctor", "--json"]).ends(0).json();
    assert_eq!((&json["evenhand"], &json["os"]), (&env!("CARGO_PKG_VERSION").into(), &std::env::consts::OS.into()));
    assert_eq!(json["architecture"], std::env::consts::ARCH);
    assert!(json["threads"].as_u64() > Some(0) && json["plugins"]["recommender"].as_u64() > Some(2), "{json}");
    assert_eq!(json["environment"]["CUDA_VISIBLE_DEVICES"], "");
    let cuda = &json["cuda"];
    assert!(cuda["available"] == false && cuda["remedy"].is_string(), "{cuda}");
    if cfg!(target_os = "linux") {
        let [total, free] = ["total", "free"].map(|which| json["memory"][which].as_u64().unwrap());
        assert!(0 < free && free < total, "{free} of {total}");
    }
    let said = run(dir.path(), &["doctor"]).ends(0);
    let reason = format!("off: {}", cuda["reason"].as_str().unwrap());
    for text in
        ["evenhand", "processors", "vector instructions", "memory", "recommender ", "CUDA_VISIBLE_DEVICES=", &reason]
    {
        assert!(said.out.contains(text), "{text} in\n{}", said.out);
    }
    assert_eq!(said.err, "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_broken_driver_is_told_and_does_no_harm() {
    let dir = folder();
    let driver = dir.path().join("driver");
    fs::create_dir(&driver).unwrap();
    fs::write(driver.join("stub.c"), "int not_a_driver;\n").unwrap();
    let library = driver.join("libcuda.so");
    // The compiler that links Rust programs here.
    let built =
        std::process::Command::new("cc").args(["-shared", "-o"]).arg(&library).arg(driver.join("stub.c")).status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("no C compiler: not tested");
        return;
    }
    fs::copy(&library, driver.join("libcuda.so.1")).unwrap();
    let run = |args: &[&str]| {
        let mut command = common::command(Path::new(env!("CARGO_BIN_EXE_evenhand")), dir.path(), args);
        quiet(Said::of(command.env("LD_LIBRARY_PATH", &driver).output().unwrap()))
    };
    let reason = "the CUDA driver is broken: it has no `cuInit`";
    let said = run(&["doctor"]).ends(0);
    assert!(said.out.contains(&format!("off: {reason}")) && said.out.contains("LD_LIBRARY_PATH="), "{}", said.out);
    assert_eq!(run(&["doctor", "--json"]).ends(0).json()["cuda"]["reason"], reason);
    let said = run(&["check", "popularity", "--device", "cuda"]).ends(2);
    assert_eq!(said.err, format!("error: --device cuda: {reason}; `evenhand doctor` tells more\n"));
    assert_eq!(run(&["check", "popularity"]).ends(0).err, "");
}
