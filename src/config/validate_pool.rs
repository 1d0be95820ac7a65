//! raw -> model for pools.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use regex::bytes::RegexBuilder;

use super::address::Upstream;
use super::model;
use super::problem::shown;
use super::raw;
use super::tree::{At, Value};
use super::units::Span;
use super::validate::Checks;

/// A session of a cookie can be remembered for a day at most.
const LONGEST_SESSION: Span = Span::secs(86_400);

/// What a server ramps up by where the file doesn't say and the algorithm would flood it.
const SLOW_START: Span = Span::secs(30);

/// A pool, or nothing where it can't be built; what is wrong is noted.
pub(super) fn pool(
    name: &str,
    raw: &raw::Pool,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::Pool> {
    let slow_start = raw.slow_start.unwrap_or(match raw.algorithm {
        raw::Algorithm::WeightedLeastConnections => SLOW_START,
        raw::Algorithm::WeightedRoundRobin => Span::secs(0),
    });
    let servers = servers(&raw.servers, &at.key("servers"), checks);
    let persistence = raw
        .persistence
        .as_ref()
        .map(|raw| persistence(raw, &at.key("persistence"), checks));
    let queue = queue(&raw.queue, &at.key("queue"), checks);
    let timeouts = timeouts(&raw.timeouts, &at.key("timeouts"), checks);
    let check_at = at.key("health_check");
    let health_check = match &raw.health_check {
        Some(raw) => Some(health_check(raw, &check_at, checks)?),
        None => None,
    };
    let on = &raw.retries.on;
    Some(model::Pool {
        name: Arc::from(name),
        algorithm: match raw.algorithm {
            raw::Algorithm::WeightedRoundRobin => model::Algorithm::WeightedRoundRobin,
            raw::Algorithm::WeightedLeastConnections => model::Algorithm::WeightedLeastConnections,
        },
        servers,
        persistence,
        health_check,
        slow_start: slow_start.0,
        queue,
        timeouts,
        retries: model::Retries {
            attempts: raw.retries.attempts,
            on_connect_failure: on.contains(&raw::RetryOn::ConnectFailure),
            on_reset_before_response: on.contains(&raw::RetryOn::ResetBeforeResponse),
            on_502: on.contains(&raw::RetryOn::Status(502)),
            on_503: on.contains(&raw::RetryOn::Status(503)),
            on_504: on.contains(&raw::RetryOn::Status(504)),
        },
        keepalive: model::Keepalive {
            connections: raw.keepalive.connections as usize,
        },
    })
}

fn servers(
    raw: &[raw::PoolServer],
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Vec<model::PoolServer> {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut servers = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let at = at.item(index);
        let name_at = at.key("name");
        let name = match &raw.name {
            Some(name) => name.0.clone(),
            None => default_name(&raw.address),
        };
        if let Some(first) = names.get(&name) {
            let hint = if raw.name.is_some() {
                ""
            } else {
                " (a server without a name is named by its address)"
            };
            let message = format!(
                "two servers are named `{}`{hint}; the first at {first}",
                shown(&name)
            );
            checks.note(&name_at, message);
        } else {
            names.insert(name.clone(), checks.show(&name_at));
        }
        let address = match &raw.address {
            Upstream::Socket(address) => model::ServerAddress::Socket(*address),
            Upstream::Name(host, port) => {
                model::ServerAddress::Name(Arc::from(host.as_str()), *port)
            }
            Upstream::Unix(path) => {
                model::ServerAddress::Unix(checks.path(&at.key("address"), path))
            }
        };
        servers.push(model::PoolServer {
            name: Arc::from(name),
            address,
            weight: raw.weight,
            max_connections: raw.max_connections,
            backup: raw.backup,
        });
    }
    servers
}

/// The address; of a unix socket its file name, as a name can't hold slashes.
fn default_name(address: &Upstream) -> String {
    match address {
        Upstream::Unix(path) => Path::new(path)
            .file_name()
            .map_or_else(|| "unix".into(), |name| name.to_string_lossy().into_owned()),
        _ => address.to_string(),
    }
}

fn persistence(raw: &raw::Persistence, at: &At<'_>, checks: &mut Checks<'_>) -> model::Persistence {
    let timeout_at = at.key("timeout");
    if !raw.timeout.0.is_zero() && !(Span::secs(1)..=LONGEST_SESSION).contains(&raw.timeout) {
        let message = format!(
            "must be from 1s to 86400s, or 0 for the browser's session, found {}",
            raw.timeout
        );
        checks.note(&timeout_at, message);
    }
    if raw
        .max_lifetime
        .is_some_and(|lifetime| lifetime < Span::secs(1))
    {
        checks.note(
            &at.key("max_lifetime"),
            "must be at least 1s, or null for no limit",
        );
    }
    let insecure = raw.secure == raw::Secure::False;
    if raw.same_site == raw::SameSite::None && insecure {
        let message = "browsers drop a cookie with SameSite=None that is not Secure; write secure: true or another same_site";
        checks.note(&at.key("same_site"), message);
    }
    prefixes(raw, at, insecure, checks);
    let secret_at = at.key("secret_file");
    model::Persistence::CookieInsert(model::CookieInsert {
        cookie: Arc::from(raw.cookie.0.as_str()),
        timeout: (!raw.timeout.0.is_zero()).then_some(raw.timeout.0),
        max_lifetime: raw.max_lifetime.map(|lifetime| lifetime.0),
        token: match raw.token {
            raw::Token::Signed => model::Token::Signed,
            raw::Token::Name => model::Token::Name,
        },
        secret_file: raw
            .secret_file
            .as_ref()
            .map(|path| checks.path(&secret_at, &path.0)),
        domain: raw.domain.as_ref().map(|domain| domain.0.clone()),
        path: raw.path.0.clone(),
        secure: match raw.secure {
            raw::Secure::Auto => model::Secure::Auto,
            raw::Secure::True => model::Secure::Always,
            raw::Secure::False => model::Secure::Never,
        },
        http_only: raw.http_only,
        same_site: match raw.same_site {
            raw::SameSite::Lax => model::SameSite::Lax,
            raw::SameSite::Strict => model::SameSite::Strict,
            raw::SameSite::None => model::SameSite::None,
            raw::SameSite::Omit => model::SameSite::Omit,
        },
        on_unavailable: match raw.on_unavailable {
            raw::OnUnavailable::Rebalance => model::OnUnavailable::Rebalance,
            raw::OnUnavailable::Reject => model::OnUnavailable::Reject,
        },
    })
}

/// What browsers demand of cookies with these prefixes (RFC 6265bis section 4.1.3).
fn prefixes(raw: &raw::Persistence, at: &At<'_>, insecure: bool, checks: &mut Checks<'_>) {
    let host = raw.cookie.0.starts_with("__Host-");
    if (host || raw.cookie.0.starts_with("__Secure-")) && insecure {
        let message = "browsers take a cookie of this name only with secure: true";
        checks.note(&at.key("cookie"), message);
    }
    if host && (raw.domain.is_some() || raw.path.0 != "/") {
        let message = "browsers take a __Host- cookie only without domain and with path: /";
        checks.note(&at.key("cookie"), message);
    }
}

fn queue(raw: &raw::Queue, at: &At<'_>, checks: &mut Checks<'_>) -> model::Queue {
    if raw.size > 0 {
        checks.positive(
            &at.key("timeout"),
            raw.timeout,
            "; for no waiting write size: 0",
        );
    }
    model::Queue {
        size: raw.size as usize,
        timeout: raw.timeout.0,
    }
}

fn timeouts(raw: &raw::Timeouts, at: &At<'_>, checks: &mut Checks<'_>) -> model::Timeouts {
    let mut positive = |key, span, instead| checks.positive(&at.key(key), span, instead);
    model::Timeouts {
        connect: positive("connect", raw.connect, ""),
        send: positive("send", raw.send, ""),
        receive: positive("receive", raw.receive, ""),
        idle: positive(
            "idle",
            raw.idle,
            "; to keep no connections write keepalive: {connections: 0}",
        ),
    }
}

fn health_check(
    raw: &raw::HealthCheck,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::HealthCheck> {
    let kind = match raw.r#type {
        raw::CheckType::Tcp => {
            for key in [
                "method",
                "path",
                "host",
                "headers",
                "expect_status",
                "expect_body",
            ] {
                let key_at = at.key(key);
                if key_at.is_written() {
                    checks.note(&key_at, "has no meaning for type tcp; write type: http");
                }
            }
            model::CheckKind::Tcp
        }
        raw::CheckType::Http => model::CheckKind::Http(Box::new(http_check(raw, at, checks)?)),
    };
    let interval = checks.positive(
        &at.key("interval"),
        raw.interval,
        "; for no checks write health_check: null",
    );
    let fast_at = at.key("fast_interval");
    let mut fast_interval = checks.positive(&fast_at, raw.fast_interval, "");
    if fast_interval > interval && !interval.is_zero() {
        if fast_at.is_written() {
            let message = format!(
                "{} is longer than interval ({})",
                raw.fast_interval, raw.interval
            );
            checks.note(&fast_at, message);
        }
        fast_interval = interval.max(Duration::from_millis(1));
    }
    Some(model::HealthCheck {
        kind,
        interval,
        fast_interval,
        timeout: checks.positive(&at.key("timeout"), raw.timeout, ""),
        rise: raw.rise,
        fall: raw.fall,
        initial: match raw.initial {
            raw::Initial::Unknown => model::InitialState::Unknown,
            raw::Initial::Up => model::InitialState::Up,
            raw::Initial::Down => model::InitialState::Down,
        },
        port: raw.port,
    })
}

fn http_check(
    raw: &raw::HealthCheck,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::HttpCheck> {
    let method = match raw.method {
        // A response to HEAD has no body to look at.
        raw::Method::Head if raw.expect_body.is_some() => http::Method::GET,
        raw::Method::Head => http::Method::HEAD,
        raw::Method::Get => http::Method::GET,
        raw::Method::Options => http::Method::OPTIONS,
        raw::Method::Post => http::Method::POST,
    };
    let expect_at = at.key("expect_status");
    if raw.expect_status.0.is_empty() {
        checks.note(&expect_at, "is empty, so that no response could be right");
    }
    let expect_body = match &raw.expect_body {
        Some(pattern) => match RegexBuilder::new(&pattern.0).size_limit(1 << 20).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                checks.note(&at.key("expect_body"), error.to_string());
                return None;
            }
        },
        None => None,
    };
    Some(model::HttpCheck {
        method,
        path: raw.path.0.clone(),
        host: raw.host.as_ref().map(|host| host.0.clone()),
        headers: headers(raw, &at.key("headers"), checks),
        expect_status: raw
            .expect_status
            .0
            .iter()
            .map(|range| range.0.clone())
            .collect(),
        expect_body,
    })
}

fn headers(
    raw: &raw::HealthCheck,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Vec<(HeaderName, http::HeaderValue)> {
    let entries = match at.node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => entries.as_slice(),
        _ => &[],
    };
    let mut headers: Vec<(HeaderName, http::HeaderValue)> = Vec::new();
    for ((name, value), entry) in raw.headers.0.iter().zip(entries) {
        let at = at.entry(entry);
        let Ok(name) = HeaderName::from_str(name) else {
            checks.note(
                &at,
                format!("`{}` is not the name of a header field", shown(name)),
            );
            continue;
        };
        match name.as_str() {
            "host" => checks.note(&at, "is set by the key host of the health check"),
            "content-length" | "transfer-encoding" | "connection" | "upgrade" | "te" => {
                checks.note(&at, "belongs to the connection and is set by Equipoise");
            }
            _ if headers.iter().any(|(known, _)| *known == name) => {
                checks.note(&at, "is written twice (header names know no case)");
            }
            _ => {}
        }
        headers.push((name, value.0.clone()));
    }
    headers
}
