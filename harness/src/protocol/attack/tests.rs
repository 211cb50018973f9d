//! The ranking by positions against the offline protocol and against the definitions.

use super::super::ranking::tests::world;
use super::super::{Measured, offline, scores};
use super::*;
use evenhand_core::{Error, Groups, Model, Recommender, Scale, Streams, Training, plugin};
use rand::RngExt;

plugin! {
    /// For tests: fits factors that are given by a seed, the same for all rows.
    pub struct Given: Recommender = "test-given" {
        /// What they are drawn from.
        seed: u64 = 0;
        /// Whether all scores are 0.
        flat: bool = false;
    }
}

impl Recommender for Given {
    fn fit(&self, train: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        let mut rng = Streams::new(self.seed).rng(0);
        let mut draw = |_, _| if self.flat { 0.0 } else { rng.random_range(-1.0..1.0f32) };
        let users = DMatrix::from_fn(3, train.ratings.users(), &mut draw);
        let items = DMatrix::from_fn(3, train.ratings.items(), &mut draw);
        Ok(Box::new(Factors::new(users, items, evenhand_core::Output::Order)?))
    }
}

fn eval(relevant: Relevant) -> Eval {
    Eval { k: vec![5, 60], relevant, users: true }
}

fn attacks() -> Attacks {
    Attacks { eps: vec![0.5, 2.0], draws: 3, ..Attacks::default() }
}

fn rows(users: usize, items: usize, pairs: &[(u32, u32)]) -> Interactions {
    let mut rows = Rows::default();
    pairs.iter().for_each(|&(user, item)| rows.push(user, item, 5.0));
    Interactions::new(users, items, &rows).unwrap()
}

fn fold(train: Interactions, test: Interactions) -> (Dataset, Fold) {
    let data = Dataset::new("x", train.clone(), Scale::FIVE_STARS);
    (data, Fold { label: String::new(), train, test, validation: None })
}

fn measured(recipe: &Given, data: &Dataset, fold: &Fold, eval: &Eval, run: &Run) -> Measured {
    offline::measure(recipe, data, fold, eval, Some(&attacks()), run).unwrap()
}

fn figure<'a>(attacked: &'a Attacked, name: &str) -> Option<&'a Figure> {
    attacked.figures.iter().find(|f| f.group.is_none() && f.name() == name)
}

/// Without ties it makes no difference whether lists are made or positions counted: all users and groups, duplicates, test
/// rows that repeat training rows, users without rows, lists longer than the catalogue.
#[test]
fn clean_figures_are_those_of_the_offline_protocol() {
    for relevant in [Relevant::Liked, Relevant::All] {
        let (_, data, fold) = world(11);
        let Measured { figures, attacks, users, .. } =
            measured(&Given { seed: 3, flat: false }, &data, &fold, &eval(relevant), &Run::new(0));
        let clean = &attacks[0];
        assert_eq!(clean.attack, CLEAN);
        let mut compared = 0;
        for expected in figures.iter().filter(|f| matches!(f.metric.as_str(), "hr" | "ndcg" | "auc" | "auc-half-ties"))
        {
            let same = |f: &&Figure| (&f.metric, f.k, &f.group) == (&expected.metric, expected.k, &expected.group);
            let found = clean.figures.iter().find(same).expect("the same metric");
            assert!((found.value - expected.value).abs() < 1e-12 && found.n == expected.n, "{found:?} {expected:?}");
            compared += 1;
        }
        assert_eq!((compared, clean.figures.len()), (3 * 6, 3 * 6 + 2));
        let users = users.expect("they were asked for");
        let of = |attack: Option<&str>, metric: &str| {
            let same = |u: &&PerUser| u.attack.as_deref() == attack && u.metric == metric && u.k != Some(60);
            &users.iter().find(same).unwrap().values
        };
        for metric in ["hr", "ndcg", "auc"] {
            let (offline, clean, attacked) =
                (of(None, metric), of(Some(CLEAN), metric), of(Some("random eps=2"), metric));
            assert!(offline.len() == clean.len() && attacked.len() == clean.len());
            for ((user, a), (other, b)) in offline.iter().zip(clean) {
                assert!(user == other && (a - b).abs() < 1e-12, "{metric} of {user}");
            }
        }
    }
}

