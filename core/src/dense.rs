//! Dense predictions: products of user and item factors, and the best items per user, in blocks.
//!
//! Factors are stored k x n, one entity per column. A backend never holds users x items numbers.
//! [`Reference`] defines the results; fast backends live in their own crate.

use crate::metrics::{NonFinite, Position};
use crate::{Compressed, Error, Result};
use nalgebra::DMatrix;
use std::borrow::Cow;
use std::ops::Range;

/// A backend for dense predictions.
pub trait Dense: Send + Sync + std::fmt::Debug {
    /// What the backend is called in reports.
    fn name(&self) -> &'static str;

    /// Scores of all items for some users: `out[(i, b)] = items.column(i) . users.column(rows[b])`.
    ///
    /// `users` is k x users, `items` k x items, `out` becomes items x batch.
    ///
    /// # Errors
    /// [`Error::Shape`] where the two ranks differ or a row is out of range.
    fn scores(&self, users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>, out: &mut DMatrix<f32>) -> Result<()>;

    /// The `k` best items of some users, best first, ties to the lower item, without the partners of
    /// the user in `seen`.
    ///
    /// # Errors
    /// [`Error::Shape`] as above, [`Error::Diverged`] for a score that could be chosen and is not finite.
    fn top_k(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        k: usize,
    ) -> Result<TopK>;

    /// Where the held-out items of some users stand among all items that are neither partners of the user in `seen` nor
    /// in `held_out`: one position for each partner of `rows[0]` in `held_out`, in its order, then those of `rows[1]`, ...
    /// It makes no difference whether `seen` holds a held-out item too. No list is sorted and no row of scores is kept.
    ///
    /// # Errors
    /// [`Error::Shape`] as above, also for a held-out item that does not exist, and one that a user has twice;
    /// [`Error::Diverged`] for a score that counts and is not finite: of the first such user the first held-out item, or
    /// else candidate.
    fn ranks(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Result<Vec<Position>>;
}

/// Checks what every backend has to check before [`Dense::ranks`].
///
/// # Errors
/// [`Error::Shape`] as [`check_shapes`]; also where `held_out` has too few users, an item that does not exist, or one twice.
pub fn check_held_out(
    users: &DMatrix<f32>,
    rows: &[u32],
    items: &DMatrix<f32>,
    seen: Option<&Compressed>,
    held_out: &Compressed,
) -> Result<()> {
    check_shapes(users, rows, items, seen)?;
    check_shapes(users, rows, items, Some(held_out))?;
    rows.iter().try_for_each(|&row| check_distinct(held_out.partners(row as usize), items.ncols()))
}

/// Checks that the held-out items of a user, ascending, are different ones and exist.
pub(crate) fn check_distinct(held_out: &[u32], items: usize) -> Result<()> {
    if let Some(twice) = held_out.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::shape("held-out items of a user", "each once", format!("item {} again", twice[1])));
    }
    match held_out.last() {
        Some(&item) if item as usize >= items => Err(Error::shape("held-out item", format!("below {items}"), item)),
        _ => Ok(()),
    }
}

/// Positions of the items of `held_out` by the scores of all items for one user; duplicates in `seen` do no harm.
///
/// # Errors
/// [`Error::Diverged`] for a score that counts and is not finite: the first one of a held-out item, or else of a candidate.
pub fn positions(scores: &[f32], seen: &[u32], held_out: &[u32]) -> Result<Vec<Position>> {
    if held_out.is_empty() {
        return Ok(Vec::new()); // no score counts
    }
    let mut seen = Cow::Borrowed(&seen[..seen.partition_point(|&item| (item as usize) < scores.len())]);
    // Duplicates stand side by side.
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        seen.to_mut().dedup();
    }
    let diverged = |e: NonFinite| Error::Diverged { what: format!("score of item {}", e.item), step: None };
    Position::count_all(scores, held_out, &seen).map_err(diverged)
}

/// Checks what every backend has to check.
///
/// # Errors
/// [`Error::Shape`] where the ranks differ, a row is out of range, or `seen` has too few users.
pub fn check_shapes(users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>, seen: Option<&Compressed>) -> Result<()> {
    if users.nrows() != items.nrows() {
        return Err(Error::shape("rank of the item factors", users.nrows(), items.nrows()));
    }
    let bound = seen.map_or(users.ncols(), |s| s.len().min(users.ncols()));
    match rows.iter().find(|&&r| r as usize >= bound) {
        Some(r) => Err(Error::shape("user index", format!("below {bound}"), r)),
        None => Ok(()),
    }
}

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

    /// Lengths, items and scores of all rows to be filled at once: k places for each row, one row after the other, best first.
    /// Places beyond the length of a row must stay zero.
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

