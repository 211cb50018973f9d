mod repeats;

use super::*;
use crate::linear::{Real, add_gram, cholesky, dot, padded, solve};
use evenhand_core::{Rows, Streams};
use pulp::{Simd, WithSimd};
use rand::RngExt;

/// 30 x 20 ratings of rank 2 with a little noise, duplicates, one user and one item without a row.
fn ratings() -> Interactions {
    let mut rng = Streams::new(5).rng(0);
    let mut rows = Rows::default();
    for _ in 0..260 {
        let (u, i) = (rng.random_range(0..29), rng.random_range(0..19));
        let taste = (f64::from(u) * 0.7).sin() * (f64::from(i) * 1.3).cos();
        rows.push(u, i, (3.0 + 1.5 * taste + 0.1 * rng.random::<f64>()) as f32);
    }
    Interactions::new(30, 20, &rows).unwrap()
}

fn fit(als: &Als, data: &Interactions) -> Factors {
    als.fit(&Training::new(data), &Run::new(1)).unwrap().factors().unwrap().clone()
}

fn rmse(model: &Factors, data: &Interactions) -> f64 {
    let (mut users, mut items, mut values) = (vec![], vec![], vec![]);
    data.iter().for_each(|(u, i, v)| (users.push(u), items.push(i), values.push(v)).0);
    let mut scores = vec![0.0; values.len()];
    model.predict(&users, &items, &mut scores, &Run::new(0)).unwrap();
    evenhand_core::metrics::rmse(&scores, &values).unwrap()
}

struct Linear<T> {
    rows: Vec<T>,
    rank: usize,
}

impl<T: Real> WithSimd for Linear<T> {
    /// Gram matrix and the solution of (rows' rows + 1) x = first row.
    type Output = (Vec<T>, Vec<T>);

    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let width = padded(self.rank);
        let mut gram = vec![T::ZERO; width * width];
        add_gram(simd, &self.rows, width, &mut gram);
        let upper = (0..self.rank).flat_map(|i| (i..self.rank).map(move |j| i * width + j));
        let seen: Vec<T> = upper.map(|at| gram[at]).collect();
        for d in 0..self.rank {
            gram[d * width + d] = gram[d * width + d] + T::ONE;
        }
        let mut b = self.rows[..width].to_vec();
        let mut inverse = vec![T::ZERO; width];
        assert!(cholesky(simd, &mut gram, self.rank, width, &mut inverse));
        solve(simd, &mut gram, self.rank, width, &inverse, &mut b);
        let product = dot(simd, &b, &self.rows[..width]);
        b.push(product);
        (seen, b)
    }
}

fn random_rows<T: Real>(rank: usize, count: usize) -> Vec<T> {
    let mut rng = Streams::new(rank as u64).rng(1);
    let width = padded(rank);
    let mut rows = vec![T::ZERO; width * count];
    for row in rows.chunks_exact_mut(width) {
        row[..rank].iter_mut().for_each(|v| *v = T::of(rng.random::<f64>() - 0.5));
    }
    rows
}

/// Whatever vectors the processor has, the bits are those of scalar arithmetic.
#[test]
fn bits_do_not_depend_on_the_instruction_set() {
    fn same<T: Real>() {
        for rank in [1, 7, 16, 20, 33, 64, 100] {
            let rows = random_rows::<T>(rank, 37);
            let best = pulp::Arch::new().dispatch(Linear { rows: rows.clone(), rank });
            let scalar = Linear { rows: rows.clone(), rank }.with_simd(pulp::Scalar);
            assert_eq!(best, scalar, "rank {rank}");
            #[cfg(target_arch = "x86_64")]
            if let Some(v3) = pulp::x86::V3::try_new() {
                assert_eq!(best, Simd::vectorize(v3, Linear { rows, rank }), "rank {rank}");
            }
        }
    }
    same::<f32>();
    same::<f64>();
}

#[test]
fn equations_are_solved() {
    for rank in [1, 5, 16, 47, 64] {
        let rows = random_rows::<f64>(rank, 90);
        let width = padded(rank);
        let y = DMatrix::from_fn(rank, 90, |i, n| rows[n * width + i]);
        let (_, x) = pulp::Arch::new().dispatch(Linear { rows, rank });
        let a = &y * y.transpose() + DMatrix::identity(rank, rank);
        let expected = a.lu().solve(&y.column(0)).unwrap();
        let worst = expected.iter().zip(&x).map(|(e, x)| (e - x).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-11, "rank {rank}: {worst}");
    }
}

