//! Positions of held-out items, segment of items by segment.
//!
//! The scores of a block of users against a segment go to a buffer in the cache. There the items that do not compete
//! are put below everything; then each held-out item's score is compared with a whole vector of scores at a time. Where
//! a user has many held-out items, each score is compared with a whole vector of theirs instead, in two steps.
//!
//! A held-out item's own score is needed before the first segment, so it is computed apart, by the chain of fused
//! multiply-adds that gives it in the tile.

use crate::cpu::{BLOCK, Packed};
use crate::select::{bits, mask};
use crate::tile::{USERS, scores};
use evenhand_core::Compressed;
use evenhand_core::metrics::{Position, Targets};
use nalgebra::DMatrix;
use pulp::{Simd, WithSimd, bytemuck};

/// Most items whose scores are looked at together; those of a block then fit in the second-level cache.
pub(crate) const SEGMENT: usize = 1536;

/// Up to this many held-out items of a user one pass for each is faster than a search for each score.
const FEW: usize = 48;

/// Scores that are computed side by side: a chain waits for its last step, several do not wait for each other.
const CHAINS: usize = 8;

/// What one thread needs to rank.
pub(crate) struct Workspace {
    /// Scores of a block of users against a segment, user after user.
    scores: Vec<f32>,
    segment: usize,
    /// Each held-out item of the block with its user.
    pairs: Vec<(u32, u32)>,
    /// Their scores.
    targets: Vec<f32>,
    /// Sorted, for users who have many.
    sorted: Vec<Targets>,
    groups: Groups,
}

impl Workspace {
    pub(crate) fn new(segment: usize) -> Self {
        let scores = vec![0.0; BLOCK * segment];
        let sorted = vec![Targets::default(); BLOCK];
        Self { scores, segment, pairs: Vec::new(), targets: Vec::new(), sorted, groups: Groups::default() }
    }
}

/// Ranks the held-out items of a block of users. All scores must be finite.
pub(crate) struct Rank<'a> {
    pub(crate) packed: &'a Packed,
    pub(crate) strips: &'a [f32],
    pub(crate) users: &'a DMatrix<f32>,
    pub(crate) rows: &'a [u32],
    pub(crate) items: &'a DMatrix<f32>,
    pub(crate) seen: Option<&'a Compressed>,
    pub(crate) held_out: &'a Compressed,
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) out: &'a mut [Position],
}

impl WithSimd for Rank<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { packed, strips, users, rows, items, seen, held_out, workspace: w, out } = self;
        w.pairs.clear();
        // The items of each user that do not compete, read in step with the ascending items.
        let mut apart = [[&[][..]; 2]; BLOCK];
        let mut ranges = [const { 0..0 }; BLOCK];
        for ((apart, range), &row) in apart.iter_mut().zip(&mut ranges).zip(rows) {
            let held_out = held_out.partners(row as usize);
            *apart = [seen.map_or(&[], |s| s.partners(row as usize)), held_out];
            *range = w.pairs.len()..w.pairs.len() + held_out.len();
            w.pairs.extend(held_out.iter().map(|&item| (row, item)));
        }
        let ranges = &ranges[..rows.len()];
        let many = || ranges.iter().enumerate().filter(|(_, range)| range.len() > FEW);
        products(users, items, &w.pairs, &mut w.targets);
        out.fill(Position { candidates: packed.items as u32, ..Position::default() });
        many().for_each(|(u, range)| w.sorted[u].set(&w.targets[range.clone()]));
        for first in (0..packed.items).step_by(w.segment) {
            let end = packed.items.min(first + w.segment);
            let panels = first / packed.width..end.div_ceil(packed.width);
            for panel in panels.clone() {
                let at = panel * packed.width - first;
                for (s, rows) in w.scores.chunks_mut(USERS * w.segment).take(rows.len().div_ceil(USERS)).enumerate() {
                    scores(simd, packed.strip(strips, s), packed.panel(panel), rows, w.segment, at);
                }
            }
            for (u, range) in ranges.iter().enumerate() {
                let row = &mut w.scores[u * w.segment..][..panels.len() * packed.width];
                row[end - first..].fill(f32::NEG_INFINITY);
                let out = &mut out[range.clone()];
                let gone: u32 = apart[u].iter_mut().map(|items| mask(row, first, end, items)).sum();
                out.iter_mut().for_each(|position| position.candidates -= gone);
                if range.len() > FEW {
                    search(simd, row, &mut w.sorted[u], &mut w.groups);
                } else {
                    count(simd, row, &w.targets[range.clone()], out);
                }
            }
        }
        many().for_each(|(u, range)| w.sorted[u].finish(&mut out[range.clone()]));
    }
}

