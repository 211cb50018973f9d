//! The best items by the model, always: exploitation without exploration.
//!
//! Ties go to the lower item. The propensity is 1 for what is shown and 0 for anything else, so a log of this policy
//! says nothing of other policies.

use crate::shown;
use evenhand_core::{Acting, Policy, Propensities, Result, Run, Slates, World, plugin};

plugin! {
    /// The best items by the model.
    pub struct Greedy: Policy = "greedy" {}
}

impl Policy for Greedy {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        run.check()?;
        Ok(Box::new(Best { world }))
    }
}

/// Shows the best.
struct Best<'a> {
    world: World<'a>,
}

impl Acting for Best<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        shown::slates(&self.world.model.top_k(users, self.world.seen, size, run)?, size)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        Ok(shown::certain(&self.act(users, slates.size, run)?, slates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::{given, seen};

    #[test]
    fn the_best_unseen_items_by_hand() {
        let model = given(&[&[0.5, 2.0, 2.0, -1.0], &[0.5, 2.0, 2.0, -1.0]]);
        let seen = seen(2, 4, &[(1, 1)]);
        let run = Run::new(0);
        let greedy = Greedy {}.prepare(World::new(&model, Some(&seen)), &run).unwrap();
        let slates = greedy.act(&[0, 1], 3, &run).unwrap();
        assert_eq!(slates.items, [1, 2, 0, 2, 0, 3]);
        assert_eq!(slates.scores, [2.0, 2.0, 0.5, 2.0, 0.5, -1.0]);
        // Another log: the places count.
        let other = Slates { items: vec![1, 0, 2, 1, 0, 3], ..slates };
        let propensities = greedy.propensities(&[0, 1], &other, &run).unwrap();
        assert_eq!(propensities, Propensities { values: vec![1.0, 0.0, 0.0, 0.0, 1.0, 1.0], draws: None });
    }
}
