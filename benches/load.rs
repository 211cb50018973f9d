//! Loading: generated files in the formats of MovieLens 100K and 1M, and the real 1M where `EVENHAND_DATA` is set to a
//! folder that holds `ml-1m`. The files are in the page cache.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use evenhand::load::{Options, load};
use evenhand_benches::{LARGE, SMALL, Size, criterion, ratings};
use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const GENRES: [&str; 4] = ["Action", "Comedy", "Drama", "Thriller"];

/// Writes `user, item, stars, time`, ids from 1, by user.
fn write_ratings(path: &Path, size: Size, separator: &str) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for (time, (user, item, stars)) in (956_703_932..).zip(ratings(size).iter()) {
        let (user, item, s) = (user + 1, item + 1, separator);
        writeln!(file, "{user}{s}{item}{s}{stars}{s}{time}")?;
    }
    file.flush()
}

/// The file of ratings alone.
fn movielens_100k(folder: &Path) -> Result<()> {
    write_ratings(&folder.join("u.data"), SMALL, "\t")
}

/// Ratings, users and movies.
fn movielens_1m(folder: &Path) -> Result<()> {
    write_ratings(&folder.join("ratings.dat"), LARGE, "::")?;
    let mut users = BufWriter::new(File::create(folder.join("users.dat"))?);
    for id in 1..=LARGE.users {
        let (gender, age, occupation) = (["F", "M"][id % 2], [1, 18, 25, 35, 45, 50, 56][id % 7], id % 21);
        writeln!(users, "{id}::{gender}::{age}::{occupation}::{}", 10_000 + id)?;
    }
    let mut movies = BufWriter::new(File::create(folder.join("movies.dat"))?);
    for id in 1..=LARGE.items {
        writeln!(movies, "{id}::Movie number {id} (1999)::{}|{}", GENRES[id % 3], GENRES[3])?;
    }
    users.flush()?;
    movies.flush()
}

fn bytes(folder: &Path) -> u64 {
    let files = folder.read_dir().expect("the folder is there").map(|file| file.expect("it can be read"));
    let known = files.filter(|file| file.path().extension().is_some_and(|e| e == "dat" || e == "data"));
    known.map(|file| file.metadata().expect("it is there").len()).sum()
}

fn bench(c: &mut Criterion, name: &str, rows: &str, folder: &Path) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Bytes(bytes(folder)));
    group.bench_function(BenchmarkId::new(name, rows), |b| {
        b.iter_with_large_drop(|| load(folder, &Options::default()).expect("the data are as they should be"));
    });
    group.finish();
}

fn main() {
    let mut c = criterion();
    let folder = tempfile::tempdir().expect("there is a place for files");
    movielens_100k(folder.path()).expect("files can be written");
    bench(&mut c, "movielens-100k/generated", &SMALL.to_string(), folder.path());
    let folder = tempfile::tempdir().expect("there is a place for files");
    movielens_1m(folder.path()).expect("files can be written");
    bench(&mut c, "movielens-1m/generated", &LARGE.to_string(), folder.path());
    if let Some(data) = std::env::var_os("EVENHAND_DATA") {
        let folder = PathBuf::from(data).join("ml-1m");
        bench(&mut c, "movielens-1m/real", "6040x3706x1000209", &folder);
    }
    c.final_summary();
}
