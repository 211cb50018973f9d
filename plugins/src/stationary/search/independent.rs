//! The best chances of items that enter the set independently, at most k on average.

use super::climb::{Climb, Hill, climb};
use super::project::to_capped;
use super::{Search, Seen, Top, not_negative};
use crate::alternating::best_at;
use crate::stationary::derivative::Slope;
use crate::stationary::mixture::Mixture;
use evenhand_core::{Cardinality, Certificate, Lottery, Plan, Result, Rng, SizeRule};
use rand::RngExt;

impl Search<'_> {
    pub(super) fn independent(&mut self, size: usize, rng: &mut Rng) -> Result<Plan> {
        let n = self.items.len();
        let mut starts: Vec<Vec<f64>> = Vec::new();
        let indicator = |set: &[u32]| indicator(self.items, set);
        starts.push(indicator(&best_at(self.catalogue, self.start, self.items, size)));
        let cardinality = Cardinality { size, rule: SizeRule::Independent };
        starts.push(indicator(&self.alternating(cardinality)?));
        starts.push(vec![(size as f64 / n.max(1) as f64).min(1.0); n]);
        starts.push(self.by_score(size));
        for _ in 0..self.effort.starts {
            let mut start: Vec<f64> = (0..n).map(|_| rng.random()).collect();
            scale_to(&mut start, size as f64);
            starts.push(start);
        }
        let uniforms = self.effort.draws.map(|draws| (0..draws * n).map(|_| rng.random()).collect::<Vec<f64>>());
        // A certain set is a point of this problem too: the best of them are what there is to beat.
        let (_, certain) = self.bounded(size, SizeRule::AtMost, rng)?;
        starts.extend(certain.iter().map(|set| indicator(set)));
        let uniforms = uniforms.as_deref();
        let climb = |search: &mut Self, start| search.climb_chances(start, size, uniforms);
        let Top { place: point, converged, .. } = self.highest(&starts, climb, Vec::clone)?;
        Ok(self.certify_chances(point, size, uniforms, converged))
    }

    /// The plan of chances that were found.
    pub(super) fn certify_chances(
        &mut self,
        point: Vec<f64>,
        size: usize,
        uniforms: Option<&[f64]>,
        converged: bool,
    ) -> Plan {
        let (slope, stationary) = self.reported(&mixed(self.items, &point, uniforms));
        let converged = converged && stationary;
        let gap = |slope| gap(&slopes(&slope, self.items, &point, uniforms), &point, size);
        let gap = slope.map_or(f64::INFINITY, gap);
        let certificate = Some(Certificate { gap, evaluations: self.evaluations, converged });
        let some = self.items.iter().zip(point).filter(|(_, chance)| *chance > 0.0);
        let (items, chances) = some.map(|(item, chance)| (*item, chance)).unzip();
        Plan { lottery: Lottery::Independent { items, chances }, certificate }
    }

    fn climb_chances(&mut self, start: Vec<f64>, size: usize, uniforms: Option<&[f64]>) -> Top<Vec<f64>> {
        let (steps, tolerance) = (self.effort.steps, self.effort.tolerance);
        let mut hill = Chances { search: self, size, uniforms };
        let Climb { point, seen, converged } = climb(&mut hill, start, steps, tolerance);
        Top { objective: seen.objective, place: point, converged }
    }

    /// Chances in proportion to scores at the first profile.
    pub(super) fn by_score(&self, size: usize) -> Vec<f64> {
        let score = |item: &u32| self.catalogue.vector(*item).iter().zip(self.start).map(|(v, u)| v * u).sum::<f64>();
        let logs: Vec<f64> = self.items.iter().map(score).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut chances: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        scale_to(&mut chances, size as f64);
        chances
    }
}

/// Scales numbers of at least 0 to that sum; none becomes larger than 1, so the sum may stay below.
pub(super) fn scale_to(chances: &mut [f64], sum: f64) {
    let total: f64 = chances.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    chances.iter_mut().for_each(|x| *x = (*x / total * sum).min(1.0));
}

