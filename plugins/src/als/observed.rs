//! What is observed of one side, and what it weighs in the equations of a half-step.

use super::{Als, FeedbackKind};
use crate::linear::Real;
use evenhand_core::Compressed;

/// The ratings of one side, and how often each was observed where repeated ones have been joined.
#[derive(Clone, Copy)]
pub(super) struct Observed<'a> {
    pub(super) rows: &'a Compressed,
    /// Aligned with the values of `rows`; `None`: once each.
    pub(super) repeats: Option<&'a [f32]>,
}

impl<'a> Observed<'a> {
    /// How often each rating of `entity` was observed.
    #[inline(always)]
    pub(super) fn repeats(&self, entity: usize) -> Option<&'a [f32]> {
        match self.repeats {
            Some(all) => Some(&all[self.rows.offsets()[entity]..self.rows.offsets()[entity + 1]]),
            None => None,
        }
    }
}

/// What the ratings of one entity weigh in its equations.
pub(super) struct Weights<T> {
    /// Of y y'.
    pub(super) left: Vec<T>,
    /// Of y.
    pub(super) right: Vec<T>,
}

impl<T: Real> Weights<T> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { left: Vec::new(), right: Vec::new() }
    }

    /// The weights of an entity's ratings, and how often ratings (implicit: above 0) were observed.
    #[inline(always)]
    pub(super) fn fill(&mut self, als: &Als, values: &[f32], repeats: Option<&[f32]>) -> f64 {
        let implicit = als.feedback == FeedbackKind::Implicit;
        let alpha = T::of(als.alpha);
        self.left.resize(values.len(), T::ZERO);
        self.right.resize(values.len(), T::ZERO);
        let mut count = 0.0;
        for (n, &value) in values.iter().enumerate() {
            let (mut left, mut right, mut times) = (T::ONE, T::of(f64::from(value)), 1.0);
            if implicit {
                left = alpha * T::of(f64::from(value.abs()));
                right = if value > 0.0 { T::ONE + left } else { T::ZERO };
            }
            if let Some(repeats) = repeats {
                times = f64::from(repeats[n]);
                left = T::of(times) * left;
                right = T::of(times) * right;
            }
            if !implicit || value > 0.0 {
                count += times;
            }
            self.left[n] = left;
            self.right[n] = right;
        }
        count
    }
}
