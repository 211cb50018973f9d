//! The commands: from arguments to printed answers, one module each.

mod calibrate;
mod check;
mod compare;
mod data;
mod describe;
mod doctor;
mod list;
mod off_policy;

use crate::cli::{Cli, Command, Data};
use crate::failure::{End, Failure};
use serde::Serialize;
use std::io::{self, Write, stdout};

/// Does what the arguments ask.
pub(crate) fn run(cli: Cli) -> Result<End, Failure> {
    match cli.command {
        Command::Compare(args) => compare::run(&args),
        Command::List(args) => list::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::OffPolicy(args) => off_policy::run(&args),
        Command::Data(Data::Describe(args)) => data::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}

/// Prints an answer.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What became of writing to stdout. A reader that has seen enough (`| head`) is no error; a full disk is.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Write { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Prints an answer as JSON.
fn print_json(answer: &impl Serialize) -> Result<(), Failure> {
    print(&json_text(answer))
}

fn json_text(answer: &impl Serialize) -> String {
    serde_json::to_string_pretty(answer).expect("plain data") + "\n"
}
