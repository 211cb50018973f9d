//! A step of Adagrad on a batch of pairs, alone or against an adversary.
//!
//! ```text
//! J = sum over pairs l(s_ui - s_uj) + l2/2 (|P_u|^2 + |Q_i|^2 + |Q_j|^2)  +  weight sum over pairs l of the same at P + D, Q + D
//! ```
//!
//! The perturbation D is what [`super::Attack`] does to the parameters of the moment, and a constant for the gradient. He et al.
//! 2018, equations 6 to 9. The published sum over pairs has a mean of the squares over pairs and factors instead: with B pairs of
//! rank d, `l2 = 2 reg / (B d)`. So beside the sum over all A pairs, where the adversary attacks these, the squares weigh no more
//! than beside that over a batch: `l2 B / A` for each pair.

use super::adagrad::Adagrad;
use super::attack::{Direction, Moved, Normalise, Steps};
use super::batch::{Batch, Triples};
use super::gradient::{Among, Gradient};
use super::loss::Logistic;
use super::tables::Tables;
use crate::linear::{Real, axpy, dot};
use evenhand_core::{Rng, choice};
use pulp::{Arch, Simd, WithSimd};
use rand_distr::{Distribution, StandardNormal};

choice! {
    /// The pairs whose loss the adversary raises.
    pub enum Scope {
        /// Those of the batch being learned.
        Batch = "batch",
        /// All of them, with other items drawn anew for every batch.
        Full = "full",
    }
}

choice! {
    /// Where the loss that is not the adversary's is taken.
    pub enum CleanDelta {
        /// At the parameters.
        Zero = "zero",
        /// At the parameters moved by the adversary's step for the batch before, as the published notebook does.
        Stale = "stale",
    }
}

/// How a step is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Weight of half the squared factors of a pair.
    pub(super) l2: f64,
    /// Weight of all of the objective, beside a fairness loss.
    pub(super) weight: f64,
    /// Whether margins below -80 count as -80.
    pub(super) cut: bool,
}

/// Whom a step is made against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adversary {
    pub(crate) direction: Direction,
    /// Length of the step of every row.
    pub(crate) eps: f64,
    /// Weight of the loss at the moved parameters.
    pub(crate) weight: f64,
    pub(crate) scope: Scope,
    pub(crate) clean_delta: CleanDelta,
    /// Whether the adversary's loss has the squared factors too.
    pub(crate) attack_l2: bool,
}

impl Adversary {
    /// Whether the steps of all rows come from the loss of all pairs.
    pub(super) fn looks_at_all(&self) -> bool {
        self.direction == Direction::Gradient && self.scope == Scope::Full
    }
}

/// Adagrad, and room for what a step needs.
pub(super) struct Descent<T> {
    pub(super) adagrad: Adagrad<T>,
    rule: Rule,
    pub(super) gradient: Gradient<T>,
    pub(super) adversarial: Gradient<T>,
    /// Steps of the rows of a batch, by slot.
    steps: Tables<T>,
    /// Moved rows of a batch, by slot.
    moved: Tables<T>,
    /// Steps of all rows, where the adversary looks at all pairs.
    pub(super) delta: Tables<T>,
}

impl<T: Logistic> Descent<T> {
    pub(super) fn new(rate: f64, rule: Rule, at: &Tables<T>) -> Self {
        Self {
            adagrad: Adagrad::new(rate, at),
            rule,
            gradient: Gradient::default(),
            adversarial: Gradient::default(),
            steps: Tables::default(),
            moved: Tables::default(),
            delta: Tables::default(),
        }
    }

    /// One step on `batch`; `all` are the pairs that an adversary with scope `full` looks at. Returns the number of pairs in
    /// the right order where the loss that is not the adversary's was taken.
    pub(super) fn step(
        &mut self,
        at: &mut Tables<T>,
        batch: &Batch,
        adversary: Option<&Adversary>,
        all: &Batch,
        rng: &mut Rng,
    ) -> usize {
        self.derive(at, batch, adversary, all, rng);
        let step = Step { adagrad: &mut self.adagrad, at, batch, gradient: &self.gradient.rows };
        Arch::new().dispatch(step);
        self.gradient.in_order
    }

