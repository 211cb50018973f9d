//! Element by element, in vectors: from raw products z to what a fairness loss sums, and to what flows back.
//!
//! With the prediction `y = squash(z)` and a [`Pointwise`] function f of core:
//! `term = f(y)` and `pull = f'(y) squash'(z)`. In double precision both are those of core; in single precision
//! exponentials are polynomials good to about 1e-7 of their largest value, and skipped where a whole group of cells
//! lies outside the [`BAND`].

use crate::linear::{LANES, Real};
use crate::squash::Squash;
use evenhand_core::fairness::{BAND, Pointwise, Tail};
use pulp::Simd;

/// What is computed from a raw product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// From products to predictions.
    pub(crate) squash: Squash,
    /// From predictions to what is summed.
    pub(crate) of: Pointwise,
}

impl Cell {
    pub(crate) fn term(&self, z: f64) -> f64 {
        self.of.value(self.squash.value(z))
    }

    pub(crate) fn pull(&self, z: f64) -> f64 {
        self.of.slope(self.squash.value(z)) * self.squash.slope(z)
    }
}

/// Cells that are skipped together: as many on every processor, or bits would differ.
const GROUP: usize = 4 * LANES;

/// Numbers of which terms and pulls are computed many at a time. Slices are whole numbers of [`LANES`].
pub(crate) trait Smooth: Real {
    /// `sums += term(z)`.
    fn add_terms<S: Simd>(simd: S, cell: &Cell, z: &[Self], sums: &mut [Self]);

    /// `z` becomes `coefficient * pull(z)`.
    fn pulls<S: Simd>(simd: S, cell: &Cell, coefficient: &[Self], z: &mut [Self]);

    /// The same numbers, where they are in single precision: what a backend of dense products takes.
    fn single(numbers: &[Self]) -> Option<&[f32]>;

    /// As [`Self::single`], to be written.
    fn single_mut(numbers: &mut [Self]) -> Option<&mut [f32]>;
}

impl Smooth for f64 {
    #[inline(always)]
    fn add_terms<S: Simd>(_: S, cell: &Cell, z: &[Self], sums: &mut [Self]) {
        for (sum, z) in sums.iter_mut().zip(z) {
            *sum += cell.term(*z);
        }
    }

    #[inline(always)]
    fn pulls<S: Simd>(_: S, cell: &Cell, coefficient: &[Self], z: &mut [Self]) {
        for (z, c) in z.iter_mut().zip(coefficient) {
            *z = c * cell.pull(*z);
        }
    }

    fn single(_: &[Self]) -> Option<&[f32]> {
        None
    }

