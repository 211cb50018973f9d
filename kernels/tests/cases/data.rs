//! Factors for the cases.

use evenhand_core::Streams;
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
