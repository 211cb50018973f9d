//! The choice of a backend.

use crate::Cpu;
use crate::cuda::{Cuda, Options};
use evenhand_core::{Dense, Error, Result};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What dense predictions are computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// The first NVIDIA GPU if it can be used, or else the CPU.
    #[default]
    Auto,
    /// The CPU; no driver is looked for.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl Device {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Cpu, Self::Cuda];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|device| device.name() == text);
        found.ok_or_else(|| format!("expected {}, got `{text}`", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The backend for `device`; `options` say how a GPU is used. Of that it takes hold; call it once.
///
/// # Errors
/// [`Error::Device`] with the reason for which [`Device::Cuda`] can not be had.
pub fn backend(device: Device, options: Options) -> Result<Arc<dyn Dense>> {
    if device == Device::Cpu {
        return Ok(Arc::new(Cpu));
    }
    match Cuda::open(options) {
        Ok(cuda) => Ok(Arc::new(cuda)),
        Err(_) if device == Device::Auto => Ok(Arc::new(Cpu)),
        Err(why) => Err(Error::Device(why.to_string())),
    }
}
