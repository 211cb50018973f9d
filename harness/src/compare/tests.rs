use super::*;
use crate::experiment::Overrides;
use crate::report::results_csv;
use evenhand_core::dense::Reference;
use evenhand_core::metrics::Position;
use evenhand_core::{Compressed, Error, Model, Recommender, Registry, Result, TopK, Training, plugin};
use nalgebra::DMatrix;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The reference, which is lost after so many calls.
#[derive(Debug)]
struct Lost(AtomicUsize);

impl Lost {
    fn call(&self) -> Result<()> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Error::Device("test: no longer there".into()))
    }
}

impl Dense for Lost {
    fn name(&self) -> &'static str {
        "test"
    }

    fn scores(&self, users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>, out: &mut DMatrix<f32>) -> Result<()> {
        self.call()?;
        Reference.scores(users, rows, items, out)
    }

    fn top_k(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        k: usize,
    ) -> Result<TopK> {
        self.call()?;
        Reference.top_k(users, rows, items, seen, k)
    }

    fn ranks(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Result<Vec<Position>> {
        self.call()?;
        Reference.ranks(users, rows, items, seen, held_out)
    }
}

plugin! {
    /// For tests: `random` that computes scores while it is fitted.
    pub struct Scoring: Recommender = "test-scoring" {}
}

impl Recommender for Scoring {
    fn fit(&self, data: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        let one = DMatrix::from_element(1, 1, 1.0);
        run.dense().scores(&one, &[0], &one, &mut DMatrix::zeros(0, 0))?;
        let registry = Registry::<dyn Recommender>::linked()?;
        registry.get("random")?.with_defaults().fit(data, run)
    }
}

const OFFLINE: &str = "
[data]
simulator = { plugin = 'biased-ratings', users = 60, items = 24 }
[split]
kind = 'random'
test = 0.2
[attack]
direction = 'random'
eps = 0.5
draws = 2
[[run]]
recommender = 'als'
params = { factors = 2, iterations = 2 }
[[run]]
recommender = 'test-scoring'
[[run]]
recommender = 'random'
";
const AGENTS: &str = "
[interactive]
simulator = { plugin = 'user-item', users = 6, items = 5 }
periods = 2
[[interactive.agent]]
recommender = 'als'
params = { factors = 2, iterations = 2, biases = false }
policy = 'greedy'
[[interactive.agent]]
recommender = 'random'
policy = 'greedy'
";

fn experiment(seeds: &[u64], parts: &[&str]) -> Experiment {
    let overrides = Overrides { seeds: Some(seeds.to_vec()), ..Overrides::default() };
    Experiment::parse("e", &parts.concat(), Path::new(""), &overrides).unwrap()
}

fn host(dense: &Arc<Lost>) -> Host {
    Host { threads: 1, dense: dense.clone(), ..Host::default() }
}

/// Calls that an experiment makes.
fn calls(experiment: &Experiment) -> usize {
    let dense = Arc::new(Lost(AtomicUsize::new(1 << 30)));
    compare(experiment, None, &host(&dense)).unwrap();
    (1 << 30) - dense.0.load(Ordering::SeqCst)
}

/// What became of all cells.
fn ends(comparison: &Comparison) -> Vec<&'static str> {
    let end = |cell: &Cell| match &cell.end {
        CellEnd::Done(_) => "done",
        CellEnd::Found(_) => "found",
        CellEnd::Failed(reason) => {
            assert_eq!(reason, "device: test: no longer there");
            "failed"
        }
        CellEnd::Skipped => "skipped",
    };
    comparison.cells().map(end).collect()
}

#[test]
fn a_device_that_is_lost_fails_cells_that_use_it_and_the_cpu_finishes_them() {
    let whole = experiment(&[0, 1], &[OFFLINE, AGENTS]);
    let first = calls(&experiment(&[0], &[OFFLINE]));
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), false).unwrap();
    let compared = |dense: Arc<dyn Dense>| {
        let host = Host { threads: 1, dense, ..Host::default() };
        compare(&whole, Some(&store), &host).unwrap()
    };
    let lost = compared(Arc::new(Lost(AtomicUsize::new(first))));
    // By setting, then seed.
    let offline = ["done", "failed", "done", "failed", "done", "done"];
    let agents = ["failed", "failed", "done", "done"];
    assert_eq!(ends(&lost), [&offline[..], &agents].concat());
    let remedy = "the device `test` failed 4 times; the same command with --device cpu finishes what is missing";
    assert_eq!(lost.warnings.last().map(String::as_str), Some(remedy));
    let resumed = compared(Arc::new(Cpu));
    let expected = ends(&lost).into_iter().map(|end| if end == "failed" { "done" } else { "found" });
    assert_eq!(ends(&resumed), expected.collect::<Vec<_>>());
    let mixed = "times are of several devices (cells: `cpu` 4, `test` 6) and do not compare, nor do the last \
         digits of what is trained on a fairness loss; --fresh finds all on one";
    assert_eq!(resumed.warnings.last().map(String::as_str), Some(mixed));
    let on_cpu = compare(&whole, None, &Host::default()).unwrap();
    assert!(results_csv(&whole, &resumed) == results_csv(&whole, &on_cpu));
}

#[test]
fn a_device_that_is_lost_at_any_call_is_told_as_such() {
    for parts in [&[OFFLINE][..], &[AGENTS]] {
        let experiment = experiment(&[0], parts);
        for left in 0..calls(&experiment) {
            let ends = ends(&compare(&experiment, None, &host(&Arc::new(Lost(AtomicUsize::new(left))))).unwrap());
            assert!(ends.contains(&"failed") && ends.contains(&"done"), "{left} calls: {ends:?}");
        }
    }
}
