//! Off-policy evaluation against the truth: a world with known means, a log of one policy, the value of another.

use evenhand::off_policy::{Action, Evaluation, Log, Options, Target, evaluate, fit};
use evenhand_core::metrics::off_policy::Estimate;
use evenhand_core::{
    Acting, Error, Nested, Policy, Propensities, Recommender, Result, Rng, Run, Slates, Streams, World, plugin,
};
use nalgebra::DMatrix;
use rand::RngExt;
use serde_json::json;

const USERS: u32 = 60;
const ITEMS: usize = 8;

plugin! {
    /// For tests: items drawn one after the other, in proportion to `exp(score / temperature)`. At most two.
    struct Softmax: Policy = "test-softmax" {
        /// The temperature.
        temperature: f64 = 0.5, in 0.0..;
        /// Claims that its propensities are shares of so many draws.
        draws: Option<usize> = None;
    }
}

impl Policy for Softmax {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        let mut scores = DMatrix::zeros(0, 0);
        let users: Vec<u32> = (0..world.model.users() as u32).collect();
        world.model.score(&users, &mut scores, run)?;
        Ok(Box::new(Prepared { world, tastes: tastes(&scores, self.temperature), draws: self.draws }))
    }
}

/// How likely each user's items are to be drawn, up to a factor.
fn tastes(scores: &DMatrix<f32>, temperature: f64) -> Vec<Vec<f64>> {
    let taste = |score: &f32, best: f32| (f64::from(score - best) / temperature).exp();
    scores.column_iter().map(|user| user.iter().map(|s| taste(s, user.max())).collect()).collect()
}

struct Prepared<'a> {
    world: World<'a>,
    tastes: Vec<Vec<f64>>,
    draws: Option<usize>,
}

impl Acting for Prepared<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        let draw = |&user: &u32| draw(&self.tastes[user as usize], size, &mut run.streams.rng(u64::from(user)));
        let items: Vec<u32> = users.iter().flat_map(draw).collect();
        Ok(Slates { size, scores: vec![0.0; items.len()], items })
    }

    fn propensities(&self, users: &[u32], slates: &Slates, _: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        let places = users.iter().zip(slates.items.chunks(slates.size)).flat_map(|(&user, slate)| {
            let marginals = marginals(&self.tastes[user as usize]);
            slate.iter().enumerate().map(move |(place, &item)| marginals[place][item as usize]).collect::<Vec<_>>()
        });
        Ok(Propensities { values: places.collect(), draws: self.draws })
    }
}

/// `size` distinct items, each in proportion to its taste among those that are left.
fn draw(taste: &[f64], size: usize, rng: &mut Rng) -> Vec<u32> {
    let mut left = taste.to_vec();
    let mut one = || {
        let mut rest = rng.random::<f64>() * left.iter().sum::<f64>();
        let found = left.iter().position(|&t| {
            rest -= t;
            t > 0.0 && rest < 0.0
        });
        let item = found.unwrap_or_else(|| left.iter().rposition(|&t| t > 0.0).unwrap());
        left[item] = 0.0;
        item as u32
    };
    (0..size).map(|_| one()).collect()
}

/// Probability of each item at the first and at the second place.
fn marginals(taste: &[f64]) -> [Vec<f64>; 2] {
    let total: f64 = taste.iter().sum();
    let first: Vec<f64> = taste.iter().map(|t| t / total).collect();
    let after = |item: usize| {
        let before = (0..taste.len()).filter(|&other| other != item && taste[other] > 0.0);
        before.map(|other| first[other] * taste[item] / (total - taste[other])).sum()
    };
    let second = (0..taste.len()).map(after).collect();
    [first, second]
}

/// Mean reward of an item, on a scale of about 0 to 4.
fn mean(user: u32, item: usize) -> f64 {
    2.0 + 1.2 * (0.9 * f64::from(user)).sin() * (1.7 * item as f64).cos() + 0.7 * (item as f64 * 0.8).sin()
}

/// How much of a reward is left at a place.
type Discount = [f64; 2];

