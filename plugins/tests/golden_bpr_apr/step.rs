//! One batch: margins, losses, gradients and a step, alone and against an adversary who looks at the batch or at other pairs.

use crate::golden::{File, Tolerance};
use crate::{Rows, Settings, Sides, TOLERANCE, exist, moved, near, same, sides};
use evenhand_plugins::pairwise::{CleanDelta, Scope, Triples};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is read and says nothing is named, so that what is not known is an error")]
struct Case {
    kind: String,
    name: String,
    note: String,
    dtype: String,
    #[serde(rename = "P")]
    users_at: Rows,
    #[serde(rename = "Q")]
    items_at: Rows,
    users: Vec<u32>,
    pos: Vec<u32>,
    neg: Vec<u32>,
    params: Settings,
    bpr: Plain,
    adagrad_step_eps_inside: Step,
    adagrad_step_eps_outside: Step,
    apr_batch_scope: Adversarial,
    full_triples: Option<Pairs>,
    apr_full_scope: Option<Adversarial>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pairs {
    users: Vec<u32>,
    pos: Vec<u32>,
    neg: Vec<u32>,
}

/// Without an adversary.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    margins: Vec<f64>,
    loss: f64,
    reg_loss: f64,
    #[serde(rename = "grad_P")]
    users: Rows,
    #[serde(rename = "grad_Q")]
    items: Rows,
}

/// Factors and sums of squares after one step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(rename = "P")]
    users: Rows,
    #[serde(rename = "Q")]
    items: Rows,
    #[serde(rename = "acc_P")]
    user_sums: Rows,
    #[serde(rename = "acc_Q")]
    item_sums: Rows,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adversarial {
    attack_loss: f64,
    #[serde(rename = "delta_P")]
    user_delta: Rows,
    #[serde(rename = "delta_Q")]
    item_delta: Rows,
    margins_adv: Vec<f64>,
    loss_adv: f64,
    total_loss: f64,
    #[serde(rename = "grad_P_adv")]
    adversarial_users: Rows,
    #[serde(rename = "grad_Q_adv")]
    adversarial_items: Rows,
    #[serde(rename = "grad_P_total")]
    total_users: Rows,
    #[serde(rename = "grad_Q_total")]
    total_items: Rows,
    step_eps_inside: Step,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let case: Case = serde_json::from_str(&file.text).map_err(|e| e.to_string())?;
    case.check().map_err(|e| format!("{}: {e}", case.name))
}

impl Case {
    /// Returns the number of objectives whose step agrees.
    fn check(&self) -> Result<usize, String> {
        let at = sides(&self.users_at, &self.items_at)?;
        let batch = Triples { users: self.users.clone(), positives: self.pos.clone(), negatives: self.neg.clone() };
        exist(&batch, &at)?;
        self.plain(&at, &batch).map_err(|e| format!("plain: {e}"))?;
        let against = |adversarial: &Adversarial, scope, attacked: &Triples| {
            exist(attacked, &at)?;
            self.adversarial(adversarial, &at, &batch, scope, attacked)
        };
        against(&self.apr_batch_scope, Scope::Batch, &batch).map_err(|e| format!("batch: {e}"))?;
        match (&self.apr_full_scope, &self.full_triples) {
            (None, None) => Ok(2),
            (Some(full), Some(Pairs { users, pos, neg })) => {
                let all = Triples { users: users.clone(), positives: pos.clone(), negatives: neg.clone() };
                against(full, Scope::Full, &all).map_err(|e| format!("full: {e}"))?;
                Ok(3)
            }
            _ => Err("one of `full_triples` and `apr_full_scope` without the other".into()),
        }
    }

