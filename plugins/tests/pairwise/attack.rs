//! Perturbations of fitted factors.

use crate::world::{bits, factors, fit, likes, mean_loss, random, recommender, rng, table};
use evenhand_core::{Error, Factors, Interactions, Output, Run, Training};
use evenhand_plugins::pairwise::{Attack, Direction};
use nalgebra::DMatrix;
use serde_json::json;

const GRADIENT: Attack = Attack { direction: Direction::Gradient, eps: 0.1, relative: false };

fn random_factors(users: usize, items: usize, latent: usize, biases: usize) -> Factors {
    let mut rng = rng(1);
    let mut side = |entities| random(latent + biases, entities, &mut rng).map(|x| x as f32);
    Factors { users: side(users), items: side(items), latent, output: Output::Order }
}

/// Lengths of the rows of the change, and of the rows themselves, by latent factors; the others must not change.
fn lengths(before: &Factors, after: &Factors) -> Vec<[f64; 2]> {
    let mut lengths = Vec::new();
    for (before, after) in [(&before.users, &after.users), (&before.items, &after.items)] {
        for (x, y) in before.column_iter().zip(after.column_iter()) {
            let length = |of: &dyn Fn(usize) -> f64| (0..12).map(|f| of(f).powi(2)).sum::<f64>().sqrt();
            lengths.push([length(&|f| f64::from(y[f]) - f64::from(x[f])), length(&|f| f64::from(x[f]))]);
            assert_eq!(x.rows_range(12..), y.rows_range(12..), "what is not latent stays");
        }
    }
    lengths
}

#[test]
fn every_row_moves_as_far_as_it_should() {
    let at = random_factors(30, 20, 12, 2);
    let train = likes(30, 20, 1);
    for direction in [Direction::Gradient, Direction::Random] {
        for relative in [false, true] {
            let attack = Attack { direction, eps: 0.25, relative };
            let moved = attack.perturb(&at, &train, &Run::new(4)).unwrap();
            assert_eq!((moved.latent, moved.output), (at.latent, at.output));
            for [step, length] in lengths(&at, &moved) {
                let expected = if relative { 0.25 * length } else { 0.25 };
                assert!((step - expected).abs() < 1e-5, "{attack:?}: {step}, expected {expected}");
            }
            let nothing = Attack { eps: 0.0, ..attack }.perturb(&at, &train, &Run::new(4)).unwrap();
            assert_eq!(bits(&nothing), bits(&at), "{attack:?} of length 0");
        }
    }
}

/// Nobody's loss depends on a row that no pair touches; chance moves it all the same.
#[test]
fn rows_without_a_like() {
    let at = random_factors(3, 4, 12, 0);
    // The second user likes nothing, the third all there is; dislikes are no likes.
    let train = table(3, 4, |user, item| match (user, item) {
        (0, 0) | (2, _) => Some(1.0),
        (1, 2) => Some(-1.0),
        _ => None,
    });
    let moved = |direction| Attack { direction, ..GRADIENT }.perturb(&at, &train, &Run::new(0)).unwrap();
    let moves = |after: &Factors| lengths(&at, after).iter().map(|[step, _]| *step > 0.0).collect::<Vec<_>>();
    let by_gradient = moves(&moved(Direction::Gradient));
    // The user's one pair touches its like and one other item.
    assert_eq!(
        (&by_gradient[..4], by_gradient[4..].iter().filter(|m| **m).count()),
        (&[true, false, false, true][..], 1)
    );
    assert_eq!(moves(&moved(Direction::Random)), [true; 7]);
}

/// More pairs than one thread works on at a time.
#[test]
fn the_same_bits_on_any_number_of_threads_and_others_for_another_seed() {
    let (at, train) = (random_factors(150, 90, 12, 1), likes(150, 90, 2));
    assert!(train.len() > 4000);
    for direction in [Direction::Gradient, Direction::Random] {
        let attack = Attack { direction, ..GRADIENT };
        let on =
            |threads, seed| bits(&attack.perturb(&at, &train, &Run::new(seed).with_threads(threads).unwrap()).unwrap());
        let one = on(1, 3);
        assert!(one == on(2, 3) && one == on(7, 3), "{direction:?}");
        assert!(one != on(1, 4), "{direction:?}: the seed makes no difference");
    }
}

#[test]
fn what_can_not_be_attacked_is_refused() {
    let (at, train) = (random_factors(6, 5, 12, 0), likes(6, 5, 1));
    for eps in [-0.1, f64::NAN, f64::INFINITY] {
        let refused = Attack { eps, ..GRADIENT }.perturb(&at, &train, &Run::new(0));
        assert!(matches!(&refused, Err(Error::OutOfRange { field, .. }) if field == "eps"), "{refused:?}");
    }
    for (users, items) in [(5, 5), (7, 5), (6, 4), (6, 6)] {
        let refused = GRADIENT.perturb(&at, &likes(users, items, 1), &Run::new(0));
        assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
    }
    for direction in [Direction::Gradient, Direction::Random] {
        let mut odd = at.clone();
        odd.items[(3, 2)] = f32::NAN;
        let refused = Attack { direction, ..GRADIENT }.perturb(&odd, &train, &Run::new(0));
        assert!(matches!(refused, Err(Error::Diverged { .. })), "{refused:?}");
    }
    let far = Attack { eps: 1e39, ..GRADIENT }.perturb(&at, &train, &Run::new(0));
    assert!(matches!(far, Err(Error::Diverged { .. })), "{far:?}");
}

