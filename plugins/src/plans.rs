//! Acting by a plan: a distribution over sets of items, solved for once for each user, from which slates are drawn.
//!
//! The items of a set are shown by descending score of the model, ties to the lower item. So the place of an item follows
//! from the set, and propensities are exact.

use evenhand_core::{
    Acting, Cardinality, Error, Lottery, Plan, Propensities, Result, Run, SizeRule, Slates, Streams, World,
};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Plans for single users.
pub(crate) trait Planner: Send + Sync {
    /// Whether plans are kept once they are made: those that cost less than their memory are not.
    const REMEMBERS: bool = true;

    /// The plan of `user`, who may be shown `items`, of which there are enough. The run says when to stop.
    fn plan(&self, user: u32, items: &[u32], cardinality: Cardinality, run: &Run) -> Result<Plan>;
}

/// A policy that acts by its plans.
pub(crate) struct Planned<'a, P> {
    world: World<'a>,
    planner: P,
    /// Plans depend on nothing but the world and the planner, so each is made once.
    known: Mutex<HashMap<(u32, Cardinality), Arc<Plan>>>,
}

impl<'a, P: Planner> Planned<'a, P> {
    pub(crate) fn new(world: World<'a>, planner: P) -> Self {
        Self { world, planner, known: Mutex::default() }
    }

    /// The items that may be shown to `user`, ascending: neither seen nor harmful.
    fn items(&self, user: u32) -> impl Iterator<Item = u32> + '_ {
        let mut seen = self.world.seen_by(user).peekable();
        let harmful = |item: u32| self.world.harm.is_some_and(|harm| harm.harmful[item as usize]);
        let may = move |item: &u32| seen.next_if_eq(item).is_none() && !harmful(*item);
        (0..self.world.model.items() as u32).filter(may)
    }

    /// Checks a request, and where there is harm that enough items are not harmful.
    fn check(&self, users: &[u32], size: usize) -> Result<()> {
        self.world.check(users, size)?;
        let Some(harm) = self.world.harm else { return Ok(()) };
        harm.check(self.world.model.items())?;
        for &user in users {
            let there = self.items(user).count();
            if there < size {
                let expected = format!("at most the {there} that may be shown to user {user}");
                return Err(Error::shape("items of a set", expected, size));
            }
        }
        Ok(())
    }

    fn plan(&self, user: u32, cardinality: Cardinality, run: &Run) -> Result<Arc<Plan>> {
        let make = || Ok(Arc::new(self.planner.plan(user, &self.items(user).collect::<Vec<_>>(), cardinality, run)?));
        if !P::REMEMBERS {
            return make();
        }
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = known().get(&(user, cardinality)) {
            return Ok(plan.clone());
        }
        let plan = make()?;
        known().insert((user, cardinality), plan.clone());
        Ok(plan)
    }

    /// Calls `work` for every user with the plan, the scores of all items and the user's row. Users run in parallel; of
    /// several errors the first user's counts.
    fn each<R: Send>(
        &self,
        users: &[u32],
        size: usize,
        run: &Run,
        rows: impl IndexedParallelIterator<Item = R>,
        work: impl Fn(u32, &Plan, &[f32], R) -> Result<()> + Sync,
    ) -> Result<()> {
        let one = |(&user, row): (&u32, R)| {
            run.check()?;
            let mut scores = DMatrix::zeros(0, 0);
            self.world.model.score(&[user], &mut scores, run)?;
            for item in self.items(user) {
                if !scores[item as usize].is_finite() {
                    return Err(Error::Diverged { what: format!("score of item {item} for user {user}"), step: None });
                }
            }
            work(user, &*self.plan(user, Cardinality::exactly(size), run)?, scores.as_slice(), row)
        };
        let done: Vec<Result<()>> = run.install(|| users.par_iter().zip(rows).map(one).collect());
        done.into_iter().collect()
    }
}

/// Sorts items by descending score, ties to the lower item.
pub(crate) fn sort_by_score<T: PartialOrd>(items: &mut [u32], score: impl Fn(u32) -> T) {
    let descending = |a: T, b: T| b.partial_cmp(&a).expect("scores are finite");
    items.sort_by(|&a, &b| descending(score(a), score(b)).then(a.cmp(&b)));
}

