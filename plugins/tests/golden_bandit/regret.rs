//! Means, noisy ratings in both modes, best values, regret and squared error of a batch of recommendations.

use super::columns;
use super::golden::{File, Tolerance};
use evenhand_core::{Audit, Run};
use evenhand_plugins::user_item::{Truth, observed};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    user_attributes: Vec<Vec<f64>>,
    item_attributes: Vec<Vec<f64>>,
    user_ids: Vec<u32>,
    item_ids: Vec<u32>,
    predicted_rating: Option<Vec<f32>>,
    noise_sd: f64,
    standard_normal_batch: f64,
    standard_normal_rows: Vec<f64>,
    actual_rating_mean: Vec<f64>,
    actual_rating_batch_noise: Vec<f64>,
    actual_rating_row_noise: Vec<f64>,
    best_rating_mean: Vec<f64>,
    best_item: Vec<u32>,
    regret: Vec<f64>,
    mean_regret: f64,
    ratings_mse: Option<f64>,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<Case>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| c.check(tolerance).map_err(|e| format!("{}: {e}", c.name)))?;
    Ok(cases.len())
}

impl Case {
    fn check(&self, tolerance: Tolerance) -> Result<(), String> {
        let rank = self.user_attributes.first().map_or(0, Vec::len);
        let (users, items) = (columns(&self.user_attributes, rank)?, columns(&self.item_attributes, rank)?);
        let (rows, count) = (self.user_ids.len(), items.ncols());
        let truth = Truth::new(users, items).map_err(|e| e.to_string())?;
        let of = |items: &[u32]| -> Vec<f64> {
            self.user_ids.iter().zip(items).map(|(&user, &item)| truth.expected(user, item)).collect()
        };
        let rated = |expected: &[f64], draws: &[f64]| -> Vec<f64> {
            expected.iter().zip(draws).map(|(&mean, &draw)| observed(mean, self.noise_sd, draw)).collect()
        };
        let expected = of(&self.item_ids);
        let observed = rated(&expected, &self.standard_normal_rows);
        let batch = rated(&expected, &vec![self.standard_normal_batch; rows]);
        let best = truth.best(&self.user_ids, count, 1, &Run::new(0)).map_err(|e| e.to_string())?;
        let audit = Audit { expected, best, observed };
        let regrets: Vec<f64> = audit.regrets(1).collect();
        for (what, got, expected) in [
            ("mean", &audit.expected, &self.actual_rating_mean),
            ("rating, one draw per row", &audit.observed, &self.actual_rating_row_noise),
            ("rating, one draw per batch", &batch, &self.actual_rating_batch_noise),
            ("best mean", &audit.best, &self.best_rating_mean),
            ("mean of the best item", &of(&self.best_item), &self.best_rating_mean),
            ("regret", &regrets, &self.regret),
        ] {
            if [got.len(), expected.len()] != [rows; 2] {
                return Err(format!("{what}: {} of {} values for {rows} rows", got.len(), expected.len()));
            }
            let mut both = got.iter().zip(expected);
            both.try_for_each(|(&got, &expected)| tolerance.near(what, got, expected))?;
        }
        tolerance.near("mean regret", audit.mean_regret(1).unwrap_or(f64::NAN), self.mean_regret)?;
        let none = vec![f32::NAN; rows];
        let error = audit.squared_error(self.predicted_rating.as_ref().unwrap_or(&none));
        match (error, self.ratings_mse) {
            (Some(got), Some(expected)) => tolerance.near("squared error", got, expected),
            (None, None) => Ok(()),
            (got, expected) => Err(format!("squared error: {got:?}, expected {expected:?}")),
        }
    }
}
