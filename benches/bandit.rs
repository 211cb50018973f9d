//! Gaussian beliefs learned online: one rating, a period's ratings, a period's recommendations, whole periods.
//!
//! In a period every user asks once, in random order: a model is drawn from the posterior, its best item shown, and the
//! rating learned from. Attributes are uniform on 0 to 1, the noise has a deviation of 0.1. Whole periods are those of 30 from the
//! prior on, again and again. `random-numbers` draws what a period's learning and recommending need, and does nothing else.

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{SEED, criterion};
use evenhand_core::{
    Feedback, Interactions, Model, Observation, Posterior, Recommender, Rng, Rows, Run, Streams, Training,
};
use evenhand_kernels::Cpu;
use evenhand_plugins::bayesian_linear::{BayesianLinear, Beliefs, Sampling};
use nalgebra::DMatrix;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use rayon::prelude::*;
use std::any::Any;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How large a world.
#[derive(Clone, Copy)]
struct Size {
    users: usize,
    items: usize,
    rank: usize,
}

const SIZES: [Size; 2] = [Size { users: 1000, items: 1000, rank: 10 }, Size { users: 5000, items: 2000, rank: 16 }];

/// Periods from the prior on.
const PERIODS: usize = 30;

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}/d={}", self.users, self.items, self.rank)
    }
}

struct World {
    users: DMatrix<f32>,
    items: DMatrix<f32>,
    run: Run,
}

impl World {
    fn new(size: Size) -> Self {
        let streams = Streams::new(SEED).child("benches/bandit");
        let attributes = |label: &str, count| {
            let mut rng = streams.child(label).rng(0);
            DMatrix::from_fn(size.rank, count, |_, _| rng.random::<f32>())
        };
        let (users, items) = (attributes("users", size.users), attributes("items", size.items));
        Self { users, items, run: Run::new(SEED).with_dense(Arc::new(Cpu)) }
    }

    fn period(&self, period: usize) -> Run {
        self.run.child("period").child(&period.to_string())
    }

    fn requests(&self, run: &Run) -> Vec<u32> {
        let mut users: Vec<u32> = (0..self.users.ncols() as u32).collect();
        users.shuffle(&mut run.streams.child("requests").rng(0));
        users
    }

    /// One item for each user.
    fn recommend(model: &dyn Model, users: &[u32], run: &Run) -> Vec<u32> {
        let drawn = model.posterior().and_then(|p| p.sample(users, run).ok()).expect("beliefs are a posterior");
        let top = drawn.top_k(users, None, 1, run).expect("users are in range");
        (0..users.len()).map(|b| top.items(b)[0]).collect()
    }

    fn answer(&self, users: &[u32], items: &[u32], run: &Run) -> Feedback {
        let mut rng = run.streams.child("noise").rng(0);
        let rate = |(&user, &item): (&u32, &u32)| {
            let noise: f32 = StandardNormal.sample(&mut rng);
            let value = self.users.column(user as usize).dot(&self.items.column(item as usize)) + 0.1 * noise;
            Observation { user, item, value }
        };
        let rows = users.iter().zip(items).map(rate).collect();
        Feedback { users: self.users.ncols(), items: self.items.ncols(), rows }
    }

    fn prior(&self, recipe: &BayesianLinear) -> Beliefs {
        let none =
            Interactions::new(self.users.ncols(), self.items.ncols(), &Rows::default()).expect("nothing is wrong");
        let model: Box<dyn Any> = recipe.fit(&Training::new(&none), &self.run).expect("a prior");
        *model.downcast().expect("beliefs")
    }

    /// The model after some periods.
    fn after(&self, recipe: &BayesianLinear, periods: usize) -> Beliefs {
        let mut model = self.prior(recipe);
        (0..periods).for_each(|t| {
            self.step(&mut model, t);
        });
        model
    }

