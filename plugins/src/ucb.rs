//! Upper confidence bounds: optimism in the face of uncertainty.
//!
//! The best items by mean + width * sqrt(variance), with the variance that the model states of its score.
//! Deterministic: the propensity is 1 or 0.
//!
//! Auer, "Using confidence bounds for exploitation-exploration trade-offs", JMLR 2002; Li, Chu, Langford & Schapire, "A
//! contextual-bandit approach to personalized news article recommendation" (LinUCB), WWW 2010.

use crate::shown;
use evenhand_core::{
    Acting, Error, Params, Policy, Posterior, Propensities, Result, Run, Slates, World, plugin, top_k_by,
};
use nalgebra::DMatrix;

plugin! {
    /// The best items by the upper end of what their scores may be.
    pub struct Ucb: Policy = "ucb", from "Auer, JMLR 2002; Li et al., WWW 2010" {
        /// Standard deviations that are added to the mean.
        width: f64 = 1.0, in 0.0..;
    }
}

impl Policy for Ucb {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        self.check()?;
        run.check()?;
        Ok(Box::new(Optimist { world, posterior: world.posterior()?, width: self.width }))
    }
}

/// Shows the best by their upper bounds.
struct Optimist<'a> {
    world: World<'a>,
    posterior: &'a dyn Posterior,
    width: f64,
}

impl Acting for Optimist<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.world.check(users, size)?;
        let World { model, seen, .. } = self.world;
        let stated = self.posterior.variances(users, run)?;
        if stated.items() != model.items() {
            return Err(Error::shape("items of the variances", model.items(), stated.items()));
        }
        let bounds = |users: &[u32], out: &mut DMatrix<f32>| {
            let mut variances = DMatrix::zeros(0, 0);
            model.score(users, out, run)?;
            stated.score(users, &mut variances, run)?;
            out.iter_mut().zip(&variances).for_each(|(score, variance)| *score = bound(*score, *variance, self.width));
            Ok(())
        };
        shown::slates(&top_k_by(model.items(), users, seen, size, run, bounds)?, size)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.world.check_slates(users, slates)?;
        Ok(shown::certain(&self.act(users, slates.size, run)?, slates))
    }
}

/// mean + width * sqrt(variance). A variance below 0 is one of 0 that was rounded; NaN stays NaN.
fn bound(mean: f32, variance: f32, width: f64) -> f32 {
    let deviation = if variance < 0.0 { 0.0 } else { f64::from(variance).sqrt() };
    (f64::from(mean) + width * deviation) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::tests::{Uncertain, given, seen};

    #[test]
    fn bounds_by_hand() {
        assert_eq!(bound(1.0, 4.0, 1.5), 4.0);
        assert_eq!(bound(1.0, -1e-9, 1.5), 1.0);
        assert!(bound(1.0, f32::NAN, 1.5).is_nan() && bound(f32::NAN, 1.0, 1.5).is_nan());
    }

    #[test]
    fn the_width_decides_between_good_and_unknown() {
        // Bounds at width 1: 2, 1 + 0.5, 0 + 3; of user 1, who has seen item 2: 0 + 1, 1, -.
        let model = Uncertain {
            means: given(&[&[2.0, 1.0, 0.0], &[0.0, 1.0, 0.0]]),
            variances: given(&[&[0.0, 0.25, 9.0], &[1.0, 0.0, 9.0]]),
        };
        let (seen, run) = (seen(2, 3, &[(1, 2)]), Run::new(0));
        let world = World::new(&model, Some(&seen));
        let acting = |width| Ucb { width }.prepare(world, &run).unwrap();
        let shown = |width| acting(width).act(&[0, 1], 2, &run).unwrap();
        assert_eq!(shown(1.0), Slates { size: 2, items: vec![2, 0, 0, 1], scores: vec![3.0, 2.0, 1.0, 1.0] });
        assert_eq!(shown(0.0), Slates { size: 2, items: vec![0, 1, 1, 0], scores: vec![2.0, 1.0, 1.0, 0.0] });
        let got = acting(1.0).propensities(&[0, 1], &shown(0.0), &run).unwrap();
        assert_eq!(got, Propensities { values: vec![0.0; 4], draws: None });
        let got = acting(1.0).propensities(&[0, 1], &shown(1.0), &run).unwrap();
        assert_eq!(got.values, [1.0; 4]);
    }

    #[test]
    fn what_can_not_be_bounded_is_an_error() {
        let run = Run::new(0);
        let plain = given(&[&[1.0, 2.0]]);
        let refused = Ucb::default().prepare(World::new(&plain, None), &run).err().unwrap();
        assert_eq!(refused.to_string(), "`factors` does not support stating its uncertainty");
        let model = Uncertain { means: given(&[&[1.0, 2.0]]), variances: given(&[&[1.0, 1.0]]) };
        let wide = Ucb { width: f64::MAX }.prepare(World::new(&model, None), &run).unwrap();
        assert_eq!(wide.act(&[0], 1, &run).unwrap_err().to_string(), "score of item 0 became non-finite");
    }
}