/// 24 periods of all users under a policy that likes what is bad, but shows everything; less what is `hidden`.
fn log(size: usize, discount: Discount, hidden: Option<usize>) -> Log {
    let mut actions = vec![];
    for period in 0..24 {
        for user in 0..USERS {
            let taste: Vec<f64> =
                (0..ITEMS).map(|i| if Some(i) == hidden { 0.0 } else { (-0.5 * mean(user, i)).exp() }).collect();
            let mut rng = Streams::new(3).child("log").rng(period * 1000 + u64::from(user));
            let marginals = marginals(&taste);
            for (place, item) in draw(&taste, size, &mut rng).into_iter().enumerate() {
                let noise = rng.random_range(-0.7..0.7);
                let reward = discount[place] * (mean(user, item as usize) + noise);
                let propensity = marginals[place][item as usize];
                let period = period as usize;
                let action = Action {
                    period,
                    user,
                    place,
                    item,
                    propensity,
                    draws: None,
                    reward,
                    prediction: None,
                    cold: false,
                };
                actions.push(action);
            }
        }
    }
    Log { agent: "bad".into(), seed: 3, size, actions }
}

fn recommender(name: &str, params: serde_json::Value) -> Nested<dyn Recommender> {
    Nested::new(name, &params).unwrap()
}

fn als() -> Nested<dyn Recommender> {
    recommender("als", json!({ "factors": 3, "lambda": 0.02 }))
}

fn target<'a>(recommender: &'a dyn Recommender, policy: &'a Softmax) -> Target<'a> {
    Target { recommender, policy, reward_model: None }
}

/// What the policy earns on the model of the evaluation.
fn truth(log: &Log, recommender: &dyn Recommender, policy: &Softmax, discount: Discount, run: &Run) -> f64 {
    let model = fit(log, recommender, &Options::default(), run).unwrap();
    let mut scores = DMatrix::zeros(0, 0);
    model.score(&(0..USERS).collect::<Vec<_>>(), &mut scores, run).unwrap();
    let of_user = |(user, taste): (u32, Vec<f64>)| -> f64 {
        let places = marginals(&taste).into_iter().zip(discount).take(log.size);
        places.map(|(p, d)| (0..ITEMS).map(|item| d * p[item] * mean(user, item)).sum::<f64>()).sum()
    };
    (0..USERS).zip(tastes(&scores, policy.temperature)).map(of_user).sum::<f64>() / f64::from(USERS)
}

/// Distance from the truth in standard errors.
fn distance(estimate: Estimate, truth: f64) -> f64 {
    (estimate.value - truth).abs() / estimate.error.unwrap()
}

fn near(it: &Evaluation, truth: f64) {
    let snips = it.self_normalised.unwrap();
    for estimate in [it.inverse_propensity, snips, it.doubly_robust] {
        assert!(distance(estimate, truth) < 4.0, "{estimate:?}, truth {truth}\n{it:#?}");
    }
    assert!(distance(it.logged, truth) > 4.0, "the log itself: {:?}, truth {truth}", it.logged);
}

#[test]
fn estimates_are_near_the_truth_and_a_reward_model_narrows_them() {
    for size in [1, 2] {
        let (log, run, policy) = (log(size, [1.0; 2], None), Run::new(5), Softmax::default());
        let it = evaluate(&log, &target(&*als(), &policy), &Options::default(), &run).unwrap();
        let truth = truth(&log, &*als(), &policy, [1.0; 2], &run);
        near(&it, truth);
        let errors = [it.doubly_robust, it.inverse_propensity].map(|e| e.error.unwrap());
        assert!(errors[0] < 0.6 * errors[1], "{errors:?}");
        assert_eq!((it.train_periods, it.periods, it.slates), (12, 12, 12 * USERS as usize));
        assert_eq!((it.train_rows, it.overlap.rows), (it.slates * size, it.slates * size));
        assert_eq!((it.reward_model, it.warnings.len()), ("als", 0), "{:?}", it.warnings);
        assert!(it.overlap.effective > 50.0 && it.overlap.effective < it.slates as f64 * size as f64);
    }
}

