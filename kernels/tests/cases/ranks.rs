//! Positions of held-out items.

use super::Case;
use super::data::{SHAPES, factors, interactions, masks, text};
use evenhand_core::Compressed;
use evenhand_core::dense::Dense;
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::{Cuda, Options};
use nalgebra::DMatrix;

pub(crate) const CASES: &[Case] = &[
    ("positions_with_ties_and_without", positions_with_ties_and_without),
    ("held_out_lists_of_every_length", held_out_lists_of_every_length),
    ("what_is_seen_does_not_compete", what_is_seen_does_not_compete),
    ("positions_among_equal_scores", positions_among_equal_scores),
    ("positions_of_few_and_many_users", positions_of_few_and_many_users),
    ("positions_with_little_memory", positions_with_little_memory),
    ("positions_that_are_not_finite", positions_that_are_not_finite),
    ("no_positions", no_positions),
    ("held_out_misfits", held_out_misfits),
];

pub(super) fn same(
    cuda: &Cuda,
    users: &DMatrix<f32>,
    asked: &[u32],
    items: &DMatrix<f32>,
    seen: Option<&Compressed>,
    held_out: &Compressed,
) {
    let what = format!("{} factors, {} users, {} items", items.nrows(), asked.len(), items.ncols());
    let expected = Cpu.ranks(users, asked, items, seen, held_out);
    let got = cuda.ranks(users, asked, items, seen, held_out);
    match (&expected, &got) {
        (Ok(expected), Ok(got)) => {
            for (at, (expected, got)) in expected.iter().zip(got).enumerate() {
                assert_eq!(expected, got, "{what}: position {at}");
            }
            assert_eq!(expected.len(), got.len(), "{what}");
        }
        _ => assert_eq!(text(expected), text(got), "{what}"),
    }
}

/// Of each user so many items spread over all of them, and of every seventh one none.
fn held_out(users: usize, items: usize, count: usize) -> evenhand_core::Interactions {
    let count = count.min(items);
    interactions(users, items, |user, item| {
        let place = (item as usize + user as usize * 5) % items;
        u32::from(user % 7 != 3 && place * count % items < count)
    })
}

fn positions_with_ties_and_without(cuda: &Cuda) {
    for (rank, users, items) in SHAPES {
        let held_out = held_out(users, items, 4);
        for whole in [true, false] {
            let (u, i) = (factors(rank, users, whole, "u"), factors(rank, items, whole, "i"));
            let all: Vec<u32> = (0..users as u32).collect();
            same(cuda, &u, &all, &i, None, held_out.by_user());
        }
    }
}

fn held_out_lists_of_every_length(cuda: &Cuda) {
    for whole in [true, false] {
        let (users, items) = (factors(5, 70, whole, "u"), factors(5, 300, whole, "i"));
        let all: Vec<u32> = (0..70).rev().chain([4, 4]).collect();
        for count in [1, 2, 8, 9, 15, 16, 17, 100, 300] {
            same(cuda, &users, &all, &items, None, held_out(70, 300, count).by_user());
        }
        // Of all lengths in one block.
        let mixed = interactions(70, 300, |user, item| u32::from(item % 70 < user % 40 || user == 69));
        same(cuda, &users, &all, &items, None, mixed.by_user());
    }
}

fn what_is_seen_does_not_compete(cuda: &Cuda) {
    let (users, items) = (factors(4, 70, true, "u"), factors(4, 300, true, "i"));
    let all: Vec<u32> = (0..70).collect();
    for catalogue in [300, 400] {
        for seen in masks(70, catalogue) {
            for count in [3, 40] {
                let held_out = held_out(70, 300, count);
                same(cuda, &users, &all, &items, Some(seen.by_user()), held_out.by_user());
                same(cuda, &users, &all, &items, Some(held_out.by_user()), held_out.by_user());
            }
        }
    }
}

