//! Tables for group regressors: features, memberships in groups and a label in a file whose first line names the
//! columns.
//!
//! ```csv
//! age,sex,bmi,g_north,g_south,cost
//! 19,female,27.9,0,1,16884.92
//! ```
//!
//! * **Roles.** [`TableOptions`] say which column is the label, which are features and what makes the groups. A column
//!   may have several roles, but the label only one.
//! * **Features**, in this order: numeric columns, scaled or not; a 0/1 feature for each value of a column of
//!   categories; the groups that are features too.
//! * **Groups** are 0/1 columns, the values of a column, or the intervals of a numeric column. Intervals are of the
//!   numbers as they stand in the file, whether or not the feature is scaled. A group may be without members.
//! * **Order.** Rows stand in the order of the file: a table of [orders](load_orders) speaks of the rows from 0.
//! * **Cells** that should be numbers and are empty, not finite or no numbers are errors, as are empty cells of a
//!   column of categories or groups. Columns without a role may hold anything, and those without a name never have one.
//! * **Text** is read as in the other tables: see [`load`](super). Fields between commas or semicolons may be quoted;
//!   a line break in the name of a column is a blank.

mod build;
mod cells;
mod columns;
mod options;
mod orders;
mod pattern;
mod plan;
mod rule;
#[cfg(test)]
mod tests;

pub use options::TableOptions;
pub use orders::load_orders;
pub use rule::{Closed, GroupRule};

use cells::Cells;
use columns::Columns;
use evenhand_core::{GroupData, Result};
use plan::Plan;
use std::path::Path;

/// The table in the file at `path`, called after the file without its ending. Time and memory are linear in the cells
/// that have a role.
///
/// # Errors
/// [`Error::Io`](evenhand_core::Error::Io); [`Error::OutOfRange`](evenhand_core::Error::OutOfRange) for rules of groups
/// that no table could fit; [`Error::Data`](evenhand_core::Error::Data), with the line, for a column that is not there
/// (with the nearest and all names), a pattern that no column fits, a label that is a feature or a group too, two
/// features or groups of one name, a group called `all`, a quote that is not closed, line ends of CR only, lines of
/// another number of fields than the first one, a cell that does not say what its column is for, and a file without
/// rows.
pub fn load_table(path: &Path, options: &TableOptions) -> Result<GroupData> {
    options.check()?;
    let cells = Cells::open(path, options.separator)?;
    let plan = Plan::new(&cells, options)?;
    let columns = Columns::read(&cells, plan.wanted())?;
    build::table(&cells, &plan, columns, options)
}
