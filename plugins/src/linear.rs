//! Small dense linear algebra on padded rows, in explicit vector instructions chosen at run time.
//!
//! Sums run in [`LANES`] fixed lanes and are added up as a tree, whatever the length of the processor's vectors: the
//! bits of a result depend neither on the processor nor on the number of threads.

mod real;

pub(crate) use real::Real;

use pulp::Simd;

/// Rows are padded with zeros to a multiple of this many numbers.
pub(crate) const LANES: usize = 16;

/// Length of a padded row of `rank` numbers.
pub(crate) fn padded(rank: usize) -> usize {
    rank.next_multiple_of(LANES)
}

/// Inner products of `R` padded rows with `p`, which is read once for all.
#[inline(always)]
pub(crate) fn dots<T: Real, S: Simd, const R: usize>(simd: S, rows: [&[T]; R], p: &[T]) -> [T; R] {
    // Vectors that make up the fixed lanes: a constant of the processor, so one arm is compiled.
    match LANES / T::width::<S>() {
        1 => dots_in::<T, S, R, 1>(simd, rows, p),
        2 => dots_in::<T, S, R, 2>(simd, rows, p),
        4 => dots_in::<T, S, R, 4>(simd, rows, p),
        8 => dots_in::<T, S, R, 8>(simd, rows, p),
        _ => dots_in::<T, S, R, 16>(simd, rows, p),
    }
}

#[inline(always)]
fn dots_in<T: Real, S: Simd, const R: usize, const G: usize>(simd: S, rows: [&[T]; R], p: &[T]) -> [T; R] {
    let mut acc = [[T::splat(simd, T::ZERO); G]; R];
    let p = T::vectors::<S>(p).as_chunks::<G>().0;
    let mut vectors = [p; R];
    for r in 0..R {
        vectors[r] = &T::vectors::<S>(rows[r]).as_chunks::<G>().0[..p.len()];
    }
    for (c, p) in p.iter().enumerate() {
        for r in 0..R {
            for g in 0..G {
                acc[r][g] = T::fma(simd, vectors[r][c][g], p[g], acc[r][g]);
            }
        }
    }
    let mut sums = [T::ZERO; R];
    for r in 0..R {
        let mut half = G / 2;
        while half > 0 {
            for g in 0..half {
                acc[r][g] = T::plus(simd, acc[r][g], acc[r][g + half]);
            }
            half /= 2;
        }
        sums[r] = T::sum(simd, acc[r][0]);
    }
    sums
}

/// Inner product of two padded rows.
#[inline(always)]
pub(crate) fn dot<T: Real, S: Simd>(simd: S, a: &[T], b: &[T]) -> T {
    let [sum] = dots(simd, [a], b);
    sum
}

/// `to += scale * row` on padded rows.
#[inline(always)]
pub(crate) fn axpy<T: Real, S: Simd>(simd: S, scale: T, row: &[T], to: &mut [T]) {
    let scale = T::splat(simd, scale);
    for (to, row) in T::vectors_mut::<S>(to).iter_mut().zip(T::vectors::<S>(row)) {
        *to = T::fma(simd, scale, *row, *to);
    }
}

/// `to += sum of (base[n] + weights[n] rows[n] . p) rows[n]` over some padded rows, so that `p` and `to` are read once
/// for all of them.
#[inline(always)]
pub(crate) fn add_ranks<T: Real, S: Simd, const R: usize>(
    simd: S,
    rows: [&[T]; R],
    base: [T; R],
    weights: [T; R],
    p: &[T],
    to: &mut [T],
) {
    let dots = dots(simd, rows, p);
    let to = T::vectors_mut::<S>(to);
    let mut scale = [T::splat(simd, T::ZERO); R];
    let mut vectors = [&T::vectors::<S>(p)[..0]; R];
    for r in 0..R {
        scale[r] = T::splat(simd, base[r] + weights[r] * dots[r]);
        vectors[r] = &T::vectors::<S>(rows[r])[..to.len()];
    }
    // Two chains of sums, of even and of odd rows: half the latency.
    for (c, to) in to.iter_mut().enumerate() {
        let mut chains = [*to, T::splat(simd, T::ZERO)];
        for r in 0..R {
            chains[r % 2] = T::fma(simd, scale[r], vectors[r][c], chains[r % 2]);
        }
        *to = T::plus(simd, chains[0], chains[1]);
    }
}

/// `gram += rows' rows` for padded `rows` of `width`, the upper triangle (a little more, where a tile overlaps it).
#[inline(always)]
pub(crate) fn add_gram<T: Real, S: Simd>(simd: S, rows: &[T], width: usize, gram: &mut [T]) {
    tiles(simd, T::ONE, rows, width, 0, gram);
}

/// `out += sign * rows' rows`, of which `out` holds the rows from `first` on; the upper triangle.
#[inline(always)]
fn tiles<T: Real, S: Simd>(simd: S, sign: T, rows: &[T], width: usize, first: usize, out: &mut [T]) {
    // As many sums as registers hold: 8 x 3 of 32, 4 x 3 of 16.
    if S::REGISTER_COUNT >= 32 && T::width::<S>() >= 8 {
        tiles_of::<T, S, 8>(simd, sign, rows, width, first, out);
    } else {
        tiles_of::<T, S, 4>(simd, sign, rows, width, first, out);
    }
}

