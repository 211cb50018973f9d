//! Fitted functions, one for each group or one for all rows.

use crate::least_squares::{self, Fit};
use crate::scope::Scope;
use evenhand_core::{Error, GroupPredictor, GroupTable, Result, Run, check_group, check_linear};
use rayon::prelude::*;

/// What has been learned from some rows.
pub(crate) trait Function: Send + Sync {
    /// What it says of those features.
    fn predict(&self, features: &[f64]) -> f64;

    /// Itself, where it is linear.
    fn linear(&self) -> Option<&Fit>;
}

/// The functions that group regressors have learned.
pub(crate) struct GroupModels<F> {
    /// Number of features and of groups.
    shape: (usize, usize),
    scope: Scope,
    /// One for each group, or a single one; `None` where there is nothing to predict with.
    models: Vec<Option<F>>,
    /// Whether each has learned from a row. One that has not may predict all the same, before it begins.
    begun: Vec<bool>,
}

impl GroupModels<Fit> {
    /// Least squares with that penalty.
    pub(crate) fn fit(scope: Scope, penalty: f64, table: &GroupTable, labels: &[f64], run: &Run) -> Result<Self> {
        table.check_labels(labels)?;
        run.check()?;
        let one = |rows: Vec<usize>| {
            run.check()?;
            Ok(least_squares::fit(table, &rows, labels, penalty))
        };
        let groups = table.groups().len();
        let models: Vec<Result<Option<Fit>>> = run.install(|| match scope {
            Scope::PerGroup => (0..groups).into_par_iter().map(|group| one(table.members(group))).collect(),
            Scope::Pooled => vec![one((0..table.rows()).collect())],
        });
        let models: Vec<_> = models.into_iter().collect::<Result<_>>()?;
        for model in models.iter().flatten() {
            if !model.weights.iter().chain([&model.intercept]).all(|v| v.is_finite()) {
                return Err(Error::Diverged { what: "a weight".into(), step: None });
            }
        }
        let begun = models.iter().map(Option::is_some).collect();
        Ok(Self { shape: (table.features(), groups), scope, models, begun })
    }
}

impl<F: Function> GroupModels<F> {
    /// Models of `shape`, so many features and groups, with whether each has learned from a row.
    pub(crate) fn online(scope: Scope, shape: (usize, usize), models: impl Iterator<Item = (F, bool)>) -> Self {
        let (models, begun) = models.map(|(model, begun)| (Some(model), begun)).unzip();
        Self { shape, scope, models, begun }
    }

    /// The model of a group, once it has learned from a row.
    fn model(&self, group: usize) -> Option<&F> {
        let at = if self.scope == Scope::Pooled { 0 } else { group };
        self.models[at].as_ref().filter(|_| self.begun[at])
    }

    /// The models behind the prediction of rows in those groups: the mean of what they say.
    fn behind<'a>(&'a self, active: &'a [bool]) -> impl Iterator<Item = &'a F> + Clone + 'a {
        // A pooled model speaks once, for rows in no group as well.
        let pooled = [true];
        let open = if self.scope == Scope::Pooled { pooled.len() } else { 0 };
        let of_all = self.models[..open].iter().flatten();
        let of_groups = if open > 0 { &[] } else { self.models.as_slice() };
        of_all
            .chain(of_groups.iter().zip(active).filter(|(_, active)| **active).filter_map(|(model, _)| model.as_ref()))
    }
}

impl Function for Fit {
    fn predict(&self, features: &[f64]) -> f64 {
        // Eight sums, which the compiler turns into vectors.
        let (x, w) = (features.as_chunks::<8>(), self.weights.as_chunks::<8>());
        let mut sums = [0.0; 8];
        for (x, w) in x.0.iter().zip(w.0) {
            for n in 0..8 {
                sums[n] += x[n] * w[n];
            }
        }
        let rest: f64 = x.1.iter().zip(w.1).map(|(x, w)| x * w).sum();
        let [a, b, c, d, e, f, g, h] = sums;
        self.intercept + (rest + (((a + e) + (c + g)) + ((b + f) + (d + h))))
    }

    fn linear(&self) -> Option<&Fit> {
        Some(self)
    }
}

impl<F: Function> GroupPredictor for GroupModels<F> {
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()> {
        table.check_predicted(self.shape, out)?;
        for (row, out) in out.iter_mut().enumerate() {
            let (features, active) = table.row(row);
            let (sum, count) =
                self.behind(active).fold((0.0, 0), |(sum, count), model| (sum + model.predict(features), count + 1));
            *out = if count > 0 { sum / f64::from(count) } else { f64::NAN };
        }
        Ok(())
    }

    fn predict_by(&self, group: usize, table: &GroupTable, out: &mut [f64]) -> Result<bool> {
        table.check_predicted(self.shape, out)?;
        check_group(group, self.shape.1)?;
        let Some(model) = self.model(group) else { return Ok(false) };
        out.iter_mut().enumerate().for_each(|(row, out)| *out = model.predict(table.row(row).0));
        Ok(true)
    }

    fn linear(&self, active: &[bool], out: &mut [f64]) -> Result<bool> {
        check_linear(active, out, self.shape)?;
        if self.models.iter().flatten().any(|model| model.linear().is_none()) {
            let operation = "stating a linear function: its predictions are not linear in the features";
            return Err(Error::Unsupported { plugin: "this group regressor".into(), operation });
        }
        let models = self.behind(active).filter_map(Function::linear);
        let count = models.clone().count() as f64;
        if count == 0.0 {
            return Ok(false);
        }
        out.fill(0.0);
        for Fit { weights, intercept } in models {
            out.iter_mut().zip(weights.iter().chain([intercept])).for_each(|(sum, w)| *sum += w);
        }
        out.iter_mut().for_each(|sum| *sum /= count);
        Ok(true)
    }
}
