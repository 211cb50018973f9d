//! The training rows as the network sees them: what goes in, what should come out, by item and by user.

use super::{Autoencoder, Missing};
use crate::linear::Real;
use crate::squash::{Shape, Squash};
use evenhand_core::{Interactions, Scale};

/// From ratings to inputs, and from outputs to predictions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coding {
    /// An input is (rating - shift) / span.
    shift: f64,
    span: f64,
    /// The input of a pair without a rating.
    pub(super) missing: f64,
    /// From the output of the decoder to the prediction.
    pub(super) squash: Squash,
}

impl Coding {
    pub(super) fn new(recipe: &Autoencoder, scale: Scale) -> Self {
        let (low, high) = (f64::from(scale.low), f64::from(scale.high));
        let (shift, span, squash) = match recipe.squash.for_scale(scale) {
            Shape::Tanh => (0.0, 1.0, Squash::Tanh),
            Shape::None => (0.0, 1.0, Squash::None),
            Shape::FiveStars | Shape::Auto => {
                // All ratings equal: any span will do.
                let span = if high > low { high - low } else { 1.0 };
                (low, span, Squash::Clamp { low: 0.0, high: 1.0, scale: span, shift: low })
            }
        };
        let missing = match recipe.missing {
            Missing::Zero => 0.0,
            Missing::Seed => (0.0 - shift) / span,
        };
        Self { shift, span, missing, squash }
    }
}

/// Training rows, by item and by user.
///
/// Items stand in an order of their own: place p holds item `order[p]`. Inputs are what remains of the coded rating
/// after the constant for missing pairs has been taken off; several ratings of one pair enter with their mean, and each
/// is a target.
pub(super) struct Ratings<T> {
    pub(super) users: usize,
    pub(super) order: Vec<u32>,
    pub(super) by_item: Side<T>,
    pub(super) by_user: Side<T>,
    /// For every row by item, its place by user.
    pub(super) place: Vec<u32>,
    /// The input of a missing pair, once for every user; empty where it is 0.
    pub(super) missing: Vec<T>,
    /// A one for every item.
    pub(super) ones: Vec<T>,
}

/// One direction: the partners of every entity, with input and target.
pub(super) struct Side<T> {
    pub(super) offsets: Vec<usize>,
    pub(super) partners: Vec<u32>,
    pub(super) inputs: Vec<T>,
    pub(super) targets: Vec<T>,
}

impl<T: Real> Ratings<T> {
    pub(super) fn new(train: &Interactions, coding: Coding, order: Vec<u32>) -> Self {
        let (users, items) = (train.users(), train.items());
        let mut places = vec![0u32; items];
        order.iter().zip(0..).for_each(|(&item, place)| places[item as usize] = place);
        let by_user = Side {
            offsets: train.by_user().offsets().to_vec(),
            partners: train.by_user().all_partners().iter().map(|&item| places[item as usize]).collect(),
            inputs: (0..users).flat_map(|user| inputs(train, coding, user)).map(T::of).collect(),
            targets: train.by_user().all_values().iter().map(|&v| T::of(f64::from(v))).collect(),
        };
        let mut by_item = Side { offsets: vec![0], partners: vec![], inputs: vec![], targets: vec![] };
        for &item in &order {
            by_item
                .offsets
                .push(by_item.offsets.last().expect("starts with one") + train.by_item().count(item as usize));
        }
        let rows = train.len();
        by_item.partners.resize(rows, 0);
        by_item.inputs.resize(rows, T::ZERO);
        by_item.targets.resize(rows, T::ZERO);
        let (mut next, mut place) = (by_item.offsets.clone(), vec![0u32; rows]);
        for user in 0..users {
            for n in by_user.rows(user) {
                let at = &mut next[by_user.partners[n] as usize];
                by_item.partners[*at] = user as u32;
                by_item.inputs[*at] = by_user.inputs[n];
                by_item.targets[*at] = by_user.targets[n];
                place[*at] = n as u32;
                *at += 1;
            }
        }
        let missing = vec![T::of(coding.missing); if coding.missing == 0.0 { 0 } else { users }];
        Self { users, order, by_item, by_user, place, missing, ones: vec![T::ONE; items] }
    }

    pub(super) fn items(&self) -> usize {
        self.order.len()
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.place.len()
    }
}

impl<T> Side<T> {
    /// The rows of an entity.
    #[inline(always)]
    pub(super) fn rows(&self, entity: usize) -> std::ops::Range<usize> {
        self.offsets[entity]..self.offsets[entity + 1]
    }
}

/// The inputs of a user's rows.
fn inputs(train: &Interactions, coding: Coding, user: usize) -> impl Iterator<Item = f64> {
    let (partners, values) = (train.by_user().partners(user), train.by_user().values(user));
    let pairs = partners.chunk_by(|a, b| a == b).flat_map(|same| vec![1.0 / same.len() as f64; same.len()]);
    values
        .iter()
        .zip(pairs)
        .map(move |(&v, share)| ((f64::from(v) - coding.shift) / coding.span - coding.missing) * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::Rows;

    #[test]
    fn rows_in_another_order_of_items() {
        let mut rows = Rows::default();
        for (user, item, value) in [(0, 0, 5.0), (0, 1, 1.0), (1, 1, 3.0), (1, 1, 5.0)] {
            rows.push(user, item, value);
        }
        let train = Interactions::new(2, 2, &rows).unwrap();
        let recipe = Autoencoder { missing: Missing::Seed, ..Autoencoder::default() };
        let coding = Coding::new(&recipe, Scale::FIVE_STARS);
        assert_eq!(coding.missing, -0.25);
        let ratings = Ratings::<f64>::new(&train, coding, vec![1, 0]);
        assert_eq!(ratings.by_user.partners, [1, 0, 0, 0]);
        assert_eq!(ratings.by_item.offsets, [0, 3, 4]);
        assert_eq!(ratings.by_item.partners, [0, 1, 1, 0]);
        assert_eq!(ratings.place, [1, 2, 3, 0]);
        // 1, 3 and 5 stars are 0, 0.5 and 1; the last two are halved; -0.25 is taken off before.
        assert_eq!(ratings.by_item.inputs, [0.25, 0.375, 0.625, 1.25]);
        assert_eq!(ratings.by_item.targets, [1.0, 3.0, 5.0, 5.0]);
    }
}
