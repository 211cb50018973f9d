use super::*;
use crate::biased_ratings::BiasedRatings;
use evenhand_core::fairness::{CellSums, Classes, Pointwise, Streamed};
use evenhand_core::{Dataset, Error, Observer, Rows, Simulator};
use serde_json::json;
use std::sync::{Arc, Mutex};

type Loss = Nested<dyn FairnessLoss>;

fn loss(name: &str) -> Loss {
    Loss::new(name, &json!({})).unwrap()
}

plugin! {
    /// For tests: another loss without its streamed form.
    struct Plain: FairnessLoss = "test-plain" {
        /// The other loss.
        of: Loss = loss("equal-experience");
        /// Whether to say that it is a mean over items.
        by_item: bool = false;
    }
}

impl FairnessLoss for Plain {
    fn evaluate(
        &self,
        scores: &DMatrix<f64>,
        data: &FairnessData<'_>,
        gradient: &mut DMatrix<f64>,
        run: &Run,
    ) -> Result<f64> {
        self.of.evaluate(scores, data, gradient, run)
    }

    fn mean_over_items(&self) -> bool {
        self.by_item
    }
}

/// Ragged: several strips, blocks and tiles, none of them full; two groups each, one item in three in none.
fn world() -> Dataset {
    let recipe = BiasedRatings { users: 150, items: 140, r: 0.3, s: 0.2, test_share: 0.0, ..BiasedRatings::default() };
    let mut data = recipe.open(&Run::new(3)).unwrap().dataset().unwrap();
    let group = |n: u32| (0..140).filter(|i| i % 3 == n).collect();
    let lists = vec![("a".into(), group(0)), ("b".into(), group(1))];
    data.item_groups = vec![evenhand_core::Groups::new("letter", 140, lists).unwrap()];
    data
}

/// Factors with products about the threshold 0.
fn factors(rank: usize, data: &Dataset) -> [DMatrix<f64>; 2] {
    let streams = Run::new(5).streams;
    let side = |stream, count| {
        let mut rng = streams.rng(stream);
        DMatrix::from_fn(rank, count, |_, _| rng.random_range(-0.4..0.4))
    };
    [side(0, data.ratings.users()), side(1, data.ratings.items())]
}

fn objective<'a>(data: &'a Dataset, loss: &'a dyn FairnessLoss, squash: Squash) -> Objective<'a> {
    let train = Training::of(data, &data.ratings);
    Objective {
        train: &data.ratings,
        squash,
        l2: 0.01,
        accuracy: 0.3,
        biases: true,
        fairness: Some((loss, train.fairness(), 0.7)),
    }
}

const STARS: Squash = Squash::Clamp { low: -0.3, high: 0.8, scale: 2.0, shift: 0.1 };

fn near(what: &str, got: &[DMatrix<f64>; 2], expected: &[DMatrix<f64>; 2], tolerance: f64) {
    for (got, expected) in got.iter().zip(expected) {
        let off = (got - expected).amax() / expected.amax();
        assert!(off <= tolerance, "{what}: off by {off:e} of the largest entry");
    }
}

/// Every way to compute a loss: by class sums over tiles, by sums of factors, at the training rows, all predictions at
/// once, some items at a time; in double and in single precision.
#[test]
fn all_ways_to_a_gradient_agree() {
    let (data, run) = (world(), Run::new(0).with_threads(2).unwrap());
    for name in ["equal-experience", "user-group", "item-group", "value", "value-unfairness"] {
        let streamed = loss(name);
        let plain = Plain { of: loss(name), by_item: false };
        let parts = Plain { of: loss(name), by_item: streamed.mean_over_items() };
        for squash in [Squash::Tanh, Squash::None, STARS] {
            let at = |loss: &dyn FairnessLoss, precision| {
                gradient(objective(&data, loss, squash), factors(7, &data), precision, &run).unwrap()
            };
            let (terms, expected) = at(&plain, Precision::F64);
            assert!(terms.fairness > 0.0 && terms.error > 0.0, "{name}: {terms:?}");
            let double: [&dyn FairnessLoss; 2] = [&*streamed, &parts];
            for loss in double {
                let (other, got) = at(loss, Precision::F64);
                near(&format!("{name} {squash:?}"), &got, &expected, 1e-12);
                let off = (other.total - terms.total).abs().max((other.error - terms.error).abs());
                assert!(off < 1e-12, "{name} {squash:?}: {other:?}, {terms:?}");
            }
            let (_, got) = at(&*streamed, Precision::F32);
            // A sign flips where a difference in single precision is on the other side of 0.
            if name != "value" || squash == Squash::None {
                near(&format!("{name} {squash:?} f32"), &got, &expected, 1e-4);
            }
        }
    }
}

