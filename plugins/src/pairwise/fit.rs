//! Learning factors from pairs, in stages: plain epochs, epochs against an adversary, steps on a fairness loss between.

use super::blocks::{self, Blocks, Tally};
use super::descent::{self, Adversary, Descent};
use super::fair::Fair;
use super::loss::Logistic;
use super::minibatch::Minibatches;
use super::pairs::{Pairs, Pool, Positives};
use super::tables::Tables;
use crate::cells::Smooth;
use crate::precision::Precision;
use evenhand_core::{Error, FairnessLoss, Model, Result, Run, Training, choice};
use nalgebra::DMatrix;
use rand_distr::{Distribution, StandardNormal};

choice! {
    /// Which training rows are likes.
    pub enum Likes {
        /// Those with a value above 0: events, and ratings of any height.
        Rated = "rated",
        /// Those with a value above the threshold of a like.
        Liked = "liked",
    }
}

/// What plain and adversarial training have in common.
pub(crate) struct Plan<'a> {
    /// Who learns, for messages.
    pub(crate) name: &'static str,
    pub(crate) rank: usize,
    pub(crate) item_bias: bool,
    pub(crate) likes: Likes,
    /// Standard deviation of the normal distribution that factors start from, cut off at two of them.
    pub(crate) start: f64,
    pub(crate) pool: Pool,
    pub(crate) candidates: usize,
    pub(crate) rate: f64,
    pub(crate) l2: f64,
    pub(crate) cut: bool,
    pub(crate) precision: Precision,
    /// The loss, its weight beside the mean loss of a pair, and steps on it in an epoch.
    pub(crate) fairness: Option<(&'a dyn FairnessLoss, f64, usize)>,
}

/// Epochs of one kind.
pub(crate) enum Stage {
    /// Stochastic gradient descent.
    Sgd { epochs: usize },
    /// Adagrad on batches.
    Adagrad(Batches),
}

pub(crate) struct Batches {
    pub(crate) epochs: usize,
    pub(crate) size: usize,
    pub(crate) drop_last: bool,
    pub(crate) adversary: Option<Adversary>,
    /// Whether Adagrad forgets the steps of the stages before.
    pub(crate) reset: bool,
}

