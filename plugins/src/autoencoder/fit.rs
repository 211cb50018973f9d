//! Training: epochs of Adam, stopping early, and the fitted model.

use super::Autoencoder;
use super::pass::Pass;
use crate::adam::Adam;
use crate::cells::Smooth;
use crate::early_stop::{HeldOut, Patience};
use crate::squash::Squashed;
use evenhand_core::{Error, Model, Params, Result, Run, Training};
use nalgebra::DMatrix;

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
            return Err(diverged("the objective"));
        }
        run.observer().figure(epoch, "rmse-train", objective.accuracy.sqrt());
        run.observer().figure(epoch, "objective", objective.loss);
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
    let HeldOut { learn, watch } = HeldOut::draw(train.ratings, recipe.holdout, run)?;
    let mut pass = Pass::<T>::new(recipe, train, &learn, run)?;
    let mut values = pass.shape.start(run);
    let (watch, mut predicted) = (pass.rows(&watch), vec![0.0; watch.len()]);
    let mut patience = Patience::new(patience);
    epochs(recipe, &mut pass, &mut values, run, |pass, epoch, values| {
        pass.predict(values, &watch, &mut predicted, run);
        let squares = predicted.iter().zip(&watch.by_user.targets).map(|(y, r)| (y - r.wide()).powi(2));
        let error = (squares.sum::<f64>() / watch.len() as f64).sqrt();
        run.observer().figure(epoch, "rmse-held-out", error);
        patience.goes_on(epoch, error, || values.to_vec())
    })?;
    Ok(patience.into_best().unwrap_or(values))
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
    Ok(Box::new(Squashed::fitted([users, items], latent, pass.squash(), Autoencoder::NAME)?))
}
