//! Greedy, but for a share of users who are shown chance: the simplest exploration.
//!
//! With probability epsilon the whole slate of a user is drawn uniformly without replacement from the n items that the
//! user has not seen, otherwise it is the greedy one. The propensity of item i at place j is exact:
//! epsilon / n + (1 - epsilon) [i is the greedy item at place j].
//!
//! Sutton & Barto, "Reinforcement learning: an introduction", section 2.2.

use crate::shown;
use evenhand_core::{Acting, Error, Params, Policy, Propensities, Result, Rng, Run, Slates, World, plugin};
use rand::RngExt;
use rand::seq::index;
use rayon::prelude::*;

plugin! {
    /// The best items by the model, or with some probability items drawn at random.
    pub struct EpsilonGreedy: Policy = "epsilon-greedy", from "Sutton & Barto 2018, section 2.2" {
        /// Probability that a user's whole slate is drawn at random.
        epsilon: f64 = 0.1, in 0.0..=1.0;
    }
}

impl Policy for EpsilonGreedy {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Mixed { world, epsilon: self.epsilon }))
    }
}

/// Shows the best, or anything.
struct Mixed<'a> {
    world: World<'a>,
    epsilon: f64,
}

/// Explored items that are scored at once.
const BATCH: usize = 1024;

impl Acting for Mixed<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        let streams = run.streams.child("epsilon-greedy/act");
        let mut slates = Slates::new(users.len(), size);
        // Places in the batch of those who are shown the best, and of the others with what they are shown.
        let (mut exploiting, mut exploring) = (Vec::new(), Vec::new());
        let (mut pairs, mut seen) = ((Vec::new(), Vec::new()), Vec::new());
        for (b, &user) in users.iter().enumerate() {
            let mut rng = streams.rng(u64::from(user));
            if rng.random_bool(self.epsilon) {
                seen.clear();
                seen.extend(self.world.seen_by(user));
                let to = &mut slates.items[b * size..][..size];
                uniform(self.world.model.items(), &seen, &mut rng, to);
                pairs.0.resize(pairs.0.len() + size, user);
                pairs.1.extend_from_slice(to);
                exploring.push(b);
            } else {
                exploiting.push(b);
            }
        }
        let scores = self.scores(&pairs.0, &pairs.1, run)?;
        for (scores, b) in scores.chunks_exact(size.max(1)).zip(exploring) {
            slates.scores[b * size..][..size].copy_from_slice(scores);
        }
        let greedy: Vec<u32> = exploiting.iter().map(|&b| users[b]).collect();
        let best = self.world.model.top_k(&greedy, self.world.seen, size, run)?;
        for (from, b) in exploiting.into_iter().enumerate() {
            shown::put(&best, from, &mut slates, b)?;
        }
        Ok(slates)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        let size = slates.size;
        let best = shown::slates(&self.world.model.top_k(users, self.world.seen, size, run)?, size)?;
        let mut seen = Vec::new();
        let mut values = Vec::with_capacity(slates.items.len());
        for (b, &user) in users.iter().enumerate() {
            seen.clear();
            seen.extend(self.world.seen_by(user));
            let chance = self.epsilon / (self.world.model.items() - seen.len()) as f64;
            values.extend(slates.of(b).iter().zip(best.of(b)).map(|(item, best)| match item {
                item if item == best => chance + (1.0 - self.epsilon),
                item if seen.binary_search(item).is_ok() => 0.0,
                _ => chance,
            }));
        }
        Ok(Propensities { values, draws: None })
    }
}

