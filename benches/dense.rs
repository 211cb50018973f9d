//! Dense predictions: all scores in batches of users, and the best items, on all threads.
//!
//! Throughput is floating-point operations for scores, users for the best items.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{LARGE, SEED, criterion, factors, ratings};
use evenhand_core::dense::Reference;
use evenhand_core::{Dense, Run};
use evenhand_kernels::Cpu;
use nalgebra::DMatrix;
use std::time::Duration;

const BATCH: usize = 512;
const RANKS: [usize; 3] = [16, 64, 128];

/// Multiplications and additions.
fn flops(rank: usize, users: usize) -> Throughput {
    Throughput::Elements((2 * rank * users * LARGE.items) as u64)
}

fn scores(c: &mut Criterion) {
    let run = Run::new(SEED);
    let rows: Vec<u32> = (0..LARGE.users as u32).collect();
    let mut group = c.benchmark_group("dense/scores");
    group.sample_size(20).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(3));
    for rank in RANKS {
        let (users, items) = (factors("users", rank, LARGE.users), factors("items", rank, LARGE.items));
        let mut out = DMatrix::zeros(LARGE.items, BATCH);
        group.throughput(flops(rank, LARGE.users));
        let id = format!("{}x{}/d={rank}/batch={BATCH}", LARGE.users, LARGE.items);
        group.bench_function(BenchmarkId::new("cpu", id), |b| {
            b.iter(|| {
                run.install(|| {
                    rows.chunks(BATCH)
                        .try_for_each(|rows| Cpu.scores(&users, rows, &items, &mut out))
                        .expect("shapes fit")
                })
            });
        });
    }
    group.finish();
}

/// One batch by several means, one after the other.
fn peers(c: &mut Criterion) {
    let rank = 64;
    let rows: Vec<u32> = (0..BATCH as u32).collect();
    let (users, items) = (factors("users", rank, BATCH), factors("items", rank, LARGE.items));
    let mut out = DMatrix::zeros(LARGE.items, BATCH);
    let id = format!("{BATCH}x{}/d={rank}", LARGE.items);
    let mut group = c.benchmark_group("dense/peers");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(2));
    group.throughput(flops(rank, BATCH));
    for threads in [0, 1] {
        let run = Run::new(SEED).with_threads(threads).expect("threads start");
        let name = if threads == 0 { "cpu/all-threads" } else { "cpu/1-thread" };
        group.bench_function(BenchmarkId::new(name, &id), |b| {
            b.iter(|| run.install(|| Cpu.scores(&users, &rows, &items, &mut out).expect("shapes fit")));
        });
    }
    let transposed = items.transpose();
    group.bench_function(BenchmarkId::new("nalgebra/1-thread", &id), |b| {
        b.iter(|| transposed.mul_to(&users, &mut out));
    });
    group.bench_function(BenchmarkId::new("reference/1-thread", &id), |b| {
        b.iter(|| Reference.scores(&users, &rows, &items, &mut out).expect("shapes fit"));
    });
    group.finish();
}

fn top_k(c: &mut Criterion) {
    let run = Run::new(SEED);
    let data = ratings(LARGE);
    let rows: Vec<u32> = (0..LARGE.users as u32).collect();
    let mut group = c.benchmark_group("dense/top-k");
    group.sample_size(20).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(2));
    group.warm_up_time(Duration::from_secs(1)).throughput(Throughput::Elements(LARGE.users as u64));
    for rank in RANKS {
        let (users, items) = (factors("users", rank, LARGE.users), factors("items", rank, LARGE.items));
        for k in [10, 100] {
            for (name, seen) in [("masked", Some(data.by_user())), ("unmasked", None)] {
                let id = format!("{}x{}/d={rank}/k={k}", LARGE.users, LARGE.items);
                group.bench_function(BenchmarkId::new(format!("cpu/{name}"), id), |b| {
                    b.iter(|| run.install(|| Cpu.top_k(&users, &rows, &items, seen, k).expect("shapes fit")));
                });
            }
        }
    }
    group.finish();
}

fn main() {
    let mut c = criterion();
    scores(&mut c);
    peers(&mut c);
    top_k(&mut c);
    c.final_summary();
}
