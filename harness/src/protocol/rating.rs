//! Error of predicted ratings, for all users and for each group.

use super::{Figure, VALIDATION_RMSE, WORST_RMSE, named_groups};
use evenhand_core::metrics::{mae, r2, rmse};
use evenhand_core::{Dataset, Error, Interactions, Model, Result, Run};
use rayon::prelude::*;

/// Rows predicted in one call.
const BLOCK: usize = 4096;

/// Errors on the test rows.
pub(super) fn figures(model: &dyn Model, data: &Dataset, test: &Interactions, run: &Run) -> Result<Vec<Figure>> {
    let predicted = predict(model, test, run)?;
    let actual = test.by_user().all_values();
    let mut figures = Vec::new();
    add(&mut figures, None, &predicted, actual);
    let offsets = test.by_user().offsets();
    for (group, members) in named_groups(&data.user_groups) {
        let pick = |all: &[f32]| -> Vec<f32> {
            members.iter().flat_map(|&u| &all[offsets[u as usize]..offsets[u as usize + 1]]).copied().collect()
        };
        add(&mut figures, Some(group), &pick(&predicted), &pick(actual));
    }
    figures.extend(worst(&figures, data));
    Ok(figures)
}

/// The largest RMSE of a group, among the protected groups of users or, where none are protected, among all. Its `n`
/// are the rows of that group.
fn worst(figures: &[Figure], data: &Dataset) -> Option<Figure> {
    let groupings = data.protected().users.map_or(data.user_groups.as_slice(), std::slice::from_ref);
    let names: Vec<String> = named_groups(groupings).map(|(name, _)| name).collect();
    let among = |f: &&Figure| f.metric == "rmse" && f.group.as_ref().is_some_and(|group| names.contains(group));
    let worst = figures.iter().filter(among).max_by(|a, b| a.value.total_cmp(&b.value))?;
    Some(Figure { metric: WORST_RMSE.into(), group: None, ..worst.clone() })
}

/// The error on rows that are neither train nor test: what settings may be chosen by.
pub(super) fn validation(model: &dyn Model, rows: &Interactions, run: &Run) -> Result<Option<Figure>> {
    let value = rmse(&predict(model, rows, run)?, rows.by_user().all_values());
    let n = rows.len() as u64;
    Ok(value.map(|value| Figure { metric: VALIDATION_RMSE.into(), k: None, group: None, value, n }))
}

/// The predicted ratings of all rows, in their order.
fn predict(model: &dyn Model, rows: &Interactions, run: &Run) -> Result<Vec<f32>> {
    let users: Vec<u32> = rows.iter().map(|(user, ..)| user).collect();
    let items = rows.by_user().all_partners();
    let mut predicted = vec![0.0; users.len()];
    let done: Vec<Result<()>> = run.install(|| {
        let blocks = predicted.par_chunks_mut(BLOCK).zip(users.par_chunks(BLOCK)).zip(items.par_chunks(BLOCK));
        let predict = |((out, users), items): ((&mut [f32], &[u32]), &[u32])| {
            run.check()?;
            model.predict(users, items, out, run)
        };
        blocks.map(predict).collect()
    });
    // Of several failures the first row's counts, however the blocks were scheduled.
    done.into_iter().collect::<Result<()>>()?;
    if let Some(at) = predicted.iter().position(|p| !p.is_finite()) {
        let what = format!("predicted rating of user {}, item {}", users[at], items[at]);
        return Err(Error::Diverged { what, step: None });
    }
    Ok(predicted)
}

fn add(figures: &mut Vec<Figure>, group: Option<String>, predicted: &[f32], actual: &[f32]) {
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
    let determination = r2(&wide(predicted), &wide(actual));
    for (metric, value) in [("rmse", rmse(predicted, actual)), ("mae", mae(predicted, actual)), ("r2", determination)] {
        if let Some(value) = value {
            let (metric, group, n) = (metric.into(), group.clone(), actual.len() as u64);
            figures.push(Figure { metric, k: None, group, value, n });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Groups, Model, Output, Rows, Scale};
    use nalgebra::DMatrix;
    use serde::Serialize;

    /// Predicts 3 for everyone.
    #[derive(Debug, Serialize)]
    struct Three;

    impl Model for Three {
        fn kind(&self) -> &'static str {
            "three"
        }

        fn users(&self) -> usize {
            3
        }

        fn items(&self) -> usize {
            2
        }

        fn output(&self) -> Output {
            Output::Rating
        }

        fn validate(&self) -> Result<()> {
            Ok(())
        }

        fn score(&self, users: &[u32], out: &mut DMatrix<f32>, _: &Run) -> Result<()> {
            *out = DMatrix::from_element(2, users.len(), 3.0);
            Ok(())
        }
    }

    #[test]
    fn errors_of_groups_worked_by_hand() {
        let mut rows = Rows::default();
        for (user, item, rating) in [(0, 0, 3.0), (0, 1, 5.0), (1, 0, 4.0), (1, 1, 4.0), (2, 0, 1.0)] {
            rows.push(user, item, rating);
        }
        let test = Interactions::new(3, 2, &rows).unwrap();
        let mut data = Dataset::new("x", test.clone(), Scale::FIVE_STARS);
        let named = |name: &str, groups: &[(&str, &[u32])]| {
            let groups = groups.iter().map(|(label, members)| (label.to_string(), members.to_vec())).collect();
            Groups::new(name, 3, groups).unwrap()
        };
        data.user_groups.push(named("g", &[("a", &[0]), ("b", &[1]), ("none", &[])]));
        data.user_groups.push(named("h", &[("c", &[2])]));
        let of = |data: &Dataset| figures(&Three, data, &test, &Run::new(0)).unwrap();
        let found = of(&data);
        let get = |metric: &str, group: Option<&str>| {
            found.iter().find(|f| f.metric == metric && f.group.as_deref() == group).map(|f| (f.value, f.n))
        };
        // Errors 0, -2, -1, -1, 2 of ratings with the mean 3.4 and the squared deviations .16, 2.56, .36, .36, 5.76.
        assert_eq!((get("rmse", None), get("mae", None)), (Some((2f64.sqrt(), 5)), Some((1.2, 5))));
        assert!((get("r2", None).unwrap().0 - (1.0 - 10.0 / 9.2)).abs() < 1e-12);
        assert_eq!((get("r2", Some("g=a")), get("rmse", Some("g=a"))), (Some((-1.0, 2)), Some((2f64.sqrt(), 2))));
        // Equal ratings, and a single one, have no variance to explain; no rows have no error.
        assert_eq!((get("r2", Some("g=b")), get("r2", Some("h=c")), get("rmse", Some("g=none"))), (None, None, None));
        assert_eq!(get("rmse", Some("h=c")), Some((2.0, 1)));
        // By h the error is larger, but g is protected.
        assert_eq!(get(WORST_RMSE, None), Some((2f64.sqrt(), 2)));
        data.protected_users = 1;
        assert_eq!(of(&data).last().map(|f| (f.metric.as_str(), f.value, f.n)), Some((WORST_RMSE, 2.0, 1)));
        data.user_groups.clear();
        assert!(of(&data).iter().all(|f| f.metric != WORST_RMSE));
    }
}
