use super::*;
use crate::Streams;
use rand::RngExt;

fn close(estimate: Option<Estimate>, value: f64, error: f64) {
    let it = estimate.unwrap();
    assert!((it.value - value).abs() < 1e-12, "{it:?}, expected {value}");
    assert!((it.error.unwrap() - error).abs() < 1e-12, "{it:?}, expected an error of {error}");
}

#[test]
fn single_places_worked_by_hand() {
    let w = weights(&[0.5, 0.0, 0.2], &[0.25, 0.5, 0.1], None);
    assert_eq!(w, [2.0, 0.0, 2.0]);
    let r = [1.0, 7.0, 4.0];
    // Shares 2, 0, 8: mean 10/3, squares 16/9 + 100/9 + 196/9 = 312/9, over 2 and 3.
    close(inverse_propensity(1, &r, &w), 10.0 / 3.0, (52.0 / 9.0f64).sqrt());
    // (2 + 8) / 4 = 2.5; mean weight 4/3; shares -2.25, 0, 2.25.
    close(self_normalised(1, &r, &w), 2.5, (2.0 * 2.25f64.powi(2) / 6.0).sqrt());
    // Shares 3 + 2 (1 - 2), 1, 2 + 2 (4 - 3): 1, 1, 4.
    let (q, d) = ([2.0, 9.0, 3.0], [3.0, 1.0, 2.0]);
    close(doubly_robust(1, &r, &w, &q, &d), 2.0, 1.0);
    close(direct_method(&d), 2.0, (1.0 / 3.0f64).sqrt());
    let overlap = Overlap::of(&w).unwrap();
    assert_eq!((overlap.rows, overlap.zeros, overlap.largest, overlap.effective), (3, 1, 2.0, 2.0));
    assert!((overlap.mean - 4.0 / 3.0).abs() < 1e-12);
    assert!((overlap.mean_error.unwrap() - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(weights(&[0.5, 0.0, 0.2], &[0.25, 0.5, 0.1], Some(1.5)), [1.5, 0.0, 1.5]);
}

#[test]
fn slates_of_two_worked_by_hand() {
    let (r, w) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.5, 3.0, 1.5]);
    // Shares 1 + 1 and 9 + 6.
    close(inverse_propensity(2, &r, &w), 8.5, 6.5);
    // Places: (1 + 9) / 4 and (1 + 6) / 2. Shares: 1/2 (1 - 2.5) + 1/2 (2 - 3.5) = -1.5, and 1.5.
    close(self_normalised(2, &r, &w), 6.0, 1.5);
    // Shares 2 + 1 (1 - 1) + 0.5 (2 - 4) = 1 and 3 + 3 (3 - 2) + 1.5 (4 - 4) = 6.
    close(doubly_robust(2, &r, &w, &[1.0, 4.0, 2.0, 4.0], &[2.0, 3.0]), 3.5, 2.5);
}

#[test]
fn nothing_and_a_single_slate() {
    assert_eq!(inverse_propensity(3, &[], &[]), None);
    assert_eq!(self_normalised(3, &[], &[]), None);
    assert_eq!(doubly_robust(3, &[], &[], &[], &[]), None);
    assert_eq!((direct_method(&[]), Overlap::of(&[])), (None, None));
    assert_eq!(inverse_propensity(1, &[3.0], &[2.0]), Some(Estimate { value: 6.0, error: None }));
    assert_eq!(self_normalised(1, &[3.0], &[2.0]), Some(Estimate { value: 3.0, error: None }));
    // No weight at the second place.
    assert_eq!(self_normalised(2, &[1.0, 1.0, 1.0, 1.0], &[1.0, 0.0, 1.0, 0.0]), None);
    assert_eq!(Overlap::of(&[0.0, 0.0]).unwrap().effective, 0.0);
}

/// Random slates: rewards, weights, predictions and expectations.
fn slates(round: u64, n: usize, size: usize) -> [Vec<f64>; 4] {
    let mut rng = Streams::new(4).rng(round);
    let mut draw = |count: usize| (0..count).map(|_| rng.random_range(-2.0..3.0)).collect::<Vec<f64>>();
    let (r, w, q, d) = (draw(n * size), draw(n * size), draw(n * size), draw(n));
    [r, w.into_iter().map(|w| w.max(0.0).powi(3)).collect(), q, d]
}

#[test]
fn the_logging_policy_itself_gets_the_mean_of_its_log() {
    for round in 0..50 {
        let size = 1 + round as usize % 3;
        let [r, _, q, _] = slates(round, 20, size);
        let b = vec![0.3; r.len()];
        let w = weights(&b, &b, Some(1.0));
        let sums: Vec<f64> = r.chunks(size).map(|s| s.iter().sum()).collect();
        let mean = Estimate::mean(&sums).unwrap();
        close(inverse_propensity(size, &r, &w), mean.value, mean.error.unwrap());
        close(self_normalised(size, &r, &w), mean.value, mean.error.unwrap());
        // Expectations that are the predictions for what was shown cancel.
        let d: Vec<f64> = q.chunks(size).map(|s| s.iter().sum()).collect();
        close(doubly_robust(size, &r, &w, &q, &d), mean.value, mean.error.unwrap());
        assert!((Overlap::of(&w).unwrap().effective - r.len() as f64).abs() < 1e-9);
    }
}

