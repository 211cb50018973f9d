//! Gradients against central differences, and both against the formulas taken at their word.

use crate::world::{World, build, distances};
use serde_json::{Value as Json, json};
use std::f64::consts::PI;

/// Well below the narrowest bandwidth, 0.01.
const STEP: f64 = 1e-6;

/// Compares every entry, but those at a kink, where the differences to both sides are not the same. Returns the number
/// of entries compared.
fn compare(name: &str, params: &Json, world: &World) -> usize {
    let loss = build(name, params);
    assert!(!loss.surrogate());
    let (value, gradient) = world.evaluate(loss.as_ref());
    let allowed = 1e-6 * gradient.amax() + 1e-9;
    let mut moved = world.clone();
    let mut compared = 0;
    for at in 0..gradient.len() {
        let mut to = |by: f64| {
            moved.scores[at] = world.scores[at] + by;
            moved.evaluate(loss.as_ref()).0
        };
        let (below, above) = ((value - to(-STEP)) / STEP, (to(STEP) - value) / STEP);
        moved.scores[at] = world.scores[at];
        if (above - below).abs() > 1e-3 * gradient.amax() + 1e-9 {
            continue;
        }
        compared += 1;
        let (difference, own) = (0.5 * (above + below), gradient[at]);
        assert!((difference - own).abs() <= allowed, "{name} {params}: at {at} {difference}, the gradient is {own}");
    }
    compared
}

/// Worlds with two groups of users or three, and three groups of items, all of which overlap and leave out.
fn worlds() -> impl Iterator<Item = World> {
    (0..12).map(|seed| {
        let world = World::random(9, 7, 2 + seed as usize % 2, 3, seed);
        assert!(seed != 4 || overlaps_and_leaves_out(&world), "{:?}", world.item_groups);
        world
    })
}

fn overlaps_and_leaves_out(world: &World) -> bool {
    let groups_of = |item: u32| world.item_groups.iter().filter(|g| g.contains(&item)).count();
    let counts: Vec<usize> = (0..world.items as u32).map(groups_of).collect();
    counts.contains(&0) && counts.iter().any(|&c| c > 1)
}

#[test]
fn exact_rates() {
    for world in worlds() {
        for name in ["equal-experience", "user-group", "item-group"] {
            for (bandwidth, delta, threshold) in [
                (0.01, 0.01, None),
                (0.01, 10.0, None),
                (0.3, 0.01, Some(3.2)),
                (0.3, 0.1, Some(2.5)),
                (2.0, 0.001, None),
            ] {
                let params = json!({
                    "variant": "exact", "bandwidth": bandwidth, "delta": delta, "threshold": threshold,
                });
                // A threshold smoothed as narrowly bends within a step, by a part of ten thousand.
                assert_eq!(compare(name, &params, &world), 63, "{name} {params}");
            }
        }
    }
}

#[test]
fn distances_between_means() {
    for (name, params) in distances() {
        let compared: usize = worlds().map(|world| compare(name, &params, &world)).sum();
        assert_eq!(compared, 12 * 63, "{name} {params}");
    }
}

/// Groups as sets of cells, the formulas term by term.
#[test]
fn rates_at_their_word() {
    let (h, delta) = (0.02, 0.05);
    let everyone = |count: usize| vec![(0..count as u32).collect::<Vec<_>>()];
    for world in worlds() {
        for (name, users, items) in [
            ("equal-experience", world.user_groups.clone(), world.item_groups.clone()),
            ("user-group", world.user_groups.clone(), everyone(world.items)),
            ("item-group", everyone(world.users), world.item_groups.clone()),
        ] {
            for variant in ["seed", "huber", "exact"] {
                let t = |y: f64| (3.0 - y) / h;
                let tail = |t: f64| match variant {
                    "exact" => 0.5 * erfc_of(t),
                    _ if t > 0.0 => (-0.4920 * t * t - 0.2887 * t - 1.1893).exp(),
                    _ => 1.0 - (-0.4920 * t * t + 0.2887 * t - 1.1893).exp(),
                };
                let sets: Vec<Vec<(u32, u32)>> = users
                    .iter()
                    .flat_map(|of| {
                        items.iter().map(|to| of.iter().flat_map(|&u| to.iter().map(move |&i| (i, u))).collect())
                    })
                    .collect();
                let rate = |cells: &[(u32, u32)]| {
                    let value = |&(i, u): &(u32, u32)| tail(t(world.scores[(i as usize, u as usize)]));
                    cells.iter().map(value).sum::<f64>() / cells.len() as f64
                };
                let all: Vec<_> =
                    (0..world.users as u32).flat_map(|u| (0..world.items as u32).map(move |i| (i, u))).collect();
                let differences: Vec<f64> = sets.iter().map(|set| rate(&all) - rate(set)).collect();
                let huber = |d: &f64| match d.abs() {
                    size if size <= delta => size * size / 2.0,
                    size => delta * (size - delta / 2.0),
                };
                let weight = |d: f64| match variant {
                    "seed" if d > delta => delta / 2.0,
                    "seed" if d < -delta => -delta / 2.0,
                    "seed" => d,
                    _ => d.max(-delta).min(delta),
                };
                let params = json!({ "variant": variant, "bandwidth": h, "delta": delta });
                let (value, gradient) = world.evaluate(build(name, &params).as_ref());
                let expected: f64 = differences.iter().map(huber).sum();
                assert!((value - expected).abs() < 1e-12, "{name} {variant}: {value}, expected {expected}");
                let total: f64 = differences.iter().map(|&d| weight(d)).sum();
                for &cell in &all {
                    let (i, u) = (cell.0 as usize, cell.1 as usize);
                    let x = t(world.scores[(i, u)]);
                    let holding = sets.iter().zip(&differences).filter(|(set, _)| set.contains(&cell));
                    let shares: f64 = holding.map(|(set, &d)| weight(d) / set.len() as f64).sum();
                    let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
                    let expected = density / h * (total / all.len() as f64 - shares);
                    let off = (gradient[(i, u)] - expected).abs();
                    assert!(off < 1e-11, "{name} {variant}: at {cell:?} off by {off}");
                }
            }
        }
    }
}

