//! Passes over all cells: sums over classes and gradients, against the same in double precision.

use super::Case;
use evenhand_core::dense::{CellPasses, CellProblem, Dense};
use evenhand_core::fairness::{Classes, Exceedance, Pointwise, Tail};
use evenhand_core::{Groups, Interactions, Rows, Squash, Streams};
use evenhand_kernels::cuda::{Cuda, Options};
use nalgebra::DMatrix;
use rand::RngExt;

pub(crate) const CASES: &[Case] = &[
    ("every_form_of_a_cell", every_form_of_a_cell),
    ("ragged_sizes_and_ranks", ragged_sizes_and_ranks),
    ("classes_from_one_to_each", classes_from_one_to_each),
    ("classes_of_more_columns_than_threads", classes_of_more_columns_than_threads),
    ("far_from_the_threshold_only_rows_count", far_from_the_threshold_only_rows_count),
    ("what_is_not_finite_comes_through", what_is_not_finite_comes_through),
    ("little_memory_is_enough_or_refused", little_memory_is_enough_or_refused),
    ("what_does_not_fit_is_refused", what_does_not_fit_is_refused),
];

pub(super) const STARS: Squash = Squash::Clamp { low: 0.0, high: 5.0, scale: 1.0, shift: 0.0 };
pub(super) const SHIFTED: Squash = Squash::Clamp { low: -1.0, high: 1.5, scale: 2.0, shift: 0.25 };

fn exceedance(tau: f64, bandwidth: f64, tail: Tail) -> Pointwise {
    Pointwise::Exceedance(Exceedance { tau, bandwidth, tail })
}

/// The three formulas of a cell, near what is predicted with that squash.
pub(super) fn forms(squash: Squash) -> [Pointwise; 3] {
    let (tau, bandwidth) = if squash == STARS { (3.0, 0.01) } else { (0.25, 0.1) };
    let [exponential, gaussian] = [Tail::Exponential, Tail::Gaussian].map(|tail| exceedance(tau, bandwidth, tail));
    [exponential, gaussian, Pointwise::Score]
}

/// How many classes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Split {
    Into(usize),
    Each,
}

impl Split {
    fn classes(self, entities: usize) -> Classes {
        match self {
            Self::Each => Classes::each(entities),
            Self::Into(1) => Classes::one(entities),
            // The rest is a class too: of sizes that differ, in no order.
            Self::Into(count) => {
                let member = |n: u32, group: usize| (n * 7 + n / 5) as usize % (2 * count) == group;
                let list = |group| (0..entities as u32).filter(|&n| member(n, group)).collect();
                let lists = (1..count).map(|group| (format!("g{group}"), list(group))).collect();
                Classes::by_membership(&Groups::new("g", entities, lists).unwrap()).0
            }
        }
    }
}

/// A problem with factors.
pub(super) struct World {
    rank: usize,
    width: usize,
    train: Interactions,
    squash: Squash,
    of: Pointwise,
    classes: [Classes; 2],
    factors: [Vec<f32>; 2],
}

impl World {
    /// Products about zero, as far up as a clamp goes; one of them at the threshold, some far away. Every fifth user
    /// and the last item have no training row; rows of one cell stand there twice.
    pub(super) fn new(rank: usize, counts: [usize; 2], squash: Squash, of: Pointwise, splits: [Split; 2]) -> Self {
        let mut rng = Streams::new(11).child("cells").rng((rank * 1_000_000 + counts[0] * 1000 + counts[1]) as u64);
        let spread = if squash == STARS { 2.5 } else { 0.8 };
        let reach = (3.0 * spread / (rank as f32).sqrt()).sqrt();
        // Numbers after the factors mean nothing.
        let width = rank + 3;
        let mut factors = counts.map(|count| -> Vec<f32> {
            let number = |n| if n % width < rank { rng.random_range(-reach..reach) } else { f32::NAN };
            (0..count * width).map(number).collect()
        });
        let at = match (of, squash) {
            (Pointwise::Exceedance(e), Squash::Clamp { scale, shift, .. }) => (e.tau - shift) / scale,
            (Pointwise::Exceedance(e), _) => e.tau,
            (Pointwise::Score, _) => 0.0,
        };
        for (factors, first) in factors.iter_mut().zip([2.0, at as f32 / 2.0]) {
            factors[..rank].fill(0.0);
            factors[0] = first;
        }
        if counts[0] > 1 {
            factors[0][width..width + rank].iter_mut().for_each(|f| *f *= 40.0);
        }
        let mut rows = Rows::default();
        for user in (0..counts[0] as u32).filter(|user| user % 5 != 3) {
            for item in (0..counts[1].max(2) as u32 - 1).filter(|item| (user * 3 + item * item) % 11 < 2) {
                rows.push(user, item, rng.random_range(1..=5) as f32);
            }
        }
        rows.push(0, 0, 4.0);
        rows.push(0, 0, 1.0);
        let train = Interactions::new(counts[0], counts[1], &rows).unwrap();
        let classes = [splits[0].classes(counts[0]), splits[1].classes(counts[1])];
        Self { rank, width, train, squash, of, classes, factors }
    }

