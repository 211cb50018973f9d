//! Which files make up a data set, by their names.

use super::options::{Format, Options};
use evenhand_core::{Error, Result};
use std::path::{Path, PathBuf};

/// The files of one data set; side tables only where they exist.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Files {
    pub(super) format: Format,
    /// What the data set is called: the folder, or the file without its ending.
    pub(super) name: String,
    pub(super) ratings: PathBuf,
    pub(super) test: Option<PathBuf>,
    pub(super) users: Option<PathBuf>,
    pub(super) items: Option<PathBuf>,
    /// Names of the genre flags of MovieLens 100K.
    pub(super) genres: Option<PathBuf>,
}

/// Pairs of file names that make up a folder already split.
const PAIRS: [(&str, &str); 3] =
    [("trainingset.tsv", "testset.tsv"), ("train.tsv", "test.tsv"), ("train.csv", "test.csv")];
/// What is looked for in a folder, for messages.
const LOOKED_FOR: &str = "`u.data` (MovieLens 100K), `ratings.dat` (MovieLens 1M), `ratings.csv` (MovieLens latest), \
    `*.inter` (RecBole), or a pair `trainingset.tsv` and `testset.tsv`, `train.tsv` and `test.tsv`, \
    `train.csv` and `test.csv`";

/// Finds the files of the data set at `path`.
pub(super) fn find(path: &Path, options: &Options) -> Result<Files> {
    let about = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    let mut files = if about.is_dir() { in_folder(path, options.format)? } else { of_file(path, options.format)? };
    if let Some(test) = &options.test {
        files.test = Some(beside_data(path, test));
    }
    Ok(files)
}

/// The file `test` beside the ratings of the data set at `path`, never in the folder that happens to be the current one.
pub(crate) fn beside_data(path: &Path, test: &Path) -> PathBuf {
    if path.is_dir() { path.join(test) } else { folder_of(path).join(test) }
}

fn in_folder(folder: &Path, format: Format) -> Result<Files> {
    let has = |name: &str| folder.join(name).is_file();
    let pair = || PAIRS.into_iter().find(|(train, test)| has(train) && has(test));
    let inter = || atomic(folder);
    let format = match format {
        Format::Auto if has("u.data") => Format::Movielens100k,
        Format::Auto if has("ratings.dat") => Format::Movielens1m,
        Format::Auto if has("ratings.csv") && has("movies.csv") => Format::MovielensCsv,
        Format::Auto if !inter()?.is_empty() => Format::Recbole,
        Format::Auto if pair().is_some() => Format::TrainTest,
        Format::Auto if has("ratings.csv") => Format::Delimited,
        Format::Auto => return Err(Error::data(folder, format!("no known data set; looked for {LOOKED_FOR}"))),
        given => given,
    };
    let missing = |what: &str| Error::data(folder, format!("no {} data set; looked for {what}", format.name()));
    let need = |name: &str| if has(name) { Ok(folder.join(name)) } else { Err(missing(&format!("`{name}`"))) };
    let ratings = match format {
        Format::Movielens100k => need("u.data")?,
        Format::Movielens1m => need("ratings.dat")?,
        Format::MovielensCsv | Format::Delimited => need("ratings.csv")?,
        Format::Recbole => the_atomic(folder, inter()?)?,
        Format::TrainTest | Format::Auto => {
            let (train, _) = pair().ok_or_else(|| missing("a pair `trainingset.tsv` and `testset.tsv`"))?;
            folder.join(train)
        }
    };
    let mut files = beside(ratings, format);
    files.name = name_of(folder, folder.file_name());
    if format == Format::TrainTest {
        files.test = pair().map(|(_, test)| folder.join(test));
    }
    Ok(files)
}

