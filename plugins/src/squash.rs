//! From the product of factors to a prediction, and the fitted model of those who train through it.

pub use evenhand_core::Squash;

use evenhand_core::{Error, Factors, Model, Output, Result, Run, Scale, choice, restorable};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

choice! {
    /// How a raw product becomes a prediction.
    pub enum Shape {
        /// By the scale of the data: `tanh` for likes and dislikes (-1 to 1), `five-stars` otherwise.
        Auto = "auto",
        /// Cut off at the ends of the scale.
        FiveStars = "five-stars",
        /// Hyperbolic tangent, for values from -1 to 1.
        Tanh = "tanh",
        /// As it is.
        None = "none",
    }
}

impl Shape {
    /// The shape for data of that scale: never [`Self::Auto`].
    pub(crate) fn for_scale(self, scale: Scale) -> Self {
        match self {
            Self::Auto if (scale.low, scale.high) == (-1.0, 1.0) => Self::Tanh,
            Self::Auto => Self::FiveStars,
            other => other,
        }
    }
}

/// A fitted model: the squashed product of user and item factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Squashed {
    /// The factors of the product before squashing.
    pub factors: Factors,
    /// What makes a prediction of the product.
    pub squash: Squash,
}

restorable!(Squashed = "squashed-factors", format 1);

impl Model for Squashed {
    fn kind(&self) -> &'static str {
        "squashed-factors"
    }

    fn users(&self) -> usize {
        self.factors.users()
    }

    fn items(&self) -> usize {
        self.factors.items()
    }

    fn output(&self) -> Output {
        self.factors.output
    }

    fn validate(&self) -> Result<()> {
        if let Squash::Clamp { low, high, scale, shift } = self.squash
            && !([low, high, scale, shift].iter().all(|v| v.is_finite()) && low <= high)
        {
            return Err(Error::Snapshot(format!("a clamp from {low} to {high}, times {scale}, plus {shift}")));
        }
        self.factors.validate()
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()> {
        self.factors.score(users, out, run)?;
        self.apply(out.as_mut_slice());
        Ok(())
    }

    fn predict(&self, users: &[u32], items: &[u32], out: &mut [f32], run: &Run) -> Result<()> {
        self.factors.predict(users, items, out, run)?;
        self.apply(out);
        Ok(())
    }

    /// The factors of the product before squashing: the same order of items, where the squash is strictly monotone.
    fn factors(&self) -> Option<&Factors> {
        Some(&self.factors)
    }
}

impl Squashed {
    /// Fitted factors, users first, of which the first `latent` are no biases; `of` names who fitted them.
    ///
    /// # Errors
    /// [`Error::Diverged`] where a factor is not finite.
    pub(crate) fn fitted(sides: [DMatrix<f32>; 2], latent: usize, squash: Squash, of: &str) -> Result<Self> {
        if sides.iter().flat_map(|side| side.iter()).any(|f| !f.is_finite()) {
            return Err(Error::Diverged { what: format!("a factor of `{of}`"), step: None });
        }
        let [users, items] = sides;
        Ok(Self { factors: Factors { users, items, latent, output: Output::Rating }, squash })
    }

    fn apply(&self, scores: &mut [f32]) {
        if self.squash != Squash::None {
            scores.iter_mut().for_each(|s| *s = self.squash.value(f64::from(*s)) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_follows_the_scale() {
        assert_eq!(Shape::Auto.for_scale(Scale::SIGNED), Shape::Tanh);
        assert_eq!(Shape::Auto.for_scale(Scale::FIVE_STARS), Shape::FiveStars);
        assert_eq!(Shape::None.for_scale(Scale::SIGNED), Shape::None);
    }

    #[test]
    fn predictions_are_squashed_products() {
        let users = DMatrix::from_row_slice(1, 2, &[1.0, -2.0]);
        let items = DMatrix::from_row_slice(1, 3, &[0.5, 4.0, -4.0]);
        let factors = Factors::new(users, items, Output::Rating).unwrap();
        let model = Squashed { factors, squash: Squash::Clamp { low: 0.0, high: 3.0, scale: 1.0, shift: 0.0 } };
        let mut out = DMatrix::zeros(0, 0);
        model.score(&[1, 0], &mut out, &Run::new(0)).unwrap();
        assert_eq!(out.as_slice(), [0.0, 0.0, 3.0, 0.5, 3.0, 0.0]);
        let mut pairs = [0.0; 2];
        model.predict(&[0, 1], &[0, 2], &mut pairs, &Run::new(0)).unwrap();
        assert_eq!(pairs, [0.5, 3.0]);
        let bad = Squashed { squash: Squash::Clamp { low: 1.0, high: 0.0, scale: 1.0, shift: 0.0 }, ..model };
        assert!(bad.validate().unwrap_err().to_string().contains("a clamp from 1 to 0"));
    }
}
