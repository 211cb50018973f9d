//! A recommender and a policy, evaluated on the log of another agent.
//!
//! The recommender is fitted on the rewards of the first periods, those of cold users included, and the policy acts on
//! that model in all of the other periods, where it is evaluated. Users and items are those up to the highest
//! index of the log. Nothing is left out for having been shown before.

use super::{Action, Log};
use evenhand_core::metrics::off_policy::{self as estimators, Estimate, Overlap};
use evenhand_core::{Acting, Error, Feedback, History, Model, Observation, Output, Policy, Recommender, Registry};
use evenhand_core::{Result, Run, Slates, Training, World};

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
    let world = World { model: model.as_ref(), seen: None };
    let acting = target.policy.prepare(world, &run.child("prepare"))?;

    let mut sums = Sums::default();
    for actions in &rest {
        run.check()?;
        let evaluated = Period { world, acting: acting.as_ref(), rewards_by, size: log.size, actions };
        evaluated.add(options.draws, run, &mut sums)?;
    }
    let mut evaluation = sums.evaluation(log.size, options.clip)?;
    evaluation.train_periods = first.len();
    evaluation.train_rows = first.iter().map(Vec::len).sum();
    evaluation.periods = rest.len();
    evaluation.reward_model = reward_model;
    if other.is_some() {
        let name = target.recommender.name();
        let text = format!("the scores of `{name}` are no ratings: the reward model is `{reward_model}`");
        evaluation.warnings.push(text);
    }
    Ok(evaluation)
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
    let mut train = Training::new(&ratings);
    train.repeats = repeats.as_ref();
    let model = run.install(|| recommender.fit(&train, run))?;
    if (model.users(), model.items()) != (users, items) {
        let text = |(users, items): (usize, usize)| format!("{users} users and {items} items");
        let got = text((model.users(), model.items()));
        return Err(Error::shape("the fitted model", text((users, items)), got));
    }
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

/// A period that is evaluated.
struct Period<'a> {
    world: World<'a>,
    acting: &'a dyn Acting,
    rewards_by: &'a dyn Model,
    size: usize,
    actions: &'a [Action],
}

/// What the estimators need: slates x size, `expected` one for each slate.
#[derive(Default)]
struct Sums {
    rewards: Vec<f64>,
    logged: Vec<f64>,
    target: Vec<f64>,
    predicted: Vec<f64>,
    expected: Vec<f64>,
    /// Logged propensities that were estimated.
    estimated: usize,
    /// Draws of which propensities of the target are shares.
    target_draws: Option<usize>,
}

impl Period<'_> {
    fn add(&self, draws: usize, run: &Run, sums: &mut Sums) -> Result<()> {
        let period = self.actions[0].period.to_string();
        let users: Vec<u32> = self.actions.iter().step_by(self.size).map(|a| a.user).collect();
        let items: Vec<u32> = self.actions.iter().map(|a| a.item).collect();
        sums.rewards.extend(self.actions.iter().map(|a| a.reward));
        sums.logged.extend(self.actions.iter().map(|a| a.propensity));
        sums.estimated += self.actions.iter().filter(|a| a.draws.is_some()).count();
        sums.predicted.extend(self.predict(&users, &items, run)?);

        let slates = Slates { size: self.size, scores: vec![0.0; items.len()], items };
        let own = self.acting.propensities(&users, &slates, &run.child("propensities").child(&period))?;
        if own.values.len() != slates.items.len() {
            return Err(Error::shape("propensities of the target", slates.items.len(), own.values.len()));
        }
        sums.target.extend(own.values);
        sums.target_draws = sums.target_draws.max(own.draws);

        let streams = run.child("draws").child(&period);
        let mut expected = vec![0.0; users.len()];
        for draw in 0..draws {
            let drawn = self.acting.act(&users, self.size, &streams.child(&draw.to_string()))?;
            self.world.check_slates(&users, &drawn)?;
            let values = self.predict(&users, &drawn.items, run)?;
            for (sum, slate) in expected.iter_mut().zip(values.chunks(self.size)) {
                *sum += slate.iter().sum::<f64>() / draws as f64;
            }
        }
        sums.expected.extend(expected);
        Ok(())
    }

    /// What the reward model says of slates.
    fn predict(&self, users: &[u32], items: &[u32], run: &Run) -> Result<Vec<f64>> {
        let each: Vec<u32> = users.iter().flat_map(|&user| std::iter::repeat_n(user, self.size)).collect();
        let mut scores = vec![0.0; items.len()];
        self.rewards_by.predict(&each, items, &mut scores, run)?;
        if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
            let what = format!("predicted reward of user {}, item {}", each[at], items[at]);
            return Err(Error::Diverged { what, step: Some(self.actions[0].period) });
        }
        Ok(scores.into_iter().map(f64::from).collect())
    }
}

impl Sums {
    fn evaluation(&self, size: usize, clip: Option<f64>) -> Result<Evaluation> {
        let Self { rewards, logged, target, predicted, expected, .. } = self;
        let unclipped = estimators::weights(target, logged, None);
        if let Some(at) = unclipped.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            let text =
                format!("a target propensity of {} over a logged one of {} is no weight", target[at], logged[at]);
            return Err(Error::Unusable(text));
        }
        let weights = estimators::weights(target, logged, clip);
        let some = "at least one slate";
        let overlap = Overlap::of(&unclipped).expect(some);
        Ok(Evaluation {
            train_periods: 0,
            train_rows: 0,
            periods: 0,
            slates: expected.len(),
            logged: estimators::inverse_propensity(size, rewards, &vec![1.0; rewards.len()]).expect(some),
            inverse_propensity: estimators::inverse_propensity(size, rewards, &weights).expect(some),
            self_normalised: estimators::self_normalised(size, rewards, &weights),
            direct_method: estimators::direct_method(expected).expect(some),
            doubly_robust: estimators::doubly_robust(size, rewards, &weights, predicted, expected).expect(some),
            clipped: weights.iter().zip(&unclipped).filter(|(kept, whole)| kept < whole).count(),
            reward_model: "",
            warnings: self.warnings(&overlap),
            overlap,
        })
    }

    fn warnings(&self, overlap: &Overlap) -> Vec<String> {
        let mut warnings = Vec::new();
        let Overlap { rows, zeros, mean, mean_error, .. } = *overlap;
        let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / rows as f64);
        if zeros > 0 {
            warnings.push(format!("the target would never have shown {} of the {rows} logged items", percent(zeros)));
        }
        if mean_error.is_some_and(|error| (mean - 1.0).abs() > 4.0 * error) {
            warnings.push(format!(
                "the weights average {mean:.3}, expected 1: the log had no chance for some of what the target shows, or \
                 propensities are wrong"
            ));
        }
        if self.estimated > 0 {
            let share = percent(self.estimated);
            warnings.push(format!("{share} of the logged propensities are estimates: their inverses are biased"));
        }
        if let Some(draws) = self.target_draws {
            warnings.push(format!("the propensities of the target are shares of {draws} draws"));
        }
        warnings
    }
}
