//! Error of predicted ratings, for all users and for each group.

use super::{Figure, VALIDATION_RMSE, named_groups};
use evenhand_core::metrics::{mae, rmse};
use evenhand_core::{Dataset, Error, Interactions, Model, Result, Run};
use rayon::prelude::*;

/// Rows predicted in one call.
const BLOCK: usize = 4096;

/// Errors on the test rows.
pub(super) fn figures(model: &dyn Model, data: &Dataset, test: &Interactions, run: &Run) -> Result<Vec<Figure>> {
    let predicted = predict(model, test, run)?;
    let actual = test.by_user().all_values();
    let mut figures = Vec::new();
    add(&mut figures, None, &predicted, actual);
    let offsets = test.by_user().offsets();
    for (group, members) in named_groups(&data.user_groups) {
        let pick = |all: &[f32]| -> Vec<f32> {
            members.iter().flat_map(|&u| &all[offsets[u as usize]..offsets[u as usize + 1]]).copied().collect()
        };
        add(&mut figures, Some(group), &pick(&predicted), &pick(actual));
    }
    Ok(figures)
}

/// The error on rows that are neither train nor test: what settings may be chosen by.
pub(super) fn validation(model: &dyn Model, rows: &Interactions, run: &Run) -> Result<Option<Figure>> {
    let value = rmse(&predict(model, rows, run)?, rows.by_user().all_values());
    let n = rows.len() as u64;
    Ok(value.map(|value| Figure { metric: VALIDATION_RMSE.into(), k: None, group: None, value, n }))
}

/// The predicted ratings of all rows, in their order.
fn predict(model: &dyn Model, rows: &Interactions, run: &Run) -> Result<Vec<f32>> {
    let users: Vec<u32> = rows.iter().map(|(user, ..)| user).collect();
    let items = rows.by_user().all_partners();
    let mut predicted = vec![0.0; users.len()];
    let done: Vec<Result<()>> = run.install(|| {
        let blocks = predicted.par_chunks_mut(BLOCK).zip(users.par_chunks(BLOCK)).zip(items.par_chunks(BLOCK));
        let predict = |((out, users), items): ((&mut [f32], &[u32]), &[u32])| {
            run.check()?;
            model.predict(users, items, out, run)
        };
        blocks.map(predict).collect()
    });
    // Of several failures the first row's counts, however the blocks were scheduled.
    done.into_iter().collect::<Result<()>>()?;
    if let Some(at) = predicted.iter().position(|p| !p.is_finite()) {
        let what = format!("predicted rating of user {}, item {}", users[at], items[at]);
        return Err(Error::Diverged { what, step: None });
    }
    Ok(predicted)
}

fn add(figures: &mut Vec<Figure>, group: Option<String>, predicted: &[f32], actual: &[f32]) {
    for (metric, value) in [("rmse", rmse(predicted, actual)), ("mae", mae(predicted, actual))] {
        if let Some(value) = value {
            let (metric, group, n) = (metric.into(), group.clone(), actual.len() as u64);
            figures.push(Figure { metric, k: None, group, value, n });
        }
    }
}
