//! Beliefs: by hand, against the order of rows, against their own draws, and through a snapshot.

use super::evidence::Evidence;
use super::evidence::tests::Once;
use super::*;
use evenhand_core::snapshot::{Provenance, load, save};
use evenhand_core::{Error, Feedback, Interactions, Posterior, Rows};
use nalgebra::DMatrix;
use pulp::Arch;
use rand::RngExt;
use std::any::Any;

fn recipe(factors: usize) -> BayesianLinear {
    BayesianLinear { factors, samples: 20, tau: 4.0, prior_variance: 1.0, prior_mean: 0.3, ..BayesianLinear::default() }
}

fn prior(recipe: &BayesianLinear, users: usize, items: usize) -> Beliefs {
    let none = Interactions::new(users, items, &Rows::default()).unwrap();
    let model: Box<dyn Any> = recipe.fit(&Training::new(&none), &Run::new(0)).unwrap();
    *model.downcast().unwrap()
}

/// Rows of random pairs with ratings of 0 to 4. With `once`, every user has one row at most.
fn rows(users: u32, items: u32, count: u32, once: bool) -> Feedback {
    let mut rng = Run::new(3).streams.child("rows").rng(0);
    let row = |n: u32| {
        let user = if once { (7 * n + 3) % users } else { rng.random_range(0..users) };
        // Some items are much more popular than others.
        let item = (f64::from(items) * rng.random::<f64>().powi(2)) as u32;
        Observation { user, item, value: rng.random_range(0..5u32) as f32 }
    };
    Feedback { users: users as usize, items: items as usize, rows: (0..count).map(row).collect() }
}

