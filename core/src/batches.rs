//! Best items and positions for models that score users batch by batch: what follows from [`crate::Model::score`].
//!
//! Batches run in parallel; what comes out is in the order of the users, however the batches were scheduled.

use crate::dense::{Best, TopK, TopKRows, check_distinct, offer_unseen, positions};
use crate::metrics::Position;
use crate::{Interactions, Result, Run};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Users of a batch.
const BATCH: usize = 64;

/// The `k` best of `items` items for some users by the scores that `score` writes, items x batch, for a batch of them:
/// best first, ties to the lower item, without the items of the user in `seen`. Batches run in parallel.
///
/// # Errors
/// Those of `score`; [`crate::Error::Diverged`] for a score that is not finite. Of several failures the first user's counts.
pub fn top_k_by(
    items: usize,
    users: &[u32],
    seen: Option<&Interactions>,
    k: usize,
    run: &Run,
    score: impl Fn(&[u32], &mut DMatrix<f32>) -> Result<()> + Sync,
) -> Result<TopK> {
    let k = k.min(items);
    let mut top = TopK::new(users.len(), k);
    if k == 0 {
        return Ok(top);
    }
    let batches: Vec<_> = top.chunks_mut(BATCH).into_iter().zip(users.chunks(BATCH)).collect();
    let select = |(mut rows, users): (TopKRows<'_>, &[u32])| {
        let mut scores = DMatrix::zeros(0, 0);
        let mut best = Best::new(k);
        score(users, &mut scores)?;
        for (b, &user) in users.iter().enumerate() {
            let seen = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
            offer_unseen(scores.column(b).as_slice(), seen, &mut best)?;
            rows.set(b, &mut best);
        }
        Ok(())
    };
    let done: Vec<Result<()>> = run.install(|| batches.into_par_iter().map(select).collect());
    // In the order of the users, however the batches were scheduled.
    done.into_iter().collect::<Result<()>>()?;
    Ok(top)
}

/// Positions of the held-out items of some users among `items` items, by the scores that `score` writes, items x batch, for
/// a batch of them, as [`crate::Model::ranks`] says. Users without a held-out item are not scored. Batches run in parallel.
///
/// # Errors
/// Those of `score`; [`crate::Error::Shape`] for a held-out item that does not exist or that a user has twice;
/// [`crate::Error::Diverged`] for a score that counts and is not finite.
pub(crate) fn ranks_by(
    items: usize,
    users: &[u32],
    seen: Option<&Interactions>,
    held_out: &Interactions,
    run: &Run,
    score: impl Fn(&[u32], &mut DMatrix<f32>) -> Result<()> + Sync,
) -> Result<Vec<Position>> {
    let held_out = held_out.by_user();
    users.iter().try_for_each(|&user| check_distinct(held_out.partners(user as usize), items))?;
    let users: Vec<u32> = users.iter().copied().filter(|&user| held_out.count(user as usize) > 0).collect();
    let count = |users: &[u32]| {
        let mut scores = DMatrix::zeros(0, 0);
        let mut all = Vec::new();
        score(users, &mut scores)?;
        for (b, &user) in users.iter().enumerate() {
            let seen = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
            all.extend(positions(scores.column(b).as_slice(), seen, held_out.partners(user as usize))?);
        }
        Ok(all)
    };
    let done: Vec<Result<Vec<Position>>> = run.install(|| users.par_chunks(BATCH).map(count).collect());
    // In the order of the users, however the batches were scheduled.
    Ok(done.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    #[test]
    fn the_first_failing_user_is_reported_on_any_number_of_threads() {
        let mut scores = DMatrix::from_element(4, 1000, 1.0);
        for (user, item) in [(999, 0), (500, 1), (130, 3), (140, 2)] {
            scores[(item, user)] = f32::NAN;
        }
        let everyone: Vec<u32> = (0..1000).collect();
        let mut rows = Rows::default();
        everyone.iter().filter(|&user| user % 7 > 0).for_each(|&user| rows.push(user, 0, 1.0));
        let held_out = Interactions::new(1000, 4, &rows).unwrap();
        let score = |users: &[u32], out: &mut DMatrix<f32>| {
            *out = scores.select_columns(&users.iter().map(|&u| u as usize).collect::<Vec<_>>());
            Ok(())
        };
        for threads in [1, 2, 7] {
            let run = Run::new(0).with_threads(threads).unwrap();
            let error = top_k_by(4, &everyone, None, 2, &run, score).unwrap_err();
            assert_eq!(error.to_string(), "score of item 3 became non-finite");
            let error = ranks_by(4, &everyone, None, &held_out, &run, score).unwrap_err();
            assert_eq!(error.to_string(), "score of item 3 became non-finite");
        }
    }

    #[test]
    fn only_users_with_held_out_items_are_scored() {
        let mut rows = Rows::default();
        rows.push(2, 1, 1.0);
        let held_out = Interactions::new(3, 2, &rows).unwrap();
        let score = |users: &[u32], out: &mut DMatrix<f32>| {
            assert_eq!(users, [2]);
            *out = DMatrix::from_element(2, 1, 1.0);
            Ok(())
        };
        let positions = ranks_by(2, &[0, 2, 1], None, &held_out, &Run::new(0), score).unwrap();
        assert_eq!(positions, [Position { greater: 0, equal: 1, candidates: 1 }]);
    }
}
