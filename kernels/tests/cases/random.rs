//! Sizes, lists and settings that nobody chose: what is computed is the same as in the other cases.

use super::data::{factors, interactions};
use super::{Case, cells, pairs, ranks, scores, top_k};
use evenhand_core::{Interactions, Squash, Streams};
use evenhand_kernels::cuda::pairs::{Adversary, Descent, Rule};
use evenhand_kernels::cuda::{Cuda, Options};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rand::RngExt;

pub(crate) const CASES: &[Case] = &[
    ("products_of_any_size", products_of_any_size),
    ("passes_of_any_size", passes_of_any_size),
    ("steps_of_any_size", steps_of_any_size),
];

/// Runs `test` on so many inputs; the smallest one on which it panics is told.
fn on_any<S: Strategy>(cases: u32, inputs: S, test: impl Fn(S::Value)) {
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 100, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&inputs, |input| {
        test(input);
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Ranks around the edges of slabs, and others.
fn rank() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1usize..20, 1 => 20usize..140, 1 => prop::sample::select(vec![16, 32, 64])]
}

/// Numbers of items that are one tile or some, or enough for splits.
fn items() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..300, 1 => 300usize..2500]
}

/// Some items of each user: none, few, nearly all or all.
fn some(users: usize, items: usize, twice: bool, label: &str, seed: u64) -> Interactions {
    let mut rng = Streams::new(seed).child(label).rng(0);
    let shares: Vec<f64> = (0..users).map(|_| [0.0, 0.03, 0.2, 0.97, 1.0][rng.random_range(0..5)]).collect();
    let draws: Vec<u32> = (0..users * items)
        .map(|cell| {
            let there = rng.random::<f64>() < shares[cell / items];
            u32::from(there) * if twice && rng.random::<f64>() < 0.1 { 2 } else { 1 }
        })
        .collect();
    interactions(users, items, |user, item| draws[user as usize * items + item as usize])
}

fn products_of_any_size(cuda: &Cuda) {
    let sizes = (rank(), 1usize..150, items(), prop::collection::vec(any::<u32>(), 1..140));
    let options = (any::<bool>(), 1usize..300, prop::option::of(1usize..2000), any::<u64>());
    on_any(5, (sizes, options), |((rank, users, items, asked), (whole, k, memory, seed))| {
        let asked: Vec<u32> = asked.iter().map(|user| user % users as u32).collect();
        let [u, i] = [(users, "u"), (items, "i")].map(|(count, label)| factors(rank, count, whole, label));
        let (seen, held_out) = (some(users, items, true, "seen", seed), some(users, items, false, "held-out", seed));
        // So little memory that many blocks are needed, yet enough for one user and all items.
        let memory = memory.map(|more| (12 * (rank + 80) * items.next_multiple_of(128)) + 1024 * more);
        let limited = memory.map(|_| Cuda::open(Options { memory, ..*cuda.options() }).unwrap());
        let cuda = limited.as_ref().unwrap_or(cuda);
        scores::same(cuda, &u, &asked, &i);
        for seen in [None, Some(seen.by_user())] {
            top_k::same(cuda, &u, &asked, &i, seen, k);
            ranks::same(cuda, &u, &asked, &i, seen, held_out.by_user());
        }
    });
}

fn passes_of_any_size(cuda: &Cuda) {
    let split = || prop_oneof![(1usize..6).prop_map(cells::Split::Into), Just(cells::Split::Each)];
    let squash = prop::sample::select(vec![Squash::None, Squash::Tanh, cells::STARS, cells::SHIFTED]);
    let sizes = (rank(), 1usize..200, 1usize..200);
    on_any(
        5,
        (sizes, split(), split(), squash, 0usize..3),
        |((rank, users, items), of_users, of_items, squash, of)| {
            let of = cells::forms(squash)[of];
            let world = cells::World::new(rank, [users, items], squash, of, [of_users, of_items]);
            world.check(&mut *cells::offered(cuda, &world));
        },
    );
}

fn steps_of_any_size(cuda: &Cuda) {
    let sizes = (rank(), 1usize..60, 1usize..60, prop::collection::vec(1usize..200, 1..3));
    let rule = (any::<bool>(), prop::sample::select(vec![0.0, 0.2]), any::<bool>(), any::<bool>());
    let against = prop::option::of((any::<bool>(), any::<bool>(), any::<bool>()));
    on_any(5, (sizes, rule, against), |((rank, users, items, batches), (plain, l2, cut, biased), against)| {
        let batches: Vec<_> = batches.into_iter().map(|pairs| pairs::triples(pairs, users, items, "any")).collect();
        let all = pairs::triples(90, users, items, "all");
        let descent = if plain { Descent::Plain { rate: 0.03 } } else { Descent::Adagrad { rate: 0.05, start: 0.1 } };
        let rule = Rule { descent, l2, weight: 1.0, cut };
        let against = against.map(|(l2, of_all, stale)| {
            (Adversary { eps: 0.5, weight: 0.7, l2, all: None, stale }, of_all.then_some(&all))
        });
        pairs::same(cuda, &pairs::tables(rank, users, items, biased), rule, &batches, against);
    });
}
