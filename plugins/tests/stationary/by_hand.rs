//! Users whose end can be said in closed form, and those who are hard to follow.

use crate::world::{World, assert_near};
use evenhand_core::{Dynamics, Lottery};
use evenhand_plugins::stationary::{Figure, FoundBy, REPORTED, Stationary};

const DYNAMICS: Dynamics = Dynamics { alpha_harmful: 0.5, alpha_harmless: 0.25, beta: 0.2, c: 4.0 };

/// An item that is all there is is consumed in any case: profiles are drawn to it, whether it is shown or not.
#[test]
fn one_item() {
    for (harmful, alpha) in [(false, 0.25), (true, 0.5)] {
        let world = World::line(&[1.5], &[harmful], DYNAMICS, -1.0);
        let end = (alpha * 1.5 - 0.2) / (0.2 + alpha);
        for set in [vec![], vec![0]] {
            let shown = if set.is_empty() { 0.0 } else { f64::exp(1.5 * end) };
            let (lottery, click) = (Lottery::certain(set), shown / (shown + 4.0));
            let outlook = world.catalogue().outlook(&world.start, &lottery).unwrap();
            assert_near("profile", &outlook.stationary.profile, &[end], 1e-14);
            let harm = if harmful { 1.0 - click } else { 0.0 };
            assert_near("value", &[outlook.value.click, outlook.value.harm], &[click, harm], 1e-14);
            // What is left of the way shrinks by the same factor in every step.
            for steps in [0, 1, 7] {
                let distance = world.catalogue().distance(&world.start, &[end], &lottery, steps).unwrap();
                let expected = (end + 1.0) * (0.8 - alpha).powi(steps as i32);
                assert_near("distance", &[distance], &[expected], 1e-14);
            }
        }
    }
}

/// Items at 0 have a score of 1, whatever the profile: nothing but sums of labels is left.
#[test]
fn items_that_no_profile_prefers() {
    let world = World::line(&[0.0; 4], &[false, false, false, true], DYNAMICS, 3.0);
    let outlook = world.catalogue().outlook(&world.start, &Lottery::certain(vec![0, 2])).unwrap();
    let (click, harm) = (2.0 / 6.0, 4.0 / 6.0 / 4.0);
    assert_near("value", &[outlook.value.click, outlook.value.harm], &[click, harm], 1e-15);
    let pull = 0.5 * harm + 0.25 * (1.0 - harm);
    assert_near("profile", &outlook.stationary.profile, &[0.2 * 3.0 / (0.2 + pull)], 1e-14);
    let half = Lottery::Sets { sets: vec![vec![], vec![1]], weights: vec![0.5; 2] };
    let value = world.catalogue().value(&world.start, &half).unwrap();
    assert_near("value", &[value.click, value.harm], &[0.1, 0.225], 1e-15);
}

/// Simulated behaviour arrives where the stationary profile is.
#[test]
fn many_steps_arrive() {
    let world = World::drawn(3, [4, 12, 4], 0.5, 4.0);
    let (catalogue, lottery) = (world.catalogue(), Lottery::Uniform { items: world.harmless(), size: 2 });
    let goal = catalogue.stationary(&world.start, &lottery, REPORTED).unwrap().profile;
    let left = [0, 10, 30, 200].map(|steps| catalogue.distance(&world.start, &goal, &lottery, steps).unwrap());
    assert!(left[0] > 0.1 && left.windows(2).all(|pair| pair[1] < pair[0]) && left[3] < 1e-12, "{left:?}");
}

/// Between two items that pull apart, there is a stationary profile on either side: the first profile decides.
#[test]
fn the_first_profile_decides_between_two_ends() {
    let nothing = Lottery::certain(vec![]);
    let ends = [0.1, -0.1].map(|start| {
        let world = World::line(&[2.0, -2.0], &[false; 2], DYNAMICS, start);
        let catalogue = world.catalogue();
        let found = catalogue.stationary(&world.start, &nothing, REPORTED).unwrap();
        assert!(found.converged && found.by == FoundBy::Iterating, "{found:?}");
        // The other end is one for the same user too, seen from there.
        let mut other = vec![-2.0 * start.signum()];
        for _ in 0..1000 {
            other = catalogue.mapped(&world.start, &other, &nothing).unwrap();
        }
        assert_near("F", &catalogue.mapped(&world.start, &other, &nothing).unwrap(), &other, 1e-14);
        assert!(other[0] * found.profile[0] < 0.0, "{other:?}, {found:?}");
        found.profile[0]
    });
    assert!(ends[0] > 0.9, "{ends:?}");
    assert_near("the mirror image", &[ends[1]], &[-ends[0]], 1e-13);
}

