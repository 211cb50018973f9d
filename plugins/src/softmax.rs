//! Softmax exploration: better items are likelier, and none is impossible.
//!
//! Items are drawn one after the other without replacement, each with a probability proportional to
//! exp(score / temperature) among those left (Plackett 1975; Luce 1959). A place of a slate takes one random number and a
//! look at one weight in 64.
//!
//! The propensity of slates of one item is exact: the softmax. That of an item at a place of a longer slate is a sum over
//! all that may stand before it, so it is estimated as the share of fresh slates that agree. This holds for the first place
//! too, which could be exact: the values of one [`Propensities`] have one meaning.

use evenhand_core::{Acting, Error, Policy, Propensities, Result, Rng, Run, Slates, World, plugin};
use nalgebra::DMatrix;
use rand::RngExt;
use rayon::prelude::*;

plugin! {
    /// Items drawn one after the other, with probabilities that grow with their scores.
    pub struct Softmax: Policy = "softmax", from "Luce 1959; Plackett, Applied Statistics 1975" {
        /// Difference of scores that makes an item e times as likely as another.
        temperature: f64 = 1.0, in 1e-9..;
        /// Number of slates drawn behind a propensity, for slates of more than one item.
        draws: usize = 100, in 1..;
    }
}

impl Policy for Softmax {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        run.check()?;
        Ok(Box::new(Lots { world, temperature: self.temperature, draws: self.draws }))
    }
}

/// Draws lots.
struct Lots<'a> {
    world: World<'a>,
    temperature: f64,
    draws: usize,
}

/// Users whose scores are computed at once.
const BATCH: usize = 64;

impl Acting for Lots<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        let mut slates = Slates::new(users.len(), size);
        if size == 0 {
            return Ok(slates);
        }
        let streams = run.streams.child("softmax/act");
        let rows = slates.items.par_chunks_mut(size).zip(slates.scores.par_chunks_mut(size));
        let show = |urn: &mut Urn, user: u32, scores: &[f32], (items, shown): (&mut [u32], &mut [f32])| {
            urn.draw(&mut streams.rng(u64::from(user)), items);
            shown.iter_mut().zip(items).for_each(|(shown, item)| *shown = scores[*item as usize]);
        };
        self.each(users, run, rows, show)?;
        Ok(slates)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        let (size, draws) = (slates.size, (slates.size > 1).then_some(self.draws));
        let mut values = vec![0.0; slates.items.len()];
        if size == 0 {
            return Ok(Propensities { values, draws });
        }
        let streams = run.streams.child("softmax/propensities");
        let rows = values.par_chunks_mut(size).zip(slates.items.par_chunks(size));
        let weigh = |urn: &mut Urn, user: u32, scores: &[f32], (values, items): (&mut [f64], &[u32])| {
            let Some(draws) = draws else {
                values[0] = urn.chance(items[0]);
                return;
            };
            let (mut rng, mut drawn) = (streams.rng(u64::from(user)), vec![0; size]);
            for _ in 0..draws {
                urn.draw(&mut rng, &mut drawn);
                urn.put_back(&drawn, scores);
                let both = values.iter_mut().zip(drawn.iter().zip(items));
                both.filter(|(_, (drawn, item))| drawn == item).for_each(|(count, _)| *count += 1.0);
            }
            values.iter_mut().for_each(|count| *count /= draws as f64);
        };
        self.each(users, run, rows, weigh)?;
        Ok(Propensities { values, draws })
    }
}

impl Lots<'_> {
    /// Calls `work` for every user with the urn of its unseen items, its scores and its row. Users run in parallel, the
    /// scores of a batch of them at a time.
    fn each<R: Send>(
        &self,
        users: &[u32],
        run: &Run,
        rows: impl IndexedParallelIterator<Item = R>,
        work: impl Fn(&mut Urn, u32, &[f32], R) + Sync,
    ) -> Result<()> {
        let batch = |(users, rows): (&[u32], Vec<R>)| {
            run.check()?;
            let (mut scores, mut urn) = (DMatrix::zeros(0, 0), Urn::new(self.temperature));
            self.world.model.score(users, &mut scores, run)?;
            for ((&user, row), scores) in users.iter().zip(rows).zip(scores.column_iter()) {
                urn.fill(scores.as_slice(), self.world.seen_by(user))?;
                work(&mut urn, user, scores.as_slice(), row);
            }
            Ok(())
        };
        let done: Vec<Result<()>> =
            run.install(|| users.par_chunks(BATCH).zip(rows.chunks(BATCH)).map(batch).collect());
        // In the order of the users, however the batches were scheduled.
        done.into_iter().collect()
    }
}

