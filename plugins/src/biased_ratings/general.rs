//! The general mode: all random numbers are independent and come from the seed of the run.
//!
//! They are drawn at fixed places and compared with the chances, so that raising a chance only adds likes or
//! observations: data of different p, q, r, s are compared on common random numbers.

use super::{BiasedRatings, Cells, half, value};
use evenhand_core::{Result, Run, Streams};
use rand::RngExt;
use rand::seq::SliceRandom;

/// Draws all cells. Sizes have been checked.
pub(super) fn draw(recipe: &BiasedRatings, run: &Run) -> Result<Cells> {
    let streams = run.streams.child("biased-ratings");
    let (observation, testing) = (streams.child("observation"), streams.child("test"));
    let mut cells = Cells::default();
    let mut first = 0;
    for (user_half, size) in [recipe.users.div_ceil(2), recipe.users / 2].into_iter().enumerate() {
        // Patterns beyond the number of users would follow nobody.
        let rank = recipe.rank.min(size);
        let patterns = (0..rank).map(|k| pattern(recipe, user_half, k, &streams)).collect::<Vec<_>>();
        let mut followed: Vec<usize> = (0..size).map(|u| u % rank).collect();
        followed.shuffle(&mut streams.child("followed").rng(user_half as u64));
        for (user, pattern) in (first..).zip(followed) {
            run.check()?;
            let (mut seen, mut tested) = (observation.rng(user as u64), testing.rng(user as u64));
            for (item, &liked) in patterns[pattern].iter().enumerate() {
                let chance = recipe.observe(user_half, half(item, recipe.items));
                let (seen, tested) = (seen.random::<f64>() < chance, tested.random::<f64>() < recipe.test_share);
                if seen {
                    cells.train.push(user as u32, item as u32, value(liked));
                } else if tested {
                    cells.test.push(user as u32, item as u32, value(liked));
                }
            }
        }
        first += size;
    }
    Ok(cells)
}

/// What the `k`-th kind of users of a group likes, by item.
fn pattern(recipe: &BiasedRatings, user_half: usize, k: usize, streams: &Streams) -> Vec<bool> {
    let mut rng = streams.child("pattern").rng((2 * k + user_half) as u64);
    let liked = |item| rng.random::<f64>() < recipe.like(user_half, half(item, recipe.items));
    (0..recipe.items).map(liked).collect()
}
