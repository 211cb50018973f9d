//! What users do and where they end up, against the model said in plain words, and laws of it.

use crate::world::{World, assert_near, gaussians, rng, shares};
use evenhand_core::{Dynamics, Lottery};
use evenhand_plugins::stationary::REPORTED;
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand::seq::SliceRandom;

/// Sets of items 0 to 4, with weights.
fn some_sets(seed: u64) -> Lottery {
    let sets: Vec<Vec<u32>> = [&[][..], &[0], &[1, 4], &[0, 2, 3]].map(<[u32]>::to_vec).into();
    let weights = shares(sets.len(), &mut rng(seed));
    Lottery::Sets { sets, weights }
}

/// One of each form, of items 0 to 4.
fn forms(seed: u64) -> [Lottery; 3] {
    let chances = shares(5, &mut rng(seed + 1));
    [
        some_sets(seed),
        Lottery::Uniform { items: (0..5).collect(), size: 2 },
        Lottery::Independent { items: (0..5).collect(), chances },
    ]
}

/// The probabilities that something shown is taken, and that each item is consumed, set by set.
fn in_plain_words(world: &World, profile: &[f64], lottery: &Lottery) -> (f64, Vec<f64>) {
    let Lottery::Sets { sets, weights } = lottery else { panic!("listed sets") };
    let score = |v: &[f64]| v.iter().zip(profile).map(|(v, u)| v * u).sum::<f64>().exp();
    let scores: Vec<f64> = world.vectors.column_iter().map(|v| score(v.as_slice())).collect();
    let (all, c): (f64, f64) = (scores.iter().sum(), world.dynamics.c);
    let (mut click, mut selection) = (0.0, vec![0.0; scores.len()]);
    for (set, weight) in sets.iter().zip(weights) {
        let shown: f64 = set.iter().map(|&item| scores[item as usize]).sum();
        click += weight * shown / (shown + c);
        set.iter().for_each(|&item| selection[item as usize] += weight * scores[item as usize] / (shown + c));
        let organic = weight * c / (shown + c);
        selection.iter_mut().zip(&scores).for_each(|(p, score)| *p += organic * score / all);
    }
    (click, selection)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn choices_are_those_of_the_model(seed in 0u64..1 << 32, items in 5usize..20, harmful in 0usize..9) {
        let world = World::drawn(seed, [4, items, harmful.min(items - 5)], 0.8, 4.0);
        let (catalogue, profile) = (world.catalogue(), gaussians(4, 0.8, &mut rng(seed + 1)));
        let (click, selection) = in_plain_words(&world, &profile, &some_sets(seed));
        let value = catalogue.value(&profile, &some_sets(seed)).unwrap();
        assert_near("click", &[value.click], &[click], 1e-13);
        assert_near("selection", &catalogue.selection(&profile, &some_sets(seed)).unwrap(), &selection, 1e-13);
        for lottery in forms(seed) {
            let value = catalogue.value(&profile, &lottery).unwrap();
            let selection = catalogue.selection(&profile, &lottery).unwrap();
            prop_assert!(selection.iter().all(|p| *p > 0.0) && (0.0..=1.0).contains(&value.click));
            assert_near("all that is consumed", &[selection.iter().sum()], &[1.0], 1e-12);
            // Of items that are never shown, what is consumed is organic.
            let harm = selection.iter().zip(&world.harmful).filter(|(_, harmful)| **harmful).map(|(p, _)| p).sum();
            assert_near("harm", &[value.harm], &[harm], 1e-12);
            // One step is the mean of what consumptions do.
            let mut mean = vec![0.0; 4];
            for (item, p) in (0..).zip(&selection) {
                let mut moved = profile.clone();
                catalogue.moves(&world.start, &mut moved, item);
                mean.iter_mut().zip(moved).for_each(|(mean, u)| *mean += p * u);
            }
            let step = catalogue.expected_step(&world.start, &profile, &lottery).unwrap();
            assert_near("one step", &step, &mean, 1e-12);
        }
    }

    #[test]
    fn stationary_profiles_stay_and_lie_among_items(
        seed in 0u64..1 << 32,
        deviation in prop::sample::select(vec![0.3, 1.0, 2.0]),
        beta in prop::sample::select(vec![0.0, 0.2, 0.5]),
    ) {
        let mut world = World::drawn(seed, [3, 9, 3], deviation, 4.0);
        world.dynamics.beta = beta;
        let catalogue = world.catalogue();
        for lottery in forms(seed) {
            let found = catalogue.stationary(&world.start, &lottery, REPORTED).unwrap();
            prop_assert!(found.converged, "{found:?}");
            let profile = &found.profile;
            let mapped = catalogue.mapped(&world.start, profile, &lottery).unwrap();
            assert_near("F", &mapped, profile, 2e-13);
            let step = catalogue.expected_step(&world.start, profile, &lottery).unwrap();
            assert_near("expected step", &step, profile, 2e-13);
            // In every direction some item or the first profile is farther out.
            for n in 0..20 {
                let direction = gaussians(3, 1.0, &mut rng(n));
                let items = world.vectors.column_iter().map(|v| dot(v.as_slice(), &direction));
                let farthest = items.fold(dot(&world.start, &direction), f64::max);
                prop_assert!(dot(profile, &direction) <= farthest + 1e-12);
            }
            let outlook = catalogue.outlook(&world.start, &lottery).unwrap();
            prop_assert_eq!(outlook.value, catalogue.value(profile, &lottery).unwrap());
            prop_assert_eq!(&outlook.stationary, &found);
        }
    }

    /// Numbers of items are names. Sums run in another order then.
    #[test]
    fn items_may_be_renumbered(seed in 0u64..1 << 32, items in 6usize..20) {
        let world = World::drawn(seed, [3, items, 1], 0.8, 4.0);
        let mut order: Vec<usize> = (0..items).collect();
        order.shuffle(&mut rng(seed + 2));
        let renumbered = World {
            vectors: DMatrix::from_fn(3, items, |k, item| world.vectors[(k, order[item])]),
            harmful: order.iter().map(|&item| world.harmful[item]).collect(),
            ..world.clone()
        };
        let new = |item: &u32| order.iter().position(|&old| old == *item as usize).unwrap() as u32;
        let renumber = |set: &[u32]| -> Vec<u32> {
            let mut set: Vec<u32> = set.iter().map(new).collect();
            set.sort_unstable();
            set
        };
        for lottery in forms(seed) {
            let other = match &lottery {
                Lottery::Sets { sets, weights } => {
                    Lottery::Sets { sets: sets.iter().map(|set| renumber(set)).collect(), weights: weights.clone() }
                }
                Lottery::Uniform { items, size } => Lottery::Uniform { items: renumber(items), size: *size },
                Lottery::Independent { items, .. } => {
                    let items = renumber(items);
                    let chances = items.iter().map(|&item| lottery.inclusion(order[item as usize] as u32)).collect();
                    Lottery::Independent { items, chances }
                }
            };
            let (before, after) = (world.catalogue(), renumbered.catalogue());
            let [one, two] = [(&before, &lottery), (&after, &other)]
                .map(|(catalogue, lottery)| catalogue.outlook(&world.start, lottery).unwrap());
            assert_near("profile", &two.stationary.profile, &one.stationary.profile, 1e-11);
            assert_near("click", &[two.value.click, two.value.harm], &[one.value.click, one.value.harm], 1e-11);
            let profile = &one.stationary.profile;
            let expected = before.selection(profile, &lottery).unwrap();
            let got = after.selection(profile, &other).unwrap();
            let expected: Vec<f64> = order.iter().map(|&item| expected[item]).collect();
            assert_near("selection", &got, &expected, 1e-12);
        }
    }

    /// A coordinate that all items share multiplies all scores: by t, that is the same as c / t.
    #[test]
    fn shared_factors_of_scores_are_a_smaller_c(seed in 0u64..1 << 32, log in -3.0..3.0f64) {
        let world = World::drawn(seed, [3, 9, 3], 0.8, 4.0);
        let mut longer = world.clone();
        longer.vectors = world.vectors.clone().insert_row(3, 1.0);
        longer.start.push(log);
        let dynamics = Dynamics { c: world.dynamics.c / log.exp(), ..world.dynamics };
        let divided = World { dynamics, ..world };
        for lottery in forms(seed) {
            let of = |world: &World| {
                let value = world.catalogue().value(&world.start, &lottery).unwrap();
                [value.click, value.harm]
            };
            assert_near("click and harm", &of(&longer), &of(&divided), 1e-12);
        }
    }
}

/// What users consume who are drawn, one by one, is what is to be expected.
#[test]
fn drawn_consumptions_follow_the_probabilities() {
    let world = World::drawn(5, [2, 7, 2], 0.8, 3.0);
    let (catalogue, set, mut rng, draws) = (world.catalogue(), vec![1, 4], rng(6), 4000);
    let (mut taken, mut counts) = (0.0, vec![0.0; 7]);
    for _ in 0..draws {
        let consumed = catalogue.consume(&world.start, &set, &mut rng);
        assert!(!consumed.taken || set.contains(&consumed.item));
        taken += f64::from(u8::from(consumed.taken));
        counts[consumed.item as usize] += 1.0;
    }
    let lottery = Lottery::certain(set);
    let selection = catalogue.selection(&world.start, &lottery).unwrap();
    let click = catalogue.value(&world.start, &lottery).unwrap().click;
    for (count, p) in counts.iter().chain([&taken]).zip(selection.iter().chain([&click])) {
        // Five standard errors.
        let error = 5.0 * (p * (1.0 - p) / f64::from(draws)).sqrt();
        assert!((count / f64::from(draws) - p).abs() <= error, "{count} of {draws}, expected {p}");
    }
}
