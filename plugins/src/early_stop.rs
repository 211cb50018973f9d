//! Stopping when held-out training rows are predicted no better: how many epochs are enough, found without test rows.

use evenhand_core::{Error, Interactions, Result, Run};
use rand::RngExt;

/// Rows to learn from and rows to watch.
pub(crate) struct HeldOut {
    pub(crate) learn: Interactions,
    pub(crate) watch: Interactions,
}

impl HeldOut {
    /// Sets each row aside with chance `share`, drawn in the order of the rows.
    ///
    /// # Errors
    /// [`Error::Unusable`] where a side would be empty.
    pub(crate) fn draw(train: &Interactions, share: f64, run: &Run) -> Result<Self> {
        let mut rng = run.streams.child("early-stop").rng(0);
        let keep: Vec<bool> = (0..train.len()).map(|_| !rng.random_bool(share)).collect();
        let learn = train.select(&keep)?;
        let watch = train.select(&keep.iter().map(|keep| !keep).collect::<Vec<_>>())?;
        if learn.is_empty() || watch.is_empty() {
            let reason = format!("{} training rows are too few to hold out a share of {share}", train.len());
            return Err(Error::Unusable(reason));
        }
        Ok(Self { learn, watch })
    }
}

/// Remembers the best epoch.
pub(crate) struct Patience<B> {
    epochs: usize,
    best: Option<(f64, usize, B)>,
}

impl<B> Patience<B> {
    /// Gives up after so many epochs without a lower error.
    pub(crate) fn new(epochs: usize) -> Self {
        Self { epochs, best: None }
    }

    /// Takes note of the error after `epoch`; `keep` makes a copy of the state if it is the best so far. False: stop.
    pub(crate) fn goes_on(&mut self, epoch: usize, error: f64, keep: impl FnOnce() -> B) -> bool {
        match &self.best {
            Some((best, at, _)) if error >= *best => epoch - at < self.epochs,
            _ => {
                self.best = Some((error, epoch, keep()));
                true
            }
        }
    }

    /// The best state, if there was any epoch.
    pub(crate) fn into_best(self) -> Option<B> {
        self.best.map(|(.., state)| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::Rows;

    #[test]
    fn stops_after_epochs_without_a_gain_and_keeps_the_best() {
        let mut patience = Patience::new(2);
        let errors = [3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 0.5];
        let on: Vec<bool> = errors.iter().enumerate().map(|(n, e)| patience.goes_on(n, *e, || n)).collect();
        assert_eq!(on[..6], [true, true, true, true, true, false]);
        let mut stopped = Patience::new(2);
        errors[..6].iter().enumerate().for_each(|(n, e)| {
            stopped.goes_on(n, *e, || n);
        });
        assert_eq!(stopped.into_best(), Some(3));
    }

    #[test]
    fn every_row_is_on_one_side() {
        let mut rows = Rows::default();
        (0..1000).for_each(|n| rows.push(n % 40, n / 40, n as f32));
        let train = Interactions::new(40, 25, &rows).unwrap();
        let HeldOut { learn, watch } = HeldOut::draw(&train, 0.1, &Run::new(1)).unwrap();
        assert!((60..140).contains(&watch.len()), "{}", watch.len());
        let mut values: Vec<f32> = learn.iter().chain(watch.iter()).map(|(.., v)| v).collect();
        values.sort_by(f32::total_cmp);
        assert_eq!(values, (0..1000).map(|n| n as f32).collect::<Vec<_>>());
        assert!(HeldOut::draw(&train, 0.0, &Run::new(1)).is_err());
    }
}
