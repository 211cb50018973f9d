//! Dense predictions on an NVIDIA GPU, by hand-written kernels.
//!
//! The driver is looked for when the program runs. The kernels (`kernels/cu`) are compiled beforehand and embedded, for
//! compute capability 8.0 and newer. Scores, best items and positions equal those of [`Cpu`]: each score is the same
//! chain of fused multiply-adds. What the CPU does better is handed to it: small products, lists of more than
//! [`MOST_KEPT`] items, and factors so large that a score may not be finite, where it looks at every score and tells
//! the first that is not.
//!
//! Of the items, the factors stay on the device from call to call while they are the same, number by number. Factors of
//! users travel with each call, in blocks for which there is memory.

mod blocks;
mod cells;
mod downloads;
mod fault;
mod held;
mod kernel;
mod lists;
mod modules;
mod open;
pub mod pairs;
mod panels;
mod ranks;
mod scores;
mod splits;
mod timing;
mod top_k;

pub use kernel::{Parameter, Signature};
pub use open::{Facts, Unavailable, probe};
pub use pairs::Pairs;
pub use timing::Loaded;

use crate::Cpu;
use cudarc::driver::{CudaSlice, CudaStream, DeviceRepr, DriverError};
use evenhand_core::dense::{CellPasses, CellProblem, Dense, check_held_out, check_shapes};
use evenhand_core::metrics::Position;
use evenhand_core::{Compressed, Result, TopK};
use fault::Fault;
use held::Held;
use modules::Kernels;
use nalgebra::DMatrix;
use rayon::ThreadPool;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Longest lists that are selected on the device.
pub const MOST_KEPT: usize = 256;

/// How a GPU is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which of the devices, from 0.
    pub ordinal: usize,
    /// Most bytes of its memory to use; `None`: three quarters of what is free when it is opened.
    pub memory: Option<usize>,
    /// In which form the kernels are loaded.
    pub form: Form,
    /// Products of so few fused multiply-adds are left to the CPU, which is done before the device has begun.
    pub least_work: u64,
    /// How the products of [`Dense::scores`] are computed.
    pub precision: Precision,
}

impl Default for Options {
    /// `least_work` is what a CPU does in the 0.1 ms that copies and launches take (an estimate).
    fn default() -> Self {
        Self { ordinal: 0, memory: None, form: Form::Any, least_work: 1 << 24, precision: Precision::Single }
    }
}

/// A form of compiled kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Machine code where there is some for the device, or else portable code.
    Any,
    /// Machine code.
    Fatbin,
    /// Portable code, which the driver compiles for the device: takes seconds the first time.
    Ptx,
}

/// How products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In single precision, with the results of the CPU.
    Single,
    /// By tensor cores, in three products of TF32: each factor is split into two parts of 11 significant bits, and only
    /// the product of the smaller parts is left out. With d factors a score of u and v differs from the exact one by at
    /// most `(15 + d/16) 2^-23 S + 2^-125 T`, S the sum of all `|u_f v_f|`, T that of all `|u_f| + |v_f| + 2`: for 64
    /// factors 2.3e-6 S, where [`Self::Single`] may be off by 3.8e-6 S. It is proven in `kernels/cu/scores_tf32.cu` for
    /// tensor cores that keep 24 bits of their sums; what they keep is not specified. T is for factors and products
    /// below the smallest normal number, which a device may take as zeros.
    ///
    /// For [`Dense::scores`] alone: what is ranked has the scores of [`Self::Single`]. So have blocks of users with a
    /// factor beyond 2^127 there or among the items, or with factors so large that a score may not be finite.
    Tf32x3,
}

/// A GPU with the kernels loaded.
#[derive(Debug)]
pub struct Cuda {
    facts: Facts,
    options: Options,
    /// All work is on one stream.
    stream: Arc<CudaStream>,
    kernels: Arc<Kernels>,
    /// One call at a time: its blocks use all of the device and of the memory.
    held: Mutex<Held>,
    /// What packs and copies numbers for a call.
    threads: ThreadPool,
}

