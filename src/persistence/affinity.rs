//! One pool's persistence, whatever its type: what a request says about its session, and what is done to the
//! messages for it.

use std::net::IpAddr;
use std::sync::Arc;

use super::cookie_insert::CookieInsert;
use super::cookie_prefix::CookiePrefix;
use super::cookie_rewrite::CookieRewrite;
use super::learn::Learn;
use super::route::Route;
use super::session_key::{SessionKey, SessionKeys};
use super::source_ip::SourceIp;
use super::{Keyring, LastToken, Lookup, UnixTime};
use crate::config::model::Persistence;
use crate::headers::Fields;

/// A server of the pool. `S` is a handle of it.
#[derive(Debug, Clone)]
pub struct Member<S> {
    /// Its identity in tokens.
    pub name: Arc<str>,
    /// Its identity in the backend's session ids.
    pub route: Arc<str>,
    /// What a lookup gives back for it.
    pub handle: S,
}

/// What is read of a request, as the client sent it.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Its header section.
    pub headers: &'a Fields,
    /// The path of its target, not decoded and without the query.
    pub path: &'a [u8],
    /// The query of its target.
    pub query: Option<&'a [u8]>,
    /// Who sent it.
    pub client: IpAddr,
    /// What its connection remembers of the tokens of those before it, if it can.
    pub last_token: Option<&'a LastToken>,
}

/// What a request says about its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<S> {
    /// All that is to be known.
    Said(Lookup<S>),
    /// Which entries of the session table to look at, in this order.
    Ask(SessionKeys),
}

/// What is known when a server's answer goes out.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Name of the server that answered.
    pub server: &'a str,
    /// Its route.
    pub route: &'a str,
    /// The session, if the request had one and it stayed on its server.
    pub stayed: Option<Stayed>,
    /// The entry of the session table by which the request's session was found, wherever it was sent then.
    pub asked: Option<SessionKey>,
    /// The request's header section as the client sent it.
    pub request: &'a Fields,
    /// The time.
    pub now: UnixTime,
    /// Whether the client came by https, which decides about `secure: auto`.
    pub https: bool,
}

/// A session that stayed on its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stayed {
    /// As of [`super::Bound::session_started`].
    pub session_started: UnixTime,
    /// As of [`super::Bound::renew`].
    pub renew: bool,
}

impl Answered<'_> {
    /// When the session was balanced: now, unless it stayed.
    pub(super) fn session_started(&self) -> UnixTime {
        self.stayed
            .map_or(self.now, |stayed| stayed.session_started)
    }
}

/// What the session table is to be told about the server that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// This session is bound to it from now on, wherever it was.
    Bind(SessionKey),
    /// This session has ended.
    Forget(SessionKey),
}

/// One pool's persistence. `S` is a handle of a server.
#[derive(Clone)]
pub struct Affinity<S>(Kind<S>);

#[derive(Clone)]
enum Kind<S> {
    Insert(CookieInsert<S>),
    Rewrite(CookieRewrite<S>),
    Prefix(CookiePrefix<S>),
    Route(Route<S>),
    Learn(Learn),
    SourceIp(SourceIp),
}

impl<S: Clone> Affinity<S> {
    /// For the pool of that name and its servers. `None`: signed tokens need `keys`.
    pub fn new(
        settings: &Persistence,
        keys: Option<&Keyring>,
        pool: &str,
        servers: impl IntoIterator<Item = Member<S>>,
    ) -> Option<Self> {
        let servers: Vec<_> = servers.into_iter().collect();
        Some(Self(match settings {
            Persistence::CookieInsert(settings) => {
                Kind::Insert(CookieInsert::new(settings, keys, pool, &servers)?)
            }
            Persistence::CookieRewrite(settings) => {
                Kind::Rewrite(CookieRewrite::new(settings, keys, pool, &servers)?)
            }
            Persistence::CookiePrefix(settings) => {
                Kind::Prefix(CookiePrefix::new(settings, keys, pool, &servers)?)
            }
            Persistence::Route(settings) => Kind::Route(Route::new(settings, &servers)),
            Persistence::Learn(settings) => Kind::Learn(Learn::new(settings, pool)),
            Persistence::SourceIp(settings) => Kind::SourceIp(SourceIp::new(settings, pool)),
        }))
    }

    /// The session that `request` belongs to.
    ///
    /// Of several cookies (or parameters) of the name all are given that name a server of the pool and have not expired,
    /// in their order. If there is none, the answer is about the one that came closest.
    pub fn lookup(&self, request: &RequestView<'_>, now: UnixTime) -> Found<S> {
        Found::Said(match &self.0 {
            Kind::Insert(insert) => insert.read(request.headers, now, request.last_token),
            Kind::Rewrite(rewrite) => rewrite.read(request.headers, now, request.last_token),
            Kind::Prefix(prefix) => prefix.read(request.headers, now, request.last_token),
            Kind::Route(route) => route.read(request, now),
            Kind::Learn(learn) => match learn.ask(request.headers) {
                Some(keys) => return Found::Ask(keys),
                None => Lookup::Miss,
            },
            Kind::SourceIp(source) => return Found::Ask(source.ask(request.client).into()),
        })
    }

    /// Changes the cookies of a request for a server: takes our own out, gives the server its own back. Every
    /// other byte stays.
    pub fn prepare_request(&self, request: &mut Fields) {
        match &self.0 {
            Kind::Insert(insert) => insert.strip_request(request),
            Kind::Prefix(prefix) => prefix.prepare_request(request),
            Kind::Rewrite(_) | Kind::Route(_) | Kind::Learn(_) | Kind::SourceIp(_) => {}
        }
    }

    /// Changes the cookies of a server's response. One that carries a token or a route of ours is kept out of
    /// shared caches. What comes back is for the session table, in this order; most often nothing.
    pub fn finish_response(&self, response: &mut Fields, facts: &Answered<'_>) -> Vec<Learned> {
        match &self.0 {
            Kind::Insert(insert) => insert.finish_response(response, facts),
            Kind::Rewrite(rewrite) => rewrite.finish_response(response, facts),
            Kind::Prefix(prefix) => prefix.finish_response(response, facts),
            Kind::Route(route) => route.finish_response(response, facts),
            Kind::Learn(learn) => return learn.learn(response, facts),
            Kind::SourceIp(_) => {}
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
