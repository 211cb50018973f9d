//! What ends a command, and the exit code that says so.

use evenhand_core::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command could not do its work. Cells that fail are no failure of the command: see [`crate::compare()`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line or the experiment asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// An experiment file is wrong at some place.
    #[error("{place}: {reason}")]
    Experiment {
        /// `file:line:column`, or the `--set` that is at fault.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// A plugin is unknown or refuses its parameters.
    #[error("{0}")]
    Plugin(Error),
    /// A file can not be read.
    #[error("{path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The output folder can not be written, found out before any work was done.
    #[error("output folder {path}: {source}", path = .path.display())]
    Output {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The data is missing or not what it should be.
    #[error("{0}")]
    Data(Error),
    /// Results could not be written half-way; what was written before is whole.
    #[error("stopped, could not write {path}: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The exit code of a command that ends so.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Experiment { .. } | Self::Plugin(_) | Self::Read { .. } | Self::Output { .. } => 2,
            Self::Data(_) => 3,
            Self::Write { .. } => 5,
            Self::Interrupted => INTERRUPTED,
        }
    }

    /// An error met while data was read or made. What the reader can set right in the configuration counts as such.
    pub fn of_data(error: Error) -> Self {
        match error {
            Error::Cancelled => Self::Interrupted,
            Error::UnknownPlugin { .. }
            | Error::DuplicatePlugin { .. }
            | Error::Params { .. }
            | Error::OutOfRange { .. } => Self::Plugin(error),
            other => Self::Data(other),
        }
    }
}

/// How a command ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is well.
    Fine,
    /// The work was done, but some cells or checks failed.
    SomeFailed,
    /// The run was asked to stop; what was finished is kept.
    Interrupted,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Fine => Self::SUCCESS,
            End::SomeFailed => Self::from(1),
            End::Interrupted => Self::from(INTERRUPTED),
        }
    }
}

/// 128 + the number of the signal, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;
