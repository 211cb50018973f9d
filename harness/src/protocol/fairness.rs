//! How evenly predictions and lists treat the protected groups of users and of items; the metrics are those of
//! [`evenhand_core::metrics`].
//!
//! In the form of ratings an item is recommended to a user where the predicted rating is strictly above the threshold of
//! a like; all users and all items count, training rows included, so no held-out row takes part. In the form of lists
//! it is recommended where it stands in the list at k, and users are those who have one.

use super::Figure;
use crate::experiment::Eval;
use evenhand_core::metrics::{Deviation, Experience, GroupMeans};
use evenhand_core::{Dataset, Error, Interactions, Output, Result};

/// What has been counted of some users.
#[derive(Clone)]
pub(super) struct Fairness<'a> {
    above: f64,
    /// Where scores are ratings and there are protected groups.
    ratings: Option<Experience<'a>>,
    means: Option<GroupMeans<'a>>,
    /// For each length of a list.
    lists: Vec<Experience<'a>>,
}

impl<'a> Fairness<'a> {
    /// Nothing counted yet.
    pub(super) fn new(data: &'a Dataset, eval: &Eval, output: Output) -> Self {
        let (protected, items) = (data.protected(), data.ratings.items());
        let grouped = protected.users.is_some() || protected.items.is_some();
        let of_ratings = grouped && output == Output::Rating;
        Self {
            above: data.scale.like_above.into(),
            ratings: of_ratings.then(|| Experience::new(protected, items)),
            means: protected.users.filter(|_| of_ratings).map(|groups| GroupMeans::new(groups, items)),
            lists: vec![Experience::new(protected, items); eval.k.len()],
        }
    }

    /// Whether the scores of all users are asked for.
    pub(super) fn of_ratings(&self) -> bool {
        self.ratings.is_some()
    }

    /// How many sums of predictions are held: groups of users x items.
    pub(super) fn sums(&self) -> usize {
        self.means.as_ref().map_or(0, GroupMeans::sums)
    }

    /// Counts the scores of all items for one user, where they are ratings.
    pub(super) fn add_scores(&mut self, user: u32, scores: &[f32]) -> Result<()> {
        let Some(ratings) = &mut self.ratings else { return Ok(()) };
        // Without an early end, so that it is vectorised.
        if !scores.iter().fold(true, |finite, score| finite & score.is_finite()) {
            let item = scores.iter().position(|score| !score.is_finite()).unwrap_or_default();
            return Err(Error::Diverged { what: format!("score of user {user}, item {item}"), step: None });
        }
        ratings.add_predictions(user, scores, self.above);
        if let Some(means) = &mut self.means {
            means.add(user, scores);
        }
        Ok(())
    }

    /// Counts the list of one user, best item first, at every length.
    pub(super) fn add_list(&mut self, user: u32, list: &[u32], eval: &Eval) {
        self.lists.iter_mut().zip(&eval.k).for_each(|(counts, &k)| counts.add_list(user, &list[..k.min(list.len())]));
    }

    /// Adds what was counted of other users.
    pub(super) fn merge(&mut self, other: &Self) {
        let pairs = self.ratings.iter_mut().zip(&other.ratings).chain(self.lists.iter_mut().zip(&other.lists));
        pairs.for_each(|(to, from)| to.merge(from));
        self.means.iter_mut().zip(&other.means).for_each(|(to, from)| to.merge(from));
    }

    /// The figures of all that was counted.
    pub(super) fn figures(&self, eval: &Eval, train: &Interactions) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |metric: &str, k, value: Option<f64>, counts: &Experience<'_>| {
            let n = counts.users();
            figures.extend(value.map(|value| Figure { metric: metric.into(), k, group: None, value, n }));
        };
        let sum = |deviation: Option<Deviation>| deviation.map(|d| d.sum);
        let forms = self.ratings.iter().map(|counts| (None, counts));
        for (k, counts) in forms.chain(eval.k.iter().map(|&k| Some(k)).zip(&self.lists)) {
            add("dee", k, sum(counts.dee()), counts);
            add("dee-mean", k, counts.dee().map(|d| d.mean()), counts);
            // Lists of one length for all: groups of users do not differ in how much is recommended to them.
            if k.is_none() {
                add("val", k, self.means.as_ref().and_then(|means| means.val(train)), counts);
                add("ugf", k, sum(counts.ugf()), counts);
            }
            add("cvs", k, sum(counts.cvs()), counts);
        }
        figures
    }
}

#[cfg(test)]
mod tests;
