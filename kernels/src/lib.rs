//! Dense prediction backends: scores of all items for some users, and the best items, in blocks.
//!
//! [`Cpu`] uses all cores and the widest vector instructions that the processor has. [`cuda::Cuda`] uses an NVIDIA GPU
//! by way of its driver, which is looked for when the program runs: nothing else has to be installed, and a machine
//! without one notices nothing. [`backend`] chooses.
//!
//! Of [`Cpu`], results have the same bits on every processor and at any number of threads, and are those of
//! [`evenhand_core::dense::Reference`], which defines them.

mod backend;
mod cpu;
pub mod cuda;
mod rank;
mod select;
mod tile;

pub use backend::{Device, backend};
pub use cpu::Cpu;
