//! Dense products of large row-major matrices, in explicit vector instructions.
//!
//! The right factor is packed once into [`Panels`], the left one strip by strip as it is needed; a tile of the result
//! is held in registers over up to [`DEPTH`] terms. Every number is one chain of fused multiply-adds in the order of
//! the terms: its bits depend neither on the processor nor on how the rows are spread over threads.

use crate::linear::{LANES, Real};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows of a strip.
pub(crate) const STRIP: usize = 8;
/// Vectors of a panel.
const VECTORS: usize = 3;
/// Terms of a sum that a strip and a panel hold: both stay in the second-level cache.
const DEPTH: usize = 512;
/// Rows of one task.
pub(crate) const ROWS: usize = 64;

/// A matrix in memory: row after row, or the other way round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored<'a, T> {
    /// Element (row, column) at `row * stride + column`.
    Rows(&'a [T], usize),
    /// Element (row, column) at `column * stride + row`.
    Columns(&'a [T], usize),
}

/// A right factor (depth x columns), packed in panels of as many columns as a few vectors hold: for each term, the
/// values of these columns. The last panel holds the vectors that are left.
#[derive(Debug)]
pub(crate) struct Panels<T> {
    values: Vec<T>,
    depth: usize,
    columns: usize,
}

impl<T: Real> Panels<T> {
    /// Room for a matrix of that size; columns are a multiple of [`LANES`].
    pub(crate) fn new(depth: usize, columns: usize) -> Self {
        debug_assert!(columns.is_multiple_of(LANES), "columns are padded");
        Self { values: vec![T::ZERO; depth * columns], depth, columns }
    }

    /// Takes over a matrix of depth x columns, of a depth up to that of the room.
    pub(crate) fn pack(&mut self, from: Stored<'_, T>, depth: usize) {
        let width = pulp::Arch::new().dispatch(PanelColumns::<T>(std::marker::PhantomData));
        let columns = self.columns;
        self.depth = depth;
        self.values[..depth * columns].par_chunks_mut((width * depth).max(1)).enumerate().for_each(|(panel, to)| {
            let first = panel * width;
            let width = width.min(columns - first);
            match from {
                Stored::Rows(values, stride) => {
                    for (term, to) in to.chunks_exact_mut(width).enumerate() {
                        to.copy_from_slice(&values[term * stride + first..][..width]);
                    }
                }
                Stored::Columns(values, stride) => {
                    // Few terms at a time, so that what is written stays in the first-level cache.
                    for (block, to) in to.chunks_mut(LANES * width).enumerate() {
                        let terms = to.len() / width;
                        for column in 0..width {
                            let values = &values[(first + column) * stride + block * LANES..][..terms];
                            for (to, &value) in to.chunks_exact_mut(width).zip(values) {
                                to[column] = value;
                            }
                        }
                    }
                }
            }
        });
    }
}

struct PanelColumns<T>(std::marker::PhantomData<T>);

impl<T: Real> WithSimd for PanelColumns<T> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * T::width::<S>()
    }
}

/// What becomes of the earlier content of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onto {
    /// It is overwritten.
    Nothing,
    /// The product is added to it.
    Earlier,
}

/// `out = left * right`, or plus what was there: rows of `stride` numbers, of which the first `right.columns` are
/// written. The rows of `out`, a multiple of [`STRIP`], are spread over the threads.
pub(crate) fn multiply<T: Real>(left: Stored<'_, T>, right: &Panels<T>, onto: Onto, out: &mut [T], stride: usize) {
    let arch = pulp::Arch::new();
    let rows = |strips: &mut Vec<T>, (chunk, out): (usize, &mut [T])| {
        arch.dispatch(MultiplyRows { left, first: chunk * ROWS, right, onto, out, stride, strips });
    };
    out.par_chunks_mut(ROWS * stride).with_max_len(1).enumerate().for_each_init(Vec::new, rows);
}

/// The same for the rows of one task, whose first is row `first` of `left`. `strips` is scratch.
pub(crate) struct MultiplyRows<'a, T> {
    pub(crate) left: Stored<'a, T>,
    pub(crate) first: usize,
    pub(crate) right: &'a Panels<T>,
    pub(crate) onto: Onto,
    pub(crate) out: &'a mut [T],
    pub(crate) stride: usize,
    pub(crate) strips: &'a mut Vec<T>,
}

impl<T: Real> WithSimd for MultiplyRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, first, right, onto, out, stride, strips } = self;
        let width = VECTORS * T::width::<S>();
        let rows = out.len() / stride;
        if right.depth == 0 && onto == Onto::Nothing {
            out.chunks_exact_mut(stride).for_each(|row| row[..right.columns].fill(T::ZERO));
        }
        for term in (0..right.depth).step_by(DEPTH) {
            let depth = DEPTH.min(right.depth - term);
            pack(left, first, rows, term, depth, strips);
            let keep = onto == Onto::Earlier || term > 0;
            for from in (0..right.columns).step_by(width) {
                let columns = width.min(right.columns - from);
                let panel = &right.values[from * right.depth + term * columns..][..depth * columns];
                for (strip, out) in strips.chunks_exact(STRIP * depth).zip(out.chunks_exact_mut(STRIP * stride)) {
                    match columns / T::width::<S>() {
                        VECTORS => strip_tile::<T, S, VECTORS>(simd, strip, panel, keep, out, stride, from),
                        2 => strip_tile::<T, S, 2>(simd, strip, panel, keep, out, stride, from),
                        _ => strip_tile::<T, S, 1>(simd, strip, panel, keep, out, stride, from),
                    }
                }
            }
        }
    }
}

