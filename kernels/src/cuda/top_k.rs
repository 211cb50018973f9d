//! The best items of some users.

use super::Cuda;
use super::blocks::in_blocks;
use super::fault::Fault;
use super::kernel::kernel;
use super::lists::{Lists, most_users};
use super::panels::{PANEL, Panels};
use super::splits::Splits;
use crate::Cpu;
use crate::cpu::sure_to_be_finite;
use cudarc::driver::CudaSlice;
use evenhand_core::dense::Dense;
use evenhand_core::{Compressed, TopK};
use nalgebra::DMatrix;

/// Items of a tile.
const TILE: usize = 128;

/// Warps of a block of threads of `top_k_rows`.
const WARPS: usize = 8;

/// Most items of a list for which there is a kernel, and the candidates for which it has room, for each user.
const KEPT: [(usize, usize); 4] = [(32, 32), (64, 64), (128, 64), (256, 128)];

macro_rules! selections {
    ($($name:ident = $entry:literal),* $(,)?) => {$(
        kernel! {
            /// Writes the keys of the best items of each user in each split.
            $name = $entry in "top_k", 256 threads (
                users: In<f32>, items: In<f32>, seen_offsets: In<u32>, seen_items: In<u32>, kept: Out<u64>,
                user_count: Value<u32>, item_count: Value<u32>, rank: Value<u32>, k: Value<u32>, tiles: Value<u32>,
                step: Value<u32>,
            )
        }
    )*};
}

selections! {
    TopK32 = "top_k_32",
    TopK64 = "top_k_64",
    TopK128 = "top_k_128",
    TopK256 = "top_k_256",
}

kernel! {
    /// Writes the best of all splits.
    TopKRows = "top_k_rows" in "top_k", 256 threads (
        keys: In<u64>, scores: Out<f32>, items: Out<u32>, lengths: Out<u32>, user_count: Value<u32>, kept: Value<u32>,
        splits: Value<u32>, k: Value<u32>, team: Value<u32>,
    )
}

/// Rows on the device.
pub(super) struct Rows {
    scores: CudaSlice<f32>,
    items: CudaSlice<u32>,
    lengths: CudaSlice<u32>,
}

impl Cuda {
    /// The `k` best items of the users `rows`, `k` at most [`super::MOST_KEPT`] and at most the number of items.
    pub(super) fn select(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        seen: Option<&Compressed>,
        k: usize,
    ) -> Result<TopK, Fault> {
        let mut top = TopK::new(rows.len(), k);
        self.with_room(|held| {
            let (panels, room) = held.panels(items, &self.stream)?;
            let (kept, _) = size_for(k);
            let longest = rows.iter().filter_map(|&row| Some(seen?.count(row as usize))).max().unwrap_or(0);
            let list = kept * size_of::<u64>();
            let each = size_of::<f32>() * items.nrows() + size_of::<u32>() * (longest + 2 * k + 2) + list;
            in_blocks(rows.len(), room.min(most_users(longest).saturating_mul(each)), each, PANEL, |range| {
                let rows = &rows[range.clone()];
                let mut out = top.rows_mut(range);
                let block = Panels::of(users, rows, &self.stream)?;
                if !sure_to_be_finite(block.largest, panels.largest, items.nrows()) {
                    out.copy_from(&Cpu.top_k(users, rows, items, seen, k)?);
                    return Ok(());
                }
                let seen = Lists::of_partners(seen, rows, &self.stream)?;
                let spare = room.saturating_sub(rows.len() * each) / (rows.len() * list);
                let found = self.best_of(&block, panels, &seen, k, 1 + spare)?;
                let (lengths, items, scores) = out.parts_mut();
                self.stream.memcpy_dtoh(&found.lengths, lengths)?;
                self.stream.memcpy_dtoh(&found.items, items)?;
                self.stream.memcpy_dtoh(&found.scores, scores)?;
                self.stream.synchronize()?;
                Ok(())
            })
        })?;
        Ok(top)
    }

    /// The best of a block of users, with the items in at most `most` splits.
    pub(super) fn best_of(
        &self,
        users: &Panels,
        items: &Panels,
        seen: &Lists<u32>,
        k: usize,
        most: usize,
    ) -> Result<Rows, Fault> {
        let (count, (kept, candidates)) = (users.count as usize, size_for(k));
        let panels = count.div_ceil(PANEL);
        let splits = Splits::new(panels, (items.count as usize).div_ceil(TILE), self.facts.multiprocessors, most);
        let mut keys = self.room::<u64>(splits.count as usize * count * kept)?;
        let (grid, shared) = ((panels as u32, splits.count, 1), (PANEL * candidates * size_of::<u64>()) as u32);
        macro_rules! launch {
            ($kernel:ident) => {{
                self.kernels.$kernel.allow_shared(shared)?;
                #[expect(unsafe_code, reason = "launches foreign code")]
                // SAFETY: panels are whole, lists one for each user, `keys` has `kept` places for each user and split.
                unsafe {
                    self.kernels.$kernel.launch(
                        &self.stream,
                        grid,
                        shared,
                        &users.values.as_view(),
                        &items.values.as_view(),
                        &seen.offsets.as_view(),
                        &seen.values.as_view(),
                        &mut keys.as_view_mut(),
                        users.count,
                        items.count,
                        items.rank,
                        k as u32,
                        splits.tiles,
                        splits.step(),
                    )?;
                }
            }};
        }
        match kept {
            32 => launch!(top_k_32),
            64 => launch!(top_k_64),
            128 => launch!(top_k_128),
            _ => launch!(top_k_256),
        }
        let places = count * k;
        let mut rows = Rows { scores: self.room(places)?, items: self.room(places)?, lengths: self.room(count)? };
        let team = (splits.count as usize).next_power_of_two().min(WARPS);
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: `keys` are as they were left, of rows there is one with `k` places for each user.
        unsafe {
            self.kernels.top_k_rows.launch(
                &self.stream,
                (count.div_ceil(WARPS / team) as u32, 1, 1),
                0,
                &keys.as_view(),
                &mut rows.scores.as_view_mut(),
                &mut rows.items.as_view_mut(),
                &mut rows.lengths.as_view_mut(),
                users.count,
                kept as u32,
                splits.count,
                k as u32,
                team as u32,
            )?;
        }
        Ok(rows)
    }
}

/// The kernel for lists of `k` items: of how many it keeps the best, and for how many candidates it has room.
fn size_for(k: usize) -> (usize, usize) {
    KEPT.into_iter().find(|&(kept, _)| k <= kept).unwrap_or(KEPT[KEPT.len() - 1])
}