    fn single_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Smooth for f32 {
    #[inline(always)]
    fn add_terms<S: Simd>(simd: S, cell: &Cell, z: &[Self], sums: &mut [Self]) {
        let group = GROUP / S::F32_LANES;
        let (z, sums) = (S::as_simd_f32s(z).0, S::as_mut_simd_f32s(sums).0);
        let squash = Constants::new(simd, cell);
        match cell.of {
            Pointwise::Score => {
                for (sum, z) in sums.iter_mut().zip(z) {
                    *sum = simd.add_f32s(*sum, squash.value(simd, *z));
                }
            }
            Pointwise::Exceedance(_) => {
                for (sums, z) in sums.chunks_mut(group).zip(z.chunks(group)) {
                    if squash.nearest(simd, z) < BAND as f32 {
                        for (sum, z) in sums.iter_mut().zip(z) {
                            let t = squash.distance(simd, squash.value(simd, *z));
                            *sum = simd.add_f32s(*sum, squash.exceedance(simd, t));
                        }
                    } else {
                        for (sum, z) in sums.iter_mut().zip(z) {
                            let t = squash.distance(simd, squash.value(simd, *z));
                            *sum = simd.add_f32s(*sum, squash.step(simd, t));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pulls<S: Simd>(simd: S, cell: &Cell, coefficient: &[Self], z: &mut [Self]) {
        let group = GROUP / S::F32_LANES;
        let (coefficient, z) = (S::as_simd_f32s(coefficient).0, S::as_mut_simd_f32s(z).0);
        let squash = Constants::new(simd, cell);
        match cell.of {
            Pointwise::Score => {
                for (z, c) in z.iter_mut().zip(coefficient) {
                    let slope = squash.slope(simd, *z, squash.value(simd, *z));
                    *z = simd.mul_f32s(*c, slope);
                }
            }
            Pointwise::Exceedance(_) => {
                for (z, c) in z.chunks_mut(group).zip(coefficient.chunks(group)) {
                    if squash.nearest(simd, z) < BAND as f32 {
                        for (z, c) in z.iter_mut().zip(c) {
                            let y = squash.value(simd, *z);
                            let density = squash.density(simd, squash.distance(simd, y));
                            let slope = squash.slope(simd, *z, y);
                            *z = simd.mul_f32s(*c, simd.mul_f32s(density, slope));
                        }
                    } else {
                        z.fill(squash.zero);
                    }
                }
            }
        }
    }

    fn single(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }

    fn single_mut(numbers: &mut [Self]) -> Option<&mut [f32]> {
        Some(numbers)
    }
}

/// The constants of a [`Cell`] in vectors.
struct Constants<S: Simd> {
    squash: Squash,
    tail: Tail,
    low: S::f32s,
    high: S::f32s,
    scale: S::f32s,
    shift: S::f32s,
    tau: S::f32s,
    /// 1 / h.
    steepness: S::f32s,
    /// 1 / (h sqrt(2 pi)).
    peak: S::f32s,
    band: S::f32s,
    zero: S::f32s,
    half: S::f32s,
    one: S::f32s,
}

impl<S: Simd> Constants<S> {
    #[inline(always)]
    fn new(simd: S, cell: &Cell) -> Self {
        let (low, high, scale, shift) = match cell.squash {
            Squash::Clamp { low, high, scale, shift } => (low, high, scale, shift),
            Squash::None | Squash::Tanh => (0.0, 0.0, 0.0, 0.0),
        };
        let (tau, bandwidth, tail) = match cell.of {
            Pointwise::Exceedance(e) => (e.tau, e.bandwidth, e.tail),
            Pointwise::Score => (0.0, 1.0, Tail::Gaussian),
        };
        Self {
            squash: cell.squash,
            tail,
            low: simd.splat_f32s(low as f32),
            high: simd.splat_f32s(high as f32),
            scale: simd.splat_f32s(scale as f32),
            shift: simd.splat_f32s(shift as f32),
            tau: simd.splat_f32s(tau as f32),
            steepness: simd.splat_f32s((1.0 / bandwidth) as f32),
            peak: simd.splat_f32s((1.0 / (bandwidth * std::f64::consts::TAU.sqrt())) as f32),
            band: simd.splat_f32s(BAND as f32),
            zero: simd.splat_f32s(0.0),
            half: simd.splat_f32s(0.5),
            one: simd.splat_f32s(1.0),
        }
    }

    #[inline(always)]
    fn value(&self, simd: S, z: S::f32s) -> S::f32s {
        match self.squash {
            Squash::None => z,
            Squash::Clamp { .. } => {
                let clamped = simd.min_f32s(simd.max_f32s(z, self.low), self.high);
                or_nan(simd, z, simd.mul_add_f32s(self.scale, clamped, self.shift))
            }
            Squash::Tanh => {
                let magnitude = simd.abs_f32s(z);
                let e = exp(simd, simd.add_f32s(simd.neg_f32s(magnitude), simd.neg_f32s(magnitude)));
                let y = simd.div_f32s(simd.sub_f32s(self.one, e), simd.add_f32s(self.one, e));
                or_nan(simd, z, simd.select_f32s(simd.less_than_f32s(z, self.zero), simd.neg_f32s(y), y))
            }
        }
    }

    #[inline(always)]
    fn slope(&self, simd: S, z: S::f32s, y: S::f32s) -> S::f32s {
        match self.squash {
            Squash::None => self.one,
            Squash::Clamp { .. } => {
                let below = simd.select_f32s(simd.less_than_f32s(z, self.low), self.zero, self.scale);
                simd.select_f32s(simd.less_than_f32s(self.high, z), self.zero, below)
            }
            Squash::Tanh => simd.mul_add_f32s(simd.neg_f32s(y), y, self.one),
        }
    }

    /// `(tau - y) / h`.
    #[inline(always)]
    fn distance(&self, simd: S, y: S::f32s) -> S::f32s {
        simd.mul_f32s(simd.sub_f32s(self.tau, y), self.steepness)
    }

    /// The smallest distance from the threshold.
    #[inline(always)]
    fn nearest(&self, simd: S, z: &[S::f32s]) -> f32 {
        let mut nearest = simd.splat_f32s(f32::INFINITY);
        for z in z {
            let t = self.distance(simd, self.value(simd, *z));
            nearest = simd.min_f32s(nearest, simd.abs_f32s(t));
        }
        simd.reduce_min_f32s(nearest)
    }

    /// The limit of the exceedance far from the threshold.
    #[inline(always)]
    fn step(&self, simd: S, t: S::f32s) -> S::f32s {
        or_nan(simd, t, simd.select_f32s(simd.less_than_f32s(t, self.zero), self.one, self.zero))
    }

    #[inline(always)]
    fn exceedance(&self, simd: S, t: S::f32s) -> S::f32s {
        let x = simd.abs_f32s(t);
        let tail = match self.tail {
            Tail::Exponential => {
                let slope = simd.mul_add_f32s(simd.splat_f32s(-0.4920), x, simd.splat_f32s(-0.2887));
                exp(simd, simd.mul_add_f32s(slope, x, simd.splat_f32s(-1.1893)))
            }
            Tail::Gaussian => gaussian_tail(simd, x),
        };
        let term = simd.select_f32s(simd.less_than_f32s(t, self.zero), simd.sub_f32s(self.one, tail), tail);
        or_nan(simd, t, simd.select_f32s(simd.equal_f32s(t, self.zero), self.half, term))
    }

    /// `phi(t) / h`; 0 outside the band, where it would become denormal, which is slow.
    #[inline(always)]
    fn density(&self, simd: S, t: S::f32s) -> S::f32s {
        let e = exp(simd, simd.mul_f32s(simd.mul_f32s(simd.neg_f32s(self.half), t), t));
        let inside = simd.less_than_f32s(simd.abs_f32s(t), self.band);
        simd.select_f32s(inside, simd.mul_f32s(e, self.peak), self.zero)
    }
}

/// `y`, but NaN where `x` is: processors differ in what they make of it in a maximum, and comparisons lose it.
#[inline(always)]
fn or_nan<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
}

/// `erfc(x / sqrt 2) / 2` for x >= 0, within 1e-7: Abramowitz & Stegun 1964, 7.1.26.
#[inline(always)]
fn gaussian_tail<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    // 0.3275911 / sqrt 2
    let k = simd.div_f32s(one, simd.mul_add_f32s(simd.splat_f32s(0.231_641_89), x, one));
    let mut sum = simd.splat_f32s(0.5 * 1.061_405_4);
    for a in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = simd.mul_add_f32s(sum, k, simd.splat_f32s(0.5 * a));
    }
    let e = exp(simd, simd.mul_f32s(simd.mul_f32s(simd.splat_f32s(-0.5), x), x));
    simd.mul_f32s(simd.mul_f32s(sum, k), e)
}

/// `e^x` for x <= 88, within two units in the last place; below -87 it stays at `e^-87`, about 1e-38.
///
/// `x = n ln 2 + r` with whole n, and a polynomial for `e^r` (S. Moshier, Cephes, `expf`).
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    let magic = simd.splat_f32s(12_582_912.0);
    let x = simd.max_f32s(x, simd.splat_f32s(-87.0));
    let shifted = simd.mul_add_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(shifted, magic);
    // ln 2 in two parts, the first with few digits: exact products.
    let r = simd.mul_add_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let mut p = simd.splat_f32s(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = simd.mul_add_f32s(p, r, simd.splat_f32s(c));
    }
    let p = simd.mul_add_f32s(simd.mul_f32s(p, r), r, simd.add_f32s(r, simd.splat_f32s(1.0)));
    // The low bits of `shifted` go to the exponent.
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::fairness::Exceedance;
    use pulp::WithSimd;

    const CLAMP: Squash = Squash::Clamp { low: 0.0, high: 5.0, scale: 1.0, shift: 0.0 };

    struct Both<'a> {
        cell: &'a Cell,
        z: &'a [f32],
        coefficient: &'a [f32],
    }

    impl WithSimd for Both<'_> {
        type Output = (Vec<f32>, Vec<f32>);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut sums = vec![0.0; self.z.len()];
            f32::add_terms(simd, self.cell, self.z, &mut sums);
            let mut pulls = self.z.to_vec();
            f32::pulls(simd, self.cell, self.coefficient, &mut pulls);
            (sums, pulls)
        }
    }

