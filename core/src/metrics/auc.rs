//! Held-out items ranked among all their candidates.
//!
//! Leave-one-out: the held-out item `t` of a user with score `s_t` competes with all `n` items that are neither seen by
//! the user nor held out. With `g` candidates of strictly greater and `e` of exactly equal score:
//!
//! * `rank = g + e`: every tie counts against the held-out item, so a constant model earns AUC 0 and not 0.5;
//! * `HR@K = [rank < K]`, `nDCG@K = [rank < K] ln 2 / ln(rank + 2)`;
//! * `AUC = 1 - rank / n`, and with half ties `1 - (g + e/2) / n`, the probability that the held-out item beats a
//!   random candidate, a tie broken by a fair coin. Report both where they differ by more than `1e-6`.
//!
//! K for all of HR and nDCG costs one pass: keep the [`Position`]. With NaN every comparison is false, which would read as
//! rank 0, a perfect score; so a score that is not finite is an error. Seen items may hold anything (a mask, say).
//!
//! Sources: He, He, Du & Chua 2018, "Adversarial personalized ranking for recommendation" (leave-one-out over all items);
//! Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback" (AUC per user); Hanley & McNeil 1982,
//! "The meaning and use of the area under a ROC curve" (half ties).

use std::slice;

use super::candidates::{NonFinite, runs, score};
use super::ranking::discount;
use super::targets::Targets;

/// Where one held-out item stands among its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Candidates with a strictly greater score.
    pub greater: u32,
    /// Candidates with exactly the same score, the item itself not counted.
    pub equal: u32,
    /// All candidates, the item itself not counted.
    pub candidates: u32,
}

impl Position {
    /// Counts the position of `item` among all items of `scores` (one per item) that are not in the ascending list
    /// `excluded`. It makes no difference whether `excluded` holds `item` itself. One pass, no allocation.
    ///
    /// # Errors
    /// When the score of `item`, or else of a candidate, is not finite; names the first such item.
    ///
    /// # Panics
    /// When `excluded` is not ascending, or it or `item` lies outside of `scores`.
    pub fn count(scores: &[f32], item: u32, excluded: &[u32]) -> Result<Self, NonFinite> {
        let mut position = Self::default();
        let runs = runs(scores, [excluded, slice::from_ref(&item)]);
        let target = score(scores, item)?;
        for rivals in runs {
            let rivals = rivals?;
            pass_for_each(rivals, &[target], slice::from_mut(&mut position));
            position.candidates += rivals.len() as u32;
        }
        Ok(position)
    }

    /// Counts the position of each item of `held_out` among all items of `scores` (one per item) in neither ascending list,
    /// `held_out` or `excluded`: so one held-out item never counts against another. The lists may overlap.
    ///
    /// Costs `O(I log R)` for `I` items, `R` held out (a vectorised pass for each where they are few).
    ///
    /// # Errors
    /// When the score of a held-out item, or else of a candidate, is not finite; names the first such item.
    ///
    /// # Panics
    /// When a list is not ascending or reaches outside of `scores`.
    pub fn count_all(scores: &[f32], held_out: &[u32], excluded: &[u32]) -> Result<Vec<Self>, NonFinite> {
        let runs = runs(scores, [excluded, held_out]);
        let targets = held_out.iter().map(|&item| score(scores, item)).collect::<Result<Vec<_>, _>>()?;
        let mut positions = vec![Self::default(); targets.len()];
        let mut candidates = 0;
        if targets.len() <= FEW {
            for rivals in runs {
                let rivals = rivals?;
                pass_for_each(rivals, &targets, &mut positions);
                candidates += rivals.len() as u32;
            }
        } else {
            let mut sorted = Targets::default();
            sorted.set(&targets);
            for rivals in runs {
                let rivals = rivals?;
                for rivals in rivals.chunks(Targets::LANES) {
                    let mut scores = [f32::NEG_INFINITY; Targets::LANES];
                    scores[..rivals.len()].copy_from_slice(rivals);
                    let below = |score: f32| sorted.ascending().partition_point(|&target| target < score);
                    sorted.add(scores, scores.map(below));
                }
                candidates += rivals.len() as u32;
            }
            sorted.finish(&mut positions);
        }
        positions.iter_mut().for_each(|position| position.candidates = candidates);
        Ok(positions)
    }

