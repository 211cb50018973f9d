//! What is liked, and what it is compared with: pairs of a known like and an item that the user is not known to like.
//!
//! The other item is drawn uniformly, or as often as it is liked, and drawn anew while the user is known to like it: Rendle et
//! al. 2009. Of several candidates the one with the highest score is the hardest: Zhang, Chen, Wang & Yu 2013, "Optimizing top-n
//! collaborative filtering via dynamic negative item sampling".

use super::batch::Triples;
use evenhand_core::{Error, Interactions, Result, Rng, Run, Streams, choice};
use rand::RngExt;
use rayon::prelude::*;

choice! {
    /// What an item that is liked is compared with.
    pub enum Pool {
        /// Any other item, all alike.
        Uniform = "uniform",
        /// Other items as often as they are liked.
        Popularity = "popularity",
    }
}

/// Draws that may fail before what is left is listed.
const TRIES: usize = 64;
/// Pairs drawn from one stream.
const CHUNK: usize = 1024;

/// The known likes, by user. Who likes every item can not be learned from, and is left out.
#[derive(Clone, Debug)]
pub(super) struct Positives {
    /// Where the likes of each user begin; one element more.
    offsets: Vec<usize>,
    /// The items, ascending for each user; one that was liked twice stands there twice.
    items: Vec<u32>,
    /// The user of each like.
    users: Vec<u32>,
    catalogue: usize,
    /// Users who like every item.
    pub(super) saturated: usize,
}

impl Positives {
    /// The rows of `train` that are likes by their value.
    ///
    /// # Errors
    /// [`Error::Unusable`] for 2^31 of them or more: a batch of all counts their items, two for each, in 32 bits.
    pub(super) fn new(train: &Interactions, liked: impl Fn(f32) -> bool) -> Result<Self> {
        let catalogue = train.items();
        let (mut offsets, mut items, mut users) = (vec![0], Vec::new(), Vec::new());
        let mut saturated = 0;
        for user in 0..train.users() {
            let first = items.len();
            items.extend(train.by_user().row(user).filter(|&(_, value)| liked(value)).map(|(item, _)| item));
            if items.len() > first && items[first..].chunk_by(|a, b| a == b).count() == catalogue {
                items.truncate(first);
                saturated += 1;
            }
            users.resize(items.len(), user as u32);
            offsets.push(items.len());
        }
        if items.len() >= 1 << 31 {
            return Err(Error::Unusable(format!("{} likes, expected fewer than 2^31", items.len())));
        }
        Ok(Self { offsets, items, users, catalogue, saturated })
    }

    /// Number of likes.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Number of items there are.
    pub(super) fn catalogue(&self) -> usize {
        self.catalogue
    }

    /// Where the likes of each user begin; one element more.
    pub(super) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// User and item of the n-th like.
    #[inline(always)]
    pub(super) fn like(&self, n: usize) -> (u32, u32) {
        (self.users[n], self.items[n])
    }

    /// The items that a user likes, ascending.
    #[inline(always)]
    pub(super) fn of(&self, user: u32) -> &[u32] {
        &self.items[self.offsets[user as usize]..self.offsets[user as usize + 1]]
    }

    /// How often each item is liked.
    pub(super) fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.catalogue];
        self.items.iter().for_each(|&item| counts[item as usize] += 1);
        counts
    }

    /// Says what can not be learned from.
    pub(super) fn doubt(&self, run: &Run) {
        if self.saturated > 0 {
            let text = "users who like every item there is, from whom nothing can be learned";
            run.observer().note(&format!("{text}: {}", self.saturated));
        }
        if self.items.is_empty() {
            run.observer().note("no training row is a like that something could be compared with: nothing is learned");
        }
    }
}

