//! A sound policy, and its flaws.

use super::failed;
use crate::contract::{Outcome, policy, policy_with};
use crate::*;
use nalgebra::DMatrix;
use rand::RngExt;
use rand::seq::index;
use std::sync::atomic::{AtomicU32, Ordering};

choice! {
    /// Which rule is broken.
    enum Flaw {
        /// No rule.
        None = "none",
        /// No rule, propensities being estimates.
        Estimate = "estimate",
        /// Panics at once.
        Panic = "panic",
        /// Does not hear that it is cancelled.
        Deaf = "deaf",
        /// Refuses models without a posterior in its own way.
        Posterior = "posterior",
        /// Shows one item less.
        Short = "short",
        /// Shows the best item everywhere.
        Twice = "twice",
        /// Shows what the user has seen.
        Seen = "seen",
        /// Says nothing of the scores.
        Mute = "mute",
        /// Takes for granted that there is something to show.
        Nothing = "nothing",
        /// Checks no request.
        Trusting = "trusting",
        /// Draws by the number of threads.
        Threads = "threads",
        /// Draws by the place in the batch.
        Place = "place",
        /// Remembers how often it acted.
        Memory = "memory",
        /// Says that what it draws is certain.
        Certain = "certain",
        /// States the chance of an item at any place of the slate.
        Anywhere = "anywhere",
        /// Forgets the seen items in its propensities.
        Forgetful = "forgetful",
        /// Tells of more draws than it made.
        Boastful = "boastful",
        /// Shows lower items more often than it says.
        Biased = "biased",
        /// Estimates from what it shows.
        Leaky = "leaky",
        /// Takes scores that are not finite for 0.
        Blind = "blind",
    }
}

plugin! {
    /// Uniform slates of unseen items: sound, but for one flaw.
    struct Uniform: Policy = "uniform" {
        /// Which rule is broken.
        flaw: Flaw = Flaw::None;
    }
}

static ACTS: AtomicU32 = AtomicU32::new(0);

const DRAWS: usize = 20;

impl Policy for Uniform {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        if self.flaw != Flaw::Deaf {
            run.check()?;
        }
        match self.flaw {
            Flaw::Panic => panic!("out of luck"),
            Flaw::Posterior if world.posterior().is_err() => Err(Error::Unusable("no posterior".into())),
            _ => Ok(Box::new(Draws { flaw: self.flaw, world })),
        }
    }
}

pub(super) struct Draws<'a> {
    flaw: Flaw,
    world: World<'a>,
}

impl<'a> Draws<'a> {
    /// Without a flaw.
    pub(super) fn sound(world: World<'a>) -> Self {
        Self { flaw: Flaw::None, world }
    }

    pub(super) fn items(&self) -> u32 {
        self.world.model.items() as u32
    }

    pub(super) fn check(&self, users: &[u32], size: usize) -> Result<()> {
        self.world.check(users, size)
    }

    /// The items that `user` may be shown.
    pub(super) fn left(&self, user: u32) -> Vec<u32> {
        let seen: Vec<u32> = self.world.seen_by(user).collect();
        let sees = self.flaw == Flaw::Seen;
        (0..self.world.model.items() as u32).filter(|i| sees || !seen.contains(i)).collect()
    }

    fn draw(&self, users: &[u32], size: usize, streams: Streams) -> Vec<u32> {
        let mut items = Vec::new();
        for (b, &user) in users.iter().enumerate() {
            let mut rng = streams.rng(if self.flaw == Flaw::Place { b as u64 } else { user.into() });
            let left = self.left(user);
            let size = size.min(left.len());
            let mut chosen: Vec<u32> = index::sample(&mut rng, left.len(), size).iter().map(|n| left[n]).collect();
            match self.flaw {
                Flaw::Biased if rng.random_bool(0.3) => chosen.sort_unstable(),
                Flaw::Short => drop(chosen.pop()),
                Flaw::Twice => chosen.fill(left[0]),
                _ => {}
            }
            items.extend(chosen);
        }
        items
    }
}

impl Acting for Draws<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        assert!(self.flaw != Flaw::Nothing || size > 0, "nothing to show");
        if self.flaw != Flaw::Trusting {
            self.world.check(users, size)?;
        }
        let streams = match self.flaw {
            Flaw::Threads => run.streams.child(&run.threads().to_string()),
            Flaw::Memory => run.streams.child(&ACTS.fetch_add(1, Ordering::Relaxed).to_string()),
            _ => run.streams.child("0"),
        };
        let items = self.draw(users, size, streams);
        let mut scores = vec![0.0; items.len()];
        if items.len() == users.len() * size && self.flaw != Flaw::Mute {
            let pairs: Vec<u32> = users.iter().flat_map(|&u| std::iter::repeat_n(u, size)).collect();
            self.world.model.predict(&pairs, &items, &mut scores, run)?;
        }
        for (item, score) in items.iter().zip(&mut scores).filter(|(_, score)| !score.is_finite()) {
            match self.flaw {
                Flaw::Blind => *score = 0.0,
                _ => return Err(Error::Diverged { what: format!("score of item {item}"), step: None }),
            }
        }
        Ok(Slates { size, items, scores: if self.flaw == Flaw::Mute { vec![f32::NAN; scores.len()] } else { scores } })
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        if self.flaw != Flaw::Trusting {
            self.world.check_slates(users, slates)?;
        }
        let size = slates.size;
        if matches!(self.flaw, Flaw::Estimate | Flaw::Leaky | Flaw::Boastful) {
            let first = if self.flaw == Flaw::Leaky { 0 } else { 1 };
            let mut values = vec![0.0; slates.items.len()];
            for n in first..first + DRAWS {
                let drawn = self.draw(users, size, run.streams.child(&n.to_string()));
                let same = values.iter_mut().zip(drawn.iter().zip(&slates.items));
                same.filter(|(_, (a, b))| a == b).for_each(|(value, _)| *value += 1.0 / DRAWS as f64);
            }
            let draws = if self.flaw == Flaw::Boastful { DRAWS + 3 } else { DRAWS };
            return Ok(Propensities { values, draws: Some(draws) });
        }
        let chance = |user: u32, item: u32| {
            let left = self.left(user);
            match self.flaw {
                Flaw::Certain => 1.0,
                Flaw::Anywhere => size as f64 / left.len() as f64,
                Flaw::Forgetful => 1.0 / self.world.model.items() as f64,
                _ if left.contains(&item) => 1.0 / left.len() as f64,
                _ => 0.0,
            }
        };
        let of = |(b, &user): (usize, &u32)| slates.of(b).iter().map(|&i| chance(user, i)).collect::<Vec<_>>();
        Ok(Propensities { values: users.iter().enumerate().flat_map(of).collect(), draws: None })
    }
}

