use super::{Draws, Truth, UserItem};
use evenhand_core::contract::{assert_all, simulator_with};
use evenhand_core::{Descriptor, Environment, Run, Simulator, Slates, Streams};
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand::RngExt;
use serde_json::json;
use std::collections::HashSet;

fn open(recipe: &UserItem, seed: u64) -> Box<dyn Environment> {
    recipe.open(&Run::new(seed)).unwrap()
}

fn slates(size: usize, items: Vec<u32>) -> Slates {
    Slates { size, scores: vec![0.0; items.len()], items }
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    sum / f64::from(count)
}

fn small() -> UserItem {
    UserItem { users: 30, items: 20, attributes: 3, ..Default::default() }
}

/// Two users and three items of three attributes.
fn worked() -> Truth {
    let users = DMatrix::from_column_slice(3, 2, &[1.0, 0.5, 0.0, 0.5, 0.0, 1.0]);
    let items = DMatrix::from_column_slice(3, 3, &[0.5, 0.5, 1.0, 1.0, 0.0, 0.25, 0.0, 1.0, 0.5]);
    Truth::new(users, items).unwrap()
}

#[test]
fn values_by_hand() {
    let truth = worked();
    let values = |truth: &Truth, user| [0, 1, 2].map(|item| truth.expected(user, item));
    assert_eq!((values(&truth, 0), values(&truth, 1)), ([0.75, 1.0, 0.5], [1.25, 0.75, 0.5]));
    let best = |users: &[u32], items, size| truth.best(users, items, size, &Run::new(0)).map_err(|e| e.to_string());
    assert_eq!(best(&[1, 0, 1], 3, 2), Ok(vec![1.25, 0.75, 1.0, 0.75, 1.25, 0.75]));
    assert_eq!((best(&[0], 1, 1), best(&[0], 3, 0), best(&[], 3, 3)), (Ok(vec![0.75]), Ok(vec![]), Ok(vec![])));
    assert_eq!(best(&[2], 3, 1), Err("user index: expected below 2, got 2".into()));
    assert_eq!(best(&[0], 2, 3), Err("best items: expected at most 2 of 3, got 3 of 2".into()));
    assert_eq!(best(&[0], 4, 1), Err("best items: expected at most 3 of 3, got 1 of 4".into()));
    // Two of three attributes are the first half. The minority sees half of it, the others half of the rest.
    let truth = truth.with_groups(vec![true, false], 0.5).unwrap();
    assert_eq!((values(&truth, 0), values(&truth, 1)), ([0.375, 0.5, 0.25], [0.75, 0.625, 0.25]));
    assert_eq!(truth.best(&[0, 1], 3, 1, &Run::new(0)).unwrap(), [0.5, 0.75]);
    assert!(worked().with_groups(vec![true], 0.5).is_err());
    assert!(Truth::new(DMatrix::zeros(2, 1), DMatrix::zeros(3, 1)).is_err());
}

/// The whole contract wherever a parameter switches to other code.
#[test]
fn every_variant_keeps_the_contract() {
    let descriptor = Descriptor::<dyn Simulator>::of::<UserItem>();
    for params in [
        json!({ "noise_draws": "batch", "users": 40, "items": 50 }),
        json!({ "user_drift": 0.1, "users": 40, "items": 50, "attributes": 1 }),
        json!({ "item_drift": 0.1, "delay": 2, "asking": 0.3, "users": 40, "items": 50, "attributes": 17 }),
        json!({ "late_users": 0.5, "late_items": 0.9, "arrival": 3, "users": 40, "items": 50 }),
        json!({ "contrast": 1.0, "minority": 0.5, "noise": 0.0, "users": 41, "items": 3, "attributes": 5 }),
        json!({ "users": 1, "items": 1, "minority": 0.5, "late_users": 0.9 }),
    ] {
        println!("{params}");
        assert_all(simulator_with(&descriptor, &params));
    }
}

