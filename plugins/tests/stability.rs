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
    assert_eq!(scores.as_slice(), [0.0_f32; 8]);
}

/// The general mode; the other one is pinned by the golden cases.
#[test]
fn biased_ratings() {
    let params = json!({ "users": 5, "items": 6, "rank": 2, "r": 0.5, "s": 0.25, "test_share": 0.5 });
    let recipe = Registry::<dyn Simulator>::linked().unwrap().build("biased-ratings", &params).unwrap();
    let data = recipe.open(&Run::new(42)).unwrap().dataset().unwrap();
    let rows = |x: &Interactions| x.iter().map(|(user, item, value)| (user, item, value as i8)).collect::<Vec<_>>();
    assert_eq!(rows(&data.ratings), []);
    assert_eq!(rows(data.test.as_ref().unwrap()), []);
}
