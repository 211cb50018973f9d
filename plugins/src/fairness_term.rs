//! Fairness losses from the trainer's side: the form in which they are computed, a doubt about their threshold, and for
//! the dense form the items it is evaluated on at a time, and the matrices.

use evenhand_core::fairness::{CellSums, Pointwise, Streamed};
use evenhand_core::{Error, FairnessData, FairnessLoss, Interactions, Result, Rows, Run, Scale};
use nalgebra::DMatrix;
use std::ops::Range;

/// The streamed form of a loss, if it has one, with a class for everyone.
///
/// # Errors
/// Those of the loss about its data, and of [`Streamed::check`].
pub(crate) fn streamed<'a>(loss: &'a dyn FairnessLoss, data: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
    let form = loss.streamed(data)?;
    if let Some(form) = &form {
        form.check(data)?;
    }
    Ok(form)
}

/// Says so where a loss counts predictions above a threshold that no rating passes, or every one.
///
/// # Errors
/// Those of the loss about its data.
pub(crate) fn doubt_threshold(loss: &dyn FairnessLoss, data: &FairnessData<'_>, scale: Scale, run: &Run) -> Result<()> {
    if let Some(Streamed::Cells(CellSums { of: Pointwise::Exceedance(e), .. })) = streamed(loss, data)?
        && !(f64::from(scale.low)..f64::from(scale.high)).contains(&e.tau)
    {
        let (name, Scale { low, high, .. }) = (loss.name(), scale);
        let what = format!("fairness loss `{name}`: threshold {} lies outside of the ratings, {low} to {high}", e.tau);
        run.observer().note(&format!("{what}: all or none are above it, and the loss may do nothing"));
    }
    Ok(())
}

/// What a loss in dense form is evaluated with.
pub(crate) struct DenseLoss<'a> {
    loss: &'a dyn FairnessLoss,
    data: FairnessData<'a>,
    /// Items and their rows, part by part; a single part where the loss is no mean over items.
    parts: Vec<(Range<usize>, Interactions)>,
    /// Predictions of a part, items x users, to be filled in before [`Self::evaluate`].
    pub(crate) predictions: DMatrix<f64>,
    /// Their derivatives, afterwards.
    pub(crate) slopes: DMatrix<f64>,
}

impl<'a> DenseLoss<'a> {
    /// With parts of up to `at_once` items, if the loss allows for it.
    ///
    /// # Errors
    /// [`Error::Unusable`] where it needs more memory than there is.
    pub(crate) fn new(loss: &'a dyn FairnessLoss, data: FairnessData<'a>, at_once: usize, run: &Run) -> Result<Self> {
        let (users, items) = (data.train.users(), data.train.items());
        let at_once = if loss.mean_over_items() { at_once.min(items) } else { items };
        let megabytes = (at_once as f64 * users as f64 * 16.0 / 1e6).ceil();
        let sees = format!("fairness loss `{}` sees all predictions of {at_once} items x {users} users", loss.name());
        let need = format!("{sees} at once: needs {megabytes} MB with their gradient");
        run.observer().note(&need);
        let matrix = || {
            let mut values = Vec::new();
            let size = at_once.checked_mul(users).filter(|&n| values.try_reserve_exact(n).is_ok());
            values.resize(size.ok_or_else(|| Error::Unusable(format!("{need}, more than there is")))?, 0.0);
            Ok::<_, Error>(DMatrix::from_vec(at_once, users, values))
        };
        let ranges = (0..items).step_by(at_once.max(1)).map(|first| first..items.min(first + at_once));
        let parts = ranges.map(|range| Ok((range.clone(), part(data.train, range)?))).collect::<Result<_>>()?;
        Ok(Self { loss, data, parts, predictions: matrix()?, slopes: matrix()? })
    }

    /// Number of parts.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Makes room for the predictions of a part; its items.
    pub(crate) fn enter(&mut self, part: usize) -> Range<usize> {
        let items = self.parts[part].0.clone();
        self.predictions.resize_mut(items.len(), self.data.train.users(), 0.0);
        items
    }

    /// The share of a part in the value of the loss, whose derivatives go to [`Self::slopes`].
    ///
    /// # Errors
    /// Those of the loss.
    pub(crate) fn evaluate(&mut self, part: usize, run: &Run) -> Result<f64> {
        let (items, train) = &self.parts[part];
        let item_groups = self.data.item_groups.filter(|_| self.parts.len() == 1);
        let data = FairnessData { train, item_groups, ..self.data };
        let share = items.len() as f64 / self.data.train.items() as f64;
        let value = self.loss.evaluate(&self.predictions, &data, &mut self.slopes, run)?;
        data.check_scores(&self.slopes)?;
        self.slopes *= share;
        Ok(share * value)
    }
}

/// The rows of some items, which are renumbered.
fn part(train: &Interactions, items: Range<usize>) -> Result<Interactions> {
    let mut rows = Rows::default();
    for item in items.clone() {
        train.by_item().row(item).for_each(|(user, value)| rows.push(user, (item - items.start) as u32, value));
    }
    Interactions::new(train.users(), items.len(), &rows)
}
