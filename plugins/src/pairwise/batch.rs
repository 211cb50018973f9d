//! Pairs that are learned from together, sorted so that every row they touch is met once.
//!
//! The gradient of a batch is a sum over its pairs for every row. Sorted by user, the share of a user is summed while its row
//! stays in registers; a list of the places of every item does the same for the items. So nothing is scattered, each row is
//! written once, by one thread, in a fixed order.

/// Pairs of an item that the user likes and one that it is not known to like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Triples {
    /// The users.
    pub users: Vec<u32>,
    /// What they like.
    pub positives: Vec<u32>,
    /// What it is compared with.
    pub negatives: Vec<u32>,
}

impl Triples {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// Triples by user and by item. Rows are numbered by *slots*: places in the lists of different users and items.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// The different users.
    pub(super) users: Vec<u32>,
    /// Where the pairs of each begin; one element more.
    pub(super) starts: Vec<u32>,
    /// Slot of the user of each pair.
    pub(super) owners: Vec<u32>,
    /// Slot of the liked item of each pair.
    pub(super) positives: Vec<u32>,
    /// Slot of the other item.
    pub(super) negatives: Vec<u32>,
    /// The different items.
    pub(super) items: Vec<u32>,
    /// Where the places of each begin; one element more.
    pub(super) item_starts: Vec<u32>,
    /// Places of the items: twice the number of the pair, one more where it is the other item.
    pub(super) places: Vec<u32>,
}

/// Finds slots: for every user and item that of the batch under way.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    users: Vec<u32>,
    items: Vec<u32>,
    next: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Slots {
    pub(super) fn new(users: usize, items: usize) -> Self {
        Self { users: vec![NONE; users], items: vec![NONE; items], next: Vec::new() }
    }
}

impl Batch {
    /// Number of pairs.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// Takes up `triples` instead of what it held.
    pub(super) fn arrange(&mut self, triples: &Triples, slots: &mut Slots) {
        let n = triples.len();
        assign(&triples.users, &mut slots.users, &mut self.users, &mut self.starts);
        // Sorted by user: each pair goes to the next free place of its user.
        for list in [&mut self.owners, &mut self.positives, &mut self.negatives] {
            list.clear();
            list.resize(n, 0);
        }
        slots.next.clear();
        slots.next.extend_from_slice(&self.starts);
        self.items.clear();
        self.item_starts.clear();
        for at in 0..n {
            let owner = slots.users[triples.users[at] as usize];
            let place = slots.next[owner as usize] as usize;
            slots.next[owner as usize] += 1;
            self.owners[place] = owner;
            self.positives[place] = triples.positives[at];
            self.negatives[place] = triples.negatives[at];
        }
        // Items become slots; the counts that stand in the starts meanwhile become offsets.
        for list in [&mut self.positives, &mut self.negatives] {
            for item in list.iter_mut() {
                *item = slot(*item, &mut slots.items, &mut self.items, &mut self.item_starts);
            }
        }
        offsets(&mut self.item_starts);
        slots.next.clear();
        slots.next.extend_from_slice(&self.item_starts);
        self.places.clear();
        self.places.resize(2 * n, 0);
        for pair in 0..n {
            for (side, item) in [self.positives[pair], self.negatives[pair]].into_iter().enumerate() {
                let place = &mut slots.next[item as usize];
                self.places[*place as usize] = 2 * pair as u32 + side as u32;
                *place += 1;
            }
        }
        self.users.iter().for_each(|&user| slots.users[user as usize] = NONE);
        self.items.iter().for_each(|&item| slots.items[item as usize] = NONE);
    }

    /// The pairs of a user's slot.
    #[inline(always)]
    pub(super) fn pairs(&self, slot: usize) -> std::ops::Range<usize> {
        self.starts[slot] as usize..self.starts[slot + 1] as usize
    }

    /// The places of an item's slot.
    #[inline(always)]
    pub(super) fn places(&self, slot: usize) -> &[u32] {
        &self.places[self.item_starts[slot] as usize..self.item_starts[slot + 1] as usize]
    }
}

/// Numbers what occurs in `entities` by first occurrence; `starts` become offsets of each.
fn assign(entities: &[u32], slots: &mut [u32], distinct: &mut Vec<u32>, starts: &mut Vec<u32>) {
    distinct.clear();
    starts.clear();
    for &entity in entities {
        slot(entity, slots, distinct, starts);
    }
    offsets(starts);
}

/// The slot of `entity`, a new one where it has none; `counts` gets one more of it.
#[inline(always)]
fn slot(entity: u32, slots: &mut [u32], distinct: &mut Vec<u32>, counts: &mut Vec<u32>) -> u32 {
    let slot = &mut slots[entity as usize];
    if *slot == NONE {
        *slot = distinct.len() as u32;
        distinct.push(entity);
        counts.push(0);
    }
    counts[*slot as usize] += 1;
    *slot
}

/// Counts become offsets, one more than there were counts.
fn offsets(counts: &mut Vec<u32>) {
    let mut sum = 0;
    for count in counts.iter_mut() {
        sum += std::mem::replace(count, sum);
    }
    counts.push(sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_found_by_its_user_and_by_both_its_items() {
        let triples =
            Triples { users: vec![7, 2, 7, 7, 0], positives: vec![1, 4, 4, 1, 0], negatives: vec![0, 3, 2, 4, 9] };
        let (mut batch, mut slots) = (Batch::default(), Slots::new(8, 10));
        for _ in 0..2 {
            batch.arrange(&triples, &mut slots);
            assert_eq!(
                (batch.users.as_slice(), batch.starts.as_slice()),
                ([7, 2, 0].as_slice(), [0, 3, 4, 5].as_slice())
            );
            let of = |pair: usize| {
                let item = |slot: u32| batch.items[slot as usize];
                let user = batch.users[batch.owners[pair] as usize];
                (user, item(batch.positives[pair]), item(batch.negatives[pair]))
            };
            assert_eq!((0..5).map(of).collect::<Vec<_>>(), [(7, 1, 0), (7, 4, 2), (7, 1, 4), (2, 4, 3), (0, 0, 9)]);
            let mut met = 0;
            for (slot, &item) in batch.items.iter().enumerate() {
                for &place in batch.places(slot) {
                    let (_, positive, negative) = of(place as usize / 2);
                    assert_eq!(if place % 2 == 0 { positive } else { negative }, item);
                    met += 1;
                }
            }
            assert_eq!((met, batch.pairs(0), batch.len()), (10, 0..3, 5));
            assert!(slots.users.iter().chain(&slots.items).all(|&slot| slot == NONE));
        }
        batch.arrange(&Triples::default(), &mut slots);
        assert_eq!((batch.len(), batch.users.len(), batch.items.len()), (0, 0, 0));
    }
}
