//! Gradients through the stationary profile, against differences.
//!
//! Differences of fourth order with steps of 1e-3: what they leave out is some 1e-12 of a fifth derivative, what
//! rounding adds some 1e-12 / 1e-3 of the objective. So they agree to 1e-7 of the largest entry where profiles do not depend
//! wildly on the lottery: users are drawn whose Jacobian has a norm below 0.9. For the few whose fifth derivative is
//! large all the same, what differences leave out is seen in those with steps twice as long, and allowed for.

use crate::world::{World, rng, shares};
use evenhand_core::{Lottery, SizeRule};
use evenhand_plugins::stationary::{Catalogue, Figure, REPORTED};
use proptest::prelude::*;
use rand::RngExt;

const STEP: f64 = 1e-3;
const AGREE: f64 = 1e-7;
/// What differences may miss where they are to tell anything.
const BLURRED: f64 = 1e-5;
const FIGURES: [Figure; 3] =
    [Figure { click: 1.0, harm: 0.0 }, Figure { click: 0.0, harm: 1.0 }, Figure { click: 1.0, harm: -100.0 }];

/// All figures where a lottery leads to.
fn figures(catalogue: &Catalogue, start: &[f64], lottery: &Lottery) -> [f64; 3] {
    let outlook = catalogue.outlook(start, lottery).unwrap();
    assert!(outlook.stationary.converged, "{outlook:?}");
    FIGURES.map(|figure| outlook.value.figure(figure))
}

/// What differences say of a derivative, and what they may miss.
#[derive(Clone, Copy)]
struct Difference {
    slope: f64,
    error: f64,
}

/// From estimates with a step and one of twice the length: by the order of both, the first is at least 15 times as good.
fn compared(near: [f64; 3], far: [f64; 3]) -> [Difference; 3] {
    [0, 1, 2].map(|f| Difference { slope: near[f], error: (near[f] - far[f]).abs() / 10.0 })
}

/// The derivatives at 0 of figures along a line, from values on both sides.
fn central(along: impl Fn(f64) -> [f64; 3]) -> [Difference; 3] {
    let [b4, b2, b1, a1, a2, a4] = [-4.0, -2.0, -1.0, 1.0, 2.0, 4.0].map(|n| along(n * STEP));
    let of = |step: f64, [far_below, below, above, far_above]: [&[f64; 3]; 4]| {
        [0, 1, 2].map(|f| (8.0 * (above[f] - below[f]) - (far_above[f] - far_below[f])) / (12.0 * step))
    };
    compared(of(STEP, [&b2, &b1, &a1, &a2]), of(2.0 * STEP, [&b4, &b2, &a2, &a4]))
}

/// The same from values on the side of `step`.
fn one_sided(step: f64, along: impl Fn(f64) -> [f64; 3]) -> [Difference; 3] {
    let weights = [-137.0, 300.0, -300.0, 200.0, -75.0, 12.0];
    let of = |step: f64| {
        let at = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|n| along(n * step));
        [0, 1, 2].map(|f| at.iter().zip(weights).map(|(at, weight)| weight * at[f]).sum::<f64>() / (60.0 * step))
    };
    compared(of(step), of(2.0 * step))
}

/// Whether profiles depend tamely on lotteries at `profile`.
fn tame(catalogue: &Catalogue, profile: &[f64], sets: &[Vec<u32>], weights: &[f64]) -> bool {
    catalogue.sensitivity(profile, sets, weights).unwrap().map_by_profile.norm() < 0.9
}

fn agree(got: f64, expected: Difference, largest: f64, what: &str) -> Result<(), TestCaseError> {
    let Difference { slope, error } = expected;
    // Across a jump, differences tell nothing.
    prop_assume!(error <= BLURRED * largest);
    let off = (got - slope).abs();
    prop_assert!(off <= AGREE * largest + error, "{what}: {got}, differences say {slope}, within {error}; {largest}");
    Ok(())
}

/// What is no difference.
fn known(slope: f64) -> Difference {
    Difference { slope, error: 0.0 }
}

