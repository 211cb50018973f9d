//! Steps one after the other: alone, and against an adversary of each scope, with the plain loss at its place or the stale one.

use crate::golden::File;
use crate::{Rows, Settings, Sides, TOLERANCE, exist, moved, same, sides};
use evenhand_plugins::pairwise::{Against, CleanDelta, Scope, Stepper, Triples};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is read and says nothing is named, so that what is not known is an error")]
struct Case {
    kind: String,
    note: String,
    #[serde(rename = "P")]
    users_at: Rows,
    #[serde(rename = "Q")]
    items_at: Rows,
    params: Settings,
    batches: Vec<[Vec<u32>; 3]>,
    attack_triples: Vec<[Vec<u32>; 3]>,
    first_attack: [Vec<u32>; 3],
    delta_before: Delta,
    variants: Variants,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta {
    #[serde(rename = "P")]
    users: Rows,
    #[serde(rename = "Q")]
    items: Rows,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variants {
    bpr_only: Variant,
    paper_batch: Variant,
    full_clean: Variant,
    seed_stale: Variant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    steps: Vec<Step>,
    #[serde(rename = "acc_P")]
    user_sums: Rows,
    #[serde(rename = "acc_Q")]
    item_sums: Rows,
}

/// Losses before a step, factors after it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    loss: f64,
    loss_adv: f64,
    #[serde(rename = "P")]
    users: Rows,
    #[serde(rename = "Q")]
    items: Rows,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let case: Case = serde_json::from_str(&file.text).map_err(|e| e.to_string())?;
    let Variants { bpr_only, paper_batch, full_clean, seed_stale } = &case.variants;
    let against = |scope, clean_delta| Some(case.params.against(scope, clean_delta));
    let variants = [
        ("alone", bpr_only, None),
        ("batch", paper_batch, against(Scope::Batch, CleanDelta::Zero)),
        ("full", full_clean, against(Scope::Full, CleanDelta::Zero)),
        ("stale", seed_stale, against(Scope::Full, CleanDelta::Stale)),
    ];
    for (name, variant, against) in &variants {
        case.check(variant, against.as_ref()).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(variants.len())
}

fn triples([users, positives, negatives]: &[Vec<u32>; 3]) -> Triples {
    Triples { users: users.clone(), positives: positives.clone(), negatives: negatives.clone() }
}

impl Case {
    fn check(&self, variant: &Variant, against: Option<&Against>) -> Result<(), String> {
        let at = sides(&self.users_at, &self.items_at)?;
        let steps = variant.steps.len();
        if steps == 0 || [self.batches.len(), self.attack_triples.len()] != [steps; 2] {
            return Err(format!("{steps} steps of {} batches", self.batches.len()));
        }
        let pairs = self.batches[0][0].len();
        let mut stepper = self.params.stepper(&at, pairs)?;
        if let Some(against) = against.filter(|a| a.clean_delta == CleanDelta::Stale) {
            // It counts the squares of each pair as a step counts those of the batch; the two agree where there are none.
            if self.params.reg != 0.0 {
                return Err("squares in a sequence are not covered".into());
            }
            let first = triples(&self.first_attack);
            exist(&first, &at)?;
            let delta = stepper.attack(&first, against).map_err(|e| e.to_string())?;
            same("delta before", &delta, &self.delta_before.users, &self.delta_before.items)?;
        }
        for (n, step) in variant.steps.iter().enumerate() {
            let (batch, all) = (triples(&self.batches[n]), triples(&self.attack_triples[n]));
            exist(&batch, &at).and_then(|()| exist(&all, &at))?;
            self.step(step, &mut stepper, &batch, against, &all).map_err(|e| format!("step {n}: {e}"))?;
        }
        same("sums at the end", &stepper.sums(), &variant.user_sums, &variant.item_sums)
    }

    fn step(
        &self,
        expected: &Step,
        stepper: &mut Stepper,
        batch: &Triples,
        against: Option<&Against>,
        all: &Triples,
    ) -> Result<(), String> {
        let at = stepper.factors();
        let stale = against.is_some_and(|a| a.clean_delta == CleanDelta::Stale);
        let plain = if stale { moved(&at, &stepper.delta()) } else { at.clone() };
        TOLERANCE.near("loss", self.params.loss(&plain, batch)?.0, expected.loss)?;
        stepper.step(batch, against, all).map_err(|e| e.to_string())?;
        let adversarial = match against {
            None => 0.0,
            Some(against) => self.params.loss(&moved(&at, &self.delta(&at, stepper, batch, against)?), batch)?.0,
        };
        TOLERANCE.near("adversarial loss", adversarial, expected.loss_adv)?;
        same("factors", &stepper.factors(), &expected.users, &expected.items)
    }

    /// The perturbation that the last step, from `at`, was made against.
    fn delta(&self, at: &Sides, stepper: &Stepper, batch: &Triples, against: &Against) -> Result<Sides, String> {
        match against.scope {
            Scope::Full => Ok(stepper.delta()),
            // It is forgotten.
            Scope::Batch => self.params.stepper(at, batch.len())?.attack(batch, against).map_err(|e| e.to_string()),
        }
    }
}
