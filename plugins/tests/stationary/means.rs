//! Means over sets that are not listed, against the same sets listed.

use crate::world::{World, assert_near, gaussians, rng};
use evenhand_core::Lottery;
use proptest::prelude::*;
use rand::RngExt;

const C: [f64; 7] = [1e-6, 1e-3, 0.5, 4.0, 20.0, 1e3, 1e6];

/// All subsets of `items` with the probabilities that independent `chances` give them.
pub(crate) fn listed(items: &[u32], chances: &[f64]) -> (Vec<Vec<u32>>, Vec<f64>) {
    let set = |code: u32| (0..items.len()).filter(|&n| code >> n & 1 == 1).map(|n| items[n]).collect();
    let sets: Vec<Vec<u32>> = (0..1 << items.len()).map(set).collect();
    let independent = Lottery::Independent { items: items.to_vec(), chances: chances.to_vec() };
    let weights = sets.iter().map(|set| independent.probability(set)).collect();
    (sets, weights)
}

/// All sets of `size` out of `items`, with the same weight.
fn all(items: u32, size: usize) -> Lottery {
    let codes = (0u32..1 << items).filter(|code| code.count_ones() as usize == size);
    let sets: Vec<Vec<u32>> = codes.map(|code| (0..items).filter(|n| code >> n & 1 == 1).collect()).collect();
    let weights = vec![1.0 / sets.len() as f64; sets.len()];
    Lottery::Sets { sets, weights }
}

/// Whether two lotteries come to the same at a profile. Shares of large and of tiny clicks are as exact.
fn assert_same(world: &World, profile: &[f64], lottery: &Lottery, listed: &Lottery) {
    let catalogue = world.catalogue();
    let value = |lottery| {
        let value = catalogue.value(profile, lottery).unwrap();
        [value.click, value.harm]
    };
    let what = format!("c = {}", world.dynamics.c);
    let (got, expected) = (value(lottery), value(listed));
    assert_near(&what, &got, &expected, 1e-12);
    assert!((got[0] - expected[0]).abs() <= 1e-12 * expected[0], "{what}: {got:?}, expected {expected:?}");
    let selection = |lottery| catalogue.selection(profile, lottery).unwrap();
    assert_near(&what, &selection(lottery), &selection(listed), 1e-12);
    let mapped = |lottery| catalogue.mapped(&world.start, profile, lottery).unwrap();
    assert_near(&what, &mapped(lottery), &mapped(listed), 1e-12);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_independent_items(
        seed in 0u64..1 << 32,
        count in 1usize..8,
        deviation in prop::sample::select(vec![0.5, 1.0, 2.5]),
        kinds in prop::collection::vec(0usize..6, 7),
    ) {
        let mut world = World::drawn(seed, [3, count + 2, 2], deviation, 1.0);
        let (items, mut rng) = (world.harmless(), rng(seed + 1));
        let chance = |kind: &usize| match kind {
            0 => 0.0,
            1 => 1.0,
            2 => 1e-9,
            _ => rng.random::<f64>(),
        };
        let chances: Vec<f64> = kinds[..count].iter().map(chance).collect();
        let (sets, weights) = listed(&items, &chances);
        let listed = Lottery::Sets { sets, weights };
        let independent = Lottery::Independent { items, chances };
        let profile = gaussians(3, deviation, &mut rng);
        for c in C {
            world.dynamics.c = c;
            assert_same(&world, &profile, &independent, &listed);
        }
    }
}

/// With so many sets the lottery is not listed within, but integrated.
#[test]
fn of_all_sets_of_a_size() {
    for (items, size, dimension, deviation) in [(16, 6, 3, 0.8), (15, 10, 2, 2.0)] {
        let mut world = World::drawn(7, [dimension, items as usize + 3, 3], deviation, 1.0);
        let uniform = Lottery::Uniform { items: (0..items).collect(), size };
        let listed = all(items, size);
        let Lottery::Sets { sets, .. } = &listed else { panic!() };
        assert!(sets.len() > 2000);
        for c in C {
            world.dynamics.c = c;
            assert_same(&world, &world.start, &uniform, &listed);
        }
        world.dynamics.c = 4.0;
        let stationary = |lottery| world.catalogue().outlook(&world.start, lottery).unwrap().stationary.profile;
        assert_near("stationary profile", &stationary(&uniform), &stationary(&listed), 1e-11);
    }
}

/// More sets than can be counted: what is left is that all items are alike, and that what is consumed adds up.
#[test]
fn of_sets_that_nobody_counts() {
    let world = World { vectors: nalgebra::DMatrix::zeros(1, 150), ..World::drawn(1, [1, 150, 50], 1.0, 30.0) };
    let uniform = Lottery::Uniform { items: world.harmless(), size: 50 };
    let value = world.catalogue().value(&world.start, &uniform).unwrap();
    // All scores are 1: 50 of them against 30 and a third of what is left over is harmful.
    assert_near("value", &[value.click, value.harm], &[5.0 / 8.0, 1.0 / 8.0], 1e-12);
    let selection = world.catalogue().selection(&world.start, &uniform).unwrap();
    let organic = 3.0 / 8.0 / 150.0;
    let expected: Vec<f64> = (0..150).map(|item| organic + if item < 100 { 5.0 / 800.0 } else { 0.0 }).collect();
    assert_near("selection", &selection, &expected, 1e-12);
}
