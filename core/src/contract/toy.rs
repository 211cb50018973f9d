//! A small world for policies: a model with a posterior that is known exactly, and what its users have seen.

use crate::{Dynamics, Error, Factors, Harm, Interactions, Model, Output, Posterior, Result, Rows, Run, Streams};
use nalgebra::DMatrix;
use rand::RngExt;
use std::f64::consts::TAU;

/// More than fit into one block of 64 users, so that work is shared among threads.
pub(super) const USERS: usize = 100;
pub(super) const ITEMS: usize = 8;

/// Part of a posterior draw that all users share: their draws are correlated by its square.
const SHARED: f64 = 0.5;

/// Independent means and standard deviations of every score; a Gaussian posterior.
#[derive(Clone, serde::Serialize)]
pub(super) struct Toy {
    /// The means: factors of a user are the scores of the items.
    pub(super) means: Factors,
    /// User after user.
    deviations: Vec<f32>,
}

/// Means in -1 to 1 that often lie within a standard deviation of each other. For user 0 two items tie.
pub(super) fn toy() -> Toy {
    let mut rng = Streams::new(7).child("contract/toy").rng(0);
    let mut draw = |low, high| (0..USERS * ITEMS).map(|_| rng.random_range(low..high)).collect::<Vec<f32>>();
    let (mut means, mut deviations) = (draw(-1.0, 1.0), draw(0.2, 0.8));
    for item in [2, 5] {
        (means[item], deviations[item]) = (2.0, 0.5);
    }
    let users = DMatrix::from_vec(ITEMS, USERS, means);
    let means = Factors::new(users, DMatrix::identity(ITEMS, ITEMS), Output::Order).expect("ranks agree");
    Toy { means, deviations }
}

/// The item that nobody may be shown where it is [`harm`]ful.
pub(super) const HARMFUL: u32 = 7;

/// One item is harmful.
pub(super) fn harm() -> Harm<'static> {
    Harm { harmful: &[false, false, false, false, false, false, false, true], ..harmless() }
}

/// No item is harmful: everything that is not seen can be shown.
pub(super) fn harmless() -> Harm<'static> {
    Harm { harmful: &[false; ITEMS], dynamics: Dynamics::default(), price: 1.0 }
}

/// The harmful item of everyone, and none to five items of each user; the last user has seen one of them twice.
pub(super) fn seen() -> Interactions {
    let mut rows = Rows::default();
    for user in 0..USERS as u32 {
        let count = if user == 2 { 5 } else { user % 3 };
        (0..count).for_each(|n| rows.push(user, (3 * user + n) % ITEMS as u32, 1.0));
        rows.push(user, HARMFUL, 1.0);
    }
    let last = USERS as u32 - 1;
    [4, 1, 4].into_iter().for_each(|item| rows.push(last, item, 1.0));
    Interactions::new(USERS, ITEMS, &rows).expect("the kit's rows are in range")
}

impl Toy {
    fn check(users: &[u32]) -> Result<()> {
        match users.iter().find(|&&u| u as usize >= USERS) {
            Some(u) => Err(Error::shape("user index", format!("below {USERS}"), u)),
            None => Ok(()),
        }
    }
}

impl Model for Toy {
    fn kind(&self) -> &'static str {
        "contract-toy"
    }

    fn users(&self) -> usize {
        USERS
    }

    fn items(&self) -> usize {
        ITEMS
    }

    fn output(&self) -> Output {
        Output::Rating
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, _: &Run) -> Result<()> {
        Self::check(users)?;
        out.resize_mut(ITEMS, users.len(), 0.0);
        for (mut scores, &user) in out.column_iter_mut().zip(users) {
            scores.copy_from(&self.means.users.column(user as usize));
        }
        Ok(())
    }

    fn factors(&self) -> Option<&Factors> {
        Some(&self.means)
    }

    fn posterior(&self) -> Option<&dyn Posterior> {
        Some(self)
    }
}

impl Posterior for Toy {
    fn sample(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>> {
        Self::check(users)?;
        let shared = normals(&run.streams.child("contract-toy/items"), 0);
        let mut drawn = self.clone();
        let mut users = users.to_vec();
        users.sort_unstable();
        users.dedup();
        for user in users {
            let own = normals(&run.streams.child("contract-toy/users"), user);
            for item in 0..ITEMS {
                let at = user as usize * ITEMS + item;
                let z = SHARED * shared[item] + (1.0 - SHARED * SHARED).sqrt() * own[item];
                drawn.means.users[at] += self.deviations[at] * z as f32;
            }
        }
        Ok(Box::new(drawn))
    }

    fn variances(&self, users: &[u32], _: &Run) -> Result<Box<dyn Model>> {
        Self::check(users)?;
        // Not a number for anybody else: who looks there is found out.
        let mut stated = self.clone();
        stated.means.users.fill(f32::NAN);
        for &user in users {
            let row = user as usize * ITEMS;
            (row..row + ITEMS).for_each(|at| stated.means.users[at] = self.deviations[at].powi(2));
        }
        Ok(Box::new(stated))
    }
}

/// Standard normal numbers, one per item (Box & Muller 1958).
fn normals(streams: &Streams, user: u32) -> [f64; ITEMS] {
    let mut rng = streams.rng(u64::from(user));
    std::array::from_fn(|_| {
        let (radius, angle): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_stated_moments() {
        let (toy, run) = (toy(), Run::new(1));
        let users = [0, 99];
        let mut scores = DMatrix::zeros(0, 0);
        let draws: Vec<DMatrix<f32>> = (0..1000)
            .map(|seed| {
                toy.sample(&users, &run.clone().with_seed(seed)).unwrap().score(&users, &mut scores, &run).unwrap();
                scores.clone()
            })
            .collect();
        let mut variances = DMatrix::zeros(0, 0);
        toy.variances(&users, &run).unwrap().score(&users, &mut variances, &run).unwrap();
        toy.score(&users, &mut scores, &run).unwrap();
        for (at, (&mean, &variance)) in scores.iter().zip(&variances).enumerate() {
            let (mean, variance) = (f64::from(mean), f64::from(variance));
            let off: Vec<f64> = draws.iter().map(|d| f64::from(d[at]) - mean).collect();
            // Within five standard errors.
            assert!((off.iter().sum::<f64>() / 1000.0).abs() < 5.0 * (variance / 1000.0).sqrt());
            let spread = off.iter().map(|x| x * x).sum::<f64>() / 1000.0;
            assert!((spread / variance - 1.0).abs() < 5.0 * (2.0f64 / 1000.0).sqrt());
        }
    }
}
