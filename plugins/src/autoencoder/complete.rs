//! The decoder at all pairs, for fairness losses that see every prediction: [`BLOCK`] items against all users at once.
//!
//! With the derivatives `E` of the objective by the outputs of a block, `E D` flows back to its items' hidden units H,
//! and `E' H` is its part of the gradient of the decoder D.
//!
//! - Losses of class sums: one pass over the outputs adds up the sums, whose table of derivatives then gives `E` in a
//!   second one. Nothing of the size users x items is held.
//! - Other losses get matrices of predictions and gradients: of a block for a mean over items, else of all pairs.

use super::ratings::Ratings;
use super::sparse::Errors;
use crate::cells::{Cell, Smooth};
use crate::fairness_term::DenseLoss;
use crate::linear::{LANES, padded};
use crate::product::{MultiplyRows, Onto, Panels, ROWS, STRIP, Stored, multiply};
use crate::squash::Squash;
use evenhand_core::fairness::CellSums;
use evenhand_core::{Result, Run};
use nalgebra::DMatrix;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Items of a block.
pub(super) const BLOCK: usize = 512;

/// A loss that needs all predictions.
pub(super) enum Fairness<'a> {
    /// A function of sums over classes of cells.
    Cells(CellSums<'a>),
    /// Any other.
    Dense(Box<DenseLoss<'a>>),
}

/// Room for the outputs of one block, and the factors of its products.
pub(super) struct Complete<T> {
    /// Length of a row of outputs: the users, padded.
    width: usize,
    outputs: Vec<T>,
    /// D', hidden units x users.
    forth: Panels<T>,
    /// D, users x hidden units.
    back: Panels<T>,
    /// Hidden units of the block.
    hidden: Panels<T>,
}

/// The network around the decoder: hidden units of every item and the decoder, in rows of `units` numbers.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a, T> {
    pub(super) hidden: &'a [T],
    pub(super) decoder: &'a [T],
    pub(super) units: usize,
}

/// What is asked for: the training rows' part, and the weight of fairness.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) errors: Errors<'a>,
    pub(super) lambda: f64,
    pub(super) run: &'a Run,
}

impl Fairness<'_> {
    /// The order of items in which those of a class stand together.
    pub(super) fn order(&self, items: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..items as u32).collect();
        if let Self::Cells(sums) = self {
            order.sort_by_key(|&item| sums.items.of()[item as usize]);
        }
        order
    }
}

impl<T: Smooth> Complete<T> {
    pub(super) fn new(users: usize, items: usize, units: usize) -> Self {
        let (width, rows) = (padded(users), padded(items.min(BLOCK)));
        Self {
            width,
            outputs: vec![T::ZERO; width * rows],
            forth: Panels::new(units, width),
            back: Panels::new(users, units),
            hidden: Panels::new(rows, units),
        }
    }

    /// What flows back to the last hidden layer, and the gradient of the decoder. Returns the sum of squared errors of
    /// the training rows and the value of the loss.
    ///
    /// # Errors
    /// Those of the loss.
    pub(super) fn step(
        &mut self,
        fairness: &mut Fairness<'_>,
        ratings: &Ratings<T>,
        at: Ends<'_, T>,
        ask: Ask<'_>,
        back: &mut [T],
        gradient: &mut [T],
    ) -> Result<[f64; 2]> {
        let Ends { decoder, units, .. } = at;
        self.forth.pack(Stored::Columns(decoder, units), units);
        self.back.pack(Stored::Rows(decoder, units), ratings.users);
        gradient.fill(T::ZERO);
        match fairness {
            Fairness::Cells(sums) => Ok(self.by_classes(sums, ratings, at, ask, back, gradient)),
            Fairness::Dense(dense) => self.by_parts(dense, ratings, at, ask, back, gradient),
        }
    }

    /// [`Self::step`] in two passes: class sums, then derivatives by their table.
    fn by_classes(
        &mut self,
        sums: &CellSums<'_>,
        ratings: &Ratings<T>,
        at: Ends<'_, T>,
        ask: Ask<'_>,
        back: &mut [T],
        gradient: &mut [T],
    ) -> [f64; 2] {
        let (value, table) = (sums.outer)(&self.class_sums(sums, ratings, at, ask));
        let room = Room { ratings, width: self.width, ask };
        let mut squares = 0.0;
        for items in blocks(0..ratings.items()) {
            let parts = self.outputs(at, &items, |first, z| {
                pulp::Arch::new().dispatch(Pull { room: &room, sums, table: &table, first, z })
            });
            squares += parts.iter().sum::<f64>();
            self.flow_back(at, &items, back, gradient);
        }
        [squares, value]
    }

