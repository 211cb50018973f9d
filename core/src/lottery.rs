//! Lotteries: distributions over sets of items, from which a policy draws what it shows to a user.

use crate::{Error, Result, Rng};
use rand::RngExt;

/// A distribution over sets of items. Sets are ascending lists of distinct items.
#[derive(Clone, Debug, PartialEq)]
pub enum Lottery {
    /// Some sets, with the probability of each.
    Sets {
        /// The sets.
        sets: Vec<Vec<u32>>,
        /// Probability of each set; they add up to 1.
        weights: Vec<f64>,
    },
    /// Every set of that size with the same probability.
    Uniform {
        /// The items that sets are made of, ascending.
        items: Vec<u32>,
        /// Items of a set, at most as many as there are.
        size: usize,
    },
    /// Every item enters the set independently of the others.
    Independent {
        /// The items that may enter, ascending.
        items: Vec<u32>,
        /// Probability of each, aligned with `items`.
        chances: Vec<f64>,
    },
}

/// By how much weights may miss 1.
const ROUNDING: f64 = 1e-9;

impl Lottery {
    /// The one set, for certain.
    pub fn certain(set: Vec<u32>) -> Self {
        Self::Sets { sets: vec![set], weights: vec![1.0] }
    }

    /// The share that each distinct set has among some that were drawn, in the order of their first draw.
    ///
    /// Items may be in any order.
    pub fn drawn<'a>(draws: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut counts: Vec<(Vec<u32>, usize)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut total = 0;
        for draw in draws {
            let mut set = draw.to_vec();
            set.sort_unstable();
            let at = *places.entry(set.clone()).or_insert_with(|| {
                counts.push((set, 0));
                counts.len() - 1
            });
            counts[at].1 += 1;
            total += 1;
        }
        let (sets, weights) = counts.into_iter().map(|(set, n)| (set, n as f64 / f64::from(total))).unzip();
        Self::Sets { sets, weights }
    }

    /// Checks that sets are of distinct items below `items`, ascending, and that probabilities are such.
    ///
    /// # Errors
    /// [`Error::Shape`] saying what is wrong.
    pub fn check(&self, items: usize) -> Result<()> {
        let ascending = |set: &[u32]| {
            let orderly = set.windows(2).all(|pair| pair[0] < pair[1]);
            if orderly && set.last().is_none_or(|&item| (item as usize) < items) {
                return Ok(());
            }
            Err(Error::shape("items of a set", format!("distinct ones below {items}, ascending"), format!("{set:?}")))
        };
        let chances = |values: &[f64], count: usize| {
            if values.len() != count {
                return Err(Error::shape("probabilities of a lottery", count, values.len()));
            }
            match values.iter().find(|p| !(0.0..=1.0 + ROUNDING).contains(*p)) {
                Some(p) => Err(Error::shape("probability in a lottery", "0 to 1", p)),
                None => Ok(()),
            }
        };
        match self {
            Self::Sets { sets, weights } => {
                sets.iter().try_for_each(|set| ascending(set))?;
                chances(weights, sets.len())?;
                let total: f64 = weights.iter().sum();
                if (total - 1.0).abs() > ROUNDING {
                    return Err(Error::shape("sum of the probabilities of a lottery", 1, total));
                }
                Ok(())
            }
            Self::Uniform { items: from, size } => {
                ascending(from)?;
                if *size > from.len() {
                    return Err(Error::shape("items of a set", format!("at most {}", from.len()), size));
                }
                Ok(())
            }
            Self::Independent { items: from, chances: values } => {
                ascending(from)?;
                chances(values, from.len())
            }
        }
    }

    /// The probability that `item` is in the set.
    pub fn inclusion(&self, item: u32) -> f64 {
        match self {
            Self::Sets { sets, weights } => {
                let with = sets.iter().zip(weights).filter(|(set, _)| set.binary_search(&item).is_ok());
                with.map(|(_, weight)| weight).sum()
            }
            Self::Uniform { items, size } => match items.binary_search(&item) {
                Ok(_) => *size as f64 / items.len() as f64,
                Err(_) => 0.0,
            },
            Self::Independent { items, chances } => items.binary_search(&item).map_or(0.0, |at| chances[at]),
        }
    }

    /// The mean number of items of a set.
    pub fn mean_size(&self) -> f64 {
        match self {
            Self::Sets { sets, weights } => sets.iter().zip(weights).map(|(set, w)| set.len() as f64 * w).sum(),
            Self::Uniform { size, .. } => *size as f64,
            Self::Independent { chances, .. } => chances.iter().sum(),
        }
    }

    /// The probability of `set`, which is ascending.
    pub fn probability(&self, set: &[u32]) -> f64 {
        match self {
            Self::Sets { sets, weights } => sets.iter().zip(weights).filter(|(s, _)| *s == set).map(|(_, w)| w).sum(),
            Self::Uniform { items, size } => {
                let fits = set.len() == *size && set.iter().all(|item| items.binary_search(item).is_ok());
                // One over the number of sets, factor by factor.
                let ways = (0..*size).map(|n| (n + 1) as f64 / (items.len() - n) as f64);
                if fits { ways.product() } else { 0.0 }
            }
            Self::Independent { items, chances } => {
                if set.iter().any(|item| items.binary_search(item).is_err()) {
                    return 0.0;
                }
                let each = items.iter().zip(chances);
                each.map(|(item, p)| if set.binary_search(item).is_ok() { *p } else { 1.0 - p }).product()
            }
        }
    }

    /// Draws a set, ascending.
    pub fn draw(&self, rng: &mut Rng) -> Vec<u32> {
        match self {
            Self::Sets { sets, weights } => {
                let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
                let hit = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                // Rounding may leave a crumb behind the last one.
                let last = || weights.iter().rposition(|&w| w > 0.0);
                hit.or_else(last).map_or_else(Vec::new, |at| sets[at].clone())
            }
            Self::Uniform { items, size } => {
                let mut set = rand::seq::index::sample(rng, items.len(), *size).into_vec();
                set.sort_unstable();
                set.into_iter().map(|at| items[at]).collect()
            }
            Self::Independent { items, chances } => {
                let enters = |&(_, chance): &(&u32, &f64)| rng.random::<f64>() < *chance;
                items.iter().zip(chances).filter(enters).map(|(&item, _)| item).collect()
            }
        }
    }
}

