//! The way back to the host for results too large for the device, of which only a copy engine should wait for the bus.
//!
//! Two buffers take turns: while one is computed, the other travels to pinned memory, and from what has arrived before
//! the CPU copies to where it belongs. From pageable memory the driver would copy in small pieces, and the device wait.

use super::fault::Fault;
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DriverError, PinnedHostSlice};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Most numbers of a buffer: 64 MiB.
const MOST: usize = 1 << 24;

/// Numbers that one task copies.
const COPIED: usize = 1 << 16;

/// Two buffers on the device, and their twins on the host.
#[derive(Debug)]
pub(in crate::cuda) struct Downloads {
    /// Copies only; kernels have a stream of their own.
    stream: Arc<CudaStream>,
    slots: [Slot; 2],
    len: usize,
    /// Whether memory was short for more.
    short: bool,
}

#[derive(Debug)]
struct Slot {
    device: CudaSlice<f32>,
    pinned: PinnedHostSlice<f32>,
    /// Of which rows of the result that is which is under way, and its arrival.
    pending: Option<(Range<usize>, CudaEvent)>,
}

impl Downloads {
    /// Buffers for `wanted` numbers in all, but no more than pays, and than fit in `memory` bytes of the device beside
    /// as many numbers of what is computed from.
    ///
    /// # Errors
    /// [`Fault::NoRoom`] where not even `least` numbers fit.
    pub(in crate::cuda) fn new(
        wanted: usize,
        least: usize,
        memory: usize,
        kernels: &Arc<CudaStream>,
    ) -> Result<Self, Fault> {
        let stream = kernels.context().new_stream()?;
        let wanted = Self::len_for(wanted, least);
        let mut len = wanted.min(memory / 3 / size_of::<f32>());
        loop {
            if len < least {
                return Err(Fault::NoRoom(3 * least * size_of::<f32>()));
            }
            match Slot::new(len, kernels).and_then(|first| Ok([first, Slot::new(len, kernels)?])) {
                Ok(slots) => return Ok(Self { stream, slots, len, short: len < wanted }),
                Err(fault) if fault.out_of_memory() => len /= 2,
                Err(fault) => return Err(fault),
            }
        }
    }

    fn len_for(wanted: usize, least: usize) -> usize {
        wanted.div_ceil(2).min(MOST).max(least)
    }

    /// Whether these buffers do for `wanted` numbers, `least` at a time.
    pub(in crate::cuda) fn suit(&self, wanted: usize, least: usize) -> bool {
        self.len >= Self::len_for(wanted, least) || self.short && self.len >= least
    }

    /// Numbers of a buffer.
    pub(in crate::cuda) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the device that they take.
    pub(in crate::cuda) fn bytes(&self) -> usize {
        2 * self.len * size_of::<f32>()
    }

    /// Fills `out`, rows of the first of two lengths, in ranges of them: `compute` fills rows of the second length on
    /// the device, on the stream `kernels`, of which the beginning belongs in `out`.
    ///
    /// # Errors
    /// The first one of `compute` or of the driver; then nothing is under way any more.
    pub(in crate::cuda) fn fill(
        &mut self,
        out: &mut [f32],
        lengths: [usize; 2],
        ranges: impl Iterator<Item = Range<usize>>,
        kernels: &CudaStream,
        compute: impl FnMut(Range<usize>, &mut CudaSlice<f32>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        // What has failed before belongs to another result.
        self.slots.iter_mut().for_each(|slot| slot.pending = None);
        let done = self.take_turns(out, lengths, ranges, kernels, compute);
        if done.is_err() {
            // Buffers may be written to as long as copies are under way. A device that is lost fails here too, and
            // copies nothing.
            let _ = kernels.synchronize().and(self.stream.synchronize());
        }
        done
    }

    fn take_turns(
        &mut self,
        out: &mut [f32],
        lengths: [usize; 2],
        ranges: impl Iterator<Item = Range<usize>>,
        kernels: &CudaStream,
        mut compute: impl FnMut(Range<usize>, &mut CudaSlice<f32>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut last = 1;
        for range in ranges {
            last = 1 - last;
            let slot = &mut self.slots[last];
            slot.finish(out, lengths)?;
            compute(range.clone(), &mut slot.device)?;
            self.stream.join(kernels)?;
            let computed = range.len() * lengths[1];
            let to = &mut slot.pinned.as_mut_slice()?[..computed];
            self.stream.memcpy_dtoh(&slot.device.slice(..computed), to)?;
            slot.pending = Some((range, self.stream.record_event(None)?));
        }
        self.slots[1 - last].finish(out, lengths)?;
        self.slots[last].finish(out, lengths)
    }
}

/// So many zeros in memory of the host that the bus reads and writes on its own. It is no slower for the CPU, either.
pub(in crate::cuda) fn pinned(stream: &Arc<CudaStream>, len: usize) -> Result<PinnedHostSlice<f32>, DriverError> {
    #[expect(unsafe_code, reason = "fills memory that has anything in it")]
    // SAFETY: nothing reads it before it is filled, and any bits are a number.
    let mut pinned = unsafe { stream.context().alloc_pinned_with_flags::<f32>(len, 0)? };
    pinned.as_mut_slice()?.fill(0.0);
    Ok(pinned)
}

impl Slot {
    fn new(len: usize, stream: &Arc<CudaStream>) -> Result<Self, Fault> {
        #[expect(unsafe_code, reason = "leaves memory as it is")]
        // SAFETY: kernels write a range before it is copied.
        let device = unsafe { stream.alloc(len)? };
        Ok(Self { device, pinned: pinned(stream, len)?, pending: None })
    }

    /// Waits for what is under way, and copies it to its place.
    fn finish(&mut self, out: &mut [f32], [length, computed]: [usize; 2]) -> Result<(), Fault> {
        let Some((range, arrival)) = self.pending.take() else { return Ok(()) };
        arrival.synchronize()?;
        let arrived = &self.pinned.as_slice()?[..range.len() * computed];
        let rows = out[range.start * length..range.end * length].par_chunks_mut(length);
        // Tasks of many short rows, or of a part of a long one.
        rows.zip(arrived.par_chunks(computed)).with_min_len(COPIED.div_ceil(computed)).for_each(|(to, from)| {
            to.par_chunks_mut(COPIED).zip(from.par_chunks(COPIED)).for_each(|(to, from)| {
                to.copy_from_slice(&from[..to.len()]);
            });
        });
        Ok(())
    }
}
