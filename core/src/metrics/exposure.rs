//! How evenly the recommendations spread over the catalogue. `counts` has one entry per item of the catalogue: how often
//! the item was shown, over all users (zero included: an item left out of the list would look covered).
//!
//! `coverage = #{ i : c_i > 0 } / n` and, with the counts sorted so that `c_(1) <= ... <= c_(n)`,
//! `Gini = sum_i (2 i - n - 1) c_(i) / (n sum_i c_i)`, which equals `sum_ij |c_i - c_j| / (2 n sum_i c_i)`: half the mean
//! difference between two items, in units of the mean count. Equal counts give 0; all exposure on one item gives `1 - 1/n`.
//!
//! Sources: Ge, Delgado-Battenfeld & Jannach 2010, "Beyond accuracy: evaluating recommender systems by coverage and
//! serendipity" (catalogue coverage); Gini 1912, "Variabilità e mutabilità"; Fleder & Hosanagar 2009, "Blockbuster
//! culture's next rise or fall" (Gini coefficient of recommendations).

/// Share of the catalogue that was shown at least once, in 0 to 1; `None` for an empty catalogue. Ge et al. 2010.
pub fn coverage(counts: &[u64]) -> Option<f64> {
    let shown = counts.iter().filter(|&&count| count > 0).count();
    (!counts.is_empty()).then(|| shown as f64 / counts.len() as f64)
}

/// Gini coefficient of the counts, from 0 (every item shown equally often) to `1 - 1/n` (one item takes all).
///
/// `None` when the catalogue is empty or nothing was shown. Sums are exact integers, so the order of the items has no
/// influence; the one rounding is the final division. Costs `O(n log n)`. Gini 1912, Fleder & Hosanagar 2009.
pub fn gini(counts: &[u64]) -> Option<f64> {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    // Below 2^31 items neither product leaves i128: both are at most n^2 2^64.
    let items = sorted.len() as i128;
    let total: i128 = sorted.iter().map(|&count| i128::from(count)).sum();
    let spread: i128 = (1..).zip(&sorted).map(|(place, &count)| (2 * place - items - 1) * i128::from(count)).sum();
    (total > 0).then(|| spread as f64 / (items * total) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        assert_eq!(coverage(&[0, 3, 1, 0]), Some(0.5));
        // (-3)(0) + (-1)(0) + (1)(1) + (3)(3) = 10 over 4 * 4.
        assert_eq!(gini(&[0, 3, 1, 0]), Some(0.625));
        assert_eq!(gini(&[1, 2, 3, 4]), Some(0.25));
    }

    #[test]
    fn extremes() {
        assert_eq!((coverage(&[]), gini(&[])), (None, None));
        assert_eq!((coverage(&[0, 0]), gini(&[0, 0])), (Some(0.0), None));
        assert_eq!(gini(&[7, 7, 7]), Some(0.0));
        assert_eq!(gini(&[0, 0, 9, 0, 0]), Some(0.8));
        assert_eq!(gini(&[u64::MAX; 5]), Some(0.0));
        assert_eq!(gini(&[0, u64::MAX]), Some(0.5));
    }

    /// Every catalogue of 4 items with counts 0 to 4.
    #[test]
    fn definition_order_scale_and_bounds() {
        for code in 1..5u64.pow(4) {
            let counts: Vec<u64> = (0..4).map(|digit| code / 5u64.pow(digit) % 5).collect();
            let differences: u64 = counts.iter().flat_map(|&a| counts.iter().map(move |&b| a.abs_diff(b))).sum();
            let total: u64 = counts.iter().sum();
            let value = gini(&counts).unwrap();
            assert_eq!(value, differences as f64 / (8 * total) as f64);
            assert!((0.0..=0.75).contains(&value));

            let scaled: Vec<u64> = counts.iter().map(|count| 3 * count).collect();
            assert_eq!(gini(&scaled), Some(value));
            // A rotation and a swap generate every order.
            let mut moved = counts.clone();
            moved.rotate_left(1);
            assert_eq!((gini(&moved), coverage(&moved)), (Some(value), coverage(&counts)));
            moved.swap(0, 1);
            assert_eq!((gini(&moved), coverage(&moved)), (Some(value), coverage(&counts)));
        }
    }
}
