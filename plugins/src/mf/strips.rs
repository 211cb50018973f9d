//! Passes over all cells of the users x items matrix, tile by tile: none of it is ever stored.
//!
//! Users are cut into strips, which are worked on in parallel. A strip owns the gradient of its users and a partial one of
//! all items; partial results are added in the order of the strips, whose number depends on the sizes alone, so that no
//! bit depends on the number of threads.

use super::parameters::Parameters;
use super::tiles::{BLOCK, TILE, products, to_items, to_users};
use crate::cells::{Cell, Smooth};
use crate::linear::Real;
use crate::squash::Squash;
use evenhand_core::Interactions;
use evenhand_core::fairness::{Classes, Pointwise};
use nalgebra::DMatrix;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Most strips, hence most threads that are of use.
const STRIPS: usize = 32;
/// Most numbers in all partial gradients of the items, and in all partial sums.
const PARTIAL: usize = 1 << 24;

/// The strips of one fit, and the items in the layout of tiles.
pub(super) struct Strips<T> {
    items: usize,
    rank: usize,
    user_classes: usize,
    /// Users of a strip.
    users: usize,
    /// The factors of the items, tile by tile, one factor of all items of the tile after the other.
    panels: Vec<T>,
    strips: Vec<Strip<T>>,
}

/// What one strip writes to.
struct Strip<T> {
    /// Products of a block with a tile, then what flows back through them.
    z: Vec<T>,
    /// Partial gradient of the items, as panels.
    back: Vec<T>,
    /// Errors of training rows among the cells of `z`: place and what flows back.
    errors: Vec<(usize, T)>,
    /// The classes that the users of a block have, and the place of each user's among them.
    present: Vec<u32>,
    slots: Vec<usize>,
    /// Sums of a block: classes present x tile.
    block: Vec<T>,
    /// Sums: user classes x items.
    sums: Vec<f64>,
}

/// What flows back from a cell for the sake of fairness.
#[derive(Clone, Copy)]
pub(super) enum Flow<'a, T> {
    /// `coefficient[class of the user][item] * pull(z)`; rows of [`Strips::columns`].
    Cells { of: Pointwise, classes: &'a Classes, coefficient: &'a [T] },
    /// `by_prediction[item - first item][user] * squash'(z)` for the items of the tiles.
    Given { by_prediction: &'a DMatrix<f64> },
}

/// What flows back from the cells of training rows for the sake of accuracy: that of `weight * (r - y)^2`.
#[derive(Clone, Copy)]
pub(super) struct Accuracy<'a> {
    pub(super) train: &'a Interactions,
    pub(super) squash: Squash,
    pub(super) weight: f64,
}

impl<T: Smooth> Strips<T> {
    /// Buffers for factors of that shape and so many classes of users.
    pub(super) fn new(at: &Parameters<T>, user_classes: usize) -> Self {
        let (users, items) = (at.users.len() / at.width, at.items.len() / at.width);
        let tiles = items.div_ceil(TILE);
        let affordable = (PARTIAL / (tiles * TILE * at.rank.max(user_classes)).max(1)).max(1);
        let strips = users.div_ceil(BLOCK).clamp(1, STRIPS.min(affordable));
        let strip = || Strip {
            z: vec![T::ZERO; BLOCK * TILE],
            back: vec![T::ZERO; tiles * TILE * at.rank],
            errors: Vec::new(),
            present: Vec::with_capacity(BLOCK),
            slots: Vec::with_capacity(BLOCK),
            block: vec![T::ZERO; user_classes.min(BLOCK) * TILE],
            sums: vec![0.0; user_classes * tiles * TILE],
        };
        Self {
            items,
            rank: at.rank,
            user_classes,
            users: users.div_ceil(strips).max(1),
            panels: vec![T::ZERO; tiles * TILE * at.rank],
            strips: (0..strips).map(|_| strip()).collect(),
        }
    }

    /// Items, filled up to whole tiles.
    pub(super) fn columns(&self) -> usize {
        self.items.div_ceil(TILE) * TILE
    }

