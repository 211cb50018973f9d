//! A sound recommender, and its flaws.

use super::failed;
use crate::contract::{Outcome, recommender_with};
use crate::*;
use nalgebra::DMatrix;
use std::sync::atomic::{AtomicU32, Ordering};

choice! {
    /// Which rule is broken.
    enum Flaw {
        /// No rule.
        None = "none",
        /// Adds numbers thread by thread.
        Threads = "threads",
        /// Remembers earlier fits.
        Memory = "memory",
        /// Does not hear that it is cancelled.
        Deaf = "deaf",
        /// Returns a model of other data.
        Shape = "shape",
        /// Takes for granted that every user has a rating.
        Empty = "empty",
        /// Divides by the spread of the ratings.
        Spread = "spread",
        /// Takes for granted that there are two users.
        Lonely = "lonely",
        /// Refuses repeated pairs.
        Duplicates = "duplicates",
        /// Learns no taste.
        Impersonal = "impersonal",
        /// Panics at once.
        Panic = "panic",
        /// Takes for granted that it refits its own model.
        Refit = "refit",
        /// Some scores are NaN.
        Nan = "nan",
        /// Recommends what the user has seen.
        Seen = "seen",
        /// Ranks what the user has seen among the rivals.
        Rivals = "rivals",
        /// Ranks held-out items against each other.
        Brothers = "brothers",
        /// Breaks ties in favour of the held-out item.
        Ties = "ties",
        /// Ranks each user once, in order, whatever it is asked for.
        Once = "once",
        /// Rounds its predictions.
        Rounded = "rounded",
        /// Scores by the place in the batch.
        Place = "place",
        /// Scores users who are not there.
        Ghosts = "ghosts",
        /// Its model type is not registered.
        Unregistered = "unregistered",
        /// Leaves part of its state out of the snapshot.
        Forgetful = "forgetful",
        /// Does not check what a snapshot holds.
        Trusting = "trusting",
    }
}

plugin! {
    /// Scores items by what users with a shared item like: sound, but for one flaw.
    struct Broken: Recommender = "broken" {
        /// Which rule is broken.
        flaw: Flaw = Flaw::None;
    }
}

static FITS: AtomicU32 = AtomicU32::new(0);

impl Recommender for Broken {
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        if self.flaw != Flaw::Deaf {
            run.check()?;
        }
        let rows = train.ratings;
        let (users, items) = (rows.users(), rows.items());
        let mut ratings = DMatrix::<f32>::zeros(items, users);
        rows.iter().for_each(|(u, i, v)| ratings[(i as usize, u as usize)] += v / 7.0);
        let values = rows.by_user().all_values();
        let mut bias = 0.0;
        match self.flaw {
            Flaw::Threads => {
                let parts = values.chunks(values.len().div_ceil(run.threads()).max(1));
                bias = parts.map(|part| part.iter().map(|v| v / 7.0).sum::<f32>()).sum();
            }
            Flaw::Memory => bias = FITS.fetch_add(1, Ordering::Relaxed) as f32,
            Flaw::Shape => ratings = ratings.transpose(),
            Flaw::Empty => bias = (0..users).map(|u| rows.by_user().values(u)[0]).sum(),
            Flaw::Spread if values.len() > 99 => {
                let spread = values.iter().map(|v| (v - rows.mean() as f32).powi(2)).sum::<f32>();
                ratings /= spread;
            }
            Flaw::Lonely => assert!(users > 1, "alone"),
            Flaw::Duplicates => drop(rows.merge(Duplicates::Refuse)?),
            Flaw::Impersonal => ratings.fill(1.0),
            Flaw::Panic => panic!("out of luck"),
            _ => {}
        }
        let factors = Factors::new(ratings.clone(), &ratings * ratings.transpose(), Output::Order)?;
        Ok(Box::new(Odd { flaw: self.flaw, shifts: vec![bias; factors.items()], factors, lost: 1.0 }))
    }

    fn refit(&self, train: &Training<'_>, earlier: &dyn Model, run: &Run) -> Result<Box<dyn Model>> {
        assert!(self.flaw != Flaw::Refit || earlier.users() == train.ratings.users(), "not my model");
        self.fit(train, run)
    }
}

/// Factors and what the flaws need.
#[derive(serde::Serialize, serde::Deserialize)]
struct Odd {
    flaw: Flaw,
    factors: Factors,
    shifts: Vec<f32>,
    #[serde(skip)]
    lost: f32,
}

restorable!(Odd = "odd", format 1);

