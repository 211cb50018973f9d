//! A data set: interactions with the names, groups and rating scale that belong to them.

use crate::{Error, Interactions, Result};
use std::collections::{HashMap, HashSet};

/// The outside names of users or items, by dense index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ids {
    names: Vec<String>,
    index: HashMap<String, u32>,
}

impl Ids {
    /// Names in index order.
    ///
    /// # Errors
    /// [`Error::Unusable`] where a name occurs twice or there are more than 2^32 - 1.
    pub fn new(names: Vec<String>) -> Result<Self> {
        if u32::try_from(names.len()).is_err() {
            return Err(Error::Unusable(format!("{} ids, expected fewer than 2^32", names.len())));
        }
        let index: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        if index.len() < names.len() {
            let twice = names.iter().enumerate().find(|(at, n)| index[*n] as usize != *at);
            return Err(Error::Unusable(format!("id `{}` occurs twice", twice.map_or("", |(_, n)| n))));
        }
        Ok(Self { names, index })
    }

    /// The names "0", "1", ... of entities that have no other.
    pub fn numbered(count: usize) -> Self {
        Self::new((0..count).map(|n| n.to_string()).collect()).expect("numbers are distinct")
    }

    /// Number of entities.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The outside name of `index`.
    pub fn name(&self, index: u32) -> &str {
        &self.names[index as usize]
    }

    /// The dense index of an outside name.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.index.get(name).copied()
    }

    /// All names in index order.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Named groups of users or of items. Groups may overlap and may leave entities out.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    name: String,
    labels: Vec<String>,
    members: Vec<Vec<u32>>,
    of: Vec<Vec<u32>>,
}

impl Groups {
    /// Groups called `name` over `entities` users or items: a label and its members each.
    ///
    /// Members are sorted, repetitions dropped. An empty group is allowed here; what can not work with one refuses it.
    ///
    /// # Errors
    /// [`Error::Unusable`] where a member is out of range or a label occurs twice.
    pub fn new(name: impl Into<String>, entities: usize, groups: Vec<(String, Vec<u32>)>) -> Result<Self> {
        let name = name.into();
        let mut of = vec![Vec::new(); entities];
        let (mut labels, mut lists, mut known) = (Vec::new(), Vec::new(), HashSet::new());
        for (g, (label, mut members)) in groups.into_iter().enumerate() {
            members.sort_unstable();
            members.dedup();
            if let Some(&m) = members.last().filter(|&&m| m as usize >= entities) {
                let reason = format!("group `{name}`/`{label}`: member {m}, expected an index below {entities}");
                return Err(Error::Unusable(reason));
            }
            if !known.insert(label.clone()) {
                return Err(Error::Unusable(format!("group `{name}`: label `{label}` occurs twice")));
            }
            members.iter().for_each(|&m| of[m as usize].push(g as u32));
            labels.push(label);
            lists.push(members);
        }
        Ok(Self { name, labels, members: lists, of })
    }

    /// The same groups of the first `entities` users or items alone; some may lose all members.
    pub fn first(&self, entities: usize) -> Self {
        let there = |list: &Vec<u32>| list.iter().copied().filter(|&m| (m as usize) < entities).collect();
        Self {
            name: self.name.clone(),
            labels: self.labels.clone(),
            members: self.members.iter().map(there).collect(),
            of: self.of.iter().take(entities).cloned().collect(),
        }
    }

    /// What the groups are about, e.g. `gender`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of entities that could be members.
    pub fn entities(&self) -> usize {
        self.of.len()
    }

    /// The label of every group.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The members of group `g`, ascending.
    pub fn members(&self, g: usize) -> &[u32] {
        &self.members[g]
    }

    /// The groups of one entity, ascending; empty for an entity left out.
    pub fn of(&self, entity: u32) -> &[u32] {
        &self.of[entity as usize]
    }
}

/// What the values of a data set mean.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scale {
    /// Lowest possible value.
    pub low: f32,
    /// Highest possible value.
    pub high: f32,
    /// Threshold tau: a value strictly above it is a like.
    pub like_above: f32,
}

impl Scale {
    /// One to five stars; more than three is a like.
    pub const FIVE_STARS: Self = Self { low: 1.0, high: 5.0, like_above: 3.0 };
    /// -1 for a dislike, +1 for a like.
    pub const SIGNED: Self = Self { low: -1.0, high: 1.0, like_above: 0.0 };

    /// Whether `value` is a like.
    pub fn likes(&self, value: f32) -> bool {
        value > self.like_above
    }
}