/// The set of every draw and how often it came: item i is in a draw whose uniform number for it is at most its chance.
/// `uniforms` has a row for each draw.
pub fn drawn_sets(items: &[u32], chances: &[f64], uniforms: &[f64]) -> Lottery {
    let enters = |row: &[f64]| -> Vec<u32> {
        let inside = items.iter().zip(row.iter().zip(chances)).filter(|(_, (u, x))| u <= x);
        inside.map(|(item, _)| *item).collect()
    };
    if items.is_empty() {
        return Lottery::certain(Vec::new());
    }
    let sets: Vec<Vec<u32>> = uniforms.chunks_exact(items.len()).map(enters).collect();
    Lottery::drawn(sets.iter().map(Vec::as_slice))
}

/// The mixture of those chances, exact or by common random numbers.
pub(super) fn mixed(items: &[u32], chances: &[f64], uniforms: Option<&[f64]>) -> Mixture {
    match uniforms {
        None => Mixture::Independent { items: items.to_vec(), chances: chances.to_vec() },
        Some(uniforms) => Mixture::new(&drawn_sets(items, chances, uniforms)),
    }
}

/// Chances of all items that may be shown.
struct Chances<'a, 'b, 'c> {
    search: &'a mut Search<'b>,
    /// The most that they may add up to.
    size: usize,
    /// Common random numbers, where means are over draws.
    uniforms: Option<&'c [f64]>,
}

/// The derivative by every chance: the mean with the item in the set less that without.
pub(super) fn slopes(slope: &Slope, items: &[u32], point: &[f64], uniforms: Option<&[f64]>) -> Vec<f64> {
    let Some(uniforms) = uniforms else { return slope.of_chances(items, point) };
    let rows = uniforms.chunks_exact(items.len().max(1));
    let draws = rows.len() as f64;
    let mut slopes = vec![0.0; items.len()];
    for row in rows {
        // The same draw with each item in the set, then without.
        let inside: Vec<bool> = row.iter().zip(point).map(|(u, x)| u <= x).collect();
        let (mut above, mut below) = (slope.rest, 1.0);
        for (item, _) in items.iter().zip(&inside).filter(|(_, inside)| **inside) {
            above += slope.w[*item as usize];
            below += slope.scores[*item as usize];
        }
        for (place, sum) in slopes.iter_mut().enumerate() {
            let (w, score) = (slope.w[items[place] as usize], slope.scores[items[place] as usize]);
            let (without, under) = if inside[place] { (above - w, below - score) } else { (above, below) };
            *sum += (without + w) / (under + score) - without / under;
        }
    }
    slopes.iter_mut().for_each(|slope| *slope /= draws);
    slopes
}

/// What moving towards the best chances would gain to first order.
fn gap(slopes: &[f64], point: &[f64], size: usize) -> f64 {
    let own: f64 = slopes.iter().zip(point).map(|(g, x)| g * x).sum();
    let mut positive: Vec<f64> = slopes.iter().copied().filter(|g| *g > 0.0).collect();
    positive.sort_unstable_by(|a, b| b.total_cmp(a));
    not_negative(positive.iter().take(size).sum::<f64>() - own)
}

/// Chance 1 for the items of a set, ascending, 0 for all others.
pub(super) fn indicator(items: &[u32], set: &[u32]) -> Vec<f64> {
    items.iter().map(|item| f64::from(u8::from(set.binary_search(item).is_ok()))).collect()
}

impl Hill for Chances<'_, '_, '_> {
    type Seen = Seen;

    fn look(&mut self, point: &[f64]) -> Seen {
        let mixture = mixed(self.search.items, point, self.uniforms);
        self.search.evaluate(&mixture)
    }

    fn exhausted(&self) -> bool {
        self.search.exhausted()
    }

    fn height(seen: &Seen) -> f64 {
        seen.objective
    }

    fn gradient(&mut self, point: &mut Vec<f64>, seen: &Seen) -> Option<(Vec<f64>, f64)> {
        let mixture = mixed(self.search.items, point, self.uniforms);
        let slope = self.search.slope(&mixture, &seen.profile)?;
        let slopes = slopes(&slope, self.search.items, point, self.uniforms);
        let gap = gap(&slopes, point, self.size);
        Some((slopes, gap))
    }

    fn project(&mut self, point: &mut [f64]) {
        to_capped(point, self.size as f64);
    }
}
