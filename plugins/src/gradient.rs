//! The lottery of the highest objective, by exact gradients through the stationary profile.
//!
//! The objective is `click - price harm` at the profile that the user ends up with under the lottery. See
//! [`search`](crate::stationary::Search) for how it is maximised, and [`Certificate`](evenhand_core::Certificate) for what
//! is said of the result.
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis 2024, "Harm mitigation in recommender systems under
//! user preference dynamics".

use crate::plans::{Planned, Planner};
use crate::stationary::{Effort, Search, Users};
use evenhand_core::{Acting, Cardinality, Params, Plan, Policy, Result, Run, Streams, World, plugin};

plugin! {
    /// The lottery that users who change with it are best off with, found by gradients.
    pub struct Gradient: Policy = "gradient", from "Chee et al., KDD 2024" {
        /// Random starts, besides those that are always tried, where sets are few enough to be listed or items enter
        /// independently.
        starts: usize = 3, in ..=10_000;
        /// Sets around random items that are climbed from where there are more sets than `vertices`.
        anchors: usize = 20, in ..=1_000_000;
        /// Number of sets up to which every single set is evaluated.
        vertices: usize = 2000, in ..=1_000_000;
        /// Number of sets up to which mixtures of two are evaluated too.
        pairs: usize = 40, in ..=10_000;
        /// Most steps of one ascent.
        steps: usize = 500, in 1..;
        /// Gap at which an ascent ends, relative to objectives above 1.
        tolerance: f64 = 1e-8, in 1e-12..=1.0;
        /// Draws of common random numbers behind means over items that enter independently; nothing: exact means.
        draws: Option<usize> = None, in 1..=100_000;
    }
}

impl Policy for Gradient {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        let Self { starts, anchors, vertices, pairs, steps, tolerance, draws } = *self;
        let effort = Effort { starts, anchors, vertices, pairs, steps, tolerance, draws };
        let streams = run.streams.child("gradient/starts");
        Ok(Box::new(Planned::new(world, Climbs { users: Users::of(world)?, effort, streams })))
    }
}

/// Searches for every user.
struct Climbs<'a> {
    users: Users<'a>,
    effort: Effort,
    streams: Streams,
}

impl Planner for Climbs<'_> {
    fn plan(&self, user: u32, items: &[u32], cardinality: Cardinality, run: &Run) -> Result<Plan> {
        let start = self.users.start(user)?;
        let search = Search::new(&self.users.catalogue, &start, items, self.users.price, self.effort)?;
        search.with_run(run).best(cardinality, &mut self.streams.rng(u64::from(user)))
    }
}
