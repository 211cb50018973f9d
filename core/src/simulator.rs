//! Simulators: worlds with a known truth. They emit data sets, emit tables of groups, answer actions, or several of these.
//!
//! A world that answers actions is gone through in periods 0, 1, 2, ... In each: [`Environment::requests`], any number of
//! [`Environment::answer`], then [`Environment::feedback`]. Agents receive [`Requests`] and [`Feedback`]; the truth stands
//! in [`Audit`], another type, which only the log sees.

use crate::{Dataset, Error, Feedback, GroupData, Groups, Recipe, Result, Run, Scale, Slates};

/// A recipe for a world.
pub trait Simulator: Recipe {
    /// Builds the world. Its randomness is its own: the same run gives the same world whoever acts in it.
    ///
    /// # Errors
    /// Parameters that do not go together.
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>>;
}

/// What is known to everybody about a world that answers actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Number of users, those included who appear later.
    pub users: usize,
    /// Number of items, those included that appear later.
    pub items: usize,
    /// Groupings of the users; the first one is protected.
    pub user_groups: Vec<Groups>,
    /// Meaning of the values.
    pub scale: Scale,
}

/// Who asks for something in a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// The users who ask, each once, in order of asking.
    pub users: Vec<u32>,
    /// Number of users who are there by now: those below it.
    pub present_users: usize,
    /// Number of items that are there by now: those below it.
    pub present_items: usize,
}

impl Requests {
    /// Checks that `slates` can be shown to `users`, whether they ask or not.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user or an item that is not there, slates for another number of users, a slate of more items
    /// than are there, or an item twice in a slate.
    pub fn check(&self, users: &[u32], slates: &Slates) -> Result<()> {
        self.check_there(users, &slates.items)?;
        if slates.size > self.present_items {
            let expected = format!("at most the {} that are there", self.present_items);
            return Err(Error::shape("items of a slate", expected, slates.size));
        }
        if slates.items.len() != users.len() * slates.size {
            return Err(Error::shape("items of the slates", users.len() * slates.size, slates.items.len()));
        }
        let mut sorted = Vec::with_capacity(slates.size);
        for slate in slates.items.chunks_exact(slates.size.max(1)).filter(|slate| slate.len() > 1) {
            sorted.clear();
            sorted.extend_from_slice(slate);
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::shape("items of a slate", "different ones", format!("item {} twice", twice[0])));
            }
        }
        Ok(())
    }

    /// Checks that `users` and `items` are there.
    ///
    /// # Errors
    /// [`Error::Shape`] for the first one that is not.
    pub fn check_there(&self, users: &[u32], items: &[u32]) -> Result<()> {
        let sides = [("user index", users, self.present_users), ("item index", items, self.present_items)];
        for (what, list, bound) in sides {
            if let Some(index) = list.iter().find(|&&index| index as usize >= bound) {
                return Err(Error::shape(what, format!("below {bound}, the number there by now"), index));
            }
        }
        Ok(())
    }
}

/// What only the log may see: the truth about actions, aligned with the items of their [`Slates`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Noise-free value of each item for its user.
    pub expected: Vec<f64>,
    /// Noise-free value of the best item for that place: at the j-th place of a slate, of the user's j-th best item of those
    /// that are there. The regret of a slate is the sum of `best - expected`, and not negative but for rounding.
    pub best: Vec<f64>,
    /// The value that the user returns, now or later.
    pub observed: Vec<f64>,
}

impl Audit {
    /// The regret of each slate of `size` items: the sum of `best - expected`.
    ///
    /// # Panics
    /// Where `size` is 0.
    pub fn regrets(&self, size: usize) -> impl Iterator<Item = f64> {
        let slates = self.best.chunks_exact(size).zip(self.expected.chunks_exact(size));
        slates.map(|(best, expected)| best.iter().zip(expected).map(|(b, e)| b - e).sum())
    }

    /// The mean regret of slates of `size` items; `None` where nothing was shown.
    pub fn mean_regret(&self, size: usize) -> Option<f64> {
        let slates = self.expected.len().checked_div(size).filter(|&n| n > 0)?;
        Some(self.regrets(size).sum::<f64>() / slates as f64)
    }

