//! A bounded buffer that requests append to, and the one thread that empties it into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus::IntCounter;

/// How long a line may wait for others to be written with.
const LINGER: Duration = Duration::from_millis(50);
/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long [`Writer::flush`] waits at most.
const FLUSH: Duration = Duration::from_secs(2);
/// What is kept for a slow file: this many times the buffer, but at least [`LEAST_BACKLOG`] bytes.
const BACKLOG_BUFFERS: usize = 64;
const LEAST_BACKLOG: usize = 16 * 1024 * 1024;

/// The requests' side of the log. Dropping it writes what is left and ends the thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread. It writes when `threshold` bytes have come together, and not later than
    /// [`LINGER`].
    pub(super) fn start(
        sink: impl Sink,
        threshold: usize,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let limit = threshold.saturating_mul(BACKLOG_BUFFERS).max(LEAST_BACKLOG);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                pending: Vec::with_capacity(threshold),
                ..State::default()
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            threshold: threshold.max(1),
            limit,
            dropped,
        });
        let drain = Drain {
            shared: Arc::clone(&shared),
            sink,
        };
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || drain.run())?;
        Ok(Self { shared })
    }

    /// Appends whole lines, or drops and counts them if the backlog is full.
    pub(super) fn append(&self, line: &[u8]) {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        let before = state.pending.len();
        if before + state.in_flight + line.len() > shared.limit {
            state.dropped_lately = true;
            let first = !std::mem::replace(&mut state.dropping, true);
            drop(state);
            shared.dropped.inc();
            if first {
                tracing::error!("the access log can't keep up: lines are dropped until it can");
            }
            return;
        }
        state.pending.extend_from_slice(line);
        state.appended += line.len() as u64;
        let wake =
            before == 0 || (before < shared.threshold && state.pending.len() >= shared.threshold);
        drop(state);
        if wake {
            shared.work.notify_one();
        }
    }

    /// Has the thread reopen the file between what was appended before this and what comes after.
    pub(super) fn reopen(&self) {
        let mut state = self.shared.state.lock();
        if state.reopen_at.is_none() {
            state.reopen_at = Some(state.pending.len());
        }
        drop(state);
        self.shared.work.notify_one();
    }

    /// Waits until what was appended before this is written, fails, or [`FLUSH`] has passed.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH;
        let mut state = self.shared.state.lock();
        let target = state.appended;
        state.urgent = true;
        self.shared.work.notify_one();
        while state.settled < target && !state.failing {
            if self
                .shared
                .progress
                .wait_until(&mut state, deadline)
                .timed_out()
            {
                break;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
    }
}

/// Where lines go in the end.
pub(super) trait Sink: Send + 'static {
    /// As [`Write::write`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Opens the same name again. After an error the sink is as it was.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A file, or one of the standard streams.
pub(super) struct Target {
    file: File,
    /// `None`: nothing to open again.
    path: Option<PathBuf>,
}

impl Target {
    pub(super) fn stdout() -> io::Result<Self> {
        // A descriptor of our own: std's handle would buffer once more.
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file, path: None })
    }

    pub(super) fn stderr() -> io::Result<Self> {
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self { file, path: None })
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: open(path)?,
            path: Some(path.to_owned()),
        })
    }
}

impl Sink for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = open(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes who waits in [`Writer::flush`].
    progress: Condvar,
    threshold: usize,
    limit: usize,
    dropped: IntCounter,
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
    /// Write what is left and end.
    closing: bool,
}

/// What the thread takes at once.
struct Taken {
    /// Where in it the file changes.
    reopen_at: Option<usize>,
}

/// The thread's side.
struct Drain<S> {
    shared: Arc<Shared>,
    sink: S,
}

impl<S: Sink> Drain<S> {
    fn run(mut self) {
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
    }

    /// Waits for lines and swaps them into `chunk`, which is empty. `None` at the end.
    fn take(&self, chunk: &mut Vec<u8>) -> Option<Taken> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        while state.pending.is_empty() && state.reopen_at.is_none() {
            if state.closing {
                return None;
            }
            shared.work.wait(&mut state);
        }
        let deadline = Instant::now() + LINGER;
        while state.pending.len() < shared.threshold
            && state.reopen_at.is_none()
            && !state.urgent
            && !state.closing
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

    /// Writes all of `lines`, however long that takes; at the end of the log it gives up after a
    /// failure.
    fn deliver(&mut self, lines: &[u8]) {
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => written = self.recover(lines, written, &io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.note_success();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => written = self.recover(lines, written, &error),
            }
        }
    }

    /// After a failed write: waits before the next, and says where to go on.
    fn recover(&mut self, lines: &[u8], written: usize, error: &io::Error) -> usize {
        // A pipe that was made non-blocking by whoever shares it is merely full.
        let full_pipe = error.kind() == io::ErrorKind::WouldBlock;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        // When the end came before this try, this try was the last.
        let was_last = state.closing;
        if !full_pipe && !std::mem::replace(&mut state.failing, true) {
            // Not under the lock: the program's log may be as slow as this one.
            MutexGuard::unlocked(&mut state, || {
                tracing::error!(%error, "the access log can't be written; trying again, traffic is not affected");
            });
            shared.progress.notify_all();
        }
        if !state.closing && state.reopen_at.is_none() {
            shared
                .work
                .wait_for(&mut state, if full_pipe { LINGER } else { RETRY });
        }
        if state.reopen_at.take().is_some() {
            drop(state);
            self.reopen();
            // The line that was cut off goes to the new file as a whole.
            return start_of_line(lines, written);
        }
        if was_last {
            drop(state);
            let rest = lines.get(written..).unwrap_or_default();
            let lost = rest.split_inclusive(|byte| *byte == b'\n').count();
            shared.dropped.inc_by(lost as u64);
            return lines.len();
        }
        written
    }

    fn reopen(&mut self) {
        match self.sink.reopen() {
            Ok(()) => tracing::debug!("access log reopened"),
            Err(error) => {
                tracing::error!(%error, "the access log can't be reopened; going on with the old file");
            }
        }
    }

    fn note_success(&self) {
        let mut state = self.shared.state.lock();
        if std::mem::replace(&mut state.failing, false) {
            drop(state);
            tracing::info!("the access log can be written again");
        }
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
            let dropped = self.shared.dropped.get();
            tracing::warn!(dropped, "the access log keeps up again");
        }
    }
}

fn start_of_line(lines: &[u8], position: usize) -> usize {
    let before = lines.get(..position).unwrap_or_default();
    before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
