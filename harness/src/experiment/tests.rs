use super::*;
use crate::load;
use crate::split::Split;
use evenhand_core::{FairnessLoss, Model, Nested, Recommender, Result, Run, Training, plugin};
use serde_json::Value as Json;

plugin! {
    /// For tests: every kind of parameter that a grid must tell apart.
    pub struct Probe: Recommender = "test-probe" {
        /// A number.
        level: f64 = 1.0, in 0.0..=5.0;
        /// A list.
        layers: Vec<usize> = vec![4], in 1..;
        /// A nested plugin.
        fairness: Option<Nested<dyn FairnessLoss>> = None;
    }
}

impl Recommender for Probe {
    fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        unreachable!("only parameters are looked at")
    }
}

plugin! {
    /// For tests: a nested plugin.
    pub struct Weight: FairnessLoss = "test-weight" {
        /// A number.
        tau: f64 = 3.0, in 0.0..;
    }
}

impl FairnessLoss for Weight {
    fn evaluate(
        &self,
        _: &nalgebra::DMatrix<f64>,
        _: &evenhand_core::FairnessData<'_>,
        _: &mut nalgebra::DMatrix<f64>,
        _: &Run,
    ) -> Result<f64> {
        unreachable!("only parameters are looked at")
    }
}

const DATA: &str = "[data]\npath = 'x'\n";

fn parse(text: &str, set: &[&str]) -> Result<Experiment, Failure> {
    let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
    Experiment::parse("e.toml", text, Path::new("/folder"), &overrides)
}

fn of(experiment: &Experiment) -> &Offline {
    experiment.offline.as_ref().expect("an offline part")
}

fn source(experiment: &Experiment) -> &Source {
    experiment.data.as_ref().expect("data")
}

/// The message about an experiment with those lines.
fn error(text: &str, set: &[&str]) -> String {
    parse(text, set).err().expect("an error").to_string()
}

fn probe(params: &str) -> Vec<Setting> {
    parse(&format!("{DATA}[[run]]\nrecommender = 'test-probe'\nparams = {{ {params} }}"), &[])
        .unwrap()
        .offline
        .unwrap()
        .settings
}

fn labels(settings: &[Setting]) -> Vec<&str> {
    settings.iter().map(|s| s.label.as_str()).collect()
}

#[test]
fn arrays_are_axes_in_the_order_of_the_file() {
    let settings = probe("level = [2, 0.5], layers = [[1], [2, 3]]");
    assert_eq!(
        labels(&settings),
        [
            "test-probe level=2 layers=[1]",
            "test-probe level=2 layers=[2,3]",
            "test-probe level=0.5 layers=[1]",
            "test-probe level=0.5 layers=[2,3]",
        ]
    );
    assert_eq!(settings[3].params["layers"], serde_json::json!([2, 3]));
    let other_order = probe("layers = [[1], [2, 3]], level = [2, 0.5]");
    assert_eq!(labels(&other_order)[1], "test-probe layers=[1] level=0.5");
}

#[test]
fn a_list_parameter_takes_an_array_as_it_is() {
    let settings = probe("layers = [2, 3]");
    assert_eq!((settings.len(), &settings[0].params["layers"]), (1, &serde_json::json!([2, 3])));
}

#[test]
fn nested_plugins_may_have_axes_and_be_one() {
    let settings = probe("fairness = { plugin = 'test-weight', tau = [1, 2] }");
    let tau = |s: &Setting| s.params["fairness"]["tau"].as_f64().unwrap();
    assert_eq!(settings.iter().map(tau).collect::<Vec<_>>(), [1.0, 2.0]);
    assert_eq!(settings[0].label, "test-probe fairness=test-weight(tau=1)");
    assert!(settings[0].origins[1].starts_with("fairness-loss/test-weight evenhand "), "{:?}", settings[0].origins);
    assert_eq!(probe("fairness = ['test-weight', { plugin = 'test-weight', tau = [4, 5] }]").len(), 3);
}

