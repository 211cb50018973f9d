//! The items as profiles see them, in the layout that the steps of a profile run on.

use super::exp::{LANES, exp};
use evenhand_core::{Dynamics, Error, Factors, Harm, Result};
use nalgebra::DMatrix;

/// Largest score, on the scale of logarithms, at which exponentials of scores and their products stay finite.
const LARGEST: f64 = 300.0;

/// Item vectors with their harm labels and the dynamics of profiles.
///
/// Numbers are in double precision. Scores are kept in units of c, `s_i = exp(v_i . u - ln c)`, so that neither large nor
/// small c lose digits.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(super) dimension: usize,
    pub(super) items: usize,
    /// [`LANES`] items at a time: their first coordinates, their second ones, ...
    blocks: Vec<f64>,
    /// The same vectors, one after the other.
    rows: Vec<f64>,
    /// What a score of 0 stands for: -ln c of an item, minus infinity of what only fills up a block.
    base: Vec<f64>,
    /// Attraction of each item; 0 of what fills up.
    pub(super) alpha: Vec<f64>,
    /// 1 of a harmful item, 0 of any other.
    pub(super) harmful: Vec<f64>,
    pub(super) dynamics: Dynamics,
    /// Length of the longest vector, and whose it is.
    longest: (f64, usize),
}

impl Catalogue {
    /// The items with these vectors, one per column, and these labels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the dynamics, [`Error::Shape`] for vectors of no number or labels of another number of items, [`Error::Diverged`]
    /// for a vector that is not finite, [`Error::Unusable`] for vectors that are too long for exponentials of scores.
    pub fn new(vectors: &DMatrix<f64>, harmful: &[bool], dynamics: Dynamics) -> Result<Self> {
        let (dimension, items) = vectors.shape();
        Harm { harmful, dynamics, price: 0.0 }.check(items)?;
        if dimension == 0 {
            return Err(Error::shape("numbers of an item's vector", "at least 1", 0));
        }
        let mut longest = (0.0, 0);
        for (item, vector) in vectors.column_iter().enumerate() {
            let length = vector.norm();
            if !length.is_finite() {
                return Err(Error::Diverged { what: format!("vector of item {item}"), step: None });
            }
            if length > longest.0 {
                longest = (length, item);
            }
        }
        let padded = items.next_multiple_of(LANES);
        let per_item = |filler: f64, of: &dyn Fn(usize) -> f64| {
            (0..padded).map(|item| if item < items { of(item) } else { filler }).collect::<Vec<f64>>()
        };
        let mut blocks = vec![0.0; padded * dimension];
        for (item, vector) in vectors.column_iter().enumerate() {
            for (k, x) in vector.iter().enumerate() {
                blocks[(item / LANES * dimension + k) * LANES + item % LANES] = *x;
            }
        }
        let attraction = |item| if harmful[item] { dynamics.alpha_harmful } else { dynamics.alpha_harmless };
        let catalogue = Self {
            dimension,
            items,
            blocks,
            rows: vectors.as_slice().to_vec(),
            base: per_item(f64::NEG_INFINITY, &|_| -dynamics.c.ln()),
            alpha: per_item(0.0, &attraction),
            harmful: per_item(0.0, &|item| f64::from(u8::from(harmful[item]))),
            dynamics,
            longest,
        };
        catalogue.check_length(longest.0, "item", longest.1)?;
        Ok(catalogue)
    }

    /// The items of fitted factors, biases and constants included.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_factors(factors: &Factors, harm: &Harm<'_>) -> Result<Self> {
        Self::new(&factors.items.map(f64::from), harm.harmful, harm.dynamics)
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Length of a profile.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How profiles move.
    pub fn dynamics(&self) -> Dynamics {
        self.dynamics
    }

    /// The vector of one item.
    pub fn vector(&self, item: u32) -> &[f64] {
        &self.rows[item as usize * self.dimension..][..self.dimension]
    }

    /// Whether an item is harmful.
    pub fn is_harmful(&self, item: u32) -> bool {
        self.harmful[item as usize] > 0.0
    }

