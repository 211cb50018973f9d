//! What a GPU does: kernels by the device's own clock, without copies, and whole calls by that of the host.
//!
//! Without a GPU these are skipped, with the reason, unless `EVENHAND_REQUIRE_CUDA` is set. `kernels/gpu/table.py`
//! compares them with PyTorch and their targets.

use criterion::{Criterion, SamplingMode};
use evenhand_benches::{MOVIELENS_1M, SEED, criterion, descent, factors, grouped};
use evenhand_core::{Dense, FairnessLoss, Interactions, Registry, Rows, Run, Streams};
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::{Cuda, Options, Precision};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;

/// Users and items of the scores that are written, 4 GiB of them.
const SIDE: usize = 32_768;
/// Items of lists: as many as MovieLens 25M has.
const ITEMS: usize = 59_047;

fn group<'c>(c: &'c mut Criterion) -> criterion::BenchmarkGroup<'c, criterion::measurement::WallTime> {
    let mut group = c.benchmark_group("gpu");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(2));
    group
}

/// `each` items of every user, at random.
fn random(users: usize, items: usize, each: usize, label: &str) -> Interactions {
    let mut rng = Streams::new(SEED).child("benches/gpu").child(label).rng(0);
    let mut rows = Rows::default();
    for user in 0..users as u32 {
        // One of each stretch, so that none comes twice.
        for n in 0..each {
            let (first, end) = (n * items / each, (n + 1) * items / each);
            rows.push(user, rng.random_range(first..end) as u32, 1.0);
        }
    }
    Interactions::new(users, items, &rows).expect("all indices are in range")
}

/// How fast memory is filled: the ceiling of scores of small rank.
fn write(c: &mut Criterion, cuda: &Cuda) {
    let bytes = SIDE * SIDE * size_of::<f32>();
    group(c).bench_function("write", |b| {
        b.iter_custom(|count| cuda.time_filling(bytes, count).expect("the device has room"));
    });
}

fn scores(c: &mut Criterion, cuda: &Cuda, id: &str) {
    for rank in [8, 16, 32, 64, 128] {
        let loaded =
            cuda.load(&factors("users", rank, SIDE), &factors("items", rank, SIDE)).expect("the device has room");
        group(c).bench_function(format!("{id}/d={rank}"), |b| {
            b.iter_custom(|count| loaded.time_scores(count).expect("the device has room"));
        });
    }
}

fn top_k(c: &mut Criterion, cuda: &Cuda) {
    let seen = random(SIDE, ITEMS, 150, "seen");
    for rank in [16, 64, 128] {
        let loaded =
            cuda.load(&factors("users", rank, SIDE), &factors("items", rank, ITEMS)).expect("the device has room");
        for k in [10, 100] {
            group(c).bench_function(format!("top-k/d={rank}/k={k}"), |b| {
                b.iter_custom(|count| loaded.time_top_k(Some(seen.by_user()), k, count).expect("the device has room"));
            });
        }
    }
}

/// Full-ranking evaluation, a whole call.
fn ranks(c: &mut Criterion, cuda: &Cuda) {
    let (users, items, rank) = (160_000, 60_000, 64);
    let (seen, held_out) = (random(users, items, 50, "seen"), random(users, items, 10, "held-out"));
    let rows: Vec<u32> = (0..users as u32).collect();
    let (user_factors, item_factors) = (factors("users", rank, users), factors("items", rank, items));
    group(c).bench_function(format!("ranks/{users}x{items}/d={rank}"), |b| {
        let (seen, held_out) = (Some(seen.by_user()), held_out.by_user());
        b.iter(|| cuda.ranks(&user_factors, &rows, &item_factors, seen, held_out).expect("the device has room"));
    });
}

/// A step of matrix factorisation with equal experience, all of it.
fn step(c: &mut Criterion, cuda: &Arc<Cuda>) {
    let data = grouped(MOVIELENS_1M);
    let registry = Registry::<dyn FairnessLoss>::linked().expect("no name is taken twice");
    let loss = registry.get("equal-experience").expect("it is linked").with_defaults();
    for dense in [Arc::new(Cpu) as Arc<dyn Dense>, cuda.clone()] {
        group(c).bench_function(format!("mf-step/{}", dense.name()), |b| {
            let run = Run::new(SEED).with_dense(dense.clone());
            b.iter_custom(|count| descent(&data, Some(&*loss), count as usize, &run));
        });
    }
}

fn main() {
    let mut c = criterion();
    let opened = |precision| Cuda::open(Options { precision, ..Options::default() });
    match (opened(Precision::Single), opened(Precision::Tf32x3)) {
        (Ok(cuda), Ok(tensor_cores)) => {
            let cuda = Arc::new(cuda);
            eprintln!("device: {}", cuda.facts().name);
            write(&mut c, &cuda);
            scores(&mut c, &cuda, "scores");
            scores(&mut c, &tensor_cores, "scores-tf32x3");
            top_k(&mut c, &cuda);
            ranks(&mut c, &cuda);
            step(&mut c, &cuda);
        }
        (Err(why), _) | (_, Err(why)) => {
            assert!(std::env::var_os("EVENHAND_REQUIRE_CUDA").is_none(), "{why}");
            eprintln!("skipped: {why}");
        }
    }
    c.final_summary();
}
