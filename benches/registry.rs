//! The registry: collecting what is linked in, finding a plugin by name, building it from JSON.

use criterion::Criterion;
use evenhand_benches::criterion;
use evenhand_core::{Recommender, Registry, Simulator};
use evenhand_plugins as _;
use serde_json::json;
use std::hint::black_box;
use std::time::Duration;

fn registry(c: &mut Criterion) {
    let recommenders = Registry::<dyn Recommender>::linked().expect("names are unique");
    let simulators = Registry::<dyn Simulator>::linked().expect("names are unique");
    let mut group = c.benchmark_group(format!("registry/{}-recommenders", recommenders.iter().len()));
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(1));
    group.bench_function("linked", |b| b.iter(Registry::<dyn Recommender>::linked));
    group.bench_function("get/known", |b| b.iter(|| recommenders.get(black_box("als"))));
    group.bench_function("get/unknown", |b| b.iter(|| recommenders.get(black_box("asl"))));

    let some = json!({ "factors": 64, "lambda": 0.1, "feedback": "implicit", "solver": "cg" });
    for (name, params) in [("0", json!({})), ("4", some), ("wrong", json!({ "factor": 64 }))] {
        group.bench_function(format!("build/als/{name}-parameters"), |b| {
            b.iter(|| recommenders.build(black_box("als"), black_box(&params)));
        });
    }
    group.bench_function("build/biased-ratings/0-parameters", |b| {
        b.iter(|| simulators.build(black_box("biased-ratings"), black_box(&json!({}))));
    });
    group.bench_function("schema/als", |b| b.iter(|| recommenders.get(black_box("als")).map(|d| d.schema())));
    group.finish();
}

fn main() {
    let mut c = criterion();
    registry(&mut c);
    c.final_summary();
}
