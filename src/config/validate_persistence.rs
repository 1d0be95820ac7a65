//! raw -> model for `persistence`: which keys belong to which type, and what they mean there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::checks::Checks;
use super::model;
use super::problem::shown;
use super::raw::{self, PersistenceType as Type};
use super::text::CookieName;
use super::tree::At;
use super::units::Span;
use super::validate_cookie::{Attributes, attributes};

/// A session can be remembered for a day at most.
const LONGEST_SESSION: Span = Span::secs(86_400);

/// The idle timeout of the types whose sessions are ours to time.
const IDLE_TIMEOUT: Span = Span::secs(3600);

/// The cookie of type route, unless another is named.
const SESSION_ID: &str = "JSESSIONID";

/// What a request may wait for the store, at most.
const LONGEST_WAIT: Span = Span::secs(1);

/// The types that a key belongs to; what isn't listed belongs to all.
const KEYS: &[(&str, &[Type])] = &[
    (
        "cookie",
        &[
            Type::CookieInsert,
            Type::CookieRewrite,
            Type::CookiePrefix,
            Type::Route,
            Type::Learn,
        ],
    ),
    (
        "timeout",
        &[
            Type::CookieInsert,
            Type::CookieRewrite,
            Type::CookiePrefix,
            Type::Learn,
            Type::SourceIp,
        ],
    ),
    (
        "max_lifetime",
        &[
            Type::CookieInsert,
            Type::CookieRewrite,
            Type::CookiePrefix,
            Type::Learn,
            Type::SourceIp,
        ],
    ),
    ("header", &[Type::Learn]),
    ("token", &SIGNED),
    ("secret_file", &SIGNED),
    ("domain", &[Type::CookieInsert]),
    ("path", &[Type::CookieInsert]),
    ("secure", &[Type::CookieInsert]),
    ("http_only", &[Type::CookieInsert]),
    ("same_site", &[Type::CookieInsert]),
    ("partitioned", &[Type::CookieInsert]),
    ("separator", &[Type::Route]),
    ("path_parameter", &[Type::Route]),
    ("query_parameter", &[Type::Route]),
    ("insert", &[Type::Route]),
    ("prefix", &[Type::SourceIp]),
    ("table", &[Type::Learn, Type::SourceIp]),
];

const SIGNED: [Type; 3] = [Type::CookieInsert, Type::CookieRewrite, Type::CookiePrefix];

/// The keys of a cookie that we set, which type route has one level deeper.
const ATTRIBUTES: [&str; 6] = [
    "domain",
    "path",
    "secure",
    "http_only",
    "same_site",
    "partitioned",
];

/// A persistence, or nothing where it can't be built; what is wrong is noted.
///
/// `at` is in the sound part of the tree, `written` in all of it.
pub(super) fn persistence(
    raw: &raw::Persistence,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::Persistence> {
    foreign_keys(raw.r#type, at, checks);
    let on_unavailable = match raw.on_unavailable {
        raw::OnUnavailable::Rebalance => model::OnUnavailable::Rebalance,
        raw::OnUnavailable::Reject => model::OnUnavailable::Reject,
    };
    let max_lifetime = max_lifetime(raw, at, checks);
    Some(match raw.r#type {
        Type::CookieInsert => {
            let cookie = raw.cookie.clone();
            let cookie = cookie.unwrap_or_else(|| CookieName("SERVERID".into()));
            model::Persistence::CookieInsert(model::CookieInsert {
                attributes: attributes(&Attributes::of(raw, &cookie), at, checks),
                cookie: Arc::from(cookie.0),
                timeout: insert_timeout(raw, at, checks),
                max_lifetime,
                token: token(raw),
                secret_file: secret_file(raw, at, checks),
                on_unavailable,
            })
        }
        Type::CookieRewrite | Type::CookiePrefix => {
            let rewrite = model::CookieRewrite {
                timeout: rewrite_timeout(raw, at, checks),
                max_lifetime,
                token: token(raw),
                secret_file: secret_file(raw, at, checks),
                on_unavailable,
                cookie: required_cookie(raw, at, written, checks)?,
            };
            match raw.r#type {
                Type::CookieRewrite => model::Persistence::CookieRewrite(rewrite),
                _ => model::Persistence::CookiePrefix(rewrite),
            }
        }
        Type::Route => model::Persistence::Route(route(raw, at, on_unavailable, checks)),
        Type::Learn => model::Persistence::Learn(model::Learn {
            timeout: table_timeout(raw, at, checks),
            max_lifetime,
            table: table(&raw.table, &at.key("table"), checks),
            on_unavailable,
            from: learned_from(raw, at, written, checks)?,
        }),
        Type::SourceIp => model::Persistence::SourceIp(model::SourceIp {
            prefix_v4: raw.prefix.v4,
            prefix_v6: raw.prefix.v6,
            timeout: table_timeout(raw, at, checks),
            max_lifetime,
            table: table(&raw.table, &at.key("table"), checks),
            on_unavailable,
        }),
    })
}

