//! Gradient of the pairwise loss over a batch.
//!
//! With g = dl/dx of a pair (u, i, j): `dP_u += g (Q_i - Q_j)`, `dQ_i += g P_u`, `dQ_j -= g P_u`, biases alike. First the users:
//! margins, their derivatives, the sum of each user; then the items, each the sum over its places. Users and items are sums of
//! their own, so both passes are parallel where the batch is long, and equal to the last bit where it is not.

use super::batch::Batch;
use super::loss::{Logistic, slopes_in_place};
use super::tables::Tables;
use crate::linear::{Real, dots};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Pairs that one task works on.
const TASK: usize = 1024;

/// Where the rows of a batch are, by slot.
pub(super) trait Slotted<T>: Sync {
    fn user(&self, slot: usize) -> &[T];
    fn item(&self, slot: usize) -> &[T];
    fn bias(&self, slot: usize) -> T;
}

/// Rows of the batch alone, slot after slot.
impl<T: Real> Slotted<T> for Tables<T> {
    #[inline(always)]
    fn user(&self, slot: usize) -> &[T] {
        Tables::user(self, slot)
    }

    #[inline(always)]
    fn item(&self, slot: usize) -> &[T] {
        Tables::item(self, slot)
    }

    #[inline(always)]
    fn bias(&self, slot: usize) -> T {
        Tables::bias(self, slot)
    }
}

/// Rows that stand among those of all users and items.
#[derive(Clone, Copy)]
pub(super) struct Among<'a, T> {
    pub(super) all: &'a Tables<T>,
    pub(super) batch: &'a Batch,
}

impl<T: Real> Slotted<T> for Among<'_, T> {
    #[inline(always)]
    fn user(&self, slot: usize) -> &[T] {
        self.all.user(self.batch.users[slot] as usize)
    }

    #[inline(always)]
    fn item(&self, slot: usize) -> &[T] {
        self.all.item(self.batch.items[slot] as usize)
    }

    #[inline(always)]
    fn bias(&self, slot: usize) -> T {
        self.all.bias(self.batch.items[slot] as usize)
    }
}

/// A gradient by slots, with room to compute the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct Gradient<T> {
    /// Of the rows and biases.
    pub(super) rows: Tables<T>,
    /// Derivative of the loss of each pair by its margin.
    pub(super) slopes: Vec<T>,
    /// Pairs in the right order: with a margin above 0.
    pub(super) in_order: usize,
}

impl<T: Logistic> Gradient<T> {
    /// Becomes the gradient over `batch`, whose rows are `at`; of item biases too if there are any.
    pub(super) fn compute(&mut self, arch: Arch, batch: &Batch, at: &impl Slotted<T>, shape: &Tables<T>, cut: bool) {
        let Self { rows, slopes, in_order } = self;
        (rows.rank, rows.width) = (shape.rank, shape.width);
        rows.users.resize(batch.users.len() * rows.width, T::ZERO);
        rows.items.resize(batch.items.len() * rows.width, T::ZERO);
        rows.biases.resize(if shape.biases.is_empty() { 0 } else { batch.items.len() }, T::ZERO);
        slopes.resize(batch.len(), T::ZERO);
        let width = rows.width;
        if batch.len() < 2 * TASK {
            let slots = 0..batch.users.len();
            *in_order = arch.dispatch(OfUsers { batch, at, cut, slots, width, slopes, to: &mut rows.users });
            let slots = 0..batch.items.len();
            arch.dispatch(OfItems { batch, at, slopes, slots, width, to: &mut rows.items, biases: &mut rows.biases });
            return;
        }
        let mut tasks = Vec::new();
        let (mut slopes_left, mut to_left) = (&mut slopes[..], &mut rows.users[..]);
        for slots in tasks_of(&batch.starts) {
            let pairs = batch.starts[slots.end] - batch.starts[slots.start];
            let (slopes, to);
            (slopes, slopes_left) = slopes_left.split_at_mut(pairs as usize);
            (to, to_left) = to_left.split_at_mut(slots.len() * width);
            tasks.push(OfUsers { batch, at, cut, slots, width, slopes, to });
        }
        *in_order = tasks.into_par_iter().map(|task| arch.dispatch(task)).sum();
        let mut tasks = Vec::new();
        let (mut to_left, mut biases_left) = (&mut rows.items[..], &mut rows.biases[..]);
        for slots in tasks_of(&batch.item_starts) {
            let (to, biases);
            (to, to_left) = to_left.split_at_mut(slots.len() * width);
            (biases, biases_left) = biases_left.split_at_mut(slots.len().min(biases_left.len()));
            tasks.push(OfItems { batch, at, slopes, slots, width, to, biases });
        }
        tasks.into_par_iter().for_each(|task| arch.dispatch(task));
    }
}

