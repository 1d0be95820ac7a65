//! raw -> model for the cookies that we set.

use super::checks::Checks;
use super::model;
use super::raw;
use super::text::{CookieDomain, CookieName, CookiePath};
use super::tree::At;

/// A cookie of ours as it is written, wherever it is.
pub(super) struct Attributes<'a> {
    cookie: &'a CookieName,
    domain: Option<&'a CookieDomain>,
    path: &'a CookiePath,
    secure: raw::Secure,
    http_only: bool,
    same_site: raw::SameSite,
    partitioned: bool,
}

impl<'a> Attributes<'a> {
    /// Of the cookie of type cookie_insert, which is called so.
    pub(super) fn of(raw: &'a raw::Persistence, cookie: &'a CookieName) -> Self {
        Self {
            cookie,
            domain: raw.domain.as_ref(),
            path: &raw.path,
            secure: raw.secure,
            http_only: raw.http_only,
            same_site: raw.same_site,
            partitioned: raw.partitioned,
        }
    }

    /// Of the cookie that type route inserts.
    pub(super) fn of_route(raw: &'a raw::RouteCookie) -> Self {
        Self {
            cookie: &raw.cookie,
            domain: raw.domain.as_ref(),
            path: &raw.path,
            secure: raw.secure,
            http_only: raw.http_only,
            same_site: raw.same_site,
            partitioned: raw.partitioned,
        }
    }
}

/// Its attributes; what no browser would take is noted. `at` is what they are written in.
pub(super) fn attributes(
    raw: &Attributes<'_>,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::CookieAttributes {
    let insecure = raw.secure == raw::Secure::False;
    if raw.same_site == raw::SameSite::None && insecure {
        let message = "browsers drop a cookie with SameSite=None that is not Secure; write secure: true or another same_site";
        checks.note(&at.key("same_site"), message);
    }
    if raw.partitioned && insecure {
        let message = "browsers drop a Partitioned cookie that is not Secure; write secure: true or partitioned: false";
        checks.note(&at.key("partitioned"), message);
    }
    prefixes(raw, at, insecure, checks);
    model::CookieAttributes {
        domain: raw.domain.map(|domain| domain.0.clone()),
        path: raw.path.0.clone(),
        secure: match raw.secure {
            raw::Secure::Auto => model::Secure::Auto,
            raw::Secure::True => model::Secure::Always,
            raw::Secure::False => model::Secure::Never,
        },
        http_only: raw.http_only,
        partitioned: raw.partitioned,
        same_site: match raw.same_site {
            raw::SameSite::Lax => model::SameSite::Lax,
            raw::SameSite::Strict => model::SameSite::Strict,
            raw::SameSite::None => model::SameSite::None,
            raw::SameSite::Omit => model::SameSite::Omit,
        },
    }
}

/// What browsers demand of cookies with these prefixes (RFC 6265bis section 4.1.3).
fn prefixes(raw: &Attributes<'_>, at: &At<'_>, insecure: bool, checks: &mut Checks<'_>) {
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
