//! What a GPU must compute, in cases that the emulated one and a real one go through alike.

pub(crate) mod agreement;
pub(crate) mod data;
pub(crate) mod ranks;
pub(crate) mod scores;
pub(crate) mod top_k;