/// Writes the scores of single pairs of a user and an item, with the bits that they have in a tile.
pub(crate) struct Products<'a> {
    pub(crate) users: &'a DMatrix<f32>,
    pub(crate) items: &'a DMatrix<f32>,
    pub(crate) pairs: &'a [(u32, u32)],
    pub(crate) out: &'a mut Vec<f32>,
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        products(self.users, self.items, self.pairs, self.out);
    }
}

/// Scores of single pairs of a user and an item, each by the same chain of fused multiply-adds as in a tile.
#[inline(always)]
fn products(users: &DMatrix<f32>, items: &DMatrix<f32>, pairs: &[(u32, u32)], out: &mut Vec<f32>) {
    let rank = users.nrows();
    let column = |index: u32| index as usize * rank..(index as usize + 1) * rank;
    out.clear();
    for pairs in pairs.chunks(CHAINS) {
        // A last chunk that is not full repeats its first pair.
        let pair = |at: usize| pairs.get(at).copied().unwrap_or(pairs[0]);
        let left: [&[f32]; CHAINS] = std::array::from_fn(|at| &users.as_slice()[column(pair(at).0)]);
        let right: [&[f32]; CHAINS] = std::array::from_fn(|at| &items.as_slice()[column(pair(at).1)]);
        let mut sums = [0.0f32; CHAINS];
        for k in 0..rank {
            for chain in 0..CHAINS {
                sums[chain] = f32::mul_add(left[chain][k], right[chain][k], sums[chain]);
            }
        }
        out.extend_from_slice(&sums[..pairs.len()]);
    }
}

/// Adds to each position the scores of a row that are greater than and equal to its target.
#[inline(always)]
fn count<S: Simd>(simd: S, row: &[f32], targets: &[f32], positions: &mut [Position]) {
    // Several at a time share the reading of the row.
    let (quads, rest) = targets.as_chunks::<4>();
    let (quad_positions, rest_positions) = positions.as_chunks_mut::<4>();
    for (targets, positions) in quads.iter().zip(quad_positions) {
        pass(simd, row, targets, positions);
    }
    for (target, position) in rest.iter().zip(rest_positions) {
        pass(simd, row, &[*target], std::array::from_mut(position));
    }
}

/// One pass over a row for `T` targets.
#[inline(always)]
fn pass<S: Simd, const T: usize>(simd: S, row: &[f32], targets: &[f32; T], positions: &mut [Position; T]) {
    // Not known to be 1, the step is added under a mask; known, the compiler makes a vector of every mask.
    let (zero, one) = (simd.splat_u32s(0), simd.splat_u32s(std::hint::black_box(1)));
    let levels = targets.map(|target| simd.splat_f32s(target));
    let (mut greater, mut equal) = ([zero; T], [zero; T]);
    for &vector in S::as_simd_f32s(row).0 {
        for t in 0..T {
            let above = simd.greater_than_f32s(vector, levels[t]);
            let level = simd.equal_f32s(vector, levels[t]);
            greater[t] = simd.select_u32s(above, simd.add_u32s(greater[t], one), greater[t]);
            equal[t] = simd.select_u32s(level, simd.add_u32s(equal[t], one), equal[t]);
        }
    }
    for t in 0..T {
        positions[t].greater += sum::<S>(greater[t]);
        positions[t].equal += sum::<S>(equal[t]);
    }
}

/// Ascending targets in groups of as many as a vector holds, filled up with infinity, and the last of each group.
#[derive(Default)]
struct Groups {
    all: Vec<f32>,
    last: Vec<f32>,
}

