use super::*;
use crate::experiment::{Comparator, Setting};
use evenhand_core::{Expert, GroupPredictor, GroupRegressor, OnlineRegressor, Registry, check_row, params, plugin};
use nalgebra::DMatrix;
use serde_json::json;
use std::sync::{Arc, Mutex};

plugin! {
    /// For tests: the same number for every row, or one for each group.
    pub struct Level: GroupRegressor = "test-level" {
        /// The number.
        level: f64 = 1.0;
        /// Whether it learns row by row.
        online: bool = true;
        /// Whether each group has an expert, which says that much more with each group; of equal weights.
        experts: bool = false;
        /// Whether rows in no group are predicted.
        always_on: bool = true;
        /// Whether it panics.
        panics: bool = false;
    }
}

/// What was learned, or is learning.
struct Levels {
    recipe: Level,
    groups: usize,
    experts: Vec<Expert>,
}

impl Level {
    fn levels(&self, groups: usize) -> Levels {
        assert!(!self.panics, "never learns");
        Levels { recipe: self.clone(), groups, experts: Vec::new() }
    }
}

impl GroupRegressor for Level {
    fn online(&self) -> bool {
        self.online
    }

    fn fit(&self, table: &GroupTable, labels: &[f64], _: &Run) -> Result<Box<dyn GroupPredictor>> {
        table.check_labels(labels)?;
        Ok(self.levels(table.groups().len()).freeze())
    }

    fn begin(&self, _: usize, groups: usize, _: &Run) -> Result<Box<dyn OnlineRegressor>> {
        Ok(Box::new(self.levels(groups)))
    }
}

impl OnlineRegressor for Levels {
    fn predict(&mut self, _: &[f64], active: &[bool]) -> Result<Option<f64>> {
        let Level { level, experts, always_on, .. } = self.recipe;
        let prediction = |group: Option<usize>| level + group.map_or(0.0, |group| group as f64 + 1.0);
        let awake = active.iter().enumerate().filter(|(_, there)| **there).map(|(group, _)| Some(group));
        let parts: Vec<Option<usize>> = always_on.then_some(None).into_iter().chain(awake).collect();
        let weight = 1.0 / parts.len() as f64;
        let of = |group| Expert { group, prediction: prediction(group), weight };
        self.experts = if experts { parts.iter().copied().map(of).collect() } else { vec![] };
        let mixed = if experts { self.experts.iter().map(|e| e.weight * e.prediction).sum() } else { level };
        Ok((!parts.is_empty()).then_some(mixed))
    }

    fn observe(&mut self, _: &[f64], _: &[bool], _: f64) -> Result<()> {
        Ok(())
    }

    fn experts(&self) -> &[Expert] {
        &self.experts
    }

    fn freeze(&self) -> Box<dyn GroupPredictor> {
        Box::new(Levels { recipe: self.recipe.clone(), groups: self.groups, experts: vec![] })
    }
}

impl GroupPredictor for Levels {
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()> {
        table.check_predicted((table.features(), self.groups), out)?;
        for (row, out) in out.iter_mut().enumerate() {
            let member = self.recipe.always_on || table.row(row).1.contains(&true);
            *out = if member { self.recipe.level } else { f64::NAN };
        }
        Ok(())
    }

    fn predict_by(&self, group: usize, _: &GroupTable, out: &mut [f64]) -> Result<bool> {
        let apart = if self.recipe.experts { group as f64 + 1.0 } else { 0.0 };
        out.fill(self.recipe.level + apart);
        Ok(group != 2)
    }
}

plugin! {
    /// For tests: sees to it that no label comes too early, and keeps what it was shown.
    pub struct Spy: GroupRegressor = "test-spy" {}
}

/// What happened, by feature, and with the label of an observation.
static SEEN: Mutex<Vec<(f64, Option<f64>)>> = Mutex::new(Vec::new());

/// The spy while it learns, with the sizes of a row.
struct Watching((usize, usize));

impl GroupRegressor for Spy {
    fn online(&self) -> bool {
        true
    }

    fn begin(&self, features: usize, groups: usize, _: &Run) -> Result<Box<dyn OnlineRegressor>> {
        SEEN.lock().unwrap().clear();
        Ok(Box::new(Watching((features, groups))))
    }
}

impl OnlineRegressor for Watching {
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>> {
        check_row(features, active, self.0)?;
        SEEN.lock().unwrap().push((features[0], None));
        Ok(None)
    }

    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()> {
        check_row(features, active, self.0)?;
        SEEN.lock().unwrap().push((features[0], Some(label)));
        Ok(())
    }

    fn freeze(&self) -> Box<dyn GroupPredictor> {
        Box::new(Level::default().levels(self.0.1))
    }
}

