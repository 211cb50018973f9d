//! Alternating least squares: one sweep over items and users without the set-up, and single half-steps in f64.
//!
//! The time of a sweep is that between two reports of progress, so biases, start vectors and threads are not in it.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{LARGE, SEED, SMALL, criterion, factors, ratings, steps};
use evenhand_core::{Interactions, Recommender, Run, Training};
use evenhand_plugins::als::{Als, FeedbackKind, Solver, half_step};
use evenhand_plugins::precision::Precision;
use std::time::Duration;

const RANK: usize = 64;

/// The time of some sweeps.
fn sweeps(als: &Als, data: &Interactions, count: usize) -> Duration {
    let als = Als { iterations: count, ..als.clone() };
    steps(count, &Run::new(SEED), |run| {
        als.fit(&Training::new(data), run).expect("these data can be fitted");
    })
}

fn als(c: &mut Criterion) {
    let explicit = Als { factors: RANK, ..Als::default() };
    let double = Als { accumulate: Precision::F64, ..explicit.clone() };
    let implicit = Als { feedback: FeedbackKind::Implicit, ..explicit.clone() };
    let cg = Als { solver: Solver::Cg, ..implicit.clone() };
    let variants = [
        ("explicit-cholesky-f32", &explicit),
        ("explicit-cholesky-f64", &double),
        ("implicit-cholesky-f32", &implicit),
        ("implicit-cg-f32", &cg),
    ];
    for size in [SMALL, LARGE] {
        let data = ratings(size);
        let mut group = c.benchmark_group("als/sweep");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(size.ratings as u64));
        for (name, als) in variants {
            group.bench_function(BenchmarkId::new(name, format!("{size}/d={RANK}")), |b| {
                b.iter_custom(|count| sweeps(als, &data, count as usize));
            });
        }
        group.finish();

        let run = Run::new(SEED);
        let (users, items) = (factors("users", RANK, size.users), factors("items", RANK, size.items));
        let sides = [("users", data.by_user(), items.cast()), ("items", data.by_item(), users.cast())];
        let mut group = c.benchmark_group("als/half-step");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(size.ratings as u64));
        for (name, rows, partners) in sides {
            group.bench_function(BenchmarkId::new(format!("explicit-f64/{name}"), format!("{size}/d={RANK}")), |b| {
                b.iter(|| half_step(&explicit, rows, &partners, &run).expect("lambda is above 0"));
            });
        }
        group.finish();
    }
}

fn main() {
    let mut c = criterion();
    als(&mut c);
    c.final_summary();
}
