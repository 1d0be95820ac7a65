//! The thread's side: takes lines from the buffer and writes them, whatever the file says to that.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::Shared;
use super::target::Sink;

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The same for a pipe that is full.
const RETRY_FULL_PIPE: Duration = Duration::from_millis(20);

/// The thread's side of a [`super::Writer`].
pub(super) struct Drain<S> {
    shared: Arc<Shared>,
    sink: S,
}

/// What the thread takes at once.
struct Taken {
    /// Where in it the file changes.
    reopen_at: Option<usize>,
}

impl<S: Sink> Drain<S> {
    pub(super) fn new(shared: Arc<Shared>, sink: S) -> Self {
        Self { shared, sink }
    }

    /// Writes until the log is closed. When it is begun again after a panic, what was being written then is lost.
    pub(super) fn run(&mut self) {
        self.write_off();
        let mut chunk = Vec::with_capacity(self.shared.threshold);
        while let Some(Taken { reopen_at }) = self.take(&mut chunk) {
            let end = reopen_at.unwrap_or(chunk.len());
            let (before, after) = chunk.split_at_checked(end).unwrap_or((&chunk, &[]));
            self.deliver(before);
            if reopen_at.is_some() {
                self.reopen();
                self.deliver(after);
            }
            self.settle(chunk.len());
            chunk.clear();
            // A burst must not hold its memory for ever.
            chunk.shrink_to(self.shared.threshold.saturating_mul(2));
        }
        self.shared.state.lock().ended = true;
        self.shared.progress.notify_all();
    }

    /// Waits for lines and swaps them into `chunk`, which is empty. `None` at the end.
    fn take(&self, chunk: &mut Vec<u8>) -> Option<Taken> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        while state.pending.is_empty() && state.reopen_at.is_none() {
            if state.closing.is_some() {
                return None;
            }
            shared.work.wait(&mut state);
        }
        let deadline = Instant::now() + shared.kind.linger;
        while state.pending.len() < shared.threshold
            && state.reopen_at.is_none()
            && !state.urgent
            && state.closing.is_none()
        {
            if shared.work.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        std::mem::swap(&mut state.pending, chunk);
        state.in_flight = chunk.len();
        state.urgent = false;
        state.dropped_lately = false;
        Some(Taken {
            reopen_at: state.reopen_at.take(),
        })
    }

    /// Writes all of `lines`, however long that takes; at the end of the log it gives up after a failure.
    fn deliver(&mut self, lines: &[u8]) {
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => written = self.recover(lines, written, &io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.note_success(rest.get(..count).unwrap_or(rest));
                    written += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => written = self.recover(lines, written, &error),
            }
        }
    }

    /// After a failed write: waits before the next, and says where to go on.
    fn recover(&mut self, lines: &[u8], written: usize, error: &io::Error) -> usize {
        // A pipe that is non-blocking, by whoever shares it or by us, is merely full.
        let full_pipe = error.kind() == io::ErrorKind::WouldBlock;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        // When the end came before this try, this try was the last; a pipe has until the end is over.
        let was_last = state
            .closing
            .is_some_and(|until| !full_pipe || Instant::now() >= until);
        if !full_pipe && !std::mem::replace(&mut state.failing, true) {
            let what = shared.kind.what;
            // Not under the lock: this may be a line of this very log.
            MutexGuard::unlocked(&mut state, || {
                tracing::error!(%error, "{what} can't be written; trying again, traffic is not affected");
            });
            shared.progress.notify_all();
        }
        if was_last {
            drop(state);
            let start = start_of_line(lines, written);
            // No half line at the end of a file.
            self.sink.take_back(written - start);
            self.give_up(lines.get(written..).unwrap_or_default());
            return lines.len();
        }
        if (state.closing.is_none() || full_pipe) && state.reopen_at.is_none() {
            let wait = if full_pipe { RETRY_FULL_PIPE } else { RETRY };
            shared.work.wait_for(&mut state, wait);
        }
        let reopen = state.reopen_at.take().is_some();
        drop(state);
        let start = start_of_line(lines, written);
        if reopen {
            // A line that was cut off goes to the new file as a whole, and no part of it stays in the old one.
            let taken_back = self.sink.take_back(written - start);
            let reopened = self.reopen();
            return if taken_back || reopened {
                start
            } else {
                written
            };
        }
        // What a reader that left had of a line is gone with it; the next one gets the line whole.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return start;
        }
        written
    }

    /// Whether it is another file now.
    fn reopen(&mut self) -> bool {
        let what = self.shared.kind.what;
        match self.sink.reopen() {
            Ok(()) => {
                tracing::debug!("{what} reopened");
                true
            }
            Err(error) => {
                tracing::error!(%error, "{what} can't be reopened; going on with the old file");
                false
            }
        }
    }

    fn note_success(&self, written: &[u8]) {
        let lines = count_lines(written);
        let mut state = self.shared.state.lock();
        state.waiting = state.waiting.saturating_sub(lines);
        if std::mem::replace(&mut state.failing, false) {
            drop(state);
            let what = self.shared.kind.what;
            tracing::info!("{what} can be written again");
        }
    }

    /// Counts as lost what was taken before a panic.
    fn write_off(&self) {
        let mut state = self.shared.state.lock();
        let lost = state.waiting - count_lines(&state.pending).min(state.waiting);
        state.waiting -= lost;
        state.settled += std::mem::take(&mut state.in_flight) as u64;
        drop(state);
        self.shared.kind.dropped.inc_by(lost);
    }

    fn give_up(&self, unwritten: &[u8]) {
        let lines = count_lines(unwritten);
        let mut state = self.shared.state.lock();
        // What `finish` has counted meanwhile is not counted again.
        let lines = lines.min(state.waiting);
        state.waiting -= lines;
        state.given_up += lines;
        drop(state);
        self.shared.kind.dropped.inc_by(lines);
    }

    fn settle(&self, bytes: usize) {
        let mut state = self.shared.state.lock();
        state.in_flight = 0;
        state.settled += bytes as u64;
        // Only after a whole chunk without a loss: under steady overload this would be said for ever.
        let recovered = state.dropping && !state.dropped_lately;
        if recovered {
            state.dropping = false;
        }
        drop(state);
        self.shared.progress.notify_all();
        if recovered {
            let dropped = self.shared.kind.dropped.get();
            let what = self.shared.kind.what;
            tracing::warn!(dropped, "{what} keeps up again");
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').skip(1).count() as u64
}

fn start_of_line(lines: &[u8], position: usize) -> usize {
    let before = lines.get(..position).unwrap_or_default();
    before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1)
}
