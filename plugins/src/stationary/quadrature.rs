//! Expectations over random sets as integrals of products: no set is ever drawn or listed.
//!
//! With scores in units of c, `1 / (s_E + 1) = integral of e^-t e^(-t s_E) dt` over t from 0 to infinity. The mean of
//! `e^(-t s_E)` over sets that items enter independently with chances x_i is the product of `1 - x_i + x_i e^(-t s_i)`;
//! over all sets of k items it follows from a recurrence in the number of items.
//!
//! The integrand is a mean of `z^r` with z = e^-t and r = s_E, so a rule is as good as it is for the worst power up to
//! the largest possible sum of scores: no figure of the items matters but that sum. Gauss-Legendre in y with z = y^p is
//! good to 1e-13 up to some sum; beyond, the trapezoidal rule in ln t, which is so for any scores (the integrand is bounded and
//! analytic for |Im ln t| < pi / 2).

use std::borrow::Cow;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// `integral of e^-t f(t) dt` is about the sum of `weights[n] f(times[n])`.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) times: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

/// Nodes, power p and the largest sum of scores, of rules by Gauss and Legendre.
const GAUSS: [(usize, i32, f64); 3] = [(32, 6, 20.0), (64, 4, 100.0), (96, 4, 300.0)];
/// Step of the trapezoidal rule in ln t.
const STEP: f64 = 0.25;
/// What both ends of the trapezoidal rule may leave out.
const TAIL: f64 = 1e-17;

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| GAUSS.map(|(nodes, power, _)| Rule::gauss(nodes, power)).into());

/// A rule for sets whose scores add up to at most `sum`, in units of c.
pub(super) fn rule(sum: f64) -> Cow<'static, Rule> {
    match GAUSS.iter().position(|&(_, _, most)| sum <= most) {
        Some(at) => Cow::Borrowed(&RULES[at]),
        None => Cow::Owned(Rule::trapezoid(sum)),
    }
}

impl Rule {
    fn gauss(nodes: usize, power: i32) -> Self {
        let (mut times, mut weights) = (Vec::new(), Vec::new());
        for (x, w) in legendre(nodes) {
            let y = (1.0 + x) / 2.0;
            times.push(-f64::from(power) * y.ln());
            weights.push(w / 2.0 * f64::from(power) * y.powi(power - 1));
        }
        Self { times, weights }
    }

    fn trapezoid(sum: f64) -> Self {
        let first = ((TAIL / (1.0 + sum)).ln() / STEP).floor() as i64;
        let last = ((-TAIL.ln()).ln() / STEP).ceil() as i64;
        let times: Vec<f64> = (first..=last).map(|n| (n as f64 * STEP).exp()).collect();
        let weights = times.iter().map(|t| STEP * t * (-t).exp()).collect();
        Self { times, weights }
    }
}

/// Nodes and weights on -1 to 1: the roots of the Legendre polynomial, by Newton from Tricomi's estimates.
fn legendre(nodes: usize) -> Vec<(f64, f64)> {
    let n = nodes as f64;
    let node = |k: usize| {
        let mut x = (PI * (k as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 0.0;
        for _ in 0..10 {
            let (mut last, mut this) = (1.0, x);
            for j in 2..=nodes {
                let j = j as f64;
                (last, this) = (this, ((2.0 * j - 1.0) * x * this - (j - 1.0) * last) / j);
            }
            slope = n * (x * this - last) / (x * x - 1.0);
            x -= this / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..nodes).map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every power up to the largest sum, and the same times t, as the derivatives have it.
    #[test]
    fn rules_integrate_all_powers() {
        let near = |rule: &Rule, r: f64| {
            let (mut plain, mut timed) = (0.0, 0.0);
            for (t, w) in rule.times.iter().zip(&rule.weights) {
                plain += w * (-t * r).exp();
                timed += w * t * (-t * r).exp();
            }
            let exact = 1.0 / (1.0 + r);
            assert!((1.0 + r) * (plain - exact).abs() < 1e-12, "power {r}: {plain}, expected {exact}");
            assert!(
                (1.0 + r) * (timed - exact * exact).abs() < 1e-10,
                "power {r}: {timed}, expected {}",
                exact * exact
            );
        };
        for most in [20.0, 100.0, 300.0, 1e4, 1e12, 1e100] {
            for step in 0..=400 {
                let r = most * f64::from(step) / 400.0;
                [r, most * (-f64::from(step) / 8.0).exp()].into_iter().for_each(|r| near(&rule(most), r));
            }
        }
        assert_eq!([20.0, 20.1].map(|sum| rule(sum).times.len()), [32, 64]);
    }
}
