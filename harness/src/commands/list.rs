//! `list`: what is linked in.

use super::{print, print_json};
use crate::catalog::{self, Entry, KINDS};
use crate::cli;
use crate::failure::{End, Failure};
use crate::report::new_table;
use comfy_table::ColumnConstraint;
use evenhand_core::nearest;
use std::collections::BTreeSet;

pub(super) fn run(args: &cli::List) -> Result<End, Failure> {
    let kind = args.kind.as_deref().map(kind).transpose()?;
    let mut entries = catalog::all().map_err(Failure::Plugin)?;
    entries.retain(|e| kind.is_none_or(|k| k == e.kind));
    if args.json {
        print_json(&entries.iter().map(Entry::json).collect::<Vec<_>>())?;
        return Ok(End::Fine);
    }
    if entries.is_empty() {
        print(&format!("no {} is linked in\n", kind.unwrap_or("plugin")))?;
        return Ok(End::Fine);
    }
    let mut table = new_table();
    table.set_header(["kind", "name", "what it does", "from"]);
    for e in &entries {
        table.add_row([e.kind.into(), e.name.into(), e.line(), format!("{} {}", e.origin.package, e.origin.version)]);
    }
    // Names are never cut; the description is wrapped.
    table.column_iter_mut().take(2).for_each(|names| {
        names.set_constraint(ColumnConstraint::ContentWidth);
    });
    print(&format!("{table}\n"))?;
    Ok(End::Fine)
}

/// The kind that `text` means: its name, its plural, or its last word (`losses`).
fn kind(text: &str) -> Result<&'static str, Failure> {
    let names = |kind: &str| {
        let plural = |word: &str| match word {
            w if w.ends_with('y') => format!("{}ies", &w[..w.len() - 1]),
            w if w.ends_with('s') => format!("{w}es"),
            w => format!("{w}s"),
        };
        let last = kind.rsplit('-').next().unwrap_or(kind);
        [kind.to_string(), plural(kind), last.to_string(), plural(last)]
    };
    KINDS.into_iter().find(|kind| names(kind).iter().any(|n| n == text)).ok_or_else(|| {
        let known: BTreeSet<String> = KINDS.into_iter().flat_map(names).collect();
        let hint = nearest(text, known.iter().map(String::as_str));
        let hint = hint.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
        Failure::Usage(format!("no kind of plugin is called `{text}`{hint}; kinds: {}", KINDS.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_name_plural_and_last_word() {
        for (text, expected) in [
            ("recommender", "recommender"),
            ("recommenders", "recommender"),
            ("policies", "policy"),
            ("losses", "fairness-loss"),
            ("group-regressors", "group-regressor"),
        ] {
            assert_eq!(kind(text).unwrap(), expected);
        }
        assert!(kind("recomender").unwrap_err().to_string().contains("did you mean `recommender`?"));
    }
}
