//! What the reader says about a table: which column is what.

use super::super::options::Separator;
use super::rule::GroupRule;
use evenhand_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which column of a table is what. Only `label` must be given.
///
/// ```toml
/// label = "charges"
/// features = ["age", "bmi", "children"]
/// categories = ["sex", "smoker", "region"]
/// groups = [
///     { column = "age", bins = [35, 50], labels = ["young", "middle", "old"], feature = true },
///     { column = "sex" },
///     "g_*",
/// ]
/// scale = ["*"]
/// scale_label = true
/// ```
///
/// Where columns are named, a name may be a pattern with `*` for any text. Patterns never take the label; a column that
/// several names fit is taken once, where the first one stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// The column to predict; numbers.
    pub label: String,
    /// The columns that are features as they stand, numbers: names or patterns.
    ///
    /// None means every column that is neither the label nor in `categories` nor used by `groups`. Columns of groups
    /// are features only where they are listed here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Columns of categories, names or patterns, of at most 1000 values each: every value, sorted, becomes a 0/1 feature
    /// `column=value`. All values are kept, none is a reference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// The groups, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRule>,
    /// The numeric features, names or patterns, that become `(x - smallest) / (largest - smallest)` over the whole
    /// table, so that they lie in 0..=1; a constant one becomes 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<String>,
    /// Whether the label is scaled so too. That takes the smallest and the largest label of all rows, also of those
    /// that a regressor sees last.
    pub scale_label: bool,
    /// What stands between two fields; by default recognised in the first lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,
}

impl TableOptions {
    /// Refuses what no table could fit.
    pub(super) fn check(&self) -> Result<()> {
        let nameless = |names: &[String]| names.iter().any(String::is_empty);
        for (field, nameless) in [
            ("features", nameless(&self.features)),
            ("categories", nameless(&self.categories)),
            ("groups", self.groups.iter().any(|rule| rule.column().is_empty())),
            ("scale", nameless(&self.scale)),
        ] {
            if nameless {
                let range = "names of columns or patterns; one without a name has no role".into();
                return Err(Error::OutOfRange { plugin: None, field: field.into(), value: "``".into(), range });
            }
        }
        self.groups.iter().try_for_each(GroupRule::check)
    }
}
