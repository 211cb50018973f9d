//! The search of the published code, for comparison: sequential quadratic programming over the weights of all sets, or over
//! the chances of all items, from nine starts.
//!
//! The gradient is the exact one, profiles are solved for, and what is left of tiny weights is scaled to add up to 1; the
//! published code differs in these. Starts divided by 100 lie outside of what is allowed, on purpose.

use super::independent::{indicator, mixed, scale_to, slopes};
use super::{Search, Seen};
use crate::alternating::best_at;
use crate::stationary::mixture::{Mixture, Sets};
use crate::stationary::sets::{choose, subsets};
use evenhand_core::{Cardinality, Error, Lottery, Plan, Result, Rng, SizeRule};
use rand::RngExt;
use slsqp::{Func, StopTols, minimize};
use std::cell::RefCell;

/// How the published search is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol {
    /// Random starts, each also divided by 100.
    pub starts: usize,
    /// Evaluations in one run, at most.
    pub evaluations: usize,
    /// Change of the objective at which a run ends.
    pub tolerance: f64,
    /// Weights and chances up to this are dropped.
    pub dropped: f64,
    /// Sets, at most: the cost of a step grows with the third power.
    pub sets: usize,
}

/// By how much sums may miss what they are bound to.
const ROUNDING: f64 = 1e-10;

/// What a run came to.
struct End {
    objective: f64,
    weights: Vec<f64>,
    success: bool,
}

impl Search<'_> {
    /// The best lottery that the published search finds. Random starts are drawn from `rng`.
    ///
    /// # Errors
    /// [`Error::Unusable`] for more sets than the protocol allows; [`Error::Shape`] for fewer items than a set is to have;
    /// [`Error::Cancelled`].
    pub fn slsqp(&mut self, cardinality: Cardinality, protocol: &Protocol, rng: &mut Rng) -> Result<Plan> {
        self.begin(cardinality)?;
        match cardinality.rule {
            SizeRule::Independent => self.slsqp_chances(cardinality.size, protocol, rng),
            SizeRule::Exactly | SizeRule::AtMost => self.slsqp_sets(cardinality, protocol, rng),
        }
    }

    fn slsqp_sets(
        &mut self,
        Cardinality { size, rule }: Cardinality,
        protocol: &Protocol,
        rng: &mut Rng,
    ) -> Result<Plan> {
        let sizes = if rule == SizeRule::Exactly { size..=size } else { 0..=size };
        let count = sizes.clone().map(|k| choose(self.items.len(), k)).fold(0usize, usize::saturating_add);
        if count > protocol.sets {
            let most = protocol.sets;
            return Err(Error::Unusable(format!("{count} sets to be weighed by SLSQP, expected at most {most}")));
        }
        let all: Vec<Vec<u32>> = sizes.flat_map(|k| subsets(self.items, k)).collect();
        let first = best_at(self.catalogue, self.start, self.items, size);
        let vertex = all.iter().map(|set| f64::from(u8::from(*set == first))).collect();
        let starts = nine(vertex, 1.0, protocol.starts, rng);
        let mixture = |weights: &[f64]| {
            let mut sets = Sets::default();
            let some = all.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
            some.for_each(|(set, weight)| sets.push(set, *weight));
            Mixture::Sets(sets)
        };
        let search = RefCell::new(self);
        let loss = |x: &[f64], gradient: Option<&mut [f64]>, (): &mut ()| {
            let (mut search, mixture) = (search.borrow_mut(), mixture(x));
            let seen = search.evaluate(&mixture);
            if let Some(gradient) = gradient {
                let slope = search.slope(&mixture, &seen.profile);
                let of = |set: &Vec<u32>| slope.as_ref().map_or(0.0, |slope| -slope.of_set(set));
                gradient.iter_mut().zip(&all).for_each(|(g, set)| *g = of(set));
            }
            finite(-seen.objective)
        };
        // The sum is 1: the library has inequalities alone.
        let above = |x: &[f64], gradient: Option<&mut [f64]>, (): &mut ()| sum_less(x, gradient, 1.0, 1.0);
        let below = |x: &[f64], gradient: Option<&mut [f64]>, (): &mut ()| sum_less(x, gradient, 1.0, -1.0);
        let constraints: [&dyn Func<()>; 2] = [&above, &below];
        let mut ends: Vec<End> = Vec::new();
        for start in &starts {
            search.borrow().check()?;
            ends.push(run(&loss, start, f64::INFINITY, &constraints, protocol));
        }
        let best = best(ends, |end| {
            // Of points that are nearly allowed the rest is scaled.
            let total: f64 = end.weights.iter().sum();
            let kept: f64 = kept(&end.weights, protocol.dropped).iter().sum();
            (total - 1.0).abs() <= 1e-3 && kept > 0.0
        });
        let this = search.into_inner();
        let (weights, success) = match best {
            Some(end) => (kept(&end.weights, protocol.dropped), end.success),
            None => (starts[0].clone(), false),
        };
        let total: f64 = weights.iter().sum();
        let some = all.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0);
        let (sets, weights): (Vec<_>, Vec<_>) = some.map(|(set, weight)| (set.clone(), weight / total)).unzip();
        let mut flat = Sets::default();
        sets.iter().zip(&weights).for_each(|(set, weight)| flat.push(set, *weight));
        let certificate = Some(this.certify(flat, size, rule, success));
        Ok(Plan { lottery: Lottery::Sets { sets, weights }, certificate })
    }

    fn slsqp_chances(&mut self, size: usize, protocol: &Protocol, rng: &mut Rng) -> Result<Plan> {
        let n = self.items.len();
        let starts = nine(self.by_score(size), size as f64, protocol.starts, rng);
        let uniforms = self.effort.draws.map(|draws| (0..draws * n).map(|_| rng.random()).collect::<Vec<f64>>());
        let (uniforms, items) = (uniforms.as_deref(), self.items);
        let search = RefCell::new(self);
        let loss = |x: &[f64], gradient: Option<&mut [f64]>, (): &mut ()| {
            let (mut search, mixture) = (search.borrow_mut(), mixed(items, x, uniforms));
            let seen: Seen = search.evaluate(&mixture);
            if let Some(gradient) = gradient {
                match search.slope(&mixture, &seen.profile) {
                    Some(slope) => {
                        let slopes = slopes(&slope, items, x, uniforms);
                        gradient.iter_mut().zip(slopes).for_each(|(g, slope)| *g = -slope);
                    }
                    None => gradient.fill(0.0),
                }
            }
            finite(-seen.objective)
        };
        let most = |x: &[f64], gradient: Option<&mut [f64]>, (): &mut ()| sum_less(x, gradient, size as f64, 1.0);
        let constraints: [&dyn Func<()>; 1] = [&most];
        let mut ends: Vec<End> = Vec::new();
        for start in &starts {
            search.borrow().check()?;
            ends.push(run(&loss, start, 1.0, &constraints, protocol));
        }
        let best = best(ends, |end| end.weights.iter().sum::<f64>() <= size as f64 + 1e-6);
        let this = search.into_inner();
        let first = || indicator(items, &best_at(this.catalogue, this.start, items, size));
        let (mut point, success) = match best {
            Some(end) => (kept(&end.weights, protocol.dropped), end.success),
            None => (first(), false),
        };
        let total: f64 = point.iter().sum();
        if total > size as f64 {
            scale_to(&mut point, size as f64);
        }
        Ok(this.certify_chances(point, size, uniforms, success))
    }
}