    fn problem(&self) -> CellProblem<'_> {
        CellProblem {
            rank: self.rank,
            width: self.width,
            train: &self.train,
            squash: self.squash,
            of: self.of,
            users: &self.classes[0],
            items: &self.classes[1],
        }
    }

    fn counts(&self) -> [usize; 2] {
        [self.train.users(), self.train.items()]
    }

    fn row(&self, side: usize, entity: usize) -> &[f32] {
        &self.factors[side][entity * self.width..][..self.rank]
    }

    /// The product, in single precision as everywhere.
    fn product(&self, user: usize, item: usize) -> f32 {
        self.row(0, user).iter().zip(self.row(1, item)).fold(0.0, |sum, (u, i)| f32::mul_add(*u, *i, sum))
    }

    fn coefficients(&self) -> DMatrix<f64> {
        DMatrix::from_fn(self.classes[0].len(), self.classes[1].len(), |a, b| {
            0.01 * (((a * 3 + b * 5) % 7) as f64 - 2.5)
        })
    }

    /// How far f and what flows back may be off for one cell: by exponentials, and by what y is rounded to.
    fn slack(&self, z: f64) -> [f64; 2] {
        let peak = match self.of {
            Pointwise::Score => 1.0,
            Pointwise::Exceedance(e) => 0.4 / e.bandwidth,
        };
        let rounding = 4.0 * f64::from(f32::EPSILON) * (1.0 + z.abs().min(5.0)) * peak;
        let jump = match self.of {
            // Rounding carries a prediction near the threshold across the jump there, but not one at it.
            Pointwise::Exceedance(e) if e.tail == Tail::Exponential => {
                let off = (self.squash.value(z) - e.tau).abs();
                if off < 1e-6 && (off > 0.0 || self.squash == Squash::Tanh) { 0.4 } else { 0.0 }
            }
            _ => 0.0,
        };
        let scale = if self.of == Pointwise::Score { 1.0 + z.abs() } else { 1.0 };
        let slope = if let Squash::Clamp { scale, .. } = self.squash { scale } else { 1.0 };
        [1e-6 * scale + rounding + jump, 7.0 * peak * slope * (1e-6 + rounding)]
    }

    /// Sums over classes, and how far those of the device may be off.
    fn sums(&self) -> [DMatrix<f64>; 2] {
        let zeros = DMatrix::zeros(self.classes[0].len(), self.classes[1].len());
        let [mut sums, mut off] = [zeros.clone(), zeros];
        for (user, &a) in self.classes[0].of().iter().enumerate() {
            for (item, &b) in self.classes[1].of().iter().enumerate() {
                let z = f64::from(self.product(user, item));
                let (term, pair) = (self.of.value(self.squash.value(z)), (a as usize, b as usize));
                sums[pair] += term;
                off[pair] += self.slack(z)[0] + term.abs() / f64::from(1 << 16);
            }
        }
        [sums, off]
    }

    /// The gradient of both sides, how far it may be off, and the sum of squared errors.
    fn gradient(&self, coefficients: &DMatrix<f64>, accuracy: f64) -> ([Vec<f64>; 2], [Vec<f64>; 2], f64) {
        let zeros = || [0, 1].map(|side| vec![0.0; self.factors[side].len()]);
        let (mut gradient, mut off, mut squares) = (zeros(), zeros(), 0.0);
        let counts = self.counts();
        let long = counts.map(|_| counts[0].max(counts[1]) as f64 / f64::from(1 << 29))[0];
        let relative = 1.0 / f64::from(1 << 16) + long;
        let mut flow = |user: usize, item: usize, flow: f64, absolute: f64, slack: f64| {
            for (side, entity, other) in [(0, user, self.row(1, item)), (1, item, self.row(0, user))] {
                for (f, &other) in other.iter().enumerate() {
                    let at = entity * self.width + f;
                    gradient[side][at] += flow * f64::from(other);
                    off[side][at] += (slack + relative * absolute) * f64::from(other).abs();
                }
            }
        };
        for (user, &a) in self.classes[0].of().iter().enumerate() {
            for (item, &b) in self.classes[1].of().iter().enumerate() {
                let z = f64::from(self.product(user, item));
                let c = coefficients[(a as usize, b as usize)];
                let pull = c * self.of.slope(self.squash.value(z)) * self.squash.slope(z);
                flow(user, item, pull, pull.abs(), c.abs() * self.slack(z)[1]);
            }
        }
        for (user, item, value) in self.train.iter() {
            let z = f64::from(self.product(user as usize, item as usize));
            let (y, value) = (self.squash.value(z), f64::from(value));
            squares += (y - value).powi(2);
            let slope = 2.0 * accuracy * self.squash.slope(z);
            let absolute = slope.abs() * (y.abs() + value.abs());
            flow(user as usize, item as usize, slope * (y - value), absolute, 0.0);
        }
        (gradient, off, squares)
    }

    /// Compares what `passes` compute with the definition, twice.
    pub(super) fn check(&self, passes: &mut dyn CellPasses) {
        let what = format!(
            "{} factors, {:?} users and items, {:?}, {:?}, {:?} classes",
            self.rank,
            self.counts(),
            self.squash,
            self.of,
            self.classes.each_ref().map(Classes::len)
        );
        let [sums, off] = self.sums();
        let coefficients = self.coefficients();
        let accuracy = 0.02;
        let (gradient, off_gradient, squares) = self.gradient(&coefficients, accuracy);
        let mut bits: Option<Vec<u64>> = None;
        for _ in 0..2 {
            let got = passes.sums(&self.factors[0], &self.factors[1]).unwrap();
            for (at, (sum, off)) in sums.iter().zip(off.iter()).enumerate() {
                assert!((got[at] - sum).abs() <= *off, "{what}: sum {at} is {}, expected {sum} +- {off:e}", got[at]);
            }
            // A gradient is added to what is there.
            let mut to = [0, 1].map(|side| vec![1.0f32; self.factors[side].len()]);
            let [users, items] = &mut to;
            let got_squares = passes.add_gradient(&coefficients, accuracy, users, items).unwrap();
            assert!((got_squares - squares).abs() <= 1e-5 * squares, "{what}: {got_squares}, expected {squares}");
            for side in 0..2 {
                for (at, &got) in to[side].iter().enumerate() {
                    let expected = 1.0 + gradient[side][at];
                    let off = off_gradient[side][at] + 2.0 * f64::from(f32::EPSILON) * (1.0 + expected.abs());
                    let found = (f64::from(got) - expected).abs();
                    assert!(found <= off, "{what}: side {side}, {at}: {got}, expected {expected} +- {off:e}");
                }
            }
            let singles = to.iter().flatten().map(|x| u64::from(x.to_bits()));
            let all: Vec<u64> = singles.chain(got.iter().chain([&got_squares]).map(|x| x.to_bits())).collect();
            assert!(bits.is_none_or(|bits| bits == all), "{what}: other bits the second time");
            bits = Some(all);
        }
    }

    /// Compares with the definition what is finite, and what is not.
    fn check_what_is_not_finite(&self, passes: &mut dyn CellPasses, factors: &str) {
        let what = format!("{:?}, {:?}, {factors}", self.squash, self.of);
        let [sums, off] = self.sums();
        let got = passes.sums(&self.factors[0], &self.factors[1]).unwrap();
        for (at, (sum, off)) in sums.iter().zip(off.iter()).enumerate() {
            assert_eq!(got[at].is_finite(), sum.is_finite(), "{what}: sum {at} is {}, expected {sum}", got[at]);
            let same = !sum.is_finite() || (got[at] - sum).abs() <= *off;
            assert!(same, "{what}: sum {at} is {}, expected {sum} +- {off:e}", got[at]);
        }
        let coefficients = self.coefficients();
        let (gradient, _, squares) = self.gradient(&coefficients, 0.02);
        let mut to = [0, 1].map(|side| vec![0.0f32; self.factors[side].len()]);
        let [users, items] = &mut to;
        let got_squares = passes.add_gradient(&coefficients, 0.02, users, items).unwrap();
        assert_eq!(got_squares.is_finite(), squares.is_finite(), "{what}: {got_squares}, expected {squares}");
        for side in 0..2 {
            for (at, (&got, &expected)) in to[side].iter().zip(&gradient[side]).enumerate() {
                let (entity, factor) = (at / self.width, at % self.width);
                // What belongs to factors that are not finite need not be finite, nor what is too large for it.
                let sound = self.row(side, entity).iter().all(|f| f.is_finite()) && expected.abs() < 1e37;
                let fine = if expected.is_finite() { got.is_finite() || !sound } else { !got.is_finite() };
                let message = format!("{what}: side {side}, {entity}, factor {factor}: {got}, expected {expected}");
                assert!(fine || factor >= self.rank, "{message}");
            }
        }
    }
}

