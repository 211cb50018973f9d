use super::*;
use crate::experiment::{self, Agent, Cold, Learning, Setting};
use crate::protocol::interactive::measure;
use evenhand_core::metrics::off_policy::Estimate;
use evenhand_core::{Kinded, Policy, Recommender, Registry, Run, Simulator, Slates, World};
use proptest::prelude::*;
use serde_json::json;
use std::path::Path;

const HEAD: &str = "seed,agent,period,user,place,item,propensity,draws,reward,prediction,cold\n";

fn read_text(text: &str) -> evenhand_core::Result<Vec<Log>> {
    parse(Path::new("log.csv"), text.as_bytes())
}

#[test]
fn lines_are_grouped_by_agent_and_seed() {
    let text = "7,\"greedy, \"\"bold\"\"\",0,4,0,2,0.25,,3.5,,true\n\
                7,\"greedy, \"\"bold\"\"\",0,4,1,0,1,,-1,0.5,true\n\
                8,\"greedy, \"\"bold\"\"\",0,4,0,2,0.5,100,2,,false\n\
                7,random,0, 4,0,9,0.1, ,0,,false\n\
                7,\"greedy, \"\"bold\"\"\",1,4,0,2,0.25,,3.5,,false\n\
                7,\"greedy, \"\"bold\"\"\",1,4,1,3,1,,1e-3,,false\n";
    let logs = read_text(&format!("{HEAD}{text}")).unwrap();
    let about: Vec<_> = logs.iter().map(|l| (l.agent.as_str(), l.seed, l.size, l.slates().count())).collect();
    let bold = "greedy, \"bold\"";
    assert_eq!(about, [(bold, 7, 2, 2), (bold, 8, 1, 1), ("random", 7, 1, 1)]);
    let second = Action {
        period: 0,
        user: 4,
        place: 1,
        item: 0,
        propensity: 1.0,
        draws: None,
        reward: -1.0,
        prediction: Some(0.5),
        cold: true,
    };
    assert_eq!(logs[0].actions[1], second);
    assert_eq!(logs[1].actions[0].draws, Some(100));
    assert_eq!(logs[0].actions[3].reward, 1e-3);
    // Another program's line ends and byte order mark.
    let windows = format!("\u{feff}{HEAD}{text}").replace('\n', "\r\n");
    assert_eq!(read_text(&windows).unwrap(), logs);
}

