//! Hand-worked tables, and the definitions cell by cell.

use super::*;
use crate::{Rows, Streams};
use rand::RngExt;

fn groups(entities: usize, lists: &[&[u32]]) -> Groups {
    let label = |(n, list): (usize, &&[u32])| (n.to_string(), list.to_vec());
    Groups::new("g", entities, lists.iter().enumerate().map(label).collect()).unwrap()
}

fn sum(deviation: Option<Deviation>) -> Option<f64> {
    deviation.map(|d| d.sum)
}

#[test]
fn worked_by_hand() {
    // Users 0 and 1 against 2 and 3; items 0 against 1, item 2 in no group; above 3, and 3 itself is not.
    let (users, items) = (groups(4, &[&[0, 1], &[2, 3]]), groups(3, &[&[0], &[1]]));
    let mut counts = Experience::new(Protected { users: Some(&users), items: Some(&items) }, 3);
    let predictions = [[4.0f32, 3.0, 5.0], [4.0, 4.0, 1.0], [3.0, 3.0, 1.0], [1.0, 4.0, 3.0]];
    (0..4).for_each(|user| counts.add_predictions(user, &predictions[user as usize], 3.0));
    // 5 of 12 in all. Cells: 2/2 and 1/2 for the first two users, 0/2 and 1/2 for the others.
    let mu = 5.0 / 12.0;
    let dee = (1.0 - mu) + (0.5 - mu) + mu + (0.5 - mu);
    assert!((counts.dee().unwrap().sum - dee).abs() < 1e-15 && counts.dee().unwrap().sets == 4);
    assert!((counts.dee().unwrap().mean() - dee / 4.0).abs() < 1e-15);
    // 4 of 6 against 1 of 6; 2 of 4 against 2 of 4.
    assert!((counts.ugf().unwrap().sum - 0.5).abs() < 1e-15);
    assert!((counts.cvs().unwrap().sum - 1.0 / 6.0).abs() < 1e-15);
    assert_eq!(counts.users(), 4);
}

#[test]
fn value_unfairness_by_hand() {
    let users = groups(3, &[&[0, 1], &[2]]);
    let mut rows = Rows::default();
    [(0, 0, 5.0), (1, 0, 3.0), (2, 0, 2.0), (2, 1, 4.0)].into_iter().for_each(|(u, i, r)| rows.push(u, i, r));
    let train = Interactions::new(3, 2, &rows).unwrap();
    let mut means = GroupMeans::new(&users, 2);
    [[3.0, 1.0], [4.0, 2.0], [2.5, 3.0]].iter().zip(0..).for_each(|(row, user)| means.add(user, row));
    // Item 0: |4 - 3.5| and |2 - 2.5|: gap 0. Item 1: |0 - 1.5| and |4 - 3|: gap 0.5.
    assert!((means.val(&train).unwrap() - 0.25).abs() < 1e-7);
}

#[test]
fn what_is_missing_or_empty_has_no_value() {
    let (some, hollow) = (groups(2, &[&[0], &[1]]), groups(2, &[&[0, 1], &[]]));
    let of = |users, items| {
        let mut counts = Experience::new(Protected { users, items }, 2);
        (0..2).for_each(|user| counts.add_predictions(user, &[1.0, 0.0], 0.5));
        [counts.dee(), counts.ugf(), counts.cvs()].map(|d| d.is_some())
    };
    assert_eq!(of(Some(&some), Some(&some)), [true; 3]);
    assert_eq!(of(None, Some(&some)), [false, false, true]);
    assert_eq!(of(Some(&some), None), [false, true, false]);
    assert_eq!(of(Some(&hollow), Some(&some)), [false, false, true]);
    assert_eq!(of(Some(&some), Some(&hollow)), [false, true, false]);
    let nobody = Experience::new(Protected { users: Some(&some), items: Some(&some) }, 2);
    assert_eq!([nobody.dee(), nobody.ugf(), nobody.cvs()], [None; 3]);
    // A group whose users were not counted is as empty.
    let mut half = nobody.clone();
    half.add_list(0, &[1]);
    assert_eq!((half.dee(), half.ugf(), half.cvs().is_some()), (None, None, true));

    let train = Interactions::new(2, 2, &Rows::default()).unwrap();
    for (groups, expected) in [(groups(2, &[&[0, 1]]), None), (hollow, None), (some, Some(0.0))] {
        let mut means = GroupMeans::new(&groups, 2);
        (0..2).for_each(|user| means.add(user, &[1.0, 0.0]));
        assert_eq!(means.val(&train), expected);
    }
}

