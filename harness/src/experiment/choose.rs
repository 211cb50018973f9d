//! Choosing between settings without a look at the test rows: the `[choose]` table, and `split.validation`.
//!
//! ```toml
//! [split]
//! kind = "random"
//! validation = 0.1              # share of the training rows, held out of training
//!
//! [choose]
//! over = ["lambda"]             # settings that differ in these parameters alone are one group: one is chosen of each
//! by = "dee"                    # the smallest mean of dee, val, ugf, cvs, or of the rmse on validation rows
//! within = { rmse = 1.02 }      # among those with at most 1.02 times the lowest rmse on validation rows of their group
//! reference = "mf"              # times that of the setting with this label instead; optional
//! ```
//!
//! A nested parameter is named by its path: `fairness.tau`.

use super::document::{self, Document, Table};
use super::reader::Reader;
use super::{Setting, grid};
use crate::failure::Failure;
use crate::protocol::VALIDATION_RMSE;
use crate::split::Split;
use evenhand_core::{Error, Groups, Protected, nearest};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::ops::Range;

/// How one setting of each group is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choose {
    /// Parameters in which the settings of a group differ.
    pub over: Vec<String>,
    /// What is made small.
    pub by: By,
    /// What may be given up for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Label of the setting that `within` refers to; by default the best one of each group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What a choice makes small. None of them looks at test rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Differential of equal experience of the ratings.
    Dee,
    /// Value unfairness.
    Val,
    /// User-group fairness of the ratings.
    Ugf,
    /// Calders-Verwer score of the ratings.
    Cvs,
    /// Error on the validation rows.
    Rmse,
}

impl By {
    /// The figure that is made small.
    pub(crate) fn metric(self) -> &'static str {
        match self {
            Self::Dee => "dee",
            Self::Val => "val",
            Self::Ugf => "ugf",
            Self::Cvs => "cvs",
            Self::Rmse => VALIDATION_RMSE,
        }
    }

    /// Checks that `protected` groups are there for what is made small.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where they are not: nothing could be chosen, however long the comparison runs.
    pub(crate) fn check(self, protected: Protected<'_>) -> Result<(), Error> {
        let users = protected.users.map_or(0, Groups::len);
        let items = protected.items.map_or(0, Groups::len);
        let (there, what) = match self {
            Self::Dee => (users > 0 && items > 0, "of users and of items"),
            Self::Val => (users > 1, "of users, at least two"),
            Self::Ugf => (users > 0, "of users"),
            Self::Cvs => (items > 0, "of items"),
            Self::Rmse => (true, ""),
        };
        if there {
            return Ok(());
        }
        let range = format!("`rmse`, or data with protected groups {what}: see data.user_groups and data.item_groups");
        let name = self.metric();
        Err(Error::OutOfRange { plugin: None, field: "choose.by".into(), value: format!("`{name}`"), range })
    }
}

/// Bounds on what is given up, as factors of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// Of the error on validation rows; at least 1.
    pub rmse: f64,
}

impl Choose {
    /// Whether two settings are of one group.
    pub fn same_group(&self, a: &Setting, b: &Setting) -> bool {
        let rest = |s: &Setting| {
            let mut params = s.params.clone();
            self.over.iter().for_each(|path| remove(&mut params, path));
            params
        };
        a.plugin == b.plugin && rest(a) == rest(b)
    }

    /// Checks what can be checked without results.
    ///
    /// # Errors
    /// [`Failure::Experiment`] at the key that is wrong.
    pub(super) fn check(
        &self,
        place: &Places<'_, '_>,
        settings: &[Setting],
        validation: Option<f64>,
    ) -> Result<(), Failure> {
        if self.over.is_empty() {
            return Err(place.error("over", "`choose.over`: expected at least one parameter"));
        }
        for path in &self.over {
            if !settings.iter().any(|s| has(&s.params, path)) {
                let mut known = Vec::new();
                settings.iter().for_each(|s| paths(&s.params, "", &mut known));
                let hint = nearest(path, known.iter().map(String::as_str));
                let hint = hint.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
                let text = format!("`choose.over`: no recommender of this experiment has a parameter `{path}`{hint}");
                return Err(place.error("over", text));
            }
        }
        if let Some(Within { rmse }) = self.within
            && !(rmse.is_finite() && rmse >= 1.0)
        {
            return Err(place.error("within", format!("`choose.within.rmse` = {rmse}, expected a factor from 1")));
        }
        if let Some(label) = &self.reference {
            if self.within.is_none() {
                return Err(place.error("reference", "`choose.reference` without `choose.within`, which refers to it"));
            }
            if !settings.iter().any(|s| s.label == *label) {
                let hint = nearest(label, settings.iter().map(|s| s.label.as_str()));
                let hint = hint.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
                return Err(place.error("reference", format!("`choose.reference`: no label `{label}`{hint}")));
            }
        }
        if validation.is_none() && (self.by == By::Rmse || self.within.is_some()) {
            let key = if self.within.is_some() { "within" } else { "by" };
            let text =
                "`[choose]` by rmse needs validation rows, or test rows would decide; add `split.validation = 0.1`";
            return Err(place.error(key, text));
        }
        Ok(())
    }
}

