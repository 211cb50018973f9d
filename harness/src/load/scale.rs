//! The meaning of values that come without one.

use evenhand_core::Scale;

/// Half stars, as in MovieLens 10M and later: 0.5 to 5; more than three is a like.
pub(super) const HALF_STARS: Scale = Scale { low: 0.5, ..Scale::FIVE_STARS };

/// The scale that the values themselves suggest, by the first rule that fits:
///
/// 1. only -1 and +1, with a -1 among them: [`Scale::SIGNED`];
/// 2. only 0 and 1 (also: only 1, as in data without ratings): 0 to 1, a 1 is a like;
/// 3. only whole numbers from 1 to 5: [`Scale::FIVE_STARS`];
/// 4. only whole and half numbers from 0.5 to 5: 0.5 to 5, more than 3 is a like;
/// 5. otherwise from the lowest to the highest value, and a like lies above the middle. A single value other than
///    the above is taken for the end of a range from 0.
pub fn infer(values: impl IntoIterator<Item = f32>) -> Scale {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    let (mut signed, mut binary, mut whole, mut half) = (true, true, true, true);
    for value in values {
        low = low.min(value);
        high = high.max(value);
        signed &= value.abs() == 1.0;
        binary &= value == 0.0 || value == 1.0;
        whole &= value.fract() == 0.0;
        half &= (2.0 * value).fract() == 0.0;
    }
    if low > high || binary {
        return Scale { low: 0.0, high: 1.0, like_above: 0.0 };
    }
    if signed {
        return Scale::SIGNED;
    }
    if whole && low >= 1.0 && high <= 5.0 {
        return Scale::FIVE_STARS;
    }
    if half && low >= 0.5 && high <= 5.0 {
        return HALF_STARS;
    }
    if low == high {
        (low, high) = (low.min(0.0), high.max(0.0));
    }
    // Halved first: the sum of two large numbers could overflow.
    Scale { low, high, like_above: low / 2.0 + high / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> (f32, f32, f32) {
        let s = infer(values.iter().copied());
        (s.low, s.high, s.like_above)
    }

    #[test]
    fn scales_by_their_values() {
        assert_eq!(of(&[-1.0, 1.0]), (-1.0, 1.0, 0.0));
        assert_eq!(of(&[-1.0]), (-1.0, 1.0, 0.0));
        assert_eq!(of(&[1.0, 1.0]), (0.0, 1.0, 0.0));
        assert_eq!(of(&[0.0, 1.0]), (0.0, 1.0, 0.0));
        assert_eq!(of(&[2.0, 5.0]), (1.0, 5.0, 3.0));
        assert_eq!(of(&[4.5, 2.0]), (0.5, 5.0, 3.0));
        assert_eq!(of(&[0.0, 10.0, 3.0]), (0.0, 10.0, 5.0));
        assert_eq!(of(&[7.0, 7.0]), (0.0, 7.0, 3.5));
        assert_eq!(of(&[]), (0.0, 1.0, 0.0));
        assert!(of(&[f32::MAX, -f32::MAX]).2 == 0.0 && of(&[f32::MAX, f32::MAX / 2.0]).2.is_finite());
    }
}
