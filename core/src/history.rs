//! What an agent has observed so far, ready to be fitted again.

use crate::{Error, Feedback, Interactions, Observation, Result, Rows};

/// How often each pair of an [`Interactions`] was observed, where repeated pairs have been joined into their mean.
///
/// The equations of weighted models need no more than that: the sum of the values is the mean times the count.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeats {
    by_user: Vec<f32>,
    by_item: Vec<f32>,
}

impl Repeats {
    /// Counts of the rows of `ratings`, in the order of [`Interactions::iter`].
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of counts than rows, [`Error::Unusable`] for a count that is not above 0 and
    /// finite.
    pub fn new(ratings: &Interactions, counts: Vec<f32>) -> Result<Self> {
        if counts.len() != ratings.len() {
            return Err(Error::shape("counts of repeated rows", ratings.len(), counts.len()));
        }
        if let Some(count) = counts.iter().find(|c| !(c.is_finite() && **c > 0.0)) {
            return Err(Error::Unusable(format!("a row repeated {count} times, expected a number above 0")));
        }
        // The rows by item are those by user, sorted stably by item.
        let mut next = ratings.by_item().offsets().to_vec();
        let mut by_item = vec![0.0; counts.len()];
        for (&item, &count) in ratings.by_user().all_partners().iter().zip(&counts) {
            let slot = &mut next[item as usize];
            by_item[*slot] = count;
            *slot += 1;
        }
        Ok(Self { by_user: counts, by_item })
    }

    /// Aligned with the values of [`Interactions::by_user`].
    pub fn by_user(&self) -> &[f32] {
        &self.by_user
    }

    /// Aligned with the values of [`Interactions::by_item`].
    pub fn by_item(&self) -> &[f32] {
        &self.by_item
    }
}

/// Observations of an agent that learns by being fitted again.
#[derive(Clone, Debug)]
pub struct History {
    users: usize,
    items: usize,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// Every observation, in order.
    Rows(Rows),
    /// One entry for each pair, sorted by user, then item.
    Pairs(Vec<Pair>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    user: u32,
    item: u32,
    count: u32,
    sum: f64,
}

impl History {
    /// No observation yet. With `join`, repeated pairs are joined: see [`Repeats`].
    pub fn new(join: bool) -> Self {
        let kept = if join { Kept::Pairs(Vec::new()) } else { Kept::Rows(Rows::default()) };
        Self { users: 0, items: 0, kept }
    }

    /// Adds observations.
    ///
    /// # Errors
    /// [`Error::Shape`] for an index out of range or fewer users or items than before, [`Error::Unusable`] for a value
    /// that is not finite.
    pub fn add(&mut self, fresh: &Feedback) -> Result<()> {
        fresh.check(self.users, self.items)?;
        (self.users, self.items) = (fresh.users, fresh.items);
        match &mut self.kept {
            Kept::Rows(rows) => fresh.rows.iter().for_each(|row| rows.push(row.user, row.item, row.value)),
            Kept::Pairs(pairs) => join(pairs, &fresh.rows),
        }
        Ok(())
    }

    /// All observations; with repeated pairs joined, how often each was observed.
    ///
    /// # Errors
    /// As [`Interactions::new`].
    pub fn ratings(&self) -> Result<(Interactions, Option<Repeats>)> {
        match &self.kept {
            Kept::Rows(rows) => Ok((Interactions::new(self.users, self.items, rows)?, None)),
            Kept::Pairs(pairs) => {
                let mut rows = Rows::default();
                pairs.iter().for_each(|p| rows.push(p.user, p.item, (p.sum / f64::from(p.count)) as f32));
                let ratings = Interactions::new(self.users, self.items, &rows)?;
                let repeats = Repeats::new(&ratings, pairs.iter().map(|p| p.count as f32).collect())?;
                Ok((ratings, Some(repeats)))
            }
        }
    }
}

/// Works fresh rows into the sorted pairs.
fn join(pairs: &mut Vec<Pair>, fresh: &[Observation]) {
    let mut rows: Vec<&Observation> = fresh.iter().collect();
    // Stable: sums are formed in the order of the observations.
    rows.sort_by_key(|row| (row.user, row.item));
    let mut joined = Vec::with_capacity(pairs.len() + rows.len());
    let mut old = pairs.iter().copied().peekable();
    for same in rows.chunk_by(|a, b| (a.user, a.item) == (b.user, b.item)) {
        let key = (same[0].user, same[0].item);
        while let Some(earlier) = old.next_if(|p| (p.user, p.item) < key) {
            joined.push(earlier);
        }
        let none = Pair { user: key.0, item: key.1, count: 0, sum: 0.0 };
        let mut pair = old.next_if(|p| (p.user, p.item) == key).unwrap_or(none);
        pair.count += same.len() as u32;
        pair.sum = same.iter().fold(pair.sum, |sum, row| sum + f64::from(row.value));
        joined.push(pair);
    }
    joined.extend(old);
    *pairs = joined;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Duplicates, Streams};
    use rand::RngExt;

    fn feedback(users: usize, items: usize, rows: &[(u32, u32, f32)]) -> Feedback {
        let rows = rows.iter().map(|&(user, item, value)| Observation { user, item, value }).collect();
        Feedback { users, items, rows }
    }

    #[test]
    fn joined_pairs_say_the_same_as_all_rows() {
        let mut rng = Streams::new(1).rng(0);
        let (mut rows, mut joined) = (History::new(false), History::new(true));
        for period in 0..20 {
            let (users, items) = (5 + period, 7);
            let draws: Vec<_> = (0..9)
                .map(|_| (rng.random_range(0..users as u32), rng.random_range(0..7), rng.random_range(0..8) as f32))
                .collect();
            rows.add(&feedback(users, items, &draws)).unwrap();
            joined.add(&feedback(users, items, &draws)).unwrap();
        }
        let (all, none) = rows.ratings().unwrap();
        let (means, repeats) = joined.ratings().unwrap();
        assert_eq!((all.len(), none), (180, None));
        assert_eq!(all.merge(Duplicates::Mean).unwrap(), means);
        let repeats = repeats.unwrap();
        for ((user, item, _), &count) in means.iter().zip(repeats.by_user()) {
            let partners = all.by_user().partners(user as usize);
            assert_eq!(partners.iter().filter(|&&p| p == item).count() as f32, count);
            let by_item = means.by_item();
            let place = by_item.partners(item as usize).iter().position(|&u| u == user).unwrap();
            assert_eq!(repeats.by_item()[by_item.offsets()[item as usize] + place], count);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut history = History::new(true);
        history.add(&feedback(2, 2, &[(1, 1, 3.0)])).unwrap();
        let say = |h: &mut History, f: Feedback| h.add(&f).unwrap_err().to_string();
        assert_eq!(say(&mut history, feedback(1, 2, &[])), "users by now: expected at least 2, got 1");
        assert_eq!(say(&mut history, feedback(2, 2, &[(2, 0, 1.0)])), "user index: expected below 2, got 2");
        assert_eq!(say(&mut history, feedback(2, 2, &[(0, 2, 1.0)])), "item index: expected below 2, got 2");
        let nan = say(&mut history, feedback(2, 2, &[(0, 1, f32::NAN)]));
        assert_eq!(nan, "data: value of user 0, item 1 is NaN, expected a finite number");
        let ratings = history.ratings().unwrap().0;
        assert!(Repeats::new(&ratings, vec![]).is_err() && Repeats::new(&ratings, vec![0.0]).is_err());
    }
}
