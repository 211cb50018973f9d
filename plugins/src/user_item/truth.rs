//! What is true of users and items, and the values that follow from it.

use crate::linear::{LANES, Real, add_rows};
use evenhand_core::{Error, Result, Run};
use nalgebra::DMatrix;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// The rating of an item whose expected value is `expected`, given a standard normal draw; `noise` is the standard
/// deviation.
pub fn observed(expected: f64, noise: f64, draw: f64) -> f64 {
    expected + noise * draw
}

/// Attributes of all users and items.
#[derive(Clone, Debug)]
pub struct Truth {
    users: DMatrix<f64>,
    items: DMatrix<f64>,
    /// The attributes of the items in panels: for each attribute, the values of [`LANES`] items; filled up with zeros.
    panels: Vec<f64>,
    /// Whether each user is of the minority; empty without groups.
    minority: Vec<bool>,
    contrast: f64,
}

impl Truth {
    /// From attributes x users and attributes x items.
    ///
    /// # Errors
    /// [`Error::Shape`] where the numbers of attributes differ.
    pub fn new(users: DMatrix<f64>, items: DMatrix<f64>) -> Result<Self> {
        if users.nrows() != items.nrows() {
            return Err(Error::shape("attributes of an item", users.nrows(), items.nrows()));
        }
        let mut truth = Self { users, items, panels: Vec::new(), minority: Vec::new(), contrast: 0.0 };
        truth.pack();
        Ok(truth)
    }

    /// The same with two groups: the first half of the attributes counts 1 - `contrast` for users of the minority, the
    /// second half for the others. Of an odd number, the middle one belongs to the first half.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `minority` has one entry per user.
    pub fn with_groups(self, minority: Vec<bool>, contrast: f64) -> Result<Self> {
        if minority.len() != self.users.ncols() {
            return Err(Error::shape("users in a group", self.users.ncols(), minority.len()));
        }
        Ok(Self { minority, contrast, ..self })
    }

    /// Attributes x users.
    pub fn users(&self) -> &DMatrix<f64> {
        &self.users
    }

    /// Attributes x items.
    pub fn items(&self) -> &DMatrix<f64> {
        &self.items
    }

    /// Changes the attributes of the users.
    pub(super) fn change_users(&mut self, change: impl FnOnce(&mut DMatrix<f64>)) {
        change(&mut self.users);
    }

    /// Changes the attributes of the items.
    pub(super) fn change_items(&mut self, change: impl FnOnce(&mut DMatrix<f64>)) {
        change(&mut self.items);
        self.pack();
    }

    fn pack(&mut self) {
        let (attributes, items) = self.items.shape();
        self.panels.resize(items.div_ceil(LANES) * LANES * attributes, 0.0);
        for (item, column) in self.items.column_iter().enumerate() {
            let panel = &mut self.panels[item / LANES * LANES * attributes..];
            column.iter().zip(panel.chunks_exact_mut(LANES)).for_each(|(&value, to)| to[item % LANES] = value);
        }
    }

    /// What attribute `k` of `user` counts: the attribute and the weight in the user's group.
    fn taste(&self, user: u32, k: usize) -> f64 {
        let own = self.users[(k, user as usize)];
        let first_half = k < self.users.nrows().div_ceil(2);
        match self.minority.get(user as usize) {
            Some(&minority) if minority == first_half => (1.0 - self.contrast) * own,
            _ => own,
        }
    }

    /// The noise-free value of `item` for `user`: one product after the other is added, each sum rounded once.
    ///
    /// # Panics
    /// Where one of them is out of range.
    pub fn expected(&self, user: u32, item: u32) -> f64 {
        let item = self.items.column(item as usize);
        item.iter().enumerate().fold(0.0, |sum, (k, value)| self.taste(user, k).mul_add(*value, sum))
    }

