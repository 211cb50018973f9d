//! The best items per user.

use super::Case;
use super::data::{SHAPES, factors, interactions, masks, text};
use evenhand_core::dense::Dense;
use evenhand_core::{Compressed, TopK};
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::{Cuda, MOST_KEPT, Options};
use nalgebra::DMatrix;

pub(crate) const CASES: &[Case] = &[
    ("the_best_with_ties_and_without", the_best_with_ties_and_without),
    ("lists_of_every_length", lists_of_every_length),
    ("scores_in_any_order", scores_in_any_order),
    ("seen_items_are_left_out", seen_items_are_left_out),
    ("the_best_are_seen", the_best_are_seen),
    ("few_users_and_many_users", few_users_and_many_users),
    ("the_best_far_apart", the_best_far_apart),
    ("little_memory", little_memory),
    ("scores_that_are_not_finite", scores_that_are_not_finite),
    ("no_best_items", no_best_items),
    ("misfits", misfits),
];

fn rows(top: &TopK) -> Vec<(&[u32], Vec<u32>)> {
    let bits = |b| top.scores(b).iter().map(|score| (score + 0.0).to_bits()).collect();
    (0..top.len()).map(|b| (top.items(b), bits(b))).collect()
}

pub(super) fn same(
    cuda: &Cuda,
    users: &DMatrix<f32>,
    asked: &[u32],
    items: &DMatrix<f32>,
    seen: Option<&Compressed>,
    k: usize,
) {
    let what = format!("{} factors, {} users, {} items, best {k}", items.nrows(), asked.len(), items.ncols());
    let expected = Cpu.top_k(users, asked, items, seen, k);
    let got = cuda.top_k(users, asked, items, seen, k);
    match (&expected, &got) {
        (Ok(expected), Ok(got)) => {
            for (at, (expected, got)) in rows(expected).into_iter().zip(rows(got)).enumerate() {
                assert_eq!(expected, got, "{what}: row {at}");
            }
            assert_eq!(expected, got, "{what}");
        }
        _ => assert_eq!(text(expected), text(got), "{what}"),
    }
}

fn the_best_with_ties_and_without(cuda: &Cuda) {
    for (rank, users, items) in SHAPES {
        for whole in [true, false] {
            let (u, i) = (factors(rank, users, whole, "u"), factors(rank, items, whole, "i"));
            let all: Vec<u32> = (0..users as u32).collect();
            same(cuda, &u, &all, &i, None, 10);
        }
    }
}

fn lists_of_every_length(cuda: &Cuda) {
    let most = MOST_KEPT;
    for whole in [true, false] {
        let (users, items) = (factors(5, 66, whole, "u"), factors(5, 700, whole, "i"));
        for k in [1, 3, 31, 32, 33, 64, 65, 100, 128, 129, 200, most, most + 1] {
            same(cuda, &users, &[65, 0, 7], &items, None, k);
        }
        // More than there are.
        let items = factors(5, 50, whole, "i");
        for k in [49, 50, 51, 1000] {
            same(cuda, &users, &[65, 0, 7], &items, None, k);
        }
    }
}

/// The orders in which most items are among the best so far, or all are equal.
fn scores_in_any_order(cuda: &Cuda) {
    // In 14 tiles: 7 in each of two splits are visited out of order.
    let count = 1700;
    let users = DMatrix::from_fn(2, 65, |f, u| if f == 0 { 1.0 } else { u as f32 });
    let orders: [fn(usize) -> f32; 5] =
        [|i| i as f32, |i| -(i as f32), |_| 0.25, |i| (i / 700) as f32, |i| ((i * 611) % 1700) as f32];
    for order in orders {
        let items = DMatrix::from_fn(2, count, |f, i| if f == 0 { order(i) } else { 0.0 });
        for k in [1, 10, 130] {
            same(cuda, &users, &[0, 64, 3], &items, None, k);
        }
    }
    let zeros = DMatrix::zeros(2, count);
    same(cuda, &users, &[5, 6], &zeros, None, 40);
    // Products that vanish have a sign, which they lose where a slab of 16 factors is filled up.
    let items = DMatrix::from_fn(16, 700, |_, i| if i % 3 == 0 { 1e-30 } else { -1e-30 });
    same(cuda, &DMatrix::from_element(16, 1, 1e-30), &[0], &items, None, 40);
}

