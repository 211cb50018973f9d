//! What one side learns from a rating: the other side's belief, looked at through n random draws.
//!
//! With y the same for all draws x, only G = sum of x x' and s = sum of x count. For x from N(mu, U^-1 U^-T) and n - 1 >= d,
//! G = S + n m m' and s = n m with independent m = mu + U^-1 z / sqrt(n) and S = (U^-1 A)(U^-1 A)', A triangular with
//! standard normal numbers beside the diagonal and roots of chi-square numbers on it (Bartlett 1933). A is upper
//! triangular here, so that U^-1 A is too: d + 1 rows stand for n. The degrees of freedom on the diagonal are n - d + k, k = 0
//! to d - 1.

use super::BayesianLinear;
use super::gaussian::{Gaussian, Lost};
use super::room::{PACK, Room, Root, add_weighted, summarise};
use crate::linear::axpy;
use evenhand_core::{Rng, choice};
use pulp::Simd;
use rand_distr::{ChiSquared, Distribution, StandardNormal};

choice! {
    /// How the draws of the other side's belief are taken into account.
    pub enum Sampling {
        /// All rows are drawn, one by one.
        Iid = "iid",
        /// Their sums are drawn, from the law that they have: a sample mean and a Wishart scatter. With n <= d, as `iid`.
        Wishart = "wishart",
        /// The mean of the rows is drawn; their scatter around it is the expected one.
        MeanDraw = "mean-draw",
    }
}

/// How one rating is learned from.
pub(super) struct Evidence {
    pub(super) rank: usize,
    pub(super) iterations: usize,
    samples: usize,
    /// Root of beta, the noise precision of one draw.
    scale: f64,
    /// Root of tau = n beta.
    whole: f64,
    form: Form,
}

enum Form {
    Rows,
    /// Laws of the squared diagonal of A.
    Wishart(Vec<ChiSquared<f64>>),
    /// The diagonal of A.
    MeanDraw(f64),
}

impl Evidence {
    pub(super) fn of(recipe: &BayesianLinear) -> Self {
        let (rank, samples) = (recipe.factors, recipe.samples);
        let form = match recipe.sampling {
            Sampling::MeanDraw => Form::MeanDraw((samples as f64 - 1.0).sqrt()),
            Sampling::Wishart if samples > rank => {
                let freedom = (0..rank).map(|k| (samples - rank + k) as f64);
                Form::Wishart(freedom.map(|n| ChiSquared::new(n).expect("n is above 0")).collect())
            }
            Sampling::Wishart | Sampling::Iid => Form::Rows,
        };
        let scale = (recipe.tau / samples as f64).sqrt();
        Self { rank, iterations: recipe.iterations, samples, scale, whole: recipe.tau.sqrt(), form }
    }

    /// `own` takes in that its product with the other side was `value`. The root of `other` is given, that of `own` is left.
    #[inline(always)]
    pub(super) fn update<S: Simd>(
        &self,
        simd: S,
        (own, own_root): (&mut Gaussian, &mut Root),
        (other, other_root): (&Gaussian, &Root),
        value: f64,
        rng: &mut Rng,
        room: &mut Room,
    ) -> Result<(), Lost> {
        let (rank, width) = (self.rank, room.width);
        room.begin(simd, own);
        if let Form::Rows = self.form {
            room.weights.fill(self.scale * value);
            for first in (0..self.samples).step_by(PACK) {
                let count = PACK.min(self.samples - first);
                let rows = &mut room.rows[..count * width];
                draw_rows(rng, rank, width, rows);
                other_root.colour(simd, rank, self.scale, false, rows);
                for row in rows.chunks_exact_mut(width) {
                    axpy(simd, self.scale, other.padded_mean(), row);
                }
                add_weighted(simd, own, rows, &room.weights[..count]);
                room.add(simd, count);
            }
        } else {
            self.draw_summary(rng, width, &mut room.rows);
            let rows = &mut room.rows[..(rank + 1) * width];
            summarise(simd, other, other_root, self.scale, self.whole, rows);
            add_weighted(simd, own, &rows[rank * width..], &[self.whole * value]);
            room.add(simd, rank + 1);
        }
        room.finish(simd, own, own_root)
    }

    /// Rows of A' and z.
    #[inline(never)]
    fn draw_summary(&self, rng: &mut Rng, width: usize, rows: &mut [f64]) {
        let rank = self.rank;
        for k in 0..rank {
            let row = &mut rows[k * width..][..width];
            match &self.form {
                Form::Wishart(spread) => {
                    row[..k].iter_mut().for_each(|x| *x = StandardNormal.sample(rng));
                    row[k] = spread[k].sample(rng).sqrt();
                }
                Form::MeanDraw(diagonal) => {
                    row[..k].fill(0.0);
                    row[k] = *diagonal;
                }
                Form::Rows => unreachable!("rows are drawn by `draw_rows`"),
            }
        }
        rows[rank * width..][..rank].iter_mut().for_each(|x| *x = StandardNormal.sample(rng));
    }
}

/// Standard normal rows.
#[inline(never)]
pub(super) fn draw_rows(rng: &mut Rng, rank: usize, width: usize, rows: &mut [f64]) {
    for row in rows.chunks_exact_mut(width) {
        row[..rank].iter_mut().for_each(|x| *x = StandardNormal.sample(rng));
    }
}

#[cfg(test)]
pub(super) mod tests;
