//! The options of loading, from the command line alone.

use super::document::Document;
use crate::failure::Failure;
use crate::load::Options;

/// The options of loading that the changes `data.KEY=VALUE` come to, as an experiment has them.
///
/// # Errors
/// [`Failure::Usage`] or [`Failure::Experiment`] for the first change that is none.
pub(crate) fn load_options(changes: &[String]) -> Result<Options, Failure> {
    let mut document = Document::parse("", "")?;
    for change in changes {
        let origin = format!("--set {change}");
        let parts = change.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let Some((key, value)) = parts.filter(|(key, _)| key.starts_with("data.")) else {
            let text = format!("{origin}: expected data.KEY=VALUE, e.g. --set data.select.top_items=100");
            return Err(Failure::Usage(text));
        };
        document.set_toml(key, value, origin)?;
    }
    match document.root.remove("data").map(toml::Spanned::into_inner) {
        Some(toml::de::DeValue::Table(table)) => document.read(table, 0..0, "data", &[]),
        _ => Ok(Options::default()),
    }
}
