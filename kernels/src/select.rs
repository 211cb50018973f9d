//! The best items of a block of users, segment of items by segment.
//!
//! The scores of a strip of users against a segment go to a buffer in the cache. For each user, lane-wise maxima over
//! that buffer give some hundred group maxima; the k-th largest of them is a lower bound of the k-th largest score, and
//! a tight one. A second pass over the buffer then finds hardly more than k scores worth a look.

use crate::cpu::{BLOCK, Packed};
use crate::tile::{USERS, scores};
use evenhand_core::Compressed;
use evenhand_core::dense::{Best, TopKRows};
use pulp::{Simd, WithSimd, bytemuck};

/// Most items whose scores are looked at together; those of a strip then fit in the second-level cache.
pub(crate) const SEGMENT: usize = 4096;

/// Groups per wanted item. More make the bound tighter and dearer.
const GROUPS_PER_ITEM: usize = 3;

/// What one thread needs to select.
pub(crate) struct Workspace {
    k: usize,
    best: Vec<Best>,
    /// Scores of a strip against a segment, user after user.
    scores: Vec<f32>,
    segment: usize,
    maxima: Vec<f32>,
    ordered: Vec<i32>,
}

impl Workspace {
    pub(crate) fn new(k: usize, segment: usize) -> Self {
        let scores = vec![0.0; USERS * segment];
        Self { k, best: vec![Best::new(k); BLOCK], scores, segment, maxima: Vec::new(), ordered: Vec::new() }
    }
}

/// Selects the best items of a block of users.
pub(crate) struct Select<'a, 'b> {
    pub(crate) packed: &'a Packed,
    pub(crate) strips: &'a [f32],
    pub(crate) rows: &'a [u32],
    pub(crate) seen: Option<&'a Compressed>,
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) out: TopKRows<'b>,
}

impl WithSimd for Select<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { packed, strips, rows, seen, workspace: w, mut out } = self;
        // The seen items of each user, read in step with the ascending items.
        let mut seen_left = [&[][..]; BLOCK];
        for (left, &row) in seen_left.iter_mut().zip(rows) {
            *left = seen.map_or(&[], |s| s.partners(row as usize));
        }
        for first in (0..packed.items).step_by(w.segment) {
            let end = packed.items.min(first + w.segment);
            let panels = first / packed.width..end.div_ceil(packed.width);
            for (s, users) in rows.chunks(USERS).enumerate() {
                let strip = packed.strip(strips, s);
                for panel in panels.clone() {
                    let at = panel * packed.width - first;
                    scores(simd, strip, packed.panel(panel), &mut w.scores, w.segment, at);
                }
                for u in 0..users.len() {
                    let row = &mut w.scores[u * w.segment..][..panels.len() * packed.width];
                    row[end - first..].fill(f32::NEG_INFINITY);
                    mask(row, first, end, &mut seen_left[s * USERS + u]);
                    let best = &mut w.best[s * USERS + u];
                    collect(simd, row, first, w.k, best, &mut w.maxima, &mut w.ordered);
                }
            }
        }
        for (user, best) in w.best[..rows.len()].iter_mut().enumerate() {
            out.set(user, best);
        }
    }
}

/// Puts the scores of those items left that lie in `first..end` below every other one, and takes them off the list.
/// Returns for how many that was new.
#[inline(always)]
pub(crate) fn mask(row: &mut [f32], first: usize, end: usize, left: &mut &[u32]) -> u32 {
    let (here, later) = left.split_at(left.partition_point(|&item| (item as usize) < end));
    *left = later;
    let mut new = 0;
    for &item in here {
        let score = &mut row[item as usize - first];
        new += u32::from(*score != f32::NEG_INFINITY);
        *score = f32::NEG_INFINITY;
    }
    new
}

/// Offers all scores of a row that may be among the best k; the first one belongs to item `first`.
#[inline(always)]
fn collect<S: Simd>(
    simd: S,
    row: &[f32],
    first: usize,
    k: usize,
    best: &mut Best,
    maxima: &mut Vec<f32>,
    ordered: &mut Vec<i32>,
) {
    let lanes = S::F32_LANES;
    let vectors = S::as_simd_f32s(row).0;
    // Items come in ascending order: one that only equals the threshold has lost the tie.
    let mut threshold = best.threshold();
    let groups = (GROUPS_PER_ITEM * k).next_multiple_of(lanes);
    if 2 * groups <= row.len() {
        maxima.clear();
        maxima.resize(groups, f32::NEG_INFINITY);
        let largest = S::as_mut_simd_f32s(maxima).0;
        for vectors in vectors.chunks(groups / lanes) {
            for (most, vector) in largest.iter_mut().zip(vectors) {
                *most = simd.max_f32s(*most, *vector);
            }
        }
        // One that equals the bound may be the k-th best itself.
        threshold = threshold.max(kth_largest(maxima, k, ordered).next_down());
    }
    let level = simd.splat_f32s(threshold);
    for (v, &vector) in vectors.iter().enumerate() {
        let mut above = bits::<S>(simd.greater_than_f32s(vector, level));
        while above != 0 {
            let at = v * lanes + above.trailing_zeros() as usize;
            best.offer(row[at], (first + at) as u32);
            above &= above - 1;
        }
    }
}

/// A comparison's outcome, one bit per lane, the first lane lowest. (`Simd::first_true_m32s` counts bit masks from
/// the wrong end in pulp 0.22.3.)
#[inline(always)]
pub(crate) fn bits<S: Simd>(mask: S::m32s) -> u64 {
    if const { size_of::<S::m32s>() == 1 } {
        u64::from(bytemuck::cast::<_, u8>(mask))
    } else if const { size_of::<S::m32s>() == 2 } {
        u64::from(bytemuck::cast::<_, u16>(mask))
    } else {
        let lanes = bytemuck::cast::<_, S::u32s>(mask);
        let mut bits = 0;
        for (lane, &all_ones) in bytemuck::cast_slice::<_, u32>(std::slice::from_ref(&lanes)).iter().enumerate() {
            bits |= u64::from(all_ones & 1) << lane;
        }
        bits
    }
}

/// The k-th largest of `values`.
#[inline(never)]
fn kth_largest(values: &[f32], k: usize, ordered: &mut Vec<i32>) -> f32 {
    // Whole numbers in the same order compare faster.
    let flip = |bits: i32| bits ^ ((bits >> 31) as u32 >> 1) as i32;
    ordered.clear();
    ordered.extend(values.iter().map(|v| flip(v.to_bits() as i32)));
    let at = values.len() - k;
    let (_, &mut bits, _) = ordered.select_nth_unstable(at);
    f32::from_bits(flip(bits) as u32)
}