    fn plain(&self, at: &Sides, batch: &Triples) -> Result<(), String> {
        let (params, expected) = (&self.params, &self.bpr);
        let (loss, margins) = params.loss(at, batch)?;
        all_near("margin", &margins, &expected.margins)?;
        TOLERANCE.near("loss", loss, expected.loss)?;
        TOLERANCE.near("loss of the squares", self.squares(at, batch), expected.reg_loss)?;
        let mut stepper = params.stepper(at, batch.len())?;
        let none = Triples::default();
        let gradient = stepper.gradient(batch, None, &none).map_err(|e| e.to_string())?;
        same("gradient", &gradient, &expected.users, &expected.items)?;
        stepper.step(batch, None, &none).map_err(|e| e.to_string())?;
        self.adagrad_step_eps_inside.check(&stepper.factors(), &stepper.sums())?;
        // An epsilon outside of the root is not offered: sums start at 0.1, so that it makes no difference.
        let Step { users, items, user_sums, item_sums } = &self.adagrad_step_eps_outside;
        near("epsilon outside", &stepper.factors(), users, items, Tolerance::new(0.0, 1e-7))?;
        same("epsilon outside, sums", &stepper.sums(), user_sums, item_sums)
    }

    fn adversarial(
        &self,
        expected: &Adversarial,
        at: &Sides,
        batch: &Triples,
        scope: Scope,
        attacked: &Triples,
    ) -> Result<(), String> {
        let params = &self.params;
        let against = params.against(scope, CleanDelta::Zero);
        TOLERANCE.near("attacked loss", params.loss(at, attacked)?.0, expected.attack_loss)?;
        let delta = params.stepper(at, attacked.len())?.attack(attacked, &against).map_err(|e| e.to_string())?;
        same("delta", &delta, &expected.user_delta, &expected.item_delta)?;

        let there = moved(at, &delta);
        let (adversarial_loss, margins) = params.loss(&there, batch)?;
        all_near("adversarial margin", &margins, &expected.margins_adv)?;
        TOLERANCE.near("adversarial loss", adversarial_loss, expected.loss_adv)?;
        let total = params.loss(at, batch)?.0 + self.squares(at, batch) + params.reg_adv * adversarial_loss;
        TOLERANCE.near("total loss", total, expected.total_loss)?;
        let none = Triples::default();
        let without_squares = Settings { adagrad_form: params.adagrad_form.clone(), reg: 0.0, ..*params };
        let gradient = without_squares.stepper(&there, batch.len())?.gradient(batch, None, &none);
        let gradient = gradient.map_err(|e| e.to_string())?;
        same("adversarial gradient", &gradient, &expected.adversarial_users, &expected.adversarial_items)?;

        // The whole of it at once, from factors and pairs alone.
        let mut stepper = params.stepper(at, batch.len())?;
        let all = if scope == Scope::Full { attacked } else { &none };
        let gradient = stepper.gradient(batch, Some(&against), all).map_err(|e| e.to_string())?;
        same("total gradient", &gradient, &expected.total_users, &expected.total_items)?;
        if scope == Scope::Full {
            same("delta of all", &stepper.delta(), &expected.user_delta, &expected.item_delta)?;
        }
        stepper.step(batch, Some(&against), all).map_err(|e| e.to_string())?;
        expected.step_eps_inside.check(&stepper.factors(), &stepper.sums())
    }

    /// What the squared factors of the batch add to the loss.
    fn squares(&self, at: &Sides, batch: &Triples) -> f64 {
        let of = |side: usize, rows: &[u32]| -> f64 {
            rows.iter().map(|&row| at[side].column(row as usize).norm_squared()).sum()
        };
        let sum = of(0, &batch.users) + of(1, &batch.positives) + of(1, &batch.negatives);
        self.params.l2(batch.len(), at[0].nrows()) / 2.0 * sum
    }
}

impl Step {
    fn check(&self, factors: &Sides, sums: &Sides) -> Result<(), String> {
        same("factors after the step", factors, &self.users, &self.items)?;
        same("sums after the step", sums, &self.user_sums, &self.item_sums)
    }
}

fn all_near(what: &str, got: &[f64], expected: &[f64]) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{what}: {} of them, expected {}", got.len(), expected.len()));
    }
    got.iter().zip(expected).enumerate().try_for_each(|(n, (&g, &e))| TOLERANCE.near(format_args!("{what} {n}"), g, e))
}
