//! `describe`: what a plugin does and takes.

use super::{print, print_json};
use crate::catalog::{self, Entry, one_line};
use crate::cli;
use crate::failure::{End, Failure};
use evenhand_core::params::Kind;
use std::fmt::Write;

pub(super) fn run(args: &cli::Describe) -> Result<End, Failure> {
    let entries = catalog::all().map_err(Failure::Plugin)?;
    let found = catalog::named(&entries, &args.name).map_err(Failure::Plugin)?;
    if !args.schema {
        print(&found.into_iter().map(text).collect::<Vec<_>>().join("\n"))?;
        return Ok(End::Fine);
    }
    match found.as_slice() {
        [one] => print_json(&one.schema)?,
        several => {
            let names: Vec<String> = several.iter().map(|e| format!("{}/{}", e.kind, e.name)).collect();
            return Err(Failure::Usage(format!("several plugins of that name; write one of {}", names.join(", "))));
        }
    }
    Ok(End::Fine)
}

fn text(entry: &Entry) -> String {
    let mut out = String::new();
    let origin = entry.origin;
    let _ =
        writeln!(out, "{}   {}   {} {}   {}", entry.name, entry.kind, origin.package, origin.version, origin.module);
    let _ = writeln!(out, "  {}", entry.line());
    if !entry.paper.is_empty() {
        let _ = writeln!(out, "  {}", one_line(entry.paper));
    }
    if entry.fields.is_empty() {
        out.push_str("  no parameters\n");
        return out;
    }
    let rows: Vec<[String; 4]> = entry
        .fields
        .iter()
        .map(|f| {
            let kind = if f.range.is_empty() { f.kind.label() } else { format!("{} {}", f.kind.label(), f.range) };
            [f.name.into(), kind, entry.defaults[f.name].to_string(), one_line(f.doc)]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (field, [name, kind, default, doc]) in entry.fields.iter().zip(&rows) {
        let _ = writeln!(
            out,
            "  {name:<a$}   {kind:<b$}   {default:<c$}   {doc}",
            a = widths[0],
            b = widths[1],
            c = widths[2],
        );
        if let Kind::Choice(choices) = field.kind {
            for (choice, meaning) in choices {
                let _ = writeln!(out, "  {:<a$}     {choice}: {}", "", one_line(meaning), a = widths[0]);
            }
        }
    }
    out
}
