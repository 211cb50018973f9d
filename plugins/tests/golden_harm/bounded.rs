//! Sets of exactly k items.

use super::{EXACT, STATIONARY, World, near, text};
use crate::golden::{File, Tolerance};
use evenhand_core::{Cardinality, Lottery, SizeRule, Streams};
use evenhand_plugins::alternating::trace;
use evenhand_plugins::stationary::{Catalogue, Effort, Figure, Search};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    world: World,
    k: usize,
    sets: Vec<Vec<u32>>,
    alt_trace_set_index: Vec<usize>,
    step_from_u: Vec<f64>,
    policies: BTreeMap<String, Policy>,
    optimum: Optimum,
    #[serde(default)]
    stationary_points_per_vertex_policy: Vec<Vec<Point>>,
}

#[derive(Deserialize)]
struct Policy {
    pi: Vec<f64>,
    at_step_from_u: AtStep,
    #[serde(rename = "after_10_F_steps_from_u0")]
    after_ten: AfterTen,
    stationary: Stationary,
}

#[derive(Deserialize)]
struct AtStep {
    selection_prob: Vec<f64>,
    one_step_expected: Vec<f64>,
    #[serde(rename = "F_of_u")]
    mapped: Vec<f64>,
    #[serde(rename = "obj_pCLK_pH")]
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct AfterTen {
    u: Vec<f64>,
    #[serde(rename = "obj_pCLK_pH")]
    values: Vec<f64>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "names of the files")]
struct Stationary {
    u: Vec<f64>,
    selection_prob: Vec<f64>,
    obj_pCLK_pH: Vec<f64>,
    dF_du: Vec<Vec<f64>>,
    spectral_radius_dF_du: f64,
    dF_dpi_shape_d_by_m: Vec<Vec<f64>>,
    partial_pCLK_pi: Vec<f64>,
    partial_pCLK_u: Vec<f64>,
    partial_pH_pi: Vec<f64>,
    partial_pH_u: Vec<f64>,
    grad_pCLK_pi: Vec<f64>,
    grad_pH_pi: Vec<f64>,
    grad_obj_pi: Vec<f64>,
}

#[derive(Deserialize)]
struct Optimum {
    obj: f64,
    pi: Vec<f64>,
    u: Vec<f64>,
    #[serde(rename = "obj_pCLK_pH")]
    values: Vec<f64>,
    vertex_obj: Vec<f64>,
    best_vertex: usize,
}