#[inline(always)]
fn tiles_of<T: Real, S: Simd, const TILE: usize>(
    simd: S,
    sign: T,
    rows: &[T],
    width: usize,
    first: usize,
    out: &mut [T],
) {
    let end = width / T::width::<S>();
    for i in (first..width).step_by(TILE) {
        let out = &mut out[(i - first) * width..][..TILE * width];
        // The vectors from the diagonal to the right, three at a time as long as there are three.
        let mut j = i / T::width::<S>();
        while j + 3 <= end {
            tile::<T, S, TILE, 3>(simd, sign, rows, width, i, j, out);
            j += 3;
        }
        if end - j == 2 {
            tile::<T, S, TILE, 2>(simd, sign, rows, width, i, j, out);
        } else if end - j == 1 {
            tile::<T, S, TILE, 1>(simd, sign, rows, width, i, j, out);
        }
    }
}

/// A tile of `TILE` rows from `i` and `W` vectors of columns from vector `j`, kept in registers over all of `rows`.
#[inline(always)]
fn tile<T: Real, S: Simd, const TILE: usize, const W: usize>(
    simd: S,
    sign: T,
    rows: &[T],
    width: usize,
    i: usize,
    j: usize,
    out: &mut [T],
) {
    let mut acc = [[T::splat(simd, T::ZERO); W]; TILE];
    for row in rows.chunks_exact(width) {
        let left = &row[i..i + TILE];
        let right = &T::vectors::<S>(row)[j..j + W];
        for t in 0..TILE {
            let left = T::splat(simd, left[t]);
            for w in 0..W {
                acc[t][w] = T::fma(simd, left, right[w], acc[t][w]);
            }
        }
    }
    let sign = T::splat(simd, sign);
    for t in 0..TILE {
        let to = &mut T::vectors_mut::<S>(&mut out[t * width..][..width])[j..j + W];
        for w in 0..W {
            to[w] = T::fma(simd, sign, acc[t][w], to[w]);
        }
    }
}

/// Cholesky factor in place: the upper triangle of `a` (rank rows of `width`) becomes U with A = U'U.
/// `inverse` receives the inverse diagonal. False where A is not positive definite to working precision; a pivot that is NaN or
/// infinite shows in the solution instead.
#[inline(always)]
pub(crate) fn cholesky<T: Real, S: Simd>(simd: S, a: &mut [T], rank: usize, width: usize, inverse: &mut [T]) -> bool {
    // A pivot this much smaller than its diagonal entry consists of rounding errors.
    let noise = T::of(rank as f64) * T::EPSILON;
    for j in 0..rank {
        inverse[j] = noise * a[j * width + j];
    }
    // Panels of LANES rows: each is factored row by row, then taken off all that lies below in one product.
    for first in (0..rank).step_by(LANES) {
        let (panel, below) = a[first * width..].split_at_mut(LANES * width);
        let rows = LANES.min(rank - first);
        for j in 0..rows {
            let (head, tail) = panel.split_at_mut((j + 1) * width);
            let pivot_row = &mut head[j * width + first..];
            let pivot = pivot_row[j];
            if pivot <= inverse[first + j] {
                return false;
            }
            inverse[first + j] = T::ONE / pivot.sqrt();
            rescale(simd, inverse[first + j], pivot_row);
            for i in j + 1..rows {
                let row = &mut tail[(i - j - 1) * width + first..(i - j) * width];
                axpy(simd, T::ZERO - pivot_row[i], pivot_row, row);
            }
        }
        if first + LANES < rank {
            tiles(simd, T::ZERO - T::ONE, panel, width, first + LANES, below);
        }
    }
    true
}

/// Solves U'U x = b in place, given what [`cholesky`] left. `b` is padded with zeros.
#[inline(always)]
pub(crate) fn solve<T: Real, S: Simd>(simd: S, u: &mut [T], rank: usize, width: usize, inverse: &[T], b: &mut [T]) {
    // U'y = b, panel by panel.
    let mut weights = [T::ZERO; LANES];
    for first in (0..rank).step_by(LANES) {
        let panel = &mut u[first * width..][..LANES * width];
        let (b, below) = b[first..].split_at_mut(LANES);
        for j in 0..LANES.min(rank - first) {
            // Entries left of the diagonal are not part of U; they are cleared so that whole vectors may be used.
            let row = &mut panel[j * width + first..][..LANES];
            let y = b[j] * inverse[first + j];
            row[..=j].fill(T::ZERO);
            axpy(simd, T::ZERO - y, row, b);
            b[j] = y;
            weights[j] = T::ZERO - y;
        }
        add_rows(simd, panel, &weights[..LANES.min(rank - first)], width, first + LANES, below);
    }
    // U x = y, from the last panel to the first.
    for first in (0..rank).step_by(LANES).rev() {
        let rows = LANES.min(rank - first);
        let panel = &u[first * width..][..LANES * width];
        let (b, below) = b[first..].split_at_mut(LANES);
        let mut right = [T::ZERO; LANES];
        for j in (0..LANES).step_by(4) {
            let mut four = [&panel[..0]; 4];
            for r in 0..4 {
                four[r] = &panel[(j + r) * width + first + LANES..(j + r + 1) * width];
            }
            right[j..j + 4].copy_from_slice(&dots(simd, four, below));
        }
        for j in (0..rows).rev() {
            let within = dot(simd, &panel[j * width + first..][..LANES], b);
            b[j] = (b[j] - right[j] - within) * inverse[first + j];
        }
    }
}

