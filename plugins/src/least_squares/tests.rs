use super::*;
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand::RngExt;

/// Rows by features; every row is in one group.
fn table(rows: &[Vec<f64>]) -> GroupTable {
    let d = rows.first().map_or(0, Vec::len);
    let features = DMatrix::from_iterator(d, rows.len(), rows.iter().flatten().copied());
    let membership = DMatrix::from_element(1, rows.len(), true);
    GroupTable::new(features, membership, (0..d).map(|n| format!("x{n}")).collect(), vec!["g".into()]).unwrap()
}

fn all(rows: usize) -> Vec<usize> {
    (0..rows).collect()
}

/// Random rows of which the last feature is the sum of the first two, and labels.
fn collinear(rows: usize, d: usize, seed: u64) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut rng = evenhand_core::Streams::new(seed).rng(0);
    let mut row = || -> Vec<f64> {
        let mut row: Vec<f64> = (0..d).map(|_| rng.random_range(-1.0..1.0)).collect();
        row[d - 1] = row[0] + row[1];
        row
    };
    let rows: Vec<Vec<f64>> = (0..rows).map(|_| row()).collect();
    let labels = rows.iter().map(|row| row[0] - 2.0 * row[1] + rng.random_range(-0.1..0.1)).collect();
    (rows, labels)
}

#[test]
fn a_line_by_hand() {
    // y = 1 + 2 x but for the last one: slope and intercept by the usual formulas.
    let table = table(&[vec![0.0], vec![1.0], vec![2.0], vec![3.0]]);
    let found = fit(&table, &all(4), &[1.0, 3.0, 5.0, 11.0], 0.0).unwrap();
    assert!((found.weights[0] - 3.2).abs() < 1e-14 && (found.intercept - 0.2).abs() < 1e-14, "{found:?}");
    // Centred, x'x = 5 and x'y = 16: a penalty of 3 makes it 2.
    let ridge = fit(&table, &all(4), &[1.0, 3.0, 5.0, 11.0], 3.0).unwrap();
    assert!((ridge.weights[0] - 2.0).abs() < 1e-14 && (ridge.intercept - 2.0).abs() < 1e-14, "{ridge:?}");
    // Through the origin: 46 / 14.
    let hindsight = Hindsight::of(&table, &all(4), &[1.0, 3.0, 5.0, 11.0]);
    assert!((hindsight.weights[0] - 46.0 / 14.0).abs() < 1e-14 && hindsight.rank == 1);
    assert!((hindsight.loss - (156.0 - 46.0 * 46.0 / 14.0)).abs() < 1e-12);
}

#[test]
fn few_rows_and_features_that_do_not_vary() {
    let table = table(&[vec![0.1, 7.0], vec![0.1, 9.0], vec![0.1, 11.0]]);
    assert_eq!(fit(&table, &[], &[1.0; 3], 0.0), None);
    assert_eq!(fit(&table, &[1], &[0.0, 5.0, 0.0], 0.0), Some(Fit { weights: vec![0.0; 2], intercept: 5.0 }));
    let found = fit(&table, &all(3), &[1.0, 2.0, 3.0], 0.0).unwrap();
    assert!(found.weights[0] == 0.0 && (found.weights[1] - 0.5).abs() < 1e-14 && (found.intercept + 2.5).abs() < 1e-13);
    let none = Hindsight::of(&table, &[], &[1.0; 3]);
    assert_eq!((none.loss, none.rank, none.weights), (0.0, 0, vec![0.0; 2]));
}

/// The same feature twice: both get half of the weight, which is the least norm.
#[test]
fn of_several_best_functions_the_smallest() {
    let rows: Vec<Vec<f64>> = (0..300).map(|n| vec![f64::from(n % 7), f64::from(n % 7), f64::from(n % 5)]).collect();
    let labels: Vec<f64> = rows.iter().map(|row| 4.0 * row[0] - row[2] + 2.0).collect();
    let found = fit(&table(&rows), &all(300), &labels, 0.0).unwrap();
    for (got, expected) in found.weights.iter().chain([&found.intercept]).zip([2.0, 2.0, -1.0, 2.0]) {
        assert!((got - expected).abs() < 1e-12, "{found:?}");
    }
    let hindsight = Hindsight::of(&table(&rows), &all(300), &labels);
    assert_eq!(hindsight.rank, 2);
}

#[test]
fn the_normal_equations_agree_with_the_triangle() {
    let mut rng = evenhand_core::Streams::new(4).rng(0);
    let rows: Vec<Vec<f64>> = (0..1000).map(|_| (0..37).map(|_| rng.random_range(0.0..100.0)).collect()).collect();
    let labels: Vec<f64> = rows.iter().map(|row| row.iter().sum::<f64>() + rng.random_range(-1.0..1.0)).collect();
    let (table, rows) = (table(&rows), all(1000));
    for penalty in [0.0, 10.0] {
        let mut center = vec![0.0; 38];
        for &row in &rows {
            center.iter_mut().zip(table.row(row).0).for_each(|(sum, x)| *sum += x / 1000.0);
            center[37] += labels[row] / 1000.0;
        }
        let centred = super::fit::Centred::new(&table, &rows, &labels, &center);
        let (fast, slow) = (centred.normal(penalty).expect("far from collinear"), centred.reflected(penalty));
        assert!(fast.iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-11), "{fast:?} {slow:?}");
    }
}

proptest! {
    /// Errors are orthogonal to the features, weights to what the features leave out; a row less is a fit without it.
    #[test]
    fn hindsight_is_the_best(count in 1usize..600, d in 3usize..9, seed in 0u64..1000) {
        let (rows, labels) = collinear(count, d, seed);
        let table = table(&rows);
        let found = Hindsight::of(&table, &all(count), &labels);
        prop_assert_eq!(found.rank, count.min(d - 1));
        let errors: Vec<f64> =
            rows.iter().zip(&labels).map(|(x, y)| y - x.iter().zip(&found.weights).map(|(x, w)| x * w).sum::<f64>()).collect();
        prop_assert!((errors.iter().map(|e| e * e).sum::<f64>() - found.loss).abs() < 1e-10);
        for j in 0..d {
            prop_assert!(rows.iter().zip(&errors).map(|(x, e)| x[j] * e).sum::<f64>().abs() < 1e-9);
        }
        let left_out = found.weights[0] + found.weights[1] - found.weights[d - 1];
        prop_assert!(left_out.abs() < 1e-9);
        let last = count - 1;
        let fewer = Hindsight::of(&table, &all(last), &labels).loss;
        let closed = found.without(&rows[last], labels[last]);
        prop_assert!((fewer - closed).abs() < 1e-9 * (1.0 + fewer), "{} {}", fewer, closed);
    }
}
