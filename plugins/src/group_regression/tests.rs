use super::*;
use crate::ols::Ols;
use evenhand_core::{Dataset, Interactions, Observer, Rows, Scale};
use std::sync::{Arc, Mutex};

plugin! {
    /// For tests: factors that are given, two that count as learned and one more.
    struct Given: Recommender = "test-given" {}
}

impl Recommender for Given {
    fn fit(&self, train: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        let side = |count, step: usize| DMatrix::from_fn(3, count, |f, e| ((f + 2) * e * step % 7) as f32 / 4.0 - 0.5);
        let (users, items) = (side(train.ratings.users(), 3), side(train.ratings.items(), 5));
        Ok(Box::new(Factors { latent: 2, ..Factors::new(users, items, Output::Order)? }))
    }
}

plugin! {
    /// For tests: a regressor that is not linear.
    struct Crooked: GroupRegressor = "test-crooked" {}
}

impl GroupRegressor for Crooked {
    fn fit(&self, _: &GroupTable, _: &[f64], _: &Run) -> Result<Box<dyn GroupPredictor>> {
        Ok(Box::new(Self {}))
    }
}

impl GroupPredictor for Crooked {
    fn predict(&self, _: &GroupTable, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn predict_by(&self, _: usize, _: &GroupTable, _: &mut [f64]) -> Result<bool> {
        Ok(false)
    }
}

fn least_squares() -> Regressor {
    Regressor::from(Box::<Ols>::default() as Box<dyn GroupRegressor>)
}

fn recipe(features: Features) -> GroupRegression {
    let base = Base::from(Box::<Given>::default() as Box<dyn Recommender>);
    GroupRegression { regressor: least_squares(), features, base, ..Default::default() }
}

const USERS: u32 = 12;
const ITEMS: u32 = 9;

/// Users 0 to 5 are in `a`, 4 to 10 in `b`, 11 in neither; item 0, 3, ... are of one kind. About half of the pairs are rated.
fn data(rating: impl Fn(u32, u32) -> f64) -> Dataset {
    let mut rows = Rows::default();
    for (user, item) in (0..USERS).flat_map(|user| (0..ITEMS).map(move |item| (user, item))) {
        if (user * user + 3 * item * user + item) % 7 < 4 {
            rows.push(user, item, rating(user, item) as f32);
        }
    }
    let ratings = Interactions::new(USERS as usize, ITEMS as usize, &rows).unwrap();
    let mut data = Dataset::new("made up", ratings, Scale { low: -100.0, high: 100.0, like_above: 0.0 });
    let groups = vec![("a".into(), (0..6).collect()), ("b".into(), (4..11).collect())];
    let parity = vec![("even".into(), (0..USERS).step_by(2).collect())];
    data.user_groups = ["letter", "parity"]
        .into_iter()
        .zip([groups, parity])
        .map(|(name, groups)| Groups::new(name, USERS as usize, groups).unwrap())
        .collect();
    let kinds = vec![("third".into(), (0..ITEMS).step_by(3).collect())];
    data.item_groups = vec![Groups::new("kind", ITEMS as usize, kinds).unwrap()];
    data
}

fn score(model: &dyn Model) -> DMatrix<f32> {
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&(0..USERS).collect::<Vec<_>>(), &mut scores, &Run::new(0)).unwrap();
    scores
}

/// Largest error of the scores of users in a single group.
fn worst(data: &Dataset, features: Features, rating: impl Fn(u32, u32) -> f64) -> f64 {
    let model = recipe(features).fit(&Training::of(data, &data.ratings), &Run::new(0)).unwrap();
    assert_eq!(model.output(), Output::Rating);
    model.validate().unwrap();
    let scores = score(model.as_ref());
    let users = (0..4).chain(6..11);
    let errors = users
        .flat_map(|u| (0..ITEMS).map(move |i| (u, i)))
        .map(|(u, i)| (f64::from(scores[(i as usize, u as usize)]) - rating(u, i)).abs());
    errors.fold(0.0, f64::max)
}

/// Without users in two groups, whose ratings would be of neither rule.
fn of_one_group(rating: impl Fn(u32, u32) -> f64) -> Dataset {
    let mut data = data(rating);
    let groups = vec![("a".into(), (0..4).collect()), ("b".into(), (6..11).collect())];
    data.user_groups[0] = Groups::new("letter", USERS as usize, groups).unwrap();
    data
}

#[test]
fn rules_of_groups_in_factors_are_found() {
    let train = data(|_, _| 0.0);
    let base = Given {}.fit(&Training::of(&train, &train.ratings), &Run::new(0)).unwrap();
    let factors = base.factors().unwrap();
    let rating = |user: u32, item: u32| {
        let weights = if user < 6 { [2.0, -1.0, 0.5] } else { [-1.0, 3.0, 1.0] };
        let (p, q) = (factors.users.column(user as usize), factors.items.column(item as usize));
        let sum: f64 = (0..3).map(|f| weights[f] * f64::from(p[f]) * f64::from(q[f])).sum();
        sum + f64::from(user / 6)
    };
    let error = worst(&of_one_group(rating), Features::Factors, rating);
    assert!(error < 1e-4, "{error}");
}

