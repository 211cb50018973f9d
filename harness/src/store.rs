//! The output folder: finished cells and tables, every file written beside and renamed when whole.
//!
//! ```text
//! DIR/experiment.effective.toml   the experiment as it was run, command-line changes included
//! DIR/cells/KEY.json              one finished cell each; a later run finds it by its key
//! DIR/cells/KEY.actions.csv       its actions, of agents that were asked to log them
//! DIR/cells/KEY.users.csv         the numbers of every user, where they are asked for; see `per_user`
//! DIR/results.csv                 all numbers, one per row
//! DIR/timings.csv                 how long each cell took; apart: equal seeds give equal results.csv byte for byte
//! DIR/periods.csv                 all numbers of agents, a row for each seed and period, with times
//! DIR/curves.csv                  mean and band over seeds of every number of agents and every period
//! DIR/actions.csv                 all of these; see `off_policy`
//! DIR/users.csv                   all numbers of every user
//! DIR/summary.json                means and deviations, failures, what was compared
//! ```

use crate::cell::Outcome;
use crate::failure::Failure;
use crate::off_policy::{self, Action};
use crate::per_user::{self, PerUser};
use evenhand_core::Ids;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An output folder that can be written.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    fresh: bool,
}

impl Store {
    /// Tries to write to the folder, and leaves nothing behind: folders are made with the first file. With `fresh`,
    /// finished cells are not looked at.
    ///
    /// # Errors
    /// [`Failure::Output`] where it can not be written.
    pub fn open(dir: &Path, fresh: bool) -> Result<Self, Failure> {
        let cells = dir.join("cells");
        let missing: Vec<&Path> = dir.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
        let probe = |folder: &Path| new_file(folder).and_then(|mut probe| probe.write_all(b"probe"));
        let tried = fs::create_dir_all(dir).and_then(|()| probe(dir));
        // The innermost first; one that somebody else has put something into by now stays.
        missing.iter().all(|folder| fs::remove_dir(folder).is_ok());
        let refuse = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Failure::Output { path, source }
        };
        tried.map_err(refuse(dir))?;
        if cells.exists() {
            probe(&cells).map_err(refuse(&cells))?;
        }
        Ok(Self { dir: dir.into(), fresh })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The finished cell of that key. One that can not be read counts as missing: it is run again.
    pub fn finished(&self, key: &str) -> Option<Outcome> {
        if self.fresh { None } else { self.kept(key) }
    }

    /// The same, also where cells are measured anew.
    pub(crate) fn kept(&self, key: &str) -> Option<Outcome> {
        let outcome: Outcome = serde_json::from_slice(&fs::read(self.path(key)).ok()?).ok()?;
        (outcome.key == key).then_some(outcome)
    }