/// The reward model knows nothing of places; the direct method fails, doubly robust does not.
#[test]
fn a_wrong_reward_model_misleads_the_direct_method_only() {
    let discount = [1.0, 0.3];
    let (log, run, policy) = (log(2, discount, None), Run::new(5), Softmax::default());
    let flat = recommender("popularity", json!({}));
    let it = evaluate(&log, &target(&*flat, &policy), &Options::default(), &run).unwrap();
    let truth = truth(&log, &*flat, &policy, discount, &run);
    near(&it, truth);
    assert!(distance(it.direct_method, truth) > 4.0, "{:?}, truth {truth}", it.direct_method);
}

#[test]
fn worked_by_hand() {
    let rows = [(0, 0, 0, 0.5, 1.0), (0, 1, 1, 0.5, 3.0), (3, 0, 1, 0.5, 2.0), (3, 1, 0, 0.25, 4.0)];
    let actions = rows.map(|(period, user, item, propensity, reward)| Action {
        period,
        user,
        place: 0,
        item,
        propensity,
        draws: Some(9),
        reward,
        prediction: None,
        cold: true,
    });
    let log = Log { agent: "a".into(), seed: 1, size: 1, actions: actions.into() };
    // Means 1 and 3: the second item is shown with probability 3/4.
    let policy = Softmax { temperature: 2.0 / 3.0f64.ln(), draws: Some(50) };
    let popularity = recommender("popularity", json!({ "damping": 0.0 }));
    let with = |clip| {
        let options = Options { clip, draws: 4000, ..Options::default() };
        evaluate(&log, &target(&*popularity, &policy), &options, &Run::new(2)).unwrap()
    };
    let it = with(None);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a}, expected {b}");
    // Weights 3/2 and 1.
    close(it.logged.value, 3.0);
    close(it.inverse_propensity.value, 3.5);
    close(it.self_normalised.unwrap().value, 2.8);
    close(it.doubly_robust.value - it.direct_method.value, (1.5 * (2.0 - 3.0) + (4.0 - 1.0)) / 2.0);
    // 3/4 3 + 1/4 1, from 8,000 draws with a deviation of 0.87.
    assert!((it.direct_method.value - 2.5).abs() < 0.04, "{:?}", it.direct_method);
    close(it.overlap.effective, 6.25 / 3.25);
    assert_eq!((it.overlap.largest, it.clipped, it.train_rows, it.periods), (1.5, 0, 2, 1));
    let warnings = [
        "100.0 % of the logged propensities are estimates: their inverses are biased",
        "the propensities of the target are shares of 50 draws",
    ];
    assert_eq!(it.warnings, warnings);

    let clipped = with(Some(1.0));
    close(clipped.inverse_propensity.value, 3.0);
    assert_eq!((clipped.overlap, clipped.clipped), (it.overlap, 1));
}

#[test]
fn missing_overlap_is_told() {
    let best = (0..ITEMS).max_by(|&a, &b| mean(7, a).total_cmp(&mean(7, b)));
    let (log, run) = (log(1, [1.0; 2], best), Run::new(5));
    // Practically greedy; unknown items are predicted about the mean of their user.
    let sharp = Softmax { temperature: 1e-3, ..Softmax::default() };
    let it = evaluate(&log, &target(&*als(), &sharp), &Options::default(), &run).unwrap();
    let said = it.warnings.join("\n");
    assert!(said.contains("the target would never have shown ") && said.contains("of the 720 logged items"), "{said}");
    let popularity = recommender("popularity", json!({}));
    let flat = Softmax { temperature: 1e6, ..Softmax::default() };
    let it = evaluate(&log, &target(&*popularity, &flat), &Options::default(), &run).unwrap();
    assert!(it.warnings.iter().any(|w| w.starts_with("the weights average 0.8")), "{:?}", it.warnings);
}

