//! The CPU backend.

use crate::rank::{self, Rank};
use crate::select::{self, Select};
use crate::tile::{Largest, USERS, pack_items, pack_users, panel_items, scores};
use evenhand_core::dense::{Best, Dense, TopKRows, check_held_out, check_shapes, offer_unseen, positions};
use evenhand_core::metrics::Position;
use evenhand_core::{Compressed, Result, TopK};
use nalgebra::DMatrix;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Users that one task works on: their factors and candidates stay in the cache while the items stream by.
pub(crate) const BLOCK: usize = 64;

/// Dense predictions on the processor's vector units, all cores of the current pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Cpu {
    /// The vector instructions that are used on this processor, by their usual name.
    pub fn instructions() -> &'static str {
        match Arch::new() {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Arch::V4(_) => "AVX-512",
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Arch::V3(_) => "AVX2 and FMA",
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => "NEON",
            _ => "none",
        }
    }
}

impl Dense for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn scores(&self, users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>, out: &mut DMatrix<f32>) -> Result<()> {
        check_shapes(users, rows, items, None)?;
        out.resize_mut(items.ncols(), rows.len(), 0.0);
        let arch = Arch::new();
        let packed = Packed::new(arch, items);
        let chunks = out.as_mut_slice().par_chunks_mut((BLOCK * items.ncols()).max(1));
        chunks.zip(rows.par_chunks(BLOCK)).for_each_init(
            || (Vec::new(), packed.tile()),
            |(strips, tile), (out, rows)| {
                pack_users(users, rows, strips);
                arch.dispatch(Scores { packed: &packed, strips, tile, out });
            },
        );
        Ok(())
    }

    fn top_k(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        k: usize,
    ) -> Result<TopK> {
        check_shapes(users, rows, items, seen)?;
        let k = k.min(items.ncols());
        let mut top = TopK::new(rows.len(), k);
        if k == 0 {
            return Ok(top);
        }
        let arch = Arch::new();
        let packed = Packed::new(arch, items);
        let largest_item = largest(items.as_slice());
        let blocks: Vec<_> = top.chunks_mut(BLOCK).into_iter().zip(rows.chunks(BLOCK)).collect();
        let done = blocks.into_par_iter().map_init(
            || (Vec::new(), select::Workspace::new(k, packed.segment(select::SEGMENT))),
            |(strips, workspace), (out, rows)| {
                pack_users(users, rows, strips);
                if sure_to_be_finite(largest(strips), largest_item, items.nrows()) {
                    arch.dispatch(Select { packed: &packed, strips, rows, seen, workspace, out });
                    return Ok(());
                }
                select_checked(arch, &packed, strips, rows, seen, Best::new(k), out)
            },
        );
        // Of several failures the first one counts, however the blocks were scheduled.
        done.collect::<Vec<_>>().into_iter().collect::<Result<()>>()?;
        Ok(top)
    }

    fn ranks(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        held_out: &Compressed,
    ) -> Result<Vec<Position>> {
        check_held_out(users, rows, items, seen, held_out)?;
        // Users without a held-out item take no place in the result, and no time.
        let rows: Vec<u32> = rows.iter().copied().filter(|&row| held_out.count(row as usize) > 0).collect();
        let count = |rows: &[u32]| rows.iter().map(|&row| held_out.count(row as usize)).sum();
        let mut all = vec![Position::default(); count(&rows)];
        let (arch, mut left) = (Arch::new(), all.as_mut_slice());
        let packed = Packed::new(arch, items);
        let largest_item = largest(items.as_slice());
        let blocks: Vec<_> = rows
            .chunks(BLOCK)
            .map(|rows| (rows, left.split_off_mut(..count(rows)).expect("there is a place for each held-out item")))
            .collect();
        let done = blocks.into_par_iter().map_init(
            || (Vec::new(), rank::Workspace::new(packed.segment(rank::SEGMENT))),
            |(strips, workspace), (rows, out)| {
                pack_users(users, rows, strips);
                if sure_to_be_finite(largest(strips), largest_item, items.nrows()) {
                    let packed = &packed;
                    arch.dispatch(Rank { packed, strips, users, rows, items, seen, held_out, workspace, out });
                    return Ok(());
                }
                rank_checked(arch, &packed, strips, rows, seen, held_out, out)
            },
        );
        // Of several failures the first one counts, however the blocks were scheduled.
        done.collect::<Vec<_>>().into_iter().collect::<Result<()>>()?;
        Ok(all)
    }
}

/// The item factors in panels.
pub(crate) struct Packed {
    values: Vec<f32>,
    rank: usize,
    pub(crate) items: usize,
    /// Items of a panel.
    pub(crate) width: usize,
}

impl Packed {
    fn new(arch: Arch, items: &DMatrix<f32>) -> Self {
        struct Width;
        impl WithSimd for Width {
            type Output = usize;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> usize {
                panel_items::<S>()
            }
        }
        let width = arch.dispatch(Width);
        Self { values: pack_items(items, width), rank: items.nrows(), items: items.ncols(), width }
    }

