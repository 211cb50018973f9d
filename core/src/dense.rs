//! Dense predictions: products of user and item factors, and the best items per user, in blocks.
//!
//! Factors are stored k x n, one entity per column. A backend never holds users x items numbers.
//! [`Reference`] defines the results; fast backends live in their own crate.

mod top_k;

pub use top_k::{Best, TopK, TopKRows, offer_unseen};

use crate::metrics::{NonFinite, Position};
use crate::{Compressed, Error, Result};
use nalgebra::DMatrix;
use std::borrow::Cow;

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
    use crate::{Interactions, Rows};

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
