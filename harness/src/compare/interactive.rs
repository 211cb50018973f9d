//! Agents in a world that answers: every agent with every seed.

use super::cells::{Cells, Runner};
use super::{Cell, Place};
use crate::cell::{self, Outcome};
use crate::experiment::Interactive;
use crate::failure::Failure;
use crate::panics;
use crate::protocol::interactive;
use crate::store::Store;

/// What came out of comparing agents in a world that answers.
#[derive(Debug)]
pub struct InteractiveCells {
    /// Every cell, by agent and seed.
    pub cells: Vec<Cell>,
    /// Whether some cells were not run.
    pub(super) cut_short: bool,
}

/// A comparison of agents under way.
pub(super) struct Work<'a> {
    runner: &'a Runner<'a>,
    part: &'a Interactive,
    seeds: &'a [u64],
    cells: Cells,
}

impl<'a> Work<'a> {
    /// Looks for cells that are finished.
    ///
    /// # Errors
    /// [`Failure::Experiment`] where slates are longer than the catalogue of the first seed: no agent could show them.
    pub(super) fn begin(part: &'a Interactive, seeds: &'a [u64], runner: &'a Runner<'a>) -> Result<Self, Failure> {
        let of_agent = |setting| seeds.iter().map(move |&seed| Place { setting, seed, fold: 0 });
        let places = (0..part.agents.len()).flat_map(of_agent).collect();
        let whole = |store: &Store, outcome: &Outcome| !part.options.log || store.has_actions(&outcome.key);
        let cells = Cells::begin(places, whole, runner, |place| cell::of_agent(part, place));
        let work = Self { runner, part, seeds, cells };
        work.announce();
        if work.missing() > 0 {
            work.check_slate()?;
        }
        Ok(work)
    }

    /// A world that can not be looked at is left to the cells, which say why.
    fn check_slate(&self) -> Result<(), Failure> {
        let run = self.runner.base.clone().with_seed(self.seeds[0]);
        let simulator = self.part.simulator.as_ref();
        let items = panics::caught(|| interactive::first_items(simulator, &run)).ok().and_then(Result::ok);
        match items.filter(|&items| self.part.options.slate > items) {
            Some(items) => {
                let slate = self.part.options.slate;
                let reason =
                    format!("`interactive.slate` = {slate}, expected at most {items}, the items there at first");
                Err(Failure::Experiment { place: self.part.slate_place.clone(), reason })
            }
            None => Ok(()),
        }
    }

    /// Cells to be run.
    pub(super) fn missing(&self) -> usize {
        self.cells.missing()
    }

    /// Runs them, all agents of one seed after each other.
    pub(super) fn run(mut self) -> Result<InteractiveCells, Failure> {
        let part = self.part;
        for &seed in self.seeds {
            for place in self.cells.without_end(|place| place.seed == seed) {
                if self.runner.stopped() {
                    break;
                }
                let agent = &part.agents[place.setting];
                let name = format!("{}  seed {seed}", agent.setting.label);
                let measure = |run: &_| interactive::measure(part.simulator.as_ref(), agent, &part.options, run);
                let end = self.runner.run(&agent.setting.label, &name, seed, cell::of_agent(part, place), measure)?;
                self.cells.set(place, end);
            }
        }
        let done = self.cells.finish(self.runner, |place| cell::of_agent(part, place));
        Ok(InteractiveCells { cells: done.cells, cut_short: done.cut_short })
    }

    /// Says on stderr what is about to be compared.
    fn announce(&self) {
        let say = |text: String| self.runner.host.progress.note(&text);
        let options = &self.part.options;
        let slates = if options.slate > 1 { format!("  slates of {}", options.slate) } else { String::new() };
        say(format!("  world   {}  {} periods{slates}", self.part.simulator.name(), options.periods));
        let (cells, agents, seeds) = (self.cells.len(), self.part.agents.len(), self.seeds.len());
        let missing = self.cells.missing();
        let found = cells - missing;
        say(format!("  plan    {cells} cells = {agents} agents x {seeds} seeds   {found} found   {missing} to run"));
    }
}
