//! The world as it goes through its periods.

use super::PreferenceDynamics;
use crate::periods::Periods;
use crate::stationary::Catalogue;
use evenhand_core::{
    Audit, Dataset, Duplicates, Environment, Error, Feedback, Groups, Interactions, Observation, Params, Requests,
    Result, Rows, Run, Scale, Slates, Stage, Streams,
};
use nalgebra::DMatrix;
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Clicks.
const CLICKS: Scale = Scale { low: 0.0, high: 1.0, like_above: 0.0 };

/// Users that one task takes at least.
const TASK: usize = 16;

/// A world of users with moving profiles, open.
pub(super) struct Open {
    run: Run,
    streams: Streams,
    pub(super) catalogue: Catalogue,
    /// First profiles, one per column.
    pub(super) first: DMatrix<f64>,
    /// Profiles of the period that began last.
    pub(super) profiles: DMatrix<f64>,
    harm: Groups,
    history: usize,
    periods: Periods,
    /// What each user has consumed in the period that began last, of the slate that was shown last; `None` of those who were
    /// shown nothing.
    pub(super) consumed: Vec<Option<u32>>,
    /// What was observed in the period that has begun.
    shown: Vec<Observation>,
}

impl Open {
    /// Draws items and first profiles. Parameters have been checked.
    pub(super) fn new(recipe: &PreferenceDynamics, run: &Run) -> Result<Self> {
        run.check()?;
        let streams = run.streams.child("preference-dynamics");
        let normal = |label: &str, count, spread: f64| {
            let (streams, mut drawn) = (streams.child(label), DMatrix::zeros(recipe.dimension, count));
            for (entity, mut column) in (0..).zip(drawn.column_iter_mut()) {
                let mut rng = streams.rng(entity);
                column.iter_mut().for_each(|x| {
                    let draw: f64 = StandardNormal.sample(&mut rng);
                    *x = spread * draw;
                });
            }
            drawn
        };
        let (vectors, first) =
            (normal("items", recipe.items, recipe.item_spread), normal("users", recipe.users, recipe.user_spread));
        let count = (recipe.harmful * recipe.items as f64).round() as usize;
        let mut harmful = vec![false; recipe.items];
        index::sample(&mut streams.child("harmful").rng(0), recipe.items, count)
            .iter()
            .for_each(|at| harmful[at] = true);
        let members = |label: &str, is| {
            let members = (0..).zip(&harmful).filter(|(_, harmful)| **harmful == is).map(|(item, _)| item).collect();
            (label.to_string(), members)
        };
        let lists: [(String, Vec<u32>); 2] = [members("harmful", true), members("harmless", false)];
        let lists = lists.into_iter().filter(|(_, members)| !members.is_empty()).collect();
        let catalogue = Catalogue::new(&vectors, &harmful, recipe.dynamics())?;
        first.column_iter().try_for_each(|profile| catalogue.check_profile(profile.as_slice()))?;
        run.check()?;
        Ok(Self {
            run: run.clone(),
            streams,
            catalogue,
            profiles: first.clone(),
            first,
            harm: Groups::new("harm", recipe.items, lists)?,
            history: recipe.history,
            periods: Periods::default(),
            consumed: vec![None; recipe.users],
            shown: Vec::new(),
        })
    }

    fn users(&self) -> usize {
        self.first.ncols()
    }

    fn there(&self, users: Vec<u32>) -> Requests {
        Requests { users, present_users: self.users(), present_items: self.catalogue.items() }
    }

    fn profile(&self, user: u32) -> &[f64] {
        &self.profiles.as_slice()[user as usize * self.catalogue.dimension()..][..self.catalogue.dimension()]
    }

    /// The chance that `user` takes `item` where it is shown alone.
    fn alone(&self, user: u32, item: u32) -> f64 {
        let score: f64 = self.profile(user).iter().zip(self.catalogue.vector(item)).map(|(u, v)| u * v).sum();
        1.0 / (1.0 + self.catalogue.dynamics().c * (-score).exp())
    }

    /// The largest chances of items that are shown alone, descending.
    fn best(&self, user: u32, best: &mut [f64]) {
        let mut all: Vec<f64> = (0..self.catalogue.items() as u32).map(|item| self.alone(user, item)).collect();
        if best.len() < all.len() {
            all.select_nth_unstable_by(best.len(), |a, b| b.total_cmp(a));
            all.truncate(best.len());
        }
        all.sort_unstable_by(|a, b| b.total_cmp(a));
        best.copy_from_slice(&all);
    }

