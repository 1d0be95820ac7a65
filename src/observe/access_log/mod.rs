//! The access log: one line for each request or connection, written beside the traffic, never in
//! its way.
//!
//! [`AccessLog::write`] formats into a buffer of the calling thread and appends the line to a
//! shared one; a thread of its own ([`super::lines`]) takes that to the file. A slow or full disk costs
//! lines (counted), not requests.

mod escape;
mod format;
mod record;
mod stamp;
pub mod template;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::IntCounter;

use super::Termination;
use super::lines::{Kind, Target, Writer};
use super::refused::{self, RefusedRequests};
use crate::config::model;
use crate::supervise::Task;
use format::Format;
pub use record::Record;
use stamp::Stamp;
use template::Template;
pub use template::{FIELDS, TemplateError};

/// How long a line may wait for others to be written with.
const LINGER: Duration = Duration::from_millis(50);
/// What is kept for a slow file: this many times the buffer, but at least [`LEAST_BACKLOG`] bytes.
const BACKLOG_BUFFERS: usize = 64;
const LEAST_BACKLOG: usize = 16 * 1024 * 1024;

/// The access log. Where it goes and how it looks can change while it is written.
pub struct AccessLog {
    now: ArcSwap<Open>,
    dropped: IntCounter,
    refused: RefusedRequests,
}

/// As it is for the time being.
struct Open {
    settings: model::AccessLog,
    format: Format,
    /// `None`: switched off.
    writer: Option<Arc<Writer>>,
}

impl AccessLog {
    /// Opens the log; a file is created with mode 0640 or appended to. `dropped` counts the lines
    /// that are lost, see [`crate::observe::Metrics::access_log_dropped`].
    ///
    /// # Errors
    /// The file can't be opened, the thread can't be started, or the template has a field that does
    /// not exist.
    pub fn open(settings: &model::AccessLog, dropped: IntCounter) -> io::Result<Arc<Self>> {
        let open = Open::new(settings, None, &dropped)?;
        Ok(Arc::new(Self {
            now: ArcSwap::from_pointee(open),
            dropped,
            refused: RefusedRequests::default(),
        }))
    }

    /// Goes on as `settings` say: lines written after this call look and go that way, those before it are still
    /// written where they were to go. Blocks while a file is opened.
    ///
    /// # Errors
    /// As for [`Self::open`]; the log goes on as before then.
    pub fn reconfigure(&self, settings: &model::AccessLog) -> io::Result<()> {
        let before = self.now.load();
        if before.settings == *settings {
            return Ok(());
        }
        let open = Open::new(settings, Some(&before), &self.dropped)?;
        self.now.store(Arc::new(open));
        Ok(())
    }

    /// Whether what ended like this is of interest: with `path: off` no record need be made of what was served.
    pub fn wants(&self, termination: Termination) -> bool {
        self.now.load().writer.is_some() || refused::is_refusal(termination)
    }

    /// The last requests that were refused.
    pub fn refused(&self) -> &RefusedRequests {
        &self.refused
    }

    /// Writes one line, soon: within 50 ms or as soon as the configured buffer is full. Never waits
    /// for the disk.
    pub fn write(&self, record: &Record<'_>) {
        self.refused.note(record);
        let now = self.now.load();
        let Some(writer) = &now.writer else { return };
        SCRATCH.with_borrow_mut(|(line, stamp)| {
            line.clear();
            now.format.write(line, record, stamp);
            line.push(b'\n');
            writer.append(line);
            // One giant request must not hold its memory for the life of the thread.
            line.shrink_to(16 * 1024);
        });
    }

    /// Opens the file by its name again, after it was moved away: lines written after this call go
    /// to the new file, those before it to the old one. Returns at once. Standard output and error
    /// stay as they are.
    pub fn reopen(&self) {
        if let Some(writer) = &self.now.load().writer {
            writer.reopen();
        }
    }

    /// Waits until everything written so far has reached the file, at most 2 s, and not at all for
    /// a file that can't be written to. Blocks.
    pub fn flush(&self) {
        if let Some(writer) = &self.now.load().writer {
            writer.flush();
        }
    }

    /// Ends the log: waits until everything is written, at most 2 s. Gives how many lines could not be written; they
    /// are counted as dropped. Blocks: for the end of the program.
    pub fn finish(&self) -> u64 {
        self.now.load().writer.as_ref().map_or(0, |w| w.finish())
    }
}

impl Open {
    /// Goes on with the writer of before where the lines go the same way.
    fn new(
        settings: &model::AccessLog,
        before: Option<&Self>,
        dropped: &IntCounter,
    ) -> io::Result<Self> {
        let format = match &settings.format {
            model::AccessLogFormat::Combined => Format::Combined,
            model::AccessLogFormat::Json => Format::Json,
            model::AccessLogFormat::Template(text) => Format::Template(
                Template::parse(text)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
            ),
        };
        let same = before.filter(|before| {
            before.settings.path == settings.path && before.settings.buffer == settings.buffer
        });
        let writer = match same {
            Some(before) => before.writer.clone(),
            None => Self::writer(settings, dropped)?.map(Arc::new),
        };
        Ok(Self {
            settings: settings.clone(),
            format,
            writer,
        })
    }

    fn writer(settings: &model::AccessLog, dropped: &IntCounter) -> io::Result<Option<Writer>> {
        let target = match &settings.path {
            model::AccessLogPath::Off => return Ok(None),
            model::AccessLogPath::Stdout => Target::stdout()?,
            model::AccessLogPath::Stderr => Target::stderr()?,
            model::AccessLogPath::File(path) => Target::file(path)?,
        };
        let backlog = settings.buffer.saturating_mul(BACKLOG_BUFFERS);
        let kind = Kind {
            what: "the access log",
            task: Task::AccessLog,
            thread: "access-log",
            threshold: settings.buffer,
            linger: LINGER,
            limit: backlog.max(LEAST_BACKLOG),
            dropped: dropped.clone(),
        };
        Writer::start(target, kind).map(Some)
    }
}

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Stamp)> = RefCell::new((Vec::with_capacity(1024), Stamp::default()));
}

#[cfg(test)]
mod tests;