impl<P: Planner> Acting for Planned<'_, P> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.check(users, size)?;
        let mut slates = Slates::new(users.len(), size);
        if size == 0 {
            return Ok(slates);
        }
        let streams: Streams = run.streams.child("plans/act");
        let rows = slates.items.par_chunks_mut(size).zip(slates.scores.par_chunks_mut(size));
        self.each(users, size, run, rows, |user, plan, scores, (items, shown)| {
            let mut set = plan.lottery.draw(&mut streams.rng(u64::from(user)));
            sort_by_score(&mut set, |item| scores[item as usize]);
            items.copy_from_slice(&set);
            shown.iter_mut().zip(set).for_each(|(shown, item)| *shown = scores[item as usize]);
            Ok(())
        })?;
        Ok(slates)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        self.check(users, slates.size)?;
        let size = slates.size;
        let mut values = vec![0.0; slates.items.len()];
        if size == 0 {
            return Ok(Propensities { values, draws: None });
        }
        let rows = values.par_chunks_mut(size).zip(slates.items.par_chunks(size));
        self.each(users, size, run, rows, |_, plan, scores, (values, items)| {
            places(&plan.lottery, items, scores, values);
            Ok(())
        })?;
        Ok(Propensities { values, draws: None })
    }

    fn plans(&self, users: &[u32], cardinality: Cardinality, run: &Run) -> Result<Vec<Plan>> {
        self.check(users, cardinality.size)?;
        let one = |&user: &u32| {
            run.check()?;
            Ok((*self.plan(user, cardinality, run)?).clone())
        };
        let done: Vec<Result<Plan>> = run.install(|| users.par_iter().map(one).collect());
        done.into_iter().collect()
    }
}

/// The probability that each of `items` stands at its place, in a slate drawn from `lottery` and sorted by score.
fn places(lottery: &Lottery, items: &[u32], scores: &[f32], values: &mut [f64]) {
    let by_score = |item: u32| scores[item as usize];
    match lottery {
        Lottery::Sets { sets, weights } => {
            for (set, weight) in sets.iter().zip(weights) {
                let mut set = set.clone();
                sort_by_score(&mut set, by_score);
                let same = values.iter_mut().zip(set.iter().zip(items)).filter(|(_, (a, b))| a == b);
                same.for_each(|(value, _)| *value += weight);
            }
            // Sums of weights may be a last digit above 1.
            values.iter_mut().for_each(|value| *value = value.min(1.0));
        }
        Lottery::Uniform { items: from, size } => {
            let mut order = from.clone();
            sort_by_score(&mut order, by_score);
            let ranks: HashMap<u32, usize> = order.iter().copied().zip(0..).collect();
            let (n, logs) = (from.len(), log_factorials(from.len()));
            let log_choose = |n: usize, k: usize| logs[n] - logs[k] - logs[n - k];
            for (place, (value, item)) in values.iter_mut().zip(items).enumerate() {
                let Some(&rank) = ranks.get(item) else { continue };
                // `place` items of those before it, the rest of those behind.
                let (behind, rest) = (n - 1 - rank, size - 1 - place);
                if rank >= place && behind >= rest {
                    *value = (log_choose(rank, place) + log_choose(behind, rest) - log_choose(n, *size)).exp();
                }
            }
        }
        Lottery::Independent { .. } => unreachable!("plans of exactly so many items are not of independent ones"),
    }
}

/// ln 0!, ln 1!, ..., ln n!.
fn log_factorials(n: usize) -> Vec<f64> {
    let mut logs = vec![0.0];
    (1..=n).for_each(|k| logs.push(logs[k - 1] + (k as f64).ln()));
    logs
}

/// What every rule makes of showing `best` for certain, `chances` 1 where items enter on their own.
pub(crate) fn certain(mut best: Vec<u32>, rule: SizeRule) -> Plan {
    best.sort_unstable();
    let lottery = match rule {
        SizeRule::Exactly | SizeRule::AtMost => Lottery::certain(best),
        SizeRule::Independent => Lottery::Independent { chances: vec![1.0; best.len()], items: best },
    };
    Plan { lottery, certificate: None }
}
