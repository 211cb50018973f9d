//! Dense prediction backends for Evenhand.
//!
//! [`Cpu`] computes scores, the best items per user and the positions of held-out items in tiles that stay in the cache,
//! with the vector instructions that the processor has. Its scores are those of [`evenhand_core::dense::Reference`], bit for bit: each is one chain
//! of fused multiply-adds over the factors.
#![warn(missing_docs)]

mod cpu;
mod rank;
mod select;
mod tile;

pub use cpu::Cpu;