/// erfc(t / sqrt 2) = 2 Q(t), by integrating the density from t on with Simpson's rule.
fn erfc_of(t: f64) -> f64 {
    if t < 0.0 {
        return 2.0 - erfc_of(-t);
    }
    let (steps, end) = (4000, 12.0f64.max(t + 4.0));
    let width = (end - t) / f64::from(steps);
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    let inner: f64 = (1..steps).map(|k| density(t + width * f64::from(k)) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    2.0 * (density(t) + inner + density(end)) * width / 3.0
}

/// The formulas of the item-wise losses, for two groups and for three.
#[test]
fn distances_at_their_word() {
    for world in worlds() {
        let rated = |g: usize, item: usize| -> Vec<(usize, f64)> {
            let of = world.rows.iter().filter(|r| r.1 as usize == item && world.user_groups[g].contains(&r.0));
            of.map(|r| (r.0 as usize, f64::from(r.2))).collect()
        };
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let error = |g: usize, item: usize| {
            let rows = rated(g, item);
            (!rows.is_empty()).then(|| mean(rows.iter().map(|&(u, r)| world.scores[(item, u)] - r).collect()))
        };
        let groups = world.user_groups.len();
        let pairs: Vec<_> = (0..groups).flat_map(|h| (0..h).map(move |g| (g, h))).collect();
        type Measure = fn(f64) -> f64;
        let measures: [(&str, Measure); 4] = [
            ("value-unfairness", |e| e),
            ("absolute-unfairness", f64::abs),
            ("underestimation-unfairness", |e| f64::max(0.0, -e)),
            ("overestimation-unfairness", |e| f64::max(0.0, e)),
        ];
        for (name, measure) in measures {
            let of_pair = |&(g, h): &(usize, usize)| {
                let gap = |item| Some((measure(error(g, item)?) - measure(error(h, item)?)).abs());
                mean((0..world.items).filter_map(gap).collect())
            };
            let expected = mean(pairs.iter().map(of_pair).filter(|m| !m.is_nan()).collect());
            let (value, _) = world.evaluate(build(name, &json!({})).as_ref());
            assert!((value - expected).abs() < 1e-12, "{name}: {value}, expected {expected}");
        }
        let overall = |g: usize| {
            let rows = world.rows.iter().filter(|r| world.user_groups[g].contains(&r.0));
            mean(rows.map(|r| world.scores[(r.1 as usize, r.0 as usize)]).collect())
        };
        let expected = mean(pairs.iter().map(|&(g, h)| (overall(g) - overall(h)).abs()).collect());
        let (value, _) = world.evaluate(build("non-parity", &json!({})).as_ref());
        assert!((value - expected).abs() < 1e-12, "non-parity: {value}, expected {expected}");

        for rated_items in [false, true] {
            let distance = |g: usize, item: usize| {
                let rows = rated(g, item);
                let rating = rows.iter().map(|r| r.1).sum::<f64>() / (rows.len() as f64 + 1e-8);
                let members = world.user_groups[g].iter();
                (rating - mean(members.map(|&u| world.scores[(item, u as usize)]).collect())).abs()
            };
            let counts = |item: &usize| !rated_items || world.rows.iter().any(|r| r.1 as usize == *item);
            let of_item =
                |item: usize| mean(pairs.iter().map(|&(g, h)| (distance(g, item) - distance(h, item)).abs()).collect());
            let expected = mean((0..world.items).filter(counts).map(of_item).collect());
            let (value, _) = world.evaluate(build("value", &json!({ "rated_items": rated_items })).as_ref());
            assert!((value - expected).abs() < 1e-12, "value {rated_items}: {value}, expected {expected}");
        }
    }
}
