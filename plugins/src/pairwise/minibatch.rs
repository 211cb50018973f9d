//! Epochs of mini-batches: a permutation of the likes, cut into batches, each a step of Adagrad.
//!
//! While one thread makes the steps of some batches, the others draw and sort the pairs of the next ones. Every batch has a random
//! stream of its own, so it makes no difference who draws it, or when.

use super::batch::{Batch, Slots, Triples};
use super::descent::{Adversary, Descent, keep_hardest};
use super::loss::Logistic;
use super::pairs::Pairs;
use super::tables::Tables;
use evenhand_core::{Result, Run, Streams};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::ops::Range;

/// Pairs that are made ready at a time.
const AHEAD: usize = 1 << 15;

/// Batches of pairs.
pub(super) struct Minibatches<'a> {
    draw: Draw<'a>,
    /// Batches of an epoch.
    pub(super) batches: usize,
    ready: [Vec<Ready>; 2],
    /// One for each thread that prepares batches.
    slots: Vec<Slots>,
    /// For the thread that makes the steps.
    own: Slots,
}

/// What the batches of an epoch are drawn from.
struct Draw<'a> {
    pairs: Pairs<'a>,
    size: usize,
    streams: Streams,
    /// The likes of an epoch, shuffled.
    order: Vec<u32>,
    epoch: usize,
}

/// A batch that can be learned from.
#[derive(Clone, Debug, Default)]
struct Ready {
    triples: Triples,
    batch: Batch,
    /// All pairs, where the adversary looks at them.
    everything: Triples,
    all: Batch,
}

impl<'a> Minibatches<'a> {
    /// Batches of `size` pairs; the rest of an epoch that does not fill one is a smaller batch, or left out.
    pub(super) fn new(pairs: Pairs<'a>, size: usize, drop_last: bool, users: usize, streams: Streams) -> Self {
        let likes = pairs.positives.len();
        // Not even one batch would be no learning at all.
        let batches = if drop_last && likes >= size { likes / size } else { likes.div_ceil(size) };
        let own = Slots::new(users, pairs.positives.catalogue());
        let slots = vec![own.clone(); rayon::current_num_threads()];
        let draw = Draw { pairs, size, streams, order: Vec::new(), epoch: 0 };
        Self { draw, batches, ready: Default::default(), slots, own }
    }

    /// Shuffles the likes for an epoch.
    pub(super) fn begin(&mut self, epoch: usize) {
        let Draw { pairs, streams, order, .. } = &mut self.draw;
        order.clear();
        order.extend(0..pairs.positives.len() as u32);
        order.shuffle(&mut streams.child("pairs/order").rng(epoch as u64));
        self.draw.epoch = epoch;
    }

    /// Lets an adversary that looks at all pairs take a step before the first batch: the one that is stale there.
    pub(super) fn attack<T: Logistic>(&mut self, at: &Tables<T>, descent: &mut Descent<T>, adversary: &Adversary) {
        let (mut everything, mut all) = (Triples::default(), Batch::default());
        self.draw.pairs.for_all(&self.draw.streams.child("pairs/attack").child("first"), &mut everything);
        all.arrange(&everything, &mut self.own);
        descent.attack_all(at, adversary, &all, self.draw.size);
    }

    /// Learns from some batches of the epoch; returns how many pairs were in the right order, of how many.
    pub(super) fn learn<T: Logistic>(
        &mut self,
        at: &mut Tables<T>,
        descent: &mut Descent<T>,
        adversary: Option<&Adversary>,
        batches: Range<usize>,
        run: &Run,
    ) -> Result<(usize, usize)> {
        let Self { draw, ready: [now, next], slots, own, .. } = self;
        let (full, candidates) = (adversary.is_some_and(Adversary::looks_at_all), draw.pairs.candidates);
        let at_once = if full { 1 } else { (AHEAD / (draw.size * candidates)).max(1) };
        let chunk = |first: usize| first..batches.end.min(first + at_once);
        draw.prepare(chunk(batches.start), full, slots, now);
        let steps = draw.streams.child("pairs/adversary");
        let (mut in_order, mut pairs) = (0, 0);
        for first in batches.clone().step_by(at_once) {
            run.check()?;
            let learn = || {
                for (ready, batch) in now.iter_mut().zip(chunk(first)) {
                    let Ready { triples, batch: sorted, all, .. } = ready;
                    if candidates > 1 {
                        keep_hardest(at, candidates, triples);
                        sorted.arrange(triples, own);
                    }
                    in_order += descent.step(at, sorted, adversary, all, &mut steps.rng(draw.index(batch)));
                    pairs += sorted.len();
                }
            };
            rayon::join(learn, || draw.prepare(chunk(first + at_once), full, slots, next));
            std::mem::swap(now, next);
        }
        Ok((in_order, pairs))
    }
}

impl Draw<'_> {
    /// The random stream of a batch of the epoch.
    fn index(&self, batch: usize) -> u64 {
        (self.epoch as u64) << 32 | batch as u64
    }

    /// Draws and sorts the pairs of some batches into the first places of `to`.
    fn prepare(&self, batches: Range<usize>, full: bool, slots: &mut [Slots], to: &mut Vec<Ready>) {
        if batches.is_empty() {
            return;
        }
        if to.len() < batches.len() {
            to.resize_with(batches.len(), Ready::default);
        }
        let to = &mut to[..batches.len()];
        let share = to.len().div_ceil(slots.len());
        to.par_chunks_mut(share).zip(slots).enumerate().for_each(|(part, (to, slots))| {
            for (ready, batch) in to.iter_mut().zip(batches.start + part * share..) {
                self.prepare_one(batch, full, slots, ready);
            }
        });
    }

    fn prepare_one(&self, batch: usize, full: bool, slots: &mut Slots, ready: &mut Ready) {
        let first = batch * self.size;
        let likes = &self.order[first..self.order.len().min(first + self.size)];
        let index = self.index(batch);
        let rng = &mut self.streams.child("pairs/negatives").rng(index);
        self.pairs.for_some(likes, rng, &mut ready.triples);
        // Of several candidates one is chosen first, by scores that are not there yet.
        if self.pairs.candidates == 1 {
            ready.batch.arrange(&ready.triples, slots);
        }
        if full {
            let streams = self.streams.child("pairs/attack").child(&index.to_string());
            self.pairs.for_all(&streams, &mut ready.everything);
            ready.all.arrange(&ready.everything, slots);
        }
    }
}
