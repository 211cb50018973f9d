//! Adversarial personalised ranking: the loss of [`crate::bpr`] on factors that an adversary moves to raise it.
//!
//! ```text
//! J = L(P, Q) + adversarial_weight L(P + D, Q + D),   D_r = eps G_r / |G_r|,   G the gradient of L
//! ```
//!
//! Plain epochs first, then adversarial ones; Adagrad on batches throughout. D is taken anew for every batch and is a constant for
//! the gradient of J.
//!
//! He, He, Du & Chua 2018, "Adversarial personalized ranking for recommendation", SIGIR. The published notebook (ECIR 2021) raises
//! the loss of all likes for every batch, and takes the plain loss where the step for the batch before has left the factors:
//! preset `notebook`.

use crate::pairwise::{Adversary, Batches, CleanDelta, Direction, Likes, Plan, Pool, Scope, Stage};
use crate::precision::Precision;
use evenhand_core::{Error, FairnessLoss, Model, Nested, Params, Recommender, Result, Run, Training, choice, plugin};

choice! {
    /// Who moves the factors in adversarial epochs.
    pub enum Opponent {
        /// An adversary who knows the gradient.
        Gradient = "gradient",
        /// Chance: steps of the same length in random directions.
        Random = "random",
        /// Nobody: as many plain epochs, the control.
        None = "none",
    }
}

choice! {
    /// What is meant where `scope`, `clean_delta`, `attack_l2` and `optimiser_state` are not given.
    pub enum Preset {
        /// `batch`, `zero`, `false`, `keep`: the paper, without its restart of Adagrad.
        Paper = "paper",
        /// `full`, `stale`, `true`, `keep`: the published notebook.
        Notebook = "notebook",
    }
}

choice! {
    /// What becomes of Adagrad's sums of squares before the adversarial epochs.
    pub enum OptimiserState {
        /// They go on.
        Keep = "keep",
        /// They start again.
        Reset = "reset",
    }
}

plugin! {
    /// Adversarial personalised ranking: factors that order well also where an adversary moves them.
    pub struct Apr: Recommender = "apr",
        from "He, He, Du & Chua 2018, Adversarial personalized ranking for recommendation, SIGIR, arXiv 1808.03908" {
        /// Length of a factor vector.
        factors: usize = 64, in 1..=1024;
        /// Learn a bias for every item too. The adversary leaves it alone.
        item_bias: bool = false;
        /// Which training rows are likes.
        likes: Likes = Likes::Rated;
        /// Step length.
        learning_rate: f64 = 0.05, in 0.0..;
        /// Weight of half the squared factors of a pair, and of its item biases.
        l2: f64 = 0.0, in 0.0..;
        /// Plain passes over all likes.
        epochs: usize = 20, in 0..;
        /// Passes against the adversary after them.
        adversarial_epochs: usize = 20, in 0..;
        /// Who that is.
        adversary: Opponent = Opponent::Gradient;
        /// Length of its step, for every row of factors.
        eps: f64 = 0.5, in 0.0..;
        /// Weight of the loss at the moved factors.
        adversarial_weight: f64 = 1.0, in 0.0..;
        /// Which published version the next four follow where they are not given.
        preset: Preset = Preset::Paper;
        /// Whose loss the adversary raises: that of the batch, or of all likes.
        scope: Option<Scope> = None;
        /// Where the plain loss is taken. `stale` needs the scope `full` and an adversary who knows the gradient: no other step
        /// could go stale, and the preset `notebook` means `zero` with others.
        clean_delta: Option<CleanDelta> = None;
        /// Whether the squared factors are part of the loss that the adversary raises, weighing as much as those of a batch.
        attack_l2: Option<bool> = None;
        /// What becomes of Adagrad's sums of squares before the adversarial epochs.
        optimiser_state: Option<OptimiserState> = None;
        /// Pairs of a batch.
        batch: usize = 512, in 1..=1_048_576;
        /// Leave out the likes of an epoch that do not fill a batch, other ones each time.
        drop_last: bool = false;
        /// What a like is compared with.
        negatives: Pool = Pool::Uniform;
        /// Items drawn for each like; the hardest is taken.
        candidates: usize = 1, in 1..=1024;
        /// Count margins below -80 as -80, whose loss has no gradient.
        cut: bool = true;
        /// Standard deviation of the factors at the start.
        start: f64 = 0.01, in 0.0..;
        /// What to be fair about, besides being accurate. A score of 0 counts as the threshold of a like.
        fairness: Option<Nested<dyn FairnessLoss>> = None;
        /// Weight of the fairness loss; the mean loss of a pair has the rest. Without a fairness loss it plays no part.
        lambda: f64 = 0.5, in 0.0..=1.0;
        /// Steps on the fairness loss in an epoch, between the batches.
        fairness_steps: usize = 8, in 1..=1024;
        /// Precision of factors and sums while fitting.
        precision: Precision = Precision::F32;
    }
}

