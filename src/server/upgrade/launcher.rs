//! The process between the old one and the new one that it begins.
//!
//! A service manager watches the processes that are its own children. systemd takes a main process that isn't one for
//! somebody else's: at a stop it waits for nothing and kills it at once. The new process becomes its child when the process
//! that began it ends, which may not be the old one, since that serves its connections to their ends. So a launcher begins the
//! new process, and ends, when the new one serves and before the service manager is told of it. Until then it says how the new one
//! ended, if it does.

use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStdin, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::spawn::Program;
use crate::observe::log;
use crate::supervise;

/// How long the launcher may take to end, also on a machine that has more to do than it can: the new process waits longer than
/// that for the word that it has taken over.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// The launcher, as the old process sees it.
pub struct Launcher {
    /// Its standard input: it ends when that is closed.
    input: Option<ChildStdin>,
    ended: Receiver<()>,
}

impl Launcher {
    /// Of a process with that standard input. `ended` gets nothing, and is closed at its end.
    pub fn new(input: Option<ChildStdin>, ended: Receiver<()>) -> Self {
        Self { input, ended }
    }

    /// Has it end. Returns when it has.
    pub fn dismiss(mut self) {
        drop(self.input.take());
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(END_TIMEOUT) {
            tracing::warn!("the process that began the new one doesn't end");
        }
    }
}

/// Begins this program as it was begun, but for this errand, and gives its exit status if it ends before standard input does.
/// Blocks.
pub fn launch() -> u8 {
    match wait() {
        Ok(Some(status)) => code(status),
        Ok(None) => 0,
        Err(error) => {
            log::say(&format!("equipoise: no new process: {error}"));
            1
        }
    }
}

/// `None`: standard input has ended first.
fn wait() -> io::Result<Option<ExitStatus>> {
    let mut child = supervise::process_once(&mut Program::to_be_launched()?)?;
    let (first, outcome) = channel();
    let second = first.clone();
    // The process ends with its first thread: neither of these is waited for.
    let _reader = supervise::thread_once("upgrade", move || {
        let mut void = [0; 64];
        while io::stdin().read(&mut void).is_ok_and(|count| count > 0) {}
        // Whoever has heard of the other end first hears nothing more.
        let _ = first.send(None);
    })?;
    let _waiter = supervise::thread_once("upgrade", move || {
        let _ = second.send(child.wait().ok());
    })?;
    Ok(outcome.recv().unwrap_or(None))
}

/// As shells say it: a signal is 128 and its number.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
