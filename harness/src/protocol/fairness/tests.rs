//! The pass over blocks of users against the metrics fed cell by cell.

use super::super::scores::figures;
use super::*;
use crate::split::Fold;
use evenhand_core::{Factors, Groups, Model as _, Rows, Run, Scale, Streams};
use nalgebra::DMatrix;
use rand::RngExt;

const USERS: usize = 150;
const ITEMS: usize = 40;

/// Scores of half a star; groups that overlap and leave users and items out; few users in the test rows.
fn world(seed: u64, output: Output) -> (Factors, Dataset, Fold) {
    let mut rng = Streams::new(seed).rng(0);
    let mut draw = |n: usize, users: u32| {
        let mut rows = Rows::default();
        for _ in 0..n {
            let (user, item) = (rng.random_range(0..users), rng.random_range(0..ITEMS as u32 - 2));
            rows.push(user, item, rng.random_range(1..=5) as f32);
        }
        Interactions::new(USERS, ITEMS, &rows).unwrap()
    };
    let (train, test) = (draw(1500, USERS as u32), draw(150, 90));
    let users = DMatrix::from_fn(2, USERS, |_, _| rng.random_range(1..=4) as f32 / 2.0);
    let items = DMatrix::from_fn(2, ITEMS, |_, _| rng.random_range(0..=3) as f32 / 2.0 + 0.1);
    let mut data = Dataset::new("small", train.clone(), Scale::FIVE_STARS);
    let lists = |n: u32| vec![("a".into(), (0..n / 2).collect()), ("b".into(), (n / 3..n - 5).step_by(2).collect())];
    data.user_groups.push(Groups::new("age", USERS, lists(USERS as u32)).unwrap());
    data.item_groups.push(Groups::new("genre", ITEMS, lists(ITEMS as u32)).unwrap());
    (Factors::new(users, items, output).unwrap(), data, Fold { label: String::new(), train, test, validation: None })
}

fn eval() -> Eval {
    Eval { k: vec![5, 2], ..Eval::default() }
}

/// The figures of fairness.
fn of(model: &Factors, data: &Dataset, fold: &Fold, run: &Run) -> Vec<Figure> {
    let names = ["dee", "dee-mean", "val", "ugf", "cvs"];
    let all = figures(model, data, fold, &eval(), run).unwrap();
    all.into_iter().filter(|f| names.contains(&f.metric.as_str())).collect()
}

#[test]
fn agrees_with_the_metrics_of_all_scores_and_lists() {
    let (model, data, fold) = world(1, Output::Rating);
    let run = Run::new(0);
    let found = of(&model, &data, &fold, &run);
    let everyone: Vec<u32> = (0..USERS as u32).collect();
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&everyone, &mut scores, &run).unwrap();
    let (mut ratings, mut means) =
        (Experience::new(data.protected(), ITEMS), GroupMeans::new(&data.user_groups[0], ITEMS));
    for user in everyone {
        ratings.add_predictions(user, scores.column(user as usize).as_slice(), 3.0);
        means.add(user, scores.column(user as usize).as_slice());
    }
    let listed: Vec<u32> = (0..USERS as u32)
        .filter(|&u| {
            let seen = fold.train.by_user().partners(u as usize);
            fold.test.by_user().row(u as usize).any(|(item, value)| value > 3.0 && !seen.contains(&item))
        })
        .collect();
    let mut expected = vec![
        ("dee".to_string(), ratings.dee().unwrap().sum, USERS as u64),
        ("dee-mean".to_string(), ratings.dee().unwrap().sum / 4.0, USERS as u64),
        ("val".to_string(), means.val(&fold.train).unwrap(), USERS as u64),
        ("ugf".to_string(), ratings.ugf().unwrap().sum, USERS as u64),
        ("cvs".to_string(), ratings.cvs().unwrap().sum, USERS as u64),
    ];
    for k in [5, 2] {
        let top = model.top_k(&listed, Some(&fold.train), k, &run).unwrap();
        let mut lists = Experience::new(data.protected(), ITEMS);
        listed.iter().enumerate().for_each(|(b, &user)| lists.add_list(user, top.items(b)));
        let n = listed.len() as u64;
        expected.push((format!("dee@{k}"), lists.dee().unwrap().sum, n));
        expected.push((format!("dee-mean@{k}"), lists.dee().unwrap().mean(), n));
        expected.push((format!("cvs@{k}"), lists.cvs().unwrap().sum, n));
    }
    assert_eq!(found.len(), expected.len());
    for (figure, (name, value, n)) in found.iter().zip(expected) {
        assert_eq!((figure.name(), figure.n, &figure.group), (name, n, &None));
        // Sums of predictions are added block by block.
        assert!((figure.value - value).abs() < 1e-12, "{figure:?}, expected {value}");
        assert!(value > 0.0, "{figure:?} tells nothing");
    }
}

#[test]
fn threads_make_no_difference() {
    let (mut model, data, fold) = world(2, Output::Rating);
    // Sums that depend on their order.
    model.users.iter_mut().zip(1..).for_each(|(factor, n)| *factor += 1.0 / n as f32);
    let of = |threads| of(&model, &data, &fold, &Run::new(0).with_threads(threads).unwrap());
    assert!(of(1) == of(2) && of(1) == of(7));
}

#[test]
fn scores_that_only_order_items_are_measured_by_their_lists() {
    let (model, mut data, fold) = world(3, Output::Order);
    let names =
        |data: &Dataset| -> Vec<String> { of(&model, data, &fold, &Run::new(0)).iter().map(Figure::name).collect() };
    assert_eq!(names(&data), ["dee@5", "dee-mean@5", "cvs@5", "dee@2", "dee-mean@2", "cvs@2"]);
    data.user_groups.clear();
    assert_eq!(names(&data), ["cvs@5", "cvs@2"]);
    data.item_groups.clear();
    assert_eq!(names(&data), [""; 0]);
}

#[test]
fn a_rating_of_an_untested_user_that_is_not_finite_is_an_error() {
    let (mut model, data, fold) = world(4, Output::Rating);
    model.users[(0, USERS - 1)] = f32::INFINITY;
    let error = figures(&model, &data, &fold, &eval(), &Run::new(0)).unwrap_err().to_string();
    assert!(error.contains("score of user 149, item 0"), "{error}");
}