#[test]
fn data_without_a_pair_leave_everything_in_its_place() {
    for (users, items, train) in
        [(3, 4, table(3, 4, |_, _| None)), (1, 1, table(1, 1, |_, _| Some(1.0))), (0, 0, table(0, 0, |_, _| None))]
    {
        let at = random_factors(users, items, 12, 0);
        assert_eq!(GRADIENT.perturb(&at, &train, &Run::new(0)).unwrap(), at);
    }
}

/// A bias that is learned apart is part of the margins: it decides which pairs are worth moving for.
#[test]
fn biases_take_part_in_the_margins() {
    let train = table(1, 3, |_, item| (item < 2).then_some(1.0));
    let user = |biases: [f32; 3]| {
        let at = Factors {
            users: DMatrix::from_row_slice(2, 1, &[1.0, 1.0]),
            items: DMatrix::from_row_slice(2, 3, &[[2.0, 0.5, 1.0], biases].concat()),
            latent: 1,
            output: Output::Order,
        };
        GRADIENT.perturb(&at, &train, &Run::new(0)).unwrap().users[(0, 0)]
    };
    // Item 0 is ahead of item 2 by 1, item 1 behind it by 1/2, where the loss is steeper: 0.62 / 2 > 0.27.
    assert!((user([0.0; 3]) - 1.1).abs() < 1e-6);
    // Item 1 is far ahead: only the other pair is left.
    assert!((user([0.0, 9.0, 0.0]) - 0.9).abs() < 1e-6);
}

fn attacked(name: &str, fitted: &Factors, train: &Interactions) {
    let before = mean_loss(fitted, train);
    let after = |direction| {
        let attack = Attack { direction, eps: 0.2, relative: true };
        mean_loss(&attack.perturb(fitted, train, &Run::new(6)).unwrap(), train)
    };
    let (gradient, chance) = (after(Direction::Gradient), after(Direction::Random));
    assert!(gradient > before + 3.0 * (chance - before).abs(), "{name}: {before}, {gradient}, by chance {chance}");
}

/// Whatever has factors can be attacked; the gradient does more harm than chance.
#[test]
fn models_of_every_kind_lose() {
    let train = likes(40, 24, 3);
    for (name, params) in [
        ("als", json!({ "factors": 6, "feedback": "implicit" })),
        ("mf", json!({ "rank": 6, "epochs": 40 })),
        ("bpr", json!({ "factors": 6, "epochs": 20, "learning_rate": 0.05 })),
        ("apr", json!({ "factors": 6, "epochs": 8, "adversarial_epochs": 4, "batch": 32 })),
    ] {
        // Both values, so that ratings can be told from each other.
        let rated = table(40, 24, |user, item| {
            let known = train.by_user().partners(user as usize).contains(&item);
            (known || (user + item) % 5 == 1).then_some(f32::from(u8::from(known)))
        });
        let model = recommender(name, &params).fit(&Training::new(&rated), &Run::new(2)).unwrap();
        attacked(name, &factors(model.as_ref()), &train);
    }
}

/// Who has learned against the adversary loses a smaller share. That the loss itself is lower is not said: the adversary keeps
/// factors short.
#[test]
fn defence_helps() {
    let train = likes(40, 24, 3);
    let harm = |adversary: &str| {
        let params = json!({ "factors": 6, "epochs": 10, "adversarial_epochs": 30, "batch": 32, "learning_rate": 0.1,
            "adversary": adversary });
        let fitted = fit("apr", &params, &train, &Run::new(2));
        let attack = Attack { direction: Direction::Gradient, eps: 0.5, relative: false };
        mean_loss(&attack.perturb(&fitted, &train, &Run::new(6)).unwrap(), &train) / mean_loss(&fitted, &train) - 1.0
    };
    let [defended, random, plain] = ["gradient", "random", "none"].map(harm);
    assert!(defended < 0.9 * plain && defended < 0.9 * random, "{defended}, {random}, {plain}");
}

#[test]
fn without_factors_there_is_nothing_to_move() {
    let nothing = Factors::new(DMatrix::zeros(0, 3), DMatrix::zeros(0, 4), Output::Order).unwrap();
    for direction in [Direction::Gradient, Direction::Random] {
        let attack = Attack { direction, ..GRADIENT };
        assert_eq!(attack.perturb(&nothing, &likes(3, 4, 1), &Run::new(0)).unwrap(), nothing);
    }
}
