//! Dense predictions: products of user and item factors, and the best items per user, in blocks.
//!
//! Factors are stored k x n, one entity per column. A backend never holds users x items numbers.
//! [`Reference`] defines the results; fast backends live in their own crate.

mod passes;
mod reference;
mod top_k;

pub use passes::{CellPasses, CellProblem};
pub use reference::Reference;
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
    /// in `held_out`: one position for each partner of `rows[0]` in `held_out`, in its order, then those of `rows[1]`,
    /// ... It makes no difference whether `seen` holds a held-out item too. No list is sorted and no row of scores is
    /// kept.
    ///
    /// # Errors
    /// [`Error::Shape`] as above, also for a held-out item that does not exist, and one that a user has twice;
    /// [`Error::Diverged`] for a score that counts and is not finite: of the first such user the first held-out item,
    /// or else candidate.
    fn ranks(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Result<Vec<Position>>;

    /// Passes over all cells for a trainer, where this backend has a faster way than the trainer's own; none where it
    /// has not.
    ///
    /// # Errors
    /// [`Error::Shape`] where classes and training rows are of different numbers of users or items, or rows are
    /// shorter than the rank; [`Error::Device`] where the device fails or has too little memory.
    fn cell_passes(&self, problem: &CellProblem<'_>) -> Result<Option<Box<dyn CellPasses>>> {
        let _ = problem;
        Ok(None)
    }
}

/// Checks what every backend has to check before [`Dense::ranks`].
///
/// # Errors
/// [`Error::Shape`] as [`check_shapes`]; also where `held_out` has too few users, an item that does not exist, or one
/// twice.
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
/// [`Error::Diverged`] for a score that counts and is not finite: the first one of a held-out item, or else of a
/// candidate.
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
