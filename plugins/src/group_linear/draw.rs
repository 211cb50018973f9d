//! The drawing: every row, group and part of it has a stream of its own.

use super::attributes::Attribute;
use super::{Drawn, GroupLinear, Rule};
use evenhand_core::{Result, Rng, Run};
use nalgebra::DMatrix;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Rows that are drawn by one task.
const TASK: usize = 1024;

/// Draws everything. Parameters have been checked.
pub(super) fn draw(recipe: &GroupLinear, attributes: &[Attribute], run: &Run) -> Result<Drawn> {
    run.check()?;
    let (d, n) = (recipe.features, recipe.samples);
    let groups: Vec<String> = attributes.iter().flat_map(|a| &a.groups).map(|(name, _)| name.clone()).collect();
    let rule = rule(recipe, groups.len(), run);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.shuffle(&mut run.streams.child("group-linear/permutation").rng(0));

    let mut features = DMatrix::zeros(d, n);
    let mut membership = DMatrix::from_element(groups.len(), n, false);
    let mut group_labels = DMatrix::zeros(groups.len(), n);
    let [of_features, of_groups, of_noise] =
        ["features", "memberships", "noise"].map(|part| run.streams.child(&format!("group-linear/{part}")));
    run.install(|| -> Result<()> {
        let rows = features.as_mut_slice().par_chunks_mut(TASK * d);
        let rows = rows.zip(membership.as_mut_slice().par_chunks_mut(TASK * groups.len()));
        let rows = rows.zip(group_labels.as_mut_slice().par_chunks_mut(TASK * groups.len()));
        rows.enumerate().try_for_each(|(task, ((features, membership), labels))| {
            run.check()?;
            let rows = features.chunks_exact_mut(d).zip(membership.chunks_exact_mut(groups.len()));
            let rows = rows.zip(labels.chunks_exact_mut(groups.len()));
            for (row, ((x, active), labels)) in ((task * TASK) as u64..).zip(rows) {
                uniform(recipe.feature_low, recipe.feature_high, x, &mut of_features.rng(row));
                assign(attributes, active, &mut of_groups.rng(row));
                let mut noise = of_noise.rng(row);
                for (group, label) in labels.iter_mut().enumerate() {
                    let error: f64 = StandardNormal.sample(&mut noise);
                    *label = rule.label(group, x) + recipe.noise * error;
                }
            }
            Ok(())
        })
    })?;
    Ok(Drawn { features, membership, groups, rule, order, group_labels })
}

/// The rules of all groups.
fn rule(recipe: &GroupLinear, groups: usize, run: &Run) -> Rule {
    let (weights, matrices) = (run.streams.child("group-linear/weights"), run.streams.child("group-linear/quadratic"));
    let d = recipe.features;
    let linear = || {
        let mut drawn = DMatrix::zeros(d, groups);
        for (group, column) in (0..).zip(drawn.as_mut_slice().chunks_exact_mut(d)) {
            uniform(recipe.weight_low, recipe.weight_high, column, &mut weights.rng(group));
        }
        drawn
    };
    let quadratic = |group| {
        let mut drawn = DMatrix::zeros(d, d);
        let (low, high) = (recipe.quadratic_low, recipe.quadratic_high);
        uniform(low, high, drawn.as_mut_slice(), &mut matrices.rng(group));
        drawn
    };
    let matrices = if recipe.quadratic { groups as u64 } else { 0 };
    Rule { weights: recipe.linear.then(linear), quadratic: (0..matrices).map(quadratic).collect() }
}

/// Numbers from `low` to below `high`; `low` where both are equal.
fn uniform(low: f64, high: f64, out: &mut [f64], rng: &mut Rng) {
    out.iter_mut().for_each(|x| *x = if low < high { rng.random_range(low..high) } else { low });
}

/// Puts a row into one group of each attribute.
fn assign(attributes: &[Attribute], active: &mut [bool], rng: &mut Rng) {
    let mut first = 0;
    for attribute in attributes {
        active[first + attribute.at(rng.random())] = true;
        first += attribute.groups.len();
    }
}
