//! Which columns of a file are what, by the options and the names of the columns.

use super::super::regroup::expected;
use super::cells::Cells;
use super::columns::Wanted;
use super::options::TableOptions;
use super::pattern::fits;
use super::rule::GroupRule;
use evenhand_core::Result;

/// The columns, by their places from 0, that each part of a table is made from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) label: usize,
    /// Numeric features.
    pub(super) features: Vec<usize>,
    /// Whether each of them is scaled.
    pub(super) scaled: Vec<bool>,
    pub(super) categories: Vec<usize>,
    /// The columns of each rule for groups.
    pub(super) groups: Vec<Vec<usize>>,
    wanted: Vec<Wanted>,
}

impl Plan {
    pub(super) fn new(cells: &Cells, options: &TableOptions) -> Result<Self> {
        let names = &cells.names;
        if options.label.is_empty() {
            let range = expected("a column of the file", "", names.iter().map(String::as_str));
            return Err(cells.misnamed(format!("no `label` is given, expected {range}")));
        }
        let finder = Finder { cells, label: None };
        let label = finder.one("label", &options.label)?;
        let finder = Finder { cells, label: Some(label) };
        let categories = finder.all("categories", &options.categories, &[])?;
        let mut groups = Vec::new();
        let mut memberships = Vec::new();
        for rule in &options.groups {
            let columns = match rule {
                GroupRule::Columns(name) => finder.new_ones("groups", name, &[], &mut memberships)?,
                GroupRule::Values { column, .. } | GroupRule::Bins { column, .. } => {
                    vec![finder.one("groups", column)?]
                }
            };
            groups.push(columns);
        }
        let features = if options.features.is_empty() {
            let used = |at: &usize| *at == label || categories.contains(at) || groups.iter().flatten().any(|g| g == at);
            let rest = (0..names.len()).filter(|at| !names[*at].is_empty() && !used(at));
            rest.map(|at| finder.sole(at)).collect::<Result<_>>()?
        } else {
            finder.all("features", &options.features, &categories)?
        };
        let scaled = scaled(cells, &features, &options.scale)?;
        let mut wanted = vec![Wanted::default(); names.len()];
        wanted[label].numbers = true;
        features.iter().for_each(|&at| wanted[at] = Wanted { numbers: true, feature: true, ..wanted[at] });
        categories.iter().for_each(|&at| wanted[at] = Wanted { values: true, all_values: true, ..wanted[at] });
        for (rule, columns) in options.groups.iter().zip(&groups) {
            for &at in columns {
                let wanted = &mut wanted[at];
                match rule {
                    GroupRule::Columns(_) => *wanted = Wanted { numbers: true, membership: true, ..*wanted },
                    GroupRule::Bins { .. } => wanted.numbers = true,
                    GroupRule::Values { values, .. } => {
                        wanted.values = true;
                        wanted.all_values |= values.is_empty();
                    }
                }
            }
        }
        Ok(Self { label, features, scaled, categories, groups, wanted })
    }

    /// What each column of the file is read for.
    pub(super) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }
}

/// Whether each of the numeric features is scaled.
fn scaled(cells: &Cells, features: &[usize], scale: &[String]) -> Result<Vec<bool>> {
    let mut scaled = vec![false; features.len()];
    for wanted in scale {
        let found = |at: usize| wanted == &cells.names[at] || fits(wanted, &cells.names[at]);
        if !features.iter().any(|&at| found(at)) {
            let range = expected("a numeric feature", wanted, features.iter().map(|&at| cells.names[at].as_str()));
            return Err(cells.misnamed(format!("scale: `{wanted}`, expected {range}")));
        }
        scaled.iter_mut().zip(features).for_each(|(scaled, &at)| *scaled |= found(at));
    }
    Ok(scaled)
}

/// Finds columns by name or pattern, never the label. Complaints begin with the option that asks.
struct Finder<'c> {
    cells: &'c Cells,
    label: Option<usize>,
}

impl Finder<'_> {
    /// The columns that fit any of `wanted`, each once. Patterns pass over the columns of `but`.
    fn all(&self, option: &str, wanted: &[String], but: &[usize]) -> Result<Vec<usize>> {
        let mut seen = Vec::new();
        wanted.iter().try_for_each(|name| self.new_ones(option, name, but, &mut seen).map(drop))?;
        Ok(seen)
    }

    /// The columns that fit `wanted` and are not among those `seen`, which they join.
    fn new_ones(&self, option: &str, wanted: &str, but: &[usize], seen: &mut Vec<usize>) -> Result<Vec<usize>> {
        let is_name = !wanted.contains('*') || self.cells.names.iter().any(|name| name == wanted);
        let mut found = if is_name { vec![self.one(option, wanted)?] } else { self.matching(option, wanted)? };
        found.retain(|at| !seen.contains(at) && (is_name || !but.contains(at)));
        seen.extend(&found);
        Ok(found)
    }

    /// The column of that name.
    fn one(&self, option: &str, wanted: &str) -> Result<usize> {
        let names = &self.cells.names;
        match names.iter().position(|name| name == wanted) {
            Some(at) if self.label == Some(at) => {
                Err(self.cells.misnamed(format!("{option}: `{wanted}` is the label, expected another column")))
            }
            Some(at) => self.sole(at),
            None => {
                let range = expected("a column of the file", wanted, names.iter().map(String::as_str));
                Err(self.cells.misnamed(format!("{option}: no column `{wanted}`, expected {range}")))
            }
        }
    }

    /// The columns that fit a pattern.
    fn matching(&self, option: &str, pattern: &str) -> Result<Vec<usize>> {
        let names = &self.cells.names;
        let fit = |at: &usize| self.label != Some(*at) && !names[*at].is_empty() && fits(pattern, &names[*at]);
        let found: Vec<usize> = (0..names.len()).filter(fit).map(|at| self.sole(at)).collect::<Result<_>>()?;
        if found.is_empty() {
            let others = (0..names.len()).filter(|at| self.label != Some(*at)).map(|at| names[at].as_str());
            let range = expected("a pattern of columns", pattern, others);
            return Err(self.cells.misnamed(format!("{option}: no column fits `{pattern}`, expected {range}")));
        }
        Ok(found)
    }

    /// A column that is used, unless another one is called the same.
    fn sole(&self, at: usize) -> Result<usize> {
        let names = &self.cells.names;
        if names.iter().filter(|name| **name == names[at]).count() > 1 {
            return Err(self.cells.misnamed(format!("two columns `{}`", names[at])));
        }
        Ok(at)
    }
}
