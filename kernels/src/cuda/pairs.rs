//! Steps on the pairwise ranking loss of user and item factors that stay on the device, alone or against an adversary:
//! what the plugins `bpr` and `apr` do in batches, in single precision.
//!
//! ```text
//! J = weight (sum over pairs l(x) + l2/2 (|P_u|^2 + |Q_i|^2 + |Q_j|^2)  +  a sum over pairs l(x at P + D, Q + D))
//! l(x) = ln(1 + e^-x),  x = P_u . (Q_i - Q_j) + b_i - b_j
//! ```
//!
//! D is the step of length eps of every row along the gradient of the loss. Rendle et al. 2009, "BPR: Bayesian
//! personalized ranking from implicit feedback"; He, He, Du & Chua 2018, "Adversarial personalized ranking for
//! recommendation".
//!
//! A step takes three launches: margins and their derivatives, a group of lanes a pair; the gradient of each row of the
//! batch, a warp a row, which sums over its pairs in registers; the update of these rows. Each row is read for the
//! gradients of others, so no update is part of the second launch: it would save writing and reading a gradient for
//! each row of the items, and cost a launch more, as rows of the users would have to wait for it. An adversary takes
//! two or three launches more; against the loss of the batch its steps are found as the gradient is. Nothing is
//! scattered and nothing is added atomically: the same steps give the same bits.
//!
//! The plugins compute on the CPU all the same. Batches there have 512 pairs. With 64 factors such a step reads 6 rows
//! of 256 bytes for each pair: 0.8 MB, or 0.3 us at the 3 TB/s of an H100's memory, and less from its cache. But three
//! launches and a copy of the lists take about 20 us, in which one core of a CPU computes 6 x 64 multiply-adds for each
//! of 512 pairs, too (40 ns a pair), while others arrange the next batch. Lists take 24 bytes a pair: at 10 GB/s their
//! copy takes 2.4 ns a pair, looking through them on the host twice as much, and the device's work 0.5 to 1 ns. So 8 ns
//! a pair are set against 40: the device gains from about 600 pairs on, is twice as fast as the core from 1,700 on and
//! at most 5 times, which several cores are as well. It would pay in batches of 10,000 pairs and more that are arranged
//! on the device. All of this is estimated, not measured.

mod batch;
mod launches;

pub use batch::Batch;

use super::fault::Fault;
use super::held::Lent;
use super::{Cuda, bring_context};
use cudarc::driver::CudaSlice;
use evenhand_core::{Error, Result};
use launches::{Attack, MOVED_ROWS, Margins, Rows, STEPS_OF_ALL, Setting, Shape};
use nalgebra::DMatrix;

pub(in crate::cuda) use launches::{PairGradients, PairMargins, PairMoved, PairUpdate};

/// Largest number of factors.
pub const MOST_FACTORS: usize = 1024;

/// Factors of users and items, or sums of squares of the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// Rank x users.
    pub users: DMatrix<f32>,
    /// Rank x items.
    pub items: DMatrix<f32>,
    /// One of each item, if items have biases.
    pub biases: Option<Vec<f32>>,
}

/// How steps follow a gradient g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Descent {
    /// `a += g^2`, `x -= rate g / sqrt(a + 1e-7)`.
    Adagrad {
        /// Length of a step at a gradient that is always the same.
        rate: f32,
        /// What a is at the beginning.
        start: f32,
    },
    /// `x -= rate g`.
    Plain {
        /// Length of a step at a gradient of 1.
        rate: f32,
    },
}

/// What steps lead to, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How they follow the gradient.
    pub descent: Descent,
    /// Weight of half the squared factors and biases of a pair.
    pub l2: f32,
    /// Weight of all of the objective, beside other ones.
    pub weight: f32,
    /// Whether margins below -80 count as -80, so that they have no gradient.
    pub cut: bool,
}