/// Ranges of slots with about [`TASK`] members each, given where the members of each begin.
fn tasks_of(starts: &[u32]) -> Vec<Range<usize>> {
    let slots = starts.len() - 1;
    let mut tasks = Vec::new();
    let mut first = 0;
    for slot in 0..slots {
        if (starts[slot + 1] - starts[first]) as usize >= TASK || slot + 1 == slots {
            tasks.push(first..slot + 1);
            first = slot + 1;
        }
    }
    tasks
}

/// Derivatives of some pairs by their margins, and the gradient of their users.
struct OfUsers<'a, T, R> {
    batch: &'a Batch,
    at: &'a R,
    cut: bool,
    slots: Range<usize>,
    width: usize,
    slopes: &'a mut [T],
    to: &'a mut [T],
}

impl<T: Logistic, R: Slotted<T>> WithSimd for OfUsers<'_, T, R> {
    /// Pairs in the right order.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let Self { batch, at, cut, slots, width, slopes, to } = self;
        if slots.is_empty() {
            return 0;
        }
        let first = batch.starts[slots.start] as usize;
        for slot in slots.clone() {
            let user = at.user(slot);
            for pair in batch.pairs(slot) {
                let [positive, negative] = [&batch.positives, &batch.negatives].map(|list| list[pair] as usize);
                let [liked, other] = dots(simd, [at.item(positive), at.item(negative)], user);
                slopes[pair - first] = (liked + at.bias(positive)) - (other + at.bias(negative));
            }
        }
        let in_order = slopes.iter().filter(|margin| **margin > T::ZERO).count();
        slopes_in_place(simd, slopes, cut);
        for (slot, to) in slots.zip(to.chunks_exact_mut(width)) {
            to.fill(T::ZERO);
            let to = T::vectors_mut::<S>(to);
            for pair in batch.pairs(slot) {
                let slope = T::splat(simd, slopes[pair - first]);
                let [positive, negative] = [&batch.positives, &batch.negatives].map(|list| list[pair] as usize);
                let items = T::vectors::<S>(at.item(positive)).iter().zip(T::vectors::<S>(at.item(negative)));
                for (to, (&positive, &negative)) in to.iter_mut().zip(items) {
                    *to = T::fma(simd, slope, T::minus(simd, positive, negative), *to);
                }
            }
        }
        in_order
    }
}

/// The gradient of some items.
struct OfItems<'a, T, R> {
    batch: &'a Batch,
    at: &'a R,
    slopes: &'a [T],
    slots: Range<usize>,
    width: usize,
    to: &'a mut [T],
    biases: &'a mut [T],
}

impl<T: Logistic, R: Slotted<T>> WithSimd for OfItems<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { batch, at, slopes, slots, width, to, biases } = self;
        for (at_slot, (slot, to)) in slots.zip(to.chunks_exact_mut(width)).enumerate() {
            to.fill(T::ZERO);
            let to = T::vectors_mut::<S>(to);
            let mut sum = T::ZERO;
            for &place in batch.places(slot) {
                let pair = place as usize / 2;
                let slope = if place % 2 == 0 { slopes[pair] } else { T::ZERO - slopes[pair] };
                sum = sum + slope;
                let user = T::vectors::<S>(at.user(batch.owners[pair] as usize));
                let slope = T::splat(simd, slope);
                for (to, &user) in to.iter_mut().zip(user) {
                    *to = T::fma(simd, slope, user, *to);
                }
            }
            if let Some(bias) = biases.get_mut(at_slot) {
                *bias = sum;
            }
        }
    }
}