fn checked(flaw: &str) -> Vec<Outcome> {
    policy_with(&Descriptor::<dyn Policy>::of::<Uniform>(), &serde_json::json!({ "flaw": flaw }))
}

fn each_fails(flaws: &[(&str, &[&str])]) {
    for (flaw, expected) in flaws {
        assert_eq!(failed(&checked(flaw)), *expected, "{flaw}");
    }
}

#[test]
fn each_flaw_of_a_slate_fails_its_check() {
    each_fails(&[
        ("none", &[]),
        ("panic", &["prepares", "plain-factors", "non-finite"]),
        ("deaf", &["cancel"]),
        ("posterior", &["plain-factors"]),
        (
            "short",
            &["slates", "threads", "batches", "seed", "frequencies", "independent", "plain-factors", "non-finite"],
        ),
        ("twice", &["slates", "frequencies", "plain-factors"]),
        ("seen", &["slates", "sums", "plain-factors"]),
        ("mute", &["slates", "plain-factors", "non-finite"]),
        ("nothing", &["nothing"]),
        ("trusting", &["refuses"]),
        ("threads", &["threads"]),
        ("place", &["batches"]),
        ("memory", &["threads", "batches", "seed"]),
        ("blind", &["non-finite"]),
    ]);
}

#[test]
fn each_flaw_of_a_propensity_fails_its_check() {
    each_fails(&[
        ("estimate", &[]),
        ("certain", &["seed", "sums", "frequencies", "plain-factors"]),
        ("anywhere", &["seed", "sums", "frequencies", "plain-factors"]),
        ("forgetful", &["sums", "frequencies", "plain-factors"]),
        ("boastful", &["sums", "plain-factors"]),
        ("biased", &["frequencies"]),
        ("leaky", &["independent"]),
    ]);
}

plugin! {
    /// The best items of one draw from the posterior, with estimated propensities.
    struct Posterior: Policy = "posterior" {
        /// Whether its estimates count what it shows.
        leaky: bool = false;
    }
}

impl Policy for Posterior {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        run.check()?;
        Ok(Box::new(Drawn { leaky: self.leaky, world, posterior: world.posterior()? }))
    }
}

struct Drawn<'a> {
    leaky: bool,
    world: World<'a>,
    posterior: &'a dyn crate::Posterior,
}

impl Drawn<'_> {
    fn best(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        let top = self.posterior.sample(users, run)?.top_k(users, self.world.seen, size, run)?;
        let mut slates = Slates { size, ..Slates::default() };
        for b in 0..users.len() {
            slates.items.extend(top.items(b));
            slates.scores.extend(top.scores(b));
        }
        Ok(slates)
    }
}

impl Acting for Drawn<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        self.best(users, size, &run.child("0"))
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        let mut values = vec![0.0; slates.items.len()];
        let first = if self.leaky { 0 } else { 1 };
        for n in first..first + DRAWS {
            let drawn = self.best(users, slates.size, &run.child(&n.to_string()))?;
            let same = values.iter_mut().zip(drawn.items.iter().zip(&slates.items));
            same.filter(|(_, (a, b))| a == b).for_each(|(value, _)| *value += 1.0 / DRAWS as f64);
        }
        Ok(Propensities { values, draws: Some(DRAWS) })
    }
}

#[test]
fn draws_from_the_posterior_pass_unless_they_leak() {
    let descriptor = Descriptor::<dyn Policy>::of::<Posterior>();
    super::assert_all(policy(&descriptor));
    let leaky = policy_with(&descriptor, &serde_json::json!({ "leaky": true }));
    assert_eq!(failed(&leaky), ["independent"]);
}

#[test]
fn a_model_of_its_own_may_be_given() {
    let factors = Factors::new(DMatrix::identity(2, 2), DMatrix::zeros(2, 1), Output::Order).unwrap();
    let world = World::new(&factors, None);
    let uniform = Descriptor::<dyn Policy>::of::<Uniform>();
    let outcomes = crate::contract::policy_over(&uniform, &serde_json::json!({}), world);
    assert_eq!((outcomes.len(), failed(&outcomes)), (12, vec![]));
}