impl Rule {
    fn check(&self) -> Result<()> {
        let (rate, start) = match self.descent {
            Descent::Adagrad { rate, start } => (rate, start),
            Descent::Plain { rate } => (rate, 0.0),
        };
        let numbers = [("rate", rate), ("start", start), ("l2", self.l2), ("weight", self.weight)];
        numbers.into_iter().try_for_each(|(field, value)| check_number(field, value))
    }
}

fn check_number(field: &str, value: f32) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let range = "0 or more, finite".into();
    Err(Error::OutOfRange { plugin: None, field: field.into(), value: value.to_string(), range })
}

/// Whom a step is made against. Steps of an adversary move factors alone, no biases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adversary<'a> {
    /// Length of the step of every row; at least 0.
    pub eps: f32,
    /// Weight of the loss at the moved factors.
    pub weight: f32,
    /// Whether the loss that is raised has the squared factors, too.
    pub l2: bool,
    /// The pairs whose loss is raised, if it is not that of the batch.
    pub all: Option<&'a Batch<'a>>,
    /// Whether the loss that is not the adversary's is taken at the factors moved by the last steps against
    /// [`Self::all`], if there were any.
    pub stale: bool,
}

/// Factors on the device that learn from pairs.
#[derive(Debug)]
pub struct Pairs<'c> {
    at: Setting<'c>,
    /// Rows of the users, then of the items, filled up with zeros.
    numbers: CudaSlice<f32>,
    biases: CudaSlice<f32>,
    /// Sums of squared derivatives.
    squares: CudaSlice<f32>,
    bias_squares: CudaSlice<f32>,
    /// Steps of all rows, after an attack on all pairs.
    steps: Option<CudaSlice<f32>>,
    /// Those of the last step.
    margins: Option<Margins>,
    /// The memory of factors, biases and their sums.
    _lent: Lent,
}

impl Drop for Pairs<'_> {
    fn drop(&mut self) {
        bring_context(&self.at.cuda.stream);
    }
}

impl<'c> Pairs<'c> {
    /// Before the first step, at factors of rank x users and rank x items, which are copied to the device.
    ///
    /// # Errors
    /// [`Error::Shape`] where the ranks differ or are not from 1 to [`MOST_FACTORS`], or where there is not
    /// one bias for each item; [`Error::OutOfRange`] for a rule with negative or other than finite numbers;
    /// [`Error::Device`] where memory is short or the device fails.
    pub fn new(cuda: &'c Cuda, tables: &Tables, rule: Rule) -> Result<Self> {
        let shape = Shape::of(tables)?;
        rule.check()?;
        let adagrad = matches!(rule.descent, Descent::Adagrad { .. });
        let sum = if let Descent::Adagrad { start, .. } = rule.descent { start } else { 0.0 };
        let (len, biases) = (shape.numbers(), if shape.biased { shape.items } else { 1 });
        let bytes = size_of::<f32>() * (len + biases) * if adagrad { 2 } else { 1 };
        let lent = cuda.with_room(|held| held.lend(bytes)).map_err(|fault| cuda.error(fault))?;
        let at = Setting { cuda, shape, rule };
        let upload = || -> Result<_, Fault> {
            let upload = |numbers: &[f32]| cuda.stream.clone_htod(numbers);
            let sums = |len: usize| upload(&vec![sum; if adagrad { len } else { 1 }]);
            let numbers = upload(&shape.rows(tables))?;
            let own = upload(tables.biases.as_deref().filter(|_| biases > 0).unwrap_or(&[0.0]))?;
            Ok((numbers, own, sums(len.max(1))?, sums(biases.max(1))?))
        };
        let (numbers, biases, squares, bias_squares) = upload().map_err(|fault| cuda.error(fault))?;
        Ok(Self { at, numbers, biases, squares, bias_squares, steps: None, margins: None, _lent: lent })
    }

