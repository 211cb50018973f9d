//! Items that enter the set independently.

use super::{EXACT, STATIONARY, World, near, text};
use crate::golden::{File, Tolerance};
use evenhand_core::Lottery;
use evenhand_plugins::stationary::{Catalogue, Figure, drawn_sets};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    world: World,
    pi: Vec<f64>,
    exact: Exact,
    common_random_numbers: Draws,
}

#[derive(Deserialize)]
struct Exact {
    at_u0: AtFirst,
    stationary: Stationary,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "names of the files")]
struct AtFirst {
    selection_prob: Vec<f64>,
    E_inv: f64,
    obj_pCLK_pH: Vec<f64>,
    F_of_u0: Vec<f64>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "names of the files")]
struct Stationary {
    u: Vec<f64>,
    selection_prob: Vec<f64>,
    obj_pCLK_pH: Vec<f64>,
    free_items: Vec<usize>,
    grad_pCLK_pi_free: Vec<f64>,
    grad_pH_pi_free: Vec<f64>,
    grad_obj_pi_free: Vec<f64>,
    sd_of_one_draw_of_g_at_u: f64,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "names of the files")]
struct Draws {
    N: usize,
    R: Vec<Vec<f64>>,
    distinct_sets: Vec<Vec<u32>>,
    weights: Vec<f64>,
    stationary_u: Vec<f64>,
    obj_pCLK_pH: Vec<f64>,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let cases = file.cases::<Case>()?;
    cases.iter().try_for_each(|c| c.check().map_err(|e| format!("{}: {e}", c.world.name)))?;
    Ok(cases.len())
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let (world, catalogue) = (&self.world, self.world.catalogue()?);
        let items: Vec<u32> = (0..world.n_items as u32).collect();
        let lottery = Lottery::Independent { items: items.clone(), chances: self.pi.clone() };
        let first = &self.exact.at_u0;
        near(EXACT, "selection", &catalogue.selection(&world.u0, &lottery).map_err(text)?, &first.selection_prob)?;
        let value = catalogue.value(&world.u0, &lottery).map_err(text)?;
        near(EXACT, "values", &world.objective(value), &first.obj_pCLK_pH)?;
        // 1 - click is c times the mean of 1 / (s_E + c).
        EXACT.near("mean of 1 / (s_E + c)", (1.0 - value.click) / world.params.c, first.E_inv)?;
        near(EXACT, "F", &catalogue.mapped(&world.u0, &world.u0, &lottery).map_err(text)?, &first.F_of_u0)?;
        let s = &self.exact.stationary;
        let expected = [&s.u[..], &s.obj_pCLK_pH, &s.selection_prob];
        let profile = super::stationary(world, &catalogue, &lottery, expected)?;
        self.gradients(&catalogue, &profile)?;
        self.drawn(&catalogue, &items, &profile)
    }

    fn gradients(&self, catalogue: &Catalogue, profile: &[f64]) -> Result<(), String> {
        let s = &self.exact.stationary;
        let items: Vec<u32> = s.free_items.iter().map(|&item| item as u32).collect();
        let chances: Vec<f64> = s.free_items.iter().map(|&item| self.pi[item]).collect();
        for (what, figure, expected) in [
            ("pCLK", Figure { click: 1.0, harm: 0.0 }, &s.grad_pCLK_pi_free),
            ("pH", Figure { click: 0.0, harm: 1.0 }, &s.grad_pH_pi_free),
            ("objective", Figure::objective(self.world.params.lambda), &s.grad_obj_pi_free),
        ] {
            let got = catalogue.gradient_by_chances(profile, &items, &chances, figure).map_err(text)?;
            let got = got.ok_or("no gradient")?;
            near(Tolerance::new(1e-9, 1e-9), &format!("gradient of {what}"), &got, expected)?;
        }
        Ok(())
    }

    /// The same by given random numbers.
    fn drawn(&self, catalogue: &Catalogue, items: &[u32], profile: &[f64]) -> Result<(), String> {
        let (world, draws) = (&self.world, &self.common_random_numbers);
        if draws.R.len() != draws.N {
            return Err(format!("{} draws, expected {}", draws.R.len(), draws.N));
        }
        let lottery = drawn_sets(items, &self.pi, &draws.R.concat());
        let total: f64 = draws.weights.iter().sum();
        Tolerance::new(0.0, 1e-12).near("sum of the weights", total, 1.0)?;
        for (set, weight) in draws.distinct_sets.iter().zip(&draws.weights) {
            EXACT.near(format!("weight of {set:?}"), lottery.probability(set), *weight)?;
        }
        let outlook = catalogue.outlook(&world.u0, &lottery).map_err(text)?;
        near(STATIONARY, "profile by draws", &outlook.stationary.profile, &draws.stationary_u)?;
        near(STATIONARY, "values by draws", &world.objective(outlook.value), &draws.obj_pCLK_pH)?;
        let (by_draws, exact) = (catalogue.value(profile, &lottery), &self.exact.stationary);
        let off = by_draws.map_err(text)?.click - exact.obj_pCLK_pH[1];
        let error = exact.sd_of_one_draw_of_g_at_u / (draws.N as f64).sqrt();
        Tolerance::new(0.0, 5.0 * error + 1e-12).near("click by draws, in its standard errors", off, 0.0)
    }
}
