//! Positions of held-out items.
//!
//! The scores of the held-out items are computed here, by the chain that gives them on the device, and sorted for
//! each user. The device counts how the scores of all items lie between them, and takes out those of the items that
//! do not compete.

use super::Cuda;
use super::blocks::in_blocks;
use super::fault::Fault;
use super::kernel::kernel;
use super::lists::{Lists, most_users};
use super::panels::{PANEL, Panels};
use super::splits::Splits;
use crate::Cpu;
use crate::cpu::sure_to_be_finite;
use crate::rank::Products;
use evenhand_core::Compressed;
use evenhand_core::dense::Dense;
use evenhand_core::metrics::{Position, Targets};
use nalgebra::DMatrix;
use pulp::Arch;
use rayon::prelude::*;

/// Items of a tile.
const TILE: usize = 128;

/// Users of a block of threads of `ranks_without`.
const WARPS: usize = 8;

kernel! {
    /// Counts the scores of all items.
    Ranks = "ranks" in "ranks", 256 threads (
        users: In<f32>, items: In<f32>, offsets: In<u32>, targets: In<f32>, greater: Out<u32>, equal: Out<u32>,
        user_count: Value<u32>, item_count: Value<u32>, rank: Value<u32>, tiles: Value<u32>,
    )
}

kernel! {
    /// Takes out those of items that do not compete.
    RanksWithout = "ranks_without" in "ranks", 256 threads (
        users: In<f32>, items: In<f32>, offsets: In<u32>, targets: In<f32>, apart_offsets: In<u32>,
        apart_items: In<u32>, greater: Out<u32>, equal: Out<u32>, user_count: Value<u32>, rank: Value<u32>,
    )
}

/// What the device has to know of some users, one user after the other.
#[derive(Default)]
struct Prepared {
    /// The scores of the held-out items in their order, and ascending.
    targets: Vec<f32>,
    ascending: Vec<f32>,
    /// The items that do not compete, and how many each user has.
    apart: Vec<u32>,
    apart_counts: Vec<usize>,
}

