use super::super::{Experiment, Overrides};
use super::*;
use crate::cell;
use crate::compare::Place;
use evenhand_core::{OnlineRegressor, plugin};
use std::path::Path;

plugin! {
    /// Learns from a whole table.
    struct Whole: GroupRegressor = "test-batch" {}
}

impl GroupRegressor for Whole {}

plugin! {
    /// Would learn row by row if what it calls did.
    struct Nesting: GroupRegressor = "test-nesting" {}
}

impl GroupRegressor for Nesting {
    fn online(&self) -> bool {
        true
    }

    fn begin(&self, features: usize, groups: usize, run: &Run) -> evenhand_core::Result<Box<dyn OnlineRegressor>> {
        Whole {}.begin(features, groups, run)
    }
}

const DATA: &str = "[groupwise.data]\npath = 'medical.csv'\nlabel = 'y'\n";
const RUN: &str = "[[groupwise.run]]\nregressor = 'test-level'\n";

fn parse(text: &str, set: &[&str]) -> Result<Experiment, Failure> {
    let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
    Experiment::parse("e.toml", text, Path::new("/folder"), &overrides)
}

fn of(lines: &str, set: &[&str]) -> Groupwise {
    parse(&format!("{DATA}{lines}"), set).unwrap().groupwise.unwrap()
}

fn labels(part: &Groupwise) -> Vec<&str> {
    part.runs.iter().map(|run| run.label.as_str()).collect()
}

#[test]
fn everything_but_data_and_runs_has_a_default() {
    let part = of(RUN, &[]);
    assert_eq!(part.options, GroupwiseOptions::default());
    assert_eq!((part.options.test, part.options.comparator), (0.2, Comparator::AllRows));
    assert_eq!(part.options.indicators, Indicators { batch: false, online: true });
    assert_eq!((&part.orders, labels(&part)), (&Orders::Shuffled, vec!["test-level"]));
    assert_eq!(part.runs[0].learning, GroupLearning::Online);
    let TableSource::Path { path, options } = &part.source else { panic!("a file") };
    assert_eq!((path.as_path(), options.label.as_str()), (Path::new("/folder/medical.csv"), "y"));
    let whole = of(&format!("{RUN}params = {{ online = false }}\n"), &[]);
    assert_eq!((labels(&whole), whole.runs[0].learning), (vec!["test-level online=false"], GroupLearning::Batch));
    assert!(whole.has(GroupLearning::Batch) && !whole.has(GroupLearning::Online));
}

#[test]
fn runs_are_settings_times_ways_of_learning() {
    let lines = format!(
        "[groupwise]\ncomparator = 'all-but-last'\n{RUN}label = 'mine'\nparams = {{ level = [1, 2.5] }}\n\
         learning = ['batch', 'online', 'batch']\n{RUN}learning = 'batch'\n{RUN}label = 'one'\n\
         params.level = 7\nlearning = 'batch'\n"
    );
    let part = of(&lines, &[]);
    let both = ["mine level=1 batch", "mine level=1 online", "mine level=2.5 batch", "mine level=2.5 online"];
    assert_eq!(labels(&part), [&both[..], &["one"]].concat());
    assert!(Arc::ptr_eq(&part.runs[0].setting, &part.runs[1].setting));
    let warnings = parse(&format!("{DATA}{lines}"), &[]).unwrap().warnings;
    assert_eq!(warnings, ["`test-level batch` has the same parameters as `mine level=1 batch` and is left out"]);
    let set = [
        "groupwise.run.mine.params.level=4",
        "groupwise.run.mine.learning=online",
        "groupwise.run.1.regressor=test-batch",
    ];
    assert_eq!(labels(&of(&lines, &set)), ["mine", "test-batch batch", "one"]);
    let set = ["groupwise.run.test-level.params.level=3", "groupwise.run.*.learning=online", "groupwise.test=0.5"];
    assert_eq!((labels(&of(&lines, &set)), of(&lines, &set).options.test), (vec!["mine"], 0.5));
}

