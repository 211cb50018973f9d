//! Ranked lists over the full catalogue: accuracy per user and group, and what the lists show of the catalogue.

use super::{Figure, named_groups};
use crate::experiment::{Eval, Relevant};
use crate::per_user::PerUser;
use crate::split::Fold;
use evenhand_core::dense::{Best, TopK, offer_unseen};
use evenhand_core::metrics::{Hits, coverage, gini, mean_auc};
use evenhand_core::{Dataset, Error, Result, Scale};
use std::sync::atomic::{AtomicU64, Ordering};

/// Metrics of a list, in the order of their columns.
const OF_LIST: [&str; 6] = ["ndcg", "hr", "recall", "precision", "mrr", "map"];
/// Metrics of all scores of a user.
pub(crate) const OF_SCORES: [&str; 2] = ["auc", "auc-half-ties"];

/// A metric with the length of its list: a column of a table that has a row for each tested user.
pub(super) type Column = (&'static str, Option<usize>);

/// The columns of the offline protocol.
pub(super) fn columns(eval: &Eval) -> Vec<Column> {
    at_every_length(eval, &OF_LIST)
}

/// Metrics of a list at every length, then those of all scores.
pub(super) fn at_every_length(eval: &Eval, of_list: &[&'static str]) -> Vec<Column> {
    let of_lists = eval.k.iter().flat_map(|&k| of_list.iter().map(move |&metric| (metric, Some(k))));
    of_lists.chain(OF_SCORES.map(|metric| (metric, None))).collect()
}

/// The figures of all lists: `values` holds a row of metrics for each tested user, `shown` how often each item was shown
/// at each length.
pub(super) fn figures(
    data: &Dataset,
    eval: &Eval,
    tested: &[Tested],
    values: &[f64],
    shown: &[AtomicU64],
) -> Vec<Figure> {
    let (columns, slices) = (columns(eval), slices(data, tested));
    let mut figures = means(&columns, &slices[0], values);
    if tested.is_empty() {
        return figures;
    }
    for (at, &k) in eval.k.iter().enumerate() {
        let items = data.ratings.items();
        let counts: Vec<u64> = shown[at * items..][..items].iter().map(|c| c.load(Ordering::Relaxed)).collect();
        for (metric, value) in [("coverage", coverage(&counts)), ("gini", gini(&counts))] {
            let n = tested.len() as u64;
            figures.extend(value.map(|value| Figure { metric: metric.into(), k: Some(k), group: None, value, n }));
        }
    }
    figures.extend(slices[1..].iter().flat_map(|slice| means(&columns, slice, values)));
    figures
}

/// Some of the tested users, by their rows.
pub(super) struct Slice {
    pub(super) group: Option<String>,
    rows: Vec<usize>,
}

/// All tested users, then those of each group.
pub(super) fn slices(data: &Dataset, tested: &[Tested]) -> Vec<Slice> {
    // Both lists ascend.
    let rows_of = |members: &[u32]| -> Vec<usize> {
        members.iter().filter_map(|member| tested.binary_search_by_key(member, |t| t.user).ok()).collect()
    };
    let groups =
        named_groups(&data.user_groups).map(|(group, members)| Slice { group: Some(group), rows: rows_of(members) });
    std::iter::once(Slice { group: None, rows: (0..tested.len()).collect() }).chain(groups).collect()
}

/// A user with the items that should be found.
pub(super) struct Tested {
    pub(super) user: u32,
    /// Ascending, distinct, at least one, none of them seen.
    pub(super) relevant: Vec<u32>,
}

/// The users with a relevant test item, and an item that is neither seen nor relevant to rank it against.
pub(super) fn tested(fold: &Fold, relevant: Relevant, scale: Scale) -> Vec<Tested> {
    let rivalled = wanted(fold, relevant, scale).filter(|(_, rivals)| *rivals > 0);
    rivalled.map(|(tested, _)| tested).collect()
}

/// Number of users with a relevant test item and nothing to rank it against, who are not measured.
pub(crate) fn without_rivals(fold: &Fold, relevant: Relevant, scale: Scale) -> usize {
    wanted(fold, relevant, scale).filter(|(_, rivals)| *rivals == 0).count()
}

/// The users with a relevant test item, and how many items are neither seen nor relevant.
fn wanted(fold: &Fold, relevant: Relevant, scale: Scale) -> impl Iterator<Item = (Tested, usize)> {
    let test = fold.test.by_user();
    let of_user = move |user: usize| {
        let seen = fold.seen(user);
        let wanted = |item: u32, value: f32| {
            (relevant == Relevant::All || scale.likes(value)) && seen.binary_search(&item).is_err()
        };
        let mut items: Vec<u32> = test.row(user).filter(|&(i, value)| wanted(i, value)).map(|(i, _)| i).collect();
        items.dedup();
        let rivals = fold.train.items() - seen.len() - items.len();
        (!items.is_empty()).then_some((Tested { user: user as u32, relevant: items }, rivals))
    };
    (0..test.len()).filter_map(of_user)
}

/// Ranks the items for one user after the other.
pub(super) struct Ranker<'a> {
    fold: &'a Fold,
    eval: &'a Eval,
    shown: &'a [AtomicU64],
    best: Best,
    top: TopK,
}

impl<'a> Ranker<'a> {
    /// Counts what the lists show in `shown`: list lengths x items.
    pub(super) fn new(fold: &'a Fold, eval: &'a Eval, shown: &'a [AtomicU64]) -> Self {
        let longest = eval.k.iter().copied().max().unwrap_or(0).min(fold.train.items());
        Self { fold, eval, shown, best: Best::new(longest), top: TopK::new(1, longest) }
    }

    /// Measures one user by the scores of all items; `values` gets another row of metrics.
    /// Returns the longest list.
    pub(super) fn rank(&mut self, tested: &Tested, scores: &[f32], values: &mut Vec<f64>) -> Result<&[u32]> {
        let seen = self.fold.seen(tested.user as usize);
        let auc = mean_auc(scores, &tested.relevant, &seen).map_err(|e| Error::Diverged {
            what: format!("score of user {}, item {}", tested.user, e.item),
            step: None,
        })?;
        let auc = auc.expect("a tested user has an item to rank against");
        offer_unseen(scores, &seen, &mut self.best)?;
        self.top.chunks_mut(1)[0].set(0, &mut self.best);
        let list = self.top.items(0);
        let hits = Hits::new(list, &tested.relevant).expect("at least one item is relevant");
        let of_list = [
            Hits::ndcg_at,
            Hits::hit_at,
            Hits::recall_at,
            Hits::precision_at,
            Hits::reciprocal_rank_at,
            Hits::average_precision_at,
        ];
        values.extend(self.eval.k.iter().flat_map(|&k| of_list.map(|metric| metric(&hits, k))));
        values.extend([auc.strict, auc.half_ties]);
        for (n, &k) in self.eval.k.iter().enumerate() {
            for &item in &list[..k.min(list.len())] {
                self.shown[n * scores.len() + item as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(list)
    }
}

/// Means of every column over the rows of `slice`, added in row order; none where there is no row.
pub(super) fn means(columns: &[Column], slice: &Slice, values: &[f64]) -> Vec<Figure> {
    let mean = |(column, &(metric, k)): (usize, &Column)| {
        let sum: f64 = slice.rows.iter().map(|row| values[row * columns.len() + column]).sum();
        let n = slice.rows.len() as u64;
        let (metric, group) = (metric.to_string(), slice.group.clone());
        (n > 0).then(|| Figure { metric, k, group, value: sum / n as f64, n })
    };
    columns.iter().enumerate().filter_map(mean).collect()
}

/// The columns of `values` as they are kept.
pub(super) fn per_user(attack: Option<&str>, columns: &[Column], tested: &[Tested], values: &[f64]) -> Vec<PerUser> {
    let of_column = |(column, &(metric, k)): (usize, &Column)| {
        let of_user = |(row, t): (usize, &Tested)| (t.user, values[row * columns.len() + column]);
        let values = tested.iter().enumerate().map(of_user).collect();
        PerUser { attack: attack.map(str::to_string), metric: metric.into(), k, values }
    };
    columns.iter().enumerate().map(of_column).collect()
}

#[cfg(test)]
pub(super) mod tests;
