//! A Gaussian belief about one vector, in square-root form.
//!
//! Precision Lambda = U'U with U upper triangular, h = Lambda mu. Rows x with targets y, each of noise precision beta,
//! make it Lambda + beta sum x x' and h + beta sum y x (Bishop, "Pattern recognition and machine learning", 2006, 3.50
//! and 3.51). A draw is mu + U^-1 z with z standard normal. Neither a covariance nor an inverse is formed for any of this.

use super::room::{Observe, Room, Settle, Summary};
use crate::linear::padded;
use evenhand_core::{Error, Result};
use nalgebra::DMatrix;
use pulp::Arch;

/// A Gaussian belief about a vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gaussian {
    rank: usize,
    /// Rows of U, zeros left of the diagonal; then h; then the mean, which follows from these. All padded.
    numbers: Box<[f64]>,
}

/// What became of a belief that can not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// The precision is not positive definite to working precision.
    Definite,
    /// A number is NaN or infinite.
    Finite,
}

impl Gaussian {
    /// A belief with that mean and precision, of which the upper triangle is read.
    ///
    /// # Errors
    /// [`Error::Shape`] for sizes that differ or are 0, [`Error::Unusable`] for a precision that is not positive definite.
    pub fn new(mean: &[f64], precision: &DMatrix<f64>) -> Result<Self> {
        let rank = mean.len();
        if rank == 0 || precision.shape() != (rank, rank) {
            return Err(Error::shape("precision of a belief", format!("{rank} x {rank}, not empty"), {
                format!("{} x {}", precision.nrows(), precision.ncols())
            }));
        }
        let mut belief = Self::zeros(rank);
        let mut room = Room::new(rank);
        let width = room.width;
        for i in 0..rank {
            for j in 0..rank {
                room.gram[i * width + j] = precision[(i.min(j), i.max(j))];
                belief.numbers[rank * width + i] += room.gram[i * width + j] * mean[j];
            }
        }
        match Arch::new().dispatch(Settle { belief: &mut belief, room: &mut room, factor: true }) {
            Ok(()) => Ok(belief),
            Err(lost) => Err(lost.into()),
        }
    }

    /// Mean `mean` in every direction, independent, with that precision.
    pub(super) fn isotropic(rank: usize, mean: f64, precision: f64, room: &mut Room) -> Self {
        let mut belief = Self::zeros(rank);
        let (factor, natural, _) = belief.parts_mut();
        let width = natural.len();
        for j in 0..rank {
            factor[j * width + j] = precision.sqrt();
            natural[j] = precision * mean;
        }
        belief.settle(room);
        belief
    }

    fn zeros(rank: usize) -> Self {
        let width = padded(rank);
        Self { rank, numbers: vec![0.0; (rank + 2) * width].into() }
    }

    /// Length of the vector.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Mean.
    pub fn mean(&self) -> &[f64] {
        &self.padded_mean()[..self.rank]
    }

    /// Precision, the inverse of the covariance.
    pub fn precision(&self) -> DMatrix<f64> {
        let u = DMatrix::from_row_slice(self.rank, padded(self.rank), self.factor());
        let u = u.columns(0, self.rank);
        u.transpose() * u
    }

    /// Covariance.
    pub fn covariance(&self) -> DMatrix<f64> {
        let mut room = Room::new(self.rank);
        self.root_columns(&mut room);
        let root = DMatrix::from_row_slice(self.rank, room.width, &room.rows[..self.rank * room.width]);
        let root = root.columns(0, self.rank);
        root.transpose() * root
    }

    /// Takes in `rows` (one x per column, rank x n) with their `targets`, each observed with that noise precision.
    ///
    /// # Errors
    /// [`Error::Shape`] for sizes that differ or a noise precision that is not above 0 and finite, [`Error::Unusable`] for a
    /// precision that is not positive definite any more, [`Error::Diverged`] for a result that is not finite. Then the belief
    /// stays as it was.
    pub fn observe(&mut self, rows: &DMatrix<f64>, targets: &[f64], noise_precision: f64) -> Result<()> {
        if rows.nrows() != self.rank || rows.ncols() != targets.len() {
            let got = format!("{} x {}", rows.nrows(), rows.ncols());
            return Err(Error::shape("observed rows", format!("{} x {}", self.rank, targets.len()), got));
        }
        if !(noise_precision.is_finite() && noise_precision > 0.0) {
            return Err(Error::shape("noise precision", "above 0 and finite", noise_precision));
        }
        let mut room = Room::new(self.rank);
        let scale = noise_precision.sqrt();
        let mut packed = vec![0.0; targets.len() * room.width];
        for (to, row) in packed.chunks_exact_mut(room.width).zip(rows.column_iter()) {
            to.iter_mut().zip(row.iter()).for_each(|(to, x)| *to = scale * x);
        }
        let weights: Vec<f64> = targets.iter().map(|y| scale * y).collect();
        let mut next = self.clone();
        Arch::new().dispatch(Observe { belief: &mut next, rows: &packed, weights: &weights, room: &mut room })?;
        *self = next;
        Ok(())
    }

