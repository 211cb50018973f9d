//! Measuring: the harness' offline protocol without the fit, and single metrics for a block of users.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand::experiment::Eval;
use evenhand::protocol::offline;
use evenhand::split::{Fold, Split, split};
use evenhand_benches::{LARGE, SEED, SMALL, Size, criterion, factors, ratings};
use evenhand_core::metrics::{Hits, mean_auc};
use evenhand_core::{Dataset, Dense, Run, Scale, Streams};
use evenhand_kernels::Cpu;
use evenhand_plugins::als::{Als, FeedbackKind, Solver};
use nalgebra::DMatrix;
use std::sync::Arc;
use std::time::Duration;

const RANK: usize = 64;
const BLOCK: usize = 512;

/// A tenth of the ratings held out.
fn data(size: Size) -> (Dataset, Fold) {
    let data = Dataset::new("generated", ratings(size), Scale::FIVE_STARS);
    let folds = split(&data, &Split::default(), &Streams::new(SEED)).expect("there are enough ratings");
    (data, folds.folds.into_iter().next().expect("there is one fold"))
}

/// Scores, lists and all metrics of all users; fitting is outside the measured time.
fn protocol(c: &mut Criterion, size: Size, data: &Dataset, fold: &Fold) {
    let run = Run::new(SEED).with_dense(Arc::new(Cpu));
    let (feedback, solver) = (FeedbackKind::Implicit, Solver::Cg);
    let als = Als { factors: RANK, iterations: 1, steps: 1, feedback, solver, ..Als::default() };
    let mut group = c.benchmark_group("metrics/offline");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(size.users as u64));
    for k in [vec![10], vec![10, 100]] {
        let id = format!("{size}/d={RANK}/k={k:?}");
        let eval = Eval { k, ..Eval::default() };
        let evaluate =
            || offline::measure(&als, data, fold, &eval, None, &run).expect("scores are finite").seconds.evaluate;
        group.bench_function(BenchmarkId::new("evaluate", id), |b| {
            b.iter_custom(|count| Duration::from_secs_f64((0..count).map(|_| evaluate()).sum()));
        });
    }
    group.finish();
}

/// One user's scores of all items, the best of them, the test items and the training items.
fn single(c: &mut Criterion, size: Size, fold: &Fold) {
    let (users, items) = (factors("users", RANK, size.users), factors("items", RANK, size.items));
    let (train, test) = (fold.train.by_user(), fold.test.by_user());
    let tested: Vec<u32> = (0..size.users as u32).filter(|&u| test.count(u as usize) > 0).take(BLOCK).collect();
    let mut scores = DMatrix::zeros(0, 0);
    Cpu.scores(&users, &tested, &items, &mut scores).expect("shapes fit");
    let top = Cpu.top_k(&users, &tested, &items, Some(train), 100).expect("shapes fit");
    let columns = || tested.iter().map(|&u| u as usize).enumerate();

    let mut group = c.benchmark_group("metrics/block");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(tested.len() as u64));
    let ndcg = |k| move |hits: Hits| hits.ndcg_at(k);
    for k in [10, 100] {
        group.bench_function(BenchmarkId::new("ndcg", format!("{}x{}/k={k}", tested.len(), size.items)), |b| {
            b.iter(|| -> f64 {
                columns().filter_map(|(at, u)| Hits::new(top.items(at), test.partners(u)).map(ndcg(k))).sum()
            });
        });
    }
    group.bench_function(BenchmarkId::new("auc", format!("{}x{}", tested.len(), size.items)), |b| {
        b.iter(|| -> f64 {
            let auc = |(at, u): (usize, usize)| {
                let scores = scores.column(at);
                mean_auc(scores.as_slice(), test.partners(u), train.partners(u)).expect("scores are finite")
            };
            columns().filter_map(auc).map(|auc| auc.strict).sum()
        });
    });
    group.finish();
}

fn main() {
    let mut c = criterion();
    for size in [SMALL, LARGE] {
        let (data, fold) = data(size);
        protocol(&mut c, size, &data, &fold);
        single(&mut c, size, &fold);
    }
    c.final_summary();
}
