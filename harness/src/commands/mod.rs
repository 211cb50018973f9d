//! The commands: from arguments to printed answers, one module each.

mod check;
mod compare;
mod data;
mod describe;
mod list;

use crate::cli::{Cli, Command, Data};
use crate::failure::{End, Failure};
use serde::Serialize;
use std::io::{Write, stdout};

/// Does what the arguments ask.
pub(crate) fn run(cli: Cli) -> Result<End, Failure> {
    match cli.command {
        Command::Compare(args) => compare::run(&args),
        Command::List(args) => list::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Data(Data::Describe(args)) => data::run(&args),
    }
}

/// Prints an answer. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints an answer as JSON.
fn print_json(answer: &impl Serialize) {
    print(&json_text(answer));
}

fn json_text(answer: &impl Serialize) -> String {
    serde_json::to_string_pretty(answer).expect("plain data") + "\n"
}
