//! Ctrl-C and the polite request to end: the first one stops after what is under way, the second one at once.

use crate::failure::INTERRUPTED;
use crate::progress::say;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Installs the handler; the flag is set by the first signal.
pub(crate) fn flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    // Refused where the embedding program has a handler of its own, which then decides.
    let _ = ctrlc::set_handler(move || {
        if set.swap(true, Ordering::SeqCst) {
            // Files are renamed when whole, so there is nothing to tidy up.
            std::process::exit(i32::from(INTERRUPTED));
        }
        say("stopping; finished cells are kept (again: stop at once)");
    });
    flag
}
