//! How the worth of a lottery depends on the lottery, through the stationary profile that it leads to.
//!
//! With F the map whose fixed point the profile is, `du/dpi = (I - dF/du)^-1 dF/dpi`. For a figure f that is to be
//! differentiated, one solution y of `(I - dF/du)' y = df/du` serves all lotteries: moving weight to the set E changes f by
//!
//! ```text
//! slope(E) = (sum over E of w_i + rest) / (s_E + 1)
//! w_i = direct s_i + alpha_i s_i (v_i - u) . y / D      rest = (sum over all of alpha_i s_i (v_i - u) . y) / (S D)
//! ```
//!
//! with scores in units of c and `D = beta + sum of alpha_i p_i`. So the steepest of all sets is found without listing them
//! (Dinkelbach 1967), and the change of moving towards any lottery is the mean of `slope` over it.

use super::catalogue::Catalogue;
use super::fixed_point::{Buffers, Totals};
use super::mixture::{Entering, Mixture};
use super::quadrature::{Rule, rule};
use super::value::Value;
use evenhand_core::SizeRule;
use nalgebra::{DMatrix, DVector};
use pulp::{Arch, Simd, WithSimd};

/// A figure to be differentiated: `click` times pCLK plus `harm` times pH.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Weight of the click probability.
    pub click: f64,
    /// Weight of the harm probability.
    pub harm: f64,
}

impl Figure {
    /// `click - price harm`.
    pub fn objective(price: f64) -> Self {
        Self { click: 1.0, harm: -price }
    }
}

/// Buffers of derivatives.
#[derive(Clone, Debug)]
pub(super) struct Space {
    /// Weights of items: `g_i` of the Jacobian, then others.
    weights: Vec<f64>,
    /// `dF/du` times D, then `dF/du`, row after row.
    pub(super) jacobian: Vec<f64>,
    /// `dclick/du`.
    pub(super) click: Vec<f64>,
    /// `dh/du` with h = S_H / S.
    pub(super) share: Vec<f64>,
    /// `F(u)`.
    mean: Vec<f64>,
    /// Sums of vectors: of all items by score, of harmful ones, and one more.
    sums: [Vec<f64>; 3],
    /// `alpha_i s_i (v_i - u)` summed over all items, then over a set.
    pub(super) pull: Vec<f64>,
    of_set: Vec<f64>,
}

impl Space {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        let d = catalogue.dimension;
        let zeros = || vec![0.0; d];
        Self {
            weights: vec![0.0; catalogue.padded()],
            jacobian: vec![0.0; d * d],
            click: zeros(),
            share: zeros(),
            mean: zeros(),
            sums: [zeros(), zeros(), zeros()],
            pull: zeros(),
            of_set: zeros(),
        }
    }
}

/// What moving weight to a set changes, to first order.
#[derive(Clone, Debug)]
pub struct Slope {
    /// Per item, harmful ones included, which are in no set.
    pub(super) w: Vec<f64>,
    pub(super) rest: f64,
    /// Scores in units of c.
    pub(super) scores: Vec<f64>,
}

impl Slope {
    /// The derivative by the weight of `set`.
    pub fn of_set(&self, set: &[u32]) -> f64 {
        let (above, below) = set.iter().fold((self.rest, 1.0), |(above, below), &item| {
            (above + self.w[item as usize], below + self.scores[item as usize])
        });
        above / below
    }

    /// The steepest set of `items`, ascending, of exactly or at most `size`: Dinkelbach's method, which ends at the best ratio
    /// of sums. Where scores differ by more than the digits of a number it starts again from the best single item.
    pub fn steepest(&self, items: &[u32], size: usize, rule: SizeRule) -> Vec<u32> {
        let exactly = rule == SizeRule::Exactly;
        let first = self.climb_from(&items[..if exactly { size.min(items.len()) } else { 0 }], items, size, exactly);
        let best = items.iter().copied().max_by(|&a, &b| self.of_set(&[a]).total_cmp(&self.of_set(&[b])));
        let Some(best) = best.filter(|_| size > 0) else { return first };
        let mut around: Vec<u32> =
            if exactly { items.iter().copied().filter(|&i| i != best).take(size - 1).collect() } else { vec![] };
        around.push(best);
        around.sort_unstable();
        let second = self.climb_from(&around, items, size, exactly);
        if self.of_set(&second) > self.of_set(&first) { second } else { first }
    }

