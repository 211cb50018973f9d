//! Rows of a batch in parallel, as if one after the other.
//!
//! A row changes its user and its item only. Rows that are linked by shared users or items form a chain, which is gone through
//! in order; chains are independent. Where users are distinct there is one chain per item. Each row has its own random
//! stream, so any schedule gives the same bits.

use super::evidence::Evidence;
use super::gaussian::{Gaussian, Lost};
use super::room::{Room, Root};
use evenhand_core::{Error, Observation, Result, Run, Streams};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::mem::take;

/// Rows that are put in chains at a time.
const BATCH: usize = 1 << 14;
/// Rows between two looks at the cancel flag.
const CHECK: usize = 256;

/// Beliefs by index; those about users and those about items.
pub(super) type Sides<'a> = [&'a mut [Gaussian]; 2];

/// Learns from `rows` in order. Row n draws from stream n of `streams`.
///
/// # Errors
/// The failure of the lowest row, whatever the schedule. The beliefs are then of no further use.
pub(super) fn learn(
    evidence: &Evidence,
    rows: &[Observation],
    sides: &mut Sides<'_>,
    streams: Streams,
    run: &Run,
) -> Result<()> {
    let batches = rows.len().div_ceil(BATCH);
    let mut finder = Finder { places: sides.each_ref().map(|side| vec![NOWHERE; side.len()]) };
    for (batch, chunk) in rows.chunks(BATCH).enumerate() {
        run.step(batch, batches)?;
        learn_batch(evidence, chunk, (batch * BATCH) as u64, &mut finder, sides, streams, run)?;
    }
    run.observer().progress(batches, batches);
    Ok(())
}

fn learn_batch(
    evidence: &Evidence,
    rows: &[Observation],
    first: u64,
    finder: &mut Finder,
    sides: &mut Sides<'_>,
    streams: Streams,
    run: &Run,
) -> Result<()> {
    let plan = finder.plan(rows, first);
    // The beliefs of a chain are taken out, so that chains can change them side by side.
    let mut taken =
        [0, 1].map(|s| plan.entities[s].iter().map(|&e| take(&mut sides[s][e as usize])).collect::<Vec<_>>());
    let chains = plan.chains(&mut taken);
    let arch = Arch::new();
    let work = |(room, roots): &mut (Room, [Root; 2]), (rows, sides)| {
        arch.dispatch(Chain { evidence, rows, sides, streams, run, room, roots })
    };
    let start = || (Room::new(evidence.rank), [Root::new(evidence.rank), Root::new(evidence.rank)]);
    // The next chain goes to the next idle thread, the longest ones first.
    let failed = run.install(|| chains.into_iter().par_bridge().map_init(start, work).flatten_iter().min());
    for (side, (entities, beliefs)) in sides.iter_mut().zip(plan.entities.iter().zip(taken)) {
        entities.iter().zip(beliefs).for_each(|(&e, belief)| side[e as usize] = belief);
    }
    run.check()?;
    let Some(Failure { row, side, entity, lost }) = failed else { return Ok(()) };
    let what = format!("the belief about {} {entity}", ["user", "item"][side]);
    Err(match lost {
        Lost::Finite => Error::Diverged { what: format!("{what}, at row {row},"), step: None },
        Lost::Definite => Error::Unusable(format!(
            "the precision of {what} is no longer positive definite to working precision at row {row}: lower `tau` or \
             `prior_variance`, or raise `samples`"
        )),
    })
}

/// A row of a chain: places of its user and its item among those of the chain.
#[derive(Clone, Copy)]
struct Row {
    number: u64,
    places: [u32; 2],
    /// Its user and its item.
    entities: [u32; 2],
    value: f32,
}

impl Row {
    fn lost(&self, side: usize, lost: Lost, room: &mut Room) -> Failure {
        // For the next chain: there may be NaN where zeros have to be.
        room.rows.fill(0.0);
        Failure { row: self.number, side, entity: self.entities[side], lost }
    }
}

/// Where a belief was lost; the lowest row first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Failure {
    row: u64,
    side: usize,
    entity: u32,
    lost: Lost,
}

/// Not among the entities of the batch.
const NOWHERE: u32 = u32::MAX;

/// Finds the chains of a batch.
struct Finder {
    /// Place of every user and item among those of the batch, in order of appearance.
    places: [Vec<u32>; 2],
}

/// The chains of a batch, the longest first.
struct Plan {
    /// Rows, chain by chain, in order within a chain.
    rows: Vec<Row>,
    /// Users and items, chain by chain.
    entities: [Vec<u32>; 2],
    /// Numbers of rows, users and items of each chain.
    sizes: Vec<[usize; 3]>,
}

/// Rows, and the beliefs about users and items that they change.
type Part<'a> = (&'a [Row], Sides<'a>);

