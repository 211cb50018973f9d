//! What can not be, said in plain words: nothing of it panics or is answered with nonsense.

use crate::world::{World, rng};
use evenhand_core::{
    Cardinality, Dynamics, Error, Factors, Harm, Lottery, Output, Policy, Registry, Result, Run, SizeRule,
};
use evenhand_plugins::stationary::{Catalogue, Effort, Figure, Protocol, REPORTED, Search};
use nalgebra::DMatrix;
use serde_json::json;

const POLICIES: [&str; 5] = ["uniform", "top-k", "alternating", "gradient", "gradient-slsqp"];
/// Those that look at profiles.
const PROFILES: [&str; 3] = ["alternating", "gradient", "gradient-slsqp"];

fn told<T>(result: Result<T>) -> String {
    result.err().map_or_else(|| "no refusal".into(), |e| e.to_string())
}

/// What a policy says of plans for both users and of what it shows them.
fn refusals(name: &str, factors: &Factors, harm: Harm<'_>, rule: SizeRule, size: usize) -> [String; 2] {
    let (run, policies) = (Run::new(3), Registry::<dyn Policy>::linked().unwrap());
    let users: Vec<u32> = (0..factors.users.ncols() as u32).collect();
    let policy = policies.build(name, &json!({})).unwrap();
    let prepared = policy.prepare(evenhand_core::World { model: factors, seen: None, harm: Some(harm) }, &run);
    match prepared {
        Ok(acting) => {
            [told(acting.plans(&users, Cardinality { size, rule }, &run)), told(acting.act(&users, size, &run))]
        }
        Err(e) => [e.to_string(), e.to_string()],
    }
}

/// Two users and items that they like.
fn factors(items: usize) -> Factors {
    let number = |row: usize, column: usize| ((row * 7 + column * 3) % 5) as f32 / 5.0 - 0.3;
    Factors::new(DMatrix::from_fn(2, 2, number), DMatrix::from_fn(2, items, number), Output::Order).unwrap()
}

fn harm(harmful: &[bool]) -> Harm<'_> {
    Harm { harmful, dynamics: Dynamics::default(), price: 10.0 }
}

#[test]
fn too_few_items_to_show() {
    for name in POLICIES {
        for rule in [SizeRule::Exactly, SizeRule::AtMost, SizeRule::Independent] {
            let none = refusals(name, &factors(3), harm(&[true; 3]), rule, 1);
            let expected = "items of a set: expected at most the 0 that may be shown to user 0, got 1";
            assert_eq!(none, [expected; 2], "{name}");
            let few = refusals(name, &factors(4), harm(&[false, true, true, false]), rule, 3);
            let expected = "items of a set: expected at most the 2 that may be shown to user 0, got 3";
            assert_eq!(few, [expected; 2], "{name}");
            // Nothing is not too much to ask for.
            assert_eq!(refusals(name, &factors(3), harm(&[true; 3]), rule, 0), ["no refusal"; 2], "{name}");
        }
    }
}

#[test]
fn vectors_that_are_no_numbers_or_too_long() {
    let labels = [false, true, false];
    let told = |name: &str, factors: &Factors| refusals(name, factors, harm(&labels), SizeRule::Exactly, 1);
    for name in PROFILES {
        for value in [f32::NAN, f32::INFINITY] {
            let mut broken = factors(3);
            broken.items[(1, 2)] = value;
            assert_eq!(told(name, &broken), ["vector of item 2 became non-finite"; 2], "{name}");
            let mut broken = factors(3);
            broken.users[(0, 1)] = value;
            let [plans, act] = told(name, &broken);
            assert_eq!(plans, "profile of user 1 became non-finite", "{name}");
            assert!(act.contains("user 1"), "{name}: {act}");
        }
        let mut long = factors(3);
        long.items[(0, 2)] = 40.0;
        let [plans, _] = told(name, &long);
        assert!(plans.contains("item 2: vectors are so long that a score may reach 1602,"), "{name}: {plans}");
        let mut long = factors(3);
        long.users[(1, 1)] = 3e5;
        let [plans, _] = told(name, &long);
        assert!(plans.contains("user 1: ") && plans.contains("so long that a score may reach"), "{name}: {plans}");
        long.users[(1, 1)] = f32::MAX;
        let [plans, _] = told(name, &long);
        assert!(plans.contains("user 1: ") && plans.contains("so long that a score may reach"), "{name}: {plans}");
    }
    // Policies that look at scores alone find out by the score.
    for name in ["uniform", "top-k"] {
        let mut broken = factors(3);
        broken.users[(0, 1)] = f32::NAN;
        let [_, act] = told(name, &broken);
        assert!(act.contains("score of item 0 for user 1"), "{name}: {act}");
    }
}

#[test]
fn labels_dynamics_and_prices_that_do_not_fit() {
    let (labels, factors) = ([false; 3], factors(3));
    let of = |name: &str, harm: Harm<'_>| refusals(name, &factors, harm, SizeRule::Exactly, 1);
    for name in POLICIES {
        assert_eq!(of(name, harm(&[false; 2])), ["harm labels: expected 3, got 2"; 2], "{name}");
        let dynamics = Dynamics { beta: 2.0, ..Dynamics::default() };
        let expected = "parameter `beta` = 2, expected 0.0..=1.0";
        assert_eq!(of(name, Harm { dynamics, ..harm(&labels) }), [expected; 2], "{name}");
        for price in ["NaN", "-1", "inf"] {
            let expected = format!("parameter `price` = {price}, expected a finite number from 0");
            let harm = Harm { price: price.parse().unwrap(), ..harm(&labels) };
            assert_eq!(of(name, harm), [expected.clone(), expected], "{name}");
        }
    }
}

