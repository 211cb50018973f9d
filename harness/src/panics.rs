//! Panics of plugins, turned into text: one bad plugin must not end a comparison, nor spill a backtrace over the table.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

/// How many calls of [`caught`] are under way. While there is one, panics are kept quiet.
static WATCHING: AtomicUsize = AtomicUsize::new(0);
/// What the first panic since the last call said, and where. Worker threads panic too, so it is no thread's own.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Runs `work`; a panic inside becomes an error with its message and place.
///
/// # Errors
/// The text of the panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHING.load(Ordering::SeqCst) == 0 {
                return usual(info);
            }
            first().get_or_insert_with(|| describe(info));
        }));
    });
    *first() = None;
    WATCHING.fetch_add(1, Ordering::SeqCst);
    // What `work` leaves half-done is dropped with it: models and results are returned, never shared.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    WATCHING.fetch_sub(1, Ordering::SeqCst);
    result.map_err(|_| first().take().unwrap_or_else(|| "panicked".into()))
}

fn first() -> std::sync::MutexGuard<'static, Option<String>> {
    FIRST.lock().unwrap_or_else(|e| e.into_inner())
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let message = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    format!("panicked{place}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn message_and_place_are_kept_also_of_worker_threads() {
        assert_eq!(caught(|| 3), Ok(3));
        let text = caught(|| (0..100).into_par_iter().for_each(|n| assert!(n != 50, "no {n}"))).unwrap_err();
        assert!(text.starts_with("panicked at ") && text.ends_with(": no 50") && text.contains("panics.rs:"), "{text}");
    }
}