/// Where the keys of the table stand.
pub(super) struct Places<'a, 't> {
    document: &'a Document<'t>,
    table: Table<'t>,
    span: Range<usize>,
}

impl Places<'_, '_> {
    fn error(&self, key: &str, reason: impl Into<String>) -> Failure {
        let span = self.table.get(key).map_or(self.span.clone(), |value| value.span());
        self.document.error(span, reason)
    }
}

/// Reads the table, and keeps where its keys stand.
pub(super) fn read<'a, 't>(
    reader: &Reader<'a, 't>,
    value: document::Value<'t>,
) -> Result<(Choose, Places<'a, 't>), Failure> {
    let span = value.span();
    let table = reader.table(value, "choose")?;
    let choose = reader.document.read(table.clone(), span.clone(), "choose", &[])?;
    Ok((choose, Places { document: reader.document, table, span }))
}

/// Takes `validation` out of the `[split]` table: the share, and where it stands.
pub(super) fn validation<'t>(
    document: &Document<'t>,
    split: &mut Table<'t>,
) -> Result<Option<(f64, Range<usize>)>, Failure> {
    let Some(value) = split.remove("validation") else { return Ok(None) };
    let share = grid::json(document, &value)?.as_f64();
    let share = share.ok_or_else(|| document.error(value.span(), "`split.validation` must be a number"))?;
    Ok(Some((share, value.span())))
}

/// Checks the share that [`validation`] has read.
pub(super) fn check_validation(
    document: &Document<'_>,
    rule: &Split,
    given: Option<(f64, Range<usize>)>,
) -> Result<Option<f64>, Failure> {
    let Some((share, span)) = given else { return Ok(None) };
    rule.check_validation(share).map_err(|e| document.error(span, e.to_string()))?;
    Ok(Some(share))
}

fn has(params: &Json, path: &str) -> bool {
    path.split('.').try_fold(params, |json, key| json.get(key)).is_some()
}

/// Adds the paths of all parameters, nested ones too.
fn paths(params: &Json, before: &str, known: &mut Vec<String>) {
    for (key, value) in params.as_object().into_iter().flatten() {
        let path = format!("{before}{key}");
        paths(value, &format!("{path}."), known);
        known.push(path);
    }
}