#[test]
fn the_first_fault_is_named_with_line_field_and_what_was_expected() {
    let good = "1,a,0,5,0,2,0.5,,1,,true\n1,a,0,5,1,3,0.5,,1,,true\n";
    for (lines, said) in [
        ("x,a,1,5,0,2,0.5,,1,,true\n", ":4: field `seed` is `x`, expected a whole number from 0 on"),
        ("1,a,-1,5,0,2,0.5,,1,,true\n", ":4: field `period` is `-1`, expected a whole number from 0 on"),
        ("1,a,1,5.5,0,2,0.5,,1,,true\n", ":4: field `user` is `5.5`, expected a whole number from 0 on"),
        ("1,a,1,4294967295,0,2,0.5,,1,,true\n", ":4: field `user` is `4294967295`, expected a whole"),
        ("1,a,1,5,0,,0.5,,1,,true\n", ":4: field `item` is ``, expected a whole number from 0 on"),
        ("1,a,1,5,0,2,0,,1,,true\n", ":4: field `propensity` is `0`, expected a number above 0, at most 1"),
        ("1,a,1,5,0,2,1.1,,1,,true\n", ":4: field `propensity` is `1.1`, expected a number above 0, at most 1"),
        ("1,a,1,5,0,2,NaN,,1,,true\n", ":4: field `propensity` is `NaN`"),
        ("1,a,1,5,0,2,0.5,0,1,,true\n", ":4: field `draws` is `0`, expected a whole number from 1 on, or nothing"),
        ("1,a,1,5,0,2,0.5,,inf,,true\n", ":4: field `reward` is `inf`, expected a finite number"),
        ("1,a,1,5,0,2,0.5,,1,NaN,true\n", ":4: field `prediction` is `NaN`, expected a finite number, or nothing"),
        ("1,a,1,5,0,2,0.5,,1,,yes\n", ":4: field `cold` is `yes`, expected true or false"),
        ("1,a,1,5,0,2,0.5,,1,\n", ":4: 10 fields, expected 11: seed,agent,period"),
        ("1,a,1,5,1,2,0.5,,1,,true\n", ":4: field `place` is `1`, expected 0, the first one of a slate"),
        ("1,a,1,5,0,2,0.5,,1,,true\n1,a,1,5,2,3,0.5,,1,,true\n", ":5: field `place` is `2`, expected 1, the next one"),
        ("\n1,a,1,5,0,2,0.5,,1,,true\n1,a,1,5,1,2,0.5,,1,,true\n", ":6: field `item` is `2`, expected an item that"),
        ("1,a,0,5,2,2,0.5,,1,,true\n", ":4: field `item` is `2`, expected an item that is not in the slate"),
        (
            "1,a,0,5,2,4,0.5,,1,,true\n1,a,1,5,0,2,0.5,,1,,true\n",
            ":5: field `place`: the slate of user 5 in period 1 has 1",
        ),
        (
            "1,a,1,5,0,2,0.5,,1,,true\n1,b,0,5,0,2,0.5,,1,,true\n",
            ":4: field `place`: the slate of user 5 in period 1 has 1",
        ),
        ("1,b,0,5,0,2,0.5,,1,,true\n1,a,0,5,0,4,0.5,,1,,true\n", ":5: user 5 has a slate in period 0 already"),
    ] {
        let error = read_text(&format!("{HEAD}{good}{lines}")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("log.csv{said}")), "{error}\n{said}");
        // Line ends of another system count once.
        let windows = read_text(&format!("{HEAD}{good}{lines}").replace('\n', "\r\n")).unwrap_err().to_string();
        assert_eq!(windows, error);
    }
    let say = |text: &str| read_text(text).unwrap_err().to_string();
    assert!(say("seed,agent\n").starts_with("log.csv:1: header `seed,agent`, expected `seed,agent,period,"));
    assert!(say(HEAD).starts_with("log.csv: no actions, expected lines of seed,agent"));
    assert!(say("").starts_with("log.csv: no actions"));
    let latin = [HEAD.as_bytes(), b"1,caf\xe9,0,5,0,2,0.5,,1,,true\n"].concat();
    let error = parse(Path::new("log.csv"), &latin).unwrap_err().to_string();
    assert!(error.starts_with("log.csv:2: text that is not UTF-8"), "{error}");
    assert!(read(Path::new("/nowhere/log.csv")).is_err());
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        agents in proptest::collection::vec("[^\\s\\x00-\\x1f]{1,8}( [,\"a-z]{1,3}x)?", 1..3),
        numbers in proptest::collection::vec((1e-300..1.0f64, -1e30..1e30f64, proptest::option::of(-1e3..1e3f64)), 1..30),
        size in 1usize..4,
    ) {
        let mut written: Vec<Log> = vec![];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        for (at, (propensity, reward, prediction)) in numbers.into_iter().enumerate() {
            let agent = &agents[at % agents.len()];
            let seed = at as u64 % 3;
            for place in 0..size {
                let draws = prediction.is_none().then_some(at + 1);
                let (user, item) = (at as u32, (at + place) as u32);
                let cold = at % 2 == 0;
                let action = Action { period: at / 4, user, place, item, propensity, draws, reward, prediction, cold };
                writer.action(seed, agent, &action).unwrap();
                match written.iter_mut().find(|l| (&l.agent, l.seed) == (agent, seed)) {
                    Some(log) => log.actions.push(action),
                    None => written.push(Log { agent: agent.clone(), seed, size, actions: vec![action] }),
                }
            }
        }
        writer.finish().unwrap();
        prop_assert_eq!(parse(Path::new("log.csv"), &bytes).unwrap(), written);
    }
}

fn build<T: Kinded + ?Sized>(name: &str, params: serde_json::Value) -> Box<T> {
    Registry::<T>::linked().unwrap().build(name, &params).unwrap()
}

