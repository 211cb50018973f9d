//! What must hold for a large table, whatever the random numbers.

use super::{AGGREGATES, read};
use crate::golden::{File, Tolerance};
use crate::text;
use evenhand_core::{Run, Simulator};
use evenhand_plugins::group_linear::{Aggregation, Drawn, GroupLinear, Over, aggregate, scaled};
use nalgebra::{DMatrix, DVector};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const SEED: u64 = 1;

#[derive(Deserialize)]
struct Invariants {
    params: Params,
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Params {
    samples: usize,
    dim: usize,
    attributes: BTreeMap<String, BTreeMap<String, f64>>,
    feat: [f64; 2],
    w: [f64; 2],
    noise_sd: f64,
    quadratic: bool,
}

#[derive(Deserialize)]
struct Property {
    id: String,
    #[serde(default)]
    expect: serde_json::Value,
    abs_tol: Option<f64>,
}

impl Property {
    fn expect<C: DeserializeOwned>(&self) -> Result<C, String> {
        serde_json::from_value(self.expect.clone()).map_err(|e| format!("expect: {e}"))
    }

    fn tolerance(&self) -> Result<Tolerance, String> {
        self.abs_tol.map(|tolerance| Tolerance::new(0.0, tolerance)).ok_or_else(|| "no tolerance is stated".into())
    }

    fn near(&self, what: impl std::fmt::Display, got: f64, expected: f64) -> Result<(), String> {
        self.tolerance()?.near(what, got, expected)
    }
}

/// Checks every property of the file by its id.
pub(crate) fn invariants(file: &File) -> Result<usize, String> {
    let Invariants { params, properties } = read(file)?;
    let sample = Sample::draw(params)?;
    for property in &properties {
        sample.check(property).map_err(|e| format!("property `{}`: {e}", property.id))?;
    }
    Ok(properties.len())
}

/// A table, and what it was drawn from.
struct Sample {
    params: Params,
    recipe: GroupLinear,
    drawn: Drawn,
    /// The labels of rows by aggregate, raw, over the groups of the row.
    labels: Vec<Vec<f64>>,
    /// Least squares on all rows of the labels in each group: weights, and standard deviation of the residuals.
    fits: Vec<(DVector<f64>, f64)>,
}

impl Sample {
    fn draw(params: Params) -> Result<Self, String> {
        if params.quadratic {
            return Err("properties of linear labels alone are known".into());
        }
        let attribute = |(name, groups): (&String, &BTreeMap<String, f64>)| {
            let groups: Vec<_> = groups.iter().map(|(group, chance)| format!("{group} {chance}")).collect();
            format!("{name}: {}", groups.join(", "))
        };
        let recipe = GroupLinear {
            samples: params.samples,
            features: params.dim,
            attributes: params.attributes.iter().map(attribute).collect(),
            feature_low: params.feat[0],
            feature_high: params.feat[1],
            weight_low: params.w[0],
            weight_high: params.w[1],
            noise: params.noise_sd,
            ..Default::default()
        };
        let drawn = recipe.draw(&Run::new(SEED)).map_err(text)?;
        let labels = AGGREGATES.iter().map(|(_, aggregation)| drawn.labels(*aggregation, Over::Active).map_err(text));
        let labels = labels.collect::<Result<_, _>>()?;
        let fit = |group| least_squares(&drawn.features, &drawn.labels_of(group));
        let fits = (0..drawn.groups.len()).map(fit).collect::<Result<_, _>>()?;
        Ok(Self { labels, fits, params, recipe, drawn })
    }

    fn check(&self, property: &Property) -> Result<(), String> {
        match property.id.as_str() {
            "shape" => self.shape(),
            "feature_range" => self.feature_range(),
            "feature_mean" => self.each_feature(property, mean),
            "feature_var" => self.each_feature(property, variance),
            "one_per_attribute" => self.one_per_attribute(),
            "group_frequency" => self.group_frequency(property),
            "attribute_independence" => self.attribute_independence(property),
            "membership_independent_of_features" => self.membership_independent_of_features(property),
            "scaled_labels" => self.scaled_labels(),
            "order" => self.order(),
            "perm_is_active" => self.perm_is_active(),
            "weights_recovered" => self.weights_recovered(property),
            "residual_sd" => self.residual_sd(property),
            "determinism" => self.determinism(),
            "oracle_r2_perm" => self.oracle_r2_perm(property),
            _ => Err("not a known property".into()),
        }
    }

    fn rows(&self) -> usize {
        self.params.samples
    }

    fn groups(&self) -> usize {
        self.params.attributes.values().map(BTreeMap::len).sum()
    }

