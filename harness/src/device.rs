//! The device that dense products are computed on: opened once for a command, and what is said about it.
//!
//! A fault of it ends the cell or agent under way, not the comparison; nothing is run again on the CPU unasked, since
//! times would mix.

use crate::failure::Failure;
use crate::panics;
use crate::progress::Progress;
use evenhand_core::Error;
use evenhand_core::dense::Dense;
use evenhand_kernels::cuda::Options;
use evenhand_kernels::{Cpu, Device, backend};
use std::sync::Arc;

/// Opens the device; one that is not the CPU is told.
///
/// # Errors
/// [`Failure::Usage`] with the reason, where CUDA is asked for and can not be had.
pub(crate) fn open(device: Device, progress: &Progress) -> Result<Arc<dyn Dense>, Failure> {
    open_with(device, Options::default(), progress)
}

/// The same, where a GPU is to be used as `options` say.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_with(device: Device, options: Options, progress: &Progress) -> Result<Arc<dyn Dense>, Failure> {
    let refused = |reason| Failure::Usage(format!("--device {device}: {reason}; `evenhand doctor` tells more"));
    // A driver may surprise; what the kernels catch must not be printed either.
    let dense = panics::caught(|| backend(device, options)).map_err(refused)?.map_err(|error| match error {
        Error::Device(reason) => refused(reason),
        other => refused(other.to_string()),
    })?;
    if is_extra(dense.as_ref()) {
        progress.note(&format!("  device  {}", dense.name()));
    }
    Ok(dense)
}

/// Whether the reason that a cell or agent failed for is a fault of a device. Reasons are kept as text, and some of
/// them pass through protocols that fit one model for several cells.
pub(crate) fn is_fault(reason: &str) -> bool {
    reason.starts_with("device: ")
}

/// How to go on, where so many cells or agents have failed by a fault of the device; nothing to say of the CPU.
pub(crate) fn remedy(failed: usize, dense: &dyn Dense) -> Option<String> {
    let text = || {
        let (device, times) = (dense.name(), if failed == 1 { "once".into() } else { format!("{failed} times") });
        format!("the device `{device}` failed {times}; the same command with --device cpu finishes what is missing")
    };
    (failed > 0 && is_extra(dense)).then(text)
}

/// Whether that is something else than the CPU.
fn is_extra(dense: &dyn Dense) -> bool {
    dense.name() != Cpu.name()
}