/// Passes of a world on the device.
pub(super) fn offered(cuda: &Cuda, world: &World) -> Box<dyn CellPasses> {
    cuda.cell_passes(&world.problem()).unwrap().expect("no work is too little, and memory is enough")
}

fn every_form_of_a_cell(cuda: &Cuda) {
    for squash in [Squash::None, Squash::Tanh, STARS, SHIFTED] {
        for of in forms(squash) {
            let world = World::new(5, [70, 67], squash, of, [Split::Into(2), Split::Into(2)]);
            world.check(&mut *offered(cuda, &world));
        }
    }
}

fn ragged_sizes_and_ranks(cuda: &Cuda) {
    let of = exceedance(0.25, 0.1, Tail::Gaussian);
    for (rank, counts) in [
        (1, [1, 1]),
        (1, [65, 3]),
        (16, [64, 128]),
        (16, [129, 63]),
        (17, [3, 130]),
        (64, [128, 64]),
        (65, [65, 64]),
        (130, [63, 66]),
        (1030, [3, 66]),
    ] {
        let world = World::new(rank, counts, SHIFTED, of, [Split::Into(1), Split::Into(1)]);
        let mut passes = offered(cuda, &world);
        // Other factors leave nothing behind.
        let others = world.factors.each_ref().map(|factors| factors.iter().map(|f| f + 1.0).collect::<Vec<f32>>());
        passes.sums(&others[0], &others[1]).unwrap();
        world.check(&mut *passes);
    }
}

