//! From a raw product of factors to a prediction.

use serde::{Deserialize, Serialize};

/// A monotone function of the raw product z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Squash {
    /// `y = z`.
    None,
    /// `y = tanh z`.
    Tanh,
    /// `y = shift + scale * min(max(z, low), high)`; the derivative is `scale` from `low` to `high`, both included, 0
    /// outside.
    Clamp {
        /// Lower end of z.
        low: f64,
        /// Upper end of z.
        high: f64,
        /// Factor of the clamped value.
        scale: f64,
        /// Value added to it.
        shift: f64,
    },
}

impl Squash {
    /// The prediction.
    pub fn value(self, z: f64) -> f64 {
        match self {
            Self::None => z,
            Self::Tanh => z.tanh(),
            // `max` and `min` would turn a NaN into a bound.
            Self::Clamp { low, high, scale, shift } => shift + scale * z.clamp(low, high),
        }
    }

    /// Its derivative by z.
    pub fn slope(self, z: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Tanh => 1.0 - z.tanh().powi(2),
            Self::Clamp { low, high, scale, .. } => {
                if (low..=high).contains(&z) {
                    scale
                } else {
                    0.0
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes() {
        let stars = Squash::Clamp { low: 0.0, high: 1.0, scale: 4.0, shift: 1.0 };
        assert_eq!([-0.1, 0.0, 0.25, 1.0, 1.1].map(|z| stars.value(z)), [1.0, 1.0, 2.0, 5.0, 5.0]);
        assert_eq!([-0.1, 0.0, 0.25, 1.0, 1.1].map(|z| stars.slope(z)), [0.0, 4.0, 4.0, 4.0, 0.0]);
        assert!(stars.value(f64::NAN).is_nan());
        for squash in [Squash::None, Squash::Tanh, stars] {
            for z in [-0.7, 0.3, 0.9, 2.0] {
                let difference = (squash.value(z + 1e-6) - squash.value(z - 1e-6)) / 2e-6;
                assert!((difference - squash.slope(z)).abs() < 1e-8, "{squash:?} at {z}");
            }
        }
    }
}
