//! Fitted state: what every model can do, and the factors that most of them share.

use crate::dense::{Best, TopK, offer_unseen};
use crate::{Error, Interactions, Result, Run};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::any::Any;

/// What the scores of a model mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// An estimate of the rating, on the scale of the training data.
    Rating,
    /// Only the order of items for one user means something.
    Order,
}

/// One observation that an agent may learn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// User index.
    pub user: u32,
    /// Item index.
    pub item: u32,
    /// What the user gave in return: a rating, a click.
    pub value: f32,
}

/// What an agent may learn from: its own actions and their returns, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feedback {
    /// The observations in the order in which they were made.
    pub rows: Vec<Observation>,
}

/// A fitted recommender.
///
/// Required: the shape, the meaning and the scores. The rest follows from these, unless a model knows a better way.
pub trait Model: erased_serde::Serialize + Any + Send + Sync {
    /// Tag under which snapshots of this model are restored; see [`crate::snapshot`].
    fn kind(&self) -> &'static str;

    /// Number of users.
    fn users(&self) -> usize;

    /// Number of items.
    fn items(&self) -> usize;

    /// What the scores mean.
    fn output(&self) -> Output;

    /// Checks that the state is whole: sizes agree, numbers are finite. Called before saving and after restoring.
    ///
    /// # Errors
    /// [`Error::Snapshot`] saying what is wrong.
    fn validate(&self) -> Result<()>;

    /// Scores of all items for some users; `out` becomes items x batch.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range.
    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()>;

    /// Scores of single pairs: `out[n]` for `users[n]` and `items[n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for different lengths or an index out of range.
    fn predict(&self, users: &[u32], items: &[u32], out: &mut [f32], run: &Run) -> Result<()> {
        check_pairs(self.items(), users, items, out)?;
        let mut scores = DMatrix::zeros(0, 0);
        let mut at = 0;
        // One block of scores per run of equal users: pairs are usually sorted by user.
        for same in users.chunk_by(|a, b| a == b) {
            self.score(&same[..1], &mut scores, run)?;
            for n in at..at + same.len() {
                out[n] = scores[(items[n] as usize, 0)];
            }
            at += same.len();
        }
        Ok(())
    }

    /// The `k` best items of some users, best first, ties to the lower item, without the items of the user in `seen`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range, [`Error::Diverged`] for a score that is not finite.
    fn top_k(&self, users: &[u32], seen: Option<&Interactions>, k: usize, run: &Run) -> Result<TopK> {
        const BATCH: usize = 64;
        let k = k.min(self.items());
        let mut top = TopK::new(users.len(), k);
        let batches: Vec<_> = top.chunks_mut(BATCH).into_iter().zip(users.chunks(BATCH)).collect();
        run.install(|| {
            batches.into_par_iter().try_for_each(|(mut rows, users)| {
                let mut scores = DMatrix::zeros(0, 0);
                let mut best = Best::new(k);
                self.score(users, &mut scores, run)?;
                for (b, &user) in users.iter().enumerate() {
                    let seen = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
                    offer_unseen(scores.column(b).as_slice(), seen, &mut best)?;
                    rows.set(b, &mut best);
                }
                Ok::<_, Error>(())
            })
        })?;
        Ok(top)
    }

    /// The factors, if scores are products of user and item factors.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// Learns from fresh observations, in order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the model learns online.
    fn learn(&mut self, fresh: &Feedback, run: &Run) -> Result<()> {
        let _ = (fresh, run);
        Err(Error::Unsupported { plugin: self.kind().into(), operation: "learning from fresh observations" })
    }

    /// Draws a model from the posterior.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the model has a posterior.
    fn sample(&self, run: &Run) -> Result<Box<dyn Model>> {
        let _ = run;
        Err(Error::Unsupported { plugin: self.kind().into(), operation: "drawing from a posterior" })
    }
}

erased_serde::serialize_trait_object!(Model);

fn check_pairs(bound: usize, users: &[u32], items: &[u32], out: &[f32]) -> Result<()> {
    if users.len() != items.len() || users.len() != out.len() {
        let got = format!("{} and {}", items.len(), out.len());
        return Err(Error::shape("items and scores of the pairs", users.len(), got));
    }
    match items.iter().find(|&&i| i as usize >= bound) {
        Some(i) => Err(Error::shape("item index", format!("below {bound}"), i)),
        None => Ok(()),
    }
}

