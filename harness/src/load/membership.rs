//! Items by the groups that they are members of.

use super::regroup::expected;
use evenhand_core::{Dataset, Error, Groups, Result};

/// Whether each item is a member of any of the groups `any` of the grouping called `groups`. Messages call the two
/// `FIELD.groups` and `FIELD.any`.
///
/// # Errors
/// [`Error::OutOfRange`] for a grouping or a label that is not there, with the nearest and all names.
pub(super) fn members(data: &Dataset, groups: &str, any: &[String], field: &str) -> Result<Vec<bool>> {
    let refuse = |key: &str, value: &str, range| {
        let (field, value) = (format!("{field}.{key}"), format!("`{value}`"));
        Error::OutOfRange { plugin: None, field, value, range }
    };
    let grouping = data.item_groups.iter().find(|g| g.name() == groups).ok_or_else(|| {
        let known = data.item_groups.iter().map(Groups::name);
        refuse("groups", groups, expected("a grouping of the items", groups, known))
    })?;
    let mut member = vec![false; data.ratings.items()];
    for label in any {
        let labels = grouping.labels();
        let group = labels.iter().position(|l| l == label).ok_or_else(|| {
            let what = format!("a group of items by {groups}");
            refuse("any", label, expected(&what, label, labels.iter().map(String::as_str)))
        })?;
        grouping.members(group).iter().for_each(|&item| member[item as usize] = true);
    }
    Ok(member)
}
