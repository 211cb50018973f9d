//! Draws without replacement, with probabilities that follow from scores.
//!
//! An item weighs exp((score - highest) / temperature), in f64; the highest weighs 1. When what is left weighs next to
//! nothing, the weights are computed anew from the highest score that is left, so that no difference of scores is too
//! large. Weights are summed in blocks: a draw looks at the sums, then at one block.

use evenhand_core::{Error, Result, Rng};
use rand::RngExt;

/// Weights with one sum, so that a draw need not look at each of them.
const BLOCK: usize = 64;

/// A sum of weights below which they are scaled up, long before they lose digits.
const SCANT: f64 = 1e-100;

/// Items to be drawn without replacement.
pub(crate) struct Urn {
    temperature: f64,
    /// Of the items that are left; minus infinity for the others.
    scores: Vec<f64>,
    weights: Vec<f64>,
    /// Sums of the weights, block by block.
    sums: Vec<f64>,
    /// Score of an item of weight 1: the highest when the weights were computed.
    highest: f64,
    /// The highest of all.
    top: f64,
}

impl Urn {
    pub(crate) fn new(temperature: f64) -> Self {
        let (scores, weights, sums) = (Vec::new(), Vec::new(), Vec::new());
        Self { temperature, scores, weights, sums, highest: 0.0, top: 0.0 }
    }

    /// Starts anew with the items of `scores` that are not among those `seen`.
    pub(crate) fn fill(&mut self, scores: &[f32], seen: impl Iterator<Item = u32>) -> Result<()> {
        let mut seen = seen.peekable();
        self.scores.clear();
        for (item, &score) in (0..).zip(scores) {
            let hidden = seen.next_if_eq(&item).is_some();
            if !hidden && !score.is_finite() {
                return Err(Error::Diverged { what: format!("score of item {item}"), step: None });
            }
            self.scores.push(if hidden { f64::NEG_INFINITY } else { score.into() });
        }
        self.weigh();
        self.top = self.highest;
        Ok(())
    }

    /// Computes all weights, the highest one 1.
    fn weigh(&mut self) {
        self.highest = self.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.weights.clear();
        let weight = |&score: &f64| weight(score, self.highest, self.temperature);
        self.weights.extend(self.scores.iter().map(weight));
        self.sums.clear();
        self.sums.extend(self.weights.chunks(BLOCK).map(sum));
    }

    /// Draws the items of a slate, of which there must be enough.
    pub(crate) fn draw(&mut self, rng: &mut Rng, slate: &mut [u32]) {
        for place in slate {
            let mut total = sum(&self.sums);
            if total < SCANT {
                self.weigh();
                total = sum(&self.sums);
            }
            let mut left = rng.random::<f64>() * total;
            let block = find(&self.sums, &mut left);
            let first = block * BLOCK;
            let item = first + find(&self.weights[first..self.weights.len().min(first + BLOCK)], &mut left);
            *place = item as u32;
            self.set(item, f64::NEG_INFINITY);
        }
    }

    /// Undoes draws since the urn was filled with `scores`.
    pub(crate) fn put_back(&mut self, drawn: &[u32], scores: &[f32]) {
        let scaled = self.highest != self.top;
        for &item in drawn {
            self.scores[item as usize] = f64::from(scores[item as usize]);
        }
        if scaled {
            return self.weigh();
        }
        for &item in drawn {
            self.set(item as usize, f64::from(scores[item as usize]));
        }
    }

    fn set(&mut self, item: usize, score: f64) {
        self.scores[item] = score;
        self.weights[item] = weight(score, self.highest, self.temperature);
        let first = item / BLOCK * BLOCK;
        let block = &self.weights[first..self.weights.len().min(first + BLOCK)];
        // Not by subtraction, which would leave rounding errors in place of small weights.
        self.sums[item / BLOCK] = sum(block);
    }

    /// Probability that `item` is drawn next.
    pub(crate) fn chance(&self, item: u32) -> f64 {
        self.weights[item as usize] / sum(&self.sums)
    }
}

/// Of an item of that score, where the highest has weight 1.
fn weight(score: f64, highest: f64, temperature: f64) -> f64 {
    ((score - highest) / temperature).exp()
}

/// In eight sums that do not wait for each other.
fn sum(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for lane in 0..8 {
            sums[lane] += chunk[lane];
        }
    }
    sums.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

/// The first place at which the sum of `weights` exceeds `left`, which is reduced by those before. Where rounding
/// leaves none, the last one that is not 0.
fn find(weights: &[f64], left: &mut f64) -> usize {
    let mut last = 0;
    for (n, &weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        if *left < weight {
            return n;
        }
        *left -= weight;
        last = n;
    }
    *left = f64::INFINITY;
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::Streams;

    #[test]
    fn scores_far_apart_are_drawn_in_order_and_put_back() {
        // Differences of 1000 temperatures: every weight but the highest is 0 until the weights are scaled up.
        let scores: Vec<f32> = (0..200).map(|item| ((item * 77) % 200) as f32 * 1000.0).collect();
        let mut expected: Vec<u32> = (0..200).collect();
        expected.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let mut urn = Urn::new(1.0);
        urn.fill(&scores, std::iter::empty()).unwrap();
        for seed in 0..3 {
            let mut drawn = vec![0; 200];
            urn.draw(&mut Streams::new(seed).rng(0), &mut drawn);
            assert_eq!(drawn, expected);
            urn.put_back(&drawn, &scores);
        }
        let mut fresh = Urn::new(1.0);
        fresh.fill(&scores, std::iter::empty()).unwrap();
        assert_eq!((urn.scores, urn.weights, urn.sums), (fresh.scores, fresh.weights, fresh.sums));
    }

    #[test]
    fn the_blocks_hide_no_item() {
        // Equal scores over three blocks: each of 150 items is first in about one of 150 draws.
        let (scores, mut counts) = (vec![0.0; 150], [0u32; 150]);
        let mut urn = Urn::new(1.0);
        urn.fill(&scores, std::iter::empty()).unwrap();
        let mut rng = Streams::new(1).rng(0);
        for _ in 0..15_000 {
            let mut drawn = [0];
            urn.draw(&mut rng, &mut drawn);
            urn.put_back(&drawn, &scores);
            counts[drawn[0] as usize] += 1;
        }
        // Chi-square with 149 degrees of freedom: mean 149, standard deviation 17.3.
        let chi: f64 = counts.iter().map(|&n| (f64::from(n) - 100.0).powi(2) / 100.0).sum();
        assert!((62.0..236.0).contains(&chi), "{chi}");
    }

    #[test]
    fn hidden_scores_may_be_anything_others_not() {
        let mut urn = Urn::new(1.0);
        for sick in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(urn.fill(&[1.0, sick], [1].into_iter()).is_ok());
            let refused = urn.fill(&[1.0, sick], [0].into_iter()).unwrap_err().to_string();
            assert_eq!(refused, "score of item 1 became non-finite");
        }
    }
}
