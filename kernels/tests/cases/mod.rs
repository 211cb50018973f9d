//! What a GPU must compute, in cases that the emulated one and a real one go through alike.

use evenhand_kernels::cuda::Cuda;

/// What it is called, and what panics where the GPU computes something else.
pub(crate) type Case<T = Cuda> = (&'static str, fn(&T));

pub(crate) mod agreement;
pub(crate) mod cells;
pub(crate) mod data;
pub(crate) mod factorisation;
pub(crate) mod pairs;
pub(crate) mod random;
pub(crate) mod ranks;
pub(crate) mod scores;
pub(crate) mod scores_tf32;
pub(crate) mod timing;
pub(crate) mod top_k;
