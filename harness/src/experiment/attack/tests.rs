use super::super::{Experiment, Offline, Overrides};
use super::*;
use crate::cell;
use crate::compare::Place;
use evenhand_core::{Model, Recommender, Result, Run, Training, plugin};
use std::path::Path;

plugin! {
    /// For tests: some epochs, and some that are claimed to help.
    pub struct Claim: Recommender = "test-claim" {
        /// Plain epochs.
        epochs: usize = 5;
        /// Better ones.
        better: usize = 1;
        /// How much better.
        how: f64 = 0.5;
    }
}

impl Recommender for Claim {
    fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        unreachable!("only parameters are looked at")
    }

    fn control(&self) -> Option<Box<dyn Recommender>> {
        let plain = Self { epochs: self.epochs + self.better, better: 0, ..Self::default() };
        (self.better > 0).then(|| Box::new(plain) as Box<dyn Recommender>)
    }
}

const RUN: &str = "[[run]]\nrecommender = 'test-claim'\n";

fn parse(text: &str, set: &[&str]) -> std::result::Result<Experiment, Failure> {
    let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
    Experiment::parse("e.toml", &format!("data.path = 'x'\n{text}"), Path::new(""), &overrides)
}

fn of(text: &str) -> Offline {
    parse(text, &[]).unwrap_or_else(|e| panic!("{e}")).offline.unwrap()
}

fn attack(lines: &str) -> Attacks {
    of(&format!("[attack]\n{lines}\n{RUN}")).attack.unwrap()
}

#[test]
fn one_or_several_of_everything() {
    assert_eq!(attack(""), Attacks::default());
    let one = attack("direction = 'random'\neps = 1\nrelative = true\ndraws = 2");
    assert_eq!(one, Attacks { direction: vec![Direction::Random], eps: vec![1.0], relative: true, draws: 2 });
    let several = attack("direction = ['random', 'gradient', 'random']\neps = [0.5, -0.0, 1, 0, 0.5]");
    assert_eq!(
        (several.direction.as_slice(), several.eps.as_slice()),
        ([Direction::Random, Direction::Gradient].as_slice(), [0.5, 0.0, 1.0].as_slice())
    );
    assert!(several.eps[1].is_sign_positive());
    let each: Vec<_> = several.each().map(|a| (a.direction, a.eps)).collect();
    assert_eq!((each.len(), each[1], each[3]), (6, (Direction::Random, 0.0), (Direction::Gradient, 0.5)));
    assert!(of(RUN).attack.is_none());
    let again = parse(&format!("[attack]\neps = 0.25\n{RUN}"), &["attack.draws=7"]).unwrap().effective;
    let again = Experiment::parse("e", &again, Path::new(""), &Overrides::default()).unwrap().offline.unwrap();
    assert_eq!(again.attack, Some(Attacks { eps: vec![0.25], draws: 7, ..Attacks::default() }));
}

#[test]
fn mistakes_are_placed() {
    for (lines, expected) in [
        ("eps = -0.5", "e.toml:3:7: `attack.eps` = -0.5, expected a finite number from 0"),
        ("eps = [0.5, -1]", "e.toml:3:13: `attack.eps` = -1, expected a finite number from 0"),
        ("eps = [0.5, inf]", "e.toml:3:13: `attack.eps` = inf, expected a finite number from 0"),
        ("eps = nan", "e.toml:3:7: `attack.eps` = NaN, expected a finite number from 0"),
        ("eps = 1e39", "e.toml:3:7: `attack.eps` = 1e39, expected a finite number from 0, at most 3.4e38"),
        ("eps = []", "e.toml:3:7: `attack.eps`: expected at least one length"),
        ("eps = ['0.5']", "e.toml:3:8: `attack.eps[0]`: expected a number, not text \"0.5\""),
        ("direction = []", "e.toml:3:13: `attack.direction`: expected at least one direction"),
        ("direction = 'gradeint'", "e.toml:3:13: `attack.direction` = `gradeint`, expected gradient, random"),
        (
            "direction = ['random', 'gradeint']",
            "e.toml:3:24: `attack.direction` = `gradeint`, expected gradient, random",
        ),
        ("draws = 0", "e.toml:3:9: `attack.draws` = 0, expected at least 1"),
        ("draws = -1", "e.toml:3:9: `attack.draws`: expected a whole number from 0, not `-1`"),
        ("relative = 1", "e.toml:3:12: `attack.relative`: expected true or false, not `1`"),
        ("epsilon = 1", "e.toml:3:1: unknown key `epsilon`"),
    ] {
        let error = parse(&format!("[attack]\n{lines}\n{RUN}"), &[]).err().expect(lines).to_string();
        assert!(error.starts_with(expected), "expected {expected}\n     got {error}");
    }
    let error = parse(RUN, &["attack.eps=-1"]).err().unwrap().to_string();
    assert!(error.starts_with("--set attack.eps=-1: `attack.eps` = -1, expected"), "{error}");
    let error = parse(&format!("attack = 3\n{RUN}"), &[]).err().unwrap().to_string();
    assert!(error.starts_with("e.toml:2:10: `attack` is of type integer, expected a table"), "{error}");
}

