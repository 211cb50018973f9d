//! Users who change with what they consume: where they end up, what that is worth, and how it depends on what they are
//! shown.
//!
//! The behaviour is that of [`Harm`](evenhand_core::Harm)'s module. Everything here is exact: profiles are solved for, not
//! simulated; gradients go through the solution; means over sets are sums or integrals, not draws.
//!
//! With scores in units of c, `s_i = exp(v_i . u - ln c)`, S their sum and S_H that of harmful items, a lottery enters by
//! `kappa = mean of 1 / (s_E + 1)` and `a_i = mean of [i in E] / (s_E + 1)` alone:
//!
//! | what | formula |
//! | --- | --- |
//! | probability that item i is consumed | `p_i = s_i (a_i + kappa / S)` |
//! | stationary profile | `u = (beta u0 + sum of alpha_i p_i v_i) / (beta + sum of alpha_i p_i)` |
//! | click | `sum of s_i a_i` |
//! | harm | `(S_H / S) (1 - click)` |
//!
//! Sources: Chee, Kalyanaraman, Ernala, Weinsberg, Dean & Ioannidis, "Harm mitigation in recommender systems under user
//! preference dynamics", KDD 2024.

mod catalogue;
mod derivative;
mod exp;
mod fixed_point;
mod mixture;
mod quadrature;
mod search;
mod sensitivity;
mod sets;
mod uniform;
mod users;
mod value;

pub use catalogue::Catalogue;
pub use derivative::{Figure, Slope};
pub use fixed_point::{FoundBy, REPORTED, SEARCHED, Stationary};
pub use search::{Effort, Protocol, Search, drawn_sets};
pub use sensitivity::Sensitivity;
pub use users::Users;
pub use value::{Consumed, Outlook, Value};
