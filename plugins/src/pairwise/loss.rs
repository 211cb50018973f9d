//! The loss of one margin x, that is the score of what is liked less the score of what is not:
//! `l = softplus(-c) = ln(1 + e^-c)`, `c = max(x, -80)`.
//!
//! Below -80 the published code cuts the margin off, and with it the gradient; the bound itself passes it. Rendle et al. 2009,
//! "BPR: Bayesian personalized ranking from implicit feedback", without the cut.

use crate::cells::exp;
use crate::linear::Real;
use pulp::Simd;

/// Margins below are cut off.
const LOWEST: f64 = -80.0;

/// Value of the loss at a margin.
pub fn value(margin: f64, cut: bool) -> f64 {
    // `max` would turn a NaN into the bound.
    let c = if cut && margin < LOWEST { LOWEST } else { margin };
    (-c).max(0.0) + (-c.abs()).exp().ln_1p()
}

/// Its derivative by the margin, from -1 to 0.
pub fn slope(margin: f64, cut: bool) -> f64 {
    if cut && margin < LOWEST { 0.0 } else { -1.0 / (1.0 + margin.exp()) }
}

/// Numbers in which derivatives are computed many at a time.
pub(crate) trait Logistic: Real {
    /// The derivatives of the loss at a vector of margins. In single precision within 4e-7 of their value, or 2e-38.
    fn slopes<S: Simd>(simd: S, margins: Self::Vector<S>, cut: bool) -> Self::Vector<S>;
}

impl Logistic for f64 {
    #[inline(always)]
    fn slopes<S: Simd>(_: S, mut margins: Self::Vector<S>, cut: bool) -> Self::Vector<S> {
        let lanes: &mut [f64] = pulp::bytemuck::cast_slice_mut(std::slice::from_mut(&mut margins));
        lanes.iter_mut().for_each(|x| *x = slope(*x, cut));
        margins
    }
}

impl Logistic for f32 {
    #[inline(always)]
    fn slopes<S: Simd>(simd: S, margins: Self::Vector<S>, cut: bool) -> Self::Vector<S> {
        let (one, zero) = (simd.splat_f32s(1.0), simd.splat_f32s(0.0));
        let e = exp(simd, simd.min_f32s(margins, simd.splat_f32s(87.0)));
        let slopes = simd.div_f32s(simd.splat_f32s(-1.0), simd.add_f32s(one, e));
        // `min` turns a NaN into a bound.
        let slopes = simd.select_f32s(simd.equal_f32s(margins, margins), slopes, margins);
        if cut {
            let below = simd.less_than_f32s(margins, simd.splat_f32s(LOWEST as f32));
            return simd.select_f32s(below, zero, slopes);
        }
        slopes
    }
}

/// The derivatives at some margins, in place.
#[inline(always)]
pub(super) fn slopes_in_place<T: Logistic, S: Simd>(simd: S, margins: &mut [T], cut: bool) {
    let width = T::width::<S>();
    let whole = margins.len() / width * width;
    let (vectors, rest) = margins.split_at_mut(whole);
    for v in T::vectors_mut::<S>(vectors) {
        *v = T::slopes(simd, *v, cut);
    }
    for x in rest {
        *x = slope_of(simd, *x, cut);
    }
}

/// The derivative at one margin: the same bits as in a vector.
#[inline(always)]
pub(super) fn slope_of<T: Logistic, S: Simd>(simd: S, margin: T, cut: bool) -> T {
    let mut vector = T::splat(simd, margin);
    vector = T::slopes(simd, vector, cut);
    T::first(simd, vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Slopes<'a, T>(&'a mut [T], bool);

    impl<T: Logistic> WithSimd for Slopes<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let one = self.0.iter().map(|&x| slope_of(simd, x, self.1)).collect::<Vec<_>>();
            slopes_in_place(simd, self.0, self.1);
            let same = self.0.iter().zip(&one).all(|(a, b)| a.wide().to_bits() == b.wide().to_bits());
            assert!(same, "alone as among others");
        }
    }

    #[test]
    fn the_slope_is_the_derivative_and_vectors_agree() {
        let margins: Vec<f64> = (-2000..2000).map(|n| f64::from(n) * 0.05).collect();
        for cut in [false, true] {
            let expected: Vec<f64> = margins.iter().map(|&x| slope(x, cut)).collect();
            for (&x, &s) in margins.iter().zip(&expected) {
                let difference = (value(x + 1e-5, cut) - value(x - 1e-5, cut)) / 2e-5;
                assert!((difference - s).abs() < 1e-7 || (x + 80.0).abs() < 0.01, "{x}: {s} {difference}");
            }
            let mut double = margins.clone();
            Arch::new().dispatch(Slopes(&mut double, cut));
            assert_eq!(double, expected);
            let mut single: Vec<f32> = margins.iter().map(|&x| x as f32).collect();
            Arch::new().dispatch(Slopes(&mut single, cut));
            let mut scalar: Vec<f32> = margins.iter().map(|&x| x as f32).collect();
            Slopes(&mut scalar, cut).with_simd(pulp::Scalar);
            assert!(single.iter().zip(&scalar).all(|(a, b)| a.to_bits() == b.to_bits()), "the same on every processor");
            for (&got, &x) in single.iter().zip(&margins) {
                let expected = slope(f64::from(x as f32), cut);
                let error = (f64::from(got) - expected).abs();
                assert!(error <= 4e-7 * expected.abs() + 1e-37, "{x}: {got} {expected}");
            }
        }
    }

    #[test]
    fn ends_and_nan() {
        assert_eq!((slope(-80.0, true), slope(-80.1, true), slope(-1e9, false)), (-1.0, 0.0, -1.0));
        assert_eq!((slope(1e9, true), value(1e9, true), value(-1e9, true)), (-0.0, 0.0, value(-80.0, false)));
        let mut odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        Arch::new().dispatch(Slopes(&mut odd, false));
        assert!(odd[0].is_nan() && odd[1].abs() < 1e-37 && odd[2] == -1.0);
        assert!(value(f64::NAN, true).is_nan() && slope(f64::NAN, true).is_nan());
    }
}