#[test]
fn catalogues_of_nothing() {
    let of = |rows, columns, labels| {
        let labels = vec![false; labels];
        Catalogue::new(&DMatrix::zeros(rows, columns), &labels, Dynamics::default())
    };
    assert_eq!(told(of(0, 3, 3)), "numbers of an item's vector: expected at least 1, got 0");
    assert_eq!(told(of(2, 3, 4)), "harm labels: expected 3, got 4");
    assert_eq!(told(of(2, 0, 0)), "items of a catalogue: expected at least 1, got 0");
    for name in PROFILES {
        let told = refusals(name, &factors(0), harm(&[]), SizeRule::Exactly, 0);
        assert_eq!(told, ["items of a catalogue: expected at least 1, got 0"; 2], "{name}");
    }
}

/// Every way into the engine checks what it is given.
#[test]
fn profiles_and_lotteries_that_do_not_fit() {
    let world = World::drawn(1, [2, 4, 1], 0.5, 4.0);
    let (catalogue, fine, nothing) = (world.catalogue(), &world.start[..], Lottery::certain(vec![]));
    let unknown = Lottery::certain(vec![4]);
    type Call<'a> = Box<dyn Fn(&[f64], &Lottery) -> String + 'a>;
    let catalogue = &catalogue;
    let calls: Vec<Call<'_>> = vec![
        Box::new(|profile, lottery| told(catalogue.stationary(profile, lottery, REPORTED))),
        Box::new(|profile, lottery| told(catalogue.outlook(profile, lottery))),
        Box::new(|profile, lottery| told(catalogue.value(profile, lottery))),
        Box::new(|profile, lottery| told(catalogue.selection(profile, lottery))),
        Box::new(|profile, lottery| told(catalogue.mapped(profile, fine, lottery))),
        Box::new(|profile, lottery| told(catalogue.mapped(fine, profile, lottery))),
        Box::new(|profile, lottery| told(catalogue.expected_step(profile, fine, lottery))),
        Box::new(|profile, lottery| told(catalogue.expected_step(fine, profile, lottery))),
        Box::new(|profile, lottery| told(catalogue.distance(profile, fine, lottery, 3))),
        Box::new(|profile, lottery| told(catalogue.distance(fine, profile, lottery, 3))),
        Box::new(|profile, lottery| {
            let Lottery::Sets { sets, weights } = lottery else { panic!() };
            told(catalogue.sensitivity(profile, sets, weights))
        }),
        Box::new(|profile, lottery| {
            let Lottery::Sets { sets, weights } = lottery else { panic!() };
            told(catalogue.gradient(profile, sets, weights, Figure::objective(1.0)))
        }),
        Box::new(|profile, lottery| {
            let Lottery::Sets { sets, .. } = lottery else { panic!() };
            let chances = vec![0.5; sets[0].len()];
            told(catalogue.gradient_by_chances(profile, &sets[0], &chances, Figure::objective(1.0)))
        }),
        Box::new(|profile, lottery| {
            let Lottery::Sets { sets, .. } = lottery else { panic!() };
            told(Search::new(catalogue, profile, &sets[0], 1.0, Effort::default()))
        }),
    ];
    for (n, call) in calls.iter().enumerate() {
        assert_eq!(call(fine, &nothing), "no refusal", "call {n}");
        assert_eq!(call(&[0.5; 3], &nothing), "numbers of a profile: expected 2, got 3", "call {n}");
        assert_eq!(call(&[0.5, f64::NAN], &nothing), "profile became non-finite", "call {n}");
        let long = call(&[0.5, 1e4], &nothing);
        assert!(long.contains("so long that a score may reach"), "call {n}: {long}");
        let told = call(fine, &unknown);
        assert_eq!(told, "items of a set: expected distinct ones below 4, ascending, got [4]", "call {n}");
    }
    let weights = told(catalogue.sensitivity(fine, &[vec![0]], &[]));
    assert_eq!(weights, "weights of the sets: expected 1, got 0");
    let weights = told(catalogue.gradient(fine, &[vec![0]], &[f64::NAN], Figure::objective(1.0)));
    assert_eq!(weights, "weight of a set: expected a finite number from 0, got NaN");
}

#[test]
fn searches_that_can_not_be() {
    let world = World::drawn(1, [2, 40, 2], 0.5, 4.0);
    let protocol = Protocol { starts: 1, evaluations: 10, tolerance: 1e-4, dropped: 1e-3, sets: 100 };
    for (rule, count) in [(SizeRule::Exactly, 703), (SizeRule::AtMost, 742)] {
        let refused = world
            .search(Effort::default(), |search| search.slsqp(Cardinality { size: 2, rule }, &protocol, &mut rng(1)));
        assert!(matches!(refused, Err(Error::Unusable(_))));
        assert_eq!(told(refused), format!("data: {count} sets to be weighed by SLSQP, expected at most 100"));
    }
    let all = Lottery::Uniform { items: world.harmless(), size: 3 };
    let refused = world.search(Effort::default(), |search| search.slope_of(&all).map(|_| ()));
    assert_eq!(told(refused), "`a lottery over so many sets` does not support gradients");
}
