//! The world as it goes through its periods.

use super::bests::Bests;
use super::truth::{Truth, observed};
use super::{Draws, UserItem};
use crate::periods::Periods;
use evenhand_core::{Audit, Environment, Error, Feedback, Groups, Observation, Requests, Result, Rng, Run, Scale};
use evenhand_core::{Slates, Stage, Streams};
use nalgebra::DMatrix;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::collections::VecDeque;

/// Users, or entities, that one task takes at least.
const TASK: usize = 64;

/// A world of users and items, open.
pub(super) struct Open {
    recipe: UserItem,
    run: Run,
    streams: Streams,
    noise: Streams,
    truth: Truth,
    stage: Stage,
    bests: Bests,
    /// Of the period that began last.
    requests: Requests,
    periods: Periods,
    /// What was observed in the period that has begun.
    shown: Vec<Observation>,
    /// What was observed in the periods before and has not arrived.
    delayed: VecDeque<Vec<Observation>>,
}

impl Open {
    /// Draws the attributes and the groups. Sizes have been checked.
    pub(super) fn new(recipe: &UserItem, run: &Run) -> Result<Self> {
        run.check()?;
        let streams = run.streams.child("user-item");
        let drawn = |label: &str, count| {
            let streams = streams.child(label);
            let mut attributes = DMatrix::zeros(recipe.attributes, count);
            change(&mut attributes, run, |entity| streams.rng(entity), |x, rng| *x = rng.random());
            attributes
        };
        let mut truth = Truth::new(drawn("users", recipe.users), drawn("items", recipe.items))?;
        let mut user_groups = Vec::new();
        let few = ((recipe.minority * recipe.users as f64).round() as usize).min(recipe.users / 2);
        if few > 0 {
            let mut users: Vec<u32> = (0..recipe.users as u32).collect();
            users.shuffle(&mut streams.child("minority").rng(0));
            let (minority, majority) = users.split_at(few);
            let mut of_minority = vec![false; recipe.users];
            minority.iter().for_each(|&user| of_minority[user as usize] = true);
            truth = truth.with_groups(of_minority, recipe.contrast)?;
            let lists = vec![("majority".into(), majority.to_vec()), ("minority".into(), minority.to_vec())];
            user_groups.push(Groups::new("taste", recipe.users, lists)?);
        }
        run.check()?;
        let high = recipe.attributes as f32;
        let scale = Scale { low: 0.0, high, like_above: high / 4.0 };
        Ok(Self {
            recipe: recipe.clone(),
            run: run.clone(),
            streams,
            noise: streams.child("noise"),
            truth,
            stage: Stage { users: recipe.users, items: recipe.items, user_groups, scale },
            bests: Bests::new(recipe.users),
            requests: Requests::default(),
            periods: Periods::default(),
            shown: Vec::new(),
            delayed: VecDeque::new(),
        })
    }

    /// One step of the random walk, from the period before to `period`.
    fn drift(&mut self, period: usize) {
        let (user, item) = (self.recipe.user_drift, self.recipe.item_drift);
        let (run, users, items) = (&self.run, self.streams.child("drift/users"), self.streams.child("drift/items"));
        let walk = |attributes: &mut DMatrix<f64>, streams: Streams, drift: f64| {
            let step = |x: &mut f64, rng: &mut Rng| {
                let draw: f64 = StandardNormal.sample(rng);
                *x = reflect(*x + drift * draw);
            };
            change(attributes, run, |entity| streams.rng(key(period, entity)), step);
        };
        if user > 0.0 {
            self.truth.change_users(|attributes| walk(attributes, users, user));
        }
        if item > 0.0 {
            self.truth.change_items(|attributes| walk(attributes, items, item));
        }
    }
}

impl Environment for Open {
    fn stage(&self) -> Result<Stage> {
        Ok(self.stage.clone())
    }

