//! Checks of fairness losses: value and gradient, and what they declare of themselves.

use super::outcome::{Check, Outcome, Stop, ensure, run_all};
use super::{recipe, small};
use crate::{Descriptor, FairnessData, FairnessLoss, Groups, Interactions, Result, Rows, Run, Streams};
use nalgebra::DMatrix;
use rand::RngExt;
use serde_json::{Value as Json, json};

/// Checks a fairness loss with its default parameters.
pub fn fairness_loss(descriptor: &Descriptor<dyn FairnessLoss>) -> Vec<Outcome> {
    fairness_loss_with(descriptor, &json!({}))
}

/// Checks a fairness loss with those parameters, an object; absent ones take their defaults.
///
/// A loss whose default is a surrogate passes over the check of its derivative; parameters under which it is not one
/// are worth a second call.
pub fn fairness_loss_with(descriptor: &Descriptor<dyn FairnessLoss>, params: &Json) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    let train = small::ratings();
    let (users, items) = (train.users(), train.items());
    let subject = Subject {
        descriptor,
        params,
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
    params: &'a Json,
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
        Check("derivative", "central differences of the value are the gradient, unless it is a surrogate", derivative),
        Check("streamed", "the streamed form, if any, has the value and the gradient of the dense one", streamed),
        Check("mean-over-items", "where declared: the mean over parts of the items is that over all", mean_over_items),
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

    fn loss(&self) -> Result<Box<dyn FairnessLoss>> {
        self.descriptor.build(&mut <dyn erased_serde::Deserializer>::erase(self.params))
    }

    /// Predictions between 1 and 5, two of three of them next to the threshold: a narrowly smoothed one is felt there.
    fn scores(&self) -> DMatrix<f64> {
        let mut rng = Streams::new(7).child("contract/scores").rng(0);
        DMatrix::from_fn(self.train.items(), self.train.users(), |_, _| {
            if rng.random_bool(2.0 / 3.0) { rng.random_range(2.98..3.02) } else { rng.random_range(1.0..5.0) }
        })
    }

    fn evaluate(&self, data: &FairnessData<'_>, run: &Run) -> Result<(f64, DMatrix<f64>)> {
        evaluate(self.loss()?.as_ref(), &self.scores(), data, run)
    }
}

fn evaluate(
    loss: &dyn FairnessLoss,
    scores: &DMatrix<f64>,
    data: &FairnessData<'_>,
    run: &Run,
) -> Result<(f64, DMatrix<f64>)> {
    // Of another shape and not zero: a loss that adds to what it finds is found out.
    let mut gradient = DMatrix::from_element(3, 2, f64::NAN);
    let value = loss.evaluate(scores, data, &mut gradient, run)?;
    Ok((value, gradient))
}

fn finite(value: f64, gradient: &DMatrix<f64>) -> Result<(), Stop> {
    ensure(value.is_finite(), || format!("the value is {value}"))?;
    let sick = gradient.iter().position(|g| !g.is_finite());
    sick.map_or(Ok(()), |at| {
        let (item, user) = gradient.vector_to_matrix_index(at);
        Err(Stop::Failed(format!("the gradient at user {user}, item {item} is {}", gradient[at])))
    })
}

fn same_shape(scores: &DMatrix<f64>, gradient: &DMatrix<f64>) -> Result<(), Stop> {
    let (expected, got) = (scores.shape(), gradient.shape());
    ensure(got == expected, || format!("the gradient is {got:?}, the scores are {expected:?}"))
}

fn gradient(s: &Subject<'_>) -> Result<(), Stop> {
    let (value, gradient) = s.evaluate(&s.data(), &Run::new(0))?;
    same_shape(&s.scores(), &gradient)?;
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
        let refused = evaluate(s.loss()?.as_ref(), &scores, &s.data(), &Run::new(0)).is_err();
        ensure(refused, || format!("scores of {rows} x {columns} are taken for {items} items and {users} users"))?;
    }
    Ok(())
}

/// Step of the differences: a ten-thousandth of a usual bandwidth (0.01), so that the third derivative of a smoothed
/// threshold costs 1e-9 of its slope.
const STEP: f64 = 1e-6;

/// A difference may be off by this part of the largest entry of the gradient.
const TOLERANCE: f64 = 1e-5;

