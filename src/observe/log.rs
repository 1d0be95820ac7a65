//! The program's own log: lines on standard error, as text or JSON, with UTC time stamps.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::model::{LogFormat, Logging};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `logging.level` is neither a level nor a filter.
    #[error("logging.level: {0}")]
    Filter(String),
    /// There is a log already.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log for the rest of the process. Records of libraries that use the `log` crate are
/// taken in.
///
/// Pingora tells of every broken connection at levels that would drown the rest, so that only its
/// errors are shown unless the filter names it: `info,pingora=info`.
///
/// # Errors
/// The filter is malformed, or the log was set up before.
pub fn init_logging(settings: &Logging) -> Result<(), LogError> {
    let filter = filter(&settings.level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|_| LogError::Twice)
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