fn classes_from_one_to_each(cuda: &Cuda) {
    let of = exceedance(0.25, 0.3, Tail::Exponential);
    for (counts, splits) in [
        ([280, 70], [Split::Into(1), Split::Into(3)]),
        ([150, 90], [Split::Into(3), Split::Into(5)]),
        ([130, 131], [Split::Each, Split::Into(2)]),
        ([70, 270], [Split::Into(2), Split::Each]),
        ([66, 65], [Split::Each, Split::Each]),
    ] {
        let world = World::new(3, counts, Squash::Tanh, of, splits);
        world.check(&mut *offered(cuda, &world));
    }
}

fn classes_of_more_columns_than_threads(cuda: &Cuda) {
    let world = World::new(1, [270, 260], Squash::None, Pointwise::Score, [Split::Into(1), Split::Into(1)]);
    world.check(&mut *offered(cuda, &world));
}

/// Where nothing flows back for fairness, tiles without a training row are skipped.
fn far_from_the_threshold_only_rows_count(cuda: &Cuda) {
    for rows in [&[(1, 2, 1.0), (199, 80, 5.0), (199, 80, 3.0), (130, 0, 2.0)][..], &[]] {
        let of = exceedance(1000.0, 0.01, Tail::Exponential);
        let mut world = World::new(4, [200, 81], Squash::None, of, [Split::Into(2), Split::Into(1)]);
        world.factors[0][..4].fill(0.5);
        world.factors[1][..4].fill(0.5);
        let mut train = Rows::default();
        rows.iter().for_each(|&(user, item, value)| train.push(user, item, value));
        world.train = Interactions::new(200, 81, &train).unwrap();
        world.check(&mut *offered(cuda, &world));
    }
}