#[test]
fn a_list_is_the_predictions_that_it_stands_for() {
    let (users, items) = (groups(3, &[&[0, 2], &[1, 2]]), groups(4, &[&[0, 3], &[3]]));
    let protected = Protected { users: Some(&users), items: Some(&items) };
    let (mut lists, mut predictions) = (Experience::new(protected, 4), Experience::new(protected, 4));
    for (user, list) in [(0, &[3u32, 1][..]), (1, &[0, 3]), (2, &[])] {
        lists.add_list(user, list);
        predictions.add_predictions(user, &[0, 1, 2, 3].map(|i| f32::from(u8::from(list.contains(&i)))), 0.5);
    }
    assert_eq!(sum(lists.dee()), sum(predictions.dee()));
    assert_eq!((lists.shown, lists.users), (predictions.shown, predictions.users));
}

const USERS: usize = 9;
const ITEMS: usize = 7;

/// Mean of R over some users x some items.
fn mean(predictions: &[Vec<f64>], users: &[u32], items: &[u32]) -> f64 {
    let above = |u: &u32| items.iter().filter(|&&i| predictions[*u as usize][i as usize] > 3.0).count();
    users.iter().map(above).sum::<usize>() as f64 / (users.len() * items.len()) as f64
}

/// Overlapping groups that leave entities out; any number of them; merged from parts.
#[test]
fn agrees_with_the_definitions_cell_by_cell() {
    let (every_user, every_item): (Vec<u32>, Vec<u32>) = ((0..USERS as u32).collect(), (0..ITEMS as u32).collect());
    for seed in 0..40 {
        let mut rng = Streams::new(seed).rng(0);
        let mut some = |entities: usize| {
            let count = rng.random_range(2..5);
            let mut list = || (0..entities as u32).filter(|_| rng.random_bool(0.4)).chain([0]).collect::<Vec<_>>();
            let lists: Vec<Vec<u32>> = (0..count).map(|_| list()).collect();
            groups(entities, &lists.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let (users, items) = (some(USERS), some(ITEMS));
        let predictions: Vec<Vec<f64>> =
            (0..USERS).map(|_| (0..ITEMS).map(|_| f64::from(rng.random_range(4..=9)) / 2.0).collect()).collect();
        let mut rows = Rows::default();
        (0..25).for_each(|_| {
            let (user, item) = (rng.random_range(0..USERS as u32), rng.random_range(0..ITEMS as u32));
            rows.push(user, item, rng.random_range(1..=5) as f32);
        });
        let train = Interactions::new(USERS, ITEMS, &rows).unwrap();

        let protected = Protected { users: Some(&users), items: Some(&items) };
        let (mut counts, mut means) = (Experience::new(protected, ITEMS), GroupMeans::new(&users, ITEMS));
        for part in every_user.chunks(4) {
            let (mut c, mut m) = (Experience::new(protected, ITEMS), GroupMeans::new(&users, ITEMS));
            for &user in part {
                c.add_predictions(user, &predictions[user as usize], 3.0);
                m.add(user, &predictions[user as usize]);
            }
            counts.merge(&c);
            means.merge(&m);
        }

        let mu = mean(&predictions, &every_user, &every_item);
        let far = |u: &[u32], i: &[u32]| (mu - mean(&predictions, u, i)).abs();
        let ugf: f64 = (0..users.len()).map(|g| far(users.members(g), &every_item)).sum();
        let cvs: f64 = (0..items.len()).map(|k| far(&every_user, items.members(k))).sum();
        let cells = (0..users.len()).flat_map(|g| (0..items.len()).map(move |k| (g, k)));
        let dee: f64 = cells.map(|(g, k)| far(users.members(g), items.members(k))).sum();
        for (got, expected) in [(counts.dee(), dee), (counts.ugf(), ugf), (counts.cvs(), cvs)] {
            assert!((got.unwrap().sum - expected).abs() < 1e-12, "{got:?}, expected {expected}");
        }

        let gap = |g: usize, item: u32| {
            let members = users.members(g);
            let ratings: Vec<f64> =
                train.iter().filter(|r| r.1 == item && members.contains(&r.0)).map(|r| f64::from(r.2)).collect();
            let observed = if ratings.is_empty() { 0.0 } else { ratings.iter().sum::<f64>() / ratings.len() as f64 };
            let predicted: f64 = members.iter().map(|&u| predictions[u as usize][item as usize]).sum();
            (observed - predicted / members.len() as f64).abs()
        };
        let pairs: Vec<_> = (0..users.len()).flat_map(|g| (0..g).map(move |h| (g, h))).collect();
        let of_item = |item: u32| pairs.iter().map(|&(g, h)| (gap(g, item) - gap(h, item)).abs()).sum::<f64>();
        let val = every_item.iter().map(|&i| of_item(i) / pairs.len() as f64).sum::<f64>() / ITEMS as f64;
        assert!((means.val(&train).unwrap() - val).abs() < 1e-6, "{:?}, expected {val}", means.val(&train));
    }
}
