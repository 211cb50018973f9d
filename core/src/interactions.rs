//! `Interactions`: who rated what, compressed by user and by item.

use crate::{Error, Result};

/// Rows in the order in which they were read: the input of [`Interactions::new`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// User index of each row.
    pub users: Vec<u32>,
    /// Item index of each row.
    pub items: Vec<u32>,
    /// Rating, count or weight of each row.
    pub values: Vec<f32>,
    /// Time stamp of each row in seconds, for data that has times; otherwise empty.
    pub times: Vec<i64>,
}

impl Rows {
    /// Adds one row without a time.
    pub fn push(&mut self, user: u32, item: u32, value: f32) {
        self.users.push(user);
        self.items.push(item);
        self.values.push(value);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// What becomes of several rows with the same user and item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// Each row counts as an observation of its own.
    Keep,
    /// The values are added (counts).
    Sum,
    /// The values are averaged.
    Mean,
    /// The row with the latest time stays, among equals the one read last.
    Last,
    /// A duplicate is an error.
    Refuse,
}

/// One direction of compressed rows: the partners and values of every entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Compressed {
    offsets: Vec<usize>,
    partners: Vec<u32>,
    values: Vec<f32>,
}

impl Compressed {
    /// Number of entities, those without a row included.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no entity.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Partners of `entity`, ascending; duplicates stand side by side.
    pub fn partners(&self, entity: usize) -> &[u32] {
        &self.partners[self.offsets[entity]..self.offsets[entity + 1]]
    }

    /// Values of `entity`, aligned with [`Self::partners`].
    pub fn values(&self, entity: usize) -> &[f32] {
        &self.values[self.offsets[entity]..self.offsets[entity + 1]]
    }

    /// Partners and values of `entity` in pairs.
    pub fn row(&self, entity: usize) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
        self.partners(entity).iter().copied().zip(self.values(entity).iter().copied())
    }

    /// Number of rows of `entity`.
    pub fn count(&self, entity: usize) -> usize {
        self.offsets[entity + 1] - self.offsets[entity]
    }

    /// Start of every entity's rows; one element more than there are entities.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Partners of all entities, one after the other.
    pub fn all_partners(&self) -> &[u32] {
        &self.partners
    }

    /// Values of all entities, one after the other.
    pub fn all_values(&self) -> &[f32] {
        &self.values
    }
}

/// Observed user-item pairs, readable by user and by item.
///
/// Rows are sorted by user, then item, then input order. Every value is finite. The same pair may
/// occur more than once: each occurrence is an observation ([`Self::merge`] joins them).
#[derive(Clone, Debug, PartialEq)]
pub struct Interactions {
    by_user: Compressed,
    by_item: Compressed,
    times: Vec<i64>,
}

impl Interactions {
    /// Compresses `rows` over `users` x `items`.
    ///
    /// # Errors
    /// [`Error::Shape`] where columns differ in length or an index is out of range,
    /// [`Error::Unusable`] where a value is not finite, or users, items or rows do not count in 32 bits.
    pub fn new(users: usize, items: usize, rows: &Rows) -> Result<Self> {
        let n = rows.len();
        check_counts([("users", users), ("items", items), ("rows", n)])?;
        if rows.items.len() != n || rows.values.len() != n || !(rows.times.is_empty() || rows.times.len() == n) {
            let got = format!("{}, {}, {} and {}", n, rows.items.len(), rows.values.len(), rows.times.len());
            return Err(Error::shape("length of the columns user, item, value, time", n, got));
        }
        for (what, indices, bound) in [("user index", &rows.users, users), ("item index", &rows.items, items)] {
            if let Some(&worst) = indices.iter().max().filter(|&&m| m as usize >= bound) {
                return Err(Error::shape(what, format!("below {bound}"), worst));
            }
        }
        if let Some(at) = rows.values.iter().position(|v| !v.is_finite()) {
            let (u, i, v) = (rows.users[at], rows.items[at], rows.values[at]);
            return Err(Error::Unusable(format!("value of user {u}, item {i} is {v}, expected a finite number")));
        }
        // Two stable counting sorts, item first, leave the rows sorted by user, then item, then input order.
        let by_item_order = counting_order(&rows.items, items, 0..n as u32).1;
        let (user_offsets, order) = counting_order(&rows.users, users, by_item_order);
        let partners: Vec<u32> = order.iter().map(|&r| rows.items[r as usize]).collect();
        let values: Vec<f32> = order.iter().map(|&r| rows.values[r as usize]).collect();
        let times =
            if rows.times.is_empty() { Vec::new() } else { order.iter().map(|&r| rows.times[r as usize]).collect() };
        let by_user = Compressed { offsets: user_offsets, partners, values };
        let by_item = transpose(&by_user, items);
        Ok(Self { by_user, by_item, times })
    }

