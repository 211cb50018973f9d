//! Users or items in the order in which the passes go through them: by class, so that most tiles have one class only.

use crate::cuda::panels::PANEL;
use evenhand_core::Compressed;
use evenhand_core::fairness::Classes;
use rayon::prelude::*;

/// Numbers of owners that blocks have divide this one: lists by slot are filled up to a multiple of it.
pub(super) const MOST_OWNERS: usize = 2 * PANEL;

/// One side of the matrix. A *slot* is a place in the order of the passes.
pub(super) struct Side {
    /// The entity in each slot.
    pub(super) order: Vec<u32>,
    /// The slot of each entity.
    slots: Vec<u32>,
    /// The class of the entity in each slot, filled up with zeros.
    pub(super) classes: Vec<u32>,
    /// The first slot of each class, and one more.
    pub(super) class_starts: Vec<u32>,
}

impl Side {
    pub(super) fn new(classes: &Classes) -> Self {
        let mut class_starts = vec![0];
        for &size in classes.sizes() {
            class_starts.push(class_starts[class_starts.len() - 1] + size as u32);
        }
        let (count, mut next) = (classes.of().len(), class_starts.clone());
        let mut side = Self {
            order: vec![0; count],
            slots: vec![0; count],
            classes: vec![0; count.next_multiple_of(MOST_OWNERS)],
            class_starts,
        };
        for (entity, &class) in classes.of().iter().enumerate() {
            let slot = &mut next[class as usize];
            side.order[*slot as usize] = entity as u32;
            side.slots[entity] = *slot;
            side.classes[*slot as usize] = class;
            *slot += 1;
        }
        side
    }
}

/// The training rows among the cells of each tile, as `cell_gradient.cu` describes them.
pub(super) struct TileRows {
    pub(super) begins: Vec<u32>,
    pub(super) places: Vec<u32>,
    pub(super) values: Vec<f32>,
}

impl TileRows {
    /// Of tiles of `owners_at_once` owners, whose rows are `rows`, and a panel of others.
    pub(super) fn new(rows: &Compressed, owners: &Side, others: &Side, owners_at_once: usize) -> Self {
        let panels = others.order.len().div_ceil(PANEL);
        let cell = |owner: usize, other: u32| {
            let (owner, other) = (owners.slots[owner] as usize, others.slots[other as usize] as usize);
            let tile = owner / owners_at_once * panels + other / PANEL;
            (tile, (other % PANEL * 256 + owner % owners_at_once) as u32)
        };
        let of_entity = |owner| rows.row(owner).map(move |(other, value)| (cell(owner, other), value));
        let mut cells: Vec<_> = (0..rows.len()).flat_map(of_entity).collect();
        // Stable: rows of one cell stay in their order.
        cells.par_sort_by_key(|&(cell, _)| cell);
        let mut begins = vec![0; owners.order.len().div_ceil(owners_at_once) * panels + 1];
        for &((tile, _), _) in &cells {
            begins[tile + 1] += 1;
        }
        for tile in 1..begins.len() {
            begins[tile] += begins[tile - 1];
        }
        let places = cells.iter().map(|&((_, place), _)| place).collect();
        Self { begins, places, values: cells.into_iter().map(|(_, value)| value).collect() }
    }
}

/// The runs of a side: the slots of one class in one chunk, numbered in their order.
pub(super) struct Runs {
    /// The run of each slot.
    pub(super) of: Vec<u32>,
    /// The first slot of each run, and one more.
    pub(super) starts: Vec<u32>,
    /// The first run of each class, and one more.
    pub(super) of_classes: Vec<u32>,
}

impl Runs {
    /// Of chunks of that many slots.
    pub(super) fn new(side: &Side, chunk: usize) -> Self {
        let mut runs = Self { of: Vec::with_capacity(side.order.len()), starts: Vec::new(), of_classes: Vec::new() };
        for bounds in side.class_starts.windows(2) {
            runs.of_classes.push(runs.starts.len() as u32);
            for slot in bounds[0]..bounds[1] {
                if slot == bounds[0] || (slot as usize).is_multiple_of(chunk) {
                    runs.starts.push(slot);
                }
                runs.of.push(runs.starts.len() as u32 - 1);
            }
        }
        runs.of_classes.push(runs.starts.len() as u32);
        runs.starts.push(side.order.len() as u32);
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Groups, Interactions, Rows};

    /// Entities 1 and 4 in a group, the others in none.
    fn side() -> Side {
        let groups = Groups::new("g", 5, vec![("a".into(), vec![1, 4])]).unwrap();
        Side::new(&Classes::by_membership(&groups).0)
    }

    #[test]
    fn entities_stand_by_class() {
        let side = side();
        assert_eq!((&side.order[..], &side.slots[..]), (&[0, 2, 3, 1, 4][..], &[0, 3, 1, 2, 4][..]));
        assert_eq!((&side.classes[..6], side.classes.len()), (&[0, 0, 0, 1, 1, 0][..], MOST_OWNERS));
        assert_eq!(side.class_starts, [0, 3, 5]);
    }

    #[test]
    fn runs_end_with_classes_and_chunks() {
        let runs = Runs::new(&side(), 2);
        assert_eq!((&runs.of[..], &runs.starts[..]), (&[0, 0, 1, 2, 3][..], &[0, 2, 3, 4, 5][..]));
        assert_eq!(runs.of_classes, [0, 2, 4]);
    }

    #[test]
    fn rows_stand_by_tile_and_same_ones_side_by_side() {
        let mut rows = Rows::default();
        for (user, item, value) in [(4, 0, 1.0), (1, 70, 2.0), (0, 70, 3.0), (4, 0, 4.0), (2, 69, 5.0)] {
            rows.push(user, item, value);
        }
        let train = Interactions::new(5, 71, &rows).unwrap();
        let items = Side::new(&Classes::one(71));
        let cells = TileRows::new(train.by_user(), &side(), &items, 128);
        assert_eq!(cells.begins, [0, 2, 5]);
        assert_eq!(cells.places, [4, 4, 5 * 256 + 1, 6 * 256, 6 * 256 + 3]);
        assert_eq!(cells.values, [1.0, 4.0, 5.0, 3.0, 2.0]);
        let cells = TileRows::new(train.by_item(), &items, &side(), 64);
        assert_eq!(cells.begins, [0, 2, 5]);
        assert_eq!(cells.places, [4 * 256, 4 * 256, 6, 256 + 5, 3 * 256 + 6]);
    }
}