/// As far as it does in double precision, of the same products: sums and gradients show it to the trainer.
fn what_is_not_finite_comes_through(cuda: &Cuda) {
    let (nan, infinite, most) = (f32::NAN, f32::INFINITY, f32::MAX);
    for squash in [Squash::None, Squash::Tanh, STARS] {
        let far = exceedance(1000.0, 0.01, Tail::Exponential);
        let near = [exceedance(0.25, 0.1, Tail::Exponential), exceedance(0.25, 0.1, Tail::Gaussian)];
        for of in [far, near[0], near[1], Pointwise::Score] {
            // The first two factors of a user and of an item; infinity less infinity where both are
            // finite but too large.
            for [user, item] in [
                [[nan, 0.5], [0.5, 0.5]],
                [[0.5, 0.5], [0.5, nan]],
                [[infinite, 0.5], [0.0, 0.5]],
                [[0.5, 0.5], [-infinite, 0.5]],
                [[most, most], [most, -most]],
            ] {
                let (counts, split) = if of == far { ([70, 130], Split::Into(1)) } else { ([70, 67], Split::Into(2)) };
                let mut world = World::new(2, counts, squash, of, [Split::Into(2), split]);
                let (last, width) = (counts[1] - 1, world.width);
                world.factors[0][66 * width..][..2].copy_from_slice(&user);
                world.factors[1][last * width..][..2].copy_from_slice(&item);
                // No row of theirs that would show it by itself. Far from the threshold none at all: tiles with one, or
                // with fewer items than they have room for, are never skipped.
                let mut rows = Rows::default();
                let stays = |row: &(u32, u32, f32)| of != far && row.0 != 66 && row.1 as usize != last;
                world.train.iter().filter(stays).for_each(|(u, i, r)| rows.push(u, i, r));
                world.train = Interactions::new(counts[0], counts[1], &rows).unwrap();
                world.check_what_is_not_finite(&mut *offered(cuda, &world), &format!("{user:?} and {item:?}"));
            }
        }
    }
}

/// With less memory there are fewer blocks, each of which goes through many tiles.
fn little_memory_is_enough_or_refused(cuda: &Cuda) {
    let of = exceedance(0.25, 0.1, Tail::Exponential);
    let world = World::new(2, [1300, 70], SHIFTED, of, [Split::Into(1), Split::Into(2)]);
    world.check(&mut *offered(cuda, &world));
    let open = |memory| Cuda::open(Options { memory: Some(memory), least_work: 0, ..Options::default() }).unwrap();
    let passes = |memory| open(memory).cell_passes(&world.problem());
    let (mut too_little, mut enough) = (0, 4 << 20);
    while enough - too_little > 1 {
        let memory = usize::midpoint(too_little, enough);
        *if passes(memory).is_ok() { &mut enough } else { &mut too_little } = memory;
    }
    world.check(&mut *passes(enough).expect("enough memory").expect("no work is too little"));
    let refused = passes(too_little).err().expect("too little").to_string();
    assert!(refused.ends_with("out of memory: 1 MiB are needed at a time"), "{refused}");
    assert!(enough > 200_000, "more than the factors was needed");
    let cuda = Cuda::open(Options { least_work: 1 << 20, ..Options::default() }).unwrap();
    assert!(cuda.cell_passes(&world.problem()).unwrap().is_none(), "5 x 1300 x 70 x 2 is little work");
}

fn what_does_not_fit_is_refused(cuda: &Cuda) {
    let world = World::new(3, [5, 4], Squash::None, Pointwise::Score, [Split::Into(1), Split::Into(2)]);
    let one = Classes::one(4);
    let refused = |problem: CellProblem<'_>| cuda.cell_passes(&problem).err().expect("a misfit").to_string();
    assert_eq!(refused(CellProblem { users: &one, ..world.problem() }), "entities with a class: expected 5, got 4");
    assert_eq!(
        refused(CellProblem { width: 2, ..world.problem() }),
        "width of a row of factors: expected at least 3, got 2"
    );
    let mut passes = offered(cuda, &world);
    let [users, items] = &world.factors;
    let error = passes.sums(&users[1..], items).unwrap_err().to_string();
    assert_eq!(error, "factors of users: expected 30, got 29");
    let mut to = [users.clone(), items.clone()];
    let [users, items] = &mut to;
    let error = passes.add_gradient(&DMatrix::zeros(2, 1), 1.0, users, items).unwrap_err().to_string();
    assert_eq!(error, "coefficients: expected 1 x 2, got 2 x 1");
    let error = passes.add_gradient(&DMatrix::zeros(1, 2), 1.0, users, &mut items[1..]).unwrap_err().to_string();
    assert_eq!(error, "factors of items: expected 24, got 23");
    // Nothing to pass over, or nothing to multiply.
    assert!(cuda.cell_passes(&CellProblem { rank: 0, ..world.problem() }).unwrap().is_none());
    for counts in [[0, 4], [5, 0]] {
        let train = Interactions::new(counts[0], counts[1], &Rows::default()).unwrap();
        let [users, items] = counts.map(Classes::one);
        let empty = CellProblem { train: &train, users: &users, items: &items, ..world.problem() };
        assert!(cuda.cell_passes(&empty).unwrap().is_none());
    }
}
