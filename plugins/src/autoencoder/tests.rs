use super::network::Shape as Sizes;
use super::*;
use evenhand_core::{Dataset, FairnessData, Groups, Interactions, Observer, Rows, Scale, Streams};
use rand::RngExt;
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};

plugin! {
    /// For tests: another loss, of which only the dense form is known.
    struct Opaque: FairnessLoss = "test-opaque" {
        /// The other loss.
        of: Nested<dyn FairnessLoss> = Nested::new("value", &json!({})).unwrap();
        /// Whether it is a mean over items.
        by_item: bool = false;
    }
}

impl FairnessLoss for Opaque {
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

/// Ratings with two groups of users and overlapping groups of items, in no order of the items; one user and one item
/// have no row, one pair has two.
fn data(users: u32, items: u32, scale: Scale) -> Dataset {
    let mut rng = Streams::new(3).rng(0);
    let mut rows = Rows::default();
    for user in 1..users {
        for item in 1..items {
            if rng.random_bool(0.4) {
                let value = if scale == Scale::SIGNED { f32::from(rng.random_range(0..2i8) * 2 - 1) } else { 0.0 };
                rows.push(user, item, if value == 0.0 { f32::from(rng.random_range(1..6i8)) } else { value });
            }
        }
    }
    rows.push(1, 1, scale.high);
    rows.push(1, 1, scale.low);
    let ratings = Interactions::new(users as usize, items as usize, &rows).unwrap();
    let mut data = Dataset::new("test", ratings, scale);
    let every = |n: u32, of: u32, rest: u32| (0..n).filter(|x| x % of == rest).collect::<Vec<_>>();
    let groups = |name, n: u32, lists| Groups::new(name, n as usize, lists).unwrap();
    let sides = vec![("a".into(), every(users, 3, 0)), ("b".into(), (0..users).filter(|u| u % 3 > 0).collect())];
    data.user_groups = vec![groups("side", users, sides)];
    data.item_groups =
        vec![groups("genre", items, vec![("x".into(), every(items, 2, 0)), ("y".into(), every(items, 5, 0))])];
    data
}

fn loss(name: &str, params: Json) -> Option<Nested<dyn FairnessLoss>> {
    Some(Nested::new(name, &params).unwrap())
}

/// From `{ plugin = name, ... }`.
fn written(loss: &Json) -> Option<Nested<dyn FairnessLoss>> {
    Some(serde_json::from_value(loss.clone()).unwrap())
}

fn exact() -> Json {
    json!({ "plugin": "equal-experience", "variant": "exact", "bandwidth": 0.3 })
}

fn small(hidden: &[usize]) -> Autoencoder {
    Autoencoder {
        hidden: hidden.to_vec(),
        dropout: 0.0,
        lambda: 0.4,
        precision: Precision::F64,
        ..Autoencoder::default()
    }
}

fn start(recipe: &Autoencoder, data: &Dataset) -> Vec<Layer> {
    let sizes = Sizes::new(data.ratings.users(), &recipe.hidden);
    sizes.export(&sizes.start::<f64>(&Run::new(5)))
}

fn at(recipe: &Autoencoder, data: &Dataset, layers: &[Layer]) -> Step {
    step(recipe, &Training::of(data, &data.ratings), layers, &Run::new(5)).unwrap()
}

/// Central differences of the objective by every third parameter.
fn check_gradient(what: &str, recipe: &Autoencoder, data: &Dataset) {
    // Outputs around the middle of the scale, so that few are cut off.
    let mut layers = start(recipe, data);
    if data.scale == Scale::FIVE_STARS && recipe.squash == Shape::Auto {
        layers.last_mut().unwrap().biases.add_scalar_mut(0.5);
    }
    let gradient = at(recipe, data, &layers).gradient;
    let largest = gradient.iter().map(|g| g.weights.amax().max(g.biases.amax())).fold(0.0, f64::max);
    assert!(largest > 1e-4, "{what}: nothing to see");
    let mut checked = 0;
    for layer in 0..layers.len() {
        let weights = layers[layer].weights.len();
        for n in (0..weights + layers[layer].biases.len()).step_by(3) {
            let moved = |by: f64| {
                let mut layers = layers.clone();
                let to = &mut layers[layer];
                *(if n < weights { &mut to.weights[n] } else { &mut to.biases[n - weights] }) += by;
                at(recipe, data, &layers).loss
            };
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let got = if n < weights { gradient[layer].weights[n] } else { gradient[layer].biases[n - weights] };
            assert!((got - difference).abs() < 2e-6 * largest.max(1.0), "{what}: {layer}, {n}: {got}, {difference}");
            checked += 1;
        }
    }
    assert!(checked > 20);
}

#[test]
fn gradients_are_those_of_the_objective() {
    let stars = data(9, 12, Scale::FIVE_STARS);
    let likes = data(9, 12, Scale::SIGNED);
    for hidden in [&[5][..], &[17, 4], &[4, 3, 5]] {
        for activation in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            let recipe = Autoencoder { activation, l2: 0.3, ..small(hidden) };
            check_gradient("accuracy", &recipe, &stars);
            check_gradient("accuracy of likes", &recipe, &likes);
        }
    }
    for activation in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
        // The same units are dropped in every first step.
        check_gradient("dropout", &Autoencoder { activation, dropout: 0.4, ..small(&[6, 7]) }, &stars);
    }
    let recipe = Autoencoder { missing: Missing::Seed, squash: Shape::None, ..small(&[6, 5]) };
    check_gradient("missing as -0.25", &recipe, &stars);
    for (name, fairness) in [
        ("classes of both sides", written(&exact())),
        ("a class for each item", loss("value", json!({}))),
        ("training rows", loss("non-parity", json!({}))),
        ("dense form", loss("test-opaque", json!({ "of": exact() }))),
    ] {
        check_gradient(name, &Autoencoder { fairness: fairness.clone(), ..small(&[6, 5]) }, &stars);
        let recipe = Autoencoder { fairness, activation: Activation::Tanh, l2: 0.1, ..small(&[5]) };
        check_gradient(&format!("{name}, likes"), &recipe, &likes);
    }
}