#[test]
fn none_stands_for_nothing_where_a_parameter_may_be_left_out() {
    let settings = probe("fairness = ['none', { plugin = 'test-weight', tau = [4, 5] }], level = [1, 2]");
    let shown = ["none", "test-weight(tau=4)", "test-weight(tau=5)"];
    let expected: Vec<String> =
        shown.iter().flat_map(|f| [1, 2].map(|l| format!("test-probe fairness={f} level={l}"))).collect();
    assert_eq!(labels(&settings), expected);
    assert_eq!((&settings[0].params["fairness"], &settings[3].params["fairness"]["tau"]), (&Json::Null, &4.0.into()));
    let set = ["run.0.params.fairness=['none','test-weight']"];
    let run = "[[run]]\nrecommender = 'test-probe'\nlabel = 'mine'\nparams = { level = 2, fairness = 'none' }";
    let changed = parse(&format!("{DATA}{run}"), &set).unwrap();
    assert_eq!(labels(&of(&changed).settings), ["mine fairness=none", "mine fairness=test-weight"]);
    let error = error(&format!("{DATA}[[run]]\nrecommender = 'test-probe'\nparams = {{ level = 'none' }}"), &[]);
    assert!(error.contains("`level`"), "only where it may be left out: {error}");
}

#[test]
fn groupings_are_declared_and_protected() {
    let run = "[[run]]\nrecommender = 'test-probe'\n";
    let text = format!(
        "{DATA}protect.items = 'kind'\n[data.item_groups.kind]\ngroups = {{ m = ['War'] }}\n\
         [data.user_groups.cohort]\nfile = 'c.csv'\n{run}"
    );
    let set = ["data.protect.users=age", "data.item_groups.kind.rule=any"];
    let e = parse(&text, &set).unwrap();
    let again = Experiment::parse("e", &e.effective, Path::new("/elsewhere"), &Overrides::default()).unwrap();
    for (e, file) in [(&e, "c.csv"), (&again, "/folder/c.csv")] {
        let Source::Path { options, .. } = source(e) else { panic!("a path") };
        assert_eq!(options.protect, load::Protect { users: Some("age".into()), items: Some("kind".into()) });
        assert!(matches!(&options.item_groups["kind"], load::Grouping::Rule { rule: load::ListRule::Any, .. }));
        assert_eq!(options.user_groups["cohort"], load::Grouping::File { file: file.into() });
    }
    let simulated = "[data]\nsimulator = 'biased-ratings'\n";
    let e = parse(&format!("{simulated}{run}"), &["data.protect.users=gender"]).unwrap();
    assert!(matches!(source(&e), Source::Simulator { protect, .. } if protect.users.as_deref() == Some("gender")));
    for (text, set, expected) in [
        (format!("{DATA}protect.user = 'age'\n{run}"), "", "e.toml:3:9: unknown key `user` (did you mean `users`?)"),
        (
            format!("{simulated}protect.user = 'age'\n{run}"),
            "",
            "e.toml:3:9: unknown key `user` (did you mean `users`?)",
        ),
        (
            format!("{simulated}protect = 'age'\n{run}"),
            "",
            "e.toml:3:11: `data.protect` is of type string, expected a table",
        ),
        (format!("{DATA}item_groups.x.form = 'genre'\n{run}"), "", "e.toml:3:15: unknown key `form`"),
        (
            format!("{DATA}item_groups.x.rule = 'frist'\n{run}"),
            "",
            "e.toml:3:22: `data.item_groups.x.rule` = `frist`, expected",
        ),
        (format!("{DATA}item_groups.x.groups.a = []\n{run}"), "", "e.toml:3:1: `data.item_groups`: parameter"),
        (
            format!("{DATA}{run}"),
            "data.protect.user=age",
            "--set data.protect.user=age: unknown key `user` (did you mean `users`?); known: users, items",
        ),
        (
            format!("{simulated}{run}"),
            "data.item_groups.x.file=y",
            "--set data.item_groups.x.file=y: `item_groups` does",
        ),
    ] {
        let set: &[&str] = if set.is_empty() { &[] } else { &[set] };
        let got = error(&text, set);
        assert!(got.starts_with(expected), "expected {expected}\n     got {got}\nfor\n{text}");
        assert!(!got.contains("items, path"), "keys of another table: {got}");
    }
}

