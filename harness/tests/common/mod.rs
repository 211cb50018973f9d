//! Running a binary and looking at what it says.
#![allow(dead_code, unreachable_pub)] // compiled into each test file, which uses a part

use std::path::Path;
use std::process::{Command, Output};

/// How a command ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The same, once the exit code is checked.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in\n{}", self.out))
    }
}

/// Runs `binary` with `args` in `folder`.
pub fn run_in(binary: &Path, folder: &Path, args: &[&str]) -> Said {
    Said::of(command(binary, folder, args).output().expect("the binary runs"))
}

pub fn command(binary: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).current_dir(folder).env_remove("RUST_BACKTRACE");
    command
}

/// A small experiment on a small world, in `folder`.
pub fn write_experiment(folder: &Path, runs: &str) {
    let text = format!(
        "name = 'small'\nseeds = [0, 1]\n[data]\n\
         simulator = {{ plugin = 'biased-ratings', users = 200, items = 60, r = 0.4, s = 0.4, test_share = 0.0 }}\n{runs}"
    );
    std::fs::write(folder.join("small.toml"), text).unwrap();
}

/// Names of the files in a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