/// More items than a block, several tasks in each.
#[test]
fn all_forms_of_a_loss_agree() {
    let data = data(37, 2 * complete::BLOCK as u32 + 70, Scale::FIVE_STARS);
    let mut layers = start(&small(&[6]), &data);
    layers[1].biases.add_scalar_mut(0.5);
    let run = |fairness| at(&Autoencoder { fairness, ..small(&[6]) }, &data, &layers);
    for (name, by_item) in [(exact(), &[false][..]), (json!("value"), &[false, true])] {
        let expected = run(written(&name));
        for by_item in by_item {
            let got = run(loss("test-opaque", json!({ "of": name, "by_item": by_item })));
            assert!((got.loss - expected.loss).abs() < 1e-12 * expected.loss.abs(), "{name}");
            assert!((got.accuracy - expected.accuracy).abs() < 1e-12);
            for (got, expected) in got.gradient.iter().zip(&expected.gradient) {
                assert!((&got.weights - &expected.weights).amax() < 1e-12 && expected.weights.amax() > 1e-6, "{name}");
                assert!((&got.biases - &expected.biases).amax() < 1e-12 && expected.biases.amax() > 1e-6, "{name}");
            }
        }
    }
}

fn fitted(recipe: &Autoencoder, data: &Dataset, run: &Run) -> (DMatrix<f32>, DMatrix<f32>) {
    let model = recipe.fit(&Training::of(data, &data.ratings), run).unwrap();
    let factors = model.factors().unwrap();
    (factors.users.clone(), factors.items.clone())
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let data = data(90, complete::BLOCK as u32 + 140, Scale::FIVE_STARS);
    for precision in [Precision::F32, Precision::F64] {
        for fairness in [None, loss("equal-experience", json!({ "bandwidth": 0.3 })), loss("value", json!({}))] {
            let recipe =
                Autoencoder { fairness, precision, dropout: 0.5, epochs: 3, early_stop: Some(2), ..small(&[20, 33]) };
            let run = |threads| fitted(&recipe, &data, &Run::new(4).with_threads(threads).unwrap());
            let one = run(1);
            assert!(one == run(2) && one == run(7), "{recipe:?}");
            assert!(one != fitted(&recipe, &data, &Run::new(5)), "another seed, another model");
        }
    }
}

