//! A sound fairness loss, and its flaws.

use super::failed;
use crate::contract::fairness_loss;
use crate::fairness::{CellSums, Classes, Pointwise, Streamed};
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
    $(#[doc = $doc:literal])+ $ty:ident = $name:literal, |$scores:ident, $data:ident, $gradient:ident| $body:expr
    $(, and { $($more:item)+ })?;
)*) => { $(
    plugin! { $(#[doc = $doc])+ struct $ty: FairnessLoss = $name {} }
    impl FairnessLoss for $ty {
        fn evaluate(
            &self, $scores: &DMatrix<f64>, $data: &FairnessData<'_>, $gradient: &mut DMatrix<f64>, _: &Run,
        ) -> Result<f64> { $body }
        $($($more)+)?
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
        let value = sound(scores, data, gradient)?;
        *gradient /= smallest as f64;
        Ok(value / smallest as f64)
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
    /// Forgets the two of the square.
    Halving = "halving", |scores, data, gradient| {
        let value = sound(scores, data, gradient)?;
        *gradient *= 0.5;
        Ok(value)
    };
    /// The same on purpose.
    Surrogate = "surrogate", |scores, data, gradient| {
        let value = sound(scores, data, gradient)?;
        *gradient *= 0.5;
        Ok(value)
    }, and {
        fn surrogate(&self) -> bool {
            true
        }
    };
    /// A value that is nowhere smooth: it follows the last digits of the scores.
    Rough = "rough", |scores, data, gradient| {
        let value = sound(scores, data, gradient)?;
        let sixth_digit = |y: &f64| (y * 1e6) as u64 % 2;
        Ok(value + scores.iter().map(sixth_digit).sum::<u64>() as f64)
    };
    /// Streams another loss: that of all users.
    Streaming = "streaming", |scores, data, gradient| sound(scores, data, gradient), and {
        fn streamed<'a>(&'a self, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
            let (users, items) = (Classes::one(data.train.users()), Classes::one(data.train.items()));
            let cells = (data.train.users() * data.train.items()) as f64;
            let outer = Box::new(move |sums: &DMatrix<f64>| {
                let mean = sums.sum() / cells;
                (mean * mean, DMatrix::from_element(1, 1, 2.0 * mean / cells))
            });
            Ok(Some(Streamed::Cells(CellSums { users, items, of: Pointwise::Score, outer })))
        }
    };
    /// A square of a mean over items, taken for a mean over items.
    Averaged = "averaged", |scores, data, gradient| sound(scores, data, gradient), and {
        fn mean_over_items(&self) -> bool {
            true
        }
    };
}

#[test]
fn each_flaw_fails_its_check() {
    let checked = |d: Descriptor<dyn FairnessLoss>| failed(&fairness_loss(&d));
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Sound>()), [""; 0]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Adding>()), ["gradient", "empty-group", "derivative"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Lazy>()), ["gradient", "empty-group", "derivative"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Dividing>()), ["empty-group"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Threaded>()), ["threads"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Shapeless>()), ["shapes"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Halving>()), ["derivative"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Surrogate>()), [""; 0]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Rough>()), ["derivative"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Streaming>()), ["streamed"]);
    assert_eq!(checked(Descriptor::<dyn FairnessLoss>::of::<Averaged>()), ["mean-over-items"]);
}

plugin! {
    /// Has no form at all.
    struct Formless: FairnessLoss = "formless" {}
}

impl FairnessLoss for Formless {}

#[test]
fn a_loss_without_any_form_says_so() {
    let descriptor = Descriptor::<dyn FairnessLoss>::of::<Formless>();
    let outcomes = fairness_loss(&descriptor);
    let told = "`formless` does not support a dense or a streamed form";
    assert!(outcomes.iter().any(|o| o.to_string().contains(told)));
    assert!(failed(&outcomes).contains(&"gradient"));
}
