//! Filters and templates of the logs.

use std::fmt;

use super::problem::{shown, similar};
use super::scalar::{Scalar, scalar};
use super::text::checked_text;

/// The fields of an access log record, usable in templates as `%{name}`.
pub const ACCESS_LOG_FIELDS: [&str; 29] = [
    "time",
    "client",
    "peer",
    "method",
    "host",
    "path",
    "query",
    "protocol",
    "status",
    "bytes_in",
    "bytes_out",
    "duration",
    "upstream_duration",
    "listener",
    "route",
    "pool",
    "server",
    "server_address",
    "attempts",
    "persistence",
    "request_id",
    "trace_id",
    "referer",
    "user_agent",
    "x_forwarded_for",
    "tls_version",
    "tls_cipher",
    "sni",
    "termination",
];

checked_text!(
    /// A level, or a filter in the syntax of `tracing_subscriber::EnvFilter`.
    LogFilter, "equipoise-log-filter", check_filter
);

checked_text!(
    /// `combined`, `json`, or a template of `%{field}` names.
    LogTemplate, "equipoise-access-log-format", check_template
);

fn check_filter(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    // EnvFilter takes any bare word for a target and would so silently accept a misspelt level.
    for directive in text.split(',').map(str::trim) {
        let is_word = directive.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let level = directive.to_ascii_lowercase();
        if is_word && !LEVELS.contains(&level.as_str()) {
            let hint = match similar(directive, LEVELS) {
                Some(level) => format!("; did you mean {level}?"),
                None => "; write one of error, warn, info, debug, trace, or target=level".into(),
            };
            return Err(format!("`{}` is not a level{hint}", shown(directive)));
        }
    }
    // EnvFilter's parser slices text beyond ASCII between the bytes of a character, and panics.
    if !text.is_ascii() {
        return Err(format!("`{}` has letters beyond ASCII", shown(text)));
    }
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .map(drop)
        .map_err(|_| {
            format!(
                "`{}` is not a log filter such as \"info,equipoise::health=debug\"",
                shown(text)
            )
        })
}

fn check_template(text: &str) -> Result<(), String> {
    if matches!(text, "combined" | "json") {
        return Ok(());
    }
    if text.chars().any(char::is_control) {
        return Err("a template can't hold control characters: a record is one line".into());
    }
    let mut rest = text;
    let mut fields = 0;
    while let Some((_, tail)) = rest.split_once("%{") {
        let (field, after) = tail
            .split_once('}')
            .ok_or("the template has `%{` without `}`")?;
        if !ACCESS_LOG_FIELDS.contains(&field) {
            let hint = match similar(field, ACCESS_LOG_FIELDS) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("the fields are {}", ACCESS_LOG_FIELDS.join(", ")),
            };
            return Err(format!(
                "there is no access log field `{}`; {hint}",
                shown(field)
            ));
        }
        fields += 1;
        rest = after;
    }
    if fields > 0 {
        return Ok(());
    }
    let hint = match similar(text, ["combined", "json"]) {
        Some(known) => format!("; did you mean {known}?"),
        None => String::new(),
    };
    Err(format!(
        "`{}` is neither combined nor json nor a template of %{{field}} names{hint}",
        shown(text)
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused<T: Scalar>(text: &str, part: &str) {
        match T::parse(text) {
            Ok(_) => panic!("{text} was accepted"),
            Err(why) => assert!(why.contains(part), "{text}: {why}"),
        }
    }

    #[test]
    fn log_filters() {
        for text in [
            "info",
            "INFO",
            "off",
            "info,equipoise::health=debug",
            "equipoise=trace,warn",
        ] {
            assert_eq!(LogFilter::parse(text).map(|f| f.0), Ok(text.to_owned()));
        }
        refused::<LogFilter>("inof", "did you mean info");
        refused::<LogFilter>("verbose", "is not a level");
        refused::<LogFilter>("equipoise=loud", "is not a log filter");
        refused::<LogFilter>("", "is not a level");
        refused::<LogFilter>(" ²=", "beyond ASCII");
    }

    #[test]
    fn log_templates() {
        for text in ["combined", "json", "%{client} %{status} 100%", "%{time}"] {
            assert_eq!(LogTemplate::parse(text).map(|t| t.0), Ok(text.to_owned()));
        }
        refused::<LogTemplate>("%{stauts}", "did you mean status");
        refused::<LogTemplate>("%{zzz}", "the fields are time, client");
        refused::<LogTemplate>("%{status", "without `}`");
        refused::<LogTemplate>("jsn", "did you mean json");
        refused::<LogTemplate>("%{time}\n", "control characters");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = LogFilter::parse(&text);
            let _ = LogTemplate::parse(&text);
        }

        #[test]
        fn no_filter_panics(text in "[ -~]{0,30}|[a-z=,:\\[\\]{}/\" ]{0,30}") {
            let _ = LogFilter::parse(&text);
        }
    }
}
