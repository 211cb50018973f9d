//! Exponentials of many numbers at once.

/// Numbers that are summed side by side, on every processor.
pub(super) const LANES: usize = 8;

/// 1.5 * 2^52: added to a small number, its whole part stands in the lowest bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts, the first with zeros at its end.
const LN2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
/// Below, the result is 0: it would have fewer digits.
const LOWEST: f64 = -708.0;
/// Above, the result is that of this: it would be infinite soon.
const HIGHEST: f64 = 709.0;

/// Every x becomes e^x within two units of the last digit, for x up to 709, above which it is e^709; 0 below -708.
///
/// To be called where the instructions of the processor are chosen. A loop of unknown length: one that is unrolled at once
/// is not made into vectors.
#[inline(always)]
pub(super) fn exp(values: &mut [f64]) {
    for x in values {
        *x = one(*x);
    }
}

#[inline(always)]
fn one(x: f64) -> f64 {
    let bounded = x.clamp(LOWEST, HIGHEST);
    let shifted = bounded.mul_add(std::f64::consts::LOG2_E, SHIFT);
    let whole = shifted - SHIFT;
    let r = whole.mul_add(-LN2[1], whole.mul_add(-LN2[0], bounded));
    // Taylor: with |r| at most ln 2 / 2, what is left out is below 1e-17.
    let mut p: f64 = 1.0 / 6_227_020_800.0;
    p = p.mul_add(r, 1.0 / 479_001_600.0);
    p = p.mul_add(r, 1.0 / 39_916_800.0);
    p = p.mul_add(r, 1.0 / 3_628_800.0);
    p = p.mul_add(r, 1.0 / 362_880.0);
    p = p.mul_add(r, 1.0 / 40_320.0);
    p = p.mul_add(r, 1.0 / 5_040.0);
    p = p.mul_add(r, 1.0 / 720.0);
    p = p.mul_add(r, 1.0 / 120.0);
    p = p.mul_add(r, 1.0 / 24.0);
    p = p.mul_add(r, 1.0 / 6.0);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r, 1.0);
    p = p.mul_add(r, 1.0);
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < LOWEST { 0.0 } else { p * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library() {
        let of = |x: f64| {
            let mut values = [x];
            exp(&mut values);
            values[0]
        };
        let mut x = -707.9;
        while x < 709.0 {
            let (got, expected) = (of(x), f64::exp(x));
            assert!((got - expected).abs() <= 4.5e-16 * expected, "e^{x}: {got}, expected {expected}");
            x += 0.0371;
        }
        assert_eq!(of(0.0), 1.0);
        assert_eq!([-709.0, -1e9, f64::NEG_INFINITY].map(of), [0.0; 3]);
    }
}
