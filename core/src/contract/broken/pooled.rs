//! A sound regressor of one model for all groups, which leaves fitting to the trait.

use super::failed;
use super::groups::{Normal, dot};
use crate::contract::{Stop, group_regressor, group_regressor_with};
use crate::*;
use serde_json::json;

plugin! {
    /// Ridge regression on all rows.
    struct Pooled: GroupRegressor = "pooled" {
        /// Whether a row is predicted as if its label were known to be 0, after Vovk: not linear.
        forward: bool = false;
    }
}

impl GroupRegressor for Pooled {
    fn online(&self) -> bool {
        true
    }

    fn begin(&self, features: usize, groups: usize, _: &Run) -> Result<Box<dyn OnlineRegressor>> {
        Ok(Box::new(State { forward: self.forward, sizes: (features, groups), model: Normal::new(features) }))
    }
}

#[derive(Clone)]
struct State {
    forward: bool,
    sizes: (usize, usize),
    model: Normal,
}

impl State {
    fn value(&self, x: &[f64]) -> f64 {
        let mut model = self.model.clone();
        if self.forward {
            model.learn(x, Some(0.0));
        }
        dot(&model.weights, x)
    }
}

impl OnlineRegressor for State {
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>> {
        check_row(features, active, self.sizes)?;
        Ok(Some(self.value(features)))
    }

    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()> {
        check_row(features, active, self.sizes)?;
        if !label.is_finite() {
            return Err(Error::Diverged { what: "a label".into(), step: None });
        }
        self.model.learn(features, Some(label));
        Ok(())
    }

    fn freeze(&self) -> Box<dyn GroupPredictor> {
        Box::new(self.clone())
    }
}

impl GroupPredictor for State {
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()> {
        table.check_predicted(self.sizes, out)?;
        (0..).zip(out).for_each(|(row, out)| *out = self.value(table.row(row).0));
        Ok(())
    }

    fn predict_by(&self, group: usize, table: &GroupTable, out: &mut [f64]) -> Result<bool> {
        if group >= self.sizes.1 {
            return Err(Error::shape("group", format!("below {}", self.sizes.1), group));
        }
        GroupPredictor::predict(self, table, out).map(|()| true)
    }

    fn linear(&self, active: &[bool], out: &mut [f64]) -> Result<bool> {
        if self.forward {
            return Err(Error::Unsupported { plugin: "pooled".into(), operation: "stating a linear function" });
        }
        match (active.len() == self.sizes.1, out.split_last_mut()) {
            (true, Some((intercept, weights))) if weights.len() == self.sizes.0 => {
                weights.copy_from_slice(&self.model.weights);
                *intercept = 0.0;
                Ok(true)
            }
            _ => Err(Error::shape("groups, weights", format!("{:?}", self.sizes), out.len())),
        }
    }
}

#[test]
fn one_model_for_all_passes_linear_or_not() {
    let descriptor = Descriptor::<dyn GroupRegressor>::of::<Pooled>();
    let forward = group_regressor_with(&descriptor, &json!({ "forward": true }));
    for (outcomes, expected) in
        [(group_regressor(&descriptor), &["experts", "nobody"][..]), (forward, &["linear", "experts", "nobody"])]
    {
        let skipped = outcomes.iter().filter(|o| matches!(o.result, Err(Stop::Skipped(_)))).map(|o| o.check);
        assert_eq!((failed(&outcomes), skipped.collect::<Vec<_>>()), (vec![], expected.to_vec()), "{outcomes:#?}");
    }
}