fn largest(gradient: &[f64]) -> f64 {
    gradient.iter().fold(0.0, |most, g| most.max(g.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Weights must add up to 1, so differences are along moves of weight from the last set to each other one.
    #[test]
    fn by_weights_of_sets(
        seed in 0u64..1 << 32,
        dimension in 1usize..5,
        c in prop::sample::select(vec![0.5, 4.0, 20.0]),
    ) {
        let world = World::drawn(seed, [dimension, 9, 3], 0.7, c);
        let catalogue = world.catalogue();
        let sets: Vec<Vec<u32>> = [&[0][..], &[1, 3], &[], &[0, 2, 4], &[5], &[1, 2, 3]].map(<[u32]>::to_vec).into();
        let weights = shares(sets.len(), &mut rng(seed + 1));
        let lottery = Lottery::Sets { sets: sets.clone(), weights: weights.clone() };
        let profile = catalogue.stationary(&world.start, &lottery, REPORTED).unwrap().profile;
        prop_assume!(tame(&catalogue, &profile, &sets, &weights));
        let gradients =
            FIGURES.map(|figure| catalogue.gradient(&profile, &sets, &weights, figure).unwrap().unwrap());
        let last = sets.len() - 1;
        for place in 0..last {
            let moves = central(|h| {
                let mut weights = weights.clone();
                (weights[place], weights[last]) = (weights[place] + h, weights[last] - h);
                figures(&catalogue, &world.start, &Lottery::Sets { sets: sets.clone(), weights })
            });
            for (gradient, moves) in gradients.iter().zip(moves) {
                let got = gradient[place] - gradient[last];
                agree(got, moves, largest(gradient), &format!("{:?}", sets[place]))?;
            }
        }
        // The slope that searches go by is the same gradient, and knows of sets that no weight is on.
        let (objective, slope) = world.search(Default::default(), |search| search.slope_of(&lottery)).unwrap();
        let slope = slope.unwrap();
        let figure = Figure::objective(world.price);
        let gradient = catalogue.gradient(&profile, &sets, &weights, figure).unwrap().unwrap();
        for (set, expected) in sets.iter().zip(&gradient) {
            agree(slope.of_set(set), known(*expected), largest(&gradient), &format!("slope of {set:?}"))?;
        }
        agree(objective, known(world.objective(&lottery)), 1.0, "objective")?;
        let pairs: Vec<Vec<u32>> = (0..6).flat_map(|b| (0..b).map(move |a| vec![a, b])).collect();
        let smaller = (0..6).map(|item| vec![item]).chain([vec![]]);
        let highest = |sets: &[Vec<u32>]| sets.iter().map(|set| slope.of_set(set)).fold(f64::NEG_INFINITY, f64::max);
        let steepest = |rule| slope.of_set(&slope.steepest(&world.harmless(), 2, rule));
        prop_assert!((steepest(SizeRule::Exactly) - highest(&pairs)).abs() < 1e-12);
        let all: Vec<Vec<u32>> = pairs.into_iter().chain(smaller).collect();
        prop_assert!((steepest(SizeRule::AtMost) - highest(&all)).abs() < 1e-12);
    }

    #[test]
    fn by_chances_of_items(
        seed in 0u64..1 << 32,
        dimension in 1usize..5,
        c in prop::sample::select(vec![1e-3, 0.5, 4.0, 20.0]),
        bounds in prop::bool::ANY,
    ) {
        let world = World::drawn(seed, [dimension, 9, 3], 0.7, c);
        let (catalogue, items, mut rng) = (world.catalogue(), world.harmless(), rng(seed + 1));
        let mut chances: Vec<f64> = items.iter().map(|_| rng.random_range(0.1..0.9)).collect();
        if bounds {
            (chances[1], chances[3], chances[4]) = (0.0, 1.0, 0.0);
        }
        let lottery = |chances: &[f64]| Lottery::Independent { items: items.clone(), chances: chances.to_vec() };
        let profile = catalogue.stationary(&world.start, &lottery(&chances), REPORTED).unwrap().profile;
        let (sets, weights) = crate::means::listed(&items, &chances);
        prop_assume!(tame(&catalogue, &profile, &sets, &weights));
        let gradients = FIGURES
            .map(|figure| catalogue.gradient_by_chances(&profile, &items, &chances, figure).unwrap().unwrap());
        for place in 0..items.len() {
            let along = |h: f64| {
                let mut chances = chances.clone();
                chances[place] += h;
                figures(&catalogue, &world.start, &lottery(&chances))
            };
            let expected = match chances[place] {
                0.0 => one_sided(STEP, along),
                1.0 => one_sided(-STEP, along),
                _ => central(along),
            };
            for (gradient, expected) in gradients.iter().zip(expected) {
                agree(gradient[place], expected, largest(gradient), &format!("item {place}"))?;
            }
        }
    }
}
