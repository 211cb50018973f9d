//! Metrics of one user's ranked list of recommendations against the set of items that are relevant to the user.
//!
//! With `h(r) = 1` when the item at rank `r` (from 0) is relevant, `R` the number of relevant items and `m = min(K, R)`:
//!
//! | metric | formula |
//! | --- | --- |
//! | hit rate | `1` when `h(r) = 1` for some `r < K`, else `0` |
//! | precision, recall | `1/K sum_{r<K} h(r)` and `1/R sum_{r<K} h(r)` |
//! | nDCG | `sum_{r<K} h(r) / log2(r + 2)`, divided by the same sum of a perfect list, `sum_{r<m} 1 / log2(r + 2)` |
//! | reciprocal rank | `1 / (r + 1)` of the first hit `r < K`, else `0` |
//! | average precision | `1/m sum_{r<K} h(r) precision@(r+1)` |
//!
//! Sources: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques" (DCG and its normalised form;
//! here with binary gain and the discount `1 / log2(r + 2)` at every rank, as usual today); Voorhees 1999, "The TREC-8
//! question answering track report" (reciprocal rank); Buckley & Voorhees 2000, "Evaluating evaluation measure stability"
//! (average precision; truncated at K, and divided by `m` so that a perfect list of K items earns 1).

use super::{Position, ascending};

/// Where one user's relevant items stand in the list of recommendations: all that the list metrics depend on.
///
/// Every metric lies in 0 to 1, larger is better, and takes the cut-off `k`: only the first `k` places count. A list
/// shorter than `k` is as good as one filled up with irrelevant items. With `k = 0` every metric is 0.
///
/// ```
/// # use evenhand_core::metrics::Hits;
/// let hits = Hits::new(&[7, 4, 9], &[4, 5]).unwrap();
/// assert_eq!((hits.precision_at(2), hits.recall_at(2), hits.reciprocal_rank_at(2)), (0.5, 0.5, 0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits {
    /// Ranks of the relevant items in the list, from 0, ascending.
    ranks: Vec<u32>,
    /// Number of relevant items, in the list or not; at least 1.
    relevant: usize,
}

impl Hits {
    /// Looks up the list `recommended`, best item first, in the ascending list `relevant`.
    ///
    /// `None` when no item is relevant: such a user has no value, not a zero. An item that a list repeats is a hit at its
    /// first place only, so no metric exceeds 1. Costs `O(n log R)` for `n` recommended and `R` relevant items.
    ///
    /// # Panics
    /// When `relevant` is not ascending.
    pub fn new(recommended: &[u32], relevant: &[u32]) -> Option<Self> {
        assert!(ascending(relevant), "relevant items must be ascending and distinct");
        let mut met = vec![false; relevant.len()];
        let mut ranks = Vec::with_capacity(recommended.len().min(relevant.len()));
        for (rank, item) in (0..).zip(recommended) {
            if let Ok(place) = relevant.binary_search(item)
                && !std::mem::replace(&mut met[place], true)
            {
                ranks.push(rank);
            }
        }
        (!relevant.is_empty()).then_some(Self { ranks, relevant: relevant.len() })
    }

    /// The hits of one user's ranking of all candidates and held-out items, from the positions of the held-out items, in any
    /// order: every list metric at every cut-off, and no list. Ties count against the held-out items.
    ///
    /// The n-th best held-out item, from 0, stands behind the candidates before it and the n better held-out items, so at
    /// rank `position.rank() + n`. `None` when nothing is held out.
    ///
    /// ```
    /// # use evenhand_core::metrics::{Hits, Position};
    /// let position = |greater| Position { greater, equal: 0, candidates: 9 };
    /// let hits = Hits::from_positions(&[position(3), position(0)]).unwrap(); // ranks 0 and 4
    /// assert_eq!((hits.recall_at(4), hits.recall_at(5)), (0.5, 1.0));
    /// ```
    pub fn from_positions(positions: &[Position]) -> Option<Self> {
        let mut ranks: Vec<u32> = positions.iter().map(Position::rank).collect();
        ranks.sort_unstable();
        (0..).zip(&mut ranks).for_each(|(better, rank)| *rank += better);
        (!ranks.is_empty()).then_some(Self { relevant: ranks.len(), ranks })
    }

    /// Hit rate: 1 when any of the first `k` items is relevant, else 0.
    pub fn hit_at(&self, k: usize) -> f64 {
        f64::from(u8::from(!self.within(k).is_empty()))
    }

