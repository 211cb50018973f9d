//! Exponential weights of experts that may be asleep.
//!
//! ```text
//! share of an expert awake    p_i = w_i / sum of w over the experts awake
//! after a round, of those     w_i <- w_i exp(-eta loss_i) / sum over the experts awake of p_j exp(-eta loss_j)
//! ```
//!
//! so that the weight of all experts awake stays what it was: who sleeps neither gains nor loses. For losses that are
//! squared errors of numbers in 0 to 1, at most `ln N / eta` more is lost than by any expert in the rounds in which it was
//! awake, by the mixed prediction, with eta up to 1/2.
//!
//! Source: Freund, Schapire, Singer & Warmuth, "Using and combining predictors that specialize", STOC 1997.

use evenhand_core::{Mixer, Mixing, Params, Result, plugin};

plugin! {
    /// Exponential weights of experts that may be asleep.
    pub struct Exponential: Mixer = "exponential",
        from "Freund, Schapire, Singer & Warmuth 1997, Using and combining predictors that specialize" {
        /// By how much a loss counts.
        eta: f64 = 0.5, in 0.0..=1e6;
    }
}

impl Mixer for Exponential {
    fn begin(&self, experts: usize) -> Result<Box<dyn Mixing>> {
        self.check()?;
        Ok(Box::new(Weights { eta: self.eta, logarithms: vec![0.0; experts] }))
    }
}

#[derive(Clone)]
struct Weights {
    eta: f64,
    /// Of the weights: those may leave the range of numbers.
    logarithms: Vec<f64>,
}

impl Mixing for Weights {
    fn shares(&self, awake: &[usize], shares: &mut [f64]) {
        let most = awake.iter().map(|&i| self.logarithms[i]).fold(f64::NEG_INFINITY, f64::max);
        shares.iter_mut().zip(awake).for_each(|(share, &i)| *share = (self.logarithms[i] - most).exp());
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
    }

    fn update(&mut self, awake: &[usize], _: &[f64], losses: &[f64]) {
        // By logarithms alone: shares of those far behind can not be told from 0. From the smallest loss on: the others may
        // be as large as numbers are.
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let before = log_sum(awake.iter().map(|&i| self.logarithms[i]));
        for (&i, &loss) in awake.iter().zip(losses) {
            let logarithm = &mut self.logarithms[i];
            *logarithm = (*logarithm - self.eta * (loss - least)).max(LEAST);
        }
        let gained = before - log_sum(awake.iter().map(|&i| self.logarithms[i]));
        awake.iter().for_each(|&i| self.logarithms[i] += gained);
    }

    fn copy(&self) -> Box<dyn Mixing> {
        Box::new(self.clone())
    }
}

/// The logarithm of a weight that is as good as none.
const LEAST: f64 = -1e300;

/// Logarithm of a sum, by the logarithms of its parts.
fn log_sum(of: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = of.clone().fold(f64::NEG_INFINITY, f64::max);
    most + of.map(|x| (x - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_by_hand() {
        let mut mixing = Exponential { eta: 1.0 }.begin(3).unwrap();
        let mut shares = [0.0; 2];
        mixing.shares(&[0, 2], &mut shares);
        assert_eq!(shares, [0.5; 2]);
        // The first one keeps its weight, the third one loses half of it; together they have what they had.
        mixing.update(&[0, 2], &shares, &[3.0, 3.0 + 2f64.ln()]);
        mixing.shares(&[0, 2], &mut shares);
        assert!((shares[0] - 2.0 / 3.0).abs() < 1e-15);
        mixing.shares(&[0, 1], &mut shares);
        assert!((shares[0] - 4.0 / 7.0).abs() < 1e-15, "4/3 of a weight against 1: {shares:?}");
    }
    /// Who sleeps keeps its weight, however much others lose: 0 and 1 change places twice, and have the weight of two again.
    #[test]
    fn large_losses_leave_sleepers_alone() {
        let mut mixing = Exponential::default().begin(3).unwrap();
        for losses in [[1e4, 0.0], [1e4, 0.0], [0.0, 2e4], [0.0, 2e4]] {
            let mut shares = [0.0; 2];
            mixing.shares(&[0, 1], &mut shares);
            mixing.update(&[0, 1], &shares, &losses);
        }
        let mut shares = [0.0; 3];
        mixing.shares(&[0, 1, 2], &mut shares);
        for (got, expected) in shares.into_iter().zip([2.0 / 3.0, 0.0, 1.0 / 3.0]) {
            assert!((got - expected).abs() < 1e-9, "{shares:?}");
        }
    }
}
