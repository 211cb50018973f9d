//! What a profile is worth under a lottery, and what its user does.

use super::catalogue::Catalogue;
use super::fixed_point::{Buffers, REPORTED, Stationary, Totals};
use super::mixture::Mixture;
use evenhand_core::{Lottery, Result, Rng};
use pulp::{Arch, Simd, WithSimd};
use rand::RngExt;

/// What a lottery comes to at a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// pCLK: the probability that something shown is taken, in 0 to 1.
    pub click: f64,
    /// pH: the probability that a harmful item is consumed, in 0 to 1; of lotteries that show none of them.
    pub harm: f64,
}

impl Value {
    /// `click - price harm`.
    pub fn objective(&self, price: f64) -> f64 {
        self.click - price * self.harm
    }
}

/// Where a user ends up under a lottery, and what that is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The stationary profile.
    pub stationary: Stationary,
    /// What the lottery comes to there.
    pub value: Value,
}

/// What a user consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// The item.
    pub item: u32,
    /// Whether it was taken from what was shown.
    pub taken: bool,
}

impl Catalogue {
    /// Where a user from `start` ends up under `lottery`, to [`REPORTED`], and what that is worth.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn outlook(&self, start: &[f64], lottery: &Lottery) -> Result<Outlook> {
        self.check_profile(start)?;
        self.check_lottery(lottery)?;
        let (mixture, mut buffers) = (Mixture::new(lottery), Buffers::new(self));
        let stationary = self.find(start, &mixture, REPORTED, &mut buffers);
        let value = self.bounded_value_at(start, &mixture, &stationary.profile, &mut buffers);
        Ok(Outlook { stationary, value })
    }

    /// What `lottery` comes to at `profile`, stationary or not.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn value(&self, profile: &[f64], lottery: &Lottery) -> Result<Value> {
        self.check_profile(profile)?;
        self.check_lottery(lottery)?;
        Ok(self.bounded_value_at(profile, &Mixture::new(lottery), profile, &mut Buffers::new(self)))
    }

    pub(super) fn value_at(&self, start: &[f64], mixture: &Mixture, at: &[f64], buffers: &mut Buffers) -> Value {
        let totals = self.map(start, mixture, at, buffers);
        self.value_of(&totals, buffers)
    }

    /// The same of a lottery whose weights add up to 1: rounding leads out of no range.
    fn bounded_value_at(&self, start: &[f64], mixture: &Mixture, at: &[f64], buffers: &mut Buffers) -> Value {
        let Value { click, harm } = self.value_at(start, mixture, at, buffers);
        Value { click: click.min(1.0), harm: harm.max(0.0) }
    }

    /// From what [`Self::map`] has left.
    pub(super) fn value_of(&self, totals: &Totals, buffers: &Buffers) -> Value {
        let click = buffers.scores.iter().zip(&buffers.a).map(|(score, a)| score * a).sum();
        Value { click, harm: totals.harmful / totals.all * (1.0 - click) }
    }

    /// The probability that each item is consumed next: `s_i (a_i + kappa / S)`.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn selection(&self, profile: &[f64], lottery: &Lottery) -> Result<Vec<f64>> {
        self.check_profile(profile)?;
        self.check_lottery(lottery)?;
        let mut buffers = Buffers::new(self);
        let totals = self.map(profile, &Mixture::new(lottery), profile, &mut buffers);
        let each = buffers.scores.iter().zip(&buffers.a).take(self.items);
        Ok(each.map(|(score, a)| score * (a + totals.kappa / totals.all)).collect())
    }

    /// The profile that is to be expected after the next consumption, of a user who began at `start`.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn expected_step(&self, start: &[f64], profile: &[f64], lottery: &Lottery) -> Result<Vec<f64>> {
        self.expected_walk(start, profile, lottery, 1)
    }

    /// How far a user from `start` is from `goal` after so many expected steps under `lottery`, as the Euclidean norm.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn distance(&self, start: &[f64], goal: &[f64], lottery: &Lottery, steps: usize) -> Result<f64> {
        self.check_profile(goal)?;
        let end = self.expected_walk(start, start, lottery, steps)?;
        Ok(end.iter().zip(goal).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt())
    }

    fn expected_walk(&self, start: &[f64], from: &[f64], lottery: &Lottery, steps: usize) -> Result<Vec<f64>> {
        self.check_profile(start)?;
        self.check_profile(from)?;
        self.check_lottery(lottery)?;
        let (mixture, mut buffers) = (Mixture::new(lottery), Buffers::new(self));
        let mut profile = from.to_vec();
        let mut sum = vec![0.0; self.dimension];
        let (profile_mut, sum) = (&mut profile[..], &mut sum[..]);
        let walk =
            Walk { catalogue: self, start, mixture: &mixture, profile: profile_mut, sum, steps, buffers: &mut buffers };
        Arch::new().dispatch(walk);
        Ok(profile)
    }

    /// What a user with `profile` consumes who is shown `set`.
    pub fn consume(&self, profile: &[f64], set: &[u32], rng: &mut Rng) -> Consumed {
        let mut scores = vec![0.0; self.padded()];
        let (all, _) = Arch::new().dispatch(Scores { catalogue: self, profile, scores: &mut scores });
        let shown: f64 = set.iter().map(|&item| scores[item as usize]).sum();
        let draw = rng.random::<f64>() * (shown + 1.0);
        if draw < shown {
            return Consumed { item: pick(set.iter().copied(), &scores, draw), taken: true };
        }
        let draw = rng.random::<f64>() * all;
        Consumed { item: pick(0..self.items as u32, &scores, draw), taken: false }
    }

    /// Moves `profile` by the consumption of `item`, of a user who began at `start`.
    pub fn moves(&self, start: &[f64], profile: &mut [f64], item: u32) {
        let (alpha, beta) = (self.alpha[item as usize], self.dynamics.beta);
        for ((u, start), v) in profile.iter_mut().zip(start).zip(self.vector(item)) {
            *u = beta * start + alpha * v + (1.0 - alpha - beta) * *u;
        }
    }
}

/// The item in whose part of the sum of scores `draw` lies; the last one where rounding leads beyond.
fn pick(items: impl Iterator<Item = u32>, scores: &[f64], mut draw: f64) -> u32 {
    let mut last = 0;
    for item in items {
        last = item;
        draw -= scores[item as usize];
        if draw < 0.0 {
            break;
        }
    }
    last
}

/// Expected steps, one after the other.
struct Walk<'a> {
    catalogue: &'a Catalogue,
    start: &'a [f64],
    mixture: &'a Mixture,
    profile: &'a mut [f64],
    sum: &'a mut [f64],
    steps: usize,
    buffers: &'a mut Buffers,
}

impl WithSimd for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { catalogue, start, mixture, profile, sum, steps, buffers } = self;
        let beta = catalogue.dynamics.beta;
        for _ in 0..steps {
            catalogue.map_in(simd, start, mixture, profile, buffers);
            let pull = catalogue.weighted_sum(simd, &buffers.pulls, sum);
            let stays = 1.0 - beta - pull;
            for ((u, start), sum) in profile.iter_mut().zip(start).zip(&*sum) {
                *u = beta * start + sum + stays * *u;
            }
        }
    }
}

/// Scores of all items; their sum and that of harmful ones.
struct Scores<'a> {
    catalogue: &'a Catalogue,
    profile: &'a [f64],
    scores: &'a mut [f64],
}

impl WithSimd for Scores<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        self.catalogue.scores(simd, self.profile, self.scores)
    }
}