/// Routes that no session id could name, and those that would name two servers.
pub(super) fn routes(
    servers: &[model::PoolServer],
    persistence: Option<&model::Persistence>,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) {
    let separator = match persistence {
        Some(model::Persistence::Route(route)) => Some(route.separator.as_str()),
        _ => None,
    };
    let mut known: HashMap<&str, &model::PoolServer> = HashMap::new();
    for (index, server) in servers.iter().enumerate() {
        let server_at = at.item(index);
        let route_at = server_at.key("route");
        let server_written = written.item(index);
        if ["name", "route"]
            .iter()
            .any(|key| server_at.is_broken(&server_written, key))
        {
            continue;
        }
        match known.get(&*server.route) {
            // Two servers of one name are a problem of their own.
            Some(first) if first.name != server.name => {
                let message = format!(
                    "servers `{}` and `{}` both have the route `{}`{}",
                    shown(&first.name),
                    shown(&server.name),
                    shown(&server.route),
                    if route_at.is_written() && first.route != first.name {
                        ""
                    } else {
                        " (a server without a route has its name for one)"
                    }
                );
                checks.note(&route_at, message);
            }
            Some(_) => {}
            None => {
                known.insert(&server.route, server);
            }
        }
        if let Some(separator) = separator.filter(|separator| server.route.contains(*separator)) {
            let what = if route_at.is_written() {
                format!("`{}`", shown(&server.route))
            } else {
                format!(
                    "server `{}` has its name for a route, which",
                    shown(&server.name)
                )
            };
            let message = format!(
                "{what} holds the separator `{separator}`, so that no session id can name it; write as \
                 route what the server puts behind the separator (Tomcat's jvmRoute)"
            );
            checks.note(&route_at, message);
        }
    }
}

fn foreign_keys(r#type: Type, at: &At<'_>, checks: &mut Checks<'_>) {
    for (key, types) in KEYS {
        let key_at = at.key(key);
        if types.contains(&r#type) || !key_at.is_written() {
            continue;
        }
        let names: Vec<&str> = types.iter().copied().map(name).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        let mut message = if others.is_empty() {
            format!("only for type {last}")
        } else {
            format!("only for types {} and {last}", others.join(", "))
        };
        if r#type == Type::Route && ATTRIBUTES.contains(key) {
            message.push_str("; of the cookie that insert sets it is written inside insert");
        }
        checks.note(&key_at, message);
    }
}

fn name(r#type: Type) -> &'static str {
    match r#type {
        Type::CookieInsert => "cookie_insert",
        Type::CookieRewrite => "cookie_rewrite",
        Type::CookiePrefix => "cookie_prefix",
        Type::Route => "route",
        Type::Learn => "learn",
        Type::SourceIp => "source_ip",
    }
}

