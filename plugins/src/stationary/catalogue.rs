//! The items as profiles see them, in the layout that the steps of a profile run on.

use super::exp::{LANES, exp};
use evenhand_core::{Dynamics, Error, Factors, Harm, Lottery, Result};
use nalgebra::DMatrix;
use pulp::{Simd, bytemuck};

/// Largest score, on the scale of logarithms, at which exponentials of scores and their products stay finite.
const LARGEST: f64 = 300.0;

/// Items times size of a lottery over all sets: a step holds 64 bytes for each of these.
const MOST_CELLS: usize = 4_000_000;

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
    /// 1 of every item, and of what fills up.
    ones: Vec<f64>,
    pub(super) dynamics: Dynamics,
    /// Length of the longest vector, and whose it is.
    pub(super) longest: (f64, usize),
}

impl Catalogue {
    /// The items with these vectors, one per column, and these labels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the dynamics, [`Error::Shape`] for no items, vectors of no number or labels of another
    /// number of items, [`Error::Diverged`] for a vector that is not finite, [`Error::Unusable`] for vectors that are too long for
    /// exponentials of scores.
    pub fn new(vectors: &DMatrix<f64>, harmful: &[bool], dynamics: Dynamics) -> Result<Self> {
        let (dimension, items) = vectors.shape();
        Harm { harmful, dynamics, price: 0.0 }.check(items)?;
        if dimension == 0 {
            return Err(Error::shape("numbers of an item's vector", "at least 1", 0));
        }
        if items == 0 {
            return Err(Error::shape("items of a catalogue", "at least 1", 0));
        }
        if dynamics.c.ln().abs() > LARGEST / 2.0 {
            let (field, value, range) = ("c".into(), dynamics.c.to_string(), "1e-65 to 1e65".into());
            return Err(Error::OutOfRange { plugin: None, field, value, range });
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
            ones: vec![1.0; padded],
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

    /// Checks a lottery over these items.
    ///
    /// # Errors
    /// Those of [`Lottery::check`]; [`Error::Unusable`] for all sets of so many of so many items that memory would run out.
    pub(super) fn check_lottery(&self, lottery: &Lottery) -> Result<()> {
        lottery.check(self.items)?;
        match lottery {
            Lottery::Uniform { items, size } if items.len().saturating_mul(*size) > MOST_CELLS => {
                let text = format!(
                    "all sets of {size} of {} items: expected items times size up to {MOST_CELLS}",
                    items.len()
                );
                Err(Error::Unusable(text))
            }
            _ => Ok(()),
        }
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
    pub(super) fn scores<S: Simd>(&self, simd: S, profile: &[f64], scores: &mut [f64]) -> (f64, f64) {
        scores.copy_from_slice(&self.base);
        self.add_products(simd, profile, scores);
        exp(scores);
        dots(simd, [&self.ones, &self.harmful], scores).into()
    }

    /// `weights[i] v_i` summed over all items into `sum`; returns the sum of the weights.
    #[inline(always)]
    pub(super) fn weighted_sum<S: Simd>(&self, simd: S, weights: &[f64], sum: &mut [f64]) -> f64 {
        match LANES / S::F64_LANES {
            1 => self.weighted_sum_in::<S, 1>(simd, weights, sum),
            2 => self.weighted_sum_in::<S, 2>(simd, weights, sum),
            4 => self.weighted_sum_in::<S, 4>(simd, weights, sum),
            _ => self.weighted_sum_in::<S, 8>(simd, weights, sum),
        }
        let [total] = dots(simd, [&self.ones], weights);
        total
    }

    #[inline(always)]
    fn weighted_sum_in<S: Simd, const G: usize>(&self, simd: S, weights: &[f64], sum: &mut [f64]) {
        let (blocks, weights) = (vectors::<S, G>(&self.blocks), vectors::<S, G>(weights));
        let d = self.dimension;
        for (at, sum) in sum.chunks_mut(SIDE).enumerate() {
            // Some coordinates at once, so that as many sums are under way.
            let mut lanes = [[simd.splat_f64s(0.0); G]; SIDE];
            let last = d - 1 - at * SIDE;
            for (block, w) in blocks[at * SIDE..].chunks(d).zip(weights) {
                for (n, lanes) in lanes.iter_mut().enumerate() {
                    let v = &block[n.min(last)];
                    for g in 0..G {
                        lanes[g] = simd.mul_add_f64s(w[g], v[g], lanes[g]);
                    }
                }
            }
            for (sum, lanes) in sum.iter_mut().zip(lanes) {
                *sum = tree::<S, G>(lanes);
            }
        }
    }

    /// `weights[i] v_i v_i'` summed over all items, added to the square `sum`, row after row.
    #[inline(always)]
    pub(super) fn add_gram<S: Simd>(&self, simd: S, weights: &[f64], sum: &mut [f64]) {
        match LANES / S::F64_LANES {
            1 => self.add_gram_in::<S, 1>(simd, weights, sum),
            2 => self.add_gram_in::<S, 2>(simd, weights, sum),
            4 => self.add_gram_in::<S, 4>(simd, weights, sum),
            _ => self.add_gram_in::<S, 8>(simd, weights, sum),
        }
    }

    #[inline(always)]
    fn add_gram_in<S: Simd, const G: usize>(&self, simd: S, weights: &[f64], sum: &mut [f64]) {
        let (blocks, weights) = (vectors::<S, G>(&self.blocks), vectors::<S, G>(weights));
        let d = self.dimension;
        for a in 0..d {
            for first in (0..=a).step_by(SIDE) {
                let mut lanes = [[simd.splat_f64s(0.0); G]; SIDE];
                for (block, w) in blocks.chunks_exact(d).zip(weights) {
                    let mut scaled = *w;
                    for g in 0..G {
                        scaled[g] = simd.mul_f64s(w[g], block[a][g]);
                    }
                    for (n, lanes) in lanes.iter_mut().enumerate() {
                        let v = &block[(first + n).min(a)];
                        for g in 0..G {
                            lanes[g] = simd.mul_add_f64s(scaled[g], v[g], lanes[g]);
                        }
                    }
                }
                for (n, lanes) in lanes.into_iter().enumerate().take(a + 1 - first) {
                    let (value, b) = (tree::<S, G>(lanes), first + n);
                    sum[a * d + b] += value;
                    if b < a {
                        sum[b * d + a] += value;
                    }
                }
            }
        }
    }

    /// Adds `v_i . y` of all items to `products`.
    #[inline(always)]
    pub(super) fn add_products<S: Simd>(&self, simd: S, y: &[f64], products: &mut [f64]) {
        match LANES / S::F64_LANES {
            1 => self.add_products_in::<S, 1>(simd, y, products),
            2 => self.add_products_in::<S, 2>(simd, y, products),
            4 => self.add_products_in::<S, 4>(simd, y, products),
            _ => self.add_products_in::<S, 8>(simd, y, products),
        }
    }

    #[inline(always)]
    fn add_products_in<S: Simd, const G: usize>(&self, simd: S, y: &[f64], products: &mut [f64]) {
        let products = S::as_mut_simd_f64s(products).0.as_chunks_mut::<G>().0;
        for (block, out) in vectors::<S, G>(&self.blocks).chunks_exact(self.dimension).zip(products) {
            let mut z = *out;
            for (x, v) in y.iter().zip(block) {
                let x = simd.splat_f64s(*x);
                for g in 0..G {
                    z[g] = simd.mul_add_f64s(x, v[g], z[g]);
                }
            }
            *out = z;
        }
    }

    /// Length of per-item buffers.
    pub(super) fn padded(&self) -> usize {
        self.base.len()
    }
}

/// Sums that are under way at once.
const SIDE: usize = 4;

/// Inner products of `R` buffers of all items with `p`.
#[inline(always)]
pub(super) fn dots<S: Simd, const R: usize>(simd: S, rows: [&[f64]; R], p: &[f64]) -> [f64; R] {
    match LANES / S::F64_LANES {
        1 => dots_in::<S, R, 1>(simd, rows, p),
        2 => dots_in::<S, R, 2>(simd, rows, p),
        4 => dots_in::<S, R, 4>(simd, rows, p),
        _ => dots_in::<S, R, 8>(simd, rows, p),
    }
}

#[inline(always)]
fn dots_in<S: Simd, const R: usize, const G: usize>(simd: S, rows: [&[f64]; R], p: &[f64]) -> [f64; R] {
    let (mut sums, p) = ([0.0; R], vectors::<S, G>(p));
    for (sum, row) in sums.iter_mut().zip(rows) {
        let mut lanes = [simd.splat_f64s(0.0); G];
        for (a, b) in vectors::<S, G>(row).iter().zip(p) {
            for g in 0..G {
                lanes[g] = simd.mul_add_f64s(a[g], b[g], lanes[g]);
            }
        }
        *sum = tree::<S, G>(lanes);
    }
    sums
}

/// [`LANES`] numbers after the other, as the `G` vectors that they take.
#[inline(always)]
pub(super) fn vectors<S: Simd, const G: usize>(numbers: &[f64]) -> &[[S::f64s; G]] {
    S::as_simd_f64s(numbers).0.as_chunks::<G>().0
}

/// The sum of all lanes, as a tree.
#[inline(always)]
fn tree<S: Simd, const G: usize>(lanes: [S::f64s; G]) -> f64 {
    let l: &[f64] = bytemuck::cast_slice(&lanes);
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}
