//! Ratings predicted by a group regressor, beside recommenders and measured like them.
//!
//! A rating is a row of a table: the features of its user and item, the groups of its user, the rating as label. Every feature
//! is a number of the user times one of the item, so that whatever is linear in them is a product of factors:
//!
//! ```text
//! feature f                    x_uif = p_uf q_if
//! what the regressor learns    w_G, b_G of rows in the set of groups G
//! score                        b_G + sum_f w_Gf x_uif = sum_f (w_Gf p_uf) q_if + b_G 1          u in G
//! ```
//!
//! `attributes`: for each group of every grouping of the items 1 for its items, for each group of the users 1 for its users,
//! and the mean ratings of the item and of the user, since items of the same groups would be the same otherwise. Of n ratings
//! of sum S, with the mean m of all training rows:
//!
//! ```text
//! of a pair to predict         (S + damping m) / (n + damping)
//! of a training row rated y    (S - y + damping m) / (n - 1 + damping)                           m where both are 0
//! ```
//!
//! A training row is left out of its own means: they would tell some of its rating, all of it where there is no other, and
//! the regression would trust them more than new pairs bear out. m stays that of all rows: without the row, it would differ
//! between items rated once by nothing but the rating itself. Where a group holds a single user or a single item this is
//! undone: within it, or beside its indicator, a mean without the row tells what is missing. `factors` has no such feature. Users in the same groups get the
//! same order of items: this tells groups of users apart, not users.
//!
//! `factors`: the products of the factors of a base model. Its biases and constants are factors of its own
//! ([`evenhand_core::Factors`]): 1 times the item's bias, the user's bias and the mean times 1, each a feature with weights
//! of its own. All weights 1 and no intercept are the base model itself; groups differ by how much of each factor they take.
//! The base model has seen the same rows: its products are nearer to their ratings than to those of new pairs, and
//! the regression trusts them too much where the base model fits too well. There is no remedy here but its regularisation.
//!
//! Rows are learned from in the order of their times; those of one time, or without times, shuffled: a regressor that goes
//! over them once should not meet one user after the other. The table takes 8 bytes for each rating and feature, and one for
//! each rating and group.
//!
//! Group regressors: Acharya, Arunachaleswaran, Kannan, Roth & Ziani, "Oracle efficient algorithms for groupwise regret",
//! ICLR 2024, arXiv 2310.04652.

mod parts;
#[cfg(test)]
mod tests;

use crate::als::Als;
use crate::ridge::Ridge;
use evenhand_core::fairness::Classes;
use evenhand_core::{
    Error, Factors, GroupPredictor, GroupRegressor, GroupTable, Groups, Model, Nested, Output, Params, Recommender,
    Result, Run, Training, choice, plugin,
};
use nalgebra::DMatrix;
use parts::Parts;
use rand::seq::SliceRandom;
use std::borrow::Cow;

choice! {
    /// What ratings are predicted from.
    pub enum Features {
        /// The groups of users and items, and their mean ratings.
        Attributes = "attributes",
        /// The products of user and item factors of a base model.
        Factors = "factors",
    }
}

/// Any group regressor.
type Regressor = Nested<dyn GroupRegressor>;
/// Any recommender.
type Base = Nested<dyn Recommender>;

plugin! {
    /// Ratings by a group regressor: linear in attributes, or in the factors of another model, with weights of their own for
    /// each group of users.
    pub struct GroupRegression: Recommender = "group-regression",
        from "Acharya et al. 2024, Oracle efficient algorithms for groupwise regret, ICLR, arXiv 2310.04652" {
        /// What learns from the ratings; it must be linear.
        regressor: Regressor = Regressor::from(Box::<Ridge>::default() as Box<dyn GroupRegressor>);
        /// What ratings are predicted from.
        features: Features = Features::Factors;
        /// With features = factors: the model that they come from; it must have factors.
        base: Base = Base::from(Box::new(Als { factors: 8, ..Als::default() }) as Box<dyn Recommender>);
        /// With features = attributes: how many ratings of average height each user and each item gets in addition.
        damping: f64 = 5.0, in 0.0..;
        /// The grouping of the users whose groups the regressor is told, by name; the protected one unless another is named.
        /// Where the users have no grouping, all are one group: a pooled regression.
        groups: Option<String> = None;
    }
}

impl Recommender for GroupRegression {
    /// Users for whom the regressor has nothing to predict with, such as those in no group where every model is that of a
    /// group, are predicted by the mean of all training ratings; the observer is told how many they are.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a grouping that does not exist; [`Error::Unsupported`] for a regressor that is not linear, or
    /// a base model without factors; whatever prevents these from fitting.
    fn fit(&self, train: &Training<'_>, run: &Run) -> Result<Box<dyn Model>> {
        self.check()?;
        run.check()?;
        let same = |what, expected, groupings: &[Groups]| match groupings.iter().find(|g| g.entities() != expected) {
            Some(groups) => Err(Error::shape(what, expected, groups.entities())),
            None => Ok(()),
        };
        same("users of a grouping", train.ratings.users(), train.user_groups)?;
        same("items of a grouping", train.ratings.items(), train.item_groups)?;
        let groups = self.grouping(train, run)?;
        same("users of a grouping", train.ratings.users(), std::slice::from_ref(groups.as_ref()))?;
        let parts = match self.features {
            Features::Attributes => Parts::of_attributes(train, self.damping),
            Features::Factors => {
                let base = self.base.fit(train, &run.child("group-regression/base"))?;
                Parts::of_factors(base.factors().ok_or_else(|| Error::Unsupported {
                    plugin: self.base.name().into(),
                    operation: "stating factors to be the features of ratings",
                })?)
            }
        };
        let (table, labels) = table(&parts, train, &groups, run)?;
        let learned = self.regressor.fit(&table, &labels, &run.child("group-regression/regressor"))?;
        Ok(Box::new(fold(&parts, learned.as_ref(), &groups, train.ratings.mean(), run)?))
    }

