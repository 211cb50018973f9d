//! Experts and their shares at one moment, to predict with.

use super::candidates;
use evenhand_core::{GroupPredictor, GroupTable, Mixing, Result, check_group, check_linear};
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
}

impl GroupPredictor for Frozen {
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()> {
        table.check_predicted(self.shape, out)?;
        // What each expert says of the rows that it is for, row after row in the order of experts.
        let mut said = vec![Vec::new(); table.rows()];
        for (expert, of_expert) in self.experts.iter().enumerate() {
            let of_all = expert == self.shape.1;
            let rows: Vec<usize> = if of_all { (0..table.rows()).collect() } else { table.members(expert) };
            let mut predictions = vec![0.0; rows.len()];
            of_expert.predict(&table.select(&rows).into_one_group(), &mut predictions)?;
            for (&row, prediction) in rows.iter().zip(predictions).filter(|(_, prediction)| !prediction.is_nan()) {
                said[row].push((expert, prediction));
            }
        }
        // Shares depend on who is awake alone.
        let mut shares: HashMap<Vec<usize>, Vec<f64>> = HashMap::new();
        for (said, out) in said.iter().zip(out) {
            if said.is_empty() {
                *out = f64::NAN;
                continue;
            }
            let awake: Vec<usize> = said.iter().map(|(expert, _)| *expert).collect();
            let shares = shares.entry(awake).or_insert_with_key(|awake| {
                let mut shares = vec![0.0; awake.len()];
                self.mixing.shares(awake, &mut shares);
                shares
            });
            *out = shares.iter().zip(said).map(|(share, (_, prediction))| share * prediction).sum();
        }
        Ok(())
    }

    fn predict_by(&self, group: usize, table: &GroupTable, out: &mut [f64]) -> Result<bool> {
        table.check_predicted(self.shape, out)?;
        check_group(group, self.shape.1)?;
        self.experts[group].predict_by(0, &table.clone().into_one_group(), out)
    }

    fn linear(&self, active: &[bool], out: &mut [f64]) -> Result<bool> {
        check_linear(active, out, self.shape)?;
        let (mut awake, mut functions) = (Vec::new(), Vec::new());
        // Of all experts, so that what is not linear says so whoever is awake.
        for expert in 0..self.experts.len() {
            let mut function = vec![0.0; out.len()];
            let stated = self.experts[expert].linear(&[true], &mut function)?;
            if stated && candidates(active, self.always_on).any(|candidate| candidate == expert) {
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
