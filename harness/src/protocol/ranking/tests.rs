//! The blocked, parallel computation against one written straight from the definitions.

use super::super::scores::figures;
use super::*;
use evenhand_core::{Factors, Groups, Interactions, Model as _, Output, Rows, Run, Streams};
use nalgebra::DMatrix;
use rand::RngExt;

const USERS: usize = 150;
const ITEMS: usize = 40;

/// Few distinct scores, so that ties are common; duplicates; test rows that repeat training rows; users without any.
pub(in super::super) fn world(seed: u64) -> (Factors, Dataset, Fold) {
    let mut rng = Streams::new(seed).rng(0);
    let mut draw = |n: usize| {
        let mut rows = Rows::default();
        for _ in 0..n {
            // The last users and items never occur.
            let (user, item) = (rng.random_range(0..USERS as u32 - 9), rng.random_range(0..ITEMS as u32 - 3));
            rows.push(user, item, rng.random_range(1..=5) as f32);
        }
        Interactions::new(USERS, ITEMS, &rows).unwrap()
    };
    let (train, test) = (draw(1500), draw(400));
    let mut factor = |_: usize, _: usize| rng.random_range(-2..=2) as f32;
    let users = DMatrix::from_fn(2, USERS, &mut factor);
    let items = DMatrix::from_fn(2, ITEMS, &mut factor);
    let mut data = Dataset::new("small", train.clone(), Scale::FIVE_STARS);
    let groups = vec![("low".into(), (0..70).collect()), ("odd".into(), (1..USERS as u32).step_by(2).collect())];
    data.user_groups.push(Groups::new("half", USERS, groups).unwrap());
    (
        Factors::new(users, items, Output::Order).unwrap(),
        data,
        Fold { label: String::new(), train, test, validation: None },
    )
}

fn eval(relevant: Relevant) -> Eval {
    Eval { k: vec![5, 1, 60], relevant, users: false }
}

/// Every metric of every user by definition, then the mean over `members`.
fn by_definition(model: &Factors, fold: &Fold, relevant: Relevant, members: &[u32]) -> Vec<(String, f64, u64)> {
    let mut sums: Vec<(String, f64, u64)> = Vec::new();
    for &user in members {
        let seen = fold.train.by_user().partners(user as usize);
        let mut wanted: Vec<u32> = fold
            .test
            .by_user()
            .row(user as usize)
            .filter(|(item, value)| (relevant == Relevant::All || *value > 3.0) && !seen.contains(item))
            .map(|(item, _)| item)
            .collect();
        wanted.dedup();
        if wanted.is_empty() {
            continue;
        }
        let score = |item: u32| model.users.column(user as usize).dot(&model.items.column(item as usize));
        let mut list: Vec<u32> = (0..ITEMS as u32).filter(|item| !seen.contains(item)).collect();
        list.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let mut values = Vec::new();
        for k in [5, 1, 60] {
            let hits: Vec<usize> =
                list.iter().take(k).enumerate().filter(|(_, i)| wanted.contains(i)).map(|(rank, _)| rank).collect();
            let most = k.min(wanted.len());
            let dcg: f64 = hits.iter().map(|&r| gain(r)).sum();
            let precisions: f64 = hits.iter().enumerate().map(|(n, &r)| (n + 1) as f64 / (r + 1) as f64).sum();
            values.push((format!("ndcg@{k}"), dcg / (0..most).map(gain).sum::<f64>()));
            values.push((format!("hr@{k}"), f64::from(u8::from(!hits.is_empty()))));
            values.push((format!("recall@{k}"), hits.len() as f64 / wanted.len() as f64));
            values.push((format!("precision@{k}"), hits.len() as f64 / k as f64));
            values.push((format!("mrr@{k}"), hits.first().map_or(0.0, |&r| 1.0 / (r + 1) as f64)));
            values.push((format!("map@{k}"), precisions / most as f64));
        }
        let rivals: Vec<u32> = list.iter().copied().filter(|i| !wanted.contains(i)).collect();
        let pairs = || wanted.iter().flat_map(|&w| rivals.iter().map(move |&r| (w, r)));
        let share = |wins: f64| wins / pairs().count() as f64;
        let strict = pairs().filter(|&(w, r)| score(w) > score(r)).count() as f64;
        let ties = pairs().filter(|&(w, r)| score(w) == score(r)).count() as f64;
        if !rivals.is_empty() {
            values.push(("auc".into(), share(strict)));
            values.push(("auc-half-ties".into(), share(strict + ties / 2.0)));
        }
        for (name, value) in values {
            match sums.iter_mut().find(|(n, ..)| *n == name) {
                Some((_, sum, n)) => (*sum, *n) = (*sum + value, *n + 1),
                None => sums.push((name, value, 1)),
            }
        }
    }
    sums.into_iter().map(|(name, sum, n)| (name, sum / n as f64, n)).collect()
}