impl Mixed<'_> {
    /// Scores of pairs. In parts, since a model may compute the scores of all items for each.
    fn scores(&self, users: &[u32], items: &[u32], run: &Run) -> Result<Vec<f32>> {
        let mut scores = vec![0.0; users.len()];
        let parts = scores.par_chunks_mut(BATCH).zip(users.par_chunks(BATCH)).zip(items.par_chunks(BATCH));
        let score = |((out, users), items): ((&mut [f32], &[u32]), &[u32])| {
            self.world.model.predict(users, items, out, run)?;
            match items.iter().zip(out).find(|(_, score)| !score.is_finite()) {
                Some((item, _)) => Err(Error::Diverged { what: format!("score of item {item}"), step: None }),
                None => Ok(()),
            }
        };
        let done: Vec<Result<()>> = run.install(|| parts.map(score).collect());
        done.into_iter().collect::<Result<()>>()?;
        Ok(scores)
    }
}

/// Fills `to` with distinct items below `items` that are not among those `seen` (ascending), every order as likely as
/// any other.
fn uniform(items: usize, seen: &[u32], rng: &mut Rng, to: &mut [u32]) {
    let ranks = index::sample(rng, items - seen.len(), to.len());
    for (to, rank) in to.iter_mut().zip(ranks) {
        // The item of that rank among the unseen stands behind all seen items with fewer unseen ones before them.
        let (mut low, mut high) = (0, seen.len());
        while low < high {
            let middle = low.midpoint(high);
            if seen[middle] as usize - middle <= rank { low = middle + 1 } else { high = middle }
        }
        *to = (rank + low) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::{given, seen};
    use evenhand_core::Streams;

    #[test]
    fn ranks_pass_over_seen_items() {
        for seen in [&[][..], &[0], &[0, 1, 5], &[2, 3], &[5]] {
            let mut all = [0; 6];
            let left = &mut all[..6 - seen.len()];
            uniform(6, seen, &mut Streams::new(1).rng(0), left);
            left.sort_unstable();
            assert_eq!(left, (0..6).filter(|i| !seen.contains(i)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn propensities_by_hand() {
        let model = given(&[&[0.5, 2.0, 2.0, -1.0, 0.0]]);
        let seen = seen(1, 5, &[(0, 1), (0, 1)]);
        let run = Run::new(0);
        let policy = EpsilonGreedy { epsilon: 0.2 }.prepare(World::new(&model, Some(&seen)), &run).unwrap();
        // Four items are left, the best of them are 2 and 0: 0.2 / 4 = 0.05.
        let slates = Slates { size: 2, items: vec![2, 0, 0, 2, 1, 4], scores: vec![] };
        let propensities = policy.propensities(&[0, 0, 0], &slates, &run).unwrap();
        for (got, expected) in propensities.values.iter().zip([0.85, 0.85, 0.05, 0.05, 0.0, 0.05]) {
            assert!((got - expected).abs() < 1e-15, "{got}, expected {expected}");
        }
        assert_eq!(propensities.draws, None);
    }

    #[test]
    fn the_ends_are_greedy_and_uniform() {
        let model = given(&[&[0.5, 2.0, 1.0], &[3.0, 2.0, 1.0]]);
        let (world, run) = (World::new(&model, None), Run::new(3));
        let acting = |epsilon| EpsilonGreedy { epsilon }.prepare(world, &run).unwrap();
        let shown = |epsilon, run: &Run| acting(epsilon).act(&[1, 0], 2, run).unwrap();
        assert_eq!(shown(0.0, &run), Slates { size: 2, items: vec![0, 1, 1, 2], scores: vec![3.0, 2.0, 2.0, 1.0] });
        let slates: Vec<Slates> = (0..40).map(|seed| shown(1.0, &run.clone().with_seed(seed))).collect();
        // All six orders of two of three items, with the scores of the model.
        let mut orders: Vec<&[u32]> = slates.iter().map(|s| s.of(0)).collect();
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders.len(), 6);
        for s in &slates {
            assert!(s.of(0).iter().zip(&s.scores).all(|(&i, score)| *score == [3.0, 2.0, 1.0][i as usize]));
        }
        let thirds = acting(1.0).propensities(&[0, 1], &slates[0], &run).unwrap();
        assert_eq!(thirds.values, [1.0 / 3.0; 4]);
    }
}
