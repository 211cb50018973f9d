use super::*;
use crate::exponential::Exponential;
use crate::vaw::Vaw;
use evenhand_core::GroupTable;
use nalgebra::DMatrix;
use rand::RngExt;

/// Rows of three features in two groups that overlap, some in none, and labels that differ by group.
fn stream(rows: usize) -> (GroupTable, Vec<f64>) {
    let mut rng = evenhand_core::Streams::new(1).rng(0);
    let features = DMatrix::from_fn(3, rows, |_, _| rng.random_range(0.0..1.0));
    let membership = DMatrix::from_fn(2, rows, |g, t| (t + g) % (3 + g) < 2);
    let label = |t: usize| if membership[(0, t)] { features[(0, t)] } else { 1.0 - features[(1, t)] };
    let labels = (0..rows).map(label).collect();
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    (GroupTable::new(features, membership, names(&["x", "y", "z"]), names(&["a", "b"])).unwrap(), labels)
}

fn recipes() -> Vec<Groupwise> {
    let base = Base::from(Box::new(Vaw { clip: true, ..Default::default() }) as Box<dyn GroupRegressor>);
    let mixer = Mix::from(Box::<Exponential>::default() as Box<dyn Mixer>);
    vec![Groupwise::default(), Groupwise { base, mixer, always_on: false }]
}

/// The same by hand: each expert alone on its rows, shares and losses outside.
#[test]
fn experts_learn_from_their_rows_alone() {
    let (table, labels) = stream(60);
    let run = Run::new(0);
    for recipe in recipes() {
        let mut learner = recipe.begin(3, 2, &run).unwrap();
        let count = 2 + usize::from(recipe.always_on);
        let mut alone: Vec<_> = (0..count).map(|_| recipe.base.begin(3, 1, &run).unwrap()).collect();
        let mut mixing = recipe.mixer.begin(count).unwrap();
        for (t, &label) in labels.iter().enumerate() {
            let (x, active) = table.row(t);
            let awake: Vec<usize> = (0..count).filter(|&i| i == 2 || active[i]).collect();
            let said: Vec<f64> = awake.iter().map(|&i| alone[i].predict(x, &[true]).unwrap().unwrap()).collect();
            let mut shares = vec![0.0; awake.len()];
            let mut expected = None;
            if !awake.is_empty() {
                mixing.shares(&awake, &mut shares);
                expected = Some(said.iter().zip(&shares).map(|(p, s)| s * p).sum());
                let losses: Vec<f64> = said.iter().map(|p| (p - label) * (p - label)).collect();
                mixing.update(&awake, &shares, &losses);
            }
            awake.iter().for_each(|&i| alone[i].observe(x, &[true], label).unwrap());
            assert_eq!(learner.predict(x, active).unwrap(), expected);
            let groups: Vec<Option<usize>> = learner.experts().iter().map(|e| e.group).collect();
            assert_eq!(groups, awake.iter().map(|&i| (i < 2).then_some(i)).collect::<Vec<_>>());
            learner.observe(x, active, label).unwrap();
        }
    }
}

#[test]
fn a_row_in_no_group_needs_the_expert_for_all_rows() {
    let run = Run::new(0);
    for recipe in recipes() {
        let mut learner = recipe.begin(1, 2, &run).unwrap();
        learner.predict(&[1.0], &[true, false]).unwrap();
        learner.observe(&[1.0], &[true, false], 0.5).unwrap();
        let said = learner.predict(&[1.0], &[false, false]).unwrap();
        assert_eq!((said.is_some(), learner.experts().len()), (recipe.always_on, usize::from(recipe.always_on)));
        learner.observe(&[1.0], &[false, false], 0.5).unwrap();
    }
}

#[test]
fn what_can_not_learn_row_by_row_is_no_base() {
    let base = Base::from(Box::<crate::ols::Ols>::default() as Box<dyn GroupRegressor>);
    let refused = Groupwise { base, ..Default::default() }.begin(3, 2, &Run::new(0)).err().unwrap().to_string();
    assert_eq!(refused, "`ols` does not support learning row by row");
}

#[test]
fn another_row_than_the_one_predicted_is_predicted_before_it_is_observed() {
    let run = Run::new(0);
    let [mut one, mut other] = [(); 2].map(|()| Groupwise::default().begin(1, 2, &run).unwrap());
    for (x, active) in [([1.0], [true, false]), ([2.0], [true, true]), ([1.5], [false, true])] {
        one.predict(&x, &active).unwrap();
        one.observe(&x, &active, 0.5).unwrap();
        other.predict(&[3.0], &[false, true]).unwrap();
        other.observe(&x, &active, 0.5).unwrap();
    }
    let [one, other] = [one, other].map(|mut learner| learner.predict(&[1.0], &[true, true]).unwrap());
    assert_eq!(one, other);
}

#[test]
fn losses_out_of_range_are_refused_before_anything_is_learned() {
    for recipe in recipes() {
        let mut learner = recipe.begin(1, 2, &Run::new(0)).unwrap();
        let active = [true, true];
        for label in [0.5, 0.7] {
            learner.predict(&[1.0], &active).unwrap();
            learner.observe(&[1.0], &active, label).unwrap();
        }
        let before = learner.predict(&[1.0], &active).unwrap();
        assert!(learner.observe(&[1.0], &active, 1e200).unwrap_err().to_string().contains("a loss became non-finite"));
        assert_eq!(learner.predict(&[1.0], &active).unwrap(), before);
    }
}
