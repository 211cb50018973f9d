use super::PreferenceDynamics;
use super::world::Open;
use evenhand_core::contract::{assert_all, simulator_with};
use evenhand_core::{
    Dataset, Descriptor, Environment, Feedback, Lottery, Recommender, Registry, Run, Simulator, Slates, Training,
};
use serde_json::json;

fn slates(size: usize, items: Vec<u32>) -> Slates {
    Slates { size, scores: vec![0.0; items.len()], items }
}

/// A small world in which recommendations matter.
fn small() -> PreferenceDynamics {
    PreferenceDynamics { users: 30, items: 12, dimension: 3, c: 2.0, ..Default::default() }
}

/// A world of very many users, all alike: the profile of the first one. It has moved away from where they began.
fn alike(users: usize) -> Open {
    let mut world = Open::new(&PreferenceDynamics { users, items: 7, ..small() }, &Run::new(3)).unwrap();
    let (first, now) = (world.first.column(0).into_owned(), world.first.column(1).into_owned());
    world.first.column_iter_mut().for_each(|mut profile| profile.copy_from(&first));
    world.profiles.column_iter_mut().for_each(|mut profile| profile.copy_from(&now));
    world
}

/// Shows the same slate to everyone in the next period, or nothing.
fn show(world: &mut Open, period: usize, slate: &[u32]) -> Feedback {
    let users = world.requests(period).unwrap().users;
    if !slate.is_empty() {
        world.answer(&users, &slates(slate.len(), slate.repeat(users.len()))).unwrap();
    }
    world.feedback().unwrap()
}

fn lottery(slate: &[u32]) -> Lottery {
    let mut set = slate.to_vec();
    set.sort_unstable();
    Lottery::certain(set)
}

#[test]
fn every_variant_keeps_the_contract() {
    let descriptor = Descriptor::<dyn Simulator>::of::<PreferenceDynamics>();
    for params in [
        json!({ "users": 40, "items": 25, "dimension": 1, "c": 0.01 }),
        json!({ "users": 40, "items": 25, "beta": 0.0, "alpha_harmful": 1.0, "alpha_harmless": 1.0, "harmful": 1.0 }),
        json!({ "users": 33, "items": 3, "user_spread": 0.0, "harmful": 0.0, "history": 1, "c": 1e9 }),
        json!({ "users": 2, "items": 2, "beta": 1.0, "alpha_harmful": 0.0, "alpha_harmless": 0.0 }),
    ] {
        println!("{params}");
        assert_all(simulator_with(&descriptor, &params));
    }
}

#[test]
fn what_is_consumed_follows_the_law() {
    const USERS: usize = 40_000;
    for slate in [&[][..], &[4], &[5, 1, 2]] {
        let mut world = alike(USERS);
        let (first, now) = (world.first.column(0).into_owned(), world.profiles.column(0).into_owned());
        let chances = world.catalogue.selection(now.as_slice(), &lottery(slate)).unwrap();
        let click = world.catalogue.value(now.as_slice(), &lottery(slate)).unwrap().click;
        let expected = world.catalogue.expected_step(first.as_slice(), now.as_slice(), &lottery(slate)).unwrap();
        let rows = show(&mut world, 0, slate).rows;
        let near = |what: &str, count: usize, p: f64| {
            let (share, error) = (count as f64 / USERS as f64, (p * (1.0 - p) / USERS as f64).sqrt());
            assert!((share - p).abs() <= 5.0 * error, "{slate:?}, {what}: a share of {share}, expected {p}");
        };
        // Who is shown nothing consumes when the period ends.
        if !slate.is_empty() {
            let consumed = |item: u32| world.consumed.iter().filter(|c| **c == Some(item)).count();
            chances.iter().zip(0..).for_each(|(&p, item)| near(&format!("item {item}"), consumed(item), p));
            near("clicks", rows.iter().filter(|row| row.value == 1.0).count(), click);
        }
        world.requests(1).unwrap();
        for (k, expected) in expected.into_iter().enumerate() {
            let values: Vec<f64> = world.profiles.row(k).iter().copied().collect();
            let mean = values.iter().sum::<f64>() / USERS as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / USERS as f64;
            let error = (variance / USERS as f64).sqrt();
            assert!((mean - expected).abs() <= 5.0 * error, "{slate:?}: {mean}, expected {expected}");
        }
    }
}

#[test]
fn values_are_chances_of_being_taken_alone() {
    let mut world = Open::new(&small(), &Run::new(5)).unwrap();
    let users = world.requests(0).unwrap().users;
    for &user in &users {
        let profile = world.profiles.column(user as usize).into_owned();
        let click = |item| world.catalogue.value(profile.as_slice(), &Lottery::certain(vec![item])).unwrap().click;
        let mut values = world.expected(&[user; 12], &(0..12).collect::<Vec<_>>()).unwrap();
        values.iter().zip(0..).for_each(|(value, item)| assert!((value - click(item)).abs() < 1e-12));
        let audit = world.answer(&[user], &slates(3, vec![7, 0, 3])).unwrap();
        assert_eq!(audit.expected, [values[7], values[0], values[3]]);
        values.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(audit.best, values[..3]);
    }
    // They are of the period that began last, also when it has ended.
    let items: Vec<u32> = users.iter().map(|user| user % 12).collect();
    let before = world.expected(&users, &items).unwrap();
    world.feedback().unwrap();
    assert_eq!(world.expected(&users, &items).unwrap(), before);
    world.requests(1).unwrap();
    assert_ne!(world.expected(&users, &items).unwrap(), before);
}

