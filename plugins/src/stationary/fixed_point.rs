//! Stationary profiles: where a user ends up who is shown a lottery again and again.

use super::catalogue::Catalogue;
use super::mixture::Mixture;
use evenhand_core::{Lottery, Result};
use nalgebra::{DMatrix, DVector};
use pulp::Arch;

/// Steps of the plain iteration, then of the damped one.
const STEPS: usize = 1000;
/// Steps of Newton's method.
const NEWTON: usize = 50;

/// Changes below which a profile counts as stationary, relative to its largest number where that is above 1.
///
/// While optimising; the difference to [`REPORTED`] does not show in an objective.
pub const SEARCHED: f64 = 1e-10;
/// For what is reported.
pub const REPORTED: f64 = 1e-13;

/// How a stationary profile was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// `u <- F(u)` from where the profile was at first.
    Iterating,
    /// `u <- (u + F(u)) / 2` from there, where the plain iteration does not end.
    Damping,
    /// Newton's method on `F(u) = u` from where the damped iteration got to.
    Newton,
}

/// A stationary profile: `u = F(u)` with `F(u) = (beta u0 + sum of alpha_i p_i v_i) / (beta + sum of alpha_i p_i)`, p_i the
/// probability that item i is consumed next.
///
/// There may be several. This is the one that the iteration from u0 leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Stationary {
    /// The profile.
    pub profile: Vec<f64>,
    /// Evaluations of F.
    pub iterations: usize,
    /// Largest change of a number by the last one.
    pub change: f64,
    /// Whether the change is as small as was asked for. Where it is not, the profile is the last one looked at.
    pub converged: bool,
    /// How it was found.
    pub by: FoundBy,
}

/// Buffers of one user, reused from one evaluation to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    /// Scores of all items in units of c.
    pub(super) scores: Vec<f64>,
    /// Mean of `1 / (s_E + 1)` where item i is in the set.
    pub(super) a: Vec<f64>,
    /// `alpha_i p_i`.
    pub(super) pulls: Vec<f64>,
    /// `F(u)`.
    next: Vec<f64>,
}

impl Buffers {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        let zeros = || vec![0.0; catalogue.padded()];
        Self { scores: zeros(), a: zeros(), pulls: zeros(), next: vec![0.0; catalogue.dimension] }
    }
}

/// What is known of a profile under a mixture, besides the buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    /// Sum of all scores.
    pub(super) all: f64,
    /// Sum of the scores of harmful items.
    pub(super) harmful: f64,
    /// kappa: mean of `1 / (s_E + 1)`.
    pub(super) kappa: f64,
}

impl Catalogue {
    /// Where a user from `start` ends up who is shown `lottery` again and again, to a relative change of `tolerance`.
    ///
    /// # Errors
    /// Those of [`Self::check_profile`] and [`Lottery::check`].
    pub fn stationary(&self, start: &[f64], lottery: &Lottery, tolerance: f64) -> Result<Stationary> {
        self.check_profile(start)?;
        lottery.check(self.items)?;
        Ok(self.find(start, &Mixture::new(lottery), tolerance, &mut Buffers::new(self)))
    }

