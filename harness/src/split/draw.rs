//! Which rows are test: one function for each rule, free of names, texts and data sets.
//!
//! Rows are those of [`Interactions::by_user`]: sorted by user, then item, so that the rows of one pair stand together.

use evenhand_core::{Interactions, Rng, Streams};
use rand::Rng as _;

/// A uniform share of all pairs.
pub(super) fn random(rows: &Interactions, test: f64, rng: &mut Rng) -> Vec<bool> {
    let bounds = pair_bounds(rows);
    let mut in_test = vec![false; rows.len()];
    hold_out(&bounds, test, rng, &mut in_test);
    in_test
}

/// A uniform share of the pairs of each user, from the stream of that user.
pub(super) fn per_user(rows: &Interactions, test: f64, streams: &Streams) -> Vec<bool> {
    let bounds = pair_bounds(rows);
    let mut in_test = vec![false; rows.len()];
    let mut first = 0;
    for (user, end) in rows.by_user().offsets()[1..].iter().enumerate() {
        let pairs = bounds[first..].iter().take_while(|&&b| (b as usize) < *end).count();
        hold_out(&bounds[first..=first + pairs], test, &mut streams.rng(user as u64), &mut in_test);
        first += pairs;
    }
    in_test
}

/// The newest row of every user who has two rows; the last one in row order among equally new ones.
pub(super) fn last_of_user(rows: &Interactions, times: &[i64]) -> Vec<bool> {
    let mut in_test = vec![false; rows.len()];
    for range in rows.by_user().offsets().windows(2).map(|o| o[0]..o[1]).filter(|r| r.len() > 1) {
        // `max_by_key` returns the last among equals.
        let newest = range.max_by_key(|&r| times[r]).expect("two rows");
        in_test[newest] = true;
    }
    in_test
}

/// The newest share of all rows, cut between time stamps, and the number of rows it was meant to have.
/// Holds no row where all times are equal.
pub(super) fn newest(times: &[i64], test: f64) -> (Vec<bool>, usize) {
    let wanted = share(times.len(), test);
    if wanted == 0 {
        return (vec![false; times.len()], 0);
    }
    let mut sorted = times.to_vec();
    let cut = *sorted.select_nth_unstable(times.len() - wanted).1;
    let after = times.iter().filter(|&&t| t > cut).count();
    let from = times.iter().filter(|&&t| t >= cut).count();
    // after < wanted <= from; a cut that leaves a side empty is no candidate.
    let include = from < times.len() && (after == 0 || from - wanted <= wanted - after);
    (times.iter().map(|&t| t > cut || (include && t == cut)).collect(), wanted)
}

/// The part of every row, in a random partition of the pairs into parts of nearly equal size; `None` for more parts
/// than pairs.
pub(super) fn partition(rows: &Interactions, parts: usize, rng: &mut Rng) -> Option<Vec<u32>> {
    let bounds = pair_bounds(rows);
    let mut order: Vec<u32> = (0..bounds.len() as u32 - 1).collect();
    let pairs = order.len();
    if parts > pairs {
        return None;
    }
    shuffle_front(&mut order, pairs, rng);
    let mut part = vec![0; rows.len()];
    for (place, &pair) in order.iter().enumerate() {
        let pair = pair as usize;
        part[bounds[pair] as usize..bounds[pair + 1] as usize].fill((place % parts) as u32);
    }
    Some(part)
}

/// First row of every pair of user and item, and the number of rows at the end.
fn pair_bounds(rows: &Interactions) -> Vec<u32> {
    let mut bounds = Vec::with_capacity(rows.len() + 1);
    let by_user = rows.by_user();
    for user in 0..by_user.len() {
        let (start, items) = (by_user.offsets()[user], by_user.partners(user));
        let first = |at: &usize| *at == 0 || items[*at - 1] != items[*at];
        bounds.extend((0..items.len()).filter(first).map(|at| (start + at) as u32));
    }
    bounds.push(rows.len() as u32);
    bounds
}

/// Flags the rows of a uniform share of the pairs between `bounds`.
fn hold_out(bounds: &[u32], test: f64, rng: &mut Rng, in_test: &mut [bool]) {
    let pairs = bounds.len() - 1;
    let count = share(pairs, test);
    let mut order: Vec<u32> = (0..pairs as u32).collect();
    shuffle_front(&mut order, count, rng);
    for &pair in &order[..count] {
        let pair = pair as usize;
        in_test[bounds[pair] as usize..bounds[pair + 1] as usize].fill(true);
    }
}