#[test]
fn an_experiment_may_have_regressors_alone_and_comes_back() {
    let lines = format!("seeds = [473, 503]\n[groupwise]\norders = 'orders.csv'\ntest = 0.1\n{DATA}{RUN}");
    let first = parse(&lines, &["groupwise.run.0.params.level=2"]).unwrap();
    assert!(first.offline.is_none() && first.interactive.is_none() && first.harm.is_none() && first.data.is_none());
    let again = Experiment::parse("e", &first.effective, Path::new("/other"), &Overrides::default()).unwrap();
    let (first, again) = (first.groupwise.unwrap(), again.groupwise.unwrap());
    assert_eq!((&again.orders, &again.options), (&Orders::File("/folder/orders.csv".into()), &first.options));
    let path = |part: &Groupwise| match &part.source {
        TableSource::Path { path, .. } => path.clone(),
        TableSource::Simulator { .. } => panic!("a file"),
    };
    assert_eq!((path(&again), labels(&again)), ("/folder/medical.csv".into(), vec!["test-level level=2"]));
    assert_eq!(of(&format!("[groupwise]\norders = 'as-is'\n{RUN}"), &[]).orders, Orders::AsIs);
    assert_eq!(of(&format!("[groupwise]\norders = 'shuffled'\n{RUN}"), &[]).orders, Orders::Shuffled);
    // What is typed is relative to where it is typed.
    assert_eq!(of(RUN, &["groupwise.orders=o.csv"]).orders, Orders::File("o.csv".into()));
    let simulated = "[groupwise.data]\nsimulator = { plugin = 'user-item', users = 9 }\nseed = 4\n";
    let part = parse(&format!("{simulated}{RUN}"), &[]).unwrap().groupwise.unwrap();
    assert!(matches!(part.source, TableSource::Simulator { recipe, seed: 4 } if recipe.name() == "user-item"));
}

#[test]
fn orders_that_nobody_follows_are_told() {
    let warnings =
        |lines: &str| parse(&format!("{DATA}[groupwise]\n{lines}\n{RUN}learning = 'batch'\n"), &[]).unwrap().warnings;
    let said = "`groupwise.orders` is of no account: no run learns row by row";
    assert_eq!((warnings("orders = 'none.csv'"), warnings("orders = 'as-is'")), (vec![said.into()], vec![said.into()]));
    assert_eq!(warnings(""), [""; 0]);
    assert_eq!(parse(&format!("{DATA}{RUN}"), &["groupwise.orders=o.csv"]).unwrap().warnings, [""; 0]);
}

