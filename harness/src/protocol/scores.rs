//! The pass over the scores: every user is scored once, for the ranked lists and for the fairness of the ratings.
//!
//! Scores exist for some blocks of users at a time, never users x items. A model whose scores only order items is scored
//! for the tested users alone.

use super::fairness::Fairness;
use super::ranking::{self, Ranker};
use super::{Figure, ranking::Tested};
use crate::experiment::Eval;
use crate::per_user::PerUser;
use crate::split::Fold;
use evenhand_core::{Dataset, Error, Model, Result, Run};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::sync::atomic::AtomicU64;

/// Scores held at a time by one thread: 4 MB.
const SCORES: usize = 1 << 20;
/// Blocks for each thread whose sums are held at a time. Threads wait for each other after these, so not too few.
const HELD: usize = 16;
/// Sums held at a time by one thread: 32 MB, unless those of one block are more.
const SUMS: usize = 1 << 22;

/// Figures of the lists, then those of fairness; and the metrics of every user in `tested`, where they are to be kept.
pub(super) fn measure(
    model: &dyn Model,
    data: &Dataset,
    fold: &Fold,
    tested: &[Tested],
    eval: &Eval,
    run: &Run,
) -> Result<(Vec<Figure>, Option<Vec<PerUser>>)> {
    let items = data.ratings.items();
    let mut fairness = Fairness::new(data, eval, model.output());
    let users: Vec<u32> = if fairness.of_ratings() {
        (0..data.ratings.users() as u32).collect()
    } else {
        tested.iter().map(|t| t.user).collect()
    };
    // Whole numbers: the order of counting makes no difference.
    let shown: Vec<AtomicU64> = (0..eval.k.len() * items).map(|_| AtomicU64::new(0)).collect();
    let pass = Pass { model, fold, eval, tested, none: fairness.clone(), shown: &shown, run };
    let mut values = Vec::new();
    let blocks: Vec<&[u32]> = users.chunks((SCORES / items.max(1)).clamp(1, 64)).collect();
    let held = (SUMS / fairness.sums().max(1)).clamp(1, HELD);
    for blocks in blocks.chunks(held * run.threads()) {
        let parts: Vec<Result<Part<'_>>> = run.install(|| blocks.par_iter().map(|users| pass.measure(users)).collect());
        for part in parts {
            // In the order of the users: of several failures the first one counts, and sums are rounded alike,
            // however the blocks were scheduled.
            let part = part?;
            values.extend(part.values);
            fairness.merge(&part.fairness);
        }
    }
    let mut figures = ranking::figures(data, eval, tested, &values, &shown);
    figures.extend(fairness.figures(eval, &fold.train));
    let users = eval.users.then(|| ranking::per_user(None, &ranking::columns(eval), tested, &values));
    Ok((figures, users))
}

/// The figures alone.
#[cfg(test)]
pub(super) fn figures(model: &dyn Model, data: &Dataset, fold: &Fold, eval: &Eval, run: &Run) -> Result<Vec<Figure>> {
    let tested = ranking::tested(fold, eval.relevant, data.scale);
    measure(model, data, fold, &tested, eval, run).map(|(figures, _)| figures)
}

/// What all blocks have in common.
struct Pass<'a> {
    model: &'a dyn Model,
    fold: &'a Fold,
    eval: &'a Eval,
    tested: &'a [Tested],
    /// Fairness with nothing counted.
    none: Fairness<'a>,
    shown: &'a [AtomicU64],
    run: &'a Run,
}

/// What was found in one block.
struct Part<'a> {
    /// A row of ranking metrics for each tested user.
    values: Vec<f64>,
    fairness: Fairness<'a>,
}

impl<'a> Pass<'a> {
    fn measure(&self, users: &[u32]) -> Result<Part<'a>> {
        self.run.check()?;
        let mut scores = DMatrix::zeros(0, 0);
        self.model.score(users, &mut scores, self.run)?;
        let expected = (self.fold.train.items(), users.len());
        if scores.shape() != expected {
            let text = |(rows, columns): (usize, usize)| format!("{rows} x {columns}");
            return Err(Error::shape("scores, items x users", text(expected), text(scores.shape())));
        }
        let mut part = Part { values: Vec::new(), fairness: self.none.clone() };
        let mut ranker = Ranker::new(self.fold, self.eval, self.shown);
        for (at, &user) in users.iter().enumerate() {
            let column = scores.column(at);
            part.fairness.add_scores(user, column.as_slice())?;
            if let Ok(place) = self.tested.binary_search_by_key(&user, |t| t.user) {
                let list = ranker.rank(&self.tested[place], column.as_slice(), &mut part.values)?;
                part.fairness.add_list(user, list, self.eval);
            }
        }
        Ok(part)
    }
}