#[test]
fn every_attack_has_mean_spread_and_drop() {
    let (_, data, fold) = world(12);
    let found = measured(&Given::default(), &data, &fold, &eval(Relevant::All), &Run::new(0)).attacks;
    let names: Vec<&str> = found.iter().map(|a| a.attack.as_str()).collect();
    assert_eq!(names, ["clean", "gradient eps=0.5", "gradient eps=2", "random eps=0.5", "random eps=2"]);
    for attacked in &found[1..] {
        for name in ["hr@5", "ndcg@60", "auc", "hr-spread@5", "auc-spread", "ndcg-drop@60", "auc-drop"] {
            assert!(figure(attacked, name).is_some_and(|f| f.value.is_finite()), "{name} of {}", attacked.attack);
        }
        assert!(figure(attacked, "user-norm").is_none());
    }
    assert!(figure(&found[0], "user-norm").is_some_and(|f| (0.5..1.5).contains(&f.value) && f.n == 150));
    assert!(figure(&found[0], "item-norm").is_some_and(|f| f.n == 40) && figure(&found[0], "auc-drop").is_none());
    assert_eq!(name(&Attack { relative: true, ..attacks().each().next().unwrap() }), "gradient eps=0.5 relative");
}

/// Draws are independent of each other, and no length is none at all.
#[test]
fn draws_differ_and_an_attack_of_no_length_changes_nothing() {
    let (_, data, fold) = world(16);
    let attacks = Attacks { eps: vec![0.0, 0.5], ..Attacks::default() };
    let run = |seed| {
        let recipe = Given { seed: 4, flat: false };
        offline::measure(&recipe, &data, &fold, &eval(Relevant::All), Some(&attacks), &Run::new(seed)).unwrap().attacks
    };
    let found = run(0);
    for at in [1, 3] {
        let none = &found[at].figures;
        assert!(none.iter().filter(|f| f.metric.ends_with("-spread")).all(|f| f.value < 1e-12));
        assert!(none.iter().filter(|f| f.metric.ends_with("-drop")).all(|f| f.value.abs() < 1e-12));
        assert!(figure(&found[at + 1], "auc-spread").unwrap().value > 1e-6, "{}", found[at + 1].attack);
    }
    let other = run(1);
    assert_eq!(found[0], other[0]);
    assert!(found[2] != other[2] && found[4] != other[4], "draws come from the seed of the cell");
}

#[test]
fn mean_spread_and_drop_by_hand() {
    let of = |hr, auc| {
        let figure = |metric: &str, value| Figure { metric: metric.into(), k: None, group: None, value, n: 7 };
        vec![figure("hr", hr), figure("auc", auc)]
    };
    let found = compared(&of(0.0, 0.8), &[of(0.0, 0.5), of(0.0, 0.7)]);
    let values: Vec<_> = found.iter().map(|f| (f.metric.as_str(), f.value, f.n)).collect();
    let close = |at: usize, name, value: f64| values[at].0 == name && (values[at].1 - value).abs() < 1e-12;
    assert!(close(0, "hr", 0.0) && close(1, "hr-spread", 0.0), "{values:?}");
    assert!(close(2, "auc", 0.6) && close(3, "auc-spread", 0.02f64.sqrt()) && close(4, "auc-drop", 0.25), "{values:?}");
    assert_eq!(values.len(), 5, "there is no drop from 0");
    let single = compared(&of(0.5, 0.8), &[of(0.5, 0.4)]);
    assert_eq!(single.iter().map(|f| f.metric.as_str()).collect::<Vec<_>>(), ["hr", "hr-drop", "auc", "auc-drop"]);
}

#[test]
fn ties_count_against_the_relevant_item() {
    let (data, fold) = fold(rows(1, 10, &[(0, 0)]), rows(1, 10, &[(0, 4)]));
    let found = measured(&Given { flat: true, seed: 0 }, &data, &fold, &eval(Relevant::All), &Run::new(0)).attacks;
    let value = |name| figure(&found[0], name).unwrap().value;
    // Eight candidates, all before it.
    assert_eq!([value("hr@5"), value("ndcg@5"), value("auc"), value("auc-half-ties")], [0.0, 0.0, 0.0, 0.5]);
    assert!(value("hr@60") == 1.0 && (value("ndcg@60") - 1.0 / 10f64.log2()).abs() < 1e-12);
}

