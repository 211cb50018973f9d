//! What stays on the device from call to call, within the memory that may be used.

use super::downloads::Downloads;
use super::fault::Fault;
use super::panels::{Panels, Residents};
use cudarc::driver::CudaStream;
use nalgebra::DMatrix;
use std::sync::Arc;

/// Factors of items, and buffers for results on their way to the host.
#[derive(Debug)]
pub(in crate::cuda) struct Held {
    /// Most bytes to use, for what is held and what a call needs besides.
    memory: usize,
    residents: Residents,
    /// Made by the first call that needs them.
    downloads: Option<Downloads>,
}

impl Held {
    /// Nothing, where so many bytes may be used.
    pub(in crate::cuda) fn new(memory: usize) -> Self {
        Self { memory, residents: Residents::default(), downloads: None }
    }

    /// Bytes that a call may use besides.
    pub(in crate::cuda) fn room(&self) -> usize {
        let downloads = self.downloads.as_ref().map_or(0, Downloads::bytes);
        self.memory.saturating_sub(self.residents.bytes() + downloads)
    }

    /// Does `work`; where memory is short and something is held, lets it go and does `work` again.
    pub(in crate::cuda) fn with_room<R>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        match work(self) {
            Err(fault) if fault.out_of_memory() && self.room() < self.memory => {
                *self = Self::new(self.memory);
                work(self)
            }
            done => done,
        }
    }

    /// The panels of `items`, and the bytes that a call may use besides: at least a quarter of all, unless the panels take them.
    pub(in crate::cuda) fn panels(
        &mut self,
        items: &DMatrix<f32>,
        stream: &Arc<CudaStream>,
    ) -> Result<(&Panels, usize), Fault> {
        let at = self.residents.place(items, self.memory / 2, stream)?;
        if self.room() < self.memory / 4 {
            self.downloads = None;
        }
        let room = self.room();
        Ok((self.residents.get(at), room))
    }

    /// The panels of `items`, and buffers for `wanted` results, `least` of which are computed at a time.
    pub(in crate::cuda) fn panels_and_downloads(
        &mut self,
        items: &DMatrix<f32>,
        wanted: usize,
        least: usize,
        stream: &Arc<CudaStream>,
    ) -> Result<(&Panels, &mut Downloads), Fault> {
        let at = self.residents.place(items, self.memory / 2, stream)?;
        let downloads = match self.downloads.take().filter(|downloads| downloads.suit(wanted, least)) {
            Some(there) => there,
            None => Downloads::new(wanted, least, self.room(), stream)?,
        };
        Ok((self.residents.get(at), self.downloads.insert(downloads)))
    }
}
