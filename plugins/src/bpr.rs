//! Bayesian personalised ranking: factors learned from pairs of an item that is liked and one that is not known to be.
//!
//! ```text
//! L = sum over likes (u, i) and drawn items j of ln(1 + e^-(s_ui - s_uj)) + l2/2 (|P_u|^2 + |Q_i|^2 + |Q_j|^2 + b_i^2 + b_j^2),
//! s_ui = P_u . Q_i + b_i
//! ```
//!
//! - `sgd`: a step after each pair. Users and items are cut into as many blocks each, the items at random and anew for every epoch;
//!   in each of as many rounds every block of users meets another block of items. No two of these meetings share a row, so
//!   threads take them in any order with one result, and their rows stay in the cache. What a like is compared with comes from
//!   its own block of items: over the epochs that is any other item; by `popularity`, items are drawn as often as they are liked
//!   within the block, so none more often than once in as many draws as there are blocks. There are 16 blocks, more for data
//!   that is large, fewer for less than 2,048 items; one, and so one thread, for less than 256.
//! - `adagrad`: a step after each batch, of the sum over its pairs. Adagrad's sums of squares start at 0.1.
//!
//! Rendle, Freudenthaler, Gantner & Schmidt-Thieme 2009, "BPR: Bayesian personalized ranking from implicit feedback", UAI; blocks:
//! Gemulla, Nijkamp, Haas & Sismanis 2011, "Large-scale matrix factorization with distributed stochastic gradient descent", KDD.

use crate::pairwise::{Batches, Likes, Plan, Pool, Stage};
use crate::precision::Precision;
use evenhand_core::{FairnessLoss, Model, Nested, Params, Recommender, Result, Run, Training, choice, plugin};

choice! {
    /// How the loss is made small.
    pub enum Optimiser {
        /// A step of gradient descent after each pair.
        Sgd = "sgd",
        /// A step of Adagrad after each batch.
        Adagrad = "adagrad",
    }
}

plugin! {
    /// Bayesian personalised ranking: factors that order what is liked before the rest, with any fairness loss.
    pub struct Bpr: Recommender = "bpr",
        from "Rendle, Freudenthaler, Gantner & Schmidt-Thieme 2009, BPR: Bayesian personalized ranking from implicit feedback, UAI" {
        /// Length of a factor vector.
        factors: usize = 64, in 1..=1024;
        /// Learn a bias for every item too.
        item_bias: bool = true;
        /// Which training rows are likes.
        likes: Likes = Likes::Rated;
        /// How the loss is made small.
        optimiser: Optimiser = Optimiser::Sgd;
        /// Step length.
        learning_rate: f64 = 0.01, in 0.0..;
        /// Weight of half the squared factors of a pair, and of its item biases.
        l2: f64 = 0.01, in 0.0..;
        /// Passes over all likes.
        epochs: usize = 100, in 1..;
        /// Adagrad: pairs of a batch.
        batch: usize = 512, in 1..=1_048_576;
        /// Adagrad: leave out the likes of an epoch that do not fill a batch, other ones each time.
        drop_last: bool = false;
        /// What a like is compared with.
        negatives: Pool = Pool::Uniform;
        /// Items drawn for each like; the hardest is taken.
        candidates: usize = 1, in 1..=1024;
        /// Count margins below -80 as -80, whose loss has no gradient.
        cut: bool = true;
        /// Standard deviation of the factors at the start.
        start: f64 = 0.001, in 0.0..;
        /// What to be fair about, besides being accurate. A score of 0 counts as the threshold of a like.
        fairness: Option<Nested<dyn FairnessLoss>> = None;
        /// Weight of the fairness loss; the mean loss of a pair has the rest. Without a fairness loss it plays no part.
        lambda: f64 = 0.5, in 0.0..=1.0;
        /// Steps on the fairness loss in an epoch, between the batches or, of `sgd`, the rounds: see [`crate::bpr`].
        fairness_steps: usize = 8, in 1..=1024;
        /// Precision of factors and sums while fitting.
        precision: Precision = Precision::F32;
    }
}

impl Recommender for Bpr {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.check()?;
        self.plan().fit(&[self.stage()], train, None, run)
    }

    /// Starts from the factors of `earlier`; users and items that are new start where they would have started first.
    fn refit(&self, train: &Training<'_>, earlier: &dyn Model, run: &Run) -> Result<Box<dyn Model>> {
        self.check()?;
        self.plan().fit(&[self.stage()], train, Some(earlier), run)
    }
}

impl Bpr {
    fn plan(&self) -> Plan<'_> {
        Plan {
            name: Self::NAME,
            rank: self.factors,
            item_bias: self.item_bias,
            likes: self.likes,
            start: self.start,
            pool: self.negatives,
            candidates: self.candidates,
            rate: self.learning_rate,
            l2: self.l2,
            cut: self.cut,
            precision: self.precision,
            fairness: self.fairness.as_deref().map(|loss| (loss, self.lambda, self.fairness_steps)),
        }
    }

    fn stage(&self) -> Stage {
        match self.optimiser {
            Optimiser::Sgd => Stage::Sgd { epochs: self.epochs },
            Optimiser::Adagrad => Stage::Adagrad(Batches {
                epochs: self.epochs,
                size: self.batch,
                drop_last: self.drop_last,
                adversary: None,
                reset: false,
            }),
        }
    }
}
