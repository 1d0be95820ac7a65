//! Lines on their way to a file: a bounded buffer that everybody appends to without waiting, and the one thread
//! ([`drain`]) that empties it into its [`target`].
//!
//! A file that is slow, full, broken or read by nobody costs lines, which are counted; never time, and never more.

mod drain;
mod target;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;

use crate::supervise;
use drain::Drain;
use target::Sink;
pub(super) use target::Target;

/// How long [`Writer::flush`] and [`Writer::finish`] wait at most.
const FLUSH: Duration = Duration::from_secs(2);

/// How lines of one kind are kept and what is said of them.
pub(super) struct Kind {
    /// What they are, in the log: "the access log".
    pub(super) what: &'static str,
    /// Who writes them.
    pub(super) task: supervise::Task,
    /// The name of the thread.
    pub(super) thread: &'static str,
    /// Bytes that are worth a write of their own.
    pub(super) threshold: usize,
    /// How long a line may wait for others to be written with.
    pub(super) linger: Duration,
    /// Bytes that are kept for a file that isn't written to fast enough.
    pub(super) limit: usize,
    /// Lines that were lost.
    pub(super) dropped: IntCounter,
}

/// The appending side. Dropping it has what is left written and ends the thread, without waiting for that.
pub(super) struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// There can't be another thread.
    pub(super) fn start(sink: impl Sink, kind: Kind) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                pending: Vec::with_capacity(kind.threshold),
                ..State::default()
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            threshold: kind.threshold.max(1),
            kind,
        });
        let mut drain = Drain::new(Arc::clone(&shared), sink);
        let kind = &shared.kind;
        supervise::keep_thread(kind.task, kind.thread, move || drain.run())?;
        Ok(Self { shared })
    }

    /// Appends one whole line, or drops and counts it if the backlog is full.
    pub(super) fn append(&self, line: &[u8]) {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        let before = state.pending.len();
        if before + state.in_flight + line.len() > shared.kind.limit {
            state.dropped_lately = true;
            let first = !std::mem::replace(&mut state.dropping, true);
            drop(state);
            shared.kind.dropped.inc();
            // The program's own log has no room for that, either; it tells when it has.
            if first && shared.kind.task != supervise::Task::Log {
                let what = shared.kind.what;
                tracing::error!("{what} can't keep up: lines are dropped until it can");
            }
            return;
        }
        state.pending.extend_from_slice(line);
        state.appended += line.len() as u64;
        state.waiting += 1;
        let wake =
            before == 0 || (before < shared.threshold && state.pending.len() >= shared.threshold);
        drop(state);
        if wake {
            shared.work.notify_one();
        }
    }

    /// Tells the thread to reopen the file after the lines that were appended before this call.
    pub(super) fn reopen(&self) {
        let mut state = self.shared.state.lock();
        if state.reopen_at.is_none() {
            state.reopen_at = Some(state.pending.len());
        }
        drop(state);
        self.shared.work.notify_one();
    }

    /// Waits until what was appended before this is written, fails, or 2 s have passed.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH;
        let mut state = self.shared.state.lock();
        let target = state.appended;
        state.urgent = true;
        self.shared.work.notify_one();
        while state.settled < target && !state.failing {
            let waited = self.shared.progress.wait_until(&mut state, deadline);
            if waited.timed_out() {
                break;
            }
        }
    }

    /// Ends the log: waits until all is written or given up, at most 2 s. Gives how many lines could not be
    /// written; they are counted, too. What is appended later is lost.
    pub(super) fn finish(&self) -> u64 {
        let deadline = self.close();
        let mut state = self.shared.state.lock();
        while !state.ended {
            let waited = self.shared.progress.wait_until(&mut state, deadline);
            if waited.timed_out() {
                // The thread is held up in a write that may never end.
                let unwritten = std::mem::take(&mut state.waiting);
                self.shared.kind.dropped.inc_by(unwritten);
                return state.given_up + unwritten;
            }
        }
        state.given_up
    }

    /// Tells the thread to come to an end; gives until when it may take its time.
    fn close(&self) -> Instant {
        let deadline = Instant::now() + FLUSH;
        let mut state = self.shared.state.lock();
        let until = *state.closing.get_or_insert(deadline);
        drop(state);
        self.shared.work.notify_one();
        until
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What both sides know.
struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes who waits in [`Writer::flush`] and [`Writer::finish`].
    progress: Condvar,
    threshold: usize,
    kind: Kind,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent of each other, not one state"
)]
struct State {
    /// Whole lines that the thread has not taken yet.
    pending: Vec<u8>,
    /// Bytes that the thread has taken and not finished with.
    in_flight: usize,
    /// Bytes ever appended.
    appended: u64,
    /// Bytes of them that are written, or given up at the end.
    settled: u64,
    /// Lines that were appended and are neither written nor given up.
    waiting: u64,
    /// Lines that were given up at the end.
    given_up: u64,
    /// Where in `pending` the file changes.
    reopen_at: Option<usize>,
    /// Someone waits: don't linger.
    urgent: bool,
    /// Lines are being dropped, as far as the program's log has said.
    dropping: bool,
    /// A line was dropped since the thread last took some.
    dropped_lately: bool,
    /// The last write failed.
    failing: bool,
    /// Write what is left and end, at this time at the latest.
    closing: Option<Instant>,
    /// The thread has come to its end.
    ended: bool,
}

#[cfg(test)]
mod tests;
