//! Checks of the propensities of policies, exact and estimated ones.

use super::outcome::{Stop, ensure};
use super::policy::Subject;
use crate::{Plan, Propensities, Result, Slates};

/// Seeds under which slates are counted.
const SEEDS: u64 = 1000;

/// Standard errors by which a figure may miss what is expected of it: by chance that happens once in a million times.
const ERRORS: f64 = 5.0;

/// Some users far apart.
fn some(s: &Subject<'_>) -> Vec<u32> {
    let last = s.world.model.users() as u32 - 1;
    let mut users = vec![0, 2.min(last), last];
    users.dedup();
    users
}

/// The chance of each item at each place of a slate for `user`: `of(place, item)` at `place * items + item`.
fn all(s: &Subject<'_>, user: u32, size: usize, seed: u64) -> Result<Propensities, Stop> {
    let items = s.world.model.items();
    // In slate n, item n + j stands at place j: every item once at every place.
    let slates = Slates {
        size,
        items: (0..items).flat_map(|n| (0..size).map(move |j| ((n + j) % items) as u32)).collect(),
        scores: vec![0.0; items * size],
    };
    let run = s.runs[0].clone().with_seed(seed);
    let Propensities { values, draws } = s.acting()?.propensities(&vec![user; items], &slates, &run)?;
    let expected = items * size;
    ensure(values.len() == expected, || format!("{} propensities, expected {expected}", values.len()))?;
    let at = |place: usize, item: usize| values[(item + items - place) % items * size + place];
    let values = (0..size).flat_map(|place| (0..items).map(move |item| at(place, item))).collect();
    Ok(Propensities { values, draws })
}

/// Every propensity is in 0 to 1, an estimate a multiple of 1 / draws; those of all items at a place add up to 1; those
/// of items that the user has seen are 0.
pub(super) fn sums(s: &Subject<'_>) -> Result<(), Stop> {
    let items = s.world.model.items();
    for user in some(s) {
        for size in [1, s.size] {
            let Propensities { values, draws } = all(s, user, size, 1)?;
            ensure(draws != Some(0), || "an estimate from no draw".into())?;
            for (place, chances) in values.chunks_exact(items).enumerate() {
                for (item, &p) in chances.iter().enumerate() {
                    let about =
                        |what: &str| format!("user {user}, item {item} at place {place} of {size}: {p}, {what}");
                    ensure((0.0..=1.0).contains(&p), || about("expected 0 to 1"))?;
                    let share = draws.map_or(0.0, |m| p * m as f64);
                    ensure((share - share.round()).abs() < 1e-6, || {
                        about(&format!("not a share of {} draws", draws.unwrap_or(0)))
                    })?;
                }
                let sum: f64 = chances.iter().sum();
                ensure((sum - 1.0).abs() < 1e-9, || {
                    format!("user {user}: the chances of all items at place {place} of {size} add up to {sum}")
                })?;
                let seen = s.world.seen_by(user).find(|&i| chances[i as usize] != 0.0);
                ensure(seen.is_none(), || {
                    format!("user {user}: a chance for item {}, which is seen", seen.unwrap_or(0))
                })?;
            }
        }
    }
    Ok(())
}

/// The chances of an item at all places of a slate add up to the chance that it is in the set. `plans` are of everyone.
pub(super) fn inclusions(s: &Subject<'_>, plans: &[Plan]) -> Result<(), Stop> {
    let items = s.world.model.items();
    for user in some(s) {
        let Propensities { values, draws } = all(s, user, s.size, 1)?;
        for item in 0..items {
            let shown: f64 = values.chunks_exact(items).map(|chances| chances[item]).sum();
            let planned = plans[user as usize].lottery.inclusion(item as u32);
            let error = draws.map_or(0.0, |m| ERRORS * (0.25 * s.size as f64 / m as f64).sqrt());
            ensure((shown - planned).abs() <= error + 1e-9, || {
                format!("user {user} is shown item {item} with probability {shown}, planned is {planned}")
            })?;
        }
    }
    Ok(())
}

