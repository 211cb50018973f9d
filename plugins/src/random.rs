//! Uniform scores: the order of chance, below which no measure of ranking quality should fall.
//!
//! The score of user u and item i is a number in (0, 1) that depends on the seed, u and i alone: word i of stream u.
//! Nothing is stored per user or item.

use evenhand_core::{Error, Model, Output, Recommender, Result, Run, Streams, Training, plugin, restorable};
use nalgebra::DMatrix;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

plugin! {
    /// Scores drawn at random, in (0, 1).
    pub struct Random: Recommender = "random" {}
}

impl Recommender for Random {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        run.check()?;
        let streams = run.streams.child("random/scores");
        Ok(Box::new(Chance { streams, users: train.ratings.users(), items: train.ratings.items() }))
    }

    fn personalised(&self) -> bool {
        false // the scores of two users differ, but not for anything that they did
    }
}

/// Random scores as a model: where to draw them from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    streams: Streams,
    users: usize,
    items: usize,
}

restorable!(Chance = "random", format 1);

impl Model for Chance {
    fn kind(&self) -> &'static str {
        "random"
    }

    fn users(&self) -> usize {
        self.users
    }

    fn items(&self) -> usize {
        self.items
    }

    fn output(&self) -> Output {
        Output::Order
    }

    fn validate(&self) -> Result<()> {
        match [("users", self.users), ("items", self.items)].into_iter().find(|(_, n)| u32::try_from(*n).is_err()) {
            Some((what, n)) => Err(Error::Snapshot(format!("{n} {what}, expected fewer than 2^32"))),
            None => Ok(()),
        }
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()> {
        if let Some(user) = users.iter().find(|&&u| u as usize >= self.users) {
            return Err(Error::shape("user index", format!("below {}", self.users), user));
        }
        out.resize_mut(self.items, users.len(), 0.0);
        // A column without rows is no chunk; then there is nothing to do either.
        let columns = out.as_mut_slice().par_chunks_mut(self.items.max(1)).zip(users);
        run.install(|| {
            columns.for_each(|(scores, &user)| {
                let mut words = self.streams.rng(u64::from(user));
                scores.iter_mut().for_each(|score| *score = unit(words.next_u32()));
            });
        });
        Ok(())
    }
}

/// The middle of one of 2^23 equal parts of (0, 1): exact in f32, and never 0 or 1.
fn unit(word: u32) -> f32 {
    ((word >> 9) as f32 + 0.5) / (1 << 23) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::Interactions;
    use evenhand_core::Rows;

    #[test]
    fn the_ends_are_left_out() {
        assert_eq!(unit(0), 0.5f32.powi(24));
        assert_eq!(unit(u32::MAX), 1.0 - 0.5f32.powi(24));
        assert!(unit(0) > 0.0 && unit(u32::MAX) < 1.0);
    }

    #[test]
    fn uniform_and_indifferent_to_the_data() {
        let (users, items) = (40, 500);
        let run = Run::new(1);
        let mut rows = Rows::default();
        let empty = Interactions::new(users, items, &rows).unwrap();
        rows.push(3, 4, 5.0);
        let other = Interactions::new(users, items, &rows).unwrap();
        let scores = |train, run: &Run| {
            let mut out = DMatrix::zeros(0, 0);
            let everyone: Vec<u32> = (0..users as u32).collect();
            Random {}.fit(&Training::new(train), run).unwrap().score(&everyone, &mut out, run).unwrap();
            out
        };
        let drawn = scores(&empty, &run);
        assert_eq!(drawn, scores(&other, &run));
        assert_ne!(drawn, scores(&empty, &run.clone().with_seed(2)));
        assert_ne!(drawn.column(0), drawn.column(1));
        // Mean 1/2 and variance 1/12 within five standard errors of 20,000 draws.
        let mean = drawn.iter().map(|&x| f64::from(x)).sum::<f64>() / 20_000.0;
        let spread = drawn.iter().map(|&x| (f64::from(x) - 0.5).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.0103, "{mean}");
        assert!((spread - 1.0 / 12.0).abs() < 0.0027, "{spread}");
    }
}
