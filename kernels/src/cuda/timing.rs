//! How long kernels take by the device's own clock, without copies: for benches.

use super::fault::Fault;
use super::lists::Lists;
use super::panels::Panels;
use super::scores::row;
use super::{Cuda, MOST_KEPT, bring_context};
use cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use evenhand_core::{Compressed, Error, Result};
use nalgebra::DMatrix;
use std::time::Duration;

/// Factors on the device.
#[derive(Debug)]
pub struct Loaded<'a> {
    cuda: &'a Cuda,
    users: Panels,
    items: Panels,
}

impl Cuda {
    /// Brings factors to the device, rank x users and rank x items.
    ///
    /// # Errors
    /// [`Error::Shape`] where the ranks differ; [`Error::Device`] where memory is short or the device fails.
    pub fn load(&self, users: &DMatrix<f32>, items: &DMatrix<f32>) -> Result<Loaded<'_>> {
        if users.nrows() != items.nrows() {
            return Err(Error::shape("rank of the item factors", users.nrows(), items.nrows()));
        }
        let [users, items] = [users, items].map(|side| Panels::of_all(side, &self.stream));
        let panels = |side: Result<Panels, Fault>| side.map_err(|fault| self.error(fault));
        Ok(Loaded { cuda: self, users: panels(users)?, items: panels(items)? })
    }

    /// The time in which so many bytes are filled, `repeats` times.
    ///
    /// # Errors
    /// [`Error::Device`] where memory is short or the device fails.
    pub fn time_filling(&self, bytes: usize, repeats: u64) -> Result<Duration> {
        let work = || -> Result<Duration, Fault> {
            let mut room = self.room::<u8>(bytes)?;
            self.time(repeats, || Ok(self.stream.memset_zeros(&mut room)?))
        };
        work().map_err(|fault| self.error(fault))
    }

    /// The time of `repeats` times what `work` puts on the stream.
    fn time(&self, repeats: u64, mut work: impl FnMut() -> Result<(), Fault>) -> Result<Duration, Fault> {
        let start = self.stream.record_event(Some(CU_EVENT_DEFAULT))?;
        (0..repeats).try_for_each(|_| work())?;
        let end = self.stream.record_event(Some(CU_EVENT_DEFAULT))?;
        Ok(Duration::from_secs_f32(start.elapsed_ms(&end)? / 1000.0))
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        bring_context(&self.cuda.stream);
    }
}

impl Loaded<'_> {
    /// The time in which all scores are written to the device's memory, `repeats` times.
    ///
    /// # Errors
    /// [`Error::Device`] where memory is short or the device fails.
    pub fn time_scores(&self, repeats: u64) -> Result<Duration> {
        let Self { cuda, users, items } = self;
        let work = || -> Result<Duration, Fault> {
            let mut out = cuda.room(users.count as usize * row(items.count as usize))?;
            cuda.time(repeats, || cuda.launch_scores(users, items, &mut out))
        };
        work().map_err(|fault| cuda.error(fault))
    }

    /// The time in which the `k` best items of all users are selected, `repeats` times; `seen` has a list for each
    /// user.
    ///
    /// # Errors
    /// [`Error::Shape`] for more than [`MOST_KEPT`] items, or `seen` of too few users; [`Error::Device`] where memory
    /// is short or the device fails.
    pub fn time_top_k(&self, seen: Option<&Compressed>, k: usize, repeats: u64) -> Result<Duration> {
        let Self { cuda, users, items } = self;
        let most = MOST_KEPT.min(items.count as usize);
        if !(1..=most).contains(&k) {
            return Err(Error::shape("length of the lists", format!("1 to {most}"), k));
        }
        if let Some(few) = seen.map(Compressed::len).filter(|&len| len < users.count as usize) {
            return Err(Error::shape("users with seen items", format!("at least {}", users.count), few));
        }
        let rows: Vec<u32> = (0..users.count).collect();
        let work = || -> Result<Duration, Fault> {
            let seen = Lists::of_partners(seen, &rows, &cuda.stream)?;
            cuda.time(repeats, || cuda.best_of(users, items, &seen, k, usize::MAX).map(drop))
        };
        work().map_err(|fault| cuda.error(fault))
    }
}
