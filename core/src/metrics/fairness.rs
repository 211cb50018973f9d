//! How evenly predictions and lists treat groups of users and groups of items.
//!
//! With `R(u, i) = 1` where item `i` is recommended to user `u` (a prediction strictly above a threshold, or a place in a
//! list) and `mu` the mean of `R` over all users and all items:
//!
//! | metric | formula |
//! | --- | --- |
//! | DEE, differential of equal experience | `sum over g, k of abs(mu - mean of R over users of g x items of k)` |
//! | UGF, user-group fairness | `sum over g of abs(mu - mean of R over users of g x all items)` |
//! | CVS, Calders-Verwer score | `sum over k of abs(mu - mean of R over all users x items of k)` |
//! | VAL, value unfairness | mean over all items of the mean over pairs `g, h` of `abs(d_g - d_h)` |
//!
//! `d_g(i) = abs(a_g(i) - b_g(i))`: `a_g(i)` is the mean training rating of item `i` among users of `g`, 0 where there is
//! none, and `b_g(i)` the mean prediction for it over *all* users of `g`. So VAL compares observed means with predictions
//! of observed and unobserved pairs; Yao and Huang define it on observed pairs alone.
//!
//! Groups may overlap, and entities in no group count in `mu` and in the means over all. Everything is computed from
//! counts and sums that are fed one user at a time: a users x items matrix is never needed. Counts are whole numbers, so
//! parts can be merged in any order; sums of predictions give equal bits where they are merged in the same order.
//!
//! Sources: Cho, Choi & Suh 2022, "Equal experience in recommender systems" (arXiv 2210.05936): DEE, and these forms of
//! the others for two groups of either side; Yao & Huang 2017, "Beyond parity: fairness objectives for collaborative
//! filtering" (value unfairness); Calders & Verwer 2010, "Three naive Bayes approaches for discrimination-free
//! classification".

use crate::{Groups, Interactions, Protected};

/// Deviations of sets of cells from the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Their sum: the metric. From 0 to the number of sets, lower is more even.
    pub sum: f64,
    /// Number of sets.
    pub sets: usize,
}

impl Deviation {
    /// Mean of a set, in 0 to 1: comparable between groupings of different numbers of groups.
    pub fn mean(&self) -> f64 {
        self.sum / self.sets as f64
    }
}

/// Counts of recommendations by groups of users and groups of items.
///
/// ```
/// # use evenhand_core::{Groups, Protected, metrics::Experience};
/// let pair = |first, second| vec![("a".to_string(), vec![first]), ("b".to_string(), vec![second])];
/// let (users, items) = (Groups::new("u", 2, pair(0, 1)).unwrap(), Groups::new("i", 2, pair(0, 1)).unwrap());
/// let mut counts = Experience::new(Protected { users: Some(&users), items: Some(&items) }, 2);
/// // Each user is shown the item of the own group: every cell is 1/2 away from the mean, each group is as all.
/// counts.add_list(0, &[0]);
/// counts.add_list(1, &[1]);
/// assert_eq!((counts.dee().unwrap().sum, counts.ugf().unwrap().sum, counts.cvs().unwrap().sum), (2.0, 0.0, 0.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Experience<'a> {
    protected: Protected<'a>,
    /// Number of items of the catalogue.
    items: usize,
    /// Users counted: of each group, then all.
    users: Vec<u64>,
    /// Recommendations: user groups and all users x item groups and all items.
    shown: Vec<u64>,
    /// Of one user, by item group, then all; room to work in.
    row: Vec<u64>,
}

impl<'a> Experience<'a> {
    /// Nothing counted yet, for a catalogue of `items`.
    ///
    /// # Panics
    /// Where the groups of items are of another number of items.
    pub fn new(protected: Protected<'a>, items: usize) -> Self {
        assert!(protected.items.is_none_or(|g| g.entities() == items), "groups of {items} items");
        let [rows, width] = [protected.users, protected.items].map(|g| g.map_or(0, Groups::len) + 1);
        Self { protected, items, users: vec![0; rows], shown: vec![0; rows * width], row: vec![0; width] }
    }