impl Finder {
    fn plan(&mut self, rows: &[Observation], first: u64) -> Plan {
        let mut present = [Vec::new(), Vec::new()];
        for row in rows {
            for (side, entity) in [row.user, row.item].into_iter().enumerate() {
                let place = &mut self.places[side][entity as usize];
                if *place == NOWHERE {
                    *place = present[side].len() as u32;
                    present[side].push(entity);
                }
            }
        }
        let users = present[0].len();
        let nodes = |row: &Observation| {
            [self.places[0][row.user as usize] as usize, users + self.places[1][row.item as usize] as usize]
        };
        let mut links = Links((0..users + present[1].len()).collect());
        rows.iter().for_each(|row| links.join(nodes(row)));

        // Chains in order of their first node, then by length.
        let owner: Vec<usize> = (0..links.0.len()).map(|node| links.root(node)).collect();
        let mut sizes = vec![[0; 3]; owner.len()];
        rows.iter().for_each(|row| sizes[owner[nodes(row)[0]]][0] += 1);
        owner.iter().enumerate().for_each(|(node, &chain)| sizes[chain][1 + usize::from(node >= users)] += 1);
        let mut order: Vec<usize> = (0..owner.len()).filter(|&chain| sizes[chain][0] > 0).collect();
        order.sort_by_key(|&chain| std::cmp::Reverse(sizes[chain][0]));
        let mut next = vec![[0; 3]; owner.len()];
        let mut total = [0; 3];
        for &chain in &order {
            next[chain] = total;
            (0..3).for_each(|n| total[n] += sizes[chain][n]);
        }

        let start = next.clone();
        let mut entities = [vec![0; total[1]], vec![0; total[2]]];
        let mut within = vec![0; owner.len()];
        for (node, &chain) in owner.iter().enumerate() {
            let side = usize::from(node >= users);
            let at = &mut next[chain][1 + side];
            within[node] = (*at - start[chain][1 + side]) as u32;
            entities[side][*at] = present[side][node - side * users];
            *at += 1;
        }
        let mut sorted = vec![Row { number: 0, places: [0; 2], entities: [0; 2], value: 0.0 }; rows.len()];
        for (number, row) in (first..).zip(rows) {
            let nodes = nodes(row);
            let at = &mut next[owner[nodes[0]]][0];
            let places = nodes.map(|node| within[node]);
            sorted[*at] = Row { number, places, entities: [row.user, row.item], value: row.value };
            *at += 1;
        }
        for (places, present) in self.places.iter_mut().zip(&present) {
            present.iter().for_each(|&e| places[e as usize] = NOWHERE);
        }
        Plan { rows: sorted, entities, sizes: order.iter().map(|&chain| sizes[chain]).collect() }
    }
}

impl Plan {
    /// Every chain's share of the rows and of `taken`, which is aligned with `entities`.
    fn chains<'a>(&'a self, taken: &'a mut [Vec<Gaussian>; 2]) -> Vec<Part<'a>> {
        let [users, items] = taken;
        let (mut rows, mut users, mut items) = (&self.rows[..], &mut users[..], &mut items[..]);
        let cut = |&[r, u, i]: &[usize; 3]| {
            let (chain, after) = rows.split_at(r);
            rows = after;
            (chain, [split_off(&mut users, u), split_off(&mut items, i)])
        };
        self.sizes.iter().map(cut).collect()
    }
}

fn split_off<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (head, tail) = take(rest).split_at_mut(count);
    *rest = tail;
    head
}

/// Disjoint sets of nodes, each known by its lowest one.
struct Links(Vec<usize>);

impl Links {
    fn root(&mut self, mut node: usize) -> usize {
        while self.0[node] != node {
            self.0[node] = self.0[self.0[node]];
            node = self.0[node];
        }
        node
    }

    fn join(&mut self, nodes: [usize; 2]) {
        let [a, b] = nodes.map(|node| self.root(node));
        self.0[a.max(b)] = a.min(b);
    }
}

/// One chain, in order.
struct Chain<'a> {
    evidence: &'a Evidence,
    rows: &'a [Row],
    sides: Sides<'a>,
    streams: Streams,
    run: &'a Run,
    room: &'a mut Room,
    roots: &'a mut [Root; 2],
}

impl WithSimd for Chain<'_> {
    type Output = Option<Failure>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<Failure> {
        let Self { evidence, rows, sides: [users, items], streams, run, room, roots: [user_root, item_root] } = self;
        let mut held = NOWHERE; // the item of the root
        for (n, row) in rows.iter().enumerate() {
            if n % CHECK == 0 && run.check().is_err() {
                return None;
            }
            let mut rng = streams.rng(row.number);
            let [user, item] = [&mut users[row.places[0] as usize], &mut items[row.places[1] as usize]];
            if held != row.places[1] {
                item_root.of(item);
                held = row.places[1];
            }
            let value = f64::from(row.value);
            for _ in 0..evidence.iterations {
                let told = evidence.update(simd, (user, user_root), (item, item_root), value, &mut rng, room);
                if let Err(lost) = told {
                    return Some(row.lost(0, lost, room));
                }
                let told = evidence.update(simd, (item, item_root), (user, user_root), value, &mut rng, room);
                if let Err(lost) = told {
                    return Some(row.lost(1, lost, room));
                }
            }
        }
        None
    }
}
