//! Learning factors from pairs, in stages: plain epochs, epochs against an adversary, steps on a fairness loss between.

use super::blocks::{self, Blocks, Tally};
use super::descent::{self, Adversary, CleanDelta, Descent};
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
use std::ops::Range;

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
        }?;
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
        let mut descent = None;
        let (mut epoch, mut alone) = (0, 0);
        for stage in stages.iter().filter(|stage| stage.epochs() > 0) {
            let mut learner = self.learner(stage, &positives, &at, weight, descent.take(), run);
            if let (Learner::Batches(batches), Stage::Adagrad(Batches { reset, .. })) = (&mut learner, stage) {
                batches.enter(&at, *reset && epoch > 0);
            }
            for _ in 0..stage.epochs() {
                run.step(epoch, total)?;
                alone += self.epoch(&mut learner, epoch, &mut at, fair.as_mut(), run)?;
                at.check_finite(self.name, epoch)?;
                learner.finish(self.name, epoch)?;
                epoch += 1;
            }
            descent = learner.into_descent();
        }
        if alone > 0 {
            let text = "likes of users who like their whole block of items, over all epochs, and were passed over";
            run.observer().note(&format!("{text}: {alone}"));
        }
        run.observer().progress(total, total);
        Ok(Box::new(at.fitted(self.name)?))
    }

    /// Who makes the steps of a stage; with Adagrad, from where `descent` has left off.
    fn learner<'p, T: Logistic>(
        &self,
        stage: &Stage,
        positives: &'p Positives,
        at: &Tables<T>,
        weight: f64,
        descent: Option<Descent<T>>,
        run: &Run,
    ) -> Learner<'p, T> {
        let Self { rate, l2, cut, candidates, pool, .. } = *self;
        match stage {
            Stage::Sgd { .. } => {
                let rule = blocks::Rule { rate, l2, weight, cut, candidates, pool };
                Learner::Blocks(Blocks::new(positives, rule, at, run.streams))
            }
            Stage::Adagrad(Batches { size, drop_last, adversary, .. }) => {
                let pairs = Pairs::new(positives, pool, candidates);
                let users = positives.offsets().len() - 1;
                let batches = Minibatches::new(pairs, *size, *drop_last, users, run.streams);
                let new = || Descent::new(rate, descent::Rule { l2, weight, cut }, at);
                let descent = descent.unwrap_or_else(new);
                Learner::Batches(Adversarial { batches, descent, adversary: *adversary })
            }
        }
    }

    /// Learns for an epoch; returns the likes that were passed over.
    fn epoch<T: Logistic + Smooth>(
        &self,
        learner: &mut Learner<'_, T>,
        epoch: usize,
        at: &mut Tables<T>,
        mut fair: Option<&mut Fair<'_, T>>,
        run: &Run,
    ) -> Result<usize> {
        let units = learner.begin(epoch);
        let parts = self.fairness.map_or(1, |(.., steps)| steps);
        let mut tally = Tally::default();
        let mut unfair = None;
        for part in 0..parts {
            let units = units * part / parts..units * (part + 1) / parts;
            tally.add(&learner.learn(at, units, run)?);
            if let Some(fair) = fair.as_deref_mut() {
                unfair = Some(fair.evaluate(at, 1.0 / parts as f64, run)?);
                match learner {
                    Learner::Blocks(_) => fair.descend(self.rate, at),
                    Learner::Batches(batches) => fair.step(&mut batches.descent.adagrad, at),
                }
            }
        }
        if let Some(value) = unfair {
            run.observer().figure(epoch, "fairness", value);
        }
        if tally.pairs > 0 {
            run.observer().figure(epoch, "pairs-in-order", tally.in_order as f64 / tally.pairs as f64);
        }
        Ok(tally.alone)
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
        // Its own kind of bias: the factor after the latent ones, which is 1 for every user. Others would be lost.
        let rank = self.rank;
        let biased = factors.rank() == rank + 1 && factors.users.column_iter().all(|user| user[rank] == 1.0);
        if factors.rank() > rank && !(biased && self.item_bias) {
            let expected = if self.item_bias { "none or item biases" } else { "none" };
            let got = format!("{}{}", factors.rank() - rank, if biased { ", item biases" } else { "" });
            return Err(Error::shape("factors of the earlier model besides the latent ones", expected, got));
        }
        if biased {
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
enum Learner<'a, T> {
    Blocks(Blocks<'a>),
    Batches(Adversarial<'a, T>),
}

/// Steps of Adagrad on batches, perhaps against an adversary.
struct Adversarial<'a, T> {
    batches: Minibatches<'a>,
    descent: Descent<T>,
    adversary: Option<Adversary>,
}

impl<T: Logistic> Adversarial<'_, T> {
    /// Before the first epoch of a stage.
    fn enter(&mut self, at: &Tables<T>, reset: bool) {
        if reset {
            self.descent.adagrad.reset();
        }
        // The published notebook attacks before it defends, so that its first batch meets a step that is stale.
        if let Some(adversary) = self.adversary.filter(|a| a.clean_delta == CleanDelta::Stale) {
            self.batches.attack(at, &mut self.descent, &adversary);
        }
    }
}

impl<T: Logistic> Learner<'_, T> {
    /// Begins an epoch; returns the number of units that it can be cut into.
    fn begin(&mut self, epoch: usize) -> usize {
        match self {
            Self::Blocks(blocks) => {
                blocks.begin(epoch);
                blocks.rounds()
            }
            Self::Batches(Adversarial { batches, .. }) => {
                batches.begin(epoch);
                batches.batches
            }
        }
    }

    fn learn(&mut self, at: &mut Tables<T>, units: Range<usize>, run: &Run) -> Result<Tally> {
        match self {
            Self::Blocks(blocks) => blocks.learn(at, units, run),
            Self::Batches(Adversarial { batches, descent, adversary }) => {
                let (in_order, pairs) = batches.learn(at, descent, adversary.as_ref(), units, run)?;
                Ok(Tally { in_order, pairs, alone: 0 })
            }
        }
    }

    /// Ends an epoch: the published notebook takes its adversary's step back then.
    ///
    /// # Errors
    /// [`Error::Diverged`] where a sum of squares has overflowed, after which no step would be made.
    fn finish(&mut self, of: &str, epoch: usize) -> Result<()> {
        let Self::Batches(Adversarial { descent, .. }) = self else { return Ok(()) };
        descent.forget_attack();
        descent.adagrad.sums.check_finite(of, epoch)
    }

    fn into_descent(self) -> Option<Descent<T>> {
        match self {
            Self::Blocks(_) => None,
            Self::Batches(Adversarial { descent, .. }) => Some(descent),
        }
    }
}