/// At most one item of a slate is taken, and agents are told nothing else.
#[test]
fn the_last_slate_of_a_period_moves_the_profile() {
    let open = || Open::new(&small(), &Run::new(6)).unwrap();
    let after = |shown: &[&[u32]]| {
        let mut world = open();
        let users = world.requests(0).unwrap().users;
        for slate in shown {
            world.answer(&users, &slates(slate.len(), slate.repeat(users.len()))).unwrap();
        }
        let rows = world.feedback().unwrap().rows;
        assert!(rows.iter().all(|row| row.value == 0.0 || row.value == 1.0));
        world.requests(1).unwrap();
        (world.profiles, rows)
    };
    let (two, rows) = after(&[&[1, 2], &[3, 4]]);
    assert_eq!((rows.len(), &two), (4 * 30, &after(&[&[3, 4]]).0));
    assert!(rows.chunks(2).all(|slate| slate[0].value + slate[1].value <= 1.0));
    assert_ne!(two, after(&[&[1, 2]]).0);
    assert_eq!(after(&[&[1, 2], &[]]).0, after(&[]).0, "nothing is a slate too");
    // Whoever does not take from the slate consumes what would have been consumed without it.
    let (mut shown, mut without) = (open(), open());
    let everyone = shown.requests(0).unwrap().users;
    let audit = shown.answer(&everyone, &slates(1, vec![9; 30])).unwrap();
    shown.feedback().unwrap();
    show(&mut without, 0, &[]);
    [&mut shown, &mut without].into_iter().for_each(|world| drop(world.requests(1).unwrap()));
    let same = (0..30).filter(|&user| shown.profiles.column(user) == without.profiles.column(user)).count();
    let taken = audit.observed.iter().filter(|taken| **taken == 1.0).count();
    assert!(taken > 0 && same >= 30 - taken, "{same} the same, {taken} taken");
}

#[test]
fn histories_follow_first_profiles() {
    let recipe = PreferenceDynamics { users: 4000, history: 5, ..small() };
    let mut world = Open::new(&recipe, &Run::new(3)).unwrap();
    let first = world.first.column(0).into_owned();
    world.first.column_iter_mut().for_each(|mut profile| profile.copy_from(&first));
    let data = world.dataset().unwrap();
    let chances = world.catalogue.selection(first.as_slice(), &Lottery::certain(vec![])).unwrap();
    for (item, p) in chances.into_iter().enumerate() {
        // An item is a row unless it is missed five times.
        let (p, share) = (1.0 - (1.0 - p).powi(5), data.ratings.by_item().count(item) as f64 / 4000.0);
        assert!((share - p).abs() <= 5.0 * (p * (1.0 - p) / 4000.0).sqrt(), "item {item}: {share}, expected {p}");
    }
    assert!(data.ratings.iter().all(|(.., value)| value == 1.0) && data.scale.likes(1.0));
    // Whatever has happened since.
    show(&mut world, 0, &[1, 2]);
    world.requests(1).unwrap();
    assert_eq!(world.dataset().unwrap(), data);
    let harm = data.protected().items.unwrap();
    let labels: Vec<_> = harm.labels().iter().zip([harm.members(0).len(), harm.members(1).len()]).collect();
    assert_eq!((harm.name(), labels), ("harm", vec![(&"harmful".to_string(), 5), (&"harmless".to_string(), 7)]));
    assert!(harm.members(0).iter().all(|&item| world.catalogue.is_harmful(item)));
}

#[test]
fn recommenders_learn_from_histories() {
    let run = Run::new(1);
    let data: Dataset = PreferenceDynamics::default().open(&run).unwrap().dataset().unwrap();
    let training = Training::of(&data, &data.ratings);
    for (name, params) in [
        ("als", json!({ "factors": 4 })),
        ("als", json!({ "factors": 4, "feedback": "implicit" })),
        ("bpr", json!({ "factors": 4, "epochs": 2 })),
        ("mf", json!({ "rank": 4, "epochs": 2 })),
    ] {
        let recommender = Registry::<dyn Recommender>::linked().unwrap().build(name, &params).unwrap();
        let model = recommender.fit(&training, &run).unwrap();
        assert_eq!((model.users(), model.items()), (200, 100), "{name}");
        assert!(model.factors().is_some_and(|factors| factors.users.iter().all(|x| x.is_finite())), "{name}");
    }
}

#[test]
fn what_can_not_work_is_refused() {
    let say = |change: fn(&mut PreferenceDynamics)| {
        let mut recipe = small();
        change(&mut recipe);
        recipe.open(&Run::new(0)).err().expect("a refusal").to_string()
    };
    let of = |field: &str, value: &str, range: &str| {
        format!("`preference-dynamics`: parameter `{field}` = {value}, expected {range}")
    };
    assert_eq!(say(|r| r.alpha_harmful = 0.9), of("alpha_harmful", "0.9", "at most 1 - beta = 0.8"));
    let still = say(|r| (r.beta, r.alpha_harmless) = (0.0, 0.0));
    assert_eq!(still, of("alpha_harmless", "0", "above 0 where beta is 0"));
    assert_eq!(say(|r| r.c = 0.0), of("c", "0", "1e-100..=1e100"));
    assert_eq!(say(|r| r.history = 1 << 28), of("history", "268435456", "at most 143165576 with users = 30"));
    assert_eq!(say(|r| r.items = 1 << 31), of("items", "2147483648", "at most 1431655765 with dimension = 3"));
    assert!(say(|r| r.item_spread = 1e3).contains("vectors are so long that a score may reach"));
}
