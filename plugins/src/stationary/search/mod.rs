//! The search for the best lottery of one user.
//!
//! The objective is smooth but for jumps, and not concave: there are many local maxima. Most of the best lotteries are a
//! single set. So: all single sets where these are few, then monotone projected gradients from several starts, each
//! gradient exact (see [`derivative`](super::derivative)). Every objective is of the profile that the iteration from the
//! user's first one leads to. A search that ends says how much could be gained to first order: the Frank-Wolfe gap.

mod bounded;
mod climb;
mod independent;
mod project;

pub use independent::drawn_sets;

use super::catalogue::Catalogue;
use super::derivative::{Figure, Slope, Space};
use super::fixed_point::{Buffers, REPORTED, SEARCHED};
use super::mixture::{Mixture, Sets};
use evenhand_core::{Cardinality, Error, Lottery, Plan, Result, Rng, SizeRule};

/// How thorough a search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Random starts.
    pub starts: usize,
    /// Number of sets up to which every single set is evaluated.
    pub vertices: usize,
    /// Number of sets up to which mixtures of two are looked at too.
    pub pairs: usize,
    /// Steps of one ascent.
    pub steps: usize,
    /// Gap at which an ascent has arrived, relative to an objective above 1.
    pub tolerance: f64,
    /// Draws of common random numbers behind means over independent items; `None`: exact ones.
    pub draws: Option<usize>,
}

/// Changes below which a profile is near enough to stationary to compare single sets.
const ROUGH: f64 = 1e-6;

/// A search for one user.
pub struct Search<'a> {
    pub(super) catalogue: &'a Catalogue,
    /// The user's first profile.
    pub(super) start: &'a [f64],
    /// The items that may be shown, ascending.
    pub(super) items: &'a [u32],
    pub(super) price: f64,
    pub(super) effort: Effort,
    buffers: Buffers,
    space: Space,
    /// Lotteries whose objective was computed.
    pub(super) evaluations: usize,
    /// To which profiles are solved for.
    tolerance: f64,
}

/// A lottery that was evaluated.
pub(super) struct Seen {
    /// Minus infinity where no stationary profile was found.
    pub(super) objective: f64,
    pub(super) profile: Vec<f64>,
}

/// Where an ascent ended.
pub(super) struct Top<T> {
    pub(super) objective: f64,
    pub(super) place: T,
    /// Whether it is one, as far as the ascent could tell.
    pub(super) converged: bool,
}

impl<'a> Search<'a> {
    /// A search over the sets of `items`, ascending, for the user with that first profile.
    ///
    /// # Errors
    /// Those of [`Catalogue::check_profile`].
    pub fn new(
        catalogue: &'a Catalogue,
        start: &'a [f64],
        items: &'a [u32],
        price: f64,
        effort: Effort,
    ) -> Result<Self> {
        catalogue.check_profile(start)?;
        let (buffers, space) = (Buffers::new(catalogue), Space::new(catalogue));
        Ok(Self { catalogue, start, items, price, effort, buffers, space, evaluations: 0, tolerance: SEARCHED })
    }

    /// The best lottery found under `cardinality`, of which there are enough items. Random starts are drawn from `rng`.
    pub fn best(&mut self, Cardinality { size, rule }: Cardinality, rng: &mut Rng) -> Plan {
        match rule {
            SizeRule::Independent => self.independent(size, rng),
            SizeRule::Exactly | SizeRule::AtMost => self.bounded(size, rule, rng),
        }
    }

    /// The objective of `lottery` at the profile that it leads to, and what changing it changes; `None` where the profile does
    /// not depend smoothly on it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a lottery over all sets of a size above 1; those of [`Lottery::check`].
    pub fn slope_of(&mut self, lottery: &Lottery) -> Result<(f64, Option<Slope>)> {
        lottery.check(self.catalogue.items)?;
        let mixture = Mixture::new(lottery);
        if matches!(mixture, Mixture::Uniform { .. }) {
            return Err(Error::Unsupported { plugin: "a lottery over all sets".into(), operation: "gradients" });
        }
        let seen = self.evaluate(&mixture);
        let slope = self.slope(&mixture, &seen.profile);
        Ok((seen.objective, slope))
    }

    /// The highest top of climbs from all of `starts`.
    pub(super) fn highest<S: Clone, T>(
        &mut self,
        starts: &[S],
        climb: impl Fn(&mut Self, S) -> Top<T>,
        mixture: impl Fn(&T) -> Mixture,
    ) -> Top<T> {
        self.tolerance = SEARCHED;
        loop {
            let mut best: Option<Top<T>> = None;
            for start in starts {
                let top = climb(self, start.clone());
                if best.as_ref().is_none_or(|best| top.objective > best.objective) {
                    best = Some(top);
                }
            }
            let best = best.expect("there is a start");
            // Where the objective jumps, a profile may seem stationary that is not quite: then all is done again exactly.
            let exact = self.evaluate_to(&mixture(&best.place), REPORTED).objective;
            if self.tolerance == REPORTED || exact >= best.objective - 1e-9 * best.objective.abs().max(1.0) {
                return best;
            }
            self.tolerance = REPORTED;
        }
    }

    /// The objective of a mixture at the profile that it leads to.
    pub(super) fn evaluate(&mut self, mixture: &Mixture) -> Seen {
        self.evaluate_to(mixture, self.tolerance)
    }

    fn evaluate_to(&mut self, mixture: &Mixture, tolerance: f64) -> Seen {
        self.evaluations += 1;
        let found = self.catalogue.find(self.start, mixture, tolerance, &mut self.buffers);
        let value = self.catalogue.value_at(self.start, mixture, &found.profile, &mut self.buffers);
        let objective = if found.converged { value.objective(self.price) } else { f64::NEG_INFINITY };
        Seen { objective, profile: found.profile }
    }

    /// The slope at a mixture that was evaluated; `None` where there is none.
    pub(super) fn slope(&mut self, mixture: &Mixture, profile: &[f64]) -> Option<Slope> {
        let totals = self.catalogue.map(self.start, mixture, profile, &mut self.buffers);
        let figure = Figure::objective(self.price);
        self.catalogue.slope_at(mixture, figure, profile, &totals, &self.buffers, &mut self.space)
    }

    /// The slope as it is reported.
    pub(super) fn reported(&mut self, mixture: &Mixture) -> Option<Slope> {
        let seen = self.evaluate_to(mixture, REPORTED);
        self.slope(mixture, &seen.profile)
    }

    /// The objective of one set for certain, near enough to tell which are worth a climb.
    pub(super) fn roughly(&mut self, set: &[u32]) -> f64 {
        let mut sets = Sets::default();
        sets.push(set, 1.0);
        self.evaluate_to(&Mixture::Sets(sets), ROUGH).objective
    }
}