    /// The mean of `(predicted - expected)^2` over the items shown that have a prediction, aligned with `expected`; NaN is
    /// none. Against noise-free values, and over what the agent chose alone: a best prediction is too high on average.
    /// `None` without any prediction.
    pub fn squared_error(&self, predicted: &[f32]) -> Option<f64> {
        let both = predicted.iter().map(|&p| f64::from(p)).zip(&self.expected).filter(|(p, _)| !p.is_nan());
        let (sum, count) = both.fold((0.0, 0), |(sum, count), (p, e)| (sum + (p - e).powi(2), count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// An open world. Implement what the world can do.
pub trait Environment: Send {
    /// The data set that the world emits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world emits one.
    fn dataset(&self) -> Result<Dataset> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "emitting a data set" })
    }

    /// The table for group regressors that the world emits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world emits one.
    fn table(&self) -> Result<GroupData> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "emitting a table of groups" })
    }

    /// What is known about the world.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions.
    fn stage(&self) -> Result<Stage> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Begins `period`: who asks. Does not depend on earlier actions unless the world says so.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] for a period out of turn.
    fn requests(&mut self, period: usize) -> Result<Requests> {
        let _ = period;
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Shows `slates` to `users` in the period that has begun. Noise is keyed by (period, user, place), so that agents
    /// are compared on common random numbers. What a user returns does not depend on what others are shown.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] before a period has begun or after it has
    /// ended, and for what can not be shown: see [`Requests::check`]. Then nothing was shown.
    fn answer(&mut self, users: &[u32], slates: &Slates) -> Result<Audit> {
        let _ = (users, slates);
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Ends the period: the observations that have arrived, in the order in which their items were shown.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] where no period has begun.
    fn feedback(&mut self) -> Result<Feedback> {
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }

    /// Noise-free values of pairs in the period that began last. For the log only.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the world answers actions; [`Error::Shape`] before the first period, for lengths that
    /// differ, or for a user or an item that is not there.
    fn expected(&self, users: &[u32], items: &[u32]) -> Result<Vec<f64>> {
        let _ = (users, items);
        Err(Error::Unsupported { plugin: "this simulator".into(), operation: "answering recommendations" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two slates of two: the first misses its best by 1 and 0.5, the second is the best one.
    #[test]
    fn regret_and_error_by_hand() {
        let audit =
            Audit { expected: vec![2.0, 1.5, 4.0, 3.0], best: vec![3.0, 2.0, 4.0, 3.0], observed: vec![0.0; 4] };
        assert_eq!(audit.regrets(2).collect::<Vec<_>>(), [1.5, 0.0]);
        assert_eq!((audit.mean_regret(2), audit.mean_regret(1)), (Some(0.75), Some(0.375)));
        assert_eq!((audit.mean_regret(0), Audit::default().mean_regret(2)), (None, None));
        assert_eq!(audit.squared_error(&[3.0, 1.5, f32::NAN, 1.0]), Some(5.0 / 3.0));
        assert_eq!(audit.squared_error(&[f32::NAN; 4]), None);
        assert_eq!(audit.squared_error(&[f32::INFINITY; 4]), Some(f64::INFINITY));
    }

    #[test]
    fn what_can_not_be_shown_is_refused() {
        let there = Requests { users: vec![1, 0], present_users: 2, present_items: 3 };
        let say = |users: &[u32], size, items: &[u32]| {
            let slates = Slates { size, items: items.to_vec(), scores: vec![] };
            there.check(users, &slates).map_err(|e| e.to_string())
        };
        assert_eq!(say(&[0, 1], 2, &[2, 0, 1, 2]), Ok(()));
        assert_eq!((say(&[0], 0, &[]), say(&[], 3, &[])), (Ok(()), Ok(())));
        let refusals = [
            (say(&[2], 1, &[0]), "user index: expected below 2, the number there by now, got 2"),
            (say(&[1], 1, &[3]), "item index: expected below 3, the number there by now, got 3"),
            (say(&[1], 2, &[0]), "items of the slates: expected 2, got 1"),
            (say(&[1], 0, &[0]), "items of the slates: expected 0, got 1"),
            (say(&[1], 4, &[0, 1, 2, 0]), "items of a slate: expected at most the 3 that are there, got 4"),
            (say(&[1, 0], 2, &[0, 1, 2, 2]), "items of a slate: expected different ones, got item 2 twice"),
        ];
        refusals.into_iter().for_each(|(said, expected)| assert_eq!(said, Err(expected.to_string())));
    }
}
