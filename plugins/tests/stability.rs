//! Seeded outcomes of the plugins, pinned: stored results depend on them. A number that changes here breaks every
//! recorded figure of its plugin, so that belongs in the notes of the release, with the reason.

use evenhand_core::{GroupRegressor, Interactions, Recommender, Registry, Rows, Run, Simulator, Slates, Training};
use evenhand_plugins as _;
use nalgebra::DMatrix;
use serde_json::{Value as Json, json};

#[test]
fn random() {
    let train = Interactions::new(3, 4, &Rows::default()).unwrap();
    let run = Run::new(42);
    let recipe = Registry::<dyn Recommender>::linked().unwrap().build("random", &json!({})).unwrap();
    let model = recipe.fit(&Training::new(&train), &run).unwrap();
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&[0, 2], &mut scores, &run).unwrap();
    let users_0_and_2 =
        [0.9417518, 0.60079557, 0.69266623, 0.58077663, 0.46177584, 0.48903865, 0.012204587, 0.097503364];
    assert_eq!(scores.as_slice(), users_0_and_2);
}

/// Scores of the first and the last of three users after learning from six likes of five items.
fn of_likes(plugin: &str, params: &Json) -> Vec<f32> {
    let mut rows = Rows::default();
    [(0, 0), (0, 1), (1, 1), (1, 2), (2, 3), (2, 4)].into_iter().for_each(|(user, item)| rows.push(user, item, 1.0));
    let (train, run) = (Interactions::new(3, 5, &rows).unwrap(), Run::new(42));
    let recipe = Registry::<dyn Recommender>::linked().unwrap().build(plugin, params).unwrap();
    let model = recipe.fit(&Training::new(&train), &run).unwrap();
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&[0, 2], &mut scores, &run).unwrap();
    scores.as_slice().into()
}

#[test]
fn bpr() {
    let scores = of_likes("bpr", &json!({ "factors": 3, "epochs": 20, "learning_rate": 0.2, "start": 0.1 }));
    let users_0_and_2 = [
        1.1206002, 2.1080017, -0.372325, -1.398954, -1.4382566, -1.3340149, -1.2224445, -1.1054896, 1.7953292,
        1.8755392,
    ];
    assert_eq!(scores, users_0_and_2);
}

/// Plain epochs, then some against an adversary.
#[test]
fn apr() {
    let params =
        json!({ "factors": 3, "epochs": 6, "adversarial_epochs": 6, "batch": 4, "learning_rate": 0.3, "eps": 0.2 });
    let users_0_and_2 = [
        1.2062477, 3.2788622, 1.2594378, -2.3687408, -2.7243207, -1.3744259, -4.303493, -1.8070184, 3.0653095,
        3.5092216,
    ];
    assert_eq!(of_likes("apr", &params), users_0_and_2);
}

/// The general mode; the other one is pinned by the golden cases.
#[test]
fn biased_ratings() {
    let params = json!({ "users": 5, "items": 6, "rank": 2, "r": 0.5, "s": 0.25, "test_share": 0.5 });
    let recipe = Registry::<dyn Simulator>::linked().unwrap().build("biased-ratings", &params).unwrap();
    let data = recipe.open(&Run::new(42)).unwrap().dataset().unwrap();
    let rows = |x: &Interactions| x.iter().map(|(user, item, value)| (user, item, value as i8)).collect::<Vec<_>>();
    let train = [
        (0, 0, -1),
        (0, 1, -1),
        (0, 2, -1),
        (0, 3, -1),
        (1, 1, 1),
        (1, 2, 1),
        (2, 5, -1),
        (3, 4, 1),
        (3, 5, -1),
        (4, 1, -1),
        (4, 5, 1),
    ];
    assert_eq!(rows(&data.ratings), train);
    let test = [
        (0, 5, -1),
        (1, 3, 1),
        (1, 4, -1),
        (1, 5, -1),
        (2, 0, -1),
        (2, 1, -1),
        (2, 2, -1),
        (2, 3, -1),
        (2, 4, -1),
        (3, 0, -1),
        (3, 2, -1),
        (4, 0, -1),
        (4, 2, -1),
        (4, 3, -1),
    ];
    assert_eq!(rows(data.test.as_ref().unwrap()), test);
}

