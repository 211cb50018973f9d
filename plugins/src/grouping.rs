//! Groups as the fairness losses walk them, and the comparison of groups in pairs.

use evenhand_core::Groups;
use evenhand_core::fairness::Classes;

/// Users or items by the set of groups they are in.
pub(crate) struct Grouping<'a> {
    /// Those of equal membership share a class.
    pub(crate) classes: Classes,
    /// The groups of every class.
    pub(crate) groups: Vec<&'a [u32]>,
    /// Number of members of every group.
    pub(crate) sizes: Vec<usize>,
}

impl<'a> Grouping<'a> {
    /// All of `entities` in one group.
    pub(crate) fn everyone(entities: usize) -> Self {
        Self { classes: Classes::one(entities), groups: vec![&[0]], sizes: vec![entities] }
    }

    /// The groups as they are: they may overlap, and leave out.
    pub(crate) fn of(groups: &'a Groups) -> Self {
        let (classes, sets) = Classes::by_membership(groups);
        Self { classes, groups: sets, sizes: (0..groups.len()).map(|g| groups.members(g).len()).collect() }
    }

    /// At least two sides to compare: the groups, or a lone one and all that are not in it.
    pub(crate) fn sides(groups: &'a Groups) -> Self {
        let mut sides = Self::of(groups);
        if let [inside] = sides.sizes[..] {
            sides.sizes.push(groups.entities() - inside);
            sides.groups.iter_mut().filter(|set| set.is_empty()).for_each(|set| *set = &[1]);
        }
        sides
    }
}

/// Number of pairs of `sides`; at least 1, to divide by.
pub(crate) fn pairs(sides: usize) -> f64 {
    (sides * sides.saturating_sub(1) / 2).max(1) as f64
}

/// The sum over pairs of sides of `weight(g, h) |values[g] - values[h]|`; adds its derivatives to `slopes`.
pub(crate) fn gaps(values: &[f64], slopes: &mut [f64], weight: impl Fn(usize, usize) -> f64) -> f64 {
    let mut sum = 0.0;
    for h in 0..values.len() {
        for g in 0..h {
            let (difference, weight) = (values[g] - values[h], weight(g, h));
            sum += weight * difference.abs();
            slopes[g] += weight * sign(difference);
            slopes[h] -= weight * sign(difference);
        }
    }
    sum
}

/// The derivative of the absolute value: 0 at 0.
pub(crate) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_group_is_compared_with_the_rest() {
        let lists = vec![("a".to_string(), vec![1]), ("b".to_string(), vec![1, 2])];
        let sides = |of: &[(String, Vec<u32>)]| {
            let groups = Groups::new("g", 4, of.to_vec()).unwrap();
            let Grouping { groups, sizes, .. } = Grouping::sides(&groups);
            (groups.iter().map(|g| g.to_vec()).collect::<Vec<_>>(), sizes)
        };
        assert_eq!(sides(&lists), (vec![vec![], vec![0, 1], vec![1]], vec![1, 2]));
        assert_eq!(sides(&lists[..1]), (vec![vec![1], vec![0]], vec![1, 3]));
    }

    #[test]
    fn gaps_of_three() {
        let mut slopes = [0.0; 3];
        // |1 - 4| + |1 - 4| + |4 - 4|
        assert_eq!(gaps(&[1.0, 4.0, 4.0], &mut slopes, |_, _| 2.0), 12.0);
        assert_eq!(slopes, [-4.0, 2.0, 2.0]);
        assert_eq!([pairs(1), pairs(2), pairs(4)], [1.0, 1.0, 6.0]);
    }
}
