//! Finding a device, and taking hold of it without ever a panic.

use super::fault::describe;
use super::held::Held;
use super::modules::{Kernels, Modules};
use super::{Cuda, Form, Options};
use crate::Cpu;
use cudarc::driver::{CudaContext, DriverError, result, sys};
use evenhand_core::Dense;
use nalgebra::DMatrix;
use rayon::ThreadPoolBuilder;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

/// Oldest compute capability that the kernels are compiled for.
const OLDEST: (u32, u32) = (8, 0);

/// Threads that pack and copy numbers, at most: more of them would wait for memory.
const THREADS: usize = 4;

/// What the driver must offer, all of it older than any driver for [`OLDEST`]. A library of its name without them is a
/// stub or a broken installation, where the first call would panic.
const SYMBOLS: [&str; 40] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetDefaultMemPool",
    "cuDeviceGetName",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuMemAlloc_v2",
    "cuMemAllocAsync",
    "cuMemFree_v2",
    "cuMemFreeAsync",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemPoolSetAttribute",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD8Async",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuGetErrorName",
    "cuGetErrorString",
];

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What its maker calls it.
    pub name: String,
    /// CUDA version of the driver: 13.0 as (13, 0).
    pub driver: (u32, u32),
    /// Its compute capability: 9.0 as (9, 0).
    pub capability: (u32, u32),
    /// Its memory in bytes.
    pub memory: usize,
    /// What of it was free when it was opened.
    pub free: usize,
    /// Its multiprocessors.
    pub multiprocessors: usize,
    /// The form in which the kernels were loaded: `fatbin` or `ptx`.
    pub kernels: &'static str,
}

/// Why a device can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No library of the driver.
    #[error("no CUDA driver on this machine")]
    NoDriver,
    /// A library of the driver's name that is not the driver.
    #[error("the CUDA driver is broken: it has no `{missing}`")]
    BrokenDriver {
        /// What it lacks.
        missing: &'static str,
    },
    /// No device, or fewer than asked for.
    #[error("the CUDA driver finds {}", devices(*.found, *.ordinal))]
    NoDevice {
        /// How many it finds.
        found: usize,
        /// Which one was asked for, from 0.
        ordinal: usize,
    },
    /// A device that the kernels are not compiled for.
    #[error("{name} has compute capability {}, expected {} or newer", version(*.capability), version(OLDEST))]
    OldDevice {
        /// What it is called.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// The kernels can not be loaded, as by a driver older than they are.
    #[error("the CUDA kernel `{kernel}` can not be loaded: {reason}")]
    Kernels {
        /// Which one.
        kernel: &'static str,
        /// What the driver says.
        reason: String,
    },
    /// The driver refuses.
    #[error("the CUDA driver fails: {0}")]
    Driver(String),
    /// The system starts no threads.
    #[error("the system starts no threads: {0}")]
    NoThreads(String),
    /// The device computes something else than the CPU.
    #[error("{0} gives wrong results")]
    WrongResults(String),
}

fn version((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

fn devices(found: usize, ordinal: usize) -> String {
    match found {
        0 => "no device".into(),
        _ => format!("{found} devices, device {ordinal} was asked for, counted from 0"),
    }
}

impl Unavailable {
    pub(in crate::cuda) fn kernels(kernel: &'static str, error: DriverError) -> Self {
        Self::Kernels { kernel, reason: describe(&error) }
    }
}

impl From<DriverError> for Unavailable {
    fn from(error: DriverError) -> Self {
        Self::Driver(describe(&error))
    }
}

/// The first device, or why it can not be used. Opens it and lets it go.
///
/// # Errors
/// The reason.
pub fn probe() -> Result<Facts, Unavailable> {
    Cuda::open(Options::default()).map(|cuda| cuda.facts.clone())
}

pub(in crate::cuda) fn open(options: Options) -> Result<Cuda, Unavailable> {
    find_driver()?;
    // All symbols that are called have been found, so nothing panics; a driver newer than this program may surprise.
    catch_unwind(AssertUnwindSafe(|| take_hold(options)))
        .unwrap_or_else(|_| Err(Unavailable::Driver("a call that should be there is not".into())))
}

#[expect(unsafe_code, reason = "looks for the driver's library and its symbols")]
fn find_driver() -> Result<(), Unavailable> {
    // SAFETY: loading runs the initialisers of a library that has the name of the system's driver.
    if !unsafe { sys::is_culib_present() } {
        return Err(Unavailable::NoDriver);
    }
    // SAFETY: it is present, so this does not panic; the symbols are looked for, not called.
    let missing = SYMBOLS
        .into_iter()
        .find(|symbol| unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()).is_err() });
    missing.map_or(Ok(()), |missing| Err(Unavailable::BrokenDriver { missing }))
}

