//! From where single users end up to means over users.

use super::study::{Followed, Row};
use crate::per_user::PerUser;
use crate::protocol::{Figure, mean_and_sd, named_groups};
use evenhand_core::{Certificate, Dataset};

/// A gap up to this counts as none, in units of the objective where that is above 1.
const CERTIFIED: f64 = 1e-6;

/// A number of every user.
type Column = (&'static str, fn(&Row) -> f64);

/// What an optimiser states of every user.
type Stated = (&'static str, fn(&Certificate) -> f64);

/// With deviations, and for groups of users too.
const SPREAD: [Column; 4] = [
    ("objective", |row| row.objective),
    ("click", |row| row.value.click),
    ("harm", |row| row.value.harm),
    ("distance", |row| row.distance),
];
const PLAIN: [Column; 2] = [("set-size", |row| row.set_size), ("iterations", |row| row.iterations as f64)];

/// The figures of all users, then those of each group.
pub(super) fn figures(followed: &Followed, data: &Dataset, (c, lambda): (f64, f64)) -> Vec<Figure> {
    let Followed { rows, draws } = followed;
    let everybody: Vec<&Row> = rows.iter().collect();
    let mut figures = means(&SPREAD, &everybody, None, true);
    figures.extend(means(&PLAIN, &everybody, None, false));
    let n = rows.len() as u64;
    let all = |metric: &str, value, n| Figure { metric: metric.into(), k: None, group: None, value, n };
    figures.push(all("not-converged", rows.iter().filter(|row| !row.converged).count() as f64, n));
    let stated: Vec<(&Row, Certificate)> = rows.iter().filter_map(|row| Some((row, row.certificate?))).collect();
    if !stated.is_empty() {
        let count = stated.len();
        let mean = |of: fn(&Certificate) -> f64| stated.iter().map(|(_, c)| of(c)).sum::<f64>() / count as f64;
        // An infinite gap is none: it would hide all others in the mean and in the largest one.
        let gaps: Vec<f64> = stated.iter().map(|(_, c)| c.gap).filter(|gap| gap.is_finite()).collect();
        if let Some(largest) = gaps.iter().copied().reduce(f64::max) {
            let with_gap = gaps.len() as u64;
            figures.push(all("gap", mean_and_sd(&gaps).0, with_gap));
            figures.push(all("gap-max", largest, with_gap));
        }
        let fine = stated.iter().filter(|(row, c)| c.gap <= CERTIFIED * row.objective.abs().max(1.0)).count();
        figures.extend([
            all("certified", fine as f64 / count as f64, count as u64),
            all("ended", mean(ended), count as u64),
            all("evaluations", mean(|c| c.evaluations as f64), count as u64),
        ]);
    }
    figures.extend([all("lambda", lambda, n), all("c", c, n)]);
    figures.extend(draws.map(|draws| all("draws", draws as f64, n)));
    for (group, members) in named_groups(&data.user_groups) {
        let place = |user: &u32| rows.binary_search_by_key(user, |row| row.user).ok();
        let there: Vec<&Row> = members.iter().filter_map(place).map(|at| &rows[at]).collect();
        figures.extend(means(&SPREAD, &there, Some(&group), true));
    }
    figures
}

fn means(columns: &[Column], rows: &[&Row], group: Option<&str>, spread: bool) -> Vec<Figure> {
    let mut figures = Vec::new();
    if rows.is_empty() {
        return figures;
    }
    for (metric, of) in columns {
        let values: Vec<f64> = rows.iter().map(|row| of(row)).collect();
        let (mean, sd) = mean_and_sd(&values);
        let figure = |metric: String, value| {
            let (group, n) = (group.map(str::to_string), rows.len() as u64);
            Figure { metric, k: None, group, value, n }
        };
        figures.push(figure((*metric).into(), mean));
        figures.extend(sd.filter(|_| spread).map(|sd| figure(format!("{metric}-sd"), sd)));
    }
    figures
}

/// 1 where the search of the policy ended by itself.
fn ended(certificate: &Certificate) -> f64 {
    f64::from(u8::from(certificate.converged))
}

/// The numbers of every user.
pub(super) fn per_user(followed: &Followed) -> Vec<PerUser> {
    let metric =
        |metric: &str, values: Vec<(u32, f64)>| PerUser { attack: None, metric: metric.into(), k: None, values };
    let rows = || followed.rows.iter();
    let mut kept: Vec<PerUser> = Vec::new();
    for (name, of) in SPREAD.iter().chain(&PLAIN) {
        kept.push(metric(name, rows().map(|row| (row.user, of(row))).collect()));
    }
    kept.push(metric("not-converged", rows().map(|row| (row.user, f64::from(u8::from(!row.converged)))).collect()));
    let certificates: [Stated; 3] = [("gap", |c| c.gap), ("ended", ended), ("evaluations", |c| c.evaluations as f64)];
    for (name, of) in certificates {
        let stated = rows().filter_map(|row| Some((row.user, of(&row.certificate?))));
        let values: Vec<_> = stated.filter(|(_, value)| value.is_finite()).collect();
        if !values.is_empty() {
            kept.push(metric(name, values));
        }
    }
    kept
}
