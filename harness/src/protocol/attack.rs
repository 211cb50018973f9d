//! The attack protocol: what does the full ranking of a fitted model lose when its factors are perturbed?
//!
//! The clean factors and those of every attack are ranked alike: every relevant test item of a user among all items that the
//! user has neither in the training and validation rows nor as another relevant item. Ties count against the relevant item.
//!
//! | metric | over | what |
//! | --- | --- | --- |
//! | `hr`, `ndcg` at k | users with a relevant test item and another one to rank it against | as in the offline protocol |
//! | `auc`, `auc-half-ties` | the same users | ties count against the relevant item, or half |
//! | `...-spread` | draws | standard deviation of the metric over draws |
//! | `...-drop` | - | `1 - attacked / clean`; none where the clean metric is 0 |
//! | `user-norm`, `item-norm` | users, items | mean length of the learned factors, so that `eps` can be read; of the clean ones |
//!
//! * A metric under an attack is its mean over draws: one draw of negatives tells little. Random numbers are addressed by
//!   direction and draw alone, so all recommenders and all lengths of one direction meet the same ones; draws are
//!   independent.
//! * The likes that the gradient comes from are the training rows that would be relevant as test rows, of these the ones with
//!   a value above 0.
//! * Only models whose scores are products of factors can be attacked; others have no figures here.
//! * Metrics are repeated for each group of users.
//!
//! Sources: He, He, Du & Chua 2018, "Adversarial personalized ranking for recommendation".

use super::ranking::{self, Column, Slice, Tested};
use super::{Attacked, Figure, mean_and_sd};
use crate::experiment::{Attacks, Eval, Relevant, direction_name};
use crate::per_user::PerUser;
use crate::split::Fold;
use evenhand_core::metrics::{Auc, Hits, Position};
use evenhand_core::{Dataset, Error, Factors, Interactions, Model as _, Result, Rows, Run};
use evenhand_plugins::pairwise::Attack;
use nalgebra::DMatrix;
use std::borrow::Cow;

/// What unperturbed factors are called among attacks.
pub const CLEAN: &str = "clean";
/// Ends the name of a metric's standard deviation over draws.
pub const SPREAD: &str = "-spread";
/// Ends the name of a metric's relative loss.
pub const DROP: &str = "-drop";
/// Mean lengths of the learned factors of users and of items.
pub const NORMS: [&str; 2] = ["user-norm", "item-norm"];

/// Metrics of a list, in the order of their columns.
pub(crate) const OF_LIST: [&str; 2] = ["hr", "ndcg"];

/// The attack as reports name it: `gradient eps=0.5`.
pub fn name(attack: &Attack) -> String {
    let relative = if attack.relative { " relative" } else { "" };
    format!("{} eps={}{relative}", direction_name(attack.direction), attack.eps)
}

/// Ranks by clean and by perturbed factors; the metrics of every user too, where they are to be kept. `tested` are the
/// users whose ranking is measured.
///
/// # Errors
/// [`Diverged`](evenhand_core::Error::Diverged) for scores that are not finite, [`Shape`](evenhand_core::Error::Shape)
/// for factors of other users and items than the data, [`Cancelled`](evenhand_core::Error::Cancelled).
pub(super) fn measure(
    factors: &Factors,
    data: &Dataset,
    fold: &Fold,
    tested: &[Tested],
    (eval, attacks): (&Eval, &Attacks),
    run: &Run,
) -> Result<(Vec<Attacked>, Vec<PerUser>)> {
    let ranking = FullRanking::new(data, fold, tested, eval)?;
    let mut users = Vec::new();
    let mut keep = |attack: &str, values: &[f64]| {
        if eval.users {
            users.extend(ranking::per_user(Some(attack), &ranking.columns, tested, values));
        }
    };
    let clean = ranking.values(factors, run)?;
    keep(CLEAN, &clean);
    let clean = ranking.means(&clean);
    let sides = NORMS.into_iter().zip([&factors.users, &factors.items]);
    let norms = sides.filter_map(|(metric, side)| norm(metric, side, factors.latent));
    let mut found = vec![Attacked { attack: CLEAN.into(), figures: clean.iter().cloned().chain(norms).collect() }];
    let likes = likes(data, fold, eval.relevant)?;
    let steps = attacks.each().count() * attacks.draws;
    for (at, attack) in attacks.each().enumerate() {
        let (name, streams) = (name(&attack), run.child(&direction_name(attack.direction)));
        let mut draws = Vec::new();
        let mut sums = vec![0.0; ranking.columns.len() * tested.len()];
        for draw in 0..attacks.draws {
            run.step(at * attacks.draws + draw, steps)?;
            let perturbed = attack.perturb(factors, &likes, &streams.child(&draw.to_string()));
            let values = perturbed.and_then(|factors| ranking.values(&factors, run)).map_err(|e| under(e, &name))?;
            sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
            draws.push(ranking.means(&values));
        }
        sums.iter_mut().for_each(|sum| *sum /= attacks.draws as f64);
        keep(&name, &sums);
        found.push(Attacked { attack: name, figures: compared(&clean, &draws) });
    }
    Ok((found, users))
}

