//! What is computed of each product, as the kernels take it.

use cudarc::driver::DeviceRepr;
use evenhand_core::Squash;
use evenhand_core::fairness::{Pointwise, Tail};

/// A squash and a function of the prediction; laid out and numbered as in `cell.h`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::cuda) struct Cell {
    squash: u32,
    of: u32,
    low: f32,
    high: f32,
    scale: f32,
    shift: f32,
    tau: f32,
    /// 1 / h.
    steepness: f32,
    /// 1 / (h sqrt(2 pi)).
    peak: f32,
}

#[expect(unsafe_code, reason = "passes it to kernels")]
// SAFETY: numbers of 32 bits, without gaps.
unsafe impl DeviceRepr for Cell {}

impl Cell {
    pub(in crate::cuda) fn new(squash: Squash, of: Pointwise) -> Self {
        let (squash, [low, high, scale, shift]) = match squash {
            Squash::None => (0, [0.0; 4]),
            Squash::Tanh => (1, [0.0; 4]),
            Squash::Clamp { low, high, scale, shift } => (2, [low, high, scale, shift].map(|x| x as f32)),
        };
        let (of, tau, bandwidth) = match of {
            Pointwise::Score => (0, 0.0, 1.0),
            Pointwise::Exceedance(e) => (if e.tail == Tail::Exponential { 1 } else { 2 }, e.tau, e.bandwidth),
        };
        Self {
            squash,
            of,
            low,
            high,
            scale,
            shift,
            tau: tau as f32,
            steepness: (1.0 / bandwidth) as f32,
            peak: (1.0 / (bandwidth * std::f64::consts::TAU.sqrt())) as f32,
        }
    }
}