/// A start, the even one, random ones; the latter two also divided by 100.
fn nine(first: Vec<f64>, sum: f64, random: usize, rng: &mut Rng) -> Vec<Vec<f64>> {
    let n = first.len();
    let mut starts = vec![first];
    let mut both = |start: Vec<f64>| {
        let small = start.iter().map(|x| x / 100.0).collect();
        starts.extend([start, small]);
    };
    both(vec![(sum / n.max(1) as f64).min(1.0); n]);
    for _ in 0..random {
        let mut start: Vec<f64> = (0..n).map(|_| rng.random()).collect();
        scale_to(&mut start, sum);
        both(start);
    }
    starts
}

/// `sign (sum of x - most)`, which is to be at most 0, and is 0 where rounding alone is between them: to the library a last
/// digit is as forbidden as anything, so that it would forget the best of what it has seen.
fn sum_less(x: &[f64], gradient: Option<&mut [f64]>, most: f64, sign: f64) -> f64 {
    if let Some(gradient) = gradient {
        gradient.fill(sign);
    }
    let over = x.iter().sum::<f64>() - most;
    if over.abs() <= ROUNDING { 0.0 } else { sign * over }
}

/// The library can not go on from infinity.
fn finite(loss: f64) -> f64 {
    if loss.is_finite() { loss } else { 1e300 }
}

fn run<F: Func<()>>(loss: &F, start: &[f64], high: f64, constraints: &[&dyn Func<()>], protocol: &Protocol) -> End {
    let stop = StopTols { ftol_abs: protocol.tolerance, ..StopTols::default() };
    let bounds = vec![(0.0, high); start.len()];
    let (success, x, loss) = match minimize(loss, start, &bounds, constraints, (), protocol.evaluations, Some(stop)) {
        Ok((status, x, loss)) => (!matches!(status, slsqp::SuccessStatus::MaxEvalReached), x, loss),
        Err((_, x, loss)) => (false, x, loss),
    };
    let sound = x.iter().all(|x| x.is_finite()) && loss.is_finite();
    End { objective: if sound { -loss } else { f64::NEG_INFINITY }, weights: x, success: success && sound }
}

/// The best of the runs that succeeded, else the best of all, of those that are allowed.
fn best(ends: Vec<End>, allowed: impl Fn(&End) -> bool) -> Option<End> {
    let any = ends.iter().any(|end| end.success && allowed(end));
    let counts = |end: &End| allowed(end) && end.objective > f64::NEG_INFINITY && (end.success || !any);
    let better = |a: &End, b: &End| a.objective.total_cmp(&b.objective);
    ends.into_iter().filter(counts).max_by(better)
}

fn kept(weights: &[f64], dropped: f64) -> Vec<f64> {
    weights.iter().map(|&weight| if weight > dropped { weight } else { 0.0 }).collect()
}
