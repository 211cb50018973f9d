//! Full-ranking evaluation: the positions of held-out items among all items, on all threads.
//!
//! Throughput is floating-point operations: those of the scores for the positions, and in the same unit what the
//! processor can do at most, by multiply-adds on registers. So the quotient of two lines is the share of the peak.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{LARGE, SEED, criterion, factors, ratings};
use evenhand_core::{Dense, Interactions, Rows, Run};
use evenhand_kernels::Cpu;
use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::time::Duration;

const RANKS: [usize; 3] = [16, 64, 128];

/// Multiply-adds on registers.
struct MultiplyAdds(usize);

impl MultiplyAdds {
    /// Chains side by side. A multiply-add takes 4 or 5 cycles and two may start in each; 16 registers hold them all.
    const CHAINS: usize = 12;

    /// Multiplications and additions, every lane counted.
    fn flops(&self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        2 * self.0 * Self::CHAINS * Arch::new().dispatch(Lanes)
    }
}

impl WithSimd for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        // All sums tend to 1, and never to a number that takes the processor longer.
        let (factor, term) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(0.5)));
        let mut sums = [simd.splat_f32s(black_box(2.0)); Self::CHAINS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(factor, *sum, term);
            }
        }
        sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum()
    }
}

/// What the processor can do at most.
fn peak(c: &mut Criterion) {
    const STEPS: usize = 1_000_000;
    let run = Run::new(SEED);
    let mut group = c.benchmark_group("ranks/peak");
    group.sample_size(20).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements((run.threads() * MultiplyAdds(STEPS).flops()) as u64));
    group.bench_function(BenchmarkId::new("multiply-adds", format!("threads={}", run.threads())), |b| {
        let all = || rayon::broadcast(|_| Arch::new().dispatch(MultiplyAdds(black_box(STEPS)))).len();
        b.iter(|| run.install(all));
    });
    group.finish();
}

/// Of every user one item, and one in ten of the ratings: a few of most users, hundreds of some.
fn held_out(data: &Interactions) -> [(&'static str, Interactions); 2] {
    let (mut one, mut tenth) = (Rows::default(), Rows::default());
    for user in 0..data.users() as u32 {
        let items = data.by_user().partners(user as usize);
        items.iter().take(1).for_each(|&item| one.push(user, item, 1.0));
        items.iter().step_by(10).for_each(|&item| tenth.push(user, item, 1.0));
    }
    let collected = |rows| Interactions::new(data.users(), data.items(), &rows).expect("all indices are in range");
    [("one", collected(one)), ("tenth", collected(tenth))]
}

fn ranks(c: &mut Criterion) {
    let run = Run::new(SEED);
    let data = ratings(LARGE);
    let rows: Vec<u32> = (0..LARGE.users as u32).collect();
    let mut group = c.benchmark_group("ranks/cpu");
    group.sample_size(20).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(2));
    for (name, held_out) in held_out(&data) {
        for rank in RANKS {
            let (users, items) = (factors("users", rank, LARGE.users), factors("items", rank, LARGE.items));
            group.throughput(Throughput::Elements((2 * rank * LARGE.users * LARGE.items) as u64));
            let id = format!("{LARGE}/d={rank}/held-out={}", held_out.len());
            group.bench_function(BenchmarkId::new(name, id), |b| {
                let (seen, held_out) = (Some(data.by_user()), held_out.by_user());
                b.iter(|| run.install(|| Cpu.ranks(&users, &rows, &items, seen, held_out).expect("shapes fit")));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut c = criterion();
    peak(&mut c);
    ranks(&mut c);
    c.final_summary();
}