    pub(crate) fn panels(&self) -> usize {
        self.items.div_ceil(self.width)
    }

    /// Items whose scores are looked at together: whole panels, `most` at most.
    fn segment(&self, most: usize) -> usize {
        self.width * self.panels().clamp(1, most / self.width)
    }

    /// Room for the scores of a strip against a panel.
    fn tile(&self) -> Vec<f32> {
        vec![0.0; USERS * self.width]
    }

    #[inline(always)]
    pub(crate) fn strip<'a>(&self, strips: &'a [f32], index: usize) -> &'a [f32] {
        let size = USERS * self.rank;
        &strips[index * size..][..size]
    }

    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        let size = self.width * self.rank;
        &self.values[index * size..][..size]
    }
}

/// The bits of the largest magnitude of some factors; NaN counts as larger than infinity.
pub(crate) fn largest(factors: &[f32]) -> u32 {
    Arch::new().dispatch(Largest(factors))
}

/// Whether no score can be other than finite, given the bits of the largest magnitudes of the factors. With
/// |user| |item| rank below the largest number no sum overflows, so the inner loops need not look.
pub(crate) fn sure_to_be_finite(user: u32, item: u32, rank: usize) -> bool {
    let bound = f64::from(f32::from_bits(user)) * f64::from(f32::from_bits(item)) * rank as f64;
    bound <= f64::from(f32::MAX) / 2.0 // false for NaN
}

/// Selects the best items of a block of users with a look at every score, as the reference does.
fn select_checked(
    arch: Arch,
    packed: &Packed,
    strips: &[f32],
    rows: &[u32],
    seen: Option<&Compressed>,
    mut best: Best,
    mut out: TopKRows<'_>,
) -> Result<()> {
    let mut tile = packed.tile();
    let mut scores = vec![0.0; USERS * packed.items];
    for (s, rows) in rows.chunks(USERS).enumerate() {
        let strips = packed.strip(strips, s);
        let scores = &mut scores[..rows.len() * packed.items];
        arch.dispatch(Scores { packed, strips, tile: &mut tile, out: scores });
        for (u, (scores, &row)) in scores.chunks_exact(packed.items).zip(rows).enumerate() {
            offer_unseen(scores, seen.map_or(&[], |s| s.partners(row as usize)), &mut best)?;
            out.set(s * USERS + u, &mut best);
        }
    }
    Ok(())
}

/// Ranks the held-out items of a block of users with a look at every score, as the reference does.
fn rank_checked(
    arch: Arch,
    packed: &Packed,
    strips: &[f32],
    rows: &[u32],
    seen: Option<&Compressed>,
    held_out: &Compressed,
    mut out: &mut [Position],
) -> Result<()> {
    let mut tile = packed.tile();
    let mut scores = vec![0.0; USERS * packed.items];
    for (s, rows) in rows.chunks(USERS).enumerate() {
        let strips = packed.strip(strips, s);
        let scores = &mut scores[..rows.len() * packed.items];
        arch.dispatch(Scores { packed, strips, tile: &mut tile, out: scores });
        for (scores, &row) in scores.chunks_exact(packed.items).zip(rows) {
            let seen = seen.map_or(&[][..], |s| s.partners(row as usize));
            let found = positions(scores, seen, held_out.partners(row as usize))?;
            let place = out.split_off_mut(..found.len()).expect("there is a place for each held-out item");
            place.copy_from_slice(&found);
        }
    }
    Ok(())
}