    fn cells() -> Vec<Cell> {
        let mut cells = Vec::new();
        for squash in [Squash::None, Squash::Tanh, CLAMP] {
            cells.push(Cell { squash, of: Pointwise::Score });
            for tail in [Tail::Exponential, Tail::Gaussian] {
                let (tau, bandwidth) = if squash == CLAMP { (3.0, 0.01) } else { (0.25, 0.1) };
                cells.push(Cell { squash, of: Pointwise::Exceedance(Exceedance { tau, bandwidth, tail }) });
            }
        }
        cells
    }

    #[test]
    fn single_precision_follows_double() {
        // Near the threshold, at it, across the ends of the clamp, far away.
        let mut z: Vec<f32> = (0..3200).map(|n| -0.9 + n as f32 * 0.002).collect();
        z.extend((0..160).map(|n| 2.9 + n as f32 * 0.00125));
        z.extend([3.0, 0.25, 0.0, -0.0, 5.0, 5.000_001, -1e-7, 40.0, -40.0, 1e4, -1e4, 2.99, 3.01, 3.1, 100.0, -3.0]);
        let coefficient: Vec<f32> = (0..z.len()).map(|n| 1.0 + (n % 7) as f32).collect();
        for cell in cells() {
            let (terms, pulls) = pulp::Arch::new().dispatch(Both { cell: &cell, z: &z, coefficient: &coefficient });
            let peak = match cell.of {
                Pointwise::Score => 1.0,
                Pointwise::Exceedance(e) => 0.4 / e.bandwidth,
            };
            for n in 0..z.len() {
                let at = f64::from(z[n]);
                let (term, pull) = (cell.term(at), f64::from(coefficient[n]) * cell.pull(at));
                // The rounding of y in single precision is as large a step as the threshold's width allows.
                let rounding = 4.0 * f64::from(f32::EPSILON) * (1.0 + at.abs().min(5.0)) * peak;
                let scale = if cell.of == Pointwise::Score { 1.0 + at.abs() } else { 1.0 };
                assert!(
                    (f64::from(terms[n]) - term).abs() < 1e-6 * scale + rounding || jumps(&cell, at),
                    "{cell:?} at {at}: {} and {term}",
                    terms[n]
                );
                assert!(
                    (f64::from(pulls[n]) - pull).abs() < 7.0 * peak * (1e-6 + rounding),
                    "{cell:?} at {at}: {} and {pull}",
                    pulls[n]
                );
            }
        }
    }

