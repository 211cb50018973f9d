//! Kernels of the emulator's own, launched through cudarc.
#![expect(unsafe_code, reason = "launches foreign code")]

use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg};
use std::sync::Arc;

/// A stream of the emulated device, and kernels that no compiled module holds.
pub(crate) struct SmallKernels {
    pub(crate) stream: Arc<CudaStream>,
}

impl SmallKernels {
    pub(crate) fn new() -> Self {
        let context = CudaContext::new(0).expect("a device");
        Self { stream: context.new_stream().expect("a stream") }
    }

    /// The kernel of that name. The stand-in reads no more of a module than the names in it.
    pub(crate) fn function(&self, name: &str) -> CudaFunction {
        let module = format!(".version 8.0\n.target sm_80\n.visible .entry {name}(\n)");
        let module = self.stream.context().load_module(module.into()).expect("a module");
        module.load_function(name).expect("a kernel")
    }

    pub(crate) fn zeros(&self, len: usize) -> CudaSlice<u32> {
        self.stream.alloc_zeros(len).expect("memory")
    }

    /// Launches a kernel of memory and a number.
    pub(crate) fn launch(
        &self,
        function: &CudaFunction,
        memory: &mut CudaSlice<u32>,
        number: u32,
        config: LaunchConfig,
    ) -> Result<(), DriverError> {
        let mut launch = self.stream.launch_builder(function);
        launch.arg(memory).arg(&number);
        // SAFETY: what a kernel does beyond its memory ends the process.
        unsafe { launch.launch(config) }.map(drop)
    }
}

/// Blocks along x, threads of each, bytes of dynamic shared memory.
pub(crate) fn config(blocks: u32, threads: u32, shared_mem_bytes: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes }
}
