//! The scores that a held-out item competes with: all items outside of given lists, every score checked to be finite.
//!
//! They are handed out as runs, the stretches between listed items, so that counting is a loop over plain slices.

use std::fmt;

use super::ascending;

/// A score that is NaN or infinite where a held-out item is ranked: the model has diverged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// Index of the item with that score.
    pub item: u32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the score of item {} is not finite", self.item)
    }
}

impl std::error::Error for NonFinite {}

/// The score of `item`.
pub(super) fn score(scores: &[f32], item: u32) -> Result<f32, NonFinite> {
    let score = scores[item as usize];
    if score.is_finite() { Ok(score) } else { Err(NonFinite { item }) }
}

/// The runs of scores of the items in neither of two ascending lists, in order; some may be empty. What the lists hold
/// is not looked at.
pub(super) fn runs<'a>(
    scores: &'a [f32],
    mut lists: [&'a [u32]; 2],
) -> impl Iterator<Item = Result<&'a [f32], NonFinite>> {
    let items = scores.len();
    assert!(u32::try_from(items).is_ok(), "items are numbered by u32");
    for list in lists {
        assert!(ascending(list), "items must be ascending and distinct");
        assert!(list.last().is_none_or(|&last| (last as usize) < items), "item outside of 0..{items}");
    }
    let mut start = 0;
    std::iter::from_fn(move || {
        let stop = lists.iter().filter_map(|list| list.first().copied()).min();
        for list in &mut lists {
            *list = &list[usize::from(stop.is_some() && list.first().copied() == stop)..];
        }
        let first = start;
        let end = stop.map_or(items, |item| item as usize);
        start = end + 1;
        // After the last run the start has passed the end.
        (first <= items).then(|| finite(&scores[first..end], first))
    })
}

/// The same scores when all are finite; `first` is the item of the first one.
fn finite(scores: &[f32], first: usize) -> Result<&[f32], NonFinite> {
    // The usual case takes no branch per score, so that it is vectorised.
    if scores.iter().fold(true, |sound, score| sound & score.is_finite()) {
        return Ok(scores);
    }
    let before = scores.iter().take_while(|score| score.is_finite()).count();
    Err(NonFinite { item: (first + before) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(scores: &[f32], lists: [&[u32]; 2]) -> Result<Vec<f32>, NonFinite> {
        runs(scores, lists).collect::<Result<Vec<_>, _>>().map(|runs| runs.concat())
    }

    #[test]
    fn items_in_neither_list() {
        let scores = [0., 1., 2., 3., 4., 5.];
        assert_eq!(listed(&scores, [&[], &[]]), Ok(scores.to_vec()));
        assert_eq!(listed(&scores, [&[0, 3], &[3, 4]]), Ok(vec![1., 2., 5.]));
        assert_eq!(listed(&scores, [&[5], &[0, 1, 2, 3, 4]]), Ok(vec![]));
        assert_eq!(listed(&[], [&[], &[]]), Ok(vec![]));
    }

    #[test]
    fn only_candidates_must_be_finite() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let scores = [0.0, bad, 1.0, bad];
            assert_eq!(listed(&scores, [&[1], &[3]]), Ok(vec![0.0, 1.0]));
            assert_eq!(listed(&scores, [&[0, 1], &[]]), Err(NonFinite { item: 3 }));
            assert_eq!(listed(&scores, [&[], &[]]), Err(NonFinite { item: 1 }));
            assert_eq!(score(&scores, 3), Err(NonFinite { item: 3 }));
        }
        assert_eq!(NonFinite { item: 3 }.to_string(), "the score of item 3 is not finite");
    }

    #[test]
    #[should_panic(expected = "ascending")]
    fn lists_must_be_ascending() {
        let _ = runs(&[0.0; 3], [&[2, 1], &[]]);
    }

    #[test]
    #[should_panic(expected = "outside of 0..3")]
    fn items_must_exist() {
        let _ = runs(&[0.0; 3], [&[], &[3]]);
    }
}
