//! What must hold of the losses on any data.

use crate::world::{World, all, build, distances, rates};
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand::seq::SliceRandom;
use serde_json::json;

fn worlds() -> impl Strategy<Value = World> {
    let sizes = (2usize..9, 2usize..8, 2usize..5, 2usize..5, any::<u64>());
    sizes.prop_map(|(users, items, of_users, of_items, seed)| World::random(users, items, of_users, of_items, seed))
}

/// Equal but for the rounding of sums in another order.
fn same(name: &str, got: (f64, DMatrix<f64>), expected: (f64, DMatrix<f64>)) {
    let scale = expected.1.amax();
    assert!((got.0 - expected.0).abs() <= 1e-12 * (1.0 + expected.0), "{name}: {} and {}", got.0, expected.0);
    let off = (&got.1 - &expected.1).amax();
    assert!(off <= 1e-9 * scale + 1e-13, "{name}: gradients differ by {off} of {scale}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_groups_does_not_matter(world in worlds()) {
        let mut turned = world.clone();
        turned.user_groups.reverse();
        turned.item_groups.rotate_left(1);
        for (name, params) in all() {
            let loss = build(name, &params);
            same(name, turned.evaluate(loss.as_ref()), world.evaluate(loss.as_ref()));
        }
    }

    #[test]
    fn users_and_items_have_no_order(world in worlds(), seed in any::<u64>()) {
        let mut rng = evenhand_core::Streams::new(seed).child("test/order").rng(0);
        let mut order = |count: usize| {
            let mut new: Vec<u32> = (0..count as u32).collect();
            new.shuffle(&mut rng);
            new
        };
        let (users, items) = (order(world.users), order(world.items));
        let moved = |cells: &DMatrix<f64>| {
            let mut to = cells.clone();
            for u in 0..world.users {
                for i in 0..world.items {
                    to[(items[i] as usize, users[u] as usize)] = cells[(i, u)];
                }
            }
            to
        };
        let renamed = |lists: &[Vec<u32>], new: &[u32]| -> Vec<Vec<u32>> {
            lists.iter().map(|list| list.iter().map(|&e| new[e as usize]).collect()).collect()
        };
        let other = World {
            rows: world.rows.iter().map(|&(u, i, r)| (users[u as usize], items[i as usize], r)).collect(),
            scores: moved(&world.scores),
            user_groups: renamed(&world.user_groups, &users),
            item_groups: renamed(&world.item_groups, &items),
            ..world.clone()
        };
        for (name, params) in all() {
            let loss = build(name, &params);
            let (value, gradient) = world.evaluate(loss.as_ref());
            same(name, other.evaluate(loss.as_ref()), (value, moved(&gradient)));
        }
    }

    /// In other units, a distance is another number and a rate is the same. Powers of two change no digit.
    #[test]
    fn units_do_not_matter(world in worlds(), power in -3i32..4) {
        let unit = 2f64.powi(power);
        let scaled = World {
            rows: world.rows.iter().map(|&(u, i, r)| (u, i, r * unit as f32)).collect(),
            scores: &world.scores * unit,
            tau: world.tau * unit as f32,
            ..world.clone()
        };
        for (name, params) in distances() {
            let loss = build(name, &params);
            let (value, gradient) = world.evaluate(loss.as_ref());
            prop_assert_eq!(scaled.evaluate(loss.as_ref()), (value * unit, gradient), "{}", name);
        }
        for (name, mut params) in rates(&["seed", "huber", "exact"]) {
            let (value, gradient) = world.evaluate(build(name, &params).as_ref());
            params["bandwidth"] = json!(0.01 * unit);
            let (got, slopes) = scaled.evaluate(build(name, &params).as_ref());
            prop_assert_eq!(got, value, "{}", name);
            // Far from the threshold slopes are below the normal numbers, where even a power of two costs digits.
            prop_assert!((slopes * unit - gradient).amax() < 1e-300, "{}", name);
        }
    }

    #[test]
    fn equal_predictions_are_fair(world in worlds(), level in prop_oneof![Just(3.0), 2.95..3.05, 1.0..5.0]) {
        let flat = World { scores: DMatrix::from_element(world.items, world.users, level), ..world };
        for (name, params) in rates(&["seed", "huber", "exact"]).into_iter().chain([("non-parity", json!({}))]) {
            let (value, gradient) = flat.evaluate(build(name, &params).as_ref());
            prop_assert!(value < 1e-14, "{}: {}", name, value);
            // The means of equal numbers may differ in the last digit, which the sign of a difference does not forgive.
            prop_assert!(name == "non-parity" || gradient.amax() < 1e-13, "{}: {}", name, gradient.amax());
        }
    }

    #[test]
    fn users_alike_are_treated_alike(world in worlds()) {
        let half = world.users;
        let mut twins = World {
            users: 2 * half,
            scores: DMatrix::from_fn(world.items, 2 * half, |i, u| world.scores[(i, u % half)]),
            ..world.clone()
        };
        let group = |side: usize| (0..half).map(|u| (side * half + u) as u32).collect();
        twins.user_groups = vec![group(0), group(1)];
        for variant in ["seed", "huber", "exact"] {
            let (value, gradient) = twins.evaluate(build("user-group", &json!({ "variant": variant })).as_ref());
            prop_assert!(value < 1e-28 && gradient.amax() < 1e-13, "{}: {} and {}", variant, value, gradient.amax());
        }
        // The same ratings too: no difference is left, whatever is compared.
        twins.rows.extend(world.rows.iter().map(|&(u, i, r)| (u + half as u32, i, r)));
        for (name, params) in distances() {
            let (value, gradient) = twins.evaluate(build(name, &params).as_ref());
            prop_assert_eq!((value, gradient.amax()), (0.0, 0.0), "{}", name);
        }
    }
}