    /// Number of users, those without a row included.
    pub fn users(&self) -> usize {
        self.by_user.len()
    }

    /// Number of items, those without a row included.
    pub fn items(&self) -> usize {
        self.by_item.len()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.by_user.partners.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows by user.
    pub fn by_user(&self) -> &Compressed {
        &self.by_user
    }

    /// The rows by item.
    pub fn by_item(&self) -> &Compressed {
        &self.by_item
    }

    /// Time stamps in seconds, in the row order of [`Self::by_user`]; `None` for data without times.
    pub fn times(&self) -> Option<&[i64]> {
        (!self.times.is_empty()).then_some(&self.times)
    }

    /// Mean of all values; 0 without rows.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.by_user.values.iter().map(|&v| f64::from(v)).sum();
        if self.is_empty() { 0.0 } else { sum / self.len() as f64 }
    }

    /// All rows as (user, item, value), sorted by user, then item.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, f32)> + '_ {
        (0..self.users()).flat_map(move |u| self.by_user.row(u).map(move |(i, v)| (u as u32, i, v)))
    }

    /// The rows whose flag is set; `keep` is aligned with [`Self::iter`]. The numbers of users and items stay.
    ///
    /// # Errors
    /// [`Error::Shape`] where `keep` has another length than there are rows.
    pub fn select(&self, keep: &[bool]) -> Result<Self> {
        if keep.len() != self.len() {
            return Err(Error::shape("flags of rows to keep", self.len(), keep.len()));
        }
        let mut rows = Rows::default();
        for (at, (user, item, value)) in self.iter().enumerate().filter(|(at, _)| keep[*at]) {
            rows.push(user, item, value);
            if let Some(times) = self.times() {
                rows.times.push(times[at]);
            }
        }
        Self::new(self.users(), self.items(), &rows)
    }

    /// The same rows with the values `new(user, item, value)`.
    ///
    /// # Errors
    /// [`Error::Unusable`] where a new value is not finite.
    pub fn map_values(&self, new: impl Fn(u32, u32, f32) -> f32) -> Result<Self> {
        let mut mapped = self.clone();
        for (entity, span) in self.by_user.offsets.windows(2).enumerate() {
            for at in span[0]..span[1] {
                let (item, old) = (self.by_user.partners[at], self.by_user.values[at]);
                let value = new(entity as u32, item, old);
                if !value.is_finite() {
                    return Err(Error::Unusable(format!("value of user {entity}, item {item} becomes {value}")));
                }
                mapped.by_user.values[at] = value;
            }
        }
        mapped.by_item = transpose(&mapped.by_user, self.items());
        Ok(mapped)
    }

    /// The same data with at most one row per user and item.
    ///
    /// # Errors
    /// [`Error::Unusable`] for a duplicate under [`Duplicates::Refuse`], or a sum that overflows.
    pub fn merge(&self, rule: Duplicates) -> Result<Self> {
        if rule == Duplicates::Keep {
            return Ok(self.clone());
        }
        let mut rows = Rows::default();
        let mut at = 0;
        for user in 0..self.users() {
            for run in self.by_user.partners(user).chunk_by(|a, b| a == b) {
                let end = at + run.len();
                let values = &self.by_user.values[at..end];
                if rule == Duplicates::Refuse && run.len() > 1 {
                    let (item, times) = (run[0], run.len());
                    return Err(Error::Unusable(format!("user {user} and item {item} occur {times} times")));
                }
                // `max_by_key` returns the last among equals: the row read last.
                let newest = (at..end).max_by_key(|&r| self.times.get(r)).expect("a run is not empty");
                let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
                let value = match rule {
                    Duplicates::Sum => sum as f32,
                    Duplicates::Mean => (sum / run.len() as f64) as f32,
                    _ => self.by_user.values[newest],
                };
                rows.push(user as u32, run[0], value);
                rows.times.extend(self.times.get(newest));
                at = end;
            }
        }
        Self::new(self.users(), self.items(), &rows)
    }
}

/// Refuses what can not be counted, or numbered, in 32 bits.
fn check_counts(counts: [(&str, usize); 3]) -> Result<()> {
    match counts.into_iter().find(|&(_, n)| u32::try_from(n).is_err()) {
        Some((what, n)) => Err(Error::Unusable(format!("{n} {what}, expected fewer than 2^32"))),
        None => Ok(()),
    }
}

/// Stable counting sort of row numbers by key: the offsets of each key, and the rows in order.
fn counting_order(keys: &[u32], bound: usize, rows: impl IntoIterator<Item = u32>) -> (Vec<usize>, Vec<u32>) {
    let mut offsets = vec![0usize; bound + 1];
    for &k in keys {
        offsets[k as usize + 1] += 1;
    }
    for k in 0..bound {
        offsets[k + 1] += offsets[k];
    }
    let mut next = offsets.clone();
    let mut order = vec![0u32; keys.len()];
    for row in rows {
        let slot = &mut next[keys[row as usize] as usize];
        order[*slot] = row;
        *slot += 1;
    }
    (offsets, order)
}

