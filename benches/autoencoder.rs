//! One training step of the autoencoder (two hidden layers of 512) without and with fairness losses: forward, loss,
//! gradient, Adam. The time of a step is that between two reports of progress.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand_benches::{MOVIELENS_1M, SEED, SMALL, criterion, grouped, steps};
use evenhand_core::{Dataset, Nested, Recommender, Run, Training};
use evenhand_plugins::autoencoder::Autoencoder;
use serde_json::json;
use std::time::Duration;

const LOSSES: [&str; 4] = ["none", "equal-experience", "value", "value-unfairness"];

/// The time of some steps.
fn training(recipe: &Autoencoder, data: &Dataset, count: usize) -> Duration {
    let recipe = Autoencoder { epochs: count, ..recipe.clone() };
    steps(count, &Run::new(SEED), |run| {
        recipe.fit(&Training::of(data, &data.ratings), run).expect("these data can be fitted");
    })
}

fn autoencoder(c: &mut Criterion) {
    for size in [SMALL, MOVIELENS_1M] {
        let data = grouped(size);
        let mut group = c.benchmark_group("autoencoder/step");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements((size.users * size.items) as u64));
        for name in LOSSES {
            let fairness = (name != "none").then(|| Nested::new(name, &json!({})).expect("it is linked in"));
            let recipe = Autoencoder { fairness, ..Autoencoder::default() };
            group.bench_function(BenchmarkId::new(name, format!("{size}/h=512,512")), |b| {
                b.iter_custom(|count| training(&recipe, &data, count as usize));
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