/// Counts slates over many seeds. An estimate is averaged over other seeds until it rests on as many draws.
pub(super) fn frequencies(s: &Subject<'_>) -> Result<(), Stop> {
    let (users, items, acting) = (some(s), s.world.model.items(), s.acting()?);
    for size in [1, s.size] {
        let mut counts = vec![0u32; users.len() * size * items];
        for seed in 0..SEEDS {
            let slates = acting.act(&users, size, &s.runs[0].clone().with_seed(seed))?;
            ensure(slates.items.len() == users.len() * size, || "a slate of another size".into())?;
            for (at, &item) in slates.items.iter().enumerate() {
                let count = counts.get_mut(at * items + item as usize).filter(|_| (item as usize) < items);
                *count.ok_or_else(|| Stop::Failed(format!("item {item} does not exist")))? += 1;
            }
        }
        for (counts, &user) in counts.chunks_exact(size * items).zip(&users) {
            let (stated, draws) = pooled(s, user, size)?;
            for (at, (&count, &p)) in counts.iter().zip(&stated).enumerate() {
                let share = f64::from(count) / SEEDS as f64;
                let near = match draws {
                    None => agrees(share, p, p, 1.0 / SEEDS as f64),
                    Some(m) => {
                        let both = (f64::from(count) + p * m) / (SEEDS as f64 + m);
                        agrees(share, p, both, 1.0 / SEEDS as f64 + 1.0 / m)
                    }
                };
                ensure(near, || {
                    let (place, item) = (at / items, at % items);
                    format!("user {user}, item {item} at place {place} of {size}: a share of {share}, propensity {p}")
                })?;
            }
        }
    }
    Ok(())
}

/// The propensities of all items, and the number of draws behind them where they are estimates.
fn pooled(s: &Subject<'_>, user: u32, size: usize) -> Result<(Vec<f64>, Option<f64>), Stop> {
    let Propensities { mut values, draws } = all(s, user, size, SEEDS)?;
    let Some(draws) = draws else { return Ok((values, None)) };
    let rounds = SEEDS.div_ceil(draws.max(1) as u64);
    for round in 1..rounds {
        let more = all(s, user, size, SEEDS + round)?;
        values.iter_mut().zip(more.values).for_each(|(sum, p)| *sum += p);
    }
    values.iter_mut().for_each(|sum| *sum /= rounds as f64);
    Ok((values, Some((rounds * draws as u64) as f64)))
}

/// Whether a share and a chance agree, the variance of their difference being `chance (1 - chance) per`. What never
/// or always happens must do so.
fn agrees(share: f64, stated: f64, chance: f64, per: f64) -> bool {
    let variance = chance * (1.0 - chance) * per;
    // Far from a Gaussian where few are expected; then some cases more or less are no surprise.
    let rare = if variance > 1e-12 { ERRORS * per } else { 1e-9 };
    (share - stated).abs() <= ERRORS * variance.max(0.0).sqrt() + rare
}

/// On average, an estimate for a slate of the same run is the same as for a slate of another run. Were the slate among
/// the draws of the estimate, it would be higher by about (1 - p) / draws.
pub(super) fn independent(s: &Subject<'_>) -> Result<(), Stop> {
    const PAIRS: u64 = 40;
    const USERS: usize = 25;
    let (acting, all) = (s.acting()?, s.everyone());
    let users: Vec<u32> = all.iter().copied().step_by(all.len().div_ceil(USERS).max(1)).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut excess = Vec::new();
    for seed in 0..PAIRS {
        let run = s.runs[0].clone().with_seed(seed);
        let slates = acting.act(&users, s.size, &run)?;
        let own = acting.propensities(&users, &slates, &run)?;
        if own.draws.is_none() {
            return Err(Stop::Skipped("the propensities are exact".into()));
        }
        let other = acting.propensities(&users, &slates, &run.with_seed(seed + PAIRS))?;
        excess.push(mean(&own.values) - mean(&other.values));
    }
    let shift = mean(&excess);
    let spread = mean(&excess.iter().map(|x| (x - shift).powi(2)).collect::<Vec<_>>());
    let error = (spread / (PAIRS - 1) as f64).sqrt();
    ensure(shift.abs() <= ERRORS * error + 1e-9, || {
        format!("for slates of the same run, estimates are higher by {shift:.5}, with a standard error of {error:.5}")
    })
}
