//! How far the comparison is, on stderr: a bar with the time left on a terminal, else a line for each finished cell.

use evenhand_core::Observer;
use indicatif::{ProgressBar, ProgressStyle};
use std::borrow::Cow;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Where progress is told.
#[derive(Debug)]
pub struct Progress {
    way: Way,
    total: AtomicUsize,
    done: AtomicUsize,
}

#[derive(Debug)]
enum Way {
    Silent,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// Tells nothing.
    pub fn silent() -> Self {
        Self::new(Way::Silent)
    }

    /// Tells stderr in the way that suits it.
    pub fn stderr() -> Self {
        if !stderr().is_terminal() {
            return Self::new(Way::Lines);
        }
        let style =
            ProgressStyle::with_template("  {bar:24} {pos}/{len}  eta {eta}  {wide_msg}").expect("a valid template");
        let bar = ProgressBar::no_length().with_style(style.progress_chars("##."));
        Self::new(Way::Bar(bar))
    }

    fn new(way: Way) -> Self {
        Self { way, total: AtomicUsize::new(0), done: AtomicUsize::new(0) }
    }

    /// `cells` are about to be run.
    pub fn begin(&self, cells: usize) {
        self.total.store(cells, Ordering::Relaxed);
        if let Way::Bar(bar) = &self.way {
            bar.set_length(cells as u64);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    /// Lines of their own.
    pub fn note(&self, text: &str) {
        let text = printable_lines(text);
        match &self.way {
            Way::Silent => {}
            Way::Lines => say(&text),
            Way::Bar(bar) => bar.suspend(|| say(&text)),
        }
    }

    /// A cell is begun; whoever fits it reports to the observer.
    pub fn start(&self, cell: &str) -> Arc<dyn Observer> {
        let bar = match &self.way {
            Way::Silent => return Arc::new(evenhand_core::Silent),
            Way::Lines => None,
            Way::Bar(bar) => Some(bar.clone()),
        };
        bar.iter().for_each(|bar| bar.set_message(cell.to_string()));
        Arc::new(Steps { bar, cell: cell.to_string() })
    }

    /// A cell is finished, `how` in words; a failed one is told on a terminal too.
    pub fn finish(&self, cell: &str, how: &str, failed: bool) {
        let how = printable(how);
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.total.load(Ordering::Relaxed);
        match &self.way {
            Way::Silent => {}
            Way::Lines => say(&format!("  {done:>width$}/{total}  {cell}  {how}", width = total.to_string().len())),
            Way::Bar(bar) => {
                if failed {
                    bar.suspend(|| say(&format!("  {cell}  {how}")));
                }
                bar.inc(1);
            }
        }
    }

    /// Nothing more will come.
    pub fn end(&self) {
        if let Way::Bar(bar) = &self.way {
            bar.finish_and_clear();
        }
    }
}

/// Text of others, safe for a terminal: on one line, and nothing in it moves the cursor, changes colours or the direction
/// of writing.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let unsafe_char = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(unsafe_char) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for c in text.chars() {
        if unsafe_char(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The same of every line of a text.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// A line on stderr; one that nobody reads any more (`2>&1 | head`) is no reason to panic.
pub(crate) fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Shows the sweeps of the cell under way, and what is to be said about it.
struct Steps {
    bar: Option<ProgressBar>,
    cell: String,
}

impl Observer for Steps {
    fn progress(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}  {done}/{total}", self.cell));
        }
    }

    fn note(&self, text: &str) {
        let line = format!("  note    {}: {}", self.cell, printable(text));
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{printable, printable_lines};

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}"), r"a\u{1b}[2J\nb\u{202e}");
        assert_eq!(printable("é \"plain\" \\"), "é \"plain\" \\");
        assert_eq!(printable_lines("a\u{7}\nb\n"), "a\\u{7}\nb\n");
    }
}