    /// Precision: relevant items among the first `k`, divided by `k` (also when the list is shorter).
    pub fn precision_at(&self, k: usize) -> f64 {
        self.within(k).len() as f64 / k.max(1) as f64
    }

    /// Recall: relevant items among the first `k`, divided by the number of relevant items.
    pub fn recall_at(&self, k: usize) -> f64 {
        self.within(k).len() as f64 / self.relevant as f64
    }

    /// Normalised discounted cumulative gain with binary gain; exactly 1 for a perfect list. Järvelin & Kekäläinen 2002.
    pub fn ndcg_at(&self, k: usize) -> f64 {
        let hits = self.within(k);
        if hits.is_empty() {
            return 0.0;
        }
        let gain: f64 = hits.iter().map(|&rank| discount(rank)).sum();
        let ideal: f64 = (0..).take(k.min(self.relevant)).map(discount).sum();
        gain / ideal
    }

    /// Reciprocal rank: `1 / (rank + 1)` of the first hit, 0 without one. Its mean over users is MRR. Voorhees 1999.
    pub fn reciprocal_rank_at(&self, k: usize) -> f64 {
        self.within(k).first().map_or(0.0, |&rank| 1.0 / (f64::from(rank) + 1.0))
    }

    /// Average precision: the precision at each hit, summed and divided by `min(k, relevant items)`. Its mean over users is
    /// MAP. Buckley & Voorhees 2000.
    pub fn average_precision_at(&self, k: usize) -> f64 {
        let hits = self.within(k);
        if hits.is_empty() {
            return 0.0;
        }
        let precisions = (1u32..).zip(hits).map(|(count, &rank)| f64::from(count) / (f64::from(rank) + 1.0));
        precisions.sum::<f64>() / k.min(self.relevant) as f64
    }

    /// Ranks of the hits among the first `k` places.
    fn within(&self, k: usize) -> &[u32] {
        &self.ranks[..self.ranks.partition_point(|&rank| (rank as usize) < k)]
    }
}

