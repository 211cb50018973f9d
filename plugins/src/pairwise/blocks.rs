//! Epochs of stochastic gradient descent, one pair after the other, on blocks of users and items that do not meet.
//!
//! Users and items are cut into B blocks each, the items at random and anew for every epoch. In round r the pairs of user block b and
//! item block b + r (modulo B) are learned from, for all b at once: no two of these share a row, so each can run on any thread,
//! in its own order, and the result is the same. What a like is compared with comes from its own block of items. Over the epochs
//! that is any other item, for blocks are drawn anew; and a block of users with one of items stays in the cache, which makes
//! this faster than threads that write to shared rows without a lock.
//!
//! Gemulla, Nijkamp, Haas & Sismanis 2011, "Large-scale matrix factorization with distributed stochastic gradient descent" (blocks);
//! Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback" (steps).

use super::loss::{Logistic, slope_of};
use super::pairs::{Pool, Positives};
use super::tables::Tables;
use crate::linear::{LANES, Real};
use evenhand_core::{Result, Rng, Run, Streams};
use pulp::{Arch, Simd, WithSimd};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::weighted::WeightedAliasIndex;
use rayon::prelude::*;
use std::ops::Range;

/// Bytes of rows that a block of users and one of items may have together: they stay in a second-level cache.
const CACHE: usize = 256 << 10;
/// Blocks, at least, where there are items enough: so many threads have work.
const BLOCKS: usize = 16;
/// Items of a block, at least: what a like is compared with must not be too few.
const ITEMS: usize = 128;
/// Draws of an item that may fail before what is left is listed.
const TRIES: usize = 64;

/// How a step is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Step length.
    pub(super) rate: f64,
    /// Weight of half the squared factors of a pair.
    pub(super) l2: f64,
    /// Weight of the pair's loss and of the squared factors, beside a fairness loss.
    pub(super) weight: f64,
    /// Whether margins below -80 count as -80.
    pub(super) cut: bool,
    /// What is liked is compared with the hardest of so many items.
    pub(super) candidates: usize,
    pub(super) pool: Pool,
}

/// Users and items in blocks, and the likes in them.
pub(super) struct Blocks<'a> {
    positives: &'a Positives,
    rule: Rule,
    streams: Streams,
    /// Users of each block.
    users: Vec<Range<usize>>,
    /// Places of the items of each block in the order of an epoch.
    items: Vec<Range<usize>>,
    /// The items of an epoch, block after block.
    order: Vec<u32>,
    /// Block of every item, and its place in that block.
    place: Vec<(u32, u32)>,
    cells: Vec<Cells>,
    /// For each block of items, where others are drawn by popularity.
    popularity: Vec<Option<WeightedAliasIndex<f32>>>,
    counts: Vec<u32>,
    epoch: usize,
}

/// The likes of a block of users by block of items: user and item, counted within their blocks.
#[derive(Clone, Debug, Default)]
struct Cells {
    starts: Vec<usize>,
    likes: Vec<(u32, u32)>,
}

impl<'a> Blocks<'a> {
    /// The number of blocks depends on the data alone.
    pub(super) fn new<T: Real>(positives: &'a Positives, rule: Rule, at: &Tables<T>, streams: Streams) -> Self {
        let (users, items) = (positives.offsets().len() - 1, positives.catalogue());
        let bytes = (users + items) * at.width * size_of::<T>();
        let blocks = bytes.div_ceil(CACHE).max(BLOCKS).min(items / ITEMS).clamp(1, 1 << 10);
        Self {
            positives,
            rule,
            streams,
            // A user without likes is a row to be passed by, too.
            users: even(users, blocks, |user| positives.offsets()[user] + user),
            items: even(items, blocks, |place| place),
            order: (0..items as u32).collect(),
            place: vec![(0, 0); items],
            cells: vec![Cells::default(); blocks],
            popularity: Vec::new(),
            counts: if rule.pool == Pool::Popularity { positives.counts() } else { Vec::new() },
            epoch: 0,
        }
    }

    /// Rounds of an epoch.
    pub(super) fn rounds(&self) -> usize {
        self.cells.len()
    }

