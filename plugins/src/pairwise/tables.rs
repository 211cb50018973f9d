//! Factors while they are learned: padded rows of users and items, and perhaps a bias for every item.

use crate::linear::{Real, padded};
use evenhand_core::{Error, Factors, Output, Result};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Rows of all users and items, or of those that a batch touches; also a gradient or a perturbation of the same shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables<T> {
    /// Factors of a row.
    pub(super) rank: usize,
    /// Length of a row: the rank, padded with zeros.
    pub(super) width: usize,
    /// Rows of the users.
    pub(super) users: Vec<T>,
    /// Rows of the items.
    pub(super) items: Vec<T>,
    /// Biases of the items; empty where there are none.
    pub(super) biases: Vec<T>,
}

impl<T: Real> Tables<T> {
    /// From factors with one entity per column.
    pub(super) fn new(users: &DMatrix<f64>, items: &DMatrix<f64>, biases: Vec<T>) -> Self {
        let rank = users.nrows();
        let width = padded(rank);
        let rows = |side: &DMatrix<f64>| {
            let mut rows = vec![T::ZERO; side.ncols() * width];
            for (row, column) in rows.chunks_exact_mut(width.max(1)).zip(side.column_iter()) {
                row.iter_mut().zip(column.iter()).for_each(|(to, &from)| *to = T::of(from));
            }
            rows
        };
        Self { rank, width, users: rows(users), items: rows(items), biases }
    }

    /// Zeros of the same shape.
    pub(super) fn zeros(&self) -> Self {
        let zeros = |rows: &[T]| vec![T::ZERO; rows.len()];
        Self {
            users: zeros(&self.users),
            items: zeros(&self.items),
            biases: zeros(&self.biases),
            rank: self.rank,
            width: self.width,
        }
    }

    #[inline(always)]
    pub(super) fn user(&self, user: usize) -> &[T] {
        &self.users[user * self.width..][..self.width]
    }

    #[inline(always)]
    pub(super) fn item(&self, item: usize) -> &[T] {
        &self.items[item * self.width..][..self.width]
    }

    #[inline(always)]
    pub(super) fn bias(&self, item: usize) -> T {
        if self.biases.is_empty() { T::ZERO } else { self.biases[item] }
    }

    /// One entity per column: users, items.
    pub(super) fn matrices(&self) -> [DMatrix<f64>; 2] {
        [&self.users, &self.items].map(|rows| {
            DMatrix::from_fn(self.rank, rows.len() / self.width, |f, entity| rows[entity * self.width + f].wide())
        })
    }

    /// The factors of a fitted model: biases become a last factor that is 1 for every user.
    ///
    /// # Errors
    /// [`Error::Diverged`] where a factor is not finite; `of` names who fitted them.
    pub(super) fn fitted(&self, of: &str) -> Result<Factors> {
        let rank = self.rank + usize::from(!self.biases.is_empty());
        let side = |rows: &[T]| {
            let mut side = DMatrix::from_element(rank, rows.len() / self.width, 1.0f32);
            let columns = side.as_mut_slice().par_chunks_exact_mut(rank).zip(rows.par_chunks_exact(self.width));
            columns.for_each(|(column, row)| {
                column[..self.rank].iter_mut().zip(row).for_each(|(to, from)| *to = from.wide() as f32);
            });
            side
        };
        let (users, mut items) = (side(&self.users), side(&self.items));
        for (mut column, bias) in items.column_iter_mut().zip(&self.biases) {
            column[self.rank] = bias.wide() as f32;
        }
        // What double precision holds need not fit.
        if !users.iter().chain(items.iter()).all(|x| x.is_finite()) {
            return Err(Error::Diverged { what: format!("a factor of `{of}`"), step: None });
        }
        Ok(Factors { users, items, latent: self.rank, output: Output::Order })
    }

    /// Whether every number is finite after an epoch.
    pub(super) fn check_finite(&self, of: &str, epoch: usize) -> Result<()> {
        // Zero times a number that is not finite is NaN.
        let sound = |rows: &[T]| {
            let sums = rows.par_chunks(1 << 14).map(|chunk| chunk.iter().fold(T::ZERO, |sum, &x| sum + T::ZERO * x));
            sums.all(|sum| sum == T::ZERO)
        };
        if sound(&self.users) && sound(&self.items) && sound(&self.biases) {
            return Ok(());
        }
        Err(Error::Diverged { what: format!("a factor of `{of}`"), step: Some(epoch) })
    }
}
