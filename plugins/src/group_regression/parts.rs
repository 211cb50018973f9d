//! Features of ratings, taken apart into what the user and what the item contributes.

use evenhand_core::{Compressed, Factors, Groups, Training};
use nalgebra::DMatrix;

/// Feature f of user u and item i is `users[(f, u)] * items[(f, i)]`.
pub(super) struct Parts {
    /// The users' part, features x users.
    pub(super) users: DMatrix<f64>,
    /// The items' part, features x items.
    pub(super) items: DMatrix<f64>,
    /// Features that are of a kind with learned factors; those after them do not differ between items, or are biases.
    pub(super) latent: usize,
    /// Names of the features.
    pub(super) names: Vec<String>,
    /// Where features are mean ratings, what a training row is left out of.
    means: Option<Means>,
}

/// The means of items and users as features.
struct Means {
    mean: f64,
    damping: f64,
    items: Side,
    users: Side,
}

/// The ratings of each entity of a side.
struct Side {
    /// The place of their mean among the features.
    feature: usize,
    sums: Vec<f64>,
    counts: Vec<usize>,
}

impl Side {
    fn of(feature: usize, rows: &Compressed) -> Self {
        let sum = |entity| rows.values(entity).iter().map(|&v| f64::from(v)).sum();
        let entities = || 0..rows.len();
        Self { feature, sums: entities().map(sum).collect(), counts: entities().map(|e| rows.count(e)).collect() }
    }
}

impl Means {
    fn damped(&self, sum: f64, count: usize) -> f64 {
        let weight = count as f64 + self.damping;
        if weight > 0.0 { (sum + self.damping * self.mean) / weight } else { self.mean }
    }

    /// The mean of one entity of a side.
    fn whole(&self, side: &Side, entity: usize) -> f64 {
        self.damped(side.sums[entity], side.counts[entity])
    }

    /// The same without one of its ratings.
    fn without(&self, side: &Side, entity: usize, rating: f64) -> f64 {
        match side.counts[entity] - 1 {
            // Not by subtraction, which may leave something of the rating.
            0 => self.damped(0.0, 0),
            rest => self.damped(side.sums[entity] - rating, rest),
        }
    }
}

impl Parts {
    /// Indicators of groups and mean ratings: the items' groups, their mean, the users' groups, their mean.
    pub(super) fn of_attributes(train: &Training<'_>, damping: f64) -> Self {
        let count = |groupings: &[Groups]| groupings.iter().map(Groups::len).sum::<usize>();
        let (of_items, of_users) = (count(train.item_groups), count(train.user_groups));
        let (item_mean, user_mean, d) = (of_items, of_items + 1 + of_users, of_items + 1 + of_users + 1);
        let means = Means {
            mean: train.ratings.mean(),
            damping,
            items: Side::of(item_mean, train.ratings.by_item()),
            users: Side::of(user_mean, train.ratings.by_user()),
        };
        // The other side's part of a feature is 1.
        let mut users = DMatrix::from_element(d, train.ratings.users(), 1.0);
        let mut items = DMatrix::from_element(d, train.ratings.items(), 1.0);
        let mut names = indicate(&mut items, 0, "item", train.item_groups);
        names.push("item mean".into());
        names.extend(indicate(&mut users, of_items + 1, "user", train.user_groups));
        names.push("user mean".into());
        for (part, side) in [(&mut items, &means.items), (&mut users, &means.users)] {
            (0..part.ncols()).for_each(|entity| part[(side.feature, entity)] = means.whole(side, entity));
        }
        Self { users, items, latent: of_items + 1, names, means: Some(means) }
    }

    /// Products of factors.
    pub(super) fn of_factors(factors: &Factors) -> Self {
        let names = (0..factors.rank()).map(|at| format!("factor {at}")).collect();
        let [users, items] = [&factors.users, &factors.items].map(|side| side.map(f64::from));
        Self { users, items, latent: factors.latent, names, means: None }
    }

    /// Number of features.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// The features of a training row, left out of its own means.
    pub(super) fn training_row(&self, (user, item, rating): (u32, u32, f32), out: &mut [f64]) {
        let (user, item, rating) = (user as usize, item as usize, f64::from(rating));
        let (of_user, of_item) = (self.users.column(user), self.items.column(item));
        let parts = of_user.iter().zip(of_item.iter());
        out.iter_mut().zip(parts).for_each(|(out, (p, q))| *out = p * q);
        if let Some(means) = &self.means {
            out[means.items.feature] = means.without(&means.items, item, rating);
            out[means.users.feature] = means.without(&means.users, user, rating);
        }
    }
}

/// Makes features from `first` on 1 for the members of a group, 0 for others; returns their names.
fn indicate(part: &mut DMatrix<f64>, first: usize, side: &str, groupings: &[Groups]) -> Vec<String> {
    let mut names = Vec::new();
    for groups in groupings {
        for (group, label) in groups.labels().iter().enumerate() {
            let feature = first + names.len();
            part.row_mut(feature).fill(0.0);
            groups.members(group).iter().for_each(|&member| part[(feature, member as usize)] = 1.0);
            names.push(format!("{side} {}={label}", groups.name()));
        }
    }
    names
}
