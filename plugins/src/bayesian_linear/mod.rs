//! Gaussian beliefs about every user and every item, learned rating by rating: an agent for Thompson sampling.
//!
//! A rating is y = u . i + noise, u and i unknown vectors of length d with independent Gaussian beliefs, at first
//! N(m 1, v 1). A rating updates the user, then the item, each as a Bayesian linear regression (Bishop, "Pattern recognition
//! and machine learning", 2006, 3.50 and 3.51) on n draws of the other side, all with target y and noise precision beta = tau / n:
//!
//! ```text
//! Lambda_u += beta G,  h_u += beta y s,   G = sum of x x', s = sum of x,  x_1 .. x_n ~ N(mu_i, Sigma_i)
//! ```
//!
//! and the same for the item, with draws of the updated user. One rating thus weighs tau = n beta, whatever n: beta alone
//! is a precision, not a standard deviation. The rows are never drawn unless asked for: G and s have a known law, which takes
//! d (d + 3) / 2 random numbers instead of n d (see [`Sampling`]).
//!
//! What to expect:
//! - G contains n Sigma_i as if it had been observed. The first rating of an unknown item makes a user nearly certain of being
//!   near the prior mean; beliefs are too narrow early on, and results depend on the order of the rows.
//! - The limit of n to infinity at the same tau (G = n (Sigma + mu mu'), s = n mu) is not offered: with a prior mean of 0 both
//!   means stay 0 for ever, a saddle point. It is the sampling error of s / n that breaks the symmetry.
//! - Where attributes are known to be positive, a prior mean above 0 is worth much: with mean 0 half of the prior is wasted and
//!   the first predictions are far out.
//!
//! A posterior draw has one vector per item, shared by all users that ask for it: exploration is correlated between
//! users, and all scores are one product of matrices.

mod beliefs;
mod chains;
mod evidence;
mod gaussian;
mod room;

#[cfg(test)]
mod tests;

pub use beliefs::Beliefs;
pub use evidence::Sampling;
pub use gaussian::Gaussian;

use evenhand_core::{Model, Observation, Params, Recommender, Result, Run, Training, plugin};

plugin! {
    /// Gaussian beliefs about users and items, learned online; for Thompson sampling.
    pub struct BayesianLinear: Recommender = "bayesian-linear",
        from "Bishop, Pattern recognition and machine learning, 2006, section 3.3; Thompson, Biometrika 1933" {
        /// Length d of a factor vector.
        factors: usize = 10, in 1..=256;
        /// Mean of every factor before anything is known.
        prior_mean: f64 = 0.0;
        /// Variance of every factor before anything is known.
        prior_variance: f64 = 10.0, in 1e-9..;
        /// Precision with which one rating counts: 1 over the variance of its noise. It is n beta, n draws of precision beta.
        tau: f64 = 100.0, in 1e-9..;
        /// Number n of draws of the other side that one update looks at. It does not change the weight of a rating.
        samples: usize = 1000, in 1..;
        /// How often a rating updates its user and its item.
        iterations: usize = 1, in 1..;
        /// How the draws are taken into account.
        sampling: Sampling = Sampling::Wishart;
    }
}

impl Recommender for BayesianLinear {
    /// The prior, then the rows of `train` in order of users and items.
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.check()?;
        run.check()?;
        let mut beliefs = Beliefs::prior(self, train.ratings.users(), train.ratings.items());
        let rows: Vec<_> = train.ratings.iter().map(|(user, item, value)| Observation { user, item, value }).collect();
        beliefs.update(&rows, run.streams.child("bayesian-linear/fit"), run)?;
        Ok(Box::new(beliefs))
    }

    fn online(&self) -> bool {
        true
    }
}
