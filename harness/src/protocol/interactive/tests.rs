use super::*;
use crate::experiment::{Cold, Learning, Setting};
use crate::protocol::Curve;
use evenhand_core::params::parameters;
use evenhand_core::{Audit, Environment, Groups, Policy, Recommender, Registry, Scale, Slates, Stage, plugin};
use serde_json::{Value as Json, json};

fn build<T: evenhand_core::Kinded + ?Sized>(name: &str, params: Json) -> Box<T> {
    Registry::<T>::linked().unwrap().build(name, &params).unwrap()
}

fn agent(recommender: &str, params: Json, policy: &str, policy_params: Json) -> Agent {
    let recipe: Box<dyn Recommender> = build(recommender, params);
    let policy: Box<dyn Policy> = build(policy, policy_params);
    let online = recipe.online();
    let params = parameters(recipe.as_ref());
    Agent {
        setting: Setting {
            plugin: recipe.name(),
            label: recommender.into(),
            params,
            origins: vec![],
            recipe,
            control: None,
            added: false,
        },
        policy_params: parameters(policy.as_ref()),
        policy: policy.into(),
        learning: if online { Learning::Online } else { Learning::Refit },
        cold: if online { Cold::Model } else { Cold::Random },
    }
}

fn als() -> Json {
    json!({ "factors": 3, "biases": false, "lambda": 0.05, "iterations": 1 })
}

fn world(params: Json) -> Box<dyn Simulator> {
    build("user-item", params)
}

fn small() -> Box<dyn Simulator> {
    world(json!({ "users": 30, "items": 20, "attributes": 3 }))
}

fn options(periods: usize) -> Options {
    Options { periods, pairs: 50, ..Options::default() }
}

/// Curves without a place for the times.
fn run(simulator: &dyn Simulator, agent: &Agent, options: &Options, threads: usize) -> Result<Measured> {
    let run = Run::new(7).with_threads(threads).unwrap();
    Ok(Measured { times: Vec::new(), seconds: Default::default(), ..measure(simulator, agent, options, &run)? })
}

fn curve<'a>(measured: &'a Measured, metric: &str, group: Option<&str>) -> &'a [Option<f64>] {
    let found = measured.curves.iter().find(|c| (c.metric.as_str(), c.group.as_deref()) == (metric, group));
    &found.unwrap_or_else(|| panic!("no curve {metric} {group:?}")).values
}

plugin! {
    /// For tests: three users, of whom two are of a group, and three items of known worth.
    pub struct Known: Simulator = "test-known" {}
}

/// Worth of the items to everybody.
const WORTH: [f64; 3] = [1.0, 2.0, 4.0];

impl Simulator for Known {
    fn open(&self, _: &Run) -> Result<Box<dyn Environment>> {
        Ok(Box::new(Open { shown: Vec::new() }))
    }
}

struct Open {
    shown: Vec<evenhand_core::Observation>,
}

impl Environment for Open {
    fn stage(&self) -> Result<Stage> {
        let group = Groups::new("half", 3, vec![("a".into(), vec![0, 2]), ("b".into(), vec![1])])?;
        Ok(Stage {
            users: 3,
            items: 3,
            user_groups: vec![group],
            scale: Scale { low: 0.0, high: 4.0, like_above: 2.0 },
        })
    }

    /// Everybody at first, then users 0 and 2 alone.
    fn requests(&mut self, period: usize) -> Result<Requests> {
        let users = if period == 0 { vec![2, 0, 1] } else { vec![0, 2] };
        Ok(Requests { users, present_users: 3, present_items: 3 })
    }

    fn answer(&mut self, users: &[u32], slates: &Slates) -> Result<Audit> {
        let expected: Vec<f64> = slates.items.iter().map(|&i| WORTH[i as usize]).collect();
        self.shown = users
            .iter()
            .zip(&slates.items)
            .map(|(&user, &item)| evenhand_core::Observation { user, item, value: WORTH[item as usize] as f32 })
            .collect();
        Ok(Audit { best: vec![4.0; expected.len()], observed: expected.clone(), expected })
    }

    fn feedback(&mut self) -> Result<Feedback> {
        Ok(Feedback { users: 3, items: 3, rows: std::mem::take(&mut self.shown) })
    }

