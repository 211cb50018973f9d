//! The groupings between which fairness is asked for, and what is doubtful about them.

use super::regroup::expected;
use evenhand_core::{Dataset, Error, Groups, Result, Scale};
use serde::{Deserialize, Serialize};

/// Groups smaller than this give noisy figures.
const FEW: usize = 30;
/// Groups that a doubt lists.
const MOST_NAMED: usize = 5;

/// The names of the protected groupings; left open, the data decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protect {
    /// A grouping of the users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<String>,
    /// A grouping of the items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
}

impl Protect {
    /// Whether nothing is named.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Protects the named groupings of `data`; what is not named stays as it is.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a grouping that is not there, with the nearest and all names.
    pub fn apply(&self, data: &mut Dataset) -> Result<()> {
        let place = |side: &str, name: &Option<String>, groupings: &[Groups], before: usize| {
            let Some(name) = name else { return Ok(before) };
            groupings.iter().position(|g| g.name() == name).ok_or_else(|| Error::OutOfRange {
                plugin: None,
                field: format!("protect.{side}"),
                value: format!("`{name}`"),
                range: expected(&format!("a grouping of the {side}"), name, groupings.iter().map(Groups::name)),
            })
        };
        data.protected_users = place("users", &self.users, &data.user_groups, data.protected_users)?;
        data.protected_items = place("items", &self.items, &data.item_groups, data.protected_items)?;
        Ok(())
    }
}

/// What of the scale and the protected groupings may make figures of fairness meaningless.
pub fn doubts(data: &Dataset) -> Vec<String> {
    let mut doubts = Vec::new();
    let Scale { low, high, like_above } = data.scale;
    if like_above < low {
        doubts.push(format!(
            "values from {low} to {high} are all above the threshold {like_above}: everything is a like"
        ));
    }
    if like_above >= high {
        doubts.push(format!("no value from {low} to {high} is above the threshold {like_above}: nothing is a like"));
    }
    let protected = data.protected();
    for (side, groups) in [("users", protected.users), ("items", protected.items)] {
        let Some(groups) = groups else { continue };
        let sizes = || groups.labels().iter().enumerate().map(|(g, label)| (label, groups.members(g).len()));
        let subject = |label: &String| format!("protected group `{}`/`{label}` of {side}", groups.name());
        if let Some((label, _)) = sizes().find(|&(_, size)| size == groups.entities()) {
            doubts.push(format!("{} holds all of them", subject(label)));
        }
        let small: Vec<String> =
            sizes().filter(|&(_, size)| size < FEW).map(|(label, size)| format!("`{label}` {size}")).collect();
        if !small.is_empty() {
            let (named, more) = small.split_at(small.len().min(MOST_NAMED));
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            let text = format!("protected groups of fewer than {FEW} {side} by {}", groups.name());
            doubts.push(format!("{text}: {}{more}", named.join(", ")));
        }
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Interactions, Rows};

    fn data(user_groups: &[(&str, &[u32])], like_above: f32) -> Dataset {
        let mut rows = Rows::default();
        rows.push(0, 0, 3.0);
        let scale = Scale { like_above, ..Scale::FIVE_STARS };
        let mut data = Dataset::new("x", Interactions::new(40, 1, &rows).unwrap(), scale);
        for (name, rest) in user_groups {
            let groups = vec![("most".into(), (0..38).collect()), ("rest".into(), rest.to_vec())];
            data.user_groups.push(Groups::new(*name, 40, groups).unwrap());
        }
        data
    }

    #[test]
    fn groupings_are_protected_by_name() {
        let mut data = data(&[("age", &[38, 39]), ("gender", &[39])], 3.0);
        Protect::default().apply(&mut data).unwrap();
        assert_eq!(data.protected_users, 0);
        Protect { users: Some("gender".into()), items: None }.apply(&mut data).unwrap();
        assert_eq!(data.protected().users.unwrap().name(), "gender");
        Protect::default().apply(&mut data).unwrap();
        assert_eq!(data.protected_users, 1, "left as it is");
        let wrong = Protect { users: Some("gendr".into()), items: None }.apply(&mut data).unwrap_err().to_string();
        let text = "parameter `protect.users` = `gendr`, expected a grouping of the users (did you mean `gender`?)";
        assert_eq!(wrong, format!("{text}; there: age, gender"));
        let none = Protect { users: None, items: Some("genre".into()) }.apply(&mut data).unwrap_err().to_string();
        assert!(none.ends_with("expected a grouping of the items; there: none"), "{none}");
    }

    #[test]
    fn doubtful_thresholds_and_groups() {
        assert_eq!(doubts(&data(&[], 1.0)), [""; 0]);
        assert_eq!(doubts(&data(&[], 4.5)), [""; 0]);
        let text = ["values from 1 to 5 are all above the threshold 0: everything is a like"];
        assert_eq!(doubts(&data(&[], 0.0)), text);
        assert_eq!(doubts(&data(&[], 5.0)), ["no value from 1 to 5 is above the threshold 5: nothing is a like"]);
        let all: Vec<u32> = (0..40).collect();
        assert_eq!(doubts(&data(&[("x", &all)], 3.0)), ["protected group `x`/`rest` of users holds all of them"]);
        let few = ["protected groups of fewer than 30 users by x: `rest` 2"];
        assert_eq!(doubts(&data(&[("x", &[38, 39]), ("y", &all)], 3.0)), few);
    }
}
