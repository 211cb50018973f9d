//! Checks of mixers.

use super::outcome::{Check, Outcome, Stop, ensure, run_all};
use super::recipe;
use crate::{Descriptor, Mixer, Mixing, Result, Streams};
use rand::RngExt;
use serde_json::{Value as Json, json};

/// Checks a mixer with its default parameters.
pub fn mixer(descriptor: &Descriptor<dyn Mixer>) -> Vec<Outcome> {
    mixer_with(descriptor, &json!({}))
}

/// Checks a mixer with those parameters, an object; absent ones take their defaults.
pub fn mixer_with(descriptor: &Descriptor<dyn Mixer>, params: &Json) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    outcomes.extend(run_all(descriptor.name, &checks(), &Subject { descriptor, params }));
    outcomes
}

/// A mixer under test.
struct Subject<'a> {
    descriptor: &'a Descriptor<dyn Mixer>,
    params: &'a Json,
}

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("ignorant", "where nothing is known, shares are equal", ignorant),
        Check("shares", "shares are within 0 and 1 and add up to 1, whoever is awake and whatever was lost", shares),
        Check("asking", "nothing is learned by asking, and the same shares are told twice", asking),
        Check("alike", "experts that were asleep all the time, or lost the same, have equal shares", alike),
        Check("deterministic", "the same bits for the same losses", deterministic),
        Check("copies", "a copy has the same shares, and neither learns what the other does", copies),
    ]
}

const EXPERTS: usize = 8;
const ROUNDS: usize = 3000;
/// How far a sum of shares may be from 1.
const ROUNDING: f64 = 1e-12;

impl Subject<'_> {
    fn begin(&self, experts: usize) -> Result<Box<dyn Mixing>> {
        self.descriptor.build(&mut <dyn erased_serde::Deserializer>::erase(self.params))?.begin(experts)
    }
}

/// Who is awake in a round, ascending, and what each of them loses.
type Round = (Vec<usize>, Vec<f64>);

fn ask(mixing: &mut dyn Mixing, awake: &[usize]) -> Vec<f64> {
    // What is not written, or added to, shows.
    let mut shares = vec![f64::NAN; awake.len()];
    mixing.shares(awake, &mut shares);
    shares
}

/// Asks, and tells what was lost.
fn go(mixing: &mut dyn Mixing, (awake, losses): &Round) -> Vec<f64> {
    let shares = ask(mixing, awake);
    mixing.update(awake, &shares, losses);
    shares
}

fn sound(shares: &[f64], whose: impl FnOnce() -> String) -> Result<(), Stop> {
    let sum: f64 = shares.iter().sum();
    let holds = shares.iter().all(|share| (0.0..=1.0).contains(share)) && (sum - 1.0).abs() <= ROUNDING;
    ensure(holds, || format!("{}: the shares are {shares:?}, which add up to {sum}", whose()))
}

/// Experts, each awake every second time, at least one of them; they lose up to `scale`.
fn random(scale: f64) -> Vec<Round> {
    let mut rng = Streams::new(7).child("contract/mixer").rng(scale as u64);
    let mut round = || {
        let mut awake: Vec<usize> = (0..EXPERTS).filter(|_| rng.random_bool(0.5)).collect();
        if awake.is_empty() {
            awake.push(rng.random_range(0..EXPERTS));
        }
        // The later ones lose more.
        let losses = awake.iter().map(|&e| scale * rng.random::<f64>() * (e + 1) as f64 / EXPERTS as f64).collect();
        (awake, losses)
    };
    (0..ROUNDS).map(|_| round()).collect()
}

/// Rounds in which `awake` and `loss`, of a round and an expert, are as given.
fn rounds(awake: impl Fn(usize) -> Vec<usize>, loss: impl Fn(usize, usize) -> f64) -> Vec<Round> {
    let round = |round| {
        let awake = awake(round);
        let losses = awake.iter().map(|&expert| loss(round, expert)).collect();
        (awake, losses)
    };
    (0..ROUNDS).map(round).collect()
}

fn everyone(_: usize) -> Vec<usize> {
    (0..EXPERTS).collect()
}

fn scenarios() -> Vec<(&'static str, Vec<Round>)> {
    vec![
        ("small losses", random(1.0)),
        ("large losses", random(1e6)),
        ("losses that grow", rounds(everyone, |round, e| (round * e) as f64)),
        ("tiny losses, then large ones", rounds(everyone, |round, e| e as f64 * if round < 1500 { 1e-9 } else { 1e6 })),
        ("no loss", rounds(everyone, |_, _| 0.0)),
        ("equal losses", rounds(everyone, |_, _| 0.25)),
        ("equal large losses", rounds(everyone, |_, _| 1e6)),
        ("losses near the end of their range", rounds(everyone, |_, e| 1e300 * e as f64)),
        (
            "one far behind, then far before",
            rounds(everyone, |round, e| if (e == 0) == (round < 2) { 1e17 } else { 0.0 }),
        ),
        ("one without loss, others with large ones", rounds(everyone, |_, e| if e == 3 { 0.0 } else { 1e6 })),
        ("one with large losses, others without", rounds(everyone, |_, e| if e == 3 { 1e6 } else { 0.0 })),
        ("one awake at a time", rounds(|round| vec![round % EXPERTS], |round, _| (round % 3) as f64)),
        (
            "the best awake every second round",
            rounds(|round| (round % 2..EXPERTS).collect(), |_, e| if e == 0 { 0.0 } else { 1e6 }),
        ),
        (
            "the best and the worst change places",
            rounds(everyone, |round, e| if (e == 0) == (round % 1000 < 500) { 0.0 } else { 10.0 }),
        ),
    ]
}

