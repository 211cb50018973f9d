//! Checks of policies: what they show. How likely they say it was is checked in `chances`.

use super::chances;
use super::outcome::{Check, Outcome, Stop, caught, ensure, run_all};
use super::recipe;
use super::toy::{self, Toy};
use crate::{
    Acting, Cardinality, Descriptor, Error, Harm, Lottery, Plan, Policy, Propensities, Result, Run, SizeRule, Slates,
    World,
};
use serde_json::{Value as Json, json};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Checks a policy with its default parameters.
pub fn policy(descriptor: &Descriptor<dyn Policy>) -> Vec<Outcome> {
    policy_with(descriptor, &json!({}))
}

/// Checks a policy with those parameters, an object; absent ones take their defaults.
///
/// The model is a Gaussian one, which states a variance and can be drawn from.
pub fn policy_with(descriptor: &Descriptor<dyn Policy>, params: &Json) -> Vec<Outcome> {
    let (toy, seen) = (toy::toy(), toy::seen());
    let mut outcomes = recipe(descriptor);
    let subject = Subject::new(descriptor, params, World { model: &toy, seen: Some(&seen), harm: Some(toy::harm()) });
    outcomes.extend(run_all(descriptor.name, &checks(), &subject));
    let checks = [
        Check("plain-factors", "works with plain factors too, or fails with `Error::Unsupported`", plain_factors),
        Check("non-finite", "acting on scores that are not finite ends in `Error::Diverged`", non_finite),
    ];
    outcomes.extend(run_all(descriptor.name, &checks, &Toys { descriptor, params, toy: &toy }));
    outcomes
}

/// Checks a policy with those parameters on a world whose model has all that the policy needs. It must have a user and
/// an item that can be shown to everyone.
pub fn policy_over(descriptor: &Descriptor<dyn Policy>, params: &Json, world: World<'_>) -> Vec<Outcome> {
    run_all(descriptor.name, &checks(), &Subject::new(descriptor, params, world))
}

const SEED: u64 = 20;

/// Longest slates of the checks.
const SIZE: usize = 3;

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("prepares", "prepares where the model has all that it needs", prepares),
        Check("cancel", "preparing with a run that was cancelled ends in `Error::Cancelled`", cancel),
        Check("slates", "slates have the size asked for: distinct items, unseen, each with a finite score", slates),
        Check("nothing", "no user, and slates of no item, are fine", nothing),
        Check("refuses", "users, items, lengths and sizes out of range are errors", refuses),
        Check("threads", "the same bits on 1, 2 and 7 threads", threads),
        Check("batches", "what a user is shown, and its propensity, do not depend on the rest of the batch", batches),
        Check("seed", "the same bits for the same seed; certain slates are the same for every seed", seed),
        Check("sums", "the propensities of all items at a place add up to 1, none for seen items", chances::sums),
        Check("frequencies", "items are shown as often as the propensities say", chances::frequencies),
        Check("plans", "distributions over sets are such, and those that are acted by", plans),
        Check("independent", "estimates do not draw what acting with the same run draws", chances::independent),
    ]
}

/// A policy under test.
pub(super) struct Subject<'a> {
    descriptor: &'a Descriptor<dyn Policy>,
    params: &'a Json,
    pub(super) world: World<'a>,
    /// On one, two and seven threads.
    pub(super) runs: [Run; 3],
    /// Items of a slate: as many as all users can be shown, at most [`SIZE`].
    pub(super) size: usize,
    prepared: OnceCell<Result<Box<dyn Acting + 'a>, String>>,
}

/// What a policy shows, and how likely it says that was.
#[derive(Debug, PartialEq)]
struct Shown {
    items: Vec<u32>,
    scores: Vec<u32>,
    propensities: Vec<u64>,
}

impl<'a> Subject<'a> {
    fn new(descriptor: &'a Descriptor<dyn Policy>, params: &'a Json, world: World<'a>) -> Self {
        let users = 0..world.model.users() as u32;
        let fewest = users.map(|u| world.model.items() - world.seen_by(u).count()).min();
        Self {
            descriptor,
            params,
            world,
            runs: [1, 2, 7].map(|n| Run::new(SEED).with_threads(n).expect("the system starts seven threads")),
            size: fewest.unwrap_or(0).min(SIZE),
            prepared: OnceCell::new(),
        }
    }

    /// The run on two threads.
    fn run(&self) -> &Run {
        &self.runs[1]
    }

    pub(super) fn everyone(&self) -> Vec<u32> {
        (0..self.world.model.users() as u32).collect()
    }

    /// A fresh preparation: what another one has done must not show.
    fn prepare(&self, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        prepare(self.descriptor, self.params, self.world, run)
    }