#[test]
fn rules_of_groups_in_attributes_are_found() {
    let rating = |user: u32, item: u32| {
        let third = f64::from(u8::from(item.is_multiple_of(3)));
        if user < 6 { 4.0 - 3.0 * third } else { 1.0 + 2.0 * third }
    };
    let error = worst(&of_one_group(rating), Features::Attributes, rating);
    assert!(error < 1e-3, "{error}");
}

/// The mean of all is 3; item 0 has 5 and 3, item 1 has 1; user 0 has 5 and 1, user 1 has 3; user 2 and item 2 have none.
#[test]
fn means_of_training_rows_leave_the_row_out() {
    let mut rows = Rows::default();
    [(0, 0, 5.0), (0, 1, 1.0), (1, 0, 3.0)].into_iter().for_each(|(u, i, v)| rows.push(u, i, v));
    let ratings = Interactions::new(3, 3, &rows).unwrap();
    let kinds = [Groups::new("kind", 3, vec![("x".into(), vec![1, 2])]).unwrap()];
    let ages = [Groups::new("age", 3, vec![("old".into(), vec![0]), ("young".into(), vec![])]).unwrap()];
    let mut train = Training::new(&ratings);
    (train.item_groups, train.user_groups) = (&kinds, &ages);
    let parts = Parts::of_attributes(&train, 1.0);
    let names = ["item kind=x", "item mean", "user age=old", "user age=young", "user mean"];
    assert_eq!((parts.names.as_slice(), parts.latent), (names.map(String::from).as_slice(), 2));
    let mut x = [f64::NAN; 5];
    let mut row = |parts: &Parts, row| {
        parts.training_row(row, &mut x);
        x
    };
    // Of item 0 without 5: (3 + 3) / 2; of user 0 without 5: (1 + 3) / 2.
    assert_eq!(row(&parts, (0, 0, 5.0)), [0.0, 3.0, 1.0, 0.0, 2.0]);
    // Of item 1 nothing is left: the mean of all; of user 0 without 1: (5 + 3) / 2.
    assert_eq!(row(&parts, (0, 1, 1.0)), [1.0, 3.0, 1.0, 0.0, 4.0]);
    assert_eq!(row(&parts, (1, 0, 3.0)), [0.0, 4.0, 0.0, 0.0, 3.0]);
    // Of pairs to predict: (8 + 3) / 3 and (1 + 3) / 2; the mean of all for who has no rating.
    assert_eq!(parts.items.row(1).iter().copied().collect::<Vec<_>>(), [11.0 / 3.0, 2.0, 3.0]);
    assert_eq!(parts.users.row(4).iter().copied().collect::<Vec<_>>(), [3.0, 3.0, 3.0]);
    let undamped = Parts::of_attributes(&train, 0.0);
    assert_eq!(row(&undamped, (0, 1, 1.0)), [1.0, 3.0, 1.0, 0.0, 5.0]);
    assert_eq!((undamped.items[(1, 0)], undamped.items[(1, 2)]), (4.0, 3.0));
}

/// Users in two groups get the mean of both functions, who is in none the mean rating: as the regressor predicts rows.
#[test]
fn scores_are_the_predictions_of_the_regressor() {
    let data = data(|user, item| f64::from((user * 5 + item * 3) % 11) / 2.0);
    let train = Training::of(&data, &data.ratings);
    let run = Run::new(0);
    for (features, latent) in [(Features::Attributes, 2), (Features::Factors, 2)] {
        let recipe = recipe(features);
        let parts = match features {
            Features::Attributes => Parts::of_attributes(&train, recipe.damping),
            Features::Factors => Parts::of_factors(Given {}.fit(&train, &run).unwrap().factors().unwrap()),
        };
        let (table, labels) = table(&parts, &train, &data.user_groups[0], &run).unwrap();
        let learned = recipe.regressor.fit(&table, &labels, &run).unwrap();
        let pairs: Vec<_> = (0..USERS as usize).flat_map(|u| (0..ITEMS as usize).map(move |i| (u, i))).collect();
        let x = DMatrix::from_fn(parts.count(), pairs.len(), |f, at| {
            parts.users[(f, pairs[at].0)] * parts.items[(f, pairs[at].1)]
        });
        let active =
            DMatrix::from_fn(2, pairs.len(), |g, at| data.user_groups[0].of(pairs[at].0 as u32).contains(&(g as u32)));
        let all = GroupTable::new(x, active, parts.names.clone(), table.groups().to_vec()).unwrap();
        let mut expected = vec![0.0; pairs.len()];
        learned.predict(&all, &mut expected).unwrap();
        let model = recipe.fit(&train, &run).unwrap();
        let scores = score(model.as_ref());
        for (&(user, item), expected) in pairs.iter().zip(expected) {
            let expected = if user == 11 { data.ratings.mean() } else { expected };
            let got = f64::from(scores[(item, user)]);
            assert!((got - expected).abs() < 1e-4, "{features:?} {user} {item}: {got}, expected {expected}");
        }
        let factors = model.factors().unwrap();
        assert_eq!((factors.latent, factors.rank()), (latent, parts.count() + 1));
    }
}

