//! What the benches share: synthetic data of fixed sizes and seed, and the facts about the machine.
//!
//! ```text
//! cargo bench -p evenhand-benches                       all of them
//! cargo bench -p evenhand-benches --bench als -- cg     some
//! cargo bench -p evenhand-benches -- --test             each once, to see that they work
//! ```

use criterion::Criterion;
use evenhand_core::{
    Dataset, FairnessLoss, Groups, Interactions, Observer, Rows, Run, Scale, Squash, Streams, Training,
};
use evenhand_plugins::mf::{Objective, descend};
use evenhand_plugins::precision::Precision;
use nalgebra::DMatrix;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// The seed of all data and of all runs.
pub const SEED: u64 = 42;

/// How much data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Number of users.
    pub users: usize,
    /// Number of items.
    pub items: usize,
    /// Number of ratings.
    pub ratings: usize,
}

/// As large as MovieLens 100K.
pub const SMALL: Size = Size { users: 943, items: 1682, ratings: 100_000 };
/// As large as MovieLens 1M.
pub const LARGE: Size = Size { users: 6040, items: 3700, ratings: 1_000_000 };

/// As large as MovieLens 1M with all its ids.
pub const MOVIELENS_1M: Size = Size { users: 6040, items: 3952, ratings: 1_000_209 };

/// As ids of benches show it: `943x1682x100000`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.users, self.items, self.ratings)
    }
}

/// Ratings of 1 to 5 stars, every pair at most once. How active a user and how popular an item is follows a power law
/// like that of MovieLens (the first has 10 times the mean, the median 0.65 of it), in an order without meaning.
pub fn ratings(size: Size) -> Interactions {
    let streams = Streams::new(SEED).child("benches/ratings");
    let shuffled = |count: usize, stream| {
        let mut ids: Vec<u32> = (0..count as u32).collect();
        ids.shuffle(&mut streams.rng(stream));
        ids
    };
    let (users, items) = (shuffled(size.users, 0), shuffled(size.items, 1));
    let mut rng = streams.rng(2);
    // Place p of 0 to 1 in the order of popularity has a density of about p^(-2/3), bounded at 0.
    let mut pick = |ids: &[u32]| {
        let x: f64 = rng.random_range(0.2..1.0);
        ids[((x.powi(3) - 0.008) / 0.992 * ids.len() as f64) as usize]
    };
    let mut stars = streams.rng(3);
    let mut there = vec![false; size.users * size.items];
    let mut rows = Rows::default();
    while rows.len() < size.ratings {
        let (user, item) = (pick(&users), pick(&items));
        let pair = &mut there[user as usize * size.items + item as usize];
        if !std::mem::replace(pair, true) {
            rows.push(user, item, [1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0, 5.0][stars.random_range(0..10)]);
        }
    }
    Interactions::new(size.users, size.items, &rows).expect("all indices are in range")
}

/// Five-star ratings with the shares of MovieLens in two groups: 71 and 29 % of the users, 9 and 13 % of the items.
pub fn grouped(size: Size) -> Dataset {
    let groups = |entities: usize, cuts: [usize; 3]| {
        let lists = [("M", cuts[0]..cuts[1]), ("F", cuts[1]..cuts[2])];
        let lists = lists.into_iter().map(|(label, range)| (label.to_string(), range.map(|e| e as u32).collect()));
        vec![Groups::new("group", entities, lists.collect()).expect("members are in range")]
    };
    let mut data = Dataset::new("bench", ratings(size), Scale::FIVE_STARS);
    data.user_groups = groups(size.users, [0, size.users * 71 / 100, size.users]);
    data.item_groups = groups(size.items, [0, size.items * 9 / 100, size.items * 22 / 100]);
    data
}

/// The time that `work` takes on `run` for `count` steps, of which each is reported before it begins, and the end after
/// the last: what is done before the first report is not in it.
pub fn steps(count: usize, run: &Run, work: impl FnOnce(&Run)) -> Duration {
    let clock = Arc::new(Clock::default());
    work(&run.clone().with_observer(clock.clone()));
    let reports = clock.0.lock().expect("no panic while locked");
    assert_eq!(reports.len(), count + 1, "one report before every step, one at the end");
    reports[count] - reports[0]
}

/// Length of a factor vector in [`descent`].
pub const DESCENT_RANK: usize = 20;

/// The time of some steps of matrix factorisation with a fairness loss, or without one.
///
/// Random factors whose products lie about 3, the threshold: some 16 % of the cells are so near to it that the smoothed
/// losses have a gradient there.
pub fn descent(data: &Dataset, loss: Option<&dyn FairnessLoss>, count: usize, run: &Run) -> Duration {
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
        DMatrix::from_fn(DESCENT_RANK, entities, |_, _| rng.random_range(0.1..0.7))
    };
    let start = [factors(0, ratings.users()), factors(1, ratings.items())];
    steps(count, run, |run| {
        descend(objective, start, 1e-3, count, Precision::F32, run).expect("these data can be fitted");
    })
}

/// When progress was reported.
#[derive(Default)]
struct Clock(Mutex<Vec<Instant>>);

impl Observer for Clock {
    fn progress(&self, _: usize, _: usize) {
        self.0.lock().expect("no panic while locked").push(Instant::now());
    }
}

/// Normal factors of `count` entities, scaled so that scores have a variance of 1 at any rank.
pub fn factors(label: &str, rank: usize, count: usize) -> DMatrix<f32> {
    let mut rng = Streams::new(SEED).child("benches/factors").child(label).rng(rank as u64);
    let scale = (rank as f32).powf(-0.25);
    DMatrix::from_fn(rank, count, |_, _| {
        let draw: f32 = StandardNormal.sample(&mut rng);
        draw * scale
    })
}

/// Criterion as the command line asks for it, after the facts about the machine have been printed.
pub fn criterion() -> Criterion {
    eprintln!("{}", machine());
    Criterion::default().configure_from_args()
}

/// Processor, threads, vector instructions.
fn machine() -> String {
    let described = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
    let threads = available_parallelism().map_or(1, |n| n.get());
    let vectors = vectors().join(" ");
    format!("machine: {} ({}), {threads} threads, {vectors}", model.unwrap_or("unknown"), std::env::consts::ARCH)
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> Vec<&'static str> {
    let known = [
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Vec<&'static str> {
    vec!["vector instructions of the architecture"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_large_skewed_and_the_same_every_time() {
        let data = ratings(SMALL);
        assert_eq!((data.users(), data.items(), data.len()), (SMALL.users, SMALL.items, SMALL.ratings));
        assert_eq!(data, ratings(SMALL));
        assert_eq!(data, data.merge(evenhand_core::Duplicates::Refuse).unwrap());
        for rows in [data.by_user(), data.by_item()] {
            let mut counts: Vec<usize> = (0..rows.len()).map(|e| rows.count(e)).collect();
            counts.sort_unstable();
            let (mean, median, most) = (data.len() / rows.len(), counts[rows.len() / 2], counts[rows.len() - 1]);
            assert!(mean * 5 < most && median * 10 < mean * 9, "{mean} {median} {most}");
        }
    }

    #[test]
    fn sizes_stand_in_ids() {
        assert_eq!(SMALL.to_string(), "943x1682x100000");
    }
}
