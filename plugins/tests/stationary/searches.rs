//! Searches against everything that can be tried on small worlds.

use crate::world::{World, rng};
use evenhand_core::{Cardinality, Dynamics, Lottery, Plan, SizeRule};
use evenhand_plugins::stationary::{Effort, FoundBy, Protocol};
use proptest::prelude::*;

const PROTOCOL: Protocol = Protocol { starts: 3, evaluations: 100, tolerance: 1e-6, dropped: 1e-3, sets: 1000 };

/// Whether an objective is as high as another but for what an ascent may leave over.
fn reaches(objective: f64, other: f64) -> bool {
    objective >= other - Effort::default().tolerance * other.abs().max(1.0)
}

fn best(world: &World, size: usize, rule: SizeRule) -> Plan {
    world.search(Effort::default(), |search| search.best(Cardinality { size, rule }, &mut rng(1)).unwrap())
}

/// All sets of that many items that may be shown.
fn sets(world: &World, sizes: impl Iterator<Item = usize>) -> Vec<Vec<u32>> {
    let items = world.harmless();
    let set = |code: u32| -> Vec<u32> { (0..items.len()).filter(|&n| code >> n & 1 == 1).map(|n| items[n]).collect() };
    let all = |size: usize| (0u32..1 << items.len()).filter(move |code| code.count_ones() as usize == size).map(set);
    sizes.flat_map(all).collect()
}

fn mixed(a: &[u32], b: &[u32], share: f64) -> Lottery {
    Lottery::Sets { sets: vec![a.to_vec(), b.to_vec()], weights: vec![1.0 - share, share] }
}

/// Moves a share of all weight to one set.
fn toward(lottery: &Lottery, set: &[u32], share: f64) -> Lottery {
    let Lottery::Sets { sets, weights } = lottery else { panic!("sets") };
    let (mut sets, mut weights) = (sets.clone(), weights.clone());
    weights.iter_mut().for_each(|weight| *weight *= 1.0 - share);
    sets.push(set.to_vec());
    weights.push(share);
    Lottery::Sets { sets, weights }
}

/// Whether an objective rises to first order as a share moves, given by how much it is higher with each share.
fn rises(rise: impl Fn(f64) -> f64) -> bool {
    let [once, twice] = [1e-4, 2e-4].map(rise);
    // The best lotteries may lie just before a jump: there it does not rise, it falls.
    let jumps = (twice - 2.0 * once).abs() > 1e-3;
    if jumps { once.max(twice) > 1e-3 } else { (4.0 * once - twice) / 2e-4 > 1e-5 }
}

