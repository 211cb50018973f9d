//! One training step of the autoencoder (two hidden layers of 512) without and with fairness losses: forward, loss,
//! gradient, Adam. The time of a step is that between two reports of progress.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{SEED, SMALL, Size, criterion, ratings};
use evenhand_core::{Dataset, Groups, Nested, Observer, Recommender, Run, Scale, Training};
use evenhand_plugins::autoencoder::Autoencoder;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// As large as MovieLens 1M with all its ids.
const MOVIELENS_1M: Size = Size { users: 6040, items: 3952, ratings: 1_000_209 };
const LOSSES: [&str; 4] = ["none", "equal-experience", "value", "value-unfairness"];

/// When progress was reported: before every step, and after the last one.
#[derive(Default)]
struct Clock(Mutex<Vec<Instant>>);

impl Observer for Clock {
    fn progress(&self, _: usize, _: usize) {
        self.0.lock().expect("no panic while locked").push(Instant::now());
    }
}

/// Ratings, and the shares of MovieLens in two groups of users and two of items.
fn data(size: Size) -> Dataset {
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

/// The time of some steps.
fn steps(recipe: &Autoencoder, data: &Dataset, count: usize) -> Duration {
    let clock = Arc::new(Clock::default());
    let run = Run::new(SEED).with_observer(clock.clone());
    let recipe = Autoencoder { epochs: count, ..recipe.clone() };
    recipe.fit(&Training::of(data, &data.ratings), &run).expect("these data can be fitted");
    let reports = clock.0.lock().expect("no panic while locked");
    assert_eq!(reports.len(), count + 1, "one report before every step, one at the end");
    reports[count] - reports[0]
}

fn autoencoder(c: &mut Criterion) {
    for size in [SMALL, MOVIELENS_1M] {
        let data = data(size);
        let mut group = c.benchmark_group("autoencoder/step");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements((size.users * size.items) as u64));
        for name in LOSSES {
            let fairness = (name != "none").then(|| Nested::new(name, &json!({})).expect("it is linked in"));
            let recipe = Autoencoder { fairness, ..Autoencoder::default() };
            group.bench_function(BenchmarkId::new(name, format!("{size}/h=512,512")), |b| {
                b.iter_custom(|count| steps(&recipe, &data, count as usize));
            });
        }
        group.finish();
    }
}

fn main() {
    let mut c = criterion();
    autoencoder(&mut c);
    c.final_summary();
}
