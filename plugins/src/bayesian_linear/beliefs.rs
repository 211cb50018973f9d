//! The fitted model: beliefs about all users and items.

use super::BayesianLinear;
use super::chains;
use super::evidence::{Evidence, draw_rows};
use super::gaussian::Gaussian;
use super::room::Room;
use evenhand_core::{
    Error, Factors, Feedback, Interactions, Model, Observation, Output, Params, Posterior, Result, Run, Streams, TopK,
    restorable,
};
use nalgebra::DMatrix;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

/// Gaussian beliefs about users and items. Scores are products of the means.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Beliefs {
    recipe: BayesianLinear,
    users: Vec<Gaussian>,
    items: Vec<Gaussian>,
    /// The means in single precision.
    means: Factors,
}

restorable!(Beliefs = "gaussian-beliefs", format 1);

/// Entities worked on by one task.
const CHUNK: usize = 64;

impl Beliefs {
    /// What is believed before anything is known.
    pub(super) fn prior(recipe: &BayesianLinear, users: usize, items: usize) -> Self {
        let rank = recipe.factors;
        let means = Factors {
            users: DMatrix::zeros(rank, 0),
            items: DMatrix::zeros(rank, 0),
            latent: rank,
            output: Output::Rating,
        };
        let mut beliefs = Self { recipe: recipe.clone(), users: Vec::new(), items: Vec::new(), means };
        beliefs.grow(users, items);
        beliefs
    }

    /// The belief about `user`; `None` where there is no such user.
    pub fn user(&self, user: u32) -> Option<&Gaussian> {
        self.users.get(user as usize)
    }

    /// The belief about `item`; `None` where there is no such item.
    pub fn item(&self, item: u32) -> Option<&Gaussian> {
        self.items.get(item as usize)
    }

    /// New users and items join with the prior.
    fn grow(&mut self, users: usize, items: usize) {
        let recipe = &self.recipe;
        let mut room = Room::new(recipe.factors);
        let prior = Gaussian::isotropic(recipe.factors, recipe.prior_mean, 1.0 / recipe.prior_variance, &mut room);
        for (side, means, count) in
            [(&mut self.users, &mut self.means.users, users), (&mut self.items, &mut self.means.items, items)]
        {
            let known = side.len();
            side.resize(count, prior.clone());
            if count > known {
                let grown = std::mem::replace(means, DMatrix::zeros(0, 0)).resize_horizontally(count, 0.0);
                *means = grown;
                set_means(side, means, known..count);
            }
        }
    }

    /// Learns from rows of users and items that there are. Row n draws from stream n.
    pub(super) fn update(&mut self, rows: &[Observation], streams: Streams, run: &Run) -> Result<()> {
        let evidence = Evidence::of(&self.recipe);
        chains::learn(&evidence, rows, &mut [&mut self.users, &mut self.items], streams, run)?;
        set_means(&self.users, &mut self.means.users, rows.iter().map(|row| row.user as usize));
        set_means(&self.items, &mut self.means.items, rows.iter().map(|row| row.item as usize));
        Ok(())
    }

    fn check_users(&self, users: &[u32]) -> Result<()> {
        match users.iter().find(|&&user| user as usize >= self.users.len()) {
            Some(user) => Err(Error::shape("user index", format!("below {}", self.users.len()), user)),
            None => Ok(()),
        }
    }

    /// `work` on the belief and the column of every entity that is `wanted`; `None` wants all. In parallel.
    fn columns(
        &self,
        beliefs: &[Gaussian],
        wanted: Option<&[bool]>,
        columns: &mut DMatrix<f32>,
        work: impl Fn(usize, &Gaussian, &mut [f32], &mut Room) + Sync,
    ) {
        let rank = columns.nrows();
        let chunks = columns.as_mut_slice().par_chunks_mut(rank * CHUNK).zip(beliefs.par_chunks(CHUNK)).enumerate();
        chunks.for_each_init(
            || Room::new(self.recipe.factors),
            |room, (chunk, (columns, beliefs))| {
                for (n, (column, belief)) in columns.chunks_exact_mut(rank).zip(beliefs).enumerate() {
                    let entity = chunk * CHUNK + n;
                    if wanted.is_none_or(|wanted| wanted[entity]) {
                        work(entity, belief, column, room);
                    }
                }
            },
        );
    }

