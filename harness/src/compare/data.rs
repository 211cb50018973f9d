//! The data that parts of a comparison share.

use super::cells::Runner;
use crate::cell;
use crate::experiment::Source;
use crate::failure::Failure;
use crate::load;
use crate::panics;
use crate::progress::Progress;
use evenhand_core::{Dataset, Error, Run};

/// Data, loaded or made.
pub(crate) struct Loaded {
    pub(crate) data: Dataset,
    pub(crate) digest: String,
    /// What was guessed about it.
    pub(crate) remarks: Vec<String>,
}

impl Loaded {
    /// Loads the data, or has it made.
    pub(crate) fn open(source: &Source, base: &Run, progress: &Progress) -> Result<Self, Failure> {
        let read = || match source {
            Source::Path { path, options } => {
                let (data, notes) = base.install(|| load::load_with_notes(path, options))?;
                progress.note(&format!("  read    {notes}"));
                Ok((data, notes.remarks))
            }
            Source::Simulator { recipe, seed, protect } => {
                let mut data = recipe.open(&base.clone().with_seed(*seed).child("data"))?.dataset()?;
                data.check()?;
                protect.apply(&mut data)?;
                let doubts = load::doubts(&data);
                Ok((data, doubts))
            }
        };
        let data = panics::caught(read).map_err(|panic| Failure::Data(Error::Unusable(panic)))?;
        let (data, remarks) = data.map_err(Failure::of_data)?;
        data.check().map_err(Failure::Data)?;
        Ok(Self { digest: cell::digest(&data), data, remarks })
    }

    /// Says on stderr what it is.
    pub(super) fn announce(&self, runner: &Runner<'_>) {
        let data = load::describe(&self.data);
        let say = |text: String| runner.host.progress.note(&text);
        say(format!("  data    {}  {} users  {} items  {} rows", data.name, data.users, data.items, data.rows));
        for groups in data.user_groups.iter().filter(|g| !g.protected) {
            say(format!("  groups  users by {groups}"));
        }
        for (side, groupings) in [("users", &data.user_groups), ("items", &data.item_groups)] {
            groupings.iter().filter(|g| g.protected).for_each(|groups| say(format!("  groups  {side} by {groups}")));
        }
    }
}