    /// One step on `batch`, against `adversary` if there is one. Does not wait for the device. What runs away becomes
    /// infinite or NaN in the tables.
    ///
    /// # Errors
    /// [`Error::Shape`] for lists that do not fit together or name users and items that do not exist;
    /// [`Error::OutOfRange`] for an adversary with negative or other than finite numbers; [`Error::Device`] where
    /// memory is short or the device fails, after which the factors are no longer of use.
    pub fn step(&mut self, batch: &Batch<'_>, adversary: Option<&Adversary<'_>>) -> Result<()> {
        let Shape { users, items, .. } = self.at.shape;
        batch.check(users, items)?;
        if let Some(adversary) = adversary {
            check_number("eps", adversary.eps)?;
            check_number("weight", adversary.weight)?;
            adversary.all.map_or(Ok(()), |all| all.check(users, items))?;
        }
        let cuda = self.at.cuda;
        cuda.alone(|_| self.launch(batch, adversary)).map_err(|fault| cuda.error(fault))
    }

    /// The margins of the pairs of the last step and their losses, where those that are not the adversary's were taken;
    /// none before the first step.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn margins(&self) -> Result<[Vec<f32>; 2]> {
        let Some(last) = &self.margins else { return Ok(Default::default()) };
        Ok([self.at.download(&last.margins, last.pairs)?, self.at.download(&last.losses, last.pairs)?])
    }

    /// The factors and biases.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn tables(&self) -> Result<Tables> {
        self.at.tables(&self.numbers, &self.biases)
    }

    /// The sums of squares of Adagrad; `None` without it.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn squares(&self) -> Result<Option<Tables>> {
        let adagrad = matches!(self.at.rule.descent, Descent::Adagrad { .. });
        adagrad.then(|| self.at.tables(&self.squares, &self.bias_squares)).transpose()
    }

    fn launch(&mut self, batch: &Batch<'_>, adversary: Option<&Adversary<'_>>) -> Result<(), Fault> {
        let Self { at, numbers, biases, steps, .. } = self;
        let (lists, all) = (at.lists(batch)?, Rows::All(numbers));
        let mut gradient = at.gradient(&lists)?;
        let stale = adversary.is_some_and(|adversary| adversary.stale);
        let moved = match (&steps, stale) {
            (Some(steps), true) => Some(at.moved(numbers, steps, &lists)?),
            _ => None,
        };
        let clean = moved.as_ref().map_or(all, Rows::Moved);
        let margins = at.margins(clean, biases, &lists)?;
        match adversary {
            None => at.gradients(clean, &lists, &margins, None, &mut gradient, None)?,
            Some(adversary) => {
                let pull = if adversary.l2 { at.rule.l2 } else { 0.0 };
                let moved = if let Some(pairs) = adversary.all {
                    at.gradients(clean, &lists, &margins, None, &mut gradient, None)?;
                    // The squared factors weigh as much as those of the batch.
                    let pull = pull * (batch.len() as f64 / pairs.len().max(1) as f64) as f32;
                    let mut to = at.cuda.stream.alloc_zeros(at.shape.numbers().max(1))?;
                    let lists_of_all = at.lists(pairs)?;
                    let margins = at.margins(all, biases, &lists_of_all)?;
                    let attack = Attack { kind: STEPS_OF_ALL, eps: adversary.eps, pull, to: &mut to };
                    let mut of_all = at.gradient(&lists_of_all)?;
                    at.gradients(all, &lists_of_all, &margins, None, &mut of_all, Some(attack))?;
                    let moved = at.moved(numbers, &to, &lists)?;
                    *steps = Some(to);
                    moved
                } else {
                    let mut to = at.cuda.room((lists.slots() * at.shape.width()).max(1))?;
                    let attack = Attack { kind: MOVED_ROWS, eps: adversary.eps, pull, to: &mut to };
                    at.gradients(clean, &lists, &margins, None, &mut gradient, Some(attack))?;
                    to
                };
                let moved = Rows::Moved(&moved);
                let margins = at.margins(moved, biases, &lists)?;
                at.gradients(moved, &lists, &margins, Some(adversary.weight), &mut gradient, None)?;
            }
        }
        self.margins = Some(margins);
        self.update(&lists, &gradient)
    }
}
