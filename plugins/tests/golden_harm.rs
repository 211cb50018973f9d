//! Golden cases of harm mitigation: behaviour, stationary profiles, derivatives, the policies and the best lotteries.

#[path = "golden_harm/bounded.rs"]
mod bounded;
mod golden;
#[path = "golden_harm/reference_users.rs"]
mod reference_users;
#[path = "golden_harm/sampling.rs"]
mod sampling;

use evenhand_core::{Dynamics, Lottery};
use evenhand_plugins::stationary::{Catalogue, REPORTED, Value};
use golden::{File, System, Tolerance};
use nalgebra::DMatrix;
use serde::Deserialize;

const HARM: System = System {
    folder: "harm",
    kinds: &[
        ("bounded", bounded::check),
        ("sampling", sampling::check),
        ("all-harmful", all_harmful),
        ("reference-users", reference_users::check),
    ],
    elsewhere: &[],
    with_data: &[],
};

#[test]
fn every_file_agrees() {
    golden::check(&HARM, &golden::folder(&HARM)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Probabilities, metrics and single steps.
const EXACT: Tolerance = Tolerance::new(1e-12, 1e-12);
/// Stationary profiles and what is computed at them.
const STATIONARY: Tolerance = Tolerance::new(1e-10, 1e-10);

/// What all cases have.
#[derive(Deserialize)]
struct World {
    name: String,
    params: Params,
    n_items: usize,
    d: usize,
    items: Vec<Vec<f64>>,
    harmful: Vec<u8>,
    u0: Vec<f64>,
}

#[derive(Clone, Copy, Deserialize)]
struct Params {
    #[serde(rename = "alpha_H")]
    alpha_harmful: f64,
    #[serde(rename = "alpha_NH")]
    alpha_harmless: f64,
    beta: f64,
    c: f64,
    lambda: f64,
}

impl World {
    fn catalogue(&self) -> Result<Catalogue, String> {
        let whole = self.items.len() == self.n_items && self.items.iter().all(|v| v.len() == self.d);
        if !whole {
            return Err("items of another number or length than stated".into());
        }
        let vectors = DMatrix::from_iterator(self.d, self.n_items, self.items.iter().flatten().copied());
        let harmful: Vec<bool> = self.harmful.iter().map(|&label| label == 1).collect();
        let Params { alpha_harmful, alpha_harmless, beta, c, .. } = self.params;
        let dynamics = Dynamics { alpha_harmful, alpha_harmless, beta, c };
        Catalogue::new(&vectors, &harmful, dynamics).map_err(|e| e.to_string())
    }

    /// The items that may be shown.
    fn harmless(&self) -> Vec<u32> {
        (0..).zip(&self.harmful).filter(|(_, label)| **label == 0).map(|(item, _)| item).collect()
    }

    fn objective(&self, value: Value) -> [f64; 3] {
        [value.objective(self.params.lambda), value.click, value.harm]
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Compares lists number by number.
fn near(tolerance: Tolerance, what: &str, got: &[f64], expected: &[f64]) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{what}: {} numbers, expected {}", got.len(), expected.len()));
    }
    let mut both = got.iter().zip(expected).enumerate();
    both.try_for_each(|(n, (got, expected))| tolerance.near(format!("{what}, number {n}"), *got, *expected))
}

#[derive(Deserialize)]
struct AllHarmful {
    #[serde(flatten)]
    world: World,
    stationary_u_empty_recommendation: Vec<f64>,
    #[serde(rename = "obj_pCLK_pH")]
    values: Vec<f64>,
    selection_prob: Vec<f64>,
}

/// Nothing can be shown: the empty set for certain.
fn all_harmful(file: &File) -> Result<usize, String> {
    let cases = file.cases::<AllHarmful>()?;
    for case in &cases {
        let catalogue = case.world.catalogue()?;
        for nothing in [Lottery::certain(vec![]), Lottery::Independent { items: vec![], chances: vec![] }] {
            let outlook = catalogue.outlook(&case.world.u0, &nothing).map_err(text)?;
            let profile = &outlook.stationary.profile;
            near(STATIONARY, "profile", profile, &case.stationary_u_empty_recommendation)?;
            near(EXACT, "values", &case.world.objective(outlook.value), &case.values)?;
            let selection = catalogue.selection(profile, &nothing).map_err(text)?;
            near(STATIONARY, "selection", &selection, &case.selection_prob)?;
        }
    }
    Ok(cases.len())
}

/// The stationary profile and its values against expected ones.
fn stationary(
    world: &World,
    catalogue: &Catalogue,
    lottery: &Lottery,
    [profile, values, selection]: [&[f64]; 3],
) -> Result<Vec<f64>, String> {
    let found = catalogue.stationary(&world.u0, lottery, REPORTED).map_err(text)?;
    if !found.converged {
        return Err(format!("not converged: {found:?}"));
    }
    near(STATIONARY, "stationary profile", &found.profile, profile)?;
    let outlook = catalogue.outlook(&world.u0, lottery).map_err(text)?;
    near(STATIONARY, "values at the stationary profile", &world.objective(outlook.value), values)?;
    let got = catalogue.selection(&found.profile, lottery).map_err(text)?;
    near(STATIONARY, "selection at the stationary profile", &got, selection)?;
    Ok(found.profile)
}
