//! The validated configuration: what the rest of the program works with.
//!
//! Nothing here is optional where a default exists, nothing is a string that would have to be parsed
//! again, and every cross-reference (a listener's pool, say) is known to hold. A [`Config`] never
//! changes; a reload builds the next one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

/// One whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The process.
    pub server: Server,
    /// `None`: no admin listener.
    pub admin: Option<Admin>,
    /// What is written where.
    pub logging: Logging,
    /// In the order of the file.
    pub listeners: Vec<Listener>,
    /// In the order of the file. Every [`Listener::pool`] names one of them.
    pub pools: Vec<Pool>,
    /// Every file this was read from: the main one first, then the includes.
    pub files: Vec<PathBuf>,
}

/// Settings of the process.
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads, at least 1 (`0` in the file is resolved to the number of cores).
    pub threads: usize,
    /// Client connections held at once over all listeners.
    pub max_connections: usize,
    /// How long in-flight work may take to finish at stop.
    pub shutdown_timeout: Duration,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Where what must survive a restart is kept (the generated cookie key).
    pub state_dir: PathBuf,
    /// User to become after binding.
    pub user: Option<String>,
    /// Group to become after binding.
    pub group: Option<String>,
}

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens.
    pub bind: AdminBind,
}

/// Where the admin listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for AdminBind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The program's own log and the access log.
#[derive(Debug, Clone)]
pub struct Logging {
    /// A level or a filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// How the program's own log is written.
    pub format: LogFormat,
    /// The log of requests.
    pub access_log: AccessLog,
}

/// How the program's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where it goes.
    pub path: AccessLogPath,
    /// How a line looks.
    pub format: AccessLogFormat,
    /// Bytes buffered before a write is forced.
    pub buffer: usize,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, reopened on SIGUSR1.
    File(PathBuf),
}

/// How an access log line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// Literal text with `%{field}` names, all of them known (see `observe::access_log`).
    Template(String),
}

/// Where clients connect.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// At least one.
    pub bind: Vec<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// `0` = no limit of its own.
    pub max_connections: usize,
    /// `0` = no limit.
    pub max_connections_per_client: usize,
    /// Probes on idle client connections.
    pub tcp_keepalive: TcpKeepalive,
    /// The client's address.
    pub client_address: ClientAddress,
    /// HTTP behaviour.
    pub http: Http,
    /// Name of the pool that takes everything.
    pub pool: Arc<str>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP without TLS.
    Http,
}

/// TCP keep-alive probes on client connections (RFC 1122 section 4.2.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Unanswered ones before the connection is given up.
    pub probes: u32,
}

/// How the client's address is found and told to the servers.
#[derive(Debug, Clone)]
pub struct ClientAddress {
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is done with X-Forwarded-For.
    pub x_forwarded_for: XForwardedFor,
    /// Whether X-Real-IP is set.
    pub x_real_ip: bool,
    /// X-Forwarded-Proto, -Host and -Port.
    pub x_forwarded_proto: bool,
}

/// What is done with X-Forwarded-For.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XForwardedFor {
    /// The peer is appended to what a trusted proxy sent.
    Append,
    /// The client alone.
    Replace,
    /// Not sent.
    Off,
}

/// HTTP behaviour towards clients.
#[derive(Debug, Clone)]
pub struct Http {
    /// Requests on one connection, `0` = no limit.
    pub keepalive_requests: u32,
    /// Between two requests on one connection.
    pub keepalive_timeout: Duration,
    /// For the whole header.
    pub header_timeout: Duration,
    /// Between two reads of a body.
    pub body_timeout: Duration,
    /// Between two writes to the client.
    pub send_timeout: Duration,
    /// Bytes of the whole header section, request line included.
    pub max_header_size: usize,
    /// Bytes of the request target.
    pub max_uri_length: usize,
    /// Bytes, `0` = no limit.
    pub max_body_size: u64,
}

/// A set of servers that do the same work.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How a server is picked.
    pub algorithm: Algorithm,
    /// At least one; names are unique in the pool.
    pub servers: Vec<PoolServer>,
    /// How sessions stay on their server.
    pub persistence: Option<Persistence>,
    /// `None`: servers are not checked and taken as up.
    pub health_check: Option<HealthCheck>,
    /// Zero = off.
    pub slow_start: Duration,
    /// Waiting when all are full.
    pub queue: Queue,
    /// Towards the servers.
    pub timeouts: Timeouts,
    /// When a request is tried again.
    pub retries: Retries,
    /// Idle connections to the servers.
    pub keepalive: Keepalive,
}