impl Recommender for Apr {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.plan().fit(&self.stages()?, train, None, run)
    }

    /// Starts from the factors of `earlier`, say of `bpr`; users and items that are new start where they would have started first.
    fn refit(&self, train: &Training<'_>, earlier: &dyn Model, run: &Run) -> Result<Box<dyn Model>> {
        self.plan().fit(&self.stages()?, train, Some(earlier), run)
    }

    /// As many plain epochs in all. What tells adversaries apart has its default there: they share one control.
    fn control(&self) -> Option<Box<dyn Recommender>> {
        if self.adversary == Opponent::None || self.adversarial_epochs == 0 {
            return None;
        }
        let Self { eps, adversarial_weight, preset, scope, clean_delta, attack_l2, .. } = Self::default();
        let adversary = Opponent::None;
        let plain = Self { adversary, eps, adversarial_weight, preset, scope, clean_delta, attack_l2, ..self.clone() };
        Some(Box::new(plain))
    }
}

impl Apr {
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

    fn stages(&self) -> Result<[Stage; 2]> {
        self.check()?;
        let notebook = self.preset == Preset::Notebook;
        let scope = self.scope.unwrap_or(if notebook { Scope::Full } else { Scope::Batch });
        let direction = match self.adversary {
            Opponent::None => None,
            Opponent::Random => Some(Direction::Random),
            Opponent::Gradient => Some(Direction::Gradient),
        };
        let of_preset = match direction {
            Some(Direction::Gradient) if notebook && scope == Scope::Full => CleanDelta::Stale,
            _ => CleanDelta::Zero,
        };
        let clean_delta = self.clean_delta.unwrap_or(of_preset);
        if clean_delta == CleanDelta::Stale && (scope != Scope::Full || direction == Some(Direction::Random)) {
            let (field, value) = ("clean_delta".into(), "stale".into());
            let range = "zero, unless scope = full and adversary = gradient".into();
            return Err(Error::OutOfRange { plugin: Some(Self::NAME.into()), field, value, range });
        }
        let adversary = direction.map(|direction| Adversary {
            direction,
            eps: self.eps,
            weight: self.adversarial_weight,
            scope,
            clean_delta,
            attack_l2: self.attack_l2.unwrap_or(notebook),
        });
        let stage = |epochs, adversary, reset| {
            Stage::Adagrad(Batches { epochs, size: self.batch, drop_last: self.drop_last, adversary, reset })
        };
        let reset = self.optimiser_state == Some(OptimiserState::Reset);
        Ok([stage(self.epochs, None, false), stage(self.adversarial_epochs, adversary, reset)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::params::parameters;

    #[test]
    fn the_control_is_plain_and_shared_by_all_adversaries() {
        let control = |apr: Apr| apr.control().map(|control| parameters(control.as_ref()));
        let plain = control(Apr { epochs: 3, ..Apr::default() }).unwrap();
        assert_eq!((&plain["adversary"], &plain["epochs"]), (&"none".into(), &3.into()));
        let other =
            Apr { epochs: 3, eps: 2.0, preset: Preset::Notebook, adversary: Opponent::Random, ..Apr::default() };
        assert_eq!(control(other), Some(plain));
        assert_eq!(control(Apr { adversary: Opponent::None, ..Apr::default() }), None);
        assert_eq!(control(Apr { adversarial_epochs: 0, ..Apr::default() }), None);
    }
}
