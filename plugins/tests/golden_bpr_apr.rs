//! Golden cases of learning from pairs: gradients, perturbations and steps of BPR and APR, and ranks of held-out items.

#[path = "golden_bpr_apr/evaluation.rs"]
mod evaluation;
mod golden;
#[path = "golden_bpr_apr/sequence.rs"]
mod sequence;
#[path = "golden_bpr_apr/step.rs"]
mod step;

use evenhand_plugins::pairwise::{Against, Attack, CleanDelta, Direction, Scope, Stepper, Triples, loss};
use golden::{System, Tolerance};
use nalgebra::DMatrix;
use serde::Deserialize;

const BPR_APR: System = System {
    folder: "bpr-apr",
    kinds: &[("bpr-step", step::check), ("apr-sequence", sequence::check), ("evaluation", evaluation::check)],
    elsewhere: &[],
    with_data: &[],
};

/// Of everything that these files state.
const TOLERANCE: Tolerance = Tolerance::new(1e-10, 1e-13);

#[test]
fn every_file_agrees() {
    golden::check(&BPR_APR, &golden::folder(&BPR_APR)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Factors or anything of their shape, one entity per row.
type Rows = Vec<Vec<f64>>;

/// Users and items.
type Sides = [DMatrix<f64>; 2];

/// One entity per column.
fn columns(rows: &Rows) -> Result<DMatrix<f64>, String> {
    let rank = rows.first().map_or(0, Vec::len);
    match rows.iter().find(|row| row.len() != rank) {
        Some(row) => Err(format!("{} factors, expected {rank}", row.len())),
        None => Ok(DMatrix::from_iterator(rank, rows.len(), rows.iter().flatten().copied())),
    }
}

fn sides(users: &Rows, items: &Rows) -> Result<Sides, String> {
    Ok([columns(users)?, columns(items)?])
}

fn moved(at: &Sides, delta: &Sides) -> Sides {
    [0, 1].map(|side| &at[side] + &delta[side])
}

/// Compares every entry, of users and items.
fn same(what: &str, got: &Sides, users: &Rows, items: &Rows) -> Result<(), String> {
    near(what, got, users, items, TOLERANCE)
}

fn near(what: &str, got: &Sides, users: &Rows, items: &Rows, tolerance: Tolerance) -> Result<(), String> {
    for ((got, expected), side) in got.iter().zip(sides(users, items)?).zip(["user", "item"]) {
        if got.shape() != expected.shape() {
            return Err(format!("{what}: {:?} of {side}s, expected {:?}", got.shape(), expected.shape()));
        }
        for (entity, (got, expected)) in got.column_iter().zip(expected.column_iter()).enumerate() {
            let mut both = got.iter().zip(expected.iter());
            both.try_for_each(|(&g, &e)| tolerance.near(format_args!("{what} of {side} {entity}"), g, e))?;
        }
    }
    Ok(())
}

/// Settings of the published code. Most of them are constants here, so files with other ones can not be checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    clip_lo: f64,
    clip_hi: f64,
    lr: f64,
    adagrad_init: f64,
    adagrad_eps: f64,
    #[serde(default = "inside")]
    adagrad_form: String,
    eps: f64,
    reg_adv: f64,
    reg: f64,
    l2_floor: f64,
}

fn inside() -> String {
    "g/sqrt(acc+eps)".into()
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        let offered = [self.clip_lo, self.clip_hi, self.adagrad_init, self.adagrad_eps, self.l2_floor];
        if offered == [-80.0, 1e8, 0.1, 1e-7, 1e-12] && self.adagrad_form == inside() {
            return Ok(());
        }
        Err("a margin at which the loss is cut off, or a constant of Adagrad, that is not offered".into())
    }

    /// The weight of half the squares of a pair: the published regulariser is a mean over pairs and factors.
    fn l2(&self, pairs: usize, rank: usize) -> f64 {
        2.0 * self.reg / (pairs * rank) as f64
    }

    /// Before the first step on batches of so many pairs.
    fn stepper(&self, at: &Sides, pairs: usize) -> Result<Stepper, String> {
        self.check()?;
        let stepper = Stepper::new(&at[0], &at[1], self.lr, self.l2(pairs, at[0].nrows()), true);
        let stepper = stepper.map_err(|e| e.to_string())?;
        let untouched = stepper.sums().iter().flat_map(|side| side.iter()).all(|&sum| sum == self.adagrad_init);
        if untouched { Ok(stepper) } else { Err("sums of squares before the first step".into()) }
    }

    fn against(&self, scope: Scope, clean_delta: CleanDelta) -> Against {
        let attack = Attack { direction: Direction::Gradient, eps: self.eps, relative: false };
        Against { attack, weight: self.reg_adv, scope, clean_delta, attack_l2: true }
    }

    /// The loss of the pairs without the squares, and their margins.
    fn loss(&self, at: &Sides, pairs: &Triples) -> Result<(f64, Vec<f64>), String> {
        let score = |user: u32, item: u32| at[0].column(user as usize).dot(&at[1].column(item as usize));
        let items = pairs.positives.iter().zip(&pairs.negatives);
        let margins = pairs.users.iter().zip(items).map(|(&u, (&i, &j))| score(u, i) - score(u, j));
        let margins: Vec<f64> = margins.collect();
        match margins.iter().find(|x| **x > self.clip_hi) {
            Some(x) => Err(format!("margin {x}: there is no upper bound here")),
            None => Ok((margins.iter().map(|&x| loss::value(x, true)).sum(), margins)),
        }
    }
}

/// Whether the pairs are of the same length, and of users and items that exist.
fn exist(pairs: &Triples, at: &Sides) -> Result<(), String> {
    let [users, items] = [0, 1].map(|side| at[side].ncols() as u32);
    let within = pairs.users.iter().all(|&u| u < users)
        && pairs.positives.iter().chain(&pairs.negatives).all(|&i| i < items)
        && [pairs.positives.len(), pairs.negatives.len()] == [pairs.len(); 2];
    if within && !pairs.is_empty() { Ok(()) } else { Err("pairs that do not fit the factors".into()) }
}
