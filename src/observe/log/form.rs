//! How lines of the log look: for machines, for files, or for somebody who sits before a terminal.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, format};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::registry::LookupSpan;

use crate::config::model::{LogFormat, Logging};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object a line.
    Json,
    /// A whole time stamp, the level, the module, the words.
    Text,
    /// The time of day and the words; the module where a filter may want to name it.
    Terminal {
        /// Whether modules are shown.
        modules: bool,
    },
}

impl Form {
    /// As the configuration wants it.
    pub(super) fn of(settings: &Logging, terminal: bool) -> Self {
        match settings.format {
            LogFormat::Json => Self::Json,
            LogFormat::Text if terminal => Self::Terminal {
                modules: !matches!(
                    settings.level.to_ascii_lowercase().as_str(),
                    "error" | "warn" | "info" | "off"
                ),
            },
            LogFormat::Text => Self::Text,
        }
    }
}

/// The form of the moment.
pub(super) struct Switchable(pub(super) Arc<ArcSwap<Form>>);

impl<S, N> FormatEvent<S, N> for Switchable
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match **self.0.load() {
            Form::Json => format()
                .json()
                .flatten_event(true)
                .format_event(context, writer, event),
            Form::Text => format().format_event(context, writer, event),
            Form::Terminal { modules } => format()
                .with_timer(TimeOfDay)
                .with_target(modules)
                .format_event(context, writer, event),
        }
    }
}

/// Hours, minutes and seconds in UTC, as in whole time stamps.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = since_epoch.map_or(0, |since| since.as_secs() % (24 * 3600));
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(writer, "{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}
