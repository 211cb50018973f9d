//! The seed-compatible mode: the data that all recorded results use, from numpy's legacy random stream.
//!
//! Per group of users: seed the generator (42 for M, 43 for F), draw rank x items/2 uniform numbers, and compare *the
//! same* numbers with the like chances of both halves of the items. Each pattern is followed by equally many users, in
//! order. Then, on from where the second group's numbers end: shuffle the users of M, those of F, and draw the observed
//! cells block by block (MM, MF, FM, FF).

use super::mt19937::Mt19937;
use super::{BiasedRatings, Cells, half, value};
use evenhand_core::{Result, Run};

/// Draws all cells. Sizes have been checked.
pub(super) fn draw(recipe: &BiasedRatings, run: &Run) -> Result<Cells> {
    let (users, items) = (recipe.users, recipe.items);
    let (of_a_group, wide) = (users / 2, items / 2);

    let mut rng = Mt19937::new(42);
    let first = uniforms(&mut rng, recipe.rank * wide);
    let mut rng = Mt19937::new(43);
    let levels = [first, uniforms(&mut rng, recipe.rank * wide)];

    let mut followed: Vec<usize> = (0..users).map(|u| u % of_a_group % recipe.rank).collect();
    followed.chunks_mut(of_a_group).for_each(|group| rng.shuffle(group));

    let mut observed = vec![false; users * items];
    for (user_half, item_half) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let chance = recipe.observe(user_half, item_half);
        for row in observed.chunks_mut(items).skip(user_half * of_a_group).take(of_a_group) {
            run.check()?;
            let block = &mut row[item_half * wide..][..wide];
            block.iter_mut().for_each(|cell| *cell = rng.uniform() < chance);
        }
    }

    let mut cells = Cells::default();
    for (at, &observed) in observed.iter().enumerate() {
        let (user, item) = (at / items, at % items);
        let (user_half, item_half) = (half(user, users), half(item, items));
        let level = levels[user_half][followed[user] * wide + item % wide];
        let rows = if observed { &mut cells.train } else { &mut cells.test };
        rows.push(user as u32, item as u32, value(level < recipe.like(user_half, item_half)));
    }
    Ok(cells)
}

fn uniforms(rng: &mut Mt19937, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.uniform()).collect()
}
