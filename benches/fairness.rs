//! One training step of matrix factorisation (rank 20) without and with each fairness loss: forward, loss, gradient,
//! Adam. The time of a step is that between two reports of progress.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{DESCENT_RANK, MOVIELENS_1M, SEED, SMALL, criterion, descent, grouped};
use evenhand_core::{FairnessLoss, Registry, Run};
use std::time::Duration;

const LOSSES: [&str; 6] = ["none", "equal-experience", "value", "user-group", "item-group", "value-unfairness"];

fn step(c: &mut Criterion) {
    let registry = Registry::<dyn FairnessLoss>::linked().expect("no name is taken twice");
    let run = Run::new(SEED);
    for size in [SMALL, MOVIELENS_1M] {
        let data = grouped(size);
        let mut group = c.benchmark_group("mf/step");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements((size.users * size.items) as u64));
        for name in LOSSES {
            let loss = (name != "none").then(|| registry.get(name).expect("it is linked").with_defaults());
            group.bench_function(BenchmarkId::new(name, format!("{size}/rank={DESCENT_RANK}")), |b| {
                b.iter_custom(|count| descent(&data, loss.as_deref(), count as usize, &run));
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
