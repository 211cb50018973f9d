//! The log of actions: a table of comma-separated values, one line for each item shown.
//!
//! | column | meaning |
//! | --- | --- |
//! | `seed` | seed of the run |
//! | `agent` | label of the agent that acted |
//! | `period` | period, from 0 |
//! | `user` | index of the user |
//! | `place` | place in the slate, from 0 |
//! | `item` | index of the item shown there |
//! | `propensity` | probability of that item at that place, above 0, at most 1 |
//! | `draws` | number of draws from which the propensity was estimated; empty where it is exact |
//! | `reward` | what the user returned |
//! | `prediction` | what the agent expected; empty where it expected nothing |
//! | `cold` | `true` where the agent knew nothing of the user yet, else `false` |
//!
//! The lines of a slate stand together, in the order of their places; all slates of an agent and a seed have one size and
//! distinct items, and a user has one slate in a period. Agents and seeds may alternate. Numbers are written with the fewest
//! digits that give them back exactly.

use std::io::{self, Write};

/// The columns in the order in which they stand.
pub const COLUMNS: [&str; 11] =
    ["seed", "agent", "period", "user", "place", "item", "propensity", "draws", "reward", "prediction", "cold"];

/// Sums of probabilities may end that much above 1.
const ROUNDING: f64 = 1e-9;

/// One item shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// Period, from 0.
    pub period: usize,
    /// User index.
    pub user: u32,
    /// Place in the slate, from 0.
    pub place: usize,
    /// Item index.
    pub item: u32,
    /// Probability of that item at that place, above 0.
    pub propensity: f64,
    /// Number of draws from which the propensity was estimated; `None` where it is exact.
    pub draws: Option<usize>,
    /// What the user returned.
    pub reward: f64,
    /// What the agent expected.
    pub prediction: Option<f64>,
    /// Whether the agent knew nothing of the user yet.
    pub cold: bool,
}

impl Action {
    /// Whether a number can be the propensity of what was shown.
    pub(crate) fn is_propensity(p: f64) -> bool {
        p > 0.0 && p <= 1.0 + ROUNDING
    }
}

/// All actions of one agent in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Label of the agent.
    pub agent: String,
    /// Seed of the run.
    pub seed: u64,
    /// Items per slate, at least 1.
    pub size: usize,
    /// The actions, slate after slate, place after place.
    pub actions: Vec<Action>,
}

impl Log {
    /// The slates, in the order of the file.
    pub fn slates(&self) -> impl Iterator<Item = &[Action]> {
        self.actions.chunks(self.size)
    }
}

/// Writes a log.
pub struct Writer<'w>(csv::Writer<&'w mut dyn Write>);

impl<'w> Writer<'w> {
    /// Begins a log with its header.
    ///
    /// # Errors
    /// What the system reports.
    pub fn new(to: &'w mut dyn Write) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(to);
        writer.write_record(COLUMNS)?;
        Ok(Self(writer))
    }

    /// Adds an action. See the [module](self) for the order of lines.
    ///
    /// # Errors
    /// What the system reports.
    pub fn action(&mut self, seed: u64, agent: &str, action: &Action) -> io::Result<()> {
        let Action { period, user, place, item, propensity, draws, reward, prediction, cold } = action;
        let optional = |number: Option<String>| number.unwrap_or_default();
        self.0.write_record([
            &seed.to_string(),
            agent,
            &period.to_string(),
            &user.to_string(),
            &place.to_string(),
            &item.to_string(),
            &propensity.to_string(),
            &optional(draws.map(|n| n.to_string())),
            &reward.to_string(),
            &optional(prediction.map(|p| p.to_string())),
            &cold.to_string(),
        ])?;
        Ok(())
    }

    /// Hands over what is still held back. Dropping the writer does the same, but keeps silent about failures.
    ///
    /// # Errors
    /// What the system reports.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
