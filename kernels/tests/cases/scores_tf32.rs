//! Dense scores by three products of TF32: how far they are from exact ones.

use super::Case;
use super::data::{SHAPES, factors};
use evenhand_core::dense::Reference;
use evenhand_core::{Dense, Streams};
use evenhand_kernels::cuda::{Cuda, Options, Precision};
use nalgebra::DMatrix;
use rand::{Rng, RngExt};

pub(crate) const CASES: &[Case] = &[
    ("small_whole_numbers_are_exact", small_whole_numbers_are_exact),
    ("errors_are_within_the_bound", errors_are_within_the_bound),
    ("what_may_not_be_finite_is_single_precision", what_may_not_be_finite_is_single_precision),
];

/// The same device with tensor cores.
fn tensor_cores(cuda: &Cuda) -> Cuda {
    Cuda::open(Options { precision: Precision::Tf32x3, ..*cuda.options() }).unwrap()
}

fn scores(by: &dyn Dense, users: &DMatrix<f32>, items: &DMatrix<f32>) -> DMatrix<f32> {
    let mut out = DMatrix::from_element(2, 3, 5.0);
    let rows: Vec<u32> = (0..users.ncols() as u32).collect();
    by.scores(users, &rows, items, &mut out).unwrap();
    out
}

fn small_whole_numbers_are_exact(cuda: &Cuda) {
    let cuda = tensor_cores(cuda);
    for (rank, users, items) in SHAPES {
        let (users, items) = (factors(rank, users, true, "u"), factors(rank, items, true, "i"));
        assert_eq!(scores(&cuda, &users, &items), scores(&Reference, &users, &items), "{rank} factors");
    }
}

/// Draws a factor.
type Kind = (&'static str, fn(&mut dyn Rng) -> f32);

const KINDS: [Kind; 6] = [
    ("uniform", |rng| rng.random::<f32>() - 0.5),
    ("positive", |rng| 0.5 + rng.random::<f32>()),
    ("of all magnitudes", |rng| {
        let magnitude = 2f32.powi(rng.random_range(-50..=50));
        (rng.random::<f32>() - 0.5) * magnitude
    }),
    // 1 and a bit, whose parts are rounded as far as they can be: half a last bit of 11, and of 11 further ones.
    ("of the longest parts", |rng| {
        let sign = rng.random::<u32>() & 1 << 31;
        f32::from_bits(sign | 127 << 23 | rng.random_range(0..8) << 13 | 0x0fff)
    }),
    ("just below a power of two", |rng| {
        f32::from_bits((126 + rng.random_range(0..3)) << 23 | 0x007f_ffff ^ rng.random_range(0..4))
    }),
    ("next to zero", |rng| f32::from_bits(rng.random_range(0..1u32 << 24) | rng.random::<u32>() & 1 << 31)),
];

fn table(rank: usize, count: usize, kind: &Kind, label: &str) -> DMatrix<f32> {
    let mut rng = Streams::new(3).child(label).child(kind.0).rng((rank * 1000 + count) as u64);
    DMatrix::from_fn(rank, count, |_, _| (kind.1)(&mut rng))
}

fn errors_are_within_the_bound(cuda: &Cuda) {
    let cuda = tensor_cores(cuda);
    for rank in [1, 8, 9, 64, 100] {
        for of_users in &KINDS {
            for of_items in &KINDS {
                let users = table(rank, 20, of_users, "u");
                let mut items = table(rank, 40, of_items, "i");
                // The second half of the factors of some items cancels the first one.
                for mut item in items.column_iter_mut().step_by(2) {
                    for f in rank / 2..rank / 2 * 2 {
                        item[f] = -item[f - rank / 2];
                    }
                }
                let users = if rank == 64 { repeated(&users) } else { users };
                let worst = worst(&users, &items, &scores(&cuda, &users, &items));
                let what = format!("{rank} factors: users {}, items {}", of_users.0, of_items.0);
                println!("{what}: {worst:.3} of the bound");
                assert!(worst <= 1.0, "{what}: {worst} times the bound");
            }
        }
    }
}

/// The first half of the factors again instead of the second one.
fn repeated(users: &DMatrix<f32>) -> DMatrix<f32> {
    DMatrix::from_fn(users.nrows(), users.ncols(), |f, user| users[(f % (users.nrows() / 2), user)])
}

/// The largest error in parts of what the documentation promises.
fn worst(users: &DMatrix<f32>, items: &DMatrix<f32>, got: &DMatrix<f32>) -> f64 {
    let rank = users.nrows() as f64;
    let (unit, smallest) = (2f64.powi(-23), 2f64.powi(-125));
    let mut worst = 0f64;
    for (u, user) in users.column_iter().enumerate() {
        for (i, item) in items.column_iter().enumerate() {
            let (mut exact, mut products, mut parts) = (0.0, 0.0, 0.0);
            for (&u, &v) in user.iter().zip(item.iter()) {
                let (u, v) = (f64::from(u), f64::from(v));
                exact += u * v;
                products += (u * v).abs();
                parts += u.abs() + v.abs() + 2.0;
            }
            let bound = (15.0 + rank / 16.0) * unit * products + smallest * parts;
            worst = worst.max((f64::from(got[(i, u)]) - exact).abs() / bound);
        }
    }
    worst
}

fn what_may_not_be_finite_is_single_precision(cuda: &Cuda) {
    let cuda = tensor_cores(cuda);
    for (of_user, of_item) in
        [(f32::NAN, 1.0), (1.0, f32::INFINITY), (f32::MAX, 1e-30), (-3e38, 1.0), (1e25, 1e25), (0.0, f32::MAX)]
    {
        let (mut users, mut items) = (factors(17, 66, false, "u"), factors(17, 130, false, "i"));
        (users[(16, 65)], items[(0, 129)]) = (of_user, of_item);
        let [got, expected] = [scores(&cuda, &users, &items), scores(&Reference, &users, &items)];
        // Users of another block may have been split.
        let same = |(g, e): (&f32, &f32)| g == e || g.is_nan() && e.is_nan();
        assert!(got.column(65).iter().zip(&expected.column(65)).all(same), "{of_user} and {of_item}");
    }
}