fn data(features: &[f64], labels: &[f64], members: &[&[usize]]) -> GroupData {
    let groups = ["a", "b", "c"];
    let membership = DMatrix::from_fn(groups.len(), labels.len(), |group, row| members[row].contains(&group));
    let names = groups.map(String::from).to_vec();
    let features = DMatrix::from_row_slice(1, labels.len(), features);
    let table = GroupTable::new(features, membership, vec!["x".into()], names).unwrap();
    GroupData::new("small", table, "y", labels.to_vec()).unwrap()
}

/// Four rows, one of them in both groups and one in none; a third group is empty.
fn four() -> Ground {
    Ground::new(data(&[1.0, 1.0, 2.0, 0.0], &[1.0, 3.0, 2.0, 1.0], &[&[0], &[0, 1], &[1], &[]]))
}

fn case(plugin: &str, params: serde_json::Value, learning: GroupLearning) -> GroupRun {
    let recipe = Registry::<dyn GroupRegressor>::linked().unwrap().build(plugin, &params).unwrap();
    let (plugin, params) = (recipe.name(), params::parameters(recipe.as_ref()));
    let setting =
        Setting { plugin, label: plugin.into(), params, origins: vec![], recipe, control: None, added: false };
    GroupRun { label: plugin.into(), setting: Arc::new(setting), learning }
}

fn online(params: serde_json::Value, comparator: Comparator) -> Vec<Figure> {
    let options = GroupwiseOptions { comparator, ..GroupwiseOptions::default() };
    let case = case("test-level", params, GroupLearning::Online);
    measure(&four(), &case, &options, Order::AsIs, &Run::new(0)).unwrap().figures
}

fn value(figures: &[Figure], metric: &str, group: &str) -> Option<f64> {
    let group = (!group.is_empty()).then_some(group);
    figures.iter().find(|f| f.metric == metric && f.group.as_deref() == group).map(|f| f.value)
}

#[track_caller]
fn expect(figures: &[Figure], metric: &str, values: [f64; 3]) {
    for (group, expected) in ["", "a", "b"].into_iter().zip(values) {
        let got = value(figures, metric, group).unwrap_or_else(|| panic!("{metric} of `{group}`"));
        assert!((got - expected).abs() < 1e-12, "{metric} of `{group}`: expected {expected}, got {got}");
    }
}

/// Losses 0, 4, 1, 0. Best slopes: 8/6 with a loss of 15 - 64/6; 2 with one of 2; 7/5 with one of 13 - 49/5.
#[test]
fn regret_by_hand() {
    let figures = online(json!({}), Comparator::AllRows);
    expect(&figures, "loss", [5.0, 4.0, 5.0]);
    expect(&figures, "hindsight", [13.0 / 3.0, 2.0, 3.2]);
    expect(&figures, "regret", [2.0 / 3.0, 2.0, 1.8]);
    expect(&figures, "expected-regret", [2.0 / 3.0, 2.0, 1.8]);
    expect(&figures, "rank", [1.0; 3]);
    expect(&figures, "rows", [4.0, 2.0, 2.0]);
    expect(&figures, "no-prediction", [0.0; 3]);
    assert!((value(&figures, "worst-regret", "").unwrap() - 2.0).abs() < 1e-12);
    let empty: Vec<_> = figures.iter().filter(|f| f.group.as_deref() == Some("c")).collect();
    assert_eq!((empty.len(), empty[0].metric.as_str(), empty[0].value, empty[0].n), (1, "rows", 0.0, 0));
    assert!(!figures.iter().any(|f| f.metric == "own-regret" || f.metric == "experts"));
    let n = |metric: &str| figures.iter().find(|f| f.metric == metric && f.group.is_none()).unwrap().n;
    assert_eq!((n("regret"), n("worst-regret")), (4, 2));
}

/// Experts say 1, and 2 in `a`, 3 in `b`; the mixture says 1.5, 2, 2, 1.
#[test]
fn expected_and_own_regret_by_hand() {
    let figures = online(json!({ "experts": true }), Comparator::AllRows);
    expect(&figures, "loss", [1.25, 1.25, 1.0]);
    expect(&figures, "expected-loss", [19.0 / 6.0, 13.0 / 6.0, 8.0 / 3.0]);
    expect(&figures, "expected-regret", [19.0 / 6.0 - 13.0 / 3.0, 13.0 / 6.0 - 2.0, 8.0 / 3.0 - 3.2]);
    expect(&figures, "own-regret", [5.0 - 13.0 / 3.0, 0.0, 1.0 - 3.2]);
    expect(&figures, "regret", [1.25 - 13.0 / 3.0, -0.75, -2.2]);
    assert_eq!(value(&figures, "experts", ""), Some(2.0));
}