    /// Keeps a finished cell.
    ///
    /// # Errors
    /// [`Failure::Write`].
    pub fn keep(&self, outcome: &Outcome) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(outcome).expect("plain data");
        text.push(b'\n');
        write_whole(&self.path(&outcome.key), &text)
    }

    /// Whether the actions of a cell are there and can be read.
    pub(crate) fn has_actions(&self, key: &str) -> bool {
        off_policy::read(&self.actions_path(key)).is_ok()
    }

    /// Keeps the actions of a cell; `agent` is what it is called now. Without any, those of an earlier run go.
    ///
    /// # Errors
    /// [`Failure::Write`].
    pub(crate) fn keep_actions(&self, key: &str, agent: &str, seed: u64, actions: &[Action]) -> Result<(), Failure> {
        let path = self.actions_path(key);
        if actions.is_empty() {
            return remove(path);
        }
        write_whole_with(&path, |file| {
            let mut log = off_policy::Writer::new(file)?;
            actions.iter().try_for_each(|action| log.action(seed, agent, action))?;
            log.finish()
        })
    }

    /// Writes the actions of the cells with those keys, agents and seeds to one table, one cell in memory at a time;
    /// cells without any are left out.
    ///
    /// # Errors
    /// [`Failure::Write`]; [`Failure::Data`] for kept actions that can not be read.
    pub(crate) fn write_actions<'a>(
        &self,
        name: &str,
        cells: impl Iterator<Item = (&'a str, &'a str, u64)>,
    ) -> Result<(), Failure> {
        let mut unreadable = None;
        let written = write_whole_with(&self.dir.join(name), |file| {
            let mut all = off_policy::Writer::new(file)?;
            for (key, agent, seed) in cells {
                let path = self.actions_path(key);
                if !path.exists() {
                    continue;
                }
                let logs = off_policy::read(&path).map_err(|error| {
                    unreadable = Some(Failure::Data(error));
                    io::Error::from(io::ErrorKind::InvalidData)
                })?;
                let actions = logs.iter().flat_map(|log| &log.actions);
                actions.into_iter().try_for_each(|action| all.action(seed, agent, action))?;
            }
            all.finish()
        });
        unreadable.map_or(written, Err)
    }

    /// Whether the metrics of every user of a cell are there, all of them, and can be read.
    pub(crate) fn has_users(&self, outcome: &Outcome) -> bool {
        let mut rows = 0;
        let counted = per_user::read(&self.users_path(&outcome.key), |_, _| {
            rows += 1;
            Ok(())
        });
        counted.is_ok() && outcome.user_rows == Some(rows)
    }

    /// Keeps the metrics of every user of a cell. Where they are not asked for, those of an earlier run go.
    ///
    /// # Errors
    /// [`Failure::Write`].
    pub(crate) fn keep_users(&self, key: &str, users: Option<&[PerUser]>) -> Result<(), Failure> {
        let path = self.users_path(key);
        match users {
            Some(users) => write_whole_with(&path, |file| per_user::write(users, file)),
            None => remove(path),
        }
    }

    /// Writes the metrics of every user of the cells with those keys to one table, a line in memory at a time; with
    /// each key the protocol, label, seed and fold of the cell. `ids` are the names of the users. Cells without any are
    /// left out.
    ///
    /// # Errors
    /// [`Failure::Write`]; [`Failure::Data`] for kept metrics that can not be read.
    pub(crate) fn write_users<'a>(
        &self,
        name: &str,
        cells: impl Iterator<Item = (&'a str, [String; 4])>,
        ids: &Ids,
    ) -> Result<(), Failure> {
        let mut unreadable = None;
        let written = write_whole_with(&self.dir.join(name), |file| {
            let mut all = per_user::Joined::new(file, ids)?;
            for (key, of_cell) in cells {
                let path = self.users_path(key);
                if path.exists() {
                    per_user::read(&path, |user, line| all.line(&of_cell, user, line)).map_err(|error| {
                        unreadable = Some(Failure::Data(error));
                        io::Error::from(io::ErrorKind::InvalidData)
                    })?;
                }
            }
            all.finish()
        });
        unreadable.map_or(written, Err)
    }

    fn users_path(&self, key: &str) -> PathBuf {
        self.dir.join("cells").join(format!("{key}.users.csv"))
    }

    fn actions_path(&self, key: &str) -> PathBuf {
        self.dir.join("cells").join(format!("{key}.actions.csv"))
    }

    /// One of the tables as it is there.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join(name)).ok()
    }

    /// Writes one of the tables.
    ///
    /// # Errors
    /// [`Failure::Write`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        write_whole(&self.dir.join(name), bytes)
    }

    /// Removes one of the tables, if it is there.
    ///
    /// # Errors
    /// [`Failure::Write`].
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        remove(self.dir.join(name))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join("cells").join(format!("{key}.json"))
    }
}

/// Removes a file, if it is there.
fn remove(path: PathBuf) -> Result<(), Failure> {
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Failure::Write { path, source }),
        _ => Ok(()),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_whole_with(path, |file| file.write_all(bytes))
}

/// Writes a file under another name in the same folder, waits for the disk, and renames it: nobody sees half of it.
fn write_whole_with(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = new_file(folder)?;
        let mut buffer = io::BufWriter::new(file.as_file_mut());
        content(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| Failure::Write { path: path.into(), source })
}

fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    // Temporary files are private by default; these become results, readable as the user's other files are.
    #[cfg(unix)]
    builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Curve, Figure, Seconds};

    fn outcome() -> Outcome {
        let figure = Figure { metric: "ndcg".into(), k: Some(10), group: None, value: 0.1 + 0.2, n: 7 };
        let seconds = Seconds { fit: 0.5, evaluate: 1e-9 };
        Outcome {
            key: "abc".into(),
            cell: serde_json::json!({ "seed": 1 }),
            figures: vec![figure],
            curves: vec![Curve { metric: "mean-regret".into(), group: None, values: vec![None, Some(0.1)] }],
            attacks: Vec::new(),
            times: Vec::new(),
            user_rows: None,
            seconds,
            build: Some("b".into()),
            device: "cpu".into(),
        }
    }

    #[test]
    fn a_cell_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("new/er"), false).unwrap();
        assert_eq!(store.finished("abc"), None);
        store.keep(&outcome()).unwrap();
        store.keep(&outcome()).unwrap();
        assert_eq!(store.finished("abc"), Some(outcome()));
        assert_eq!(Store::open(store.dir(), true).unwrap().finished("abc"), None);
        let names: Vec<_> = fs::read_dir(store.dir().join("cells")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["abc.json"]);
    }

    #[test]
    fn a_damaged_or_misnamed_cell_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        store.keep(&outcome()).unwrap();
        let path = dir.path().join("cells/abc.json");
        fs::copy(&path, dir.path().join("cells/abd.json")).unwrap();
        assert_eq!(store.finished("abd"), None);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(store.finished("abc"), None);
    }

    #[test]
    fn a_folder_that_can_not_be_written_is_refused_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Store::open(&file.path().join("below"), false).unwrap_err();
        assert_eq!(refused.code(), 2);
    }

    #[test]
    fn folders_are_made_with_the_first_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("a/b"), false).unwrap();
        assert!(!dir.path().join("a").exists());
        store.write("results.csv", b"x").unwrap();
        assert!(!dir.path().join("a/b/cells").exists());
        Store::open(store.dir(), false).unwrap();
        assert_eq!(store.read("results.csv").unwrap(), b"x");
    }
}
