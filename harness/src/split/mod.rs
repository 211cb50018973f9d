//! Train and test rows: drawn once by the harness, the same for every plugin.
//!
//! Which rows are held out changes which method wins (Meng, McCreadie, Macdonald & Ounis 2020, "Exploring data
//! splitting strategies for the evaluation of recommendation models"), so the rule belongs to the experiment, never to
//! a plugin:
//!
//! | kind | test rows | unit |
//! | --- | --- | --- |
//! | `random` | a uniform share of everything, `floor(test * n)` | pair |
//! | `per-user` | a uniform share of each user's, at least one | pair |
//! | `leave-last-out` | the newest one of each user | row |
//! | `global-time` | the newest share of everything | time stamp |
//! | `k-fold` | each part of a random partition in turn | pair |
//! | `given` | those that the data set was published with | - |
//!
//! - **Duplicates.** Where chance decides, the unit is the pair: all rows of one user and item fall on one side, or a
//!   model would be tested on what it was told. Without duplicates a pair is a row. Where time decides, a repeated pair
//!   may stand on both sides, as it would in life; the number of such test rows is a warning.
//! - **Shares** are rounded down, but at least one unit is test and at least one train; [`Split`] says where.
//! - **Time.** Only `global-time` keeps every model from learning of events later than those it is tested on. Leaving
//!   the last row of each user out looks as if it followed time and does not (Ji, Sun, Zhang & Li 2023, "A critical
//!   study on data leakage in recommender system offline evaluation"): the number of test rows concerned is a warning.
//!   The random rules make no claim about time and do not warn of it.
//! - **Own test rows.** A rule other than `given` on a data set with its own test rows divides all of its rows, train
//!   and test together, as if it had been published whole, and says so in a warning.
//! - **Validation.** `validation = 0.1` beside any rule that draws shares or parts holds that share of the training rows
//!   out, by the same kind of rule: [`Fold::with_validation`]. Plugins do not see them; settings are chosen by them.
//! - **Cold start.** Users and items that occur only in test rows keep their index; their numbers are warnings.
//!
//! Random numbers come from `split/...` of the given streams only, by an algorithm fixed here: same data and seed, same
//! rows, on any machine and with any version of any dependency.

mod doubt;
mod draw;
mod rule;
mod validation;

pub(crate) use doubt::told;
pub(crate) use draw::{share, shuffle_front};
pub use rule::Split;

use evenhand_core::{Dataset, Error, Interactions, Result, Rows, Streams};
use std::borrow::Cow;

/// One division into train and test. Both keep all users and items of the data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Empty for a single division, else e.g. `fold 1/5`.
    pub label: String,
    /// What plugins learn from; never empty.
    pub train: Interactions,
    /// What they are measured on; never empty.
    pub test: Interactions,
    /// Rows held out of `train` for choosing between settings, never empty; see [`Fold::with_validation`].
    pub validation: Option<Interactions>,
}

/// A division whose folds are built when they are asked for: each is a copy of all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Division<'a> {
    parts: Parts<'a>,
    /// What a reader of the results should know; of a partition, whose folds are alike, about the first fold.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Parts<'a> {
    One(Box<Fold>),
    /// A partition: all rows, the part of each, and how many parts there are.
    Many(Cow<'a, Interactions>, Vec<u32>, usize),
}

/// All folds of a division at once: the outcome of [`split`].
#[derive(Clone, Debug, PartialEq)]
pub struct Folds {
    /// One, or one for each part of a partition.
    pub folds: Vec<Fold>,
    /// What a reader of the results should know about the division.
    pub warnings: Vec<String>,
}

/// Divides the rows of `data` by `rule`; the module describes the rules. Holds all folds: see [`Division`].
///
/// # Errors
/// As [`Division::new`].
pub fn split(data: &Dataset, rule: &Split, streams: &Streams) -> Result<Folds> {
    let division = Division::new(data, rule, streams)?;
    let folds = (0..division.count()).map(|at| division.fold(at).map(Cow::into_owned)).collect::<Result<_>>()?;
    Ok(Folds { folds, warnings: division.warnings })
}