#[test]
fn the_model_scores_what_the_network_predicts() {
    for scale in [Scale::FIVE_STARS, Scale::SIGNED] {
        let data = data(9, 12, scale);
        let fairness = loss("equal-experience", json!({}));
        let recipe = Autoencoder { learning_rate: 0.0, epochs: 1, dropout: 0.9, fairness, ..small(&[6, 5]) };
        let run = Run::new(5);
        let model = recipe.fit(&Training::of(&data, &data.ratings), &run).unwrap();
        let mut scores = DMatrix::zeros(0, 0);
        model.score(&(0..9).collect::<Vec<_>>(), &mut scores, &run).unwrap();
        let expected = at(&small(&[6, 5]), &data, &start(&recipe, &data)).predictions;
        assert!((scores.cast::<f64>() - &expected).amax() < 1e-6);
        assert!(
            expected.amax() > 0.0
                && (model.output(), model.kind()) == (evenhand_core::Output::Rating, "squashed-factors")
        );
    }
}

#[derive(Default)]
struct Figures(Mutex<Vec<(usize, String, f64)>>);

impl Observer for Figures {
    fn figure(&self, step: usize, name: &str, value: f64) {
        self.0.lock().unwrap().push((step, name.into(), value));
    }
}

/// The curve of that name.
fn curve(recipe: &Autoencoder, data: &Dataset, name: &str) -> Vec<f64> {
    let figures = Arc::new(Figures::default());
    let run = Run::new(5).with_observer(figures.clone());
    recipe.fit(&Training::of(data, &data.ratings), &run).unwrap();
    let all = figures.0.lock().unwrap();
    let curve: Vec<_> = all.iter().filter(|f| f.1 == name).collect();
    assert!(curve.iter().enumerate().all(|(n, f)| f.0 == n), "one point for every epoch");
    curve.iter().map(|f| f.2).collect()
}

#[test]
fn training_makes_the_objective_small() {
    let data = data(20, 15, Scale::FIVE_STARS);
    let plain = Autoencoder { learning_rate: 0.01, epochs: 200, ..small(&[16, 16]) };
    let errors = curve(&plain, &data, "rmse-train");
    assert!(errors.len() == 200 && errors[199] < 0.5 * errors[0], "{} to {}", errors[0], errors[199]);
    let fair = Autoencoder { fairness: loss("value", json!({})), lambda: 0.9, ..plain };
    let unfair = curve(&Autoencoder { lambda: 0.0, ..fair.clone() }, &data, "fairness");
    let fair = curve(&fair, &data, "fairness");
    assert!(fair[199] < 0.5 * unfair[199], "{} and {}", fair[199], unfair[199]);
}

#[test]
fn dropout_keeps_the_mean_and_is_drawn_anew() {
    let order: Vec<u32> = (0..50).collect();
    let draw = |epoch| {
        let mut kept = vec![0.0f64; 50 * 40];
        pass::drop_out(0.7, &order, epoch, &Run::new(1), &mut kept, 40);
        kept
    };
    let (first, second) = (draw(0), draw(1));
    assert!(first.iter().all(|&k| k == 0.0 || (k - 1.0 / 0.3).abs() < 1e-12));
    let mean = first.iter().sum::<f64>() / 2000.0;
    assert!((mean - 1.0).abs() < 0.15, "{mean}");
    assert!(first != second && first == draw(0));
    // Another order of the items draws the same for each.
    let mut turned = vec![0.0f64; 50 * 40];
    pass::drop_out(0.7, &order.iter().rev().copied().collect::<Vec<_>>(), 0, &Run::new(1), &mut turned, 40);
    assert!(turned[..40] == first[49 * 40..]);
}

