//! Learning from pairs: epochs of BPR and APR without the set-up, and attacks on given factors.
//!
//! The time of an epoch is that between two reports of progress. Throughput is likes.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{LARGE, SEED, SMALL, criterion, factors, ratings, steps};
use evenhand_core::{Factors, Interactions, Output, Recommender, Run, Training};
use evenhand_plugins::apr::{Apr, Opponent, Preset};
use evenhand_plugins::bpr::{Bpr, Optimiser};
use evenhand_plugins::pairwise::{Attack, Direction};
use std::time::Duration;

const RANK: usize = 64;

/// The time of some epochs of a recommender that is given their number.
fn epochs(recommender: impl Fn(usize) -> Box<dyn Recommender>, data: &Interactions, count: usize) -> Duration {
    let recommender = recommender(count);
    steps(count, &Run::new(SEED), |run| {
        recommender.fit(&Training::new(data), run).expect("these data can be fitted");
    })
}

fn learning(c: &mut Criterion) {
    let sgd = Bpr { factors: RANK, ..Bpr::default() };
    let hard = Bpr { candidates: 4, ..sgd.clone() };
    let adagrad = Bpr { optimiser: Optimiser::Adagrad, item_bias: false, l2: 0.0, learning_rate: 0.05, ..sgd.clone() };
    let paper = Apr { factors: RANK, epochs: 0, ..Apr::default() };
    let random = Apr { adversary: Opponent::Random, ..paper.clone() };
    let notebook = Apr { preset: Preset::Notebook, ..paper.clone() };
    let bpr = |recipe: &Bpr| {
        let recipe = recipe.clone();
        Box::new(move |epochs| Box::new(Bpr { epochs, ..recipe.clone() }) as Box<dyn Recommender>)
            as Box<dyn Fn(usize) -> Box<dyn Recommender>>
    };
    let apr = |recipe: &Apr| {
        let recipe = recipe.clone();
        Box::new(move |adversarial_epochs| {
            Box::new(Apr { adversarial_epochs, ..recipe.clone() }) as Box<dyn Recommender>
        }) as Box<dyn Fn(usize) -> Box<dyn Recommender>>
    };
    let variants = [
        ("bpr-sgd", bpr(&sgd)),
        ("bpr-sgd-hardest-of-4", bpr(&hard)),
        ("bpr-adagrad", bpr(&adagrad)),
        ("apr-batch", apr(&paper)),
        ("apr-random", apr(&random)),
        ("apr-notebook", apr(&notebook)),
    ];
    for size in [SMALL, LARGE] {
        let data = ratings(size);
        let mut group = c.benchmark_group("pairs/epoch");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(size.ratings as u64));
        for (name, recommender) in &variants {
            // Every batch of the notebook goes over all likes.
            if *name == "apr-notebook" && size == LARGE {
                continue;
            }
            group.bench_function(BenchmarkId::new(*name, format!("{size}/d={RANK}")), |b| {
                b.iter_custom(|count| epochs(recommender, &data, count as usize));
            });
        }
        group.finish();
    }
}

fn attacks(c: &mut Criterion) {
    let run = Run::new(SEED);
    for size in [SMALL, LARGE] {
        let data = ratings(size);
        let [users, items] = [("users", size.users), ("items", size.items)].map(|(side, n)| factors(side, RANK, n));
        let model = Factors::new(users, items, Output::Order).expect("of one rank");
        let mut group = c.benchmark_group("pairs/attack");
        group.sample_size(10).throughput(Throughput::Elements(size.ratings as u64));
        for (name, direction) in [("gradient", Direction::Gradient), ("random", Direction::Random)] {
            let attack = Attack { direction, eps: 0.5, relative: false };
            group.bench_function(BenchmarkId::new(name, format!("{size}/d={RANK}")), |b| {
                b.iter(|| attack.perturb(&model, &data, &run).expect("of one shape"));
            });
        }
        group.finish();
    }
}

fn main() {
    let mut c = criterion();
    learning(&mut c);
    attacks(&mut c);
    c.final_summary();
}
