//! Small catalogues with a user.

use evenhand_core::{Dynamics, Lottery, Rng, Streams};
use evenhand_plugins::stationary::{Catalogue, Effort, Search};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::StandardNormal;

pub(crate) fn rng(seed: u64) -> Rng {
    Streams::new(seed).child("test/stationary").rng(0)
}

/// Independent Gaussians of that deviation.
pub(crate) fn gaussians(count: usize, deviation: f64, rng: &mut Rng) -> Vec<f64> {
    (0..count).map(|_| deviation * rng.sample::<f64, _>(StandardNormal)).collect()
}

/// Numbers above 0 that add up to 1.
pub(crate) fn shares(count: usize, rng: &mut Rng) -> Vec<f64> {
    let mut shares: Vec<f64> = (0..count).map(|_| rng.random_range(0.2..1.0)).collect();
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    shares
}

/// Items, the last ones harmful, and a user.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) vectors: DMatrix<f64>,
    pub(crate) harmful: Vec<bool>,
    pub(crate) dynamics: Dynamics,
    pub(crate) start: Vec<f64>,
    pub(crate) price: f64,
}

impl World {
    /// With coordinates that are Gaussians of that deviation.
    pub(crate) fn drawn(seed: u64, [dimension, items, harmful]: [usize; 3], deviation: f64, c: f64) -> Self {
        let mut rng = rng(seed);
        Self {
            vectors: DMatrix::from_vec(dimension, items, gaussians(dimension * items, deviation, &mut rng)),
            harmful: (0..items).map(|item| item + harmful >= items).collect(),
            dynamics: Dynamics { c, ..Dynamics::default() },
            start: gaussians(dimension, deviation, &mut rng),
            price: 10.0,
        }
    }

    /// With these vectors of one number each.
    pub(crate) fn line(vectors: &[f64], harmful: &[bool], dynamics: Dynamics, start: f64) -> Self {
        let (vectors, harmful) = (DMatrix::from_row_slice(1, vectors.len(), vectors), harmful.to_vec());
        Self { vectors, harmful, dynamics, start: vec![start], price: 1.0 }
    }

    pub(crate) fn catalogue(&self) -> Catalogue {
        Catalogue::new(&self.vectors, &self.harmful, self.dynamics).unwrap()
    }

    /// The items that may be shown.
    pub(crate) fn harmless(&self) -> Vec<u32> {
        (0..).zip(&self.harmful).filter(|(_, harmful)| !**harmful).map(|(item, _)| item).collect()
    }

    /// What a lottery is worth where it leads to.
    pub(crate) fn objective(&self, lottery: &Lottery) -> f64 {
        self.catalogue().outlook(&self.start, lottery).unwrap().value.objective(self.price)
    }

    /// A search for the user.
    pub(crate) fn search<R>(&self, effort: Effort, run: impl FnOnce(&mut Search<'_>) -> R) -> R {
        let (catalogue, items) = (self.catalogue(), self.harmless());
        run(&mut Search::new(&catalogue, &self.start, &items, self.price, effort).unwrap())
    }
}

/// Compares lists number by number, to `tolerance` times what is largest or 1.
pub(crate) fn assert_near(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    for (n, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "{what}, number {n}: {a}, expected {b}");
    }
}