#[test]
fn an_unknown_nested_plugin_is_placed_where_it_is_named() {
    let run = "[[run]]\nrecommender = 'test-probe'\nparams = { level = 2, fairness = ['none', 'test-wait'] }";
    let got = error(&format!("{DATA}{run}"), &[]);
    assert!(got.starts_with("e.toml:5:34: no fairness-loss plugin `test-wait`"), "{got}");
    let set = "run.0.params.fairness={plugin='test-wait'}";
    let got = error(&format!("{DATA}{run}"), &[set]);
    assert!(got.starts_with(&format!("--set {set}: no fairness-loss plugin `test-wait`")), "{got}");
}

#[test]
fn a_label_is_followed_by_the_axes_only() {
    let run = "[[run]]\nrecommender = 'test-probe'\nlabel = 'mine'\nparams = { level = [1, 2], layers = [9] }";
    assert_eq!(
        labels(&parse(&format!("{DATA}{run}"), &[]).unwrap().offline.unwrap().settings),
        ["mine level=1", "mine level=2"]
    );
}

#[test]
fn equal_settings_are_one_and_a_warning() {
    let run = "[[run]]\nrecommender = 'test-probe'\n";
    let e = parse(&format!("{DATA}{run}{run}params = {{ level = [1.0, 2.0] }}"), &[]).unwrap();
    assert_eq!(labels(&of(&e).settings), ["test-probe", "test-probe level=2.0"]);
    assert!(
        e.warnings[0].contains("`test-probe level=1.0` has the same parameters as `test-probe`"),
        "{:?}",
        e.warnings
    );
}

