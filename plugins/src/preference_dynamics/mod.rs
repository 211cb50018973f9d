//! Users whose profiles move with what they consume, harmful items among it.
//!
//! Items have vectors v_i and users profiles u, at first u0; harmful is a share of the items. In each period every user
//! consumes one item, by the law of [`Catalogue`](crate::stationary::Catalogue). Of a slate E, with `s_i = exp(v_i . u)`:
//!
//! ```text
//! takes item i of E             s_i / (s_E + c)             observed 1 for the item taken, 0 for all others
//! otherwise consumes item i     s_i / S                     of its own accord, from all items; not observed
//! profile of the next period    beta u0 + alpha_i v_i + (1 - alpha_i - beta) u          having consumed item i
//! expected value of item i      s_i / (s_i + c)             its chance of being taken, were it shown alone
//! ```
//!
//! The items of a slate compete: the chance of a click is less than the sum of their expected values. The order in a slate
//! does not matter. Agents are told clicks alone, neither profiles nor vectors nor harm; they may show harmful items.
//!
//! Where a user is shown several slates in a period, the last one counts for the profile; who is shown nothing consumes of
//! one's own accord. Every random number has its own address, that of choices (period, user): agents meet the same users
//! with the same noise. Profiles depend on what was shown before: what an agent makes of its users shows in its later regrets.
//!
//! The world emits a data set too: what each user consumes in `history` turns with nothing shown, the profile staying u0. An
//! item that was consumed is a row of value 1, once however often. The grouping `harm` has the items that are `harmful` and
//! those that are `harmless`.
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis, "Harm mitigation in recommender systems under user
//! preference dynamics", KDD 2024.

mod world;

#[cfg(test)]
mod tests;

use evenhand_core::{Dynamics, Environment, Error, Params, Result, Run, Simulator, plugin};
use world::Open;

plugin! {
    /// Users whose profiles move with what they take from slates or consume of their own accord, harmful items among it.
    pub struct PreferenceDynamics: Simulator = "preference-dynamics",
        from "Chee et al. 2024, Harm mitigation in recommender systems under user preference dynamics, KDD" {
        /// Number of users.
        users: usize = 200, in 1..;
        /// Number of items.
        items: usize = 100, in 1..;
        /// Length of an item's vector and of a user's profile.
        dimension: usize = 10, in 1..;
        /// Share of the items that are harmful, drawn at random.
        harmful: f64 = 0.4, in 0.0..=1.0;
        /// Standard deviation of each number of an item's vector, around 0.
        item_spread: f64 = 0.8, in 0.0..;
        /// The same of a user's first profile.
        user_spread: f64 = 0.8, in 0.0..;
        /// Attraction to a harmful item that was consumed; at most 1 - beta.
        alpha_harmful: f64 = 0.5, in 0.0..=1.0;
        /// Attraction to any other item that was consumed; at most 1 - beta.
        alpha_harmless: f64 = 0.25, in 0.0..=1.0;
        /// Pull back to the first profile. Where it is 0, attractions must not be.
        beta: f64 = 0.2, in 0.0..=1.0;
        /// Weight of not taking what is shown. Small values make recommendations matter more.
        c: f64 = 6.0, in 1e-100..=1e100;
        /// Items that each user consumes for the data set, some of them repeatedly.
        history: usize = 30, in 1..;
    }
}

impl PreferenceDynamics {
    fn dynamics(&self) -> Dynamics {
        let Self { alpha_harmful, alpha_harmless, beta, c, .. } = *self;
        Dynamics { alpha_harmful, alpha_harmless, beta, c }
    }

    fn check_together(&self) -> Result<()> {
        let plugin = || Some(Self::NAME.to_string());
        // Indices have 32 bits; so many numbers are 32 GiB. Rows count in 32 bits.
        let most = u32::MAX as usize / self.dimension;
        let rows = u32::MAX as usize / self.users;
        for (field, value, most, why) in [
            ("users", self.users, most, format!("dimension = {}", self.dimension)),
            ("items", self.items, most, format!("dimension = {}", self.dimension)),
            ("history", self.history, rows, format!("users = {}", self.users)),
        ] {
            if value > most {
                let (field, value, range) = (field.into(), value.to_string(), format!("at most {most} with {why}"));
                return Err(Error::OutOfRange { plugin: plugin(), field, value, range });
            }
        }
        self.dynamics().check().map_err(|error| match error {
            Error::OutOfRange { field, value, range, .. } => {
                Error::OutOfRange { plugin: plugin(), field, value, range }
            }
            error => error,
        })
    }
}

impl Simulator for PreferenceDynamics {
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>> {
        self.check()?;
        self.check_together()?;
        Ok(Box::new(Open::new(self, run)?))
    }
}
