//! Factors and interactions for the cases.

use evenhand_core::{Interactions, Result, Rows, Streams};
use nalgebra::DMatrix;
use rand::RngExt;

/// Factors of so many entities, rank x count: small whole numbers, which make ties common and exact, or others.
pub(crate) fn factors(rank: usize, count: usize, whole: bool, label: &str) -> DMatrix<f32> {
    let mut rng = Streams::new(7).child(label).rng((rank * 1000 + count) as u64);
    DMatrix::from_fn(rank, count, |_, _| match whole {
        true => rng.random_range(-2..=2) as f32,
        false => rng.random::<f32>() - 0.5,
    })
}

/// Ranks, numbers of users and of items around the edges of tiles and slabs.
pub(crate) const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (3, 63, 129),
    (15, 64, 128),
    (16, 65, 127),
    (17, 129, 64),
    (33, 128, 257),
    (64, 7, 500),
    (100, 130, 130),
    (1030, 3, 66),
];

/// Interactions of each user with each item, as often as `times` says.
pub(crate) fn interactions(users: usize, items: usize, times: impl Fn(u32, u32) -> u32) -> Interactions {
    let mut rows = Rows::default();
    for user in 0..users as u32 {
        for item in 0..items as u32 {
            (0..times(user, item)).for_each(|_| rows.push(user, item, 1.0));
        }
    }
    Interactions::new(users, items, &rows).unwrap()
}

/// Interactions of users who have seen nothing, some things, all of them, all but one, or some twice.
pub(crate) fn masks(users: usize, items: usize) -> [Interactions; 3] {
    let some = |user: u32, item: u32| (user * 31 + item * 17) % 7 < 2;
    let last = items as u32 - 1;
    [
        interactions(users, items, |_, _| 0),
        interactions(users, items, |user, item| match user % 4 {
            0 => 0,
            1 => u32::from(some(user, item)),
            2 => 1,
            _ => u32::from(item != (user * 13) % last),
        }),
        interactions(users, items, |user, item| u32::from(some(user, item)) * (1 + user % 3)),
    ]
}

/// A result to compare, what it holds aside: only errors differ in their text.
pub(crate) fn text<T>(result: Result<T>) -> Option<String> {
    result.err().map(|error| error.to_string())
}