#[test]
fn precisions_and_solvers_agree() {
    let data = ratings();
    for feedback in [FeedbackKind::Explicit, FeedbackKind::Implicit] {
        let exact = Als { factors: 6, feedback, accumulate: Precision::F64, ..Als::default() };
        let reference = fit(&exact, &data);
        let single = fit(&Als { accumulate: Precision::F32, ..exact.clone() }, &data);
        // As many steps as unknowns solve exactly.
        let cg = fit(&Als { solver: Solver::Cg, steps: 12, ..exact.clone() }, &data);
        for (other, bound) in [(single, 2e-3), (cg, 1e-4)] {
            let (a, b) = (reference.users.transpose() * &reference.items, other.users.transpose() * &other.items);
            assert!((a - b).amax() < bound, "{feedback:?}");
        }
    }
}

#[test]
fn loss_falls_with_every_sweep() {
    let data = ratings();
    let loss = |iterations| {
        let als = Als { factors: 4, iterations, biases: false, accumulate: Precision::F64, ..Als::default() };
        let model = fit(&als, &data);
        let squared = rmse(&model, &data).powi(2) * data.len() as f64;
        let norm = |m: &DMatrix<f32>, rows: &Compressed| -> f64 {
            m.column_iter().enumerate().map(|(e, c)| f64::from(c.norm_squared()) * rows.count(e) as f64).sum()
        };
        squared + als.lambda * (norm(&model.users, data.by_user()) + norm(&model.items, data.by_item()))
    };
    let losses: Vec<f64> = (1..8).map(loss).collect();
    assert!(losses.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-6)), "{losses:?}");
}

#[test]
fn biases_are_damped_means_of_what_is_left() {
    let mut rows = Rows::default();
    [(0, 0, 5.0), (0, 1, 3.0), (1, 0, 4.0)].iter().for_each(|&(u, i, v)| rows.push(u, i, v));
    let data = Interactions::new(3, 2, &rows).unwrap();
    let biases = Biases::of(&data, None, 1.0);
    assert_eq!(biases.mean, 4.0);
    // Item 0: (1 + 0) / 3, item 1: -1 / 2; user 0: (1 - 1/3 - 1 + 1/2) / 3, user 1: (0 - 1/3) / 2.
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(&biases.items, &[1.0 / 3.0, -0.5]));
    assert!(close(&biases.users, &[1.0 / 18.0, -1.0 / 6.0, 0.0]));
    // A user without ratings is predicted the mean and the item's bias.
    let model = fit(&Als { factors: 2, damping: 1.0, ..Als::default() }, &data);
    let mut scores = [0.0];
    model.predict(&[2], &[1], &mut scores, &Run::new(0)).unwrap();
    assert!((scores[0] - 3.5).abs() < 1e-6);
}

#[test]
fn a_warm_start_continues_where_it_stopped() {
    let data = ratings();
    let recipe = |iterations| Als { factors: 4, iterations, ..Als::default() };
    let whole = fit(&recipe(5), &data);
    let part = recipe(2).fit(&Training::new(&data), &Run::new(1)).unwrap();
    let rest = recipe(3).refit(&Training::new(&data), part.as_ref(), &Run::new(99)).unwrap();
    // The exact solver needs only the users' factors to go on, and these were kept.
    assert_eq!(whole.users, rest.factors().unwrap().users);
    let wrong = Als { factors: 5, ..recipe(1) }.refit(&Training::new(&data), part.as_ref(), &Run::new(1));
    assert!(wrong.err().unwrap().to_string().starts_with("latent factors of the earlier model: expected 5, got 4"));
}

#[test]
fn a_start_vector_depends_on_seed_and_user_alone() {
    let als = Als { factors: 3, ..Als::default() };
    let few: DMatrix<f64> = als.unit_vectors(2, &Run::new(1));
    let many: DMatrix<f64> = als.unit_vectors(9, &Run::new(1));
    assert_eq!(few.column(1), many.column(1));
    assert!((many.column(8).norm() - 1.0).abs() < 1e-12);
    assert_ne!(few, als.unit_vectors(2, &Run::new(2)));
}