#[test]
fn mistakes_are_placed_and_the_nearest_is_named() {
    let run = "[[run]]\nrecommender = 'test-probe'\n";
    for (text, expected) in [
        (format!("sedes = [1]\n{DATA}{run}"), "e.toml:1:1: unknown key `sedes` (did you mean `seeds`?)"),
        (format!("{DATA}formt = 'auto'\n{run}"), "e.toml:3:1: unknown key `formt` (did you mean `format`?)"),
        (format!("{DATA}format = 'recbol'\n{run}"), "e.toml:3:10: `data.format` = `recbol`, expected auto,"),
        (format!("[data]\npth = 'x'\n{run}"), "e.toml:2:1: unknown key `pth` (did you mean `path`?)"),
        (format!("{DATA}seed = 1\n{run}"), "e.toml:3:1: `seed` goes with a `simulator`, whose world it draws; beside"),
        (format!("[data]\nseed = 1\n{run}"), "e.toml:1:1: `[data]` without `path` or `simulator`"),
        (format!("{DATA}simulator = 'biased-ratings'\n{run}"), "e.toml:3:13: `path` and `simulator` given"),
        (
            format!("[data]\nsimulator = 'biased-rating'\n{run}"),
            "e.toml:2:13: no simulator plugin `biased-rating` (did",
        ),
        (
            format!("[data]\nsimulator = {{ plugin = 'biased-ratings', usres = 3 }}\n{run}"),
            "e.toml:2:42: parameters of `biased-ratings`: unknown field `usres`",
        ),
        (format!("{DATA}[eval]\nk = [10]\n  kk = 3\n{run}"), "e.toml:5:3: unknown key `kk` (did you mean `k`?)"),
        (format!("{DATA}[eval]\nk = [0]\n{run}"), "e.toml:4:5: `eval.k`: expected at least one list length"),
        (format!("{DATA}[eval]\nrelevant = 'likd'\n{run}"), "e.toml:4:12: `eval.relevant` = `likd`"),
        (
            format!("{DATA}[split]\nkind = 'random'\ntset = 0.1\n{run}"),
            "e.toml:5:1: unknown key `tset` (did you mean `test`?)",
        ),
        (format!("{DATA}[split]\nkind = 'leave-last-out'\ntest = 0.1\n{run}"), "e.toml:5:1: unknown key `test`"),
        (format!("{DATA}[split]\ntest = 1.5\nkind = 'random'\n{run}"), "e.toml:4:8: parameter `split.test` = 1.5"),
        (
            format!("{DATA}[split]\nkind = 'given'\ntest = 0.1\n{run}"),
            "e.toml:5:1: unknown key `test`: split `given` takes no key but `kind`; write --set split={kind='given'}",
        ),
        (format!("{DATA}[split]\ntest = 0.2\n{run}"), "e.toml:3:1: `[split]` without `kind`"),
        (
            format!("{DATA}[split]\nkind = 'randon'\n{run}"),
            "e.toml:4:8: `split.kind`: no kind `randon` (did you mean `random`?); known: random, per-user",
        ),
        (format!("{DATA}[split]\nkind = 'random'\ntest = 'x'\n{run}"), "e.toml:5:8: `split.test` must be a number"),
        (format!("{DATA}[split]\nkind = 'k-fold'\nfolds = 2.5\n{run}"), "e.toml:5:9: `split.folds` must be a whole"),
        (format!("{DATA}[eval]\nk = 'x'\n{run}"), "e.toml:4:5: `eval.k`: expected a list, not text \"x\""),
        (
            format!("{DATA}[eval]\nk = [5, 1.5]\n{run}"),
            "e.toml:4:9: `eval.k[1]`: expected a whole number from 0, not `1.5`",
        ),
        (
            format!("{DATA}columns = {{ user = 1.5 }}\n{run}"),
            "e.toml:3:20: `data.columns.user`: expected the name of a column, or its position",
        ),
        (
            format!("{DATA}scale = {{ low = 'x', high = 1, like_above = 0 }}\n{run}"),
            "e.toml:3:17: `data.scale.low`: expected a number, not text \"x\"",
        ),
        (format!("{DATA}{run}label = ' '\n"), "e.toml:5:9: an empty label"),
        (format!("{DATA}{run}label = 'a'\n{run}label = ' a'\n"), "e.toml:8:9: label `a` occurs twice"),
        (
            format!("{DATA}{run}{run}label = 'test-probe'\nparams = {{ level = 2 }}"),
            "e.toml:7:9: label `test-probe` occurs twice",
        ),
        (
            format!("{DATA}[[run]]\nrecommender = 'test-prob'\n"),
            "e.toml:4:15: no recommender plugin `test-prob` (did you mean",
        ),
        (
            format!("{DATA}[[run]]\nrecomender = 'als'\n"),
            "e.toml:4:1: unknown key `recomender` (did you mean `recommender`?)",
        ),
        (
            format!("{DATA}{run}params = {{ levl = 1 }}"),
            "e.toml:5:12: parameters of `test-probe`: unknown field `levl`",
        ),
        (
            format!("{DATA}{run}params = {{ level = [1, 9] }}"),
            "e.toml:5:20: `test-probe`: parameter `level` = 9, expected 0.0..=5.0",
        ),
        (format!("{DATA}{run}params = {{ level = 'x' }}"), "e.toml:5:20: parameters of `test-probe`: `level`"),
        (format!("{DATA}{run}params = {{ level = [] }}"), "e.toml:5:20: a grid axis without a value"),
        (format!("{DATA}{run}params = {{ level = inf }}"), "e.toml:5:20: expected a finite number"),
        (format!("seeds = [-1]\n{DATA}{run}"), "e.toml:1:9: `seeds`: not a list of whole numbers"),
        (format!("seeds = [18446744073709551615]\n{DATA}{run}"), "e.toml:1:10: "),
        (format!("seeds = [1, 1]\n{DATA}{run}"), "e.toml:1:9: `seeds`: seed 1 occurs twice"),
        (DATA.into(), "e.toml:1:1: no `[[run]]`"),
        (run.into(), "e.toml:1:1: no `[data]`"),
        (format!("{DATA}{run}x = \n"), "e.toml:5:5: "),
        ("é = 1 = 2".into(), "e.toml:1:7: "),
    ] {
        let got = error(&text, &[]);
        assert!(got.starts_with(expected), "expected {expected}\n     got {got}\nfor\n{text}");
    }
}