/// Solves U'y = b, given U with zeros left of the diagonal and its inverse diagonal. `b` is padded with zeros, and used up.
#[inline(always)]
pub(crate) fn forward_substitute<T: Real, S: Simd>(
    simd: S,
    u: &[T],
    rank: usize,
    width: usize,
    inverse: &[T],
    b: &mut [T],
    y: &mut [T],
) {
    for j in 0..rank {
        let from = j - j % LANES;
        y[j] = b[j] * inverse[j];
        axpy(simd, T::ZERO - y[j], &u[j * width + from..(j + 1) * width], &mut b[from..]);
    }
}

/// The columns of -V, where U = D V with the diagonal D: row j of `columns` becomes the j-th column without the -1 on the
/// diagonal. Other places, which must be zeros, stay.
#[inline(always)]
pub(crate) fn unit_columns<T: Real>(u: &[T], rank: usize, width: usize, inverse: &[T], columns: &mut [T]) {
    for i in 0..rank {
        let minus = T::ZERO - inverse[i];
        for j in i + 1..rank {
            columns[j * width + i] = u[i * width + j] * minus;
        }
    }
}

/// Solves V x = b in place for every padded row b of `rows`, given the [`unit_columns`] of V. Where the rows are `lower`
/// triangular, they stay so.
#[inline(always)]
pub(crate) fn back_substitute<T: Real, S: Simd>(
    simd: S,
    columns: &[T],
    rank: usize,
    width: usize,
    lower: bool,
    rows: &mut [T],
) {
    for j in (1..rank).rev() {
        let column = &T::vectors::<S>(&columns[j * width..][..width])[..j.div_ceil(T::width::<S>())];
        let rows = &mut rows[if lower { j * width } else { 0 }..];
        // All rows at once: each waits for its own earlier step only. One or two vectors stay in registers meanwhile.
        match *column {
            [a] => eliminate::<T, S, 1>(simd, [a], width, j, rows),
            [a, b] => eliminate::<T, S, 2>(simd, [a, b], width, j, rows),
            _ => {
                for row in rows.chunks_exact_mut(width) {
                    let scale = T::splat(simd, row[j]);
                    for (to, v) in T::vectors_mut::<S>(row).iter_mut().zip(column) {
                        *to = T::fma(simd, scale, *v, *to);
                    }
                }
            }
        }
    }
}

/// Adds to each row its j-th number times a column of `N` vectors.
#[inline(always)]
fn eliminate<T: Real, S: Simd, const N: usize>(
    simd: S,
    column: [T::Vector<S>; N],
    width: usize,
    j: usize,
    rows: &mut [T],
) {
    for row in rows.chunks_exact_mut(width) {
        let scale = T::splat(simd, row[j]);
        let to = &mut T::vectors_mut::<S>(row)[..N];
        for n in 0..N {
            to[n] = T::fma(simd, scale, column[n], to[n]);
        }
    }
}

/// `to += sum of weights[n] rows[n]` over the columns from `first` on of padded rows of `width`.
#[inline(always)]
pub(crate) fn add_rows<T: Real, S: Simd>(simd: S, rows: &[T], weights: &[T], width: usize, first: usize, to: &mut [T]) {
    let to = T::vectors_mut::<S>(to);
    // Four vectors stay in registers over all rows.
    for (c, to) in to.chunks_mut(4).enumerate() {
        let from = first + c * 4 * T::width::<S>();
        if let Ok(to) = <&mut [T::Vector<S>; 4]>::try_from(&mut *to) {
            let mut acc = *to;
            for (row, &weight) in rows.chunks_exact(width).zip(weights) {
                let weight = T::splat(simd, weight);
                let row = &T::vectors::<S>(&row[from..])[..4];
                for v in 0..4 {
                    acc[v] = T::fma(simd, weight, row[v], acc[v]);
                }
            }
            *to = acc;
        } else {
            for (row, &weight) in rows.chunks_exact(width).zip(weights) {
                let weight = T::splat(simd, weight);
                for (to, v) in to.iter_mut().zip(T::vectors::<S>(&row[from..])) {
                    *to = T::fma(simd, weight, *v, *to);
                }
            }
        }
    }
}

/// `row *= scale` on a padded row.
#[inline(always)]
pub(crate) fn rescale<T: Real, S: Simd>(simd: S, scale: T, row: &mut [T]) {
    let scale = T::splat(simd, scale);
    for v in T::vectors_mut::<S>(row) {
        *v = T::times(simd, *v, scale);
    }
}