    fn climb_from(&self, start: &[u32], items: &[u32], size: usize, exactly: bool) -> Vec<u32> {
        let mut set = start.to_vec();
        let mut theta = self.of_set(&set);
        let mut gains: Vec<(f64, u32)> = Vec::with_capacity(items.len());
        // Every round is a gain or the last; two to four are usual.
        for _ in 0..100 {
            gains.clear();
            gains.extend(items.iter().map(|&i| (self.w[i as usize] - theta * self.scores[i as usize], i)));
            let descending = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if size > 0 && size < gains.len() {
                gains.select_nth_unstable_by(size - 1, descending);
            }
            gains.truncate(size);
            if !exactly {
                gains.retain(|gain| gain.0 > 0.0);
            }
            let mut next: Vec<u32> = gains.iter().map(|gain| gain.1).collect();
            next.sort_unstable();
            let value = self.of_set(&next);
            if value <= theta || next == set {
                break;
            }
            (set, theta) = (next, value);
        }
        set
    }

    /// The derivative by the chance of each of `items` to enter on its own, given all `chances`.
    pub(super) fn of_chances(&self, items: &[u32], chances: &[f64]) -> Vec<f64> {
        let mut entering = Entering::of(items, chances, &self.scores, |_| true);
        // An item of chance 0 counts once it enters, so that its score matters to the rule too.
        let rule = rule(entering.sum);
        let mut slopes = vec![0.0; items.len()];
        Arch::new().dispatch(ByChances {
            slope: self,
            items,
            rule: &rule,
            entering: &mut entering,
            slopes: &mut slopes,
        });
        slopes
    }
}

impl Catalogue {
    /// The worth of `mixture` at the profile that it leads to, and what changing it changes. `totals` and `buffers` are as
    /// [`Self::map`] leaves them at that profile. `None` where the profile does not depend smoothly on the lottery; not for
    /// mixtures of all sets.
    pub(super) fn slope_at(
        &self,
        mixture: &Mixture,
        figure: Figure,
        profile: &[f64],
        totals: &Totals,
        buffers: &Buffers,
        space: &mut Space,
    ) -> Option<Slope> {
        let value = self.value_of(totals, buffers);
        let below = self.differentiate_at(mixture, profile, totals, buffers, space);
        let (d, share) = (self.dimension, totals.harmful / totals.all);
        let direct = figure.click - figure.harm * share;
        let toward = (1.0 - value.click) * figure.harm;
        // Row after row is column after column of the transpose.
        let mut matrix = DMatrix::from_fn(d, d, |a, b| -space.jacobian[b * d + a]);
        (0..d).for_each(|k| matrix[(k, k)] += 1.0);
        let given = space.click.iter().zip(&space.share).map(|(click, share)| direct * click + toward * share);
        let y = matrix.lu().solve(&DVector::from_iterator(d, given))?;
        if y.iter().any(|y| !y.is_finite()) {
            return None;
        }
        let mut w = vec![0.0; self.padded()];
        let middle: f64 = y.iter().zip(&space.mean).map(|(y, u)| y * u).sum();
        Arch::new().dispatch(Products { catalogue: self, y: y.as_slice(), products: &mut w });
        let mut rest = 0.0;
        for (w, (score, alpha)) in w.iter_mut().zip(buffers.scores.iter().zip(&self.alpha)) {
            let pull = alpha * score * (*w - middle) / below;
            rest += pull;
            *w = direct * score + pull;
        }
        Some(Slope { w, rest: rest / totals.all, scores: buffers.scores.clone() })
    }