    /// Brings the items into the layout of tiles; to be called whenever they have changed.
    pub(super) fn load(&mut self, at: &Parameters<T>) {
        let (rank, width) = (self.rank, at.width);
        let tiles = self.panels.par_chunks_mut(rank * TILE).zip(at.items.par_chunks(TILE * width));
        tiles.for_each(|(panel, rows)| {
            for (i, row) in rows.chunks_exact(width).enumerate() {
                for f in 0..rank {
                    panel[f * TILE + i] = row[f];
                }
            }
        });
    }

    /// Sums of the terms of all cells, user classes x item classes.
    pub(super) fn sums(&mut self, at: &Parameters<T>, cell: &Cell, users: &Classes, items: &Classes) -> DMatrix<f64> {
        let (arch, per, columns) = (pulp::Arch::new(), self.users, self.columns());
        let panels = &self.panels[..];
        self.strips.par_iter_mut().enumerate().for_each(|(s, strip)| {
            let rows = users_of(s, per, at);
            arch.dispatch(Sum { at, panels, cell, classes: users, strip, users: rows });
        });
        let mut total = DMatrix::zeros(users.len(), items.len());
        for strip in &self.strips {
            for (a, sums) in strip.sums.chunks_exact(columns).enumerate() {
                for (sum, &b) in sums.iter().zip(items.of()) {
                    total[(a, b as usize)] += sum;
                }
            }
        }
        total
    }

    /// Adds to `gradient` what flows back from the cells of all users and of the items of `tiles`. Returns the sum of
    /// squared errors.
    pub(super) fn add_gradient(
        &mut self,
        at: &Parameters<T>,
        accuracy: Accuracy<'_>,
        flow: Flow<'_, T>,
        tiles: Range<usize>,
        gradient: &mut Parameters<T>,
    ) -> f64 {
        let (arch, per, rank, width) = (pulp::Arch::new(), self.users, self.rank, at.width);
        let panels = &self.panels[..];
        let users = gradient.users.par_chunks_mut(per * width);
        let back = |(s, (strip, to))| {
            let (rows, tiles) = (users_of(s, per, at), tiles.clone());
            arch.dispatch(Back { at, panels, accuracy, flow, strip, users: rows, tiles, to })
        };
        let squares: Vec<f64> = self.strips.par_iter_mut().zip(users).enumerate().map(back).collect();
        let (strips, size) = (&self.strips, rank * TILE);
        let items = gradient.items.par_chunks_mut(TILE * width).enumerate();
        items.filter(|(tile, _)| tiles.contains(tile)).for_each(|(tile, rows)| {
            for strip in strips {
                let back = &strip.back[tile * size..(tile + 1) * size];
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    for f in 0..rank {
                        row[f] = row[f] + back[f * TILE + i];
                    }
                }
            }
        });
        squares.iter().sum()
    }

    /// The predictions of all users for the items of `tiles`: items x users.
    pub(super) fn predict(&self, at: &Parameters<T>, squash: Squash, tiles: Range<usize>, out: &mut DMatrix<f64>) {
        let (arch, panels, height) = (pulp::Arch::new(), &self.panels[..], out.nrows());
        out.as_mut_slice().par_chunks_mut(BLOCK * height.max(1)).enumerate().for_each(|(block, out)| {
            arch.dispatch(Predict { at, panels, squash, first: block * BLOCK, tiles: tiles.clone(), height, out });
        });
    }

    /// Number of classes of users that there is room for.
    pub(super) fn user_classes(&self) -> usize {
        self.user_classes
    }
}

fn users_of<T>(strip: usize, per: usize, at: &Parameters<T>) -> Range<usize> {
    let users = at.users.len() / at.width;
    (strip * per).min(users)..((strip + 1) * per).min(users)
}

impl<T> Strip<T> {
    /// Finds out which classes there are among those of some users: with many classes, a block has few of them.
    fn look_up(&mut self, classes: &[u32]) {
        self.present.clear();
        self.slots.clear();
        for &class in classes {
            let slot = self.present.iter().position(|&c| c == class).unwrap_or_else(|| {
                self.present.push(class);
                self.present.len() - 1
            });
            self.slots.push(slot);
        }
    }
}

