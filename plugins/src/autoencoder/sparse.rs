//! Products over the training rows only: the encoder and the decoder at observed pairs, and what flows back.

use super::ratings::{Ratings, Side};
use crate::linear::{Real, add_rows, dots};
use crate::split::split;
use crate::squash::Squash;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Entities handled by one task.
const CHUNK: usize = 16;
/// Rows whose products and sums are made one after the other, while their vectors are in the cache.
const GROUP: usize = 32;

/// `to += sum of weights[n] rows[picks[n]]`; rows are `stride` long, of which the first `to.len()` numbers count.
#[inline(always)]
fn gather<T: Real, S: Simd>(simd: S, rows: &[T], stride: usize, picks: &[u32], weights: &[T], to: &mut [T]) {
    let (width, count) = (T::width::<S>(), to.len() / T::width::<S>());
    // As many vectors of the sum as fit into half of the registers, and those that are left.
    let whole = if S::REGISTER_COUNT >= 32 {
        gather_of::<T, S, 16>(simd, rows, stride, picks, weights, to, 0, count)
    } else {
        gather_of::<T, S, 8>(simd, rows, stride, picks, weights, to, 0, count)
    };
    debug_assert!(whole <= count && to.len().is_multiple_of(width));
    let whole = gather_of::<T, S, 4>(simd, rows, stride, picks, weights, to, whole, count);
    gather_of::<T, S, 1>(simd, rows, stride, picks, weights, to, whole, count);
}

/// The same from vector `first` on, `V` vectors at a time as long as there are so many before `end`; where it stopped.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "an inner loop, monomorphic and closure-free")]
fn gather_of<T: Real, S: Simd, const V: usize>(
    simd: S,
    rows: &[T],
    stride: usize,
    picks: &[u32],
    weights: &[T],
    to: &mut [T],
    mut first: usize,
    end: usize,
) -> usize {
    let lanes = T::width::<S>();
    while first + V <= end {
        let to = &mut T::vectors_mut::<S>(&mut to[first * lanes..(first + V) * lanes])[..V];
        let mut acc = [to[0]; V];
        acc.copy_from_slice(to);
        for (&pick, &weight) in picks.iter().zip(weights) {
            let row = &T::vectors::<S>(&rows[pick as usize * stride + first * lanes..][..V * lanes])[..V];
            let weight = T::splat(simd, weight);
            for v in 0..V {
                acc[v] = T::fma(simd, weight, row[v], acc[v]);
            }
        }
        to.copy_from_slice(&acc);
        first += V;
    }
    first
}

/// A task: every row of `out` becomes `base` plus weighted rows of the other side.
struct Sums<'a, T> {
    side: &'a Side<T>,
    /// Weights of the rows of `side`; by way of `place` where that is given.
    weights: &'a [T],
    place: Option<&'a [u32]>,
    base: &'a [T],
    rows: &'a [T],
    row_stride: usize,
    first: usize,
    out: &'a mut [T],
    stride: usize,
    picked: &'a mut Vec<T>,
}

impl<T: Real> WithSimd for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.base.len();
        for (entity, out) in (self.first..).zip(self.out.chunks_exact_mut(self.stride)) {
            let rows = self.side.rows(entity);
            let weights = match self.place {
                None => &self.weights[rows.clone()],
                Some(place) => {
                    self.picked.clear();
                    self.picked.extend(place[rows.clone()].iter().map(|&n| self.weights[n as usize]));
                    &self.picked[..]
                }
            };
            let out = &mut out[..width];
            out.copy_from_slice(self.base);
            gather(simd, self.rows, self.row_stride, &self.side.partners[rows], weights, out);
        }
    }
}

/// Sum of rows times a weight each, on one thread.
struct Total<'a, T> {
    rows: &'a [T],
    weights: &'a [T],
    stride: usize,
    to: &'a mut [T],
}

impl<T: Real> WithSimd for Total<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_rows(simd, self.rows, self.weights, self.stride, 0, self.to);
    }
}

