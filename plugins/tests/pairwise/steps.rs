//! Single steps: gradients against differences, Adagrad against a dense one, lengths of perturbations.

use crate::world::{random, rng};
use evenhand_core::Error;
use evenhand_plugins::pairwise::{Against, Attack, CleanDelta, Direction, Scope, Stepper, Triples, loss};
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand::RngExt;

type Sides = [DMatrix<f64>; 2];

const RATE: f64 = 0.05;

/// Factors and pairs of few users and items, so that both occur again and again.
#[derive(Clone, Debug)]
struct Case {
    at: Sides,
    batch: Triples,
    all: Triples,
    l2: f64,
}

impl Case {
    fn stepper(&self) -> Stepper {
        Stepper::new(&self.at[0], &self.at[1], RATE, self.l2, true).unwrap()
    }
}

fn triples(pairs: usize, users: u32, items: u32, seed: u64) -> Triples {
    let mut rng = rng(seed);
    let mut triples = Triples::default();
    for _ in 0..pairs {
        let positive = rng.random_range(0..items);
        triples.users.push(rng.random_range(0..users));
        triples.positives.push(positive);
        triples.negatives.push((positive + rng.random_range(1..items)) % items);
    }
    triples
}

prop_compose! {
    fn case()(
        (users, items, rank) in (1..6usize, 2..8usize, 1..20usize),
        (batch, all) in (1..30usize, 1..60usize),
        l2 in prop_oneof![Just(0.0), 0.01..0.5f64],
        seed: u64,
    ) -> Case {
        let mut rng = rng(seed);
        let at = [random(rank, users, &mut rng), random(rank, items, &mut rng)];
        let [batch, all] = [(batch, 1), (all, 2)].map(|(n, k)| triples(n, users as u32, items as u32, seed ^ k));
        Case { at, batch, all, l2 }
    }
}

fn against(eps: f64, scope: Scope, clean_delta: CleanDelta, attack_l2: bool) -> Against {
    let attack = Attack { direction: Direction::Gradient, eps, relative: false };
    Against { attack, weight: 0.7, scope, clean_delta, attack_l2 }
}

fn anyone() -> impl Strategy<Value = Option<Against>> {
    let scopes =
        vec![(Scope::Batch, CleanDelta::Zero), (Scope::Full, CleanDelta::Zero), (Scope::Full, CleanDelta::Stale)];
    let adversary = (0.1..0.6f64, prop::sample::select(scopes), any::<bool>());
    prop::option::of(adversary.prop_map(|(eps, (scope, clean), attack_l2)| against(eps, scope, clean, attack_l2)))
}

fn moved(at: &Sides, by: f64, delta: &Sides) -> Sides {
    [0, 1].map(|side| &at[side] + by * &delta[side])
}

fn margin_loss(at: &Sides, pairs: &Triples) -> f64 {
    let items = pairs.positives.iter().zip(&pairs.negatives);
    let losses = pairs.users.iter().zip(items).map(|(&u, (&i, &j))| {
        let user = at[0].column(u as usize);
        loss::value(user.dot(&(at[1].column(i as usize) - at[1].column(j as usize))), true)
    });
    losses.sum()
}

fn squares(at: &Sides, pairs: &Triples) -> f64 {
    let of = |side: usize, rows: &[u32]| -> f64 {
        rows.iter().map(|&row| at[side].column(row as usize).norm_squared()).sum()
    };
    0.5 * (of(0, &pairs.users) + of(1, &pairs.positives) + of(1, &pairs.negatives))
}

/// The perturbation that a step on the batch is made against, and where it takes the plain loss.
fn deltas(case: &Case, stepper: &mut Stepper, against: Option<&Against>) -> [Sides; 2] {
    let zero = || [0, 1].map(|side| 0.0 * &case.at[side]);
    match against {
        None => [zero(), zero()],
        Some(a) if a.scope == Scope::Batch => [case.stepper().attack(&case.batch, a).unwrap(), zero()],
        Some(a) => {
            let before = stepper.attack(&case.batch, a).unwrap();
            let clean = if a.clean_delta == CleanDelta::Stale { before } else { zero() };
            let mut other = case.stepper();
            other.gradient(&case.batch, against, &case.all).unwrap();
            [other.delta(), clean]
        }
    }
}

fn objective(case: &Case, at: &Sides, [adversarial, clean]: &[Sides; 2], against: Option<&Against>) -> f64 {
    let mut sum = margin_loss(&moved(at, 1.0, clean), &case.batch) + case.l2 * squares(at, &case.batch);
    if let Some(against) = against {
        sum += against.weight * margin_loss(&moved(at, 1.0, adversarial), &case.batch);
    }
    sum
}