#[test]
fn mistakes_are_placed_and_the_nearest_is_named() {
    let head = |lines: &str| format!("{DATA}[groupwise]\n{lines}\n{RUN}");
    let run = |lines: &str| format!("{DATA}{RUN}{lines}\n");
    for (text, expected) in [
        (RUN.to_string(), "e.toml:1:3: `[groupwise]` without `[groupwise.data]`, such as path = \"medical.csv\""),
        (DATA.into(), "e.toml:1:2: `[groupwise]` without `[[groupwise.run]]`: nothing to compare"),
        ("groupwise = 3\n".into(), "e.toml:1:13: `groupwise` is of type integer, expected a table"),
        (
            format!("[groupwise.data]\nlabel = 'y'\n{RUN}"),
            "e.toml:1:1: `[groupwise.data]` without `path` or `simulator`",
        ),
        (format!("[groupwise.data]\npaht = 'y'\n{RUN}"), "e.toml:2:1: unknown key `paht` (did you mean `path`?)"),
        (
            format!("[groupwise.data]\npath = 'x'\n{RUN}"),
            "e.toml:1:1: `[groupwise.data]` without `label`, the column to",
        ),
        (
            format!("{DATA}seed = 1\n{RUN}"),
            "e.toml:4:1: `seed` goes with a `simulator`, whose world it draws; beside `path` there is none",
        ),
        (format!("[groupwise.data]\nseed = 1\n{RUN}"), "e.toml:1:1: `[groupwise.data]` without `path` or `simulator`"),
        (
            format!("{DATA}groups = [{{ column = 'a', bins = [1], closed = 'lef' }}]\n{RUN}"),
            "e.toml:4:48: `groupwise.data.groups[0].closed` = `lef`, expected right, left (did you mean `left`?)",
        ),
        (format!("{DATA}lable = 'y'\n{RUN}"), "e.toml:4:1: unknown key `lable` (did you mean `label`?)"),
        (format!("{DATA}simulator = 'user-item'\n{RUN}"), "e.toml:4:13: `path` and `simulator` given, expected one"),
        (
            format!("[groupwise.data]\nsimulator = 'user-item'\nlabel = 'y'\n{RUN}"),
            "e.toml:3:1: `label` does not go with a simulator",
        ),
        (
            format!("[groupwise.data]\nsimulator = 'user-itme'\n{RUN}"),
            "e.toml:2:13: no simulator plugin `user-itme` (did you mean `user-item`?)",
        ),
        (
            format!("[groupwise.data]\nsimulator = 'user-item'\nseed = -1\n{RUN}"),
            "e.toml:3:8: `groupwise.data.seed` must be a whole number from 0",
        ),
        (head("test = 0"), "e.toml:5:8: `groupwise.test` = 0, expected a share above 0 and below 1"),
        (head("test = 1.0"), "e.toml:5:8: `groupwise.test` = 1, expected a share above 0 and below 1"),
        (head("test = nan"), "e.toml:5:8: `groupwise.test` = NaN, expected a share above 0 and below 1"),
        (head("test = 'x'"), "e.toml:5:8: `groupwise.test`: expected a number, not text \"x\""),
        (
            head("tset = 0.1"),
            "e.toml:5:1: unknown key `tset` (did you mean `test`?); known: test, indicators, comparator",
        ),
        (head("oders = 'x'"), "e.toml:5:1: unknown key `oders` (did you mean `orders`?)"),
        (head("orders = 3"), "e.toml:5:10: `groupwise.orders` must be text"),
        (head("indicators = true"), "e.toml:5:14: `groupwise.indicators`: expected a table, not"),
        (head("indicators = { bacth = true }"), "e.toml:5:16: unknown key `bacth` (did you mean `batch`?)"),
        (
            head("comparator = 'all-row'"),
            "e.toml:5:14: `groupwise.comparator` = `all-row`, expected all-rows, all-but-last (did you mean `all",
        ),
        (
            run("learning = 'onlin'"),
            "e.toml:6:12: `learning` = `onlin`, expected online, batch (did you mean `online`?)",
        ),
        (run("learning = []"), "e.toml:6:12: `learning`: expected online, batch or both"),
        (
            run("params.online = false\nlearning = ['batch', 'online']"),
            "e.toml:7:22: `test-level` does not learn online, expected batch",
        ),
        (
            format!("{DATA}{RUN}[[groupwise.run]]\nregressor = 'test-nesting'\n"),
            "e.toml:6:1: `test-nesting` can not learn row by row with these parameters: `test-batch` does not support",
        ),
        (run("lerning = 'online'"), "e.toml:6:1: unknown key `lerning` (did you mean `learning`?)"),
        (run("recommender = 'als'"), "e.toml:6:1: unknown key `recommender`"),
        (run("params.levle = 1"), "e.toml:6:8: parameters of `test-level`: unknown field `levle`"),
        (run("params.level = []"), "e.toml:6:16: a grid axis without a value"),
        (format!("{DATA}[[groupwise.run]]\nlabel = 'x'\n"), "e.toml:4:1: `[[groupwise.run]]` without `regressor`"),
        (
            format!("{DATA}[[groupwise.run]]\nregressor = 'test-levle'\n"),
            "e.toml:5:13: no group-regressor plugin `test-levle` (did you mean `test-level`?)",
        ),
        (
            format!("{DATA}{RUN}{RUN}label = 'test-level'\nparams.level = 3\n"),
            "e.toml:8:9: label `test-level` occurs twice",
        ),
    ] {
        let error = parse(&text, &[]).err().expect(&text).to_string();
        assert!(error.starts_with(expected), "expected {expected}\n     got {error}");
    }
    let error = |set: &str| parse(&format!("{DATA}{RUN}"), &[set]).err().expect(set).to_string();
    assert_eq!(
        error("groupwise.run.mine.learning=online"),
        "--set groupwise.run.mine.learning=online: no entry `mine` in `groupwise.run`; there: 0..1, test-level"
    );
    assert_eq!(
        error("groupwise.data.label="),
        "--set groupwise.data.label=: `groupwise.data.label` is empty, expected the column to predict"
    );
    assert!(error("groupwise.test=2").starts_with("--set groupwise.test=2: `groupwise.test` = 2, expected a share"));
}

#[test]
fn only_what_decides_a_result_is_in_the_identity_of_a_cell() {
    let identity = |learning: &str, lines: &str, order: Option<&str>| {
        let part = of(&format!("[groupwise]\n{lines}\n{RUN}label = 'l'\nlearning = '{learning}'\n"), &[]);
        cell::of_group_regressor(&part, "d", order, Place { setting: 0, seed: 1, fold: 0 })
    };
    let [online, batch] = ["online", "batch"].map(|learning| identity(learning, "", None));
    assert_eq!((&online["protocol"], &online["run"]["learning"]), (&"groupwise".into(), &"online".into()));
    let lines = [
        "test = 0.3",
        "indicators.batch = true",
        "indicators.online = false",
        "comparator = 'all-but-last'",
        "orders = 'as-is'",
    ];
    for (at, line) in lines.into_iter().enumerate() {
        assert_eq!(identity("online", line, None) == online, at < 2, "{line}");
        assert_eq!(identity("batch", line, None) == batch, at >= 2, "{line}");
    }
    let from_file = |hash| identity("online", "orders = 'o.csv'", Some(hash));
    assert!(from_file("h") != from_file("i") && from_file("h") != online && online != batch);
    assert_eq!(from_file("h"), identity("online", "orders = 'elsewhere.csv'", Some("h")));
}