struct Sum<'a, T> {
    at: &'a Parameters<T>,
    panels: &'a [T],
    cell: &'a Cell,
    classes: &'a Classes,
    strip: &'a mut Strip<T>,
    users: Range<usize>,
}

impl<T: Smooth> WithSimd for Sum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { at, panels, cell, classes, strip, users } = self;
        let columns = panels.len() / at.rank;
        strip.sums.fill(0.0);
        for first in users.clone().step_by(BLOCK) {
            let count = BLOCK.min(users.end - first);
            let rows = &at.users[first * at.width..(first + count) * at.width];
            strip.look_up(&classes.of()[first..first + count]);
            let z = &mut strip.z[..count * TILE];
            let block = &mut strip.block[..strip.present.len() * TILE];
            for (tile, panel) in panels.chunks_exact(at.rank * TILE).enumerate() {
                products(simd, rows, at.width, panel, z);
                block.fill(T::ZERO);
                for (z, &slot) in z.chunks_exact(TILE).zip(&strip.slots) {
                    T::add_terms(simd, cell, z, &mut block[slot * TILE..][..TILE]);
                }
                // Only a block's worth in single precision: no digit is lost to a long sum.
                for (&class, block) in strip.present.iter().zip(block.chunks_exact(TILE)) {
                    let sums = &mut strip.sums[class as usize * columns + tile * TILE..][..TILE];
                    for (sum, term) in sums.iter_mut().zip(block) {
                        *sum += term.wide();
                    }
                }
            }
        }
    }
}

struct Back<'a, T> {
    at: &'a Parameters<T>,
    panels: &'a [T],
    accuracy: Accuracy<'a>,
    flow: Flow<'a, T>,
    strip: &'a mut Strip<T>,
    users: Range<usize>,
    tiles: Range<usize>,
    to: &'a mut [T],
}

impl<T: Smooth> WithSimd for Back<'_, T> {
    /// Sum of squared errors.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { at, panels, accuracy, flow, strip, users, tiles, to } = self;
        let (width, size, squash) = (at.width, at.rank * TILE, accuracy.squash);
        let Strip { z, back, errors, .. } = strip;
        back[tiles.start * size..tiles.end * size].fill(T::ZERO);
        let mut squares = 0.0;
        // The next training row of each user of the block.
        let mut next = [0; BLOCK];
        for first in users.clone().step_by(BLOCK) {
            let count = BLOCK.min(users.end - first);
            let rows = &at.users[first * width..(first + count) * width];
            let to = &mut to[(first - users.start) * width..][..count * width];
            let z = &mut z[..count * TILE];
            for (user, next) in (first..first + count).zip(&mut next) {
                let partners = accuracy.train.by_user().partners(user);
                *next = partners.partition_point(|&item| (item as usize) < tiles.start * TILE);
            }
            for tile in tiles.clone() {
                products(simd, rows, width, &panels[tile * size..(tile + 1) * size], z);
                errors.clear();
                for (u, next) in next.iter_mut().enumerate().take(count) {
                    squares += accuracy.errors(first + u, tile, next, z, u * TILE, errors);
                }
                match flow {
                    Flow::Cells { of, classes, coefficient } => {
                        let (cell, columns) = (Cell { squash, of }, panels.len() / at.rank);
                        for (z, &class) in z.chunks_exact_mut(TILE).zip(&classes.of()[first..]) {
                            let of_class = &coefficient[class as usize * columns + tile * TILE..][..TILE];
                            T::pulls(simd, &cell, of_class, z);
                        }
                    }
                    Flow::Given { by_prediction } => {
                        let skipped = (tile - tiles.start) * TILE;
                        for (u, z) in z.chunks_exact_mut(TILE).enumerate() {
                            let column = &by_prediction.as_slice()[(first + u) * by_prediction.nrows()..];
                            let given = &column[skipped..by_prediction.nrows()];
                            for i in 0..TILE {
                                let pull = if i < given.len() { given[i] * squash.slope(z[i].wide()) } else { 0.0 };
                                z[i] = T::of(pull);
                            }
                        }
                    }
                }
                for &(place, error) in errors.iter() {
                    z[place] = z[place] + error;
                }
                to_items(simd, rows, width, z, &mut back[tile * size..(tile + 1) * size]);
                to_users(simd, &at.items[tile * TILE * width..], width, z, to);
            }
        }
        squares
    }
}

