//! Ranked lists over the full catalogue: accuracy per user and group, and what the lists show of the catalogue.
//!
//! Scores exist for one block of users at a time, never users x items.

use super::{Figure, user_groups};
use crate::experiment::{Eval, Relevant};
use crate::split::Fold;
use evenhand_core::dense::{Best, TopK, offer_unseen};
use evenhand_core::metrics::{Hits, coverage, gini, mean_auc};
use evenhand_core::{Dataset, Error, Model, Result, Run, Scale};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Metrics of a list, in the order of their columns.
const OF_LIST: [&str; 6] = ["ndcg", "hr", "recall", "precision", "mrr", "map"];
/// Metrics of all scores of a user.
const OF_SCORES: [&str; 2] = ["auc", "auc-half-ties"];
/// Scores held at a time by one thread: 4 MB.
const SCORES: usize = 1 << 20;

pub(super) fn figures(model: &dyn Model, data: &Dataset, fold: &Fold, eval: &Eval, run: &Run) -> Result<Vec<Figure>> {
    let tested = tested(fold, eval.relevant, data.scale);
    let width = OF_LIST.len() * eval.k.len() + OF_SCORES.len();
    let mut values = vec![0.0; tested.len() * width];
    // Whole numbers: the order of counting makes no difference.
    let shown: Vec<AtomicU64> = (0..eval.k.len() * data.ratings.items()).map(|_| AtomicU64::new(0)).collect();
    let block = (SCORES / data.ratings.items().max(1)).clamp(1, 64);
    let measured: Vec<Result<()>> = run.install(|| {
        let blocks = tested.par_chunks(block).zip(values.par_chunks_mut(block * width));
        let measure = |(tested, values): (&[Tested], &mut [f64])| {
            run.check()?;
            measure(model, fold, eval, tested, run, values, &shown)
        };
        blocks.map(measure).collect()
    });
    // Of several failures the first user's counts, however the blocks were scheduled.
    measured.into_iter().collect::<Result<()>>()?;

    let mut figures = Vec::new();
    let all: Vec<usize> = (0..tested.len()).collect();
    add_means(&mut figures, None, &all, &values, eval);
    if tested.is_empty() {
        return Ok(figures);
    }
    for (at, &k) in eval.k.iter().enumerate() {
        let items = data.ratings.items();
        let counts: Vec<u64> = shown[at * items..][..items].iter().map(|c| c.load(Ordering::Relaxed)).collect();
        for (metric, value) in [("coverage", coverage(&counts)), ("gini", gini(&counts))] {
            let n = tested.len() as u64;
            figures.extend(value.map(|value| Figure { metric: metric.into(), k: Some(k), group: None, value, n }));
        }
    }
    for (group, members) in user_groups(data) {
        // Both lists ascend.
        let rows: Vec<usize> =
            members.iter().filter_map(|member| tested.binary_search_by_key(member, |t| t.user).ok()).collect();
        add_means(&mut figures, Some(group), &rows, &values, eval);
    }
    Ok(figures)
}

/// A user with the items that should be found.
struct Tested {
    user: u32,
    /// Ascending, distinct, at least one, none in the training rows.
    relevant: Vec<u32>,
}

/// The users with a relevant test item.
fn tested(fold: &Fold, relevant: Relevant, scale: Scale) -> Vec<Tested> {
    let (test, train) = (fold.test.by_user(), fold.train.by_user());
    let of_user = |user: usize| {
        let mut items: Vec<u32> = test
            .row(user)
            .filter(|&(item, value)| {
                (relevant == Relevant::All || scale.likes(value)) && train.partners(user).binary_search(&item).is_err()
            })
            .map(|(item, _)| item)
            .collect();
        items.dedup();
        (!items.is_empty()).then_some(Tested { user: user as u32, relevant: items })
    };
    (0..test.len()).filter_map(of_user).collect()
}

/// Measures a block of users; `values` gets a row of metrics for each, NaN where one has no value.
fn measure(
    model: &dyn Model,
    fold: &Fold,
    eval: &Eval,
    block: &[Tested],
    run: &Run,
    values: &mut [f64],
    shown: &[AtomicU64],
) -> Result<()> {
    let users: Vec<u32> = block.iter().map(|t| t.user).collect();
    let (items, longest) = (fold.train.items(), eval.k.iter().copied().max().unwrap_or(0).min(fold.train.items()));
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&users, &mut scores, run)?;
    if scores.shape() != (items, users.len()) {
        let text = |(rows, columns): (usize, usize)| format!("{rows} x {columns}");
        return Err(Error::shape("scores, items x users", text((items, users.len())), text(scores.shape())));
    }
    let mut best = Best::new(longest);
    let mut top = TopK::new(1, longest);
    let width = values.len() / block.len();
    for ((at, tested), values) in block.iter().enumerate().zip(values.chunks_exact_mut(width)) {
        let column = scores.column(at);
        let mut seen = fold.train.by_user().partners(tested.user as usize).to_vec();
        seen.dedup();
        let auc = mean_auc(column.as_slice(), &tested.relevant, &seen).map_err(|e| Error::Diverged {
            what: format!("score of user {}, item {}", tested.user, e.item),
            step: None,
        })?;
        offer_unseen(column.as_slice(), &seen, &mut best)?;
        top.chunks_mut(1)[0].set(0, &mut best);
        let list = top.items(0);
        let hits = Hits::new(list, &tested.relevant).expect("at least one item is relevant");
        let of_list = [
            Hits::ndcg_at,
            Hits::hit_at,
            Hits::recall_at,
            Hits::precision_at,
            Hits::reciprocal_rank_at,
            Hits::average_precision_at,
        ];
        let of_lists = eval.k.iter().flat_map(|&k| of_list.map(|metric| metric(&hits, k)));
        let of_scores = auc.map_or([f64::NAN; 2], |auc| [auc.strict, auc.half_ties]);
        values.iter_mut().zip(of_lists.chain(of_scores)).for_each(|(slot, value)| *slot = value);
        for (n, &k) in eval.k.iter().enumerate() {
            for &item in &list[..k.min(list.len())] {
                shown[n * items + item as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Means over some rows of `values`, added in row order.
fn add_means(figures: &mut Vec<Figure>, group: Option<String>, rows: &[usize], values: &[f64], eval: &Eval) {
    let of_lists = eval.k.iter().flat_map(|&k| OF_LIST.map(|metric| (metric, Some(k))));
    let columns: Vec<_> = of_lists.chain(OF_SCORES.map(|metric| (metric, None))).collect();
    for (column, &(metric, k)) in columns.iter().enumerate() {
        let present = rows.iter().map(|row| values[row * columns.len() + column]).filter(|v| !v.is_nan());
        let (sum, n) = present.fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
        if n > 0 {
            let (metric, group) = (metric.to_string(), group.clone());
            figures.push(Figure { metric, k, group, value: sum / n as f64, n });
        }
    }
}

#[cfg(test)]
mod tests;
