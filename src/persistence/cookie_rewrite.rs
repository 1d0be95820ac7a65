//! `persistence.type: cookie_rewrite`: the value of the server's own cookie is replaced by a token that names
//! the server.
//!
//! For applications that need a cookie to be set but not what is in it: the server gets back the token,
//! never the value it set. How long the cookie lives is the server's to say; a session is bound by a
//! response that sets the cookie and by nothing else.

use std::sync::Arc;

use super::affinity::{Answered, Member};
use super::codec::{Codec, Limits};
use super::set_cookie::{self, Edit};
use super::{Keyring, LastToken, Lookup, UnixTime, cache_control, cookie};
use crate::config::model::CookieRewrite as Settings;
use crate::headers::Fields;

/// The rewritten cookie of one pool. `S` is a handle of a server.
#[derive(Clone)]
pub(super) struct CookieRewrite<S> {
    name: Arc<str>,
    codec: Codec<S>,
}

impl<S: Clone> CookieRewrite<S> {
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

    /// The session that `request` belongs to. A value that is no token of ours is invalid, also one that the
    /// server set before it was rewritten.
    pub(super) fn read(
        &self,
        request: &Fields,
        now: UnixTime,
        last: Option<&LastToken>,
    ) -> Lookup<S> {
        let values = cookie::values(request, self.name.as_bytes());
        self.codec.bound(values, now, last)
    }

    /// Replaces the value wherever the server set the cookie, also if it sent back a token: the session is
    /// where the answer came from. A line that deletes the cookie stays as it is.
    pub(super) fn finish_response(&self, response: &mut Fields, facts: &Answered<'_>) {
        let mut carries = false;
        set_cookie::edit(response, self.name.as_bytes(), facts.now, |_| {
            carries = true;
            let started = facts.session_started();
            Edit::Replace(self.codec.token_for(facts.server, started, facts.now))
        });
        if carries {
            cache_control::forbid_shared(response);
        }
    }
}

#[cfg(test)]
mod tests;