    fn expected(&self, _: &[u32], items: &[u32]) -> Result<Vec<f64>> {
        Ok(items.iter().map(|&i| WORTH[i as usize]).collect())
    }
}

/// The numbers of a known world by hand, from what its log says was shown.
#[test]
fn numbers_by_hand() {
    let popular = agent("popularity", json!({ "damping": 0.0 }), "greedy", json!({}));
    let options = Options { log: true, ..options(3) };
    let measured = run(&Known {}, &popular, &options, 1).unwrap();
    let worth = |period: usize, users: &[u32]| -> Vec<f64> {
        let of = measured.actions.iter().filter(|a| a.period == period && users.contains(&a.user));
        of.map(|a| WORTH[a.item as usize]).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let first = worth(0, &[0, 1, 2]);
    assert!(measured.actions.iter().all(|a| a.cold == (a.period == 0) && a.draws.is_none()));
    // Means of no damping: of what was shown, the best is shown to everybody; the others are worth the mean.
    let best = first.iter().copied().fold(0.0, f64::max);
    assert_eq!((worth(1, &[0, 2]), worth(2, &[0, 2])), (vec![best; 2], vec![best; 2]));
    let later = 4.0 - best;
    let regret = [4.0 - mean(&first), later, later];
    let near = |metric: &str, group: Option<&str>, expected: &[Option<f64>]| {
        let got = curve(&measured, metric, group);
        let close = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            _ => a == b,
        };
        assert!(got.len() == 3 && got.iter().zip(expected).all(close), "{metric}: {got:?}, expected {expected:?}");
    };
    near(REGRET, None, &regret.map(Some));
    let of_a = [4.0 - mean(&worth(0, &[0, 2])), later, later];
    near(REGRET, Some("half=a"), &of_a.map(Some));
    let of_b = 4.0 - mean(&worth(0, &[1]));
    near(REGRET, Some("half=b"), &[Some(of_b), None, None]);
    near(CUMULATIVE, Some("half=a"), &[of_a[0], of_a[0] + later, of_a[0] + 2.0 * later].map(Some));
    near(CUMULATIVE, Some("half=b"), &[Some(of_b); 3]);
    assert_eq!(curve(&measured, "cold-users", None), [Some(3.0), Some(0.0), Some(0.0)]);
    assert_eq!(curve(&measured, "distinct-items", None)[1], Some(1.0));
    assert_eq!(curve(&measured, "gini", None)[1], Some(2.0 / 3.0));
    // Without a prediction there is no error; later ones are right.
    assert_eq!(curve(&measured, "ratings-mse", None), [None, Some(0.0), Some(0.0)]);
    assert_eq!(curve(&measured, "pairs-mse", None)[0], None);
    assert!(curve(&measured, "pairs-mse", None)[1].is_some());
    let figure = |metric: &str| measured.figures.iter().find(|f| f.metric == metric && f.group.is_none()).unwrap();
    let total: f64 = regret.iter().sum();
    assert!((figure(REGRET).value - total / 3.0).abs() < 1e-12 && figure(REGRET).n == 7);
    assert_eq!((figure("last-regret").value, figure("last-regret").n), (later, 2));
    assert_eq!((figure("ratings-mse").n, figure("mean-value").n, figure("gini").n), (2, 2, 3));
    assert_eq!((figure("cold-users").value, figure("cold-users").n), (3.0, 7));
    assert!((figure(CUMULATIVE).value - total).abs() < 1e-12);
}

/// Policies that must know what harm is, which no world here says.
const AGAINST_HARM: [&str; 3] = ["alternating", "gradient", "gradient-slsqp"];