    fn shape(&self) -> Result<(), String> {
        let (d, groups, rows) = (self.params.dim, self.groups(), self.rows());
        let sizes = [self.drawn.features.shape(), self.drawn.membership.shape(), self.drawn.group_labels.shape()];
        ensure(sizes == [(d, rows), (groups, rows), (groups, rows)], || format!("{sizes:?}"))?;
        ensure(self.labels.iter().all(|column| column.len() == rows), || "an aggregate of another length".into())?;
        let recipe = self.shorter();
        let run = Run::new(SEED);
        let data = recipe.open(&run).and_then(|world| world.table()).map_err(text)?;
        let drawn = recipe.draw(&run).map_err(text)?;
        let labels = drawn.labels(Aggregation::Mean, Over::Active).map_err(text)?;
        let same = data.table == drawn.clone().into_table().map_err(text)? && data.labels == scaled(&labels);
        ensure(same, || "the world emits another table".into())
    }

    /// The same for fewer rows, which takes less time.
    fn shorter(&self) -> GroupLinear {
        GroupLinear { samples: self.rows().min(3000), ..self.recipe.clone() }
    }

    fn feature_range(&self) -> Result<(), String> {
        let [low, high] = self.params.feat;
        let outside = self.drawn.features.iter().find(|x| !(low..high).contains(*x));
        outside.map_or(Ok(()), |x| Err(format!("{x}, expected from {low} to below {high}")))
    }

    fn each_feature(&self, property: &Property, figure: fn(&[f64]) -> f64) -> Result<(), String> {
        let expected = property.expect()?;
        let mut features = self.drawn.features.row_iter().enumerate();
        features.try_for_each(|(at, x)| property.near(format!("feature {at}"), figure(&list(x.iter())), expected))
    }

    /// The groups of each attribute, by number.
    fn attributes(&self) -> Vec<std::ops::Range<usize>> {
        let sizes = self.params.attributes.values().map(BTreeMap::len);
        let block = |end: &mut usize, size| {
            *end += size;
            Some(*end - size..*end)
        };
        sizes.scan(0, block).collect()
    }

    fn one_per_attribute(&self) -> Result<(), String> {
        let blocks = self.attributes();
        let one = |row: usize, block: &std::ops::Range<usize>| {
            block.clone().filter(|&group| self.drawn.membership[(group, row)]).count() == 1
        };
        let wrong = (0..self.rows()).find(|&row| !blocks.iter().all(|block| one(row, block)));
        wrong.map_or(Ok(()), |row| Err(format!("row {row} is not in one group of each attribute")))
    }

    /// Whether each row is in `group`, as a number.
    fn member(&self, group: usize) -> Vec<f64> {
        self.drawn.membership.row(group).iter().map(|&active| f64::from(u8::from(active))).collect()
    }

    fn group_frequency(&self, property: &Property) -> Result<(), String> {
        let expected: BTreeMap<String, f64> = property.expect()?;
        ensure(expected.len() == self.groups(), || format!("{} groups are expected", expected.len()))?;
        for (at, name) in self.drawn.groups.iter().enumerate() {
            let (_, group) = name.split_once('=').ok_or_else(|| format!("a group is called `{name}`"))?;
            let expected = *expected.get(group).ok_or_else(|| format!("nothing is expected of `{group}`"))?;
            property.near(name, mean(&self.member(at)), expected)?;
        }
        Ok(())
    }

    fn attribute_independence(&self, property: &Property) -> Result<(), String> {
        let blocks = self.attributes();
        for (at, first) in blocks.iter().enumerate() {
            for (a, b) in blocks[at + 1..]
                .iter()
                .flat_map(|second| first.clone().flat_map(|a| second.clone().map(move |b| (a, b))))
            {
                let (a, b) = (self.member(a), self.member(b));
                let both: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
                property.near("share of rows in both groups", mean(&both), mean(&a) * mean(&b))?;
            }
        }
        Ok(())
    }

    fn membership_independent_of_features(&self, property: &Property) -> Result<(), String> {
        let members: Vec<_> = (0..self.groups()).map(|group| standard(&self.member(group))).collect();
        for x in self.drawn.features.row_iter() {
            let x = standard(&list(x.iter()));
            for member in &members {
                let together: f64 = x.iter().zip(member).map(|(x, y)| x * y).sum();
                property.near("correlation", together / self.rows() as f64, 0.0)?;
            }
        }
        Ok(())
    }

    fn scaled_labels(&self) -> Result<(), String> {
        let columns = (0..self.groups()).map(|group| self.drawn.labels_of(group)).chain(self.labels.iter().cloned());
        for column in columns {
            let column = scaled(&column);
            let (low, high) = column.iter().fold((f64::MAX, f64::MIN), |(low, high), &y| (low.min(y), high.max(y)));
            ensure(low == 0.0 && (high - 1.0).abs() <= 1e-12, || format!("from {low} to {high}"))?;
        }
        Ok(())
    }