    /// The gradient of the objective on `batch` goes to `self.gradient`.
    pub(super) fn derive(
        &mut self,
        at: &Tables<T>,
        batch: &Batch,
        adversary: Option<&Adversary>,
        all: &Batch,
        rng: &mut Rng,
    ) {
        let (arch, rule) = (Arch::new(), self.rule);
        // Without a step before there is none that could be stale.
        if adversary.is_some_and(|a| a.clean_delta == CleanDelta::Stale) && !self.delta.users.is_empty() {
            self.displace(arch, at, batch, true);
            self.gradient.compute(arch, batch, &self.moved, at, rule.cut);
        } else {
            self.gradient.compute(arch, batch, &Among { all: at, batch }, at, rule.cut);
        }
        if let Some(adversary) = adversary {
            let of_all = adversary.looks_at_all();
            if of_all {
                self.attack_all(at, adversary, all, batch.len());
            } else {
                self.attack_batch(arch, at, batch, adversary, rng);
            }
            self.displace(arch, at, batch, of_all);
            self.adversarial.compute(arch, batch, &self.moved, at, rule.cut);
            let (from, to) = (&self.adversarial.rows, &mut self.gradient.rows);
            arch.dispatch(Add { weight: T::of(adversary.weight), from, to });
        }
        if rule.l2 > 0.0 {
            arch.dispatch(Shrink { weight: T::of(rule.l2), at, batch, to: &mut self.gradient.rows });
        }
        if rule.weight != 1.0 {
            let weight = T::of(rule.weight);
            let rows = &mut self.gradient.rows;
            [&mut rows.users, &mut rows.items, &mut rows.biases].into_iter().flatten().for_each(|g| *g = weight * *g);
        }
    }

    /// The steps of the adversary for the rows of a batch, from the gradient that is there, or at random.
    fn attack_batch(&mut self, arch: Arch, at: &Tables<T>, batch: &Batch, adversary: &Adversary, rng: &mut Rng) {
        let Self { steps, gradient, .. } = self;
        (steps.rank, steps.width) = (at.rank, at.width);
        steps.users.clone_from(&gradient.rows.users);
        steps.items.clone_from(&gradient.rows.items);
        if adversary.direction == Direction::Random {
            for row in steps.users.chunks_exact_mut(at.width).chain(steps.items.chunks_exact_mut(at.width)) {
                row[..at.rank].iter_mut().for_each(|x| *x = T::of(StandardNormal.sample(rng)));
            }
        } else if adversary.attack_l2 && self.rule.l2 > 0.0 {
            arch.dispatch(Shrink { weight: T::of(self.rule.l2), at, batch, to: steps });
        }
        for rows in [&mut steps.users, &mut steps.items] {
            arch.dispatch(Normalise { eps: T::of(adversary.eps), width: at.width, rows });
        }
    }

    /// The steps of the adversary against the loss of the pairs `all`, for all rows. The squared factors weigh in it as much as
    /// those of `pairs` pairs do.
    pub(super) fn attack_all(&mut self, at: &Tables<T>, adversary: &Adversary, all: &Batch, pairs: usize) {
        let arch = Arch::new();
        let gradient = &mut self.adversarial;
        gradient.compute(arch, all, &Among { all: at, batch: all }, at, self.rule.cut);
        if adversary.attack_l2 && self.rule.l2 > 0.0 {
            let weight = T::of(self.rule.l2 * pairs as f64 / all.len() as f64);
            arch.dispatch(Shrink { weight, at, batch: all, to: &mut gradient.rows });
        }
        (self.delta.rank, self.delta.width) = (at.rank, at.width);
        for (which, from, to, rows) in [
            (&all.users, &mut gradient.rows.users, &mut self.delta.users, &at.users),
            (&all.items, &mut gradient.rows.items, &mut self.delta.items, &at.items),
        ] {
            arch.dispatch(Normalise { eps: T::of(adversary.eps), width: at.width, rows: from });
            to.clear();
            to.resize(rows.len(), T::ZERO);
            for (&row, from) in which.iter().zip(from.chunks_exact(at.width)) {
                to[row as usize * at.width..][..at.width].copy_from_slice(from);
            }
        }
    }

