//! Means over draws instead of exact ones.

use crate::world::{World, rng};
use evenhand_core::{Cardinality, Lottery, Plan, SizeRule};
use evenhand_plugins::stationary::{Effort, drawn_sets};
use rand::RngExt;

const DRAWS: usize = 400;

fn plan(world: &World, draws: Option<usize>, seed: u64) -> Plan {
    let effort = Effort { draws, starts: 1, ..Effort::default() };
    let cardinality = Cardinality { size: 2, rule: SizeRule::Independent };
    world.search(effort, |search| search.best(cardinality, &mut rng(seed)).unwrap())
}

/// Mean and deviation.
fn spread(numbers: &[f64]) -> (f64, f64) {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (numbers.len() - 1) as f64).sqrt())
}

/// The objective over draws is around the exact one.
#[test]
fn draws_agree_with_what_they_are_drawn_from() {
    let world = World::drawn(4, [2, 6, 2], 0.6, 4.0);
    let (items, chances, mut rng) = (world.harmless(), [0.2, 0.9, 0.0, 0.5], rng(1));
    let exact = world.objective(&Lottery::Independent { items: items.clone(), chances: chances.to_vec() });
    let drawn = |_| {
        let uniforms: Vec<f64> = (0..DRAWS * items.len()).map(|_| rng.random()).collect();
        let lottery = drawn_sets(&items, &chances, &uniforms);
        assert_eq!(lottery.inclusion(items[2]), 0.0);
        world.objective(&lottery)
    };
    let objectives: Vec<f64> = (0..30).map(drawn).collect();
    let (mean, deviation) = spread(&objectives);
    // Five standard errors of the mean, and the square of a deviation for what is not linear.
    let error = 5.0 * deviation / 30f64.sqrt() + 5.0 * deviation.powi(2);
    assert!((mean - exact).abs() <= error, "{mean} with deviation {deviation}, exactly {exact}");
    assert!(deviation > 1e-4, "{deviation}");
}

/// What is best over draws is nearly the best: no farther than draws deviate.
#[test]
fn what_is_best_over_draws_is_nearly_best() {
    for seed in [3, 8] {
        let world = World::drawn(seed, [2, 6, 2], 0.6, 4.0);
        let best = world.objective(&plan(&world, None, 1).lottery);
        let drawn = plan(&world, Some(DRAWS), 1);
        assert_eq!(drawn.lottery.check(6).map_err(|e| e.to_string()), Ok(()));
        let Lottery::Independent { items, chances } = &drawn.lottery else { panic!("{drawn:?}") };
        assert!(items.iter().all(|item| *item < 4) && chances.iter().sum::<f64>() <= 2.0 + 1e-9, "{drawn:?}");
        let reached = world.objective(&drawn.lottery);
        let mut rng = rng(9);
        let again = |_| {
            let uniforms: Vec<f64> = (0..DRAWS * items.len()).map(|_| rng.random()).collect();
            world.objective(&drawn_sets(items, chances, &uniforms))
        };
        let (_, deviation) = spread(&(0..10).map(again).collect::<Vec<f64>>());
        assert!(reached <= best + 1e-9 && reached >= best - 5.0 * deviation - 1e-3, "{reached}, at best {best}");
        assert_eq!(plan(&world, Some(DRAWS), 1), drawn);
    }
}
