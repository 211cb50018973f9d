//! Gaussian beliefs: what they become of given draws, and the few rows that stand for many draws.

use crate::golden::{File, Tolerance};
use evenhand_plugins::bayesian_linear::Gaussian;
use nalgebra::DMatrix;
use serde::Deserialize;

/// A matrix from its rows.
fn matrix(rows: &[Vec<f64>]) -> Result<DMatrix<f64>, String> {
    let width = rows.first().map_or(0, Vec::len);
    match rows.iter().find(|r| r.len() != width) {
        Some(row) => Err(format!("{} numbers in a row, expected {width}", row.len())),
        None => Ok(DMatrix::from_row_iterator(rows.len(), width, rows.iter().flatten().copied())),
    }
}

fn gaussian(mean: &[f64], precision: &[Vec<f64>]) -> Result<Gaussian, String> {
    Gaussian::new(mean, &matrix(precision)?).map_err(|e| e.to_string())
}

fn near(tolerance: Tolerance, what: &str, got: &DMatrix<f64>, expected: &[Vec<f64>]) -> Result<(), String> {
    let expected = matrix(expected)?;
    if got.shape() != expected.shape() {
        return Err(format!("{what}: {:?} numbers, expected {:?}", got.shape(), expected.shape()));
    }
    let mut both = got.iter().zip(expected.iter());
    both.try_for_each(|(g, e)| tolerance.near(what, *g, *e))
}

/// A belief as the files state it.
struct Expected<'a> {
    mean: &'a [f64],
    precision: &'a [Vec<f64>],
    covariance: &'a [Vec<f64>],
}

impl Expected<'_> {
    fn check(&self, tolerance: Tolerance, what: &str, got: &Gaussian) -> Result<(), String> {
        let column = |mean: &[f64]| mean.iter().map(|&x| vec![x]).collect::<Vec<_>>();
        let mean = DMatrix::from_column_slice(got.rank(), 1, got.mean());
        near(tolerance, &format!("mean of {what}"), &mean, &column(self.mean))?;
        near(tolerance, &format!("precision of {what}"), &got.precision(), self.precision)?;
        near(tolerance, &format!("covariance of {what}"), &got.covariance(), self.covariance)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rating {
    All(f64),
    Each(Vec<f64>),
}

#[derive(Deserialize)]
struct Update {
    name: String,
    beta: f64,
    prior_mean: Vec<f64>,
    prior_precision: Vec<Vec<f64>>,
    phi: Vec<Vec<f64>>,
    rating: Rating,
    posterior_mean: Vec<f64>,
    posterior_precision: Vec<Vec<f64>>,
    posterior_covariance: Vec<Vec<f64>>,
}

/// Learns from the rows `draws`, all with one target.
fn observe(belief: &mut Gaussian, draws: &[Vec<f64>], targets: &[f64], beta: f64) -> Result<(), String> {
    belief.observe(&matrix(draws)?.transpose(), targets, beta).map_err(|e| e.to_string())
}

pub(crate) fn update(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<Update>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| c.check(tolerance).map_err(|e| format!("{}: {e}", c.name)))?;
    Ok(cases.len())
}

impl Update {
    fn check(&self, tolerance: Tolerance) -> Result<(), String> {
        let mut belief = gaussian(&self.prior_mean, &self.prior_precision)?;
        let targets = match &self.rating {
            Rating::All(rating) => vec![*rating; self.phi.len()],
            Rating::Each(ratings) => ratings.clone(),
        };
        observe(&mut belief, &self.phi, &targets, self.beta)?;
        let expected = Expected {
            mean: &self.posterior_mean,
            precision: &self.posterior_precision,
            covariance: &self.posterior_covariance,
        };
        expected.check(tolerance, "the posterior", &belief)
    }
}

