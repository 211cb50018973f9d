//! Whether there is a model for each group, or one for all rows.

use evenhand_core::choice;

choice! {
    /// From which rows a model learns.
    pub enum Scope {
        /// One model for each group, from its rows alone; a row is predicted by the mean of the models of its groups.
        PerGroup = "per-group",
        /// One model of all rows, whatever their groups.
        Pooled = "pooled",
    }
}
