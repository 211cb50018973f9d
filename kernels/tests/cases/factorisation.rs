//! Matrix factorisation with a fairness loss, on the GPU and on the CPU.

use super::Case;
use evenhand_core::fairness::{Pointwise, Streamed};
use evenhand_core::{
    Dataset, Dense, Error, FairnessLoss, Nested, Recommender, Registry, Run, Simulator, Squash, Training,
};
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::Cuda;
use evenhand_plugins::biased_ratings::BiasedRatings;
use evenhand_plugins::mf::{Mf, Objective, gradient};
use evenhand_plugins::precision::Precision;
use evenhand_plugins::squash::Shape;
use nalgebra::DMatrix;
use serde_json::{Value as Json, json};
use std::sync::Arc;

pub(crate) const CASES: &[Case<Arc<Cuda>>] = &[
    ("gradients_and_fits_are_near_those_of_the_cpu", gradients_and_fits_are_near_those_of_the_cpu),
    ("every_fairness_loss_is_near_that_of_the_cpu", every_fairness_loss_is_near_that_of_the_cpu),
    ("pairs_with_a_fairness_loss_are_near_those_of_the_cpu", pairs_with_a_fairness_loss_are_near_those_of_the_cpu),
    ("a_fit_that_diverges_says_so", a_fit_that_diverges_says_so),
];

fn backends(cuda: &Arc<Cuda>) -> [Arc<dyn Dense>; 2] {
    [Arc::new(Cpu), cuda.clone()]
}

/// Ratings with groups of users and of items.
fn ratings(users: usize, items: usize) -> Dataset {
    let recipe = BiasedRatings { users, items, r: 0.3, s: 0.2, test_share: 0.0, ..BiasedRatings::default() };
    recipe.open(&Run::new(3)).unwrap().dataset().unwrap()
}

fn factors(count: usize) -> DMatrix<f64> {
    DMatrix::from_fn(7, count, |f, n| ((f * 5 + n * 3) % 13) as f64 * 0.05 - 0.3)
}

fn gradients_and_fits_are_near_those_of_the_cpu(cuda: &Arc<Cuda>) {
    let backends = backends(cuda);
    let data = ratings(150, 140);
    let train = Training::of(&data, &data.ratings);
    // The tail of the seed jumps at the threshold: there the last digit of a factor, which differs after the first
    // step, decides what a cell counts.
    for (variant, most) in [("seed", 1e-2), ("exact", 1e-4)] {
        let loss = || Nested::new("equal-experience", &json!({ "variant": variant, "bandwidth": 0.1 })).unwrap();
        let fairness = loss();
        let objective = Objective {
            train: &data.ratings,
            squash: Squash::Tanh,
            l2: 0.01,
            accuracy: 0.3,
            biases: true,
            fairness: Some((&*fairness, train.fairness(), 0.7)),
        };
        let [cpu, gpu] = backends.each_ref().map(|dense| {
            let run = Run::new(0).with_dense(dense.clone());
            gradient(objective, [factors(150), factors(140)], Precision::F32, &run).unwrap()
        });
        assert!((cpu.0.total - gpu.0.total).abs() < 1e-6 * cpu.0.total, "{:?}, {:?}", cpu.0, gpu.0);
        assert!((cpu.0.error - gpu.0.error).abs() < 1e-6 && (cpu.0.fairness - gpu.0.fairness).abs() < 1e-6);
        for (cpu, gpu) in cpu.1.iter().zip(&gpu.1) {
            let off = (cpu - gpu).amax() / cpu.amax();
            assert!(off < 1e-5, "{variant}: a gradient is off by {off:e} of its largest entry");
        }
        let mf = Mf { rank: 5, epochs: 6, learning_rate: 0.05, fairness: Some(loss()), ..Mf::default() };
        let [cpu, gpu] = backends.each_ref().map(|dense| {
            let model = mf.fit(&train, &Run::new(1).with_dense(dense.clone())).unwrap();
            let factors = model.factors().expect("a factorisation");
            [factors.users.clone(), factors.items.clone()]
        });
        for (cpu, gpu) in cpu.iter().zip(&gpu) {
            let off = (cpu - gpu).norm() / cpu.norm();
            assert!(off < most, "{variant}: factors are off by {off:e} of their norm");
            assert_ne!(cpu, gpu, "both were computed by the same passes");
        }
    }
}

/// Every loss there is with its defaults, and those that compute something else with other parameters.
fn losses() -> Vec<(&'static str, Json)> {
    let registry = Registry::<dyn FairnessLoss>::linked().unwrap();
    let mut losses: Vec<_> = registry.iter().map(|plugin| (plugin.name, json!({}))).collect();
    for name in ["equal-experience", "item-group", "user-group"] {
        losses.extend(["huber", "exact"].map(|variant| (name, json!({ "variant": variant }))));
        losses.push((name, json!({ "variant": "exact", "bandwidth": 0.1, "delta": 0.3, "threshold": 0.125 })));
    }
    losses.push(("value", json!({ "rated_items": true })));
    losses
}

