//! What was learned row by row, at one moment.

use super::{Forecaster, Rule, held};
use crate::group_models::Function;
use crate::least_squares::Fit;

/// A function that learns no more.
pub(super) struct Frozen {
    fit: Fit,
    /// P, where the row to be predicted counts: d x d.
    inverse: Option<Vec<f64>>,
    clip: bool,
}

impl Forecaster {
    /// What has been learned, its predictions held within 0 and 1 where that is asked for.
    pub(super) fn freeze(&self, clip: bool) -> Frozen {
        Frozen { fit: self.fit(), inverse: (self.rule() == Rule::Forward).then(|| self.inverse()), clip }
    }
}

impl Function for Frozen {
    fn predict(&self, features: &[f64]) -> f64 {
        let plain = self.fit.predict(features);
        let spread = self.inverse.as_ref().map_or(0.0, |inverse| {
            let dot = |row: &[f64]| row.iter().zip(features).map(|(p, x)| p * x).sum::<f64>();
            inverse.chunks_exact(features.len().max(1)).zip(features).map(|(row, x)| x * dot(row)).sum()
        });
        held(self.clip, plain / (1.0 + spread))
    }

    fn linear(&self) -> Option<&Fit> {
        (self.inverse.is_none() && !self.clip).then_some(&self.fit)
    }
}