/// Period 0 of the reported curves: random items for 1000 users among 1000 items.
#[test]
fn random_items_have_the_reported_regret() {
    let (mut regrets, mut values, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..4 {
        let mut world = open(&UserItem::default(), seed);
        let users = world.requests(0).unwrap().users;
        let mut sorted = users.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..1000) && users != sorted);
        let mut rng = Streams::new(seed).child("test/items").rng(0);
        let audit =
            world.answer(&users, &slates(1, users.iter().map(|_| rng.random_range(0..1000)).collect())).unwrap();
        regrets.push(audit.mean_regret(1).unwrap());
        values.push(mean(audit.expected.iter().copied()));
        errors.extend(audit.observed.iter().zip(&audit.expected).map(|(o, e)| o - e));
        // The best value of some users, looked up pair by pair.
        for at in [0, 500, 999] {
            let pairs = world.expected(&[users[at]; 1000], &(0..1000).collect::<Vec<_>>()).unwrap();
            assert_eq!(audit.best[at], pairs.into_iter().fold(0.0, f64::max));
        }
    }
    assert!((mean(regrets.iter().copied()) - 1.55).abs() < 0.1, "{regrets:?}");
    assert!(regrets.iter().all(|r| (r - 1.55).abs() < 0.2), "{regrets:?}");
    assert!((mean(values.iter().copied()) - 2.5).abs() < 0.05, "{values:?}");
    // 4000 draws of sd 0.1: five standard errors of their mean and of their variance.
    assert!(mean(errors.iter().copied()).abs() < 0.008);
    assert!((mean(errors.iter().map(|e| e * e)) - 0.01).abs() < 0.0012);
}

#[test]
fn noise_belongs_to_period_user_and_place() {
    let noise = |recipe: &UserItem, turn: u32| {
        let mut world = open(recipe, 5);
        let mut of_periods = Vec::new();
        for period in 0..2 {
            let mut users = world.requests(period).unwrap().users;
            users.sort_unstable();
            let items = users.iter().flat_map(|u| [(u + turn) % 20, (u + turn + 1) % 20]).collect();
            let audit = world.answer(&users, &slates(2, items)).unwrap();
            of_periods.push(audit.observed.iter().zip(&audit.expected).map(|(o, e)| o - e).collect::<Vec<_>>());
            world.feedback().unwrap();
        }
        of_periods
    };
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    let row = noise(&small(), 0);
    for (period, other) in noise(&small(), 7).iter().enumerate() {
        assert!(near(other, &row[period]), "other items, the same noise");
    }
    let distinct: HashSet<u64> = row.concat().iter().map(|e| (e * 1e9) as i64 as u64).collect();
    assert_eq!(distinct.len(), 2 * 30 * 2);
    let batch = noise(&UserItem { noise_draws: Draws::Batch, ..small() }, 0);
    assert!(batch.iter().all(|errors| near(errors, &[errors[0]; 60]) && errors[0] != 0.0));
    assert!((batch[0][0] - batch[1][0]).abs() > 1e-9);
    assert_eq!(noise(&UserItem { noise: 0.0, ..small() }, 0).concat(), [0.0; 120]);
}

#[test]
fn ratings_arrive_late_in_the_order_shown() {
    let mut world = open(&UserItem { delay: 2, asking: 0.1, ..small() }, 1);
    let mut shown = Vec::new();
    for period in 0..6 {
        let requests = world.requests(period).unwrap();
        assert_eq!(requests.users.len(), 3);
        let mut rows = Vec::new();
        // Two batches in a period, the users of the second in another order.
        for users in [requests.users.clone(), requests.users.iter().rev().copied().collect()] {
            let items: Vec<u32> = users.iter().map(|u| u % 20).collect();
            let audit = world.answer(&users, &slates(1, items.clone())).unwrap();
            rows.extend(users.into_iter().zip(items).zip(audit.observed).map(|((u, i), v)| (u, i, v as f32)));
        }
        shown.push(rows);
        let back = world.feedback().unwrap();
        let rows: Vec<_> = back.rows.iter().map(|r| (r.user, r.item, r.value)).collect();
        let expected = if period < 2 { &[][..] } else { &shown[period - 2] };
        assert_eq!((rows.as_slice(), back.users, back.items), (expected, 30, 20));
    }
}

