//! Harm under preference dynamics: what policies that reckon with the future of their users may know.
//!
//! A user has a profile u that moves with what the user consumes. Shown a set E of items, the user takes one of
//! them with probability s_E / (s_E + c), item i with a probability proportional to s_i = exp(v_i . u); otherwise the
//! user consumes any item of the catalogue, again with a probability proportional to s_i. Having consumed item i, the
//! profile becomes `beta u0 + alpha_i v_i + (1 - alpha_i - beta) u`: attracted by the item, pulled back to where it was at
//! first. Harmful items are never shown: they are reached by consuming of one's own accord alone.
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis, "Harm mitigation in recommender systems under user
//! preference dynamics", KDD 2024.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How profiles move, and how much a recommendation matters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dynamics {
    /// alpha of harmful items: attraction to one that was consumed, in 0 to 1.
    pub alpha_harmful: f64,
    /// alpha of all other items, in 0 to 1.
    pub alpha_harmless: f64,
    /// beta: pull back to where the profile was at first, in 0 to 1.
    pub beta: f64,
    /// c: weight of not taking what is shown, above 0. Small values make recommendations matter more.
    pub c: f64,
}

impl Default for Dynamics {
    fn default() -> Self {
        Self { alpha_harmful: 0.5, alpha_harmless: 0.25, beta: 0.2, c: 6.0 }
    }
}

impl Dynamics {
    /// Checks every value. Steps must not go beyond what they lead to, and there must be a pull to somewhere.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the first value that will not do.
    pub fn check(&self) -> Result<()> {
        let Self { alpha_harmful, alpha_harmless, beta, c } = *self;
        let refuse = |field: &str, value: f64, range: &str| {
            Err(Error::OutOfRange { plugin: None, field: field.into(), value: value.to_string(), range: range.into() })
        };
        let alphas = [("alpha_harmful", alpha_harmful), ("alpha_harmless", alpha_harmless)];
        for (field, value) in alphas.into_iter().chain([("beta", beta)]) {
            if !(0.0..=1.0).contains(&value) {
                return refuse(field, value, "0.0..=1.0");
            }
        }
        for (field, value) in alphas {
            if value + beta > 1.0 {
                return refuse(field, value, &format!("at most 1 - beta = {}", 1.0 - beta));
            }
            if value + beta == 0.0 {
                return refuse(field, value, "above 0 where beta is 0");
            }
        }
        if !(c > 0.0 && c.is_finite()) {
            return refuse("c", c, "a finite number above 0");
        }
        Ok(())
    }
}

/// What is known about harm, where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harm<'a> {
    /// Whether each item is harmful.
    pub harmful: &'a [bool],
    /// How profiles move.
    pub dynamics: Dynamics,
    /// lambda: what a consumption of a harmful item costs, in clicks; at least 0.
    pub price: f64,
}

impl Harm<'_> {
    /// Checks the labels of `items` items, the dynamics and the price.
    ///
    /// # Errors
    /// [`Error::Shape`] for labels of another number of items, [`Error::OutOfRange`] for a value.
    pub fn check(&self, items: usize) -> Result<()> {
        if self.harmful.len() != items {
            return Err(Error::shape("harm labels", items, self.harmful.len()));
        }
        self.dynamics.check()?;
        if self.price >= 0.0 && self.price.is_finite() {
            return Ok(());
        }
        let (field, value) = ("price".into(), self.price.to_string());
        Err(Error::OutOfRange { plugin: None, field, value, range: "a finite number from 0".into() })
    }
}

/// What the size of a set that is shown is bound by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizeRule {
    /// Every set has that many items.
    #[default]
    Exactly,
    /// No set has more.
    AtMost,
    /// Items enter the set independently of each other, no more than that many on average.
    Independent,
}

/// How many items may be shown at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cardinality {
    /// k: the number of items.
    pub size: usize,
    /// How it binds.
    pub rule: SizeRule,
}

impl Cardinality {
    /// Sets of exactly `size` items.
    pub fn exactly(size: usize) -> Self {
        Self { size, rule: SizeRule::Exactly }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_named() {
        assert_eq!(Dynamics::default().check().map_err(|e| e.to_string()), Ok(()));
        let of = Dynamics::default;
        for (dynamics, expected) in [
            (Dynamics { alpha_harmful: -0.1, ..of() }, "parameter `alpha_harmful` = -0.1, expected 0.0..=1.0"),
            (Dynamics { alpha_harmless: f64::NAN, ..of() }, "parameter `alpha_harmless` = NaN, expected 0.0..=1.0"),
            (Dynamics { beta: 1.5, ..of() }, "parameter `beta` = 1.5, expected 0.0..=1.0"),
            (
                Dynamics { alpha_harmful: 0.75, beta: 0.5, ..of() },
                "parameter `alpha_harmful` = 0.75, expected at most 1 - beta = 0.5",
            ),
            (
                Dynamics { alpha_harmless: 0.0, beta: 0.0, ..of() },
                "parameter `alpha_harmless` = 0, expected above 0 where beta is 0",
            ),
            (Dynamics { c: 0.0, ..of() }, "parameter `c` = 0, expected a finite number above 0"),
            (Dynamics { c: f64::INFINITY, ..of() }, "parameter `c` = inf, expected a finite number above 0"),
        ] {
            assert_eq!(dynamics.check().unwrap_err().to_string(), expected);
        }
        let harm = Harm { harmful: &[true, false], dynamics: of(), price: -1.0 };
        assert_eq!(harm.check(2).unwrap_err().to_string(), "parameter `price` = -1, expected a finite number from 0");
        assert_eq!(harm.check(3).unwrap_err().to_string(), "harm labels: expected 3, got 2");
    }
}
