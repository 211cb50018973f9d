//! The `[split]` table of an experiment; the meaning of the rules in full is in the [module above](super).

use evenhand_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};

/// How rows are divided into train and test: the `[split]` table of an experiment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Split {
    /// `floor(test * n)` of the `n` pairs, at least one and not all, uniformly.
    Random {
        /// Share of the pairs, above 0 and below 1.
        #[serde(default = "tenth")]
        test: f64,
    },
    /// `floor(test * n)` of the `n` pairs of each user, at least one and not all, uniformly.
    ///
    /// So every user with two pairs is measured, however few they are: under plain rounding, users with few ratings
    /// would drop out of every comparison of groups. A user with one pair stays in train. Each user has a random stream
    /// of its own, by index: more users do not change the draw of the others.
    PerUser {
        /// Share of the pairs of each user, above 0 and below 1.
        #[serde(default = "tenth")]
        test: f64,
    },
    /// The newest row of each user; among equal times the one with the highest item index, then the one read last.
    ///
    /// A user with one row stays in train. Needs times. Other users' training rows may be newer: see the module.
    #[serde(deserialize_with = "no_fields")]
    LeaveLastOut,
    /// The newest share of all rows; every train row is older than every test row.
    ///
    /// Rows with equal times stay together: the cut moves to the boundary nearest to `floor(test * n)` test rows, to
    /// the larger test among equally near ones. A result more than a tenth away from it is a warning. Needs times.
    GlobalTime {
        /// Share of the rows, above 0 and below 1.
        #[serde(default = "tenth")]
        test: f64,
    },
    /// A random partition of the pairs into parts that differ by one pair at most; each part is the test of one fold.
    KFold {
        /// Number of parts, at least 2 and at most the number of pairs. Memory holds one fold at a time.
        #[serde(default = "five")]
        folds: usize,
    },
    /// The data set's own test rows.
    #[serde(deserialize_with = "no_fields")]
    Given,
}

/// A tenth of the rows at random.
impl Default for Split {
    fn default() -> Self {
        Self::Random { test: tenth() }
    }
}

fn tenth() -> f64 {
    0.1
}

fn five() -> usize {
    5
}

/// Left alone, serde lets unit variants of a tagged enum pass any field: `test` with `leave-last-out` would be ignored.
fn no_fields<'de, D: Deserializer<'de>>(fields: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(fields).map(|Nothing {}| ())
}

impl Split {
    /// The kind as written in an experiment, e.g. `per-user`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Random { .. } => "random",
            Self::PerUser { .. } => "per-user",
            Self::LeaveLastOut => "leave-last-out",
            Self::GlobalTime { .. } => "global-time",
            Self::KFold { .. } => "k-fold",
            Self::Given => "given",
        }
    }

    /// Checks what can be checked without data.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a share outside of (0, 1) or fewer than two folds.
    pub fn check(&self) -> Result<()> {
        let refuse = |field: &str, value: String, range: &str| {
            Err(Error::OutOfRange { plugin: None, field: field.into(), value, range: range.into() })
        };
        match *self {
            // Written so that NaN is refused.
            Self::Random { test } | Self::PerUser { test } | Self::GlobalTime { test }
                if !(0.0 < test && test < 1.0) =>
            {
                refuse("split.test", test.to_string(), "a share above 0 and below 1")
            }
            Self::KFold { folds } if folds < 2 => refuse("split.folds", folds.to_string(), "at least 2"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One of each kind.
    pub(in super::super) const EVERY: [Split; 6] = [
        Split::Random { test: 0.3 },
        Split::PerUser { test: 0.3 },
        Split::LeaveLastOut,
        Split::GlobalTime { test: 0.3 },
        Split::KFold { folds: 3 },
        Split::Given,
    ];

    #[test]
    fn the_table_of_an_experiment_is_read_strictly() {
        let read = |text: &str| toml::from_str::<Split>(text);
        assert_eq!(read("kind = 'random'").unwrap(), Split::default());
        assert_eq!(read("kind = 'k-fold'").unwrap(), Split::KFold { folds: 5 });
        assert_eq!(read("kind = 'leave-last-out'").unwrap(), Split::LeaveLastOut);
        let said = |text| read(text).unwrap_err().to_string();
        assert!(said("kind = 'leave-last-out'\ntest = 0.1").contains("unknown field `test`"));
        assert!(said("kind = 'given'\nfolds = 2").contains("unknown field `folds`"));
        assert!(said("kind = 'global-time'\nvalid = 0.1").contains("unknown field `valid`"));
        assert!(said("kind = 'time'").contains("`global-time`"));
        for rule in EVERY {
            let text = toml::to_string(&rule).unwrap();
            assert!(text.contains(&format!("kind = \"{}\"", rule.name())));
            assert_eq!(read(&text).unwrap(), rule);
        }
    }
}
