//! Batches of pairs as the kernels read them.

use evenhand_core::{Error, Result};
use std::ops::Range;

/// Pairs of an item that a user likes and another one, sorted by user. Users and items are named by *slots*: their
/// places in the lists of different users and of different items.
///
/// Nothing is moved here: sums over the pairs of a user or an item depend on the order of these lists.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Batch<'a> {
    /// The different users.
    pub users: &'a [u32],
    /// Where the pairs of each begin, in the order of [`Self::users`], and where the last ones end.
    pub starts: &'a [u32],
    /// Slot of the user of each pair.
    pub owners: &'a [u32],
    /// Slot of the liked item of each pair.
    pub positives: &'a [u32],
    /// Slot of the other item of each pair.
    pub negatives: &'a [u32],
    /// The different items.
    pub items: &'a [u32],
    /// Where the places of each begin in [`Self::places`], and where the last ones end.
    pub item_starts: &'a [u32],
    /// Where the items are: twice the number of a pair, one more where the item is the other one.
    pub places: &'a [u32],
}

/// Most pairs: places are numbers of 32 bits.
const MOST: usize = 1 << 31;

impl Batch<'_> {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether the lists are those of pairs of so many users and items at most: the kernels trust them.
    pub(super) fn check(&self, users: usize, items: usize) -> Result<()> {
        let pairs = self.len();
        if pairs >= MOST {
            return Err(Error::shape("pairs of a batch", format!("below {MOST}"), pairs));
        }
        for (what, list) in [("liked items of the pairs", self.positives), ("other items of the pairs", self.negatives)]
        {
            if list.len() != pairs {
                return Err(Error::shape(what, pairs, list.len()));
            }
        }
        if self.places.len() != 2 * pairs {
            return Err(Error::shape("places of items", 2 * pairs, self.places.len()));
        }
        check_different("user of a batch", self.users, users)?;
        check_different("item of a batch", self.items, items)?;
        check_starts("starts of users", self.starts, self.users.len(), pairs)?;
        check_starts("starts of items", self.item_starts, self.items.len(), 2 * pairs)?;
        for (slot, range) in ranges(self.starts).enumerate() {
            if let Some(owner) = self.owners[range].iter().find(|&&owner| owner as usize != slot) {
                return Err(Error::shape("slot of the user of a pair", slot, owner));
            }
        }
        let mut met = vec![false; 2 * pairs];
        for (slot, range) in ranges(self.item_starts).enumerate() {
            for &place in &self.places[range] {
                match met.get_mut(place as usize) {
                    None => return Err(Error::shape("place of an item", format!("below {}", 2 * pairs), place)),
                    Some(met) if *met => return Err(Error::shape("place of an item", "each once", place)),
                    Some(met) => *met = true,
                }
                let side = if place % 2 == 0 { self.positives } else { self.negatives };
                let there = side[place as usize / 2];
                if there as usize != slot {
                    return Err(Error::shape("slot of the item of a pair", slot, there));
                }
            }
        }
        Ok(())
    }

    /// All lists, one after the other, as the kernels expect them: rows of the users and of the items, which come after
    /// `users` rows, starts, pairs and places.
    pub(super) fn packed(&self, users: usize) -> Vec<u32> {
        let items = self.items.iter().map(|&item| item + users as u32);
        let mut packed: Vec<u32> = self.users.iter().copied().chain(items).collect();
        // Without users there is one start, or none.
        let ends = [self.starts, self.item_starts].map(|starts| if starts.is_empty() { &[0] } else { starts });
        for list in [ends[0], ends[1], self.owners, self.positives, self.negatives, self.places] {
            packed.extend_from_slice(list);
        }
        packed
    }
}

fn check_different(what: &'static str, entities: &[u32], bound: usize) -> Result<()> {
    let mut met = vec![false; bound];
    for &entity in entities {
        match met.get_mut(entity as usize) {
            None => return Err(Error::shape(what, format!("below {bound}"), entity)),
            Some(met) if *met => return Err(Error::shape(what, "each once", entity)),
            Some(met) => *met = true,
        }
    }
    Ok(())
}