#[test]
fn gradients_are_central_differences() {
    let (data, run) = (world(), Run::new(0));
    let losses = [
        Loss::new("equal-experience", &json!({ "variant": "exact", "bandwidth": 0.2 })).unwrap(),
        loss("value"),
        loss("value-unfairness"),
    ];
    for loss in &losses {
        for squash in [Squash::Tanh, Squash::None, STARS] {
            let objective = objective(&data, &**loss, squash);
            let total = |at: [DMatrix<f64>; 2]| gradient(objective, at, Precision::F64, &run).unwrap().0.total;
            let start = factors(5, &data);
            let (_, slopes) = gradient(objective, start.clone(), Precision::F64, &run).unwrap();
            let largest = slopes[0].amax().max(slopes[1].amax());
            let mut compared = 0;
            for side in 0..2 {
                for entry in (0..start[side].len()).step_by(37) {
                    let (f, _) = start[side].vector_to_matrix_index(entry);
                    if (side, f) == (0, 4) || (side, f) == (1, 3) {
                        // The ones that belong to the biases stay as they are.
                        assert_eq!(slopes[side][entry], 0.0);
                        continue;
                    }
                    let step = |by: f64| {
                        let mut at = start.clone();
                        at[side][entry] += by;
                        total(at)
                    };
                    let [ahead, behind] =
                        [(step(1e-6) - total(start.clone())) / 1e-6, (total(start.clone()) - step(-1e-6)) / 1e-6];
                    // A kink between the points: an absolute value or the end of a clamp.
                    if (ahead - behind).abs() > 1e-4 * largest {
                        continue;
                    }
                    let difference = 0.5 * (ahead + behind);
                    let name = loss.name();
                    assert!(
                        (difference - slopes[side][entry]).abs() < 1e-4 * largest,
                        "{name} {squash:?} {side} {entry}"
                    );
                    compared += 1;
                }
            }
            assert!(compared > 15, "{}: {compared} entries compared", loss.name());
        }
    }
}