/// User 0 has all items but the test item, user 1 no training row, user 2 no relevant item; item 3 is in test rows alone.
#[test]
fn users_at_the_edges_are_counted_as_in_the_offline_protocol() {
    let train = rows(4, 4, &[(0, 0), (0, 1), (0, 2), (2, 1), (3, 0)]);
    let (data, fold) = fold(train, rows(4, 4, &[(0, 3), (1, 3), (1, 0), (2, 1), (3, 3), (3, 0)]));
    let Measured { figures, attacks, users, .. } =
        measured(&Given::default(), &data, &fold, &eval(Relevant::All), &Run::new(0));
    for name in ["hr@5", "ndcg@60", "auc", "auc-half-ties"] {
        let offline = figures.iter().find(|f| f.group.is_none() && f.name() == name).unwrap();
        let attacked = attacks.iter().map(|a| figure(a, name).unwrap().n);
        assert_eq!((offline.n, attacked.collect::<Vec<_>>()), (2, vec![2; 5]), "{name}");
    }
    for metric in users.unwrap() {
        assert_eq!(metric.values.iter().map(|v| v.0).collect::<Vec<_>>(), [1, 3], "{metric:?}");
    }
}

#[test]
fn numbers_that_run_away_under_an_attack_name_it() {
    let (_, data, fold) = world(17);
    let attacks = Attacks { eps: vec![1e30], ..Attacks::default() };
    let found = offline::measure(&Given::default(), &data, &fold, &eval(Relevant::All), Some(&attacks), &Run::new(0));
    let error = found.unwrap_err().to_string();
    let name = name(&attacks.each().next().unwrap());
    assert!(
        error.starts_with("score of ") && error.ends_with(&format!(" under `{name}` became non-finite")),
        "{error}"
    );
}

#[test]
fn validation_rows_are_no_candidates() {
    let (data, mut fold) = fold(rows(1, 4, &[(0, 0)]), rows(1, 4, &[(0, 3)]));
    fold.validation = Some(rows(1, 4, &[(0, 1), (0, 0)]));
    let recipe = Given { flat: true, seed: 0 };
    let found = measured(&recipe, &data, &fold, &Eval { k: vec![1, 2], ..eval(Relevant::All) }, &Run::new(0)).attacks;
    // Item 2 is the one candidate.
    assert_eq!([1, 2].map(|k| figure(&found[0], &format!("hr@{k}")).unwrap().value), [0.0, 1.0]);
}

#[test]
fn likes_are_the_training_rows_that_would_be_relevant() {
    let (_, data, fold) = world(13);
    let liked = likes(&data, &fold, Relevant::Liked).unwrap();
    assert!(liked.iter().all(|(.., value)| value > 3.0) && liked.len() < fold.train.len());
    assert_eq!(*likes(&data, &fold, Relevant::All).unwrap(), fold.train);
}

#[test]
fn several_relevant_items_by_definition() {
    let at = |greater, equal| Position { greater, equal, candidates: 6 };
    // Ranks 1, 1 and 4: the items stand at 1, 2 and 6.
    let found = of_positions(&[at(4, 0), at(0, 1), at(1, 0)], &[1, 3, 10]).collect::<Vec<f64>>();
    let gain = |stand: f64| 1.0 / (stand + 2.0).log2();
    let ideal: f64 = (0..3).map(|n| gain(f64::from(n))).sum();
    let expected = [0.0, 0.0, 1.0, (gain(1.0) + gain(2.0)) / ideal, 1.0, (gain(1.0) + gain(2.0) + gain(6.0)) / ideal];
    for (found, expected) in found.iter().zip(expected.into_iter().chain([1.0 - 6.0 / 18.0, 1.0 - 5.5 / 18.0])) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

#[test]
fn threads_make_no_difference_and_a_request_to_stop_is_honoured() {
    let (_, data, fold) = world(14);
    let of = |threads| {
        let run = Run::new(7).with_threads(threads).unwrap();
        let found = measured(&Given::default(), &data, &fold, &eval(Relevant::All), &run);
        (found.attacks, found.users)
    };
    assert!(of(1) == of(3));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (factors, tested) = (world(14).0, ranking::tested(&fold, Relevant::All, data.scale));
    let run = Run::new(0).with_cancel(stop);
    let stopped = measure(&factors, &data, &fold, &tested, (&eval(Relevant::All), &attacks()), &run);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn nothing_relevant_leaves_the_norms_alone() {
    let (_, mut data, mut fold) = world(15);
    fold.test = fold.train.clone();
    data.user_groups.push(Groups::new("none", 150, vec![("x".into(), vec![])]).unwrap());
    let found = measured(&Given::default(), &data, &fold, &eval(Relevant::All), &Run::new(0));
    assert!(found.attacks[0].figures.iter().map(|f| f.metric.as_str()).eq(NORMS));
    assert!(found.attacks[1..].iter().all(|a| a.figures.is_empty()));
    assert!(scores::figures(&world(15).0, &data, &fold, &eval(Relevant::All), &Run::new(0)).unwrap().is_empty());
}