#[test]
fn agrees_with_the_definitions_for_all_users_and_groups() {
    for (seed, relevant) in [(1, Relevant::Liked), (2, Relevant::All), (3, Relevant::Liked)] {
        let (model, data, fold) = world(seed);
        let found = figures(&model, &data, &fold, &eval(relevant), &Run::new(0)).unwrap();
        let everyone: Vec<u32> = (0..USERS as u32).collect();
        let groups = &data.user_groups[0];
        let parts =
            [(None, &everyone[..]), (Some("half=low"), groups.members(0)), (Some("half=odd"), groups.members(1))];
        let mut compared = 0;
        for (group, members) in parts {
            for (name, value, n) in by_definition(&model, &fold, relevant, members) {
                let figure = found.iter().find(|f| f.name() == name && f.group.as_deref() == group).expect(&name);
                assert!((figure.value - value).abs() < 1e-12, "{name} {group:?}: {} or {value}", figure.value);
                assert_eq!(figure.n, n, "{name} {group:?}");
                compared += 1;
            }
        }
        // Coverage and Gini at three lengths are checked below.
        assert_eq!((compared, found.len()), (3 * 20, 3 * 20 + 6));
    }
}

#[test]
fn coverage_and_gini_count_what_the_evaluated_users_are_shown() {
    let (model, data, fold) = world(4);
    let found = figures(&model, &data, &fold, &eval(Relevant::All), &Run::new(0)).unwrap();
    for k in [5, 1, 60] {
        let mut counts = vec![0u64; ITEMS];
        let tested = tested(&fold, Relevant::All, data.scale);
        let users: Vec<u32> = tested.iter().map(|t| t.user).collect();
        let top = model.top_k(&users, Some(&fold.train), k, &Run::new(0)).unwrap();
        (0..users.len()).for_each(|b| top.items(b).iter().for_each(|&item| counts[item as usize] += 1));
        for (metric, expected) in [("coverage", coverage(&counts)), ("gini", gini(&counts))] {
            let figure = found.iter().find(|f| f.metric == metric && f.k == Some(k)).unwrap();
            assert_eq!((Some(figure.value), figure.n), (expected, users.len() as u64), "{metric}@{k}");
        }
    }
}

#[test]
fn threads_make_no_difference() {
    let (model, data, fold) = world(5);
    let of = |threads| {
        let run = Run::new(0).with_threads(threads).unwrap();
        figures(&model, &data, &fold, &eval(Relevant::Liked), &run).unwrap()
    };
    assert!(of(1) == of(2) && of(1) == of(7));
}

#[test]
fn without_a_relevant_row_there_is_no_figure() {
    let (model, data, mut fold) = world(6);
    fold.test = fold.train.clone();
    assert_eq!(figures(&model, &data, &fold, &eval(Relevant::All), &Run::new(0)).unwrap(), []);
}

#[test]
fn who_has_nothing_to_rank_a_test_item_against_is_not_measured() {
    let rows = |pairs: &[(u32, u32, f32)]| {
        let mut rows = Rows::default();
        pairs.iter().for_each(|&(user, item, value)| rows.push(user, item, value));
        Interactions::new(4, 3, &rows).unwrap()
    };
    // Of users 0 and 1 no item is left, of user 1 by a validation row; user 2 dislikes one; user 3 has seen the test item.
    let train = rows(&[(0, 0, 5.0), (0, 0, 5.0), (1, 0, 5.0), (2, 0, 5.0), (3, 0, 5.0), (3, 1, 5.0), (3, 2, 5.0)]);
    let test = rows(&[(0, 1, 5.0), (0, 2, 5.0), (1, 2, 5.0), (2, 1, 1.0), (2, 2, 5.0), (3, 0, 5.0)]);
    let fold = Fold { label: String::new(), train, test, validation: Some(rows(&[(1, 1, 5.0)])) };
    let measured = |relevant| {
        let users: Vec<u32> = tested(&fold, relevant, Scale::FIVE_STARS).iter().map(|t| t.user).collect();
        (users, without_rivals(&fold, relevant, Scale::FIVE_STARS))
    };
    assert_eq!((measured(Relevant::Liked), measured(Relevant::All)), ((vec![2], 2), (vec![], 3)));
}

#[test]
fn a_score_that_is_not_finite_is_an_error() {
    let (mut model, data, fold) = world(7);
    model.items[(0, 3)] = f32::NAN;
    let error = figures(&model, &data, &fold, &eval(Relevant::All), &Run::new(0)).unwrap_err().to_string();
    assert!(error.contains("score of user") && error.contains("not finite") || error.contains("non-finite"), "{error}");
}
