//! Harm labels: which items of a data set are harmful.

use super::regroup::expected;
use evenhand_core::{Dataset, Error, Groups, Result};
use serde::{Deserialize, Serialize};

/// How items are told to be harmful.
///
/// ```toml
/// harmful = { groups = "genre", any = ["Horror", "War"] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HarmLabels {
    /// A grouping of the items.
    pub groups: String,
    /// Labels of its groups: a harmful item is a member of any of them.
    pub any: Vec<String>,
}

/// Whether each item of `data` is harmful.
///
/// # Errors
/// [`Error::OutOfRange`] for a grouping or a label that is not there, with the nearest and all names.
pub fn labels(rule: &HarmLabels, data: &Dataset) -> Result<Vec<bool>> {
    let refuse = |field: &str, value: &str, range| {
        let (field, value) = (format!("harmful.{field}"), format!("`{value}`"));
        Error::OutOfRange { plugin: None, field, value, range }
    };
    let grouping = data.item_groups.iter().find(|groups| groups.name() == rule.groups).ok_or_else(|| {
        let known = data.item_groups.iter().map(Groups::name);
        refuse("groups", &rule.groups, expected("a grouping of the items", &rule.groups, known))
    })?;
    let mut harmful = vec![false; data.ratings.items()];
    for label in &rule.any {
        let known = || grouping.labels().iter();
        let group = known().position(|l| l == label).ok_or_else(|| {
            let what = format!("a group of items by {}", rule.groups);
            refuse("any", label, expected(&what, label, known().map(String::as_str)))
        })?;
        grouping.members(group).iter().for_each(|&item| harmful[item as usize] = true);
    }
    Ok(harmful)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Interactions, Rows, Scale};

    #[test]
    fn members_of_any_of_the_groups_are_harmful() {
        let mut data = Dataset::new("x", Interactions::new(1, 4, &Rows::default()).unwrap(), Scale::FIVE_STARS);
        let groups = [("War", vec![0, 2]), ("Horror", vec![2, 3]), ("Comedy", vec![1])];
        let groups = groups.map(|(label, members)| (label.to_string(), members)).to_vec();
        data.item_groups.push(Groups::new("genre", 4, groups).unwrap());
        let of = |groups: &str, any: &[&str]| {
            let any = any.iter().map(|label| label.to_string()).collect();
            labels(&HarmLabels { groups: groups.into(), any }, &data).map_err(|e| e.to_string())
        };
        assert_eq!(of("genre", &["War", "Horror"]), Ok(vec![true, false, true, true]));
        assert_eq!(of("genre", &["Comedy"]), Ok(vec![false, true, false, false]));
        let text = "parameter `harmful.any` = `Horor`, expected a group of items by genre (did you mean `Horror`?); \
                    there: Comedy, Horror, War";
        assert_eq!(of("genre", &["War", "Horor"]), Err(text.into()));
        let text = "parameter `harmful.groups` = `genres`, expected a grouping of the items (did you mean `genre`?); \
                    there: genre";
        assert_eq!(of("genres", &["War"]), Err(text.into()));
    }
}
