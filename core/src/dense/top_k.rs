//! The best items of each user, selected from scores that come in any order.

use crate::{Error, Result};
use std::ops::Range;

/// The best items of each user of a batch.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopK {
    k: usize,
    lengths: Vec<u32>,
    items: Vec<u32>,
    scores: Vec<f32>,
}

impl TopK {
    /// Room for `k` items of each of `users` users.
    pub fn new(users: usize, k: usize) -> Self {
        Self { k, lengths: vec![0; users], items: vec![0; users * k], scores: vec![0.0; users * k] }
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no user.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Items of the `b`-th user of the batch, best first; fewer than k where not enough are left.
    pub fn items(&self, b: usize) -> &[u32] {
        &self.items[b * self.k..][..self.lengths[b] as usize]
    }

    /// Scores aligned with [`Self::items`].
    pub fn scores(&self, b: usize) -> &[f32] {
        &self.scores[b * self.k..][..self.lengths[b] as usize]
    }

    /// The rows of `users` consecutive users each, to be filled independently.
    pub fn chunks_mut(&mut self, users: usize) -> Vec<TopKRows<'_>> {
        let width = (users * self.k).max(1);
        let lengths = self.lengths.chunks_mut(users.max(1));
        // With k = 0 there is nothing to write, yet every chunk of users must be there.
        let mut items = self.items.chunks_mut(width);
        let mut scores = self.scores.chunks_mut(width);
        lengths
            .map(|lengths| TopKRows {
                k: self.k,
                lengths,
                items: items.next().unwrap_or_default(),
                scores: scores.next().unwrap_or_default(),
            })
            .collect()
    }

    /// The rows of consecutive users, to be filled.
    ///
    /// # Panics
    /// Where there are not so many users.
    pub fn rows_mut(&mut self, users: Range<usize>) -> TopKRows<'_> {
        let places = users.start * self.k..users.end * self.k;
        let (items, scores) = (&mut self.items[places.clone()], &mut self.scores[places]);
        TopKRows { k: self.k, lengths: &mut self.lengths[users], items, scores }
    }
}

/// Some consecutive rows of a [`TopK`].
#[derive(Debug)]
pub struct TopKRows<'a> {
    k: usize,
    lengths: &'a mut [u32],
    items: &'a mut [u32],
    scores: &'a mut [f32],
}

impl TopKRows<'_> {
    /// Writes the row of the `b`-th user from what `best` has selected, and empties `best`.
    ///
    /// # Panics
    /// Where `best` selects another number than there is room for in a row.
    pub fn set(&mut self, b: usize, best: &mut Best) {
        assert_eq!(best.k, self.k, "a selection of the best {} for rows of {}", best.k, self.k);
        let keys = best.finish();
        self.lengths[b] = keys.len() as u32;
        for (at, &key) in keys.iter().enumerate() {
            (self.scores[b * self.k + at], self.items[b * self.k + at]) = unkey(key);
        }
        best.clear();
    }

    /// Lengths, items and scores of all rows to be filled at once: k places for each row, one row after the other,
    /// best first. Places beyond the length of a row must stay zero.
    pub fn parts_mut(&mut self) -> (&mut [u32], &mut [u32], &mut [f32]) {
        (self.lengths, self.items, self.scores)
    }

    /// Makes these rows those of another batch.
    ///
    /// # Panics
    /// Where that has other rows in number or in size.
    pub fn copy_from(&mut self, top: &TopK) {
        assert_eq!((top.len(), top.k), (self.lengths.len(), self.k), "users and items of each in another batch");
        self.lengths.copy_from_slice(&top.lengths);
        self.items.copy_from_slice(&top.items);
        self.scores.copy_from_slice(&top.scores);
    }
}