    fn requests(&mut self, period: usize) -> Result<Requests> {
        self.run.check()?;
        self.periods.begin(period)?;
        let recipe = &self.recipe;
        let there = |count, late| present(count, late, recipe.arrival, period);
        let (users, items) = (there(recipe.users, recipe.late_users), there(recipe.items, recipe.late_items));
        let drifts = period > 0 && (recipe.user_drift > 0.0 || recipe.item_drift > 0.0);
        if drifts || items != self.requests.present_items {
            self.bests.forget();
        }
        let asking = ((recipe.asking * users as f64).round() as usize).max(1);
        let mut order: Vec<u32> = (0..users as u32).collect();
        let (asking, _) = order.partial_shuffle(&mut self.streams.child("requests").rng(period as u64), asking);
        self.requests = Requests { users: asking.to_vec(), present_users: users, present_items: items };
        if drifts {
            self.drift(period);
        }
        Ok(self.requests.clone())
    }

    fn answer(&mut self, users: &[u32], slates: &Slates) -> Result<Audit> {
        let (size, period) = (slates.size, self.periods.now("answer")?);
        self.requests.check(users, slates)?;
        if slates.items.is_empty() {
            return Ok(Audit::default());
        }
        self.bests.find(&self.truth, users, self.requests.present_items, size, &self.run)?;
        let shared: f64 = StandardNormal.sample(&mut self.streams.child("noise/batch").rng(period as u64));
        let zeros = || vec![0.0; slates.items.len()];
        let mut audit = Audit { expected: zeros(), best: zeros(), observed: zeros() };
        let rows = (
            audit.expected.par_chunks_mut(size),
            audit.best.par_chunks_mut(size),
            audit.observed.par_chunks_mut(size),
            slates.items.par_chunks(size),
            users,
        );
        self.run.install(|| {
            rows.into_par_iter().with_min_len(TASK).for_each(|(expected, best, rated, items, &user)| {
                best.copy_from_slice(&self.bests.of(user)[..size]);
                let mut rng = self.noise.rng(key(period, user.into()));
                for (place, &item) in items.iter().enumerate() {
                    let draw = match self.recipe.noise_draws {
                        Draws::Row => StandardNormal.sample(&mut rng),
                        Draws::Batch => shared,
                    };
                    expected[place] = self.truth.expected(user, item);
                    rated[place] = observed(expected[place], self.recipe.noise, draw);
                }
            });
        });
        let whom = users.iter().flat_map(|&user| std::iter::repeat_n(user, size));
        let rows = whom.zip(&slates.items).zip(&audit.observed);
        self.shown.extend(rows.map(|((user, &item), &value)| Observation { user, item, value: value as f32 }));
        Ok(audit)
    }

    fn feedback(&mut self) -> Result<Feedback> {
        self.periods.end("feedback")?;
        self.delayed.push_back(std::mem::take(&mut self.shown));
        let arrives = self.delayed.len() > self.recipe.delay;
        let rows = if arrives { self.delayed.pop_front().unwrap_or_default() } else { Vec::new() };
        Ok(Feedback { users: self.requests.present_users, items: self.requests.present_items, rows })
    }

    fn expected(&self, users: &[u32], items: &[u32]) -> Result<Vec<f64>> {
        // Before the first period nobody is there.
        self.requests.check_there(users, items)?;
        if users.len() != items.len() {
            return Err(Error::shape("items of the pairs", users.len(), items.len()));
        }
        let pairs = users.par_iter().zip(items).with_min_len(TASK);
        Ok(self.run.install(|| pairs.map(|(&user, &item)| self.truth.expected(user, item)).collect()))
    }
}

/// Changes every attribute; each entity takes its own stream.
fn change(
    attributes: &mut DMatrix<f64>,
    run: &Run,
    stream: impl Fn(u64) -> Rng + Sync,
    change: impl Fn(&mut f64, &mut Rng) + Sync,
) {
    let rank = attributes.nrows();
    let entities = attributes.as_mut_slice().par_chunks_mut(rank).enumerate().with_min_len(TASK);
    run.install(|| {
        entities.for_each(|(entity, attributes)| {
            let mut rng = stream(entity as u64);
            attributes.iter_mut().for_each(|x| change(x, &mut rng));
        });
    });
}

