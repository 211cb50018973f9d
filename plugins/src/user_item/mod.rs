//! Users and items with true attributes, for recommendation as a bandit problem.
//!
//! User u and item i have d attributes each, U_u and I_i, independent and uniform on [0, 1):
//!
//! ```text
//! expected(u, i)   = sum_k w_gk U_uk I_ik               noise-free, in 0..=d, of mean d / 4
//! observed(u, i)   = expected(u, i) + noise e           e ~ N(0, 1); not clipped
//! regret of a slate = sum_j best_j(u) - expected(u, i_j)
//! ```
//!
//! with best_j(u) the j-th largest expected value of u among the items that are there. The weights w are 1 unless the
//! groups differ (`contrast`). Optionally attributes drift, ratings come late, and users and items appear later.
//!
//! Every random number has its own address: attributes that of the entity, requests that of the period, noise that of
//! (period, user, place), drift that of (period, entity). All agents of a run meet the same users with the same noise,
//! whatever they and others do.

mod bests;
mod truth;
mod world;

#[cfg(test)]
mod tests;

pub use truth::{Truth, observed};

use evenhand_core::{Environment, Error, Params, Result, Run, Simulator};
use evenhand_core::{choice, plugin};

choice! {
    /// Who shares a draw of the noise.
    pub enum Draws {
        /// Nobody: one draw for each place of each user.
        Row = "row",
        /// All ratings of a period: an offset. For comparison with recorded results that were made so.
        Batch = "batch",
    }
}

plugin! {
    /// Users rate items by the product of hidden attributes, with noise; drift, delay, newcomers and groups on request.
    pub struct UserItem: Simulator = "user-item" {
        /// Number of users, those included who appear later.
        users: usize = 1000, in 1..;
        /// Number of items, those included that appear later.
        items: usize = 1000, in 1..;
        /// Number of attributes d of a user and of an item.
        attributes: usize = 10, in 1..;
        /// Standard deviation of the noise of a rating.
        noise: f64 = 0.1, in 0.0..;
        /// Who shares a draw of the noise.
        noise_draws: Draws = Draws::Row;
        /// Share of the users there who ask in a period, at least one; drawn anew, in random order.
        asking: f64 = 1.0, in 1e-9..=1.0;
        /// Standard deviation of the step that each attribute of a user takes from period to period, reflected into 0 to 1.
        user_drift: f64 = 0.0, in 0.0..=1.0;
        /// The same of the items.
        item_drift: f64 = 0.0, in 0.0..=1.0;
        /// Periods until a rating arrives; 0: at the end of its own.
        delay: usize = 0;
        /// Share of the users who appear later, in order of their index; at least one is there from the start.
        late_users: f64 = 0.0, in 0.0..1.0;
        /// The same of the items.
        late_items: f64 = 0.0, in 0.0..1.0;
        /// Periods over which the late ones appear, evenly.
        arrival: usize = 20, in 1..;
        /// Share of the users in the group `minority`, drawn at random; the others are the `majority`. 0: no groups.
        minority: f64 = 0.2, in 0.0..=0.5;
        /// How much the groups differ: the first half of the attributes counts 1 - contrast for the minority, the second half
        /// for the majority. 0: they do not. Without groups of no effect.
        contrast: f64 = 0.0, in 0.0..=1.0;
    }
}

impl Simulator for UserItem {
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>> {
        self.check()?;
        // Indices have 32 bits; so many numbers are 32 GiB.
        let most = u32::MAX as usize / self.attributes;
        for (field, value) in [("users", self.users), ("items", self.items)] {
            if value > most {
                let range = format!("at most {most} with attributes = {}", self.attributes);
                let plugin = Some(Self::NAME.into());
                return Err(Error::OutOfRange { plugin, field: field.into(), value: value.to_string(), range });
            }
        }
        Ok(Box::new(world::Open::new(self, run)?))
    }
}
