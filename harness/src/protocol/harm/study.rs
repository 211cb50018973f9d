//! Users of a model who are followed to where they end up under policies.

use crate::experiment::HarmOptions;
use evenhand_core::{
    Acting, Cardinality, Certificate, Error, Harm, Interactions, Lottery, Model, Plan, Policy, Result, Rows, Run,
    SizeRule, World,
};
use evenhand_plugins::stationary::{Users, Value};
use rand::seq::index;
use rayon::prelude::*;

/// Users whose policy is solved for at once: so often progress is told.
const AT_ONCE: usize = 64;
/// By how much the mean size of a set may miss what was asked for.
const ROUNDING: f64 = 1e-6;
/// What a policy is called that does not state its lottery.
const UNNAMED: &str = "this policy";
/// Items of slates that are held at once, where lotteries are drawn.
const HELD: usize = 1 << 24;

/// Some users of a model, and what is known about harm.
pub struct Study<'a> {
    model: &'a dyn Model,
    options: &'a HarmOptions,
    harmful: &'a [bool],
    audience: &'a Audience,
}

/// Some users, and what is kept from them. It depends on data, seed and options alone: all policies and prices share
/// it.
pub struct Audience {
    users: Vec<u32>,
    /// The harmful items of each of the users: not to be shown.
    hidden: Interactions,
}

/// Where users ended up.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// A row for each user, ascending.
    pub rows: Vec<Row>,
    /// Number of slates that were drawn behind each lottery; `None` where the policy stated them.
    pub draws: Option<usize>,
}

/// Where one user ended up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The user.
    pub user: u32,
    /// What the lottery comes to.
    pub value: Value,
    /// The same in clicks, at the price of harm.
    pub objective: f64,
    /// From the profile after the steps of the options to the stationary one.
    pub distance: f64,
    /// Steps of the search for the stationary profile.
    pub iterations: usize,
    /// Whether it ended.
    pub converged: bool,
    /// Mean size of a set.
    pub set_size: f64,
    /// Of a policy that optimises.
    pub certificate: Option<Certificate>,
}

/// So many of the users of a model, ascending; `None` for all.
fn draw_users(users: usize, wanted: Option<usize>, run: &Run) -> Vec<u32> {
    let Some(wanted) = wanted.filter(|&wanted| wanted < users) else { return (0..users as u32).collect() };
    let mut drawn = index::sample(&mut run.streams.child("users").rng(0), users, wanted).into_vec();
    drawn.sort_unstable();
    drawn.into_iter().map(|user| user as u32).collect()
}

impl Audience {
    /// So many of the users of `model`, drawn from the child `users` of `run`; `None` for all. Items are `harmful` or
    /// not.
    ///
    /// # Errors
    /// [`Error::Shape`] for labels of another number of items.
    pub fn draw(model: &dyn Model, wanted: Option<usize>, harmful: &[bool], run: &Run) -> Result<Self> {
        if harmful.len() != model.items() {
            return Err(Error::shape("harm labels", model.items(), harmful.len()));
        }
        let users = draw_users(model.users(), wanted, run);
        let mut rows = Rows::default();
        for &user in &users {
            let items = (0..).zip(harmful).filter(|(_, harmful)| **harmful);
            items.for_each(|(item, _)| rows.push(user, item, 1.0));
        }
        let hidden = Interactions::new(model.users(), model.items(), &rows)?;
        Ok(Self { users, hidden })
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.users.len()
    }
}

impl<'a> Study<'a> {
    /// `audience` is of that model, with those labels.
    pub fn new(model: &'a dyn Model, options: &'a HarmOptions, harmful: &'a [bool], audience: &'a Audience) -> Self {
        Self { model, options, harmful, audience }
    }

    /// Follows the users under `policy`, with that weight of not taking what is shown and that price of harm.
    ///
    /// # Errors
    /// As [`measure`](super::measure).
    pub fn follow(&self, policy: &dyn Policy, c: f64, price: f64, run: &Run) -> Result<Followed> {
        let harm = Harm { harmful: self.harmful, dynamics: self.options.dynamics(c), price };
        let world = World { model: self.model, seen: Some(&self.audience.hidden), harm: Some(harm) };
        // First: without profiles there is nothing to prepare a policy for.
        let profiles = Users::of(world)?;
        let acting = run.install(|| policy.prepare(world, run))?;
        let everybody = &self.audience.users;
        let mut followed = Followed { rows: Vec::with_capacity(everybody.len()), draws: None };
        for users in everybody.chunks(AT_ONCE) {
            run.step(followed.rows.len(), everybody.len())?;
            let (plans, draws) = self.plans(policy.name(), acting.as_ref(), users, run)?;
            if plans.len() != users.len() {
                return Err(Error::shape("plans of a policy", users.len(), plans.len()));
            }
            let one = |(&user, plan): (&u32, &Plan)| {
                run.check()?;
                self.check(policy.name(), user, &plan.lottery)?;
                self.row(policy.name(), &profiles, user, plan)
            };
            let rows: Vec<Result<Row>> = run.install(|| users.par_iter().zip(&plans).map(one).collect());
            followed.rows.extend(rows.into_iter().collect::<Result<Vec<_>>>()?);
            followed.draws = draws;
        }
        run.observer().progress(everybody.len(), everybody.len());
        Ok(followed)
    }

