//! All scores of some users.

use super::blocks::MOST;
use super::fault::Fault;
use super::kernel::kernel;
use super::panels::{PANEL, Panels};
use super::{Cuda, Precision};
use crate::cpu::sure_to_be_finite;
use cudarc::driver::CudaSlice;
use nalgebra::DMatrix;

/// Users and items of a block of threads.
const TILE: usize = 128;

/// Numbers that kernels write at a time.
const TOGETHER: usize = 4;

kernel! {
    /// Writes `out[u * stride + i]`, and beyond the items what fills a row up to a multiple of [`TOGETHER`].
    Scores = "scores" in "scores", 256 threads (
        users: In<f32>, items: In<f32>, out: Out<f32>, user_count: Value<u32>, item_count: Value<u32>, rank: Value<u32>,
        stride: Value<u64>,
    )
}

kernel! {
    /// The same by three products of tensor cores.
    ScoresTf32 = "scores_tf32" in "scores_tf32", 256 threads (
        users: In<f32>, items: In<f32>, out: Out<f32>, user_count: Value<u32>, item_count: Value<u32>, rank: Value<u32>,
        stride: Value<u64>,
    )
}

/// Bits of the largest factor whose high part is finite for certain.
const LARGEST_SPLIT: u32 = 0x7f00_0000; // 2^127

/// Numbers of a row of scores of so many items on the device.
pub(super) fn row(items: usize) -> usize {
    items.next_multiple_of(TOGETHER)
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
        let count = items.ncols();
        out.resize_mut(count, rows.len(), 0.0);
        let row = row(count);
        // Of a block of users, factors take no more than scores.
        let each = row.max(items.nrows());
        self.with_room(|held| {
            let (items, downloads) = held.panels_and_downloads(items, rows.len() * each, each, &self.stream)?;
            // Whole tiles of users where they fit.
            let fit = (downloads.len() / each).min(MOST);
            let mut at_once = if fit < TILE { fit } else { fit / TILE * TILE };
            loop {
                let ranges = (0..rows.len()).step_by(at_once).map(|first| first..rows.len().min(first + at_once));
                let done = downloads.fill(out.as_mut_slice(), [count, row], ranges, &self.stream, |range, to| {
                    let users = Panels::of(users, &rows[range], &self.stream)?;
                    self.launch_scores(&users, items, to)
                });
                match done {
                    // Others use the device's memory too.
                    Err(fault) if fault.out_of_memory() && at_once > PANEL => at_once = at_once.div_ceil(2),
                    done => return done,
                }
            }
        })
    }

    /// Scores on the device, user after user in rows of [`row`] numbers.
    pub(super) fn launch_scores(&self, users: &Panels, items: &Panels, out: &mut CudaSlice<f32>) -> Result<(), Fault> {
        let (user_count, item_count) = (users.count as usize, items.count as usize);
        let grid = (item_count.div_ceil(TILE) as u32, user_count.div_ceil(TILE) as u32, 1);
        let split = self.options.precision == Precision::Tf32x3
            && users.largest.max(items.largest) <= LARGEST_SPLIT
            && sure_to_be_finite(users.largest, items.largest, items.rank as usize);
        macro_rules! launch {
            ($kernel:ident) => {{
                #[expect(unsafe_code, reason = "launches foreign code")]
                // SAFETY: panels hold whole panels of both, `out` a row for each user.
                unsafe {
                    self.kernels.$kernel.launch(
                        &self.stream,
                        grid,
                        0,
                        &users.values.as_view(),
                        &items.values.as_view(),
                        &mut out.as_view_mut(),
                        users.count,
                        items.count,
                        items.rank,
                        row(item_count) as u64,
                    )?;
                }
            }};
        }
        if split {
            launch!(scores_tf32)
        } else {
            launch!(scores)
        }
        Ok(())
    }
}
