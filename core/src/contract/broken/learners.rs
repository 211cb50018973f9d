//! A sound model that learns online and has a posterior, and its flaws.

use super::failed;
use crate::contract::{Stop, recommender_with};
use crate::*;
use nalgebra::DMatrix;
use rand::RngExt;
use serde_json::json;

choice! {
    /// Which rule is broken.
    enum Flaw {
        /// No rule.
        None = "none",
        /// Learns nothing.
        Frozen = "frozen",
        /// Keeps its shape.
        Cramped = "cramped",
        /// Believes what it is told.
        Credulous = "credulous",
        /// Learns a row before it looks at the next one.
        Hasty = "hasty",
        /// Adds numbers thread by thread.
        Threads = "threads",
        /// Does not hear that it is cancelled.
        Deaf = "deaf",
        /// Draws by the place in the batch.
        Place = "place",
        /// Draws for users who are not there.
        Ghosts = "ghosts",
        /// Is too sure of itself.
        Vain = "vain",
    }
}

plugin! {
    /// The mean rating of each item, for everyone: sound, but for one flaw.
    struct Mean: Recommender = "mean" {
        /// Which rule is broken.
        flaw: Flaw = Flaw::None;
    }
}

impl Recommender for Mean {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        run.check()?;
        let (users, items) = (train.ratings.users(), train.ratings.items());
        let mut model = Means {
            flaw: self.flaw,
            users,
            sums: vec![0.0; items],
            counts: vec![1.0; items],
            drawn: DMatrix::zeros(0, 0),
        };
        train.ratings.iter().for_each(|(_, item, value)| model.add(item, value));
        Ok(Box::new(model))
    }

    fn personalised(&self) -> bool {
        false
    }

    fn online(&self) -> bool {
        true
    }
}

/// Sums and counts by item; a draw adds numbers of its own, users x items.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Means {
    flaw: Flaw,
    users: usize,
    sums: Vec<f32>,
    counts: Vec<f32>,
    #[serde(skip)]
    drawn: DMatrix<f32>,
}

restorable!(Means = "means", format 1);

impl Means {
    fn add(&mut self, item: u32, value: f32) {
        if let (Some(sum), Some(count)) = (self.sums.get_mut(item as usize), self.counts.get_mut(item as usize)) {
            (*sum, *count) = (*sum + value, *count + 1.0);
        }
    }

    fn check(&self, users: &[u32]) -> Result<()> {
        match users.iter().find(|&&u| u as usize >= self.users) {
            Some(u) => Err(Error::shape("user index", self.users, u)),
            None => Ok(()),
        }
    }
}

impl Model for Means {
    fn kind(&self) -> &'static str {
        "means"
    }

    fn users(&self) -> usize {
        self.users
    }

    fn items(&self) -> usize {
        self.sums.len()
    }

    fn output(&self) -> Output {
        Output::Rating
    }

    fn validate(&self) -> Result<()> {
        let sound = self.counts.len() == self.sums.len() && self.counts.iter().all(|c| *c >= 1.0);
        if sound { Ok(()) } else { Err(Error::Snapshot("not one count per sum".into())) }
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, _: &Run) -> Result<()> {
        self.check(users)?;
        *out = DMatrix::from_fn(self.items(), users.len(), |item, b| {
            let own = self.drawn.get((users[b] as usize, item)).copied().unwrap_or(0.0);
            self.sums[item] / self.counts[item] + own
        });
        Ok(())
    }

    fn learn(&mut self, fresh: &Feedback, run: &Run) -> Result<()> {
        if self.flaw != Flaw::Deaf {
            run.check()?;
        }
        if self.flaw == Flaw::Hasty {
            fresh.rows.iter().take(1).for_each(|row| self.add(row.item, row.value));
        }
        fresh.check(if self.flaw == Flaw::Credulous { 0 } else { self.users }, self.items())?;
        if self.flaw != Flaw::Cramped {
            self.users = fresh.users;
            self.sums.resize(fresh.items, 0.0);
            self.counts.resize(fresh.items, 1.0);
        }
        let shift = if self.flaw == Flaw::Threads { run.threads() as f32 } else { 0.0 };
        if self.flaw != Flaw::Frozen {
            fresh.rows.iter().for_each(|row| self.add(row.item, row.value + shift));
        }
        Ok(())
    }

    fn posterior(&self) -> Option<&dyn Posterior> {
        Some(self)
    }
}

impl Posterior for Means {
    fn sample(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>> {
        if self.flaw != Flaw::Ghosts {
            self.check(users)?;
        }
        let mut drawn = Self { drawn: DMatrix::zeros(self.users, self.items()), ..self.clone() };
        for (b, &user) in users.iter().enumerate().filter(|(_, user)| (**user as usize) < self.users) {
            let key = if self.flaw == Flaw::Place { b as u64 } else { u64::from(user) };
            let mut rng = run.streams.rng(key);
            for item in 0..self.items() {
                // Uniform, of variance 1 / count.
                let half = (3.0 / self.counts[item]).sqrt();
                drawn.drawn[(user as usize, item)] = rng.random_range(-half..half);
            }
        }
        Ok(Box::new(drawn))
    }

    fn variances(&self, users: &[u32], _: &Run) -> Result<Box<dyn Model>> {
        self.check(users)?;
        let sure = if self.flaw == Flaw::Vain { 0.3 } else { 1.0 };
        Ok(Box::new(Self { sums: vec![sure; self.items()], ..self.clone() }))
    }
}

#[test]
fn each_flaw_fails_its_check() {
    for (flaw, expected) in [
        ("none", &[][..]),
        ("frozen", &["learns"]),
        ("cramped", &["learns"]),
        ("credulous", &["learns"]),
        ("hasty", &["learns"]),
        ("threads", &["learns"]),
        ("deaf", &["learns"]),
        ("place", &["posterior"]),
        ("ghosts", &["posterior"]),
        ("vain", &["posterior"]),
    ] {
        let outcomes = recommender_with(&Descriptor::<dyn Recommender>::of::<Mean>(), &json!({ "flaw": flaw }));
        assert_eq!(failed(&outcomes), expected, "{flaw}: {outcomes:#?}");
        let skipped = outcomes.iter().filter(|o| matches!(o.result, Err(Stop::Skipped(_)))).map(|o| o.check);
        assert_eq!(skipped.collect::<Vec<_>>(), ["checkerboard"], "{flaw}");
    }
}
