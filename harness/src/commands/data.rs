//! `data describe`: what a data set holds.

use super::{print, print_json};
use crate::cli;
use crate::experiment::load_options;
use crate::failure::{End, Failure};
use crate::load;
use crate::progress::printable_lines;

pub(super) fn run(args: &cli::DataDescribe) -> Result<End, Failure> {
    let (data, notes) = load::load_with_notes(&args.path, &load_options(&args.set)?).map_err(Failure::of_data)?;
    let description = load::describe(&data);
    if args.json {
        print_json(&serde_json::json!({ "data": description, "notes": notes }))?;
    } else {
        print(&printable_lines(&format!("{description}{notes}\n")))?;
    }
    Ok(End::Fine)
}
