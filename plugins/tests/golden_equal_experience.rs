//! Golden cases of the equal-experience system: the synthetic data of its recorded results, and its fairness losses.

#[path = "golden_equal_experience/ae_step.rs"]
mod ae_step;
mod golden;
#[path = "golden_equal_experience/losses.rs"]
mod losses;
#[path = "golden_equal_experience/mf_adam.rs"]
mod mf_adam;

use evenhand_core::{Dataset, Groups, Interactions, Run, Simulator};
use evenhand_plugins::biased_ratings::{BiasedRatings, Mode};
use golden::{File, System};
use serde::Deserialize;
use std::collections::BTreeMap;

const EQUAL_EXPERIENCE: System = System {
    folder: "equal-experience",
    kinds: &[
        ("synthetic", synthetic),
        ("synthetic-letters", letters),
        ("fairness-losses", losses::check),
        ("edge-cases", losses::check),
        ("mf-adam", mf_adam::check),
        ("ae-step", ae_step::check),
    ],
    elsewhere: &[],
    with_data: &[],
};

#[test]
fn every_file_agrees() {
    golden::check(&EQUAL_EXPERIENCE, &golden::folder(&EQUAL_EXPERIENCE)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[derive(Deserialize)]
struct Synthetic {
    p: f64,
    q: f64,
    r: f64,
    s: f64,
    rank: usize,
    n_users: usize,
    n_items: usize,
    train: Vec<Vec<i8>>,
    test: Vec<Vec<i8>>,
    user_groups: BTreeMap<String, Vec<u32>>,
    item_groups: BTreeMap<String, Vec<u32>>,
}

fn open(recipe: &BiasedRatings) -> Result<Dataset, String> {
    let data = recipe.open(&Run::new(0)).and_then(|world| world.dataset()).map_err(|e| e.to_string())?;
    data.check().map_err(|e| e.to_string())?;
    Ok(data)
}

fn synthetic(file: &File) -> Result<usize, String> {
    let cases = file.cases::<Synthetic>()?;
    for (at, case) in cases.iter().enumerate() {
        case.check().map_err(|e| format!("case {at}: {e}"))?;
    }
    Ok(cases.len())
}

impl Synthetic {
    fn check(&self) -> Result<(), String> {
        let &Self { p, q, r, s, rank, n_users: users, n_items: items, .. } = self;
        let mode = Mode::SeedCompatible;
        let data = open(&BiasedRatings { users, items, rank, p, q, r, s, mode, ..BiasedRatings::default() })?;
        same_cells("train", &data.ratings, &self.train)?;
        same_cells("test", data.test.as_ref().ok_or("no test rows")?, &self.test)?;
        same_groups(&data.user_groups, &self.user_groups)?;
        same_groups(&data.item_groups, &self.item_groups)
    }
}

/// The letters hold the data set of the default parameters; their sizes are those of the file.
fn letters(file: &File) -> Result<usize, String> {
    let cells = |observed: bool| -> Vec<Vec<i8>> {
        let cell = |letter: u8| match letter.is_ascii_uppercase() == observed {
            true if letter.eq_ignore_ascii_case(&b'p') => 1,
            true => -1,
            false => 0,
        };
        file.text.lines().map(|line| line.bytes().map(cell).collect()).collect()
    };
    let (train, test) = (cells(true), cells(false));
    let (users, items, mode) = (train.len(), train[0].len(), Mode::SeedCompatible);
    let data = open(&BiasedRatings { users, items, mode, ..BiasedRatings::default() })?;
    same_cells("train", &data.ratings, &train)?;
    same_cells("test", data.test.as_ref().ok_or("no test rows")?, &test)?;
    Ok(1)
}

/// Compares every cell; 0 stands for a cell without a row.
fn same_cells(what: &str, got: &Interactions, expected: &[Vec<i8>]) -> Result<(), String> {
    let (users, items) = (got.users(), got.items());
    if expected.len() != users || expected.iter().any(|row| row.len() != items) {
        return Err(format!("{what}: expected cells are not {users} x {items}"));
    }
    let rows = expected.iter().flatten().filter(|&&cell| cell != 0).count();
    if got.len() != rows {
        return Err(format!("{what}: {} rows, expected {rows}", got.len()));
    }
    let mut cells = vec![vec![0.0; items]; users];
    got.iter().for_each(|(user, item, value)| cells[user as usize][item as usize] += value);
    for (user, (got, expected)) in cells.iter().zip(expected).enumerate() {
        if let Some(item) = (0..items).find(|&i| got[i] != f32::from(expected[i])) {
            let (got, expected) = (got[item], expected[item]);
            return Err(format!("{what}: user {user}, item {item} is {got}, expected {expected}"));
        }
    }
    Ok(())
}

fn same_groups(got: &[Groups], expected: &BTreeMap<String, Vec<u32>>) -> Result<(), String> {
    let [got] = got else { return Err(format!("{} groupings, expected one", got.len())) };
    let by_label: BTreeMap<_, _> = (0..got.len()).map(|g| (got.labels()[g].clone(), got.members(g).to_vec())).collect();
    if by_label == *expected { Ok(()) } else { Err(format!("groups {by_label:?}, expected {expected:?}")) }
}
