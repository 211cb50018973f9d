//! Nearest points of simplices.

/// Moves `x` to the nearest point with numbers of at least 0 that add up to 1.
///
/// Duchi, Shalev-Shwartz, Singer & Chandra, "Efficient projections onto the l1-ball", ICML 2008.
pub(super) fn to_simplex(x: &mut [f64], sorted: &mut Vec<f64>) {
    // Only differences count; without the largest number no digits are lost.
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    x.iter_mut().for_each(|x| *x -= largest);
    sorted.clear();
    // What is more than 1 below the largest ends at 0.
    sorted.extend(x.iter().copied().filter(|x| *x > -1.0));
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (n, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (n + 1) as f64;
        if value - candidate <= 0.0 {
            break;
        }
        shift = candidate;
    }
    x.iter_mut().for_each(|x| *x = (*x - shift).max(0.0));
    let total: f64 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= total);
}

/// Moves `x` to the nearest point with numbers in 0 to 1 that add up to at most `most`.
pub(super) fn to_capped(x: &mut [f64], most: f64) {
    let clipped = |x: f64, shift: f64| (x - shift).clamp(0.0, 1.0);
    let sum = |x: &[f64], shift: f64| x.iter().map(|x| clipped(*x, shift)).sum::<f64>();
    if sum(x, 0.0) <= most {
        x.iter_mut().for_each(|x| *x = clipped(*x, 0.0));
        return;
    }
    // The sum falls with the shift: bisection, then the exact shift among the numbers inside.
    let (mut low, mut high) = (0.0, x.iter().copied().fold(0.0, f64::max));
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if sum(x, middle) > most { low = middle } else { high = middle }
    }
    let inside = |x: &&f64| **x - high > 0.0 && **x - high < 1.0;
    let free = x.iter().filter(inside).count();
    let shift = if free > 0 { high - (most - sum(x, high)) / free as f64 } else { high };
    x.iter_mut().for_each(|x| *x = clipped(*x, shift));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let simplex = |x: &[f64]| {
            let mut x = x.to_vec();
            to_simplex(&mut x, &mut Vec::new());
            x
        };
        assert_eq!(simplex(&[0.5, 0.5, -3.0]), [0.5, 0.5, 0.0]);
        assert_eq!(simplex(&[1.0, 0.5]), [0.75, 0.25]);
        assert_eq!(simplex(&[1e12, 0.0]), [1.0, 0.0]);
        let capped = |x: &[f64], most| {
            let mut x = x.to_vec();
            to_capped(&mut x, most);
            x
        };
        let near = |got: Vec<f64>, expected: &[f64]| {
            assert_eq!(got.len(), expected.len());
            assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{got:?}, expected {expected:?}");
        };
        near(capped(&[0.25, -1.0, 0.5], 1.0), &[0.25, 0.0, 0.5]);
        near(capped(&[1.5, 0.5, 0.5], 1.5), &[1.0, 0.25, 0.25]);
        near(capped(&[3.0, 2.0], 1.0), &[1.0, 0.0]);
    }

    proptest! {
        /// Nearest points: moving from there towards any other point leads away.
        #[test]
        fn no_other_point_is_nearer(x in prop::collection::vec(-3.0..3.0f64, 1..12), y in prop::collection::vec(0.0..1.0f64, 12)) {
            let mut own = x.clone();
            to_simplex(&mut own, &mut Vec::new());
            let total: f64 = y[..x.len()].iter().sum::<f64>().max(1e-9);
            prop_assert!((own.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let toward: f64 = (0..x.len()).map(|k| (x[k] - own[k]) * (y[k] / total - own[k])).sum();
            prop_assert!(toward <= 1e-9, "{toward}");

            let most = 0.7 * x.len() as f64;
            let mut own = x.clone();
            to_capped(&mut own, most);
            prop_assert!(own.iter().sum::<f64>() <= most + 1e-9 && own.iter().all(|x| (0.0..=1.0).contains(x)));
            let shrink = (most / y[..x.len()].iter().sum::<f64>().max(1e-9)).min(1.0);
            let toward: f64 = (0..x.len()).map(|k| (x[k] - own[k]) * (y[k] * shrink - own[k])).sum();
            prop_assert!(toward <= 1e-9, "{toward}");
        }
    }
}