fn of_file(file: &Path, format: Format) -> Result<Files> {
    let folder = folder_of(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let has = |name: &str| folder.join(name).is_file();
    let format = match format {
        Format::Auto if has("u.user") && (name == "u.data" || name.ends_with(".base")) => Format::Movielens100k,
        Format::Auto if name == "ratings.dat" => Format::Movielens1m,
        Format::Auto if name == "ratings.csv" && has("movies.csv") => Format::MovielensCsv,
        Format::Auto if name.ends_with(".inter") => Format::Recbole,
        Format::Auto => Format::Delimited,
        Format::TrainTest => {
            let reason = "a file, expected a folder with a training and a test file; or give the option `test`";
            return Err(Error::data(file, reason));
        }
        given => given,
    };
    Ok(beside(file.to_path_buf(), format))
}

/// The ratings file with the side tables that stand beside it.
fn beside(ratings: PathBuf, format: Format) -> Files {
    let folder = folder_of(&ratings);
    let present = |path: PathBuf| path.is_file().then_some(path);
    let (users, items) = match format {
        Format::Movielens100k => (present(folder.join("u.user")), present(folder.join("u.item"))),
        Format::Movielens1m => (present(folder.join("users.dat")), present(folder.join("movies.dat"))),
        Format::MovielensCsv => (None, present(folder.join("movies.csv"))),
        Format::Recbole => (present(ratings.with_extension("user")), present(ratings.with_extension("item"))),
        Format::TrainTest | Format::Delimited | Format::Auto => (None, None),
    };
    let genres = present(folder.join("u.genre")).filter(|_| format == Format::Movielens100k);
    let name = name_of(&ratings, ratings.file_stem());
    Files { format, name, ratings, test: None, users, items, genres }
}

/// The RecBole interaction files of a folder, sorted.
fn atomic(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|e| e == "inter") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The only interaction file, or the one that is called like its folder.
fn the_atomic(folder: &Path, mut found: Vec<PathBuf>) -> Result<PathBuf> {
    if let Some(at) = found.iter().position(|f| f.file_stem() == folder.file_name()) {
        return Ok(found.swap_remove(at));
    }
    if found.len() > 1 {
        let names: Vec<_> = found.iter().filter_map(|f| f.file_name()).map(|n| n.to_string_lossy()).collect();
        return Err(Error::data(folder, format!("several data sets, give the file: {}", names.join(", "))));
    }
    found.pop().ok_or_else(|| Error::data(folder, "no recbole data set; looked for `*.inter`"))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The last part of a path, also where that is `.` or `..`.
fn name_of(path: &Path, last: Option<&std::ffi::OsStr>) -> String {
    let last = last.map(|l| l.to_string_lossy().into_owned());
    let full = || Some(path.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned());
    last.or_else(full).unwrap_or_else(|| "data".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        names.iter().for_each(|n| std::fs::write(dir.path().join(n), "").unwrap());
        dir
    }

    fn found(names: &[&str], file: &str) -> Files {
        find(&folder(names).path().join(file), &Options::default()).unwrap()
    }

    #[test]
    fn formats_are_known_by_their_files() {
        assert_eq!(found(&["u.data"], "").format, Format::Movielens100k);
        assert_eq!(found(&["ua.base", "u.user"], "ua.base").format, Format::Movielens100k);
        assert_eq!(found(&["ratings.dat", "movies.dat"], "").format, Format::Movielens1m);
        assert_eq!(found(&["ratings.csv", "movies.csv"], "").format, Format::MovielensCsv);
        assert_eq!(found(&["ratings.csv"], "").format, Format::Delimited);
        assert_eq!(found(&["x.inter"], "").format, Format::Recbole);
        assert_eq!(found(&["trainingset.tsv", "testset.tsv"], "").format, Format::TrainTest);
        let files = found(&["a.inter", "a.user", "b.inter"], "a.inter");
        assert_eq!((files.name.as_str(), files.users.is_some(), files.items.is_some()), ("a", true, false));
    }

    #[test]
    fn a_test_file_stands_beside_the_ratings() {
        let dir = folder(&["a.tsv", "b.tsv"]);
        let options = |test: &str| Options { test: Some(test.into()), ..Options::default() };
        let test = |name: &str| find(&dir.path().join("a.tsv"), &options(name)).unwrap().test.unwrap();
        assert_eq!(test("b.tsv"), dir.path().join("b.tsv"));
        // `Cargo.toml` exists in the current folder.
        assert_eq!(test("Cargo.toml"), dir.path().join("Cargo.toml"));
        assert_eq!(test("/a/b.tsv"), Path::new("/a/b.tsv"));
        assert_eq!(beside_data(dir.path(), Path::new("b.tsv")), dir.path().join("b.tsv"));
    }

    #[test]
    fn what_is_not_found_is_named() {
        let say = |names: &[&str], format| {
            let dir = folder(names);
            find(dir.path(), &Options { format, ..Options::default() }).unwrap_err().to_string()
        };
        assert!(say(&["readme"], Format::Auto).contains("no known data set; looked for `u.data`"));
        assert!(say(&["u.data"], Format::Movielens1m).ends_with("no movielens-1m data set; looked for `ratings.dat`"));
        assert!(say(&["train.csv"], Format::TrainTest).contains("`trainingset.tsv` and `testset.tsv`"));
        assert!(say(&["b.inter", "a.inter"], Format::Auto).ends_with("give the file: a.inter, b.inter"));
        assert!(say(&[], Format::Recbole).contains("`*.inter`"));
        let error = find(Path::new("/nowhere/at-all"), &Options::default()).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/at-all: "), "{error}");
        let dir = folder(&["a.tsv"]);
        let options = Options { format: Format::TrainTest, ..Options::default() };
        assert!(find(&dir.path().join("a.tsv"), &options).unwrap_err().to_string().contains("expected a folder"));
    }
}