    /// The profile after `steps` applications of F, without a test for convergence: what the published code computes.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn iterated(&self, start: &[f64], lottery: &Lottery, steps: usize) -> Result<Vec<f64>> {
        self.check_profile(start)?;
        lottery.check(self.items)?;
        let (mixture, mut buffers) = (Mixture::new(lottery), Buffers::new(self));
        let mut profile = start.to_vec();
        for _ in 0..steps {
            self.map(start, &mixture, &profile, &mut buffers);
            profile.copy_from_slice(&buffers.next);
        }
        Ok(profile)
    }

    pub(super) fn find(&self, start: &[f64], mixture: &Mixture, tolerance: f64, buffers: &mut Buffers) -> Stationary {
        let plain = self.iterate(start, mixture, tolerance, 1.0, buffers);
        if plain.converged {
            return plain;
        }
        let damped = self.iterate(start, mixture, tolerance, 0.5, buffers);
        if damped.converged {
            return Stationary { iterations: damped.iterations + plain.iterations, by: FoundBy::Damping, ..damped };
        }
        let newton = self.newton(start, mixture, tolerance, damped.profile, buffers);
        Stationary { iterations: newton.iterations + damped.iterations + plain.iterations, ..newton }
    }

    /// `u <- u + share (F(u) - u)`.
    fn iterate(
        &self,
        start: &[f64],
        mixture: &Mixture,
        tolerance: f64,
        share: f64,
        buffers: &mut Buffers,
    ) -> Stationary {
        let mut profile = start.to_vec();
        let (mut change, mut iterations, mut converged) = (f64::INFINITY, 0, false);
        Arch::new().dispatch(|| {
            while !converged && iterations < STEPS {
                self.map_in(start, mixture, &profile, buffers);
                iterations += 1;
                let mut largest = 1f64;
                change = 0.0;
                for (u, next) in profile.iter_mut().zip(&buffers.next) {
                    change = f64::max(change, (next - *u).abs());
                    *u = if share == 1.0 { *next } else { (next - *u).mul_add(share, *u) };
                    largest = largest.max(u.abs());
                }
                converged = change <= tolerance * largest;
            }
        });
        Stationary { profile, iterations, change, converged, by: FoundBy::Iterating }
    }

    fn newton(
        &self,
        start: &[f64],
        mixture: &Mixture,
        tolerance: f64,
        profile: Vec<f64>,
        buffers: &mut Buffers,
    ) -> Stationary {
        let d = self.dimension;
        let mut iterations = 0;
        let mut residual = |u: &DVector<f64>| {
            iterations += 1;
            self.map(start, mixture, u.as_slice(), buffers);
            DVector::from_column_slice(&buffers.next) - u
        };
        let mut u = DVector::from_vec(profile);
        let mut off = residual(&u);
        let small = |off: &DVector<f64>, u: &DVector<f64>| off.amax() <= tolerance * u.amax().max(1.0);
        let mut jacobian = DMatrix::zeros(d, d);
        for _ in 0..NEWTON {
            if small(&off, &u) {
                break;
            }
            // By central differences: this is the last resort, and works for any lottery.
            for k in 0..d {
                let h = 1e-6 * u[k].abs().max(1.0);
                let mut moved = u.clone();
                moved[k] = u[k] + h;
                let above = residual(&moved);
                moved[k] = u[k] - h;
                jacobian.set_column(k, &((above - residual(&moved)) / (2.0 * h)));
            }
            let Some(step) = jacobian.clone().lu().solve(&off) else { break };
            let mut share = 1.0;
            let next = loop {
                let tried = &u - &step * share;
                let rest = residual(&tried);
                if rest.amax() < off.amax() {
                    break Some((tried, rest));
                }
                share /= 2.0;
                if share < 1e-6 {
                    break None;
                }
            };
            let Some(next) = next else { break };
            (u, off) = next;
        }
        let (change, converged) = (off.amax(), small(&off, &u));
        Stationary { profile: u.as_slice().to_vec(), iterations, change, converged, by: FoundBy::Newton }
    }

    /// `F(profile)` into the buffers, and all else that they hold.
    pub(super) fn map(&self, start: &[f64], mixture: &Mixture, profile: &[f64], buffers: &mut Buffers) -> Totals {
        Arch::new().dispatch(|| self.map_in(start, mixture, profile, buffers))
    }

    #[inline(always)]
    pub(super) fn map_in(&self, start: &[f64], mixture: &Mixture, profile: &[f64], buffers: &mut Buffers) -> Totals {
        let (all, harmful) = self.scores(profile, &mut buffers.scores);
        let kappa = mixture.shares(&buffers.scores, &mut buffers.a);
        let organic = kappa / all;
        let given = buffers.scores.iter().zip(&buffers.a).zip(&self.alpha);
        for (pull, ((score, a), alpha)) in buffers.pulls.iter_mut().zip(given) {
            *pull = alpha * score * (a + organic);
        }
        let total = self.dynamics.beta + self.weighted_sum(&buffers.pulls, &mut buffers.next);
        for (next, start) in buffers.next.iter_mut().zip(start) {
            *next = self.dynamics.beta.mul_add(*start, *next) / total;
        }
        Totals { all, harmful, kappa }
    }
}