/// The first hidden layer before its activation: `out` holds a row of `stride` numbers for every item.
pub(super) fn encode<T: Real>(ratings: &Ratings<T>, weights: &[T], width: usize, out: &mut [T], stride: usize) {
    let arch = pulp::Arch::new();
    let (rows, bias) = weights.split_at(ratings.users * width);
    let mut base = bias.to_vec();
    // The missing inputs of all users make a constant vector, the same for all items.
    arch.dispatch(Total { rows, weights: &ratings.missing, stride: width, to: &mut base });
    let (side, base) = (&ratings.by_item, &base[..]);
    let items = out[..ratings.items() * stride].par_chunks_mut(CHUNK * stride).with_max_len(1).enumerate();
    items.for_each_init(Vec::new, |picked, (chunk, out)| {
        let (weights, first) = (&side.inputs[..], chunk * CHUNK);
        arch.dispatch(Sums { side, weights, place: None, base, rows, row_stride: width, first, out, stride, picked });
    });
}

/// The gradient of the encoder: `back` holds what flows back to the first hidden layer before its activation.
pub(super) fn encoder_gradient<T: Real>(
    ratings: &Ratings<T>,
    back: &[T],
    stride: usize,
    gradient: &mut [T],
    width: usize,
) {
    let arch = pulp::Arch::new();
    let (rows, bias) = gradient.split_at_mut(ratings.users * width);
    bias.fill(T::ZERO);
    let rest = &back[..ratings.items() * stride];
    arch.dispatch(Total { rows: rest, weights: &ratings.ones, stride, to: bias });
    let missing = ratings.missing.first().copied().unwrap_or(T::ZERO);
    let base: Vec<T> = bias.iter().map(|&b| missing * b).collect();
    let (side, base) = (&ratings.by_user, &base[..]);
    rows.par_chunks_mut(CHUNK * width).with_max_len(1).enumerate().for_each_init(Vec::new, |picked, (chunk, out)| {
        let (weights, first, row_stride) = (&side.inputs[..], chunk * CHUNK, stride);
        arch.dispatch(Sums {
            side,
            weights,
            place: None,
            base,
            rows: back,
            row_stride,
            first,
            out,
            stride: width,
            picked,
        });
    });
}

/// What flows back from the training rows to the last hidden layer; `errors` is by user.
pub(super) fn back_to_hidden<T: Real>(
    ratings: &Ratings<T>,
    errors: &[T],
    decoder: &[T],
    stride: usize,
    back: &mut [T],
) {
    let arch = pulp::Arch::new();
    let base = vec![T::ZERO; stride];
    let (side, base) = (&ratings.by_item, &base[..]);
    let items = back[..ratings.items() * stride].par_chunks_mut(CHUNK * stride).with_max_len(1).enumerate();
    items.for_each_init(Vec::new, |picked, (chunk, out)| {
        let (place, first, row_stride) = (Some(&ratings.place[..]), chunk * CHUNK, stride);
        arch.dispatch(Sums {
            side,
            weights: errors,
            place,
            base,
            rows: decoder,
            row_stride,
            first,
            out,
            stride,
            picked,
        });
    });
}

/// What the training rows ask for.
#[derive(Clone, Copy)]
pub(super) struct Errors<'a> {
    pub(super) squash: Squash,
    /// Weight of the sum of squared errors.
    pub(super) weight: f64,
    /// A further derivative by the prediction of every row, by user.
    pub(super) extra: Option<&'a [f64]>,
}

/// Outputs at the training rows, their errors, by user, and the gradient of the decoder. Returns the sum of squares.
pub(super) fn decode<T: Real>(
    ratings: &Ratings<T>,
    ask: Errors<'_>,
    hidden: &[T],
    decoder: &[T],
    stride: usize,
    errors: &mut [T],
    gradient: &mut [T],
) -> f64 {
    let arch = pulp::Arch::new();
    let rows = gradient[..ratings.users * stride].par_chunks_mut(CHUNK * stride);
    let chunks = split(&ratings.by_user.offsets, errors, CHUNK).into_par_iter().zip(rows).with_max_len(1);
    let sums: Vec<f64> = chunks
        .map(|((first, errors), to)| arch.dispatch(Decode { ratings, ask, hidden, decoder, stride, first, errors, to }))
        .collect();
    sums.iter().sum()
}