    /// The plans of some users: stated by the policy, or else drawn, with the number of draws.
    fn plans(&self, policy: &str, acting: &dyn Acting, users: &[u32], run: &Run) -> Result<(Vec<Plan>, Option<usize>)> {
        let cardinality = self.options.cardinality();
        match run.install(|| acting.plans(users, cardinality, run)) {
            Err(Error::Unsupported { .. }) if cardinality.rule != SizeRule::Independent => {
                Ok((self.drawn(acting, users, run)?, Some(self.options.draws)))
            }
            // The default of a policy, which does not know what it is called.
            Err(Error::Unsupported { plugin, .. }) if plugin == UNNAMED => Err(Error::Plugin(
                format!("`{policy}` can not state its distribution over sets, which `harm.rule` = `independent` needs")
                    .into(),
            )),
            stated => Ok((stated?, None)),
        }
    }

    /// Lotteries over the slates that a policy shows. A user's slates do not depend on who else is asked for.
    fn drawn(&self, acting: &dyn Acting, users: &[u32], run: &Run) -> Result<Vec<Plan>> {
        let at_once = (HELD / self.options.draws.saturating_mul(self.options.k)).max(1);
        let mut plans = Vec::with_capacity(users.len());
        for users in users.chunks(at_once) {
            plans.extend(self.drawn_at_once(acting, users, run)?);
        }
        Ok(plans)
    }

    fn drawn_at_once(&self, acting: &dyn Acting, users: &[u32], run: &Run) -> Result<Vec<Plan>> {
        let size = self.options.k;
        let draw = |n: usize| {
            run.check()?;
            let slates = acting.act(users, size, &run.child("draw").child(&n.to_string()))?;
            let places = users.len() * size;
            if (slates.size, slates.items.len()) != (size, places) {
                let got = format!("{} in slates of {}", slates.items.len(), slates.size);
                return Err(Error::shape("items of a policy", format!("{places} in slates of {size}"), got));
            }
            Ok(slates.items)
        };
        let slates: Vec<Result<Vec<u32>>> = run.install(|| (0..self.options.draws).into_par_iter().map(draw).collect());
        let slates = slates.into_iter().collect::<Result<Vec<_>>>()?;
        let of_user = |at| Plan {
            lottery: Lottery::drawn(slates.iter().map(|items| &items[at * size..][..size])),
            certificate: None,
        };
        Ok((0..users.len()).map(of_user).collect())
    }

    /// Checks that a policy shows nothing harmful, and as many items as it should.
    fn check(&self, policy: &str, user: u32, lottery: &Lottery) -> Result<()> {
        lottery.check(self.model.items())?;
        let Cardinality { size, rule } = self.options.cardinality();
        let harmful = |items: &[u32]| items.iter().copied().find(|&item| self.harmful[item as usize]);
        let possible = |(_, weight): &(_, &f64)| **weight > 0.0;
        let (shown, largest, smallest) = match lottery {
            Lottery::Sets { sets, weights } => {
                let sets = || sets.iter().zip(weights).filter(possible).map(|(set, _)| set);
                let sizes = || sets().map(Vec::len);
                (sets().find_map(|set| harmful(set)), sizes().max().unwrap_or(0), sizes().min().unwrap_or(0))
            }
            Lottery::Uniform { items, size } => (harmful(items).filter(|_| *size > 0), *size, *size),
            Lottery::Independent { items, chances } => {
                let entering = items.iter().zip(chances).filter(|(_, chance)| **chance > 0.0).map(|(&item, _)| item);
                let entering: Vec<u32> = entering.collect();
                let certain = chances.iter().filter(|&&chance| chance >= 1.0).count();
                (harmful(&entering), entering.len(), certain)
            }
        };
        if let Some(item) = shown {
            return Err(Error::Unusable(format!("`{policy}` shows item {item} to user {user}, which is harmful")));
        }
        let (fine, expected) = match rule {
            SizeRule::Exactly => (largest == size && smallest == size, format!("exactly {size}")),
            SizeRule::AtMost => (largest <= size, format!("at most {size}")),
            SizeRule::Independent => (lottery.mean_size() <= size as f64 + ROUNDING, format!("{size} on average")),
        };
        if fine {
            return Ok(());
        }
        let mean = lottery.mean_size();
        let got =
            format!("`{policy}` shows sets of {smallest} to {largest} items, {mean:.2} on average, to user {user}");
        Err(Error::Unusable(format!("{got}, expected {expected}")))
    }

    fn row(&self, policy: &str, profiles: &Users<'_>, user: u32, plan: &Plan) -> Result<Row> {
        // An infinite gap is a policy's way to say that it has none.
        if let Some(gap) = plan.certificate.map(|stated| stated.gap).filter(|gap| gap.is_nan() || *gap < 0.0) {
            let text =
                format!("`{policy}` states a gap of {gap} for user {user}, expected a number from 0, or infinity");
            return Err(Error::Unusable(text));
        }
        let (start, catalogue) = (profiles.start(user)?, &profiles.catalogue);
        let outlook = catalogue.outlook(&start, &plan.lottery)?;
        let (value, stationary) = (outlook.value, outlook.stationary);
        let distance = catalogue.distance(&start, &stationary.profile, &plan.lottery, self.options.steps)?;
        let objective = value.objective(profiles.price);
        for (what, number) in [("objective", objective), ("distance", distance)] {
            if !number.is_finite() {
                return Err(Error::Diverged { what: format!("{what} of user {user}"), step: None });
            }
        }
        Ok(Row {
            user,
            value,
            objective,
            distance,
            iterations: stationary.iterations,
            converged: stationary.converged,
            set_size: plan.lottery.mean_size(),
            certificate: plan.certificate,
        })
    }
}
