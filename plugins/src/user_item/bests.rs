//! The best values of each user, kept as long as attributes and items stay as they are.

use super::truth::Truth;
use evenhand_core::{Result, Run};

/// For the users who were shown something, as many values as the largest slate had items.
pub(super) struct Bests {
    size: usize,
    /// Users x size.
    values: Vec<f64>,
    known: Vec<bool>,
}

impl Bests {
    pub(super) fn new(users: usize) -> Self {
        Self { size: 0, values: Vec::new(), known: vec![false; users] }
    }

    /// What was found out does not hold any longer.
    pub(super) fn forget(&mut self) {
        self.known.fill(false);
    }

    /// Finds the `size` best values of `users` among the first `items` items, where they are not known.
    pub(super) fn find(&mut self, truth: &Truth, users: &[u32], items: usize, size: usize, run: &Run) -> Result<()> {
        if size > self.size {
            self.size = size;
            self.values = vec![0.0; self.known.len() * size];
            self.forget();
        }
        let mut unknown: Vec<u32> = users.iter().copied().filter(|&user| !self.known[user as usize]).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        let best = truth.best(&unknown, items, self.size, run)?;
        for (&user, best) in unknown.iter().zip(best.chunks_exact(self.size)) {
            self.values[user as usize * self.size..][..self.size].copy_from_slice(best);
            self.known[user as usize] = true;
        }
        Ok(())
    }

    /// The best values of a user for whom they were found, descending.
    pub(super) fn of(&self, user: u32) -> &[f64] {
        &self.values[user as usize * self.size..][..self.size]
    }
}
