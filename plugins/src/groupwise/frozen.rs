//! Experts and their shares at one moment, to predict with.

use super::candidates;
use evenhand_core::{Error, GroupPredictor, GroupTable, Mixing, Result};
use nalgebra::DMatrix;
use std::collections::HashMap;

pub(super) struct Frozen {
    shape: (usize, usize),
    /// One for each group, then the one for all rows; each learned from tables of one group.
    experts: Vec<Box<dyn GroupPredictor>>,
    mixing: Box<dyn Mixing>,
    always_on: bool,
}

impl Frozen {
    pub(super) fn new(
        shape: (usize, usize),
        experts: Vec<Box<dyn GroupPredictor>>,
        mixing: Box<dyn Mixing>,
        always_on: bool,
    ) -> Self {
        Self { shape, experts, mixing, always_on }
    }

    /// The same rows for an expert, who knows one group that all are in.
    fn of_one_group(table: &GroupTable) -> Result<GroupTable> {
        let membership = DMatrix::from_element(1, table.rows(), true);
        GroupTable::new(table.matrix().clone(), membership, table.feature_names().to_vec(), vec!["all".into()])
    }
}

impl GroupPredictor for Frozen {
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()> {
        table.check_predicted(self.shape, out)?;
        let rows = table.rows();
        let single = Self::of_one_group(table)?;
        let mut said = vec![0.0; self.experts.len() * rows];
        for (expert, said) in self.experts.iter().zip(said.chunks_exact_mut(rows.max(1))) {
            expert.predict(&single, said)?;
        }
        // Shares depend on who is awake alone.
        let mut shares: HashMap<Vec<usize>, Vec<f64>> = HashMap::new();
        let mut awake = Vec::new();
        for (row, out) in out.iter_mut().enumerate() {
            let said = |expert: usize| said[expert * rows + row];
            awake.clear();
            awake.extend(candidates(table.row(row).1, self.always_on).filter(|&expert| !said(expert).is_nan()));
            if awake.is_empty() {
                *out = f64::NAN;
                continue;
            }
            if !shares.contains_key(&awake) {
                let mut new = vec![0.0; awake.len()];
                self.mixing.shares(&awake, &mut new);
                shares.insert(awake.clone(), new);
            }
            *out = awake.iter().zip(&shares[&awake]).map(|(&expert, share)| share * said(expert)).sum();
        }
        Ok(())
    }

    fn predict_by(&self, group: usize, table: &GroupTable, out: &mut [f64]) -> Result<bool> {
        table.check_predicted(self.shape, out)?;
        if group >= self.shape.1 {
            return Err(Error::shape("group", format!("below {}", self.shape.1), group));
        }
        self.experts[group].predict_by(0, &Self::of_one_group(table)?, out)
    }

    fn linear(&self, active: &[bool], out: &mut [f64]) -> Result<bool> {
        if active.len() != self.shape.1 {
            return Err(Error::shape("groups of a row", self.shape.1, active.len()));
        }
        if out.len() != self.shape.0 + 1 {
            return Err(Error::shape("weights and intercept", self.shape.0 + 1, out.len()));
        }
        let (mut awake, mut functions) = (Vec::new(), Vec::new());
        for expert in candidates(active, self.always_on) {
            let mut function = vec![0.0; out.len()];
            if self.experts[expert].linear(&[true], &mut function)? {
                awake.push(expert);
                functions.push(function);
            }
        }
        if awake.is_empty() {
            return Ok(false);
        }
        let mut shares = vec![0.0; awake.len()];
        self.mixing.shares(&awake, &mut shares);
        out.fill(0.0);
        for (function, share) in functions.iter().zip(&shares) {
            out.iter_mut().zip(function).for_each(|(sum, w)| *sum += share * w);
        }
        Ok(true)
    }
}
