//! Distributions over sets in the form that sums run over.

use super::catalogue::vectors;
use super::exp::{LANES, exp};
use super::quadrature::{Rule, rule};
use super::sets::{choose, subsets};
use super::uniform::uniform;
use evenhand_core::Lottery;
use pulp::{Simd, bytemuck};

/// A product below which a factor counts as 0: what is divided by it later would have lost digits.
const NOTHING: f64 = 1e-150;

/// Number of sets of the same weight up to which they are listed.
const LISTED: usize = 2000;

/// A distribution over sets.
#[derive(Clone, Debug)]
pub(super) enum Mixture {
    /// Some sets, one after the other, with their weights; these need not add up to 1.
    Sets(Sets),
    /// Items that enter independently.
    Independent { items: Vec<u32>, chances: Vec<f64> },
    /// All sets of that size, too many to be listed.
    Uniform { items: Vec<u32>, size: usize },
}

/// Sets with weights, flat.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    items: Vec<u32>,
    /// End of each set in `items`.
    ends: Vec<usize>,
    pub(super) weights: Vec<f64>,
}

impl Sets {
    pub(super) fn push(&mut self, set: &[u32], weight: f64) {
        self.items.extend_from_slice(set);
        self.ends.push(self.items.len());
        self.weights.push(weight);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn set(&self, at: usize) -> &[u32] {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.items[from..self.ends[at]]
    }

    /// The sets of some weight.
    pub(super) fn support(&self) -> impl Iterator<Item = (&[u32], f64)> {
        (0..self.len()).filter(|&at| self.weights[at] != 0.0).map(|at| (self.set(at), self.weights[at]))
    }

    /// Only the sets at `places`, with their weights.
    pub(super) fn keep(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let mut kept = Self::default();
        places.into_iter().for_each(|at| kept.push(self.set(at), self.weights[at]));
        kept
    }
}

impl Mixture {
    pub(super) fn new(lottery: &Lottery) -> Self {
        match lottery {
            Lottery::Sets { sets, weights } => {
                let mut flat = Sets::default();
                sets.iter().zip(weights).for_each(|(set, weight)| flat.push(set, *weight));
                Self::Sets(flat)
            }
            Lottery::Uniform { items, size } if *size <= 1 || choose(items.len(), *size) <= LISTED => {
                let (all, mut flat) = (subsets(items, *size), Sets::default());
                let weight = 1.0 / all.len() as f64;
                all.iter().for_each(|set| flat.push(set, weight));
                Self::Sets(flat)
            }
            Lottery::Uniform { items, size } => Self::Uniform { items: items.clone(), size: *size },
            Lottery::Independent { items, chances } => {
                Self::Independent { items: items.clone(), chances: chances.clone() }
            }
        }
    }

    /// The mean of `1 / (s_E + 1)`, scores in units of c; `a[i]` becomes the mean of the same where item i is in the set, and 0
    /// elsewhere.
    #[inline(always)]
    pub(super) fn shares<S: Simd>(&self, simd: S, scores: &[f64], a: &mut [f64]) -> f64 {
        a.fill(0.0);
        match self {
            Self::Sets(sets) => {
                let mut kappa = 0.0;
                for (set, weight) in sets.support() {
                    let r = weight / (1.0 + set.iter().map(|&i| scores[i as usize]).sum::<f64>());
                    kappa += r;
                    set.iter().for_each(|&i| a[i as usize] += r);
                }
                kappa
            }
            Self::Independent { items, chances } => {
                let mut entering = Entering::new(items, chances, scores);
                entering.shares(simd, &rule(entering.sum), a)
            }
            Self::Uniform { items, size } => {
                let own: Vec<f64> = items.iter().map(|&i| scores[i as usize]).collect();
                let mut sorted = own.clone();
                sorted.select_nth_unstable_by(*size, |a, b| b.total_cmp(a));
                uniform(simd, &rule(sorted[..*size].iter().sum()), &own, *size, |place, share| {
                    a[items[place] as usize] = share
                })
            }
        }
    }
}

/// Items that may enter a set, with their scores and what is computed from them at one time t.
pub(super) struct Entering {
    pub(super) items: Vec<u32>,
    pub(super) chances: Vec<f64>,
    pub(super) scores: Vec<f64>,
    /// `e^(-t s_i)`.
    pub(super) decay: Vec<f64>,
    /// `1 - x_i + x_i e^(-t s_i)`.
    pub(super) factors: Vec<f64>,
    /// Sum of the scores of all items that may enter.
    pub(super) sum: f64,
}

impl Entering {
    /// The items with a chance above 0.
    fn new(items: &[u32], chances: &[f64], scores: &[f64]) -> Self {
        Self::of(items, chances, scores, |chance| chance > 0.0)
    }