    /// Counts a user to whom the items with a prediction strictly above `above` are recommended; one prediction for each
    /// item. A prediction that is not a number is not above anything.
    ///
    /// # Panics
    /// Where there are not as many predictions as items, or the user is out of range.
    pub fn add_predictions<S: Copy + Into<f64>>(&mut self, user: u32, predictions: &[S], above: f64) {
        assert_eq!(predictions.len(), self.items, "one prediction for each item");
        // Items count in 32 bits.
        let is_above = |score: S| u32::from(score.into() > above);
        let (of_groups, all) = self.row.split_at_mut(self.protected.items.map_or(0, Groups::len));
        all[0] = predictions.iter().map(|&score| is_above(score)).sum::<u32>().into();
        for (g, count) in of_groups.iter_mut().enumerate() {
            let members = self.protected.items.expect("one of its groups").members(g);
            *count = members.iter().map(|&item| is_above(predictions[item as usize])).sum::<u32>().into();
        }
        self.add_row(user);
    }

    /// Counts a user to whom the items of a list are recommended; the list holds each item once.
    ///
    /// # Panics
    /// Where an item or the user is out of range.
    pub fn add_list(&mut self, user: u32, list: &[u32]) {
        self.row.fill(0);
        let all = self.row.len() - 1;
        self.row[all] = list.len() as u64;
        if let Some(groups) = self.protected.items {
            list.iter().flat_map(|&item| groups.of(item)).for_each(|&g| self.row[g as usize] += 1);
        }
        self.add_row(user);
    }

    fn add_row(&mut self, user: u32) {
        let all = self.users.len() - 1;
        let groups = self.protected.users.map_or(&[][..], |groups| groups.of(user));
        for g in groups.iter().map(|&g| g as usize).chain([all]) {
            self.users[g] += 1;
            let cells = self.shown[g * self.row.len()..].iter_mut();
            cells.zip(&self.row).for_each(|(cell, count)| *cell += count);
        }
    }

    /// Adds the counts of other users, in the same groups.
    pub fn merge(&mut self, other: &Self) {
        self.users.iter_mut().zip(&other.users).for_each(|(to, from)| *to += from);
        self.shown.iter_mut().zip(&other.shown).for_each(|(to, from)| *to += from);
    }

    /// Number of users counted.
    pub fn users(&self) -> u64 {
        self.users[self.users.len() - 1]
    }

    /// Differential of equal experience; `None` without groups of users and of items, or where one of them is empty
    /// (of users: has none that was counted). Cho et al. 2022.
    pub fn dee(&self) -> Option<Deviation> {
        let (groups, kinds) = (self.users.len() - 1, self.row.len() - 1);
        self.deviation((0..groups).flat_map(|g| (0..kinds).map(move |k| (g, k))))
    }

    /// User-group fairness; `None` without groups of users, or where one has no user that was counted.
    pub fn ugf(&self) -> Option<Deviation> {
        self.deviation((0..self.users.len() - 1).map(|g| (g, self.row.len() - 1)))
    }

    /// Calders-Verwer score; `None` without groups of items, or where one of them is empty.
    pub fn cvs(&self) -> Option<Deviation> {
        self.deviation((0..self.row.len() - 1).map(|k| (self.users.len() - 1, k)))
    }

    fn deviation(&self, sets: impl Iterator<Item = (usize, usize)>) -> Option<Deviation> {
        let all = self.mean((self.users.len() - 1, self.row.len() - 1))?;
        let mut deviation = Deviation { sum: 0.0, sets: 0 };
        for set in sets {
            deviation.sum += (all - self.mean(set)?).abs();
            deviation.sets += 1;
        }
        (deviation.sets > 0).then_some(deviation)
    }