    /// By the base model, where it is.
    fn personalised(&self) -> bool {
        self.features == Features::Factors && self.base.personalised()
    }
}

impl GroupRegression {
    fn grouping<'a>(&self, train: &Training<'a>, run: &Run) -> Result<Cow<'a, Groups>> {
        let users = train.ratings.users();
        let found = match &self.groups {
            None => train.protected.users,
            Some(name) => {
                let found = train.user_groups.iter().find(|groups| groups.name() == name);
                Some(found.ok_or_else(|| {
                    let names: Vec<_> = train.user_groups.iter().map(Groups::name).collect();
                    let range = match names[..] {
                        [] => "none: the users have no grouping".into(),
                        _ => format!("a grouping of the users: {}", names.join(", ")),
                    };
                    let (plugin, field) = (Some(Self::NAME.into()), "groups".into());
                    Error::OutOfRange { plugin, field, value: format!("\"{name}\""), range }
                })?)
            }
        };
        match found {
            Some(groups) => Ok(Cow::Borrowed(groups)),
            None => {
                run.observer().note("no grouping of the users is protected: one regression for all of them");
                let everyone = vec![("all users".to_string(), (0..users as u32).collect())];
                Ok(Cow::Owned(Groups::new("everyone", users, everyone)?))
            }
        }
    }
}

/// Rows that are written between two looks at the cancel flag.
const ROWS: usize = 1 << 16;

/// The training rows with their ratings, in the order in which they are learned from.
fn table(parts: &Parts, train: &Training<'_>, groups: &Groups, run: &Run) -> Result<(GroupTable, Vec<f64>)> {
    let rows: Vec<(u32, u32, f32)> = train.ratings.iter().collect();
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.shuffle(&mut run.streams.child("group-regression/order").rng(0));
    if let Some(times) = train.ratings.times() {
        // Rows of the same time stay shuffled.
        order.sort_by_key(|&row| times[row as usize]);
    }
    let rows: Vec<_> = order.iter().map(|&row| rows[row as usize]).collect();
    let mut features = DMatrix::zeros(parts.count(), rows.len());
    let mut membership = DMatrix::from_element(groups.len(), rows.len(), false);
    for (at, &row) in rows.iter().enumerate() {
        if at % ROWS == 0 {
            run.check()?;
        }
        parts.training_row(row, features.column_mut(at).as_mut_slice());
        groups.of(row.0).iter().for_each(|&group| membership[(group as usize, at)] = true);
    }
    let labels = rows.iter().map(|row| f64::from(row.2)).collect();
    Ok((GroupTable::new(features, membership, parts.names.clone(), groups.labels().to_vec())?, labels))
}

/// The factors whose products are the predictions: those of the parts by their weights, and one more for the intercept.
fn fold(parts: &Parts, learned: &dyn GroupPredictor, groups: &Groups, mean: f64, run: &Run) -> Result<Factors> {
    let (d, (classes, sets)) = (parts.count(), Classes::by_membership(groups));
    let mut weights = DMatrix::zeros(d + 1, classes.len());
    let (mut active, mut unknown) = (vec![false; groups.len()], 0);
    for ((set, size), mut column) in sets.iter().zip(classes.sizes()).zip(weights.column_iter_mut()) {
        active.fill(false);
        set.iter().for_each(|&group| active[group as usize] = true);
        if !learned.linear(&active, column.as_mut_slice())? {
            column.fill(0.0);
            column[d] = mean;
            unknown += size;
        }
    }
    if unknown > 0 {
        let of = format!("{unknown} of {}", groups.entities());
        run.observer().note(&format!("users in no group with a model, predicted by the mean rating {mean}: {of}"));
    }
    let user = |at: usize, user: usize| {
        let weight = weights[(at, classes.of()[user] as usize)];
        (if at < d { weight * parts.users[(at, user)] } else { weight }) as f32
    };
    let item = |at: usize, item: usize| if at < d { parts.items[(at, item)] as f32 } else { 1.0 };
    let users = DMatrix::from_fn(d + 1, parts.users.ncols(), user);
    let items = DMatrix::from_fn(d + 1, parts.items.ncols(), item);
    if !users.iter().chain(items.iter()).all(|factor| factor.is_finite()) {
        return Err(Error::Diverged { what: "a factor".into(), step: None });
    }
    Ok(Factors { latent: parts.latent, ..Factors::new(users, items, Output::Rating)? })
}
