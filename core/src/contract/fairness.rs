//! Checks of fairness losses: value and gradient.

use super::outcome::{Check, Outcome, Stop, ensure, run_all};
use super::{recipe, small};
use crate::{Descriptor, FairnessData, FairnessLoss, Groups, Interactions, Result, Run, Streams};
use nalgebra::DMatrix;
use rand::RngExt;

/// Checks a fairness loss with its default parameters.
pub fn fairness_loss(descriptor: &Descriptor<dyn FairnessLoss>) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    let train = small::ratings();
    let (users, items) = (train.users(), train.items());
    let subject = Subject {
        descriptor,
        // Users in one of two groups, items in one of three; the third group of items overlaps the first.
        user_groups: groups("user", users, &[&|u| u % 2 == 0, &|u| u % 2 == 1]),
        item_groups: groups("item", items, &[&|i| i < 7, &|i| i >= 7, &|i| i % 5 == 0]),
        train,
    };
    outcomes.extend(run_all(descriptor.name, &checks(), &subject));
    outcomes
}

struct Subject<'a> {
    descriptor: &'a Descriptor<dyn FairnessLoss>,
    train: Interactions,
    user_groups: Groups,
    item_groups: Groups,
}

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("gradient", "the gradient takes the shape of the scores; it and the value are finite", gradient),
        Check("threads", "the same bits on 1, 2 and 7 threads, and once more", threads),
        Check("empty-group", "a group without members is an error, or changes nothing to non-finite", empty_group),
        Check("shapes", "scores of another shape than the data are an error", shapes),
    ]
}

fn groups(name: &str, entities: usize, members: &[&dyn Fn(u32) -> bool]) -> Groups {
    let list = |(g, member): (usize, &&dyn Fn(u32) -> bool)| {
        (format!("{name}s {g}"), (0..entities as u32).filter(|&e| member(e)).collect())
    };
    Groups::new(name, entities, members.iter().enumerate().map(list).collect()).expect("members are in range")
}

impl Subject<'_> {
    fn data(&self) -> FairnessData<'_> {
        let Self { train, user_groups, item_groups, .. } = self;
        FairnessData { train, user_groups: Some(user_groups), item_groups: Some(item_groups), like_above: 3.0 }
    }

    /// Predictions between 1 and 5.
    fn scores(&self) -> DMatrix<f64> {
        let mut rng = Streams::new(7).child("contract/scores").rng(0);
        DMatrix::from_fn(self.train.items(), self.train.users(), |_, _| rng.random_range(1.0..5.0))
    }

    fn evaluate(&self, data: &FairnessData<'_>, run: &Run) -> Result<(f64, DMatrix<f64>)> {
        // Of another shape and not zero: a loss that adds to what it finds is found out.
        let mut gradient = DMatrix::from_element(3, 2, f64::NAN);
        let value = self.descriptor.with_defaults().evaluate(&self.scores(), data, &mut gradient, run)?;
        Ok((value, gradient))
    }
}

fn finite(value: f64, gradient: &DMatrix<f64>) -> Result<(), Stop> {
    ensure(value.is_finite(), || format!("the value is {value}"))?;
    let sick = gradient.iter().position(|g| !g.is_finite());
    sick.map_or(Ok(()), |at| {
        let (item, user) = gradient.vector_to_matrix_index(at);
        Err(Stop::Failed(format!("the gradient at user {user}, item {item} is {}", gradient[at])))
    })
}

fn gradient(s: &Subject<'_>) -> Result<(), Stop> {
    let (value, gradient) = s.evaluate(&s.data(), &Run::new(0))?;
    let (expected, got) = (s.scores().shape(), gradient.shape());
    ensure(got == expected, || format!("the gradient is {got:?}, the scores are {expected:?}"))?;
    finite(value, &gradient)
}

fn threads(s: &Subject<'_>) -> Result<(), Stop> {
    let bits = |(value, gradient): (f64, DMatrix<f64>)| {
        (value.to_bits(), gradient.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
    };
    let expected = bits(s.evaluate(&s.data(), &Run::new(0))?);
    for threads in [1, 2, 7] {
        let run = Run::new(0).with_threads(threads)?;
        let got = bits(run.install(|| s.evaluate(&s.data(), &run))?);
        ensure(got == expected, || format!("another value or gradient on {threads} threads"))?;
    }
    Ok(())
}

fn empty_group(s: &Subject<'_>) -> Result<(), Stop> {
    let (users, items) = (s.train.users(), s.train.items());
    let lonely_users = groups("user", users, &[&|_| true, &|_| false]);
    let lonely_items = groups("item", items, &[&|_| false, &|_| true]);
    let usual = s.data();
    let cases = [
        FairnessData { user_groups: Some(&lonely_users), ..usual },
        FairnessData { item_groups: Some(&lonely_items), ..usual },
    ];
    for data in cases {
        // A refusal is a fair answer.
        if let Ok((value, gradient)) = s.evaluate(&data, &Run::new(0)) {
            finite(value, &gradient)?;
        }
    }
    Ok(())
}

fn shapes(s: &Subject<'_>) -> Result<(), Stop> {
    let (items, users) = s.scores().shape();
    for (rows, columns) in [(items, users + 1), (items + 1, users), (users, items), (0, 0)] {
        let scores = DMatrix::from_element(rows, columns, 2.0);
        let refused =
            s.descriptor.with_defaults().evaluate(&scores, &s.data(), &mut DMatrix::zeros(0, 0), &Run::new(0)).is_err();
        ensure(refused, || format!("scores of {rows} x {columns} are taken for {items} items and {users} users"))?;
    }
    Ok(())
}