/// Every recommender meets the world under every policy that fits it; the others say what they lack.
#[test]
fn any_recommender_under_any_policy() {
    let mut ran = 0;
    for recommender in Registry::<dyn Recommender>::linked().unwrap().iter() {
        let params = match recommender.name {
            name if name.starts_with("test-") => continue,
            "autoencoder" => json!({ "hidden": [4], "epochs": 3 }),
            "mf" => json!({ "epochs": 5 }),
            _ => json!({}),
        };
        for policy in Registry::<dyn Policy>::linked().unwrap().iter().filter(|p| !p.name.starts_with("test-")) {
            let agent = agent(recommender.name, params.clone(), policy.name, json!({}));
            let what = format!("{} under {}", recommender.name, policy.name);
            match run(small().as_ref(), &agent, &Options { slate: 2, log: true, ..options(3) }, 2) {
                Ok(measured) => {
                    ran += 1;
                    assert!(curve(&measured, REGRET, None).iter().all(|r| r.is_some_and(|r| r >= 0.0)), "{what}");
                    assert_eq!(measured.actions.len(), 3 * 30 * 2, "{what}");
                    assert!(measured.actions.iter().all(|a| a.propensity > 0.0 && a.propensity <= 1.0), "{what}");
                }
                Err(Error::Unsupported { .. }) if AGAINST_HARM.contains(&policy.name) => {}
                Err(Error::Unsupported { .. }) => {
                    assert!(["thompson", "ucb"].contains(&policy.name), "{what} is not supported");
                    assert_ne!(recommender.name, "bayesian-linear", "{what} is not supported");
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
    assert!(ran >= 20, "{ran} pairs ran");
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let options = Options { slate: 3, log: true, ..options(4) };
    for (recommender, params, policy) in [
        ("als", als(), "epsilon-greedy"),
        ("bayesian-linear", json!({ "factors": 3 }), "thompson"),
        ("bayesian-linear", json!({ "factors": 3 }), "softmax"),
    ] {
        let agent = agent(recommender, params, policy, json!({}));
        let one = run(small().as_ref(), &agent, &options, 1).unwrap();
        assert!(one == run(small().as_ref(), &agent, &options, 2).unwrap(), "{recommender} under {policy}");
        assert!(one == run(small().as_ref(), &agent, &options, 7).unwrap(), "{recommender} under {policy}");
    }
}

/// Users who come late are met at random, items that come late are found.
#[test]
fn late_users_and_items_and_delayed_ratings() {
    let late = json!({
        "users": 40, "items": 25, "attributes": 3, "late_users": 0.5, "late_items": 0.4, "arrival": 5, "delay": 2,
        "user_drift": 0.02, "asking": 0.6,
    });
    for (recommender, params, learning, cold) in [
        ("als", als(), Learning::Refit, Cold::Random),
        ("als", als(), Learning::WarmStart, Cold::Model),
        ("popularity", json!({}), Learning::Refit, Cold::Model),
        ("bayesian-linear", json!({ "factors": 3 }), Learning::Online, Cold::Model),
        ("bayesian-linear", json!({ "factors": 3 }), Learning::Online, Cold::Random),
    ] {
        let agent = Agent { learning, cold, ..agent(recommender, params, "epsilon-greedy", json!({ "epsilon": 0.3 })) };
        let measured = run(world(late.clone()).as_ref(), &agent, &Options { log: true, ..options(12) }, 2).unwrap();
        let cold_users = curve(&measured, "cold-users", None);
        if cold == Cold::Model {
            assert!(cold_users.iter().all(|&n| n == Some(0.0)));
        } else {
            // Nothing comes back before the end of the third period.
            assert!(
                (0..3).all(|t| cold_users[t] == Some(measured.actions.iter().filter(|a| a.period == t).count() as f64))
            );
            assert!(cold_users[11] < cold_users[2]);
        }
        let highest = |t: usize| measured.actions.iter().filter(move |a| a.period <= t).map(|a| (a.user, a.item));
        assert!(highest(0).all(|(user, item)| user < 20 && item < 15));
        assert!(highest(11).any(|(user, _)| user >= 35) && highest(11).any(|(_, item)| item >= 20));
    }
}

/// What is fitted again to joined repeats is what is fitted to all rows.
#[test]
fn repeats_are_joined_where_the_recommender_can() {
    let als = agent("als", als(), "greedy", json!({}));
    assert!(als.setting.recipe.joins_repeats());
    let measured = run(small().as_ref(), &als, &Options { log: true, ..options(8) }, 2).unwrap();
    // A greedy agent repeats itself; its regret goes on to fall or to stay.
    let pairs: std::collections::HashSet<_> = measured.actions.iter().map(|a| (a.user, a.item)).collect();
    assert!(pairs.len() < measured.actions.len() / 2);
    let regret = curve(&measured, REGRET, None);
    assert!(regret[7] < regret[0]);
}

/// Training with fairness between the groups of users that are there, some of whom come late.
#[test]
fn fairness_losses_know_the_groups_of_the_world() {
    let fit = |fairness: Json| json!({ "epochs": 5, "fairness": fairness, "lambda": 0.9 });
    let late = world(json!({ "users": 40, "items": 20, "attributes": 3, "late_users": 0.5, "arrival": 3 }));
    let errors = |fairness| {
        let measured = run(late.as_ref(), &agent("mf", fit(fairness), "greedy", json!({})), &options(5), 1).unwrap();
        curve(&measured, "pairs-mse", None).to_vec()
    };
    assert_ne!(errors(json!("user-group")), errors(Json::Null));
}

/// Two agents meet the same users, in the same order, with the same noise.
#[test]
fn agents_meet_the_same_world() {
    let options = Options { log: true, ..options(3) };
    let observe = |agent: &Agent| -> Vec<(usize, u32)> {
        let measured = run(small().as_ref(), agent, &options, 2).unwrap();
        measured.actions.iter().map(|a| (a.period, a.user)).collect()
    };
    let (greedy, random) = (agent("als", als(), "greedy", json!({})), agent("random", json!({}), "softmax", json!({})));
    assert_eq!(observe(&greedy), observe(&random));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let say = |simulator: &dyn Simulator, agent: &Agent, options: &Options| {
        run(simulator, agent, options, 1).unwrap_err().to_string()
    };
    let als = |policy: &str| agent("als", als(), policy, json!({}));
    let expected = "items of a slate: expected at most the 20 that are there, got 21";
    assert_eq!(say(small().as_ref(), &als("greedy"), &Options { slate: 21, ..options(1) }), expected);
    let lacks = say(small().as_ref(), &als("thompson"), &options(2));
    assert_eq!(lacks, "`factors` does not support stating its uncertainty");
    let lacks = say(small().as_ref(), &als("ucb"), &options(2));
    assert_eq!(lacks, "`factors` does not support stating its uncertainty");
    let emits: Box<dyn Simulator> = build("biased-ratings", json!({}));
    let lacks = say(emits.as_ref(), &als("greedy"), &options(1));
    assert_eq!(lacks, "`this simulator` does not support answering recommendations");
    // More factors than observations are no error.
    let many = agent("als", json!({ "factors": 50, "biases": false }), "greedy", json!({}));
    assert!(run(small().as_ref(), &many, &options(2), 1).is_ok());
}

/// Slates of cold users are uniform, and the rest is logged with the propensities of the policy.
#[test]
fn logged_propensities_are_those_of_the_agent() {
    let epsilon = agent("als", als(), "epsilon-greedy", json!({ "epsilon": 0.25 }));
    let measured = run(small().as_ref(), &epsilon, &Options { log: true, ..options(4) }, 1).unwrap();
    let (explored, exploited) = (0.25 / 20.0, 0.25 / 20.0 + 0.75);
    for action in &measured.actions {
        let expected: &[f64] = if action.cold { &[0.05] } else { &[explored, exploited] };
        assert!(expected.iter().any(|e| (e - action.propensity).abs() < 1e-12), "{action:?}");
        assert_eq!(action.prediction.is_none(), action.cold);
    }
    let thompson = agent("bayesian-linear", json!({ "factors": 3 }), "thompson", json!({ "draws": 9 }));
    let measured = run(small().as_ref(), &thompson, &Options { log: true, ..options(2) }, 1).unwrap();
    assert!(measured.actions.iter().all(|a| a.draws == Some(9) && (a.propensity * 10.0).fract().abs() < 1e-9));
}

#[test]
fn the_tally_needs_no_groups() {
    let measured = run(
        world(json!({ "users": 9, "items": 4, "minority": 0.0 })).as_ref(),
        &agent("random", json!({}), "greedy", json!({})),
        &options(2),
        1,
    );
    let grouped = |curves: &[Curve]| curves.iter().any(|c| c.group.is_some());
    assert!(!grouped(&measured.unwrap().curves));
}
