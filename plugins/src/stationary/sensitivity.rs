//! All first derivatives at a stationary profile: for analysis, and to be compared with.

use super::catalogue::Catalogue;
use super::derivative::{Figure, Space};
use super::fixed_point::Buffers;
use super::mixture::{Mixture, Sets};
use evenhand_core::{Error, Result};
use nalgebra::DMatrix;

/// Derivatives at a profile u under weights pi on m sets. Weights are taken one by one: they need not add up to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// `dF/du`: d x d.
    pub map_by_profile: DMatrix<f64>,
    /// `dF/dpi`: d x m.
    pub map_by_sets: DMatrix<f64>,
    /// `dclick/du`.
    pub click_by_profile: Vec<f64>,
    /// `dharm/du`.
    pub harm_by_profile: Vec<f64>,
    /// `dclick/dpi` at a profile that stays.
    pub click_by_sets: Vec<f64>,
    /// `dharm/dpi` at a profile that stays.
    pub harm_by_sets: Vec<f64>,
}

impl Catalogue {
    /// All derivatives at `profile`, which is stationary under `weights` on `sets`.
    ///
    /// # Errors
    /// [`Error::Shape`] for sets that are not ascending lists of items, weights of another number or below 0; those of
    /// [`Self::check_profile`].
    pub fn sensitivity(&self, profile: &[f64], sets: &[Vec<u32>], weights: &[f64]) -> Result<Sensitivity> {
        let (mixture, mut buffers, mut space) = self.mixed(profile, sets, weights)?;
        let totals = self.map(profile, &mixture, profile, &mut buffers);
        let value = self.value_of(&totals, &buffers);
        let below = self.differentiate_at(&mixture, profile, &totals, &buffers, &mut space);
        let (d, share) = (self.dimension, totals.harmful / totals.all);
        let mut map_by_sets = DMatrix::zeros(d, sets.len());
        let mut click_by_sets = Vec::new();
        for (set, mut column) in sets.iter().zip(map_by_sets.column_iter_mut()) {
            let scores = set.iter().map(|&item| buffers.scores[item as usize]);
            let shown: f64 = scores.clone().sum();
            for (score, item) in scores.zip(set) {
                let pull = self.alpha[*item as usize] * score;
                let toward = self.vector(*item).iter().zip(profile).map(|(v, u)| pull * (v - u));
                column.iter_mut().zip(toward).for_each(|(sum, toward)| *sum += toward);
            }
            let organic = space.pull.iter().map(|pull| pull / totals.all);
            column.iter_mut().zip(organic).for_each(|(sum, organic)| *sum = (*sum + organic) / (below * (1.0 + shown)));
            click_by_sets.push(shown / (1.0 + shown));
        }
        let harm = space.share.iter().zip(&space.click).map(|(h, click)| (1.0 - value.click) * h - share * click);
        Ok(Sensitivity {
            map_by_profile: DMatrix::from_row_slice(d, d, &space.jacobian),
            map_by_sets,
            harm_by_profile: harm.collect(),
            click_by_profile: space.click.clone(),
            harm_by_sets: click_by_sets.iter().map(|click| -share * click).collect(),
            click_by_sets,
        })
    }

    /// The derivative of `figure` by the weight of each set, through the profile, which is stationary. `None` where the profile
    /// does not depend smoothly on the weights.
    ///
    /// # Errors
    /// As [`Self::sensitivity`].
    pub fn gradient(
        &self,
        profile: &[f64],
        sets: &[Vec<u32>],
        weights: &[f64],
        figure: Figure,
    ) -> Result<Option<Vec<f64>>> {
        let (mixture, mut buffers, mut space) = self.mixed(profile, sets, weights)?;
        let totals = self.map(profile, &mixture, profile, &mut buffers);
        let slope = self.slope_at(&mixture, figure, profile, &totals, &buffers, &mut space);
        Ok(slope.map(|slope| sets.iter().map(|set| slope.of_set(set)).collect()))
    }

    /// The derivative of `figure` by the chance of each of `items` to enter on its own, through the profile, which is
    /// stationary. `None` as [`Self::gradient`].
    ///
    /// # Errors
    /// As [`Self::sensitivity`].
    pub fn gradient_by_chances(
        &self,
        profile: &[f64],
        items: &[u32],
        chances: &[f64],
        figure: Figure,
    ) -> Result<Option<Vec<f64>>> {
        self.check_profile(profile)?;
        let lottery = evenhand_core::Lottery::Independent { items: items.to_vec(), chances: chances.to_vec() };
        self.check_lottery(&lottery)?;
        let (mixture, mut buffers, mut space) = (Mixture::new(&lottery), Buffers::new(self), Space::new(self));
        let totals = self.map(profile, &mixture, profile, &mut buffers);
        let slope = self.slope_at(&mixture, figure, profile, &totals, &buffers, &mut space);
        Ok(slope.map(|slope| slope.of_chances(items, chances)))
    }

    fn mixed(&self, profile: &[f64], sets: &[Vec<u32>], weights: &[f64]) -> Result<(Mixture, Buffers, Space)> {
        self.check_profile(profile)?;
        if sets.len() != weights.len() {
            return Err(Error::shape("weights of the sets", sets.len(), weights.len()));
        }
        let mut flat = Sets::default();
        for (set, weight) in sets.iter().zip(weights) {
            evenhand_core::Lottery::certain(set.clone()).check(self.items)?;
            if !(*weight >= 0.0 && weight.is_finite()) {
                return Err(Error::shape("weight of a set", "a finite number from 0", weight));
            }
            flat.push(set, *weight);
        }
        Ok((Mixture::Sets(flat), Buffers::new(self), Space::new(self)))
    }
}