    /// A few rows that stand for `n` draws x from the belief: rank x (rank + 1), with the same sum of x x', and the last one
    /// times the root of n is the sum of x. `shift` is z of the mean of the draws, mu + U^-1 z / sqrt(n); `scatter` is A,
    /// upper triangular, of their scatter around it, (U^-1 A)(U^-1 A)'.
    ///
    /// # Errors
    /// [`Error::Shape`] for sizes that do not fit the belief.
    pub fn summary(&self, scatter: &DMatrix<f64>, shift: &[f64], n: usize) -> Result<DMatrix<f64>> {
        let rank = self.rank;
        if scatter.shape() != (rank, rank) || shift.len() != rank {
            let got = format!("{} x {} and {}", scatter.nrows(), scatter.ncols(), shift.len());
            return Err(Error::shape("scatter and shift of the draws", format!("{rank} x {rank} and {rank}"), got));
        }
        let mut room = Room::new(rank);
        for k in 0..rank {
            let row = &mut room.rows[k * room.width..];
            (0..=k).for_each(|j| row[j] = scatter[(j, k)]);
        }
        room.rows[rank * room.width..][..rank].copy_from_slice(shift);
        room.root.of(self);
        Arch::new().dispatch(Summary { belief: self, scale: 1.0, shift: (n as f64).sqrt(), room: &mut room });
        Ok(DMatrix::from_fn(rank, rank + 1, |j, k| room.rows[k * room.width + j]))
    }

    /// The belief's numbers without padding: the upper triangle of U row by row, then h.
    pub(super) fn packed(&self) -> impl Iterator<Item = f64> + '_ {
        let width = padded(self.rank);
        let triangle = (0..self.rank).flat_map(move |i| &self.numbers[i * width + i..i * width + self.rank]);
        triangle.chain(&self.numbers[self.rank * width..][..self.rank]).copied()
    }

    /// How many numbers [`Self::packed`] has.
    pub(super) fn packed_len(rank: usize) -> usize {
        rank * (rank + 3) / 2
    }

    /// The belief with those numbers, as [`Self::packed`] gives them.
    pub(super) fn unpack(rank: usize, packed: &[f64], room: &mut Room) -> Self {
        let mut belief = Self::zeros(rank);
        let (factor, natural, _) = belief.parts_mut();
        let width = natural.len();
        let mut rest = packed;
        for i in 0..rank {
            let (row, after) = rest.split_at(rank - i);
            factor[i * width + i..i * width + rank].copy_from_slice(row);
            rest = after;
        }
        natural[..rank].copy_from_slice(rest);
        belief.settle(room);
        belief
    }

    /// Whether all numbers are finite and the diagonal of U is positive.
    pub(super) fn is_whole(&self) -> bool {
        let width = padded(self.rank);
        self.numbers.iter().all(|x| x.is_finite()) && (0..self.rank).all(|j| self.numbers[j * width + j] > 0.0)
    }

    /// The rows of `room` become those of the transposed root of the covariance, U^-T.
    pub(super) fn root_columns(&self, room: &mut Room) {
        room.root.of(self);
        room.rows.fill(0.0);
        (0..self.rank).for_each(|j| room.rows[j * room.width + j] = 1.0);
        Arch::new().dispatch(Summary { belief: self, scale: 1.0, shift: 0.0, room });
    }

    fn settle(&mut self, room: &mut Room) {
        // What is lost shows in the numbers: see `is_whole`.
        let _ = Arch::new().dispatch(Settle { belief: self, room, factor: false });
    }

    /// Rows of U.
    #[inline(always)]
    pub(super) fn factor(&self) -> &[f64] {
        &self.numbers[..self.rank * padded(self.rank)]
    }

    /// The mean, padded.
    #[inline(always)]
    pub(super) fn padded_mean(&self) -> &[f64] {
        let width = padded(self.rank);
        &self.numbers[(self.rank + 1) * width..]
    }

    /// U, h and the mean.
    #[inline(always)]
    pub(super) fn parts_mut(&mut self) -> (&mut [f64], &mut [f64], &mut [f64]) {
        let width = padded(self.rank);
        let (factor, rest) = self.numbers.split_at_mut(self.rank * width);
        let (natural, mean) = rest.split_at_mut(width);
        (factor, natural, mean)
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Definite => Self::Unusable("the precision of a belief is not positive definite".into()),
            Lost::Finite => Self::Diverged { what: "a belief".into(), step: None },
        }
    }
}