    /// Draws the blocks of an epoch and sorts the likes into them.
    pub(super) fn begin(&mut self, epoch: usize) {
        self.epoch = epoch;
        self.order.clear();
        self.order.extend(0..self.place.len() as u32);
        self.order.shuffle(&mut self.streams.child("blocks/items").rng(epoch as u64));
        for (block, places) in self.items.iter().enumerate() {
            for (place, &item) in self.order[places.clone()].iter().enumerate() {
                self.place[item as usize] = (block as u32, place as u32);
            }
        }
        let Self { positives, users, items, place, cells, .. } = self;
        cells.par_iter_mut().zip(&*users).for_each(|(cells, users)| cells.sort(positives, users, place, items.len()));
        if self.rule.pool == Pool::Popularity {
            let weights = |items: &[u32]| items.iter().map(|&item| self.counts[item as usize] as f32).collect();
            // None where nothing in the block is liked.
            let of_block = |block: &Range<usize>| WeightedAliasIndex::new(weights(&self.order[block.clone()])).ok();
            self.popularity = self.items.iter().map(of_block).collect();
        }
    }

    /// Learns from some rounds of the epoch.
    pub(super) fn learn<T: Logistic>(&mut self, at: &mut Tables<T>, rounds: Range<usize>, run: &Run) -> Result<Tally> {
        let (width, blocks) = (at.width, self.cells.len());
        let biased = !at.biases.is_empty();
        if rounds.is_empty() {
            return Ok(Tally::default());
        }
        // Items stand block by block meanwhile.
        let mut items = vec![T::ZERO; at.items.len()];
        items
            .par_chunks_exact_mut(width)
            .zip(&self.order)
            .for_each(|(to, &item)| to.copy_from_slice(at.item(item as usize)));
        let mut biases: Vec<T> = self.order.iter().map(|&item| at.bias(item as usize)).collect();
        let mut tally = Tally::default();
        let streams = self.streams.child("blocks/pairs");
        for round in rounds {
            run.check()?;
            let mut users_left = &mut at.users[..];
            let (mut items_left, mut biases_left) = (&mut items[..], &mut biases[..]);
            let mut of_items = Vec::with_capacity(blocks);
            for block in &self.items {
                let (items, biases);
                (items, items_left) = items_left.split_at_mut(block.len() * width);
                (biases, biases_left) = biases_left.split_at_mut(block.len());
                of_items.push((items, biases));
            }
            of_items.rotate_left(round);
            let mut tasks = Vec::with_capacity(blocks);
            for (b, (items, biases)) in of_items.into_iter().enumerate() {
                let users;
                (users, users_left) = users_left.split_at_mut(self.users[b].len() * width);
                let other = (b + round) % blocks;
                let likes = &self.cells[b].likes[self.cells[b].starts[other]..self.cells[b].starts[other + 1]];
                let popularity = self.popularity.get(other).and_then(Option::as_ref);
                let index = ((self.epoch * blocks + round) * blocks + b) as u64;
                tasks.push((likes, users, items, biases, popularity, index));
            }
            let learn = |room: &mut Room, (likes, users, items, biases, popularity, index)| {
                let rng = streams.rng(index);
                let rule = &self.rule;
                Arch::new().dispatch(Learn { rule, width, biased, likes, users, items, biases, popularity, rng, room })
            };
            let tallies: Vec<Tally> = tasks.into_par_iter().map_init(Room::default, learn).collect();
            tallies.iter().for_each(|t| tally.add(t));
        }
        let back = |&(block, place): &(u32, u32)| self.items[block as usize].start + place as usize;
        at.items.par_chunks_exact_mut(width).zip(&self.place).for_each(|(to, place)| {
            to.copy_from_slice(&items[back(place) * width..][..width]);
        });
        at.biases.iter_mut().zip(&self.place).for_each(|(to, place)| *to = biases[back(place)]);
        Ok(tally)
    }
}

/// What was seen on the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Pairs in the right order before their step.
    pub(super) in_order: usize,
    /// Pairs.
    pub(super) pairs: usize,
    /// Likes of users who like their whole block of items: there was nothing to compare them with.
    pub(super) alone: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.in_order += other.in_order;
        self.pairs += other.pairs;
        self.alone += other.alone;
    }
}

/// `blocks` ranges of `0..end` with about as much of the growing `sum` each: what comes before each index.
fn even(end: usize, blocks: usize, sum: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let total = sum(end) as u128;
    let before: Vec<usize> = (0..end).map(sum).collect();
    let mut first = 0;
    (1..=blocks)
        .map(|b| {
            let share = total * b as u128 / blocks as u128;
            let next = if b == blocks { end } else { before.partition_point(|&s| (s as u128) < share).max(first) };
            std::mem::replace(&mut first, next)..next
        })
        .collect()
}

