//! Ten users of one catalogue, and what the published policies came to for each of them.

use super::{Params, World, text};
use crate::golden::File;
use evenhand_core::{Cardinality, Lottery, Rng, SizeRule, Streams};
use evenhand_plugins::alternating::trace;
use evenhand_plugins::stationary::{Catalogue, Effort, Protocol, Search};
use rand::RngExt;
use serde::Deserialize;

#[derive(Deserialize)]
struct Users {
    params: Params,
    items: Vec<Vec<f64>>,
    harmful: Vec<u8>,
    users: Vec<Vec<f64>>,
}

/// Objectives with sets of k items, one per user, to three decimals.
#[derive(Deserialize)]
struct Published {
    k: usize,
    gradk: Vec<f64>,
    alt: Vec<f64>,
    /// Users for whom the published alternation ends at another set, since it forgets the first profile.
    drifted: Vec<usize>,
    u0: Vec<f64>,
    unif: Vec<f64>,
    best_known: Vec<f64>,
}

/// By how much three decimals may miss what they stand for, and a search the best of them.
const DECIMALS: f64 = 5.1e-4;
const MISSED: f64 = 6e-4;
/// Starts of the published alternation that are tried.
const STARTS: usize = 6;
/// How the published search was run.
const PROTOCOL: Protocol = Protocol { starts: 3, evaluations: 40, tolerance: 1e-4, dropped: 1e-3, sets: 1000 };

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let given: Users = serde_json::from_str(&file.text).map_err(text)?;
    let cases = file.cases::<Published>()?;
    for case in &cases {
        let columns = [&case.gradk, &case.alt, &case.u0, &case.unif, &case.best_known];
        if given.users.is_empty() || columns.iter().any(|column| column.len() != given.users.len()) {
            return Err(format!("k = {}: not one figure for each user", case.k));
        }
        println!("k | user | gradk | best known | exactly k | at most k | slsqp");
        for (user, u0) in given.users.iter().enumerate() {
            let world = given.world(u0);
            case.user(user, &world).map_err(|e| format!("k = {}, user {user}: {e}", case.k))?;
        }
    }
    Ok(cases.len())
}

impl Users {
    fn world(&self, u0: &[f64]) -> World {
        World {
            name: String::new(),
            params: self.params,
            n_items: self.items.len(),
            d: u0.len(),
            items: self.items.clone(),
            harmful: self.harmful.clone(),
            u0: u0.to_vec(),
        }
    }
}

impl Published {
    fn user(&self, user: usize, world: &World) -> Result<(), String> {
        let (catalogue, items, size) = (world.catalogue()?, world.harmless(), self.k);
        let first = best_at(&catalogue, &items, &world.u0, size);
        let reached = |lottery: &Lottery| -> Result<f64, String> {
            let outlook = catalogue.outlook(&world.u0, lottery).map_err(text)?;
            Ok(outlook.value.objective(world.params.lambda))
        };
        let uniform = Lottery::Uniform { items: items.clone(), size };
        for (what, lottery, expected) in
            [("unif", uniform.clone(), self.unif[user]), ("u0", Lottery::certain(first), self.u0[user])]
        {
            let got = reached(&lottery)?;
            if (got - expected).abs() > DECIMALS {
                return Err(format!("{what}, {lottery:?}: {got}, published {expected}"));
            }
        }
        // The published alternation starts from weights that were drawn once, which is all that is known of them.
        let mut rng = Streams::new(1).rng(1);
        let mut ends = Vec::new();
        for draw in 0..STARTS {
            let start = if draw == 0 { uniform.clone() } else { random(&items, size, &mut rng) };
            ends.push(reached(&Lottery::certain(drifting(world, &catalogue, &items, size, start)?))?);
        }
        if ends.iter().all(|end| (end - self.alt[user]).abs() > DECIMALS) {
            return Err(format!("the published alternation ends at {ends:?}, published {}", self.alt[user]));
        }
        let sets = trace(&catalogue, &world.u0, &items, Cardinality::exactly(size), 10).map_err(text)?;
        let alternating = reached(&Lottery::certain(sets.last().cloned().ok_or("no rounds")?))?;
        if ((alternating - self.alt[user]).abs() > DECIMALS) != self.drifted.contains(&user) {
            return Err(format!("alternating comes to {alternating}, published {}", self.alt[user]));
        }
        let search =
            || Search::new(&catalogue, &world.u0, &items, world.params.lambda, Effort::default()).map_err(text);
        let best = |rule| {
            reached(&search()?.best(Cardinality { size, rule }, &mut Streams::new(1).rng(0)).map_err(text)?.lottery)
        };
        let (exactly, at_most) = (best(SizeRule::Exactly)?, best(SizeRule::AtMost)?);
        let known = self.gradk[user].max(self.best_known[user]);
        let plan = search()?.slsqp(Cardinality::exactly(size), &PROTOCOL, &mut Streams::new(1).rng(0)).map_err(text)?;
        let slsqp = reached(&plan.lottery)?;
        let (gradk, best_known) = (self.gradk[user], self.best_known[user]);
        println!("{size} | {user} | {gradk:.3} | {best_known:.3} | {exactly:.4} | {at_most:.4} | {slsqp:.4}");
        if exactly < known - MISSED || at_most < exactly - 1e-9 {
            return Err(format!("found {exactly} and {at_most}, the best known is {known}"));
        }
        if slsqp < gradk - MISSED {
            return Err(format!("SLSQP comes to {slsqp}, published {gradk}"));
        }
        Ok(())
    }
}

/// The k items with the largest scores at a profile, ascending.
fn best_at(catalogue: &Catalogue, items: &[u32], profile: &[f64], size: usize) -> Vec<u32> {
    let score = |item: u32| catalogue.vector(item).iter().zip(profile).map(|(v, u)| v * u).sum::<f64>();
    let mut best = items.to_vec();
    best.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    best.truncate(size);
    best.sort_unstable();
    best
}

/// The set that the published code alternates to. In each round it pulls the user back to where the round before ended,
/// not to where the user was at first; and it takes ten steps in each.
fn drifting(
    world: &World,
    catalogue: &Catalogue,
    items: &[u32],
    size: usize,
    mut lottery: Lottery,
) -> Result<Vec<u32>, String> {
    let (mut anchor, mut set) = (world.u0.clone(), Vec::new());
    for _ in 0..10 {
        let mut profile = anchor.clone();
        for _ in 0..10 {
            profile = catalogue.mapped(&anchor, &profile, &lottery).map_err(text)?;
        }
        set = best_at(catalogue, items, &profile, size);
        (anchor, lottery) = (profile, Lottery::certain(set.clone()));
    }
    Ok(set)
}

/// Random weights on all sets of one or two items.
fn random(items: &[u32], size: usize, rng: &mut Rng) -> Lottery {
    let pairs = || items.iter().flat_map(|&a| items.iter().filter(move |&&b| a < b).map(move |&b| vec![a, b]));
    let sets: Vec<Vec<u32>> =
        if size == 1 { items.iter().map(|&item| vec![item]).collect() } else { pairs().collect() };
    let mut weights: Vec<f64> = sets.iter().map(|_| rng.random()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    Lottery::Sets { sets, weights }
}