proptest! {
    /// Along random directions through all factors; the perturbations stay where they are.
    #[test]
    fn the_gradient_is_that_of_the_objective(case in case(), against in anyone(), seed: u64) {
        let mut stepper = case.stepper();
        let deltas = deltas(&case, &mut stepper, against.as_ref());
        let gradient = stepper.gradient(&case.batch, against.as_ref(), &case.all).unwrap();
        let mut rng = rng(seed);
        for _ in 0..3 {
            let direction = [0, 1].map(|side| random(case.at[side].nrows(), case.at[side].ncols(), &mut rng));
            let to = |by: f64| objective(&case, &moved(&case.at, by, &direction), &deltas, against.as_ref());
            let difference = (to(1e-5) - to(-1e-5)) / 2e-5;
            let own = gradient[0].dot(&direction[0]) + gradient[1].dot(&direction[1]);
            prop_assert!((difference - own).abs() < 1e-7 * (1.0 + own.abs()), "{difference}, the gradient says {own}");
        }
        // The step follows the same gradient, and nobody else is moved.
        for (side, gradient) in gradient.iter().enumerate() {
            for (row, column) in gradient.column_iter().enumerate() {
                let row = row as u32;
                let touched = match side {
                    0 => case.batch.users.contains(&row),
                    _ => case.batch.positives.contains(&row) || case.batch.negatives.contains(&row),
                };
                prop_assert!(touched || column.iter().all(|&x| x == 0.0));
            }
        }
    }

    /// Only rows of the batch are touched, yet the bits are those of a pass over all of them.
    #[test]
    fn sparse_steps_are_dense_ones(case in case(), against in anyone()) {
        // A stale perturbation is another one for a stepper that has not seen the steps before.
        let against = against.filter(|a| a.clean_delta == CleanDelta::Zero);
        let mut stepper = case.stepper();
        let (mut at, mut sums) = (stepper.factors(), stepper.sums());
        prop_assert!(at == case.at && sums.iter().flat_map(|s| s.iter()).all(|&sum| sum == 0.1));
        for pairs in [&case.batch, &case.all, &case.batch] {
            let mut fresh = Case { at: at.clone(), ..case.clone() }.stepper();
            let gradient = fresh.gradient(pairs, against.as_ref(), &case.all).unwrap();
            for side in 0..2 {
                for n in 0..gradient[side].len() {
                    let g = gradient[side][n];
                    let sum = &mut sums[side][n];
                    *sum = g.mul_add(g, *sum);
                    at[side][n] -= RATE * g / (*sum + 1e-7).sqrt();
                }
            }
            stepper.step(pairs, against.as_ref(), &case.all).unwrap();
            prop_assert_eq!(bits(&stepper.factors()), bits(&at));
            prop_assert_eq!(bits(&stepper.sums()), bits(&sums));
        }
    }

    #[test]
    fn perturbations_have_the_length_asked_for_and_raise_the_loss(case in case(), eps in 1e-4..0.9f64, l2: bool) {
        let case = if l2 { case } else { Case { l2: 0.0, ..case } };
        let attack = |eps| case.stepper().attack(&case.all, &against(eps, Scope::Full, CleanDelta::Zero, l2)).unwrap();
        let delta = attack(eps);
        let gradient = case.stepper().gradient(&case.all, None, &Triples::default()).unwrap();
        let mut rows = 0;
        for (delta, gradient) in delta.iter().zip(&gradient) {
            for (delta, gradient) in delta.column_iter().zip(gradient.column_iter()) {
                let expected = (gradient.norm() / 1e-6).min(1.0) * eps;
                prop_assert!((delta.norm() - expected).abs() <= 1e-12, "{} of {expected}", delta.norm());
                prop_assert!(delta.dot(&gradient) >= 0.0);
                rows += usize::from(delta.norm() > 0.0);
            }
        }
        prop_assert!(rows >= 2, "nothing moves");
        let loss = |at: &Sides| margin_loss(at, &case.all) + case.l2 * squares(at, &case.all);
        prop_assert!(loss(&moved(&case.at, 1.0, &attack(1e-5))) >= loss(&case.at));
    }
}

fn bits(sides: &Sides) -> Vec<u64> {
    sides.iter().flat_map(|side| side.iter()).map(|x| x.to_bits()).collect()
}

fn one() -> Case {
    let mut rng = rng(5);
    let at = [random(4, 3, &mut rng), random(4, 5, &mut rng)];
    Case { at, batch: triples(6, 3, 5, 6), all: triples(20, 3, 5, 7), l2: 0.1 }
}

