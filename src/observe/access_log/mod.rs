//! The access log: one line for each request or connection, written beside the traffic, never in
//! its way.
//!
//! [`AccessLog::write`] formats into a buffer of the calling thread and appends the line to a
//! shared one; a thread of its own ([`writer`]) takes that to the file. A slow or full disk costs
//! lines (counted), not requests.

mod escape;
mod format;
mod record;
mod stamp;
pub mod template;
mod writer;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use prometheus::IntCounter;

use crate::config::model;
use format::Format;
pub use record::Record;
use stamp::Stamp;
use template::Template;
pub use template::{FIELDS, TemplateError};
use writer::{Target, Writer};

/// An open access log.
pub struct AccessLog {
    format: Format,
    /// `None`: switched off.
    writer: Option<Writer>,
}

impl AccessLog {
    /// Opens the log; a file is created with mode 0640 or appended to. `dropped` counts the lines
    /// that are lost, see [`crate::observe::Metrics::access_log_dropped`].
    ///
    /// # Errors
    /// The file can't be opened, the thread can't be started, or the template has a field that does
    /// not exist.
    pub fn open(settings: &model::AccessLog, dropped: IntCounter) -> io::Result<Arc<Self>> {
        let format = match &settings.format {
            model::AccessLogFormat::Combined => Format::Combined,
            model::AccessLogFormat::Json => Format::Json,
            model::AccessLogFormat::Template(text) => Format::Template(
                Template::parse(text)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
            ),
        };
        let target = match &settings.path {
            model::AccessLogPath::Off => None,
            model::AccessLogPath::Stdout => Some(Target::stdout()?),
            model::AccessLogPath::Stderr => Some(Target::stderr()?),
            model::AccessLogPath::File(path) => Some(Target::file(path)?),
        };
        let writer = target
            .map(|target| Writer::start(target, settings.buffer, dropped))
            .transpose()?;
        Ok(Arc::new(Self { format, writer }))
    }

    /// Whether anything is written: with `path: off` no record need be made.
    pub fn enabled(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes one line, soon: within 50 ms or as soon as the configured buffer is full. Never waits
    /// for the disk.
    pub fn write(&self, record: &Record<'_>) {
        let Some(writer) = &self.writer else { return };
        SCRATCH.with_borrow_mut(|(line, stamp)| {
            line.clear();
            self.format.write(line, record, stamp);
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
        if let Some(writer) = &self.writer {
            writer.reopen();
        }
    }

    /// Waits until everything written so far has reached the file, at most 2 s, and not at all for
    /// a file that can't be written to. Blocks: for the end of the program.
    pub fn flush(&self) {
        if let Some(writer) = &self.writer {
            writer.flush();
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Stamp)> = RefCell::new((Vec::with_capacity(1024), Stamp::default()));
}

#[cfg(test)]
mod tests;
