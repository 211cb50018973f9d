//! Validation rows: a share of the training rows that settings are chosen by, so that test rows need not.

use super::{Fold, Split, draw};
use evenhand_core::{Error, Result, Streams};

impl Split {
    /// Checks that a share of the training rows can be held out under this rule.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a share outside of (0, 1), and for a rule that draws no share.
    pub fn check_validation(&self, share: f64) -> Result<()> {
        let refuse = |range: String| {
            let field = "split.validation".into();
            Err(Error::OutOfRange { plugin: None, field, value: share.to_string(), range })
        };
        if matches!(self, Self::LeaveLastOut | Self::Given) {
            let known = "random, per-user, global-time and k-fold";
            return refuse(format!("none with split `{}`, which draws no share of the rows; {known} do", self.name()));
        }
        // Written so that NaN is refused.
        if !(0.0 < share && share < 1.0) {
            return refuse("a share above 0 and below 1".into());
        }
        Ok(())
    }
}

impl Fold {
    /// The same with a share of the training rows held out by the same kind of rule as the test rows: of all pairs at
    /// random for `random` and `k-fold`, of each user's pairs for `per-user`, the newest rows for `global-time`.
    ///
    /// # Errors
    /// As [`Split::check_validation`]; [`Error::Unusable`] where a side would be empty or times are missing.
    pub fn with_validation(&self, rule: &Split, share: f64, streams: &Streams) -> Result<Self> {
        rule.check_validation(share)?;
        let rows = &self.train;
        let streams = streams.child(&format!("split/validation/{}/{}", rule.name(), self.label));
        let held_out = match rule {
            Split::PerUser { .. } => draw::per_user(rows, share, &streams),
            Split::GlobalTime { .. } => {
                let times = rows.times().ok_or_else(|| Error::Unusable("not every training row has a time".into()))?;
                draw::newest(times, share).0
            }
            _ => draw::random(rows, share, &mut streams.rng(0)),
        };
        let kept: Vec<bool> = held_out.iter().map(|held| !held).collect();
        let (train, validation) = (rows.select(&kept)?, rows.select(&held_out)?);
        if train.is_empty() || validation.is_empty() {
            let text = "`split.validation` leaves no rows on one side: too few training rows";
            return Err(Error::Unusable(format!("{text} ({})", rows.len())));
        }
        Ok(Self { label: self.label.clone(), train, test: self.test.clone(), validation: Some(validation) })
    }

    /// The items of a user's training and validation rows, ascending and distinct: no candidates for a recommendation.
    pub fn seen(&self, user: usize) -> Vec<u32> {
        let mut seen = self.train.by_user().partners(user).to_vec();
        if let Some(validation) = &self.validation {
            seen.extend(validation.by_user().partners(user));
            seen.sort_unstable();
        }
        seen.dedup();
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Interactions, Rows};
    use std::collections::BTreeSet;

    /// 12 users x 9 items; the value is the place, the time the item.
    fn fold() -> Fold {
        let rows = |of: fn(&u32) -> bool| {
            let mut rows = Rows::default();
            for place in (0..108).filter(of) {
                rows.push(place / 9, place % 9, place as f32);
                rows.times.push(i64::from(place % 9));
            }
            Interactions::new(12, 9, &rows).unwrap()
        };
        Fold { label: String::new(), train: rows(|p| p % 9 < 8), test: rows(|p| p % 9 == 8), validation: None }
    }

    fn places(rows: &Interactions) -> BTreeSet<u32> {
        rows.iter().map(|row| row.2 as u32).collect()
    }

    #[test]
    fn training_rows_are_held_out_by_the_rule_of_the_test_rows() {
        let fold = fold();
        for rule in [
            Split::Random { test: 0.1 },
            Split::PerUser { test: 0.1 },
            Split::GlobalTime { test: 0.1 },
            Split::KFold { folds: 3 },
        ] {
            let draw = |seed| fold.with_validation(&rule, 0.25, &Streams::new(seed)).unwrap();
            let got = draw(1);
            let (train, held) = (places(&got.train), places(got.validation.as_ref().unwrap()));
            assert_eq!((held.len(), train.len()), (24, 72), "{rule:?}");
            assert!(train.is_disjoint(&held) && &train | &held == places(&fold.train));
            assert_eq!((&got.test, &draw(1)), (&fold.test, &got));
            match rule {
                Split::PerUser { .. } => {
                    assert!((0..12).all(|u| got.validation.as_ref().unwrap().by_user().count(u) == 2));
                }
                Split::GlobalTime { .. } => assert!(held.iter().all(|place| matches!(place % 9, 6 | 7))),
                _ => assert_ne!(draw(2), got),
            }
            assert_eq!(got.seen(3), [0, 1, 2, 3, 4, 5, 6, 7], "{rule:?}");
        }
    }

    #[test]
    fn what_can_not_be_held_out_is_refused() {
        let said = |rule: Split, share| rule.check_validation(share).unwrap_err().to_string();
        for share in [0.0, 1.0, f64::NAN] {
            assert!(said(Split::default(), share).starts_with("parameter `split.validation` = "));
        }
        let expected =
            "expected none with split `given`, which draws no share of the rows; random, per-user, global-time";
        assert!(said(Split::Given, 0.1).contains(expected));
        assert!(said(Split::LeaveLastOut, 0.1).contains("split `leave-last-out`"));
        let mut rows = Rows::default();
        rows.push(0, 0, 1.0);
        let one = Interactions::new(12, 9, &rows).unwrap();
        let few = Fold { train: one, ..fold() };
        let error = few.with_validation(&Split::default(), 0.5, &Streams::new(1)).unwrap_err().to_string();
        assert!(error.contains("too few training rows (1)"), "{error}");
        let rows = Interactions::new(12, 9, &Rows::default()).unwrap();
        assert_eq!(Fold { train: rows, ..fold() }.seen(0), [0u32; 0]);
    }
}
