//! A tile of scores: some users against some items, held in registers over all factors.
//!
//! Items are packed in panels: for each factor, the values of as many items as a few vectors hold. Users are packed
//! in strips: for each factor, the values of [`USERS`] users. Each score is the chain
//! `fma(u_k, i_k, ... fma(u_1, i_1, 0))`, so its bits depend on neither the tile nor the vector length.

use nalgebra::DMatrix;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Users of a strip.
pub(crate) const USERS: usize = 8;
/// Vectors of a panel.
pub(crate) const VECTORS: usize = 3;

/// Items of a panel on processor `S`.
#[inline(always)]
pub(crate) fn panel_items<S: Simd>() -> usize {
    VECTORS * S::F32_LANES
}

/// The item factors, panel after panel; the last one is filled up with zeros.
pub(crate) fn pack_items(items: &DMatrix<f32>, width: usize) -> Vec<f32> {
    let rank = items.nrows();
    let mut packed = vec![0.0; items.ncols().div_ceil(width) * width * rank];
    packed.par_chunks_mut((width * rank).max(1)).enumerate().for_each(|(panel, packed)| {
        let first = panel * width;
        fill(packed, width, items, first..items.ncols().min(first + width));
    });
    packed
}

/// The factors of some entities, panel after panel of `width`; the last one is filled up with zeros.
pub(crate) fn pack_rows(factors: &DMatrix<f32>, rows: &[u32], width: usize) -> Vec<f32> {
    let rank = factors.nrows();
    let mut packed = vec![0.0; rows.len().div_ceil(width) * width * rank];
    let panels = packed.par_chunks_mut((width * rank).max(1)).zip(rows.par_chunks(width));
    panels.for_each(|(panel, rows)| fill(panel, width, factors, rows.iter().map(|&row| row as usize)));
    packed
}

/// The factors of some users, strip after strip; the last one is filled up with zeros. `packed` keeps its room.
pub(crate) fn pack_users(users: &DMatrix<f32>, rows: &[u32], packed: &mut Vec<f32>) {
    let rank = users.nrows();
    packed.clear();
    packed.resize(rows.len().div_ceil(USERS) * USERS * rank, 0.0);
    for (strip, rows) in packed.chunks_exact_mut((USERS * rank).max(1)).zip(rows.chunks(USERS)) {
        fill(strip, USERS, users, rows.iter().map(|&row| row as usize));
    }
}

/// Puts the factors of some entities side by side, `width` of them for each factor.
#[inline(always)]
fn fill(panel: &mut [f32], width: usize, factors: &DMatrix<f32>, entities: impl Iterator<Item = usize>) {
    for (at, entity) in entities.enumerate() {
        let column = factors.column(entity);
        for (to, &value) in panel.chunks_exact_mut(width).zip(column.as_slice()) {
            to[at] = value;
        }
    }
}

/// See [`crate::cpu::largest`].
pub(crate) struct Largest<'a>(pub(crate) &'a [f32]);

impl WithSimd for Largest<'_> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u32 {
        let mut largest = 0;
        for value in self.0 {
            largest = largest.max(value.to_bits() & !(1 << 31));
        }
        largest
    }
}

/// Scores of a strip against a panel: user u's go to `out[u * stride + at..]`, one panel's width of them.
#[inline(always)]
pub(crate) fn scores<S: Simd>(simd: S, strip: &[f32], panel: &[f32], out: &mut [f32], stride: usize, at: usize) {
    // As many sums as registers hold: 8 x 3 of 32, 4 x 3 of 16.
    if S::REGISTER_COUNT >= 32 {
        part::<S, USERS>(simd, strip, 0, panel, out, stride, at);
    } else {
        part::<S, 4>(simd, strip, 0, panel, out, stride, at);
        part::<S, 4>(simd, strip, 4, panel, out, stride, at);
    }
}

/// The same for users `from..from + U` of the strip.
#[inline(always)]
fn part<S: Simd, const U: usize>(
    simd: S,
    strip: &[f32],
    from: usize,
    panel: &[f32],
    out: &mut [f32],
    stride: usize,
    at: usize,
) {
    let mut acc = [[simd.splat_f32s(0.0); VECTORS]; U];
    let panel = S::as_simd_f32s(panel).0.as_chunks::<VECTORS>().0;
    for (users, items) in strip.as_chunks::<USERS>().0.iter().zip(panel) {
        for u in 0..U {
            let user = simd.splat_f32s(users[from + u]);
            for v in 0..VECTORS {
                acc[u][v] = simd.mul_add_f32s(user, items[v], acc[u][v]);
            }
        }
    }
    for u in 0..U {
        let row = &mut out[(from + u) * stride + at..][..VECTORS * S::F32_LANES];
        S::as_mut_simd_f32s(row).0.copy_from_slice(&acc[u]);
    }
}
