//! Off-policy evaluation: what a policy would have earned, from the log of another one.
//!
//! A log holds n slates of k places: the reward `r_ij` of the item at place j of slate i, shown there with probability
//! `b_ij` > 0. The policy to be evaluated would have shown that item there with probability `e_ij`; `w_ij = e_ij / b_ij`.
//! The value of a policy is the expected sum of the rewards of a slate. With a reward model q,
//! `d_i = E[sum_j q(item at j)]` over the slates that the policy would show, and `q_ij` the prediction for a logged item:
//!
//! - inverse propensity scoring (IPS): mean of `sum_j w_ij r_ij`. Horvitz & Thompson, "A generalization of sampling
//!   without replacement from a finite universe", JASA 1952.
//! - self-normalised (SNIPS): `sum_j (sum_i w_ij r_ij / sum_i w_ij)`. Swaminathan & Joachims, "The self-normalized
//!   estimator for counterfactual learning", NIPS 2015.
//! - direct method (DM): mean of `d_i`.
//! - doubly robust (DR): mean of `d_i + sum_j w_ij (r_ij - q_ij)`. Dudik, Langford & Li, "Doubly robust policy
//!   evaluation and learning", ICML 2011.
//!
//! The reward of a place depends on the user and on the item there, not on the rest of the slate (item-position model; Li et
//! al., "Offline evaluation of ranking policies with click models", KDD 2018). Where it does, and where
//! everything that the policy shows had a chance in the log, IPS and DR are unbiased for any q that was not fitted to the same
//! slates, and SNIPS is consistent. DM is as good as q.
//!
//! Standard errors take slates for independent: over n slates the standard deviation of a slate's share over `sqrt n`; for
//! SNIPS by the delta method, from the shares `sum_j (w_ij r_ij - w_ij R_j) / mean_i w_ij` with `R_j` the estimate of place
//! j. That of DM does not know how wrong q is. Everything is sums in the order of the slates.

/// An estimated value of a policy: reward per slate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error; `None` for one slate.
    pub error: Option<f64>,
}

impl Estimate {
    /// Mean of one value per slate; `None` without slates.
    pub fn mean(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - value).powi(2)).sum();
        let error = (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt());
        (!values.is_empty()).then_some(Self { value, error })
    }
}

/// How far two policies agree on logged items, as their weights tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Number of weights.
    pub rows: usize,
    /// Mean weight. Expected is 1 where the log had a chance for all that the evaluated policy shows, less where not.
    pub mean: f64,
    /// Standard error of the mean; `None` for one weight.
    pub mean_error: Option<f64>,
    /// Largest weight.
    pub largest: f64,
    /// Effective sample size `(sum w)^2 / sum w^2`, from 0 to the number of weights (Kish, "Survey sampling", 1965).
    pub effective: f64,
    /// Number of weights that are 0: items that the evaluated policy would never have shown there.
    pub zeros: usize,
}

impl Overlap {
    /// Of the weights of all places of all slates; `None` where there is none.
    pub fn of(weights: &[f64]) -> Option<Self> {
        let Estimate { value, error } = Estimate::mean(weights)?;
        let largest = weights.iter().copied().fold(0.0, f64::max);
        // In units of the largest one: squares do not overflow.
        let share = |w: &f64| if largest > 0.0 { w / largest } else { 0.0 };
        let (sum, squares) = weights.iter().map(share).fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
        Some(Self {
            rows: weights.len(),
            mean: value,
            mean_error: error,
            largest,
            effective: if squares > 0.0 { sum * sum / squares } else { 0.0 },
            zeros: weights.iter().filter(|&&w| w == 0.0).count(),
        })
    }
}

/// The weights `target / logged`, cut off at `clip` where given: less variance for a bias towards 0.
///
/// # Panics
/// When lengths differ.
pub fn weights(target: &[f64], logged: &[f64], clip: Option<f64>) -> Vec<f64> {
    assert_eq!(target.len(), logged.len(), "one target propensity for each logged one");
    let clip = clip.unwrap_or(f64::INFINITY);
    target.iter().zip(logged).map(|(e, b)| (e / b).min(clip)).collect()
}

/// Inverse propensity scoring of slates of `size` places; `rewards` and `weights` are slates x size. `None` without slates.
/// With weights of 1 it is the mean reward of the log itself.
///
/// # Panics
/// When lengths differ or are no multiple of `size`.
pub fn inverse_propensity(size: usize, rewards: &[f64], weights: &[f64]) -> Option<Estimate> {
    check(size, rewards, weights);
    let weighted = |(r, w): (&[f64], &[f64])| r.iter().zip(w).map(|(r, w)| r * w).sum();
    let shares: Vec<f64> = rewards.chunks(size.max(1)).zip(weights.chunks(size.max(1))).map(weighted).collect();
    Estimate::mean(&shares)
}

/// Self-normalised inverse propensity scoring; arguments as those of [`inverse_propensity`]. Within each place a mean
/// of rewards, so never beyond the sum over places of their extremes. `None` where all weights of a place are 0.
///
/// # Panics
/// When lengths differ or are no multiple of `size`.
pub fn self_normalised(size: usize, rewards: &[f64], weights: &[f64]) -> Option<Estimate> {
    check(size, rewards, weights);
    let slates = rewards.len() / size.max(1);
    let mut shares = vec![0.0; slates];
    let mut value = 0.0;
    for place in 0..size {
        let rows = || (place..rewards.len()).step_by(size);
        let total: f64 = rows().map(|at| weights[at]).sum();
        if total <= 0.0 {
            return None;
        }
        // Normalised first: sums of huge weights times rewards could overflow, and a mean of equal rewards is that reward.
        let ratio: f64 = rows().map(|at| weights[at] / total * rewards[at]).sum();
        value += ratio;
        let mean = total / slates as f64;
        shares.iter_mut().zip(rows()).for_each(|(s, at)| *s += weights[at] / mean * (rewards[at] - ratio));
    }
    // The shares average 0.
    Estimate::mean(&shares).map(|spread| Estimate { value, error: spread.error })
}

/// The direct method: `expected` holds the `d_i` of each slate. `None` without slates.
pub fn direct_method(expected: &[f64]) -> Option<Estimate> {
    Estimate::mean(expected)
}

/// Doubly robust: `rewards`, `weights` and the `predicted` rewards `q_ij` are slates x size, `expected` holds the `d_i` of
/// each slate. `None` without slates.
///
/// # Panics
/// When lengths differ or are no multiple of `size`.
pub fn doubly_robust(
    size: usize,
    rewards: &[f64],
    weights: &[f64],
    predicted: &[f64],
    expected: &[f64],
) -> Option<Estimate> {
    check(size, rewards, weights);
    assert_eq!(predicted.len(), rewards.len(), "one prediction for each reward");
    assert_eq!(expected.len() * size, rewards.len(), "one expectation for each slate");
    let share = |(slate, &d): (usize, &f64)| {
        let rows = slate * size..(slate + 1) * size;
        d + rows.map(|at| weights[at] * (rewards[at] - predicted[at])).sum::<f64>()
    };
    let shares: Vec<f64> = expected.iter().enumerate().map(share).collect();
    Estimate::mean(&shares)
}

fn check(size: usize, rewards: &[f64], weights: &[f64]) {
    assert_eq!(rewards.len(), weights.len(), "one weight for each reward");
    assert!(rewards.len().is_multiple_of(size), "whole slates of {size}, got {} rewards", rewards.len());
}

#[cfg(test)]
mod tests;
