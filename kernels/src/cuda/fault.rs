//! What goes wrong on a device, before it becomes an error.

use cudarc::driver::DriverError;
use cudarc::driver::sys::cudaError_enum as Code;
use evenhand_core::Error;

/// A failure during a call.
#[derive(Debug)]
pub(in crate::cuda) enum Fault {
    /// Of the driver.
    Driver(DriverError),
    /// Of the CPU's part of the work.
    Host(Error),
    /// Not even the least fits that is needed at a time, of so many bytes.
    NoRoom(usize),
}

impl Fault {
    /// Whether less may fit, or the same with less beside it.
    pub(in crate::cuda) fn out_of_memory(&self) -> bool {
        matches!(self, Self::NoRoom(_) | Self::Driver(DriverError(Code::CUDA_ERROR_OUT_OF_MEMORY)))
    }

    /// The error to tell, on the device of that name.
    pub(in crate::cuda) fn into_error(self, device: &str) -> Error {
        match self {
            Self::Host(error) => error,
            Self::NoRoom(bytes) => {
                let mebibytes = bytes.div_ceil(1 << 20);
                Error::Device(format!("{device}: out of memory: {mebibytes} MiB are needed at a time"))
            }
            Self::Driver(error) => Error::Device(format!("{device}: {}", describe(&error))),
        }
    }
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

/// What the driver says, with its name of the error: `an illegal memory access was encountered
/// (CUDA_ERROR_ILLEGAL_ADDRESS)`.
pub(in crate::cuda) fn describe(error: &DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| text.ok().map(|t| t.to_string_lossy().into_owned());
    let name = text(error.error_name()).unwrap_or_else(|| format!("{:?}", error.0));
    match text(error.error_string()) {
        Some(what) if what != name => format!("{what} ({name})"),
        _ => name,
    }
}
