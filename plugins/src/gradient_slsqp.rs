//! The published way to the lottery of the highest objective: sequential quadratic programming from nine starts.
//!
//! There to be compared with [`gradient`](crate::gradient), by the objective that is reached: it looks at every set, and stops
//! at the nearest local maximum. Where items enter independently, the published code's tolerance and number of steps are
//! others: 1e-6, 100 and weights dropped up to 1e-5.
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis 2024, "Harm mitigation in recommender systems under
//! user preference dynamics"; Kraft, "A software package for sequential quadratic programming", DFVLR-FB 88-28, 1988.

use crate::plans::{Planned, Planner};
use crate::stationary::{Effort, Protocol, Search, Users};
use evenhand_core::{Acting, Cardinality, Params, Plan, Policy, Result, Run, Streams, World, plugin};

plugin! {
    /// The lottery that users who change with it are best off with, as the published code looks for it.
    pub struct GradientSlsqp: Policy = "gradient-slsqp", from "Chee et al., KDD 2024" {
        /// Random starts; each is also tried divided by 100.
        starts: usize = 3, in ..=10_000;
        /// Most evaluations in one run.
        evaluations: usize = 40, in 1..=1_000_000;
        /// Change of the objective at which a run ends.
        tolerance: f64 = 1e-4, in 0.0..;
        /// Weights of sets and chances of items that are dropped in the end, up to this.
        dropped: f64 = 1e-3, in 0.0..1.0;
        /// Most sets that are weighed.
        sets: usize = 300, in 1..=10_000;
        /// Draws of common random numbers behind means over items that enter independently; nothing: exact means.
        draws: Option<usize> = None, in 1..=100_000;
    }
}

impl Policy for GradientSlsqp {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        let Self { starts, evaluations, tolerance, dropped, sets, draws } = *self;
        let protocol = Protocol { starts, evaluations, tolerance, dropped, sets };
        let streams = run.streams.child("gradient-slsqp/starts");
        Ok(Box::new(Planned::new(world, Programs { users: Users::of(world)?, protocol, draws, streams })))
    }
}

/// Searches for every user.
struct Programs<'a> {
    users: Users<'a>,
    protocol: Protocol,
    draws: Option<usize>,
    streams: Streams,
}

impl Planner for Programs<'_> {
    fn plan(&self, user: u32, items: &[u32], cardinality: Cardinality, run: &Run) -> Result<Plan> {
        let start = self.users.start(user)?;
        let effort = Effort { draws: self.draws, ..Effort::default() };
        let search = Search::new(&self.users.catalogue, &start, items, self.users.price, effort)?;
        search.with_run(run).slsqp(cardinality, &self.protocol, &mut self.streams.rng(u64::from(user)))
    }
}
