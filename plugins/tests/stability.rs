//! Seeded outcomes of the plugins, pinned: stored results depend on them. A number that changes here breaks every
//! recorded figure of its plugin, so that belongs in the notes of the release, with the reason.

use evenhand_core::{Interactions, Recommender, Registry, Rows, Run, Simulator, Training};
use evenhand_plugins as _;
use nalgebra::DMatrix;
use serde_json::json;

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
