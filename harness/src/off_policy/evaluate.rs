//! A recommender and a policy, evaluated on the log of another agent.
//!
//! The recommender is fitted on the rewards of the first periods, those of cold users included, and the policy acts on
//! that model in all of the other periods, where it is evaluated. Users and items are those up to the highest
//! index of the log. Nothing is left out for having been shown before.

use super::evidence::{Evidence, Period};
use super::{Action, Log};
use crate::protocol::check_fitted;
use evenhand_core::metrics::off_policy::{self as estimators, Estimate, Overlap};
use evenhand_core::{Error, Feedback, History, Model, Observation, Output, Policy, Recommender, Registry};
use evenhand_core::{Result, Run, Training, World};

/// What is evaluated.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Learns from the first periods.
    pub recommender: &'a dyn Recommender,
    /// Acts on what was learned.
    pub policy: &'a dyn Policy,
    /// The reward model where the recommender's scores are no ratings; `None`: `als` with its defaults. It is fitted on the
    /// same rewards.
    pub reward_model: Option<&'a dyn Recommender>,
}

/// How to evaluate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Share of the periods to learn from, above 0 and below 1. At least one period is left to learn from, and one to
    /// evaluate on.
    pub train_share: f64,
    /// Slates drawn for each logged one, for what the policy would earn by the reward model; at least 1.
    pub draws: usize,
    /// Weights above it are cut off; above 0.
    pub clip: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { train_share: 0.5, draws: 16, clip: None }
    }
}

/// What was found. All values are rewards per slate; see [`evenhand_core::metrics::off_policy`].
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Periods learned from.
    pub train_periods: usize,
    /// Rewards learned from.
    pub train_rows: usize,
    /// Periods evaluated on.
    pub periods: usize,
    /// Slates evaluated on.
    pub slates: usize,
    /// What the logged agent itself earned.
    pub logged: Estimate,
    /// Inverse propensity scoring.
    pub inverse_propensity: Estimate,
    /// Self-normalised inverse propensity scoring; `None` where the target would never have shown what the log shows at
    /// some place.
    pub self_normalised: Option<Estimate>,
    /// The direct method. Its error does not know how wrong the reward model is.
    pub direct_method: Estimate,
    /// Doubly robust.
    pub doubly_robust: Estimate,
    /// The weights before they were clipped.
    pub overlap: Overlap,
    /// Weights that were clipped.
    pub clipped: usize,
    /// Name of the recommender whose scores are the reward model.
    pub reward_model: &'static str,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

/// Evaluates `target` on `log`. The model is fitted with `run.child("fit")`, the policy prepared with
/// `run.child("prepare")`.
///
/// # Errors
/// [`Error::OutOfRange`] for options, [`Error::Unusable`] for fewer than two periods or a weight that is not finite,
/// [`Error::Unsupported`] for a reward model whose scores are no ratings, [`Error::Cancelled`], and those of the plugins.
pub fn evaluate(log: &Log, target: &Target<'_>, options: &Options, run: &Run) -> Result<Evaluation> {
    check(options)?;
    let (first, rest) = parts(log, options.train_share)?;
    let model = fitted(log, &first, target.recommender, &run.child("fit"))?;
    let other = match model.output() {
        Output::Rating => None,
        Output::Order => Some(reward_model(log, &first, target, run)?),
    };
    let (rewards_by, reward_model) = match &other {
        Some((model, name)) => (model.as_ref(), *name),
        None => (model.as_ref(), target.recommender.name()),
    };
    let world = World::new(model.as_ref(), None);
    let acting = target.policy.prepare(world, &run.child("prepare"))?;

    let mut evidence = Evidence::default();
    for actions in &rest {
        run.check()?;
        let period = Period { world, acting: acting.as_ref(), rewards_by, size: log.size, actions };
        evidence.add(&period, options.draws, run)?;
    }
    evidence.check()?;
    let mut warnings = evidence.warnings();
    if other.is_some() {
        let name = target.recommender.name();
        warnings.push(format!("the scores of `{name}` are no ratings: the reward model is `{reward_model}`"));
    }
    let Evidence { rewards, logged, target, predicted, expected, .. } = &evidence;
    let (size, unclipped) = (log.size, estimators::weights(target, logged, None));
    let weights = estimators::weights(target, logged, options.clip);
    let some = "a period holds a slate";
    Ok(Evaluation {
        train_periods: first.len(),
        train_rows: first.iter().map(Vec::len).sum(),
        periods: rest.len(),
        slates: expected.len(),
        logged: estimators::inverse_propensity(size, rewards, &vec![1.0; rewards.len()]).expect(some),
        inverse_propensity: estimators::inverse_propensity(size, rewards, &weights).expect(some),
        self_normalised: estimators::self_normalised(size, rewards, &weights),
        direct_method: estimators::direct_method(expected).expect(some),
        doubly_robust: estimators::doubly_robust(size, rewards, &weights, predicted, expected).expect(some),
        overlap: Overlap::of(&unclipped).expect(some),
        clipped: weights.iter().zip(&unclipped).filter(|(kept, whole)| kept < whole).count(),
        reward_model,
        warnings,
    })
}

