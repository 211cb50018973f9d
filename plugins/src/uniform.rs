//! Sets of items with equal probability, whatever the model knows: what to compare with.
//!
//! Of exactly or at most k items: every set of k. Of independent ones: each of n items with probability k / n.

use crate::plans::{Planned, Planner};
use evenhand_core::{Acting, Cardinality, Lottery, Params, Plan, Policy, Result, Run, SizeRule, World, plugin};

plugin! {
    /// All sets of items with the same probability.
    pub struct Uniform: Policy = "uniform" {}
}

impl Policy for Uniform {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Planned::new(world, Even)))
    }
}

/// Treats all items alike.
struct Even;

impl Planner for Even {
    const REMEMBERS: bool = false;

    fn plan(&self, _: u32, items: &[u32], Cardinality { size, rule }: Cardinality, _: &Run) -> Result<Plan> {
        Ok(Plan { lottery: even(items, size, rule), certificate: None })
    }
}

/// The lottery that treats `items` alike.
pub(crate) fn even(items: &[u32], size: usize, rule: SizeRule) -> Lottery {
    let items = items.to_vec();
    match rule {
        SizeRule::Exactly | SizeRule::AtMost => Lottery::Uniform { items, size },
        SizeRule::Independent => {
            let chance = size as f64 / items.len().max(1) as f64;
            Lottery::Independent { chances: vec![chance; items.len()], items }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::{given, seen};
    use evenhand_core::{Dynamics, Harm, Slates};

    #[test]
    fn two_of_three_by_hand() {
        // Item 3 is harmful, item 1 is seen; 4, 0 and 2 are left, in the order of their scores.
        let (model, seen) = (given(&[&[0.5, 9.0, 0.5, 9.0, 2.0]]), seen(1, 5, &[(0, 1)]));
        let harmful = [false, false, false, true, false];
        let harm = Some(Harm { harmful: &harmful, dynamics: Dynamics::default(), price: 1.0 });
        let run = Run::new(1);
        let policy = Uniform {}.prepare(World { model: &model, seen: Some(&seen), harm }, &run).unwrap();
        let slates = Slates { size: 2, items: vec![4, 0, 4, 2, 0, 2, 0, 4, 3, 1], scores: vec![] };
        let got = policy.propensities(&[0; 5], &slates, &run).unwrap();
        let third = 1.0 / 3.0;
        let expected = [2.0 * third, third, 2.0 * third, 2.0 * third, third, 2.0 * third, third, 0.0, 0.0, 0.0];
        assert!(got.values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
        let of = |rule| policy.plans(&[0], Cardinality { size: 2, rule }, &run).unwrap().remove(0).lottery;
        assert_eq!(of(SizeRule::Exactly), Lottery::Uniform { items: vec![0, 2, 4], size: 2 });
        let chances = vec![2.0 * third; 3];
        assert_eq!(of(SizeRule::Independent), Lottery::Independent { items: vec![0, 2, 4], chances });
        let refused = policy.act(&[0], 4, &run).unwrap_err().to_string();
        assert_eq!(refused, "items of a set: expected at most the 3 that may be shown to user 0, got 4");
    }
}
