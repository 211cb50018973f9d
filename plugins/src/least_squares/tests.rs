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
        let centred =
            super::fit::Centred { table: &table, rows: &rows, labels: &labels, center: &center, scales: (1.0, 1.0) };
        let (fast, slow) = (centred.normal(penalty).expect("far from collinear"), centred.reflected(penalty));
        assert!(fast.iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-11), "{fast:?} {slow:?}");
    }
}

/// Pivots say nothing of the condition: those of the Kahan matrix are all at least 1e-4 of the diagonal.
#[test]
fn hidden_collinearity_is_left_to_the_triangle() {
    let mut rng = evenhand_core::Streams::new(5).rng(0);
    for d in [30usize, 60, 100] {
        let sine = 0.02f64.powf(1.0 / (d - 1) as f64);
        let cosine = (1.0 - sine * sine).sqrt();
        let kahan = DMatrix::from_fn(d, d, |i, j| {
            sine.powi(i as i32)
                * if i == j {
                    1.0
                } else if i < j {
                    -cosine
                } else {
                    0.0
                }
        });
        let z = DMatrix::from_fn(2000, d, |_, _| rng.random_range(-1.0..1.0));
        let x = z * kahan;
        let rows: Vec<Vec<f64>> = x.row_iter().map(|row| row.iter().copied().collect()).collect();
        let labels: Vec<f64> = (0..2000).map(|t| x[(t, 0)] + rng.random_range(-0.1..0.1)).collect();
        let table = table(&rows);
        let squares = |fit: &Fit| -> f64 {
            let said = |t: usize| rows[t].iter().zip(&fit.weights).map(|(x, w)| x * w).sum::<f64>() + fit.intercept;
            (0..2000).map(|t| (said(t) - labels[t]).powi(2)).sum()
        };
        let found = squares(&fit(&table, &all(2000), &labels, 0.0).unwrap());
        assert!((5.5..6.7).contains(&found), "{d}: {found}, noise has 6.67");
    }
}

/// What varies by rounding alone, and what is tiny beside others, counts as constant however the fit is made.
#[test]
fn what_is_lost_beside_others_has_no_weight() {
    let mut rng = evenhand_core::Streams::new(6).rng(0);
    let mut rows: Vec<Vec<f64>> =
        (0..200).map(|n| vec![rng.random_range(0.0..1.0), if n % 3 == 0 { 0.1 + 0.2 } else { 0.3 }]).collect();
    let labels: Vec<f64> = rows.iter().map(|row| row[0] + rng.random_range(-0.1..0.1)).collect();
    let found = fit(&table(&rows), &all(200), &labels, 0.0).unwrap();
    assert!(found.weights[1].abs() < 1e-9 && (found.weights[0] - 1.0).abs() < 0.1, "{found:?}");
    rows.iter_mut().for_each(|row| *row = vec![row[0] * 1e8, row[0].sqrt() * 1e-9]);
    let labels: Vec<f64> = rows.iter().map(|row| 1e-8 * row[0]).collect();
    let found = fit(&table(&rows), &all(200), &labels, 0.0).unwrap();
    assert!(found.weights[1].abs() < 1.0 && (found.weights[0] * 1e8 - 1.0).abs() < 1e-9, "{found:?}");
}

#[test]
fn scales_and_offsets_do_not_matter() {
    let mut rng = evenhand_core::Streams::new(7).rng(0);
    let plain: Vec<Vec<f64>> = (0..50).map(|_| (0..2).map(|_| rng.random_range(0.0..1.0)).collect()).collect();
    let labels: Vec<f64> = plain.iter().map(|row| row[0] + 2.0 * row[1]).collect();
    for scale in [1e-290, 1e-161, 1e-156, 1e-20, 1.0, 1e20, 1e155, 1e300] {
        let rows: Vec<Vec<f64>> = plain.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
        let found = fit(&table(&rows), &all(50), &labels, 0.0).unwrap();
        let hindsight = Hindsight::of(&table(&rows), &all(50), &labels);
        for (n, expected) in [1.0, 2.0].into_iter().enumerate() {
            assert!((found.weights[n] * scale - expected).abs() < 1e-9, "{scale}: {found:?}");
            assert!((hindsight.weights[n] * scale - expected).abs() < 1e-9, "{scale}: {hindsight:?}");
        }
        assert!(hindsight.loss < 1e-20 && hindsight.rank == 2, "{scale}: {hindsight:?}");
    }
    for offset in [1e9, 1e12] {
        let rows: Vec<Vec<f64>> = (0..20000).map(|n| vec![offset + f64::from(n % 100)]).collect();
        let labels: Vec<f64> = rows.iter().map(|row| 2.0 * (row[0] - offset) + offset).collect();
        let found = fit(&table(&rows), &all(20000), &labels, 0.0).unwrap();
        assert!((found.weights[0] - 2.0).abs() < 1e-9, "{offset}: {found:?}");
    }
}

/// 99 rows on a line and one far off it: without that one nothing is lost.
#[test]
fn a_row_of_high_leverage_can_be_taken_away() {
    for far in [1e2, 1e5, 1e6, 1e8] {
        let rows: Vec<Vec<f64>> = (0..100).map(|n| vec![if n < 99 { 1.0 } else { far }]).collect();
        let labels: Vec<f64> = (0..100).map(|n| f64::from(u8::from(n < 99))).collect();
        let table = table(&rows);
        let without = Hindsight::of(&table, &all(100), &labels).without(&table, &all(100), &labels, 99);
        assert!(without < 1e-9, "{far}: {without}");
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
        let closed = found.without(&table, &all(count), &labels, last);
        prop_assert!((fewer - closed).abs() < 1e-9 * (1.0 + fewer), "{} {}", fewer, closed);
    }
}

proptest! {
    #[test]
    fn more_features_than_rows(count in 1usize..6, d in 6usize..20, seed in 0u64..1000) {
        let mut rng = evenhand_core::Streams::new(seed).rng(1);
        let rows: Vec<Vec<f64>> = (0..count).map(|_| (0..d).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
        let labels: Vec<f64> = (0..count).map(|n| f64::from((n % 3) as u8) / 2.0).collect();
        let found = fit(&table(&rows), &all(count), &labels, 0.0).unwrap();
        for (row, label) in rows.iter().zip(&labels) {
            let said = row.iter().zip(&found.weights).map(|(x, w)| x * w).sum::<f64>() + found.intercept;
            prop_assert!((said - label).abs() < 1e-12, "{:?}", found);
        }
    }
}
