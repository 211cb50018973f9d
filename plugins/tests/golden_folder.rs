//! The reading of golden folders: what is not understood must not pass.

mod golden;

use golden::{File, System, check};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Case {
    got: f64,
    expected: f64,
}

const SYSTEM: System = System {
    folder: "bandit",
    kinds: &[("numbers", numbers), ("synthetic-letters", |file| Ok(file.text.lines().count()))],
    elsewhere: &["later"],
    with_data: &[],
};

fn numbers(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<Case>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| tolerance.near("number", c.got, c.expected))?;
    Ok(cases.len())
}

const GOOD: &str = r#"{"kind": "numbers", "tolerance": {"relative": 0.1, "absolute": 0.0}, "cases": [{"got": 1.05, "expected": 1.0}]}"#;

fn outcome(files: &[(&str, &str)]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
    check(&SYSTEM, folder.path())
}

/// The complaint about one more file beside a good one.
fn complaint(name: &str, text: &str) -> String {
    outcome(&[("good.json", GOOD), (name, text)]).expect_err("a complaint")
}

#[test]
fn kinds_decide_and_names_do_not() {
    let all = [("a.json", GOOD), ("later.json", GOOD), ("z.txt", "PnN\npnN\n"), ("README.md", "{"), ("FORMAT.md", "")];
    assert_eq!(outcome(&all), Ok(3));
    assert_eq!(outcome(&[("a.json", GOOD), ("numbers.json", r#"{"kind": "later"}"#)]), Ok(1));
    let said = complaint("numbers.json", &GOOD.replace("\"numbers\"", "\"foo\""));
    assert!(said.ends_with("numbers.json: unknown kind `foo`; known: numbers, synthetic-letters, later"), "{said}");
}

#[test]
fn a_folder_without_a_checked_file_fails() {
    for files in [&[][..], &[("README.md", "x")], &[("a.json", r#"{"kind": "later", "cases": []}"#)]] {
        assert!(outcome(files).unwrap_err().ends_with("no file was checked"));
    }
    assert!(check(&SYSTEM, Path::new("/nonexistent/golden")).unwrap_err().contains("/nonexistent/golden"));
}

#[test]
fn files_that_are_not_understood_fail() {
    for (name, text, expected) in [
        ("a.csv", "1,2", "neither .json nor .txt"),
        ("json", GOOD, "neither .json nor .txt"),
        ("a.json", "{", "EOF"),
        ("a.json", "", "EOF"),
        ("a.json", "[]", "invalid length"),
        ("a.json", r#"{"cases": []}"#, "missing field `kind`"),
        ("a.json", r#"{"kind": "numbers"}"#, "missing field `cases`"),
        ("a.txt", "PNpx\n", "a text of no known kind"),
        ("a.txt", "PN\n\nPN\n", "a text of no known kind"),
        ("a.txt", "", "a text of no known kind"),
    ] {
        let said = complaint(name, text);
        assert!(said.contains(&format!("{name}: ")) && said.contains(expected), "{name} {text}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.json"), GOOD).unwrap();
    std::fs::write(folder.path().join("a.json"), b"{\"kind\": \"\xff\"}").unwrap();
    std::fs::create_dir(folder.path().join("b.json")).unwrap();
    assert_eq!(check(&SYSTEM, folder.path()).unwrap_err().lines().count(), 2);
}

#[test]
fn wrong_and_absent_results_fail() {
    assert!(complaint("a.json", &GOOD.replace("1.05", "1.2")).contains("a.json: number: 1.2, expected 1"));
    assert!(complaint("a.json", &GOOD.replace("0.1", "-1")).contains("within"));
    let none = GOOD.replace(r#"{"got": 1.05, "expected": 1.0}"#, "");
    assert!(complaint("a.json", &none).ends_with("a.json: holds no case"));
    let tolerance = serde_json::from_str::<golden::Tolerance>(r#"{"relative": 1, "absolute": 1}"#).unwrap();
    assert!(tolerance.near("nan", f64::NAN, 1.0).is_err());
}

#[test]
fn the_fixtures_of_this_crate_are_the_default() {
    let folder = golden::folder(&SYSTEM);
    assert!(folder.ends_with("bandit") && (std::env::var_os("EVENHAND_GOLDEN").is_some() || folder.is_dir()));
}
