//! Alternating between profile and policy: the best items where the user ends up under the policy before.
//!
//! From the uniform lottery on, for some rounds: the stationary profile under the lottery, then the k best items at that
//! profile for certain. Profiles are always pulled back to the user's first one. It may cycle; the last set counts.
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis 2024, "Harm mitigation in recommender systems under
//! user preference dynamics".

use crate::plans::{Planned, Planner, certain, sort_by_score};
use crate::stationary::{Catalogue, REPORTED, Users};
use crate::uniform::even;
use evenhand_core::{Acting, Cardinality, Params, Plan, Policy, Result, Run, SizeRule, World, plugin};

plugin! {
    /// The best items where the user ends up, found in rounds.
    pub struct Alternating: Policy = "alternating", from "Chee et al., KDD 2024" {
        /// Rounds of a stationary profile and its best items.
        rounds: usize = 10, in 1..;
    }
}

impl Policy for Alternating {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Planned::new(world, Rounds { users: Users::of(world)?, rounds: self.rounds })))
    }
}

/// Goes through the rounds.
struct Rounds<'a> {
    users: Users<'a>,
    rounds: usize,
}

impl Planner for Rounds<'_> {
    fn plan(&self, user: u32, items: &[u32], Cardinality { size, rule }: Cardinality, _: &Run) -> Result<Plan> {
        let start = self.users.start(user)?;
        let mut sets = trace(&self.users.catalogue, &start, items, Cardinality { size, rule }, self.rounds)?;
        Ok(certain(sets.pop().unwrap_or_default(), rule))
    }
}

/// The sets of all rounds, ascending each. Once a set follows itself, all later ones are the same and left out.
///
/// # Errors
/// Those of [`Catalogue::check_profile`].
pub fn trace(
    catalogue: &Catalogue,
    start: &[f64],
    items: &[u32],
    Cardinality { size, rule }: Cardinality,
    rounds: usize,
) -> Result<Vec<Vec<u32>>> {
    let mut lottery = even(items, size, rule);
    let mut sets: Vec<Vec<u32>> = Vec::new();
    for _ in 0..rounds {
        let stationary = catalogue.stationary(start, &lottery, REPORTED)?;
        let best = best_at(catalogue, &stationary.profile, items, size);
        let settled = sets.last() == Some(&best);
        sets.push(best.clone());
        if settled {
            break;
        }
        // A certain set is the same under every rule.
        lottery = certain(best, SizeRule::Exactly).lottery;
    }
    Ok(sets)
}

/// The `size` of `items` with the largest scores at `profile`, ascending; ties to the lower item.
pub(crate) fn best_at(catalogue: &Catalogue, profile: &[f64], items: &[u32], size: usize) -> Vec<u32> {
    let mut best = items.to_vec();
    let score = |item| catalogue.vector(item).iter().zip(profile).map(|(v, u)| v * u).sum::<f64>();
    sort_by_score(&mut best, score);
    best.truncate(size);
    best.sort_unstable();
    best
}
