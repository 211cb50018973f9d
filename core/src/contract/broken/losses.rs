//! A sound fairness loss, and its flaws.

use super::failed;
use crate::contract::fairness_loss;
use crate::*;
use nalgebra::DMatrix;

/// The mean prediction for the first group of users, squared.
fn sound(scores: &DMatrix<f64>, data: &FairnessData<'_>, gradient: &mut DMatrix<f64>) -> Result<f64> {
    let (expected, got) = ((data.train.items(), data.train.users()), scores.shape());
    if expected != got {
        return Err(Error::shape("scores", format!("{expected:?}"), format!("{got:?}")));
    }
    let members = data.user_groups.expect("the kit has groups").members(0);
    let pairs = (members.len() * scores.nrows()).max(1) as f64;
    let sum = |u: &u32| scores.column(*u as usize).iter().sum::<f64>();
    let mean = members.iter().map(sum).sum::<f64>() / pairs;
    gradient.resize_mut(got.0, got.1, 0.0);
    gradient.fill(0.0);
    members.iter().for_each(|&u| gradient.column_mut(u as usize).fill(2.0 * mean / pairs));
    Ok(mean * mean)
}

macro_rules! losses { ($(
    $(#[doc = $doc:literal])+ $ty:ident = $name:literal, |$scores:ident, $data:ident, $gradient:ident| $body:expr;
)*) => { $(
    plugin! { $(#[doc = $doc])+ struct $ty: FairnessLoss = $name {} }
    impl FairnessLoss for $ty {
        fn evaluate(
            &self, $scores: &DMatrix<f64>, $data: &FairnessData<'_>, $gradient: &mut DMatrix<f64>, _: &Run,
        ) -> Result<f64> { $body }
    }
)* } }
losses! {
    /// Nothing wrong.
    Sound = "sound", |scores, data, gradient| sound(scores, data, gradient);
    /// Adds to the gradient that it finds.
    Adding = "adding", |scores, data, gradient| {
        let mut own = DMatrix::zeros(0, 0);
        let value = sound(scores, data, &mut own)?;
        gradient.resize_mut(own.nrows(), own.ncols(), 0.0);
        *gradient += own;
        Ok(value)
    };
    /// Leaves the gradient alone.
    Lazy = "lazy", |scores, data, _gradient| sound(scores, data, &mut DMatrix::zeros(0, 0));
    /// Divides by the size of a group.
    Dividing = "dividing", |scores, data, gradient| {
        let smallest = data.item_groups.and_then(|g| (0..g.len()).map(|n| g.members(n).len()).min()).unwrap_or(0);
        Ok(sound(scores, data, gradient)? / smallest as f64)
    };
    /// Another value on every thread count.
    Threaded = "threaded", |scores, data, gradient| {
        Ok(sound(scores, data, gradient)? + rayon::current_num_threads() as f64)
    };
    /// Takes whatever comes for scores.
    Shapeless = "shapeless", |scores, data, gradient| {
        let (items, users) = (data.train.items(), data.train.users());
        sound(&scores.clone().resize(items, users, 0.0), data, gradient)
    };
}

#[test]
fn each_flaw_fails_its_check() {
    let checked = |d: Descriptor<dyn FairnessLoss>| failed(&fairness_loss(&d));
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Sound>()), [""; 0]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Adding>()), ["gradient", "empty-group"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Lazy>()), ["gradient", "empty-group"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Dividing>()), ["empty-group"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Threaded>()), ["threads"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Shapeless>()), ["shapes"]);
}
