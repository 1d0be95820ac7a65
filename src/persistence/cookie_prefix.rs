//! `persistence.type: cookie_prefix`: a token that names the server is put in front of the value of the
//! server's own cookie, and taken off before the server sees it again.
//!
//! ```text
//! server ── Set-Cookie: ID=value; Path=/ ──▶ us ── Set-Cookie: ID=token~value; Path=/ ──▶ client
//! server ◀──────── Cookie: ID=value ──────── us ◀──────── Cookie: ID=token~value ──────── client
//! ```
//!
//! What is taken off is everything up to the first `~`, if it is *written* as a token of ours is. It need not
//! verify: a server shall get its own value back also when its session's token is expired, was signed with a
//! secret that is gone, or names a server that is gone; and it shall never get a token. With `token: signed`
//! that is 48 characters of base64url that begin with our version. A value that never went through us is thus
//! left alone: it would have to have all that, and a `~` behind it. With `token: name` anything that could be
//! a server's name is taken off, as HAProxy does; a value that clients got in some other way must not have a
//! `~` then.

use std::sync::Arc;

use super::affinity::{Answered, Member};
use super::codec::{Codec, Limits};
use super::set_cookie::{self, Edit};
use super::{Keyring, LastToken, Lookup, UnixTime, cache_control, cookie};
use crate::config::model::CookieRewrite as Settings;
use crate::headers::Fields;

/// Ends a token. None has it inside.
const DELIMITER: u8 = b'~';

/// The prefixed cookie of one pool. `S` is a handle of a server.
#[derive(Clone)]
pub(super) struct CookiePrefix<S> {
    name: Arc<str>,
    codec: Codec<S>,
}

impl<S: Clone> CookiePrefix<S> {
    /// `None`: signed tokens need keys.
    pub(super) fn new(
        settings: &Settings,
        keys: Option<&Keyring>,
        pool: &str,
        servers: &[Member<S>],
    ) -> Option<Self> {
        let limits = Limits {
            timeout: settings.timeout,
            max_lifetime: settings.max_lifetime,
        };
        Some(Self {
            name: settings.cookie.clone(),
            codec: Codec::new(settings.token, limits, keys, pool, servers)?,
        })
    }

    /// The session that `request` belongs to. A value without `~` says nothing.
    pub(super) fn read(
        &self,
        request: &Fields,
        now: UnixTime,
        last: Option<&LastToken>,
    ) -> Lookup<S> {
        let values = cookie::values(request, self.name.as_bytes());
        self.codec.bound(values.filter_map(prefix), now, last)
    }

    /// Gives the server its own values back, in every cookie of that name.
    pub(super) fn prepare_request(&self, request: &mut Fields) {
        cookie::shorten(request, self.name.as_bytes(), |value| {
            prefix(value)
                .filter(|token| self.codec.is_written_as_ours(token))
                .map_or(0, |token| token.len() + 1)
        });
    }

    /// Puts the server's token in front of the value wherever it set the cookie. A line that deletes the cookie
    /// stays as it is, and so does a value that has a token which we signed: it went through us before.
    pub(super) fn finish_response(&self, response: &mut Fields, facts: &Answered<'_>) {
        let mut carries = false;
        set_cookie::edit(response, self.name.as_bytes(), facts.now, |value| {
            carries = true;
            if prefix(value).is_some_and(|token| self.codec.is_proven_ours(token)) {
                return Edit::Keep;
            }
            let started = facts.session_started();
            let mut token = self.codec.token_for(facts.server, started, facts.now);
            token.push(DELIMITER);
            Edit::Prepend(token)
        });
        if carries {
            cache_control::forbid_shared(response);
        }
    }
}

/// What is before the first `~`, if there is one.
fn prefix(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|&byte| byte == DELIMITER)?;
    value.get(..end)
}

#[cfg(test)]
mod tests;
