//! Joined repeats against the rows that they stand for, and data with little to learn from.

use super::*;
use evenhand_core::{Feedback, History, Observation};

/// 40 users x 12 items; pairs repeat up to nine times. Implicit feedback: equal signs within a pair, some values 0.
fn history(join: bool, feedback: FeedbackKind) -> History {
    let mut rng = Streams::new(6).rng(0);
    let mut history = History::new(join);
    for period in 0..9 {
        let users = 30 + period;
        let mut rows = Vec::new();
        for user in 0..users as u32 {
            let item = (user * 7 + rng.random_range(0..3)) % 11;
            let draw: f32 = rng.random();
            let value = match feedback {
                FeedbackKind::Explicit => 4.0 * draw - 1.5,
                FeedbackKind::Implicit => (draw + 0.1) * ((user + item) % 4) as f32 - if item == 3 { 9.0 } else { 0.0 },
            };
            rows.push(Observation { user, item, value });
        }
        history.add(&Feedback { users: users + 1, items: 12, rows }).unwrap();
    }
    history
}

/// Of both ways of keeping the same history.
fn fitted(als: &Als) -> [DMatrix<f32>; 2] {
    [false, true].map(|join| {
        let (ratings, repeats) = history(join, als.feedback).ratings().unwrap();
        assert_eq!(repeats.is_some(), join);
        let mut train = Training::new(&ratings);
        train.repeats = repeats.as_ref();
        let model = als.fit(&train, &Run::new(1)).unwrap();
        let factors = model.factors().unwrap();
        factors.users.transpose() * &factors.items
    })
}

#[test]
fn joined_pairs_fit_like_the_rows_that_they_stand_for() {
    for feedback in [FeedbackKind::Explicit, FeedbackKind::Implicit] {
        for weighting in [Weighting::Count, Weighting::Plain] {
            for (solver, accumulate) in
                [(Solver::Cholesky, Precision::F32), (Solver::Cholesky, Precision::F64), (Solver::Cg, Precision::F64)]
            {
                for biases in [true, false] {
                    let als = Als {
                        factors: 4,
                        iterations: 2,
                        feedback,
                        weighting,
                        solver,
                        accumulate,
                        biases,
                        ..Als::default()
                    };
                    let [rows, joined] = fitted(&als);
                    let worst = (&rows - &joined).amax();
                    assert!(worst < 1e-5 * rows.amax().max(1.0), "{als:?}: {worst}");
                }
            }
        }
    }
    assert!(Als::default().joins_repeats());
    assert!(!Als { feedback: FeedbackKind::Implicit, ..Als::default() }.joins_repeats());
}

/// In double precision, before factors are rounded. The values are such that their means are exact in `f32`.
#[test]
fn joined_equations_are_those_of_the_rows() {
    let mut rng = Streams::new(8).rng(0);
    let (mut rows, mut pairs, mut counts) = (Rows::default(), Rows::default(), vec![]);
    for user in 0..50 {
        for item in 0..rng.random_range(0..20) {
            let (count, mean) = (rng.random_range(1..5), 0.25 * rng.random_range(-1..9) as f32);
            (0..count).for_each(|_| rows.push(user, item, mean));
            pairs.push(user, item, mean);
            counts.push(count as f32);
        }
    }
    let (rows, pairs) = [rows, pairs].map(|r| Interactions::new(51, 20, &r).unwrap()).into();
    let repeats = Repeats::new(&pairs, counts).unwrap();
    let partners = |n| DMatrix::from_fn(24, n, |k, e| ((k * 31 + e * 17) as f64).sin());
    for feedback in [FeedbackKind::Explicit, FeedbackKind::Implicit] {
        for weighting in [Weighting::Count, Weighting::Plain] {
            for solver in [Solver::Cholesky, Solver::Cg] {
                let als = Als { feedback, weighting, solver, ..Als::default() };
                for (separate, joined) in [
                    (rows.by_user(), Observed { rows: pairs.by_user(), repeats: Some(repeats.by_user()) }),
                    (rows.by_item(), Observed { rows: pairs.by_item(), repeats: Some(repeats.by_item()) }),
                ] {
                    let y = partners(71 - separate.len());
                    let expected = half_step(&als, separate, &y, &Run::new(1)).unwrap();
                    let mut x = DMatrix::zeros(24, separate.len());
                    half_step::run(&als, "row", joined, &y, &mut x, &Run::new(1)).unwrap();
                    let worst = (&x - &expected).amax();
                    assert!(worst < 1e-10, "{als:?}: {worst}");
                    assert!(expected.amax() > 0.01);
                }
            }
        }
    }
}

