//! What is said of a panic: one line of the log, and a count.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use crate::supervise;

/// From now on panics are told by the log. The standard library's own hook writes to standard error itself, and waits
/// for it.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(tell));
}

fn tell(info: &PanicHookInfo<'_>) {
    supervise::note_panic();
    let thread = std::thread::current();
    let at = info.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let trace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    let what = supervise::panic_message(info.payload());
    tracing::error!(
        thread = thread.name().unwrap_or("unnamed"),
        at = at.as_deref().unwrap_or("unknown"),
        "a defect, please report it: panicked: {what}{trace}"
    );
}