/// Shown a lesser item instead of a large one: the more users like both, the less they turn to the large one. `F` falls.
fn shown_half_as_long(length: f64, end: f64) -> World {
    // The item that is shown is as likely to be taken as not at `end`.
    let c = f64::exp(length / 2.0 * end);
    let dynamics = Dynamics { alpha_harmful: 1.0, alpha_harmless: 1.0, beta: 0.0, c };
    World::line(&[length / 2.0, length], &[false; 2], dynamics, length)
}

fn found(world: &World, lottery: &Lottery) -> Stationary {
    let catalogue = world.catalogue();
    let found = catalogue.stationary(&world.start, lottery, REPORTED).unwrap();
    assert!(found.converged, "{found:?}");
    assert_near("F", &catalogue.mapped(&world.start, &found.profile, lottery).unwrap(), &found.profile, 2e-13);
    found
}

/// Where `F` falls as steeply as it rises elsewhere, the plain iteration goes back and forth for ever.
#[test]
fn where_the_iteration_cycles_it_is_damped() {
    let world = shown_half_as_long(5.0, 3.75);
    let stationary = found(&world, &Lottery::certain(vec![0]));
    assert_eq!(stationary.by, FoundBy::Damping, "{stationary:?}");
    assert!((300..500).contains(&stationary.iterations), "{stationary:?}");
    assert_near("profile", &stationary.profile, &[3.75], 1e-3);
}

/// Three times as steep, so does the damped one.
#[test]
fn where_damping_cycles_too_newton_finds_the_profile() {
    let world = shown_half_as_long(9.0, 6.75);
    let stationary = found(&world, &Lottery::certain(vec![0]));
    assert_eq!(stationary.by, FoundBy::Newton, "{stationary:?}");
    assert_near("profile", &stationary.profile, &[6.75], 1e-3);
}

/// Where `F` is all but the identity, every step is tiny: the end is found at once from where the iteration got to.
#[test]
fn where_the_iteration_is_slow_newton_ends_it() {
    // F(u) = (beta u0 + alpha a tanh(a u)) / (alpha + beta) with alpha a^2 = alpha + beta.
    let dynamics = Dynamics { beta: 0.25, ..DYNAMICS };
    let world = World::line(&[f64::sqrt(2.0), -f64::sqrt(2.0)], &[false; 2], dynamics, 1e-7);
    let stationary = found(&world, &Lottery::certain(vec![]));
    assert_eq!(stationary.by, FoundBy::Newton, "{stationary:?}");
    assert!((300..400).contains(&stationary.iterations), "{stationary:?}");
    // tanh(z) is about z - z^3 / 3, so F(u) about u + u0 / 2 - 2 u^3 / 3.
    assert_near("profile", &stationary.profile, &[f64::cbrt(0.75e-7)], 1e-6);
}

/// The derivative by the chance of an item next to one whose score dwarfs it. With profiles that stay and c = 1, the click is
/// `x0 (x1 g01 + (1 - x1) g0) + (1 - x0) x1 g1`, by x0 = 1 and x1 = 1/2 close to `1 - (1/2) (1/2)`.
#[test]
fn an_item_that_is_all_that_counts_hides_no_other() {
    let dynamics = Dynamics { alpha_harmful: 0.0, alpha_harmless: 0.0, beta: 1.0, c: 1.0 };
    for long in [1.0, 5.0, 8.0, 15.0] {
        let world = World::line(&[long, 0.0, -1.0], &[false, false, true], dynamics, 5.0);
        let take = |score: f64| score / (1.0 + score);
        let (g0, g1, both) = (take(f64::exp(5.0 * long)), take(1.0), take(f64::exp(5.0 * long) + 1.0));
        let click = Figure { click: 1.0, harm: 0.0 };
        let got = world.catalogue().gradient_by_chances(&[5.0], &[0, 1], &[1.0, 0.5], click).unwrap().unwrap();
        let expected = [0.5 * both + 0.5 * g0 - 0.5 * g1, both - g0];
        assert_near("gradient", &got, &expected, 1e-12);
    }
}

#[test]
fn sets_beyond_what_memory_holds_are_refused() {
    let world = World::line(&vec![0.1; 6000], &vec![false; 6000], DYNAMICS, 1.0);
    let all = Lottery::Uniform { items: world.harmless(), size: 3000 };
    let refused = world.catalogue().outlook(&world.start, &all).unwrap_err().to_string();
    assert_eq!(refused, "data: all sets of 3000 of 6000 items: expected items times size up to 4000000");
}