#[test]
fn rows_come_in_order_of_time() {
    let mut rows = Rows { times: vec![30, 10, 20, 10], ..Rows::default() };
    [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)].into_iter().for_each(|(u, i, v)| rows.push(u, i, v));
    let timed = Interactions::new(2, 2, &rows).unwrap();
    rows.times.clear();
    let untimed = Interactions::new(2, 2, &rows).unwrap();
    let labels = |ratings: &Interactions| {
        let train = Training::new(ratings);
        let groups = Groups::new("g", 2, vec![("first".into(), vec![0])]).unwrap();
        let (table, labels) = table(&Parts::of_attributes(&train, 1.0), &train, &groups, &Run::new(1)).unwrap();
        let of_first: Vec<f64> = table.members(0).into_iter().map(|row| labels[row]).collect();
        assert!(of_first.contains(&1.0) && of_first.contains(&2.0) && of_first.len() == 2);
        labels
    };
    assert_eq!(labels(&timed), [2.0, 4.0, 3.0, 1.0]);
    let mut shuffled = labels(&untimed);
    shuffled.sort_by(f64::total_cmp);
    assert_eq!(shuffled, [1.0, 2.0, 3.0, 4.0]);
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.into());
    }
}

#[test]
fn fallbacks_are_told() {
    let data = data(|user, item| f64::from(user + item));
    let notes = Arc::new(Notes::default());
    let run = Run::new(0).with_observer(notes.clone());
    let said = |recipe: &GroupRegression, train: &Training<'_>| {
        notes.0.lock().unwrap().clear();
        recipe.fit(train, &run).unwrap();
        notes.0.lock().unwrap().join("; ")
    };
    let train = Training::of(&data, &data.ratings);
    let told = said(&recipe(Features::Attributes), &train);
    assert!(
        told.starts_with("users in no group with a model, predicted by the mean") && told.ends_with(": 1 of 12"),
        "{told}"
    );
    let parity = GroupRegression { groups: Some("parity".into()), ..recipe(Features::Factors) };
    assert!(said(&parity, &train).ends_with(": 6 of 12"));
    let bare = said(&recipe(Features::Factors), &Training::new(&data.ratings));
    assert_eq!(bare, "no grouping of the users is protected: one regression for all of them");
}

#[test]
fn what_can_not_work_is_refused() {
    let data = data(|user, item| f64::from(user + item));
    let train = Training::of(&data, &data.ratings);
    let say =
        |recipe: &GroupRegression, train: &Training<'_>| recipe.fit(train, &Run::new(0)).err().unwrap().to_string();
    let unknown = GroupRegression { groups: Some("shape".into()), ..recipe(Features::Factors) };
    let expected = "`group-regression`: parameter `groups` = \"shape\", expected";
    assert_eq!(say(&unknown, &train), format!("{expected} a grouping of the users: letter, parity"));
    assert_eq!(say(&unknown, &Training::new(&data.ratings)), format!("{expected} none: the users have no grouping"));
    let crooked = Regressor::from(Box::<Crooked>::default() as Box<dyn GroupRegressor>);
    let crooked = GroupRegression { regressor: crooked, ..recipe(Features::Factors) };
    assert!(say(&crooked, &train).ends_with("does not support stating a linear function"));
    let base = Base::from(Box::<crate::random::Random>::default() as Box<dyn Recommender>);
    let without = GroupRegression { base, ..recipe(Features::Factors) };
    let few = Training::new(&data.ratings);
    assert!(say(&without, &few).contains("does not support stating factors"));
    let none = Interactions::new(2, 2, &Rows::default()).unwrap();
    assert!(say(&recipe(Features::Attributes), &Training::new(&none)).ends_with("a table without rows"));
    let short = [Groups::new("letter", 3, vec![]).unwrap()];
    let mut misfit = train;
    misfit.item_groups = &short;
    assert_eq!(say(&recipe(Features::Attributes), &misfit), "items of a grouping: expected 9, got 3");
}

#[test]
fn users_are_told_apart_by_factors_alone() {
    assert!(recipe(Features::Factors).personalised() && !recipe(Features::Attributes).personalised());
}
