//! Fitted state: what every model can do, and the factors that most of them share.

use crate::batches::{ranks_by, top_k_by};
use crate::dense::TopK;
use crate::metrics::Position;
use crate::{Error, Interactions, Result, Run};
use nalgebra::DMatrix;
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
    /// Number of users there are by now; never fewer than before.
    pub users: usize,
    /// Number of items there are by now; never fewer than before.
    pub items: usize,
    /// The observations in the order in which they were made.
    pub rows: Vec<Observation>,
}

impl Feedback {
    /// Checks the observations for a learner that has seen `users` users and `items` items.
    ///
    /// # Errors
    /// [`Error::Shape`] for fewer of them or an index out of range, [`Error::Unusable`] for a value that is not finite.
    pub fn check(&self, users: usize, items: usize) -> Result<()> {
        for (what, then, now) in [("users by now", users, self.users), ("items by now", items, self.items)] {
            if now < then {
                return Err(Error::shape(what, format!("at least {then}"), now));
            }
        }
        for Observation { user, item, value } in &self.rows {
            for (what, index, bound) in [("user index", *user, self.users), ("item index", *item, self.items)] {
                if index as usize >= bound {
                    return Err(Error::shape(what, format!("below {bound}"), index));
                }
            }
            if !value.is_finite() {
                let text = format!("value of user {user}, item {item} is {value}, expected a finite number");
                return Err(Error::Unusable(text));
            }
        }
        Ok(())
    }
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
    /// [`Error::Shape`] for a user out of range or a `seen` of another shape, [`Error::Diverged`] for a score that is
    /// not finite.
    fn top_k(&self, users: &[u32], seen: Option<&Interactions>, k: usize, run: &Run) -> Result<TopK> {
        check_seen(self.users(), self.items(), users, seen)?;
        top_k_by(self.items(), users, seen, k, run, |users, out| self.score(users, out, run))
    }

    /// Where the held-out items of some users stand among all items that the user has neither in `seen` nor in `held_out`:
    /// one position for each row of `users[0]` in `held_out`, by ascending item, then those of `users[1]`, ...
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range, `seen` or `held_out` of another shape, or an item that `held_out` has twice
    /// for one user; [`Error::Diverged`] for a score that counts and is not finite. Of several failures the first user's counts.
    fn ranks(
        &self,
        users: &[u32],
        seen: Option<&Interactions>,
        held_out: &Interactions,
        run: &Run,
    ) -> Result<Vec<Position>> {
        check_seen(self.users(), self.items(), users, seen)?;
        check_data("users x items of the held-out", self.users(), self.items(), held_out)?;
        ranks_by(self.items(), users, seen, held_out, run, |users, out| self.score(users, out, run))
    }

    /// The factors, if scores are products of user and item factors.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// Learns from fresh observations, in order. Users and items that are new join with what is known beforehand. Row n
    /// of the observations draws from stream n below `run.streams`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the model learns online; what [`Feedback::check`] refuses, in which case nothing was
    /// learned.
    fn learn(&mut self, fresh: &Feedback, run: &Run) -> Result<()> {
        let _ = (fresh, run);
        Err(Error::Unsupported { plugin: self.kind().into(), operation: "learning from fresh observations" })
    }

    /// What the model knows of its own uncertainty, if anything.
    fn posterior(&self) -> Option<&dyn Posterior> {
        None
    }
}

/// What a model knows of its own uncertainty: exploration needs one of the two.
pub trait Posterior: Send + Sync {
    /// Draws a model from the posterior: all items, and `users`, a user's draw independent of the rest of the batch. The other
    /// users of the result are as in the mean.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range.
    fn sample(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>>;

    /// A model whose scores are the variances of the model's own, for `users`. Scores of other users are unspecified.
    ///
    /// # Errors
    /// [`Error::Shape`] for a user out of range.
    fn variances(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>>;
}

erased_serde::serialize_trait_object!(Model);

/// Checks that `users` and `seen` fit a model of that many users and items.
fn check_seen(bound: usize, items: usize, users: &[u32], seen: Option<&Interactions>) -> Result<()> {
    seen.map_or(Ok(()), |seen| check_data("users x items of the seen", bound, items, seen))?;
    match users.iter().find(|&&u| u as usize >= bound) {
        Some(u) => Err(Error::shape("user index", format!("below {bound}"), u)),
        None => Ok(()),
    }
}

fn check_data(what: &'static str, users: usize, items: usize, data: &Interactions) -> Result<()> {
    if data.users() < users || data.items() != items {
        return Err(Error::shape(what, format!("{users} x {items}"), format!("{} x {}", data.users(), data.items())));
    }
    Ok(())
}

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
        check_seen(self.users(), self.items(), users, seen)?;
        let seen = seen.map(Interactions::by_user);
        run.install(|| run.dense().top_k(&self.users, users, &self.items, seen, k))
    }

    fn ranks(
        &self,
        users: &[u32],
        seen: Option<&Interactions>,
        held_out: &Interactions,
        run: &Run,
    ) -> Result<Vec<Position>> {
        check_seen(self.users(), self.items(), users, seen)?;
        check_data("users x items of the held-out", self.users(), self.items(), held_out)?;
        let (seen, held_out) = (seen.map(Interactions::by_user), held_out.by_user());
        run.install(|| run.dense().ranks(&self.users, users, &self.items, seen, held_out))
    }

    fn factors(&self) -> Option<&Factors> {
        Some(self)
    }
}

