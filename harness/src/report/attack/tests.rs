use super::*;
use crate::compare::{Host, compare};
use crate::experiment::{Experiment, Overrides};
use crate::report::{results_csv, terminal};
use evenhand_core::{Factors, Model, Output, Recommender, Result, Run, Training, plugin};
use nalgebra::DMatrix;
use rand::RngExt;
use std::path::Path;

plugin! {
    /// For tests: factors drawn anew for each seed; those of items are moved by the better training.
    pub struct Moved: Recommender = "test-moved" {
        /// Whether it was trained in the better way.
        better: bool = true;
    }
}

impl Recommender for Moved {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        let mut rng = run.streams.rng(0);
        let users = DMatrix::from_fn(2, train.ratings.users(), |_, _| rng.random_range(-1.0..1.0f32));
        let shift = |item: usize| if self.better { item as f32 / 10.0 } else { 0.0 };
        let items = DMatrix::from_fn(2, train.ratings.items(), |_, item| rng.random_range(-1.0..1.0f32) + shift(item));
        Ok(Box::new(Factors::new(users, items, Output::Order)?))
    }

    fn control(&self) -> Option<Box<dyn Recommender>> {
        self.better.then(|| Box::new(Self { better: false }) as Box<dyn Recommender>)
    }
}

const TEXT: &str = "
name = 'small'
seeds = [0, 1, 2]
[data]
simulator = { plugin = 'biased-ratings', users = 60, items = 40, r = 0.4, s = 0.4, test_share = 0.0 }
[eval]
k = [5, 20]
[attack]
direction = 'random'
eps = [0.5, 1]
draws = 2
[[run]]
recommender = 'test-moved'
label = 'moved'
[[run]]
recommender = 'random'
";

/// The summary and results of the experiment with some changes.
fn run(set: &[&str]) -> (Summary, Vec<u8>) {
    let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
    let experiment = Experiment::parse("e", TEXT, Path::new(""), &overrides).unwrap();
    let host = Host { threads: 1, ..Host::default() };
    let comparison = compare(&experiment, None, &host).unwrap();
    (Summary::new(&experiment, &comparison), results_csv(&experiment, &comparison))
}

#[test]
fn a_setting_is_compared_with_its_control_pair_by_pair() {
    let (summary, results) = run(&[]);
    let part = summary.offline.as_ref().unwrap();
    let labels: Vec<&str> = part.settings.iter().map(|s| s.label.as_str()).collect();
    assert_eq!(labels, ["moved", "test-moved, control", "random"]);
    let [control] = &part.controls[..] else { panic!("one control") };
    assert_eq!((control.label.as_str(), control.control.as_str(), control.pairs), ("moved", "test-moved, control", 3));
    let names: Vec<&str> = control.attacks.iter().map(|a| a.attack.as_str()).collect();
    assert_eq!(names, ["clean", "random eps=0.5", "random eps=1"]);
    let mean =
        |setting: usize, attack: usize, name: &str| part.settings[setting].attacks[attack].figure(name).unwrap().mean;
    for attack in 0..3 {
        for name in ["hr@5", "ndcg@20", "auc"] {
            let found = control.attacks[attack].figure(name).unwrap();
            let expected = mean(0, attack, name) - mean(1, attack, name);
            assert!((found.mean - expected).abs() < 1e-12 && found.cells == 3 && found.sd.is_some(), "{name}");
        }
    }
    assert!(
        control
            .attacks
            .iter()
            .flat_map(|a| &a.figures)
            .all(|f| !f.metric.contains("spread") && !f.metric.contains("norm"))
    );
    // The deviation of the differences by the results of each seed, from the long table.
    let text = String::from_utf8(results).unwrap();
    let value = |label: &str, seed: usize| -> f64 {
        let row = text
            .lines()
            .find(|l| l.contains(&format!(",{label},")) && l.contains(&format!(",{seed},0,auc,,,random eps=1,")));
        row.unwrap().rsplit(',').nth(1).unwrap().parse().unwrap()
    };
    let differences = [0, 1, 2].map(|seed| value("moved", seed) - value("\"test-moved, control\"", seed));
    let found = control.attacks[2].figure("auc").unwrap();
    assert!((found.sd.unwrap() - crate::protocol::mean_and_sd(&differences).1.unwrap()).abs() < 1e-12);
}

