//! The best lottery over sets of exactly or at most k items.
//!
//! A lottery is kept as weights on the sets seen so far. In every step the steepest of all sets joins them (column
//! generation), so that nothing depends on how many sets there are.

use super::climb::{Climb, Hill, climb};
use super::project::to_simplex;
use super::{Search, Seen, Top, not_negative};
use crate::alternating::best_at;
use crate::stationary::mixture::{Mixture, Sets};
use crate::stationary::sets::{choose, subsets};
use evenhand_core::{Cardinality, Certificate, Lottery, Plan, Result, Rng, SizeRule};
use rand::RngExt;

/// Single sets, and mixtures of two, that are climbed from.
const BEST: usize = 3;
/// Number of sets up to which their even mixture is climbed from.
const MIXED: usize = 100;
/// Where mixtures of two sets are looked at.
const BETWEEN: [f64; 3] = [0.25, 0.5, 0.75];

impl Search<'_> {
    /// The plan, and the single sets that are best as far as is known.
    pub(super) fn bounded(&mut self, size: usize, rule: SizeRule, rng: &mut Rng) -> Result<(Plan, Vec<Vec<u32>>)> {
        let sizes = if rule == SizeRule::Exactly { size..=size } else { 0..=size };
        let count = sizes.clone().map(|k| choose(self.items.len(), k)).fold(0usize, usize::saturating_add);
        let mut starts: Vec<Sets> = Vec::new();
        let mut start = |sets: &[(&[u32], f64)]| {
            let mut mixture = Sets::default();
            sets.iter().for_each(|(set, weight)| mixture.push(set, *weight));
            starts.push(mixture);
        };
        let first = best_at(self.catalogue, self.start, self.items, size);
        start(&[(&first, 1.0)]);
        let cardinality = Cardinality { size, rule };
        let alternating = self.alternating(cardinality)?;
        if alternating != first {
            start(&[(&alternating, 1.0)]);
        }
        if count <= self.effort.vertices {
            let all: Vec<Vec<u32>> = sizes.flat_map(|k| subsets(self.items, k)).collect();
            let values: Vec<f64> = all.iter().map(|set| self.roughly(set)).collect();
            let mut scored: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
            best_first(&mut scored);
            scored.iter().take(BEST).for_each(|(_, n)| start(&[(&all[*n], 1.0)]));
            if count <= self.effort.pairs {
                let mut mixed = Vec::new();
                for (a, b) in (0..all.len()).flat_map(|b| (0..b).map(move |a| (a, b))) {
                    for share in BETWEEN {
                        let mut pair = Sets::default();
                        pair.push(&all[a], 1.0 - share);
                        pair.push(&all[b], share);
                        let value = self.evaluate(&Mixture::Sets(pair)).objective;
                        if value > values[a].max(values[b]) {
                            mixed.push((value, (a, b, share)));
                        }
                    }
                }
                best_first(&mut mixed);
                for (_, (a, b, share)) in mixed.into_iter().take(BEST) {
                    start(&[(&all[a], 1.0 - share), (&all[b], share)]);
                }
            }
            let even: Vec<(&[u32], f64)> = all.iter().map(|set| (set.as_slice(), 1.0 / all.len() as f64)).collect();
            if count <= MIXED {
                start(&even);
            } else if let Some(steepest) = self.steepest_from(&even, size, rule) {
                start(&[(&steepest, 1.0)]);
            }
            for _ in 0..self.effort.starts {
                // Given the profile, some best lottery has no more sets than these.
                let some = rand::seq::index::sample(rng, all.len(), all.len().min(self.catalogue.dimension + 1));
                let mut mixture: Vec<(&[u32], f64)> =
                    some.iter().map(|n| (all[n].as_slice(), rng.random::<f64>().max(f64::MIN_POSITIVE))).collect();
                let total: f64 = mixture.iter().map(|(_, weight)| weight).sum();
                mixture.iter_mut().for_each(|(_, weight)| *weight /= total);
                start(&mixture);
            }
        } else {
            // Around single items: sets that pull the user where they are liked.
            let anchors = rand::seq::index::sample(rng, self.items.len(), self.effort.anchors.min(self.items.len()));
            for anchor in anchors {
                let vector = self.catalogue.vector(self.items[anchor]);
                let pulled: Vec<f64> = self.start.iter().zip(vector).map(|(u, v)| u + v).collect();
                start(&[(&best_at(self.catalogue, &pulled, self.items, size), 1.0)]);
            }
        }
        let mut certain: Vec<Vec<u32>> = starts.iter().filter(|s| s.len() == 1).map(|s| s.set(0).to_vec()).collect();
        let leaps = count > self.effort.vertices;
        let climb = |search: &mut Self, start| search.climb_from(start, size, rule, leaps);
        let Top { place: sets, converged, .. } =
            self.highest(&starts, climb, |sets| sets.keep((0..sets.len()).filter(|&at| sets.weights[at] > 0.0)))?;
        let (support, weights): (Vec<Vec<u32>>, _) = sets.support().map(|(set, w)| (set.to_vec(), w)).unzip();
        let certificate = Some(self.certify(sets, size, rule, converged));
        certain.extend(support.iter().cloned());
        Ok((Plan { lottery: Lottery::Sets { sets: support, weights }, certificate }, certain))
    }

    /// What is to be said of a mixture that was found.
    pub(super) fn certify(&mut self, sets: Sets, size: usize, rule: SizeRule, converged: bool) -> Certificate {
        let mixture = Mixture::Sets(sets.clone());
        let (slope, stationary) = self.reported(&mixture);
        let gap = slope.map_or(f64::INFINITY, |slope| {
            let own: f64 = sets.support().map(|(set, weight)| weight * slope.of_set(set)).sum();
            not_negative(slope.of_set(&slope.steepest(self.items, size, rule)) - own)
        });
        Certificate { gap, evaluations: self.evaluations, converged: converged && stationary }
    }

    /// The steepest set where a mixture leads to.
    fn steepest_from(&mut self, mixture: &[(&[u32], f64)], size: usize, rule: SizeRule) -> Option<Vec<u32>> {
        let mut sets = Sets::default();
        mixture.iter().for_each(|(set, weight)| sets.push(set, *weight));
        let mixture = Mixture::Sets(sets);
        let seen = self.evaluate(&mixture);
        Some(self.slope(&mixture, &seen.profile)?.steepest(self.items, size, rule))
    }

    /// Climbs from a mixture. With `leaps`, the steepest set for certain is tried in each step.
    fn climb_from(&mut self, start: Sets, size: usize, rule: SizeRule, leaps: bool) -> Top<Sets> {
        let (steps, tolerance) = (self.effort.steps, self.effort.tolerance);
        let mut weights = start.weights.clone();
        let generates = weights.len() != 2;
        let mut hill =
            Active { search: self, sets: start, size, rule, sorted: Vec::new(), generates, leaps, steepest: 0 };
        if !generates {
            // Where the objective jumps, ascent among all sets ends at the jump, wherever it meets it; with two sets it meets
            // it at its highest point between them.
            weights = climb(&mut hill, weights, steps, tolerance).point;
            hill.generates = true;
        }
        let Climb { point, seen, converged } = climb(&mut hill, weights, steps, tolerance);
        let mut place = hill.sets;
        place.weights = point;
        Top { objective: seen.objective, place, converged }
    }
}

