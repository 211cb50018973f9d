//! The laws of the sums of draws, by their moments and against the draws themselves.

use super::*;
use evenhand_core::Streams;
use nalgebra::DMatrix;
use pulp::{Arch, WithSimd};

/// One update of `own` outside a chain.
pub(in super::super) struct Once<'a> {
    pub(in super::super) evidence: &'a Evidence,
    pub(in super::super) own: &'a mut Gaussian,
    pub(in super::super) other: &'a Gaussian,
    pub(in super::super) value: f64,
    pub(in super::super) rng: &'a mut Rng,
}

impl WithSimd for Once<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { evidence, own, other, value, rng } = self;
        let [mut own_root, mut root] = [(); 2].map(|()| Root::new(evidence.rank));
        root.of(other);
        let mut room = Room::new(evidence.rank);
        let told = evidence.update(simd, (own, &mut own_root), (other, &root), value, rng, &mut room);
        assert_eq!(told, Ok(()));
    }
}

const VALUE: f64 = 1.5;

/// A belief of no special form.
fn other(rank: usize) -> Gaussian {
    let root = DMatrix::from_fn(rank, rank, |i, j| if i == j { 1.5 } else { 0.7 / (1.0 + i as f64 + 2.0 * j as f64) });
    let mean: Vec<f64> = (0..rank).map(|j| 0.4 - 0.2 * j as f64).collect();
    Gaussian::new(&mean, &(&root * root.transpose())).unwrap()
}

fn prior(rank: usize) -> Gaussian {
    Gaussian::isotropic(rank, 0.0, 0.1, &mut Room::new(rank))
}

/// What the prior becomes, again and again.
fn posteriors(rank: usize, samples: usize, sampling: Sampling, count: u64) -> Vec<Gaussian> {
    let evidence = Evidence::of(&BayesianLinear { factors: rank, samples, sampling, ..BayesianLinear::default() });
    let streams = Streams::new(5).child(&format!("{sampling:?}"));
    let (other, prior) = (other(rank), prior(rank));
    let update = |n| {
        let mut own = prior.clone();
        let rng = &mut streams.rng(n);
        Arch::new().dispatch(Once { evidence: &evidence, own: &mut own, other: &other, value: VALUE, rng });
        own
    };
    (0..count).map(update).collect()
}

/// Ten numbers that tell one posterior from another.
fn functionals(belief: &Gaussian) -> [f64; 10] {
    let (mean, precision, covariance) = (belief.mean(), belief.precision(), belief.covariance());
    let last = belief.rank() - 1;
    [
        mean[0],
        mean[last],
        mean.iter().sum(),
        mean.iter().map(|m| m * m).sum(),
        precision.trace(),
        precision[(0, 0)],
        precision[(0, last)],
        precision.determinant().ln(),
        covariance.trace(),
        covariance.sum(),
    ]
}

/// Largest distances between the empirical distributions of each functional.
fn distances(a: &[Gaussian], b: &[Gaussian]) -> [f64; 10] {
    let [a, b] = [a, b].map(|list| list.iter().map(functionals).collect::<Vec<_>>());
    std::array::from_fn(|f| {
        let sorted = |list: &[[f64; 10]]| {
            let mut column: Vec<f64> = list.iter().map(|x| x[f]).collect();
            column.sort_by(f64::total_cmp);
            column
        };
        let (a, b) = (sorted(&a), sorted(&b));
        let share = |list: &[f64], x: f64| list.partition_point(|&y| y <= x) as f64 / list.len() as f64;
        a.iter().chain(&b).map(|&x| (share(&a, x) - share(&b, x)).abs()).fold(0.0, f64::max)
    })
}

/// Kolmogorov and Smirnov's bound for two samples of `count`: where the laws agree, one of all 40 distances below is above
/// theirs in one of 1000 choices of the seed.
fn bound(count: u64) -> f64 {
    let level = 0.001 / 40.0_f64;
    (-(level / 2.0).ln() / 2.0 * 2.0 / count as f64).sqrt()
}