    fn outcome(&self) -> &Result<Box<dyn Acting + 'a>, String> {
        let prepare = || caught(|| self.prepare(self.run()))?.map_err(|e| e.to_string());
        self.prepared.get_or_init(prepare)
    }

    /// The policy, prepared once for all checks that only act.
    pub(super) fn acting(&self) -> Result<&(dyn Acting + 'a), Stop> {
        match self.outcome() {
            Ok(acting) => Ok(acting.as_ref()),
            Err(_) => Err(Stop::Skipped("it does not act: see `prepares`".into())),
        }
    }
}

fn prepare<'a>(
    descriptor: &Descriptor<dyn Policy>,
    params: &Json,
    world: World<'a>,
    run: &Run,
) -> Result<Box<dyn Acting + 'a>> {
    descriptor.build(&mut <dyn erased_serde::Deserializer>::erase(params))?.prepare(world, run)
}

fn show(acting: &dyn Acting, users: &[u32], size: usize, run: &Run) -> Result<Shown, Stop> {
    let slates = acting.act(users, size, run)?;
    let Propensities { values, .. } = acting.propensities(users, &slates, run)?;
    let expected = users.len() * size;
    ensure(values.len() == expected, || format!("{} propensities, expected {expected}", values.len()))?;
    Ok(Shown {
        items: slates.items,
        scores: slates.scores.iter().map(|v| v.to_bits()).collect(),
        propensities: values.iter().map(|v| v.to_bits()).collect(),
    })
}

fn prepares(s: &Subject<'_>) -> Result<(), Stop> {
    s.outcome().as_ref().map(|_| ()).map_err(|e| Stop::Failed(e.clone()))
}

fn cancel(s: &Subject<'_>) -> Result<(), Stop> {
    s.acting()?;
    match s.prepare(&s.run().clone().with_cancel(Arc::new(AtomicBool::new(true)))) {
        Err(Error::Cancelled) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("it ends in another error: {e}"))),
        Ok(_) => Err(Stop::Failed("it goes on; call `run.check()?` at its start".into())),
    }
}

fn slates(s: &Subject<'_>) -> Result<(), Stop> {
    let users = s.everyone();
    for size in [1, s.size] {
        whole(&s.acting()?.act(&users, size, s.run())?, &users, size, s.world)?;
    }
    // To the end of the catalogue, where nothing counts as seen.
    let all = s.world.model.items();
    let harmless = vec![false; all];
    let harm = s.world.harm.map(|harm| Harm { harmful: &harmless, ..harm });
    let world = World { seen: None, harm, ..s.world };
    let acting = prepare(s.descriptor, s.params, world, s.run())?;
    whole(&acting.act(&users, all, s.run())?, &users, all, world)
}

fn whole(slates: &Slates, users: &[u32], size: usize, world: World<'_>) -> Result<(), Stop> {
    let (items, expected) = (world.model.items(), users.len() * size);
    let got = (slates.size, slates.items.len(), slates.scores.len());
    ensure(got == (size, expected, expected), || {
        format!("size, items and scores are {got:?}, expected {size} and {expected} of each")
    })?;
    for (b, &user) in users.iter().enumerate() {
        let mut shown = slates.of(b).to_vec();
        let about = |what| move || format!("user {user} is shown {:?}: {what}", slates.of(b));
        ensure(shown.iter().all(|&i| (i as usize) < items), about("an item that does not exist"))?;
        ensure(!world.seen_by(user).any(|i| shown.contains(&i)), about("an item that the user has seen"))?;
        shown.sort_unstable();
        shown.dedup();
        ensure(shown.len() == size, about("an item twice"))?;
        let scores = &slates.scores[b * size..][..size];
        ensure(scores.iter().all(|v| v.is_finite()), || format!("scores of user {user} are {scores:?}"))?;
    }
    Ok(())
}

fn nothing(s: &Subject<'_>) -> Result<(), Stop> {
    let users = s.everyone();
    for (users, size) in [(&[][..], s.size), (&[][..], 0), (&users[..], 0)] {
        let (slates, run) = (s.acting()?.act(users, size, s.run())?, s.run());
        whole(&slates, users, size, s.world)?;
        let got = s.acting()?.propensities(users, &slates, run)?.values.len();
        ensure(got == 0, || format!("{got} propensities of nothing"))?;
    }
    match s.acting()?.plans(&[], Cardinality::exactly(s.size), s.run()) {
        Err(Error::Unsupported { .. }) => Ok(()),
        plans => ensure(plans?.is_empty(), || "plans for nobody".into()),
    }
}