    /// Rank from 0 with every tie against the item: `greater + equal`.
    pub fn rank(&self) -> u32 {
        self.greater + self.equal
    }

    /// `1 - rank / candidates`, in 0 to 1, larger is better; `None` without candidates. Rendle et al. 2009.
    pub fn auc(&self) -> Option<f64> {
        self.share(f64::from(self.rank()))
    }

    /// `1 - (greater + equal/2) / candidates`, in 0 to 1; `None` without candidates. Hanley & McNeil 1982.
    pub fn auc_half_ties(&self) -> Option<f64> {
        self.share(f64::from(self.greater) + f64::from(self.equal) / 2.0)
    }

    /// Hit rate: 1 when the item is among the first `k`, else 0. Has a value without candidates too (rank 0).
    pub fn hit_at(&self, k: usize) -> f64 {
        f64::from(u8::from((self.rank() as usize) < k))
    }

    /// `ln 2 / ln(rank + 2)` when the item is among the first `k`, else 0: nDCG with one relevant item, in 0 to 1.
    /// Järvelin & Kekäläinen 2002.
    pub fn ndcg_at(&self, k: usize) -> f64 {
        self.hit_at(k) * discount(self.rank())
    }

    /// One less the share of the candidates that stand before the item.
    fn share(&self, before: f64) -> Option<f64> {
        (self.candidates > 0).then(|| 1.0 - before / f64::from(self.candidates))
    }
}

/// Area under the ROC curve of one user under both rules for ties; each in 0 to 1, larger is better, 0.5 is chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auc {
    /// A tie counts against the held-out item.
    pub strict: f64,
    /// A tie counts half; never below `strict`.
    pub half_ties: f64,
}

impl Auc {
    /// Mean of [`Position::auc`] and [`Position::auc_half_ties`] over all held-out items of one user, `None` without any or
    /// without candidates. The sums of `greater` and `equal` are exact; one final division.
    ///
    /// # Panics
    /// When the positions are not among equally many candidates: they belong to different users.
    pub fn from_positions(positions: &[Position]) -> Option<Self> {
        let candidates = u64::from(positions.first()?.candidates);
        let (mut greater, mut equal) = (0, 0);
        for position in positions {
            assert_eq!(
                u64::from(position.candidates),
                candidates,
                "held-out items of one user compete with the same ones"
            );
            greater += u64::from(position.greater);
            equal += u64::from(position.equal);
        }
        let pairs = candidates * positions.len() as u64;
        let auc = |before: f64| 1.0 - before / pairs as f64;
        let half_ties = auc(greater as f64 + equal as f64 / 2.0);
        (pairs > 0).then(|| Self { strict: auc((greater + equal) as f64), half_ties })
    }
}

/// Mean AUC of several held-out items of one user: [`Auc::from_positions`] of [`Position::count_all`]. Rendle et al. 2009.
///
/// # Errors
/// When the score of a held-out item, or else of a candidate, is not finite; names the first such item.
///
/// # Panics
/// When a list is not ascending or reaches outside of `scores`.
pub fn mean_auc(scores: &[f32], held_out: &[u32], excluded: &[u32]) -> Result<Option<Auc>, NonFinite> {
    Ok(Auc::from_positions(&Position::count_all(scores, held_out, excluded)?))
}

/// Up to this many held-out items one vectorised pass for each is faster than a binary search for each candidate.
const FEW: usize = 64;

/// Adds to each position the scores that are greater than and equal to its target.
fn pass_for_each(scores: &[f32], targets: &[f32], positions: &mut [Position]) {
    for (position, &target) in positions.iter_mut().zip(targets) {
        let (greater, equal) = tally(scores, target);
        position.greater += greater;
        position.equal += equal;
    }
}