/// The step would be another one if a gradient passed through the perturbation.
#[test]
fn the_perturbation_is_a_constant() {
    let case = one();
    let adversary = against(0.5, Scope::Batch, CleanDelta::Zero, false);
    let gradient = case.stepper().gradient(&case.batch, Some(&adversary), &case.all).unwrap();
    let following = |by: f64| {
        let mut there = case.clone();
        there.at[0][(0, case.batch.users[0] as usize)] += by;
        let deltas = deltas(&there, &mut there.stepper(), Some(&adversary));
        objective(&there, &there.at, &deltas, Some(&adversary))
    };
    let total = (following(1e-6) - following(-1e-6)) / 2e-6;
    assert!((total - gradient[0][(0, case.batch.users[0] as usize)]).abs() > 1e-2, "{total}");
}

/// A step of length 0 in whatever direction makes the adversary's loss the plain one.
#[test]
fn an_adversary_who_does_not_move() {
    let case = Case { l2: 0.0, ..one() };
    let plain = case.stepper().gradient(&case.batch, None, &case.all).unwrap();
    for direction in [Direction::Gradient, Direction::Random] {
        for scope in [Scope::Batch, Scope::Full] {
            let still = against(0.0, scope, CleanDelta::Zero, false);
            let at = |eps| {
                let adversary = Against { attack: Attack { direction, eps, relative: false }, ..still };
                case.stepper().gradient(&case.batch, Some(&adversary), &case.all).unwrap()
            };
            let off = |got: Sides| (0..2).map(|side| (&got[side] - 1.7 * &plain[side]).amax()).fold(0.0, f64::max);
            assert!(off(at(0.0)) < 1e-14, "{direction:?} {scope:?}");
            assert!(off(at(0.5)) > 1e-2, "{direction:?} {scope:?}");
        }
    }
}

#[test]
fn repeated_pairs_are_summed_before_the_step() {
    let case = Case { l2: 0.0, ..one() };
    let (single, none) = (triples(1, 3, 5, 8), Triples::default());
    let twice = Triples {
        users: [single.users.clone(), single.users.clone()].concat(),
        positives: [single.positives.clone(), single.positives.clone()].concat(),
        negatives: [single.negatives.clone(), single.negatives.clone()].concat(),
    };
    let gradient = |pairs| case.stepper().gradient(pairs, None, &none).unwrap();
    assert_eq!(gradient(&twice), gradient(&single).map(|side| 2.0 * side));
    let (mut at_once, mut one_by_one) = (case.stepper(), case.stepper());
    at_once.step(&twice, None, &none).unwrap();
    (0..2).for_each(|_| one_by_one.step(&single, None, &none).unwrap());
    assert!((&at_once.factors()[0] - &one_by_one.factors()[0]).amax() > 1e-3);
}

/// A batch that several threads work on has the gradient of its parts.
#[test]
fn long_batches() {
    let mut rng = rng(3);
    let at = [random(9, 40, &mut rng), random(9, 60, &mut rng)];
    let batch = triples(5000, 40, 60, 4);
    let case = Case { at, batch, all: Triples::default(), l2: 0.1 };
    let gradient = |pairs: &Triples| case.stepper().gradient(pairs, None, &case.all).unwrap();
    let mut sum = [0, 1].map(|side| 0.0 * &case.at[side]);
    for n in (0..5000).step_by(500) {
        let [users, positives, negatives] =
            [&case.batch.users, &case.batch.positives, &case.batch.negatives].map(|list| list[n..n + 500].to_vec());
        sum = moved(&sum, 1.0, &gradient(&Triples { users, positives, negatives }));
    }
    let whole = gradient(&case.batch);
    assert!((0..2).all(|side| (&whole[side] - &sum[side]).amax() < 1e-11));
}

#[test]
fn where_all_but_nothing_can_be_gained_rows_move_less() {
    let at = [DMatrix::from_element(2, 2, 1e-8), DMatrix::from_row_slice(2, 3, &[2e-8, 1e-8, 0.0, 0.0, 0.0, 0.0])];
    let mut stepper = Stepper::new(&at[0], &at[1], RATE, 0.0, true).unwrap();
    let pair = Triples { users: vec![0], positives: vec![0], negatives: vec![1] };
    let [users, items] = stepper.attack(&pair, &against(0.5, Scope::Full, CleanDelta::Zero, false)).unwrap();
    // The slope is -1/2; lengths below 1e-6 are not stretched to 1.
    assert!((users[(0, 0)] + 0.5 * 1e-6 * 0.5 * 1e-8 / 1e-12).abs() < 1e-12, "{users}");
    assert_eq!((users[(1, 0)], users.column(1).norm(), items.column(2).norm()), (0.0, 0.0, 0.0));
    let lengths = [items.column(0).norm(), items.column(1).norm()];
    assert!(lengths.iter().all(|l| (l - 0.5 * 0.5e-8 * 2f64.sqrt() / 1e-6).abs() < 1e-12), "{lengths:?}");
}