    /// [`Self::step`] with matrices of predictions and derivatives, part by part.
    fn by_parts(
        &mut self,
        dense: &mut DenseLoss<'_>,
        ratings: &Ratings<T>,
        at: Ends<'_, T>,
        ask: Ask<'_>,
        back: &mut [T],
        gradient: &mut [T],
    ) -> Result<[f64; 2]> {
        let room = Room { ratings, width: self.width, ask };
        let (mut squares, mut value) = (0.0, 0.0);
        for part in 0..dense.len() {
            let whole = dense.enter(part);
            for items in blocks(whole.clone()) {
                self.outputs(at, &items, |_, _| ());
                let rows = items.start - whole.start..items.end - whole.start;
                self.predictions(ask.errors.squash, rows, &mut dense.predictions);
            }
            value += dense.evaluate(part, ask.run)?;
            for items in blocks(whole.clone()) {
                self.outputs(at, &items, |_, _| ());
                squares += self.pull(&room, &dense.slopes, items.start - whole.start, &items);
                self.flow_back(at, &items, back, gradient);
            }
        }
        Ok([squares, value])
    }

    /// Outputs of a block, and `work` on those of every task, given its first item. Returns what it returns, in order.
    fn outputs<R: Send>(
        &mut self,
        at: Ends<'_, T>,
        items: &Range<usize>,
        work: impl Fn(usize, &mut [T]) -> R + Send + Sync,
    ) -> Vec<R> {
        let (width, forth, arch) = (self.width, &self.forth, pulp::Arch::new());
        let rows = items.len().next_multiple_of(STRIP);
        let chunks = self.outputs[..rows * width].par_chunks_mut(ROWS * width).with_max_len(1).enumerate();
        chunks
            .map_init(Vec::new, |strips, (chunk, out)| {
                let first = items.start + chunk * ROWS;
                let (left, onto) = (Stored::Rows(at.hidden, at.units), Onto::Nothing);
                arch.dispatch(MultiplyRows { left, first, right: forth, onto, out: &mut *out, stride: width, strips });
                work(first, &mut out[..width * (items.end - first).min(ROWS)])
            })
            .collect()
    }

    /// The sums over classes of cells.
    fn class_sums(&mut self, sums: &CellSums<'_>, ratings: &Ratings<T>, at: Ends<'_, T>, ask: Ask<'_>) -> DMatrix<f64> {
        let mut total = DMatrix::zeros(sums.users.len(), sums.items.len());
        let cell = Cell { squash: ask.errors.squash, of: sums.of };
        for items in blocks(0..ratings.items()) {
            let parts: Vec<Parts> = self.outputs(at, &items, |first, z| {
                pulp::Arch::new().dispatch(Add {
                    sums,
                    cell: &cell,
                    order: &ratings.order[first..],
                    width: padded(ratings.users),
                    z,
                })
            });
            for (class, sums) in parts.into_iter().flatten() {
                total.column_mut(class as usize).iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            }
        }
        total
    }

    /// Predictions of a block of outputs, to some rows of `to`.
    fn predictions(&self, squash: Squash, rows: Range<usize>, to: &mut DMatrix<f64>) {
        let (outputs, width, height) = (&self.outputs, self.width, to.nrows());
        to.as_mut_slice().par_chunks_mut(height).enumerate().for_each(|(user, to)| {
            for (item, to) in to[rows.clone()].iter_mut().enumerate() {
                *to = squash.value(outputs[item * width + user].wide());
            }
        });
    }

    /// Turns a block of outputs into derivatives, by the `slopes` from row `first` on. Returns the sum of squares.
    fn pull(&mut self, room: &Room<'_, T>, slopes: &DMatrix<f64>, first: usize, items: &Range<usize>) -> f64 {
        let (width, ask) = (self.width, room.ask);
        let rows = self.outputs[..items.len() * width].par_chunks_mut(width).enumerate();
        let squares: Vec<f64> = rows
            .map_init(Vec::new, |errors, (row, z)| {
                let squares = room.errors(items.start + row, z, errors);
                for (user, z) in z.iter_mut().enumerate().take(room.ratings.users) {
                    let slope = ask.errors.squash.slope(z.wide());
                    *z = T::of(ask.lambda * slopes[(first + row, user)] * slope);
                }
                room.add(items.start + row, z, errors);
                squares
            })
            .collect();
        squares.iter().sum()
    }