/// Weights on the sets seen so far.
struct Active<'a, 'b> {
    search: &'a mut Search<'b>,
    sets: Sets,
    size: usize,
    rule: SizeRule,
    sorted: Vec<f64>,
    /// Whether other sets than those it began with may join.
    generates: bool,
    leaps: bool,
    /// Place of the steepest set.
    steepest: usize,
}

impl Active<'_, '_> {
    fn mixture(&mut self, point: &[f64]) -> Mixture {
        self.sets.weights.copy_from_slice(point);
        Mixture::Sets(self.sets.keep((0..point.len()).filter(|&at| point[at] > 0.0)))
    }
}

impl Hill for Active<'_, '_> {
    type Seen = Seen;

    fn look(&mut self, point: &[f64]) -> Seen {
        let mixture = self.mixture(point);
        self.search.evaluate(&mixture)
    }

    fn exhausted(&self) -> bool {
        self.search.exhausted()
    }

    fn height(seen: &Seen) -> f64 {
        seen.objective
    }

    fn gradient(&mut self, point: &mut Vec<f64>, seen: &Seen) -> Option<(Vec<f64>, f64)> {
        let mixture = self.mixture(point);
        let slope = self.search.slope(&mixture, &seen.profile)?;
        let mut gradient: Vec<f64> = (0..self.sets.len()).map(|at| slope.of_set(self.sets.set(at))).collect();
        let own = gradient.iter().zip(point.iter()).map(|(g, x)| g * x).sum::<f64>();
        if !self.generates {
            let most = gradient.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            return Some((gradient, most - own));
        }
        let steepest = slope.steepest(self.search.items, self.size, self.rule);
        let most = slope.of_set(&steepest);
        let known = (0..self.sets.len()).find(|&at| self.sets.set(at) == steepest);
        self.steepest = known.unwrap_or_else(|| {
            self.sets.push(&steepest, 0.0);
            point.push(0.0);
            gradient.push(most);
            self.sets.len() - 1
        });
        Some((gradient, most - own))
    }

    fn leap(&mut self, point: &[f64]) -> Option<Vec<f64>> {
        let mut corner = vec![0.0; point.len()];
        corner[self.steepest] = 1.0;
        (self.leaps && point[self.steepest] < 1.0).then_some(corner)
    }

    fn project(&mut self, point: &mut [f64]) {
        to_simplex(point, &mut self.sorted);
    }
}

/// Sorts by descending value; what comes first stays first among equals.
fn best_first<T>(scored: &mut [(f64, T)]) {
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
}
