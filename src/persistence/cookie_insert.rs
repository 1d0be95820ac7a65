//! `persistence.type: cookie_insert`: a cookie of our own tells which server a session went to.
//!
//! The server never sees it: it is cut out of the request, and a server that sets one of the same name is
//! not heard. By default its value is a signed token (see `token`), which says when it was made and
//! when its session was balanced, so that both timeouts are enforced here rather than left to the
//! client. With `token: name` it is the server's name and says no time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::set_cookie::{self, Template};
use super::token::{Claims, ServerTag, Token, TokenKey};
use super::{Bound, Keyring, Lookup, UnixTime, cache_control, cookie};
use crate::config::model::{CookieInsert as Settings, Token as Form};
use crate::headers::HeadersMut;

/// How far another node's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: u64 = 60;
/// How many cookies of our name are looked at in one request. A client sends more than one only if
/// they were set for different paths or domains, so this is plenty, and it bounds a hostile one.
const MAX_CANDIDATES: usize = 16;

/// The inserted cookie of one pool. `S` is a handle of a server.
#[derive(Clone)]
pub struct CookieInsert<S> {
    name: Arc<str>,
    timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    template: Template,
    codec: Codec<S>,
}

/// How a cookie's value names a server.
#[derive(Clone)]
enum Codec<S> {
    /// One a secret, the signing one first; at least one.
    Signed(Vec<(TokenKey, HashMap<ServerTag, S>)>),
    /// By the encoded name.
    Name(HashMap<Vec<u8>, S>),
}

impl<S: Clone> CookieInsert<S> {
    /// For the pool of that name and its servers, which are known by their names alone: their order and
    /// addresses don't matter.
    pub fn new(
        settings: &Settings,
        keys: &Keyring,
        pool: &str,
        servers: impl IntoIterator<Item = (Arc<str>, S)>,
    ) -> Self {
        let servers = servers.into_iter();
        let codec = match settings.token {
            Form::Name => Codec::Name(
                servers
                    .map(|(name, server)| (encode_name(&name), server))
                    .collect(),
            ),
            Form::Signed => {
                let servers: Vec<_> = servers.collect();
                let keyed = keys.secrets().map(|secret| {
                    let key = TokenKey::new(secret, pool);
                    let by_tag = servers
                        .iter()
                        .map(|(name, server)| (key.tag(name), server.clone()))
                        .collect();
                    (key, by_tag)
                });
                Codec::Signed(keyed.collect())
            }
        };
        Self {
            name: settings.cookie.clone(),
            timeout: settings.timeout,
            max_lifetime: settings.max_lifetime,
            template: Template::new(settings),
            codec,
        }
    }

    /// The session that `request` belongs to.
    ///
    /// Of several cookies of our name the first counts that names a server of the pool and has not expired.
    /// If there is none, the answer is about the one that came closest.
    pub fn read(&self, request: &HeaderMap, now: UnixTime) -> Lookup<S> {
        let mut best = Lookup::Miss;
        for value in cookie::values(request, self.name.as_bytes()).take(MAX_CANDIDATES) {
            let found = self.judge(value, now);
            if let Lookup::Bound(_) = found {
                return found;
            }
            if closeness(&found) > closeness(&best) {
                best = found;
            }
        }
        best
    }

    /// Cuts our cookie out of `request`; every other byte of its cookies stays.
    pub fn strip_request(&self, request: &mut impl HeadersMut) {
        cookie::strip(request, self.name.as_bytes());
    }

    /// Drops what the server set under our name, and sets `set` (from [`Self::cookie_for`]) if given. A
    /// response that sets our cookie is kept out of shared caches.
    pub fn finish_response(&self, response: &mut impl HeadersMut, set: Option<HeaderValue>) {
        set_cookie::drop_named(response, self.name.as_bytes());
        if let Some(line) = set {
            response.append(http::header::SET_COOKIE, line);
            cache_control::forbid_shared(response);
        }
    }

    /// The `Set-Cookie` line that binds a session to `server`.
    ///
    /// `session_started` is `now` for a session that was just balanced, and [`Bound::session_started`] for one
    /// that is renewed. `https`: how the client came, which decides about `secure: auto`.
    pub fn cookie_for(
        &self,
        server: &str,
        session_started: UnixTime,
        now: UnixTime,
        https: bool,
    ) -> HeaderValue {
        match &self.codec {
            Codec::Name(_) => self.template.line(&encode_name(server), https),
            Codec::Signed(keyed) => {
                let token = keyed.first().map(|(key, _)| {
                    key.seal(&Claims {
                        server: key.tag(server),
                        issued: now,
                        session_started,
                    })
                });
                self.template
                    .line(token.as_ref().map_or(&[], |token| token), https)
            }
        }
    }

    /// What one cookie's value says.
    fn judge(&self, value: &[u8], now: UnixTime) -> Lookup<S> {
        match &self.codec {
            Codec::Signed(keyed) => self.judge_signed(keyed, value, now),
            Codec::Name(servers) => servers.get(value).map_or(Lookup::Invalid, |server| {
                Lookup::Bound(Bound {
                    server: server.clone(),
                    session_started: now,
                    // When it was set isn't known, and to set it with every response would keep all of
                    // them out of caches: the timeout of such a cookie counts from when it was set.
                    renew: false,
                })
            }),
        }
    }

    fn judge_signed(
        &self,
        keyed: &[(TokenKey, HashMap<ServerTag, S>)],
        value: &[u8],
        now: UnixTime,
    ) -> Lookup<S> {
        let opened = Token::parse(value).and_then(|token| {
            keyed
                .iter()
                .find_map(|(key, servers)| Some((key.open(&token)?, servers)))
        });
        let Some((claims, servers)) = opened else {
            return Lookup::Invalid;
        };
        let latest = claims.issued.max(claims.session_started);
        if latest.seconds_since(now) > CLOCK_SKEW {
            return Lookup::Invalid;
        }
        let idle = Duration::from_secs(now.seconds_since(claims.issued));
        let lifetime = Duration::from_secs(now.seconds_since(claims.session_started));
        if self.timeout.is_some_and(|timeout| idle > timeout)
            || self.max_lifetime.is_some_and(|max| lifetime > max)
        {
            return Lookup::Expired;
        }
        servers.get(&claims.server).map_or(Lookup::Gone, |server| {
            Lookup::Bound(Bound {
                server: server.clone(),
                session_started: claims.session_started,
                renew: self
                    .timeout
                    .is_some_and(|timeout| idle.saturating_mul(2) >= timeout),
            })
        })
    }
}

/// How near to a usable session a lookup came.
const fn closeness<S>(found: &Lookup<S>) -> u8 {
    match found {
        Lookup::Miss => 0,
        Lookup::Invalid => 1,
        Lookup::Expired => 2,
        Lookup::Gone => 3,
        Lookup::Bound(_) => 4,
    }
}

/// `name` as a cookie's value: what is not a cookie-octet (RFC 6265bis section 4.1.1), and `%`, is
/// percent-encoded.
fn encode_name(name: &str) -> Vec<u8> {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            let digits = [byte >> 4, byte & 15].into_iter();
            let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
            encoded.extend(digits.map(|digit| digit.to_ascii_uppercase()));
        }
    }
    encoded.into_bytes()
}

#[cfg(test)]
pub(super) mod tests;
