//! Stationary profiles: where a user ends up who is shown a lottery again and again.

use super::catalogue::Catalogue;
use super::mixture::Mixture;
use evenhand_core::{Lottery, Result};
use nalgebra::{DMatrix, DVector};
use pulp::{Arch, Simd, WithSimd};

/// Steps of the plain iteration until Newton's method is tried, and those in all.
const STEPS: [usize; 2] = [300, 3000];
/// Steps of the damped iteration.
const DAMPED: usize = 2000;
/// Steps of Newton's method.
const NEWTON: usize = 10;
/// How much farther out than all items and the first profile Newton's method may look: what rounding needs.
const OUTSIDE: f64 = 1e-6;
/// How far Newton's method may lead from where an iteration was: farther, and it would be another stationary point.
const NEAR: f64 = 0.05;
/// How far from a profile that Newton's method found the iteration is begun again, to see whether it comes back, and steps.
const NUDGE: (f64, usize) = (1e-5, 40);

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
    /// Newton's method on `F(u) = u` from where an iteration got to that is slow or does not end.
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

impl Stationary {
    /// Whether the last step of the iteration was as long as only steps are that go back and forth.
    fn leaps(&self) -> bool {
        let largest = self.profile.iter().fold(1f64, |most, u| most.max(u.abs()));
        self.change > NEAR * largest
    }
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
        self.check_lottery(lottery)?;
        Ok(self.find(start, &Mixture::new(lottery), tolerance, &mut Buffers::new(self)))
    }

    /// F at `profile`, of a user who began at `start`: one step towards the stationary profile.
    ///
    /// # Errors
    /// As [`Self::stationary`].
    pub fn mapped(&self, start: &[f64], profile: &[f64], lottery: &Lottery) -> Result<Vec<f64>> {
        self.check_profile(start)?;
        self.check_profile(profile)?;
        self.check_lottery(lottery)?;
        let mut buffers = Buffers::new(self);
        self.map(start, &Mixture::new(lottery), profile, &mut buffers);
        Ok(buffers.next)
    }

    pub(super) fn find(&self, start: &[f64], mixture: &Mixture, tolerance: f64, buffers: &mut Buffers) -> Stationary {
        let soon = self.find_soon(start, mixture, tolerance, buffers);
        if soon.converged {
            return soon;
        }
        if soon.leaps() {
            // Damped in vain.
            let newton = self.newton(start, mixture, tolerance, &soon.profile, buffers);
            return Stationary { iterations: soon.iterations + newton.iterations, ..newton };
        }
        let on = self.iterate(start, &soon.profile, mixture, (tolerance, 1.0, STEPS[1]), buffers);
        let done = soon.iterations + on.iterations;
        if on.converged {
            return Stationary { iterations: done, ..on };
        }
        let damped = self.iterate(start, start, mixture, (tolerance, 0.5, DAMPED), buffers);
        let done = done + damped.iterations;
        if damped.converged {
            return Stationary { iterations: done, by: FoundBy::Damping, ..damped };
        }
        let newton = self.newton(start, mixture, tolerance, &damped.profile, buffers);
        Stationary { iterations: done + newton.iterations, ..newton }
    }

    /// The same with less patience: profiles that take long are not found.
    pub(super) fn find_soon(
        &self,
        start: &[f64],
        mixture: &Mixture,
        tolerance: f64,
        buffers: &mut Buffers,
    ) -> Stationary {
        let plain = self.iterate(start, start, mixture, (tolerance, 1.0, STEPS[0]), buffers);
        if plain.converged {
            return plain;
        }
        if plain.leaps() {
            // It goes back and forth, and would for ever.
            let damped = self.iterate(start, start, mixture, (tolerance, 0.5, DAMPED), buffers);
            let iterations = plain.iterations + damped.iterations;
            let by = if damped.converged { FoundBy::Damping } else { FoundBy::Iterating };
            return Stationary { iterations, by, ..damped };
        }
        // Where two stationary points are about to meet, the iteration is as slow as it likes.
        let newton = self.newton(start, mixture, tolerance, &plain.profile, buffers);
        let iterations = plain.iterations + newton.iterations;
        let largest = plain.profile.iter().fold(1f64, |most, u| most.max(u.abs()));
        let far = newton.profile.iter().zip(&plain.profile).any(|(a, b)| (a - b).abs() > NEAR * largest);
        if !newton.converged || far {
            return Stationary { iterations, ..plain };
        }
        let holds = self.holds(start, mixture, &newton.profile, &plain.profile, buffers);
        Stationary { iterations: iterations + NUDGE.1, ..if holds { newton } else { plain } }
    }

    /// Whether the iteration comes nearer again to the fixed point `at` from next to it, on the side of `from`. Newton's method
    /// also finds those that it only lingers at.
    fn holds(&self, start: &[f64], mixture: &Mixture, at: &[f64], from: &[f64], buffers: &mut Buffers) -> bool {
        let length = |a: &[f64]| a.iter().zip(at).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        let away = length(from).max(f64::MIN_POSITIVE);
        let (nudge, steps) = NUDGE;
        let beside: Vec<f64> = at.iter().zip(from).map(|(a, b)| a + nudge * (b - a) / away).collect();
        let later = self.iterate(start, &beside, mixture, (0.0, 1.0, steps), buffers);
        length(&later.profile) <= length(&beside)
    }

    /// `u <- u + share (F(u) - u)`.
    fn iterate(
        &self,
        start: &[f64],
        from: &[f64],
        mixture: &Mixture,
        (tolerance, share, steps): (f64, f64, usize),
        buffers: &mut Buffers,
    ) -> Stationary {
        let mut profile = from.to_vec();
        let iterate =
            Iterate { catalogue: self, start, mixture, profile: &mut profile, tolerance, share, steps, buffers };
        let (iterations, change, converged) = Arch::new().dispatch(iterate);
        Stationary { profile, iterations, change, converged, by: FoundBy::Iterating }
    }

    fn newton(
        &self,
        start: &[f64],
        mixture: &Mixture,
        tolerance: f64,
        profile: &[f64],
        buffers: &mut Buffers,
    ) -> Stationary {
        let d = self.dimension;
        let mut iterations = 0;
        let mut residual = |u: &DVector<f64>| {
            iterations += 1;
            self.map(start, mixture, u.as_slice(), buffers);
            DVector::from_column_slice(&buffers.next) - u
        };
        let mut u = DVector::from_column_slice(profile);
        let mut off = residual(&u);
        // Stationary profiles are means of the first one and of items. Farther out, exponentials of scores overflow.
        let first = start.iter().map(|u| u * u).sum::<f64>().sqrt();
        let reach = (1.0 + OUTSIDE) * self.longest.0.max(first);
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
                if tried.norm() <= reach {
                    let rest = residual(&tried);
                    if rest.amax() < off.amax() {
                        break Some((tried, rest));
                    }
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
        Arch::new().dispatch(Map { catalogue: self, start, mixture, profile, buffers })
    }

    #[inline(always)]
    pub(super) fn map_in<S: Simd>(
        &self,
        simd: S,
        start: &[f64],
        mixture: &Mixture,
        profile: &[f64],
        buffers: &mut Buffers,
    ) -> Totals {
        let (all, harmful) = self.scores(simd, profile, &mut buffers.scores);
        let kappa = mixture.shares(simd, &buffers.scores, &mut buffers.a);
        let organic = kappa / all;
        let given = buffers.scores.iter().zip(&buffers.a).zip(&self.alpha);
        for (pull, ((score, a), alpha)) in buffers.pulls.iter_mut().zip(given) {
            *pull = alpha * score * (a + organic);
        }
        let total = self.dynamics.beta + self.weighted_sum(simd, &buffers.pulls, &mut buffers.next);
        for (next, start) in buffers.next.iter_mut().zip(start) {
            *next = self.dynamics.beta.mul_add(*start, *next) / total;
        }
        Totals { all, harmful, kappa }
    }
}

