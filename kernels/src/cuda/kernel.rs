//! Kernels as the host sees them: what they are called and what they take.

/// What a kernel is called and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The file that it is compiled from, without its extension.
    pub file: &'static str,
    /// Its name there.
    pub entry: &'static str,
    /// Threads of a block.
    pub threads: u32,
    /// What it takes, in order.
    pub parameters: &'static [Parameter],
}

/// What a kernel takes in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What the host calls it.
    pub name: &'static str,
    /// Its size: 8 for a pointer.
    pub bytes: usize,
}

/// Declares a kernel: a struct with `load`, and `launch`, which takes what the kernel takes. The driver checks neither
/// the number nor the widths of arguments; here they are written once, and a test compares them with the compiled
/// kernel.
///
/// `In<T>` is memory that is read, a `&CudaView<T>`; `Out<T>` memory that is written, a `&mut CudaViewMut<T>`;
/// `Value<T>` a `T`.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident = $entry:literal in $file:literal, $threads:literal threads
        ($($argument:ident: $kind:ident<$type:ty>),* $(,)?)) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(in crate::cuda) struct $name(cudarc::driver::CudaFunction);

        impl $name {
            pub(in crate::cuda) const SIGNATURE: $crate::cuda::kernel::Signature = $crate::cuda::kernel::Signature {
                file: $file,
                entry: $entry,
                threads: $threads,
                parameters: &[$($crate::cuda::kernel::Parameter {
                    name: stringify!($argument),
                    bytes: $crate::cuda::kernel::kernel!(@bytes $kind $type),
                }),*],
            };

            pub(in crate::cuda) fn load(
                modules: &$crate::cuda::modules::Modules,
            ) -> Result<Self, $crate::cuda::Unavailable> {
                modules.function(&Self::SIGNATURE).map(Self)
            }

            /// Lets dynamic shared memory have that many bytes; more than 48 KiB must be asked for.
            #[allow(dead_code, reason = "most kernels have none")]
            pub(in crate::cuda) fn allow_shared(&self, bytes: u32) -> Result<(), cudarc::driver::DriverError> {
                use cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                self.0.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes as i32)
            }

            /// Launches that many blocks, each with so many bytes of dynamic shared memory; none of an empty grid.
            ///
            /// # Safety
            /// Memory must be as large as the kernel expects for the sizes it is given.
            #[allow(unsafe_code, clippy::too_many_arguments, reason = "foreign code takes what it takes")]
            pub(in crate::cuda) unsafe fn launch(
                &self,
                stream: &cudarc::driver::CudaStream,
                grid: (u32, u32, u32),
                shared: u32,
                $($argument: $crate::cuda::kernel::kernel!(@type $kind $type)),*
            ) -> Result<(), cudarc::driver::DriverError> {
                use cudarc::driver::PushKernelArg;
                if grid.0 == 0 || grid.1 == 0 || grid.2 == 0 {
                    return Ok(());
                }
                let block_dim = (Self::SIGNATURE.threads, 1, 1);
                let config = cudarc::driver::LaunchConfig { grid_dim: grid, block_dim, shared_mem_bytes: shared };
                let mut builder = stream.launch_builder(&self.0);
                $($crate::cuda::kernel::kernel!(@push builder $kind $argument);)*
                // SAFETY: number and types of arguments are those of the signature, sizes the caller's duty.
                unsafe { builder.launch(config) }.map(drop)
            }
        }
    };
    (@bytes Value $type:ty) => { size_of::<$type>() };
    (@bytes $kind:ident $type:ty) => { size_of::<cudarc::driver::sys::CUdeviceptr>() };
    (@type In $type:ty) => { &cudarc::driver::CudaView<'_, $type> };
    (@type Out $type:ty) => { &mut cudarc::driver::CudaViewMut<'_, $type> };
    (@type Value $type:ty) => { $type };
    (@push $builder:ident Value $argument:ident) => { $builder.arg(&$argument) };
    (@push $builder:ident $kind:ident $argument:ident) => { $builder.arg($argument) };
}

pub(in crate::cuda) use kernel;