#[test]
fn changes_reach_every_part_and_are_recorded() {
    let text = format!(
        "{DATA}[[run]]\nrecommender = 'test-probe'\n[[run]]\nrecommender = 'popularity'\nlabel = 'mine'\nparams = {{ damping = 1 }}"
    );
    let set = [
        "name=trial",
        "eval.k=[10,20]",
        "run.test-probe.params.level=[1,2]",
        "run.mine.params.damping=7",
        "split.kind=k-fold",
    ];
    let e = parse(&text, &set).unwrap();
    assert_eq!(
        (e.name.as_str(), &of(&e).eval.k[..], &of(&e).split),
        ("trial", [10, 20].as_slice(), &Split::KFold { folds: 5 })
    );
    assert_eq!(labels(&of(&e).settings), ["test-probe level=1", "test-probe level=2", "mine"]);
    assert_eq!(of(&e).settings[2].params["damping"], 7.0);
    assert_eq!(e.overrides[0], "--set name=trial");
    let again = Experiment::parse("again", &e.effective, Path::new("/elsewhere"), &Overrides::default()).unwrap();
    assert_eq!(labels(&of(&again).settings), labels(&of(&e).settings));
    assert!(matches!(source(&again), Source::Path { path, .. } if path == Path::new("/folder/x")));
}

#[test]
fn wrong_changes_are_named() {
    let text = format!("{DATA}[eval]\nk = [5]\n[[run]]\nrecommender = 'test-probe'\nparams.level = 1\n");
    let deep = format!("{}x=1", "a.".repeat(50_000));
    assert!(error(&text, &[&deep]).ends_with(": a path of 50001 keys, expected at most 32"));
    for (set, expected) in [
        ("eval.kk=3", "--set eval.kk=3: unknown key `kk` (did you mean `k`?)"),
        ("evl.k=[3]", "--set evl.k=[3]: unknown key `evl` (did you mean `eval`?)"),
        (
            "run.als.params.factors=3",
            "--set run.als.params.factors=3: no entry `als` in `run`; there: 0..1, test-probe",
        ),
        ("run.0.params.levl=3", "--set run.0.params.levl=3: parameters of `test-probe`: unknown field `levl`"),
        ("run.*.params.level=30", "--set run.*.params.level=30: `test-probe`: parameter `level` = 30"),
        ("run.0=3", "--set run.0=3: `run.0` is a table"),
        ("data.path.x=3", "--set data.path.x=3: `data.path` is a single value"),
        (
            "eval.k.0.x=20",
            "--set eval.k.0.x=20: `eval.k` is a list of values, which can only be set as a whole: eval.k=[...]",
        ),
        ("eval.k.0=20", "--set eval.k.0=20: `eval.k` is a list of values"),
        ("run.0.params.level.x=20", "--set run.0.params.level.x=20: `run.0.params.level` is a single value"),
        ("eval.k=[3", "--set eval.k=[3: `[3`: "),
        ("eval..k=3", "--set eval..k=3: `eval..k`, expected a path"),
        ("eval", "--set eval: expected KEY=VALUE"),
    ] {
        let got = error(&text, &[set]);
        assert!(got.starts_with(expected), "expected {expected}\n     got {got}");
    }
}

#[test]
fn the_effective_experiment_keeps_the_order_of_keys() {
    let text =
        "[[run]]\nrecommender = 'test-probe'\nparams = { level = [1, 2], layers = [[1], [2]] }\n[data]\npath = 'x'\n";
    let set = ["run.0.label=mine", "seeds=[3]", "run.0.params.level=[3,4]"];
    let (plain, changed) = (parse(text, &[]).unwrap(), parse(text, &set).unwrap());
    assert_eq!(labels(&of(&plain).settings)[1], "test-probe level=1 layers=[2]");
    assert_eq!(labels(&of(&changed).settings)[1], "mine layers=[1] level=4");
    for e in [plain, changed] {
        let again = parse(&e.effective, &[]).unwrap();
        assert_eq!(labels(&of(&again).settings), labels(&of(&e).settings));
        assert_eq!((again.seeds, &again.effective), (e.seeds, &e.effective));
    }
}

