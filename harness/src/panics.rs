//! Panics of plugins, turned into text: one bad plugin must not end a comparison, nor spill a backtrace over the table.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

/// How many calls of [`caught`] are under way. While there is one, panics are kept quiet.
static WATCHING: AtomicUsize = AtomicUsize::new(0);
/// What the last panics said, and where; a plugin may catch some itself. Worker threads panic too, so they are no
/// thread's own.
static SEEN: Mutex<VecDeque<Seen>> = Mutex::new(VecDeque::new());
/// A plugin that lives on panics must not fill the memory.
const MOST_SEEN: usize = 256;

/// One panic.
struct Seen {
    message: Option<String>,
    place: String,
}

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
            let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
            let mut seen = seen();
            if seen.len() == MOST_SEEN {
                seen.pop_front();
            }
            seen.push_back(Seen { message: message(info.payload()), place });
        }));
    });
    seen().clear();
    WATCHING.fetch_add(1, Ordering::SeqCst);
    // What `work` leaves half-done is dropped with it: models and results are returned, never shared.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    WATCHING.fetch_sub(1, Ordering::SeqCst);
    result.map_err(|payload| {
        // The one that came up to here, by its message; others were caught on the way, or came second.
        let message = message(payload.as_ref());
        let place = seen().iter().rev().find(|s| s.message == message).map_or_else(String::new, |s| s.place.clone());
        let text = message.filter(|m| !m.trim().is_empty()).unwrap_or_else(|| "no message".into());
        format!("panicked{place}: {text}")
    })
}

fn seen() -> std::sync::MutexGuard<'static, VecDeque<Seen>> {
    SEEN.lock().unwrap_or_else(|e| e.into_inner())
}

fn message(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    /// What was seen is shared by the process: one test at a time.
    static ONE: Mutex<()> = Mutex::new(());

    #[test]
    fn message_and_place_are_kept_also_of_worker_threads() {
        let _guard = ONE.lock();
        assert_eq!(caught(|| 3), Ok(3));
        let text = caught(|| (0..100).into_par_iter().for_each(|n| assert!(n != 50, "no {n}"))).unwrap_err();
        assert!(text.starts_with("panicked at ") && text.ends_with(": no 50") && text.contains("panics.rs:"), "{text}");
    }

    #[test]
    fn the_panic_that_came_through_is_told_not_one_that_was_caught() {
        let _guard = ONE.lock();
        let text = caught::<()>(|| {
            let _ = panic::catch_unwind(|| panic!("tried"));
            panic!("gave up")
        });
        let text = text.unwrap_err();
        assert!(text.starts_with("panicked at ") && text.ends_with(": gave up"), "{text}");
        let silent = caught::<()>(|| panic!("{}", "")).unwrap_err();
        assert!(silent.ends_with(": no message"), "{silent}");
        assert!(caught::<()>(|| panic::panic_any(7)).unwrap_err().ends_with(": no message"));
    }
}