/// A lottery that was solved for, and what is known about how good it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The lottery.
    pub lottery: Lottery,
    /// Of a policy that optimises.
    pub certificate: Option<Certificate>,
}

/// What an optimiser says of its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate {
    /// The Frank-Wolfe gap: the largest first-order gain of moving towards any other lottery, in units of the objective. 0
    /// at a local maximum of a smooth objective.
    pub gap: f64,
    /// Number of lotteries whose objective was computed.
    pub evaluations: usize,
    /// Whether the search ended by itself, not by running out of steps.
    pub converged: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Streams;

    fn three() -> [Lottery; 3] {
        [
            Lottery::Sets { sets: vec![vec![1, 3], vec![], vec![0]], weights: vec![0.5, 0.2, 0.3] },
            Lottery::Uniform { items: vec![0, 2, 5], size: 2 },
            Lottery::Independent { items: vec![1, 2], chances: vec![0.25, 1.0] },
        ]
    }

    #[test]
    fn chances_by_hand() {
        let [sets, uniform, independent] = three();
        assert_eq!([0, 1, 2, 3].map(|item| sets.inclusion(item)), [0.3, 0.5, 0.0, 0.5]);
        assert_eq!((sets.probability(&[]), sets.probability(&[3])), (0.2, 0.0));
        assert_eq!([0, 1, 5].map(|item| uniform.inclusion(item)), [2.0 / 3.0, 0.0, 2.0 / 3.0]);
        assert!((uniform.probability(&[0, 5]) - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!((uniform.probability(&[0]), uniform.probability(&[0, 1])), (0.0, 0.0));
        assert_eq!((independent.probability(&[2]), independent.probability(&[1, 2])), (0.75, 0.25));
        assert_eq!((independent.probability(&[1]), independent.probability(&[0, 2])), (0.0, 0.0));
        assert_eq!(three().map(|lottery| lottery.mean_size()), [1.3, 2.0, 1.25]);
        assert!(three().iter().all(|lottery| lottery.check(6).is_ok()));
    }

    #[test]
    fn sets_are_drawn_as_often_as_they_should_be() {
        for lottery in three() {
            let mut rng = Streams::new(3).rng(0);
            let draws: Vec<Vec<u32>> = (0..4000).map(|_| lottery.draw(&mut rng)).collect();
            let Lottery::Sets { sets, weights } = Lottery::drawn(draws.iter().map(Vec::as_slice)) else { panic!() };
            for (set, share) in sets.iter().zip(weights) {
                let p = lottery.probability(set);
                // Five standard errors.
                assert!((share - p).abs() <= 5.0 * (p * (1.0 - p) / 4000.0).sqrt(), "{set:?}: {share}, expected {p}");
            }
        }
        let one = Lottery::drawn([&[2, 1][..], &[1, 2]]);
        assert_eq!(one, Lottery::certain(vec![1, 2]));
    }

    #[test]
    fn what_is_no_lottery_is_refused() {
        let sets = |sets: &[&[u32]], weights: &[f64]| Lottery::Sets {
            sets: sets.iter().map(|s| s.to_vec()).collect(),
            weights: weights.to_vec(),
        };
        for (lottery, expected) in [
            (sets(&[&[1, 0]], &[1.0]), "items of a set: expected distinct ones below 3, ascending, got [1, 0]"),
            (sets(&[&[0, 0]], &[1.0]), "items of a set: expected distinct ones below 3, ascending, got [0, 0]"),
            (sets(&[&[3]], &[1.0]), "items of a set: expected distinct ones below 3, ascending, got [3]"),
            (sets(&[&[1]], &[0.5]), "sum of the probabilities of a lottery: expected 1, got 0.5"),
            (sets(&[&[1], &[0]], &[-0.5, 1.5]), "probability in a lottery: expected 0 to 1, got -0.5"),
            (sets(&[&[1]], &[]), "probabilities of a lottery: expected 1, got 0"),
            (Lottery::Uniform { items: vec![0, 1], size: 3 }, "items of a set: expected at most 2, got 3"),
            (
                Lottery::Independent { items: vec![0], chances: vec![f64::NAN] },
                "probability in a lottery: expected 0 to 1, got NaN",
            ),
        ] {
            assert_eq!(lottery.check(3).unwrap_err().to_string(), expected);
        }
    }
}
