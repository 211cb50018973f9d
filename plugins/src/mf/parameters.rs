//! Factors while they are learned: padded rows, one per user and per item.

use crate::linear::{Real, padded};
use nalgebra::DMatrix;

/// Factors of all users and items, or a gradient of the same shape.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<T> {
    pub(crate) rank: usize,
    /// Length of a row: the rank, padded with zeros.
    pub(crate) width: usize,
    /// Rows of the users.
    pub(crate) users: Vec<T>,
    /// Rows of the items.
    pub(crate) items: Vec<T>,
}

impl<T: Real> Parameters<T> {
    /// From factors with one entity per column.
    pub(crate) fn new(users: &DMatrix<f64>, items: &DMatrix<f64>) -> Self {
        let (rank, width) = (users.nrows(), padded(users.nrows()));
        let rows = |side: &DMatrix<f64>| {
            let mut rows = vec![T::ZERO; side.ncols() * width];
            for (row, column) in rows.chunks_exact_mut(width).zip(side.column_iter()) {
                row.iter_mut().zip(column.iter()).for_each(|(to, &from)| *to = T::of(from));
            }
            rows
        };
        Self { rank, width, users: rows(users), items: rows(items) }
    }

    /// Zeros.
    pub(crate) fn zeroed(rank: usize, users: usize, items: usize) -> Self {
        let width = padded(rank);
        Self { rank, width, users: vec![T::ZERO; users * width], items: vec![T::ZERO; items * width] }
    }

    /// Zeros of the same shape.
    pub(crate) fn zeros(&self) -> Self {
        let zeros = |rows: &[T]| vec![T::ZERO; rows.len()];
        Self { rank: self.rank, width: self.width, users: zeros(&self.users), items: zeros(&self.items) }
    }

    #[inline(always)]
    pub(crate) fn user(&self, user: usize) -> &[T] {
        &self.users[user * self.width..][..self.width]
    }

    #[inline(always)]
    pub(crate) fn item(&self, item: usize) -> &[T] {
        &self.items[item * self.width..][..self.width]
    }

    /// One entity per column, first those of the users.
    pub(crate) fn matrices(&self) -> [DMatrix<f64>; 2] {
        [&self.users, &self.items].map(|rows| {
            DMatrix::from_fn(self.rank, rows.len() / self.width, |f, entity| rows[entity * self.width + f].wide())
        })
    }
}