impl Cells {
    fn sort(&mut self, positives: &Positives, users: &Range<usize>, place: &[(u32, u32)], blocks: usize) {
        self.starts.clear();
        self.starts.resize(blocks + 1, 0);
        let all = positives.offsets()[users.start]..positives.offsets()[users.end];
        for like in all.clone() {
            self.starts[place[positives.like(like).1 as usize].0 as usize + 1] += 1;
        }
        for b in 0..blocks {
            self.starts[b + 1] += self.starts[b];
        }
        let mut next = self.starts.clone();
        self.likes.resize(all.len(), (0, 0));
        for like in all {
            let (user, item) = positives.like(like);
            let (block, place) = place[item as usize];
            let next = &mut next[block as usize];
            self.likes[*next] = (user - users.start as u32, place);
            *next += 1;
        }
    }
}

/// What a thread needs besides.
#[derive(Clone, Debug, Default)]
struct Room {
    /// For each user of a block a bit for every item of the other: whether it is liked.
    known: Vec<u64>,
    order: Vec<(u32, u32)>,
    /// What the likes in that order are compared with: so many candidates each.
    negatives: Vec<u32>,
}

/// The steps of one block of users with one block of items.
struct Learn<'a, T> {
    rule: &'a Rule,
    width: usize,
    biased: bool,
    likes: &'a [(u32, u32)],
    users: &'a mut [T],
    items: &'a mut [T],
    biases: &'a mut [T],
    popularity: Option<&'a WeightedAliasIndex<f32>>,
    rng: Rng,
    room: &'a mut Room,
}

impl<T: Logistic> WithSimd for Learn<'_, T> {
    type Output = Tally;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Tally {
        // Drawn beforehand: what can not be foretold stays out of the loop of the steps, which then overlap.
        let alone = self.draw();
        // A row of a usual length stays in registers.
        let (in_order, pairs) = match self.width / T::width::<S>() {
            1 => self.learn::<S, 1>(simd),
            2 => self.learn::<S, 2>(simd),
            4 => self.learn::<S, 4>(simd),
            8 => self.learn::<S, 8>(simd),
            _ => self.learn::<S, 0>(simd),
        };
        Tally { in_order, pairs, alone }
    }
}

impl<T: Logistic> Learn<'_, T> {
    /// Shuffles the likes and draws what they are compared with. Likes with nothing to be compared with are left out, and
    /// counted.
    #[inline(always)]
    fn draw(&mut self) -> usize {
        let (catalogue, candidates, rng) = (self.biases.len(), self.rule.candidates, &mut self.rng);
        let words = catalogue.div_ceil(64);
        let Room { known, order, negatives } = &mut *self.room;
        known.clear();
        known.resize(self.users.len() / self.width * words, 0);
        for &(user, item) in self.likes {
            known[user as usize * words + item as usize / 64] |= 1 << (item % 64);
        }
        order.clear();
        order.extend_from_slice(self.likes);
        order.shuffle(rng);
        negatives.clear();
        let mut alone = 0;
        order.retain(|&(user, _)| {
            let likes = &known[user as usize * words..][..words];
            for _ in 0..candidates {
                let Some(negative) = draw(rng, likes, catalogue, self.popularity) else {
                    alone += 1;
                    return false;
                };
                negatives.push(negative);
            }
            true
        });
        alone
    }

    /// A step for each pair; returns how many were in the right order before it, of how many. `V`: vectors of a row, or 0
    /// for any number.
    #[inline(always)]
    fn learn<S: Simd, const V: usize>(self, simd: S) -> (usize, usize) {
        let Self { rule, width, biased, users, items, biases, room, .. } = self;
        let vectors = if V > 0 { V } else { width / T::width::<S>() };
        let step = T::of(rule.rate * rule.weight);
        // x (1 - rate l2) + rate z (...)
        let shrink = T::of(1.0 - rule.rate * rule.weight * rule.l2);
        let (step_v, shrink_v) = (T::splat(simd, step), T::splat(simd, shrink));
        let users = T::vectors_mut::<S>(users);
        let items = T::vectors_mut::<S>(items);
        let mut in_order = 0;
        for (&(user, positive), negatives) in room.order.iter().zip(room.negatives.chunks_exact(rule.candidates)) {
            let row = &mut users[user as usize * vectors..][..vectors];
            let negative = match negatives {
                [one] => *one,
                several => {
                    let score = |item: u32| {
                        let row_of = &items[item as usize * vectors..][..vectors];
                        let score: T = product(simd, vectors, |v| row[v], |v| row_of[v]);
                        score + biases[item as usize]
                    };
                    hardest(several, score)
                }
            };
            let of = |item: u32| item as usize * vectors..(item as usize + 1) * vectors;
            let Ok([liked, other]) = items.get_disjoint_mut([of(positive), of(negative)]) else {
                unreachable!("a known like is not drawn")
            };
            let (liked, other) = (&mut liked[..vectors], &mut other[..vectors]);
            let [bias, other_bias] = [biases[positive as usize], biases[negative as usize]];
            let difference: T = product(simd, vectors, |v| row[v], |v| T::minus(simd, liked[v], other[v]));
            let margin = difference + (bias - other_bias);
            in_order += usize::from(margin > T::ZERO);
            let pull = T::ZERO - slope_of(simd, margin, rule.cut);
            let up = T::times(simd, T::splat(simd, pull), step_v);
            let down = T::minus(simd, T::splat(simd, T::ZERO), up);
            for v in 0..vectors {
                let (p, i, j) = (row[v], liked[v], other[v]);
                row[v] = T::fma(simd, up, T::minus(simd, i, j), T::times(simd, p, shrink_v));
                liked[v] = T::fma(simd, up, p, T::times(simd, i, shrink_v));
                other[v] = T::fma(simd, down, p, T::times(simd, j, shrink_v));
            }
            if biased {
                biases[positive as usize] = bias * shrink + step * pull;
                biases[negative as usize] = other_bias * shrink - step * pull;
            }
        }
        (in_order, room.order.len())
    }
}