impl Model for Odd {
    fn kind(&self) -> &'static str {
        if self.flaw == Flaw::Unregistered { "never-registered" } else { "odd" }
    }

    fn users(&self) -> usize {
        self.factors.users()
    }

    fn items(&self) -> usize {
        self.factors.items()
    }

    fn output(&self) -> Output {
        self.factors.output()
    }

    fn validate(&self) -> Result<()> {
        if self.flaw != Flaw::Trusting && self.shifts.len() != self.items() {
            return Err(Error::Snapshot("not one shift per item".into()));
        }
        self.factors.validate()
    }

    fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()> {
        let ghosts = |u: &u32| if self.flaw == Flaw::Ghosts { u % self.users() as u32 } else { *u };
        self.factors.score(&users.iter().map(ghosts).collect::<Vec<_>>(), out, run)?;
        for (place, mut column) in out.column_iter_mut().enumerate() {
            let place = if self.flaw == Flaw::Place { place as f32 } else { 0.0 };
            let lost = if self.flaw == Flaw::Forgetful { self.lost } else { 0.0 };
            (0..column.len()).for_each(|i| column[i] += self.shifts[i] + place + lost);
            if self.flaw == Flaw::Nan {
                column[0] = f32::NAN;
            }
        }
        Ok(())
    }

    fn predict(&self, users: &[u32], items: &[u32], out: &mut [f32], run: &Run) -> Result<()> {
        let mut scores = DMatrix::zeros(0, 0);
        self.score(users, &mut scores, run)?;
        let lost = || Error::shape("items of the pairs", users.len(), items.len());
        for (n, out) in out.iter_mut().enumerate() {
            let &item = items.get(n).ok_or_else(lost)?;
            let &score = scores.get((item as usize, n)).ok_or_else(lost)?;
            *out = if self.flaw == Flaw::Rounded { score.round() } else { score };
        }
        Ok(())
    }

    fn top_k(&self, users: &[u32], seen: Option<&Interactions>, k: usize, run: &Run) -> Result<TopK> {
        let mut top = TopK::new(users.len(), k);
        let mut scores = DMatrix::zeros(0, 0);
        self.score(users, &mut scores, run)?;
        for (b, (mut row, &user)) in top.chunks_mut(1).into_iter().zip(users).enumerate() {
            let seen = seen.filter(|_| self.flaw != Flaw::Seen);
            let hidden = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
            let mut best = dense::Best::new(k);
            dense::offer_unseen(scores.column(b).as_slice(), hidden, &mut best)?;
            row.set(0, &mut best);
        }
        Ok(top)
    }

    fn ranks(
        &self,
        users: &[u32],
        seen: Option<&Interactions>,
        held_out: &Interactions,
        run: &Run,
    ) -> Result<Vec<metrics::Position>> {
        let mut users = users.to_vec();
        if self.flaw == Flaw::Once {
            users.sort_unstable();
            users.dedup();
        }
        let mut scores = DMatrix::zeros(0, 0);
        self.score(&users, &mut scores, run)?;
        let mut all = Vec::new();
        for (scores, &user) in scores.column_iter().zip(&users) {
            let seen = seen.filter(|_| self.flaw != Flaw::Rivals);
            let hidden = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
            let held_out = held_out.by_user().partners(user as usize);
            match self.flaw {
                Flaw::Brothers => {
                    for item in held_out {
                        all.extend(dense::positions(scores.as_slice(), hidden, &[*item])?);
                    }
                }
                _ => all.extend(dense::positions(scores.as_slice(), hidden, held_out)?),
            }
        }
        if self.flaw == Flaw::Ties {
            all.iter_mut().for_each(|position| position.equal = 0);
        }
        Ok(all)
    }
}

fn outcomes(flaw: Flaw) -> Vec<Outcome> {
    recommender_with(&Descriptor::<dyn Recommender>::of::<Broken>(), &serde_json::json!({ "flaw": flaw }))
}

#[test]
fn a_sound_recommender_passes() {
    let outcomes = outcomes(Flaw::None);
    let not_passed: Vec<_> = outcomes.iter().filter(|o| o.result.is_err()).map(|o| o.check).collect();
    assert_eq!((not_passed, failed(&outcomes)), (vec!["learns", "posterior"], vec![]), "{outcomes:#?}");
}

#[test]
fn each_flaw_fails_its_check() {
    for (flaw, expected) in [
        (Flaw::Threads, "threads refit"),
        (Flaw::Memory, "threads seed refit"),
        (Flaw::Deaf, "cancel"),
        (Flaw::Shape, "fits snapshot empty-rows constant duplicates tiny refit"),
        (Flaw::Empty, "empty-rows tiny"),
        (Flaw::Spread, "constant"),
        (Flaw::Lonely, "tiny refit"),
        (Flaw::Duplicates, "duplicates"),
        (Flaw::Impersonal, "checkerboard"),
        (Flaw::Panic, "fits empty-rows constant duplicates tiny checkerboard"),
        (Flaw::Refit, "refit"),
        (
            Flaw::Nan,
            "finite threads seed predict top-k ranks snapshot empty-rows constant duplicates tiny checkerboard refit",
        ),
        (Flaw::Seen, "top-k checkerboard"),
        (Flaw::Rivals, "ranks"),
        (Flaw::Brothers, "ranks"),
        (Flaw::Ties, "ranks"),
        (Flaw::Once, "ranks"),
        (Flaw::Rounded, "predict"),
        (Flaw::Place, "batches predict"),
        (Flaw::Ghosts, "out-of-range"),
        (Flaw::Unregistered, "snapshot hostile-snapshot"),
        (Flaw::Forgetful, "snapshot"),
        (Flaw::Trusting, "hostile-snapshot"),
    ] {
        assert_eq!(failed(&outcomes(flaw)).join(" "), expected, "{flaw:?}");
    }
}