#[test]
fn data_and_seeds_of_the_command_line_win() {
    let text = "seeds = [5]\n[data]\npath = 'x'\nformat = 'recbole'\n[[run]]\nrecommender = 'test-probe'\n";
    let overrides = Overrides { data: Some("here".into()), seeds: Some(vec![1, 2]), ..Overrides::default() };
    let e = Experiment::parse("e", text, Path::new("/folder"), &overrides).unwrap();
    assert_eq!(e.seeds, [1, 2]);
    let Source::Path { path, options } = source(&e) else { panic!("a path") };
    assert_eq!((path.as_path(), &**options), (Path::new("here"), &load::Options::default()));
    assert_eq!(e.overrides, ["--data here", "--seeds 1,2"]);
    assert!(e.warnings[0].contains("so these no longer hold: `format`; repeat"), "{:?}", e.warnings);
}

#[test]
fn files_stand_beside_the_ratings_wherever_the_effective_experiment_lies() {
    let run = "[[run]]\nrecommender = 'test-probe'\n";
    let e = parse(&format!("[data]\npath = 'd/x.csv'\ntest = 'y.csv'\n{run}"), &[]).unwrap();
    let again = Experiment::parse("e", &e.effective, Path::new("/elsewhere"), &Overrides::default()).unwrap();
    let Source::Path { path, options } = again.data.unwrap() else { panic!("a path") };
    assert_eq!(
        (path.as_path(), options.test.as_deref()),
        (Path::new("/folder/d/x.csv"), Some(Path::new("/folder/d/y.csv")))
    );
    let select = "select = { items = { guide = 'g.csv', links = '../l.csv' }, top_users = 9 }\n";
    let e = parse(&format!("[data]\npath = 'd/x.csv'\n{select}{run}"), &[]).unwrap();
    let again = Experiment::parse("e", &e.effective, Path::new("/elsewhere"), &Overrides::default()).unwrap();
    let Source::Path { options, .. } = again.data.unwrap() else { panic!("a path") };
    let files = [("items.guide", Path::new("/folder/d/g.csv")), ("items.links", Path::new("/folder/d/../l.csv"))];
    assert_eq!((options.select.files(), options.select.top_users), (files.to_vec(), Some(9)));
    let wrong = error(&format!("[data]\npath = 'x'\nselect = {{ top_user = 9 }}\n{run}"), &[]);
    assert!(wrong.contains("unknown key `top_user` (did you mean `top_users`?)"), "{wrong}");
    let wrong = error(&format!("[data]\npath = 'x'\nselect.top_items = 0\n{run}"), &[]);
    assert!(wrong.contains("parameter `select.top_items` = 0, expected at least 1"), "{wrong}");
}

#[test]
fn the_embedded_experiments_are_fine() {
    for text in [include_str!("../../experiments/default.toml"), include_str!("../../experiments/ratings.toml")] {
        assert!(parse(text, &[]).unwrap().offline.unwrap().settings.len() >= 4);
    }
}

#[test]
fn all_shipped_experiments_are_fine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let e = parse(&text, &[]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        assert_eq!((&e.name, e.warnings), (&name, vec![]));
        names.push(name);
    }
    names.sort_unstable();
    let equal_experience = ["ml-1m", "ml-1m-corrected", "synthetic"].map(|data| format!("equal-experience-{data}"));
    let first = ["apr", "bandits", "default"].map(String::from);
    let last = ["groupwise", "harm", "ratings"].map(String::from);
    assert_eq!(names, [&first[..], &equal_experience[..], &last[..]].concat());
}

#[test]
fn seeds_as_text() {
    assert_eq!(parse_seeds("0..=2, 9"), Ok(vec![0, 1, 2, 9]));
    for wrong in ["", "a", "3..3", "1,1", "0..100000000000", "-1"] {
        assert!(parse_seeds(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn experiments_of_agents_that_come_along_can_be_read() {
    for (text, agents, periods) in [
        (include_str!("../../experiments/default.toml"), 7, 30),
        (include_str!("../../experiments/bandits.toml"), 8, 30),
    ] {
        let e = Experiment::parse("e", text, Path::new(""), &Overrides::default()).unwrap();
        let part = e.interactive.unwrap();
        assert_eq!((part.agents.len(), part.options.periods, e.warnings.len()), (agents, periods, 0), "{}", e.name);
    }
}
