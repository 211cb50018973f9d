//! One training step of matrix factorisation (rank 20) without and with each fairness loss: forward, loss, gradient, Adam.
//!
//! Random factors whose products lie about 3, the threshold: some 16 % of the cells are so near to it that the smoothed
//! losses have a gradient there. The time of a step is that between two reports of progress.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{MOVIELENS_1M, SEED, SMALL, criterion, grouped, steps};
use evenhand_core::{Dataset, FairnessLoss, Registry, Streams, Training};
use evenhand_plugins::mf::{Objective, descend};
use evenhand_plugins::precision::Precision;
use evenhand_plugins::squash::Squash;
use nalgebra::DMatrix;
use rand::RngExt;
use std::time::Duration;

const RANK: usize = 20;
const LOSSES: [&str; 6] = ["none", "equal-experience", "value", "user-group", "item-group", "value-unfairness"];

/// The time of some steps.
fn descent(data: &Dataset, loss: Option<&dyn FairnessLoss>, count: usize) -> Duration {
    let ratings = &data.ratings;
    let seen = Training::of(data, ratings).fairness();
    let objective = Objective {
        train: ratings,
        squash: Squash::Clamp { low: 0.0, high: 5.0, scale: 1.0, shift: 0.0 },
        l2: 0.0,
        accuracy: 0.01,
        biases: false,
        fairness: loss.map(|loss| (loss, seen, 0.99)),
    };
    let streams = Streams::new(SEED).child("benches/near-threshold");
    let factors = |stream, entities| {
        let mut rng = streams.rng(stream);
        DMatrix::from_fn(RANK, entities, |_, _| rng.random_range(0.1..0.7))
    };
    let start = [factors(0, ratings.users()), factors(1, ratings.items())];
    steps(count, |run| {
        descend(objective, start, 1e-3, count, Precision::F32, run).expect("these data can be fitted");
    })
}

fn step(c: &mut Criterion) {
    let registry = Registry::<dyn FairnessLoss>::linked().expect("no name is taken twice");
    for size in [SMALL, MOVIELENS_1M] {
        let data = grouped(size);
        let mut group = c.benchmark_group("mf/step");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements((size.users * size.items) as u64));
        for name in LOSSES {
            let loss = (name != "none").then(|| registry.get(name).expect("it is linked").with_defaults());
            group.bench_function(BenchmarkId::new(name, format!("{size}/rank={RANK}")), |b| {
                b.iter_custom(|count| descent(&data, loss.as_deref(), count as usize));
            });
        }
        group.finish();
    }
}

fn main() {
    let mut c = criterion();
    step(&mut c);
    c.final_summary();
}
