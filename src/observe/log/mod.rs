//! The program's own log: lines on standard error, as text or JSON, with UTC time stamps.
//!
//! Nobody waits for it, and it never fails: lines go by way of [`super::lines`], as those of the access log do. What
//! the standard error of the process says to that (closed, full, read by nobody) costs lines at the most.

mod form;
mod panics;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::IntCounter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::lines::{Kind, Target, Writer};
use crate::config::{self, model::Logging};
use crate::supervise::Task;
use form::{Form, Switchable};

/// Bytes that are kept for a standard error that isn't written to fast enough.
const BACKLOG: usize = 4 * 1024 * 1024;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `logging.level` is neither a level nor a filter.
    #[error("logging.level: {0}")]
    Filter(String),
    /// There is a log already.
    #[error("the log is set up already")]
    Twice,
    /// There can't be a thread to write it, or no descriptor.
    #[error("cannot start the log: {0}")]
    Start(#[from] io::Error),
}

/// Begins to write standard error without waiting for it: from now on [`say`] doesn't wait, and panics are told as
/// lines of the log. Does so once. For commands that go on running; call [`finish`] before the process ends.
///
/// # Errors
/// There can't be a thread for it.
pub fn begin() -> Result<(), LogError> {
    if WRITER.get().is_none() {
        let kind = Kind {
            what: "this log",
            task: Task::Log,
            thread: "log",
            threshold: 1,
            linger: Duration::ZERO,
            limit: BACKLOG,
            dropped: dropped().clone(),
        };
        let writer = Writer::start(Target::stderr()?, kind)?;
        if WRITER.set(writer).is_ok() {
            panics::install_hook();
        }
    }
    Ok(())
}

/// Sets up the log for the rest of the process; [`begin`] has been called. Records of libraries that use the `log`
/// crate are taken in. A terminal is written to in colours unless `NO_COLOR` is set (<https://no-color.org>).
///
/// Pingora tells of every broken connection at levels that would drown the rest, so that only its
/// errors are shown unless the filter names it: `info,pingora=info`.
///
/// # Errors
/// The filter is malformed, or the log was set up before.
pub fn init_logging(settings: &Logging) -> Result<(), LogError> {
    begin()?;
    let terminal = io::stderr().is_terminal();
    let colour = config::environment("NO_COLOR").is_none_or(|set| set.is_empty());
    let (filter, handle) = reload::Layer::new(filter(&settings.level)?);
    let form = Arc::new(ArcSwap::from_pointee(Form::of(settings, terminal)));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Switchable(Arc::clone(&form)))
        .with_ansi(terminal && colour)
        .with_writer(|| Line);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|_| LogError::Twice)?;
    let live = Live {
        filter: handle,
        form,
        terminal,
    };
    LIVE.set(live).map_err(|_| LogError::Twice)
}

/// Goes on as `settings` say, from the next line on.
///
/// # Errors
/// The filter is malformed, or the log was never set up; it goes on as before then.
pub fn reconfigure(settings: &Logging) -> Result<(), LogError> {
    let filter = filter(&settings.level)?;
    let missing = || LogError::Filter("the log was never set up".to_owned());
    let live = LIVE.get().ok_or_else(missing)?;
    live.filter
        .reload(filter)
        .map_err(|error| LogError::Filter(error.to_string()))?;
    // Libraries that use the `log` crate ask this first.
    log::set_max_level(as_log(LevelFilter::current()));
    live.form.store(Arc::new(Form::of(settings, live.terminal)));
    Ok(())
}

/// Writes a message to standard error as it is, for what has to be said when there is no log yet, or none any more.
/// After [`begin`] it doesn't wait.
pub fn say(message: &str) {
    let text = format!("{}\n", message.trim_end());
    match WRITER.get() {
        Some(writer) => writer.append(text.as_bytes()),
        // Nobody is left to tell when standard error is closed.
        None => drop(io::Write::write_all(&mut io::stderr(), text.as_bytes())),
    }
}

/// Ends the log: waits until everything is written, at most 2 s, and not at all for a standard error that is broken.
/// Blocks: for the end of the program.
pub fn finish() {
    if let Some(writer) = WRITER.get() {
        writer.finish();
    }
}

/// Lines of this log that were lost; to be registered with the metrics.
pub fn dropped() -> &'static IntCounter {
    &DROPPED
}