#[test]
fn tables_show_what_was_measured() {
    let said = terminal(&run(&[]).0);
    let row = |start: &str| -> Vec<String> {
        let row =
            said.lines().find(|l| l.starts_with(&format!("│ {start}"))).unwrap_or_else(|| panic!("{start} in\n{said}"));
        row.split(['│', '┆']).map(|cell| cell.trim().to_string()).collect()
    };
    assert!(
        said.contains("perturbed factors, full ranking: 3 seeds, mean ± standard deviation, in brackets over 2 draws")
    );
    let columns = [
        "hr@5 ↑",
        "drop ↓",
        "ndcg@5 ↑",
        "drop ↓",
        "auc ↑",
        "drop ↓",
        "norms",
        "hr@20 ↑",
        "drop ↓",
        "ndcg@20 ↑",
        "drop ↓",
    ];
    let table = said.split("perturbed factors").nth(1).unwrap();
    let header: Vec<&str> = table.lines().nth(2).unwrap().split(['│', '┆']).map(str::trim).collect();
    assert_eq!(header[3..14], columns);
    let lines: Vec<&str> = table.lines().filter(|l| l.contains("eps=0.5")).collect();
    assert!(
        lines.len() == 3 && lines[0].starts_with("│  ") && lines[0].contains("(.0") && lines[0].contains('%'),
        "{table}"
    );
    assert!(
        said.contains(
            "setting less `test-moved, control`: mean difference ± standard error over pairs of equal seed and"
        )
    );
    let difference = said.split("setting less").nth(1).unwrap();
    assert!(difference.contains("│ moved       ┆ clean"), "{difference}");
    assert!(said.contains("warn    `random` has no factors, so there are no figures of an attack on it"), "{said}");
    assert_eq!(row("random").len(), row("moved").len(), "a row of the main table, none of the attacks");
    assert!(!table.contains("│ random"), "{table}");
}

/// A summary whose one attacked setting has figures by name, clean and under an attack.
fn summary_of(label: &str, clean: &[(&str, f64)], attacked: &[(&str, f64)]) -> Summary {
    let (mut summary, _) = run(&["seeds=[0]", "attack.eps=1", "eval.k=[5]"]);
    let part = summary.offline.as_mut().unwrap();
    let figure = |&(name, mean): &(&str, f64)| {
        let (metric, k) = name.split_once('@').map_or((name, None), |(metric, k)| (metric, k.parse().ok()));
        MeanFigure { metric: metric.into(), k, group: None, mean, sd: None, cells: 1, n: 1 }
    };
    let attack = |attack: &str, figures: &[(&str, f64)]| AttackSummary {
        attack: attack.into(),
        figures: figures.iter().map(figure).collect(),
    };
    part.settings.truncate(1);
    part.cells = 1;
    part.settings[0].label = label.into();
    part.settings[0].attacks = vec![attack(CLEAN, clean), attack("random eps=1", attacked)];
    summary
}

fn words(summary: &Summary, width: Option<u16>) -> String {
    text(summary.offline.as_ref().unwrap(), summary, width).unwrap()
}

/// One less attacked / clean of the means in the table, whatever the losses of the cells; none from 0.
#[test]
fn losses_are_those_of_the_means_that_are_shown() {
    let clean = [("hr@5", 0.5), ("ndcg@5", 0.0), ("auc", 0.8)];
    let attacked = [("hr@5", 0.4), ("hr-drop@5", 0.7), ("ndcg@5", 0.1), ("ndcg-drop@5", 0.7), ("auc", 0.8)];
    let said = words(&summary_of("x", &clean, &attacked), None);
    let row = said.lines().find(|l| l.contains("random eps=1")).unwrap();
    let cells: Vec<&str> = row.split(['│', '┆']).map(str::trim).collect();
    assert_eq!(cells[3..9], ["0.4000", "20.0%", "0.1000", "-", "0.8000", "0.0%"], "{said}");
}

