//! The precision in which a plugin computes: a parameter that several share.

use evenhand_core::choice;

choice! {
    /// Precision of factors and sums while fitting.
    pub enum Precision {
        /// Single.
        F32 = "f32",
        /// Double.
        F64 = "f64",
    }
}