fn required_cookie(
    raw: &raw::Persistence,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<Arc<str>> {
    // What is written but not sound has been complained about already.
    if raw.cookie.is_none() && !written.key("cookie").is_written() {
        let message = format!(
            "is missing; type {} needs the name of the cookie that the servers set{}",
            name(raw.r#type),
            if raw.r#type == Type::Learn {
                ", or header, that of a header field"
            } else {
                ""
            }
        );
        checks.note(&at.key("cookie"), message);
    }
    raw.cookie
        .as_ref()
        .map(|cookie| Arc::from(cookie.0.as_str()))
}

fn learned_from(
    raw: &raw::Persistence,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::LearnedFrom> {
    let header_at = written.key("header");
    if !header_at.is_written() {
        return required_cookie(raw, at, written, checks).map(model::LearnedFrom::Cookie);
    }
    if written.key("cookie").is_written() {
        let message = "can't be beside cookie: a session's id is in one of the two";
        checks.note(&header_at, message);
    }
    let header = raw.header.as_ref()?;
    if header.0 == http::header::COOKIE {
        let message = "holds all cookies; write cookie: NAME for one of them";
        checks.note(&header_at, message);
    }
    Some(model::LearnedFrom::Header(header.0.clone()))
}

fn insert_timeout(
    raw: &raw::Persistence,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<Duration> {
    let timeout = raw.timeout.unwrap_or(IDLE_TIMEOUT);
    if timeout.0.is_zero() {
        return None;
    }
    in_range(timeout, ", or 0 for the browser's session", at, checks);
    Some(timeout.0)
}

fn rewrite_timeout(
    raw: &raw::Persistence,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<Duration> {
    let timeout = raw.timeout?;
    in_range(timeout, "; for none leave the key away", at, checks);
    if raw.token == raw::Token::Name {
        let message = "can't be enforced with token: name, which says no time; write token: signed";
        checks.note(&at.key("timeout"), message);
    }
    Some(timeout.0)
}

fn table_timeout(raw: &raw::Persistence, at: &At<'_>, checks: &mut Checks<'_>) -> Duration {
    let timeout = raw.timeout.unwrap_or(IDLE_TIMEOUT);
    in_range(timeout, "", at, checks);
    timeout.0
}

fn in_range(timeout: Span, instead: &str, at: &At<'_>, checks: &mut Checks<'_>) {
    if !(Span::secs(1)..=LONGEST_SESSION).contains(&timeout) {
        let message = format!("must be from 1s to 86400s{instead}, found {timeout}");
        checks.note(&at.key("timeout"), message);
    }
}

fn max_lifetime(raw: &raw::Persistence, at: &At<'_>, checks: &mut Checks<'_>) -> Option<Duration> {
    let lifetime = raw.max_lifetime?;
    let lifetime_at = at.key("max_lifetime");
    if lifetime < Span::secs(1) {
        checks.note(&lifetime_at, "must be at least 1s, or null for no limit");
    }
    if raw.token == raw::Token::Name && SIGNED.contains(&raw.r#type) {
        let message = "can't be enforced with token: name, which says no time; write token: signed";
        checks.note(&lifetime_at, message);
    }
    Some(lifetime.0)
}

fn token(raw: &raw::Persistence) -> model::Token {
    match raw.token {
        raw::Token::Signed => model::Token::Signed,
        raw::Token::Name => model::Token::Name,
    }
}

fn secret_file(
    raw: &raw::Persistence,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<std::path::PathBuf> {
    let path = raw.secret_file.as_ref()?;
    Some(checks.path(&at.key("secret_file"), &path.0))
}

fn route(
    raw: &raw::Persistence,
    at: &At<'_>,
    on_unavailable: model::OnUnavailable,
    checks: &mut Checks<'_>,
) -> model::RoutePersistence {
    let cookie = raw.cookie.as_ref();
    let insert_at = at.key("insert");
    // One name for both is httpd's way, but then it is written twice.
    if let (None, Some(insert)) = (cookie, &raw.insert)
        && insert.cookie.0 == SESSION_ID
    {
        let message = format!(
            "`{SESSION_ID}` is the servers' own cookie, which ours would overwrite; take another name, such as ROUTEID"
        );
        checks.note(&insert_at.key("cookie"), message);
    }
    model::RoutePersistence {
        cookie: Arc::from(cookie.map_or(SESSION_ID, |cookie| cookie.0.as_str())),
        separator: raw.separator.0.clone(),
        path_parameter: raw
            .path_parameter
            .as_ref()
            .map(|name| Arc::from(name.0.as_str())),
        query_parameter: raw
            .query_parameter
            .as_ref()
            .map(|name| Arc::from(name.0.as_str())),
        insert: raw.insert.as_ref().map(|insert| model::RouteCookie {
            cookie: Arc::from(insert.cookie.0.as_str()),
            attributes: attributes(&Attributes::of_route(insert), &insert_at, checks),
        }),
        on_unavailable,
    }
}

fn table(raw: &raw::Table, at: &At<'_>, checks: &mut Checks<'_>) -> model::Table {
    let timeout_at = at.key("timeout");
    let store = if let Some(url) = raw.store.url() {
        if !(Span::millis(1)..=LONGEST_WAIT).contains(&raw.timeout) {
            let message = format!("must be from 1ms to {LONGEST_WAIT}, found {}", raw.timeout);
            checks.note(&timeout_at, message);
        }
        model::Store::Redis(model::RedisStore {
            url: url.to_owned(),
            timeout: raw.timeout.0,
        })
    } else {
        if timeout_at.is_written() {
            let message = "only for a store other than memory, which nobody waits for";
            checks.note(&timeout_at, message);
        }
        model::Store::Memory
    };
    model::Table {
        size: raw.size as usize,
        store,
    }
}
