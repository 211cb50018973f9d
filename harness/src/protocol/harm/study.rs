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

/// Some users of a model, and what is known about harm.
pub struct Study<'a> {
    model: &'a dyn Model,
    options: &'a HarmOptions,
    harmful: &'a [bool],
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
pub(super) fn draw_users(users: usize, wanted: Option<usize>, run: &Run) -> Vec<u32> {
    let Some(wanted) = wanted.filter(|&wanted| wanted < users) else { return (0..users as u32).collect() };
    let mut drawn = index::sample(&mut run.streams.child("users").rng(0), users, wanted).into_vec();
    drawn.sort_unstable();
    drawn.into_iter().map(|user| user as u32).collect()
}

impl<'a> Study<'a> {
    /// `users`, ascending, of a model whose items are `harmful` or not.
    ///
    /// # Errors
    /// [`Error::Shape`] for labels of another number of items.
    pub fn new(model: &'a dyn Model, options: &'a HarmOptions, harmful: &'a [bool], users: Vec<u32>) -> Result<Self> {
        if harmful.len() != model.items() {
            return Err(Error::shape("harm labels", model.items(), harmful.len()));
        }
        let mut rows = Rows::default();
        for &user in &users {
            let items = (0..).zip(harmful).filter(|(_, harmful)| **harmful);
            items.for_each(|(item, _)| rows.push(user, item, 1.0));
        }
        let hidden = Interactions::new(model.users(), model.items(), &rows)?;
        Ok(Self { model, options, harmful, users, hidden })
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// Follows the users under `policy`, with that weight of not taking what is shown and that price of harm.
    ///
    /// # Errors
    /// As [`measure`](super::measure).
    pub fn follow(&self, policy: &dyn Policy, c: f64, price: f64, run: &Run) -> Result<Followed> {
        let harm = Harm { harmful: self.harmful, dynamics: self.options.dynamics(c), price };
        let world = World { model: self.model, seen: Some(&self.hidden), harm: Some(harm) };
        // First: without profiles there is nothing to prepare a policy for.
        let profiles = Users::of(world)?;
        let acting = run.install(|| policy.prepare(world, run))?;
        let mut followed = Followed { rows: Vec::with_capacity(self.users.len()), draws: None };
        for users in self.users.chunks(AT_ONCE) {
            run.step(followed.rows.len(), self.users.len())?;
            let (plans, draws) = self.plans(acting.as_ref(), users, run)?;
            if plans.len() != users.len() {
                return Err(Error::shape("plans of a policy", users.len(), plans.len()));
            }
            let one = |(&user, plan): (&u32, &Plan)| {
                run.check()?;
                self.check(policy.name(), user, &plan.lottery)?;
                self.row(&profiles, user, plan)
            };
            let rows: Vec<Result<Row>> = run.install(|| users.par_iter().zip(&plans).map(one).collect());
            followed.rows.extend(rows.into_iter().collect::<Result<Vec<_>>>()?);
            followed.draws = draws;
        }
        run.observer().progress(self.users.len(), self.users.len());
        Ok(followed)
    }

    /// The plans of some users: stated by the policy, or else drawn, with the number of draws.
    fn plans(&self, acting: &dyn Acting, users: &[u32], run: &Run) -> Result<(Vec<Plan>, Option<usize>)> {
        let cardinality = self.options.cardinality();
        match run.install(|| acting.plans(users, cardinality, run)) {
            Err(Error::Unsupported { .. }) if cardinality.rule != SizeRule::Independent => {
                Ok((self.drawn(acting, users, run)?, Some(self.options.draws)))
            }
            stated => Ok((stated?, None)),
        }
    }

    /// Lotteries over the slates that a policy shows.
    fn drawn(&self, acting: &dyn Acting, users: &[u32], run: &Run) -> Result<Vec<Plan>> {
        let size = self.options.k;
        let draw = |n: usize| {
            run.check()?;
            let slates = acting.act(users, size, &run.child("draw").child(&n.to_string()))?;
            let places = users.len() * size;
            if (slates.size, slates.items.len()) != (size, places) {
                let got = format!("{} in slates of {}", slates.items.len(), slates.size);
                return Err(Error::shape("items of a policy", format!("{places} in slates of {size}"), got));
            }
            Ok(slates)
        };
        let slates: Vec<Result<_>> = run.install(|| (0..self.options.draws).into_par_iter().map(draw).collect());
        let slates = slates.into_iter().collect::<Result<Vec<_>>>()?;
        let of_user = |at| Plan { lottery: Lottery::drawn(slates.iter().map(|s| s.of(at))), certificate: None };
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

    fn row(&self, profiles: &Users<'_>, user: u32, plan: &Plan) -> Result<Row> {
        let (start, catalogue) = (profiles.start(user)?, &profiles.catalogue);
        let outlook = catalogue.outlook(&start, &plan.lottery)?;
        let (value, stationary) = (outlook.value, outlook.stationary);
        let distance = catalogue.distance(&start, &stationary.profile, &plan.lottery, self.options.steps)?;
        let objective = value.objective(profiles.price);
        let gap = plan.certificate.map_or(0.0, |certificate| certificate.gap);
        for (what, number) in [("objective", objective), ("distance", distance), ("gap", gap)] {
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
