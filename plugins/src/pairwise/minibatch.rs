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
    pairs: Pairs<'a>,
    size: usize,
    /// Batches of an epoch.
    pub(super) batches: usize,
    streams: Streams,
    /// The likes of an epoch, shuffled.
    order: Vec<u32>,
    epoch: usize,
    ready: [Vec<Ready>; 2],
    slots: Slots,
}

/// A batch that can be learned from.
#[derive(Clone, Debug, Default)]
struct Ready {
    triples: Triples,
    batch: Batch,
    /// All pairs, where the adversary looks at them.
    all: Batch,
}

impl<'a> Minibatches<'a> {
    /// Batches of `size` pairs; the rest of an epoch that does not fill one is a smaller batch, or left out.
    pub(super) fn new(pairs: Pairs<'a>, size: usize, drop_last: bool, users: usize, streams: Streams) -> Self {
        let likes = pairs.positives.len();
        // Not even one batch would be no learning at all.
        let batches = if drop_last && likes >= size { likes / size } else { likes.div_ceil(size) };
        let slots = Slots::new(users, pairs.positives.catalogue());
        let order = (0..likes as u32).collect();
        Self { pairs, size, batches, streams, order, epoch: 0, ready: Default::default(), slots }
    }

    /// Shuffles the likes for an epoch.
    pub(super) fn begin(&mut self, epoch: usize) {
        self.epoch = epoch;
        self.order.clear();
        self.order.extend(0..self.pairs.positives.len() as u32);
        self.order.shuffle(&mut self.streams.child("pairs/order").rng(epoch as u64));
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
        let full = adversary.is_some_and(Adversary::looks_at_all);
        let at_once = if full { 1 } else { (AHEAD / self.size).max(1) };
        let chunk = |first: usize| first..batches.end.min(first + at_once);
        let [mut now, mut next] = std::mem::take(&mut self.ready);
        self.prepare(chunk(batches.start), full, &mut now);
        let mut slots = std::mem::replace(&mut self.slots, Slots::new(0, 0));
        let steps = self.streams.child("pairs/adversary");
        let (mut in_order, mut pairs) = (0, 0);
        for first in batches.clone().step_by(at_once) {
            run.check()?;
            let learn = || {
                let mut in_order = 0;
                for (ready, batch) in now.iter_mut().zip(chunk(first)) {
                    let Ready { triples, batch: sorted, all } = ready;
                    if self.pairs.candidates > 1 {
                        keep_hardest(at, self.pairs.candidates, triples);
                        sorted.arrange(triples, &mut slots);
                    }
                    let rng = &mut steps.rng(self.index(batch));
                    in_order += descent.step(at, sorted, adversary, all, rng);
                    pairs += sorted.len();
                }
                in_order
            };
            in_order += rayon::join(learn, || self.prepare(chunk(first + at_once), full, &mut next)).0;
            std::mem::swap(&mut now, &mut next);
        }
        self.ready = [now, next];
        self.slots = slots;
        Ok((in_order, pairs))
    }

    /// The random stream of a batch of the epoch.
    fn index(&self, batch: usize) -> u64 {
        (self.epoch as u64) << 32 | batch as u64
    }

    fn prepare(&self, batches: Range<usize>, full: bool, to: &mut Vec<Ready>) {
        to.resize_with(batches.len(), Ready::default);
        let streams = self.streams.child("pairs/negatives");
        let users = self.pairs.positives.offsets().len() - 1;
        to.par_iter_mut().zip(batches).for_each_init(
            || Slots::new(users, self.pairs.positives.catalogue()),
            |slots, (ready, batch)| {
                let first = batch * self.size;
                let likes = &self.order[first..self.order.len().min(first + self.size)];
                self.pairs.for_some(likes, &mut streams.rng(self.index(batch)), &mut ready.triples);
                // Of several candidates one is chosen first, by scores that are not there yet.
                if self.pairs.candidates == 1 {
                    ready.batch.arrange(&ready.triples, slots);
                }
                if full {
                    let streams = self.streams.child("pairs/attack").child(&self.index(batch).to_string());
                    ready.all.arrange(&self.pairs.for_all(&streams), slots);
                }
            },
        );
    }
}
