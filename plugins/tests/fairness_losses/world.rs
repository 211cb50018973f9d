//! Small random data for the losses.

use evenhand_core::{FairnessData, FairnessLoss, Groups, Interactions, Registry, Rows, Run, Streams};
use evenhand_plugins as _;
use nalgebra::DMatrix;
use rand::RngExt;
use serde_json::{Value as Json, json};

/// The losses of rates, in each variant.
pub(crate) fn rates(variants: &[&str]) -> Vec<(&'static str, Json)> {
    let names = ["equal-experience", "user-group", "item-group"];
    names.iter().flat_map(|&name| variants.iter().map(move |v| (name, json!({ "variant": v })))).collect()
}

/// The losses that grow with the predictions and ratings.
pub(crate) fn distances() -> Vec<(&'static str, Json)> {
    let names = [
        "value-unfairness",
        "absolute-unfairness",
        "underestimation-unfairness",
        "overestimation-unfairness",
        "non-parity",
    ];
    let mut losses: Vec<_> = names.map(|name| (name, json!({}))).into();
    losses.extend([false, true].map(|rated| ("value", json!({ "rated_items": rated }))));
    losses
}

pub(crate) fn all() -> Vec<(&'static str, Json)> {
    rates(&["seed", "huber", "exact"]).into_iter().chain(distances()).collect()
}

pub(crate) fn build(name: &str, params: &Json) -> Box<dyn FairnessLoss> {
    Registry::<dyn FairnessLoss>::linked().unwrap().build(name, params).unwrap()
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) users: usize,
    pub(crate) items: usize,
    pub(crate) rows: Vec<(u32, u32, f32)>,
    /// Items x users.
    pub(crate) scores: DMatrix<f64>,
    pub(crate) user_groups: Vec<Vec<u32>>,
    pub(crate) item_groups: Vec<Vec<u32>>,
    pub(crate) tau: f32,
}

impl World {
    /// Groups that overlap and leave out; half of the predictions within 0.03 of the threshold 3.
    pub(crate) fn random(users: usize, items: usize, user_groups: usize, item_groups: usize, seed: u64) -> Self {
        let mut rng = Streams::new(seed).child("test/losses").rng(0);
        let mut rows = Vec::new();
        for user in 0..users as u32 {
            for item in 0..items as u32 {
                if rng.random_bool(0.5) {
                    rows.push((user, item, rng.random_range(1..=5u8).into()));
                }
            }
        }
        let scores = DMatrix::from_fn(items, users, |_, _| {
            if rng.random_bool(0.5) { rng.random_range(2.97..3.03) } else { rng.random_range(1.0..5.0) }
        });
        // No group is empty.
        let mut lists = |groups: usize, entities: usize| -> Vec<Vec<u32>> {
            let mut member = |g: usize, e: usize| e == g % entities || rng.random_bool(0.4);
            (0..groups).map(|g| (0..entities as u32).filter(|&e| member(g, e as usize)).collect()).collect()
        };
        let (user_groups, item_groups) = (lists(user_groups, users), lists(item_groups, items));
        Self { users, items, rows, scores, user_groups, item_groups, tau: 3.0 }
    }

    pub(crate) fn train(&self) -> Interactions {
        let mut rows = Rows::default();
        self.rows.iter().for_each(|&(user, item, rating)| rows.push(user, item, rating));
        Interactions::new(self.users, self.items, &rows).unwrap()
    }

    pub(crate) fn evaluate(&self, loss: &dyn FairnessLoss) -> (f64, DMatrix<f64>) {
        let groups = |name, entities, lists: &[Vec<u32>]| {
            let lists = lists.iter().enumerate().map(|(g, members)| (format!("{name} {g}"), members.clone()));
            Groups::new(name, entities, lists.collect()).unwrap()
        };
        let users = groups("users", self.users, &self.user_groups);
        let items = groups("items", self.items, &self.item_groups);
        let train = self.train();
        let data =
            FairnessData { train: &train, user_groups: Some(&users), item_groups: Some(&items), like_above: self.tau };
        let mut gradient = DMatrix::zeros(0, 0);
        let value = loss.evaluate(&self.scores, &data, &mut gradient, &Run::new(0)).unwrap();
        (value, gradient)
    }
}
