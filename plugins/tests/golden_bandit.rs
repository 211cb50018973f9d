//! Golden cases of the bandit simulation: half-steps of alternating least squares, arg-max with ties, Gaussian beliefs,
//! regret.

#[path = "golden_bandit/beliefs.rs"]
mod beliefs;
mod golden;
#[path = "golden_bandit/regret.rs"]
mod regret;

use evenhand_core::dense::Reference;
use evenhand_core::{Dense, Interactions, Rows, Run};
use evenhand_plugins::als::{Als, FeedbackKind, Solver, Weighting, half_step};
use evenhand_plugins::precision::Precision;
use golden::{File, System, Tolerance};
use nalgebra::DMatrix;
use serde::Deserialize;

const BANDIT: System = System {
    folder: "bandit",
    kinds: &[
        ("als-half-step", als),
        ("argmax", argmax),
        ("bayes-update", beliefs::update),
        ("user-then-item", beliefs::user_then_item),
        ("bartlett", beliefs::bartlett),
        ("regret", regret::check),
    ],
    elsewhere: &[],
    with_data: &[],
};

#[test]
fn every_file_agrees() {
    golden::check(&BANDIT, &golden::folder(&BANDIT)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// A matrix of one entity per column, from a list of one entity per row.
fn columns(rows: &[Vec<f64>], rank: usize) -> Result<DMatrix<f64>, String> {
    match rows.iter().find(|r| r.len() != rank) {
        Some(row) => Err(format!("{} factors, expected {rank}", row.len())),
        None => Ok(DMatrix::from_iterator(rank, rows.len(), rows.iter().flatten().copied())),
    }
}

#[derive(Deserialize)]
struct HalfStep {
    name: String,
    n_users: usize,
    n_items: usize,
    rank: usize,
    lambda: f64,
    lambda_weighting: Weighting,
    feedback: FeedbackKind,
    confidence_alpha: Option<f64>,
    ratings_user_item_value: Vec<(u32, u32, f32)>,
    item_factors: Vec<Vec<f64>>,
    user_factors: Vec<Vec<f64>>,
}

fn als(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<HalfStep>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| c.check(tolerance).map_err(|e| format!("{}: {e}", c.name)))?;
    Ok(cases.len())
}

impl HalfStep {
    fn check(&self, tolerance: Tolerance) -> Result<(), String> {
        let explicit = self.feedback == FeedbackKind::Explicit;
        let recipe = Als {
            factors: self.rank,
            lambda: self.lambda,
            weighting: self.lambda_weighting,
            feedback: self.feedback,
            alpha: self.confidence_alpha.or(explicit.then_some(0.0)).ok_or("implicit, without confidence_alpha")?,
            solver: Solver::Cholesky,
            accumulate: Precision::F64,
            ..Als::default()
        };
        let mut rows = Rows::default();
        self.ratings_user_item_value.iter().for_each(|&(user, item, value)| rows.push(user, item, value));
        let ratings = Interactions::new(self.n_users, self.n_items, &rows).map_err(|e| e.to_string())?;
        let (items, expected) = (columns(&self.item_factors, self.rank)?, columns(&self.user_factors, self.rank)?);
        let users = half_step(&recipe, ratings.by_user(), &items, &Run::new(0)).map_err(|e| e.to_string())?;
        if (items.ncols(), expected.shape()) != (self.n_items, users.shape()) {
            return Err(format!("{:?} user factors, expected {:?}", users.shape(), expected.shape()));
        }
        for (user, (got, expected)) in users.column_iter().zip(expected.column_iter()).enumerate() {
            let mut both = got.iter().zip(expected.iter());
            both.try_for_each(|(g, e)| tolerance.near(format!("a factor of user {user}"), *g, *e))?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Argmax {
    name: String,
    user_samples: Vec<Vec<f64>>,
    item_samples: Vec<Vec<f64>>,
    scores: Vec<Vec<f64>>,
    chosen_item: Vec<u32>,
    chosen_score: Vec<f64>,
}

fn argmax(file: &File) -> Result<usize, String> {
    let (cases, tolerance) = (file.cases::<Argmax>()?, file.tolerance()?);
    cases.iter().try_for_each(|c| c.check(tolerance).map_err(|e| format!("{}: {e}", c.name)))?;
    Ok(cases.len())
}

impl Argmax {
    /// In single precision, which holds the numbers of these cases and their products exactly.
    fn check(&self, tolerance: Tolerance) -> Result<(), String> {
        let (users, rank) = (self.user_samples.len(), self.user_samples.first().map_or(0, Vec::len));
        let narrow = |rows: &[Vec<f64>]| Ok::<_, String>(columns(rows, rank)?.map(|v| v as f32));
        let (vectors, items) = (narrow(&self.user_samples)?, narrow(&self.item_samples)?);
        let rows: Vec<u32> = (0..users as u32).collect();
        let mut scores = DMatrix::zeros(0, 0);
        Reference.scores(&vectors, &rows, &items, &mut scores).map_err(|e| e.to_string())?;
        let top = Reference.top_k(&vectors, &rows, &items, None, 1).map_err(|e| e.to_string())?;
        if [self.scores.len(), self.chosen_item.len(), self.chosen_score.len()] != [users; 3] {
            return Err(format!("expected results for {users} users"));
        }
        let expected = columns(&self.scores, items.ncols())?;
        for user in 0..users {
            if top.items(user) != [self.chosen_item[user]] {
                return Err(format!("user {user}: chose {:?}, expected {}", top.items(user), self.chosen_item[user]));
            }
            tolerance.near("chosen score", f64::from(top.scores(user)[0]), self.chosen_score[user])?;
            let (got, expected) = (scores.column(user), expected.column(user));
            let mut both = got.iter().zip(expected.iter());
            both.try_for_each(|(g, e)| tolerance.near(format!("a score of user {user}"), f64::from(*g), *e))?;
        }
        Ok(())
    }
}