// The log is the process's, as its standard error is.
static WRITER: OnceLock<Writer> = OnceLock::new();
static LIVE: OnceLock<Live> = OnceLock::new();
static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the name is well formed")]
    IntCounter::new(
        "equipoise_log_dropped_total",
        "Lines of the program's own log lost because standard error could not be written fast enough.",
    )
    .expect("a valid family")
});

/// What can be changed while the log is written.
struct Live {
    filter: reload::Handle<EnvFilter, Registry>,
    form: Arc<ArcSwap<Form>>,
    terminal: bool,
}

/// Takes one whole line at a time.
struct Line;

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(writer) = WRITER.get() {
            writer.append(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn as_log(level: LevelFilter) -> log::LevelFilter {
    match level.into_level() {
        None => log::LevelFilter::Off,
        Some(tracing::Level::ERROR) => log::LevelFilter::Error,
        Some(tracing::Level::WARN) => log::LevelFilter::Warn,
        Some(tracing::Level::INFO) => log::LevelFilter::Info,
        Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
        Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
    }
}

/// Whether `logging.level` is a level or a filter that [`init_logging`] takes.
///
/// # Errors
/// It is not; the error says why.
pub fn check_filter(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let error = |error: tracing_subscriber::filter::ParseError| LogError::Filter(error.to_string());
    // A lone word is a level or a mistake, but as a filter it would be taken for the name of a
    // module.
    if is_word(level)
        && level
            .parse::<tracing_subscriber::filter::LevelFilter>()
            .is_err()
    {
        return Err(LogError::Filter(format!(
            "\"{level}\" is not one of error, warn, info, debug, trace, off"
        )));
    }
    let filter = EnvFilter::builder().parse(level).map_err(error)?;
    if level.contains("pingora") {
        return Ok(filter);
    }
    let mut filter = filter;
    for directive in PINGORA {
        filter = filter.add_directive(directive.parse().map_err(error)?);
    }
    Ok(filter)
}

/// The one error of the connectors is that a kept-alive connection was just being closed; a new one
/// is made and nothing is lost. That of the protocols itself ("Crit: FD mismatch") is that a kept connection whose server
/// has died has no other end any more: it isn't used, and what became of the request is in the access log.
const PINGORA: [&str; 5] = [
    "pingora=error",
    "pingora_core::connectors=off",
    "pingora_core::protocols=off",
    "pingora_core::protocols::http=error",
    "pingora_core::protocols::l4=error",
];

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(level).expect("a filter"))
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = memory.0.lock().clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn pingora_is_quiet_unless_asked_for() {
        let chatter = || {
            tracing::info!(target: "equipoise::server", "ours");
            tracing::warn!(target: "pingora_proxy", "theirs");
            tracing::error!(target: "pingora_core::services", "their error");
        };
        let text = logged("info", chatter);
        assert!(
            text.contains("ours") && !text.contains("theirs") && text.contains("their error"),
            "{text}"
        );
        let text = logged("info,pingora=info", chatter);
        assert!(text.contains("theirs"), "{text}");
        let race = || tracing::error!(target: "pingora_core::connectors", "failed to acquire");
        assert_eq!(logged("info", race), "");
        assert_ne!(logged("info,pingora=error", race), "");
        let dead = || tracing::error!(target: "pingora_core::protocols", "Crit: FD mismatch");
        assert_eq!(logged("info", dead), "");
        assert_ne!(logged("info,pingora=error", dead), "");
    }

    #[test]
    fn levels_and_filters_hold() {
        let text = logged("warn,equipoise::health=debug", || {
            tracing::info!(target: "equipoise::server", "one");
            tracing::debug!(target: "equipoise::health", "two");
        });
        assert!(!text.contains("one") && text.contains("two"), "{text}");
        let first = text.split_whitespace().next().expect("a time stamp");
        assert!(
            first.ends_with('Z') && first.contains('T'),
            "{first} is RFC 3339 in UTC"
        );
    }

    #[test]
    fn mistakes_are_refused() {
        for level in [
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "off",
            "info,equipoise::health=debug",
        ] {
            assert!(check_filter(level).is_ok(), "{level}");
        }
        for level in ["verbose", "info,equipoise=loud", "inof"] {
            assert!(check_filter(level).is_err(), "{level}");
        }
    }
}
