//! The popularity of an item, the same for everyone: the floor that a personalised recommender must rise above.
//!
//! By mean: (sum of the item's ratings + damping * m) / (number of them + damping), with m the mean of all ratings. The
//! damping keeps an item with one perfect rating from the top. By counts: the number of ratings, whatever they are.

use evenhand_core::{Factors, Model, Output, Recommender, Result, Run, Training, choice, plugin};
use nalgebra::DMatrix;

choice! {
    /// What makes an item popular.
    pub enum By {
        /// The damped mean of its ratings: an estimate of the next one.
        Mean = "mean",
        /// The number of its ratings: an order of items, not a rating.
        Counts = "counts",
    }
}

plugin! {
    /// The most popular items for everyone.
    pub struct Popularity: Recommender = "popularity" {
        /// What makes an item popular.
        by: By = By::Mean;
        /// By mean: how many ratings of average height each item gets in addition.
        damping: f32 = 5.0, in 0.0..;
    }
}

impl Recommender for Popularity {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        run.check()?;
        let train = train.ratings;
        let (mean, damping) = (train.mean(), f64::from(self.damping));
        let popularity = |item: usize| {
            let ratings = train.by_item().values(item);
            let count = ratings.len() as f64;
            let sum: f64 = ratings.iter().map(|&v| f64::from(v)).sum();
            match self.by {
                By::Counts => count,
                By::Mean if count + damping > 0.0 => (sum + damping * mean) / (count + damping),
                By::Mean => mean, // neither ratings nor damping
            }
        };
        // A score is the product of a user's and an item's factor; here every user's is 1.
        let users = DMatrix::from_element(1, train.users(), 1.0);
        let items = DMatrix::from_fn(1, train.items(), |_, item| popularity(item) as f32);
        let output = match self.by {
            By::Mean => Output::Rating,
            By::Counts => Output::Order,
        };
        Ok(Box::new(Factors::new(users, items, output)?))
    }

    fn personalised(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Interactions, Rows};

    /// Two users rate item 0 with 5 and 4, one rates item 1 with 3, nobody rates item 2: the mean of all is 4.
    fn fitted(by: By, damping: f32) -> (Vec<f32>, Output) {
        let mut rows = Rows::default();
        for (user, item, rating) in [(0, 0, 5.0), (1, 0, 4.0), (0, 1, 3.0)] {
            rows.push(user, item, rating);
        }
        let train = Interactions::new(2, 3, &rows).unwrap();
        let run = Run::new(0);
        let model = Popularity { by, damping }.fit(&Training::new(&train), &run).unwrap();
        let mut scores = DMatrix::zeros(0, 0);
        model.score(&[0, 1], &mut scores, &run).unwrap();
        assert_eq!(scores.column(0), scores.column(1));
        (scores.column(0).iter().copied().collect(), model.output())
    }

    #[test]
    fn means_are_damped_towards_the_mean_of_all() {
        // (9 + 2*4)/(2 + 2), (3 + 2*4)/(1 + 2), (0 + 2*4)/(0 + 2)
        assert_eq!(fitted(By::Mean, 2.0), (vec![4.25, 11.0 / 3.0, 4.0], Output::Rating));
        assert_eq!(fitted(By::Mean, 0.0), (vec![4.5, 3.0, 4.0], Output::Rating));
    }

    #[test]
    fn counts_are_counts() {
        assert_eq!(fitted(By::Counts, 2.0), (vec![2.0, 1.0, 0.0], Output::Order));
    }
}
