//! Thompson sampling: the best items by one draw of the model from its posterior.
//!
//! An item is shown as often as it is believed to be the best. One draw per call of `act` serves all users of the
//! batch, so that their scores are one product of matrices: users have their own draws and share those of the items,
//! hence explore in step.
//!
//! The propensity has no closed form; it is the share of fresh draws whose slate has the item at that place. A share
//! can be 0 for an item that is shown now and then: see [`Propensities::of_own_actions`].
//!
//! Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 1933; Chapelle & Li, "An
//! empirical evaluation of Thompson sampling", NIPS 2011.

use crate::shown;
use evenhand_core::{Acting, Params, Policy, Posterior, Propensities, Result, Run, Slates, World, plugin};

plugin! {
    /// The best items by one draw of the model from its posterior.
    pub struct Thompson: Policy = "thompson", from "Thompson 1933; Chapelle & Li, NIPS 2011" {
        /// Number of draws from the posterior behind a propensity; acting takes one.
        draws: usize = 32, in 1..;
    }
}

impl Policy for Thompson {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Drawn { world, posterior: world.posterior()?, draws: self.draws }))
    }
}

/// Shows the best of a draw.
struct Drawn<'a> {
    world: World<'a>,
    posterior: &'a dyn Posterior,
    draws: usize,
}

impl Drawn<'_> {
    /// The slates by a draw from the streams of `run`.
    fn draw(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        let drawn = self.posterior.sample(users, run)?;
        shown::slates(&drawn.top_k(users, self.world.seen, size, run)?, size)
    }
}

impl Acting for Drawn<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        self.draw(users, size, &run.child("thompson/act"))
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        let run = run.child("thompson/propensities");
        let mut counts = vec![0usize; slates.items.len()];
        for draw in 0..self.draws {
            run.check()?;
            let drawn = self.draw(users, slates.size, &run.child(&draw.to_string()))?;
            let same = drawn.items.iter().zip(&slates.items).map(|(a, b)| usize::from(a == b));
            counts.iter_mut().zip(same).for_each(|(count, same)| *count += same);
        }
        let values = counts.into_iter().map(|count| count as f64 / self.draws as f64).collect();
        Ok(Propensities { values, draws: Some(self.draws) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::{Uncertain, given, seen};
    use evenhand_core::Error;

    #[test]
    fn two_items_in_the_ratio_of_their_chances() {
        // Scores 0 + e and 1: the first is best with probability P(e > 1) = 0.158655.
        let model = Uncertain { means: given(&[&[0.0, 1.0, -9.0]]), variances: given(&[&[1.0, 0.0, 0.0]]) };
        let (world, run) = (World::new(&model, None), Run::new(5));
        let policy = Thompson { draws: 4000 }.prepare(world, &run).unwrap();
        let slates = Slates { size: 2, items: vec![0, 1, 1, 0], scores: vec![] };
        let got = policy.propensities(&[0, 0], &slates, &run).unwrap();
        assert_eq!(got.draws, Some(4000));
        // Five standard errors of 4000 draws; the other order takes the rest.
        assert!((got.values[0] - 0.158655).abs() < 0.029, "{got:?}");
        assert_eq!(got.values, [got.values[0], got.values[0], 1.0 - got.values[0], 1.0 - got.values[0]]);
    }

    #[test]
    fn shows_the_best_of_the_draw_with_its_scores() {
        let model = Uncertain {
            means: given(&[&[0.0, 0.1, 0.2], &[0.0, 0.1, 0.2]]),
            variances: given(&[&[1.0; 3], &[1.0; 3]]),
        };
        let (seen, run) = (seen(2, 3, &[(1, 2)]), Run::new(5));
        let policy = Thompson::default().prepare(World::new(&model, Some(&seen)), &run).unwrap();
        let slates = policy.act(&[1, 0], 1, &run).unwrap();
        let drawn = model.sample(&[1, 0], &run.child("thompson/act")).unwrap();
        let expected = drawn.top_k(&[1, 0], Some(&seen), 1, &run).unwrap();
        assert_eq!((slates.of(0), slates.of(1)), (expected.items(0), expected.items(1)));
        assert_eq!(slates.scores, [expected.scores(0)[0], expected.scores(1)[0]]);
    }

    #[test]
    fn a_model_without_a_posterior_is_named() {
        let model = given(&[&[1.0, 2.0]]);
        let refused = Thompson::default().prepare(World::new(&model, None), &Run::new(0)).err().unwrap();
        assert!(matches!(refused, Error::Unsupported { .. }));
        assert_eq!(refused.to_string(), "`factors` does not support stating its uncertainty");
    }
}