/// Weight `1 / log2(rank + 2)` of a rank counted from 0; exactly 1 at the top.
pub(super) fn discount(rank: u32) -> f64 {
    std::f64::consts::LN_2 / (f64::from(rank) + 2.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-15
    }

    #[test]
    fn worked_by_hand() {
        // Relevant 2, 5, 8, 9; hits at ranks 0 (item 5) and 2 (item 9).
        let hits = Hits::new(&[5, 1, 9, 3], &[2, 5, 8, 9]).unwrap();
        assert_eq!([1, 2, 3, 4, 10].map(|k| hits.precision_at(k)), [1.0, 0.5, 2.0 / 3.0, 0.5, 0.2]);
        assert_eq!([1, 2, 3, 10].map(|k| hits.recall_at(k)), [0.25, 0.25, 0.5, 0.5]);
        assert_eq!([0, 1, 3].map(|k| hits.hit_at(k)), [0.0, 1.0, 1.0]);
        assert_eq!(hits.reciprocal_rank_at(3), 1.0);
        // Precision 1/1 at the first hit, 2/3 at the second.
        assert!(close(hits.average_precision_at(3), (1.0 + 2.0 / 3.0) / 3.0));
        assert!(close(hits.average_precision_at(10), (1.0 + 2.0 / 3.0) / 4.0));
        // Discounts 1, 1/log2(3), 1/2, 1/log2(5).
        let (second, fourth) = (1.0 / 3f64.log2(), 1.0 / 5f64.log2());
        assert_eq!(hits.ndcg_at(1), 1.0);
        assert!(close(hits.ndcg_at(2), 1.0 / (1.0 + second)));
        assert!(close(hits.ndcg_at(3), 1.5 / (1.5 + second)));
        assert!(close(hits.ndcg_at(10), 1.5 / (1.5 + second + fourth)));
    }

    #[test]
    fn first_hit_below_the_top() {
        let hits = Hits::new(&[3, 1, 4], &[4]).unwrap();
        assert_eq!([2, 3].map(|k| hits.reciprocal_rank_at(k)), [0.0, 1.0 / 3.0]);
        assert_eq!([2, 3].map(|k| hits.ndcg_at(k)), [0.0, 0.5]);
    }

    #[test]
    fn nothing_relevant_has_no_value_and_nothing_recommended_is_worth_nothing() {
        assert_eq!(Hits::new(&[1, 2], &[]), None);
        let empty = Hits::new(&[], &[1]).unwrap();
        assert!(metrics(&empty, 5).iter().all(|value| value.to_bits() == 0));
        let full = Hits::new(&[1], &[1]).unwrap();
        assert!(metrics(&full, 0).iter().all(|value| value.to_bits() == 0));
    }

    #[test]
    fn a_repeated_item_counts_once() {
        assert_eq!(Hits::new(&[6, 4, 4, 4], &[4]), Hits::new(&[6, 4], &[4]));
    }

    #[test]
    #[should_panic(expected = "ascending")]
    fn relevant_must_be_ascending() {
        let _ = Hits::new(&[1], &[3, 2]);
    }

    #[test]
    fn one_relevant_item_gives_the_same_ndcg_as_the_ranked_list() {
        let list: Vec<u32> = (0..50).collect();
        for rank in 0..50 {
            let position = super::super::Position { greater: rank, equal: 0, candidates: 60 };
            let hits = Hits::new(&list, &[rank]).unwrap();
            for k in [1, 10, 50, 100] {
                assert_eq!((position.ndcg_at(k), position.hit_at(k)), (hits.ndcg_at(k), hits.hit_at(k)));
            }
        }
    }

    /// Orders of 6 items, with every set of held-out items and every set of seen ones.
    #[test]
    fn positions_give_the_hits_of_the_whole_ranking() {
        let mut order: Vec<u32> = (0..6).collect();
        for round in (0..720usize).step_by(7) {
            // The digits of the factorial number system name a permutation.
            order.sort_unstable();
            (0..6).fold(round, |code, at| {
                let left = 6 - at;
                order[at..=at + code % left].rotate_right(1);
                code / left
            });
            let mut scores = [0.0; 6];
            (0..).zip(&order).for_each(|(rank, &item)| scores[item as usize] = -(rank as f32));
            for sets in 0..1u32 << 12 {
                let set = |shift: u32| (0..6).filter(|item| sets >> (shift + item) & 1 == 1).collect::<Vec<u32>>();
                let (held_out, seen) = (set(0), set(6));
                let positions = Position::count_all(&scores, &held_out, &seen).unwrap();
                let shown = |item: &u32| !seen.contains(item) || held_out.contains(item);
                let list: Vec<u32> = order.iter().copied().filter(shown).collect();
                assert_eq!(Hits::from_positions(&positions), Hits::new(&list, &held_out));
            }
        }
    }

    #[test]
    fn equal_held_out_items_stand_one_after_the_other_behind_their_ties() {
        // Scores 2 for items 0 and 1, 1 for 2 to 4; held out are 0, 2 and 3.
        let positions = Position::count_all(&[2.0, 2.0, 1.0, 1.0, 1.0], &[0, 2, 3], &[]).unwrap();
        assert_eq!(Hits::from_positions(&positions), Hits::new(&[1, 0, 4, 2, 3], &[0, 2, 3]));
        assert_eq!(Hits::from_positions(&[]), None);
    }

    fn metrics(hits: &Hits, k: usize) -> [f64; 6] {
        [
            hits.hit_at(k),
            hits.precision_at(k),
            hits.recall_at(k),
            hits.ndcg_at(k),
            hits.reciprocal_rank_at(k),
            hits.average_precision_at(k),
        ]
    }

    /// Every list of up to 4 of 5 items (repeats included) against every set of relevant items.
    #[test]
    fn bounds_renumbering_and_perfect_lists() {
        let renumbered = |item: u32| 4 - item;
        for code in 0..5u32.pow(4) {
            let list: Vec<u32> = (0..4).map(|digit| code / 5u32.pow(digit) % 5).collect();
            for set in 1..1u32 << 5 {
                let relevant: Vec<u32> = (0..5).filter(|item| set >> item & 1 == 1).collect();
                let other: Vec<u32> = relevant.iter().rev().map(|&item| renumbered(item)).collect();
                for length in 0..=4 {
                    let hits = Hits::new(&list[..length], &relevant).unwrap();
                    let mapped: Vec<u32> = list[..length].iter().map(|&item| renumbered(item)).collect();
                    assert_eq!(Some(&hits), Hits::new(&mapped, &other).as_ref());
                    for k in 0..6 {
                        let values = metrics(&hits, k);
                        let [hit, precision, recall, ndcg, _, average] = values;
                        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{list:?} {relevant:?} {k}");
                        assert!(values.iter().all(|&value| (value > 0.0) == (hit == 1.0)));
                        assert!(close(precision * k as f64, recall * relevant.len() as f64));
                        let best: Vec<u32> = (0..).take(k.min(relevant.len())).collect();
                        let perfect = k > 0 && hits.within(k) == best;
                        assert_eq!(ndcg == 1.0, perfect);
                        assert_eq!(average == 1.0, perfect);
                    }
                }
            }
        }
    }
}
