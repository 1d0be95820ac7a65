//! What the tests of all types share.

use std::time::Duration;

use http::HeaderValue;
use http::header::{COOKIE, SET_COOKIE};

use super::{Answered, Bound, Keyring, Lookup, Member, UnixTime};
use crate::config::model::{self, OnUnavailable, SameSite, Secure, Store, Table, Token};
use crate::headers::Fields;

pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(super) const SECRET: &str = "a secret for tests only";

pub(super) fn later(seconds: u64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

pub(super) fn keys(text: &str) -> Keyring {
    Keyring::parse(text.as_bytes()).unwrap()
}

/// Servers whose handles are their names; the route of `NAME` is `r-NAME`.
pub(super) fn members(names: &[&str]) -> Vec<Member<String>> {
    let member = |name: &&str| Member {
        name: (*name).into(),
        route: format!("r-{name}").into(),
        handle: (*name).to_owned(),
    };
    names.iter().map(member).collect()
}

/// The defaults of the configuration.
pub(super) fn attributes() -> model::CookieAttributes {
    model::CookieAttributes {
        domain: None,
        path: "/".to_owned(),
        secure: Secure::Auto,
        http_only: true,
        same_site: SameSite::Lax,
        partitioned: false,
    }
}

/// The defaults of the configuration, for a cookie called `ID`.
pub(super) fn rewrite() -> model::CookieRewrite {
    model::CookieRewrite {
        cookie: "ID".into(),
        timeout: None,
        max_lifetime: None,
        token: Token::Signed,
        secret_file: None,
        on_unavailable: OnUnavailable::Rebalance,
    }
}

fn table() -> Table {
    Table {
        size: 1000,
        store: Store::Memory,
    }
}

pub(super) fn learn() -> model::Learn {
    model::Learn {
        from: model::LearnedFrom::Cookie("ID".into()),
        timeout: Duration::from_secs(3600),
        max_lifetime: None,
        table: table(),
        on_unavailable: OnUnavailable::Rebalance,
    }
}

pub(super) fn source_ip(prefix_v4: u8, prefix_v6: u8) -> model::SourceIp {
    model::SourceIp {
        prefix_v4,
        prefix_v6,
        timeout: Duration::from_secs(3600),
        max_lifetime: None,
        table: table(),
        on_unavailable: OnUnavailable::Rebalance,
    }
}

fn with_lines(name: &http::HeaderName, lines: &[&str]) -> Fields {
    let mut map = Fields::new();
    for line in lines {
        let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
        map.append(name.clone(), line);
    }
    map
}

/// A request with these `Cookie` lines.
pub(super) fn request(lines: &[&str]) -> Fields {
    with_lines(&COOKIE, lines)
}

/// A response with these `Set-Cookie` lines.
pub(super) fn response(lines: &[&str]) -> Fields {
    with_lines(&SET_COOKIE, lines)
}

/// The `Set-Cookie` lines of `response`.
pub(super) fn set_lines(response: &Fields) -> Vec<String> {
    lines(response, &SET_COOKIE)
}

/// The `Cookie` lines of `request`.
pub(super) fn cookie_lines(request: &Fields) -> Vec<String> {
    lines(request, &COOKIE)
}

fn lines(map: &Fields, name: &http::HeaderName) -> Vec<String> {
    let lines = map.get_all(name).iter();
    lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        .collect()
}

/// An answer of `server` to `request`, which had no session.
pub(super) fn answered<'a>(server: &'a str, request: &'a Fields) -> Answered<'a> {
    Answered {
        server,
        route: "",
        stayed: None,
        asked: None,
        request,
        now: NOW,
        https: false,
    }
}

pub(super) fn bound(server: &str, session_started: UnixTime, renew: bool) -> Lookup<String> {
    Lookup::only(Bound {
        server: server.to_owned(),
        session_started,
        renew,
    })
}

/// Sessions of all those servers, in that order.
pub(super) fn all_bound(servers: &[&str]) -> Lookup<String> {
    let bound = |server: &&str| Bound {
        server: (*server).to_owned(),
        session_started: NOW,
        renew: false,
    };
    let mut bounds = servers.iter().map(bound);
    bounds
        .next()
        .map_or(Lookup::Miss, |first| Lookup::Bound(first, bounds.collect()))
}

/// What a client sends back of a `Set-Cookie` line (RFC 6265bis sections 5.6 and 5.8.3).
pub(super) fn sent_back(line: &str) -> String {
    let pair = line.split(';').next().unwrap();
    let (name, value) = pair.split_once('=').unwrap();
    let white = [' ', '\t'];
    format!("{}={}", name.trim_matches(white), value.trim_matches(white))
}