    /// Mean of R over users of a group x items of a group; the last of each side is all.
    fn mean(&self, (g, k): (usize, usize)) -> Option<f64> {
        let items = match self.protected.items {
            Some(groups) if k < groups.len() => groups.members(k).len(),
            _ => self.items,
        };
        let cells = self.users[g] * items as u64;
        (cells > 0).then(|| self.shown[g * self.row.len() + k] as f64 / cells as f64)
    }
}

/// Sums of predictions by group of users and item: what VAL needs besides the training rows.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMeans<'a> {
    groups: &'a Groups,
    items: usize,
    /// Users counted of each group.
    users: Vec<u64>,
    /// Groups x items.
    sums: Vec<f64>,
}

impl<'a> GroupMeans<'a> {
    /// Nothing added yet, for a catalogue of `items`.
    pub fn new(groups: &'a Groups, items: usize) -> Self {
        Self { groups, items, users: vec![0; groups.len()], sums: vec![0.0; groups.len() * items] }
    }

    /// Number of sums: groups x items.
    pub fn sums(&self) -> usize {
        self.sums.len()
    }

    /// Adds the predictions of all items for one user.
    ///
    /// # Panics
    /// Where there are not as many predictions as items, or the user is out of range.
    pub fn add<S: Copy + Into<f64>>(&mut self, user: u32, predictions: &[S]) {
        assert_eq!(predictions.len(), self.items, "one prediction for each item");
        for &g in self.groups.of(user) {
            self.users[g as usize] += 1;
            let sums = self.sums[g as usize * self.items..].iter_mut();
            sums.zip(predictions).for_each(|(sum, &score)| *sum += score.into());
        }
    }

    /// Adds the sums of other users, in the same groups.
    pub fn merge(&mut self, other: &Self) {
        self.users.iter_mut().zip(&other.users).for_each(|(to, from)| *to += from);
        self.sums.iter_mut().zip(&other.sums).for_each(|(to, from)| *to += from);
    }

    /// Value unfairness against the ratings of `train`, in the unit of the ratings, lower is more even; `None` with
    /// fewer than two groups, for a group none of whose users was added, and without items. Yao & Huang 2017 in the
    /// form of Cho et al. 2022; for more than two groups the mean over their pairs.
    ///
    /// # Panics
    /// Where `train` is of other users or items.
    pub fn val(&self, train: &Interactions) -> Option<f64> {
        assert_eq!((train.users(), train.items()), (self.groups.entities(), self.items), "users and items of train");
        let groups = self.groups.len();
        if groups < 2 || self.items == 0 || self.users.contains(&0) {
            return None;
        }
        let pairs = (groups * (groups - 1) / 2) as f64;
        let (mut rated, mut gaps) = (vec![(0.0, 0u64); groups], vec![0.0; groups]);
        let mut sum = 0.0;
        for item in 0..self.items {
            rated.fill((0.0, 0));
            for (user, rating) in train.by_item().row(item) {
                for &g in self.groups.of(user) {
                    let (sum, count) = &mut rated[g as usize];
                    (*sum, *count) = (*sum + f64::from(rating), *count + 1);
                }
            }
            for (g, gap) in gaps.iter_mut().enumerate() {
                let observed = rated[g].0 / (rated[g].1 as f64 + TINY);
                *gap = (observed - self.sums[g * self.items + item] / self.users[g] as f64).abs();
            }
            let between = |(g, a): (usize, &f64)| gaps[..g].iter().map(|b| (a - b).abs()).sum::<f64>();
            sum += gaps.iter().enumerate().map(between).sum::<f64>() / pairs;
        }
        Some(sum / self.items as f64)
    }
}

/// Added to the number of ratings, as the paper's code does: an item without any has mean 0.
const TINY: f64 = 1e-8;

#[cfg(test)]
mod tests;
