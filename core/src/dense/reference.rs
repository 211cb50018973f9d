//! The definition of every result.

use super::{Best, Dense, TopK, check_held_out, check_shapes, offer_unseen, positions};
use crate::metrics::Position;
use crate::{Compressed, Result};
use nalgebra::DMatrix;

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
