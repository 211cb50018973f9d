//! Harm mitigation, one user at a time on one core: steps, stationary profiles, gradients, and whole policies.
//!
//! Vectors of items and users are normal with a standard deviation of 0.8, three items of ten are harmful, c = 20 and a
//! harm costs 100 clicks. A `sweep` evaluates every single item.

use criterion::{BenchmarkId, Criterion};
use evenhand_benches::{SEED, criterion};
use evenhand_core::{
    Cardinality, Dynamics, Factors, Harm, Lottery, Model, Output, Policy, Run, SizeRule, Streams, World,
};
use evenhand_plugins::alternating::Alternating;
use evenhand_plugins::gradient::Gradient;
use evenhand_plugins::stationary::{Catalogue, Effort, SEARCHED, Search};
use evenhand_plugins::top_k::TopK;
use evenhand_plugins::uniform::Uniform;
use nalgebra::DMatrix;
use rand_distr::{Distribution, Normal};
use std::hint::black_box;

/// Users whose searches are taken in turn, so that none stands for all.
const USERS: usize = 20;

struct Instance {
    factors: Factors,
    harmful: Vec<bool>,
    catalogue: Catalogue,
    starts: Vec<Vec<f64>>,
    items: Vec<u32>,
}

const PRICE: f64 = 100.0;

impl Instance {
    fn new(items: usize, dimension: usize) -> Self {
        let mut rng = Streams::new(SEED).child("benches/harm").rng((items * 1000 + dimension) as u64);
        let normal = Normal::new(0.0, 0.8f32).expect("a deviation above 0");
        let mut drawn = |count| DMatrix::from_fn(dimension, count, |_, _| normal.sample(&mut rng));
        let (vectors, users) = (drawn(items), drawn(USERS));
        let factors = Factors::new(users, vectors, Output::Order).expect("ranks agree");
        let harmful: Vec<bool> = (0..items).map(|item| item % 10 < 3).collect();
        let harm = Harm { harmful: &harmful, dynamics: Dynamics { c: 20.0, ..Dynamics::default() }, price: PRICE };
        let catalogue = Catalogue::of_factors(&factors, &harm).expect("a sound instance");
        let starts = factors.users.column_iter().map(|u| u.iter().map(|&x| x.into()).collect()).collect();
        let harmless = (0..items as u32).filter(|&item| !harmful[item as usize]).collect();
        Self { factors, catalogue, starts, items: harmless, harmful }
    }

    fn world(&self) -> World<'_> {
        let harm = Harm { harmful: &self.harmful, dynamics: self.catalogue.dynamics(), price: PRICE };
        World { model: &self.factors as &dyn Model, seen: None, harm: Some(harm) }
    }

    fn search<'a>(&'a self, user: usize) -> Search<'a> {
        Search::new(&self.catalogue, &self.starts[user], &self.items, PRICE, Effort::default())
            .expect("a sound instance")
    }

    /// Plans and their worth for one user, by fresh policies.
    fn plans(&self, policies: &[&dyn Policy], user: u32, cardinality: Cardinality, run: &Run) -> f64 {
        let mut sum = 0.0;
        for policy in policies {
            let acting = policy.prepare(self.world(), run).expect("a sound world");
            let plan = acting.plans(&[user], cardinality, run).expect("enough items").remove(0);
            let outlook = self.catalogue.outlook(&self.starts[user as usize], &plan.lottery).expect("a lottery");
            sum += outlook.value.objective(PRICE);
        }
        sum
    }
}

fn parts(c: &mut Criterion) {
    let mut group = c.benchmark_group("harm");
    for (items, dimension) in [(100, 12), (1000, 12), (100, 48)] {
        let instance = Instance::new(items, dimension);
        let (catalogue, size) = (&instance.catalogue, format!("{items}x{dimension}"));
        let one = Lottery::certain(vec![instance.items[7]]);
        let mut user = (0..USERS).cycle();
        let mut next = || user.next().expect("endless");
        group.bench_function(BenchmarkId::new("step", &size), |b| {
            b.iter(|| {
                let start = &instance.starts[next()];
                black_box(catalogue.mapped(start, start, &one))
            });
        });
        group.bench_function(BenchmarkId::new("stationary", &size), |b| {
            b.iter(|| black_box(catalogue.stationary(&instance.starts[next()], &one, SEARCHED)));
        });
        let even = Lottery::Uniform { items: instance.items.clone(), size: 1 };
        let sets = [("gradient-one-set", &one), ("gradient-all-sets", &even)];
        for (name, lottery) in sets {
            let mut searches: Vec<Search<'_>> = (0..USERS).map(|user| instance.search(user)).collect();
            group.bench_function(BenchmarkId::new(name, &size), |b| {
                b.iter(|| black_box(searches[next()].slope_of(lottery)));
            });
        }
        let chance = 5.0 / instance.items.len() as f64;
        let independent =
            Lottery::Independent { items: instance.items.clone(), chances: vec![chance; instance.items.len()] };
        let mut search = instance.search(0);
        group.bench_function(BenchmarkId::new("gradient-independent", &size), |b| {
            b.iter(|| black_box(search.slope_of(&independent)));
        });
        group.bench_function(BenchmarkId::new("sweep", &size), |b| {
            b.iter(|| {
                let mut search = instance.search(next());
                let of = |&item: &u32| search.slope_of(&Lottery::certain(vec![item])).expect("a set").0;
                black_box(instance.items.iter().map(of).fold(f64::NEG_INFINITY, f64::max))
            });
        });
    }
    group.finish();
}

fn policies(c: &mut Criterion) {
    let (uniform, top_k, alternating, gradient) = (Uniform {}, TopK {}, Alternating::default(), Gradient::default());
    let all: [&dyn Policy; 4] = [&uniform, &top_k, &alternating, &gradient];
    let run = Run::new(SEED).with_threads(1).expect("one thread");
    let mut group = c.benchmark_group("harm-policies");
    group.sample_size(20);
    for (items, k, rule) in [
        (100, 1, SizeRule::Exactly),
        (200, 1, SizeRule::Exactly),
        (400, 1, SizeRule::Exactly),
        (50, 2, SizeRule::Exactly),
        (100, 2, SizeRule::Exactly),
        (100, 5, SizeRule::Exactly),
        (100, 5, SizeRule::AtMost),
        (100, 5, SizeRule::Independent),
    ] {
        let instance = Instance::new(items, 12);
        let (mut user, cardinality) = ((0..USERS as u32).cycle(), Cardinality { size: k, rule });
        group.bench_function(BenchmarkId::new("all-four", format!("{items}x12-k{k}-{rule:?}")), |b| {
            b.iter(|| instance.plans(&all, user.next().expect("endless"), cardinality, &run));
        });
    }
    for (items, dimension, k) in [(1000, 12, 5), (1000, 12, 10), (1000, 24, 5), (2000, 12, 5)] {
        let instance = Instance::new(items, dimension);
        let mut user = (0..USERS as u32).cycle();
        group.bench_function(BenchmarkId::new("gradient", format!("{items}x{dimension}-k{k}")), |b| {
            let cardinality = Cardinality::exactly(k);
            b.iter(|| instance.plans(&[&gradient], user.next().expect("endless"), cardinality, &run));
        });
    }
    group.finish();
}

fn main() {
    let mut c = criterion();
    parts(&mut c);
    policies(&mut c);
    c.final_summary();
}