/// The groupings between which fairness is asked for: training losses and metrics speak of these.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Protected<'a> {
    /// Of the users.
    pub users: Option<&'a Groups>,
    /// Of the items.
    pub items: Option<&'a Groups>,
}

/// Interactions with everything that is known about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What the data set is called in reports.
    pub name: String,
    /// All rows; where `test` is given, the training rows only.
    pub ratings: Interactions,
    /// The data set's own test rows, for data that is published already split.
    pub test: Option<Interactions>,
    /// Outside names of the users.
    pub user_ids: Ids,
    /// Outside names of the items.
    pub item_ids: Ids,
    /// Titles of the items; empty where unknown.
    pub item_titles: Vec<String>,
    /// Groupings of the users.
    pub user_groups: Vec<Groups>,
    /// Groupings of the items.
    pub item_groups: Vec<Groups>,
    /// Place of the protected grouping among those of the users; of no meaning where there is none.
    pub protected_users: usize,
    /// The same of the items.
    pub protected_items: usize,
    /// Meaning of the values.
    pub scale: Scale,
}

impl Dataset {
    /// A data set of bare interactions: numbered ids, no groups.
    pub fn new(name: impl Into<String>, ratings: Interactions, scale: Scale) -> Self {
        Self {
            name: name.into(),
            user_ids: Ids::numbered(ratings.users()),
            item_ids: Ids::numbered(ratings.items()),
            ratings,
            test: None,
            item_titles: Vec::new(),
            user_groups: Vec::new(),
            item_groups: Vec::new(),
            protected_users: 0,
            protected_items: 0,
            scale,
        }
    }

    /// The groupings between which fairness is asked for; by default the first of each side.
    pub fn protected(&self) -> Protected<'_> {
        Protected {
            users: self.user_groups.get(self.protected_users),
            items: self.item_groups.get(self.protected_items),
        }
    }

    /// Checks that every part speaks of the same users and items.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the part that differs.
    pub fn check(&self) -> Result<()> {
        let (users, items) = (self.ratings.users(), self.ratings.items());
        let same = |what, expected: usize, got: usize| {
            if expected == got { Ok(()) } else { Err(Error::shape(what, expected, got)) }
        };
        same("user ids", users, self.user_ids.len())?;
        same("item ids", items, self.item_ids.len())?;
        if !self.item_titles.is_empty() {
            same("item titles", items, self.item_titles.len())?;
        }
        if let Some(test) = &self.test {
            same("users of the test rows", users, test.users())?;
            same("items of the test rows", items, test.items())?;
        }
        self.user_groups.iter().try_for_each(|g| same("users of a grouping", users, g.entities()))?;
        self.item_groups.iter().try_for_each(|g| same("items of a grouping", items, g.entities()))?;
        let exists = |what, at: usize, groupings: &[Groups]| match groupings.len() {
            n if at < n.max(1) => Ok(()),
            n => Err(Error::shape(what, format!("below {n}"), at)),
        };
        exists("protected grouping of the users", self.protected_users, &self.user_groups)?;
        exists("protected grouping of the items", self.protected_items, &self.item_groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_overlap_and_leave_out() {
        let lists = vec![("a".into(), vec![2, 0, 2]), ("b".into(), vec![2]), ("none".into(), vec![])];
        let g = Groups::new("genre", 4, lists).unwrap();
        assert_eq!((g.members(0), g.of(2), g.of(1)), ([0, 2].as_slice(), [0, 1].as_slice(), [].as_slice()));
        assert_eq!((g.len(), g.entities(), g.members(2).len()), (3, 4, 0));
        let fewer = vec![("a".into(), vec![0]), ("b".into(), vec![]), ("none".into(), vec![])];
        assert_eq!(g.first(2), Groups::new("genre", 2, fewer).unwrap());
        assert!(Groups::new("x", 2, vec![("a".into(), vec![2])]).unwrap_err().to_string().contains("`x`/`a`"));
        assert!(Groups::new("x", 2, vec![("a".into(), vec![]), ("a".into(), vec![])]).is_err());
    }

    #[test]
    fn ids_map_both_ways() {
        let ids = Ids::new(vec!["x".into(), "7".into()]).unwrap();
        assert_eq!((ids.index("7"), ids.name(0), ids.index("8")), (Some(1), "x", None));
        assert!(Ids::new(vec!["x".into(), "x".into()]).unwrap_err().to_string().contains("`x` occurs twice"));
    }
}