    /// One period; the time without that of the world.
    fn step(&self, model: &mut Beliefs, period: usize) -> Duration {
        let run = self.period(period);
        let users = self.requests(&run);
        let start = Instant::now();
        let items = Self::recommend(model, &users, &run);
        let asked = start.elapsed();
        let feedback = self.answer(&users, &items, &run);
        let start = Instant::now();
        model.learn(&feedback, &run).expect("finite ratings");
        asked + start.elapsed()
    }
}

/// One rating of one user and one item: two updates.
fn update(c: &mut Criterion) {
    let mut group = c.benchmark_group("bandit/update");
    group.throughput(Throughput::Elements(2)).measurement_time(Duration::from_secs(2));
    for Size { rank, .. } in SIZES {
        for (name, sampling) in
            [("iid", Sampling::Iid), ("wishart", Sampling::Wishart), ("mean-draw", Sampling::MeanDraw)]
        {
            let world = World::new(Size { users: 1, items: 1, rank });
            let prior = world.prior(&BayesianLinear { factors: rank, sampling, ..BayesianLinear::default() });
            let feedback = world.answer(&[0], &[0], &world.run);
            group.bench_function(BenchmarkId::new(name, format!("d={rank}/n=1000")), |b| {
                let learn = |mut model: Beliefs| model.learn(&feedback, &world.run).map(|()| model);
                b.iter_batched(|| prior.clone(), learn, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

fn periods(c: &mut Criterion) {
    for size in SIZES {
        let world = World::new(size);
        let recipe = BayesianLinear { factors: size.rank, ..BayesianLinear::default() };
        let model = world.after(&recipe, 5);
        let run = world.period(5);
        let users = world.requests(&run);
        let feedback = world.answer(&users, &World::recommend(&model, &users, &run), &run);

        let mut group = c.benchmark_group("bandit");
        group.sample_size(20).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(3));
        group.throughput(Throughput::Elements(size.users as u64));
        group.bench_function(BenchmarkId::new("learn", size), |b| {
            let learn = |mut model: Beliefs| model.learn(&feedback, &run).map(|()| model);
            b.iter_batched(|| model.clone(), learn, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("sample", size), |b| b.iter(|| model.sample(&users, &run)));
        group.bench_function(BenchmarkId::new("recommend", size), |b| {
            b.iter(|| World::recommend(&model, &users, &run));
        });
        let prior = world.prior(&recipe);
        group.bench_function(BenchmarkId::new("period", size), |b| {
            b.iter_custom(|count| {
                let mut model = prior.clone();
                let mut step = |t: usize| {
                    if t.is_multiple_of(PERIODS) {
                        model = prior.clone();
                    }
                    world.step(&mut model, t % PERIODS)
                };
                (0..count as usize).map(&mut step).sum()
            });
        });
        group.bench_function(BenchmarkId::new("random-numbers", size), |b| b.iter(|| random_numbers(size, &run)));
        group.finish();
    }
}

/// As many normal and chi-square numbers, from as many streams, as a period takes.
fn random_numbers(size: Size, run: &Run) -> f64 {
    let (rank, samples) = (size.rank, BayesianLinear::default().samples);
    let spread: Vec<_> = (0..rank).map(|k| ChiSquared::new((samples - rank + k) as f64).expect("above 0")).collect();
    let normal = |rng: &mut Rng| -> f64 { StandardNormal.sample(rng) };
    let normals = |rng: &mut Rng, count: usize| (0..count).map(|_| normal(rng)).sum::<f64>();
    let learned = (0..size.users as u64).into_par_iter().map(|row| {
        let mut rng = run.streams.rng(row);
        let mut update = || {
            let beside = normals(&mut rng, rank * (rank + 1) / 2);
            beside + spread.iter().map(|law| law.sample(&mut rng)).sum::<f64>()
        };
        update() + update()
    });
    let drawn = (0..(size.users + size.items) as u64).into_par_iter().map(|n| normals(&mut run.streams.rng(n), rank));
    black_box(learned.sum::<f64>() + drawn.sum::<f64>())
}

fn main() {
    let mut c = criterion();
    update(&mut c);
    periods(&mut c);
    c.final_summary();
}
