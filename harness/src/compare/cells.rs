//! Running cells of any protocol: find what is finished, run what is not, keep what is new.

use super::{Cell, CellEnd, Host, Place};
use crate::cell::{self, Outcome};
use crate::failure::Failure;
use crate::panics;
use crate::per_user;
use crate::protocol::Measured;
use crate::store::Store;
use evenhand_core::{Error, Run};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// What all parts of a comparison have in common.
pub(super) struct Runner<'a> {
    pub(super) store: Option<&'a Store>,
    pub(super) host: &'a Host,
    /// The run without a seed.
    pub(super) base: Run,
}

impl Runner<'_> {
    /// Whether the comparison is asked to stop.
    pub(super) fn stopped(&self) -> bool {
        self.host.cancel.load(Ordering::SeqCst)
    }

    /// Runs one cell, whatever its plugins do, and keeps what comes out. `label` is that of the setting, `name` what
    /// progress calls the cell.
    pub(super) fn run(
        &self,
        label: &str,
        name: &str,
        seed: u64,
        identity: Json,
        measure: impl FnOnce(&Run) -> evenhand_core::Result<Measured>,
    ) -> Result<CellEnd, Failure> {
        let progress = &self.host.progress;
        let run = self.base.clone().with_seed(seed).with_observer(progress.start(name));
        let reason = match panics::caught(|| measure(&run)) {
            Ok(Ok(measured)) => {
                progress.finish(name, &format!("{:.2} s", measured.seconds.fit + measured.seconds.evaluate), false);
                let Measured { figures, curves, times, actions, attacks, users, seconds } = measured;
                let build = self.store.and_then(|_| cell::build()).map(str::to_string);
                let key = cell::key(&identity);
                let user_rows = users.as_deref().map(per_user::rows);
                let device = self.host.dense.name().to_string();
                let outcome =
                    Outcome { key, cell: identity, figures, curves, attacks, times, user_rows, seconds, build, device };
                if let Some(store) = self.store {
                    // First: a finished cell has all that belongs to it.
                    store.keep_actions(&outcome.key, label, seed, &actions)?;
                    store.keep_users(&outcome.key, users.as_deref())?;
                    store.keep(&outcome)?;
                }
                return Ok(CellEnd::Done(outcome));
            }
            Ok(Err(Error::Cancelled)) if self.stopped() => return Ok(CellEnd::Skipped),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        let reason = if reason.trim().is_empty() { "an error without a message".into() } else { reason };
        progress.finish(name, &format!("FAILED: {reason}"), true);
        Ok(CellEnd::Failed(reason))
    }
}

/// The cells of one part, by what has become of them.
pub(super) struct Cells {
    places: Vec<Place>,
    ends: HashMap<Place, CellEnd>,
}

impl Cells {
    /// The cells at `places`; those are found that an earlier run has finished, and of which the store has all that
    /// `whole` asks for.
    pub(super) fn begin(
        places: Vec<Place>,
        whole: impl Fn(&Store, &Outcome) -> bool,
        runner: &Runner<'_>,
        identity: impl Fn(Place) -> Json,
    ) -> Self {
        let finished = |&place: &Place| {
            let store = runner.store?;
            let outcome = store.finished(&cell::key(&identity(place)))?;
            whole(store, &outcome).then_some((place, CellEnd::Found(outcome)))
        };
        let ends = places.iter().filter_map(finished).collect();
        Self { places, ends }
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Number of cells without an end.
    pub(super) fn missing(&self) -> usize {
        self.places.len() - self.ends.len()
    }

    /// The cells without an end that `which` picks.
    pub(super) fn without_end(&self, which: impl Fn(Place) -> bool) -> Vec<Place> {
        self.places.iter().copied().filter(|&place| which(place) && !self.ends.contains_key(&place)).collect()
    }

    /// What has become of a cell.
    pub(super) fn set(&mut self, place: Place, end: CellEnd) {
        self.ends.insert(place, end);
    }

    /// All cells in order. What was to be measured anew and is not: the earlier outcome still stands.
    pub(super) fn finish(mut self, runner: &Runner<'_>, identity: impl Fn(Place) -> Json) -> Finished {
        let cut_short = self.places.iter().any(|p| matches!(self.ends.get(p), None | Some(CellEnd::Skipped)));
        let kept = |place| runner.store?.kept(&cell::key(&identity(place)));
        let mut end = |place| match self.ends.remove(&place) {
            None | Some(CellEnd::Skipped) => kept(place).map_or(CellEnd::Skipped, CellEnd::Found),
            Some(end) => end,
        };
        let cells = self.places.into_iter().map(|place| Cell { place, end: end(place) }).collect();
        Finished { cells, cut_short }
    }
}

/// The cells of one part at its end.
pub(super) struct Finished {
    pub(super) cells: Vec<Cell>,
    /// Whether some were not run.
    pub(super) cut_short: bool,
}
