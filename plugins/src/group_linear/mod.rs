//! Tables whose groups follow linear rules of their own, for group regressors.
//!
//! Rows have features drawn uniformly, and are in one group of each attribute, independently of their features and of the
//! other attributes. Groups of different attributes overlap. Every group g has a rule, by which every row has a label:
//!
//! ```text
//! label of row t in group g      y_tg = x_t . w_g + x_t' S_g x_t + e_tg        e_tg ~ N(0, noise^2), independent
//! label of row t                 the mean, least or greatest y_tg of its groups, or that of its dominant group
//! ```
//!
//! S_g is a full matrix, not symmetric. Linear and quadratic term are there where asked for. The dominant group of a row is
//! its first one in an order of the groups that is drawn once. Where groups disagree, no single linear function predicts
//! all of them well; what serves a group best is known because the world is made up.
//!
//! Labels are scaled to 0 to 1 by the least and the greatest of the whole table: those of later rows too, which is fair
//! in a simulation only. The features of the table are x alone; who is in which group stands beside them
//! ([`evenhand_core::GroupTable::with_indicators`] joins both).
//!
//! Acharya, Arunachaleswaran, Kannan, Roth & Ziani, "Oracle efficient algorithms for groupwise regret", ICLR 2024,
//! arXiv 2310.04652. Differences from the published generator:
//! - Each row has streams of its own for features, memberships and noise, each group one for its rule: no global generator,
//!   the same bits at any number of threads, and the same features whatever the labels are made of.
//! - Its "width" of the noise is the standard deviation, and is called that here.
//! - Labels are scaled by what they are, not by their column's name.
//!
//! An older notebook takes `over = "all"`, features and weights from 0 to 100, no noise and no scaling.

mod attributes;
mod draw;
mod labels;
#[cfg(test)]
mod tests;

pub use labels::{Aggregation, Drawn, Over, Rule, aggregate, scaled};

use attributes::Attribute;
use evenhand_core::{Environment, Error, GroupData, GroupTable, Params, Result, Run, Simulator, plugin};

plugin! {
    /// Tables of rows in overlapping groups, each of which has a linear or quadratic rule for labels of its own.
    pub struct GroupLinear: Simulator = "group-linear",
        from "Acharya et al. 2024, Oracle efficient algorithms for groupwise regret, ICLR, arXiv 2310.04652" {
        /// Number of rows.
        samples: usize = 10000, in 1..;
        /// Number of features.
        features: usize = 20, in 1..;
        /// Attributes, each with its groups and their chances, which add up to 1: "NAME: GROUP CHANCE, GROUP CHANCE, ...".
        /// The group is called NAME=GROUP. A chance of 0 makes an empty group.
        attributes: Vec<String> = vec![
            "SHAPE: circle 0.5, square 0.3, triangle 0.2".into(),
            "COLOR: green 0.6, red 0.4".into(),
        ];
        /// Least feature.
        feature_low: f64 = 0.0, in -1e50..=1e50;
        /// Features stay below this; where it equals `feature_low`, all are that.
        feature_high: f64 = 1.0, in -1e50..=1e50;
        /// Whether labels have a linear term.
        linear: bool = true;
        /// Least weight of a feature.
        weight_low: f64 = 0.0, in -1e50..=1e50;
        /// Weights of features stay below this, or equal `weight_low`.
        weight_high: f64 = 1.0, in -1e50..=1e50;
        /// Whether labels have a quadratic term.
        quadratic: bool = false;
        /// Least weight of a product of two features.
        quadratic_low: f64 = 0.0, in -1e50..=1e50;
        /// Weights of products stay below this, or equal `quadratic_low`.
        quadratic_high: f64 = 1.0, in -1e50..=1e50;
        /// Standard deviation of the noise of each row's label in each group, before scaling.
        noise: f64 = 0.16, in 0.0..=1e50;
        /// How the labels of several groups become that of the row.
        label: Aggregation = Aggregation::Mean;
        /// Which groups count for the label of a row.
        over: Over = Over::Active;
        /// Whether labels are scaled to 0 to 1 over the whole table; equal labels become 0.
        scaled: bool = true;
    }
}

impl Simulator for GroupLinear {
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>> {
        let drawn = self.draw(run)?;
        let raw = drawn.labels(self.label, self.over)?;
        let labels = if self.scaled { scaled(&raw) } else { raw };
        run.check()?;
        let column = format!("y_{}_{}", self.label.word(), self.over.word());
        Ok(Box::new(Emitted(GroupData::new(Self::NAME, drawn.into_table()?, column, labels)?)))
    }
}

/// A world that is all in its table.
struct Emitted(GroupData);

impl Environment for Emitted {
    fn table(&self) -> Result<GroupData> {
        Ok(self.0.clone())
    }
}

impl GroupLinear {
    /// Draws everything that the table is made of, the raw labels of all rows in all groups included. The rest of the
    /// parameters, `label`, `over` and `scaled`, plays no part.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for parameters out of range or that do not go together, and for attributes that can not be
    /// read; [`Error::Cancelled`].
    pub fn draw(&self, run: &Run) -> Result<Drawn> {
        self.check()?;
        let attributes = attributes::read(&self.attributes)?;
        self.check_together(&attributes)?;
        draw::draw(self, &attributes, run)
    }

    fn check_together(&self, attributes: &[Attribute]) -> Result<()> {
        for (field, low, high, of) in [
            ("feature_low", self.feature_low, self.feature_high, "feature_high"),
            ("weight_low", self.weight_low, self.weight_high, "weight_high"),
            ("quadratic_low", self.quadratic_low, self.quadratic_high, "quadratic_high"),
        ] {
            if low > high {
                return Err(refuse(field, low.to_string(), format!("at most {of} = {high}")));
            }
        }
        if !self.linear && !self.quadratic && self.noise == 0.0 {
            let range = "true where quadratic = false and noise = 0: all labels would be 0";
            return Err(refuse("linear", "false".into(), range.into()));
        }
        // So many numbers are 32 GiB.
        let groups = attributes.iter().map(|attribute| attribute.groups.len()).sum::<usize>();
        let most = u32::MAX as usize / groups;
        let squared = self.features.saturating_mul(self.features);
        if self.features > most || (self.quadratic && squared > most) {
            let term = if self.quadratic { " and quadratic = true" } else { "" };
            let most = if self.quadratic { most.isqrt() } else { most };
            return Err(refuse(
                "features",
                self.features.to_string(),
                format!("at most {most} with {groups} groups{term}"),
            ));
        }
        let most = u32::MAX as usize / (self.features + groups);
        if self.samples > most {
            let range = format!("at most {most} with features = {} and {groups} groups", self.features);
            return Err(refuse("samples", self.samples.to_string(), range));
        }
        Ok(())
    }
}

/// A parameter that does not go together with others.
fn refuse(field: impl Into<String>, value: String, range: String) -> Error {
    Error::OutOfRange { plugin: Some(GroupLinear::NAME.into()), field: field.into(), value, range }
}

impl Drawn {
    /// The table without labels: features `x_0`, `x_1`, ..., and the groups.
    ///
    /// # Errors
    /// [`Error::Shape`] where parts of it do not agree in size.
    pub fn into_table(self) -> Result<GroupTable> {
        let names = (0..self.features.nrows()).map(|at| format!("x_{at}")).collect();
        GroupTable::new(self.features, self.membership, names, self.groups)
    }
}