fn seen_items_are_left_out(cuda: &Cuda) {
    let (users, items) = (factors(4, 70, true, "u"), factors(4, 300, true, "i"));
    // The catalogue has shrunk since.
    for catalogue in [300, 400] {
        for seen in masks(70, catalogue) {
            let all: Vec<u32> = (0..70).rev().chain([1, 1]).collect();
            for k in [1, 10, 100] {
                same(cuda, &users, &all, &items, Some(seen.by_user()), k);
            }
        }
    }
}

/// Nearly all candidates come to nothing.
fn the_best_are_seen(cuda: &Cuda) {
    let users = DMatrix::from_element(1, 3, 1.0);
    for sign in [1.0, -1.0] {
        let items = DMatrix::from_fn(1, 900, |_, i| sign * i as f32);
        let best = |item: u32| if sign > 0.0 { item >= 500 } else { item < 400 };
        let seen = interactions(3, 900, |user, item| u32::from(user > 0 && best(item)) * user);
        for k in [1, 33, 256] {
            same(cuda, &users, &[0, 1, 2], &items, Some(seen.by_user()), k);
        }
    }
}

fn few_users_and_many_users(cuda: &Cuda) {
    let (users, items) = (factors(3, 200, false, "u"), factors(3, 3000, false, "i"));
    for k in [1, 2, 20] {
        same(cuda, &users, &[7, 9, 11], &items, None, k);
    }
    let all: Vec<u32> = (0..200).collect();
    same(cuda, &users, &all, &items, None, 5);
    same(cuda, &users, &all[..64], &items, None, 33);
}

/// With a split for each tile, of 8 warps that merge them one has the splits 3, 11 and 19.
fn the_best_far_apart(cuda: &Cuda) {
    let peaks = [(3 * 128 + 5, 10.0), (19 * 128 + 1, 9.0), (11 * 128, 8.0), (19 * 128, 7.0), (4 * 128, 6.0)];
    let items = DMatrix::from_fn(1, 3000, |_, i| {
        peaks.iter().find(|(item, _)| *item == i).map_or((i * 7 % 31) as f32 / 31.0, |(_, score)| *score)
    });
    for k in 1..7 {
        same(cuda, &DMatrix::from_element(1, 1, 1.0), &[0], &items, None, k);
    }
}

fn little_memory(cuda: &Cuda) {
    let options = Options { memory: Some(1 << 15), least_work: 0, ..*cuda.options() };
    let small = Cuda::open(options).unwrap();
    let (users, items) = (factors(6, 200, true, "u"), factors(6, 300, true, "i"));
    let all: Vec<u32> = (0..200).collect();
    for seen in masks(200, 300) {
        same(&small, &users, &all, &items, Some(seen.by_user()), 12);
    }
}

fn scores_that_are_not_finite(cuda: &Cuda) {
    let seven = interactions(150, 140, |user, item| u32::from(user % 3 > 0 && item == 7));
    let all: Vec<u32> = (0..150).rev().collect();
    for odd in [f32::NAN, f32::INFINITY, f32::MAX, 1e30] {
        let (mut users, mut items) = (factors(3, 150, false, "u"), factors(3, 140, false, "i"));
        items[(1, 7)] = odd;
        for seen in [None, Some(seven.by_user())] {
            same(cuda, &users, &all, &items, seen, 5);
            same(cuda, &users, &[1, 2, 4], &items, seen, 5);
        }
        users[(0, 70)] = odd;
        same(cuda, &users, &all, &items, Some(seven.by_user()), 5);
        // A user who is not asked for does no harm.
        items[(1, 7)] = 1.0;
        same(cuda, &users, &[69, 71], &items, None, 5);
    }
}

fn no_best_items(cuda: &Cuda) {
    let some = |rank, count| factors(rank, count, false, "e");
    same(cuda, &some(4, 3), &[0, 2], &some(4, 5), None, 0);
    same(cuda, &some(4, 3), &[], &some(4, 5), None, 2);
    same(cuda, &some(4, 3), &[1], &some(4, 0), None, 2);
    same(cuda, &some(0, 3), &[0, 2], &some(0, 4), None, 2);
    let all = interactions(3, 5, |_, _| 1);
    same(cuda, &some(4, 3), &[0, 2], &some(4, 5), Some(all.by_user()), 2);
}

fn misfits(cuda: &Cuda) {
    let (users, items) = (factors(4, 3, false, "u"), factors(4, 5, false, "i"));
    same(cuda, &users, &[0, 3], &items, None, 2);
    same(cuda, &users, &[0], &factors(5, 5, false, "i"), None, 2);
    same(cuda, &users, &[2], &items, Some(interactions(2, 5, |_, _| 1).by_user()), 2);
}