    /// Takes the adversary's last step back.
    pub(super) fn forget_attack(&mut self) {
        self.delta.users.clear();
        self.delta.items.clear();
    }

    /// Moves the rows of a batch by the steps of all rows or of the batch.
    fn displace(&mut self, arch: Arch, at: &Tables<T>, batch: &Batch, of_all: bool) {
        let Self { moved, steps, delta, .. } = self;
        (moved.rank, moved.width) = (at.rank, at.width);
        for (which, rows, steps, delta, to) in [
            (&batch.users, &at.users, &steps.users, &delta.users, &mut moved.users),
            (&batch.items, &at.items, &steps.items, &delta.items, &mut moved.items),
        ] {
            to.resize(which.len() * at.width, T::ZERO);
            let delta = if of_all { Steps::OfAll(delta) } else { Steps::OfBatch(steps) };
            arch.dispatch(Moved { width: at.width, which, rows, delta, to });
        }
        moved.biases.clear();
        if !at.biases.is_empty() {
            moved.biases.extend(batch.items.iter().map(|&item| at.biases[item as usize]));
        }
    }
}

/// Keeps of several candidates for each pair the one with the highest score: the hardest.
pub(super) fn keep_hardest<T: Real>(at: &Tables<T>, candidates: usize, triples: &mut Triples) {
    Arch::new().dispatch(KeepHardest { at, candidates, triples });
}

struct KeepHardest<'a, T> {
    at: &'a Tables<T>,
    candidates: usize,
    triples: &'a mut Triples,
}

impl<T: Real> WithSimd for KeepHardest<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { at, candidates, triples } = self;
        for pair in 0..triples.users.len() {
            let user = at.user(triples.users[pair] as usize);
            let (mut hardest, mut highest) = (0, None);
            for &item in &triples.negatives[pair * candidates..][..candidates] {
                let score: T = dot(simd, at.item(item as usize), user);
                let score = score + at.bias(item as usize);
                if highest.is_none_or(|highest| score > highest) {
                    (hardest, highest) = (item, Some(score));
                }
            }
            triples.negatives[pair] = hardest;
        }
        triples.negatives.truncate(triples.users.len());
    }
}

/// `to += weight from`.
struct Add<'a, T> {
    weight: T,
    from: &'a Tables<T>,
    to: &'a mut Tables<T>,
}

impl<T: Real> WithSimd for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weight, from, to } = self;
        axpy(simd, weight, &from.users, &mut to.users);
        axpy(simd, weight, &from.items, &mut to.items);
        to.biases.iter_mut().zip(&from.biases).for_each(|(to, &from)| *to = *to + weight * from);
    }
}

/// Adds the gradient of the squared factors of a batch.
struct Shrink<'a, T> {
    weight: T,
    at: &'a Tables<T>,
    batch: &'a Batch,
    to: &'a mut Tables<T>,
}

impl<T: Real> WithSimd for Shrink<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weight, at, batch, to } = self;
        let width = at.width;
        for (slot, to) in to.users.chunks_exact_mut(width).enumerate() {
            let times = weight * T::of(batch.pairs(slot).len() as f64);
            axpy(simd, times, at.user(batch.users[slot] as usize), to);
        }
        for (slot, row) in to.items.chunks_exact_mut(width).enumerate() {
            let times = weight * T::of(batch.places(slot).len() as f64);
            let item = batch.items[slot] as usize;
            axpy(simd, times, at.item(item), row);
            if let Some(bias) = to.biases.get_mut(slot) {
                *bias = *bias + times * at.bias(item);
            }
        }
    }
}

struct Step<'a, T> {
    adagrad: &'a mut Adagrad<T>,
    at: &'a mut Tables<T>,
    batch: &'a Batch,
    gradient: &'a Tables<T>,
}

impl<T: Real> WithSimd for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { adagrad, at, batch, gradient } = self;
        adagrad.step(simd, at, &batch.users, &batch.items, gradient);
    }
}