#[test]
fn both_rules_of_ties_stand_where_they_differ() {
    let figures = |half: f64| [("auc", 0.75), ("auc-half-ties", half)];
    let said = |half| words(&summary_of("x", &figures(0.75), &figures(half)), None);
    assert!(!said(0.75 + 1e-6).contains("half-ties"));
    let said = said(0.9);
    assert!(said.contains("┆ auc-half-ties ↑ ┆ drop ↓ ┆ norms"), "{said}");
    assert!(said.contains(" 0.9000 ") && said.contains("-20.0%"), "{said}");
}

#[test]
fn a_table_without_room_for_a_metric_is_left_out_whole() {
    let figures = [("hr@5", 0.5), ("ndcg@5", 0.25), ("auc", 0.75), ("user-norm", 0.001_234), ("item-norm", 99.96)];
    let mut summary = summary_of("a label", &figures, &figures);
    assert!(words(&summary, None).contains("┆ 0.00123, 100 │"), "{}", words(&summary, None));
    let said = words(&summary, Some(70));
    let left_out = "left out, the terminal is too narrow: auc ↑, auc-drop ↓, norms\n";
    assert!(said.contains("┆ ndcg@5 ↑ ┆ drop ↓ │") && said.contains(left_out), "{said}");
    assert!(said.lines().filter(|l| l.starts_with('│')).all(|l| l.chars().count() <= 70), "{said}");
    summary.offline.as_mut().unwrap().settings[0].label = "a label as long as the terminal is wide, or nearly".into();
    let said = words(&summary, Some(64));
    let whole = "brackets over 2 draws\nleft out, the terminal is too narrow: the whole table\n\nsetting less";
    assert!(said.contains(whole) && said.contains("moved       ┆ clean"), "{said}");
    // With several controls a column names them.
    let part = summary.offline.as_mut().unwrap();
    part.controls.push(ControlSummary { control: "another".into(), ..part.controls[0].clone() });
    let said = words(&summary, None);
    assert!(said.contains("setting less control: ") && said.contains("│ moved       ┆ another"), "{said}");
}

#[test]
fn three_digits_of_any_number() {
    let shown = [0.0, 0.000_012_345, 0.9996, 2.2, 31.416, 12_345.6, 1.5e7].map(three_digits);
    assert_eq!(shown, ["0.00", "1.23e-5", "1.00", "2.20", "31.4", "12346", "1.50e7"]);
}

#[test]
fn a_single_seed_and_draw_have_no_deviation() {
    let said = terminal(&run(&["seeds=[7]", "attack.draws=1", "eval.k=[5]"]).0);
    let table = said.split("perturbed factors").nth(1).unwrap();
    assert!(
        !table.contains("±0") && !table.contains("±.") && !table.contains("(.") && !table.contains("draws"),
        "{table}"
    );
    assert!(!table.contains("hr@20") && table.contains("0%"), "{table}");
}

#[test]
fn json_has_the_attacks_and_only_where_there_are_any() {
    let json = serde_json::to_value(run(&[]).0).unwrap();
    let setting = &json["offline"]["settings"][0];
    assert_eq!(setting["attacks"][1]["attack"], "random eps=0.5");
    assert!(setting["attacks"][1]["figures"].as_array().unwrap().iter().any(|f| f["metric"] == "auc-drop"));
    assert_eq!((&json["offline"]["attack"]["draws"], &json["offline"]["controls"][0]["pairs"]), (&2.into(), &3.into()));
    assert!(json["offline"]["settings"][2].get("attacks").is_none());
}