/// The squares are in the attack where that is asked for, as heavy beside the loss of all pairs as beside that of a batch.
#[test]
fn squares_in_the_attack() {
    let case = one();
    let delta = |attack_l2, l2, batch: &Triples| {
        let mut stepper = Case { l2, ..case.clone() }.stepper();
        let adversary = against(0.5, Scope::Full, CleanDelta::Zero, attack_l2);
        stepper.gradient(batch, Some(&adversary), &case.all).unwrap();
        stepper.delta()
    };
    let half = Triples {
        users: case.batch.users[..3].to_vec(),
        positives: case.batch.positives[..3].to_vec(),
        negatives: case.batch.negatives[..3].to_vec(),
    };
    let difference = |a: Sides, b: Sides| (&a[0] - &b[0]).amax().max((&a[1] - &b[1]).amax());
    assert_eq!(difference(delta(false, 0.1, &case.batch), delta(false, 0.0, &case.batch)), 0.0);
    assert!(difference(delta(true, 0.1, &case.batch), delta(false, 0.1, &case.batch)) > 1e-3);
    assert!(difference(delta(true, 0.2, &half), delta(true, 0.1, &case.batch)) < 1e-12);
}

#[test]
fn pairs_that_do_not_fit_are_refused() {
    let case = one();
    let none = Triples::default();
    for (users, positives, negatives) in [
        (vec![3], vec![0], vec![1]),
        (vec![0], vec![5], vec![1]),
        (vec![0], vec![0], vec![5]),
        (vec![0], vec![0], vec![]),
    ] {
        let pairs = Triples { users, positives, negatives };
        let mut stepper = case.stepper();
        assert!(matches!(stepper.step(&pairs, None, &none), Err(Error::Shape { .. })), "{pairs:?}");
        assert!(matches!(stepper.gradient(&none, None, &pairs), Err(Error::Shape { .. })), "{pairs:?}");
        assert_eq!(stepper.factors(), case.at);
    }
    let [users, items] = [DMatrix::zeros(2, 3), DMatrix::zeros(3, 3)];
    assert!(matches!(Stepper::new(&users, &items, RATE, 0.0, true), Err(Error::Shape { .. })));
    let mut stepper = case.stepper();
    stepper.step(&none, None, &none).unwrap();
    assert_eq!((stepper.factors(), stepper.delta()), (case.at, Default::default()));
}

/// Only an attack on all pairs along their gradient leaves a perturbation behind that could be stale.
#[test]
fn nothing_is_stale_that_was_not_kept() {
    let case = one();
    for (direction, scope) in
        [(Direction::Gradient, Scope::Batch), (Direction::Random, Scope::Batch), (Direction::Random, Scope::Full)]
    {
        let attack = Attack { direction, eps: 0.5, relative: false };
        let stale = Against { attack, ..against(0.5, scope, CleanDelta::Stale, false) };
        let refused = case.stepper().step(&case.batch, Some(&stale), &case.all);
        assert!(matches!(&refused, Err(Error::OutOfRange { field, .. }) if field == "clean_delta"), "{refused:?}");
        assert!(case.stepper().gradient(&case.batch, Some(&stale), &case.all).is_err());
    }
}

/// Before any attack there is nothing stale; and what a single step can not do is refused.
#[test]
fn the_first_place_is_not_stale() {
    let case = one();
    let of = |clean_delta| against(0.5, Scope::Full, clean_delta, false);
    let gradient = |a: Against| case.stepper().gradient(&case.batch, Some(&a), &case.all);
    assert_eq!(gradient(of(CleanDelta::Stale)).unwrap(), gradient(of(CleanDelta::Zero)).unwrap());
    for attack in [
        Attack { direction: Direction::Gradient, eps: -0.5, relative: false },
        Attack { direction: Direction::Gradient, eps: f64::NAN, relative: false },
        Attack { direction: Direction::Gradient, eps: 0.5, relative: true },
    ] {
        let refused = gradient(Against { attack, ..of(CleanDelta::Zero) }).err();
        assert!(matches!(&refused, Some(Error::OutOfRange { field, .. }) if field == "eps"), "{refused:?}");
    }
    let chance = Attack { direction: Direction::Random, eps: 0.5, relative: false };
    let refused = case.stepper().attack(&case.all, &Against { attack: chance, ..of(CleanDelta::Zero) }).err();
    assert!(matches!(&refused, Some(Error::OutOfRange { field, .. }) if field == "direction"), "{refused:?}");
}