fn assert_is_plan(world: &World, plan: &Plan, size: usize, rule: SizeRule) {
    assert_eq!(plan.lottery.check(world.harmful.len()).map_err(|e| e.to_string()), Ok(()));
    let (lottery, shown) = (&plan.lottery, |item: usize| plan.lottery.inclusion(item as u32));
    assert!((0..world.harmful.len()).all(|item| !world.harmful[item] || shown(item) == 0.0), "{lottery:?}");
    match lottery {
        Lottery::Sets { sets, .. } => {
            let fits = |set: &Vec<u32>| set.len() == size || rule == SizeRule::AtMost && set.len() < size;
            assert!(rule != SizeRule::Independent && sets.iter().all(fits), "{lottery:?}");
        }
        Lottery::Independent { chances, .. } => {
            let total: f64 = chances.iter().sum();
            assert!(rule == SizeRule::Independent && total <= size as f64 + 1e-9, "{lottery:?}");
        }
        Lottery::Uniform { .. } => panic!("{lottery:?}"),
    }
    let certificate = plan.certificate.unwrap();
    assert!(certificate.gap >= 0.0 && certificate.evaluations > 0, "{certificate:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_small_is_better(
        seed in 0u64..1 << 32,
        size in 1usize..3,
        deviation in prop::sample::select(vec![0.6, 1.0, 1.5]),
    ) {
        let items = if size == 1 { 11 } else { 10 };
        let world = World::drawn(seed, [3, items, 3], deviation, 4.0);
        let all = sets(&world, size..=size);
        let exactly = best(&world, size, SizeRule::Exactly);
        assert_is_plan(&world, &exactly, size, SizeRule::Exactly);
        let reached = world.objective(&exactly.lottery);
        for (n, a) in all.iter().enumerate() {
            let alone = world.objective(&Lottery::certain(a.clone()));
            prop_assert!(reaches(reached, alone), "{reached}, but {alone} with {a:?}");
            for b in &all[..n] {
                for share in [0.25, 0.5, 0.75] {
                    let mixture = world.objective(&mixed(a, b, share));
                    prop_assert!(reaches(reached, mixture), "{reached}, but {mixture}: {share} {b:?}, else {a:?}");
                }
            }
        }
        let at_most = best(&world, size, SizeRule::AtMost);
        assert_is_plan(&world, &at_most, size, SizeRule::AtMost);
        let more = world.objective(&at_most.lottery);
        prop_assert!(reaches(more, reached), "{more} with fewer items too, {reached} without");
        let independent = best(&world, size, SizeRule::Independent);
        assert_is_plan(&world, &independent, size, SizeRule::Independent);
        let own = world.objective(&independent.lottery);
        for set in sets(&world, 0..=size) {
            let certain = world.objective(&Lottery::certain(set.clone()));
            prop_assert!(reaches(own, certain) && reaches(more, certain), "{own}, {more}: {certain} with {set:?}");
        }
        // What a certificate says: towards no set does the objective rise to first order.
        for (rule, plan, sizes) in [(SizeRule::Exactly, &exactly, size..=size), (SizeRule::AtMost, &at_most, 0..=size)] {
            if plan.certificate.unwrap().gap > 1e-6 {
                continue;
            }
            let here = world.objective(&plan.lottery);
            for set in sets(&world, sizes) {
                let rise = |share| world.objective(&toward(&plan.lottery, &set, share)) - here;
                prop_assert!(!rises(rise), "{rule:?}: towards {set:?}");
            }
        }
        if independent.certificate.unwrap().gap <= 1e-6 {
            let Lottery::Independent { items, chances } = &independent.lottery else { panic!("{independent:?}") };
            for set in sets(&world, 0..=size) {
                let moved = |share: f64| {
                    let chance = |item: u32| {
                        let own = items.binary_search(&item).map_or(0.0, |at| chances[at]);
                        own + share * (f64::from(u8::from(set.contains(&item))) - own)
                    };
                    let items = world.harmless();
                    Lottery::Independent { chances: items.iter().map(|&item| chance(item)).collect(), items }
                };
                prop_assert!(!rises(|share| world.objective(&moved(share)) - own), "towards {set:?}");
            }
        }
        // The same again, and the same seed.
        prop_assert_eq!(best(&world, size, SizeRule::Exactly), exactly);
        prop_assert_eq!(best(&world, size, SizeRule::Independent), independent);
    }

    /// Without a price of harm, clicks are all that counts.
    #[test]
    fn without_a_price_clicks_count(seed in 0u64..1 << 32) {
        let world = World { price: 0.0, ..World::drawn(seed, [3, 9, 3], 0.8, 4.0) };
        let click = |lottery: &Lottery| world.catalogue().outlook(&world.start, lottery).unwrap().value.click;
        let reached = click(&best(&world, 2, SizeRule::Exactly).lottery);
        for set in sets(&world, 2..=2) {
            let other = click(&Lottery::certain(set.clone()));
            prop_assert!(reaches(reached, other), "{reached}, but {other} with {set:?}");
        }
    }

    /// Wherever it ends, it is a lottery.
    #[test]
    fn the_published_search_ends_with_a_lottery(
        seed in 0u64..1 << 32,
        evaluations in 1usize..30,
        dropped in 0.0..0.9f64,
    ) {
        let world = World { price: 1e4, ..World::drawn(seed, [2, 7, 2], 2.0, 0.1) };
        let protocol = Protocol { evaluations, dropped, ..PROTOCOL };
        for rule in [SizeRule::Exactly, SizeRule::AtMost, SizeRule::Independent] {
            let cardinality = Cardinality { size: 2, rule };
            let plan = world.search(Effort::default(), |search| search.slsqp(cardinality, &protocol, &mut rng(seed)));
            assert_is_plan(&world, &plan.unwrap(), 2, rule);
        }
    }
}