fn check_starts(what: &'static str, starts: &[u32], slots: usize, end: usize) -> Result<()> {
    if slots == 0 && starts.is_empty() && end == 0 {
        return Ok(());
    }
    if starts.len() != slots + 1 {
        return Err(Error::shape(what, slots + 1, starts.len()));
    }
    let ends = (starts[0] as usize, starts[slots] as usize);
    if ends != (0, end) || !starts.is_sorted() {
        return Err(Error::shape(what, format!("in order from 0 to {end}"), format!("{} to {}", ends.0, ends.1)));
    }
    Ok(())
}

fn ranges(starts: &[u32]) -> impl Iterator<Item = Range<usize>> {
    starts.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (user 7: 1 over 0, 4 over 2), (user 2: 4 over 1).
    const GOOD: Batch<'static> = Batch {
        users: &[7, 2],
        starts: &[0, 2, 3],
        owners: &[0, 0, 1],
        positives: &[0, 1, 1],
        negatives: &[2, 3, 0],
        items: &[1, 4, 0, 2],
        item_starts: &[0, 2, 4, 5, 6],
        places: &[0, 5, 2, 4, 1, 3],
    };

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert!(GOOD.check(8, 5).is_ok() && Batch::default().check(0, 0).is_ok());
        let empty = Batch { starts: &[0], item_starts: &[0], ..Batch::default() };
        assert!(empty.check(3, 3).is_ok());
        let say = |batch: Batch<'_>| batch.check(8, 5).unwrap_err().to_string();
        assert_eq!(say(Batch { users: &[8, 2], ..GOOD }), "user of a batch: expected below 8, got 8");
        assert_eq!(say(Batch { users: &[2, 2], ..GOOD }), "user of a batch: expected each once, got 2");
        assert_eq!(say(Batch { items: &[1, 4, 0, 5], ..GOOD }), "item of a batch: expected below 5, got 5");
        assert_eq!(say(Batch { negatives: &[2, 3], ..GOOD }), "other items of the pairs: expected 3, got 2");
        assert_eq!(say(Batch { places: &[0; 5], ..GOOD }), "places of items: expected 6, got 5");
        assert_eq!(say(Batch { starts: &[0, 3], ..GOOD }), "starts of users: expected 3, got 2");
        assert_eq!(
            say(Batch { starts: &[0, 4, 3], ..GOOD }),
            "starts of users: expected in order from 0 to 3, got 0 to 3"
        );
        assert_eq!(say(Batch { starts: &[0, 1, 3], ..GOOD }), "slot of the user of a pair: expected 1, got 0");
        assert_eq!(say(Batch { positives: &[0, 0, 1], ..GOOD }), "slot of the item of a pair: expected 1, got 0");
        assert_eq!(say(Batch { positives: &[9, 1, 1], ..GOOD }), "slot of the item of a pair: expected 0, got 9");
        assert_eq!(say(Batch { places: &[0, 5, 2, 4, 1, 6], ..GOOD }), "place of an item: expected below 6, got 6");
        assert_eq!(say(Batch { places: &[0, 0, 2, 4, 1, 3], ..GOOD }), "place of an item: expected each once, got 0");
        assert_eq!(say(Batch { users: &[], ..GOOD }), "starts of users: expected 1, got 3");
    }

    #[test]
    fn lists_are_packed_in_the_order_of_the_kernels() {
        let [rows, starts] = [&[7, 2, 9, 12, 8, 10][..], &[0, 2, 3, 0, 2, 4, 5, 6]];
        let pairs = [0, 0, 1, 0, 1, 1, 2, 3, 0, 0, 5, 2, 4, 1, 3];
        assert_eq!(GOOD.packed(8), [rows, starts, &pairs].concat());
        assert_eq!(Batch::default().packed(8), [0, 0]);
    }
}
