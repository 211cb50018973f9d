//! All scores of some users.

use super::Cuda;
use super::blocks::in_blocks;
use super::fault::Fault;
use super::kernel::kernel;
use super::panels::Panels;
use cudarc::driver::CudaSlice;
use nalgebra::DMatrix;

/// Users and items of a block of threads.
const TILE: usize = 128;

kernel! {
    /// Writes `out[u * stride + i]`.
    Scores = "scores" in "scores", 256 threads (
        users: In<f32>, items: In<f32>, out: Out<f32>, user_count: Value<u32>, item_count: Value<u32>, rank: Value<u32>,
        stride: Value<u64>,
    )
}

impl Cuda {
    /// Writes the scores of all `items` for the users `rows`, items x batch.
    pub(super) fn write_scores(
        &self,
        users: &DMatrix<f32>,
        rows: &[u32],
        items: &DMatrix<f32>,
        out: &mut DMatrix<f32>,
    ) -> Result<(), Fault> {
        let (count, rank) = (items.ncols(), items.nrows());
        out.resize_mut(count, rows.len(), 0.0);
        let mut residents = self.lock();
        let items = residents.panels(items, self.memory, &self.stream)?;
        let room = self.memory.saturating_sub(items.values.num_bytes());
        let each = size_of::<f32>() * (count + rank);
        in_blocks(rows.len(), room, each, TILE, |range| {
            let users = Panels::of(users, &rows[range.clone()], &self.stream)?;
            let scores = self.scores_of(&users, items)?;
            let out = &mut out.as_mut_slice()[range.start * count..range.end * count];
            self.stream.memcpy_dtoh(&scores, out)?;
            self.stream.synchronize()?;
            Ok(())
        })
    }

    /// Scores on the device, user after user.
    fn scores_of(&self, users: &Panels, items: &Panels) -> Result<CudaSlice<f32>, Fault> {
        let (user_count, item_count) = (users.count as usize, items.count as usize);
        let mut out = self.room::<f32>(user_count * item_count)?;
        let grid = (item_count.div_ceil(TILE) as u32, user_count.div_ceil(TILE) as u32, 1);
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: panels hold whole panels of both, `out` a number for each pair.
        unsafe {
            self.kernels.scores.launch(
                &self.stream,
                grid,
                0,
                &users.values.as_view(),
                &items.values.as_view(),
                &mut out.as_view_mut(),
                users.count,
                items.count,
                items.rank,
                item_count as u64,
            )?;
        }
        Ok(out)
    }
}