/// The last rows are the fourth, the second and the third: of a group of two, a line through the other one is left.
#[test]
fn the_comparator_of_published_tables_leaves_out_the_last_row() {
    let figures = online(json!({}), Comparator::AllButLast);
    expect(&figures, "loss", [5.0, 4.0, 5.0]);
    expect(&figures, "hindsight", [10.0 / 3.0, 0.0, 0.0]);
    let given = [3, 2, 1, 0];
    let options = GroupwiseOptions { comparator: Comparator::AllButLast, ..GroupwiseOptions::default() };
    let case = case("test-level", json!({}), GroupLearning::Online);
    let figures = measure(&four(), &case, &options, Order::Given(&given), &Run::new(0)).unwrap().figures;
    // Without the first row: slope 7/5 and a loss of 14 - 49/5.
    expect(&figures, "hindsight", [4.2, 0.0, 0.0]);
    let single = Ground::new(data(&[1.0, 1.0], &[2.0, 3.0], &[&[0], &[1]]));
    let figures = measure(&single, &case, &options, Order::AsIs, &Run::new(0)).unwrap().figures;
    expect(&figures, "hindsight", [0.0; 3]);
}

#[test]
fn rows_without_a_prediction_are_counted_and_leave_no_regret() {
    let figures = online(json!({ "experts": true, "always_on": false, "level": 9.0 }), Comparator::AllRows);
    expect(&figures, "no-prediction", [1.0, 0.0, 0.0]);
    expect(&figures, "rows", [4.0, 2.0, 2.0]);
    // 10, 10.5 and 11 for 1, 3 and 2.
    expect(&figures, "loss", [81.0 + 56.25 + 81.0, 81.0 + 56.25, 56.25 + 81.0]);
    for metric in ["regret", "expected-regret", "own-regret"] {
        let of = |group| value(&figures, metric, group).is_some();
        assert_eq!((of(""), of("a"), of("b")), (false, true, true), "{metric}");
    }
    assert!(value(&figures, "worst-regret", "").is_some(), "of the groups");
    assert_eq!(value(&figures, "experts", ""), Some(4.0 / 3.0));
}

#[test]
fn a_label_comes_after_its_prediction_and_test_labels_never() {
    let (rows, options) = (10, GroupwiseOptions { test: 0.3, ..GroupwiseOptions::default() });
    let features: Vec<f64> = (0..rows).map(f64::from).collect();
    let labels: Vec<f64> = features.iter().map(|x| 100.0 + x).collect();
    let ground = Ground::new(data(&features, &labels, &[&[0][..]; 10]));
    let watch = |learning, order: Order<'_>, seed| {
        measure(&ground, &case("test-spy", json!({}), learning), &options, order, &Run::new(seed)).unwrap();
        let seen = std::mem::take(&mut *SEEN.lock().unwrap());
        for pair in seen.chunks(2) {
            assert_eq!(pair, [(pair[0].0, None), (pair[0].0, Some(100.0 + pair[0].0))], "predict, then observe");
        }
        seen.iter().step_by(2).map(|(feature, _)| *feature as usize).collect::<Vec<_>>()
    };
    let reversed: Vec<usize> = (0..10).rev().collect();
    assert_eq!(watch(GroupLearning::Online, Order::AsIs, 0), (0..10).collect::<Vec<_>>());
    assert_eq!(watch(GroupLearning::Online, Order::Given(&reversed), 0), reversed);
    let shuffled = watch(GroupLearning::Online, Order::Shuffled, 0);
    assert_eq!(watch(GroupLearning::Online, Order::Shuffled, 0), shuffled);
    assert_ne!(watch(GroupLearning::Online, Order::Shuffled, 1), shuffled);
    let learned = watch(GroupLearning::Batch, Order::AsIs, 0);
    let mut distinct = learned.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((learned.len(), distinct.len()), (7, 7), "the other three are held out");
    assert_eq!(watch(GroupLearning::Batch, Order::Shuffled, 0), learned, "the split is that of the seed");
    assert_ne!(watch(GroupLearning::Batch, Order::AsIs, 1), learned);
    let short = measure(
        &ground,
        &case("test-spy", json!({}), GroupLearning::Online),
        &options,
        Order::Given(&[0]),
        &Run::new(0),
    );
    assert!(short.unwrap_err().to_string().contains("the order of the rows"));
}

