//! Small data, and what is done with it.

use evenhand_core::{Factors, Interactions, Model, Recommender, Registry, Rng, Rows, Run, Scale, Streams, Training};
use evenhand_plugins as _;
use nalgebra::DMatrix;
use rand::RngExt;
use serde_json::Value as Json;

pub(crate) fn rng(seed: u64) -> Rng {
    Streams::new(seed).child("test/pairwise").rng(0)
}

pub(crate) fn random(rows: usize, columns: usize, rng: &mut Rng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

/// Rows of the pairs for which `value` has one.
pub(crate) fn table(users: usize, items: usize, mut value: impl FnMut(u32, u32) -> Option<f32>) -> Interactions {
    let mut rows = Rows::default();
    for user in 0..users as u32 {
        for item in 0..items as u32 {
            if let Some(value) = value(user, item) {
                rows.push(user, item, value);
            }
        }
    }
    Interactions::new(users, items, &rows).unwrap()
}

/// Whether a user has the taste for an item: two kinds of both.
pub(crate) fn fits(user: u32, item: u32) -> bool {
    user % 2 == item % 2
}

/// Likes of items of the own kind, two in three of them.
pub(crate) fn likes(users: usize, items: usize, seed: u64) -> Interactions {
    let mut rng = rng(seed);
    table(users, items, |user, item| (fits(user, item) && rng.random_bool(0.66)).then_some(1.0))
}

pub(crate) fn recommender(name: &str, params: &Json) -> Box<dyn Recommender> {
    Registry::<dyn Recommender>::linked().unwrap().build(name, params).unwrap()
}

pub(crate) fn fit(name: &str, params: &Json, train: &Interactions, run: &Run) -> Factors {
    let train = Training::new(train).with_users(&[], Scale { low: 0.0, high: 1.0, like_above: 0.0 });
    factors(recommender(name, params).fit(&train, run).unwrap().as_ref())
}

pub(crate) fn factors(model: &dyn Model) -> Factors {
    model.validate().unwrap();
    model.factors().unwrap().clone()
}

pub(crate) fn bits(factors: &Factors) -> Vec<u32> {
    factors.users.iter().chain(factors.items.iter()).map(|x| x.to_bits()).collect()
}

/// How often an item of the own kind without a row stands before one of the other kind.
pub(crate) fn auc(factors: &Factors, train: &Interactions) -> f64 {
    let scores = factors.items.tr_mul(&factors.users);
    let (mut right, mut pairs) = (0.0, 0.0);
    for user in 0..train.users() as u32 {
        let known = train.by_user().partners(user as usize);
        let of = |own| (0..train.items() as u32).filter(move |&i| fits(user, i) == own && !known.contains(&i));
        for liked in of(true) {
            for other in of(false) {
                let [liked, other] = [liked, other].map(|item| scores[(item as usize, user as usize)]);
                right += if liked > other { 1.0 } else { 0.0 };
                pairs += 1.0;
            }
        }
    }
    right / pairs
}

/// Mean of the loss of all pairs of a row and an item without one.
pub(crate) fn mean_loss(factors: &Factors, train: &Interactions) -> f64 {
    let scores = factors.items.tr_mul(&factors.users);
    let (mut sum, mut pairs) = (0.0, 0.0);
    for user in 0..train.users() {
        let known = train.by_user().partners(user);
        for &liked in known {
            for other in (0..train.items() as u32).filter(|i| !known.contains(i)) {
                let margin = f64::from(scores[(liked as usize, user)]) - f64::from(scores[(other as usize, user)]);
                sum += evenhand_plugins::pairwise::loss::value(margin, false);
                pairs += 1.0;
            }
        }
    }
    sum / pairs
}
