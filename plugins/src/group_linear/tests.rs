use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn on(threads: usize, seed: u64) -> Run {
    Run::new(seed).with_threads(threads).unwrap()
}

fn open(recipe: &GroupLinear, seed: u64) -> GroupData {
    recipe.open(&on(1, seed)).unwrap().table().unwrap()
}

fn small() -> GroupLinear {
    GroupLinear { samples: 2500, features: 3, ..Default::default() }
}

#[test]
fn the_table_is_what_was_drawn() {
    let recipe = small();
    let data = open(&recipe, 1);
    let drawn = recipe.draw(&on(1, 1)).unwrap();
    assert_eq!(data.table, drawn.clone().into_table().unwrap());
    assert_eq!((data.name.as_str(), data.label.as_str()), ("group-linear", "y_mean_active"));
    assert_eq!(data.table.feature_names(), ["x_0", "x_1", "x_2"]);
    let groups = ["SHAPE=circle", "SHAPE=square", "SHAPE=triangle", "COLOR=green", "COLOR=red"];
    assert_eq!(data.table.groups(), groups);
    assert_eq!(data.labels, scaled(&drawn.labels(Aggregation::Mean, Over::Active).unwrap()));
    let raw = open(&GroupLinear { scaled: false, label: Aggregation::Permutation, over: Over::All, ..recipe }, 1);
    assert_eq!(raw.label, "y_permutation_all");
    assert_eq!(raw.labels, drawn.labels_of(drawn.order[0]), "of all groups the first one in the order dominates");
    let mut order = drawn.order.clone();
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

/// More rows than one task takes, so that there are several.
#[test]
fn the_same_bits_on_any_threads_and_another_world_for_another_seed() {
    let recipe = GroupLinear { quadratic: true, ..small() };
    let drawn = recipe.draw(&on(1, 3)).unwrap();
    for threads in [2, 7] {
        assert_eq!(recipe.draw(&on(threads, 3)).unwrap(), drawn);
    }
    let other = recipe.draw(&on(1, 4)).unwrap();
    assert!(other.features != drawn.features && other.membership != drawn.membership && other.rule != drawn.rule);
}

/// A part that is left out, or more rows, changes no number of another part.
#[test]
fn parts_are_drawn_independently() {
    let both = GroupLinear { quadratic: true, ..small() }.draw(&on(1, 5)).unwrap();
    let linear = GroupLinear { samples: 30, noise: 0.0, ..small() }.draw(&on(1, 5)).unwrap();
    assert_eq!(both.features.columns(0, 30), linear.features);
    assert_eq!(both.membership.columns(0, 30), linear.membership);
    assert_eq!((both.rule.weights, &both.order), (linear.rule.weights, &linear.order));
    let quadratic = GroupLinear { linear: false, quadratic: true, ..small() }.draw(&on(1, 5)).unwrap();
    assert_eq!((quadratic.rule.weights, quadratic.rule.quadratic), (None, both.rule.quadratic));
    let noise = GroupLinear { linear: false, ..small() }.draw(&on(1, 5)).unwrap();
    let mean = noise.group_labels.mean();
    // Four standard errors of 12,500 numbers.
    assert!(mean.abs() < 4.0 * 0.16 / 12500f64.sqrt(), "{mean}");
}

/// Without noise a label in a group is what its rule says; equal ends of a range leave one number.
#[test]
fn labels_follow_the_rules() {
    let recipe = GroupLinear {
        samples: 4,
        features: 2,
        attributes: vec!["A: a 1, b 0".into()],
        feature_low: 2.0,
        feature_high: 2.0,
        weight_low: 3.0,
        weight_high: 3.0,
        quadratic: true,
        quadratic_low: -1.0,
        quadratic_high: -1.0,
        noise: 0.0,
        scaled: false,
        ..Default::default()
    };
    let data = open(&recipe, 0);
    // 2 * 3 + 2 * 3 - 4 * (2 * 2)
    assert_eq!(data.labels, [-4.0; 4]);
    assert_eq!((data.table.members(0).len(), data.table.members(1).len()), (4, 0));
    assert_eq!(open(&GroupLinear { scaled: true, ..recipe }, 0).labels, [0.0; 4]);
}

#[test]
fn what_can_not_work_is_refused() {
    let say = |change: fn(&mut GroupLinear)| {
        let mut recipe = small();
        change(&mut recipe);
        let error = recipe.open(&Run::new(0)).err().expect("a refusal").to_string();
        error.strip_prefix("`group-linear`: parameter ").expect("plugin and parameter are named").to_string()
    };
    assert_eq!(say(|r| r.feature_low = 2.0), "`feature_low` = 2, expected at most feature_high = 1");
    assert_eq!(say(|r| r.weight_high = -0.5), "`weight_low` = 0, expected at most weight_high = -0.5");
    assert_eq!(say(|r| r.quadratic_low = 1.5), "`quadratic_low` = 1.5, expected at most quadratic_high = 1");
    let nothing = say(|r| (r.linear, r.noise) = (false, 0.0));
    assert_eq!(nothing, "`linear` = false, expected true where quadratic = false and noise = 0: all labels would be 0");
    assert_eq!(say(|r| r.samples = 0), "`samples` = 0, expected 1..");
    assert_eq!(say(|r| r.noise = -1.0), "`noise` = -1, expected 0.0..=1e50");
    assert_eq!(say(|r| r.attributes.clear()), "`attributes` = [], expected at least one attribute");
    let huge = "`samples` = 1099511627776, expected at most 536870911 with features = 3 and 5 groups";
    assert_eq!(say(|r| r.samples = 1 << 40), huge);
    assert_eq!(
        say(|r| r.features = usize::MAX),
        format!("`features` = {}, expected at most 858993459 with 5 groups", usize::MAX)
    );
    let squares = say(|r| (r.features, r.quadratic) = (1 << 20, true));
    assert_eq!(squares, "`features` = 1048576, expected at most 29308 with 5 groups and quadratic = true");
}

#[test]
fn it_stops_where_asked_to() {
    let run = Run::new(0).with_cancel(Arc::new(AtomicBool::new(true)));
    assert!(matches!(small().open(&run).err(), Some(Error::Cancelled)));
}

#[test]
fn it_emits_a_table_alone() {
    let world = small().open(&Run::new(0)).unwrap();
    assert!(matches!(world.dataset().err(), Some(Error::Unsupported { .. })));
    assert!(matches!(world.stage().err(), Some(Error::Unsupported { .. })));
}