/// Everything is a test row here. Models say 2 for `a`, 3 for `b`, 4 for `c`, which has none; together they say 1.
#[test]
fn errors_and_the_cross_test_matrix_by_hand() {
    let figures = held_out(&four(), Level { experts: true, ..Level::default() });
    // Labels 1, 3, 2, 1: mean 7/4, squares of the differences 11/4. Errors 0, 2, 1, 0.
    let r2 = |squares: f64, total: f64| 1.0 - squares / total;
    expect(&figures, "r2", [r2(5.0, 2.75), r2(4.0, 2.0), r2(5.0, 0.5)]);
    expect(&figures, "rmse", [(5.0f64 / 4.0).sqrt(), 2f64.sqrt(), 2.5f64.sqrt()]);
    assert_eq!(value(&figures, "worst-r2", ""), Some(r2(5.0, 0.5)));
    assert_eq!(value(&figures, "worst-rmse", ""), Some(2.5f64.sqrt()));
    // `a` has 1 and 3, `b` has 3 and 2.
    let matrix = ["cross-r2 a", "cross-r2 b", "cross-r2 c"]
        .map(|model| ["a", "b", "c"].map(|group| value(&figures, model, group)));
    assert_eq!(matrix, [[Some(0.0), Some(-1.0), None], [Some(-1.0), Some(-1.0), None], [None; 3]]);
    assert_eq!(["a", "b", "c"].map(|group| value(&figures, "own-r2", group)), [Some(0.0), Some(-1.0), None]);
    let of_nobody: Vec<_> = figures.iter().filter(|f| f.group.as_deref() == Some("c")).collect();
    assert!(matches!(of_nobody[..], [f] if f.metric == "no-prediction" && (f.value, f.n) == (0.0, 0)), "{of_nobody:?}");
}

fn held_out(ground: &Ground, level: Level) -> Vec<Figure> {
    batch::held_out(&level.levels(3), &ground.data, &Run::new(0)).unwrap()
}

#[test]
fn r2_needs_two_different_labels() {
    let ground = Ground::new(data(&[0.0; 4], &[5.0, 2.0, 2.0, 1.0], &[&[0], &[1], &[1], &[]]));
    let silent = Level { always_on: false, ..Level::default() };
    let figures = held_out(&ground, silent);
    assert_eq!((value(&figures, "r2", "a"), value(&figures, "rmse", "a")), (None, Some(4.0)));
    assert_eq!((value(&figures, "r2", "b"), value(&figures, "rmse", "b")), (None, Some(1.0)));
    assert!(value(&figures, "worst-r2", "").is_none() && value(&figures, "cross-r2 a", "b").is_none());
    // The row in no group is left out: 16 + 1 + 1 of 6.
    assert_eq!((value(&figures, "no-prediction", ""), value(&figures, "r2", "")), (Some(1.0), Some(-2.0)));
    assert_eq!(figures.iter().find(|f| f.metric == "rmse" && f.group.is_none()).unwrap().n, 3);
}

#[test]
fn batch_counts_rows_and_refuses_what_can_not_be_divided() {
    let options = GroupwiseOptions { test: 0.5, ..GroupwiseOptions::default() };
    let case = case("test-level", json!({}), GroupLearning::Batch);
    let figures = measure(&four(), &case, &options, Order::AsIs, &Run::new(3)).unwrap().figures;
    let count = |metric, group| value(&figures, metric, group).unwrap();
    assert_eq!((count("train-rows", ""), count("test-rows", "")), (2.0, 2.0));
    for (group, rows) in [("a", 2.0), ("b", 2.0), ("c", 0.0)] {
        assert_eq!(count("train-rows", group) + count("test-rows", group), rows);
    }
    let one = Ground::new(data(&[1.0], &[1.0], &[&[0]]));
    let error = measure(&one, &case, &options, Order::AsIs, &Run::new(0)).unwrap_err();
    assert!(error.to_string().contains("1 row, expected at least 2"), "{error}");
}

#[test]
fn numbers_that_run_away_and_a_stop_end_a_cell() {
    let error = |level: f64, learning| {
        let case = case("test-level", json!({ "level": level }), learning);
        measure(&four(), &case, &GroupwiseOptions::default(), Order::AsIs, &Run::new(0)).unwrap_err().to_string()
    };
    let said = error(1e200, GroupLearning::Online);
    assert_eq!(said, "the loss of a prediction became non-finite at step 0");
    assert!(error(1e200, GroupLearning::Batch).contains("became non-finite"));
    let stop = Run::new(0).with_cancel(Arc::new(true.into()));
    for learning in [GroupLearning::Online, GroupLearning::Batch] {
        let case = case("test-level", json!({}), learning);
        let end = measure(&four(), &case, &GroupwiseOptions::default(), Order::AsIs, &stop);
        assert!(matches!(end, Err(Error::Cancelled)), "{learning:?}");
    }
}