/// Packs some terms of some rows, strip after strip: for each term, the values of the strip's rows.
#[inline(always)]
fn pack<T: Real>(left: Stored<'_, T>, first: usize, rows: usize, term: usize, depth: usize, strips: &mut Vec<T>) {
    strips.clear();
    strips.resize(rows * depth, T::ZERO);
    match left {
        Stored::Rows(values, stride) => {
            for (s, strip) in strips.chunks_exact_mut(STRIP * depth).enumerate() {
                let strip = strip.as_chunks_mut::<STRIP>().0;
                let mut from = [values; STRIP];
                for r in 0..STRIP {
                    from[r] = &values[(first + s * STRIP + r) * stride + term..][..strip.len()];
                }
                for (k, to) in strip.iter_mut().enumerate() {
                    for r in 0..STRIP {
                        to[r] = from[r][k];
                    }
                }
            }
        }
        Stored::Columns(values, stride) => {
            for k in 0..depth {
                let from = values[(term + k) * stride + first..][..rows].as_chunks::<STRIP>().0;
                for (s, from) in from.iter().enumerate() {
                    strips[(s * depth + k) * STRIP..][..STRIP].copy_from_slice(from);
                }
            }
        }
    }
}

/// A strip times a panel: as many sums as registers hold, 8 x 3 of 32 or 4 x 3 of 16.
#[inline(always)]
fn strip_tile<T: Real, S: Simd, const W: usize>(
    simd: S,
    strip: &[T],
    panel: &[T],
    keep: bool,
    out: &mut [T],
    stride: usize,
    at: usize,
) {
    if S::REGISTER_COUNT >= 32 {
        tile::<T, S, STRIP, W>(simd, strip, 0, panel, keep, out, stride, at);
    } else {
        for half in [0, STRIP / 2] {
            tile::<T, S, { STRIP / 2 }, W>(simd, strip, half, panel, keep, out, stride, at);
        }
    }
}

/// Rows `from..from + R` of the strip.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the innermost loop, monomorphic and closure-free")]
fn tile<T: Real, S: Simd, const R: usize, const W: usize>(
    simd: S,
    strip: &[T],
    from: usize,
    panel: &[T],
    keep: bool,
    out: &mut [T],
    stride: usize,
    at: usize,
) {
    let columns = W * T::width::<S>();
    let mut acc = [[T::splat(simd, T::ZERO); W]; R];
    if keep {
        for r in 0..R {
            acc[r].copy_from_slice(T::vectors::<S>(&out[(from + r) * stride + at..][..columns]));
        }
    }
    let panel = T::vectors::<S>(panel).as_chunks::<W>().0;
    for (left, right) in strip.as_chunks::<STRIP>().0.iter().zip(panel) {
        for r in 0..R {
            let left = T::splat(simd, left[from + r]);
            for w in 0..W {
                acc[r][w] = T::fma(simd, left, right[w], acc[r][w]);
            }
        }
    }
    for r in 0..R {
        T::vectors_mut::<S>(&mut out[(from + r) * stride + at..][..columns]).copy_from_slice(&acc[r]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(count: usize, seed: usize) -> Vec<f64> {
        (0..count).map(|n| ((n * 37 + seed * 11) % 101) as f64 / 50.0 - 1.0).collect()
    }

    fn check<T: Real>(rows: usize, depth: usize, columns: usize, tolerance: f64) {
        let (a, b, c) = (matrix(rows * depth, 1), matrix(depth * columns, 2), matrix(rows * columns, 3));
        let of = |m: &[f64]| m.iter().map(|&v| T::of(v)).collect::<Vec<T>>();
        let turned = |m: &[f64], rows: usize, columns: usize| {
            of(&(0..rows * columns).map(|n| m[n % rows * columns + n / rows]).collect::<Vec<_>>())
        };
        let (left, left_turned) = (of(&a), turned(&a, rows, depth));
        let (right, right_turned) = (of(&b), turned(&b, depth, columns));
        let mut panels = Panels::new(depth, columns);
        for (left, right) in [
            (Stored::Rows(&left, depth), Stored::Rows(&right, columns)),
            (Stored::Columns(&left_turned, rows), Stored::Columns(&right_turned, depth)),
        ] {
            panels.pack(right, depth);
            for onto in [Onto::Nothing, Onto::Earlier] {
                let mut out = of(&c);
                multiply(left, &panels, onto, &mut out, columns);
                for (n, got) in out.iter().enumerate() {
                    let (r, column) = (n / columns, n % columns);
                    let sum: f64 = (0..depth).map(|k| a[r * depth + k] * b[k * columns + column]).sum();
                    let expected = if onto == Onto::Earlier { sum + c[n] } else { sum };
                    assert!((got.wide() - expected).abs() < tolerance, "{rows} x {depth} x {columns}: {r}, {column}");
                }
            }
        }
    }

    #[test]
    fn products_of_many_shapes() {
        for (rows, depth, columns) in
            [(8, 1, 16), (16, 5, 32), (72, 33, 48), (136, 600, 80), (8, 1030, 112), (8, 0, 16)]
        {
            check::<f64>(rows, depth, columns, 1e-10);
            check::<f32>(rows, depth, columns, 2e-3);
        }
    }
}
