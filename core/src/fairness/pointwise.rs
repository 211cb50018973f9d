//! Functions of one prediction whose sums over cells make up a fairness loss.
//!
//! The probability of exceeding a threshold tau, smoothed with bandwidth h: with `t = (tau - y) / h` and the Gaussian
//! tail `Q`, `S = Q(t)`, which tends to `[y > tau]` as h tends to 0. Its derivative is `phi(t) / h`, `phi` the Gaussian density.
//!
//! Cho, Choi & Suh 2022 (arXiv 2210.05936) compute `Q` by an exponential of second order, from Lopez-Benitez & Casadevall,
//! "Versatile, accurate, and analytically tractable approximation for the Gaussian Q-function", IEEE Trans. Commun. 2011,
//! and keep `phi / h` as the derivative.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// Beyond this many bandwidths from the threshold the density is below 1e-16 and the tail below 1e-16: nothing is lost
/// where both are skipped.
pub const BAND: f64 = 8.5;

/// A function of one prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pointwise {
    /// The prediction itself.
    Score,
    /// The smoothed indicator of a prediction above a threshold.
    Exceedance(Exceedance),
}

/// The smoothed indicator of `y > tau`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exceedance {
    /// Threshold.
    pub tau: f64,
    /// Width h of the transition, in units of the predictions; above 0.
    pub bandwidth: f64,
    /// How the Gaussian tail is computed.
    pub tail: Tail,
}

/// A form of the Gaussian tail `Q(t)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// `exp(-0.4920 t^2 - 0.2887 t - 1.1893)` for t > 0, `1 - Q(-t)` below and 1/2 at 0. Jumps at 0 (0.304, 0.5, 0.696), so
    /// that its derivative is not the density that goes with it: a surrogate.
    Exponential,
    /// `erfc(t / sqrt 2) / 2`: exact.
    Gaussian,
}

impl Pointwise {
    /// The function at prediction `y`.
    pub fn value(&self, y: f64) -> f64 {
        match self {
            Self::Score => y,
            Self::Exceedance(e) => e.value(y),
        }
    }

    /// What stands for its derivative at `y`.
    pub fn slope(&self, y: f64) -> f64 {
        match self {
            Self::Score => 1.0,
            Self::Exceedance(e) => e.slope(y),
        }
    }
}

impl Exceedance {
    fn value(&self, y: f64) -> f64 {
        let t = (self.tau - y) / self.bandwidth;
        match self.tail {
            Tail::Gaussian => 0.5 * libm::erfc(t * FRAC_1_SQRT_2),
            Tail::Exponential => {
                let q = (-0.4920 * t * t - 0.2887 * t.abs() - 1.1893).exp();
                match t.partial_cmp(&0.0) {
                    Some(std::cmp::Ordering::Greater) => q,
                    Some(std::cmp::Ordering::Less) => 1.0 - q,
                    Some(std::cmp::Ordering::Equal) => 0.5,
                    None => f64::NAN,
                }
            }
        }
    }

    fn slope(&self, y: f64) -> f64 {
        let t = (self.tau - y) / self.bandwidth;
        (-0.5 * t * t).exp() / (TAU.sqrt() * self.bandwidth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceedance(tail: Tail) -> Pointwise {
        Pointwise::Exceedance(Exceedance { tau: 3.0, bandwidth: 0.1, tail })
    }

    #[test]
    fn worked_by_hand() {
        let (fit, exact) = (exceedance(Tail::Exponential), exceedance(Tail::Gaussian));
        assert_eq!((fit.value(3.0), exact.value(3.0)), (0.5, 0.5));
        // One bandwidth below: exp(-1.97) and the tail at one standard deviation.
        assert!((fit.value(2.9) - (-1.97f64).exp()).abs() < 1e-12);
        assert!((exact.value(2.9) - 0.158_655_253_931_457).abs() < 1e-12);
        assert!((fit.value(3.1) + fit.value(2.9) - 1.0).abs() < 1e-12);
        assert!((exact.slope(3.0) - 3.989_422_804_014_327).abs() < 1e-12);
        assert_eq!((exact.value(5.0), exact.value(1.0) < 1e-80, exact.slope(5.0) < 1e-80), (1.0, true, true));
        assert!(fit.value(f64::NAN).is_nan());
    }

    #[test]
    fn outside_the_band_nothing_is_left() {
        for tail in [Tail::Exponential, Tail::Gaussian] {
            let (f, edge) = (exceedance(tail), BAND * 0.1);
            assert!(f.value(3.0 - edge) < 1e-16 && 1.0 - f.value(3.0 + edge) < 1e-15);
            assert!(f.slope(3.0 - edge) < 1e-14 && f.slope(3.0 + edge) < 1e-14);
        }
    }

    #[test]
    fn the_exact_form_is_its_own_derivative() {
        let f = exceedance(Tail::Gaussian);
        for y in [2.6, 2.95, 3.0, 3.02, 3.3] {
            let difference = (f.value(y + 1e-6) - f.value(y - 1e-6)) / 2e-6;
            assert!((difference - f.slope(y)).abs() < 1e-7, "{y}: {difference} and {}", f.slope(y));
        }
    }
}