/// Counts the scores of a row between the targets: in which group a score falls, and then where, takes one comparison
/// of vectors each (the first more, when there are more groups than lanes).
#[inline(always)]
fn search<S: Simd>(simd: S, row: &[f32], targets: &mut Targets, groups: &mut Groups) {
    let (lanes, most) = (S::F32_LANES, f32::INFINITY);
    groups.all.clear();
    groups.all.extend_from_slice(targets.ascending());
    // There is a group for what is above all targets.
    groups.all.resize((targets.ascending().len() + 1).next_multiple_of(lanes), most);
    groups.last.clear();
    groups.last.extend(groups.all.chunks_exact(lanes).map(|group| group[lanes - 1]));
    groups.last.resize(groups.last.len().next_multiple_of(lanes), most);
    let (all, last) = (S::as_simd_f32s(&groups.all).0, S::as_simd_f32s(&groups.last).0);
    let (full, rest) = row.as_chunks();
    let mut end = [f32::NEG_INFINITY; Targets::LANES];
    end[..rest.len()].copy_from_slice(rest);
    for &scores in full.iter().chain([&end]) {
        let mut places = [0; Targets::LANES];
        for (place, score) in places.iter_mut().zip(scores) {
            let level = simd.splat_f32s(score);
            let below = |targets: S::f32s| bits::<S>(simd.less_than_f32s(targets, level)).count_ones() as usize;
            let group: usize =
                if let [last] = last { below(*last) } else { last.iter().map(|&last| below(last)).sum() };
            *place = group * lanes + below(all[group]);
        }
        targets.add(scores, places);
    }
}

