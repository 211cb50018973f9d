//! Agents in a world that answers: every agent with every seed.

use super::cells::{Cells, Runner};
use super::{Cell, Place};
use crate::cell;
use crate::experiment::Interactive;
use crate::failure::Failure;
use crate::protocol::interactive;

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
    pub(super) fn begin(part: &'a Interactive, seeds: &'a [u64], runner: &'a Runner<'a>) -> Self {
        let of_agent = |setting| seeds.iter().map(move |&seed| Place { setting, seed, fold: 0 });
        let places = (0..part.agents.len()).flat_map(of_agent).collect();
        let cells = Cells::begin(places, runner, |place| cell::of_agent(part, place));
        let work = Self { runner, part, seeds, cells };
        work.announce();
        work
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
                let end = self.runner.run(&name, seed, cell::of_agent(part, place), measure)?;
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