fn derivative(s: &Subject<'_>) -> Result<(), Stop> {
    let loss = s.loss()?;
    if loss.surrogate() {
        return Err(Stop::Skipped("the gradient is a surrogate".into()));
    }
    let (data, run, mut scores) = (s.data(), Run::new(0), s.scores());
    let (value, gradient) = evaluate(loss.as_ref(), &scores, &data, &run)?;
    same_shape(&scores, &gradient)?;
    finite(value, &gradient)?;
    // What rounding of the values, sums of many terms, does to a difference.
    let noise = 64.0 * f64::EPSILON * value.abs() / STEP;
    let allowed = TOLERANCE * gradient.amax() + noise;
    let mut compared = 0;
    for at in 0..scores.len() {
        let here = scores[at];
        let mut moved = |by: f64| {
            scores[at] = here + by;
            let value = evaluate(loss.as_ref(), &scores, &data, &run).map(|(value, _)| value);
            scores[at] = here;
            value
        };
        let (below, above) = ((value - moved(-STEP)?) / STEP, (moved(STEP)? - value) / STEP);
        // At a kink the two sides differ, and neither is the gradient.
        if (above - below).abs() > 0.01 * above.abs().max(below.abs()) + allowed {
            continue;
        }
        compared += 1;
        let (difference, own) = (0.5 * (above + below), gradient[at]);
        ensure((difference - own).abs() <= allowed, || {
            let (item, user) = gradient.vector_to_matrix_index(at);
            format!("user {user}, item {item}: the value changes by {difference} per unit, the gradient is {own}")
        })?;
    }
    let cells = scores.len();
    ensure(2 * compared > cells, || format!("the value has a kink at {} of {cells} scores", cells - compared))
}

/// Whether both are the same but for rounding.
fn agree(what: &str, expected: &(f64, DMatrix<f64>), got: &(f64, DMatrix<f64>)) -> Result<(), Stop> {
    same_shape(&expected.1, &got.1)?;
    let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= 1e-9 * scale;
    ensure(near(got.0, expected.0, expected.0.abs()), || format!("{what}: value {}, expected {}", got.0, expected.0))?;
    let (off, scale) = ((&got.1 - &expected.1).amax(), expected.1.amax());
    ensure(near(off, 0.0, scale), || format!("{what}: the gradient is off by {off}, its largest entry is {scale}"))
}

fn streamed(s: &Subject<'_>) -> Result<(), Stop> {
    let (loss, data, scores) = (s.loss()?, s.data(), s.scores());
    let Some(form) = loss.streamed(&data)? else {
        return Err(Stop::Skipped("there is no streamed form".into()));
    };
    let dense = evaluate(loss.as_ref(), &scores, &data, &Run::new(0))?;
    let mut gradient = DMatrix::zeros(0, 0);
    let value = form.evaluate(&scores, &data, &mut gradient)?;
    agree("streamed", &dense, &(value, gradient))
}

fn mean_over_items(s: &Subject<'_>) -> Result<(), Stop> {
    let loss = s.loss()?;
    if !loss.mean_over_items() {
        return Err(Stop::Skipped("not declared".into()));
    }
    let (scores, run, items) = (s.scores(), Run::new(0), s.train.items());
    let whole = evaluate(loss.as_ref(), &scores, &s.data(), &run)?;
    let mut together = (0.0, DMatrix::zeros(items, s.train.users()));
    // Parts of unequal size: each counts by its number of items.
    for (first, count) in [(0, items / 3), (items / 3, items - items / 3)] {
        let train = part(&s.train, first, count)?;
        let data = FairnessData { train: &train, item_groups: None, ..s.data() };
        let (value, gradient) = evaluate(loss.as_ref(), &scores.rows(first, count).into_owned(), &data, &run)?;
        let share = count as f64 / items as f64;
        together.0 += share * value;
        same_shape(&scores.rows(first, count).into_owned(), &gradient)?;
        together.1.rows_mut(first, count).copy_from(&(gradient * share));
    }
    agree("the mean over parts", &whole, &together)
}

/// The rows of `count` items from `first` on, renumbered.
fn part(train: &Interactions, first: usize, count: usize) -> Result<Interactions> {
    let mut rows = Rows::default();
    for (user, item, value) in train.iter() {
        if (first..first + count).contains(&(item as usize)) {
            rows.push(user, item - first as u32, value);
        }
    }
    Interactions::new(train.users(), count, &rows)
}