/// The error, with the attack where numbers ran away.
fn under(error: Error, attack: &str) -> Error {
    match error {
        Error::Diverged { what, step } => Error::Diverged { what: format!("{what} under `{attack}`"), step },
        error => error,
    }
}

/// The training rows that would be relevant as test rows.
fn likes<'a>(data: &Dataset, fold: &'a Fold, relevant: Relevant) -> Result<Cow<'a, Interactions>> {
    match relevant {
        Relevant::All => Ok(Cow::Borrowed(&fold.train)),
        Relevant::Liked => {
            let liked: Vec<bool> = fold.train.iter().map(|(_, _, value)| data.scale.likes(value)).collect();
            fold.train.select(&liked).map(Cow::Owned)
        }
    }
}

/// Mean length of the first `latent` numbers of every column.
fn norm(metric: &str, factors: &DMatrix<f32>, latent: usize) -> Option<Figure> {
    let lengths = factors.column_iter().map(|column| {
        let squares: f64 = column.iter().take(latent).map(|&v| f64::from(v) * f64::from(v)).sum();
        squares.sqrt()
    });
    let n = factors.ncols() as u64;
    let mean = lengths.sum::<f64>() / n as f64;
    (n > 0).then(|| Figure { metric: metric.into(), k: None, group: None, value: mean, n })
}

/// Every figure's mean over draws, standard deviation over draws, and relative loss against the clean one. All have the
/// same metrics in the same order: which users have a value does not depend on the factors.
fn compared(clean: &[Figure], draws: &[Vec<Figure>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (at, clean) in clean.iter().enumerate() {
        let values: Vec<f64> = draws.iter().map(|draw| draw[at].value).collect();
        let (mean, sd) = mean_and_sd(&values);
        let figure =
            |suffix: &str, value| Figure { metric: format!("{}{suffix}", clean.metric), value, ..clean.clone() };
        figures.push(figure("", mean));
        figures.extend(sd.map(|sd| figure(SPREAD, sd)));
        figures.extend((clean.value > 0.0).then(|| figure(DROP, 1.0 - mean / clean.value)));
    }
    figures
}

/// The ranking of all relevant test items among all their candidates.
struct FullRanking<'a> {
    tested: &'a [Tested],
    /// The tested users.
    users: Vec<u32>,
    /// Training and validation rows.
    seen: Cow<'a, Interactions>,
    /// The relevant items of the tested users.
    held_out: Interactions,
    k: &'a [usize],
    columns: Vec<Column>,
    slices: Vec<Slice>,
}

impl<'a> FullRanking<'a> {
    fn new(data: &Dataset, fold: &'a Fold, tested: &'a [Tested], eval: &'a Eval) -> Result<Self> {
        let (users, items) = (fold.train.users(), fold.train.items());
        let seen = match &fold.validation {
            None => Cow::Borrowed(&fold.train),
            Some(validation) => {
                let mut rows = Rows::default();
                fold.train.iter().chain(validation.iter()).for_each(|(user, item, value)| rows.push(user, item, value));
                Cow::Owned(Interactions::new(users, items, &rows)?)
            }
        };
        let mut rows = Rows::default();
        tested.iter().for_each(|t| t.relevant.iter().for_each(|&item| rows.push(t.user, item, 1.0)));
        Ok(Self {
            tested,
            users: tested.iter().map(|t| t.user).collect(),
            seen,
            held_out: Interactions::new(users, items, &rows)?,
            k: &eval.k,
            columns: ranking::at_every_length(eval, &OF_LIST),
            slices: ranking::slices(data, tested),
        })
    }

    /// A row of metrics for each tested user.
    fn values(&self, factors: &Factors, run: &Run) -> Result<Vec<f64>> {
        let positions = factors.ranks(&self.users, Some(&self.seen), &self.held_out, run)?;
        let mut values = Vec::with_capacity(self.columns.len() * self.tested.len());
        let mut rest = positions.as_slice();
        for tested in self.tested {
            let (own, others) = rest.split_at(tested.relevant.len());
            values.extend(of_positions(own, self.k));
            rest = others;
        }
        Ok(values)
    }

    /// Means over all tested users, then over those of each group.
    fn means(&self, values: &[f64]) -> Vec<Figure> {
        self.slices.iter().flat_map(|slice| ranking::means(&self.columns, slice, values)).collect()
    }
}

/// The metrics of one user by the positions of the relevant items, at least one: `hr` and `ndcg` at every length, then both
/// AUCs.
fn of_positions(positions: &[Position], k: &[usize]) -> impl Iterator<Item = f64> {
    let hits = Hits::from_positions(positions).expect("a tested user has a relevant item");
    let auc = Auc::from_positions(positions).expect("a tested user has an item to rank against");
    k.iter().flat_map(move |&k| [hits.hit_at(k), hits.ndcg_at(k)]).chain([auc.strict, auc.half_ties])
}

#[cfg(test)]
mod tests;