#[derive(Deserialize)]
struct Point {
    u: Vec<f64>,
    #[serde(rename = "obj_pCLK_pH")]
    values: Vec<f64>,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let cases = file.cases::<Case>()?;
    cases.iter().try_for_each(|c| c.check().map_err(|e| format!("{}: {e}", c.world.name)))?;
    Ok(cases.len())
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let catalogue = self.world.catalogue()?;
        if self.policies.is_empty() {
            return Err("no policies".into());
        }
        for (name, policy) in &self.policies {
            self.policy(&catalogue, policy).map_err(|e| format!("{name}: {e}"))?;
        }
        self.named(&catalogue)?;
        self.optimum(&catalogue)?;
        self.several(&catalogue)
    }

    fn lottery(&self, pi: &[f64]) -> Lottery {
        // Decimal fractions may add up to a last digit beside 1.
        Lottery::Sets { sets: self.sets.clone(), weights: pi.to_vec() }
    }

    fn policy(&self, catalogue: &Catalogue, policy: &Policy) -> Result<(), String> {
        let (world, lottery, at) = (&self.world, self.lottery(&policy.pi), &self.step_from_u);
        let AtStep { selection_prob, one_step_expected, mapped, values } = &policy.at_step_from_u;
        near(EXACT, "selection", &catalogue.selection(at, &lottery).map_err(text)?, selection_prob)?;
        let step = catalogue.expected_step(&world.u0, at, &lottery).map_err(text)?;
        near(EXACT, "expected step", &step, one_step_expected)?;
        near(EXACT, "F", &catalogue.mapped(&world.u0, at, &lottery).map_err(text)?, mapped)?;
        near(EXACT, "values", &world.objective(catalogue.value(at, &lottery).map_err(text)?), values)?;

        let mut ten = world.u0.clone();
        for _ in 0..10 {
            ten = catalogue.mapped(&world.u0, &ten, &lottery).map_err(text)?;
        }
        near(EXACT, "ten steps", &ten, &policy.after_ten.u)?;
        let values = world.objective(catalogue.value(&ten, &lottery).map_err(text)?);
        near(EXACT, "values after ten steps", &values, &policy.after_ten.values)?;

        let s = &policy.stationary;
        let expected = [&s.u[..], &s.obj_pCLK_pH, &s.selection_prob];
        let profile = super::stationary(world, catalogue, &lottery, expected)?;
        self.derivatives(catalogue, &profile, policy)
    }

    fn derivatives(
        &self,
        catalogue: &Catalogue,
        profile: &[f64],
        Policy { pi, stationary: s, .. }: &Policy,
    ) -> Result<(), String> {
        let relative = if s.spectral_radius_dF_du > 0.8 { 1e-7 } else { 1e-9 };
        let tolerance = Tolerance::new(relative, relative);
        let rows = |rows: &[Vec<f64>]| rows.concat();
        let got = catalogue.sensitivity(profile, &self.sets, pi).map_err(text)?;
        // The transpose, column after column, is row after row.
        near(tolerance, "dF/du", got.map_by_profile.transpose().as_slice(), &rows(&s.dF_du))?;
        near(tolerance, "dF/dpi", got.map_by_sets.transpose().as_slice(), &rows(&s.dF_dpi_shape_d_by_m))?;
        near(tolerance, "partial pCLK by pi", &got.click_by_sets, &s.partial_pCLK_pi)?;
        near(tolerance, "partial pCLK by u", &got.click_by_profile, &s.partial_pCLK_u)?;
        near(tolerance, "partial pH by pi", &got.harm_by_sets, &s.partial_pH_pi)?;
        near(tolerance, "partial pH by u", &got.harm_by_profile, &s.partial_pH_u)?;
        let figures = [
            ("pCLK", Figure { click: 1.0, harm: 0.0 }, &s.grad_pCLK_pi),
            ("pH", Figure { click: 0.0, harm: 1.0 }, &s.grad_pH_pi),
            ("objective", Figure::objective(self.world.params.lambda), &s.grad_obj_pi),
        ];
        for (what, figure, expected) in figures {
            let got = catalogue.gradient(profile, &self.sets, pi, figure).map_err(text)?.ok_or("no gradient")?;
            // An objective of 10,000 has gradients as large.
            let largest = expected.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
            near(Tolerance::new(relative, relative * largest), &format!("gradient of {what}"), &got, expected)?;
        }
        Ok(())
    }

    /// What the named policies choose.
    fn named(&self, catalogue: &Catalogue) -> Result<(), String> {
        let items = self.world.harmless();
        let mut sets = trace(catalogue, &self.world.u0, &items, Cardinality::exactly(self.k), 10).map_err(text)?;
        let last = sets.last().cloned().ok_or("no rounds")?;
        sets.resize(self.alt_trace_set_index.len(), last);
        let expected: Vec<_> = self.alt_trace_set_index.iter().map(|&at| self.sets[at].clone()).collect();
        if sets != expected {
            return Err(format!("alternating chose {sets:?}, expected {expected:?}"));
        }
        // All sets with the same weight are a mixture of their own here.
        let uniform = Lottery::Uniform { items, size: self.k };
        let s = &self.policies.get("unif").ok_or("no policy `unif`")?.stationary;
        super::stationary(&self.world, catalogue, &uniform, [&s.u, &s.obj_pCLK_pH, &s.selection_prob])?;
        Ok(())
    }

    fn optimum(&self, catalogue: &Catalogue) -> Result<(), String> {
        let (world, best) = (&self.world, &self.optimum);
        for (set, expected) in self.sets.iter().zip(&best.vertex_obj) {
            let outlook = catalogue.outlook(&world.u0, &Lottery::certain(set.clone())).map_err(text)?;
            let got = outlook.value.objective(world.params.lambda);
            Tolerance::new(1e-9, 1e-9).near(format!("objective of {set:?}"), got, *expected)?;
        }
        let highest = best.vertex_obj.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if best.vertex_obj[best.best_vertex] != highest {
            return Err("the best single set is not where it is stated".into());
        }
        // Weights of the file's optimum are rounded, which shows where the objective jumps.
        if highest >= best.obj - 1e-6 {
            let outlook = catalogue.outlook(&world.u0, &self.lottery(&best.pi)).map_err(text)?;
            near(Tolerance::new(1e-6, 1e-6), "profile of the optimum", &outlook.stationary.profile, &best.u)?;
            near(Tolerance::new(1e-6, 1e-6), "values of the optimum", &world.objective(outlook.value), &best.values)?;
        }
        for rule in [SizeRule::Exactly, SizeRule::AtMost] {
            let items = world.harmless();
            let mut search =
                Search::new(catalogue, &world.u0, &items, world.params.lambda, Effort::default()).map_err(text)?;
            let plan = search.best(Cardinality { size: self.k, rule }, &mut Streams::new(1).rng(0)).map_err(text)?;
            let outlook = catalogue.outlook(&world.u0, &plan.lottery).map_err(text)?;
            let got = outlook.value.objective(world.params.lambda);
            println!("{}: {rule:?} {got}, known {}, {:?}", world.name, best.obj, plan.certificate);
            if got.is_nan() || got < best.obj - 1e-6 {
                return Err(format!("{rule:?}: found {got}, the best known is {}", best.obj));
            }
        }
        Ok(())
    }

    /// Each of several stationary points is one; the first is the one that counts.
    fn several(&self, catalogue: &Catalogue) -> Result<(), String> {
        for (set, points) in self.sets.iter().zip(&self.stationary_points_per_vertex_policy) {
            let lottery = Lottery::certain(set.clone());
            for (n, point) in points.iter().enumerate() {
                let what = format!("stationary point {n} of {set:?}");
                let mapped = catalogue.mapped(&self.world.u0, &point.u, &lottery).map_err(text)?;
                near(STATIONARY, &what, &mapped, &point.u)?;
                let values = self.world.objective(catalogue.value(&point.u, &lottery).map_err(text)?);
                near(STATIONARY, &what, &values, &point.values)?;
            }
            let first = points.first().ok_or("no stationary point")?;
            let found = catalogue.outlook(&self.world.u0, &lottery).map_err(text)?;
            near(STATIONARY, "the stationary point that counts", &found.stationary.profile, &first.u)?;
        }
        Ok(())
    }
}