/// Label and control of every setting.
fn controls(text: &str) -> Vec<(String, Option<String>)> {
    of(&format!("[attack]\n{text}")).settings.into_iter().map(|s| (s.label, s.control)).collect()
}

#[test]
fn a_control_follows_its_setting_unless_it_is_there() {
    let pair = |label: &str, control: Option<&str>| (label.to_string(), control.map(str::to_string));
    let claim = |lines: &str| format!("{RUN}{lines}\n");
    let plain = of(&claim("")).settings;
    assert_eq!((plain.len(), &plain[0].control), (1, &None), "without attacks nobody asks whether it helped");
    let added = of(&format!("[attack]\n{}", claim("label = 'mine'"))).settings;
    assert_eq!(added[1].params["epochs"], 6);
    assert!(added[1].origins[0].starts_with("recommender/test-claim evenhand "), "{:?}", added[1].origins);
    assert!(added[1].added && !added[0].added);
    let control = Some("test-claim, control");
    assert_eq!(controls(&claim("label = 'mine'")), [pair("mine", control), pair("test-claim, control", None)]);
    // One control for both, then one for each, then one for two of three.
    let both = controls(&claim("label = 'm'\nparams = { how = [1, 2] }"));
    assert_eq!(both, [pair("m how=1", control), pair("test-claim, control", None), pair("m how=2", control)]);
    let each = controls(&claim("label = 'm'\nparams = { epochs = [1, 2] }"));
    let of = |epochs: usize| {
        let control = format!("m epochs={epochs}, control");
        [pair(&format!("m epochs={epochs}"), Some(&control)), pair(&control, None)]
    };
    assert_eq!(each, [of(1), of(2)].concat());
    let three = controls(&(claim("label = 'a'\nparams = { how = [1, 2] }") + &claim("label = 'b'\nparams.epochs = 9")));
    let control = Some("a how=1, control");
    let of_two = [pair("a how=1", control), pair("a how=1, control", None), pair("a how=2", control)];
    assert_eq!(three, [&of_two[..], &[pair("b", Some("b, control")), pair("b, control", None)]].concat());
    let there = controls(&(claim("") + &claim("label = 'plain'\nparams = { epochs = 6, better = 0 }")));
    assert_eq!(there, [pair("test-claim", Some("plain")), pair("plain", None)]);
    let taken = claim("label = 'test-claim, control'");
    let error = parse(&format!("[attack]\n{taken}"), &[]).err().unwrap().to_string();
    let clash = "`test-claim, control` is no label to choose: the control of `test-claim, control` has it";
    assert_eq!(error, format!("e.toml:2:1: {clash}"));
    let taken = claim("label = 'a'") + &claim("label = 'a, control'\nparams.epochs = 9");
    let error = parse(&format!("[attack]\n{taken}"), &[]).err().unwrap().to_string();
    assert_eq!(error, "e.toml:2:1: `a, control` is no label to choose: the control of `a` has it");
}

/// The identity of stored cells without attacks, and with them.
#[test]
fn only_what_decides_a_result_is_in_the_identity_of_a_cell() {
    let place = Place { setting: 0, seed: 1, fold: 0 };
    let identity = |text: &str| cell::of_recommender(&of(&format!("{text}{RUN}")), "d", place);
    let plain = identity("");
    assert_eq!(plain["eval"], serde_json::json!({ "k": [10], "relevant": "liked" }));
    assert!(plain.get("attack").is_none());
    assert_eq!(identity("[eval]\nusers = true\n"), plain);
    let attacked = identity("[attack]\neps = 1\n");
    let expected =
        serde_json::json!({ "direction": ["gradient", "random"], "eps": [1.0], "relative": false, "draws": 5 });
    assert_eq!(attacked["attack"], expected);
}
