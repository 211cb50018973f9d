//! Dense scores.

use super::Case;
use super::data::{SHAPES, factors};
use evenhand_core::Dense;
use evenhand_core::dense::Reference;
use evenhand_kernels::cuda::{Cuda, Options};
use nalgebra::DMatrix;
use rayon::prelude::*;

pub(crate) const CASES: &[Case] = &[
    ("scores_are_those_of_the_reference", scores_are_those_of_the_reference),
    ("scores_of_repeated_and_reversed_users", scores_of_repeated_and_reversed_users),
    ("changed_factors_are_noticed", changed_factors_are_noticed),
    ("callers_that_are_tasks_of_one_pool", callers_that_are_tasks_of_one_pool),
    ("little_memory_is_enough_or_refused", little_memory_is_enough_or_refused),
    ("what_is_not_finite_comes_through", what_is_not_finite_comes_through),
    ("empty_products", empty_products),
    ("misfits_are_refused", misfits_are_refused),
];

pub(super) fn same(cuda: &Cuda, users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>) {
    let [mut expected, mut got] = [DMatrix::zeros(0, 0), DMatrix::from_element(2, 3, 5.0)];
    Reference.scores(users, rows, items, &mut expected).unwrap();
    cuda.scores(users, rows, items, &mut got).unwrap();
    assert_eq!(expected.shape(), got.shape());
    let what = format!("{} factors, {} users, {} items", items.nrows(), rows.len(), items.ncols());
    for (at, (e, g)) in expected.iter().zip(got.iter()).enumerate() {
        assert!(e == g || e.is_nan() && g.is_nan(), "{what}: {g} in place {at}, expected {e}");
    }
}

fn scores_are_those_of_the_reference(cuda: &Cuda) {
    for (rank, users, items) in SHAPES {
        let rows: Vec<u32> = (0..users as u32).collect();
        same(cuda, &factors(rank, users, false, "u"), &rows, &factors(rank, items, false, "i"));
    }
}

fn scores_of_repeated_and_reversed_users(cuda: &Cuda) {
    let (users, items) = (factors(9, 70, false, "u"), factors(9, 150, false, "i"));
    let rows: Vec<u32> = (0..70).rev().chain([3, 3, 3]).collect();
    same(cuda, &users, &rows, &items);
    same(cuda, &users, &[69], &items);
}

fn changed_factors_are_noticed(cuda: &Cuda) {
    let (users, mut items) = (factors(5, 10, false, "u"), factors(5, 140, false, "i"));
    same(cuda, &users, &[0, 1], &items);
    items[(4, 139)] += 1.0;
    same(cuda, &users, &[0, 1], &items);
    items[(4, 139)] = -0.0;
    same(cuda, &users, &[0, 1], &items);
    // More tables than stay on the device.
    for count in 100..110 {
        same(cuda, &users, &[0, 9], &factors(5, count, false, "i"));
    }
    // The same numbers in another shape.
    let (users, items) = (factors(10, 10, false, "u"), DMatrix::from_column_slice(10, 70, items.as_slice()));
    same(cuda, &users, &[0, 1], &items);
}

/// A call that waited for tasks of its caller's pool would come upon another call, and wait for itself.
fn callers_that_are_tasks_of_one_pool(cuda: &Cuda) {
    let (users, rows) = (factors(2, 200, false, "u"), (0..200).collect::<Vec<u32>>());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    pool.install(|| {
        (100..140).into_par_iter().for_each(|count| same(cuda, &users, &rows, &factors(2, count, false, "i")));
    });
}

fn little_memory_is_enough_or_refused(_: &Cuda) {
    let open = |memory| Cuda::open(Options { memory: Some(memory), least_work: 0, ..Options::default() }).unwrap();
    let (users, items) = (factors(6, 300, false, "u"), factors(6, 200, false, "i"));
    let rows: Vec<u32> = (0..300).collect();
    // The items take 6 KiB, the scores 240,000 bytes: two buffers of 2, 11, 101 users, all of them.
    for memory in [12_000, 34_000, 250_000, 1 << 20] {
        let cuda = open(memory);
        same(&cuda, &users, &rows, &items);
        same(&cuda, &users, &rows[..40], &items);
        same(&cuda, &users, &rows, &factors(6, 201, false, "j"));
    }
    let refused = open(7_000).scores(&users, &rows, &items, &mut DMatrix::zeros(0, 0)).unwrap_err().to_string();
    assert!(
        refused.starts_with("device: ") && refused.ends_with("out of memory: 1 MiB are needed at a time"),
        "{refused}"
    );
}

fn what_is_not_finite_comes_through(cuda: &Cuda) {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE / 8.0] {
        let (mut users, mut items) = (factors(17, 66, false, "u"), factors(17, 130, false, "i"));
        (users[(16, 65)], items[(0, 129)]) = (odd, odd);
        same(cuda, &users, &[64, 65], &items);
    }
}

fn empty_products(cuda: &Cuda) {
    let some = |rank, count| factors(rank, count, false, "e");
    same(cuda, &some(0, 3), &[0, 2], &some(0, 4));
    same(cuda, &some(4, 3), &[], &some(4, 4));
    same(cuda, &some(4, 3), &[1], &some(4, 0));
    same(cuda, &some(4, 0), &[], &some(4, 4));
}

fn misfits_are_refused(cuda: &Cuda) {
    let mut out = DMatrix::zeros(0, 0);
    let mut say = |users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>| {
        cuda.scores(users, rows, items, &mut out).unwrap_err().to_string()
    };
    let (users, items) = (factors(4, 3, false, "u"), factors(4, 5, false, "i"));
    assert_eq!(say(&users, &[0, 3], &items), "user index: expected below 3, got 3");
    assert_eq!(say(&users, &[0], &factors(5, 5, false, "i")), "rank of the item factors: expected 4, got 5");
}