    /// Profiles of the next period, by what was consumed in the one that has ended.
    fn advance(&mut self, period: usize) {
        let choices = self.streams.child("choices");
        let (catalogue, consumed, period) = (&self.catalogue, &self.consumed, period - 1);
        let dimension = catalogue.dimension();
        let profiles =
            self.profiles.as_mut_slice().par_chunks_mut(dimension).zip(self.first.as_slice().par_chunks(dimension));
        self.run.install(|| {
            profiles.enumerate().with_min_len(TASK).for_each(|(user, (profile, first))| {
                let alone = || catalogue.consume(profile, &[], &mut choices.rng(key(period, user as u64))).item;
                let item = consumed[user].unwrap_or_else(alone);
                catalogue.moves(first, profile, item);
            });
        });
        self.consumed.fill(None);
    }
}

impl Environment for Open {
    fn dataset(&self) -> Result<Dataset> {
        self.run.check()?;
        let streams = self.streams.child("history");
        let of = |user: usize| {
            let (mut rng, first) = (streams.rng(user as u64), self.first.column(user));
            (0..self.history)
                .map(|_| self.catalogue.consume(first.as_slice(), &[], &mut rng).item)
                .collect::<Vec<u32>>()
        };
        let users = (0..self.users()).into_par_iter().with_min_len(TASK);
        let consumed: Vec<Vec<u32>> = self.run.install(|| users.map(of).collect());
        let mut rows = Rows::default();
        (0..).zip(consumed).for_each(|(user, items)| items.into_iter().for_each(|item| rows.push(user, item, 1.0)));
        let all = Interactions::new(self.users(), self.catalogue.items(), &rows)?;
        let mut data = Dataset::new(PreferenceDynamics::NAME, all.merge(Duplicates::Last)?, CLICKS);
        data.item_groups = vec![self.harm.clone()];
        Ok(data)
    }

    fn stage(&self) -> Result<Stage> {
        let (users, items) = (self.users(), self.catalogue.items());
        Ok(Stage { users, items, user_groups: Vec::new(), scale: CLICKS })
    }

    fn requests(&mut self, period: usize) -> Result<Requests> {
        self.run.check()?;
        self.periods.begin(period)?;
        if period > 0 {
            self.advance(period);
        }
        Ok(self.there((0..self.users() as u32).collect()))
    }

    fn answer(&mut self, users: &[u32], slates: &Slates) -> Result<Audit> {
        let period = self.periods.now("answer")?;
        self.there(Vec::new()).check(users, slates)?;
        let (size, choices) = (slates.size, self.streams.child("choices"));
        if size == 0 {
            users.iter().for_each(|&user| self.consumed[user as usize] = None);
            return Ok(Audit::default());
        }
        let zeros = || vec![0.0; slates.items.len()];
        let mut audit = Audit { expected: zeros(), best: zeros(), observed: zeros() };
        let rows = (
            audit.expected.par_chunks_mut(size),
            audit.best.par_chunks_mut(size),
            audit.observed.par_chunks_mut(size),
            slates.items.par_chunks(size),
            users,
        );
        let this = &*self;
        let consumed: Vec<u32> = this.run.install(|| {
            let answers = rows.into_par_iter().with_min_len(TASK).map(|(expected, best, observed, items, &user)| {
                let mut rng = choices.rng(key(period, user.into()));
                let consumed = this.catalogue.consume(this.profile(user), items, &mut rng);
                for (place, &item) in items.iter().enumerate() {
                    expected[place] = this.alone(user, item);
                    observed[place] = f64::from(u8::from(consumed.taken && consumed.item == item));
                }
                this.best(user, best);
                consumed.item
            });
            answers.collect()
        });
        users.iter().zip(consumed).for_each(|(&user, item)| self.consumed[user as usize] = Some(item));
        let whom = users.iter().flat_map(|&user| std::iter::repeat_n(user, size));
        let rows = whom.zip(&slates.items).zip(&audit.observed);
        self.shown.extend(rows.map(|((user, &item), &value)| Observation { user, item, value: value as f32 }));
        Ok(audit)
    }

    fn feedback(&mut self) -> Result<Feedback> {
        self.periods.end("feedback")?;
        let rows = std::mem::take(&mut self.shown);
        Ok(Feedback { users: self.users(), items: self.catalogue.items(), rows })
    }

    fn expected(&self, users: &[u32], items: &[u32]) -> Result<Vec<f64>> {
        // Before the first period nobody is there.
        let there = if self.periods.any() { self.there(Vec::new()) } else { Requests::default() };
        there.check_there(users, items)?;
        if users.len() != items.len() {
            return Err(Error::shape("items of the pairs", users.len(), items.len()));
        }
        Ok(users.iter().zip(items).map(|(&user, &item)| self.alone(user, item)).collect())
    }
}

/// The address of a user in a period.
fn key(period: usize, user: u64) -> u64 {
    (period as u64) << 32 | user
}
