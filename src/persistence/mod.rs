//! Session persistence: which server a client's earlier requests went to, and how that is remembered.
//!
//! Everything here but the table is a plain function over header fields, names and a time that is passed in;
//! who picks a server when none is bound, and whether the bound one can take the request, is decided
//! elsewhere.
//!
//! - [`Affinity`]: one pool's persistence; each of its types has a file of its own.
//! - [`Keyring`]: the secrets that sign tokens.
//! - [`SessionKey`]: under which key a session table remembers a session.

mod affinity;
mod cache_control;
mod codec;
mod cookie;
mod cookie_date;
mod cookie_insert;
mod cookie_prefix;
mod cookie_rewrite;
mod keyring;
mod learn;
mod pair;
mod route;
mod session_key;
mod set_cookie;
mod source_ip;
pub mod table;
mod template;
mod token;

use std::time::{SystemTime, UNIX_EPOCH};

pub use affinity::{Affinity, Answered, Found, Learned, Member, RequestView, Stayed};
pub use keyring::{KeyError, KeyWarning, Keyring, LoadedKeys, SecretError};
pub use session_key::{SessionKey, SessionKeys};

/// Whole seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Seconds from `earlier` to `self`; 0 if `earlier` is the later one.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<SystemTime> for UnixTime {
    /// A time before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self(
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
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
