//! Plugins from outside: one that works, and some that do not.

use evenhand_core::{Error, Factors, Model, Output, Recommender, Result, Run, Training, plugin};
use nalgebra::DMatrix;

plugin! {
    /// The same score for every item.
    pub struct Flat: Recommender = "flat", from "nobody, never" {
        /// The score.
        level: f32 = 3.0, in 0.0..=5.0;
    }
}

impl Recommender for Flat {
    fn fit(&self, train: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        let users = DMatrix::from_element(1, train.ratings.users(), self.level);
        let items = DMatrix::from_element(1, train.ratings.items(), 1.0);
        Ok(Box::new(Factors::new(users, items, Output::Rating)?))
    }
}

plugin! {
    /// Panics while it fits.
    pub struct Panics: Recommender = "panics" {}
}

impl Recommender for Panics {
    fn fit(&self, train: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        panic!("out of cheese after {} users", train.ratings.users())
    }
}

plugin! {
    /// Gives up while it fits, or gives scores that are none.
    pub struct Fails: Recommender = "fails" {
        /// Whether it fits, to NaN.
        late: bool = false;
    }
}

impl Recommender for Fails {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        if !self.late {
            return Err(Error::Plugin("the stars are wrong".into()));
        }
        let mut flat = Flat { level: 1.0 }.fit(train, run)?.factors().cloned().expect("flat has factors");
        flat.items.fill(f32::NAN);
        Ok(Box::new(flat))
    }
}

plugin! {
    /// Fails with a message that a terminal should not see, or none.
    pub struct Mumbles: Recommender = "mumbles" {
        /// Whether it says anything.
        aloud: bool = true;
    }
}

impl Recommender for Mumbles {
    fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        Err(Error::Plugin(if self.aloud { "\u{1b}[2Jgone" } else { "" }.into()))
    }
}

plugin! {
    /// Takes its time.
    pub struct Slow: Recommender = "slow" {
        /// Tenths of a second.
        steps: usize = 1;
    }
}

impl Recommender for Slow {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        for step in 0..self.steps {
            run.step(step, self.steps)?;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Flat::default().fit(train, run)
    }
}
