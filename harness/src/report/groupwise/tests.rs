use super::*;
use crate::compare::{Host, compare};
use crate::experiment::{Experiment, Overrides};
use std::path::Path;

const LEVEL: &str = "[[groupwise.run]]\nregressor = 'test-level'\n";
const FIXED: &str = "simulator = 'test-groups'";

fn summary(data: &str, lines: &str) -> Summary {
    let text = format!("name = 'e'\nseeds = [0, 1, 2]\n[groupwise.data]\n{data}\n{lines}");
    let experiment = Experiment::parse("e", &text, Path::new(""), &Overrides::default()).unwrap();
    let host = Host { threads: 1, ..Host::default() };
    Summary::new(&experiment, &compare(&experiment, None, &host).unwrap())
}

fn said(summary: &Summary, width: Option<u16>) -> String {
    text(summary.groupwise.as_ref().unwrap(), summary, width)
}

/// The fields of the rows that begin with `name`.
fn rows<'a>(text: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let fields = |line: &'a str| line.trim_matches('│').split(['│', '┆']).map(str::trim).collect::<Vec<_>>();
    text.lines().map(fields).filter(|fields| fields.len() > 1 && fields[0] == name).collect()
}

#[test]
fn regrets_have_a_row_for_each_group_and_two_columns_for_experts() {
    let lines = format!(
        "{LEVEL}label = 'plain'\n{LEVEL}label = 'mixed'\nparams = {{ experts = true }}\n{LEVEL}label = 'alone'\n\
         params = {{ experts = true, always_on = false, level = 2.0 }}\n{LEVEL}label = 'broken'\nparams.panics = true\n"
    );
    let summary = summary(FIXED, &lines);
    let out = said(&summary, None);
    assert!(
        out.starts_with("e by groups of fixed, online: 3 seeds, mean ± sample standard deviation over seeds\n"),
        "{out}"
    );
    let head = ["group", "rows", "hindsight", "plain ↓", "mixed ↓", "expected ↓", "alone ↓", "expected ↓", "broken ↓"];
    assert_eq!(rows(&out, "group")[0], head);
    let [all, empty, single] = ["all", "g3", "g2"].map(|name| rows(&out, name).remove(0));
    assert_eq!((all[1], all[8], empty[1..4].to_vec(), single[1]), ("40", "failed", vec!["0", "-", "-"], "1"));
    let part = summary.groupwise.as_ref().unwrap();
    let figure = part.runs[1].figure("expected-regret", Some("g1")).unwrap();
    assert_eq!(rows(&out, "g1")[0][5], shown(figure));
    assert!(figure.sd.unwrap() < 1e-12 && shown(figure).contains(" ±"), "all but rounding is the same in any order");
    for line in [
        "of 1 feature and 4 memberships",
        " on all rows of the group, no intercept\n",
        "expected: regret of an expert",
        "seconds: plain 0.0",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    assert!(!out.contains("without a prediction") && !out.contains("batch"), "all rows are in the first group");
    let narrow = said(&summary, Some(60));
    assert!(narrow.contains("left out, the terminal is too narrow: ") && narrow.lines().count() > 5, "{narrow}");
}

#[test]
fn the_rule_of_the_comparator_is_told() {
    let rule = "[groupwise]\ncomparator = 'all-but-last'\nindicators.online = false\n";
    let out = said(&summary(FIXED, &format!("{rule}{LEVEL}")), None);
    assert!(out.contains("of 1 feature on all rows of the group but its last one, no intercept"), "{out}");
    assert!(!out.contains("expected"), "{out}");
}

#[test]
fn held_out_errors_name_the_worst_group_and_groups_without_r2() {
    let batch = "learning = 'batch'\n";
    let lines = format!(
        "{LEVEL}label = 'pooled'\n{batch}{LEVEL}label = 'apart'\nparams = {{ experts = true }}\n{batch}{LEVEL}\
         label = 'broken'\nparams.panics = true\n{batch}"
    );
    let summary = summary(FIXED, &lines);
    let out = said(&summary, None);
    assert!(out.starts_with("e by groups of fixed, batch: 3 seeds, mean ± sample"), "{out}");
    assert!(out.contains("0.2 of 40 rows held out, 1 feature; worst: the group with"), "{out}");
    let row = &rows(&out, "pooled")[0];
    let part = summary.groupwise.as_ref().unwrap();
    let figure = |metric: &str, group| part.runs[0].figure(metric, group).unwrap();
    let four = |metric| with_deviation(figure(metric, None), 4);
    assert_eq!((row[1], row[2]), (four("r2").as_str(), four("rmse").as_str()));
    let worst = ["g0", "g1", "g2"].into_iter().filter(|g| part.runs[0].figure("rmse", Some(g)).is_some());
    let worst = worst.max_by(|a, b| figure("rmse", Some(a)).mean.total_cmp(&figure("rmse", Some(b)).mean));
    assert_eq!((Some(row[4]), rows(&out, "broken")[0][5]), (worst, "failed"));
    assert!(out.contains("no R2 of `g3`: no test row (3 of 3 seeds)\n") && out.contains("no R2 of `g2`: "), "{out}");
    assert_eq!(rows(&out, "g0")[0][1], "8");
    assert!(
        out.contains("R2 of `apart`: in rows the model of a group alone") && !out.contains("R2 of `pooled`"),
        "{out}"
    );
    let model = &rows(&out, "g0")[1];
    let cross = part.runs[1].figure("cross-r2 g0", Some("g1")).unwrap().mean;
    assert_eq!((model.len(), model[2], model[4]), (5, format!("{cross:.3}").as_str(), "-"));
}

#[test]
fn large_matrices_and_many_are_left_to_the_files() {
    let wide = "simulator = { plugin = 'test-groups', groups = 13 }";
    let run = format!("{LEVEL}params = {{ experts = true, level = [1, 2, 3, 4] }}\nlearning = 'batch'\n");
    let out = said(&summary(wide, &run), None);
    assert!(out.contains("R2 of the model of each group on every other one: 13 groups, see results.csv"), "{out}");
    let out = said(&summary(FIXED, &run), None);
    assert_eq!(out.matches(": in rows the model").count(), 1, "{out}");
    assert!(out.contains("and of 3 other runs: see results.csv"), "{out}");
}

#[test]
fn reasons_for_no_r2_are_told_apart() {
    let figure = |metric: &str, group: &str, value: f64, n| crate::protocol::Figure {
        metric: metric.into(),
        k: None,
        group: Some(group.into()),
        value,
        n,
    };
    let outcome = Outcome {
        key: String::new(),
        cell: Json::Null,
        figures: vec![
            figure("r2", "fine", 0.5, 3),
            figure("rmse", "one", 1.0, 1),
            figure("rmse", "seen", 1.0, 1),
            figure("rmse", "same", 1.0, 2),
            figure("test-rows", "fine", 3.0, 3),
            figure("test-rows", "one", 1.0, 1),
            figure("test-rows", "seen", 2.0, 2),
            figure("test-rows", "same", 2.0, 2),
            figure("test-rows", "silent", 2.0, 2),
            figure("test-rows", "empty", 0.0, 0),
        ],
        curves: vec![],
        attacks: vec![],
        times: vec![],
        user_rows: None,
        seconds: crate::protocol::Seconds::default(),
        build: None,
        device: "cpu".into(),
    };
    let found = without_r2(&[&outcome, &outcome]);
    let found: Vec<_> = found.iter().map(|w| (w.group.as_deref().unwrap(), w.reason, w.cells)).collect();
    let expected = [
        ("one", "one test row"),
        ("seen", "one row with a prediction"),
        ("same", "constant labels"),
        ("silent", "no prediction"),
        ("empty", "no test row"),
    ];
    assert_eq!(found, expected.map(|(group, reason)| (group, reason, 2)));
}

#[test]
fn numbers_of_any_size_are_short() {
    let figure = |mean, sd| {
        let (metric, k, group) = ("regret".to_string(), None, None);
        shown(&MeanFigure { metric, k, group, mean, sd, cells: 2, n: 1 })
    };
    assert_eq!((figure(0.0, Some(0.25)).as_str(), figure(-1.5, None).as_str()), ("0.000 ±.250", "-1.500"));
    assert_eq!((figure(12.5, Some(1.0)).as_str(), figure(5000.4, Some(0.0)).as_str()), ("12.50 ±1.00", "5000 ±0"));
    assert_eq!(figure(2e9, Some(1e7)), "2.00e9 ±1.00e7");
    assert_eq!((figure(-2.5e-6, Some(1e-9)).as_str(), alone(1e200).as_str()), ("-2.50e-6 ±1.00e-9", "1.00e200"));
}
