//! Small data for the checks: fixed, and made here.

use crate::{Duplicates, Interactions, Rows, Streams};
use rand::RngExt;

/// Side of the checkerboard. Even, so that both colours have as many users and items.
pub(super) const BOARD: u32 = 20;

fn interactions(users: usize, items: usize, triples: impl IntoIterator<Item = (u32, u32, f32)>) -> Interactions {
    let mut rows = Rows::default();
    triples.into_iter().for_each(|(user, item, value)| rows.push(user, item, value));
    Interactions::new(users, items, &rows).expect("the kit's rows are in range")
}

/// Every second pair of 20 users and 12 items or so, rated 1 to 5. More users than items: a mix-up of both shows.
pub(super) fn ratings() -> Interactions {
    let (users, items) = (20, 12);
    let streams = Streams::new(7).child("contract/ratings");
    let row = |user: u32| {
        let mut rng = streams.rng(u64::from(user));
        (0..items).filter_map(move |item| {
            // The diagonal is always there: no user and no item is empty.
            let there = rng.random_bool(0.5) || user % items == item;
            let noise = rng.random_range(0..3u32);
            there.then_some((user, item, (1 + (user + item) % 3 + noise) as f32))
        })
    };
    interactions(users as usize, items as usize, (0..users).flat_map(row))
}

/// Items held out of the same users, up to six of each; about half of them are among the ratings.
pub(super) fn held_out() -> Interactions {
    let full = ratings();
    let (users, items) = (full.users() as u32, full.items() as u32);
    let row = |user: u32| (0..user % 7).map(move |n| (user, (user * 5 + n * n) % items, 1.0));
    interactions(full.users(), full.items(), (0..users).flat_map(row))
        .merge(Duplicates::Last)
        .expect("duplicates are joined")
}

/// The ratings without any of the first, a middle and the last user, nor of such items.
pub(super) fn holes() -> Interactions {
    let full = ratings();
    let (users, items) = (full.users() as u32, full.items() as u32);
    let hole = |index, count| index == 0 || index == count / 2 || index == count - 1;
    let kept = full.iter().filter(|&(user, item, _)| !hole(user, users) && !hole(item, items));
    interactions(users as usize, items as usize, kept)
}

/// The ratings, all of them 3.
pub(super) fn constant() -> Interactions {
    let full = ratings();
    interactions(full.users(), full.items(), full.iter().map(|(user, item, _)| (user, item, 3.0)))
}

/// The ratings, each of them twice, the second time turned around.
pub(super) fn duplicates() -> Interactions {
    let full = ratings();
    let turned = full.iter().map(|(user, item, value)| (user, item, 6.0 - value));
    interactions(full.users(), full.items(), full.iter().chain(turned))
}

/// Data of no, one or two rows, with what they are.
pub(super) fn tiny() -> [(&'static str, Interactions); 5] {
    [
        ("one user, one item, one row", interactions(1, 1, [(0, 0, 4.0)])),
        ("one user, one item, no row", interactions(1, 1, [])),
        ("one user, three items", interactions(1, 3, [(0, 1, 4.0), (0, 2, 2.0)])),
        ("three users, one item", interactions(3, 1, [(0, 0, 4.0), (2, 0, 2.0)])),
        ("three users, three items, no row", interactions(3, 3, [])),
    ]
}

fn same_colour(user: u32, item: u32) -> bool {
    user % 2 == item % 2
}

/// What the users of the checkerboard are known to like: the items of their colour, the diagonal withheld.
pub(super) fn likes() -> Interactions {
    let side = BOARD as usize;
    let pairs = (0..BOARD).flat_map(|u| (0..BOARD).map(move |i| (u, i)));
    interactions(side, side, pairs.filter(|&(u, i)| u != i && same_colour(u, i)).map(|(u, i)| (u, i, 1.0)))
}

/// The checkerboard in stars: five for the own colour, one for the other. Next to the withheld diagonal a dislike is
/// withheld too, so that "not rated" says nothing.
pub(super) fn stars() -> Interactions {
    let side = BOARD as usize;
    let pairs = (0..BOARD).flat_map(|u| (0..BOARD).map(move |i| (u, i)));
    let known = pairs.filter(|&(u, i)| u != i && (u + 1) % BOARD != i);
    interactions(side, side, known.map(|(u, i)| (u, i, if same_colour(u, i) { 5.0 } else { 1.0 })))
}