    /// `dF/du`, `dclick/du` and `dh/du` into `space`; returns D.
    pub(super) fn differentiate_at(
        &self,
        mixture: &Mixture,
        profile: &[f64],
        totals: &Totals,
        buffers: &Buffers,
        space: &mut Space,
    ) -> f64 {
        Arch::new().dispatch(Differentiate { catalogue: self, mixture, profile, totals, buffers, space })
    }
}

/// `to -= scale a b'`, row after row.
#[inline(always)]
fn subtract_product(to: &mut [f64], scale: f64, a: &[f64], b: &[f64]) {
    for (row, a) in to.chunks_exact_mut(b.len()).zip(a) {
        row.iter_mut().zip(b).for_each(|(to, b)| *to -= scale * a * b);
    }
}

/// See [`Catalogue::differentiate_at`].
struct Differentiate<'a> {
    catalogue: &'a Catalogue,
    mixture: &'a Mixture,
    profile: &'a [f64],
    totals: &'a Totals,
    buffers: &'a Buffers,
    space: &'a mut Space,
}

impl WithSimd for Differentiate<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { catalogue, mixture, profile, totals, buffers, space } = self;
        let (d, scores) = (catalogue.dimension, &buffers.scores);
        let Totals { all, harmful, kappa } = *totals;
        let Space { weights, jacobian, click, share, mean, sums: [by_score, of_harmful, other], pull, of_set } = space;
        mean.copy_from_slice(profile);
        catalogue.weighted_sum(simd, scores, by_score);
        for (weight, (score, label)) in weights.iter_mut().zip(scores.iter().zip(&catalogue.harmful)) {
            *weight = score * label;
        }
        catalogue.weighted_sum(simd, weights, of_harmful);
        let (alpha, alpha_harmful) = (catalogue.dynamics.alpha_harmless, catalogue.dynamics.alpha_harmful);
        let attraction = alpha * (all - harmful) + alpha_harmful * harmful;
        for k in 0..d {
            share[k] = (of_harmful[k] - harmful / all * by_score[k]) / all;
            let toward = alpha * (by_score[k] - of_harmful[k]) + alpha_harmful * of_harmful[k];
            pull[k] = toward - attraction * mean[k];
        }
        // The quadratic part with one item twice: g_i. What goes across items is added as products of sums.
        weights.copy_from_slice(&buffers.pulls);
        click.fill(0.0);
        jacobian.fill(0.0);
        match mixture {
            Mixture::Sets(sets) => {
                for (set, weight) in sets.support() {
                    let r = 1.0 / (1.0 + set.iter().map(|&i| scores[i as usize]).sum::<f64>());
                    let square = weight * r * r;
                    if let [item] = *set {
                        let (i, score) = (item as usize, scores[item as usize]);
                        weights[i] -= square * catalogue.alpha[i] * score * score;
                        click.iter_mut().zip(catalogue.vector(item)).for_each(|(c, v)| *c += square * score * v);
                        continue;
                    }
                    other.fill(0.0);
                    of_set.fill(0.0);
                    let mut attraction = 0.0;
                    for &item in set {
                        let (score, alpha) = (scores[item as usize], catalogue.alpha[item as usize]);
                        attraction += alpha * score;
                        for (k, v) in catalogue.vector(item).iter().enumerate() {
                            other[k] += score * v;
                            of_set[k] += alpha * score * v;
                        }
                    }
                    for k in 0..d {
                        of_set[k] -= attraction * mean[k];
                        click[k] += square * other[k];
                    }
                    subtract_product(jacobian, square, of_set, other);
                }
            }
            Mixture::Independent { items, chances } => {
                let mut entering = Entering::of(items, chances, scores, |chance| chance > 0.0);
                let rule = rule(entering.sum);
                let mut tilted = vec![0.0; entering.decay.len()];
                let mut spread = vec![0.0; weights.len()];
                let mut inside = vec![0.0; weights.len()];
                for (time, weight) in rule.times.iter().zip(&rule.weights) {
                    let (product, nothings) = entering.at(simd, *time);
                    let square = weight * time * product;
                    if nothings > 0 || square == 0.0 {
                        continue;
                    }
                    entering.tilted(&mut tilted);
                    let mut attraction = 0.0;
                    for (item, &m) in entering.items.iter().zip(&tilted) {
                        let i = *item as usize;
                        inside[i] = m * scores[i];
                        attraction += catalogue.alpha[i] * inside[i];
                        spread[i] += square * m * (1.0 - m);
                    }
                    catalogue.weighted_sum(simd, &inside, other);
                    inside.iter_mut().zip(&catalogue.alpha).for_each(|(inside, alpha)| *inside *= alpha);
                    catalogue.weighted_sum(simd, &inside, of_set);
                    for k in 0..d {
                        of_set[k] -= attraction * mean[k];
                        click[k] += square * other[k];
                    }
                    subtract_product(jacobian, square, of_set, other);
                }
                for (i, weight) in weights.iter_mut().enumerate() {
                    *weight -= spread[i] * catalogue.alpha[i] * scores[i] * scores[i];
                }
            }
            Mixture::Uniform { .. } => unreachable!("nothing is differentiated by a lottery over all sets"),
        }
        for k in 0..d {
            of_set[k] = kappa / (all * all) * by_score[k] + click[k] / all;
        }
        subtract_product(jacobian, 1.0, pull, of_set);
        // The products that begin with the profile, then those of items with themselves.
        catalogue.weighted_sum(simd, weights, other);
        subtract_product(jacobian, 1.0, mean, other);
        let below = catalogue.dynamics.beta + buffers.pulls.iter().sum::<f64>();
        catalogue.add_gram(simd, weights, jacobian);
        jacobian.iter_mut().for_each(|j| *j /= below);
        below
    }
}

