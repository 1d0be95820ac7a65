//! `persistence.type: cookie_insert`: a cookie of our own tells which server a session went to.
//!
//! The server never sees it: it is cut out of the request, and a server that sets one of the same name is
//! not heard. Its value is a token (see `codec`).

use std::sync::Arc;

use crate::headers::names::SET_COOKIE;
use http::HeaderValue;

use super::affinity::{Answered, Member};
use super::codec::{Codec, Limits};
use super::template::Template;
use super::{Keyring, LastToken, Lookup, UnixTime, cache_control, cookie, set_cookie};
use crate::config::model::CookieInsert as Settings;
use crate::headers::Fields;

/// The inserted cookie of one pool. `S` is a handle of a server.
#[derive(Clone)]
pub(super) struct CookieInsert<S> {
    name: Arc<str>,
    template: Template,
    codec: Codec<S>,
}

impl<S: Clone> CookieInsert<S> {
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
            template: Template::new(&settings.cookie, &settings.attributes, settings.timeout),
            codec: Codec::new(settings.token, limits, keys, pool, servers)?,
        })
    }

    /// The session that `request` belongs to.
    pub(super) fn read(
        &self,
        request: &Fields,
        now: UnixTime,
        last: Option<&LastToken>,
    ) -> Lookup<S> {
        let values = cookie::values(request, self.name.as_bytes());
        self.codec.bound(values, now, last)
    }

    /// Cuts our cookie out of `request`; every other byte of its cookies stays.
    pub(super) fn strip_request(&self, request: &mut Fields) {
        cookie::strip(request, self.name.as_bytes());
    }

    /// Drops what the server set under our name, and sets our cookie if the session's has to change.
    pub(super) fn finish_response(&self, response: &mut Fields, facts: &Answered<'_>) {
        set_cookie::drop_named(response, self.name.as_bytes());
        if facts.stayed.is_none_or(|stayed| stayed.renew) {
            let started = facts.session_started();
            let line = self.cookie_for(facts.server, started, facts.now, facts.https);
            response.append(SET_COOKIE, line);
            cache_control::forbid_shared(response);
        }
    }

    /// The `Set-Cookie` line that binds a session to `server`.
    fn cookie_for(
        &self,
        server: &str,
        session_started: UnixTime,
        now: UnixTime,
        https: bool,
    ) -> HeaderValue {
        let token = self.codec.token_for(server, session_started, now);
        self.template.line(&token, https)
    }
}

#[cfg(test)]
mod tests;
