//! What an answer says of places, as the client knows them: httpd's ProxyPassReverse, ProxyPassReverseCookiePath and
//! ProxyPassReverseCookieDomain.
//!
//! A server that is asked for `/v1/x` of `api.internal` instead of `/api/x` of `example.com` names places as it knows
//! them. Its Location and Content-Location, and its cookies' Path and Domain, are mapped back; other places stay.

use crate::headers::names::{CONTENT_LOCATION, KnownName, LOCATION, SET_COOKIE};
use bytes::Bytes;
use http::HeaderValue;

use crate::config::model::PathRewrite;
use crate::config::model::Rewrite;
use crate::headers::{Fields, authority, trim};

use super::path::decoded;

/// What one request became, and what it was.
#[derive(Debug, Clone, Copy)]
pub struct Reverse<'a> {
    /// What was changed of it.
    pub rewrite: &'a Rewrite,
    /// What the rewrite's prefix stood instead of, as the client wrote it, in the form that is passed on.
    pub original_prefix: &'a [u8],
    /// Whether the client came by https.
    pub https: bool,
    /// The host and, as far as it was written, the port that the client asked; empty if it asked none.
    pub client_authority: &'a str,
    /// What the server may call itself: the rewritten Host and the server's own address.
    pub server_authorities: [&'a str; 2],
}

impl Reverse<'_> {
    /// Maps the fields of `response` back. Cookies that are not the server's must not be among them yet.
    pub fn map(&self, response: &mut Fields) {
        if self.rewrite.is_some() {
            for name in [LOCATION, CONTENT_LOCATION] {
                map_lines(response, &name, |value| self.place(value));
            }
            map_lines(response, &SET_COOKIE, |value| self.cookie(value));
        }
    }

    /// A URL or path as the client knows it, if that is another.
    fn place(&self, value: &[u8]) -> Option<Vec<u8>> {
        let place = Place::parse(value)?;
        let path = self.path(place.path);
        let mut mapped = Vec::with_capacity(value.len() + 64);
        match place.authority {
            None => {}
            // A server that was told the client's own Host chooses the scheme by itself.
            Some(authority) if place.is_same(authority, self.client_authority.as_bytes()) => {
                let kept = value.len() - place.path.len();
                mapped.extend_from_slice(value.get(..kept)?);
            }
            Some(authority) => {
                let mut known = self.server_authorities.iter();
                if !known.any(|known| place.is_same(authority, known.as_bytes())) {
                    return None;
                }
                if !self.client_authority.is_empty() {
                    mapped.extend_from_slice(match (place.scheme, self.https) {
                        (None, _) => b"//",
                        (Some(_), true) => b"https://",
                        (Some(_), false) => b"http://",
                    });
                    mapped.extend_from_slice(self.client_authority.as_bytes());
                }
            }
        }
        match path {
            Some((before, rest)) => {
                mapped.extend_from_slice(before);
                if before.is_empty() && !rest.starts_with(b"/") {
                    mapped.push(b'/');
                }
                mapped.extend_from_slice(rest);
            }
            None => mapped.extend_from_slice(place.path),
        }
        (mapped != value).then_some(mapped)
    }

    /// The two parts that `path` has for the client, if the server's prefix begins it, and the client's doesn't yet: a
    /// server may know the prefix that it is behind. Where the server's is below the client's, the former is meant.
    fn path<'b>(&'b self, path: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        let Some(PathRewrite::Prefix(prefix)) = &self.rewrite.path else {
            return None;
        };
        let is_clients = under(path, self.original_prefix).is_some()
            && under(prefix.as_bytes(), self.original_prefix).is_none();
        if is_clients {
            return None;
        }
        under(path, prefix.as_bytes()).map(|rest| (self.original_prefix, rest))
    }

    /// A cookie's line with the Path and Domain that the client knows, if those are others.
    fn cookie(&self, line: &[u8]) -> Option<Vec<u8>> {
        if is_of_host(line) {
            return None;
        }
        let mut mapped = Vec::with_capacity(line.len() + 64);
        for (index, part) in line.split(|byte| *byte == b';').enumerate() {
            if index > 0 {
                mapped.push(b';');
            }
            let equals = part.iter().position(|byte| *byte == b'=');
            let (Some(equals), true) = (equals, index > 0) else {
                mapped.extend_from_slice(part);
                continue;
            };
            let (name, value) = part.split_at(equals + 1);
            let value = trim(value);
            let named = trim(name.strip_suffix(b"=").unwrap_or(name));
            let is_named = |wanted: &[u8]| named.eq_ignore_ascii_case(wanted);
            if is_named(b"path")
                && let Some((before, rest)) = self.path(value)
            {
                mapped.extend_from_slice(name);
                mapped.extend_from_slice(match before {
                    b"" if rest.is_empty() => b"/",
                    before => before,
                });
                // The whole of a site of the server's is all below the prefix, and the prefix itself.
                let whole = value == b"/" && !before.is_empty();
                mapped.extend_from_slice(if whole { b"" } else { rest });
            } else if is_named(b"domain") && self.is_servers(value) {
                mapped.extend_from_slice(name);
                mapped.extend_from_slice(authority::host(self.client_authority.as_bytes()));
            } else {
                mapped.extend_from_slice(part);
            }
        }
        (mapped != line).then_some(mapped)
    }

    /// Whether a cookie's domain is a host of the server's, and the client knows another.
    fn is_servers(&self, domain: &[u8]) -> bool {
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        let is =
            |authority: &str| authority::host(authority.as_bytes()).eq_ignore_ascii_case(domain);
        !domain.is_empty()
            && !self.client_authority.is_empty()
            && !is(self.client_authority)
            && self.server_authorities.into_iter().any(is)
    }
}

