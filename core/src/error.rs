//! One error type for the whole framework, structured by what the reader can do about it.

use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The source of an error that comes from a plugin or a library.
pub type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Everything that can go wrong, by remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No plugin of that name is linked in. Remedy: correct the name, or link the crate.
    #[error("no {kind} plugin `{name}`{}; linked in: {}", did_you_mean(.nearest), list(.known))]
    UnknownPlugin {
        /// Kind of plugin, e.g. `recommender`.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The linked name nearest to it, if any is near.
        nearest: Option<String>,
        /// Every linked name of this kind, sorted.
        known: Vec<String>,
    },
    /// Two linked plugins of one kind share a name. Remedy: rename or unlink one.
    #[error("two {kind} plugins are called `{name}`: {first} and {second}")]
    DuplicatePlugin {
        /// Kind of plugin.
        kind: &'static str,
        /// The shared name.
        name: &'static str,
        /// Where the first one was declared.
        first: String,
        /// Where the second one was declared.
        second: String,
    },
    /// The parameters of a plugin could not be read: unknown field, wrong type, unknown choice.
    #[error("parameters of `{plugin}`: {reason}{}", did_you_mean(.nearest))]
    Params {
        /// Name of the plugin.
        plugin: String,
        /// What the reader of the parameters objected to.
        reason: String,
        /// The field at fault, where known.
        field: Option<String>,
        /// The known field nearest to an unknown one, if any is near.
        nearest: Option<String>,
    },
    /// A parameter lies outside its documented range.
    #[error("{}parameter `{field}` = {value}, expected {range}", of_plugin(.plugin))]
    OutOfRange {
        /// Name of the plugin, where it is a plugin's parameter.
        plugin: Option<String>,
        /// Name of the field; nested fields are joined by dots.
        field: String,
        /// The value given.
        value: String,
        /// The range expected.
        range: String,
    },
    /// Two things that must agree in size do not.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was measured.
        what: &'static str,
        /// The size expected.
        expected: String,
        /// The size found.
        got: String,
    },
    /// Numbers ran away. Remedy: smaller step, more regularisation.
    #[error("{what} became non-finite{}", at_step(.step))]
    Diverged {
        /// What ran away.
        what: String,
        /// Epoch, sweep or period, counted from 0, where it happened in one.
        step: Option<usize>,
    },
    /// Input data is not what it should be.
    #[error("{}{}: {reason}", .path.display(), line_suffix(.line))]
    Data {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, where it applies.
        line: Option<u64>,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// A data set is well-formed but unusable for what was asked.
    #[error("data: {0}")]
    Unusable(String),
    /// A snapshot can not be restored.
    #[error("snapshot: {0}")]
    Snapshot(String),
    /// A plugin does not offer what was asked of it.
    #[error("`{plugin}` does not support {operation}")]
    Unsupported {
        /// The plugin or model kind.
        plugin: String,
        /// What was asked.
        operation: &'static str,
    },
    /// A compute device failed or is missing.
    #[error("device: {0}")]
    Device(String),
    /// The run was asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The operating system refused something.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An error of a plugin's own.
    #[error(transparent)]
    Plugin(#[from] Source),
}

impl Error {
    /// A [`Error::Data`] about a whole file.
    pub fn data(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().to_path_buf(), line: None, reason: reason.into() }
    }

    /// A [`Error::Data`] about one line, counted from 1.
    pub fn line(path: impl AsRef<Path>, line: u64, reason: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().to_path_buf(), line: Some(line), reason: reason.into() }
    }

    /// A [`Error::Io`].
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// A [`Error::Shape`].
    pub fn shape(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.to_string(), got: got.to_string() }
    }
}

/// The candidate nearest to `name`, if near enough to be a plausible slip.
///
/// ```
/// assert_eq!(evenhand_core::nearest("alz", ["als", "random"]), Some("als".to_string()));
/// assert_eq!(evenhand_core::nearest("zzz", ["als", "random"]), None);
/// // Upper and lower case are the least of slips.
/// assert_eq!(evenhand_core::nearest("m", ["F", "M"]), Some("M".to_string()));
/// assert_eq!(evenhand_core::nearest("SCI-FI", ["War", "Sci-Fi"]), Some("Sci-Fi".to_string()));
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    let distance =
        |k: &str| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), strsim::damerau_levenshtein(name, k));
    known
        .into_iter()
        .map(|k| (distance(k), k))
        .filter(|&((slips, _), k)| slips <= 1.max(name.len().max(k.len()) / 3))
        .min()
        .map(|(_, k)| k.to_string())
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn of_plugin(plugin: &Option<String>) -> String {
    plugin.as_ref().map_or_else(String::new, |p| format!("`{p}`: "))
}

fn at_step(step: &Option<usize>) -> String {
    step.map_or_else(String::new, |s| format!(" at step {s}"))
}

fn line_suffix(line: &Option<u64>) -> String {
    line.map_or_else(String::new, |l| format!(":{l}"))
}
