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
mod slsqp;

pub use independent::drawn_sets;
pub use slsqp::Protocol;

use super::catalogue::Catalogue;
use super::derivative::{Figure, Slope, Space};
use super::fixed_point::{Buffers, REPORTED, SEARCHED, Stationary};
use super::mixture::{Mixture, Sets};
use evenhand_core::{Cardinality, Error, Lottery, Plan, Result, Rng, SizeRule};

/// How thorough a search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Random starts, where sets are few enough to be listed or items enter independently.
    pub starts: usize,
    /// Sets around random items that are climbed from where sets are too many.
    pub anchors: usize,
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

impl Default for Effort {
    fn default() -> Self {
        Self { starts: 3, anchors: 20, vertices: 2000, pairs: 40, steps: 500, tolerance: 1e-8, draws: None }
    }
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
    /// Whether profiles are solved for as they are reported.
    exact: bool,
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
    /// Those of [`Catalogue::check_profile`]; [`Error::Shape`] for what is no ascending list of items.
    pub fn new(
        catalogue: &'a Catalogue,
        start: &'a [f64],
        items: &'a [u32],
        price: f64,
        effort: Effort,
    ) -> Result<Self> {
        catalogue.check_profile(start)?;
        Lottery::certain(items.to_vec()).check(catalogue.items)?;
        let (buffers, space) = (Buffers::new(catalogue), Space::new(catalogue));
        Ok(Self { catalogue, start, items, price, effort, buffers, space, evaluations: 0, exact: false })
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
        again: impl Fn(&T) -> S,
    ) -> Top<T> {
        self.exact = false;
        let mut best: Option<Top<T>> = None;
        for start in starts {
            let top = climb(self, start.clone());
            if best.as_ref().is_none_or(|best| top.objective > best.objective) {
                best = Some(top);
            }
        }
        let best = best.expect("there is a start");
        // Where the objective jumps, a profile may seem stationary that is not quite, or was not waited for: then the last
        // part of the way is gone again.
        self.exact = true;
        let again = climb(self, again(&best.place));
        if again.objective >= best.objective - 1e-9 * best.objective.abs().max(1.0) {
            return again;
        }
        let all = starts.iter().map(|start| climb(self, start.clone()));
        all.fold(again, |best, top| if top.objective > best.objective { top } else { best })
    }

    /// The objective of a mixture at the profile that it leads to.
    pub(super) fn evaluate(&mut self, mixture: &Mixture) -> Seen {
        self.evaluations += 1;
        let found = if self.exact {
            self.catalogue.find(self.start, mixture, REPORTED, &mut self.buffers)
        } else {
            self.catalogue.find_soon(self.start, mixture, SEARCHED, &mut self.buffers)
        };
        self.seen(mixture, found)
    }

    fn seen(&mut self, mixture: &Mixture, found: Stationary) -> Seen {
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
        self.exact = true;
        let seen = self.evaluate(mixture);
        self.slope(mixture, &seen.profile)
    }

    /// The objective of one set for certain, near enough to tell which are worth a climb.
    pub(super) fn roughly(&mut self, set: &[u32]) -> f64 {
        let mut sets = Sets::default();
        sets.push(set, 1.0);
        let mixture = Mixture::Sets(sets);
        self.evaluations += 1;
        let found = self.catalogue.find_soon(self.start, &mixture, ROUGH, &mut self.buffers);
        self.seen(&mixture, found).objective
    }
}
