//! What the admin API changes of the running instance, and what it is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::etag::{Etag, Precondition};
use super::problem::ApiError;
use super::status::{ReloadStatus, ServerStatus};
use crate::config::model::{Operator, ServerAddress};
use crate::observe::Metrics;
use crate::observe::refused::Refused;

/// A server in a path: its pool and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPath {
    /// The pool.
    pub pool: String,
    /// The server.
    pub server: String,
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    None,
    /// It goes back to what the file says.
    Back,
    /// It is this from now on.
    To(T),
}

impl<T> Change<T> {
    /// What it is then, where `before` was and `file` is what the file says.
    pub fn applied(self, before: T, file: T) -> T {
        match self {
            Self::None => before,
            Self::Back => file,
            Self::To(value) => value,
        }
    }

    /// The value that is given.
    pub fn given(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::None | Self::Back => None,
        }
    }
}

/// A change of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerChange {
    /// What the operator wants of it; no file says that, so back is `ready`.
    pub state: Option<Operator>,
    /// The weight.
    pub weight: Change<u16>,
    /// Requests or connections at once, 0 = no limit.
    pub max_connections: Change<u32>,
}

/// A server to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServer {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: ServerAddress,
    /// Its weight.
    pub weight: u16,
    /// Its limit.
    pub max_connections: u32,
    /// Used only when no other server is available.
    pub backup: bool,
    /// What is wanted of it.
    pub state: Operator,
}

/// What is to be known of a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SessionStatus {
    /// The pool.
    pub pool: String,
    /// The pool's type of persistence.
    pub r#type: String,
    /// What the key, or the cookie's value, says: `bound`, `expired`, `unknown`, `invalid`, or `gone` where its server is
    /// no longer in the pool.
    pub result: &'static str,
    /// The server's name.
    pub server: Option<String>,
    /// When the session was balanced, RFC 3339; `null` where that isn't known.
    pub started: Option<String>,
}

/// A pool's sessions as a whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SessionsStatus {
    /// The pool.
    pub pool: String,
    /// The pool's type of persistence; `null` = none.
    pub r#type: Option<String>,
    /// Entries in this node's session table; `null` where sessions are in cookies.
    pub entries: Option<u64>,
    /// Most entries that it may have.
    pub size: Option<u64>,
    /// Whether other nodes share it.
    pub shared: bool,
}

/// A certificate that is served.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CertificateStatus {
    /// The listener that serves it; `admin` for the admin listener.
    pub listener: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// The name of its issuer.
    pub issuer: String,
    /// When its validity begins, RFC 3339.
    pub not_before: String,
    /// When it expires, RFC 3339.
    pub not_after: String,
    /// Whole days until then; negative when it has expired.
    pub expires_in_days: i64,
    /// `file` or `acme`.
    pub source: &'static str,
    /// The file that it was read from.
    pub file: String,
    /// What the lint says of it, in words.
    pub findings: Vec<String>,
}

/// A certificate by ACME that is to be renewed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Renewal {
    /// The names of the certificate.
    pub names: Vec<String>,
}

/// A future of something that takes its time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the admin API does with the running instance. All but what gives [`Later`] may block for a moment.
pub trait Control: View {
    /// A server as it is, and its tag.
    ///
    /// # Errors
    ///
    /// There is none.
    fn server(&self, path: &ServerPath) -> Result<(ServerStatus, Etag), ApiError>;

    /// Changes a server.
    ///
    /// # Errors
    ///
    /// There is none, or it has changed meanwhile. Nothing is changed then.
    fn change_server(
        &self,
        path: &ServerPath,
        change: &ServerChange,
        precondition: &Precondition,
    ) -> Result<(), ApiError>;

    /// Adds a server to a pool.
    ///
    /// # Errors
    ///
    /// There is no such pool, or such a server already.
    fn add_server(&self, pool: &str, server: &NewServer) -> Result<(), ApiError>;

    /// Takes a server out of its pool. What it is working on goes on.
    ///
    /// # Errors
    ///
    /// There is none, or it has changed meanwhile.
    fn remove_server(&self, path: &ServerPath, precondition: &Precondition)
    -> Result<(), ApiError>;

    /// Ends the connections to a server. Gives how many there were.
    ///
    /// # Errors
    ///
    /// There is no such server.
    fn disconnect(&self, path: &ServerPath) -> Result<usize, ApiError>;

    /// What is remembered of a pool's sessions.
    ///
    /// # Errors
    ///
    /// There is no such pool.
    fn sessions(&self, pool: &str) -> Result<SessionsStatus, ApiError>;

    /// What a session's key says: a cookie's value or a client's address.
    fn find_session<'a>(
        &'a self,
        pool: &'a str,
        key: &'a str,
    ) -> Later<'a, Result<SessionStatus, ApiError>>;

    /// Forgets an entry of the session table.
    ///
    /// # Errors
    ///
    /// There is no such pool or no such entry, or the pool's sessions are in no table.
    fn forget_session<'a>(&'a self, pool: &'a str, key: &'a str)
    -> Later<'a, Result<(), ApiError>>;

    /// What is served.
    fn certificates(&self) -> Vec<CertificateStatus>;

    /// Renews certificates by ACME now: those that have this name, or all.
    ///
    /// # Errors
    ///
    /// There are none.
    fn renew(&self, name: Option<&str>) -> Result<Vec<Renewal>, ApiError>;

    /// The last requests that were refused, the last one first.
    fn refused(&self) -> Vec<Refused>;

    /// Makes the instance unready and tells its connections to go, spread over that time.
    ///
    /// # Errors
    ///
    /// The process is about to end, or to hand over.
    fn drain(&self, spread: Duration) -> Result<(), ApiError>;

    /// Takes that back.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    fn resume(&self) -> Result<(), ApiError>;

    /// Reloads the configuration.
    fn reload(&self) -> Later<'_, Result<ReloadStatus, ApiError>>;

    /// The effective configuration in YAML, secrets hidden.
    ///
    /// # Errors
    ///
    /// There is no file that it comes from.
    fn configuration(&self) -> Result<String, ApiError>;

    /// The metrics, and the events that have happened.
    fn metrics(&self) -> &Arc<Metrics>;
}
