//! The k best items by the model, whatever becomes of the user: the policy that preference dynamics are ignored by.
//!
//! With factors, a score is the inner product of an item's vector and the user's first profile. The same items as those of
//! [`greedy`](crate::greedy), stated as a distribution over sets.

use crate::plans::{Planned, Planner, certain, sort_by_score};
use evenhand_core::{Acting, Cardinality, Error, Params, Plan, Policy, Result, Run, World, plugin};
use nalgebra::DMatrix;

plugin! {
    /// The best items by the model, as a certain set.
    pub struct TopK: Policy = "top-k" {}
}

impl Policy for TopK {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Planned::new(world, Best { world, run: run.clone() })))
    }
}

/// Takes the best.
struct Best<'a> {
    world: World<'a>,
    run: Run,
}

impl Planner for Best<'_> {
    const REMEMBERS: bool = false;

    fn plan(&self, user: u32, items: &[u32], Cardinality { size, rule }: Cardinality, _: &Run) -> Result<Plan> {
        let mut scores = DMatrix::zeros(0, 0);
        self.world.model.score(&[user], &mut scores, &self.run)?;
        if let Some(item) = items.iter().find(|item| !scores[**item as usize].is_finite()) {
            return Err(Error::Diverged { what: format!("score of item {item} for user {user}"), step: None });
        }
        let mut best = items.to_vec();
        sort_by_score(&mut best, |item| scores[item as usize]);
        best.truncate(size);
        Ok(certain(best, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::given;
    use evenhand_core::{Lottery, SizeRule, Slates};

    #[test]
    fn the_best_by_hand() {
        let (model, run) = (given(&[&[0.5, 2.0, 2.0, -1.0]]), Run::new(0));
        let policy = TopK {}.prepare(World::new(&model, None), &run).unwrap();
        let expected = Slates { size: 3, items: vec![1, 2, 0], scores: vec![2.0, 2.0, 0.5] };
        assert_eq!(policy.act(&[0], 3, &run).unwrap(), expected);
        assert_eq!(policy.propensities(&[0], &expected, &run).unwrap().values, [1.0; 3]);
        let of = |rule| policy.plans(&[0], Cardinality { size: 2, rule }, &run).unwrap().remove(0).lottery;
        assert_eq!(of(SizeRule::AtMost), Lottery::certain(vec![1, 2]));
        assert_eq!(of(SizeRule::Independent), Lottery::Independent { items: vec![1, 2], chances: vec![1.0; 2] });
    }
}
