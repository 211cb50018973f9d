//! Matrix factorisation with a fairness loss, on the GPU and on the CPU.

use super::Case;
use evenhand_core::{Dense, Nested, Recommender, Run, Simulator, Squash, Training};
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::Cuda;
use evenhand_plugins::biased_ratings::BiasedRatings;
use evenhand_plugins::mf::{Mf, Objective, gradient};
use evenhand_plugins::precision::Precision;
use nalgebra::DMatrix;
use serde_json::json;
use std::sync::Arc;

pub(crate) const CASES: &[Case<Arc<Cuda>>] =
    &[("gradients_and_fits_are_near_those_of_the_cpu", gradients_and_fits_are_near_those_of_the_cpu)];

fn gradients_and_fits_are_near_those_of_the_cpu(cuda: &Arc<Cuda>) {
    let backends: [Arc<dyn Dense>; 2] = [Arc::new(Cpu), cuda.clone()];
    let recipe = BiasedRatings { users: 150, items: 140, r: 0.3, s: 0.2, test_share: 0.0, ..BiasedRatings::default() };
    let data = recipe.open(&Run::new(3)).unwrap().dataset().unwrap();
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
        let table = |count: usize| DMatrix::from_fn(7, count, |f, n| ((f * 5 + n * 3) % 13) as f64 * 0.05 - 0.3);
        let [cpu, gpu] = backends.each_ref().map(|dense| {
            let run = Run::new(0).with_dense(dense.clone());
            gradient(objective, [table(150), table(140)], Precision::F32, &run).unwrap()
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