    /// Whether rounding can carry a cell across the jump of the exponential tail.
    fn jumps(cell: &Cell, z: f64) -> bool {
        match cell.of {
            Pointwise::Exceedance(e) => e.tail == Tail::Exponential && (cell.squash.value(z) - e.tau).abs() < 1e-6,
            Pointwise::Score => false,
        }
    }

    #[test]
    fn nan_comes_through_to_the_sums() {
        for cell in cells() {
            for at in [0, 70] {
                let mut z = vec![100.0; 80];
                z[at] = f32::NAN;
                let task = || Both { cell: &cell, z: &z, coefficient: &[1.0; 80] };
                for (terms, _) in [pulp::Arch::new().dispatch(task()), task().with_simd(pulp::Scalar)] {
                    let lost: Vec<_> = (0..80).filter(|&n| terms[n].is_nan() != (n == at)).collect();
                    assert!(lost.is_empty(), "{cell:?}: {lost:?}");
                }
            }
        }
    }

    #[test]
    fn all_processors_give_the_same_bits() {
        let z: Vec<f32> = (0..1600).map(|n| -1.0 + n as f32 * 0.004).collect();
        let coefficient = vec![0.5; z.len()];
        for cell in cells() {
            let task = || Both { cell: &cell, z: &z, coefficient: &coefficient };
            let bits = |(a, b): (Vec<f32>, Vec<f32>)| a.into_iter().chain(b).map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(pulp::Arch::new().dispatch(task())), bits(task().with_simd(pulp::Scalar)), "{cell:?}");
        }
    }
}
