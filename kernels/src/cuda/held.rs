//! What stays on the device from call to call, within the memory that may be used.

use super::downloads::Downloads;
use super::fault::Fault;
use super::panels::{Panels, Residents};
use cudarc::driver::CudaStream;
use nalgebra::DMatrix;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Factors of items, and buffers for results on their way to the host.
#[derive(Debug)]
pub(in crate::cuda) struct Held {
    /// Most bytes to use, for what is held and what a call needs besides.
    memory: usize,
    residents: Residents,
    /// Made by the first call that needs them.
    downloads: Option<Downloads>,
    /// Bytes of all that is [`Lent`].
    lent: Arc<AtomicUsize>,
}

/// Memory that something keeps longer than a call, until this is dropped.
#[derive(Debug)]
pub(in crate::cuda) struct Lent {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Held {
    /// Nothing, where so many bytes may be used.
    pub(in crate::cuda) fn new(memory: usize) -> Self {
        Self { memory, residents: Residents::default(), downloads: None, lent: Arc::default() }
    }

    /// Bytes that a call may use besides.
    pub(in crate::cuda) fn room(&self) -> usize {
        let downloads = self.downloads.as_ref().map_or(0, Downloads::bytes);
        self.memory.saturating_sub(self.residents.bytes() + downloads + self.lent.load(Ordering::Relaxed))
    }

    /// Counts so many bytes as taken.
    ///
    /// # Errors
    /// [`Fault::NoRoom`] where there are not so many.
    pub(in crate::cuda) fn lend(&self, bytes: usize) -> Result<Lent, Fault> {
        if bytes > self.room() {
            return Err(Fault::NoRoom(bytes));
        }
        self.lent.fetch_add(bytes, Ordering::Relaxed);
        Ok(Lent { bytes, all: self.lent.clone() })
    }

    /// Does `work`; where memory is short and something is held, lets it go and does `work` again.
    pub(in crate::cuda) fn with_room<R>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        match work(self) {
            Err(fault) if fault.out_of_memory() && (self.residents.bytes() > 0 || self.downloads.is_some()) => {
                (self.residents, self.downloads) = (Residents::default(), None);
                work(self)
            }
            done => done,
        }
    }

    /// The panels of `items`, and the bytes that a call may use besides: at least a quarter of all, unless the panels
    /// take them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_taken_until_it_is_dropped() {
        let held = Held::new(100);
        let first = held.lend(60).unwrap();
        assert_eq!(held.room(), 40);
        assert!(matches!(held.lend(41), Err(Fault::NoRoom(41))));
        let second = held.lend(40).unwrap();
        drop(first);
        assert_eq!(held.room(), 60);
        drop(second);
        assert_eq!(held.room(), 100);
    }
}