impl<'a> Division<'a> {
    /// Divides the rows of `data` by `rule`; the module describes the rules.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] as [`Split::check`]; [`Error::Unusable`] where the data lacks the times or test rows that
    /// the rule needs, or where a side would be empty; [`Error::Shape`] for a data set that contradicts itself.
    pub fn new(data: &'a Dataset, rule: &Split, streams: &Streams) -> Result<Self> {
        rule.check()?;
        data.check()?;
        let mut warnings = Vec::new();
        let parts = match rule {
            Split::Given => {
                let why = "the data set has no test rows of its own, which split `given` needs; use `random` instead";
                let test = data.test.clone().ok_or_else(|| Error::Unusable(why.into()))?;
                Parts::One(Box::new(Fold { label: String::new(), train: data.ratings.clone(), test, validation: None }))
            }
            _ => divide(whole(data, rule, &mut warnings)?, rule, streams, &mut warnings)?,
        };
        let mut division = Self { parts, warnings };
        let first = division.fold(0)?;
        if first.train.is_empty() || first.test.is_empty() {
            let side = if first.train.is_empty() { "train" } else { "test" };
            return Err(no_rows(side, rule));
        }
        let about = doubt::about(&first, rule);
        division.warnings.extend(about);
        Ok(division)
    }

    /// Number of folds; at least one.
    pub fn count(&self) -> usize {
        match &self.parts {
            Parts::One(_) => 1,
            Parts::Many(.., parts) => *parts,
        }
    }

    /// The fold of that number from 0, built now where there are several.
    ///
    /// # Errors
    /// [`Error::Shape`] for a fold that there is not.
    pub fn fold(&self, at: usize) -> Result<Cow<'_, Fold>> {
        match &self.parts {
            Parts::One(fold) if at == 0 => Ok(Cow::Borrowed(fold)),
            Parts::Many(rows, part, parts) if at < *parts => {
                let in_test = part.iter().map(|&p| p as usize == at).collect();
                fold(format!("fold {}/{parts}", at + 1), rows, in_test).map(Cow::Owned)
            }
            _ => Err(Error::shape("a fold", format!("0..{}", self.count()), at.to_string())),
        }
    }
}

/// All rows, the data set's own test rows included. Times survive where all rows have them.
fn whole<'a>(data: &'a Dataset, rule: &Split, warnings: &mut Vec<String>) -> Result<Cow<'a, Interactions>> {
    let Some(test) = data.test.as_ref().filter(|t| !t.is_empty()) else { return Ok(Cow::Borrowed(&data.ratings)) };
    warnings.push(format!(
        "split `{}` divides all rows anew, the data set's own {} test rows included; `given` uses its own division",
        rule.name(),
        test.len()
    ));
    if data.ratings.is_empty() {
        return Ok(Cow::Borrowed(test));
    }
    let timed = data.ratings.times().is_some() && test.times().is_some();
    let mut rows = Rows::default();
    for part in [&data.ratings, test] {
        part.iter().for_each(|(user, item, value)| rows.push(user, item, value));
        rows.times.extend(part.times().filter(|_| timed).unwrap_or_default());
    }
    Interactions::new(data.ratings.users(), data.ratings.items(), &rows).map(Cow::Owned)
}

fn divide<'a>(
    all: Cow<'a, Interactions>,
    rule: &Split,
    streams: &Streams,
    warnings: &mut Vec<String>,
) -> Result<Parts<'a>> {
    let rows = &*all;
    if rows.is_empty() {
        return Err(Error::Unusable("there are no rows to split".into()));
    }
    let times = |instead: &str| {
        let name = rule.name();
        let text = format!("not every row has a time, which split `{name}` needs; use `{instead}` instead");
        rows.times().ok_or(Error::Unusable(text))
    };
    let streams = streams.child(&format!("split/{}", rule.name()));
    let in_test = match *rule {
        Split::Random { test } => draw::random(rows, test, &mut streams.rng(0)),
        Split::PerUser { test } => draw::per_user(rows, test, &streams),
        Split::LeaveLastOut => draw::last_of_user(rows, times("per-user")?),
        Split::GlobalTime { test } => {
            let (in_test, wanted) = draw::newest(times("random")?, test);
            let got = in_test.iter().filter(|&&t| t).count();
            if got.abs_diff(wanted) * 10 > wanted {
                let n = rows.len();
                let text = format!("rows of equal time stay together: {got} of {n} rows are test instead of {wanted}");
                warnings.push(format!("split `global-time`: {text}"));
            }
            in_test
        }
        Split::KFold { folds } => {
            // Asked before any fold is built: a slip of the pen may ask for billions.
            let part = draw::partition(rows, folds, &mut streams.rng(0)).ok_or_else(|| no_rows("test", rule))?;
            return Ok(Parts::Many(all, part, folds));
        }
        Split::Given => unreachable!("a given division is not drawn"),
    };
    fold(String::new(), rows, in_test).map(|fold| Parts::One(Box::new(fold)))
}

