//! Monotone ascent by projected gradients.

/// What is climbed: points, their objective and gradient.
pub(super) trait Hill {
    /// The objective at a point, and what the gradient there needs.
    type Seen;

    /// Looks at a point.
    fn look(&mut self, point: &[f64]) -> Self::Seen;

    /// The objective.
    fn height(seen: &Self::Seen) -> f64;

    /// The gradient at a point that was looked at, and the gap there. May add coordinates of value 0 to the point: see
    /// [`Climb::point`]. `None` where there is no gradient.
    fn gradient(&mut self, point: &mut Vec<f64>, seen: &Self::Seen) -> Option<(Vec<f64>, f64)>;

    /// Whether it is time to end.
    fn exhausted(&self) -> bool;

    /// The point that promises most to first order, where it is to be tried; after [`Self::gradient`] at `point`.
    fn leap(&mut self, point: &[f64]) -> Option<Vec<f64>> {
        let _ = point;
        None
    }

    /// Moves to the nearest point that is allowed.
    fn project(&mut self, point: &mut [f64]);
}

/// Where an ascent ended.
pub(super) struct Climb<S> {
    pub(super) point: Vec<f64>,
    pub(super) seen: S,
    /// Whether the gap, or every step that is still a gain, has become tiny.
    pub(super) converged: bool,
}

/// Share of the gain to first order that a step must bring (Armijo).
const SHARE: f64 = 1e-4;
/// Steps that move no coordinate by more than this are none.
const TINY: f64 = 1e-10;

/// Climbs from `point`, which is allowed, until the gap is at most `tolerance`, relative to an objective above 1.
pub(super) fn climb<H: Hill>(hill: &mut H, point: Vec<f64>, steps: usize, tolerance: f64) -> Climb<H::Seen> {
    let seen = hill.look(&point);
    let mut at = Climb { point, seen, converged: false };
    // Long enough to reach a corner at once; bounded, or projections would lose digits.
    let mut length: Option<f64> = None;
    for _ in 0..steps {
        let Some((gradient, gap)) = hill.gradient(&mut at.point, &at.seen) else { break };
        if hill.exhausted() || !gap.is_finite() {
            break;
        }
        if H::height(&at.seen).is_finite() && gap <= tolerance * H::height(&at.seen).abs().max(1.0) {
            at.converged = true;
            break;
        }
        if let Some(corner) = hill.leap(&at.point) {
            let seen = hill.look(&corner);
            if H::height(&seen) > H::height(&at.seen) {
                (at.point, at.seen) = (corner, seen);
                continue;
            }
        }
        let spread = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
        let mut step = length.unwrap_or(1.0 / spread.max(1e-300)).min(1e6 / spread.max(1e-300));
        let (mut next, mut moved);
        loop {
            next = at.point.clone();
            next.iter_mut().zip(&gradient).for_each(|(x, g)| *x += step * g);
            hill.project(&mut next);
            let gain: f64 = next.iter().zip(&at.point).zip(&gradient).map(|((n, x), g)| (n - x) * g).sum();
            if next.iter().any(|x| !x.is_finite()) {
                return at;
            }
            moved = next.iter().zip(&at.point).fold(0.0, |most: f64, (n, x)| most.max((n - x).abs()));
            if moved <= TINY {
                break;
            }
            let seen = hill.look(&next);
            if H::height(&seen) >= H::height(&at.seen) + SHARE * gain {
                (at.point, at.seen) = (next, seen);
                break;
            }
            step *= 0.5;
        }
        if moved <= TINY {
            at.converged = H::height(&at.seen).is_finite();
            break;
        }
        length = Some(step * 2.0);
    }
    at
}