    /// Checks a profile to start from. All later ones are means of it and of item vectors, so their scores are bounded.
    ///
    /// # Errors
    /// [`Error::Shape`] for one of another length, [`Error::Diverged`] for one that is not finite, [`Error::Unusable`] for
    /// one that is too long for exponentials of scores.
    pub fn check_profile(&self, profile: &[f64]) -> Result<()> {
        if profile.len() != self.dimension {
            return Err(Error::shape("numbers of a profile", self.dimension, profile.len()));
        }
        let length = profile.iter().map(|x| x * x).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(Error::Diverged { what: "profile".into(), step: None });
        }
        self.check_length(length, "the profile against item", self.longest.1)
    }

    fn check_length(&self, length: f64, whose: &str, item: usize) -> Result<()> {
        let score = length * self.longest.0 + self.dynamics.c.ln().abs();
        if score <= LARGEST {
            return Ok(());
        }
        Err(Error::Unusable(format!(
            "{whose} {item}: vectors are so long that a score may reach {score:.0}, expected at most {LARGEST} (less \
             |ln c|); scale the factors down or regularise more"
        )))
    }

    /// Scores of all items in units of c; those of fillers are 0. Returns their sum, and that of harmful items.
    #[inline(always)]
    pub(super) fn scores(&self, profile: &[f64], scores: &mut [f64]) -> (f64, f64) {
        let (mut all, mut harmful) = ([0.0; LANES], [0.0; LANES]);
        let blocks = scores.as_chunks_mut::<LANES>().0.iter_mut().zip(self.base.as_chunks::<LANES>().0);
        let labels = self.harmful.as_chunks::<LANES>().0;
        for ((block, (scores, base)), labels) in self.coordinates().zip(blocks).zip(labels) {
            let mut z = *base;
            for (x, v) in profile.iter().zip(block) {
                for lane in 0..LANES {
                    z[lane] = x.mul_add(v[lane], z[lane]);
                }
            }
            *scores = exp(z);
            for lane in 0..LANES {
                all[lane] += scores[lane];
                harmful[lane] = labels[lane].mul_add(scores[lane], harmful[lane]);
            }
        }
        (tree(all), tree(harmful))
    }

    /// `weights[i] v_i` summed over all items into `sum`; returns the sum of the weights.
    #[inline(always)]
    pub(super) fn weighted_sum(&self, weights: &[f64], sum: &mut [f64]) -> f64 {
        let weights = weights.as_chunks::<LANES>().0;
        for (k, sum) in sum.iter_mut().enumerate() {
            let mut lanes = [0.0; LANES];
            for (block, w) in self.coordinates().zip(weights) {
                for lane in 0..LANES {
                    lanes[lane] = w[lane].mul_add(block[k][lane], lanes[lane]);
                }
            }
            *sum = tree(lanes);
        }
        let mut total = [0.0; LANES];
        for w in weights {
            for lane in 0..LANES {
                total[lane] += w[lane];
            }
        }
        tree(total)
    }

    /// `weights[i] v_i v_i'` summed over all items, added to the square `sum`, row after row.
    #[inline(always)]
    pub(super) fn add_gram(&self, weights: &[f64], sum: &mut [f64]) {
        let (d, weights) = (self.dimension, weights.as_chunks::<LANES>().0);
        for a in 0..d {
            // Four columns at once: four independent chains of sums.
            for first in (0..=a).step_by(4) {
                let mut lanes = [[0.0; LANES]; 4];
                for (block, w) in self.coordinates().zip(weights) {
                    let mut scaled = *w;
                    for lane in 0..LANES {
                        scaled[lane] *= block[a][lane];
                    }
                    for (b, lanes) in lanes.iter_mut().enumerate() {
                        let other = &block[(first + b).min(a)];
                        for lane in 0..LANES {
                            lanes[lane] = scaled[lane].mul_add(other[lane], lanes[lane]);
                        }
                    }
                }
                for (b, lanes) in lanes.into_iter().enumerate().take(a + 1 - first) {
                    let (value, other) = (tree(lanes), first + b);
                    sum[a * d + other] += value;
                    if other < a {
                        sum[other * d + a] += value;
                    }
                }
            }
        }
    }

    /// `v_i . y` of all items.
    #[inline(always)]
    pub(super) fn products(&self, y: &[f64], products: &mut [f64]) {
        for (block, out) in self.coordinates().zip(products.as_chunks_mut::<LANES>().0) {
            let mut z = [0.0; LANES];
            for (x, v) in y.iter().zip(block) {
                for lane in 0..LANES {
                    z[lane] = x.mul_add(v[lane], z[lane]);
                }
            }
            *out = z;
        }
    }

    /// The coordinates of each block of items.
    #[inline(always)]
    fn coordinates(&self) -> impl Iterator<Item = &[[f64; LANES]]> {
        self.blocks.as_chunks::<LANES>().0.chunks_exact(self.dimension)
    }

    /// Length of per-item buffers.
    pub(super) fn padded(&self) -> usize {
        self.base.len()
    }
}

/// The sum of all lanes, as a tree.
#[inline(always)]
pub(super) fn tree(l: [f64; LANES]) -> f64 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}
