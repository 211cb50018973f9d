//! Single steps in double precision, from given factors on given pairs: what training does, for those who want to look at it.

use super::batch::{Batch, Slots, Triples};
use super::descent::{Adversary, Descent, Rule};
use super::tables::Tables;
use super::{Attack, CleanDelta, Direction, Scope};
use evenhand_core::{Error, Result, Streams};
use nalgebra::DMatrix;

/// Factors with the state of Adagrad.
pub struct Stepper {
    at: Tables<f64>,
    descent: Descent<f64>,
    slots: Slots,
    batch: Batch,
    all: Batch,
}

/// Whom a step is made against; see the parameters of [`crate::apr::Apr`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// Direction and length of the perturbation; its length is absolute.
    pub attack: Attack,
    /// Weight of the loss at the perturbed factors.
    pub weight: f64,
    /// Whose loss is raised.
    pub scope: Scope,
    /// Where the loss of the batch is taken.
    pub clean_delta: CleanDelta,
    /// Whether the squared factors are part of the loss that is raised.
    pub attack_l2: bool,
}

impl Stepper {
    /// Before the first step, at factors of users (rank x users) and items (rank x items) without biases. `l2` weighs half the
    /// squared factors of a pair, `cut` cuts margins off at -80.
    ///
    /// # Errors
    /// [`Error::Shape`] where the ranks differ or are 0.
    pub fn new(users: &DMatrix<f64>, items: &DMatrix<f64>, rate: f64, l2: f64, cut: bool) -> Result<Self> {
        if users.nrows() != items.nrows() || users.nrows() == 0 {
            return Err(Error::shape("rank of the item factors", users.nrows().max(1), items.nrows()));
        }
        let at = Tables::new(users, items, Vec::new());
        let descent = Descent::new(rate, Rule { l2, weight: 1.0, cut }, &at);
        let slots = Slots::new(users.ncols(), items.ncols());
        Ok(Self { at, descent, slots, batch: Batch::default(), all: Batch::default() })
    }

    /// One step of Adagrad on `batch`; `all` is what an adversary with [`Scope::Full`] attacks. [`Direction::Random`] draws the same
    /// steps every time.
    ///
    /// # Errors
    /// [`Error::Shape`] for pairs of other lengths or of users and items that do not exist; [`Error::OutOfRange`] for
    /// [`CleanDelta::Stale`] unless the gradient of all pairs is followed: nothing else leaves a perturbation behind; for a
    /// length that is relative, below 0 or not finite.
    pub fn step(&mut self, batch: &Triples, against: Option<&Against>, all: &Triples) -> Result<()> {
        self.take(batch, all)?;
        let adversary = against.map(Against::adversary).transpose()?;
        let rng = &mut Streams::new(0).rng(0);
        self.descent.step(&mut self.at, &self.batch, adversary.as_ref(), &self.all, rng);
        Ok(())
    }

    /// The gradient of the objective on `batch` by the factors of users and items, as [`Self::step`] follows it.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn gradient(&mut self, batch: &Triples, against: Option<&Against>, all: &Triples) -> Result<[DMatrix<f64>; 2]> {
        self.take(batch, all)?;
        let adversary = against.map(Against::adversary).transpose()?;
        self.descent.derive(&self.at, &self.batch, adversary.as_ref(), &self.all, &mut Streams::new(0).rng(0));
        let gradient = &self.descent.gradient.rows;
        let side = |which: &[u32], rows: &[f64], entities: usize| {
            let mut all = DMatrix::zeros(self.at.rank, entities);
            for (&row, from) in which.iter().zip(rows.chunks_exact(self.at.width)) {
                all.column_mut(row as usize).copy_from_slice(&from[..self.at.rank]);
            }
            all
        };
        let [users, items] = self.factors().map(|side| side.ncols());
        Ok([side(&self.batch.users, &gradient.users, users), side(&self.batch.items, &gradient.items, items)])
    }

    /// The perturbation of the factors that raises the loss on `pairs`, which stays for [`CleanDelta::Stale`]. With `attack_l2` the
    /// squared factors of each pair weigh `l2`; in a step they weigh in all as much as those of the batch.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn attack(&mut self, pairs: &Triples, against: &Against) -> Result<[DMatrix<f64>; 2]> {
        if against.attack.direction == Direction::Random {
            return Err(out_of_range("direction", "random", "gradient: chance looks at no pairs"));
        }
        self.take(&Triples::default(), pairs)?;
        self.descent.attack_all(&self.at, &against.adversary()?, &self.all, pairs.len());
        Ok(self.delta())
    }

    /// The last perturbation of all factors; empty where there was none.
    pub fn delta(&self) -> [DMatrix<f64>; 2] {
        let delta = &self.descent.delta;
        if delta.users.is_empty() { Default::default() } else { delta.matrices() }
    }

    /// The factors, one entity per column: users, items.
    pub fn factors(&self) -> [DMatrix<f64>; 2] {
        self.at.matrices()
    }

    /// The sums of squares of Adagrad in the same shape.
    pub fn sums(&self) -> [DMatrix<f64>; 2] {
        self.descent.adagrad.sums.matrices()
    }

    fn take(&mut self, batch: &Triples, all: &Triples) -> Result<()> {
        let [users, items] = self.factors().map(|side| side.ncols());
        for triples in [batch, all] {
            let n = triples.len();
            if [&triples.positives, &triples.negatives].iter().any(|list| list.len() != n) {
                let got = format!("{} and {}", triples.positives.len(), triples.negatives.len());
                return Err(Error::shape("items of the pairs", n, got));
            }
            for (what, list, bound) in [
                ("user index", &triples.users, users),
                ("item index", &triples.positives, items),
                ("item index", &triples.negatives, items),
            ] {
                if let Some(worst) = list.iter().max().filter(|&&m| m as usize >= bound) {
                    return Err(Error::shape(what, format!("below {bound}"), worst));
                }
            }
        }
        self.batch.arrange(batch, &mut self.slots);
        self.all.arrange(all, &mut self.slots);
        Ok(())
    }
}

fn out_of_range(field: &str, value: &str, range: &str) -> Error {
    Error::OutOfRange { plugin: None, field: field.into(), value: value.into(), range: range.into() }
}

impl Against {
    fn adversary(&self) -> Result<Adversary> {
        let remembered = self.attack.direction == Direction::Gradient && self.scope == Scope::Full;
        if self.clean_delta == CleanDelta::Stale && !remembered {
            return Err(out_of_range("clean_delta", "stale", "zero, unless direction = gradient and scope = full"));
        }
        let eps = self.attack.eps;
        if self.attack.relative || !(eps.is_finite() && eps >= 0.0) {
            let what = if self.attack.relative { "relative" } else { "" };
            return Err(out_of_range("eps", format!("{eps} {what}").trim_end(), "an absolute length of 0 or more"));
        }
        Ok(Adversary {
            direction: self.attack.direction,
            eps: self.attack.eps,
            weight: self.weight,
            scope: self.scope,
            clean_delta: self.clean_delta,
            attack_l2: self.attack_l2,
        })
    }
}