    /// The derivatives of a block, to its items and to the decoder.
    fn flow_back(&mut self, at: Ends<'_, T>, items: &Range<usize>, back: &mut [T], gradient: &mut [T]) {
        let (width, units) = (self.width, at.units);
        let rows = items.len().next_multiple_of(STRIP);
        let left = Stored::Rows(&self.outputs, width);
        multiply(left, &self.back, Onto::Nothing, &mut back[items.start * units..(items.start + rows) * units], units);
        self.hidden.pack(Stored::Rows(&at.hidden[items.start * units..], units), items.len());
        multiply(Stored::Columns(&self.outputs, width), &self.hidden, Onto::Earlier, gradient, units);
    }
}

fn blocks(items: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    items.clone().step_by(BLOCK).map(move |first| first..items.end.min(first + BLOCK))
}

/// A block of rows of outputs, where training rows are looked up.
struct Room<'a, T> {
    ratings: &'a Ratings<T>,
    width: usize,
    ask: Ask<'a>,
}

impl<T: Smooth> Room<'_, T> {
    /// What flows back from the training rows of the item at that place, with outputs `z`; the sum of their squares.
    #[inline(always)]
    fn errors(&self, place: usize, z: &[T], errors: &mut Vec<T>) -> f64 {
        let side = &self.ratings.by_item;
        let mut sum = 0.0;
        errors.clear();
        for n in side.rows(place) {
            let z = z[side.partners[n] as usize].wide();
            let (square, pull) = self.ask.errors.error(z, side.targets[n].wide(), n);
            sum += square;
            errors.push(T::of(pull));
        }
        sum
    }

    #[inline(always)]
    fn add(&self, place: usize, z: &mut [T], errors: &[T]) {
        let side = &self.ratings.by_item;
        for (&user, &error) in side.partners[side.rows(place)].iter().zip(errors) {
            z[user as usize] = z[user as usize] + error;
        }
    }
}

/// Sums by class of user, for some classes of items.
type Parts = Vec<(u32, Vec<f64>)>;

/// A task: sums of the terms of some items, `order`, with outputs `z`.
struct Add<'a, T> {
    sums: &'a CellSums<'a>,
    cell: &'a Cell,
    order: &'a [u32],
    width: usize,
    z: &'a [T],
}

impl<T: Smooth> WithSimd for Add<'_, T> {
    type Output = Parts;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Parts {
        let Self { sums, cell, order, width, z } = self;
        let mut parts = Parts::new();
        let mut terms = vec![T::ZERO; width];
        let count = z.len() / width;
        for (row, z) in z.chunks_exact(width).enumerate() {
            T::add_terms(simd, cell, z, &mut terms);
            let class = sums.items.of()[order[row] as usize];
            if row + 1 == count || sums.items.of()[order[row + 1] as usize] != class {
                let mut by_class = vec![0.0; sums.users.len()];
                for (&user, term) in sums.users.of().iter().zip(&mut terms) {
                    by_class[user as usize] += term.wide();
                }
                terms.fill(T::ZERO);
                parts.push((class, by_class));
            }
        }
        parts
    }
}

/// A task: from outputs of items from place `first` on to derivatives.
struct Pull<'a, T> {
    room: &'a Room<'a, T>,
    sums: &'a CellSums<'a>,
    table: &'a DMatrix<f64>,
    first: usize,
    z: &'a mut [T],
}

impl<T: Smooth> WithSimd for Pull<'_, T> {
    /// Sum of squared errors.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { room, sums, table, first, z } = self;
        let cell = Cell { squash: room.ask.errors.squash, of: sums.of };
        let mut coefficients = vec![T::ZERO; room.width];
        let (mut errors, mut known, mut squares) = (Vec::new(), None, 0.0);
        for (place, z) in (first..).zip(z.chunks_exact_mut(room.width)) {
            let class = sums.items.of()[room.ratings.order[place] as usize];
            if known != Some(class) {
                for (to, &user) in coefficients.iter_mut().zip(sums.users.of()) {
                    *to = T::of(room.ask.lambda * table[(user as usize, class as usize)]);
                }
                known = Some(class);
            }
            squares += room.errors(place, z, &mut errors);
            T::pulls(simd, &cell, &coefficients, z);
            room.add(place, z, &errors);
        }
        squares
    }
}

const _: () =
    assert!(BLOCK.is_multiple_of(ROWS) && ROWS.is_multiple_of(LANES), "blocks are whole tasks of whole strips");