fn refuses(s: &Subject<'_>) -> Result<(), Stop> {
    let (acting, run, model) = (s.acting()?, s.run(), s.world.model);
    let (users, items) = (model.users() as u32, model.items());
    let slates = |size, items: &[u32]| Slates { size, items: items.to_vec(), scores: vec![0.0; items.len()] };
    let act = |users: &[u32], size| acting.act(users, size, run).is_err();
    let propensities = |users: &[u32], slates| acting.propensities(users, &slates, run).is_err();
    // The user with the fewest items left is asked for one more.
    let (worst, seen) = (0..users).map(|u| (u, s.world.seen_by(u).count())).max_by_key(|x| x.1).unwrap_or_default();
    let over = items - seen + 1;
    let tried = [
        ("a slate for a user out of range", act(&[0, users], 1)),
        ("a slate longer than the catalogue", act(&[0], items + 1)),
        ("a slate of more items than are left", act(&[0, worst], over)),
        ("a propensity for a user out of range", propensities(&[users], slates(1, &[0]))),
        ("a propensity of an item out of range", propensities(&[0], slates(1, &[items as u32]))),
        ("propensities for two users and one slate", propensities(&[0, 0], slates(1, &[0]))),
        ("propensities for one user and two slates", propensities(&[0], slates(1, &[0, 0]))),
        ("propensities of more items than are left", propensities(&[worst], slates(over, &vec![0; over]))),
        ("a size that no product can hold", propensities(&[0, 0], slates(usize::MAX, &[]))),
    ];
    let plans = |users: &[u32], size| acting.plans(users, Cardinality::exactly(size), run).is_err();
    let more = [
        ("a plan for a user out of range", plans(&[users], 1)),
        ("a plan of more items than are left", plans(&[worst], over)),
        ("a plan of a size that no product can hold", plans(&[0, 0], usize::MAX)),
    ];
    let given = tried.iter().chain(&more).find(|(_, refused)| !refused);
    given.map_or(Ok(()), |(what, _)| Err(Stop::Failed(format!("{what}: no error"))))
}

fn threads(s: &Subject<'_>) -> Result<(), Stop> {
    let users = s.everyone();
    let expected = show(s.acting()?, &users, s.size, s.run())?;
    let [one, _, seven] = &s.runs;
    for run in [one, seven] {
        let got = show(s.prepare(run)?.as_ref(), &users, s.size, run)?;
        ensure(got == expected, || format!("slates or propensities differ between 2 and {} threads", run.threads()))?;
    }
    Ok(())
}

fn batches(s: &Subject<'_>) -> Result<(), Stop> {
    let (acting, everyone) = (s.acting()?, s.everyone());
    let all = show(acting, &everyone, s.size, s.run())?;
    let last = everyone.len() as u32 - 1;
    let backwards: Vec<u32> = everyone.iter().rev().copied().collect();
    for batch in [&backwards[..], &[last, 0, last / 2, 0], &[last]] {
        let got = show(acting, batch, s.size, s.run())?;
        for (b, &user) in batch.iter().enumerate() {
            let (here, there) = (b * s.size..(b + 1) * s.size, user as usize * s.size..(user as usize + 1) * s.size);
            let same = got.items[here.clone()] == all.items[there.clone()]
                && got.scores[here.clone()] == all.scores[there.clone()]
                && got.propensities[here] == all.propensities[there];
            ensure(same, || format!("user {user}: other slates or propensities in a batch of {}", batch.len()))?;
        }
    }
    Ok(())
}

fn seed(s: &Subject<'_>) -> Result<(), Stop> {
    let (acting, users) = (s.acting()?, s.everyone());
    let slates = acting.act(&users, s.size, s.run())?;
    let first = acting.propensities(&users, &slates, s.run())?;
    let shown = show(acting, &users, s.size, s.run())?;
    for seed in SEED + 1..SEED + 6 {
        let run = s.run().clone().with_seed(seed);
        let (other, again) = (acting.act(&users, s.size, &run)?, acting.propensities(&users, &slates, &run)?);
        ensure(again.draws == first.draws, || "the number of draws depends on the seed".into())?;
        if first.draws.is_some() {
            continue;
        }
        ensure(again.values == first.values, || "exact propensities depend on the seed".into())?;
        for (b, user) in users.iter().enumerate() {
            let certain = first.values[b * s.size..][..s.size].iter().all(|&p| p == 1.0);
            let (now, then) = (other.of(b), slates.of(b));
            ensure(!certain || now == then, || format!("user {user} is certainly shown {then:?}, and shown {now:?}"))?;
        }
    }
    let later = show(acting, &users, s.size, s.run())?;
    ensure(later == shown, || "the same run shows something else later".into())?;
    let fresh = show(s.prepare(s.run())?.as_ref(), &users, s.size, s.run())?;
    ensure(fresh == shown, || "two preparations with the same run act differently".into())
}