/// The model that [`evaluate`] acts on: `recommender`, fitted on the first periods of `log`.
///
/// # Errors
/// As [`evaluate`].
pub fn fit(log: &Log, recommender: &dyn Recommender, options: &Options, run: &Run) -> Result<Box<dyn Model>> {
    check(options)?;
    fitted(log, &parts(log, options.train_share)?.0, recommender, &run.child("fit"))
}

fn check(options: &Options) -> Result<()> {
    let refuse = |field: &str, value: f64, range: &str| {
        Err(Error::OutOfRange { plugin: None, field: field.into(), value: value.to_string(), range: range.into() })
    };
    let Options { train_share, draws, clip } = *options;
    if !(train_share > 0.0 && train_share < 1.0) {
        return refuse("train_share", train_share, "above 0 and below 1");
    }
    if draws == 0 {
        return refuse("draws", 0.0, "1..");
    }
    match clip.filter(|c| !(c.is_finite() && *c > 0.0)) {
        Some(clip) => refuse("clip", clip, "above 0"),
        None => Ok(()),
    }
}

/// The actions of some periods, one list each, in order of time.
type Periods = Vec<Vec<Action>>;

/// Periods to learn from, and periods to evaluate on.
fn parts(log: &Log, share: f64) -> Result<(Periods, Periods)> {
    if log.size == 0 || !log.actions.len().is_multiple_of(log.size) {
        let expected = format!("whole slates of {}, at least 1 each", log.size);
        return Err(Error::shape("actions of the log", expected, log.actions.len()));
    }
    let mut actions = log.actions.clone();
    // Stable: slates stay whole.
    actions.sort_by_key(|action| action.period);
    let mut first: Periods = actions.chunk_by(|a, b| a.period == b.period).map(<[Action]>::to_vec).collect();
    if first.len() < 2 {
        return Err(Error::Unusable(format!(
            "the log of agent `{}` with seed {} holds {} periods, expected 2 at least: one to learn from, one to evaluate on",
            log.agent,
            log.seed,
            first.len()
        )));
    }
    let at = ((first.len() as f64 * share).round() as usize).clamp(1, first.len() - 1);
    let rest = first.split_off(at);
    Ok((first, rest))
}

fn fitted(log: &Log, periods: &Periods, recommender: &dyn Recommender, run: &Run) -> Result<Box<dyn Model>> {
    let bound = |index: fn(&Action) -> u32| log.actions.iter().map(index).max().map_or(0, |max| max as usize + 1);
    let (users, items) = (bound(|a| a.user), bound(|a| a.item));
    let rows = periods.iter().flatten();
    let rows = rows.map(|a| Observation { user: a.user, item: a.item, value: a.reward as f32 }).collect();
    let mut history = History::new(recommender.joins_repeats());
    history.add(&Feedback { users, items, rows })?;
    let (ratings, repeats) = history.ratings()?;
    let train = Training::new(&ratings).with_repeats(repeats.as_ref());
    let model = run.install(|| recommender.fit(&train, run))?;
    check_fitted(model.as_ref(), &ratings)?;
    Ok(model)
}

/// The model that stands in where the target's own scores are no ratings, and its recommender's name.
fn reward_model(log: &Log, first: &Periods, target: &Target<'_>, run: &Run) -> Result<(Box<dyn Model>, &'static str)> {
    let default;
    let recommender = match target.reward_model {
        Some(recommender) => recommender,
        None => {
            default = Registry::<dyn Recommender>::linked()?.build("als", &serde_json::json!({}))?;
            default.as_ref()
        }
    };
    let model = fitted(log, first, recommender, &run.child("reward-model"))?;
    match model.output() {
        Output::Rating => Ok((model, recommender.name())),
        Output::Order => Err(Error::Unsupported { plugin: recommender.name().into(), operation: "predicting rewards" }),
    }
}