fn transpose(from: &Compressed, entities: usize) -> Compressed {
    let mut offsets = vec![0usize; entities + 1];
    for &p in &from.partners {
        offsets[p as usize + 1] += 1;
    }
    for e in 0..entities {
        offsets[e + 1] += offsets[e];
    }
    let mut next = offsets.clone();
    let mut partners = vec![0u32; from.partners.len()];
    let mut values = vec![0f32; from.partners.len()];
    for entity in 0..from.len() {
        for (p, v) in from.row(entity) {
            let slot = &mut next[p as usize];
            partners[*slot] = entity as u32;
            values[*slot] = v;
            *slot += 1;
        }
    }
    Compressed { offsets, partners, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(triples: &[(u32, u32, f32)]) -> Rows {
        let mut rows = Rows::default();
        triples.iter().for_each(|&(u, i, v)| rows.push(u, i, v));
        rows
    }

    #[test]
    fn sorted_both_ways_with_duplicates_in_input_order() {
        let x = Interactions::new(3, 4, &rows(&[(2, 1, 5.0), (0, 3, 1.0), (2, 1, 4.0), (0, 0, 2.0)])).unwrap();
        let all: Vec<_> = x.iter().collect();
        assert_eq!(all, [(0, 0, 2.0), (0, 3, 1.0), (2, 1, 5.0), (2, 1, 4.0)]);
        assert_eq!(x.by_item().partners(1), [2, 2]);
        assert_eq!(x.by_item().values(1), [5.0, 4.0]);
        assert_eq!((x.users(), x.items(), x.len(), x.by_user().count(1)), (3, 4, 4, 0));
        assert_eq!(x.mean(), 3.0);
    }

    #[test]
    fn duplicates_follow_their_rule() {
        let mut input = rows(&[(0, 1, 5.0), (0, 1, 2.0), (0, 0, 1.0)]);
        input.times = vec![20, 10, 5];
        let x = Interactions::new(1, 2, &input).unwrap();
        let value = |rule| x.merge(rule).unwrap().by_user().values(0).to_vec();
        assert_eq!(value(Duplicates::Keep), [1.0, 5.0, 2.0]);
        assert_eq!(value(Duplicates::Sum), [1.0, 7.0]);
        assert_eq!(value(Duplicates::Mean), [1.0, 3.5]);
        assert_eq!(value(Duplicates::Last), [1.0, 5.0]);
        assert_eq!(x.merge(Duplicates::Last).unwrap().times(), Some([5, 20].as_slice()));
        assert!(x.merge(Duplicates::Refuse).unwrap_err().to_string().contains("user 0 and item 1 occur 2 times"));
    }

    #[test]
    fn without_times_the_row_read_last_wins() {
        let x = Interactions::new(1, 2, &rows(&[(0, 1, 5.0), (0, 1, 2.0)])).unwrap();
        assert_eq!(x.merge(Duplicates::Last).unwrap().by_user().values(0), [2.0]);
    }

    #[test]
    fn bad_rows_are_refused() {
        let say = |r: &Rows| Interactions::new(2, 2, r).unwrap_err().to_string();
        assert_eq!(say(&rows(&[(2, 0, 1.0)])), "user index: expected below 2, got 2");
        assert_eq!(say(&rows(&[(0, 7, 1.0)])), "item index: expected below 2, got 7");
        assert!(say(&rows(&[(0, 1, f32::NAN)])).contains("user 0, item 1 is NaN"));
        assert!(say(&Rows { users: vec![0], ..Rows::default() }).contains("length of the columns"));
    }

    #[test]
    fn what_does_not_count_in_32_bits_is_refused() {
        let say = |users, items| Interactions::new(users, items, &Rows::default()).unwrap_err().to_string();
        assert_eq!(say(usize::MAX, 1), format!("data: {} users, expected fewer than 2^32", usize::MAX));
        assert_eq!(say(1, 1 << 32), "data: 4294967296 items, expected fewer than 2^32");
        assert!(check_counts([("users", 1), ("items", u32::MAX as usize), ("rows", 1 << 32)]).is_err());
        assert!(check_counts([("users", 1), ("items", u32::MAX as usize), ("rows", 9)]).is_ok());
    }

    #[test]
    fn selection_keeps_the_shape() {
        let x = Interactions::new(3, 4, &rows(&[(2, 1, 5.0), (0, 3, 1.0)])).unwrap();
        let y = x.select(&[false, true]).unwrap();
        assert_eq!((y.users(), y.items(), y.iter().collect::<Vec<_>>()), (3, 4, vec![(2, 1, 5.0)]));
        assert!(x.select(&[true]).is_err());
    }
}