/// The definition of every result, written for reading: one dot product after the other, summed in the order of
/// the factors with fused multiply-add.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Dense for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn scores(&self, users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>, out: &mut DMatrix<f32>) -> Result<()> {
        check_shapes(users, rows, items, None)?;
        out.resize_mut(items.ncols(), rows.len(), 0.0);
        for (&row, mut scores) in rows.iter().zip(out.column_iter_mut()) {
            let user = users.column(row as usize);
            for (item, score) in items.column_iter().zip(scores.iter_mut()) {
                *score = user.iter().zip(item.iter()).fold(0.0, |sum, (u, i)| f32::mul_add(*u, *i, sum));
            }
        }
        Ok(())
    }

    fn top_k(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        k: usize,
    ) -> Result<TopK> {
        check_shapes(users, rows, items, seen)?;
        let k = k.min(items.ncols());
        let mut top = TopK::new(rows.len(), k);
        if k == 0 {
            return Ok(top);
        }
        let mut scores = DMatrix::zeros(0, 0);
        let mut best = Best::new(k);
        for (&row, mut out) in rows.iter().zip(top.chunks_mut(1)) {
            self.scores(users, &[row], items, &mut scores)?;
            let seen = seen.map_or(&[][..], |s| s.partners(row as usize));
            offer_unseen(scores.as_slice(), seen, &mut best)?;
            out.set(0, &mut best);
        }
        Ok(top)
    }

    fn ranks(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Result<Vec<Position>> {
        check_held_out(users, rows, items, seen, held_out)?;
        let mut scores = DMatrix::zeros(0, 0);
        let mut all = Vec::new();
        for &row in rows {
            self.scores(users, &[row], items, &mut scores)?;
            let seen = seen.map_or(&[][..], |s| s.partners(row as usize));
            all.extend(positions(scores.as_slice(), seen, held_out.partners(row as usize))?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interactions, Rows, Streams};
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
    fn seen_items_are_left_out_and_rows_may_be_short() {
        let users = DMatrix::from_row_slice(1, 2, &[1.0, -1.0]);
        let items = DMatrix::from_row_slice(1, 3, &[1.0, 3.0, 2.0]);
        let mut rows = Rows::default();
        rows.push(0, 1, 1.0);
        rows.push(0, 1, 1.0);
        let seen = Interactions::new(2, 3, &rows).unwrap();
        let top = Reference.top_k(&users, &[0, 1], &items, Some(seen.by_user()), 3).unwrap();
        assert_eq!((top.items(0), top.items(1)), ([2, 0].as_slice(), [0, 2, 1].as_slice()));
        assert_eq!(top.scores(1), [-1.0, -2.0, -3.0]);
        assert!(Reference.top_k(&users, &[0], &items, None, 0).unwrap().items(0).is_empty());
    }

    #[test]
    fn rows_are_copied_to_their_place() {
        let (users, items) = (DMatrix::from_element(1, 1, 1.0), DMatrix::from_row_slice(1, 3, &[1.0, 3.0, 2.0]));
        let part = Reference.top_k(&users, &[0], &items, None, 2).unwrap();
        let mut top = TopK::new(3, 2);
        top.rows_mut(1..2).copy_from(&part);
        let mut rows = top.rows_mut(2..3);
        let (lengths, items, scores) = rows.parts_mut();
        (lengths[0], items[0], scores[0]) = (1, 7, 5.0);
        assert_eq!((top.items(0), top.items(1), top.items(2)), (&[][..], &[1, 2][..], &[7][..]));
        assert_eq!((top.scores(1), top.scores(2)), (&[3.0, 2.0][..], &[5.0][..]));
    }

    #[test]
    #[should_panic(expected = "a selection of the best 2 for rows of 1")]
    fn a_row_has_no_room_for_more() {
        let mut best = Best::new(2);
        offer_unseen(&[1.0, 2.0], &[], &mut best).unwrap();
        TopK::new(2, 1).chunks_mut(2)[0].set(0, &mut best);
    }

    #[test]
    fn shapes_and_nan_are_refused() {
        let (one, two) = (DMatrix::zeros(1, 2), DMatrix::zeros(2, 2));
        assert!(Reference.top_k(&one, &[0], &two, None, 1).is_err());
        assert!(Reference.top_k(&one, &[2], &one, None, 1).is_err());
        let nan = DMatrix::from_element(1, 2, f32::NAN);
        let error = Reference.top_k(&one, &[0], &nan, None, 1).unwrap_err();
        assert_eq!(error.to_string(), "score of item 0 became non-finite");
    }

    fn interactions(users: usize, items: usize, pairs: &[(u32, u32)]) -> Interactions {
        let mut rows = Rows::default();
        pairs.iter().for_each(|&(user, item)| rows.push(user, item, 1.0));
        Interactions::new(users, items, &rows).unwrap()
    }

    #[test]
    fn held_out_items_are_ranked_among_what_is_neither_seen_nor_held_out() {
        // Scores of user 0: 1 3 2 2 3; of user 1: the same with the other sign; of user 2: all zero.
        let users = DMatrix::from_row_slice(1, 3, &[1.0, -1.0, 0.0]);
        let items = DMatrix::from_row_slice(1, 5, &[1.0, 3.0, 2.0, 2.0, 3.0]);
        let held_out = interactions(3, 5, &[(0, 2), (1, 3), (1, 0), (2, 4)]);
        let ranks = |seen: &[(u32, u32)], rows: &[u32]| {
            let seen = interactions(3, 5, seen);
            let positions = Reference.ranks(&users, rows, &items, Some(seen.by_user()), held_out.by_user()).unwrap();
            positions.iter().map(|p| (p.greater, p.equal, p.candidates)).collect::<Vec<_>>()
        };
        assert_eq!(ranks(&[], &[0]), [(2, 1, 4)]);
        // By ascending item, whatever the order in the data.
        assert_eq!(ranks(&[], &[1, 0]), [(0, 0, 3), (0, 1, 3), (2, 1, 4)]);
        assert_eq!(ranks(&[], &[2, 2]), [(0, 4, 4), (0, 4, 4)]);
        // Item 1 seen three times, and the held-out one too.
        assert_eq!(ranks(&[(0, 1), (0, 1), (0, 2), (0, 1)], &[0]), [(1, 1, 3)]);
        // One that does not exist.
        let (more, none) = (interactions(3, 9, &[(0, 1), (0, 8)]), interactions(3, 5, &[]));
        let one = Reference.ranks(&users, &[0], &items, Some(more.by_user()), held_out.by_user()).unwrap();
        assert_eq!(one, [Position { greater: 1, equal: 1, candidates: 3 }]);
        assert!(Reference.ranks(&users, &[0, 1], &items, None, none.by_user()).unwrap().is_empty());
        // Everything else seen: no candidate is left.
        assert_eq!(ranks(&[(0, 0), (0, 1), (0, 3), (0, 4)], &[0]), [(0, 0, 0)]);
    }

    #[test]
    fn held_out_items_must_fit_and_what_counts_must_be_finite() {
        let (users, mut items) = (DMatrix::from_element(1, 2, 1.0), DMatrix::from_element(1, 3, 1.0));
        let fine = interactions(2, 3, &[(0, 1), (1, 2)]);
        let say = |items: &DMatrix<f32>, rows: &[u32], seen: &Interactions, held_out: &Interactions| {
            let ranks = Reference.ranks(&users, rows, items, Some(seen.by_user()), held_out.by_user());
            ranks.map_or_else(|e| e.to_string(), |positions| format!("{} positions", positions.len()))
        };
        assert_eq!(say(&items, &[0, 1], &fine, &fine), "2 positions");
        assert_eq!(say(&items, &[2], &fine, &fine), "user index: expected below 2, got 2");
        for (seen, held_out) in [(1, 2), (2, 1)].map(|(a, b)| (interactions(a, 3, &[]), interactions(b, 3, &[]))) {
            assert_eq!(say(&items, &[0, 1], &seen, &held_out), "user index: expected below 1, got 1");
        }
        assert_eq!(say(&DMatrix::zeros(2, 3), &[0], &fine, &fine), "rank of the item factors: expected 1, got 2");
        let twice = interactions(2, 3, &[(1, 2), (1, 2)]);
        let expected = "held-out items of a user: expected each once, got item 2 again";
        assert_eq!(say(&items, &[0, 1], &fine, &twice), expected);
        // Of a user who is not asked for they do no harm.
        assert_eq!(say(&items, &[0], &fine, &twice), "0 positions");
        let beyond = interactions(2, 4, &[(0, 3)]);
        assert_eq!(say(&items, &[0], &fine, &beyond), "held-out item: expected below 3, got 3");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            items[0] = bad;
            assert_eq!(say(&items, &[1, 0], &fine, &fine), "score of item 0 became non-finite");
            // Masked it does no harm, nor where nothing is held out.
            assert_eq!(say(&items, &[0], &interactions(2, 3, &[(0, 0), (0, 0)]), &fine), "1 positions");
            assert_eq!(say(&items, &[0], &fine, &twice), "0 positions");
            // The held-out item comes first.
            items[2] = bad;
            assert_eq!(say(&items, &[1], &fine, &fine), "score of item 2 became non-finite");
            items[2] = 1.0;
        }
    }
}
