//! What the ranks of held-out items depend on.

use crate::world::{likes, random, rng, table};
use evenhand_core::metrics::Position;
use evenhand_core::{Error, Factors, Interactions, Model, Output, Run};
use proptest::prelude::*;
use rand::seq::SliceRandom;

/// Factors that are small integers, for ties, or any.
fn model(users: usize, items: usize, integers: bool, seed: u64) -> Factors {
    let mut rng = rng(seed);
    let mut side =
        |entities| random(3, entities, &mut rng).map(|x| if integers { (2.0 * x).round() } else { x } as f32);
    Factors::new(side(users), side(items), Output::Order).unwrap()
}

proptest! {
    #[test]
    fn numbers_of_items_do_not_matter(users in 1..6usize, items in 2..40usize, integers: bool, seed: u64) {
        let at = model(users, items, integers, seed);
        let held_out = table(users, items, |user, item| ((user + seed as u32 % 7) % items as u32 == item).then_some(1.0));
        let seen = likes(users, items, seed);
        let mut place: Vec<u32> = (0..items as u32).collect();
        place.shuffle(&mut rng(seed ^ 1));
        let mut renumbered = at.clone();
        (0..items).for_each(|item| renumbered.items.set_column(place[item] as usize, &at.items.column(item)));
        let elsewhere = |rows: &Interactions| {
            let mut to = vec![vec![false; items]; users];
            rows.iter().for_each(|(user, item, _)| to[user as usize][place[item as usize] as usize] = true);
            table(users, items, |user, item| to[user as usize][item as usize].then_some(1.0))
        };
        let all: Vec<u32> = (0..users as u32).collect();
        let ranks = |at: &Factors, seen: &Interactions, held_out: &Interactions| {
            at.ranks(&all, Some(seen), held_out, &Run::new(0)).unwrap()
        };
        let positions: Vec<Position> = ranks(&at, &seen, &held_out);
        prop_assert_eq!(positions.len(), users);
        prop_assert_eq!(positions, ranks(&renumbered, &elsewhere(&seen), &elsewhere(&held_out)));
    }
}

/// Every tie counts against what was held out: a model that says nothing gets nothing.
#[test]
fn a_constant_model_is_the_worst() {
    let at = Factors::new(nalgebra::DMatrix::zeros(2, 4), nalgebra::DMatrix::zeros(2, 9), Output::Order).unwrap();
    let held_out = table(4, 9, |user, item| (user == item).then_some(1.0));
    for position in at.ranks(&[0, 1, 2, 3], None, &held_out, &Run::new(0)).unwrap() {
        assert_eq!((position.auc(), position.auc_half_ties(), position.hit_at(8)), (Some(0.0), Some(0.5), 0.0));
    }
}

#[test]
fn what_is_not_a_number_has_no_rank() {
    let held_out = table(3, 9, |user, item| (user == item).then_some(1.0));
    for (users, item) in [(&[0u32, 1][..], 7), (&[1][..], 1)] {
        let mut at = model(3, 9, false, 3);
        at.items[(1, item)] = f32::NAN;
        let refused = at.ranks(users, None, &held_out, &Run::new(0));
        assert!(matches!(refused, Err(Error::Diverged { .. })), "{refused:?}");
    }
    let mut at = model(3, 9, false, 3);
    at.users[(0, 2)] = f32::INFINITY;
    assert!(at.ranks(&[0, 1], None, &held_out, &Run::new(0)).is_ok(), "of another user");
    assert!(matches!(at.ranks(&[1, 2], None, &held_out, &Run::new(0)), Err(Error::Diverged { .. })));
}