    fn wanted(&self, users: &[u32]) -> Vec<bool> {
        let mut wanted = vec![false; self.users.len()];
        users.iter().for_each(|&user| wanted[user as usize] = true);
        wanted
    }
}

/// Columns of means in single precision.
fn set_means(beliefs: &[Gaussian], means: &mut DMatrix<f32>, entities: impl IntoIterator<Item = usize>) {
    for entity in entities {
        means.column_mut(entity).iter_mut().zip(beliefs[entity].mean()).for_each(|(to, &x)| *to = x as f32);
    }
}

impl Model for Beliefs {
    fn kind(&self) -> &'static str {
        "gaussian-beliefs"
    }

    fn users(&self) -> usize {
        self.users.len()
    }

    fn items(&self) -> usize {
        self.items.len()
    }

    fn output(&self) -> Output {
        Output::Rating
    }

    fn validate(&self) -> Result<()> {
        self.recipe.check().map_err(|e| Error::Snapshot(e.to_string()))?;
        for (what, side) in [("user", &self.users), ("item", &self.items)] {
            if let Some(sick) = side.iter().position(|belief| !belief.is_whole()) {
                let text =
                    format!("the belief about {what} {sick} has a number that is not finite, or no positive precision");
                return Err(Error::Snapshot(text));
            }
        }
        self.means.validate()
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()> {
        self.means.score(users, out, run)
    }

    fn predict(&self, users: &[u32], items: &[u32], out: &mut [f32], run: &Run) -> Result<()> {
        self.means.predict(users, items, out, run)
    }

    fn top_k(&self, users: &[u32], seen: Option<&Interactions>, k: usize, run: &Run) -> Result<TopK> {
        self.means.top_k(users, seen, k, run)
    }

    fn factors(&self) -> Option<&Factors> {
        Some(&self.means)
    }

    /// After an error, other than of `fresh` itself, the beliefs are of no further use.
    fn learn(&mut self, fresh: &Feedback, run: &Run) -> Result<()> {
        run.check()?;
        fresh.check(self.users.len(), self.items.len())?;
        self.grow(fresh.users, fresh.items);
        self.update(&fresh.rows, run.streams.child("bayesian-linear/learn"), run)
    }

    fn posterior(&self) -> Option<&dyn Posterior> {
        Some(self)
    }
}