/// `v_i . y` of all items.
struct Products<'a> {
    catalogue: &'a Catalogue,
    y: &'a [f64],
    products: &'a mut [f64],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.catalogue.add_products(simd, self.y, self.products);
    }
}

/// See [`Slope::of_chances`].
struct ByChances<'a> {
    slope: &'a Slope,
    items: &'a [u32],
    rule: &'a Rule,
    entering: &'a mut Entering,
    slopes: &'a mut [f64],
}

impl WithSimd for ByChances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slope: Slope { w, rest, .. }, items, rule, entering, slopes } = self;
        let mut w: Vec<f64> = items.iter().map(|&item| w[item as usize]).collect();
        w.resize(entering.decay.len(), 0.0);
        let (mut tilted, mut others) = (vec![0.0; w.len()], vec![0.0; w.len()]);
        for (time, weight) in rule.times.iter().zip(&rule.weights) {
            let product = entering.at(simd, *time);
            entering.tilted(&mut tilted);
            // Sums over the others from both sides, not as differences: one item may be all that counts.
            let mut sum = *rest;
            for (others, (w, tilted)) in others.iter_mut().zip(w.iter().zip(&tilted)) {
                *others = sum;
                sum += w * tilted;
            }
            let mut sum = 0.0;
            for (others, (w, tilted)) in others.iter_mut().zip(w.iter().zip(&tilted)).rev() {
                *others += sum;
                sum += w * tilted;
            }
            // The mean with the item in the set, less that without.
            for (gain, (w, decay)) in others.iter_mut().zip(w.iter().zip(&entering.decay)) {
                *gain = (decay - 1.0) * *gain + decay * w;
            }
            if product.1 == 0 {
                // No factor is next to nothing, so that products of all others are quotients.
                let scale = weight * product.0;
                for (slope, (gain, factor)) in slopes.iter_mut().zip(others.iter().zip(&entering.factors)) {
                    *slope += scale / factor * gain;
                }
                continue;
            }
            for (place, slope) in slopes.iter_mut().enumerate() {
                *slope += weight * entering.without(place, product) * others[place];
            }
        }
    }
}

impl Value {
    /// The figure that is made of this.
    pub fn figure(&self, figure: Figure) -> f64 {
        figure.click * self.click + figure.harm * self.harm
    }
}