/// How many scores are greater than and equal to `target`. Without branches, so that it is vectorised.
fn tally(scores: &[f32], target: f32) -> (u32, u32) {
    scores.iter().fold((0, 0), |(greater, equal), &score| {
        (greater + u32::from(score > target), equal + u32::from(score == target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-15
    }

    /// Users 3 and 0 of the reference case `eval_ties_integer` (dot products of its integer embeddings).
    #[test]
    fn reference_case() {
        let scores = [-2., 1., 0., -1., -2., -2., 0., 2., -1., -1., -1., 2., 0., 2., -1.];
        let position = Position::count(&scores, 14, &[1, 3, 4, 9, 11]).unwrap();
        assert_eq!(position, Position { greater: 5, equal: 2, candidates: 9 });
        assert!(close(position.auc().unwrap(), 0.2222222222222222));
        assert!(close(position.auc_half_ties().unwrap(), 0.33333333333333337));
        assert_eq!([1, 5, 7, 8, 10].map(|k| position.hit_at(k)), [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(position.ndcg_at(5), 0.0);
        assert!(close(position.ndcg_at(10), 0.3154648767857287));

        let scores = [-1., 0., 1., 0., -1., -1., -1., 1., 0., 0., 0., 1., 1., 1., -1.];
        let position = Position::count(&scores, 6, &[3, 9, 14]).unwrap();
        assert_eq!(position, Position { greater: 8, equal: 3, candidates: 11 });
        assert_eq!(position.auc(), Some(0.0));
        assert!(close(position.auc_half_ties().unwrap(), 0.13636363636363635));
    }

    #[test]
    fn a_constant_model_earns_nothing() {
        let position = Position::count(&[0.0, -0.0, 0.0, 0.0, 0.0], 2, &[4]).unwrap();
        assert_eq!((position.auc(), position.auc_half_ties()), (Some(0.0), Some(0.5)));
        assert_eq!((position.hit_at(3), position.hit_at(4)), (0.0, 1.0));
        assert_eq!(mean_auc(&[-0.0, 0.0, 0.0], &[0, 1], &[]), Ok(Some(Auc { strict: 0.0, half_ties: 0.5 })));
    }

    #[test]
    fn without_candidates_there_is_no_auc() {
        let position = Position::count(&[1.0, 2.0], 1, &[0]).unwrap();
        assert_eq!((position.candidates, position.auc(), position.auc_half_ties()), (0, None, None));
        assert_eq!((position.hit_at(1), position.ndcg_at(1)), (1.0, 1.0));
        assert_eq!(mean_auc(&[1.0, 2.0], &[1], &[0]), Ok(None));
        assert_eq!(mean_auc(&[1.0, 2.0], &[], &[0]), Ok(None));
    }

    #[test]
    fn a_score_that_is_not_finite_is_an_error() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let scores = [0.0, bad, 1.0, bad];
            assert_eq!(Position::count(&scores, 0, &[]), Err(NonFinite { item: 1 }));
            assert_eq!(Position::count(&scores, 3, &[]), Err(NonFinite { item: 3 }));
            assert_eq!(Position::count(&scores, 3, &[1, 3]), Err(NonFinite { item: 3 }));
            assert!(Position::count(&scores, 0, &[1, 3]).is_ok());
            assert_eq!(mean_auc(&scores, &[0, 3], &[1]), Err(NonFinite { item: 3 }));
            assert_eq!(mean_auc(&scores, &[0], &[1]), Err(NonFinite { item: 3 }));
            assert!(mean_auc(&scores, &[0], &[1, 3]).is_ok());
        }
    }

    /// Straight from the definition: every pair of a held-out item and a candidate.
    fn every_pair(scores: &[f32], held_out: &[u32], excluded: &[u32]) -> Vec<Position> {
        let free = |item: &u32| !held_out.contains(item) && !excluded.contains(item);
        let rivals: Vec<f32> = (0..scores.len() as u32).filter(free).map(|item| scores[item as usize]).collect();
        let position = |&item: &u32| {
            let target = scores[item as usize];
            let greater = rivals.iter().filter(|&&rival| rival > target).count() as u32;
            let equal = rivals.iter().filter(|&&rival| rival == target).count() as u32;
            Position { greater, equal, candidates: rivals.len() as u32 }
        };
        held_out.iter().map(position).collect()
    }

    /// Every table of 5 scores of 3 values, every choice of items held out, excluded, both or neither.
    #[test]
    fn agrees_with_the_definition_in_any_order() {
        for table in 0..3u32.pow(5) {
            let scores: Vec<f32> = (0..5).map(|digit| (table / 3u32.pow(digit) % 3) as f32 - 1.0).collect();
            for roles in 0..4u32.pow(5) {
                let list = |bit: u32| (0..5).filter(|item| roles >> (2 * item + bit) & 1 == 1).collect::<Vec<u32>>();
                let (held_out, excluded) = (list(0), list(1));
                let expected = every_pair(&scores, &held_out, &excluded);
                assert_eq!(Position::count_all(&scores, &held_out, &excluded).as_ref(), Ok(&expected));
                let found = mean_auc(&scores, &held_out, &excluded).unwrap();
                let mean = |of: fn(&Position) -> Option<f64>| {
                    let values: Option<Vec<f64>> = expected.iter().map(of).collect();
                    values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
                };
                assert_eq!(found.is_some(), mean(Position::auc).is_some());
                if let Some(auc) = found {
                    assert!(close(auc.strict, mean(Position::auc).unwrap()));
                    assert!(close(auc.half_ties, mean(Position::auc_half_ties).unwrap()));
                    assert!(0.0 <= auc.strict && auc.strict <= auc.half_ties && auc.half_ties <= 1.0);
                }
                if let [item] = held_out[..] {
                    assert_eq!(Position::count(&scores, item, &excluded), Ok(expected[0]));
                    let moved: Vec<f32> = scores.iter().rev().copied().collect();
                    let elsewhere: Vec<u32> = excluded.iter().rev().map(|e| 4 - e).collect();
                    assert_eq!(Position::count(&moved, 4 - item, &elsewhere), Ok(expected[0]));
                }
                // A rotation and a swap generate every order.
                for renumber in [|item: u32| (item + 1) % 5, |item: u32| if item < 2 { 1 - item } else { item }] {
                    let mut moved = scores.clone();
                    (0..5).for_each(|item| moved[renumber(item) as usize] = scores[item as usize]);
                    let rename = |items: &[u32]| {
                        let mut items: Vec<u32> = items.iter().map(|&item| renumber(item)).collect();
                        items.sort_unstable();
                        items
                    };
                    assert_eq!(mean_auc(&moved, &rename(&held_out), &rename(&excluded)), Ok(found));
                }
            }
        }
    }

    #[test]
    fn many_held_out_items_agree_with_the_definition() {
        let scores: Vec<f32> = (0..997).map(|item| (item * item % 101) as f32).collect();
        let held_out: Vec<u32> = (0..997).step_by(3).collect();
        let excluded: Vec<u32> = (0..997).step_by(5).collect();
        for held_out in [&held_out[..], &held_out[..FEW], &held_out[..FEW + 1]] {
            let expected = every_pair(&scores, held_out, &excluded);
            assert_eq!(Position::count_all(&scores, held_out, &excluded).as_ref(), Ok(&expected));
            let mean = |of: fn(&Position) -> Option<f64>| {
                expected.iter().map(|position| of(position).unwrap()).sum::<f64>() / expected.len() as f64
            };
            let auc = mean_auc(&scores, held_out, &excluded).unwrap().unwrap();
            assert!((auc.strict - mean(Position::auc)).abs() < 1e-12);
            assert!((auc.half_ties - mean(Position::auc_half_ties)).abs() < 1e-12);
        }
    }

    #[test]
    #[should_panic(expected = "compete with the same ones")]
    fn positions_of_different_users_have_no_common_auc() {
        let _ = Auc::from_positions(&[1, 2].map(|candidates| Position { candidates, ..Position::default() }));
    }
}
