//! Golden cases: files of inputs and expected results, one folder per system, computed outside this project.
//!
//! Each JSON file states its `kind`, which alone decides how it is checked; names of files and cases do not matter. A
//! text file is of the kind `synthetic-letters` where every line holds only the letters P, N, p and n. Every file of
//! the folder must be understood: one that is not, an unknown kind, and a folder in which nothing was checked are failures.
//! Markdown files are ignored.
//!
//! Kinds that need a data file too large or not free to ship look for it below `EVENHAND_DATA`, and say so where that is not
//! set.
//!
//! `EVENHAND_GOLDEN` names another root folder with the same sub-folders; a relative path counts from the workspace.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Checks one file; returns the number of cases that agree, which must not be 0.
pub(crate) type Check = fn(&File) -> Result<usize, String>;

/// The kinds of files in the folder of one system.
pub(crate) struct System {
    /// Name of the folder.
    pub(crate) folder: &'static str,
    /// Kinds that are checked, and how.
    pub(crate) kinds: &'static [(&'static str, Check)],
    /// Kinds that belong to a system that is not in this crate yet: listed, but not covered.
    pub(crate) elsewhere: &'static [&'static str],
    /// Those among `kinds` that need a file of [`data`]: listed, but not covered, where there is none.
    pub(crate) with_data: &'static [&'static str],
}

/// One file of a folder.
pub(crate) struct File {
    /// What decides how it is checked.
    pub(crate) kind: String,
    /// All of it.
    pub(crate) text: String,
}

/// By how much results may differ from the expected ones.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Tolerance {
    relative: f64,
    absolute: f64,
}

impl File {
    fn read(path: &Path) -> Result<Self, String> {
        let extension = path.extension().unwrap_or_default();
        if extension != "json" && extension != "txt" {
            return Err("neither .json nor .txt nor .md".into());
        }
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let kind = if extension == "json" {
            #[derive(Deserialize)]
            struct Head {
                kind: String,
            }
            serde_json::from_str::<Head>(&text).map_err(|e| e.to_string())?.kind
        } else if !text.is_empty() && text.lines().all(|l| !l.is_empty() && l.bytes().all(|b| b"PNpn".contains(&b))) {
            "synthetic-letters".into()
        } else {
            return Err("a text of no known kind".into());
        };
        Ok(Self { kind, text })
    }

    /// The `cases` of a JSON file.
    #[allow(dead_code, reason = "some files are one case")]
    pub(crate) fn cases<C: DeserializeOwned>(&self) -> Result<Vec<C>, String> {
        #[derive(Deserialize)]
        struct Body<C> {
            cases: Vec<C>,
        }
        serde_json::from_str::<Body<C>>(&self.text).map(|b| b.cases).map_err(|e| e.to_string())
    }

    /// The `tolerance` of a JSON file.
    #[allow(dead_code, reason = "not every system has one")]
    pub(crate) fn tolerance(&self) -> Result<Tolerance, String> {
        #[derive(Deserialize)]
        struct Body {
            tolerance: Tolerance,
        }
        serde_json::from_str::<Body>(&self.text).map(|b| b.tolerance).map_err(|e| e.to_string())
    }
}

impl Tolerance {
    /// For files that do not state theirs.
    #[allow(dead_code, reason = "most do")]
    pub(crate) const fn new(relative: f64, absolute: f64) -> Self {
        Self { relative, absolute }
    }

    /// Whether `got` is near enough to `expected`; a NaN never is.
    #[allow(dead_code, reason = "not every system has one")]
    pub(crate) fn near(&self, what: impl std::fmt::Display, got: f64, expected: f64) -> Result<(), String> {
        if (got - expected).abs() <= self.absolute.max(self.relative * expected.abs()) {
            return Ok(());
        }
        Err(format!("{what}: {got}, expected {expected} within {self:?}"))
    }
}

/// The folder of a system: below `EVENHAND_GOLDEN` where that is set, else the fixtures of this crate. A relative path
/// counts from the root of the workspace, where the tests are started, not from this crate, where they run.
pub(crate) fn folder(system: &System) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = match std::env::var_os("EVENHAND_GOLDEN") {
        Some(root) => package.join("..").join(root),
        None => package.join("tests/golden"),
    };
    root.join(system.folder)
}

/// The folder of data files of a system, where `EVENHAND_DATA` is set. A relative path counts as that of [`folder`].
#[allow(dead_code, reason = "most need none")]
pub(crate) fn data(system: &System) -> Option<PathBuf> {
    let root = std::env::var_os("EVENHAND_DATA")?;
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(root).join(system.folder))
}

/// Checks every file of a folder; returns the number of files checked.
///
/// # Errors
/// Everything that is wrong, one line each.
pub(crate) fn check(system: &System, folder: &Path) -> Result<usize, String> {
    let list = std::fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> = list.map_err(|e: std::io::Error| format!("{}: {e}", folder.display()))?;
    paths.retain(|p| p.extension().is_none_or(|e| e != "md"));
    paths.sort();
    let (mut covered, mut wrong) = (0, Vec::new());
    for path in &paths {
        match check_file(system, path) {
            Ok(Some(line)) => {
                covered += 1;
                println!("{}: {line}", path.display());
            }
            Ok(None) => {}
            Err(reason) => wrong.push(format!("{}: {reason}", path.display())),
        }
    }
    if covered == 0 {
        wrong.push(format!("{}: no file was checked", folder.display()));
    }
    if wrong.is_empty() { Ok(covered) } else { Err(wrong.join("\n")) }
}

fn check_file(system: &System, path: &Path) -> Result<Option<String>, String> {
    let file = File::read(path)?;
    let not_covered = |why: &str| {
        println!("{}: not covered: {why}", path.display());
        Ok(None)
    };
    if system.elsewhere.contains(&file.kind.as_str()) {
        return not_covered("it belongs to a system not in this crate yet");
    }
    if system.with_data.contains(&file.kind.as_str()) && data(system).is_none() {
        return not_covered("it needs a data file, and EVENHAND_DATA is not set");
    }
    let Some((kind, check)) = system.kinds.iter().find(|(kind, _)| *kind == file.kind) else {
        let known: Vec<_> = system.kinds.iter().map(|k| k.0).chain(system.elsewhere.iter().copied()).collect();
        return Err(format!("unknown kind `{}`; known: {}", file.kind, known.join(", ")));
    };
    match check(&file)? {
        0 => Err("holds no case".into()),
        cases => Ok(Some(format!("{kind}, {cases} cases agree"))),
    }
}
