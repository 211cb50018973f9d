//! Softmax exploration: better items are likelier, and none is impossible.
//!
//! Items are drawn one after the other without replacement, each with a probability proportional to
//! exp(score / temperature) among those left (Plackett 1975; Luce 1959). A place of a slate takes one random number.
//!
//! The propensity of slates of one item is exact: the softmax. That of an item at a place of a longer slate is a sum
//! over all that may stand before it, so it is estimated as the share of fresh slates that agree. This holds for the
//! first place too, which could be exact: the values of one [`Propensities`] have one meaning.

use crate::urn::Urn;
use evenhand_core::{Acting, Params, Policy, Propensities, Result, Run, Slates, World, plugin};
use nalgebra::DMatrix;
use rayon::prelude::*;

plugin! {
    /// Items drawn one after the other, with probabilities that grow with their scores.
    pub struct Softmax: Policy = "softmax", from "Luce 1959; Plackett, Applied Statistics 1975" {
        /// Difference of scores that makes an item e times as likely as another.
        temperature: f64 = 1.0, in 1e-9..;
        /// Number of slates drawn behind a propensity, for slates of more than one item.
        draws: usize = 100, in 1..;
    }
}

impl Policy for Softmax {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Lots { world, temperature: self.temperature, draws: self.draws }))
    }
}

/// Draws lots.
struct Lots<'a> {
    world: World<'a>,
    temperature: f64,
    draws: usize,
}

/// Users whose scores are computed at once.
const BATCH: usize = 64;

impl Acting for Lots<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        let mut slates = Slates::new(users.len(), size);
        if size == 0 {
            return Ok(slates);
        }
        let streams = run.streams.child("softmax/act");
        let rows = slates.items.par_chunks_mut(size).zip(slates.scores.par_chunks_mut(size));
        let show = |urn: &mut Urn, user: u32, scores: &[f32], (items, shown): (&mut [u32], &mut [f32])| {
            urn.draw(&mut streams.rng(u64::from(user)), items);
            shown.iter_mut().zip(items).for_each(|(shown, item)| *shown = scores[*item as usize]);
        };
        self.each(users, run, rows, show)?;
        Ok(slates)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        let (size, draws) = (slates.size, (slates.size > 1).then_some(self.draws));
        let mut values = vec![0.0; slates.items.len()];
        if size == 0 {
            return Ok(Propensities { values, draws });
        }
        let streams = run.streams.child("softmax/propensities");
        let rows = values.par_chunks_mut(size).zip(slates.items.par_chunks(size));
        let weigh = |urn: &mut Urn, user: u32, scores: &[f32], (values, items): (&mut [f64], &[u32])| {
            let Some(draws) = draws else {
                values[0] = urn.chance(items[0]);
                return;
            };
            let (mut rng, mut drawn) = (streams.rng(u64::from(user)), vec![0; size]);
            for _ in 0..draws {
                urn.draw(&mut rng, &mut drawn);
                urn.put_back(&drawn, scores);
                let both = values.iter_mut().zip(drawn.iter().zip(items));
                both.filter(|(_, (drawn, item))| drawn == item).for_each(|(count, _)| *count += 1.0);
            }
            values.iter_mut().for_each(|count| *count /= draws as f64);
        };
        self.each(users, run, rows, weigh)?;
        Ok(Propensities { values, draws })
    }
}

impl Lots<'_> {
    /// Calls `work` for every user with the urn of its unseen items, its scores and its row. Users run in parallel, the
    /// scores of a batch of them at a time.
    fn each<R: Send>(
        &self,
        users: &[u32],
        run: &Run,
        rows: impl IndexedParallelIterator<Item = R>,
        work: impl Fn(&mut Urn, u32, &[f32], R) + Sync,
    ) -> Result<()> {
        let batch = |(users, rows): (&[u32], Vec<R>)| {
            run.check()?;
            let (mut scores, mut urn) = (DMatrix::zeros(0, 0), Urn::new(self.temperature));
            self.world.model.score(users, &mut scores, run)?;
            for ((&user, row), scores) in users.iter().zip(rows).zip(scores.column_iter()) {
                urn.fill(scores.as_slice(), self.world.seen_by(user))?;
                work(&mut urn, user, scores.as_slice(), row);
            }
            Ok(())
        };
        let done: Vec<Result<()>> =
            run.install(|| users.par_chunks(BATCH).zip(rows.chunks(BATCH)).map(batch).collect());
        // In the order of the users, however the batches were scheduled.
        done.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::{given, seen};
    use evenhand_core::Interactions;

    /// Items with scores so that at temperature 0.5 their weights are in the ratio 1 : 2 : 3.
    fn thirds() -> [f32; 3] {
        [1.0f32, 2.0, 3.0].map(|weight| 0.5 * weight.ln())
    }

    fn propensities(scores: &[f32], seen: Option<&Interactions>, policy: &Softmax, slates: &Slates) -> Propensities {
        let (model, run) = (given(&[scores]), Run::new(2));
        let users = vec![0; slates.items.len() / slates.size];
        policy.prepare(World::new(&model, seen), &run).unwrap().propensities(&users, slates, &run).unwrap()
    }

    #[test]
    fn single_items_have_exact_propensities() {
        let slates = Slates { size: 1, items: vec![0, 1, 2], scores: vec![] };
        let policy = Softmax { temperature: 0.5, draws: 7 };
        let near = |got: Propensities, expected: [f64; 3]| {
            assert_eq!(got.draws, None);
            let mut both = got.values.iter().zip(expected);
            assert!(both.all(|(got, expected)| (got - expected).abs() < 1e-7), "{got:?}, expected {expected:?}");
        };
        near(propensities(&thirds(), None, &policy, &slates), [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]);
        let seen = seen(1, 3, &[(0, 1)]);
        near(propensities(&thirds(), Some(&seen), &policy, &slates), [0.25, 0.0, 0.75]);
        // Halving the differences: square roots of the weights.
        let roots = [1.0, 2f64.sqrt(), 3f64.sqrt()];
        let sum: f64 = roots.iter().sum();
        let warmer = Softmax { temperature: 1.0, ..policy };
        near(propensities(&thirds(), None, &warmer, &slates), roots.map(|w| w / sum));
    }

    #[test]
    fn longer_slates_are_estimated() {
        // Item 0 first: 1/6; second: 2/6 * 1/4 + 3/6 * 1/3 = 1/4; third: the rest, 7/12.
        let slates = Slates { size: 3, items: vec![0, 1, 2, 1, 0, 2, 1, 2, 0], scores: vec![] };
        let got = propensities(&thirds(), None, &Softmax { temperature: 0.5, draws: 4000 }, &slates);
        assert_eq!(got.draws, Some(4000));
        for (at, expected) in [(0, 1.0 / 6.0), (4, 0.25), (8, 7.0 / 12.0)] {
            // Five standard errors.
            assert!((got.values[at] - expected).abs() < 0.04, "{} at {at}, expected {expected}", got.values[at]);
        }
        assert!((got.values[0] + got.values[4] + got.values[8] - 1.0).abs() < 1e-12);
    }
}