/// `u <- u + share (F(u) - u)` until it changes no more, or for so many steps: their number, the last change, and whether it
/// was small enough.
struct Iterate<'a> {
    catalogue: &'a Catalogue,
    start: &'a [f64],
    mixture: &'a Mixture,
    profile: &'a mut [f64],
    tolerance: f64,
    share: f64,
    steps: usize,
    buffers: &'a mut Buffers,
}

impl WithSimd for Iterate<'_> {
    type Output = (usize, f64, bool);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (usize, f64, bool) {
        let Self { catalogue, start, mixture, profile, tolerance, share, steps, buffers } = self;
        let mut change = f64::INFINITY;
        for step in 1..=steps {
            catalogue.map_in(simd, start, mixture, profile, buffers);
            let mut largest = 1f64;
            change = 0.0;
            for (u, next) in profile.iter_mut().zip(&buffers.next) {
                change = f64::max(change, (next - *u).abs());
                *u = if share == 1.0 { *next } else { (next - *u).mul_add(share, *u) };
                largest = largest.max(u.abs());
            }
            if change <= tolerance * largest {
                // No comparison sees what is not a number.
                return (step, change, profile.iter().all(|u| u.is_finite()));
            }
        }
        (steps, change, false)
    }
}

/// One step, and all else that the buffers hold.
struct Map<'a> {
    catalogue: &'a Catalogue,
    start: &'a [f64],
    mixture: &'a Mixture,
    profile: &'a [f64],
    buffers: &'a mut Buffers,
}

impl WithSimd for Map<'_> {
    type Output = Totals;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Totals {
        self.catalogue.map_in(simd, self.start, self.mixture, self.profile, self.buffers)
    }
}