/// Under every rule: sets of items that are not seen and of the size asked for, the same for a user in any batch on any
/// number of threads; under [`SizeRule::Exactly`], each item is in a set as often as it is at any place of a slate.
fn plans(s: &Subject<'_>) -> Result<(), Stop> {
    let (acting, users, size, items) = (s.acting()?, s.everyone(), s.size, s.world.model.items());
    let mut stated = false;
    for rule in [SizeRule::Exactly, SizeRule::AtMost, SizeRule::Independent] {
        let cardinality = Cardinality { size, rule };
        let plans = match acting.plans(&users, cardinality, s.run()) {
            Err(Error::Unsupported { .. }) => continue,
            plans => plans?,
        };
        stated = true;
        ensure(plans.len() == users.len(), || format!("{} plans for {} users", plans.len(), users.len()))?;
        for (&user, Plan { lottery, certificate }) in users.iter().zip(&plans) {
            lottery.check(items)?;
            let gap = certificate.map_or(0.0, |certificate| certificate.gap);
            ensure(gap >= 0.0, || format!("user {user}: a gap of {gap}, expected at least 0"))?;
            let hidden = s.world.seen_by(user).find(|&item| lottery.inclusion(item) > 0.0);
            ensure(hidden.is_none(), || {
                format!("user {user} may be shown item {}, which is seen", hidden.unwrap_or(0))
            })?;
            let mean = lottery.mean_size();
            let fits = mean <= size as f64 + 1e-6 && (rule != SizeRule::Exactly || mean >= size as f64 - 1e-6);
            ensure(fits, || format!("user {user} is shown {mean} items under {cardinality:?}"))?;
            let sets = match lottery {
                Lottery::Sets { sets, .. } => sets,
                Lottery::Uniform { .. } => continue,
                Lottery::Independent { chances, .. } => {
                    let vague = rule != SizeRule::Independent && chances.iter().any(|p| *p != 0.0 && *p != 1.0);
                    ensure(!vague, || format!("user {user}: items that enter independently under {cardinality:?}"))?;
                    continue;
                }
            };
            let odd = sets.iter().find(|set| match rule {
                SizeRule::Exactly => set.len() != size,
                SizeRule::AtMost => set.len() > size,
                SizeRule::Independent => false,
            });
            ensure(odd.is_none(), || format!("user {user}: {odd:?} under {cardinality:?}"))?;
        }
        let again = acting.plans(&[users[users.len() - 1], 0], cardinality, &s.runs[2])?;
        let same = again[0] == plans[plans.len() - 1] && again[1] == plans[0];
        ensure(same, || format!("other plans in another batch, under {cardinality:?}"))?;
        let fresh = s.prepare(&s.runs[0])?.plans(&users, cardinality, &s.runs[0])?;
        ensure(fresh == plans, || format!("other plans when prepared anew on one thread, under {cardinality:?}"))?;
        if rule == SizeRule::Exactly {
            chances::inclusions(s, &plans)?;
        }
    }
    if stated { Ok(()) } else { Err(Stop::Skipped("it does not state its distribution over sets".into())) }
}

/// A policy and the models of the kit.
struct Toys<'a> {
    descriptor: &'a Descriptor<dyn Policy>,
    params: &'a Json,
    toy: &'a Toy,
}

fn plain_factors(s: &Toys<'_>) -> Result<(), Stop> {
    let (factors, seen) = (&s.toy.means, toy::seen());
    let subject = Subject::new(s.descriptor, s.params, World::new(factors, Some(&seen)));
    match subject.prepare(subject.run()) {
        Err(Error::Unsupported { .. }) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("it fails otherwise: {e}"))),
        Ok(_) => slates(&subject).and_then(|()| chances::sums(&subject)),
    }
}

fn non_finite(s: &Toys<'_>) -> Result<(), Stop> {
    for sick in [f32::NAN, f32::INFINITY] {
        let mut model = s.toy.clone();
        model.means.users.column_mut(1).fill(sick);
        let run = Run::new(SEED);
        let world = World { model: &model, seen: None, harm: Some(toy::harmless()) };
        let acting = prepare(s.descriptor, s.params, world, &run)?;
        match acting.act(&[0, 1, 2], 1, &run) {
            Err(Error::Diverged { .. }) => {}
            Err(e) => return Err(Stop::Failed(format!("with scores of {sick} it fails otherwise: {e}"))),
            Ok(_) => return Err(Stop::Failed(format!("with scores of {sick} it acts all the same"))),
        }
    }
    Ok(())
}
