//! The CUDA kernels and the code that launches them, on a device that is emulated on the host.
//!
//! `kernels/emulation` holds a stand-in for the driver's library, with the kernels compiled as C++ in it. It is built
//! when these tests run and loaded before cudarc looks for the real one. Where there is no C++ compiler, the tests pass
//! and say that they were skipped; with `EVENHAND_REQUIRE_EMULATION` set they fail instead.

#[path = "../cases/mod.rs"]
mod cases;

mod child;
mod compile;
mod emulated;
mod emulator;
mod failures;
mod misuse;
mod on_emulated_device;
mod planted;
mod small_kernels;