impl Accuracy<'_> {
    /// Adds the errors of the rows of `user` from the `next` on in `tile` to `errors`, of cells from `start` on in `z`.
    /// Returns the sum of their squares.
    #[inline(always)]
    fn errors<T: Real>(
        &self,
        user: usize,
        tile: usize,
        next: &mut usize,
        z: &[T],
        start: usize,
        errors: &mut Vec<(usize, T)>,
    ) -> f64 {
        let (partners, values) = (self.train.by_user().partners(user), self.train.by_user().values(user));
        let (first, mut squares) = (tile * TILE, 0.0);
        while *next < partners.len() && (partners[*next] as usize) < first + TILE {
            let place = start + partners[*next] as usize - first;
            let z = z[place].wide();
            let miss = self.squash.value(z) - f64::from(values[*next]);
            squares += miss * miss;
            errors.push((place, T::of(2.0 * self.weight * miss * self.squash.slope(z))));
            *next += 1;
        }
        squares
    }
}

struct Predict<'a, T> {
    at: &'a Parameters<T>,
    panels: &'a [T],
    squash: Squash,
    first: usize,
    tiles: Range<usize>,
    height: usize,
    out: &'a mut [f64],
}

impl<T: Real> WithSimd for Predict<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { at, panels, squash, first, tiles, height, out } = self;
        let (count, size) = (out.len() / height, at.rank * TILE);
        let rows = &at.users[first * at.width..(first + count) * at.width];
        let mut z = vec![T::ZERO; count * TILE];
        for tile in tiles.clone() {
            products(simd, rows, at.width, &panels[tile * size..(tile + 1) * size], &mut z);
            let skipped = (tile - tiles.start) * TILE;
            for (z, out) in z.chunks_exact(TILE).zip(out.chunks_exact_mut(height)) {
                for (y, z) in out[skipped..].iter_mut().zip(z) {
                    *y = squash.value(z.wide());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_stay_affordable() {
        let numbers = |users: usize, items: usize, rank: usize, classes: usize| {
            let at = Parameters::<f32>::new(&DMatrix::zeros(rank, users), &DMatrix::zeros(rank, items));
            let strips = Strips::new(&at, classes);
            let all: usize = strips.strips.iter().map(|s| s.back.len().max(s.sums.len())).sum();
            (strips.strips.len(), all)
        };
        assert_eq!(numbers(4000, 100, 4, 2).0, STRIPS);
        // A long row of factors; many classes of users.
        for (rank, classes) in [(512, 2), (4, 2048)] {
            let (strips, all) = numbers(2048, 2048, rank, classes);
            assert!(strips > 1 && all <= PARTIAL, "{rank}, {classes}: {all} numbers in {strips} strips");
        }
    }

    /// Every user a class: more of them than users in a block.
    #[test]
    fn sums_of_many_classes() {
        let (users, items) = (150, 70);
        let entry = |f: usize, e: usize| ((e * 7 + f * 3) % 5) as f64 - 2.0;
        let (left, right) = (DMatrix::from_fn(3, users, entry), DMatrix::from_fn(3, items, entry));
        let at = Parameters::<f32>::new(&left, &right);
        let classes = Classes::each(users);
        let mut strips = Strips::new(&at, classes.len());
        strips.load(&at);
        let cell = Cell { squash: Squash::None, of: Pointwise::Score };
        let sums = strips.sums(&at, &cell, &classes, &Classes::each(items));
        assert_eq!(sums, left.tr_mul(&right));
    }
}