/// Weights with one sum, so that a draw need not look at each of them.
const BLOCK: usize = 64;

/// A sum of weights below which they are scaled up, long before they lose digits.
const SCANT: f64 = 1e-100;

/// Items to be drawn without replacement by weight exp((score - highest) / temperature).
struct Urn {
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
    fn new(temperature: f64) -> Self {
        let (scores, weights, sums) = (Vec::new(), Vec::new(), Vec::new());
        Self { temperature, scores, weights, sums, highest: 0.0, top: 0.0 }
    }

    /// Starts anew with the items of `scores` that are not among those `seen`.
    fn fill(&mut self, scores: &[f32], seen: impl Iterator<Item = u32>) -> Result<()> {
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
        self.sums.extend(self.weights.chunks(BLOCK).map(|block| block.iter().sum::<f64>()));
    }

    /// Draws the items of a slate, of which there must be enough.
    fn draw(&mut self, rng: &mut Rng, slate: &mut [u32]) {
        for place in slate {
            let mut total: f64 = self.sums.iter().sum();
            if total < SCANT {
                self.weigh();
                total = self.sums.iter().sum();
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
    fn put_back(&mut self, drawn: &[u32], scores: &[f32]) {
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
        self.sums[item / BLOCK] = block.iter().sum();
    }

    /// Probability that `item` is drawn next.
    fn chance(&self, item: u32) -> f64 {
        self.weights[item as usize] / self.sums.iter().sum::<f64>()
    }
}

/// Of an item of that score, where the highest has weight 1.
fn weight(score: f64, highest: f64, temperature: f64) -> f64 {
    ((score - highest) / temperature).exp()
}

/// The first place at which the sum of `weights` exceeds `left`, which is reduced by those before. Where rounding leaves
/// none, the last one that is not 0.
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
    use crate::shown::tests::{given, seen};
    use evenhand_core::{Interactions, Streams};

    /// Items with scores so that at temperature 0.5 their weights are in the ratio 1 : 2 : 3.
    fn thirds() -> [f32; 3] {
        [1.0f32, 2.0, 3.0].map(|weight| 0.5 * weight.ln())
    }

    fn propensities(scores: &[f32], seen: Option<&Interactions>, policy: &Softmax, slates: &Slates) -> Propensities {
        let (model, run) = (given(&[scores]), Run::new(2));
        let users = vec![0; slates.items.len() / slates.size];
        policy.prepare(World { model: &model, seen }, &run).unwrap().propensities(&users, slates, &run).unwrap()
    }

    #[test]
    fn single_items_have_exact_propensities() {
        let slates = Slates { size: 1, items: vec![0, 1, 2], scores: vec![] };
        let policy = Softmax { temperature: 0.5, draws: 7 };
        let near = |got: Propensities, expected: [f64; 3]| {
            assert_eq!(got.draws, None);
            let mut both = got.values.iter().zip(expected);
            assert!(both.all(|(got, expected)| (got - expected).abs() < 1e-7), "{got:?}, expected {expected:?}");
        };
        near(propensities(&thirds(), None, &policy, &slates), [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]);
        let seen = seen(1, 3, &[(0, 1)]);
        near(propensities(&thirds(), Some(&seen), &policy, &slates), [0.25, 0.0, 0.75]);
        // Halving the differences: square roots of the weights.
        let roots = [1.0, 2f64.sqrt(), 3f64.sqrt()];
        let sum: f64 = roots.iter().sum();
        let warmer = Softmax { temperature: 1.0, ..policy };
        near(propensities(&thirds(), None, &warmer, &slates), roots.map(|w| w / sum));
    }

    #[test]
    fn longer_slates_are_estimated() {
        // Item 0 first: 1/6; second: 2/6 * 1/4 + 3/6 * 1/3 = 1/4; third: the rest, 7/12.
        let slates = Slates { size: 3, items: vec![0, 1, 2, 1, 0, 2, 1, 2, 0], scores: vec![] };
        let got = propensities(&thirds(), None, &Softmax { temperature: 0.5, draws: 4000 }, &slates);
        assert_eq!(got.draws, Some(4000));
        for (at, expected) in [(0, 1.0 / 6.0), (4, 0.25), (8, 7.0 / 12.0)] {
            // Five standard errors.
            assert!((got.values[at] - expected).abs() < 0.04, "{} at {at}, expected {expected}", got.values[at]);
        }
        assert!((got.values[0] + got.values[4] + got.values[8] - 1.0).abs() < 1e-12);
    }

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