#[test]
fn newcomers_come_evenly_and_are_unknown_before() {
    let recipe = UserItem { late_users: 0.5, late_items: 0.99, arrival: 5, noise: 0.0, ..small() };
    let mut world = open(&recipe, 2);
    let mut best = Vec::new();
    for (period, there) in [(15, 1), (18, 4), (21, 8), (24, 12), (27, 16), (30, 20), (30, 20)].into_iter().enumerate() {
        let requests = world.requests(period).unwrap();
        assert_eq!((requests.present_users, requests.present_items, requests.users.len()), (there.0, there.1, there.0));
        let everything: Vec<u32> = (0..there.1 as u32).collect();
        let pairs = world.expected(&vec![0; there.1], &everything).unwrap();
        best.push(world.answer(&[0], &slates(1, vec![0])).unwrap().best[0]);
        assert_eq!(best[period], pairs.into_iter().fold(0.0, f64::max));
        let absent = world.answer(&[0], &slates(1, vec![there.1 as u32])).unwrap_err().to_string();
        assert_eq!(absent, format!("item index: expected below {0}, the number there by now, got {0}", there.1));
        let back = world.feedback().unwrap();
        assert_eq!((back.users, back.items), there);
    }
    assert!(best[0] < best[5] && best.is_sorted());
}

#[test]
fn the_minority_differs_by_the_contrast() {
    let recipe = UserItem { users: 101, attributes: 4, ..small() };
    let pairs: (Vec<u32>, Vec<u32>) = (0..101 * 20).map(|n| (n / 20, n % 20)).unzip();
    let values = |recipe: &UserItem| {
        let mut world = open(recipe, 3);
        world.requests(0).unwrap();
        (world.stage().unwrap(), world.expected(&pairs.0, &pairs.1).unwrap())
    };
    let (stage, plain) = values(&recipe);
    let [groups] = stage.user_groups.as_slice() else { panic!("{:?}", stage.user_groups) };
    assert_eq!((groups.name(), groups.labels()), ("taste", &["majority".to_string(), "minority".to_string()][..]));
    let minority = groups.members(1);
    assert!(minority.len() == 20 && groups.members(0).len() == 81 && minority != (0..20).collect::<Vec<_>>());
    assert_eq!((stage.scale.low, stage.scale.high, stage.scale.like_above), (0.0, 4.0, 1.0));
    // With all contrast the halves of the sum go to one group each; without the grouping nothing changes.
    let full = values(&UserItem { contrast: 1.0, ..recipe.clone() }).1;
    let half = values(&UserItem { contrast: 0.5, ..recipe.clone() }).1;
    for ((plain, full), half) in plain.iter().zip(&full).zip(&half) {
        assert!(full < plain && (half - (plain + full) / 2.0).abs() < 1e-12);
    }
    let none = values(&UserItem { minority: 0.0, contrast: 1.0, ..recipe });
    assert_eq!((none.0.user_groups.len(), none.1), (0, plain));
}

#[test]
fn what_is_too_large_is_refused() {
    let refusal = |recipe: UserItem| recipe.open(&Run::new(0)).err().expect("a refusal").to_string();
    let said = refusal(UserItem { users: usize::MAX, ..small() });
    assert_eq!(
        said,
        format!("`user-item`: parameter `users` = {}, expected at most 1431655765 with attributes = 3", u64::MAX)
    );
    assert!(refusal(UserItem { items: 2, attributes: usize::MAX, ..small() }).contains("at most 0"));
    assert!(refusal(UserItem { asking: 0.0, ..small() }).contains("`asking` = 0"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_best_are_those_of_a_full_sort(
        users in 1usize..40, items in 1usize..70, attributes in 1usize..20, contrast in 0.0..=1.0, seed in any::<u64>(),
    ) {
        let recipe = UserItem { users, items, attributes, contrast, minority: 0.5, ..Default::default() };
        let mut world = open(&recipe, seed);
        let requests = world.requests(0).unwrap();
        let everything: Vec<u32> = (0..items as u32).collect();
        // Small slates first, then all there is: what was found for the first ones must not be taken for the rest.
        for size in [1, items.div_ceil(2), items] {
            let mut rng = Streams::new(seed).child("test/slates").rng(size as u64);
            let shown: Vec<u32> = requests.users.iter().flat_map(|_| {
                let first = rng.random_range(0..items);
                (0..size).map(move |place| ((first + place) % items) as u32)
            }).collect();
            let audit = world.answer(&requests.users, &slates(size, shown)).unwrap();
            prop_assert!(audit.regrets(size).all(|regret| regret >= -1e-12));
            for (at, &user) in requests.users.iter().enumerate() {
                let mut all = world.expected(&vec![user; items], &everything).unwrap();
                all.sort_by(|a, b| b.total_cmp(a));
                prop_assert_eq!(&audit.best[at * size..][..size], &all[..size]);
                prop_assert!(audit.expected[at * size..][..size].iter().all(|e| *e <= all[0]));
            }
        }
    }
}
