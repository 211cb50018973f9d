//! What a GPU must compute, in cases that the emulated one and a real one go through alike.

pub(crate) mod cells;
pub(crate) mod data;
pub(crate) mod factorisation;
pub(crate) mod scores;