    /// The `size` largest values of some users among the first `items` items: users x size, descending for each user.
    /// Items are taken in blocks; users x items numbers are never held.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range or more items than there are, [`Error::Cancelled`] where `run` is asked to
    /// stop.
    pub fn best(&self, users: &[u32], items: usize, size: usize, run: &Run) -> Result<Vec<f64>> {
        let bound = self.users.ncols();
        if let Some(user) = users.iter().find(|&&user| user as usize >= bound) {
            return Err(Error::shape("user index", format!("below {bound}"), user));
        }
        if items > self.items.ncols() || size > items {
            let expected = format!("at most {} of {}", items.min(self.items.ncols()), self.items.ncols());
            return Err(Error::shape("best items", expected, format!("{size} of {items}")));
        }
        let mut best = vec![0.0; users.len() * size];
        if best.is_empty() {
            return Ok(best);
        }
        let arch = Arch::new();
        let blocks = users.par_chunks(BLOCK).zip(best.par_chunks_mut(BLOCK * size));
        let one = |(users, out): (&[u32], &mut [f64])| {
            run.check()?;
            let attributes = 0..self.users.nrows();
            let tastes: Vec<f64> =
                users.iter().flat_map(|&u| attributes.clone().map(move |k| self.taste(u, k))).collect();
            let mut largest = vec![Largest::new(size); users.len()];
            arch.dispatch(Scan { panels: &self.panels, items, tastes: &tastes, largest: &mut largest });
            largest.iter_mut().zip(out.chunks_exact_mut(size)).for_each(|(largest, out)| largest.write(out));
            Ok(())
        };
        // All of them, so that the first failure is the same on any number of threads.
        let done: Vec<Result<()>> = run.install(|| blocks.map(one).collect());
        done.into_iter().collect::<Result<()>>()?;
        Ok(best)
    }
}

/// Users that go through the items together: a panel is read once for all of them.
const BLOCK: usize = 16;

/// Offers the values of all items to the selections of some users.
struct Scan<'a> {
    panels: &'a [f64],
    items: usize,
    tastes: &'a [f64],
    largest: &'a mut [Largest],
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let attributes = self.tastes.len() / self.largest.len();
        let panels = self.panels.chunks_exact(attributes * LANES);
        for (first, panel) in (0..self.items).step_by(LANES).zip(panels) {
            let there = LANES.min(self.items - first);
            for (taste, largest) in self.tastes.chunks_exact(attributes).zip(&mut *self.largest) {
                let mut values = [0.0; LANES];
                add_rows(simd, panel, taste, LANES, 0, &mut values);
                if maximum(simd, &values) > largest.floor {
                    largest.offer(&values[..there]);
                }
            }
        }
    }
}

#[inline(always)]
fn maximum<S: Simd>(simd: S, values: &[f64; LANES]) -> f64 {
    let vectors = f64::vectors::<S>(values);
    let mut most = vectors[0];
    for &v in &vectors[1..] {
        most = simd.max_f64s(most, v);
    }
    simd.reduce_max_f64s(most)
}

/// Keeps the `size` largest of a sequence of numbers: they gather in a buffer, and when it is full the largest stay.
#[derive(Clone)]
struct Largest {
    size: usize,
    kept: Vec<f64>,
    /// Numbers up to this one make no difference.
    floor: f64,
}

impl Largest {
    fn new(size: usize) -> Self {
        Self { size, kept: Vec::new(), floor: f64::NEG_INFINITY }
    }

    #[inline(never)]
    fn offer(&mut self, values: &[f64]) {
        for &value in values {
            if value > self.floor {
                self.kept.push(value);
                if self.kept.len() >= 2 * self.size {
                    self.shrink();
                }
            }
        }
    }

    fn shrink(&mut self) {
        let (_, &mut least, _) = self.kept.select_nth_unstable_by(self.size - 1, |a, b| b.total_cmp(a));
        self.kept.truncate(self.size);
        self.floor = least;
    }

    /// Writes the largest ones, descending; at least `size` numbers have been offered.
    fn write(&mut self, out: &mut [f64]) {
        self.shrink();
        self.kept.sort_unstable_by(|a, b| b.total_cmp(a));
        out.copy_from_slice(&self.kept);
    }
}
