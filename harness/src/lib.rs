//! Evenhand's harness: data in, comparison of recommenders out.
//!
//! ```text
//! evenhand compare                           random, popularity and ALS on embedded data, within a minute
//! evenhand compare --data ml-1m              the same on your ratings
//! evenhand compare mine.toml --out results   an experiment of yours; stopped half-way, it goes on where it stopped
//! evenhand list                              what is linked in
//! evenhand describe als                      its parameters
//! evenhand check als                         whether it keeps its contract
//! evenhand calibrate mine.toml               how much recommendations matter to the users of `[harm]`
//! evenhand doctor                            what it can use of this machine, a GPU among it
//! ```
//!
//! A plugin of your own lives in a crate of your own, with this as its `main.rs`:
//!
//! ```ignore
//! use mine as _; // the library that declares plugins with `evenhand_core::plugin!`
//! fn main() -> std::process::ExitCode {
//!     evenhand::main()
//! }
//! ```
//!
//! From reading to result: [`experiment`] (what to compare) and [`load`] (on what), [`split`] (train and test),
//! [`compare()`] (run every [`cell`]), [`protocol`] (measure one), [`store`] (keep it), [`report`] (show it). Logs of
//! what agents showed are kept and evaluated by [`off_policy`]; numbers of single users are kept by [`per_user`].

use evenhand_plugins as _;

pub mod catalog;
pub mod cell;
pub mod compare;
pub mod experiment;
pub mod load;
pub mod off_policy;
pub mod per_user;
pub mod protocol;
pub mod report;
pub mod split;
pub mod store;

mod cli;
mod commands;
mod device;
mod failure;
mod interrupt;
mod panics;
mod progress;

/// The examples of the front page, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

pub use compare::compare;
pub use experiment::Experiment;
pub use failure::{End, Failure};
pub use progress::Progress;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// The command line: reads the arguments of the program, does what they ask, prints what went wrong.
pub fn main() -> ExitCode {
    let done = match cli::Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) if error.use_stderr() => error.exit(),
        // Asked for help or the version.
        Err(help) => commands::written(help.print().and_then(|()| std::io::stdout().flush())).map(|()| End::Fine),
    };
    match done {
        Ok(end) => end.into(),
        Err(failure) => {
            progress::say(&format!("error: {}", progress::printable(&failure.to_string())));
            ExitCode::from(failure.code())
        }
    }
}
