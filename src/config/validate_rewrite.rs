//! raw -> model for what a route changes of a request and its response.

use std::str::FromStr;

use http::{HeaderName, HeaderValue};

use super::checks::Checks;
use super::model;
use super::problem::shown;
use super::raw;
use super::raw::Named;
use super::template::Template;
use super::tree::At;

/// What becomes of the path and the host.
pub(super) fn rewrite(route: &raw::Route, at: &At<'_>, checks: &mut Checks<'_>) -> model::Rewrite {
    let raw = &route.rewrite;
    if raw.prefix.is_some() && raw.regex.is_some() {
        checks.note(&at.key("prefix"), "has no meaning beside regex");
    }
    let path = match (&raw.prefix, &raw.regex, &raw.replacement) {
        (Some(prefix), _, _) => Some(model::PathRewrite::Prefix(
            if route.r#match.path.0.is_empty() {
                encoded(prefix.0.trim_end_matches('/'))
            } else {
                // A whole path is replaced by a whole path.
                encoded(&prefix.0)
            },
        )),
        (None, Some(regex), Some(replacement)) => {
            if replacement
                .chars()
                .any(|c| !c.is_ascii_graphic() || "#\"<>\\^`|".contains(c))
            {
                checks.note(
                    &at.key("replacement"),
                    "holds what a path may only in percent-encoding",
                );
            }
            unknown_group(&regex.0, replacement, &at.key("replacement"), checks);
            Some(model::PathRewrite::Regex {
                regex: regex.0.clone(),
                replacement: replacement.clone(),
            })
        }
        (None, Some(_), None) => {
            checks.note(
                &at.key("regex"),
                "needs replacement; \"\" takes out what it matches",
            );
            None
        }
        (None, None, Some(_)) => {
            checks.note(&at.key("replacement"), "has no meaning without regex");
            None
        }
        (None, None, None) => None,
    };
    model::Rewrite {
        path,
        host: raw
            .host
            .as_ref()
            .and_then(|host| HeaderValue::from_str(&host.0).ok()),
    }
}

/// `$1` of a regular expression without groups would silently be nothing.
fn unknown_group(
    regex: &regex::bytes::Regex,
    replacement: &str,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) {
    let mut rest = replacement;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let name = if let Some(braced) = after.strip_prefix('{') {
            braced.split('}').next().unwrap_or_default()
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            after.get(..end.unwrap_or(after.len())).unwrap_or_default()
        };
        let known = match name.parse::<usize>() {
            Ok(index) => index < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|group| group == name),
        };
        if !name.is_empty() && !known {
            let message = format!(
                "`{}` is no group of regex; write $${{1}} where a letter, digit or _ follows a group's number",
                shown(name)
            );
            checks.note(at, message);
        }
        rest = after;
    }
}

/// In percent-encoding, as it is sent to servers.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What becomes of header fields.
pub(super) fn header_edits(
    raw: &raw::HeaderEdits,
    at: &At<'_>,
    of_request: bool,
    checks: &mut Checks<'_>,
) -> model::HeaderEdits {
    let remove_at = at.key("remove");
    for name in &raw.remove.0 {
        check_editable(&name.0, &remove_at, of_request, checks);
    }
    let mut values = |key, raw: &Named<Template>| {
        let at = at.key(key);
        let mut values = Vec::with_capacity(raw.0.len());
        for (name, value) in &raw.0 {
            if let Some(name) = field_name(name, &at, checks) {
                check_editable(&name, &at.key(name.as_str()), of_request, checks);
                values.push((name, value.clone()));
            }
        }
        values
    };
    model::HeaderEdits {
        set: values("set", &raw.set),
        add: values("add", &raw.add),
        remove: raw.remove.0.iter().map(|name| name.0.clone()).collect(),
    }
}

/// Fields that say where a message ends, or that concern one connection alone, aren't for routes.
fn check_editable(name: &HeaderName, at: &At<'_>, of_request: bool, checks: &mut Checks<'_>) {
    match name.as_str() {
        "host" if of_request => checks.note(at, "Host is changed by rewrite.host"),
        "connection" | "content-length" | "transfer-encoding" | "keep-alive"
        | "proxy-connection" | "te" | "trailer" | "upgrade" | "http2-settings" | "expect" => {
            let message = format!("{name} belongs to the connection and is set by Equipoise");
            checks.note(at, message);
        }
        _ => {}
    }
}

/// The name of a header field; `None` if it isn't one, which is noted.
pub(super) fn field_name(name: &str, at: &At<'_>, checks: &mut Checks<'_>) -> Option<HeaderName> {
    let parsed = HeaderName::from_str(name).ok();
    if parsed.is_none() {
        let message = format!("`{}` is not the name of a header field", shown(name));
        checks.note(&at.key(name), message);
    }
    parsed
}