/// Whether a cookie is for its whole host and for no other: browsers drop one of that name with another Path, or with a
/// Domain (RFC 6265bis section 4.1.3.2).
fn is_of_host(line: &[u8]) -> bool {
    const PREFIX: &[u8] = b"__Host-";
    let name = trim(line).get(..PREFIX.len());
    name.is_some_and(|name| name.eq_ignore_ascii_case(PREFIX))
}

/// A place that a field names. One relative to the request's own isn't there: it is the same for both.
pub(super) struct Place<'a> {
    /// Whether it is https; `None` in `//host/path`.
    scheme: Option<bool>,
    pub(super) authority: Option<&'a [u8]>,
    /// And what follows it.
    pub(super) path: &'a [u8],
}

impl<'a> Place<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let after = |start: &[u8]| {
            let (found, rest) = value.split_at_checked(start.len())?;
            found.eq_ignore_ascii_case(start).then_some(rest)
        };
        let (scheme, rest) = if let Some(rest) = after(b"http://") {
            (Some(false), rest)
        } else if let Some(rest) = after(b"https://") {
            (Some(true), rest)
        } else if let Some(rest) = after(b"//") {
            (None, rest)
        } else {
            return value.starts_with(b"/").then_some(Self {
                scheme: None,
                authority: None,
                path: value,
            });
        };
        let end = rest.iter().position(|byte| b"/?#".contains(byte));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        Some(Self {
            scheme,
            authority: Some(authority),
            path,
        })
    }

    /// Whether two authorities are one in a URL like this one, whose scheme knows a port.
    pub(super) fn is_same(&self, a: &[u8], b: &[u8]) -> bool {
        authority::is_same(self.scheme, a, b)
    }
}

/// What follows `prefix` in `path`, if it ends there where a segment does. Escapes are compared as what they stand for.
/// A prefix with a slash at its end stood for a whole path, and is one.
fn under<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let mut rest = path;
    let mut wanted = prefix;
    while !wanted.is_empty() {
        if next(&mut rest)? != next(&mut wanted)? {
            return None;
        }
    }
    let ends = match rest.first() {
        None | Some(b'?' | b'#' | b';') => true,
        Some(b'/') => !prefix.ends_with(b"/"),
        Some(_) => false,
    };
    ends.then_some(rest)
}

fn next(text: &mut &[u8]) -> Option<u8> {
    if let [b'%', high, low, rest @ ..] = *text
        && let Some(byte) = decoded(*high, *low)
    {
        *text = rest;
        return Some(byte);
    }
    let (byte, rest) = text.split_first()?;
    *text = rest;
    Some(*byte)
}

/// Replaces those lines of a field that `map` has something for.
fn map_lines(message: &mut Fields, name: &KnownName, map: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let lines = message.get_all(name).iter();
    let mapped: Vec<Option<HeaderValue>> = lines
        .map(|line| {
            let mapped = Bytes::from(map(line.as_bytes())?);
            HeaderValue::from_maybe_shared(mapped).ok()
        })
        .collect();
    if mapped.iter().all(Option::is_none) {
        return;
    }
    let lines: Vec<HeaderValue> = message
        .get_all(name)
        .iter()
        .zip(mapped)
        .map(|(line, mapped)| mapped.unwrap_or_else(|| line.to_value()))
        .collect();
    message.replace_lines(name, lines);
}

#[cfg(test)]
mod tests;
