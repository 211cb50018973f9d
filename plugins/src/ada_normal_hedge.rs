//! AdaNormalHedge: shares without a learning rate and without a horizon, for experts that may be asleep.
//!
//! Of each expert two sums over the rounds in which it was awake: R of `r = loss of the mixture - its loss`, and C of |r|.
//!
//! ```text
//! weight   w(R, C) = 1/2 (exp([R + 1]+^2 / 3(C + 1)) - exp([R - 1]+^2 / 3(C + 1)))
//! share    w / sum of w over the experts awake; equal shares where all of these are 0
//! ```
//!
//! The loss of the mixture is the expected loss of one expert drawn by its share. Losses are meant to be in 0 to 1, larger
//! ones do no harm but to the bound: at most O(sqrt(C ln N)) more is lost than by any expert while it was awake.
//!
//! Source: Luo & Schapire, "Achieving all with no parameters: AdaNormalHedge", COLT 2015, sections 3 and 5.1.

use evenhand_core::{Mixer, Mixing, Result, plugin};

plugin! {
    /// Shares by regret, without a learning rate, for experts that may be asleep.
    pub struct AdaNormalHedge: Mixer = "ada-normal-hedge",
        from "Luo & Schapire 2015, Achieving all with no parameters: AdaNormalHedge" {}
}

impl Mixer for AdaNormalHedge {
    fn begin(&self, experts: usize) -> Result<Box<dyn Mixing>> {
        Ok(Box::new(Regrets { sums: vec![(0.0, 0.0); experts] }))
    }
}

/// Where sums end, which would leave the range of numbers.
const MOST: f64 = 1e300;

/// R and C of each expert.
#[derive(Clone)]
struct Regrets {
    sums: Vec<(f64, f64)>,
}

/// A weight as `exp(a) part / 2`: the exponent a, and the part, from 0 to 1, that the second exponential leaves.
fn weight(regret: f64, magnitude: f64) -> (f64, f64) {
    let scale = 3.0 * (magnitude + 1.0);
    let over = (regret + 1.0).max(0.0);
    let a = over * (over / scale);
    // By how much the exponents differ: not by subtraction, which loses it where R is large.
    let apart = if regret >= 1.0 { 4.0 * (regret / scale) } else { a };
    (a, -(-apart).exp_m1())
}

/// Logarithm of the weight of an expert with that R and C; negative infinity where the weight is 0.
pub fn log_weight(regret: f64, magnitude: f64) -> f64 {
    let (a, part) = weight(regret, magnitude);
    a + (0.5 * part).ln()
}

/// Shares of experts with those R and C.
pub fn shares(of: impl Iterator<Item = (f64, f64)> + Clone, shares: &mut [f64]) {
    // Over the largest exponent, which may be beyond the range of exponentials.
    let most = of.clone().map(|(r, c)| weight(r, c).0).fold(0.0, f64::max);
    let mut sum = 0.0;
    for (share, (r, c)) in shares.iter_mut().zip(of) {
        let (a, part) = weight(r, c);
        *share = (a - most).exp() * part;
        sum += *share;
    }
    if sum > 0.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    } else {
        let equal = 1.0 / shares.len() as f64;
        shares.fill(equal);
    }
}

impl Mixing for Regrets {
    fn shares(&self, awake: &[usize], to: &mut [f64]) {
        shares(awake.iter().map(|&i| self.sums[i]), to);
    }

    fn update(&mut self, awake: &[usize], shares: &[f64], losses: &[f64]) {
        let mixed: f64 = shares.iter().zip(losses).map(|(share, loss)| share * loss).sum();
        for (&i, &loss) in awake.iter().zip(losses) {
            let regret = mixed - loss;
            let (r, c) = &mut self.sums[i];
            *r = (*r + regret).clamp(-MOST, MOST);
            *c = (*c + regret.abs()).min(MOST);
        }
    }

    fn copy(&self) -> Box<dyn Mixing> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_keeps_its_share_however_large_losses_are() {
        for scale in [1.0, 1e8, 1e17, 1e150, 1e290] {
            let mut mixing = AdaNormalHedge {}.begin(3).unwrap();
            let mut got = [0.0; 3];
            for _ in 0..20 {
                mixing.shares(&[0, 1, 2], &mut got);
                mixing.update(&[0, 1, 2], &got, &[0.0, scale, 2.0 * scale]);
            }
            mixing.shares(&[0, 1, 2], &mut got);
            assert!(got[0] > 0.95 && got[0] >= got[1] && got[1] >= got[2], "{scale}: {got:?}");
        }
    }
}
