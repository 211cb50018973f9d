//! Group regressors on one core: streams of rows in overlapping groups, and fits of every group at once.
//!
//! Features are uniform in 0 to 1, followed by the indicators of the groups; labels are linear with normal noise. A row of a
//! stream is in one group of each of its attributes; the expert for all rows is always awake.

use criterion::{BenchmarkId, Criterion, Throughput};
use evenhand::protocol::groupwise::held_out;
use evenhand_benches::{SEED, criterion};
use evenhand_core::{GroupData, GroupRegressor, GroupTable, Run, Streams};
use evenhand_plugins::groupwise::Groupwise;
use evenhand_plugins::least_squares::Hindsight;
use evenhand_plugins::ols::Ols;
use evenhand_plugins::online_ridge::OnlineRidge;
use evenhand_plugins::ridge::Ridge;
use evenhand_plugins::scope::Scope;
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use std::hint::black_box;

/// Rows of `features` uniform numbers, in one group of each attribute, which has that many of them.
fn data(rows: usize, features: usize, attributes: &[usize]) -> GroupData {
    let mut rng = Streams::new(SEED).child("benches/groups").rng((rows * 1000 + features) as u64);
    let groups: usize = attributes.iter().sum();
    let x = DMatrix::from_fn(features, rows, |_, _| rng.random_range(0.0..1.0));
    let mut membership = DMatrix::from_element(groups, rows, false);
    for row in 0..rows {
        let mut first = 0;
        for &count in attributes {
            // The first group of an attribute has half of the rows, the second one half of the rest.
            let drawn = (0..count - 1).find(|_| rng.random_bool(0.5)).unwrap_or(count - 1);
            membership[(first + drawn, row)] = true;
            first += count;
        }
    }
    let weights = DMatrix::from_fn(features, groups, |_, _| rng.random_range(0.0..0.1));
    let noise = Normal::new(0.0, 0.05).expect("a deviation above 0");
    let labels = (0..rows)
        .map(|row| {
            let of = |g: usize| weights.column(g).dot(&x.column(row));
            let mean: f64 = (0..groups).filter(|&g| membership[(g, row)]).map(of).sum::<f64>();
            mean / attributes.len() as f64 + noise.sample(&mut rng)
        })
        .collect();
    let names = |letter: &str, count| (0..count).map(|n| format!("{letter}{n}")).collect();
    let table = GroupTable::new(x, membership, names("x", features), names("g", groups)).expect("a sound table");
    GroupData::new("bench", table, "y", labels).expect("sound labels")
}

/// Predicts and observes every row; the sum of squared errors.
fn stream(recipe: &dyn GroupRegressor, data: &GroupData, run: &Run) -> f64 {
    let table = &data.table;
    let mut learner = recipe.begin(table.features(), table.groups().len(), run).expect("it learns online");
    let mut loss = 0.0;
    for (row, &label) in data.labels.iter().enumerate() {
        let (features, active) = table.row(row);
        let said = learner.predict(features, active).expect("a sound row").expect("an expert for all rows");
        loss += (said - label) * (said - label);
        learner.observe(features, active, label).expect("a sound label");
    }
    loss
}

fn streams(c: &mut Criterion) {
    let run = Run::new(SEED).with_threads(1).expect("a thread");
    let mut group = c.benchmark_group("groups/stream");
    // 10,000 rows in 2 of 8 groups and of 20 features, with and without indicators; the width of the Adult data, 5 experts awake.
    for (rows, features, attributes, indicators) in
        [(10_000, 20, &[2, 6][..], false), (10_000, 20, &[2, 6], true), (3_000, 80, &[3, 2, 2, 5], true)]
    {
        let mut data = data(rows, features, attributes);
        if indicators {
            data.table = data.table.with_indicators().expect("distinct names");
        }
        let d = data.table.features();
        group.throughput(Throughput::Elements((rows * (attributes.len() + 1)) as u64));
        group.bench_function(BenchmarkId::new("groupwise", format!("{rows}x{d}")), |b| {
            b.iter(|| stream(black_box(&Groupwise::default()), &data, &run));
        });
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new("pooled", format!("{rows}x{d}")), |b| {
            let recipe = OnlineRidge { scope: Scope::Pooled, ..Default::default() };
            b.iter(|| stream(black_box(&recipe), &data, &run));
        });
    }
    group.finish();
}

fn batch(c: &mut Criterion) {
    let run = Run::new(SEED).with_threads(1).expect("a thread");
    let data = data(10_000, 20, &[2, 6]);
    let (train, test) = (data.select(&(0..8000).collect::<Vec<_>>()), data.select(&(8000..10_000).collect::<Vec<_>>()));
    let mut group = c.benchmark_group("groups/batch");
    for recipe in [&Ols::default() as &dyn GroupRegressor, &Ridge::default()] {
        group.bench_function(BenchmarkId::new(recipe.name(), "8000x20x8"), |b| {
            b.iter(|| recipe.fit(black_box(&train.table), &train.labels, &run).map(|_| ()).expect("a sound table"));
        });
    }
    let fitted = Ols::default().fit(&train.table, &train.labels, &run).expect("a sound table");
    group.bench_function(BenchmarkId::new("cross-test", "2000x20x8"), |b| {
        b.iter(|| held_out(black_box(fitted.as_ref()), &test, &run).expect("sound predictions").len());
    });
    group.bench_function(BenchmarkId::new("hindsight", "10000x28"), |b| {
        let table = data.table.with_indicators().expect("distinct names");
        let rows: Vec<usize> = (0..table.rows()).collect();
        b.iter(|| Hindsight::of(black_box(&table), &rows, &data.labels).loss);
    });
    group.finish();
}

fn main() {
    let mut c = criterion();
    streams(&mut c);
    batch(&mut c);
    c.final_summary();
}