    /// The items whose chance `counts`, and padding.
    pub(super) fn of(items: &[u32], chances: &[f64], scores: &[f64], counts: impl Fn(f64) -> bool) -> Self {
        let some = items.iter().zip(chances).filter(|(_, chance)| counts(**chance));
        let (items, mut chances): (Vec<u32>, Vec<f64>) = some.map(|(i, x)| (*i, *x)).unzip();
        let mut scores: Vec<f64> = items.iter().map(|&i| scores[i as usize]).collect();
        let sum = scores.iter().sum();
        let padded = items.len().next_multiple_of(LANES);
        chances.resize(padded, 0.0);
        scores.resize(padded, 0.0);
        Self { items, chances, scores, decay: vec![0.0; padded], factors: vec![0.0; padded], sum }
    }

    /// Goes to time t: the product of the factors that count, and how many do not.
    #[inline(always)]
    pub(super) fn at<S: Simd>(&mut self, simd: S, time: f64) -> (f64, usize) {
        for (decay, score) in self.decay.iter_mut().zip(&self.scores) {
            *decay = -time * score;
        }
        exp(&mut self.decay);
        let product = match LANES / S::F64_LANES {
            1 => self.product::<S, 1>(simd),
            2 => self.product::<S, 2>(simd),
            4 => self.product::<S, 4>(simd),
            _ => self.product::<S, 8>(simd),
        };
        if product >= NOTHING {
            return (product, 0);
        }
        let (mut product, mut nothings) = (1.0, 0);
        for factor in &mut self.factors {
            if *factor < NOTHING {
                (*factor, nothings) = (0.0, nothings + 1);
            } else {
                product *= *factor;
            }
        }
        (product, nothings)
    }

    /// Computes the factors, and their product.
    #[inline(always)]
    fn product<S: Simd, const G: usize>(&mut self, simd: S) -> f64 {
        let one = simd.splat_f64s(1.0);
        let mut products = [one; G];
        let factors = S::as_mut_simd_f64s(&mut self.factors).0.as_chunks_mut::<G>().0;
        let given = vectors::<S, G>(&self.chances).iter().zip(vectors::<S, G>(&self.decay));
        for (factor, (chance, decay)) in factors.iter_mut().zip(given) {
            for g in 0..G {
                factor[g] = simd.mul_add_f64s(chance[g], simd.sub_f64s(decay[g], one), one);
                products[g] = simd.mul_f64s(products[g], factor[g]);
            }
        }
        let lanes: &[f64] = bytemuck::cast_slice(&products);
        lanes.iter().product()
    }

    /// The product of all factors but that of the item at `place`, given what [`Self::at`] returned.
    #[inline(always)]
    pub(super) fn without(&self, place: usize, (product, nothings): (f64, usize)) -> f64 {
        match (nothings, self.factors[place]) {
            (0, factor) => product / factor,
            (1, 0.0) => product,
            _ => 0.0,
        }
    }

    /// `x_i e^(-t s_i) / factor` of every item: the probability that it is in the set, tilted by `e^(-t s_E)`.
    #[inline(always)]
    pub(super) fn tilted(&self, tilted: &mut [f64]) {
        let given = self.chances.iter().zip(&self.decay).zip(&self.factors);
        for (tilted, ((chance, decay), factor)) in tilted.iter_mut().zip(given) {
            let share = chance * decay / factor;
            *tilted = if *factor > 0.0 { share } else { 1.0 };
        }
    }

    #[inline(always)]
    fn shares<S: Simd>(&mut self, simd: S, rule: &Rule, a: &mut [f64]) -> f64 {
        let mut kappa = 0.0;
        let mut sums = vec![0.0; self.chances.len()];
        for (time, weight) in rule.times.iter().zip(&rule.weights) {
            let (product, nothings) = self.at(simd, *time);
            if nothings > 0 {
                // Items of chance 1 whose decay is gone: their own shares are as good as 0 here too.
                continue;
            }
            let scale = weight * product;
            kappa += scale;
            for ((sum, decay), factor) in sums.iter_mut().zip(&self.decay).zip(&self.factors) {
                *sum += scale * decay / factor;
            }
        }
        for ((item, chance), sum) in self.items.iter().zip(&self.chances).zip(&sums) {
            a[*item as usize] = chance * sum;
        }
        kappa
    }
}