#[test]
fn a_self_normalised_value_is_a_mean_of_rewards_and_ignores_the_scale_of_the_weights() {
    for round in 0..50 {
        let [r, w, ..] = slates(round, 20, 1);
        let it = self_normalised(1, &r, &w).unwrap();
        let (low, high) = (r.iter().copied().fold(f64::MAX, f64::min), r.iter().copied().fold(f64::MIN, f64::max));
        assert!((low..=high).contains(&it.value), "{it:?}");
        let half: Vec<f64> = w.iter().map(|w| w / 2.0).collect();
        close(self_normalised(1, &r, &half), it.value, it.error.unwrap());
        // Rewards moved by a constant move it by that constant.
        let moved: Vec<f64> = r.iter().map(|r| r + 10.0).collect();
        close(self_normalised(1, &moved, &w), it.value + 10.0, it.error.unwrap());
        let effective = Overlap::of(&w).unwrap().effective;
        assert!((1.0..=20.0).contains(&effective));
    }
}

#[test]
fn without_overlap_doubly_robust_is_the_direct_method_and_without_a_model_it_is_inverse_propensity() {
    for round in 0..50 {
        let [r, w, q, d] = slates(round, 20, 2);
        assert_eq!(doubly_robust(2, &r, &[0.0; 40], &q, &d), direct_method(&d));
        let ips = inverse_propensity(2, &r, &w).unwrap();
        close(doubly_robust(2, &r, &w, &[0.0; 40], &[0.0; 20]), ips.value, ips.error.unwrap());
    }
}

/// All ordered slates of 2 out of 4 items, drawn in proportion to `taste` one after the other, with their probabilities.
fn all_slates(taste: [f64; 4]) -> Vec<([usize; 2], f64)> {
    let total: f64 = taste.iter().sum();
    let pairs = (0..4).flat_map(|a| (0..4).filter(move |&b| b != a).map(move |b| [a, b]));
    pairs.map(|[a, b]| ([a, b], taste[a] / total * taste[b] / (total - taste[a]))).collect()
}

/// Probability of each item at each place.
fn marginals(slates: &[([usize; 2], f64)]) -> [[f64; 4]; 2] {
    let mut at = [[0.0; 4]; 2];
    slates.iter().for_each(|(slate, p)| (0..2).for_each(|place| at[place][slate[place]] += p));
    at
}

#[test]
fn right_propensities_make_up_for_a_wrong_reward_model() {
    let (behaviour, target) = (all_slates([1.0, 2.0, 3.0, 4.0]), all_slates([5.0, 0.0, 1.0, 2.0]));
    let (b, e) = (marginals(&behaviour), marginals(&target));
    let (reward, wrong) = ([3.0, -1.0, 2.0, 0.5], [9.0, 1.0, -7.0, 4.0]);
    let value = |of: [f64; 4]| target.iter().map(|([i, j], p)| p * (of[*i] + of[*j])).sum::<f64>();
    // Over everything that the log may hold.
    let (mut ips, mut dr) = (0.0, 0.0);
    for ([i, j], p) in &behaviour {
        let r = [reward[*i], reward[*j]];
        let w = weights(&[e[0][*i], e[1][*j]], &[b[0][*i], b[1][*j]], None);
        ips += p * inverse_propensity(2, &r, &w).unwrap().value;
        dr += p * doubly_robust(2, &r, &w, &[wrong[*i], wrong[*j]], &[value(wrong)]).unwrap().value;
    }
    assert!((ips - value(reward)).abs() < 1e-12);
    assert!((dr - value(reward)).abs() < 1e-12);
    assert!((value(wrong) - value(reward)).abs() > 1.0);
}

/// The spread of estimates over many logs is what the standard errors say.
#[test]
fn standard_errors_are_those_of_repeated_logs() {
    let (behaviour, target, mean) = ([0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [1.0, 2.0, 4.0]);
    let truth: f64 = target.iter().zip(mean).map(|(p, m)| p * m).sum();
    let kinds = 3;
    let (mut found, mut said) = (vec![vec![]; kinds], vec![0.0; kinds]);
    for log in 0..400 {
        let mut rng = Streams::new(12).rng(log);
        let (mut r, mut w, mut q) = (vec![], vec![], vec![]);
        for _ in 0..200 {
            let draw: f64 = rng.random();
            let item = if draw < 0.5 { 0 } else { usize::from(draw >= 0.8) + 1 };
            r.push(mean[item] + rng.random_range(-1.0..1.0));
            w.push(target[item] / behaviour[item]);
            q.push(0.9 * mean[item]);
        }
        let all = [
            inverse_propensity(1, &r, &w),
            self_normalised(1, &r, &w),
            doubly_robust(1, &r, &w, &q, &[0.9 * truth; 200]),
        ];
        for (kind, it) in all.into_iter().flatten().enumerate() {
            found[kind].push(it.value);
            said[kind] += it.error.unwrap() / 400.0;
        }
    }
    for kind in 0..kinds {
        let over_logs = Estimate::mean(&found[kind]).unwrap();
        let spread = over_logs.error.unwrap() * 20.0;
        assert!(
            (over_logs.value - truth).abs() < 4.0 * over_logs.error.unwrap(),
            "{kind}: {over_logs:?}, truth {truth}"
        );
        assert!((spread / said[kind] - 1.0).abs() < 0.15, "{kind}: {spread}, said {}", said[kind]);
    }
    assert!(said[2] < said[1] && said[1] < said[0], "{said:?}");
}

#[test]
#[should_panic(expected = "whole slates of 2, got 3 rewards")]
fn slates_must_be_whole() {
    let _ = inverse_propensity(2, &[1.0; 3], &[1.0; 3]);
}