/// `floor(test * n)`, at least 1 and at most `n - 1`; 0 where `n` is less than 2.
pub(crate) fn share(n: usize, test: f64) -> usize {
    // 0.29 * 100 is just below 29 in binary: what is a whole number in decimals counts as one.
    let floor = (test * n as f64 * (1.0 + 1e-12)).floor() as usize;
    if n < 2 { 0 } else { floor.clamp(1, n - 1) }
}

/// Moves a uniform sample of `count` elements to the front, in random order (Fisher & Yates, Durstenfeld 1964).
///
/// Own code, since the shuffles of `rand` may draw otherwise in a later version; recorded splits depend on it. A
/// larger sample begins with the smaller one: the test rows of a share of 0.1 are among those of 0.2.
pub(crate) fn shuffle_front<T>(order: &mut [T], count: usize, rng: &mut Rng) {
    for at in 0..count.min(order.len().saturating_sub(1)) {
        let other = at + below((order.len() - at) as u64, rng) as usize;
        order.swap(at, other);
    }
}

/// A uniform number below `n` (Lemire 2019, "Fast random integer generation in an interval").
fn below(n: u64, rng: &mut Rng) -> u64 {
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        // The lowest 2^64 mod n low halves occur once too often.
        if product as u64 >= n.wrapping_neg() % n {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::Rows;

    #[test]
    fn shares_are_read_as_decimals_and_leave_both_sides_something() {
        let all = [(100, 0.29), (10, 0.1), (1000, 0.7), (19, 0.1), (3, 0.1), (2, 0.9), (1, 0.5), (0, 0.5)];
        assert_eq!(all.map(|(n, test)| share(n, test)), [29, 1, 700, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn bounds_join_duplicates() {
        let mut rows = Rows::default();
        [(0, 1), (0, 1), (0, 2), (2, 2), (2, 3), (2, 3)].into_iter().for_each(|(u, i)| rows.push(u, i, 1.0));
        assert_eq!(pair_bounds(&Interactions::new(4, 4, &rows).unwrap()), [0, 2, 3, 4, 6]);
    }

    #[test]
    fn there_are_no_more_parts_than_pairs() {
        let mut rows = Rows::default();
        [(0, 0), (0, 0), (0, 1)].into_iter().for_each(|(u, i)| rows.push(u, i, 1.0));
        let rows = Interactions::new(1, 2, &rows).unwrap();
        let part = partition(&rows, 2, &mut Streams::new(1).rng(0)).unwrap();
        assert!(part[0] == part[1] && part[1] != part[2] && part.iter().all(|&p| p < 2));
        assert_eq!(partition(&rows, 3, &mut Streams::new(1).rng(0)), None);
    }

    #[test]
    fn the_cut_moves_to_the_nearest_time_stamp() {
        let flags = |times: &[i64], test| newest(times, test).0.iter().map(|&t| u8::from(t)).collect::<Vec<_>>();
        assert_eq!(flags(&[1, 4, 2, 3], 0.5), [0, 1, 0, 1]);
        // Two are wanted: one after time 2 and four from time 2 on, so one is nearer.
        assert_eq!(flags(&[1, 2, 2, 2, 3], 0.4), [0, 0, 0, 0, 1]);
        // Two are wanted: one and three are equally near, the larger test wins.
        assert_eq!(flags(&[1, 1, 2, 2, 3], 0.4), [0, 0, 1, 1, 1]);
        // All rows are no candidate, and no rows neither, except where nothing else is left.
        assert_eq!(flags(&[1, 1, 1, 1, 3], 0.8), [0, 0, 0, 0, 1]);
        assert_eq!(flags(&[1, 3, 3, 3, 3], 0.2), [0, 1, 1, 1, 1]);
        assert_eq!(flags(&[7, 7], 0.5), [0, 0]);
        assert_eq!(newest(&[5], 0.5), (vec![false], 0));
    }

    #[test]
    fn draws_are_uniform() {
        let mut rng = Streams::new(1).rng(0);
        let mut counts = [[0u32; 5]; 2];
        for _ in 0..20_000 {
            let mut order = [0, 1, 2, 3, 4];
            shuffle_front(&mut order, 2, &mut rng);
            (0..2).for_each(|place| counts[place][order[place] as usize] += 1);
        }
        // 4000 each; six standard deviations are 340.
        assert!(counts.as_flattened().iter().all(|&c| c.abs_diff(4000) < 340), "{counts:?}");
        assert_eq!(below(1, &mut rng), 0);
    }

    /// Recorded results depend on these values.
    #[test]
    fn values_are_stable() {
        let mut order: Vec<u32> = (0..8).collect();
        shuffle_front(&mut order, 8, &mut Streams::new(42).child("split/stability").rng(0));
        assert_eq!(order, STABLE);
    }
    const STABLE: [u32; 8] = [0, 4, 3, 5, 1, 6, 7, 2];
}