/// Keeps the `k` best of a sequence of (score, item): higher score first, then lower item.
///
/// Candidates go to a buffer of 2k; when it is full the best k stay. That costs O(1) per candidate on average,
/// and most candidates fail the comparison with [`Self::threshold`] before they get here.
#[derive(Clone, Debug)]
pub struct Best {
    k: usize,
    keys: Vec<u64>,
    floor: u64,
    threshold: f32,
}

impl Best {
    /// A selection of the best `k`.
    pub fn new(k: usize) -> Self {
        Self { k, keys: Vec::new(), floor: 0, threshold: f32::NEG_INFINITY }
    }

    /// No candidate with a lower score can be among the best; nor can one with an equal score and a higher
    /// item than all candidates so far.
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers a candidate. `score` must not be NaN, `item` not offered before.
    #[inline]
    pub fn offer(&mut self, score: f32, item: u32) {
        debug_assert!(!score.is_nan(), "the score of item {item} is NaN");
        let key = key(score, item);
        if key > self.floor && self.k > 0 {
            self.keys.push(key);
            if self.keys.len() == 2 * self.k.max(8) {
                self.shrink();
            }
        }
    }

    /// Forgets all candidates.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.floor = 0;
        self.threshold = f32::NEG_INFINITY;
    }

    #[cold]
    fn shrink(&mut self) {
        let (_, &mut worst, _) = self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
        self.keys.truncate(self.k);
        self.floor = worst;
        self.threshold = unkey(worst).0;
    }

    fn finish(&mut self) -> &[u64] {
        if self.keys.len() > self.k {
            self.shrink();
        }
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        &self.keys
    }
}

/// Orders like (score, lower item first); both zeros are equal.
#[inline]
fn key(score: f32, item: u32) -> u64 {
    let bits = (score + 0.0).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(!item)
}

fn unkey(key: u64) -> (f32, u32) {
    let ordered = (key >> 32) as u32;
    let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
    (f32::from_bits(bits), !(key as u32))
}

/// Offers every item of `scores` that is not in `seen` (ascending) to `best`.
///
/// # Errors
/// [`Error::Diverged`] for a score that is not finite.
pub fn offer_unseen(scores: &[f32], seen: &[u32], best: &mut Best) -> Result<()> {
    let mut seen = seen.iter().copied().peekable();
    for (item, &score) in (0..).zip(scores) {
        while seen.next_if(|&s| s < item).is_some() {}
        if seen.peek() == Some(&item) {
            continue;
        }
        if !score.is_finite() {
            return Err(Error::Diverged { what: format!("score of item {item}"), step: None });
        }
        best.offer(score, item);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Streams;
    use rand::RngExt;

    #[test]
    fn the_best_match_a_full_sort() {
        let mut rng = Streams::new(3).rng(0);
        for round in 0..200 {
            let n = rng.random_range(0..60);
            // Few distinct scores, so that ties are common; both zeros occur.
            let scores: Vec<f32> = (0..n).map(|_| rng.random_range(-3..3) as f32 * 0.5).map(|s: f32| -s).collect();
            let k = round % 13;
            let mut best = Best::new(k);
            offer_unseen(&scores, &[], &mut best).unwrap();
            let mut top = TopK::new(1, k);
            top.chunks_mut(1)[0].set(0, &mut best);
            let mut expected: Vec<u32> = (0..n as u32).collect();
            expected.sort_by(|&a, &b| scores[b as usize].partial_cmp(&scores[a as usize]).unwrap().then(a.cmp(&b)));
            expected.truncate(k);
            assert_eq!(top.items(0), expected);
            assert!(top.scores(0).iter().zip(&expected).all(|(s, &i)| *s == scores[i as usize]));
        }
    }

    #[test]
    #[should_panic(expected = "a selection of the best 2 for rows of 1")]
    fn a_row_has_no_room_for_more() {
        let mut best = Best::new(2);
        offer_unseen(&[1.0, 2.0], &[], &mut best).unwrap();
        TopK::new(2, 1).chunks_mut(2)[0].set(0, &mut best);
    }
}