/// The predictions at the training rows, by user.
pub(super) fn predict<T: Real>(
    ratings: &Ratings<T>,
    squash: Squash,
    hidden: &[T],
    decoder: &[T],
    stride: usize,
    out: &mut [f64],
) {
    let arch = pulp::Arch::new();
    split(&ratings.by_user.offsets, out, CHUNK).into_par_iter().with_max_len(1).for_each(|(first, out)| {
        arch.dispatch(Predict { ratings, squash, hidden, decoder, stride, first, out });
    });
}

/// Products of `row` with some picked rows.
#[inline(always)]
fn products<T: Real, S: Simd>(simd: S, row: &[T], rows: &[T], picks: &[u32], out: &mut [T]) {
    let stride = row.len();
    let (eights, rest) = picks.as_chunks::<8>();
    let (out, out_rest) = out[..picks.len()].as_chunks_mut::<8>();
    for (picks, out) in eights.iter().zip(out) {
        let mut eight = [row; 8];
        for r in 0..8 {
            eight[r] = &rows[picks[r] as usize * stride..][..stride];
        }
        *out = dots(simd, eight, row);
    }
    for (&pick, out) in rest.iter().zip(out_rest) {
        [*out] = dots(simd, [&rows[pick as usize * stride..][..stride]], row);
    }
}

struct Predict<'a, T> {
    ratings: &'a Ratings<T>,
    squash: Squash,
    hidden: &'a [T],
    decoder: &'a [T],
    stride: usize,
    first: usize,
    out: &'a mut [f64],
}

impl<T: Real> WithSimd for Predict<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let side = &self.ratings.by_user;
        let mut z = [T::ZERO; GROUP];
        let start = side.offsets[self.first];
        for user in self.first..(self.first + CHUNK).min(self.ratings.users) {
            let row = &self.decoder[user * self.stride..][..self.stride];
            let rows = side.rows(user);
            let out = &mut self.out[rows.start - start..rows.end - start];
            for (picks, out) in side.partners[rows].chunks(GROUP).zip(out.chunks_mut(GROUP)) {
                products(simd, row, self.hidden, picks, &mut z);
                for (out, z) in out.iter_mut().zip(z) {
                    *out = self.squash.value(z.wide());
                }
            }
        }
    }
}

struct Decode<'a, T> {
    ratings: &'a Ratings<T>,
    ask: Errors<'a>,
    hidden: &'a [T],
    decoder: &'a [T],
    stride: usize,
    first: usize,
    errors: &'a mut [T],
    to: &'a mut [T],
}

impl<T: Real> WithSimd for Decode<'_, T> {
    /// Sum of squared errors.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { ratings, ask, hidden, decoder, stride, first, errors, to } = self;
        let side = &ratings.by_user;
        let start = side.offsets[first];
        let mut sum = 0.0;
        let mut z = [T::ZERO; GROUP];
        for (user, to) in (first..).zip(to.chunks_exact_mut(stride)) {
            let row = &decoder[user * stride..][..stride];
            to.fill(T::ZERO);
            let rows = side.rows(user);
            for from in rows.clone().step_by(GROUP) {
                let end = rows.end.min(from + GROUP);
                let (picks, errors) = (&side.partners[from..end], &mut errors[from - start..end - start]);
                products(simd, row, hidden, picks, &mut z);
                for (n, error) in errors.iter_mut().enumerate() {
                    let (square, pull) = ask.error(z[n].wide(), side.targets[from + n].wide(), from + n);
                    sum += square;
                    *error = T::of(pull);
                }
                gather(simd, hidden, stride, picks, errors, to);
            }
        }
        sum
    }
}

impl Errors<'_> {
    /// The squared error of row `n` by user, and what flows back from it.
    #[inline(always)]
    pub(super) fn error(&self, z: f64, target: f64, n: usize) -> (f64, f64) {
        let miss = self.squash.value(z) - target;
        let extra = match self.extra {
            Some(extra) => extra[n],
            None => 0.0,
        };
        (miss * miss, (2.0 * self.weight * miss + extra) * self.squash.slope(z))
    }
}
