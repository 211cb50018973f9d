//! Passes over all cells of the users x items matrix, for trainers whose loss is a function of sums over cells.

use crate::fairness::{Classes, Pointwise};
use crate::{Interactions, Result, Squash};
use nalgebra::DMatrix;

/// What passes over all cells compute, for factors that change from one pass to the next.
///
/// With factors w of the users and v of the items: `z_ui = w_u . v_i`, `y_ui = squash(z_ui)`; f is a [`Pointwise`]
/// function.
#[derive(Clone, Copy, Debug)]
pub struct CellProblem<'a> {
    /// Length of a factor vector.
    pub rank: usize,
    /// Numbers from the factors of one entity to those of the next one; what follows the factors is ignored.
    pub width: usize,
    /// The training rows. They say how many users and items there are.
    pub train: &'a Interactions,
    /// From products to predictions.
    pub squash: Squash,
    /// f: what is summed.
    pub of: Pointwise,
    /// Class of every user.
    pub users: &'a Classes,
    /// Class of every item.
    pub items: &'a Classes,
}

/// Passes over all cells by a backend, in single precision; see [`Dense::cell_passes`](super::Dense::cell_passes).
///
/// Products z are chains of fused multiply-adds over the factors in order, the same bits everywhere. f, its slope and
/// the squash are computed from z in single precision, exponentials within 1e-6 of their largest value. What is added
/// up from them has an error of at most
///
/// ```text
/// Z[a, b]    2^-16              * sum over the cells of both classes of |f(y_ui)|
/// dL/dw_uk   (2^-16 + n 2^-29)  * (  sum over items of |c f'(y_ui) squash'(z_ui) v_ik|
///                                  + 2 accuracy sum over rows of (|r| + |y_ui|) |squash'(z_ui) v_ik|)
/// ```
///
/// with n the number of items, and likewise for items. The same calls on the same backend give the same bits.
///
/// What is not finite comes through: neither a sum nor a number of a gradient is finite where the same in double
/// precision, of those products, is not. So a product that is NaN makes NaN each sum that it is in, whatever the
/// squash; an infinite one counts with the limits of squash and f; and where a factor of one item is not finite, the
/// gradient of that factor is not for any user, as zero times it is NaN. The gradient of a user whose factors are not
/// finite may be NaN even where its limit is finite. The same holds for items.
pub trait CellPasses: Send {
    /// Loads factors, rows of the problem's width for all users and all items, and returns `Z[a, b] = sum f(y_ui)` over
    /// the users u of class a and the items i of class b.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for slices of another length;
    /// [`Error::Device`](crate::Error::Device) where the device fails.
    fn sums(&mut self, users: &[f32], items: &[f32]) -> Result<DMatrix<f64>>;

    /// Adds to `users` and `items`, rows as those of the factors, the gradient of
    /// `sum over cells of coefficient[a, b] f(y_ui) + accuracy * sum over training rows of (r - y)^2` at the factors
    /// last loaded. Returns the sum over training rows of `(r - y)^2`.
    ///
    /// # Errors
    /// As [`Self::sums`]; also for coefficients of another shape than the classes.
    fn add_gradient(
        &mut self,
        coefficient: &DMatrix<f64>,
        accuracy: f64,
        users: &mut [f32],
        items: &mut [f32],
    ) -> Result<f64>;
}