impl Cuda {
    /// Positions of the held-out items of the users `rows`; what [`evenhand_core::dense::check_held_out`] checks must
    /// hold.
    pub(super) fn count_ranks(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Result<Vec<Position>, Fault> {
        // Users without a held-out item take no place in the result, and no time.
        let rows: Vec<u32> = rows.iter().copied().filter(|&row| held_out.count(row as usize) > 0).collect();
        self.with_room(|held| {
            let mut all = Vec::new();
            let (panels, room) = held.panels(items, &self.stream)?;
            let longest = |table: &Compressed| rows.iter().map(|&row| table.count(row as usize)).max().unwrap_or(0);
            let (most_held_out, most_seen) = (longest(held_out), seen.map_or(0, longest));
            // A target with two counts, an item that does not compete, and for each user two offsets and one more
            // place.
            let each = size_of::<f32>() * (items.nrows() + 4 * most_held_out + most_seen + 4);
            let most = most_users(most_held_out + most_seen + 1).saturating_mul(each);
            in_blocks(rows.len(), room.min(most), each, PANEL, |range| {
                let rows = &rows[range];
                let block = Panels::of(users, rows, &self.stream)?;
                if !sure_to_be_finite(block.largest, panels.largest, items.nrows()) {
                    all.extend(Cpu.ranks(users, rows, items, seen, held_out)?);
                    return Ok(());
                }
                let prepared = Prepared::new(users, rows, items, seen, held_out);
                let counts = self.counts(&block, panels, &prepared, rows, held_out)?;
                prepared.finish(rows, held_out, items.ncols(), counts, &mut all);
                Ok(())
            })?;
            Ok(all)
        })
    }

    /// The counts of [`Targets::add_counts`], user after user: scores greater than so many targets, and equal to the
    /// next.
    fn counts(
        &self,
        users: &Panels,
        items: &Panels,
        prepared: &Prepared,
        rows: &[u32],
        held_out: &Compressed,
    ) -> Result<[Vec<u32>; 2], Fault> {
        let stream = &self.stream;
        let lengths = rows.iter().map(|&row| held_out.count(row as usize));
        let targets = Lists::upload(lengths, &prepared.ascending, stream)?;
        let apart = Lists::upload(prepared.apart_counts.iter().copied(), &prepared.apart, stream)?;
        let places = prepared.targets.len() + rows.len();
        let [mut greater, mut equal] = [stream.alloc_zeros::<u32>(places)?, stream.alloc_zeros::<u32>(places)?];
        let (panels, tiles) = (rows.len().div_ceil(PANEL), (items.count as usize).div_ceil(TILE));
        let splits = Splits::new(panels, tiles, self.facts.multiprocessors, tiles);
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: panels are whole, lists one for each user, and there are counts for each target and user.
        unsafe {
            self.kernels.ranks.launch(
                stream,
                (panels as u32, splits.count, 1),
                0,
                &users.values.as_view(),
                &items.values.as_view(),
                &targets.offsets.as_view(),
                &targets.values.as_view(),
                &mut greater.as_view_mut(),
                &mut equal.as_view_mut(),
                users.count,
                items.count,
                items.rank,
                splits.tiles,
            )?;
            self.kernels.ranks_without.launch(
                stream,
                (rows.len().div_ceil(WARPS) as u32, 1, 1),
                0,
                &users.values.as_view(),
                &items.values.as_view(),
                &targets.offsets.as_view(),
                &targets.values.as_view(),
                &apart.offsets.as_view(),
                &apart.values.as_view(),
                &mut greater.as_view_mut(),
                &mut equal.as_view_mut(),
                users.count,
                items.rank,
            )?;
        }
        let counts = [stream.clone_dtoh(&greater)?, stream.clone_dtoh(&equal)?];
        stream.synchronize()?;
        Ok(counts)
    }
}

impl Prepared {
    fn new(
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Self {
        let arch = Arch::new();
        let parts = rows.par_chunks(PANEL).map_init(Vec::new, |pairs, rows| {
            let mut part = Self::default();
            pairs.clear();
            for &row in rows {
                let held_out = held_out.partners(row as usize);
                pairs.extend(held_out.iter().map(|&item| (row, item)));
                let before = part.apart.len();
                let seen = seen.map_or(&[][..], |seen| seen.partners(row as usize));
                join(seen, held_out, items.ncols(), &mut part.apart);
                part.apart_counts.push(part.apart.len() - before);
            }
            arch.dispatch(Products { users, items, pairs, out: &mut part.targets });
            part.ascending.clone_from(&part.targets);
            let mut left = part.ascending.as_mut_slice();
            for &row in rows {
                let (targets, others) = left.split_at_mut(held_out.count(row as usize));
                targets.sort_unstable_by(f32::total_cmp);
                left = others;
            }
            part
        });
        let mut all = Self::default();
        for part in parts.collect::<Vec<_>>() {
            all.targets.extend(part.targets);
            all.ascending.extend(part.ascending);
            all.apart.extend(part.apart);
            all.apart_counts.extend(part.apart_counts);
        }
        all
    }

    /// Appends the positions that follow from the counts.
    fn finish(
        &self,
        rows: &[u32],
        held_out: &Compressed,
        items: usize,
        [greater, equal]: [Vec<u32>; 2],
        all: &mut Vec<Position>,
    ) {
        let (mut targets, mut sorted) = (self.targets.as_slice(), Targets::default());
        let (mut greater, mut equal) = (greater.as_slice(), equal.as_slice());
        for (&row, &apart) in rows.iter().zip(&self.apart_counts) {
            let count = held_out.count(row as usize);
            let candidates = (items - apart) as u32;
            let first = all.len();
            all.resize(first + count, Position { candidates, ..Position::default() });
            let own;
            (own, targets) = targets.split_at(count);
            sorted.set(own);
            let (above, level);
            (above, greater) = greater.split_at(count + 1);
            (level, equal) = equal.split_at(count + 1);
            sorted.add_counts(above, level);
            sorted.finish(&mut all[first..]);
        }
    }
}

/// Appends what is in either of two ascending lists, once and ascending, if it is below `end`.
fn join<'a>(mut left: &'a [u32], mut right: &'a [u32], end: usize, out: &mut Vec<u32>) {
    while let Some(&least) = [left, right].iter().filter_map(|list| list.first()).min() {
        if least as usize >= end {
            return;
        }
        out.push(least);
        for list in [&mut left, &mut right] {
            while let Some((_, others)) = list.split_first().filter(|(first, _)| **first == least) {
                *list = others;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_joined_without_duplicates() {
        let joined = |left: &[u32], right: &[u32]| {
            let mut out = vec![9];
            join(left, right, 6, &mut out);
            out
        };
        assert_eq!(joined(&[], &[]), [9]);
        assert_eq!(joined(&[1, 1, 3, 3, 7], &[0, 3, 5]), [9, 0, 1, 3, 5]);
        assert_eq!(joined(&[6], &[2]), [9, 2]);
        assert_eq!(joined(&[], &[5, 6]), [9, 5]);
    }
}