fn take_hold(options: Options) -> Result<Cuda, Unavailable> {
    use sys::cudaError_enum::CUDA_ERROR_NO_DEVICE;
    let ordinal = options.ordinal;
    let found = match CudaContext::device_count() {
        Ok(found) => found as usize,
        Err(DriverError(CUDA_ERROR_NO_DEVICE)) => 0,
        Err(error) => return Err(error.into()),
    };
    if ordinal >= found {
        return Err(Unavailable::NoDevice { found, ordinal });
    }
    let context = CudaContext::new(ordinal)?;
    let (name, (major, minor)) = (context.name()?, context.compute_capability()?);
    let capability = (major as u32, minor as u32);
    if capability < OLDEST {
        return Err(Unavailable::OldDevice { name, capability });
    }
    #[expect(unsafe_code, reason = "turns off what several streams would need")]
    // SAFETY: all memory is used on one stream, in the order of the calls.
    unsafe {
        context.disable_event_tracking();
    }
    let modules = Modules::load(&context, options.form)?;
    let kernels = Arc::new(Kernels::load(&modules)?);
    let (free, memory) = context.mem_get_info()?;
    let attribute = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
    let facts = Facts {
        name,
        driver: driver_version()?,
        capability,
        memory,
        free,
        multiprocessors: context.attribute(attribute)?.max(1) as usize,
        kernels: if modules.form == Form::Ptx { "ptx" } else { "fatbin" },
    };
    let stream = context.new_stream()?;
    let budget = options.memory.unwrap_or(free / 4 * 3);
    keep_memory(&context, budget)?;
    let held = Mutex::new(Held::new(budget));
    let threads =
        ThreadPoolBuilder::new().num_threads(thread::available_parallelism().map_or(1, usize::from).min(THREADS));
    let threads = threads.build().map_err(|error| Unavailable::NoThreads(error.to_string()))?;
    let cuda = Cuda { facts, options, stream, kernels, held, threads };
    cuda.compare_with_cpu()?;
    Ok(cuda)
}

/// Has the driver keep so many bytes of what is freed for what is allocated next. Otherwise it gives all of it back to
/// the system whenever something waits for the device, and takes it anew, page by page, in each call.
#[expect(unsafe_code, reason = "calls the driver")]
fn keep_memory(context: &CudaContext, bytes: usize) -> Result<(), DriverError> {
    use sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut threshold = bytes as u64;
    // SAFETY: the device is there and has a pool, whose attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        result::mem_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut threshold).cast())
    }
}

#[expect(unsafe_code, reason = "calls the driver")]
fn driver_version() -> Result<(u32, u32), Unavailable> {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok((version as u32 / 1000, version as u32 % 1000 / 10))
}

impl Cuda {
    /// Computes a small product on both, which shows that kernels run at all.
    fn compare_with_cpu(&self) -> Result<(), Unavailable> {
        let table = |count: usize| DMatrix::from_fn(5, count, |f, n| ((f * 7 + n * 3) % 11) as f32 - 4.5);
        let (users, items) = (table(3), table(130));
        let [mut ours, mut expected] = [DMatrix::zeros(0, 0), DMatrix::zeros(0, 0)];
        let failed = |error: evenhand_core::Error| Unavailable::Driver(error.to_string());
        self.write_scores(&users, &[2, 0, 1], &items, &mut ours).map_err(|fault| failed(self.error(fault)))?;
        Cpu.scores(&users, &[2, 0, 1], &items, &mut expected).map_err(failed)?;
        if ours == expected { Ok(()) } else { Err(Unavailable::WrongResults(self.facts.name.clone())) }
    }
}