/// The candidate with the highest score, the first of equal ones.
#[inline(always)]
fn hardest<T: Real>(candidates: &[u32], score: impl Fn(u32) -> T) -> u32 {
    let mut best = (candidates[0], score(candidates[0]));
    for &other in &candidates[1..] {
        let its = score(other);
        if its > best.1 {
            best = (other, its);
        }
    }
    best.0
}

/// The sum of products of two rows, in the fixed lanes of [`crate::linear`].
#[inline(always)]
fn product<T: Real, S: Simd>(
    simd: S,
    vectors: usize,
    a: impl Fn(usize) -> T::Vector<S>,
    b: impl Fn(usize) -> T::Vector<S>,
) -> T {
    match LANES / T::width::<S>() {
        1 => product_in::<T, S, 1>(simd, vectors, a, b),
        2 => product_in::<T, S, 2>(simd, vectors, a, b),
        4 => product_in::<T, S, 4>(simd, vectors, a, b),
        8 => product_in::<T, S, 8>(simd, vectors, a, b),
        _ => product_in::<T, S, 16>(simd, vectors, a, b),
    }
}

#[inline(always)]
fn product_in<T: Real, S: Simd, const G: usize>(
    simd: S,
    vectors: usize,
    a: impl Fn(usize) -> T::Vector<S>,
    b: impl Fn(usize) -> T::Vector<S>,
) -> T {
    let mut acc = [T::splat(simd, T::ZERO); G];
    for c in 0..vectors / G {
        for (g, acc) in acc.iter_mut().enumerate() {
            *acc = T::fma(simd, a(c * G + g), b(c * G + g), *acc);
        }
    }
    let mut half = G / 2;
    while half > 0 {
        for g in 0..half {
            acc[g] = T::plus(simd, acc[g], acc[g + half]);
        }
        half /= 2;
    }
    T::sum(simd, acc[0])
}

/// An item of the block that is not among the `known` ones; `None` where all are.
#[inline(always)]
fn draw(rng: &mut Rng, known: &[u64], items: usize, popularity: Option<&WeightedAliasIndex<f32>>) -> Option<u32> {
    let liked = |item: u32| known[item as usize / 64] >> (item % 64) & 1 == 1;
    for _ in 0..TRIES {
        let item = match popularity {
            None => rng.random_range(0..items as u32),
            Some(weights) => rand_distr::Distribution::sample(weights, rng) as u32,
        };
        if !liked(item) {
            return Some(item);
        }
    }
    any_of_the_rest(rng, liked, items)
}

#[cold]
fn any_of_the_rest(rng: &mut Rng, liked: impl Fn(u32) -> bool, items: usize) -> Option<u32> {
    let rest = || (0..items as u32).filter(|&item| !liked(item));
    let count = rest().count();
    if count == 0 { None } else { rest().nth(rng.random_range(0..count)) }
}
