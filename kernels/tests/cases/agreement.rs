//! Every recommender on the GPU against the same one on the CPU.

use super::Case;
use evenhand_core::{Interactions, Model, Recommender, Registry, Run, Simulator, Training};
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::Cuda;
use evenhand_plugins as _;
use nalgebra::DMatrix;
use serde_json::{Value as Json, json};
use std::sync::Arc;

pub(crate) const CASES: &[Case<Arc<Cuda>>] = &[("every_recommender_agrees", every_recommender_agrees)];

/// Parameters that make every one of them quick.
fn quick(recommender: &str) -> Json {
    match recommender {
        "apr" => json!({ "factors": 8, "epochs": 2, "adversarial_epochs": 1, "batch": 64 }),
        "autoencoder" => json!({ "hidden": [8], "epochs": 2 }),
        "bpr" => json!({ "factors": 8, "epochs": 2 }),
        "mf" => json!({ "rank": 5, "epochs": 3 }),
        _ => json!({}),
    }
}

/// What the model says of all users.
fn sayings(model: &dyn Model, seen: &Interactions, held_out: &Interactions, run: &Run) -> (DMatrix<f32>, String) {
    let users: Vec<u32> = (0..model.users() as u32).collect();
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&users, &mut scores, run).unwrap();
    let top = model.top_k(&users, Some(seen), 10, run).unwrap();
    let ranks = model.ranks(&users, Some(seen), held_out, run).unwrap();
    (scores, format!("{top:?} {ranks:?}"))
}

/// Fitted by the same seed, on the GPU and on the CPU, each says the same: nothing but products depends on the device,
/// and they are equal. Where a fairness loss is trained through the device, see the cases of cells.
fn every_recommender_agrees(cuda: &Arc<Cuda>) {
    let [ours, theirs] =
        [cuda.clone() as Arc<dyn evenhand_core::Dense>, Arc::new(Cpu)].map(|d| Run::new(3).with_dense(d));
    let worlds = Registry::<dyn Simulator>::linked().unwrap();
    let world = worlds.build("biased-ratings", &json!({ "users": 70, "items": 136, "rank": 2 })).unwrap();
    let data = world.open(&theirs).unwrap().dataset().unwrap();
    let training = Training::of(&data, &data.ratings);
    let held_out = data.test.as_ref().expect("the world holds rows out");
    let recommenders = Registry::<dyn Recommender>::linked().unwrap();
    assert!(recommenders.iter().len() >= 9, "the plugins are not linked");
    for plugin in recommenders.iter() {
        println!("{}", plugin.name);
        let recommender = recommenders.build(plugin.name, &quick(plugin.name)).unwrap();
        let [on_gpu, on_cpu] = [&ours, &theirs].map(|run| recommender.fit(&training, run).unwrap());
        let of = |model: &dyn Model, run| sayings(model, &data.ratings, held_out, run);
        assert_eq!(of(&*on_gpu, &ours), of(&*on_cpu, &theirs), "{}", plugin.name);
    }
}