#[test]
fn sums_drawn_at_once_have_the_law_of_rows() {
    for (rank, samples, count) in [(3, 10, 400), (10, 1000, 60), (10, 11, 200), (1, 5, 400)] {
        let rows = posteriors(rank, samples, Sampling::Iid, count);
        let far = distances(&rows, &posteriors(rank, samples, Sampling::Wishart, count));
        assert!(far.iter().all(|&d| d < bound(count)), "d = {rank}, n = {samples}: {far:?}, {}", bound(count));
    }
    // The bound is low enough to tell another law: that of a scatter without noise.
    let far = distances(&posteriors(3, 10, Sampling::Iid, 400), &posteriors(3, 10, Sampling::MeanDraw, 400));
    assert!(far[7] > 2.0 * bound(400), "{far:?}");
}

/// G and s of one update.
struct Sums {
    gram: DMatrix<f64>,
    sum: DMatrix<f64>,
}

/// The sums, from what they did to the prior.
fn sums(posterior: &Gaussian, samples: usize) -> Sums {
    let beta = BayesianLinear::default().tau / samples as f64;
    let rank = posterior.rank();
    let mean = DMatrix::from_column_slice(rank, 1, posterior.mean());
    let natural = posterior.precision() * mean;
    Sums { gram: (posterior.precision() - prior(rank).precision()) / beta, sum: natural / (beta * VALUE) }
}

#[test]
fn sums_have_their_moments() {
    let (rank, samples, count) = (3, 10, 1500);
    let (other, n) = (other(rank), samples as f64);
    let (covariance, mean) = (other.covariance(), DMatrix::from_column_slice(rank, 1, other.mean()));
    for sampling in [Sampling::Iid, Sampling::Wishart, Sampling::MeanDraw] {
        let drawn: Vec<_> = posteriors(rank, samples, sampling, count).iter().map(|p| sums(p, samples)).collect();
        let moments = |of: &dyn Fn(&Sums) -> f64| {
            let mean = drawn.iter().map(of).sum::<f64>() / count as f64;
            (mean, drawn.iter().map(|x| (of(x) - mean).powi(2)).sum::<f64>() / count as f64)
        };
        for i in 0..rank {
            let (s, spread) = moments(&|x| x.sum[i]);
            let variance = n * covariance[(i, i)];
            // Five standard errors; that of the variance of a normal number is its root of 2 / count.
            assert!((s - n * mean[i]).abs() < 5.0 * (variance / count as f64).sqrt(), "{sampling:?}: {s}");
            assert!((spread / variance - 1.0).abs() < 5.0 * (2.0 / count as f64).sqrt(), "{sampling:?}: {spread}");
            for j in 0..rank {
                let (g, spread) = moments(&|x| x.gram[(i, j)]);
                let (a, b, c) = (covariance[(i, i)], covariance[(j, j)], covariance[(i, j)]);
                let expected = n * (c + mean[i] * mean[j]);
                let crossed = mean[i] * mean[i] * b + mean[j] * mean[j] * a + 2.0 * mean[i] * mean[j] * c;
                let variance = n * (a * b + c * c + crossed);
                assert!((g - expected).abs() < 5.0 * (variance / count as f64).sqrt(), "{sampling:?}: {g}, {expected}");
                if sampling != Sampling::MeanDraw {
                    assert!((spread / variance - 1.0).abs() < 0.35, "{sampling:?}: {spread}, {variance}");
                }
            }
        }
    }
}

#[test]
fn few_samples_are_drawn_one_by_one() {
    // n - 1 < d: the scatter has no full rank.
    for (samples, rows) in [(3, true), (4, false)] {
        let recipe = BayesianLinear { factors: 3, samples, ..BayesianLinear::default() };
        assert_eq!(matches!(Evidence::of(&recipe).form, Form::Rows), rows);
    }
    let [a, b] = [Sampling::Iid, Sampling::Wishart].map(|s| {
        let evidence =
            Evidence::of(&BayesianLinear { factors: 3, samples: 3, sampling: s, ..BayesianLinear::default() });
        let (mut own, other) = (prior(3), other(3));
        let rng = &mut Streams::new(1).rng(0);
        Arch::new().dispatch(Once { evidence: &evidence, own: &mut own, other: &other, value: VALUE, rng });
        own
    });
    assert_eq!(a, b);
}