/// The address of an entity in a period.
fn key(period: usize, entity: u64) -> u64 {
    (period as u64) << 32 | entity
}

/// Folds a number at 0 and 1 until it lies between.
fn reflect(x: f64) -> f64 {
    let y = x.rem_euclid(2.0);
    if y > 1.0 { 2.0 - y } else { y }
}

/// How many of `count` are there in `period`, if that share of them comes within `arrival` periods.
fn present(count: usize, late: f64, arrival: usize, period: usize) -> usize {
    let late = ((late * count as f64).round() as usize).min(count - 1);
    let arrived = late as u128 * period.min(arrival) as u128 / arrival as u128;
    count - late + arrived as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_folded_at_both_ends() {
        for (x, expected) in [(0.25, 0.25), (1.0, 1.0), (1.25, 0.75), (-0.25, 0.25), (2.5, 0.5), (-1.25, 0.75)] {
            assert_eq!(reflect(x), expected, "{x}");
        }
    }

    #[test]
    fn arrivals_are_even() {
        let there = |count, late, arrival| [0, 1, 2, 3, 4, 9].map(|period| present(count, late, arrival, period));
        assert_eq!(there(10, 0.4, 4), [6, 7, 8, 9, 10, 10]);
        assert_eq!(there(10, 0.3, 4), [7, 7, 8, 9, 10, 10]);
        assert_eq!((there(10, 0.0, 1), there(2, 0.99, 2)), ([10; 6], [1, 1, 2, 2, 2, 2]));
    }

    /// The sides drift apart from each other, by the standard deviation asked for, and stay within 0 to 1.
    #[test]
    fn attributes_walk_within_their_range() {
        let recipe = UserItem { users: 200, items: 50, user_drift: 0.05, ..Default::default() };
        let still = UserItem { user_drift: 0.0, ..recipe.clone() };
        let both = UserItem { item_drift: 0.3, ..recipe.clone() };
        let [mut world, mut still, mut both] = [recipe, still, both].map(|r| Open::new(&r, &Run::new(4)).unwrap());
        let start = world.truth.clone();
        let all: Vec<u32> = (0..200).collect();
        let slates = Slates { size: 1, items: vec![0; 200], scores: vec![] };
        let mut bests = Vec::new();
        for period in 0..30 {
            for world in [&mut world, &mut still, &mut both] {
                world.requests(period).unwrap();
                let audit = world.answer(&all, &slates).unwrap();
                bests.push(audit.best.clone());
                assert!(audit.best.iter().zip(&audit.expected).all(|(b, e)| b >= e));
                world.feedback().unwrap();
            }
            if period == 1 {
                // Far from the ends nothing is folded.
                let inner = start.users().iter().zip(world.truth.users()).filter(|(x, _)| (0.3..0.7).contains(*x));
                let steps: Vec<f64> = inner.map(|(x, y)| (y - x).powi(2)).collect();
                let sd = (steps.iter().sum::<f64>() / steps.len() as f64).sqrt();
                assert!((sd - 0.05).abs() < 0.006, "{sd} of {}", steps.len());
            }
        }
        for truth in [&world.truth, &both.truth] {
            assert!(truth.users().iter().chain(truth.items()).all(|x| (0.0..=1.0).contains(x)));
        }
        assert_eq!((still.truth.users(), still.truth.items()), (start.users(), start.items()));
        assert_eq!((world.truth.items(), both.truth.users()), (start.items(), world.truth.users()));
        assert_ne!(both.truth.items(), start.items());
        assert!(bests[0] == bests[1] && bests[3] != bests[0] && bests[4] == bests[1] && bests[5] != bests[3]);
    }
}
