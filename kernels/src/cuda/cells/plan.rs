//! How the work of the passes is divided among blocks, which depends on sizes and memory alone.

use super::side::MOST_OWNERS;
use crate::cuda::fault::Fault;
use crate::cuda::panels::PANEL;
use evenhand_core::dense::CellProblem;

/// Blocks that keep any device busy; with fewer owners than that, the others are divided among several blocks.
const BLOCKS: usize = 1024;
/// Rows of a tile of sums.
pub(super) const ROWS: usize = 2 * PANEL;

/// The division of the work. Of pairs the first is for users, the second for items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Numbers of users and items.
    pub(super) counts: [usize; 2],
    /// Factors of a block.
    pub(super) factors: usize,
    /// Owners of a block.
    pub(super) owners: usize,
    /// Factors of a row on the device.
    pub(super) stride: usize,
    /// Which side is added up first, where the other has the columns.
    pub(super) rows: usize,
    /// Tiles of rows in a chunk.
    pub(super) chunk: usize,
    /// Panels of others in a part, where users are the owners and where items are.
    pub(super) part: [usize; 2],
}

impl Plan {
    /// The division into most blocks, up to [`BLOCKS`], for which `memory` bytes are enough.
    ///
    /// # Errors
    /// [`Fault::NoRoom`] where they are not enough for any.
    pub(super) fn new(problem: &CellProblem<'_>, memory: usize) -> Result<Self, Fault> {
        let mut blocks = BLOCKS;
        loop {
            let plan = Self::into(problem, blocks);
            match plan.bytes(problem) {
                bytes if bytes <= memory => return Ok(plan),
                bytes if blocks == 1 => return Err(Fault::NoRoom(bytes)),
                _ => blocks /= 2,
            }
        }
    }

    fn into(problem: &CellProblem<'_>, blocks: usize) -> Self {
        let counts = [problem.train.users(), problem.train.items()];
        let classes = [problem.users.len(), problem.items.len()];
        let factors = problem.rank.next_power_of_two().clamp(16, 128);
        let owners = if factors == 128 { PANEL } else { 2 * PANEL };
        let stride = problem.rank.next_multiple_of(factors);
        let panels = counts.map(|count| count.div_ceil(PANEL));
        let size_of_part = |of: usize, blocks_of_part: usize| of.div_ceil(blocks.div_ceil(blocks_of_part).min(of));
        let part = [0, 1].map(|s| size_of_part(panels[1 - s], counts[s].div_ceil(owners) * (stride / factors)));
        let chunk = [0, 1].map(|s| size_of_part(counts[s].div_ceil(ROWS), panels[1 - s]));
        let mut plan = Self { counts, factors, owners, stride, rows: 0, chunk: chunk[0], part };
        let flipped = Self { rows: 1, chunk: chunk[1], ..plan };
        if flipped.most_sums(classes) < plan.most_sums(classes) {
            plan = flipped;
        }
        plan
    }

    /// Sums of runs, at most.
    fn most_sums(&self, classes: [usize; 2]) -> usize {
        (classes[self.rows] + self.chunks()).saturating_mul(self.columns())
    }

    /// Chunks of rows.
    pub(super) fn chunks(&self) -> usize {
        self.counts[self.rows].div_ceil(ROWS * self.chunk)
    }

    /// Columns, filled up to whole panels.
    pub(super) fn columns(&self) -> usize {
        self.counts[1 - self.rows].next_multiple_of(PANEL)
    }

    /// Slots of a side, filled up to whole tiles.
    pub(super) fn slots(&self, side: usize) -> usize {
        self.counts[side].next_multiple_of(MOST_OWNERS)
    }

    /// Parts in which the gradient of a side is computed.
    pub(super) fn parts(&self, side: usize) -> usize {
        self.counts[1 - side].div_ceil(PANEL * self.part[side])
    }

    /// Groups of factors, each the work of blocks of its own.
    pub(super) fn groups(&self) -> usize {
        self.stride / self.factors
    }

    /// Numbers of the partial gradients of either side.
    pub(super) fn partial(&self) -> usize {
        (0..2).map(|side| self.parts(side) * self.slots(side) * self.stride).max().unwrap_or(0)
    }

    /// Blocks of the gradient of either side that have a sum of squares.
    pub(super) fn squares(&self) -> usize {
        (0..2).map(|side| self.parts(side) * self.counts[side].div_ceil(self.owners)).max().unwrap_or(0)
    }

    /// Bytes of everything on the device, at most.
    pub(super) fn bytes(&self, problem: &CellProblem<'_>) -> usize {
        let classes = [problem.users.len(), problem.items.len()];
        let (rows, pairs) = (problem.train.len(), classes[0].saturating_mul(classes[1]));
        let side = |s: usize| {
            let tiles = self.counts[s].div_ceil(self.owners) * self.counts[1 - s].div_ceil(PANEL);
            let factors = self.slots(s) * (problem.width + problem.rank + self.stride);
            4 * (factors + 3 * self.slots(s) + classes[s] + tiles + 2 * rows)
        };
        let runs = 4 * (self.slots(self.rows) + 2 * classes[self.rows] + self.chunks() + 3);
        let doubles = self.most_sums(classes).saturating_add(pairs).saturating_add(self.squares());
        let singles = self.partial().saturating_add(pairs).saturating_add(rows * self.groups());
        [side(0), side(1), runs, doubles.saturating_mul(8), singles.saturating_mul(4)]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::fairness::{Classes, Pointwise};
    use evenhand_core::{Interactions, Rows, Squash};

    #[test]
    fn blocks_are_many_and_memory_is_respected() {
        let train = Interactions::new(6040, 3706, &Rows::default()).unwrap();
        let (users, items) = (Classes::one(6040), Classes::one(3706));
        let problem = CellProblem {
            rank: 32,
            width: 32,
            train: &train,
            squash: Squash::None,
            of: Pointwise::Score,
            users: &users,
            items: &items,
        };
        let plan = Plan::new(&problem, usize::MAX).unwrap();
        assert_eq!((plan.factors, plan.owners, plan.stride), (32, 128, 32));
        // 48 tiles of users x 20 parts of 3 of 58 panels of items; 29 x 32 of 3 of 95.
        assert_eq!((plan.part, plan.parts(0), plan.parts(1)), ([3, 3], 20, 32));
        let all = plan.bytes(&problem);
        assert_eq!(Plan::new(&problem, all).unwrap(), plan);
        let less = Plan::new(&problem, all - 1).unwrap();
        assert!(less.bytes(&problem) < all && less.parts(0) < plan.parts(0));
        assert!(matches!(Plan::new(&problem, 1 << 20), Err(Fault::NoRoom(_))));
        let large = Plan::new(&CellProblem { rank: 300, width: 304, ..problem }, usize::MAX).unwrap();
        assert_eq!((large.factors, large.owners, large.stride, large.groups()), (128, 64, 384, 3));
    }
}