/// How a server is picked. See `balance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Smooth weighted round robin.
    WeightedRoundRobin,
    /// The smallest number of active requests by weight.
    WeightedLeastConnections,
}

/// One server of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolServer {
    /// Stable identity for cookies, metrics and the API.
    pub name: Arc<str>,
    /// Where it is.
    pub address: ServerAddress,
    /// How the backend marks its session ids (Tomcat's `jvmRoute`); the name by default.
    pub route: Arc<str>,
    /// 0–65535; 0 takes no new sessions.
    pub weight: u16,
    /// Requests at once, `0` = no limit.
    pub max_connections: u32,
    /// Used only when no other server is available.
    pub backup: bool,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A host name, resolved at run time, and a port.
    Name(Arc<str>, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

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
    Route(Route),
    /// The session table remembers which server set which value of the backend's cookie.
    Learn(Learn),
    /// The session table remembers which server a client address went to.
    SourceIp(SourceIp),
}

impl Persistence {
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
pub struct Route {
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
    /// The backend's cookie.
    pub cookie: Arc<str>,
    /// Idle timeout.
    pub timeout: Duration,
    /// After this a session is balanced anew, however active.
    pub max_lifetime: Option<Duration>,
    /// Where it is remembered.
    pub table: Table,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: OnUnavailable,
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

/// Active health checks.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// What a check does.
    pub kind: CheckKind,
    /// Between checks.
    pub interval: Duration,
    /// Between the first differing result and the decision.
    pub fast_interval: Duration,
    /// The whole check.
    pub timeout: Duration,
    /// At least 1.
    pub rise: u32,
    /// At least 1.
    pub fall: u32,
    /// Before the first result.
    pub initial: InitialState,
    /// Instead of the server's own port.
    pub port: Option<u16>,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// Connect, then close.
    Tcp,
    /// Send a request and look at the answer.
    Http(Box<HttpCheck>),
}

/// An HTTP check's request and what it expects.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// The method.
    pub method: Method,
    /// Starts with `/`.
    pub path: String,
    /// `Host` of the request; `None` = the server's address as configured.
    pub host: Option<String>,
    /// Further fields of the request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Inclusive ranges of status codes; one matching is enough.
    pub expect_status: Vec<std::ops::RangeInclusive<u16>>,
    /// What the body has to match.
    pub expect_body: Option<regex::bytes::Regex>,
}

impl PartialEq for HttpCheck {
    fn eq(&self, other: &Self) -> bool {
        // Compiled expressions can't be compared; their texts can.
        let body = |check: &Self| check.expect_body.as_ref().map(|b| b.as_str().to_owned());
        self.method == other.method
            && self.path == other.path
            && self.host == other.host
            && self.headers == other.headers
            && self.expect_status == other.expect_status
            && body(self) == body(other)
    }
}

/// What a server counts as before its first check has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialState {
    /// The first result decides.
    Unknown,
    /// Up until checked.
    Up,
    /// Down until checked.
    Down,
}

/// Requests that wait when every server is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// `0` = no waiting.
    pub size: usize,
    /// How long one waits.
    pub timeout: Duration,
}

/// Towards the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To make a connection.
    pub connect: Duration,
    /// Between two writes.
    pub send: Duration,
    /// Until the response's header, and between two reads.
    pub receive: Duration,
    /// How long a kept-alive connection may lie idle.
    pub idle: Duration,
}

/// When a request is tried again on another server.
#[allow(clippy::struct_excessive_bools)] // One for each word of `retries.on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first, `0` = none.
    pub attempts: u32,
    /// A server could not be connected to.
    pub on_connect_failure: bool,
    /// A server closed before a byte of response.
    pub on_reset_before_response: bool,
    /// A server answered 502, or nonsense.
    pub on_502: bool,
    /// A server answered 503.
    pub on_503: bool,
    /// A server answered 504, or not in time.
    pub on_504: bool,
}

/// Idle connections to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Kept per server, `0` = none.
    pub connections: usize,
}