impl Cuda {
    /// Takes hold of a device.
    ///
    /// # Errors
    /// The reason for which it can not be used.
    pub fn open(options: Options) -> Result<Self, Unavailable> {
        open::open(options)
    }

    /// What the device is.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How it is used.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the CPU is done with so many users, items and factors before the device has begun.
    fn small(&self, users: usize, items: &DMatrix<f32>) -> bool {
        let work = users as u64 * items.len() as u64;
        work == 0 || work < self.options.least_work
    }

    /// Does `work` while no other call uses the device.
    fn alone<R: Send>(&self, work: impl FnOnce(&mut Held) -> Result<R, Fault> + Send) -> Result<R, Fault> {
        let work = || {
            let (mut held, context) = (self.lock(), self.stream.context());
            let held = &mut *held;
            self.threads.install(|| {
                // See `bring_context`.
                context.bind_to_thread()?;
                work(held)
            })
        };
        match rayon::current_thread_index() {
            None => work(),
            // A thread of a pool that waits for tasks takes up others meanwhile: one that calls the device would wait
            // for the call that it has interrupted. So this thread sleeps until the work is done.
            Some(_) => thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| resume_unwind(panic)),
        }
    }

    /// As [`Self::alone`], with all memory if need be: `work` may be done twice.
    fn with_room<R: Send>(&self, work: impl FnMut(&mut Held) -> Result<R, Fault> + Send) -> Result<R, Fault> {
        self.alone(|held| held.with_room(work))
    }

    /// What is held of the device.
    fn lock(&self) -> MutexGuard<'_, Held> {
        // What a panic has left is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory of the device with anything in it.
    fn room<T: DeviceRepr>(&self, len: usize) -> Result<CudaSlice<T>, DriverError> {
        #[expect(unsafe_code, reason = "leaves memory as it is")]
        // SAFETY: any bits are a number of the types that are used, and kernels write before anything is read.
        unsafe {
            self.stream.alloc(len)
        }
    }

    fn error(&self, fault: Fault) -> evenhand_core::Error {
        fault.into_error(&self.facts.name)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        bring_context(&self.stream);
    }
}

/// Brings the context to this thread: what frees memory needs it, and does not ask for it. Where that fails, memory is
/// freed with the process.
fn bring_context(stream: &CudaStream) {
    let _ = stream.context().bind_to_thread();
}

impl Dense for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn scores(&self, users: &DMatrix<f32>, rows: &[u32], items: &DMatrix<f32>, out: &mut DMatrix<f32>) -> Result<()> {
        check_shapes(users, rows, items, None)?;
        if self.small(rows.len(), items) {
            return Cpu.scores(users, rows, items, out);
        }
        self.write_scores(users, rows, items, out).map_err(|fault| self.error(fault))
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
        if k == 0 || k > MOST_KEPT || self.small(rows.len(), items) {
            return Cpu.top_k(users, rows, items, seen, k);
        }
        self.select(users, rows, items, seen, k).map_err(|fault| self.error(fault))
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
        if self.small(rows.len(), items) {
            return Cpu.ranks(users, rows, items, seen, held_out);
        }
        self.count_ranks(users, rows, items, seen, held_out).map_err(|fault| self.error(fault))
    }

    fn cell_passes(&self, problem: &CellProblem<'_>) -> Result<Option<Box<dyn CellPasses>>> {
        let passes = self.passes(problem).map_err(|fault| self.error(fault))?;
        Ok(passes.map(|passes| Box::new(passes) as Box<dyn CellPasses>))
    }
}

/// What the kernels take, for a test that the compiled ones take the same.
#[doc(hidden)]
pub fn signatures() -> Vec<&'static Signature> {
    Kernels::signatures()
}
