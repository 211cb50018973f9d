//! Reports of a comparison: a terminal table, one long table of all numbers, a summary as JSON.

mod attack;
mod choice;
mod columns;
mod fairness;
mod front;
mod groupwise;
mod harm;
mod interactive;
mod long;
mod periods;
mod rating;
mod summary;
mod table;

pub use attack::{AttackSummary, ControlSummary};
pub use choice::{Choice, Chosen};
pub use groupwise::{GroupRunSummary, GroupwiseSummary, WithoutR2};
pub use harm::{CaseSummary, HarmSummary};
pub use interactive::{AgentSummary, Band, InteractiveSummary, MeanCurve};
pub use long::{results_csv, timings_csv};
pub use periods::{curves_csv, periods_csv};
pub use summary::{FailedCell, MeanFigure, OfflineSummary, SettingSummary, Summary};
pub(crate) use table::new_table;
pub use table::terminal;