/// Writes all scores of a block of users, items x users.
struct Scores<'a> {
    packed: &'a Packed,
    strips: &'a [f32],
    tile: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { packed, strips, tile, out } = self;
        let (width, items) = (packed.width, packed.items);
        for index in 0..packed.panels() {
            let first = index * width;
            let there = width.min(items - first);
            for (s, out) in out.chunks_mut(USERS * items).enumerate() {
                scores(simd, packed.strip(strips, s), packed.panel(index), tile, width, 0);
                for (user, out) in out.chunks_exact_mut(items).enumerate() {
                    out[first..first + there].copy_from_slice(&tile[user * width..][..there]);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use evenhand_core::dense::Reference;
    use evenhand_core::{Interactions, Rows, Streams};
    use rand::RngExt;

    pub(crate) fn factors(rank: usize, count: usize, whole: bool, label: &str) -> DMatrix<f32> {
        let mut rng = Streams::new(7).child(label).rng((rank * 1000 + count) as u64);
        // Small whole numbers make ties common and exact.
        DMatrix::from_fn(rank, count, |_, _| match whole {
            true => rng.random_range(-2..=2) as f32,
            false => rng.random::<f32>() - 0.5,
        })
    }

    pub(crate) fn seen(users: usize, items: usize) -> Interactions {
        let mut rng = Streams::new(8).rng((users * 1000 + items) as u64);
        let mut rows = Rows::default();
        for user in 0..users as u32 {
            // Some users have seen nothing, some everything, some twice.
            let share = [0.0, 0.3, 1.0][user as usize % 3];
            (0..items as u32).filter(|_| rng.random_bool(share)).for_each(|item| {
                rows.push(user, item, 1.0);
                rows.push(user, item, 1.0);
            });
        }
        Interactions::new(users, items, &rows).unwrap()
    }

    pub(crate) const SHAPES: [(usize, usize, usize); 9] = [
        (0, 3, 5),
        (1, 1, 1),
        (3, 9, 47),
        (10, 64, 48),
        (16, 65, 49),
        (20, 7, 200),
        (33, 130, 97),
        (64, 70, 301),
        (5, 0, 3),
    ];

    #[test]
    fn scores_are_those_of_the_reference_bit_for_bit() {
        for (rank, users, items) in SHAPES {
            let (u, i) = (factors(rank, users, false, "u"), factors(rank, items, false, "i"));
            let rows: Vec<u32> = (0..users as u32).rev().collect();
            let (mut a, mut b) = (DMatrix::zeros(0, 0), DMatrix::from_element(1, 1, 5.0));
            Reference.scores(&u, &rows, &i, &mut a).unwrap();
            Cpu.scores(&u, &rows, &i, &mut b).unwrap();
            assert_eq!(a, b, "{rank} {users} {items}");
        }
    }

    #[test]
    fn the_best_are_those_of_the_reference_with_ties_and_masks() {
        for (rank, users, items) in SHAPES {
            for whole in [false, true] {
                let (u, i) = (factors(rank, users, whole, "u"), factors(rank, items, whole, "i"));
                let rows: Vec<u32> = (0..users as u32).rev().collect();
                let data = seen(users, items);
                for mask in [None, Some(data.by_user())] {
                    for k in [0, 1, 3, 10, 100, 400] {
                        let a = Reference.top_k(&u, &rows, &i, mask, k).unwrap();
                        let b = Cpu.top_k(&u, &rows, &i, mask, k).unwrap();
                        assert_eq!(a, b, "{rank} {users} {items} k {k} whole {whole} mask {}", mask.is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn factors_near_the_end_of_the_range_are_as_with_the_reference() {
        let same = |users: &DMatrix<f32>, items: &DMatrix<f32>, seen: Option<&Compressed>| {
            let rows: Vec<u32> = (0..users.ncols() as u32).rev().collect();
            for k in [0, 1, 2, 5] {
                let [a, b] = [&Reference as &dyn Dense, &Cpu].map(|d| d.top_k(users, &rows, items, seen, k));
                assert_eq!(a.map_err(|e| e.to_string()), b.map_err(|e| e.to_string()), "k {k}");
            }
        };
        // The largest factors do not meet: 1e30 and 2e30.
        let users = DMatrix::from_column_slice(2, 1, &[1e30, 0.0]);
        let items = DMatrix::from_column_slice(2, 2, &[1.0, 1e30, 2.0, 0.0]);
        same(&users, &items, None);
        assert_eq!(Cpu.top_k(&users, &[0], &items, None, 2).unwrap().items(0), [1, 0]);
        // They do: 1e60.
        same(&users, &users, None);
        // NaN and infinity do harm where the item is not masked.
        let mut rows = Rows::default();
        (0..150).filter(|u| u % 3 > 0).for_each(|user| rows.push(user, 7, 1.0));
        let some = Interactions::new(150, 50, &rows).unwrap();
        (0..150).filter(|u| u % 3 == 0).for_each(|user| rows.push(user, 7, 1.0));
        let all = Interactions::new(150, 50, &rows).unwrap();
        for odd in [f32::NAN, f32::INFINITY, f32::MAX] {
            let (mut users, mut items) = (factors(3, 150, false, "u"), factors(3, 50, false, "i"));
            items[(1, 7)] = odd;
            for seen in [None, Some(some.by_user()), Some(all.by_user())] {
                same(&users, &items, seen);
            }
            let masked = Cpu.top_k(&users, &[3, 1], &items, Some(all.by_user()), 50).unwrap();
            assert_eq!(masked.items(0).len(), 49);
            users[(0, 70)] = odd;
            same(&users, &items, Some(all.by_user()));
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let ok = DMatrix::from_element(2, 3, 1.0);
        for bad in [f32::NAN, f32::INFINITY, 1e38] {
            let bad = DMatrix::from_element(2, 3, bad);
            assert!(Cpu.top_k(&bad, &[0], &bad, None, 1).is_err());
        }
        let mut one = ok.clone();
        one[(1, 2)] = f32::NAN;
        assert!(Cpu.top_k(&ok, &[0], &one, None, 1).is_err());
        // A user who is not asked for does no harm.
        assert!(Cpu.top_k(&one, &[0], &ok, None, 1).is_ok());
        assert!(Cpu.top_k(&ok, &[3], &ok, None, 1).is_err());
    }
}