/// What was consumed before, and three periods of the same slate.
#[test]
fn preference_dynamics() {
    let params = json!({ "users": 4, "items": 5, "dimension": 2, "c": 1.0, "history": 3 });
    let recipe = Registry::<dyn Simulator>::linked().unwrap().build("preference-dynamics", &params).unwrap();
    let mut world = recipe.open(&Run::new(42)).unwrap();
    let data = world.dataset().unwrap();
    let rows: Vec<_> = data.ratings.iter().map(|(user, item, _)| (user, item)).collect();
    assert_eq!(rows, [(0, 3), (0, 4), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 4)]);
    assert_eq!(data.item_groups[0].members(0), [1, 2]);
    let (mut clicks, mut expected) = (Vec::new(), Vec::new());
    for period in 0..3 {
        let users = world.requests(period).unwrap().users;
        let slates = Slates { size: 2, items: [3, 1].repeat(4), scores: vec![0.0; 8] };
        let audit = world.answer(&users, &slates).unwrap();
        world.feedback().unwrap();
        clicks.push(audit.observed.iter().map(|value| *value as u8).collect::<Vec<_>>());
        expected.push((audit.expected[0] * 1e9).round() / 1e9);
    }
    assert_eq!(clicks, [[1, 0, 0, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0]]);
    assert_eq!(expected, [0.579828987, 0.585915297, 0.457348099]);
}

/// A small table, and what learns from it row by row and whole, rounded: the platform's exponentials decide the last
/// digits.
#[test]
fn group_regressors() {
    let params = json!({ "samples": 12, "features": 2, "quadratic": true, "label": "permutation" });
    let world = Registry::<dyn Simulator>::linked().unwrap().build("group-linear", &params).unwrap();
    let data = world.open(&Run::new(42)).unwrap().table().unwrap();
    let nine = |x: f64| (x * 1e9).round() / 1e9;
    let labels: Vec<f64> = data.labels.iter().map(|&y| nine(y)).collect();
    assert_eq!(
        labels,
        [
            0.267709008,
            0.0,
            0.064462186,
            0.191637398,
            0.009270092,
            0.448617579,
            0.952867412,
            0.415528314,
            0.340862102,
            0.531761637,
            1.0,
            0.105992246
        ]
    );
    let members: Vec<_> = (0..5).map(|group| data.table.members(group)).collect();
    let expected = [&[1, 3, 4, 5, 6, 8, 9, 10][..], &[0, 2, 7, 11], &[], &[2, 3, 7, 8, 11], &[0, 1, 4, 5, 6, 9, 10]];
    assert_eq!(members, expected);
    let registry = Registry::<dyn GroupRegressor>::linked().unwrap();
    let mut out = vec![0.0; 12];
    let mut predicted = |plugin: &str, params: Json| {
        let recipe = registry.build(plugin, &params).unwrap();
        recipe.fit(&data.table, &data.labels, &Run::new(42)).unwrap().predict(&data.table, &mut out).unwrap();
        out[..3].iter().map(|&y| nine(y)).collect::<Vec<_>>()
    };
    assert_eq!(predicted("ridge", json!({ "alpha": 0.1 })), [0.405874745, 0.067455798, 0.1169139]);
    assert_eq!(predicted("groupwise", json!({ "base": "online-ridge" })), [0.377079417, 0.137252556, 0.147589973]);
    assert_eq!(
        predicted("groupwise", json!({ "base": "vaw", "mixer": "exponential" })),
        [0.308882361, 0.135797371, 0.138488477]
    );
}
