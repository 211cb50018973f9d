//! Linear functions that are learned row by row, by ridge regression in closed form.
//!
//! With `A = lambda I + sum x x'` and `b = sum y x` over the rows observed so far, and `P` the inverse of A:
//!
//! ```text
//! ridge      predicts  theta . x                 theta = P b
//! forward    predicts  theta . x / (1 + q)       q = x' P x
//! both learn           theta += P x (y - theta . x) / (1 + q)
//!                      P     -= P x (P x)' / (1 + q)
//! ```
//!
//! The second one counts the row to be predicted into A, but not into b: the forward algorithm of Azoury & Warmuth and of
//! Vovk. Both learn the same.
//!
//! An update costs two passes over the d x d numbers of P, one to make P x and one to take the product off. The second one
//! waits for the next row and goes with its first: P is read and written once per row.
//!
//! Sources: Sherman & Morrison 1950 for the inverse; Vovk, "Competitive on-line statistics", 2001; Azoury & Warmuth,
//! "Relative loss bounds for on-line density estimation with the exponential family of distributions", 2001.

mod bank;
mod state;

pub(crate) use bank::Bank;
pub(crate) use state::{Forecaster, Rule};