    fn order(&self) -> Result<(), String> {
        let two = self.params.attributes.len() == 2;
        for row in 0..self.rows() {
            let [mean, min, max, perm] = [0, 1, 2, 3].map(|at| self.labels[at][row]);
            let ordered = min <= perm && perm <= max && min <= mean && mean <= max;
            let middle = !two || (mean - (min + max) / 2.0).abs() <= 1e-12 * max.abs().max(min.abs());
            ensure(ordered && middle, || format!("row {row}: mean {mean}, min {min}, max {max}, perm {perm}"))?;
        }
        Ok(())
    }

    fn perm_is_active(&self) -> Result<(), String> {
        for row in 0..self.rows() {
            let first = self.drawn.order.iter().find(|&&group| self.drawn.membership[(group, row)]);
            let first = *first.ok_or_else(|| format!("row {row} is in no group of the order"))?;
            let expected = self.drawn.group_labels[(first, row)];
            ensure(self.labels[3][row] == expected, || {
                format!("row {row}: {}, expected {expected}", self.labels[3][row])
            })?;
            // The same from the row alone.
            let (labels, active) = (self.drawn.group_labels.column(row), self.drawn.membership.column(row));
            let alone = aggregate(
                labels.as_slice(),
                active.as_slice(),
                &self.drawn.order,
                Aggregation::Permutation,
                Over::Active,
            );
            ensure(alone == Some(expected), || format!("row {row}: {alone:?} by itself, expected {expected}"))?;
        }
        Ok(())
    }

    fn weights_recovered(&self, property: &Property) -> Result<(), String> {
        let weights = self.drawn.rule.weights.as_ref().ok_or("there is no linear term")?;
        for (group, (fitted, _)) in self.fits.iter().enumerate() {
            for (got, expected) in fitted.iter().zip(weights.column(group).iter()) {
                property.near(&self.drawn.groups[group], *got, *expected)?;
            }
        }
        Ok(())
    }

    fn residual_sd(&self, property: &Property) -> Result<(), String> {
        let expected = property.expect()?;
        let mut fits = self.fits.iter().zip(&self.drawn.groups);
        fits.try_for_each(|((_, sd), group)| property.near(group, *sd, expected))
    }

    /// Rows do not depend on how many there are: fewer of them are enough.
    fn determinism(&self) -> Result<(), String> {
        let recipe = self.shorter();
        let draw = |seed| Run::new(seed).with_threads(3).and_then(|run| recipe.draw(&run)).map_err(text);
        let first = |all: &DMatrix<f64>| all.columns(0, recipe.samples).into_owned();
        let (again, other) = (draw(SEED)?, draw(SEED + 1)?);
        let same = again.features == first(&self.drawn.features)
            && again.membership == self.drawn.membership.columns(0, recipe.samples)
            && again.group_labels == first(&self.drawn.group_labels)
            && (&again.rule, &again.order) == (&self.drawn.rule, &self.drawn.order);
        ensure(same, || "the same seed draws something else".into())?;
        ensure(other.features != again.features, || "another seed draws the same features".into())
    }

    fn oracle_r2_perm(&self, property: &Property) -> Result<(), String> {
        let first = self.drawn.order[0];
        let rows: Vec<usize> = (0..self.rows()).filter(|&row| self.drawn.membership[(first, row)]).collect();
        let labels: Vec<f64> = rows.iter().map(|&row| self.labels[3][row]).collect();
        let (_, sd) = least_squares(&self.drawn.features.select_columns(&rows), &labels)?;
        property.near("standard deviation of the residuals", sd, self.params.noise_sd)
    }
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

fn list<'a>(numbers: impl Iterator<Item = &'a f64>) -> Vec<f64> {
    numbers.copied().collect()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let mean = mean(x);
    x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64
}

/// With mean 0 and variance 1.
fn standard(x: &[f64]) -> Vec<f64> {
    let (mean, sd) = (mean(x), variance(x).sqrt());
    x.iter().map(|x| (x - mean) / sd).collect()
}

/// Least squares without an intercept of `labels` on `features`, features x rows: the weights, and the standard deviation of the
/// residuals.
fn least_squares(features: &DMatrix<f64>, labels: &[f64]) -> Result<(DVector<f64>, f64), String> {
    let y = DVector::from_column_slice(labels);
    let solver = (features * features.transpose()).cholesky().ok_or("features that depend on each other")?;
    let weights = solver.solve(&(features * &y));
    let residuals = y - features.tr_mul(&weights);
    Ok((weights, variance(residuals.as_slice()).sqrt()))
}