/// Rewards per slate that a policy would earn in the world itself: its distribution over items, by the noise-free values.
fn truth(simulator: &dyn Simulator, log: &Log, target: &Target<'_>, run: &Run) -> f64 {
    let model = fit(log, target.recommender, &Options::default(), run).unwrap();
    let world = World::new(model.as_ref(), None);
    let acting = target.policy.prepare(world, run).unwrap();
    let mut environment = simulator.open(&Run::new(log.seed).child("world")).unwrap();
    environment.requests(0).unwrap();
    let (users, items): (Vec<u32>, _) = ((0..model.users() as u32).collect(), model.items());
    let whom: Vec<u32> = users.iter().flat_map(|&user| std::iter::repeat_n(user, log.size)).collect();
    let mut sum = 0.0;
    for first in 0..items {
        // Every item stands at every place once; the items at the other places make no difference.
        let slate = (0..log.size).map(|place| ((first + place) % items) as u32);
        let shown: Vec<u32> = users.iter().flat_map(|_| slate.clone()).collect();
        let expected = environment.expected(&whom, &shown).unwrap();
        let slates = Slates { size: log.size, scores: vec![0.0; shown.len()], items: shown };
        let chances = acting.propensities(&users, &slates, run).unwrap();
        assert_eq!(chances.draws, None, "the distribution is exact");
        sum += chances.values.iter().zip(&expected).map(|(p, e)| p * e).sum::<f64>();
    }
    sum / users.len() as f64
}

/// Agents that explore are logged in a world of users and items; what others would earn there is told from the log, and
/// is not what the log earned.
#[test]
fn a_log_of_agents_tells_what_others_earn_in_their_world() {
    let simulator: Box<dyn Simulator> =
        build("user-item", json!({ "users": 60, "items": 8, "attributes": 3, "noise": 0.2 }));
    let recommender = || build::<dyn Recommender>("als", json!({ "factors": 3, "biases": false, "lambda": 0.05 }));
    let policy = |(name, params): &(&str, serde_json::Value)| build::<dyn Policy>(name, params.clone());
    let softmax = |temperature: f64| ("softmax", json!({ "temperature": temperature }));
    let epsilon = |epsilon: f64| ("epsilon-greedy", json!({ "epsilon": epsilon }));
    let greedy = ("greedy", json!({}));
    for (size, logged, targets) in [
        (1, epsilon(0.7), vec![greedy.clone(), epsilon(0.1), softmax(0.1)]),
        (1, softmax(0.5), vec![greedy.clone(), epsilon(0.1), softmax(0.1)]),
        (2, epsilon(0.7), vec![greedy.clone(), epsilon(0.1)]),
    ] {
        let (recipe, seed) = (recommender(), 11);
        let agent = Agent {
            setting: Setting {
                plugin: "als",
                label: "als".into(),
                params: json!({}),
                origins: vec![],
                recipe,
                control: None,
                added: false,
            },
            policy: policy(&logged).into(),
            policy_params: json!({}),
            learning: Learning::Refit,
            cold: Cold::Random,
        };
        let how = experiment::Options { periods: 40, slate: size, pairs: 0, log: true };
        let actions = measure(simulator.as_ref(), &agent, &how, &Run::new(seed)).unwrap().actions;
        let log = Log { agent: "als".into(), seed, size, actions };
        for target in &targets {
            let what = format!("{target:?} on a log of {logged:?}, slates of {size}");
            let (recipe, policy) = (recommender(), policy(target));
            let target = Target { recommender: recipe.as_ref(), policy: policy.as_ref(), reward_model: None };
            let run = Run::new(3);
            let truth = truth(simulator.as_ref(), &log, &target, &run);
            let it = evaluate(&log, &target, &Options::default(), &run).unwrap();
            let distance = |estimate: Estimate| (estimate.value - truth).abs() / estimate.error.unwrap();
            for estimate in [it.inverse_propensity, it.self_normalised.unwrap(), it.doubly_robust] {
                assert!(distance(estimate) < 4.0, "{what}: {estimate:?}, truth {truth}\n{it:#?}");
            }
            assert!(distance(it.logged) > 4.0, "{what}: the log itself is {:?}, truth {truth}", it.logged);
            let errors = [it.doubly_robust, it.inverse_propensity].map(|e| e.error.unwrap());
            assert!(errors[0] < errors[1], "{what}: {errors:?}");
        }
    }
}
