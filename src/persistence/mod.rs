//! Session persistence: which server a client's earlier requests went to, and how that is remembered.
//!
//! Everything here but the table is a plain function over header fields, names and a time that is passed in;
//! who picks a server when none is bound, and whether the bound one can take the request, is decided
//! elsewhere.
//!
//! - [`Affinity`]: one pool's persistence; each of its types has a file of its own.
//! - [`Moment`], [`UnixTime`]: their clocks.
//! - [`Keyring`]: the secrets that sign tokens.
//! - [`SessionKey`]: under which key a session table remembers a session.

mod affinity;
mod cache_control;
mod clock;
mod codec;
mod cookie;
mod cookie_date;
mod cookie_insert;
mod cookie_prefix;
mod cookie_rewrite;
mod dated_name;
mod keyring;
mod last_token;
mod learn;
mod pair;
mod route;
mod session_key;
mod set_cookie;
mod source_ip;
pub mod table;
mod template;
mod token;

pub use affinity::{Affinity, Answered, Found, Learned, Member, RequestView, Stayed};
pub use clock::{Moment, UnixTime, heed_wall_clock};
pub use keyring::{KeyError, KeyWarning, Keyring, LoadedKeys, SecretError};
pub use last_token::LastToken;
pub use session_key::{SessionKey, SessionKeys};

/// The value of the first cookie called `name`.
pub fn cookie_value<'a>(request: &'a crate::headers::Fields, name: &'a [u8]) -> Option<&'a [u8]> {
    cookie::values(request, name).next()
}

/// The value of the first parameter called `name` of a query, as it is written.
pub fn query_value<'a>(query: &'a [u8], name: &'a [u8]) -> Option<&'a [u8]> {
    route::query_parameters(query, name).next()
}

/// What a request says about its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<S> {
    /// Nothing.
    Miss,
    /// Something that nobody who has our key made.
    Invalid,
    /// A session that was idle for too long, or is too old.
    Expired,
    /// A session whose server is no longer in the pool.
    Gone,
    /// A session of a server of this pool, and those that count, in their order, where its server can't take the
    /// request. A client has several where the cookie's `Domain` or `Path` was changed: it keeps the one beside the other.
    Bound(Bound<S>, Vec<Bound<S>>),
}

impl<S> Lookup<S> {
    /// One session and no other.
    pub(crate) const fn only(bound: Bound<S>) -> Self {
        Self::Bound(bound, Vec::new())
    }
}

/// A session and its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound<S> {
    /// The handle that was given for it.
    pub server: S,
    /// When the session was balanced; a renewed token keeps it.
    pub session_started: UnixTime,
    /// The response should set the cookie again, because half of its idle timeout has passed.
    pub renew: bool,
}

#[cfg(test)]
mod tests;