impl Plan<'_> {
    /// Learns in all stages; starts at `earlier` where there is such a model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] or [`Error::Shape`] for an earlier model that it can not start at, [`Error::Diverged`], those of the
    /// fairness loss, [`Error::Cancelled`].
    pub(crate) fn fit(
        &self,
        stages: &[Stage],
        train: &Training<'_>,
        earlier: Option<&dyn Model>,
        run: &Run,
    ) -> Result<Box<dyn Model>> {
        run.check()?;
        run.install(|| match self.precision {
            Precision::F32 => self.learn::<f32>(stages, train, earlier, run),
            Precision::F64 => self.learn::<f64>(stages, train, earlier, run),
        })
    }

    fn learn<T: Logistic + Smooth>(
        &self,
        stages: &[Stage],
        train: &Training<'_>,
        earlier: Option<&dyn Model>,
        run: &Run,
    ) -> Result<Box<dyn Model>> {
        let positives = match self.likes {
            Likes::Rated => Positives::new(train.ratings, |value| value > 0.0),
            Likes::Liked => Positives::new(train.ratings, |value| train.scale.likes(value)),
        };
        positives.doubt(run);
        let mut at = self.begin::<T>(train, run);
        if let Some(earlier) = earlier {
            self.take_over(earlier, &mut at)?;
        }
        let mut fair = match self.fairness {
            Some((loss, weight, _)) => Some(Fair::new(loss, weight * positives.len() as f64, train, &at, run)?),
            None => None,
        };
        let total = stages.iter().map(Stage::epochs).sum();
        let weight = self.fairness.map_or(1.0, |(_, weight, _)| 1.0 - weight);
        let rule = descent::Rule { l2: self.l2, weight, cut: self.cut };
        let mut descent = Descent::new(self.rate, rule, &at);
        let mut epoch = 0;
        for stage in stages {
            let mut learner = self.learner(stage, &positives, &at, weight, run);
            if let (true, Stage::Adagrad(batches)) = (epoch > 0, stage)
                && batches.reset
            {
                descent.adagrad.reset();
            }
            for _ in 0..stage.epochs() {
                run.step(epoch, total)?;
                self.epoch(&mut learner, epoch, &mut at, &mut descent, fair.as_mut(), run)?;
                at.check_finite(self.name, Some(epoch))?;
                epoch += 1;
            }
        }
        run.observer().progress(total, total);
        Ok(Box::new(at.fitted(self.name, None)?))
    }

    fn learner<'p, T: Logistic>(
        &self,
        stage: &Stage,
        positives: &'p Positives,
        at: &Tables<T>,
        weight: f64,
        run: &Run,
    ) -> Learner<'p> {
        let Self { rate, l2, cut, candidates, pool, .. } = *self;
        match stage {
            Stage::Sgd { .. } => {
                let rule = blocks::Rule { rate, l2, weight, cut, candidates, pool };
                Learner::Blocks(Blocks::new(positives, rule, at, run.streams))
            }
            Stage::Adagrad(Batches { size, drop_last, adversary, .. }) => {
                let pairs = Pairs::new(positives, pool, candidates);
                let users = positives.offsets().len() - 1;
                Learner::Batches(Minibatches::new(pairs, *size, *drop_last, users, run.streams), *adversary)
            }
        }
    }

    fn epoch<T: Logistic + Smooth>(
        &self,
        learner: &mut Learner<'_>,
        epoch: usize,
        at: &mut Tables<T>,
        descent: &mut Descent<T>,
        mut fair: Option<&mut Fair<'_, T>>,
        run: &Run,
    ) -> Result<()> {
        let units = learner.begin(epoch);
        let parts = self.fairness.map_or(1, |(.., steps)| steps);
        let mut tally = Tally::default();
        for part in 0..parts {
            let units = units * part / parts..units * (part + 1) / parts;
            let of_part = match learner {
                Learner::Blocks(blocks) => blocks.learn(at, units, run)?,
                Learner::Batches(batches, adversary) => {
                    let (in_order, pairs) = batches.learn(at, descent, adversary.as_ref(), units, run)?;
                    Tally { in_order, pairs, alone: 0 }
                }
            };
            tally.add(&of_part);
            if let Some(fair) = fair.as_deref_mut() {
                let gradient = fair.evaluate(at, 1.0 / parts as f64, run)?;
                match learner {
                    Learner::Blocks(_) => fair.descend(self.rate, at),
                    Learner::Batches(..) => fair.step(&mut descent.adagrad, at),
                }
                run.observer().figure(epoch, "fairness", gradient);
            }
        }
        let share = if tally.pairs == 0 { 1.0 } else { tally.in_order as f64 / tally.pairs as f64 };
        run.observer().figure(epoch, "pairs-in-order", share);
        Ok(())
    }

    /// Random factors, each row a function of the seed and its own number; biases of 0.
    fn begin<T: Logistic>(&self, train: &Training<'_>, run: &Run) -> Tables<T> {
        let side = |label: &str, entities: usize| {
            let streams = run.streams.child(label);
            let mut factors = DMatrix::zeros(self.rank, entities);
            for (entity, mut column) in factors.column_iter_mut().enumerate() {
                let rng = &mut streams.rng(entity as u64);
                let within = StandardNormal.sample_iter(rng).filter(|x: &f64| x.abs() <= 2.0);
                column.iter_mut().zip(within).for_each(|(to, x)| *to = self.start * x);
            }
            factors
        };
        let (users, items) = (train.ratings.users(), train.ratings.items());
        let biases = if self.item_bias { vec![T::ZERO; items] } else { Vec::new() };
        Tables::new(&side("pairwise/users", users), &side("pairwise/items", items), biases)
    }

    /// Starts where another model of factors has stopped; who is new starts as without it.
    fn take_over<T: Logistic>(&self, earlier: &dyn Model, at: &mut Tables<T>) -> Result<()> {
        let Some(factors) = earlier.factors() else {
            return Err(Error::Unsupported { plugin: earlier.kind().into(), operation: "a warm start from pairs" });
        };
        if factors.latent != self.rank {
            return Err(Error::shape("latent factors of the earlier model", self.rank, factors.latent));
        }
        for (what, rows, side) in [
            ("users of the earlier model", &mut at.users, &factors.users),
            ("items of the earlier model", &mut at.items, &factors.items),
        ] {
            let now = rows.len() / at.width;
            if side.ncols() > now {
                return Err(Error::shape(what, format!("at most {now}"), side.ncols()));
            }
            for (row, column) in rows.chunks_exact_mut(at.width).zip(side.column_iter()) {
                row.iter_mut().zip(column.iter()).take(self.rank).for_each(|(to, &x)| *to = T::of(x.into()));
            }
        }
        // Its own kind of bias: the factor after the latent ones, which is 1 for every user.
        let rank = self.rank;
        if factors.rank() == rank + 1 && factors.users.column_iter().all(|user| user[rank] == 1.0) {
            for (to, item) in at.biases.iter_mut().zip(factors.items.column_iter()) {
                *to = T::of(item[rank].into());
            }
        }
        Ok(())
    }
}

impl Stage {
    fn epochs(&self) -> usize {
        match self {
            Self::Sgd { epochs } => *epochs,
            Self::Adagrad(batches) => batches.epochs,
        }
    }
}

/// Who makes the steps of a stage.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Learner<'a> {
    Blocks(Blocks<'a>),
    Batches(Minibatches<'a>, Option<Adversary>),
}

impl Learner<'_> {
    /// Begins an epoch; returns the number of units that it can be cut into.
    fn begin(&mut self, epoch: usize) -> usize {
        match self {
            Self::Blocks(blocks) => {
                blocks.begin(epoch);
                blocks.rounds()
            }
            Self::Batches(batches, _) => {
                batches.begin(epoch);
                batches.batches
            }
        }
    }
}