impl Posterior for Beliefs {
    fn sample(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>> {
        self.check_users(users)?;
        let mut drawn = self.means.clone();
        let streams = ["users", "items"].map(|side| run.streams.child("bayesian-linear/sample").child(side));
        let arch = Arch::new();
        run.install(|| {
            self.columns(&self.users, Some(&self.wanted(users)), &mut drawn.users, |user, belief, column, room| {
                arch.dispatch(Draw { belief, streams: streams[0], index: user as u64, column, room });
            });
            self.columns(&self.items, None, &mut drawn.items, |item, belief, column, room| {
                arch.dispatch(Draw { belief, streams: streams[1], index: item as u64, column, room });
            });
        });
        Ok(Box::new(drawn))
    }

    /// Var(u . i) = mu_u' S_i mu_u + mu_i' S_u mu_i + tr(S_u S_i), noise not included, as a product of vectors of length
    /// d (d + 1): <S_u + mu_u mu_u', S_i> + <S_u, mu_i mu_i'>, of which the upper triangles are kept. Terms cancel where
    /// beliefs are wide in some directions and narrow in others; in single precision the relative error was at most 1e-6 for
    /// tau = 100, 1e-5 for 1e4 and 2e-3 for 1e6 (d = 10).
    fn variances(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>> {
        self.check_users(users)?;
        let rank = self.recipe.factors;
        let side = |count| DMatrix::zeros(rank * (rank + 1), count);
        let (mut left, mut right) = (side(self.users.len()), side(self.items.len()));
        run.install(|| {
            self.columns(&self.users, Some(&self.wanted(users)), &mut left, |_, belief, column, room| {
                moments(belief, room, column, |spread, square| (spread + square, spread));
            });
            self.columns(&self.items, None, &mut right, |_, belief, column, room| {
                moments(belief, room, column, |spread, square| (spread, square));
            });
        });
        Ok(Box::new(Factors::new(left, right, Output::Order)?))
    }
}

/// Two numbers for each entry of the upper triangle, made from Sigma and mu mu'. What stands beside the diagonal occurs twice in an
/// inner product of matrices: both factors get the root of 2.
fn moments(belief: &Gaussian, room: &mut Room, column: &mut [f32], pair: impl Fn(f64, f64) -> (f64, f64)) {
    belief.root_columns(room);
    let (rank, mean) = (belief.rank(), belief.mean());
    let (first, second) = column.split_at_mut(rank * (rank + 1) / 2);
    let mut to = first.iter_mut().zip(second);
    for i in 0..rank {
        for j in i..rank {
            let spread: f64 = room.rows.chunks_exact(room.width).take(rank).map(|row| row[i] * row[j]).sum();
            let weight = if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
            let (a, b) = pair(spread, mean[i] * mean[j]);
            if let Some((first, second)) = to.next() {
                (*first, *second) = ((weight * a) as f32, (weight * b) as f32);
            }
        }
    }
}

/// One draw mu + U^-1 z.
struct Draw<'a> {
    belief: &'a Gaussian,
    streams: Streams,
    index: u64,
    column: &'a mut [f32],
    room: &'a mut Room,
}

impl WithSimd for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { belief, streams, index, column, room } = self;
        let rank = belief.rank();
        room.root.of(belief);
        let row = &mut room.rows[..room.width];
        draw_rows(&mut streams.rng(index), rank, room.width, row);
        room.root.colour(simd, rank, 1.0, false, row);
        for j in 0..rank {
            column[j] = (row[j] + belief.mean()[j]) as f32;
        }
    }
}

/// The state as written: beliefs one after the other, without what follows from them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    recipe: BayesianLinear,
    users: Side,
    items: Side,
}

/// For each of `count` entities the upper triangle of U, row by row, then h.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    count: usize,
    values: Vec<f64>,
}

impl Serialize for Beliefs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let side = |beliefs: &[Gaussian]| Side {
            count: beliefs.len(),
            values: beliefs.iter().flat_map(Gaussian::packed).collect(),
        };
        Stored { recipe: self.recipe.clone(), users: side(&self.users), items: side(&self.items) }.serialize(serializer)
    }
}

impl TryFrom<Stored> for Beliefs {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { recipe, users, items } = stored;
        recipe.check().map_err(|e| e.to_string())?;
        let (rank, each) = (recipe.factors, Gaussian::packed_len(recipe.factors));
        let mut beliefs = Self::prior(&recipe, 0, 0);
        let mut room = Room::new(rank);
        for (what, stored, side, means) in [
            ("users", users, &mut beliefs.users, &mut beliefs.means.users),
            ("items", items, &mut beliefs.items, &mut beliefs.means.items),
        ] {
            if stored.count.checked_mul(each) != Some(stored.values.len()) {
                let (count, values) = (stored.count, stored.values.len());
                return Err(format!("{count} {what} of {each} numbers claimed, {values} numbers"));
            }
            side.extend(stored.values.chunks_exact(each).map(|packed| Gaussian::unpack(rank, packed, &mut room)));
            *means = DMatrix::zeros(rank, side.len());
            set_means(side, means, 0..side.len());
        }
        Ok(beliefs)
    }
}
