//! Means over all sets of k of n items, none of them listed.
//!
//! The mean of `e^(-t s_E)` over the sets of j of the first m items is
//! `M(m, j) = (1 - j / m) M(m - 1, j) + (j / m) e^(-t s_m) M(m - 1, j - 1)`: the m-th item is in such a set with probability j / m.
//! Where item i is in the set, the mean is the derivative of M(n, k) by the logarithm of `e^(-t s_i)`: backwards through the
//! recurrence, for all items at once. Both take n k steps, all sums of positive numbers. Times run side by side.

use super::catalogue::vectors;
use super::exp::{LANES, exp};
use super::quadrature::Rule;
use pulp::{Simd, bytemuck};

/// The mean of `1 / (s_E + 1)` over all sets of `size` items with these scores, which is less than all of them; `share` is told
/// the mean of the same where an item is in the set, and 0 elsewhere, of each item.
#[inline(always)]
pub(super) fn uniform<S: Simd>(
    simd: S,
    rule: &Rule,
    scores: &[f64],
    size: usize,
    share: impl FnMut(usize, f64),
) -> f64 {
    match LANES / S::F64_LANES {
        1 => uniform_in::<S, 1>(simd, rule, scores, size, share),
        2 => uniform_in::<S, 2>(simd, rule, scores, size, share),
        4 => uniform_in::<S, 4>(simd, rule, scores, size, share),
        _ => uniform_in::<S, 8>(simd, rule, scores, size, share),
    }
}

#[inline(always)]
fn uniform_in<S: Simd, const G: usize>(
    simd: S,
    rule: &Rule,
    scores: &[f64],
    size: usize,
    mut share: impl FnMut(usize, f64),
) -> f64 {
    let (n, width) = (scores.len(), size + 1);
    let [zero, one] = [0.0, 1.0].map(|x| [simd.splat_f64s(x); G]);
    // M(m, j) at m * width + j; where j is above m, 0.
    let mut means = vec![zero; (n + 1) * width];
    let (mut back, mut before) = (vec![zero; width], vec![zero; width]);
    let mut decay = vec![0.0; n * LANES];
    let mut sums = vec![zero; n];
    let mut kappa = 0.0;
    for (times, weights) in rule.times.chunks(LANES).zip(rule.weights.chunks(LANES)) {
        // Times that are missing weigh nothing.
        let (mut given, mut weight) = ([0.0; LANES], [0.0; LANES]);
        given[..times.len()].copy_from_slice(times);
        weight[..weights.len()].copy_from_slice(weights);
        for (decay, score) in decay.chunks_exact_mut(LANES).zip(scores) {
            for lane in 0..LANES {
                decay[lane] = -given[lane] * score;
            }
        }
        exp(&mut decay);
        let (decays, weight) = (vectors::<S, G>(&decay), vectors::<S, G>(&weight)[0]);
        means[0] = one;
        for m in 1..=n {
            let (former, now) = means[(m - 1) * width..][..2 * width].split_at_mut(width);
            now[0] = one;
            for j in 1..=size.min(m) {
                let enters = simd.splat_f64s(j as f64 / m as f64);
                for g in 0..G {
                    let gain = simd.sub_f64s(simd.mul_f64s(decays[m - 1][g], former[j - 1][g]), former[j][g]);
                    now[j][g] = simd.mul_add_f64s(enters, gain, former[j][g]);
                }
            }
        }
        let all = &means[n * width + size];
        let mut sum = [simd.splat_f64s(0.0); G];
        for g in 0..G {
            sum[g] = simd.mul_f64s(weight[g], all[g]);
        }
        kappa += bytemuck::cast_slice::<_, f64>(&sum).iter().sum::<f64>();
        back.fill(zero);
        back[size] = weight;
        for m in (1..=n).rev() {
            let former = &means[(m - 1) * width..][..width];
            before.fill(zero);
            before[0] = back[0];
            let mut own = zero;
            for j in 1..=size.min(m) {
                let enters = simd.splat_f64s(j as f64 / m as f64);
                for g in 0..G {
                    let moved = simd.mul_f64s(enters, back[j][g]);
                    before[j][g] = simd.add_f64s(before[j][g], simd.sub_f64s(back[j][g], moved));
                    let taken = simd.mul_f64s(moved, decays[m - 1][g]);
                    before[j - 1][g] = simd.add_f64s(before[j - 1][g], taken);
                    own[g] = simd.mul_add_f64s(taken, former[j - 1][g], own[g]);
                }
            }
            for g in 0..G {
                sums[m - 1][g] = simd.add_f64s(sums[m - 1][g], own[g]);
            }
            std::mem::swap(&mut back, &mut before);
        }
    }
    for (place, sum) in sums.iter().enumerate() {
        share(place, bytemuck::cast_slice::<_, f64>(sum).iter().sum());
    }
    kappa
}