fn ignorant(s: &Subject<'_>) -> Result<(), Stop> {
    for (experts, awake) in
        [(1, vec![0]), (2, vec![1]), (2, vec![0, 1]), (EXPERTS, vec![1, 4, 7]), (100, (0..100).collect())]
    {
        let shares = ask(s.begin(experts)?.as_mut(), &awake);
        let equal = shares.iter().all(|share| (share * awake.len() as f64 - 1.0).abs() <= ROUNDING);
        ensure(equal, || format!("{} of {experts} experts have the shares {shares:?}", awake.len()))?;
    }
    Ok(())
}

fn shares(s: &Subject<'_>) -> Result<(), Stop> {
    for (what, rounds) in scenarios() {
        let mut mixing = s.begin(EXPERTS)?;
        for (n, round) in rounds.iter().enumerate() {
            sound(&go(mixing.as_mut(), round), || format!("{what}, round {n}, of {:?}", round.0))?;
        }
        // Those who were not awake together before.
        for awake in (0..EXPERTS).map(|e| vec![e]).chain([vec![0, 3], vec![1, 2, 3], everyone(0)]) {
            sound(&ask(mixing.as_mut(), &awake), || format!("{what}, at the end, of {awake:?}"))?;
        }
    }
    Ok(())
}

fn bits(shares: &[f64]) -> Vec<u64> {
    shares.iter().map(|share| share.to_bits()).collect()
}

fn asking(s: &Subject<'_>) -> Result<(), Stop> {
    for (what, rounds) in scenarios().into_iter().take(2) {
        let [mut plain, mut asked] = [s.begin(EXPERTS)?, s.begin(EXPERTS)?];
        for (n, round) in rounds.iter().enumerate() {
            for awake in [&[n % EXPERTS][..], &round.0, &everyone(n)] {
                ask(asked.as_mut(), awake);
            }
            let first = ask(asked.as_mut(), &round.0);
            let [here, there] = [go(asked.as_mut(), round), go(plain.as_mut(), round)];
            let same = bits(&first) == bits(&here) && bits(&here) == bits(&there);
            ensure(same, || format!("{what}, round {n}: other shares once asked for: {there:?}, then {here:?}"))?;
        }
    }
    Ok(())
}

/// Four experts sleep all the time while the others lose; two of the others always lose the same.
fn alike(s: &Subject<'_>) -> Result<(), Stop> {
    for scale in [1.0, 1e6] {
        let mut mixing = s.begin(EXPERTS)?;
        for (n, (awake, losses)) in random(scale).into_iter().enumerate() {
            let of = |e: usize| awake.iter().position(|&a| a == e).map(|at| losses[at]);
            let woken = [(0, of(0)), (1, of(0)), (2, of(2)), (3, of(3))];
            let (awake, losses): (Vec<_>, Vec<_>) = woken.into_iter().filter_map(|(e, loss)| Some((e, loss?))).unzip();
            if !awake.is_empty() {
                go(mixing.as_mut(), &(awake, losses));
            }
            for (which, awake) in [("asleep all the time", vec![4, 5, 6, 7]), ("of equal losses", vec![0, 1])] {
                let shares = ask(mixing.as_mut(), &awake);
                // NaN is the business of `shares`.
                let apart = shares.iter().any(|share| (share - shares[0]).abs() > 1e-9);
                ensure(!apart, || format!("round {n}: experts {which} have the shares {shares:?}"))?;
            }
        }
    }
    Ok(())
}

fn deterministic(s: &Subject<'_>) -> Result<(), Stop> {
    for (what, rounds) in scenarios().into_iter().take(2) {
        let [mut first, mut later] = [s.begin(EXPERTS)?, s.begin(EXPERTS)?];
        for (n, round) in rounds.iter().enumerate() {
            let both = [go(first.as_mut(), round), go(later.as_mut(), round)];
            let same = bits(&both[0]) == bits(&both[1]);
            ensure(same, || format!("{what}, round {n}: the shares are {:?}, then {:?}", both[0], both[1]))?;
        }
    }
    Ok(())
}

fn copies(s: &Subject<'_>) -> Result<(), Stop> {
    for (what, rounds) in scenarios().into_iter().take(2) {
        let mut mixing = s.begin(EXPERTS)?;
        let (before, after) = rounds.split_at(ROUNDS / 2);
        before.iter().for_each(|round| _ = go(mixing.as_mut(), round));
        let mut copy = mixing.copy();
        let then = ask(mixing.as_mut(), &everyone(0));
        after.iter().for_each(|round| _ = go(mixing.as_mut(), round));
        let now = ask(copy.as_mut(), &everyone(0));
        ensure(bits(&then) == bits(&now), || {
            format!("{what}: a copy has the shares {now:?}, the original had {then:?}")
        })?;
        after.iter().for_each(|round| _ = go(copy.as_mut(), round));
        let [one, other] = [&mut mixing, &mut copy].map(|mixing| ask(mixing.as_mut(), &everyone(0)));
        ensure(bits(&one) == bits(&other), || format!("{what}: a copy learns {other:?}, the original {one:?}"))?;
    }
    Ok(())
}
