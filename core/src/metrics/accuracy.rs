//! Error of predicted ratings, in the unit of the ratings:
//!
//! `RMSE = sqrt(1/n sum (p_i - a_i)^2)` and `MAE = 1/n sum |p_i - a_i|`, so `MAE <= RMSE <= sqrt(n) MAE`.
//!
//! And the share of the variance that predictions explain: `R2 = 1 - sum (a_i - p_i)^2 / sum (a_i - mean a)^2`, at most 1,
//! and negative where the mean would have predicted better.
//!
//! Source: Herlocker, Konstan, Terveen & Riedl 2004, "Evaluating collaborative filtering recommender systems".
//! Ratings are `f32`; differences and sums are `f64`, added in index order.

/// Root mean squared error of `predicted` against `actual`, in the unit of the ratings; `None` when they are empty.
///
/// A prediction that is not finite makes the result not finite: it is never skipped. Herlocker et al. 2004.
///
/// # Panics
/// When the lengths differ.
pub fn rmse(predicted: &[f32], actual: &[f32]) -> Option<f64> {
    mean(predicted, actual, |error| error * error).map(f64::sqrt)
}

/// Mean absolute error of `predicted` against `actual`, in the unit of the ratings; `None` when they are empty.
///
/// A prediction that is not finite makes the result not finite: it is never skipped. Herlocker et al. 2004.
///
/// # Panics
/// When the lengths differ.
pub fn mae(predicted: &[f32], actual: &[f32]) -> Option<f64> {
    mean(predicted, actual, f64::abs)
}

/// Coefficient of determination of `predicted` for `actual`, at most 1; `None` for fewer than two values, or where all
/// actual values are the same: there is no variance to explain. Others say 0 or 1 then.
///
/// A prediction that is not finite makes the result not finite: it is never skipped.
///
/// # Panics
/// When the lengths differ.
pub fn r2(predicted: &[f64], actual: &[f64]) -> Option<f64> {
    assert_eq!(predicted.len(), actual.len(), "one predicted value for each actual value");
    let mean = actual.iter().sum::<f64>() / actual.len() as f64;
    let total: f64 = actual.iter().map(|a| (a - mean).powi(2)).sum();
    let error: f64 = predicted.iter().zip(actual).map(|(p, a)| (a - p).powi(2)).sum();
    let varied = actual.windows(2).any(|pair| pair[0] != pair[1]);
    (varied && total > 0.0).then(|| 1.0 - error / total)
}

/// Mean of `loss(p_i - a_i)`.
fn mean(predicted: &[f32], actual: &[f32], loss: impl Fn(f64) -> f64) -> Option<f64> {
    assert_eq!(predicted.len(), actual.len(), "one predicted rating for each actual rating");
    let sum: f64 = predicted.iter().zip(actual).map(|(&p, &a)| loss(f64::from(p) - f64::from(a))).sum();
    (!actual.is_empty()).then(|| sum / actual.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        // Errors 1, -2, 0, 2: squares sum to 9, magnitudes to 5.
        let (predicted, actual) = ([4.0, 1.0, 3.0, 5.0], [3.0, 3.0, 3.0, 3.0]);
        assert_eq!(rmse(&predicted, &actual), Some(1.5));
        assert_eq!(mae(&predicted, &actual), Some(1.25));
        assert_eq!(rmse(&actual, &actual), Some(0.0));
    }

    #[test]
    fn explained_variance_by_hand() {
        let actual = [1.0, 2.0, 3.0];
        assert_eq!(r2(&actual, &actual), Some(1.0));
        assert_eq!(r2(&[2.0; 3], &actual), Some(0.0));
        // Squares 1, 0, 4 of a total of 2.
        assert_eq!(r2(&[2.0, 2.0, 5.0], &actual), Some(-1.5));
        assert_eq!((r2(&[], &[]), r2(&[1.0], &[1.0]), r2(&[1.0, 2.0], &[3.0, 3.0])), (None, None, None));
        assert!(r2(&[f64::NAN, 1.0], &[1.0, 2.0]).unwrap().is_nan());
    }

    #[test]
    fn nothing_has_no_error() {
        assert_eq!(rmse(&[], &[]), None);
        assert_eq!(mae(&[], &[]), None);
    }

    #[test]
    fn differences_are_taken_in_f64() {
        // In f32 the difference and its square would overflow.
        let huge = f32::MAX;
        assert_eq!(mae(&[huge], &[-huge]), Some(2.0 * f64::from(huge)));
        assert_eq!(rmse(&[huge], &[-huge]), Some(2.0 * f64::from(huge)));
    }

    #[test]
    fn a_bad_prediction_is_not_skipped() {
        assert!(rmse(&[f32::NAN, 1.0], &[1.0, 1.0]).unwrap().is_nan());
        assert_eq!(mae(&[f32::INFINITY, 1.0], &[1.0, 1.0]), Some(f64::INFINITY));
    }

    #[test]
    #[should_panic(expected = "one predicted rating for each actual rating")]
    fn lengths_must_agree() {
        let _ = mae(&[1.0], &[]);
    }
}