fn positions_among_equal_scores(cuda: &Cuda) {
    let orders: [fn(usize) -> f32; 4] =
        [|i| i as f32, |_| 0.25, |i| (i / 70) as f32, |i| if i % 2 == 0 { 1e-30 } else { -1e-30 }];
    for order in orders {
        let items = DMatrix::from_fn(1, 200, |_, i| order(i));
        // Products that vanish have a sign.
        for scale in [1.0, 1e-30] {
            let users = DMatrix::from_element(1, 66, scale);
            for count in [5, 60] {
                same(cuda, &users, &[0, 65, 4], &items, None, held_out(66, 200, count).by_user());
            }
        }
    }
}

fn positions_of_few_and_many_users(cuda: &Cuda) {
    let (users, items) = (factors(3, 200, false, "u"), factors(3, 3000, false, "i"));
    for count in [2, 50] {
        let held_out = held_out(200, 3000, count);
        same(cuda, &users, &[7], &items, None, held_out.by_user());
        let all: Vec<u32> = (0..200).collect();
        same(cuda, &users, &all, &items, None, held_out.by_user());
    }
}

fn positions_with_little_memory(cuda: &Cuda) {
    let options = Options { memory: Some(1 << 15), least_work: 0, ..*cuda.options() };
    let small = Cuda::open(options).unwrap();
    let (users, items) = (factors(6, 200, true, "u"), factors(6, 300, true, "i"));
    let all: Vec<u32> = (0..200).collect();
    let held_out = held_out(200, 300, 5);
    for seen in masks(200, 300) {
        same(&small, &users, &all, &items, Some(seen.by_user()), held_out.by_user());
    }
}

fn positions_that_are_not_finite(cuda: &Cuda) {
    let seven = interactions(150, 140, |user, item| u32::from(user % 3 > 0 && item == 7));
    let held_out = held_out(150, 140, 5);
    let all: Vec<u32> = (0..150).rev().collect();
    for odd in [f32::NAN, f32::INFINITY, f32::MAX, 1e30] {
        let (mut users, mut items) = (factors(3, 150, false, "u"), factors(3, 140, false, "i"));
        items[(1, 7)] = odd;
        for seen in [None, Some(seven.by_user())] {
            same(cuda, &users, &all, &items, seen, held_out.by_user());
            same(cuda, &users, &[1, 2, 4], &items, seen, held_out.by_user());
        }
        users[(0, 70)] = odd;
        same(cuda, &users, &all, &items, Some(seven.by_user()), held_out.by_user());
        // A user who is not asked for does no harm.
        items[(1, 7)] = 1.0;
        same(cuda, &users, &[69, 71], &items, None, held_out.by_user());
    }
}

fn no_positions(cuda: &Cuda) {
    let some = |rank, count| factors(rank, count, false, "e");
    let none = interactions(3, 5, |_, _| 0);
    let one = interactions(3, 4, |_, item| u32::from(item == 2));
    same(cuda, &some(4, 3), &[0, 2], &some(4, 5), None, none.by_user());
    same(cuda, &some(4, 3), &[], &some(4, 5), None, one.by_user());
    same(cuda, &some(4, 3), &[1], &some(4, 0), None, interactions(3, 0, |_, _| 0).by_user());
    same(cuda, &some(0, 3), &[0, 2], &some(0, 4), None, one.by_user());
    same(cuda, &some(1, 3), &[0], &some(1, 4), Some(interactions(3, 4, |_, _| 2).by_user()), one.by_user());
}

fn held_out_misfits(cuda: &Cuda) {
    let (users, items) = (factors(4, 3, false, "u"), factors(4, 5, false, "i"));
    let fine = interactions(3, 5, |_, item| u32::from(item == 2));
    let twice = interactions(3, 5, |user, item| u32::from(item == 2) * (1 + user));
    let beyond = interactions(3, 6, |_, item| u32::from(item == 5));
    for held_out in [&fine, &twice, &beyond] {
        for rows in [&[0][..], &[0, 1], &[0, 3]] {
            same(cuda, &users, rows, &items, None, held_out.by_user());
        }
    }
    same(cuda, &users, &[0], &factors(5, 5, false, "i"), None, fine.by_user());
    let few = interactions(2, 5, |_, item| u32::from(item == 2));
    same(cuda, &users, &[2], &items, None, few.by_user());
    same(cuda, &users, &[2], &items, Some(few.by_user()), fine.by_user());
}
