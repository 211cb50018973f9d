//! Every policy over a model of every recommender: either it acts as the contract says, or the model lacks what it needs.

use evenhand_core::contract::{assert_all, policy_over};
use evenhand_core::{
    Dynamics, Error, Feedback, Harm, Interactions, Model, Observation, Policy, Recommender, Registry, Rows, Run,
    Streams, Training, World,
};
use evenhand_plugins::{epsilon_greedy::EpsilonGreedy, softmax::Softmax, thompson::Thompson, ucb::Ucb};
use rand::RngExt;
use serde_json::{Value as Json, json};

const USERS: u32 = 12;
const ITEMS: u32 = 7;

/// Up to four ratings of each user.
fn rows() -> Vec<Observation> {
    let streams = Streams::new(3).child("policies/ratings");
    let of = |user: u32| {
        let mut rng = streams.rng(u64::from(user));
        let items = (0..ITEMS).filter(move |item| (item * 3 + user) % ITEMS < user % 5);
        items.map(move |item| Observation { user, item, value: rng.random_range(1..=5) as f32 })
    };
    (0..USERS).flat_map(of).collect()
}

fn ratings(rows: &[Observation]) -> Interactions {
    let mut listed = Rows::default();
    rows.iter().for_each(|row| listed.push(row.user, row.item, row.value));
    Interactions::new(USERS as usize, ITEMS as usize, &listed).unwrap()
}

/// What a recommender has learned: from a fit, or row by row where it learns online.
fn learned(recommender: &dyn Recommender, run: &Run) -> Box<dyn Model> {
    let rows = rows();
    if !recommender.online() {
        return recommender.fit(&Training::new(&ratings(&rows)), run).unwrap();
    }
    let mut model = recommender.fit(&Training::new(&ratings(&[])), run).unwrap();
    model.learn(&Feedback { users: USERS as usize, items: ITEMS as usize, rows }, run).unwrap();
    model
}

/// Parameters under which a recommender is fitted in no time.
fn small(recommender: &str) -> Json {
    match recommender {
        "autoencoder" => json!({ "hidden": [4], "epochs": 5 }),
        "mf" => json!({ "epochs": 5 }),
        _ => json!({}),
    }
}

/// Parameters with which a policy is random enough to be tested, yet quick.
fn quick(policy: &str) -> Json {
    match policy {
        "thompson" => json!({ "draws": 16 }),
        "softmax" => json!({ "draws": 20 }),
        "gradient" => json!({ "starts": 1, "pairs": 0, "steps": 20 }),
        "gradient-slsqp" => json!({ "starts": 0, "evaluations": 3 }),
        _ => json!({}),
    }
}

#[test]
fn every_policy_over_every_recommender() {
    let (recommenders, policies) =
        (Registry::<dyn Recommender>::linked().unwrap(), Registry::<dyn Policy>::linked().unwrap());
    assert!(recommenders.iter().len() >= 5 && policies.iter().len() >= 5);
    // The last item is harmful, and so counts as seen.
    let harmful: Vec<bool> = (0..ITEMS).map(|item| item == ITEMS - 1).collect();
    let harm = Harm { harmful: &harmful, dynamics: Dynamics::default(), price: 2.0 };
    let all = (0..USERS).map(|user| Observation { user, item: ITEMS - 1, value: 1.0 });
    let (run, seen) =
        (Run::new(8).with_threads(2).unwrap(), ratings(&rows().into_iter().chain(all).collect::<Vec<_>>()));
    let mut planned = 0;
    for recommender in recommenders.iter() {
        let built = recommenders.build(recommender.name, &small(recommender.name)).unwrap();
        let model = learned(built.as_ref(), &run);
        let world = World { model: model.as_ref(), seen: Some(&seen), harm: Some(harm) };
        for policy in policies.iter() {
            println!("{} over {}", policy.name, recommender.name);
            let params = quick(policy.name);
            match policies.build(policy.name, &params).unwrap().prepare(world, &run) {
                Ok(_) => {
                    planned += usize::from(policy.name.starts_with("gradient"));
                    assert_all(policy_over(policy, &params, world));
                }
                Err(Error::Unsupported { plugin, .. }) => {
                    assert_eq!(plugin, model.kind());
                    let lacks = match policy.name {
                        "alternating" | "gradient" | "gradient-slsqp" => model.factors().is_none(),
                        _ => model.posterior().is_none(),
                    };
                    assert!(lacks, "`{plugin}` has all that `{}` needs", policy.name);
                }
                // Beliefs of few ratings are wide; a user's profile may be refused.
                Err(Error::Unusable(text)) => assert!(text.contains("vectors are so long"), "{text}"),
                Err(e) => panic!("{} over {}: {e}", policy.name, recommender.name),
            }
        }
    }
    // Of these at least.
    assert!(planned >= 2 * ["als", "apr", "bpr", "mf"].len(), "{planned}");
}

#[test]
fn what_a_policy_needs_is_what_it_refuses_without() {
    let (run, policies) = (Run::new(8), Registry::<dyn Policy>::linked().unwrap());
    let popularity = Registry::<dyn Recommender>::linked().unwrap().build("popularity", &json!({})).unwrap();
    let model = learned(popularity.as_ref(), &run);
    let world = World::new(model.as_ref(), None);
    let refusal = |name: &str| {
        let prepared = policies.build(name, &json!({})).unwrap().prepare(world, &run);
        prepared.err().map(|e| e.to_string()).unwrap_or_default()
    };
    for name in ["thompson", "ucb"] {
        assert_eq!(refusal(name), "`factors` does not support stating its uncertainty");
    }
    for name in ["greedy", "epsilon-greedy", "softmax"] {
        assert_eq!(refusal(name), "");
    }
}

/// Parameters that were not read from anywhere are checked too.
#[test]
fn parameters_out_of_range_are_refused() {
    let popularity = Registry::<dyn Recommender>::linked().unwrap().build("popularity", &json!({})).unwrap();
    let model = learned(popularity.as_ref(), &Run::new(8));
    let world = World::new(model.as_ref(), None);
    let tried: [(&str, Box<dyn Policy>); 8] = [
        ("epsilon", Box::new(EpsilonGreedy { epsilon: 1.5 })),
        ("epsilon", Box::new(EpsilonGreedy { epsilon: -0.1 })),
        ("epsilon", Box::new(EpsilonGreedy { epsilon: f64::NAN })),
        ("temperature", Box::new(Softmax { temperature: 0.0, draws: 10 })),
        ("draws", Box::new(Softmax { temperature: 1.0, draws: 0 })),
        ("draws", Box::new(Thompson { draws: 0 })),
        ("width", Box::new(Ucb { width: -1.0 })),
        ("width", Box::new(Ucb { width: f64::INFINITY })),
    ];
    for (expected, policy) in tried {
        let refused = policy.prepare(world, &Run::new(0)).err();
        assert!(matches!(&refused, Some(Error::OutOfRange { field, .. }) if field == expected), "{refused:?}");
    }
}