fn bits(model: &Beliefs) -> Vec<u64> {
    let beliefs = (0..model.users() as u32)
        .filter_map(|u| model.user(u))
        .chain((0..model.items() as u32).filter_map(|i| model.item(i)));
    beliefs.flat_map(|b| b.mean().iter().chain(b.precision().iter()).map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

#[test]
fn one_row_by_hand() {
    // Precision 1/10 + 0.5 * 2^2, h = 0.5 * 2 * 3.
    let mut belief = Gaussian::new(&[0.0], &DMatrix::from_element(1, 1, 0.1)).unwrap();
    belief.observe(&DMatrix::from_element(1, 1, 2.0), &[3.0], 0.5).unwrap();
    assert!((belief.precision()[(0, 0)] - 2.1).abs() < 1e-15 && (belief.mean()[0] - 3.0 / 2.1).abs() < 1e-15);
    // And another one: 2.1 + 0.5, 3 - 0.5.
    belief.observe(&DMatrix::from_element(1, 1, -1.0), &[1.0], 0.5).unwrap();
    assert!((belief.mean()[0] - 2.5 / 2.6).abs() < 1e-15 && (belief.covariance()[(0, 0)] - 1.0 / 2.6).abs() < 1e-15);
}

#[test]
fn a_certain_item_makes_a_regression() {
    // The item is 2 without doubt: the user becomes what a row x = 2, y = 3 of precision tau = 100 says.
    let mut rng = Run::new(0).streams.rng(0);
    let item = Gaussian::new(&[2.0], &DMatrix::from_element(1, 1, 1e18)).unwrap();
    for sampling in [Sampling::Iid, Sampling::Wishart, Sampling::MeanDraw] {
        for samples in [2, 1000] {
            let evidence = Evidence::of(&BayesianLinear { factors: 1, samples, sampling, ..BayesianLinear::default() });
            let mut user = Gaussian::new(&[0.0], &DMatrix::from_element(1, 1, 0.1)).unwrap();
            let rng = &mut rng;
            Arch::new().dispatch(Once { evidence: &evidence, own: &mut user, other: &item, value: 3.0, rng });
            let (precision, mean) = (user.precision()[(0, 0)], user.mean()[0]);
            assert!((precision - 400.1).abs() < 1e-5, "{sampling:?}: {precision}");
            assert!((mean - 600.0 / 400.1).abs() < 1e-7, "{sampling:?}: {mean}");
        }
    }
}

#[test]
fn chains_give_the_bits_of_one_row_after_the_other() {
    for (once, iterations, sampling) in [
        (true, 1, Sampling::Wishart),
        (false, 2, Sampling::Wishart),
        (true, 1, Sampling::Iid),
        (false, 1, Sampling::MeanDraw),
    ] {
        let recipe = BayesianLinear { iterations, sampling, ..recipe(3) };
        let fresh = rows(60, 25, if once { 60 } else { 90 }, once);
        let run = Run::new(9);
        let evidence = Evidence::of(&recipe);
        let start = prior(&recipe, 60, 25);
        let mut users: Vec<_> = (0..60).map(|u| start.user(u).unwrap().clone()).collect();
        let mut items: Vec<_> = (0..25).map(|i| start.item(i).unwrap().clone()).collect();
        for (n, row) in (0..).zip(&fresh.rows) {
            let (user, item) = (&mut users[row.user as usize], &mut items[row.item as usize]);
            let rng = &mut run.streams.child("bayesian-linear/learn").rng(n);
            let value = f64::from(row.value);
            for _ in 0..iterations {
                Arch::new().dispatch(Once { evidence: &evidence, own: user, other: item, value, rng });
                Arch::new().dispatch(Once { evidence: &evidence, own: item, other: user, value, rng });
            }
        }
        for threads in [1, 2, 7] {
            let mut model = start.clone();
            model.learn(&fresh, &run.clone().with_threads(threads).unwrap()).unwrap();
            assert!((0..60).all(|u| model.user(u) == users.get(u as usize)), "{threads} threads, once: {once}");
            assert!((0..25).all(|i| model.item(i) == items.get(i as usize)), "{threads} threads, once: {once}");
            let mean = model.factors().unwrap().users[(2, 7)];
            assert_eq!(mean, users[7].mean()[2] as f32);
        }
    }
}

/// A model that has seen some rows.
fn taught() -> Beliefs {
    let mut model = prior(&recipe(3), 6, 5);
    model.learn(&rows(6, 5, 12, false), &Run::new(1)).unwrap();
    model
}

#[test]
fn draws_have_the_mean_and_the_covariance_of_the_belief() {
    let (model, count) = (taught(), 4000);
    let drawn: Vec<_> = (0..count).map(|seed| model.sample(&[4, 1, 4], &Run::new(seed)).unwrap()).collect();
    let means = model.factors().unwrap();
    let sides =
        [(model.user(1), 1, true), (model.user(4), 4, true), (model.item(0), 0, false), (model.item(3), 3, false)];
    for (belief, index, user) in sides {
        let (belief, count) = (belief.unwrap(), count as f64);
        let covariance = belief.covariance();
        let vectors: Vec<Vec<f64>> = drawn
            .iter()
            .map(|d| d.factors().unwrap())
            .map(|f| {
                if user { f.users.column(index) } else { f.items.column(index) }.iter().map(|&x| x.into()).collect()
            })
            .collect();
        for i in 0..3 {
            let off = vectors.iter().map(|v| v[i] - belief.mean()[i]).sum::<f64>() / count;
            assert!(off.abs() < 5.0 * (covariance[(i, i)] / count).sqrt(), "mean is off by {off}");
            for j in 0..3 {
                let both = |v: &Vec<f64>| (v[i] - belief.mean()[i]) * (v[j] - belief.mean()[j]);
                let got = vectors.iter().map(both).sum::<f64>() / count;
                let spread = covariance[(i, i)] * covariance[(j, j)] + covariance[(i, j)].powi(2);
                assert!((got - covariance[(i, j)]).abs() < 5.0 * (spread / count).sqrt(), "{got}, {covariance}");
            }
        }
    }
    // Users that were not asked for are as in the mean; those asked for do not depend on the others.
    let first = drawn[0].factors().unwrap();
    assert_eq!(first.users.column(2), means.users.column(2));
    let run = Run::new(0).with_threads(7).unwrap();
    let alone = model.sample(&[1], &run).unwrap();
    let alone = alone.factors().unwrap();
    assert_eq!((first.users.column(1), &first.items), (alone.users.column(1), &alone.items));
    assert!(model.sample(&[6], &run).is_err() && model.variances(&[6], &run).is_err());
}

#[test]
fn variances_are_those_of_products_of_draws() {
    let (model, run, count) = (taught(), Run::new(0), 4000);
    let variances = model.variances(&[0, 3], &run).unwrap();
    assert_eq!(variances.factors().unwrap().rank(), 12);
    let drawn: Vec<_> = (0..count).map(|seed| model.sample(&[0, 3], &Run::new(seed)).unwrap()).collect();
    let mut got = [0.0];
    for user in [0, 3] {
        for item in 0..5 {
            variances.predict(&[user], &[item], &mut got, &run).unwrap();
            let (u, i) = (model.user(user).unwrap(), model.item(item).unwrap());
            let [a, b] = [u, i].map(Gaussian::covariance);
            let [m, n] = [u, i].map(|belief| DMatrix::from_column_slice(3, 1, belief.mean()));
            let expected = (m.transpose() * &b * &m)[0] + (n.transpose() * &a * &n)[0] + (&a * &b).trace();
            assert!((f64::from(got[0]) / expected - 1.0).abs() < 1e-5, "{got:?}, {expected}");
            let products: Vec<f64> = drawn
                .iter()
                .map(|d| d.factors().unwrap())
                .map(|f| f.users.column(user as usize).dot(&f.items.column(item as usize)).into())
                .collect();
            let mean = products.iter().sum::<f64>() / count as f64;
            let spread = products.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / count as f64;
            assert!((spread / expected - 1.0).abs() < 0.2, "{spread}, {expected}");
        }
    }
}

#[test]
fn a_snapshot_goes_on_learning_with_the_same_bits() {
    let mut model = taught();
    let mut text = Vec::new();
    save(&model, &Provenance::default(), &mut text).unwrap();
    let back: Box<dyn Any> = load(&text[..]).unwrap().0;
    let mut back: Beliefs = *back.downcast().unwrap();
    assert_eq!(back, model);
    let (fresh, run) = (rows(9, 8, 40, false), Run::new(2));
    [&mut back, &mut model].into_iter().for_each(|m| m.learn(&fresh, &run).unwrap());
    assert_eq!(bits(&back), bits(&model));
    assert_eq!((back.users(), back.items()), (9, 8));
}

#[test]
fn what_is_not_a_belief_does_not_load() {
    let mut text = Vec::new();
    save(&taught(), &Provenance::default(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let say = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        load(text.replacen(from, to, 1).as_bytes()).err().expect("an error").to_string()
    };
    assert!(say("\"count\":6", "\"count\":7").contains("7 users of 9 numbers claimed, 54 numbers"));
    assert!(say("\"count\":6", "\"count\":2049638230412172402").contains("numbers claimed"));
    assert!(say("\"factors\":3", "\"factors\":4").contains("6 users of 14 numbers claimed, 54 numbers"));
    assert!(say("\"tau\":4.0", "\"tau\":0.0").contains("parameter `tau` = 0"));
    assert!(
        say("\"values\":[", "\"values\":[-").contains("the belief about user 0 has a number that is not finite, or")
    );
}

#[test]
fn new_users_and_items_join_with_the_prior() {
    let (fresh, run) = (rows(6, 5, 12, false), Run::new(1));
    let later = rows(9, 8, 30, false);
    let (mut grown, mut whole) = (prior(&recipe(3), 6, 5), prior(&recipe(3), 9, 8));
    grown.learn(&fresh, &run).unwrap();
    whole.learn(&Feedback { users: 9, items: 8, ..fresh.clone() }, &run).unwrap();
    assert_eq!((grown.users(), grown.items()), (6, 5));
    grown.learn(&Feedback { rows: Vec::new(), ..later.clone() }, &run).unwrap();
    assert_eq!(grown, whole);
    [&mut grown, &mut whole].into_iter().for_each(|m| m.learn(&later, &run).unwrap());
    assert_eq!(grown, whole);
    assert!((prior(&recipe(3), 1, 1).user(0).unwrap().mean()[2] - 0.3).abs() < 1e-15);
}

#[test]
fn bad_input_is_refused() {
    let run = Run::new(0);
    let mut model = taught();
    let before = bits(&model);
    let say = |model: &mut Beliefs, users, items, row: (u32, u32, f32)| {
        let (user, item, value) = row;
        let fresh = Feedback { users, items, rows: vec![Observation { user, item, value }] };
        model.learn(&fresh, &run).unwrap_err().to_string()
    };
    assert_eq!(say(&mut model, 5, 5, (0, 0, 1.0)), "users by now: expected at least 6, got 5");
    assert_eq!(say(&mut model, 6, 5, (6, 0, 1.0)), "user index: expected below 6, got 6");
    assert_eq!(say(&mut model, 6, 5, (0, 5, 1.0)), "item index: expected below 5, got 5");
    assert!(say(&mut model, 6, 5, (0, 1, f32::NAN)).contains("value of user 0, item 1 is NaN"));
    assert_eq!(bits(&model), before);

    let none = Interactions::new(1, 1, &Rows::default()).unwrap();
    for (field, recipe) in [
        ("tau", BayesianLinear { tau: 0.0, ..recipe(2) }),
        ("tau", BayesianLinear { tau: -1.0, ..recipe(2) }),
        ("prior_variance", BayesianLinear { prior_variance: 0.0, ..recipe(2) }),
        ("samples", BayesianLinear { samples: 0, ..recipe(2) }),
    ] {
        let refused = recipe.fit(&Training::new(&none), &run).err().unwrap();
        assert!(matches!(&refused, Error::OutOfRange { field: f, .. } if f == field), "{refused}");
    }
    let belief = Gaussian::new(&[0.0; 2], &DMatrix::identity(2, 2)).unwrap();
    assert!(
        Gaussian::new(&[], &DMatrix::zeros(0, 0)).is_err() && Gaussian::new(&[0.0], &DMatrix::zeros(1, 1)).is_err()
    );
    assert!(belief.clone().observe(&DMatrix::zeros(3, 1), &[1.0], 1.0).is_err());
    assert!(belief.clone().observe(&DMatrix::zeros(2, 1), &[], 1.0).is_err());
    for noise_precision in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = belief.clone().observe(&DMatrix::zeros(2, 1), &[1.0], noise_precision).unwrap_err().to_string();
        assert_eq!(refused, format!("noise precision: expected above 0 and finite, got {noise_precision}"));
    }
    let mut kept = belief.clone();
    assert!(kept.observe(&DMatrix::identity(2, 1), &[f64::INFINITY], 1.0).is_err());
    assert!(kept.observe(&DMatrix::from_element(2, 1, 1e9), &[1.0], 1.0).is_err());
    assert_eq!(kept, belief);
    assert!(belief.summary(&DMatrix::zeros(2, 2), &[0.0], 5).is_err());
}

#[test]
fn lost_beliefs_are_errors_that_name_the_first_row() {
    // A single draw of a wide belief outweighs the prior by more than 16 digits in one direction only.
    let wide = BayesianLinear { factors: 3, samples: 1, prior_variance: 1e16, ..BayesianLinear::default() };
    // The weighted rating is beyond the largest number.
    let heavy = BayesianLinear { factors: 2, tau: 1e290, prior_variance: 1e-9, ..BayesianLinear::default() };
    let fresh = Feedback {
        users: 5,
        items: 5,
        rows: (0..5).map(|n| Observation { user: 4 - n, item: n, value: 3e38 }).collect(),
    };
    for threads in [1, 2, 7] {
        let run = Run::new(0).with_threads(threads).unwrap();
        let say = |recipe| prior(recipe, 5, 5).learn(&fresh, &run).unwrap_err();
        let (lost, diverged) = (say(&wide), say(&heavy));
        assert!(matches!(lost, Error::Unusable(_)) && matches!(diverged, Error::Diverged { .. }), "{lost}, {diverged}");
        let expected = "data: the precision of the belief about user 4 is no longer positive definite to working \
                        precision at row 0: lower `tau` or `prior_variance`, or raise `samples`";
        assert_eq!(lost.to_string(), expected);
        assert_eq!(diverged.to_string(), "the belief about user 4, at row 0, became non-finite");
        // The longest chain comes first, and fails later than a chain of one row; rows before are fine.
        let row = |(user, item, value)| Observation { user, item, value };
        let rows = [(0, 0, 1.0), (1, 0, 1.0), (2, 1, 3e38), (3, 0, 3e38), (4, 0, 1.0)].map(row).to_vec();
        let scalar = BayesianLinear { factors: 1, ..heavy.clone() };
        let failed = prior(&scalar, 5, 5).learn(&Feedback { rows, ..fresh.clone() }, &run).unwrap_err();
        assert_eq!(failed.to_string(), "the belief about user 2, at row 2, became non-finite");
    }
}

#[test]
fn nobody_and_nothing_are_no_special_case() {
    let run = Run::new(0);
    let mut model = prior(&recipe(2), 0, 0);
    assert!(model.sample(&[], &run).is_ok() && model.variances(&[], &run).is_ok() && model.validate().is_ok());
    assert_eq!(model.top_k(&[], None, 3, &run).unwrap().len(), 0);
    for (users, items) in [(2, 0), (2, 3)] {
        model.learn(&Feedback { users, items, rows: vec![] }, &run).unwrap();
        let drawn = model.sample(&[0, 1], &run).unwrap();
        assert_eq!((drawn.users(), drawn.items(), model.variances(&[1], &run).unwrap().items()), (users, items, items));
    }
}