fn fold(label: String, rows: &Interactions, in_test: Vec<bool>) -> Result<Fold> {
    let test = rows.select(&in_test)?;
    let in_train: Vec<bool> = in_test.into_iter().map(|t| !t).collect();
    Ok(Fold { label, train: rows.select(&in_train)?, test, validation: None })
}

/// The refusal of a division with an empty side.
fn no_rows(side: &str, rule: &Split) -> Error {
    let reason = match rule {
        Split::Random { .. } => "only one pair of user and item occurs",
        Split::PerUser { .. } => "no user has two items or more",
        Split::LeaveLastOut => "no user has two rows or more",
        Split::GlobalTime { .. } => "all rows have the same time",
        Split::KFold { .. } => "there are fewer pairs of user and item than folds",
        Split::Given => "the data set is published so",
    };
    Error::Unusable(format!("split `{}` leaves no {side} rows: {reason}", rule.name()))
}

#[cfg(test)]
mod tests {
    use super::rule::tests::EVERY;
    use super::*;
    use evenhand_core::Scale;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Rows of (user, item, time); the value is the place in the list, so that duplicates can be told apart.
    fn data(users: usize, rows: &[(u32, u32, i64)]) -> Dataset {
        let mut all = Rows::default();
        for (place, &(user, item, time)) in rows.iter().enumerate() {
            all.push(user, item, place as f32);
            all.times.push(time);
        }
        Dataset::new("x", Interactions::new(users, 9, &all).unwrap(), Scale::FIVE_STARS)
    }

    fn run(data: &Dataset, rule: Split) -> Result<Folds> {
        split(data, &rule, &Streams::new(7))
    }

    fn refusal(data: &Dataset, rule: Split) -> String {
        run(data, rule).unwrap_err().to_string()
    }

    fn places(rows: &Interactions) -> BTreeSet<u32> {
        rows.iter().map(|(_, _, place)| place as u32).collect()
    }

    fn pairs(rows: &Interactions) -> BTreeSet<(u32, u32)> {
        rows.iter().map(|(user, item, _)| (user, item)).collect()
    }

    /// Two users, the second one earlier than the first; user 2 has one row, user 3 none.
    const SMALL: [(u32, u32, i64); 8] =
        [(0, 1, 50), (0, 2, 70), (0, 5, 70), (0, 3, 60), (1, 4, 10), (1, 1, 20), (1, 2, 15), (2, 2, 90)];

    #[test]
    fn the_last_row_of_each_user_leaks_and_says_so() {
        let got = run(&data(4, &SMALL), Split::LeaveLastOut).unwrap();
        // Items 2 and 5 of user 0 are equally new: the higher one.
        assert_eq!(places(&got.folds[0].test), [2, 5].into());
        assert_eq!(got.folds[0].test.times(), Some([70, 20].as_slice()));
        assert_eq!(got.warnings.len(), 3, "{:#?}", got.warnings);
        assert!(got.warnings[0].contains("2 of 2 test rows are older than some training row of another user"));
        assert!(got.warnings[1].contains("users with too few rows to hold one out, who are not measured: 1"));
        assert!(got.warnings[2].ends_with("items that occur only in test: 1, in 1 of 2 test rows"));
    }

    #[test]
    fn training_rows_of_the_same_time_are_no_leak() {
        let got = run(&data(2, &[(0, 0, 5), (0, 1, 5), (1, 0, 5), (1, 1, 5)]), Split::LeaveLastOut).unwrap();
        assert_eq!(got.warnings, ["split `leave-last-out`: items that occur only in test: 1, in 2 of 2 test rows"]);
    }