#[test]
fn singular_equations_name_the_remedy() {
    // One rating less than factors: the smallest pivot is nothing but rounding.
    let mut rows = Rows::default();
    (0..7).for_each(|item| rows.push(0, item, 1.0 + item as f32));
    let data = Interactions::new(1, 7, &rows).unwrap();
    for accumulate in [Precision::F32, Precision::F64] {
        for seed in 0..50 {
            let als = Als { lambda: 0.0, factors: 8, biases: false, accumulate, ..Als::default() };
            let partners = random_rows::<f64>(8, 7);
            let y = DMatrix::from_fn(8, 7, |i, n| partners[n * padded(8) + i] + seed as f64 * 1e-3);
            assert!(half_step(&als, data.by_user(), &y, &Run::new(1)).is_err(), "seed {seed}");
            let error = als.fit(&Training::new(&data), &Run::new(seed)).err().unwrap().to_string();
            assert!(error.contains("singular") && error.contains("raise `lambda`"), "{error}");
        }
    }
}

/// Enough rows for many tasks and for several partial sums of the Gram matrix; the failure reported is the first too.
#[test]
fn bits_and_errors_do_not_depend_on_the_number_of_threads() {
    let mut rng = Streams::new(9).rng(0);
    let mut rows = Rows::default();
    for user in 0..9000 {
        // Users from 4,000 on have a single rating: too few for their equations without a ridge.
        let count = if user < 4000 { 12 } else { 1 };
        (0..count).for_each(|_| rows.push(user, rng.random_range(0..300), 1.0));
    }
    let data = Interactions::new(9000, 300, &rows).unwrap();
    let with = |als: &Als, threads| {
        let run = Run::new(1).with_threads(threads).unwrap();
        als.fit(&Training::new(&data), &run).map(|m| m.factors().unwrap().clone()).map_err(|e| e.to_string())
    };
    for solver in [Solver::Cholesky, Solver::Cg] {
        let implicit = FeedbackKind::Implicit;
        let als = Als { factors: 5, feedback: implicit, iterations: 2, solver, ..Als::default() };
        let one = with(&als, 1).unwrap();
        assert!(one == with(&als, 2).unwrap() && one == with(&als, 7).unwrap());
    }
    let als = Als { factors: 2, lambda: 0.0, iterations: 1, biases: false, ..Als::default() };
    let one = with(&als, 1).unwrap_err();
    assert!(one.contains("user 4000 "), "{one}");
    assert!(one == with(&als, 2).unwrap_err() && one == with(&als, 7).unwrap_err());
}

#[test]
fn a_warm_start_takes_new_users_and_no_other_shapes() {
    let data = ratings();
    let part = Als { factors: 4, ..Als::default() }.fit(&Training::new(&data), &Run::new(1)).unwrap();
    let mut rows = Rows::default();
    data.iter().for_each(|(u, i, v)| rows.push(u, i, v));
    let grown = Interactions::new(31, 20, &rows).unwrap();
    // The biases of `part` do not count as latent factors, whatever the kinds of the two models.
    for biases in [true, false] {
        let als = Als { factors: 4, biases, ..Als::default() };
        assert_eq!(als.refit(&Training::new(&grown), part.as_ref(), &Run::new(1)).unwrap().users(), 31);
        let fewer = Interactions::new(29, 20, &Rows::default()).unwrap();
        let error = als.refit(&Training::new(&fewer), part.as_ref(), &Run::new(1)).err().unwrap().to_string();
        assert_eq!(error, "users of the earlier model: expected at most 29, got 30");
    }
}

#[test]
fn noise_free_low_rank_data_is_recovered() {
    let data = ratings();
    let als = Als { factors: 4, lambda: 1e-3, iterations: 40, ..Als::default() };
    assert!(rmse(&fit(&als, &data), &data) < 0.06);
}

/// Stored results depend on these values: a change is a break of every recorded figure.
#[test]
fn seeded_outcomes_are_stable() {
    let als = Als { factors: 3, iterations: 2, ..Als::default() };
    let exact = fit(&als, &ratings());
    let cg = fit(&Als { solver: Solver::Cg, feedback: FeedbackKind::Implicit, ..als }, &ratings());
    let bits = |m: &Factors| [m.users[(0, 0)], m.users[(2, 7)], m.items[(1, 5)]].map(f32::to_bits);
    assert_eq!(bits(&exact), [3176768711, 1058447079, 3196192616]);
    assert_eq!(bits(&cg), [1060850593, 3204755776, 1059607535]);
}