/// Sum over the lanes.
#[inline(always)]
fn sum<S: Simd>(lanes: S::u32s) -> u32 {
    bytemuck::cast_slice::<_, u32>(std::slice::from_ref(&lanes)).iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::cpu::tests::{SHAPES, factors, seen};
    use evenhand_core::dense::{Dense, Reference};
    use evenhand_core::{Interactions, Rows, Streams};
    use rand::RngExt;

    /// Of each item one user in `share` has it held out; every eleventh user has nothing held out.
    fn held_out(users: usize, items: usize, share: usize) -> Interactions {
        let mut rng = Streams::new(9).rng((users * 1000 + items) as u64);
        let mut rows = Rows::default();
        for user in (0..users as u32).filter(|user| user % 11 != 1) {
            let drawn = (0..items as u32).filter(|_| rng.random_range(0..share) == 0);
            drawn.for_each(|item| rows.push(user, item, 1.0));
        }
        Interactions::new(users, items, &rows).unwrap()
    }

    /// Compares with the reference, positions or the text of the error.
    fn same(
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) {
        let [a, b] = [&Reference as &dyn Dense, &Cpu].map(|dense| dense.ranks(users, rows, items, seen, held_out));
        let size = format!("{} x {} at rank {}", users.ncols(), items.ncols(), items.nrows());
        assert_eq!(a.map_err(|e| e.to_string()), b.map_err(|e| e.to_string()), "{size}");
    }

    #[test]
    fn positions_are_those_of_the_reference_with_ties_and_masks() {
        // The last ones need several segments.
        for (rank, users, items) in SHAPES.into_iter().chain([(3, 9, 4097), (2, 4, 9000)]) {
            // Backwards and forwards: rows may repeat.
            let rows: Vec<u32> = (0..users as u32).rev().chain(0..users as u32).collect();
            let data = seen(users, items);
            for whole in [false, true] {
                let (u, i) = (factors(rank, users, whole, "u"), factors(rank, items, whole, "i"));
                for share in [1, 2, 40, 1000] {
                    let held_out = held_out(users, items, share);
                    for mask in [None, Some(data.by_user())] {
                        // All of thousands held out take the reference long.
                        let rows = if items > 1000 && share < 40 { &rows[..2] } else { &rows };
                        same(&u, rows, &i, mask, held_out.by_user());
                    }
                }
            }
        }
    }

    /// Both ways to count, on a processor with vectors of another length too.
    #[test]
    fn passes_and_searches_agree_with_every_pair() {
        struct Both<'a>(&'a [f32], &'a [f32]);
        impl WithSimd for Both<'_> {
            type Output = [Vec<Position>; 2];

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> [Vec<Position>; 2] {
                let Both(row, targets) = self;
                let [mut passed, mut searched] = [(); 2].map(|()| vec![Position::default(); targets.len()]);
                count(simd, row, targets, &mut passed);
                let (mut sorted, mut groups) = (Targets::default(), Groups::default());
                sorted.set(targets);
                // Half a row at a time: what was counted stays.
                let (left, right) = row.split_at(row.len() / 2);
                search(simd, left, &mut sorted, &mut groups);
                search(simd, right, &mut sorted, &mut groups);
                sorted.finish(&mut searched);
                [passed, searched]
            }
        }
        let mut rng = Streams::new(10).rng(0);
        for round in 0..200 {
            let mut draw = |count: usize| (0..count).map(|_| rng.random_range(-9..=9) as f32 * 0.5).collect::<Vec<_>>();
            let (mut row, targets) = (draw(96), draw([0, 1, 7, 8, 9, 31, 64, 300][round % 8]));
            row[round % 96] = f32::NEG_INFINITY;
            let pairs =
                |of: fn(&f32, &f32) -> bool, target| row.iter().filter(|&score| of(score, target)).count() as u32;
            let position =
                |target| Position { greater: pairs(f32::gt, target), equal: pairs(f32::eq, target), candidates: 0 };
            let expected: Vec<Position> = targets.iter().map(position).collect();
            let both = Both(&row, &targets);
            assert_eq!(both.with_simd(pulp::Scalar::new()), [expected.clone(), expected.clone()]);
            assert_eq!(pulp::Arch::new().dispatch(Both(&row, &targets)), [expected.clone(), expected.clone()]);
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = pulp::x86::V3::try_new() {
                assert_eq!(Simd::vectorize(avx2, Both(&row, &targets)), [expected.clone(), expected]);
            }
        }
    }

    #[test]
    fn positions_are_the_same_on_any_number_of_threads() {
        let (u, i) = (factors(10, 300, true, "u"), factors(10, 500, true, "i"));
        let (seen, held_out) = (seen(300, 500), held_out(300, 500, 30));
        let rows: Vec<u32> = (0..300).map(|n| n * 7 % 300).collect();
        let expected = Reference.ranks(&u, &rows, &i, Some(seen.by_user()), held_out.by_user()).unwrap();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| Cpu.ranks(&u, &rows, &i, Some(seen.by_user()), held_out.by_user()));
            assert_eq!(found.unwrap(), expected);
        }
    }

    #[test]
    fn what_counts_and_is_not_finite_is_refused_as_by_the_reference() {
        let everyone: Vec<u32> = (0..150).rev().collect();
        let held_out = held_out(150, 50, 20);
        let mut rows = Rows::default();
        (0..150).filter(|u| u % 3 > 0).for_each(|user| rows.push(user, 7, 1.0));
        let some = Interactions::new(150, 50, &rows).unwrap();
        (0..150).filter(|u| u % 3 == 0).for_each(|user| rows.push(user, 7, 1.0));
        let all = Interactions::new(150, 50, &rows).unwrap();
        for odd in [f32::NAN, f32::INFINITY, f32::MAX] {
            let (mut users, mut items) = (factors(3, 150, false, "u"), factors(3, 50, false, "i"));
            items[(1, 7)] = odd;
            for seen in [None, Some(some.by_user()), Some(all.by_user())] {
                same(&users, &everyone, &items, seen, held_out.by_user());
                same(&users, &everyone[..40], &items, seen, held_out.by_user());
            }
            // Masked it does no harm.
            let fine = (0..150u32).find(|&u| held_out.by_user().partners(u as usize).first() > Some(&7)).unwrap();
            assert!(Cpu.ranks(&users, &[fine], &items, Some(all.by_user()), held_out.by_user()).is_ok());
            for sick in [1, 70] {
                users[(0, sick)] = odd;
                same(&users, &everyone, &items, Some(all.by_user()), held_out.by_user());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_as_by_the_reference() {
        let (one, two) = (DMatrix::zeros(1, 2), DMatrix::zeros(2, 2));
        let mut rows = Rows::default();
        [0, 2, 2].into_iter().for_each(|item| rows.push(1, item, 1.0));
        let twice = Interactions::new(2, 3, &rows).unwrap();
        let fine = held_out(2, 2, 1);
        let few = held_out(1, 2, 1);
        for held_out in [&twice, &fine, &few] {
            for rows in [&[0, 1][..], &[0], &[2], &[]] {
                for seen in [&fine, held_out] {
                    for items in [&one, &two] {
                        same(&one, rows, items, Some(seen.by_user()), held_out.by_user());
                    }
                }
            }
        }
    }
}
