//! Training: epochs of Adam, stopping early, and the fitted model.

use super::Autoencoder;
use super::pass::Pass;
use crate::adam::Adam;
use crate::cells::Smooth;
use crate::squash::Squashed;
use evenhand_core::{Error, Factors, Model, Output, Params, Result, Run, Training};
use nalgebra::DMatrix;
use rand::RngExt;

pub(super) fn fit<T: Smooth>(recipe: &Autoencoder, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
    let values = match recipe.early_stop {
        None => {
            let mut pass = Pass::<T>::new(recipe, train, train.ratings, run)?;
            let mut values = pass.shape.start(run);
            epochs(recipe, &mut pass, &mut values, run, |_, _, _| true)?;
            return model(&mut pass, &values, run);
        }
        Some(patience) => early::<T>(recipe, train, patience, run)?,
    };
    // The kept parameters, at work on all training rows.
    let plain = Autoencoder { fairness: None, dropout: 0.0, ..recipe.clone() };
    model(&mut Pass::<T>::new(&plain, train, train.ratings, run)?, &values, run)
}

/// Runs Adam; `go_on` looks at every epoch's result and may end it.
fn epochs<'a, T: Smooth>(
    recipe: &Autoencoder,
    pass: &mut Pass<'a, T>,
    values: &mut [T],
    run: &Run,
    mut go_on: impl FnMut(&mut Pass<'a, T>, usize, &[T]) -> bool,
) -> Result<()> {
    let mut adam = Adam::new(recipe.learning_rate, values.len());
    for epoch in 0..recipe.epochs {
        run.step(epoch, recipe.epochs)?;
        let objective = pass.step(values, epoch, run)?;
        let diverged =
            |what: &str| Error::Diverged { what: format!("{what} of `{}`", Autoencoder::NAME), step: Some(epoch) };
        if !objective.loss.is_finite() {
            return Err(diverged("the loss"));
        }
        run.observer().figure(epoch, "loss", objective.loss);
        run.observer().figure(epoch, "accuracy", objective.accuracy);
        if recipe.fairness.is_some() {
            run.observer().figure(epoch, "fairness", objective.fairness);
        }
        if !run.install(|| adam.step(values, &pass.gradient)) {
            return Err(diverged("a parameter"));
        }
        if !go_on(pass, epoch, values) {
            break;
        }
    }
    run.observer().progress(recipe.epochs, recipe.epochs);
    Ok(())
}

/// The parameters with the smallest error on held-out rows.
fn early<T: Smooth>(recipe: &Autoencoder, train: &Training<'_>, patience: usize, run: &Run) -> Result<Vec<T>> {
    let mut rng = run.streams.child("autoencoder/holdout").rng(0);
    let keep: Vec<bool> = (0..train.ratings.len()).map(|_| !rng.random_bool(recipe.holdout)).collect();
    let held: Vec<bool> = keep.iter().map(|k| !k).collect();
    let (kept, held) = (train.ratings.select(&keep)?, train.ratings.select(&held)?);
    if kept.is_empty() || held.is_empty() {
        let (held, of) = (held.len(), train.ratings.len());
        return Err(Error::Unusable(format!(
            "`early_stop` needs training rows to learn from and some to hold out; `holdout` = {} takes {held} of {of}",
            recipe.holdout
        )));
    }
    let mut pass = Pass::<T>::new(recipe, train, &kept, run)?;
    let mut values = pass.shape.start(run);
    let mut best = (f64::INFINITY, 0, values.clone());
    let (held, mut predicted) = (pass.rows(&held), vec![0.0; held.len()]);
    epochs(recipe, &mut pass, &mut values, run, |pass, epoch, values| {
        pass.predict(values, &held, &mut predicted, run);
        let squares = predicted.iter().zip(&held.by_user.targets).map(|(y, r)| (y - r.wide()).powi(2));
        let error = squares.sum::<f64>() / held.len() as f64;
        run.observer().figure(epoch, "held-out rmse", error.sqrt());
        if error < best.0 {
            (best.0, best.1) = (error, epoch);
            best.2.copy_from_slice(values);
        }
        epoch - best.1 < patience
    })?;
    Ok(best.2)
}

/// What is left for predicting: the decoder as factors of the users, hidden units as those of the items.
fn model<T: Smooth>(pass: &mut Pass<'_, T>, values: &[T], run: &Run) -> Result<Box<dyn Model>> {
    pass.forward(values, None, run);
    let latent = *pass.shape.hidden.last().expect("at least one layer");
    let decoder = pass.shape.export_layer(values, pass.shape.layers() - 1);
    let users = DMatrix::from_fn(latent + 1, pass.shape.users, |k, user| {
        if k < latent { decoder.weights[(user, k)] as f32 } else { decoder.biases[user] as f32 }
    });
    let mut items = DMatrix::from_element(latent + 1, pass.ratings.items(), 1.0);
    for (item, units) in pass.units() {
        items.column_mut(item).iter_mut().zip(units).for_each(|(to, u)| *to = u.wide() as f32);
    }
    let model = Squashed { factors: Factors { users, items, latent, output: Output::Rating }, squash: pass.squash() };
    if !model.factors.users.iter().chain(model.factors.items.iter()).all(|v| v.is_finite()) {
        return Err(Error::Diverged { what: format!("a factor of `{}`", Autoencoder::NAME), step: None });
    }
    Ok(Box::new(model))
}