/// User and item factors: the score of user u and item i is `users.column(u) . items.column(i)`.
///
/// Stored k x n, one entity per column: contiguous per entity. Biases are folded in: the first `latent` factors were
/// learned as such, the rest carries means, biases and the constants that go with them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    /// Factors of the users, k x users.
    #[serde(with = "columns")]
    pub users: DMatrix<f32>,
    /// Factors of the items, k x items.
    #[serde(with = "columns")]
    pub items: DMatrix<f32>,
    /// Factors that were learned; those after them are biases and constants.
    pub latent: usize,
    /// What the product means.
    pub output: Output,
}

impl Factors {
    /// Factors without biases among them.
    ///
    /// # Errors
    /// [`Error::Shape`] where users and items differ in rank.
    pub fn new(users: DMatrix<f32>, items: DMatrix<f32>, output: Output) -> Result<Self> {
        if users.nrows() != items.nrows() {
            return Err(Error::shape("rank of the item factors", users.nrows(), items.nrows()));
        }
        Ok(Self { latent: users.nrows(), users, items, output })
    }

    /// Length of a factor vector.
    pub fn rank(&self) -> usize {
        self.items.nrows()
    }
}

impl Model for Factors {
    fn kind(&self) -> &'static str {
        "factors"
    }

    fn users(&self) -> usize {
        self.users.ncols()
    }

    fn items(&self) -> usize {
        self.items.ncols()
    }

    fn output(&self) -> Output {
        self.output
    }

    fn validate(&self) -> Result<()> {
        if self.users.nrows() != self.items.nrows() {
            let (u, i) = (self.users.nrows(), self.items.nrows());
            return Err(Error::Snapshot(format!("rank of the users' factors is {u}, of the items' {i}")));
        }
        if self.latent > self.rank() {
            return Err(Error::Snapshot(format!("{} latent factors of {}", self.latent, self.rank())));
        }
        for (side, factors) in [("user", &self.users), ("item", &self.items)] {
            if let Some(at) = factors.iter().position(|v| !v.is_finite()) {
                let entity = at / factors.nrows();
                return Err(Error::Snapshot(format!("a factor of {side} {entity} is not finite")));
            }
        }
        Ok(())
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()> {
        run.install(|| run.dense().scores(&self.users, users, &self.items, out))
    }

    fn predict(&self, users: &[u32], items: &[u32], out: &mut [f32], _: &Run) -> Result<()> {
        check_pairs(self.items(), users, items, out)?;
        crate::dense::check_shapes(&self.users, users, &self.items, None)?;
        for ((&u, &i), score) in users.iter().zip(items).zip(out) {
            let (user, item) = (self.users.column(u as usize), self.items.column(i as usize));
            let sum: f64 = user.iter().zip(item.iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            *score = sum as f32;
        }
        Ok(())
    }

    fn top_k(&self, users: &[u32], seen: Option<&Interactions>, k: usize, run: &Run) -> Result<TopK> {
        let seen = seen.map(Interactions::by_user);
        run.install(|| run.dense().top_k(&self.users, users, &self.items, seen, k))
    }

    fn factors(&self) -> Option<&Factors> {
        Some(self)
    }
}

/// A matrix as `{ rank, values }`, entity after entity.
mod columns {
    use nalgebra::DMatrix;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::borrow::Cow;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Columns<'a> {
        rank: usize,
        count: usize,
        values: Cow<'a, [f32]>,
    }

    pub(super) fn serialize<S: Serializer>(m: &DMatrix<f32>, to: S) -> Result<S::Ok, S::Error> {
        Columns { rank: m.nrows(), count: m.ncols(), values: m.as_slice().into() }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DMatrix<f32>, D::Error> {
        let Columns { rank, count, values } = Columns::deserialize(from)?;
        // Compared before anything is sized by the claim.
        if rank.checked_mul(count) != Some(values.len()) {
            let reason = format!("{rank} x {count} factors claimed, {} values there", values.len());
            return Err(D::Error::custom(reason));
        }
        Ok(DMatrix::from_vec(rank, count, values.into_owned()))
    }
}
