//! Session persistence.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

/// Session persistence of a pool.
#[derive(Debug, Clone)]
pub enum Persistence {
    /// Equipoise sets a cookie of its own.
    CookieInsert(CookieInsert),
    /// The backend's cookie has its value replaced by the server's token.
    CookieRewrite(CookieRewrite),
    /// The backend's cookie has the server's token put in front of its value.
    CookiePrefix(CookieRewrite),
    /// The backend marks its session id with its route.
    Route(RoutePersistence),
    /// The session table remembers which server set which value of the backend's cookie.
    Learn(Learn),
    /// The session table remembers which server a client address went to.
    SourceIp(SourceIp),
}

impl Persistence {
    /// Its type's name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CookieInsert(_) => "cookie_insert",
            Self::CookieRewrite(_) => "cookie_rewrite",
            Self::CookiePrefix(_) => "cookie_prefix",
            Self::Route(_) => "route",
            Self::Learn(_) => "learn",
            Self::SourceIp(_) => "source_ip",
        }
    }

    /// The attributes of a cookie that we set; `None` = we set none of our own.
    pub fn attributes(&self) -> Option<&CookieAttributes> {
        match self {
            Self::CookieInsert(insert) => Some(&insert.attributes),
            Self::Route(route) => route.insert.as_ref().map(|insert| &insert.attributes),
            Self::CookieRewrite(_) | Self::CookiePrefix(_) | Self::Learn(_) | Self::SourceIp(_) => {
                None
            }
        }
    }

    /// What becomes of a session whose server can't take it.
    pub fn on_unavailable(&self) -> OnUnavailable {
        match self {
            Self::CookieInsert(insert) => insert.on_unavailable,
            Self::CookieRewrite(rewrite) | Self::CookiePrefix(rewrite) => rewrite.on_unavailable,
            Self::Route(route) => route.on_unavailable,
            Self::Learn(learn) => learn.on_unavailable,
            Self::SourceIp(source) => source.on_unavailable,
        }
    }

    /// Whether its cookies are signed, and by whose key: `Some(None)` = the generated one.
    pub fn signing_key(&self) -> Option<Option<&PathBuf>> {
        match self {
            Self::CookieInsert(insert) => Some(insert.secret_file.as_ref()),
            Self::CookieRewrite(rewrite) | Self::CookiePrefix(rewrite) => {
                Some(rewrite.secret_file.as_ref())
            }
            Self::Route(_) | Self::Learn(_) | Self::SourceIp(_) => None,
        }
    }

    /// Its session table, if it has one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Learn(learn) => Some(&learn.table),
            Self::SourceIp(source) => Some(&source.table),
            _ => None,
        }
    }
}

/// `persistence.type: cookie_insert`.
#[derive(Debug, Clone)]
pub struct CookieInsert {
    /// A token of RFC 9110.
    pub cookie: Arc<str>,
    /// Idle timeout; `None` = browser session.
    pub timeout: Option<Duration>,
    /// After this a session is balanced anew, however active.
    pub max_lifetime: Option<Duration>,
    /// What the cookie's value is.
    pub token: Token,
    /// `None`: the generated key of [`Server::state_dir`].
    pub secret_file: Option<PathBuf>,
    /// Its attributes.
    pub attributes: CookieAttributes,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: OnUnavailable,
}

/// The attributes of a cookie that we set (RFC 6265 section 5.2).
#[derive(Debug, Clone)]
pub struct CookieAttributes {
    /// `Domain`; `None` leaves it away.
    pub domain: Option<String>,
    /// `Path`.
    pub path: String,
    /// `Secure`.
    pub secure: Secure,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Partitioned` (CHIPS), where `Secure` is set too.
    pub partitioned: bool,
}

/// `persistence.type: cookie_rewrite` and `cookie_prefix`.
#[derive(Debug, Clone)]
pub struct CookieRewrite {
    /// The backend's cookie.
    pub cookie: Arc<str>,
    /// How long after the backend has set it a token counts; `None` (unless configured) = as long as the
    /// cookie lives, which is the backend's to say.
    pub timeout: Option<Duration>,
    /// After this a session is balanced anew.
    pub max_lifetime: Option<Duration>,
    /// What the server's token is.
    pub token: Token,
    /// `None`: the generated key of [`Server::state_dir`].
    pub secret_file: Option<PathBuf>,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: OnUnavailable,
}

/// `persistence.type: route`.
#[derive(Debug, Clone)]
pub struct RoutePersistence {
    /// The cookie whose value ends in the route.
    pub cookie: Arc<str>,
    /// What is between session id and route; not empty.
    pub separator: String,
    /// The path parameter that may carry it instead: `/page;jsessionid=ABC.tomcat1`.
    pub path_parameter: Option<Arc<str>>,
    /// The query parameter that may carry it instead.
    pub query_parameter: Option<Arc<str>>,
    /// A cookie of our own that names the route, set when it has changed (httpd's `ROUTEID`).
    pub insert: Option<RouteCookie>,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: OnUnavailable,
}

/// `persistence.insert` of type `route`.
#[derive(Debug, Clone)]
pub struct RouteCookie {
    /// Its name.
    pub cookie: Arc<str>,
    /// Its attributes.
    pub attributes: CookieAttributes,
}

/// `persistence.type: learn`.
#[derive(Debug, Clone)]
pub struct Learn {
    /// Where a session's id is.
    pub from: LearnedFrom,
    /// Idle timeout.
    pub timeout: Duration,
    /// After this a session is balanced anew, however active.
    pub max_lifetime: Option<Duration>,
    /// Where it is remembered.
    pub table: Table,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: OnUnavailable,
}

/// What sessions of `learn` are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LearnedFrom {
    /// The value of the servers' cookie of this name.
    Cookie(Arc<str>),
    /// The value of this header field, which clients send and servers may set.
    Header(HeaderName),
}

/// `persistence.type: source_ip`.
#[derive(Debug, Clone)]
pub struct SourceIp {
    /// Leading bits of an IPv4 address that make a client, 0–32.
    pub prefix_v4: u8,
    /// Leading bits of an IPv6 address that make a client, 0–128.
    pub prefix_v6: u8,
    /// Idle timeout.
    pub timeout: Duration,
    /// After this a session is balanced anew, however active.
    pub max_lifetime: Option<Duration>,
    /// Where it is remembered.
    pub table: Table,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: OnUnavailable,
}

/// A session table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Entries at most; the least recently used goes first. At least 1.
    pub size: usize,
    /// Where it is kept.
    pub store: Store,
}

/// Where a session table is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// In this process alone.
    Memory,
    /// In a Redis or Valkey server, shared by several nodes, with a local cache in front.
    Redis(RedisStore),
}

impl Store {
    /// Whether other nodes may use it, too.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_))
    }
}

/// A Redis or Valkey server.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisStore {
    /// `redis://`, `rediss://`, `redis+unix://` or `unix://`, as the client library reads it. Holds the password:
    /// never to be logged.
    pub url: String,
    /// How long a request may wait for it at most.
    pub timeout: Duration,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the URL: it holds the password.
        f.debug_struct("RedisStore")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What the cookie's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Opaque and signed.
    Signed,
    /// The server's name.
    Name,
}

/// The cookie's `Secure` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// On https.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The cookie's `SameSite` attribute; `Omit` leaves it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Lax`.
    Lax,
    /// `Strict`.
    Strict,
    /// `None`.
    None,
    /// Left away.
    Omit,
}

/// What becomes of a session whose server can't take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Another server takes it.
    Rebalance,
    /// It is answered 503.
    Reject,
}