/// The published search ends at some local maximum: where profiles hardly move, nearly always at the best one.
#[test]
fn the_published_search_reaches_the_same_where_it_is_easy() {
    let mut elsewhere = Vec::new();
    for seed in 0..10 {
        let mut world = World::drawn(seed, [3, 9, 3], 0.5, 4.0);
        world.dynamics.beta = 0.7;
        (world.dynamics.alpha_harmful, world.dynamics.alpha_harmless) = (0.05, 0.05);
        for rule in [SizeRule::Exactly, SizeRule::AtMost, SizeRule::Independent] {
            let cardinality = Cardinality { size: 2, rule };
            let plan = world.search(Effort::default(), |search| search.slsqp(cardinality, &PROTOCOL, &mut rng(1)));
            let plan = plan.unwrap();
            assert_is_plan(&world, &plan, 2, rule);
            let (got, expected) = (world.objective(&plan.lottery), world.objective(&best(&world, 2, rule).lottery));
            assert!(reaches(expected, got), "{rule:?}: {got}, {expected} by climbing");
            if got < expected - 1e-5 {
                elsewhere.push((seed, rule, got, expected));
            }
        }
    }
    assert!(elsewhere.len() <= 1, "{elsewhere:?}");
}

/// All of few items, none of none: there is nothing to choose.
#[test]
fn no_choice_is_a_choice_too() {
    let world = World::drawn(2, [3, 5, 3], 0.8, 4.0);
    assert_eq!(best(&world, 2, SizeRule::Exactly).lottery, Lottery::certain(vec![0, 1]));
    let none = World { harmful: vec![true; 5], ..world };
    for rule in [SizeRule::Exactly, SizeRule::AtMost] {
        assert_eq!(best(&none, 0, rule).lottery, Lottery::certain(vec![]));
    }
    assert_eq!(best(&none, 0, SizeRule::Independent).lottery, Lottery::Independent { items: vec![], chances: vec![] });
}

/// Under the best set, the plain iteration goes back and forth for ever: it is found all the same.
#[test]
fn sets_that_are_hard_to_follow_are_not_passed_over() {
    let dynamics = Dynamics { alpha_harmful: 1.0, alpha_harmless: 1.0, beta: 0.0, c: f64::exp(2.5 * 3.75) };
    let world = World::line(&[2.5, 5.0, -0.1], &[false, true, false], dynamics, 5.0);
    let (cycles, poor) = (Lottery::certain(vec![0]), Lottery::certain(vec![2]));
    let outlook = world.catalogue().outlook(&world.start, &cycles).unwrap();
    assert!(outlook.stationary.by == FoundBy::Damping && outlook.stationary.converged, "{outlook:?}");
    assert!(world.objective(&cycles) > world.objective(&poor) + 0.5);
    for rule in [SizeRule::Exactly, SizeRule::AtMost, SizeRule::Independent] {
        let plan = best(&world, 1, rule);
        let (got, expected) = (world.objective(&plan.lottery), world.objective(&cycles));
        assert!(reaches(got, expected), "{plan:?}: {got}, but {expected} with one set");
    }
}

/// What a search says does not depend on those before; it needs as many items as a set is to have.
#[test]
fn every_search_begins_anew() {
    let world = World::drawn(7, [3, 8, 3], 0.8, 4.0);
    let [first, second] = world.search(Effort::default(), |search| {
        [(); 2].map(|()| search.best(Cardinality::exactly(1), &mut rng(1)).unwrap())
    });
    assert_eq!(first, second);
    let refused =
        world.search(Effort::default(), |search| search.best(Cardinality::exactly(6), &mut rng(1)).map(|_| ()));
    assert_eq!(refused.unwrap_err().to_string(), "items of a set: expected at most 5, got 6");
}

/// Items that may be shown and draws there are none of: the empty set.
#[test]
fn nothing_to_draw_is_nothing_shown() {
    let world =
        World { dynamics: Dynamics { beta: 0.0, ..Dynamics::default() }, ..World::drawn(3, [2, 3, 3], 0.8, 4.0) };
    let effort = Effort { draws: Some(5), ..Effort::default() };
    let cardinality = Cardinality { size: 0, rule: SizeRule::Independent };
    let plan = world.search(effort, |search| search.best(cardinality, &mut rng(1)).unwrap());
    let certificate = plan.certificate.unwrap();
    assert!(certificate.gap == 0.0 && certificate.converged, "{certificate:?}");
}

/// Next to a jump a step of Newton's method is as long as it likes: out there, no score would be a number.
#[test]
fn newton_stays_among_the_items() {
    let world = World::drawn(3_603_586_241, [3, 10, 3], 1.0, 4.0);
    let plan = best(&world, 2, SizeRule::Independent);
    assert_is_plan(&world, &plan, 2, SizeRule::Independent);
    assert!(sets(&world, 0..=2).into_iter().all(|set| {
        let certain = Lottery::certain(set);
        reaches(world.objective(&plan.lottery), world.objective(&certain))
    }));
}