#[derive(Deserialize)]
struct Prior {
    mean: Vec<f64>,
    precision: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Step {
    item_samples: Vec<Vec<f64>>,
    user_mean: Vec<f64>,
    user_precision: Vec<Vec<f64>>,
    user_covariance: Vec<Vec<f64>>,
    user_samples: Vec<Vec<f64>>,
    item_mean: Vec<f64>,
    item_precision: Vec<Vec<f64>>,
    item_covariance: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Rounds {
    name: String,
    beta: f64,
    n_iters: usize,
    rating: f64,
    user_prior: Prior,
    item_prior: Prior,
    steps: Vec<Step>,
}

pub(crate) fn user_then_item(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<Rounds>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| c.check(tolerance).map_err(|e| format!("{}: {e}", c.name)))?;
    Ok(cases.len())
}

impl Rounds {
    fn check(&self, tolerance: Tolerance) -> Result<(), String> {
        if self.steps.len() != self.n_iters {
            return Err(format!("{} steps, expected {}", self.steps.len(), self.n_iters));
        }
        let mut user = gaussian(&self.user_prior.mean, &self.user_prior.precision)?;
        let mut item = gaussian(&self.item_prior.mean, &self.item_prior.precision)?;
        for step in &self.steps {
            observe(&mut user, &step.item_samples, &vec![self.rating; step.item_samples.len()], self.beta)?;
            let expected =
                Expected { mean: &step.user_mean, precision: &step.user_precision, covariance: &step.user_covariance };
            expected.check(tolerance, "the user", &user)?;
            observe(&mut item, &step.user_samples, &vec![self.rating; step.user_samples.len()], self.beta)?;
            let expected =
                Expected { mean: &step.item_mean, precision: &step.item_precision, covariance: &step.item_covariance };
            expected.check(tolerance, "the item", &item)?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Sums {
    gram: Vec<Vec<f64>>,
    colsum: Vec<f64>,
}

#[derive(Deserialize)]
struct Bartlett {
    name: String,
    d: usize,
    n: usize,
    beta: f64,
    alpha: f64,
    other_mean: Vec<f64>,
    other_covariance: Vec<Vec<f64>>,
    z_mean: Vec<f64>,
    strict_lower_normals: Vec<Vec<f64>>,
    chi_square_values: Vec<f64>,
    rating: f64,
    #[serde(flatten)]
    sums: Sums,
    posterior_mean: Vec<f64>,
    posterior_precision: Vec<Vec<f64>>,
    posterior_covariance: Vec<Vec<f64>>,
    mean_draw: Sums,
}

pub(crate) fn bartlett(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<Bartlett>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| c.check(tolerance).map_err(|e| format!("{}: {e}", c.name)))?;
    Ok(cases.len())
}

fn reversed(list: &[f64]) -> Vec<f64> {
    list.iter().rev().copied().collect()
}

/// Rows and columns in reverse.
fn turned(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let (rows, columns) = matrix.shape();
    DMatrix::from_fn(rows, columns, |i, j| matrix[(rows - 1 - i, columns - 1 - j)])
}

impl Bartlett {
    /// The files state lower triangular roots L and A, the code uses upper ones. With the coordinates in reverse, the lower
    /// Cholesky factor of the covariance becomes the upper root that the code has.
    fn check(&self, tolerance: Tolerance) -> Result<(), String> {
        if [self.other_mean.len(), self.z_mean.len(), self.chi_square_values.len()] != [self.d; 3] {
            return Err(format!("expected {} means, shifts and chi-square values", self.d));
        }
        let covariance = turned(&matrix(&self.other_covariance)?);
        let precision = covariance.cholesky().ok_or("the covariance is not positive definite")?.inverse();
        let other = Gaussian::new(&reversed(&self.other_mean), &precision).map_err(|e| e.to_string())?;
        let mut scatter = matrix(&self.strict_lower_normals)?;
        (0..self.d).for_each(|k| scatter[(k, k)] = self.chi_square_values[k].sqrt());
        let rows = self.sums(tolerance, "wishart", &other, &turned(&scatter), &self.sums)?;
        let fixed = DMatrix::from_diagonal_element(self.d, self.d, (self.n as f64 - 1.0).sqrt());
        self.sums(tolerance, "mean-draw", &other, &fixed, &self.mean_draw)?;

        let prior = DMatrix::from_diagonal_element(self.d, self.d, 1.0 / self.alpha);
        let mut belief = Gaussian::new(&vec![0.0; self.d], &prior).map_err(|e| e.to_string())?;
        let mut targets = vec![0.0; self.d + 1];
        targets[self.d] = (self.n as f64).sqrt() * self.rating;
        // Back in the order of the file.
        let rows = DMatrix::from_fn(self.d, self.d + 1, |i, k| rows[(self.d - 1 - i, k)]);
        belief.observe(&rows, &targets, self.beta).map_err(|e| e.to_string())?;
        let expected = Expected {
            mean: &self.posterior_mean,
            precision: &self.posterior_precision,
            covariance: &self.posterior_covariance,
        };
        expected.check(tolerance, "the posterior", &belief)
    }

    /// The rows that stand for the draws, once their sums agree.
    fn sums(
        &self,
        tolerance: Tolerance,
        what: &str,
        other: &Gaussian,
        scatter: &DMatrix<f64>,
        expected: &Sums,
    ) -> Result<DMatrix<f64>, String> {
        let rows = other.summary(scatter, &reversed(&self.z_mean), self.n).map_err(|e| e.to_string())?;
        near(tolerance, &format!("sum of squares, {what}"), &turned(&(&rows * rows.transpose())), &expected.gram)?;
        let sums = rows.column(self.d) * (self.n as f64).sqrt();
        let sums = DMatrix::from_row_slice(1, self.d, &reversed(sums.as_slice()));
        near(tolerance, &format!("sum, {what}"), &sums, std::slice::from_ref(&expected.colsum))?;
        Ok(rows)
    }
}
