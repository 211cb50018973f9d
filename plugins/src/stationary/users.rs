//! The users of a model as profiles over its items.

use super::catalogue::Catalogue;
use evenhand_core::{Error, Factors, Result, World};

/// First profiles and items of a world with harm.
pub struct Users<'a> {
    factors: &'a Factors,
    /// The items.
    pub catalogue: Catalogue,
    /// lambda: what a consumption of a harmful item costs, in clicks.
    pub price: f64,
}

impl<'a> Users<'a> {
    /// Those of `world`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without factors or a world without harm; those of [`Catalogue::of_factors`].
    pub fn of(world: World<'a>) -> Result<Self> {
        let plugin = || world.model.kind().to_string();
        let without = |operation| Error::Unsupported { plugin: plugin(), operation };
        let factors = world.model.factors().ok_or_else(|| without("profiles: it has no factors"))?;
        let harm = world.harm.ok_or_else(|| without("policies against harm: nothing is known about harm here"))?;
        harm.check(factors.items.ncols())?;
        Ok(Self { factors, catalogue: Catalogue::of_factors(factors, &harm)?, price: harm.price })
    }

    /// The first profile of `user`, who is in range.
    ///
    /// # Errors
    /// Those of [`Catalogue::check_profile`], with the user.
    pub fn start(&self, user: u32) -> Result<Vec<f64>> {
        let start: Vec<f64> = self.factors.users.column(user as usize).iter().map(|&x| x.into()).collect();
        self.catalogue.check_profile(&start).map_err(|error| match error {
            Error::Diverged { .. } => Error::Diverged { what: format!("profile of user {user}"), step: None },
            Error::Unusable(text) => Error::Unusable(format!("user {user}: {text}")),
            error => error,
        })?;
        Ok(start)
    }
}
