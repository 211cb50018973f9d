//! Products of tiles of factors, in explicit vector instructions: out of the factors of some users and of [`TILE`] items, and back.
//!
//! Users stand in padded rows; the items of a tile in rows too, and transposed in a panel, one factor of all items after
//! the other. Sums run over the factors, the users of a block or the items of a tile in order, in separate lanes: the
//! length of the processor's vectors does not change a bit.

use crate::linear::Real;
use pulp::Simd;

/// Items of a tile.
pub(super) const TILE: usize = 64;
/// Users of a block: with a tile of items, their products and factors stay in the first-level cache.
pub(super) const BLOCK: usize = 64;

/// `z[u] = panel' row[u]` for some users: their products with all items of the tile.
#[inline(always)]
pub(super) fn products<T: Real, S: Simd>(simd: S, rows: &[T], width: usize, panel: &[T], z: &mut [T]) {
    // As many sums as registers hold: 6 x 4 of 32, 6 x 2 of 16.
    if S::REGISTER_COUNT >= 32 {
        products_of::<T, S, 4>(simd, rows, width, panel, z);
    } else {
        products_of::<T, S, 2>(simd, rows, width, panel, z);
    }
}

#[inline(always)]
fn products_of<T: Real, S: Simd, const W: usize>(simd: S, rows: &[T], width: usize, panel: &[T], z: &mut [T]) {
    const AT_ONCE: usize = 6;
    let users = z.len() / TILE;
    let mut user = 0;
    while user < users {
        let left = &rows[user * width..];
        let out = &mut z[user * TILE..];
        // The vectors of a tile come in whole groups, or one by one where they are longer than usual.
        let (step, vectors) = (W * T::width::<S>(), TILE / T::width::<S>());
        if user + AT_ONCE <= users && vectors.is_multiple_of(W) {
            for first in (0..TILE).step_by(step) {
                product::<T, S, AT_ONCE, W>(simd, left, width, panel, first, out);
            }
            user += AT_ONCE;
        } else {
            for first in (0..TILE).step_by(T::width::<S>()) {
                product::<T, S, 1, 1>(simd, left, width, panel, first, out);
            }
            user += 1;
        }
    }
}

#[inline(always)]
fn product<T: Real, S: Simd, const U: usize, const W: usize>(
    simd: S,
    rows: &[T],
    width: usize,
    panel: &[T],
    first: usize,
    z: &mut [T],
) {
    let mut left = [rows; U];
    for u in 0..U {
        left[u] = &rows[u * width..][..width];
    }
    let mut acc = [[T::splat(simd, T::ZERO); W]; U];
    for (f, factor) in panel.chunks_exact(TILE).enumerate() {
        let items = &T::vectors::<S>(&factor[first..])[..W];
        for u in 0..U {
            let user = T::splat(simd, left[u][f]);
            for w in 0..W {
                acc[u][w] = T::fma(simd, user, items[w], acc[u][w]);
            }
        }
    }
    for u in 0..U {
        let to = &mut T::vectors_mut::<S>(&mut z[u * TILE + first..(u + 1) * TILE])[..W];
        to.copy_from_slice(&acc[u]);
    }
}

/// `panel += sum over users of row[u] e[u]'`: what flows back to the items of the tile.
#[inline(always)]
pub(super) fn to_items<T: Real, S: Simd>(simd: S, rows: &[T], width: usize, e: &[T], panel: &mut [T]) {
    if S::REGISTER_COUNT >= 32 {
        to_items_of::<T, S, 4>(simd, rows, width, e, panel);
    } else {
        to_items_of::<T, S, 2>(simd, rows, width, e, panel);
    }
}

#[inline(always)]
fn to_items_of<T: Real, S: Simd, const W: usize>(simd: S, rows: &[T], width: usize, e: &[T], panel: &mut [T]) {
    const AT_ONCE: usize = 4;
    let (step, vectors) = (W * T::width::<S>(), TILE / T::width::<S>());
    let whole = if vectors.is_multiple_of(W) { panel.len() / TILE / AT_ONCE * AT_ONCE } else { 0 };
    for f in (0..whole).step_by(AT_ONCE) {
        for first in (0..TILE).step_by(step) {
            to_factors::<T, S, AT_ONCE, W>(simd, &rows[f..], width, e, first, &mut panel[f * TILE..]);
        }
    }
    for f in whole..panel.len() / TILE {
        for first in (0..TILE).step_by(T::width::<S>()) {
            to_factors::<T, S, 1, 1>(simd, &rows[f..], width, e, first, &mut panel[f * TILE..]);
        }
    }
}

/// `F` factors from the first of `rows` on, `W` vectors of items from item `first` on.
#[inline(always)]
fn to_factors<T: Real, S: Simd, const F: usize, const W: usize>(
    simd: S,
    rows: &[T],
    width: usize,
    e: &[T],
    first: usize,
    panel: &mut [T],
) {
    let mut acc = [[T::splat(simd, T::ZERO); W]; F];
    for f in 0..F {
        acc[f].copy_from_slice(&T::vectors::<S>(&panel[f * TILE + first..(f + 1) * TILE])[..W]);
    }
    for (row, e) in rows.chunks(width).zip(e.chunks_exact(TILE)) {
        let e = &T::vectors::<S>(&e[first..])[..W];
        let row = &row[..F];
        for f in 0..F {
            let user = T::splat(simd, row[f]);
            for w in 0..W {
                acc[f][w] = T::fma(simd, user, e[w], acc[f][w]);
            }
        }
    }
    for f in 0..F {
        T::vectors_mut::<S>(&mut panel[f * TILE + first..(f + 1) * TILE])[..W].copy_from_slice(&acc[f]);
    }
}

