//! This test program again, in a process of its own: for what ends a process, and for other kernels.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// What became of a process.
pub(crate) struct Ended {
    pub(crate) succeeded: bool,
    /// It was stopped, having taken too long.
    pub(crate) hung: bool,
    /// What it wrote, to both outputs.
    pub(crate) said: String,
}

/// Runs the test of that full name, with more in its environment.
pub(crate) fn run_test(name: &str, environment: &[(&str, &str)], limit: Duration) -> Ended {
    let mut command = Command::new(env::current_exe().expect("a program that runs"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).envs(environment.iter().copied());
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let [mut output, mut errors] = [String::new(), String::new()];
    let (mut from_output, mut from_errors) =
        (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let started = Instant::now();
    let (status, hung) = thread::scope(|scope| {
        scope.spawn(|| from_output.read_to_string(&mut output));
        scope.spawn(|| from_errors.read_to_string(&mut errors));
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break (status, false);
            }
            if started.elapsed() > limit {
                child.kill().expect("a child");
                break (child.wait().expect("a child"), true);
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(hung || output.contains("running 1 test"), "there is no test {name}:\n{output}{errors}");
    Ended { succeeded: status.success(), hung, said: output + &errors }
}