/// A number of a gradient is off by no more than 1e-4 of the largest one: predictions of both are within 2^-22 of each
/// other, which is 2.4e-5 of the smallest bandwidth, 0.01, and moves a density by 0.6 times as much of its peak. What
/// single precision adds is below 2^-15 of the terms' sizes. The losses that add up predictions have but the latter.
fn every_fairness_loss_is_near_that_of_the_cpu(cuda: &Arc<Cuda>) {
    let backends = backends(cuda);
    let data = ratings(70, 67);
    let train = Training::of(&data, &data.ratings);
    let clamp = Squash::Clamp { low: -0.3, high: 0.4, scale: 1.5, shift: -0.05 };
    for (name, params) in losses() {
        let loss = Nested::<dyn FairnessLoss>::new(name, &params).unwrap();
        for squash in [Squash::None, Squash::Tanh, clamp] {
            let what = format!("{name} {params}, {squash:?}");
            let objective = |accuracy| Objective {
                train: &data.ratings,
                squash,
                l2: 0.0,
                accuracy,
                biases: false,
                fairness: Some((&*loss, train.fairness(), 0.7)),
            };
            let at = |accuracy, users: DMatrix<f64>| {
                backends.each_ref().map(|dense| {
                    let run = Run::new(0).with_dense(dense.clone());
                    gradient(objective(accuracy), [users.clone(), factors(67)], Precision::F32, &run).unwrap()
                })
            };
            // What depends on predictions of training rows only, or on sums of factors, is no work for a device.
            let passes = match loss.streamed(&train.fairness()).unwrap() {
                Some(Streamed::Cells(cells)) => cells.of != Pointwise::Score || squash != Squash::None,
                _ => false,
            };
            // Of the loss alone, and beside the ratings.
            for accuracy in [0.0, 0.3] {
                let [cpu, gpu] = at(accuracy, factors(70));
                let near = |cpu: f64, gpu: f64| (cpu - gpu).abs() <= 1e-5 * cpu.abs().max(0.01);
                assert!(near(cpu.0.fairness, gpu.0.fairness), "{what}: {:?}, {:?}", cpu.0, gpu.0);
                assert!(near(cpu.0.error, gpu.0.error) && near(cpu.0.total, gpu.0.total), "{what}");
                for (cpu, gpu) in cpu.1.iter().zip(&gpu.1) {
                    let off = (cpu - gpu).amax() / cpu.amax();
                    assert!(
                        cpu.amax() > 0.0 && off < 1e-4,
                        "{what}: a gradient is off by {off:e} of its largest entry"
                    );
                }
                assert_eq!(cpu != gpu, passes, "{what}: computed by the same passes, or not");
            }
            let mut users = factors(70);
            users[(2, 65)] = f64::NAN;
            let [_, gpu] = at(0.3, users);
            assert!(gpu.0.total.is_nan() && (gpu.0.fairness.is_nan() || !passes), "{what}: {:?}", gpu.0);
        }
    }
}

fn pairs_with_a_fairness_loss_are_near_those_of_the_cpu(cuda: &Arc<Cuda>) {
    let data = ratings(70, 67);
    let train = Training::of(&data, &data.ratings);
    let recommenders = Registry::<dyn Recommender>::linked().unwrap();
    let fairness = json!({ "plugin": "value" });
    for (name, params) in [
        ("bpr", json!({ "factors": 5, "epochs": 2, "fairness_steps": 3, "fairness": fairness })),
        (
            "apr",
            json!({ "factors": 5, "epochs": 2, "adversarial_epochs": 1, "fairness_steps": 3, "fairness": fairness }),
        ),
    ] {
        let recommender = recommenders.build(name, &params).unwrap();
        let [cpu, gpu] = backends(cuda).map(|dense| {
            let model = recommender.fit(&train, &Run::new(1).with_dense(dense)).unwrap();
            let factors = model.factors().expect("a factorisation");
            [factors.users.clone(), factors.items.clone()]
        });
        for (cpu, gpu) in cpu.iter().zip(&gpu) {
            let off = (cpu - gpu).norm() / cpu.norm();
            assert!(off < 1e-4, "{name}: factors are off by {off:e} of their norm");
            assert!(cpu != gpu, "{name}: both were computed by the same passes");
        }
    }
}

/// Steps so long that products are infinite.
fn a_fit_that_diverges_says_so(cuda: &Arc<Cuda>) {
    let data = ratings(70, 67);
    let train = Training::of(&data, &data.ratings);
    for dense in [cuda.clone() as Arc<dyn Dense>, Arc::new(Cpu)] {
        let fairness = Some(Nested::new("equal-experience", &json!({})).unwrap());
        let wild = Mf { rank: 3, epochs: 6, learning_rate: 1e30, squash: Shape::None, fairness, ..Mf::default() };
        let error = wild.fit(&train, &Run::new(1).with_dense(dense.clone())).err();
        let error = error.unwrap_or_else(|| panic!("on {}: no step was too long", dense.name()));
        assert!(matches!(error, Error::Diverged { step: Some(1..4), .. }), "on {}: {error}", dense.name());
    }
}