/// `to[u] += sum over the items of the tile of e[u][i] items[i]`: what flows back to the users; `items` and `to` are
/// padded rows.
#[inline(always)]
pub(super) fn to_users<T: Real, S: Simd>(simd: S, items: &[T], width: usize, e: &[T], to: &mut [T]) {
    if S::REGISTER_COUNT >= 32 {
        to_users_of::<T, S, 8>(simd, items, width, e, to);
    } else {
        to_users_of::<T, S, 4>(simd, items, width, e, to);
    }
}

#[inline(always)]
fn to_users_of<T: Real, S: Simd, const U: usize>(simd: S, items: &[T], width: usize, e: &[T], to: &mut [T]) {
    let users = to.len() / width;
    let vectors = width / T::width::<S>();
    let mut user = 0;
    while user < users {
        let (e, to) = (&e[user * TILE..], &mut to[user * width..]);
        let pairs = vectors / 2 * 2;
        if user + U <= users {
            for v in (0..pairs).step_by(2) {
                to_rows::<T, S, U, 2>(simd, items, width, e, v, to);
            }
            for v in pairs..vectors {
                to_rows::<T, S, U, 1>(simd, items, width, e, v, to);
            }
            user += U;
        } else {
            for v in 0..vectors {
                to_rows::<T, S, 1, 1>(simd, items, width, e, v, to);
            }
            user += 1;
        }
    }
}

#[inline(always)]
fn to_rows<T: Real, S: Simd, const U: usize, const W: usize>(
    simd: S,
    items: &[T],
    width: usize,
    e: &[T],
    v: usize,
    to: &mut [T],
) {
    let mut of = [e; U];
    for u in 0..U {
        of[u] = &e[u * TILE..][..TILE];
    }
    let mut acc = [[T::splat(simd, T::ZERO); W]; U];
    for (i, item) in items.chunks_exact(width).take(TILE).enumerate() {
        let item = &T::vectors::<S>(item)[v..v + W];
        for u in 0..U {
            let e = T::splat(simd, of[u][i]);
            for w in 0..W {
                acc[u][w] = T::fma(simd, e, item[w], acc[u][w]);
            }
        }
    }
    for u in 0..U {
        let to = &mut T::vectors_mut::<S>(&mut to[u * width..][..width])[v..v + W];
        for w in 0..W {
            to[w] = T::plus(simd, to[w], acc[u][w]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::WithSimd;

    /// All three products of `users` rows of `rank` factors with a tile.
    struct All {
        users: usize,
        rank: usize,
    }

    impl WithSimd for All {
        type Output = [Vec<f32>; 3];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let (rows, items, panel) = factors(self.users, self.rank);
            let width = crate::linear::padded(self.rank);
            let mut z = vec![f32::NAN; self.users * TILE];
            products(simd, &rows, width, &panel, &mut z);
            let (mut back, mut to) = (vec![1.0; panel.len()], vec![2.0; rows.len()]);
            to_items(simd, &rows, width, &z, &mut back);
            to_users(simd, &items, width, &z, &mut to);
            [z, back, to]
        }
    }

    /// Small whole numbers, so that every sum is exact.
    fn factors(users: usize, rank: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let width = crate::linear::padded(rank);
        let entry =
            |e: usize, f: usize, salt: usize| if f < rank { ((e * 7 + f * 3 + salt) % 5) as f32 - 2.0 } else { 0.0 };
        let rows = (0..users * width).map(|n| entry(n / width, n % width, 1)).collect();
        let items = (0..TILE * width).map(|n| entry(n / width, n % width, 2)).collect();
        let panel = (0..rank * TILE).map(|n| entry(n % TILE, n / TILE, 2)).collect();
        (rows, items, panel)
    }

    #[test]
    fn products_are_those_of_the_definition() {
        for (users, rank) in [(1, 1), (5, 3), (6, 16), (8, 20), (13, 22), (64, 33)] {
            let width = crate::linear::padded(rank);
            let (rows, items, _) = factors(users, rank);
            let dot =
                |u: usize, i: usize| -> f32 { (0..rank).map(|f| rows[u * width + f] * items[i * width + f]).sum() };
            let [z, back, to] = pulp::Arch::new().dispatch(All { users, rank });
            for u in 0..users {
                for i in 0..TILE {
                    assert_eq!(z[u * TILE + i], dot(u, i), "{users} {rank}: user {u}, item {i}");
                }
                for f in 0..width {
                    let sum: f32 = (0..TILE).map(|i| dot(u, i) * items[i * width + f]).sum();
                    assert_eq!(to[u * width + f], 2.0 + sum, "{users} {rank}: user {u}, factor {f}");
                }
            }
            for f in 0..rank {
                for i in 0..TILE {
                    let sum: f32 = (0..users).map(|u| dot(u, i) * rows[u * width + f]).sum();
                    assert_eq!(back[f * TILE + i], 1.0 + sum, "{users} {rank}: factor {f}, item {i}");
                }
            }
            let scalar = All { users, rank }.with_simd(pulp::Scalar);
            assert_eq!([z, back, to], scalar);
        }
    }
}