#[test]
fn repeated_pairs_weigh_in_the_biases_and_must_fit_the_ratings() {
    let mut rows = Rows::default();
    [(0, 0, 5.0), (0, 1, 3.0), (1, 0, 4.0)].iter().for_each(|&(u, i, v)| rows.push(u, i, v));
    let data = Interactions::new(3, 2, &rows).unwrap();
    let repeats = Repeats::new(&data, vec![1.0, 3.0, 2.0]).unwrap();
    let biases = Biases::of(&data, Some(&repeats), 1.0);
    // (5 + 9 + 8) / 6; item 0: (5 + 8 - 3 mean) / 4, item 1: (9 - 3 mean) / 4.
    let mean = 22.0 / 6.0;
    let items = [(13.0 - 3.0 * mean) / 4.0, (9.0 - 3.0 * mean) / 4.0];
    let users = [(14.0 - 4.0 * mean - items[0] - 3.0 * items[1]) / 5.0, (8.0 - 2.0 * mean - 2.0 * items[0]) / 3.0, 0.0];
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(&[biases.mean], &[mean]) && close(&biases.items, &items) && close(&biases.users, &users));

    let other = Interactions::new(3, 2, &Rows::default()).unwrap();
    let mut train = Training::new(&other);
    train.repeats = Some(&repeats);
    let error = Als::default().fit(&train, &Run::new(1)).err().unwrap().to_string();
    assert_eq!(error, "counts of repeated rows: expected 0, got 3");
}

#[test]
fn more_factors_than_observations_and_entities_without_any() {
    let mut few = Rows::default();
    few.push(1, 2, 4.0);
    few.push(1, 0, 2.0);
    for rows in [Rows::default(), few] {
        let data = Interactions::new(5, 4, &rows).unwrap();
        for feedback in [FeedbackKind::Explicit, FeedbackKind::Implicit] {
            for weighting in [Weighting::Count, Weighting::Plain] {
                for solver in [Solver::Cholesky, Solver::Cg] {
                    for lambda in [0.05, 1e-4] {
                        let als =
                            Als { factors: 40, feedback, weighting, solver, lambda, biases: false, ..Als::default() };
                        let model = fit(&als, &data);
                        assert!(model.users.iter().chain(model.items.iter()).all(|v| v.is_finite()), "{als:?}");
                        let zero = |side: &DMatrix<f32>, e: usize| side.column(e).amax() == 0.0;
                        assert!(zero(&model.users, 0) && zero(&model.items, 3), "{als:?}");
                        assert_eq!(zero(&model.users, 1) && zero(&model.items, 2), data.is_empty(), "{als:?}");
                    }
                }
            }
        }
    }
}

/// Later users who keep to items of their own change nothing: everybody starts from the same vector as before.
#[test]
fn a_refit_starts_every_user_from_the_same_vector_when_users_are_added() {
    let mut rows = Rows::default();
    ratings().iter().for_each(|(u, i, v)| rows.push(u, i, v));
    for (user, item) in [(30, 20), (33, 21), (34, 20)] {
        rows.push(user, item, 5.0);
    }
    let grown = Interactions::new(36, 22, &rows).unwrap();
    for solver in [Solver::Cholesky, Solver::Cg] {
        let als = Als { factors: 5, iterations: 1, biases: false, solver, ..Als::default() };
        let (before, after) = (fit(&als, &ratings()), fit(&als, &grown));
        assert_eq!(before.users, after.users.columns(0, 30));
        assert_eq!(before.items, after.items.columns(0, 20));
    }
}