/// Draws what likes are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs<'a> {
    pub(super) positives: &'a Positives,
    pool: Pool,
    /// Candidates for each like.
    pub(super) candidates: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(positives: &'a Positives, pool: Pool, candidates: usize) -> Self {
        Self { positives, pool, candidates }
    }

    /// A pair for each like, by user, instead of what `to` held: nothing, or such pairs before.
    pub(super) fn for_all(&self, streams: &Streams, to: &mut Triples) {
        let Positives { users, items, .. } = self.positives;
        if to.len() != users.len() {
            *to = Triples { users: users.clone(), positives: items.clone(), negatives: vec![0; items.len()] };
        }
        let chunks = to.negatives.par_chunks_mut(CHUNK).zip(users.par_chunks(CHUNK));
        chunks.enumerate().for_each(|(chunk, (to, users))| {
            let mut rng = streams.rng(chunk as u64);
            to.iter_mut().zip(users).for_each(|(to, &user)| *to = self.draw(user, &mut rng));
        });
    }

    /// Pairs for some likes, instead of what `to` held: as many negatives for each as there are candidates.
    pub(super) fn for_some(&self, likes: &[u32], rng: &mut Rng, to: &mut Triples) {
        to.users.clear();
        to.positives.clear();
        to.negatives.clear();
        for &like in likes {
            let (user, item) = self.positives.like(like as usize);
            to.users.push(user);
            to.positives.push(item);
            (0..self.candidates).for_each(|_| to.negatives.push(self.draw(user, rng)));
        }
    }

    fn draw(&self, user: u32, rng: &mut Rng) -> u32 {
        let Positives { items, catalogue, .. } = self.positives;
        let known = self.positives.of(user);
        for _ in 0..TRIES {
            let item = match self.pool {
                Pool::Uniform => rng.random_range(0..*catalogue as u32),
                Pool::Popularity => items[rng.random_range(0..items.len())],
            };
            if known.binary_search(&item).is_err() {
                return item;
            }
        }
        // Likes next to everything: any of the rest.
        let rest = catalogue - known.chunk_by(|a, b| a == b).count();
        let mut item = rng.random_range(0..rest as u32);
        for same in known.chunk_by(|a, b| a == b) {
            item += u32::from(same[0] <= item);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::Rows;

    fn likes(users: usize, items: usize, pairs: &[(u32, u32)]) -> Positives {
        let mut rows = Rows::default();
        pairs.iter().for_each(|&(user, item)| rows.push(user, item, 1.0));
        rows.push(0, 0, -1.0);
        Positives::new(&Interactions::new(users, items, &rows).unwrap(), |value| value > 0.0).unwrap()
    }

    #[test]
    fn who_likes_everything_is_left_out() {
        let p = likes(4, 2, &[(0, 1), (0, 1), (1, 0), (1, 1), (3, 0)]);
        assert_eq!((p.saturated, p.len(), p.offsets()), (1, 3, [0, 2, 2, 2, 3].as_slice()));
        assert_eq!((p.of(0), p.of(1), p.like(2), p.counts()), ([1, 1].as_slice(), [].as_slice(), (3, 0), vec![1, 2]));
    }

    #[test]
    fn negatives_are_never_known_likes_and_cover_the_rest() {
        // The first user likes all but two of a hundred, the second one of them.
        let many: Vec<(u32, u32)> = (0..100).filter(|i| i % 50 != 7).map(|i| (0, i)).chain([(1, 57)]).collect();
        let p = likes(2, 100, &many);
        for pool in [Pool::Uniform, Pool::Popularity] {
            let pairs = Pairs::new(&p, pool, 3);
            let mut drawn = Triples::default();
            let likes: Vec<u32> = (0..p.len() as u32).collect();
            pairs.for_some(&likes, &mut Streams::new(1).rng(0), &mut drawn);
            assert_eq!((drawn.len(), drawn.negatives.len()), (p.len(), 3 * p.len()));
            let of_first: Vec<u32> = drawn.negatives[..3 * 98].to_vec();
            assert!(of_first.iter().all(|i| i % 50 == 7), "{pool:?}");
            let mut all = Triples::default();
            pairs.for_all(&Streams::new(1), &mut all);
            assert_eq!((all.len(), all.negatives.len()), (p.len(), p.len()));
            let sevens = of_first.iter().filter(|&&i| i == 7).count();
            // Only the item that somebody likes is met by popularity, unless no try succeeds.
            assert!(if pool == Pool::Uniform { (100..194).contains(&sevens) } else { sevens < 150 }, "{sevens}");
        }
    }

    #[test]
    fn popular_items_are_drawn_as_often_as_they_are_liked() {
        let liked: Vec<(u32, u32)> = (0..40).map(|u| (u, u32::from(u >= 10))).chain([(40, 2)]).collect();
        let p = likes(41, 3, &liked);
        let pairs = Pairs::new(&p, Pool::Popularity, 1);
        let mut drawn = Triples::default();
        pairs.for_some(&[40; 4000], &mut Streams::new(2).rng(0), &mut drawn);
        let zeros = drawn.negatives.iter().filter(|&&i| i == 0).count();
        assert!((900..1100).contains(&zeros) && !drawn.negatives.contains(&2), "{zeros}");
    }
}
