//! Checks of models that learn from fresh observations, or that have a posterior.

use super::outcome::{Stop, ensure};
use super::recommender::Subject;
use super::states::{self, observe};
use crate::{Error, Feedback, Interactions, Model, Observation, Result, Rows, Run, Training};
use nalgebra::DMatrix;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Users and items that join later.
const LATER: (usize, usize) = (5, 3);
/// Draws behind a spread.
const DRAWS: u64 = 400;

/// A model of no row.
fn ignorant(s: &Subject<'_>, users: usize, items: usize, run: &Run) -> Result<Box<dyn Model>> {
    let none = Interactions::new(users, items, &Rows::default())?;
    s.recipe()?.fit(&Training::new(&none), run)
}

/// What has been learned from all rows: first those of the earlier users and items, then those of the others.
fn learned(s: &Subject<'_>, run: &Run) -> Result<Box<dyn Model>> {
    let (all_users, all_items) = (s.train.users(), s.train.items());
    let (users, items) = (all_users - LATER.0, all_items - LATER.1);
    let rows = s.train.iter().map(|(user, item, value)| Observation { user, item, value });
    let (early, late) = rows.partition(|row| (row.user as usize) < users && (row.item as usize) < items);
    let mut model = ignorant(s, users, items, run)?;
    model.learn(&Feedback { users, items, rows: early }, run)?;
    model.learn(&Feedback { users: all_users, items: all_items, rows: late }, run)?;
    Ok(model)
}

pub(super) fn learns(s: &Subject<'_>) -> Result<(), Stop> {
    if !s.recipe()?.online() {
        return Err(Stop::Skipped("does not learn online".into()));
    }
    let [one, _, seven] = &s.runs;
    let mut model = learned(s, one)?;
    states::whole(model.as_ref(), &s.train, one)?;
    let expected = observe(model.as_ref(), &s.train, one)?;
    expected.same(&observe(learned(s, seven)?.as_ref(), &s.train, one)?, "1 and 7 threads")?;
    let (users, items) = (model.users(), model.items());
    let nothing = observe(ignorant(s, users, items, one)?.as_ref(), &s.train, one)?;
    ensure(expected.same(&nothing, "").is_err(), || "nothing is learned".into())?;

    let row = |user, item, value| Observation { user, item, value };
    let sound = row(0, 0, 1.0);
    for (what, users, items, wrong) in [
        ("fewer users", users - 1, items, sound),
        ("fewer items", users, items - 1, sound),
        ("a user out of range", users, items, row(users as u32, 0, 1.0)),
        ("an item out of range", users, items, row(0, items as u32, 1.0)),
        ("a value that is not a number", users, items, row(0, 0, f32::NAN)),
    ] {
        let refused = model.learn(&Feedback { users, items, rows: vec![sound, wrong] }, one).is_err();
        ensure(refused, || format!("{what}: no error"))?;
        expected.same(&observe(model.as_ref(), &s.train, one)?, &format!("before and after {what}"))?;
    }
    let stopped = one.clone().with_cancel(Arc::new(AtomicBool::new(true)));
    match model.learn(&Feedback { users, items, rows: vec![sound] }, &stopped) {
        Err(Error::Cancelled) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("asked to stop, learning ends in another error: {e}"))),
        Ok(()) => Err(Stop::Failed("asked to stop, learning goes on".into())),
    }
}

/// What a model makes of itself for some users.
type Derived<'a> = &'a dyn Fn(&[u32], &Run) -> Result<Box<dyn Model>>;

pub(super) fn posterior(s: &Subject<'_>) -> Result<(), Stop> {
    let posterior = s.model()?.posterior().ok_or_else(|| Stop::Skipped("no posterior".into()))?;
    let sample: Derived<'_> = &|users, run| posterior.sample(users, run);
    let variances: Derived<'_> = &|users, run| posterior.variances(users, run);
    let drawn = derived(s, "draws", sample)?;
    let stated = derived(s, "variances", variances)?;
    let negative = stated.iter().find(|v| **v < -1e-5 * stated.amax());
    negative.map_or(Ok(()), |v| Err(Stop::Failed(format!("a variance is {v}"))))?;
    // Of all items together: single ones may have heavy tails.
    let mut sums = [DMatrix::zeros(drawn.len(), 1), DMatrix::zeros(drawn.len(), 1)];
    for seed in 0..DRAWS {
        let scores = scores(s, sample(&[0], &s.run().clone().with_seed(seed))?.as_ref(), 0)?.map(f64::from);
        sums[0] += &scores;
        sums[1] += scores.map(|x| x * x);
    }
    let [mean, square] = sums.map(|sum| sum / DRAWS as f64);
    let spread = (square - mean.map(|x| x * x)).sum();
    let expected: f64 = stated.iter().map(|&v| f64::from(v)).sum();
    ensure((0.5..2.0).contains(&(spread / expected)), || {
        format!("the scores of user 0 in {DRAWS} draws spread by {spread}, the variances add up to {expected}")
    })
}

/// Checks a model made for some users; the scores of user 0 by it.
fn derived(s: &Subject<'_>, what: &str, derive: Derived<'_>) -> Result<DMatrix<f32>, Stop> {
    let (model, [one, two, seven]) = (s.model()?, &s.runs);
    let last = model.users() as u32 - 1;
    let made = derive(&[last, 0, last], two)?;
    let shape = (made.users(), made.items());
    let expected = (model.users(), model.items());
    ensure(shape == expected, || format!("{what} are of {shape:?} users and items, expected {expected:?}"))?;
    for user in [0, last] {
        let together = scores(s, made.as_ref(), user)?;
        ensure(together.iter().all(|v| v.is_finite()), || format!("{what} of user {user} are not all finite"))?;
        for run in [one, seven] {
            let alone = scores(s, derive(&[user], run)?.as_ref(), user)?;
            states::same_bits(&together, &alone, &format!("{what} for three users, and for one on other threads"))?;
        }
    }
    ensure(derive(&[last + 1], two).is_err(), || format!("{what} of a user out of range are given out"))?;
    scores(s, made.as_ref(), 0)
}

fn scores(s: &Subject<'_>, model: &dyn Model, user: u32) -> Result<DMatrix<f32>, Stop> {
    states::scores(model, &[user], s.run())
}