/// A matrix as `{ rank, count, values }`, entity after entity.
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
        // Users and items are counted by their columns, so a claim must be paid for in values: what is sized by a count
        // later is no larger than what has been read.
        let paid = rank.checked_mul(count) == Some(values.len()) && (rank > 0 || count == 0);
        if !paid || u32::try_from(rank.max(count)).is_err() {
            let reason = format!("{rank} x {count} factors claimed, {} values there", values.len());
            return Err(D::Error::custom(reason));
        }
        Ok(DMatrix::from_vec(rank, count, values.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    /// Scores that are given: the default methods at work.
    #[derive(serde::Serialize)]
    struct Given(#[serde(with = "columns")] DMatrix<f32>);

    impl Model for Given {
        fn kind(&self) -> &'static str {
            "given"
        }

        fn users(&self) -> usize {
            self.0.ncols()
        }

        fn items(&self) -> usize {
            self.0.nrows()
        }

        fn output(&self) -> Output {
            Output::Order
        }

        fn validate(&self) -> Result<()> {
            Ok(())
        }

        fn score(&self, users: &[u32], out: &mut DMatrix<f32>, _: &Run) -> Result<()> {
            *out = self.0.select_columns(&users.iter().map(|&u| u as usize).collect::<Vec<_>>());
            Ok(())
        }
    }

    fn seen(users: usize, items: usize) -> Interactions {
        let mut rows = Rows::default();
        rows.push(0, 1, 1.0);
        Interactions::new(users, items, &rows).unwrap()
    }

    #[test]
    fn the_best_need_users_and_seen_items_of_the_model() {
        let run = Run::new(0);
        let scores = DMatrix::from_row_slice(3, 2, &[1.0, 3.0, 9.0, 2.0, 5.0, 1.0]);
        let factors = Factors::new(DMatrix::identity(2, 2), scores.transpose(), Output::Order).unwrap();
        for model in [&Given(scores) as &dyn Model, &factors] {
            let top = model.top_k(&[0, 1], Some(&seen(2, 3)), 2, &run).unwrap();
            assert_eq!((top.items(0), top.items(1)), ([2, 0].as_slice(), [0, 1].as_slice()));
            let say =
                |users: &[u32], seen: Option<&Interactions>| model.top_k(users, seen, 2, &run).unwrap_err().to_string();
            let misfits = [(1, 3, "1 x 3"), (2, 2, "2 x 2"), (2, 4, "2 x 4")];
            for (users, items, got) in misfits {
                let expected = format!("users x items of the seen: expected 2 x 3, got {got}");
                assert_eq!(say(&[0], Some(&seen(users, items))), expected);
            }
            assert_eq!(say(&[0, 2], None), "user index: expected below 2, got 2");
            assert_eq!(say(&[2], Some(&seen(9, 3))), "user index: expected below 2, got 2");
        }
    }

    #[test]
    fn positions_need_users_and_data_of_the_model() {
        let run = Run::new(0);
        let scores = DMatrix::from_row_slice(3, 2, &[1.0, 3.0, 9.0, 2.0, 5.0, 1.0]);
        let factors = Factors::new(DMatrix::identity(2, 2), scores.transpose(), Output::Order).unwrap();
        let mut rows = Rows::default();
        [(0, 0), (1, 2), (1, 0)].into_iter().for_each(|(user, item)| rows.push(user, item, 1.0));
        let held_out = Interactions::new(2, 3, &rows).unwrap();
        rows.push(1, 0, 1.0);
        let twice = Interactions::new(2, 3, &rows).unwrap();
        for model in [&Given(scores) as &dyn Model, &factors] {
            let ranks = |users: &[u32], seen: Option<&_>, held_out: &_| model.ranks(users, seen, held_out, &run);
            let place = |greater, candidates| Position { greater, equal: 0, candidates };
            assert_eq!(ranks(&[0], None, &held_out).unwrap(), [place(2, 2)]);
            let positions = ranks(&[1, 0, 1], Some(&seen(2, 3)), &held_out).unwrap();
            assert_eq!(positions, [place(0, 1), place(1, 1), place(1, 1), place(0, 1), place(1, 1)]);
            let say =
                |users: &[u32], seen: Option<&_>, held_out: &_| ranks(users, seen, held_out).unwrap_err().to_string();
            let fit = |of: &str| format!("users x items of the {of}: expected 2 x 3, got 1 x 3");
            assert_eq!(say(&[0], Some(&seen(1, 3)), &held_out), fit("seen"));
            assert_eq!(say(&[0], None, &seen(1, 3)), fit("held-out"));
            assert_eq!(say(&[0, 2], None, &held_out), "user index: expected below 2, got 2");
            let again = "held-out items of a user: expected each once, got item 0 again";
            assert_eq!(say(&[0, 1], None, &twice), again);
            assert_eq!(ranks(&[0], None, &twice).unwrap(), [place(2, 2)]);
        }
    }

    #[test]
    fn a_claim_of_entities_must_be_paid_in_values() {
        let read = |columns: &str| {
            let fine = r#"{"rank":0,"count":0,"values":[]}"#;
            serde_json::from_str::<Factors>(&format!(
                r#"{{"users":{columns},"items":{fine},"latent":0,"output":"order"}}"#
            ))
        };
        assert_eq!(read(r#"{"rank":1,"count":2,"values":[1,2]}"#).unwrap().users.ncols(), 2);
        for count in ["1", "4294967296", "1000000000000000000"] {
            let refused = read(&format!(r#"{{"rank":0,"count":{count},"values":[]}}"#)).unwrap_err().to_string();
            assert!(refused.contains(&format!("0 x {count} factors claimed, 0 values")), "{refused}");
            assert_eq!(read(&format!(r#"{{"rank":{count},"count":0,"values":[]}}"#)).is_ok(), count == "1");
        }
    }
}