    #[test]
    fn global_time_cuts_everyone_at_once() {
        let got = run(&data(4, &SMALL), Split::GlobalTime { test: 0.4 }).unwrap();
        assert_eq!(places(&got.folds[0].test), [1, 2, 7].into());
        assert_eq!(got.warnings.len(), 2, "{:#?}", got.warnings);
        assert!(got.warnings[0].ends_with("users that occur only in test: 1, in 1 of 3 test rows"));
        let got = run(&data(4, &SMALL), Split::GlobalTime { test: 0.25 }).unwrap();
        assert!(got.warnings[0].contains("3 of 8 rows are test instead of 2"), "{:#?}", got.warnings);
        assert!(refusal(&data(1, &[(0, 0, 5), (0, 1, 5)]), Split::GlobalTime { test: 0.5 }).contains("same time"));
    }

    #[test]
    fn a_pair_repeated_in_time_is_a_warning() {
        let got = run(&data(1, &[(0, 1, 5), (0, 1, 6), (0, 2, 1)]), Split::LeaveLastOut).unwrap();
        assert_eq!(places(&got.folds[0].test), [1].into());
        assert!(got.warnings[0].contains("1 of 1 test rows repeat a user and item"), "{:#?}", got.warnings);
    }

    #[test]
    fn own_test_rows_are_used_or_joined() {
        let mut own = data(4, &SMALL);
        assert!(refusal(&own, Split::Given).contains("has no test rows of its own"));
        own.test = Some(data(4, &[(3, 8, 95)]).ratings);
        let given = run(&own, Split::Given).unwrap();
        assert_eq!((&given.folds[0].train, Some(&given.folds[0].test)), (&own.ratings, own.test.as_ref()));
        assert_eq!(given.warnings.len(), 2, "{:#?}", given.warnings);
        let joined = run(&own, Split::GlobalTime { test: 0.1 }).unwrap();
        assert_eq!(joined.folds[0].test, *own.test.as_ref().unwrap());
        assert!(joined.warnings[0].contains("the data set's own 1 test rows included"), "{:#?}", joined.warnings);
        own.test = Some(Interactions::new(4, 9, &Rows::default()).unwrap());
        assert_eq!(
            refusal(&own, Split::Given),
            "data: split `given` leaves no test rows: the data set is published so"
        );
        let mut untimed = Rows::default();
        untimed.push(3, 8, 9.0);
        own.test = Some(Interactions::new(4, 9, &untimed).unwrap());
        assert!(refusal(&own, Split::LeaveLastOut).contains("not every row has a time"));
        let fold = &run(&own, Split::Random { test: 0.5 }).unwrap().folds[0];
        assert_eq!((fold.train.len(), fold.test.len(), fold.train.times()), (5, 4, None));
    }

    #[test]
    fn folds_are_built_when_they_are_asked_for() {
        let rows: Vec<_> = (0..4000).flat_map(|user| (0..9).map(move |item| (user, item, 0))).collect();
        let data = data(4000, &rows);
        // All of them at once would be 36,000 copies of 36,000 rows.
        let division = Division::new(&data, &Split::KFold { folds: rows.len() }, &Streams::new(7)).unwrap();
        assert_eq!((division.count(), division.warnings.len()), (36_000, 0));
        let last = division.fold(35_999).unwrap();
        assert_eq!((last.label.as_str(), last.train.len(), last.test.len()), ("fold 36000/36000", 35_999, 1));
        assert!(division.fold(36_000).is_err());
    }