fn fit(mf: &Mf, data: &Dataset, run: &Run) -> Result<Squashed> {
    let model = mf.fit(&Training::of(data, &data.ratings), run)?;
    let any: Box<dyn std::any::Any> = model;
    Ok(*any.downcast().expect("the model of `mf`"))
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let data = world();
    for (fairness, precision) in [
        (None, Precision::F32),
        (Some(loss("equal-experience")), Precision::F32),
        (Some(loss("value")), Precision::F32),
        (Some(loss("non-parity")), Precision::F64),
        (Some(loss("test-plain")), Precision::F32),
    ] {
        let mf = Mf { fairness, precision, epochs: 5, learning_rate: 0.05, ..Mf::default() };
        let on = |threads| fit(&mf, &data, &Run::new(1).with_threads(threads).unwrap()).unwrap();
        let one = on(1);
        assert_eq!(one, on(2), "{mf:?}");
        assert_eq!(one, on(7), "{mf:?}");
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<(usize, String, f64)>>, Mutex<Vec<String>>);

impl Observer for Notes {
    fn figure(&self, step: usize, name: &str, value: f64) {
        self.0.lock().unwrap().push((step, name.into(), value));
    }

    fn note(&self, text: &str) {
        self.1.lock().unwrap().push(text.into());
    }
}

#[test]
fn training_goes_down_and_is_reported() {
    let (data, notes) = (world(), Arc::new(Notes::default()));
    let mf = Mf { epochs: 60, learning_rate: 0.02, fairness: Some(loss("test-plain")), lambda: 0.5, ..Mf::default() };
    fit(&mf, &data, &Run::new(1).with_observer(notes.clone())).unwrap();
    let figures = notes.0.lock().unwrap();
    let curve = |name: &str| figures.iter().filter(|(_, n, _)| n == name).map(|f| f.2).collect::<Vec<_>>();
    let (error, fairness, objective) = (curve("rmse-train"), curve("fairness"), curve("objective"));
    assert_eq!((error.len(), fairness.len(), objective.len()), (60, 60, 60));
    assert!(error[59] < 0.8 * error[0] && objective[59] < 0.8 * objective[0]);
    for n in 0..60 {
        assert!((objective[n] - 0.5 * (error[n].powi(2) + fairness[n])).abs() < 1e-12);
    }
    let said = notes.1.lock().unwrap();
    assert_eq!(
        said[..],
        [
            "fairness loss `test-plain` sees all predictions of 140 items x 150 users at once: needs 1 MB with their gradient"
        ]
    );
}

#[test]
fn a_threshold_beside_the_ratings_is_told() {
    let data = world();
    let told = |params| {
        let notes = Arc::new(Notes::default());
        let fairness = Some(Loss::new("item-group", &params).unwrap());
        fit(&Mf { epochs: 1, fairness, ..Mf::default() }, &data, &Run::new(1).with_observer(notes.clone())).unwrap();
        notes.1.lock().unwrap().clone()
    };
    let beside = "fairness loss `item-group`: threshold 3 lies outside of the ratings, -1 to 1: all or none are above it, and \
                  the loss may do nothing";
    assert_eq!(told(json!({ "threshold": 3.0 })), [beside]);
    assert_eq!(told(json!({})), [""; 0]);
    assert_eq!(told(json!({ "threshold": 1.0 })).len(), 1);
}

#[test]
fn early_stopping_returns_to_the_best_epoch() {
    let (data, notes) = (world(), Arc::new(Notes::default()));
    let mf = Mf { epochs: 500, learning_rate: 0.05, rank: 30, early_stop: Some(5), ..Mf::default() };
    fit(&mf, &data, &Run::new(1).with_observer(notes.clone())).unwrap();
    let figures = notes.0.lock().unwrap();
    let curve: Vec<f64> = figures.iter().filter(|f| f.1 == "rmse-held-out").map(|f| f.2).collect();
    assert!(curve.len() > 10 && curve.len() < 500, "{} epochs", curve.len());
    let best = curve.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(curve[curve.len() - 6], best);
    // With as many epochs as the best one needs, the same model.
    let stopped = fit(&mf, &data, &Run::new(1)).unwrap();
    let short = Mf { epochs: curve.len() - 5, ..mf };
    assert_eq!(stopped, fit(&short, &data, &Run::new(1)).unwrap());
}

#[test]
fn biases_are_factors_that_start_at_the_mean() {
    let mut rows = Rows::default();
    (0..30).for_each(|n| rows.push(n % 5, n % 6, 2.0 + (n % 3) as f32));
    let ratings = evenhand_core::Interactions::new(5, 6, &rows).unwrap();
    let data = Dataset::new("x", ratings, Scale::FIVE_STARS);
    let mf = Mf { epochs: 1, learning_rate: 0.0, biases: true, rank: 3, ..Mf::default() };
    let model = fit(&mf, &data, &Run::new(1)).unwrap();
    assert_eq!((model.factors.latent, model.factors.rank()), (3, 5));
    assert!((0..5).all(|u| model.factors.users[(3, u)] == 3.0 && model.factors.users[(4, u)] == 1.0));
    assert!((0..6).all(|i| model.factors.items[(3, i)] == 1.0 && model.factors.items[(4, i)] == 0.0));
    let trained = fit(&Mf { epochs: 300, learning_rate: 0.01, ..mf }, &data, &Run::new(1)).unwrap();
    assert!((0..5).all(|u| trained.factors.users[(4, u)] == 1.0 && trained.factors.users[(3, u)] != 3.0));
}

#[test]
fn divergence_names_the_epoch_and_missing_groups_are_named() {
    let data = world();
    let wild = Mf { learning_rate: 1e30, squash: Shape::None, epochs: 9, ..Mf::default() };
    let error = fit(&wild, &data, &Run::new(1)).unwrap_err();
    assert!(matches!(error, Error::Diverged { step: Some(1..4), .. }), "{error}");
    let mut bare = Dataset { item_groups: Vec::new(), ..world() };
    let fair = Mf { fairness: Some(loss("equal-experience")), ..Mf::default() };
    let say = |data: &Dataset| fit(&fair, data, &Run::new(1)).unwrap_err().to_string();
    assert_eq!(say(&bare), "data: the fairness loss needs groups of items, and there are none");
    let lists = vec![("some".into(), vec![1, 2]), ("nobody".into(), vec![])];
    bare.item_groups = vec![evenhand_core::Groups::new("letter", 140, lists).unwrap()];
    assert_eq!(say(&bare), "data: group `letter`/`nobody` of items has no member");
}

/// One user, one item, one factor, parts of tiles, entities without a row, a pair with two.
#[test]
fn any_size_will_do() {
    let run = Run::new(0).with_threads(2).unwrap();
    for (users, items) in [(1u32, 2u32), (2, 1), (3, 64), (64, 65), (65, 63), (130, 257)] {
        let mut rows = Rows::default();
        rows.push(users - 1, 0, 1.0);
        rows.push(users - 1, 0, -1.0);
        (0..users / 2).for_each(|u| rows.push(u, u * 7 % items, 1.0 - 2.0 * (u % 2) as f32));
        let ratings = Interactions::new(users as usize, items as usize, &rows).unwrap();
        let mut data = Dataset::new("x", ratings, Scale::SIGNED);
        let some = |n: u32| vec![("some".to_string(), (0..n).step_by(2).collect::<Vec<_>>())];
        data.user_groups = vec![evenhand_core::Groups::new("u", users as usize, some(users)).unwrap()];
        data.item_groups = vec![evenhand_core::Groups::new("i", items as usize, some(items)).unwrap()];
        let mut names = vec![];
        if users > 1 {
            names.extend(["value", "value-unfairness", "user-group"]);
        }
        if items > 1 {
            names.push("item-group");
        }
        for name in names {
            for squash in [Squash::Tanh, Squash::None] {
                let at = |loss: &dyn FairnessLoss| {
                    let objective = Objective { biases: false, ..objective(&data, loss, squash) };
                    gradient(objective, factors(1, &data), Precision::F64, &run).unwrap()
                };
                let streamed = loss(name);
                let (terms, expected) = at(&Plain { of: loss(name), by_item: false });
                let parts = Plain { of: loss(name), by_item: streamed.mean_over_items() };
                let double: [&dyn FairnessLoss; 2] = [&*streamed, &parts];
                for loss in double {
                    let (other, got) = at(loss);
                    near(&format!("{name} {users} x {items}"), &got, &expected, 1e-12);
                    assert!((other.total - terms.total).abs() < 1e-12, "{name}: {other:?}, {terms:?}");
                }
            }
        }
    }
}

plugin! {
    /// For tests: a loss whose classes are those of a single user and a single item.
    struct Narrow: FairnessLoss = "test-narrow" {}
}

impl FairnessLoss for Narrow {
    fn evaluate(
        &self,
        scores: &DMatrix<f64>,
        data: &FairnessData<'_>,
        gradient: &mut DMatrix<f64>,
        _: &Run,
    ) -> Result<f64> {
        self.streamed(data)?.expect("as below").evaluate(scores, data, gradient)
    }

    fn streamed<'a>(&'a self, _: &FairnessData<'a>) -> Result<Option<Streamed<'a>>> {
        let outer = Box::new(|sums: &DMatrix<f64>| (sums.sum(), DMatrix::from_element(1, 1, 1.0)));
        let (users, items) = (Classes::one(1), Classes::one(1));
        Ok(Some(Streamed::Cells(CellSums { users, items, of: Pointwise::Score, outer })))
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (data, other, run, fair) = (world(), world(), Run::new(0), loss("value-unfairness"));
    let few = other.ratings.select(&vec![false; other.ratings.len() - 1].into_iter().chain([true]).collect::<Vec<_>>());
    let few = few.unwrap();
    let plain = objective(&data, &*fair, Squash::Tanh);
    let say = |objective: Objective<'_>, rank| {
        gradient(objective, factors(rank, &data), Precision::F64, &run).unwrap_err().to_string()
    };
    let narrow = loss("test-narrow");
    let expected = "classes of the fairness loss: expected 150 users, 140 items, got 1 users, 1 items";
    assert_eq!(say(objective(&data, &*narrow, Squash::Tanh), 3), expected);
    assert_eq!(say(plain, 1), "rank of factors with biases: expected at least 2, got 1");
    let (loss, of_loss, weight) = plain.fairness.unwrap();
    let beside = FairnessData { train: &few, ..of_loss };
    let rows = data.ratings.len();
    let expected = format!(
        "training rows of the fairness loss: expected {rows} of 150 users, 140 items, got 1 of 150 users, 140 items"
    );
    assert_eq!(say(Objective { fairness: Some((loss, beside, weight)), ..plain }, 3), expected);
}

#[test]
fn factors_beyond_single_precision_are_an_error() {
    let wild = Mf { learning_rate: 1e39, epochs: 1, precision: Precision::F64, ..Mf::default() };
    let error = fit(&wild, &world(), &Run::new(1)).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    // So large a gradient that its square overflows: nothing would ever move.
    let stuck = Mf { l2: 1e25, epochs: 3, ..Mf::default() };
    let error = fit(&stuck, &world(), &Run::new(1)).unwrap_err();
    assert!(matches!(error, Error::Diverged { step: Some(0), .. }), "{error}");
    let data = world();
    let waits = Mf { early_stop: Some(0), ..Mf::default() };
    assert!(matches!(fit(&waits, &data, &Run::new(1)), Err(Error::OutOfRange { .. })));
}
