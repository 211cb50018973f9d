//! One training step of matrix factorisation (rank 20) without and with each fairness loss: forward, loss, gradient, Adam.
//!
//! Random factors whose products lie about 3, the threshold: some 16 % of the cells are so near to it that the smoothed
//! losses have a gradient there. The time of a step is that between two reports of progress.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{SEED, SMALL, Size, criterion, ratings};
use evenhand_core::{FairnessData, FairnessLoss, Groups, Interactions, Observer, Registry, Run, Streams};
use evenhand_plugins::als::Precision;
use evenhand_plugins::mf::{Objective, descend};
use evenhand_plugins::squash::Squash;
use nalgebra::DMatrix;
use rand::RngExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const RANK: usize = 20;
/// As large as MovieLens 1M with all its ids.
const MOVIELENS_1M: Size = Size { users: 6040, items: 3952, ratings: 1_000_209 };
const LOSSES: [&str; 6] = ["none", "equal-experience", "value", "user-group", "item-group", "value-unfairness"];

/// When progress was reported: before every step, and after the last one.
#[derive(Default)]
struct Clock(Mutex<Vec<Instant>>);

impl Observer for Clock {
    fn progress(&self, _: usize, _: usize) {
        self.0.lock().expect("no panic while locked").push(Instant::now());
    }
}

/// Ratings, and the shares of MovieLens in two groups of users and two of items.
struct Data {
    ratings: Interactions,
    users: Groups,
    items: Groups,
}

impl Data {
    fn new(size: Size) -> Self {
        let groups = |entities: usize, cuts: [usize; 3]| {
            let lists = [("M", cuts[0]..cuts[1]), ("F", cuts[1]..cuts[2])];
            let lists = lists.into_iter().map(|(label, range)| (label.to_string(), range.map(|e| e as u32).collect()));
            Groups::new("group", entities, lists.collect()).expect("members are in range")
        };
        let (users, items) = (size.users, size.items);
        Self {
            ratings: ratings(size),
            users: groups(users, [0, users * 71 / 100, users]),
            items: groups(items, [0, items * 9 / 100, items * 22 / 100]),
        }
    }
}

/// The time of some steps.
fn steps(data: &Data, loss: Option<&dyn FairnessLoss>, count: usize) -> Duration {
    let clock = Arc::new(Clock::default());
    let run = Run::new(SEED).with_observer(clock.clone());
    let Data { ratings, users, items } = data;
    let seen = FairnessData { train: ratings, user_groups: Some(users), item_groups: Some(items), like_above: 3.0 };
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
    descend(objective, start, 1e-3, count, Precision::F32, &run).expect("these data can be fitted");
    let reports = clock.0.lock().expect("no panic while locked");
    assert_eq!(reports.len(), count + 1, "one report before every step, one at the end");
    reports[count] - reports[0]
}

fn step(c: &mut Criterion) {
    let registry = Registry::<dyn FairnessLoss>::linked().expect("no name is taken twice");
    for size in [SMALL, MOVIELENS_1M] {
        let data = Data::new(size);
        let mut group = c.benchmark_group("mf/step");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements((size.users * size.items) as u64));
        for name in LOSSES {
            let loss = (name != "none").then(|| registry.get(name).expect("it is linked").with_defaults());
            group.bench_function(BenchmarkId::new(name, format!("{size}/rank={RANK}")), |b| {
                b.iter_custom(|count| steps(&data, loss.as_deref(), count as usize));
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