#[test]
fn scores_that_are_no_ratings_need_another_reward_model() {
    let (log, run, policy) = (log(1, [1.0; 2], None), Run::new(5), Softmax { temperature: 100.0, draws: None });
    let counts = recommender("popularity", json!({ "by": "counts" }));
    let evaluate = |reward_model| {
        let target = Target { recommender: &*counts, policy: &policy, reward_model };
        evaluate(&log, &target, &Options::default(), &run)
    };
    let it = evaluate(None).unwrap();
    near(&it, truth(&log, &*counts, &policy, [1.0; 2], &run));
    assert_eq!(it.reward_model, "als");
    assert_eq!(it.warnings, ["the scores of `popularity` are no ratings: the reward model is `als`"]);
    let means = recommender("popularity", json!({}));
    assert_eq!(evaluate(Some(&*means)).unwrap().reward_model, "popularity");
    let error = evaluate(Some(&*counts)).unwrap_err().to_string();
    assert_eq!(error, "`popularity` does not support predicting rewards");
}

#[test]
fn equal_seeds_give_equal_bits_on_any_number_of_threads() {
    let (log, policy) = (log(2, [1.0; 2], None), Softmax::default());
    let on = |threads, seed| {
        let run = Run::new(seed).with_threads(threads).unwrap();
        evaluate(&log, &target(&*als(), &policy), &Options::default(), &run).unwrap()
    };
    let one = on(1, 5);
    assert!(one == on(2, 5) && one == on(7, 5));
    assert_ne!(one.direct_method, on(2, 6).direct_method);
    // Periods count by their number, wherever they stand in the log.
    let mut turned = log.clone();
    turned.actions = log.slates().collect::<Vec<_>>().into_iter().rev().flatten().copied().collect();
    let back = evaluate(&turned, &target(&*als(), &policy), &Options::default(), &Run::new(5)).unwrap();
    assert!((back.doubly_robust.value - one.doubly_robust.value).abs() < 0.5 * one.doubly_robust.error.unwrap());
    assert!((back.logged.value - one.logged.value).abs() < 1e-9);
}

#[test]
fn what_can_not_be_evaluated_is_refused() {
    let (mut log, policy) = (log(1, [1.0; 2], None), Softmax::default());
    let say = |log: &Log, options: Options| -> Error {
        evaluate(log, &target(&*als(), &policy), &options, &Run::new(1)).unwrap_err()
    };
    for (options, text) in [
        (
            Options { train_share: 1.0, ..Options::default() },
            "parameter `train_share` = 1, expected above 0 and below 1",
        ),
        (
            Options { train_share: f64::NAN, ..Options::default() },
            "parameter `train_share` = NaN, expected above 0 and below 1",
        ),
        (Options { draws: 0, ..Options::default() }, "parameter `draws` = 0, expected 1.."),
        (Options { clip: Some(0.0), ..Options::default() }, "parameter `clip` = 0, expected above 0"),
    ] {
        assert_eq!(say(&log, options).to_string(), text);
    }
    // One period stays on either side.
    for (train_share, first) in [(1e-9, 1), (0.999_999, 23)] {
        let options = Options { train_share, ..Options::default() };
        let it = evaluate(&log, &target(&*als(), &policy), &options, &Run::new(1)).unwrap();
        assert_eq!((it.train_periods, it.periods), (first, 24 - first));
    }
    for size in [0, 7] {
        let text = format!("actions of the log: expected whole slates of {size}, at least 1 each, got 1440");
        assert_eq!(say(&Log { size, ..log.clone() }, Options::default()).to_string(), text);
    }
    log.actions.retain(|a| a.period == 4);
    let text = "data: the log of agent `bad` with seed 3 holds 1 periods, expected 2 at least: one to learn from, one to \
                evaluate on";
    assert_eq!(say(&log, Options::default()).to_string(), text);
    log.actions.last_mut().unwrap().period = 5;
    log.actions.last_mut().unwrap().propensity = 1e-320;
    assert!(say(&log, Options::default()).to_string().contains("is no weight"));
}