    #[test]
    fn refusals_name_the_reason_and_the_remedy() {
        let mut rows = Rows::default();
        (0..3).for_each(|user| rows.push(user, 0, 1.0));
        let bare = Dataset::new("x", Interactions::new(3, 1, &rows).unwrap(), Scale::FIVE_STARS);
        assert!(refusal(&bare, Split::LeaveLastOut).contains("needs; use `per-user` instead"));
        assert!(refusal(&bare, Split::GlobalTime { test: 0.1 }).contains("needs; use `random` instead"));
        assert!(refusal(&bare, Split::PerUser { test: 0.5 }).contains("no user has two items"));
        assert!(refusal(&bare, Split::KFold { folds: usize::MAX }).contains("fewer pairs of user and item than folds"));
        assert!(refusal(&data(1, &[(0, 0, 1), (0, 0, 2)]), Split::default()).contains("only one pair"));
        assert!(refusal(&data(1, &[]), Split::default()).contains("no rows to split"));
        let pairs = data(1, &[(0, 0, 1), (0, 0, 2), (0, 1, 3)]);
        assert!(refusal(&pairs, Split::KFold { folds: 3 }).contains("fewer pairs"));
        for test in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(refusal(&bare, Split::Random { test }).starts_with("parameter `split.test` = "));
        }
        assert_eq!(refusal(&bare, Split::KFold { folds: 1 }), "parameter `split.folds` = 1, expected at least 2");
    }

    /// Recorded results depend on these rows.
    #[test]
    fn draws_are_stable() {
        let grid: Vec<_> = (0..4).flat_map(|user| (0..4).map(move |item| (user, item, 0))).collect();
        let test = |rule| run(&data(4, &grid), rule).unwrap().folds.iter().map(|f| places(&f.test)).collect::<Vec<_>>();
        assert_eq!(test(Split::Random { test: 0.2 }), [[5, 8, 12].into()]);
        assert_eq!(test(Split::PerUser { test: 0.2 }), [[3, 5, 9, 12].into()]);
        assert_eq!(test(Split::KFold { folds: 4 })[..2], [[5, 7, 14, 15].into(), [0, 2, 3, 13].into()]);
    }

    proptest! {
        #[test]
        fn every_row_is_on_one_side(rows in prop::collection::vec((0u32..6, 0u32..9, 0i64..5), 2..60)) {
            let data = data(6, &rows);
            let all = places(&data.ratings);
            let units = pairs(&data.ratings).len();
            for rule in EVERY {
                let Ok(got) = run(&data, rule.clone()) else {
                    // The reasons have tests of their own.
                    let may_fail = units < 3 || !matches!(rule, Split::Random { .. } | Split::KFold { .. });
                    prop_assert!(may_fail, "{:?}", rule);
                    continue;
                };
                prop_assert_eq!(&got, &run(&data, rule.clone()).unwrap());
                let by_pair = matches!(rule, Split::Random { .. } | Split::PerUser { .. } | Split::KFold { .. });
                for Fold { train, test, .. } in &got.folds {
                    prop_assert!(places(train).is_disjoint(&places(test)));
                    prop_assert_eq!(&places(train) | &places(test), all.clone());
                    prop_assert_eq!((test.users(), test.items()), (6, 9));
                    prop_assert!(!by_pair || pairs(train).is_disjoint(&pairs(test)));
                }
                let Fold { train, test, .. } = &got.folds[0];
                match rule {
                    Split::Random { .. } => prop_assert_eq!(pairs(test).len(), (units * 3 / 10).max(1)),
                    Split::GlobalTime { .. } => {
                        prop_assert!(train.times().unwrap().iter().max() < test.times().unwrap().iter().min());
                    }
                    Split::PerUser { .. } => for user in 0..6 {
                        let of = |rows: &Interactions| pairs(rows).iter().filter(|p| p.0 == user).count();
                        let n = of(train) + of(test);
                        prop_assert_eq!(of(test), if n < 2 { 0 } else { (n * 3 / 10).max(1) });
                    },
                    Split::LeaveLastOut => for user in 0..6 {
                        let n = data.ratings.by_user().count(user);
                        prop_assert_eq!(test.by_user().count(user), usize::from(n > 1));
                    },
                    _ => {
                        let sizes: Vec<_> = got.folds.iter().map(|f| pairs(&f.test).len()).collect();
                        prop_assert_eq!(sizes.iter().sum::<usize>(), units);
                        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
                        prop_assert_eq!(got.folds[2].label.as_str(), "fold 3/3");
                    }
                }
            }
        }

        #[test]
        fn more_users_and_another_order_change_no_user(rows in prop::collection::vec((0u32..6, 0u32..9), 2..60)) {
            let unique: BTreeSet<_> = rows.iter().map(|&(u, i)| (u, i, 0)).collect();
            let few: Vec<_> = unique.iter().copied().filter(|r| r.0 < 4).collect();
            let many: Vec<_> = unique.into_iter().rev().collect();
            let rule = Split::PerUser { test: 0.4 };
            let test = |users, rows: &[_]| run(&data(users, rows), rule.clone()).map(|f| pairs(&f.folds[0].test));
            if let (Ok(few), Ok(many)) = (test(4, &few), test(6, &many)) {
                prop_assert_eq!(few, many.into_iter().filter(|p| p.0 < 4).collect());
            }
        }
    }
}
