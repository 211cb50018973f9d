//! Outcomes of checks, and the harness that turns a panic into one.

use crate::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The plugin breaks its contract.
    Failed(String),
    /// The check does not apply to this plugin.
    Skipped(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// How one check of one plugin went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the plugin.
    pub plugin: &'static str,
    /// Name of the check, kebab-case.
    pub check: &'static str,
    /// What the check demands, in a line.
    pub about: &'static str,
    /// How it went.
    pub result: Result<(), Stop>,
}

impl Outcome {
    /// Whether the plugin breaks its contract here. A skipped check is no failure.
    pub fn failed(&self) -> bool {
        matches!(self.result, Err(Stop::Failed(_)))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, check, about, result } = self;
        match result {
            Ok(()) => write!(f, "{plugin}: {check}: passed"),
            Err(Stop::Skipped(why)) => write!(f, "{plugin}: {check}: skipped: {why}"),
            Err(Stop::Failed(why)) => write!(f, "{plugin}: {check} ({about}): failed: {why}"),
        }
    }
}

/// Passes when no check failed.
///
/// # Panics
/// With the list of failed checks; and where there is no outcome at all, since a test of nothing proves nothing.
pub fn assert_all(outcomes: impl IntoIterator<Item = Outcome>) {
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    assert!(!outcomes.is_empty(), "no contract check ran");
    let failed: Vec<_> = outcomes.iter().filter(|o| o.failed()).map(|o| format!("\n  {o}")).collect();
    assert!(failed.is_empty(), "{} of {} contract checks failed:{}", failed.len(), outcomes.len(), failed.concat());
}

/// One check of a subject of type `S`: its name, what it demands in a line, the check.
pub(super) struct Check<S>(pub(super) &'static str, pub(super) &'static str, pub(super) fn(&S) -> Result<(), Stop>);

/// Runs all checks on `subject`; a panic fails its check, and the others still run.
pub(super) fn run_all<S>(plugin: &'static str, checks: &[Check<S>], subject: &S) -> Vec<Outcome> {
    let one = |&Check(check, about, run): &Check<S>| {
        let result = caught(|| run(subject)).unwrap_or_else(|panic| Err(Stop::Failed(panic)));
        Outcome { plugin, check, about, result }
    };
    checks.iter().map(one).collect()
}

/// The result of `work`, or the words of its panic.
pub(super) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panicked: {}", text.unwrap_or("without a message"))
    })
}

/// Fails with `why` unless `holds`.
pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Failed(why())) }
}