fn remove(params: &mut Json, path: &str) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parents.split('.').filter(|key| !key.is_empty()).try_fold(params, |json, key| json.get_mut(key));
    if let Some(Json::Object(map)) = parent {
        map.remove(last);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, Overrides};
    use super::*;
    use std::path::Path;

    const HEAD: &str = "[data]\npath = 'x'\n[split]\nkind = 'random'\nvalidation = 0.2\n";
    const RUN: &str = "[[run]]\nrecommender = 'als'\nparams = { factors = [4, 8], lambda = [0.1, 0.2] }\n\
                       [[run]]\nrecommender = 'popularity'\n";

    fn parse(text: &str) -> Result<Experiment, Failure> {
        Experiment::parse("e.toml", text, Path::new(""), &Overrides::default())
    }

    #[test]
    fn settings_that_differ_in_what_is_chosen_over_are_of_one_group() {
        let choose = "[choose]\nover = ['lambda']\nby = 'dee'\nwithin = { rmse = 1.02 }\n";
        let whole = parse(&format!("{HEAD}{choose}{RUN}")).unwrap();
        let e = whole.offline.unwrap();
        assert_eq!(e.validation, Some(0.2));
        let choose = e.choose.unwrap();
        assert_eq!((choose.by, choose.within, &choose.reference), (By::Dee, Some(Within { rmse: 1.02 }), &None));
        let same = |a: usize, b: usize| choose.same_group(&e.settings[a], &e.settings[b]);
        assert!(same(0, 1) && same(2, 3) && same(4, 4) && !same(0, 2) && !same(3, 4));
        let again = parse(&whole.effective).unwrap().offline.unwrap();
        assert_eq!((again.validation, again.choose), (Some(0.2), Some(choose)));
    }

    #[test]
    fn nested_parameters_are_named_by_their_path() {
        let mut params = serde_json::json!({ "a": { "b": 1, "c": 2 }, "d": 3 });
        assert!(has(&params, "a.b") && has(&params, "d") && !has(&params, "a.d") && !has(&params, "b"));
        let mut known = Vec::new();
        paths(&params, "", &mut known);
        assert_eq!(known, ["a.b", "a.c", "a", "d"]);
        ["a.b", "d", "x.y", "d.e"].iter().for_each(|path| remove(&mut params, path));
        assert_eq!(params, serde_json::json!({ "a": { "c": 2 } }));
    }

    #[test]
    fn what_the_data_has_no_groups_for_is_refused() {
        let group = |n: u32| Groups::new("g", 9, (0..n).map(|g| (g.to_string(), vec![g])).collect()).unwrap();
        let (one, two) = (group(1), group(2));
        let refused = |users, items| -> Vec<&str> {
            let all = [By::Dee, By::Val, By::Ugf, By::Cvs, By::Rmse].into_iter();
            all.filter(|by| by.check(Protected { users, items }).is_err()).map(By::metric).collect()
        };
        assert_eq!(refused(None, None), ["dee", "val", "ugf", "cvs"]);
        assert_eq!(refused(Some(&one), None), ["dee", "val", "cvs"]);
        assert_eq!(refused(None, Some(&two)), ["dee", "val", "ugf"]);
        assert_eq!(refused(Some(&two), Some(&one)), [""; 0]);
        let said = By::Cvs.check(Protected { users: None, items: None }).unwrap_err().to_string();
        let expected = "parameter `choose.by` = `cvs`, expected `rmse`, or data with protected groups of items";
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn mistakes_are_placed() {
        let plain = "[data]\npath = 'x'\n";
        let choose = |keys: &str| format!("{HEAD}[choose]\n{keys}\n{RUN}");
        for (text, expected) in [
            (
                choose("over = ['lamda']\nby = 'dee'"),
                "e.toml:7:8: `choose.over`: no recommender of this experiment has a parameter `lamda` (did",
            ),
            (choose("over = []\nby = 'dee'"), "e.toml:7:8: `choose.over`: expected at least one"),
            (choose("over = ['lambda']"), "e.toml:6:1: `choose`: missing `by`"),
            (choose("over = ['lambda']\nby = 'de'"), "e.toml:8:6: `choose.by` = `de`, expected"),
            (
                choose("over = ['lambda']\nby = 'dee'\nwihin = 1"),
                "e.toml:9:1: unknown key `wihin` (did you mean `within`?)",
            ),
            (
                choose("over = ['lambda']\nby = 'dee'\nwithin = { rmse = 0.9 }"),
                "e.toml:9:10: `choose.within.rmse` = 0.9, expected a factor from 1",
            ),
            (
                choose("over = ['lambda']\nby = 'dee'\nreference = 'als'"),
                "e.toml:9:13: `choose.reference` without `choose.within`",
            ),
            (
                choose("over = ['lambda']\nby = 'dee'\nwithin = { rmse = 1.1 }\nreference = 'popularty'"),
                "e.toml:10:13: `choose.reference`: no label `popularty` (did you mean `popularity`?)",
            ),
            (
                format!("{plain}[choose]\nover = ['lambda']\nby = 'rmse'\n{RUN}"),
                "e.toml:5:6: `[choose]` by rmse needs validation rows",
            ),
            (
                format!("{plain}[split]\nkind = 'given'\nvalidation = 0.1\n{RUN}"),
                "e.toml:5:14: parameter `split.validation` = 0.1, expected none with split `given`",
            ),
            (
                format!("{plain}[split]\nkind = 'random'\nvalidation = 1\n{RUN}"),
                "e.toml:5:14: parameter `split.validation` = 1",
            ),
            (
                format!("{plain}[split]\nkind = 'random'\nvalidation = 'x'\n{RUN}"),
                "e.toml:5:14: `split.validation` must be a number",
            ),
        ] {
            let got = parse(&text).err().expect("an error").to_string();
            assert!(got.starts_with(expected), "expected {expected}\n     got {got}\nfor\n{text}");
        }
        let nested = "[[run]]\nrecommender = 'mf'\nparams = { fairness = 'equal-experience' }\n";
        let got = parse(&format!("{plain}[choose]\nover = ['fairness.treshold']\nby = 'val'\n{nested}")).err().unwrap();
        assert!(got.to_string().ends_with("`fairness.treshold` (did you mean `fairness.threshold`?)"), "{got}");
        assert!(parse(&format!("{plain}[choose]\nover = ['lambda']\nby = 'val'\n{RUN}")).is_ok());
    }
}