#[test]
fn stops_early_and_returns_to_the_best_epoch() {
    let data = data(30, 20, Scale::FIVE_STARS);
    // The ratings are noise: nothing to be learned beyond the means.
    let recipe = Autoencoder { learning_rate: 0.02, epochs: 300, early_stop: Some(5), ..small(&[16]) };
    let errors = curve(&recipe, &data, "rmse-held-out");
    let best = errors.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert!(errors.len() < 200 && best + 6 == errors.len(), "best at {best} of {}", errors.len());
    let short = Autoencoder { epochs: best + 1, ..recipe.clone() };
    assert_eq!(fitted(&recipe, &data, &Run::new(5)), fitted(&short, &data, &Run::new(5)));
    let nothing = Autoencoder { holdout: 0.0, ..recipe };
    let refused = nothing.fit(&Training::of(&data, &data.ratings), &Run::new(5)).err().expect("a refusal");
    assert!(matches!(refused, Error::Unusable(_)));
}

#[test]
fn running_away_is_an_error_with_the_epoch() {
    let data = data(9, 12, Scale::FIVE_STARS);
    for precision in [Precision::F32, Precision::F64] {
        let recipe = Autoencoder { learning_rate: 1e200, squash: Shape::None, precision, epochs: 9, ..small(&[6, 5]) };
        let error = recipe.fit(&Training::of(&data, &data.ratings), &Run::new(5)).err().expect("an error");
        assert!(matches!(error, Error::Diverged { step: Some(epoch), .. } if epoch < 9), "{error}");
    }
}

#[test]
fn bad_sizes_are_refused() {
    let data = data(9, 12, Scale::FIVE_STARS);
    let train = Training::of(&data, &data.ratings);
    let none = Autoencoder { hidden: vec![], ..Autoencoder::default() };
    let said = none.fit(&train, &Run::new(0)).err().expect("a refusal").to_string();
    assert_eq!(said, "`autoencoder`: parameter `hidden` = [], expected at least one layer");
    let layers = start(&small(&[6, 5]), &data);
    let said = |hidden: &[usize]| step(&small(hidden), &train, &layers, &Run::new(0)).unwrap_err().to_string();
    assert_eq!(said(&[6]), "layers of the network: expected 2, got 3");
    assert_eq!(said(&[6, 4]), "weights of a layer: expected 4 x 6, 4 biases, got 5 x 6, 5 biases");
}

/// One user, one item, one unit; users or items on either side of a whole number of lanes, strips and blocks.
#[test]
fn any_size_will_do() {
    let block = complete::BLOCK as u32;
    for (users, items) in [(1u32, 2u32), (2, 1), (15, 17), (33, 16), (3, block), (3, block + 1)] {
        let mut rows = Rows::default();
        rows.push(users - 1, 0, 5.0);
        rows.push(users - 1, 0, 1.0);
        (0..users / 2).for_each(|u| rows.push(u, u * 7 % items, 2.0));
        let ratings = Interactions::new(users as usize, items as usize, &rows).unwrap();
        let mut data = Dataset::new("x", ratings, Scale::FIVE_STARS);
        let some = |n: u32| vec![("some".to_string(), (0..n).step_by(2).collect::<Vec<_>>())];
        data.user_groups = vec![Groups::new("u", users as usize, some(users)).unwrap()];
        data.item_groups = vec![Groups::new("i", items as usize, some(items)).unwrap()];
        let mut names = vec![];
        if users > 1 {
            names.extend([("value", true), ("value-unfairness", false)]);
        }
        if items > 1 {
            names.push(("item-group", false));
        }
        let mut layers = start(&small(&[1]), &data);
        layers[1].biases.add_scalar_mut(0.5);
        for (name, by_item) in names {
            let run = |fairness| at(&Autoencoder { fairness, ..small(&[1]) }, &data, &layers);
            let expected = run(loss("test-opaque", json!({ "of": name, "by_item": false })));
            for other in [loss(name, json!({})), loss("test-opaque", json!({ "of": name, "by_item": by_item }))] {
                let got = run(other);
                assert!((got.loss - expected.loss).abs() < 1e-12, "{name} {users} x {items}");
                for (got, expected) in got.gradient.iter().zip(&expected.gradient) {
                    assert!((&got.weights - &expected.weights).amax() < 1e-12, "{name} {users} x {items}");
                    assert!((&got.biases - &expected.biases).amax() < 1e-12, "{name} {users} x {items}");
                }
            }
        }
    }
}
