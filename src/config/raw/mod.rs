//! The configuration as it is written: one struct a section, no logic.
//!
//! The doc comment of each field is its description in the JSON Schema and so what an editor shows:
//! meaning, unit, trap. The `Default` of each section is where defaults live; the schema states them
//! too.

mod collections;
mod discovery;
mod health_check;
mod http;
mod outliers;
mod persistence;
mod pool;
mod route;
mod tls;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::balance_text::HashOn;
use super::model::UPGRADE_SOCKET;
pub use super::text::{FilePath, Name};
pub use super::tls_text::OpensslList;

pub use collections::{Named, OneOrMany};
pub use discovery::Discovery;
pub use health_check::{CheckType, HealthCheck, Initial, Method};
pub use http::{Coding, Compression, EncodedSlashes, Http, Http2, Slashes};
pub use outliers::{FailureKind, OutlierDetection};
pub use persistence::{
    OnUnavailable, Persistence, PersistenceType, Prefix, RouteCookie, SameSite, Secure, Table,
    Token,
};
pub use pool::{Algorithm, Listed, Pool, ProxyProtocol, Queue, RetryOn, Timeouts};
pub use route::{
    BasicAuth, HeaderEdits, Match, Mirror, RateLimit, Redirect, Route, RouteTimeouts, Share,
};
pub use tls::{
    Acme, Certificate, Challenge, ClientAuth, ClientAuthMode, Stapling, Tls, TlsVersion,
    UpstreamTls,
};

use super::address::{AdminAddress, Bind, Network};
use super::log_text::{LogFilter, LogTemplate};
use super::text::{Account, RedirectHttps};
use super::units::{Size, Span};

/// Equipoise configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Globs of further files, relative to this one, whose listeners and pools are merged in. Sorted
    /// by name; a glob that finds nothing is fine; a name defined twice is an error.
    #[serde(default)]
    pub include: OneOrMany<String>,
    /// Settings of the process.
    #[serde(default)]
    pub server: Server,
    /// The admin listener: metrics, health, status, dashboard. Absent: none; `{}`: on 127.0.0.1:9900.
    #[serde(default)]
    pub admin: Option<Admin>,
    /// The program's own log and the access log.
    #[serde(default)]
    pub logging: Logging,
    /// What `/metrics` shows.
    #[serde(default)]
    pub metrics: Metrics,
    /// Where clients connect, by name. At least one.
    pub listeners: Named<Listener>,
    /// Sets of servers that do the same work, by name. At least one.
    pub pools: Named<Pool>,
}

/// Settings of the process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Worker threads; 0 = one per core.
    #[schemars(range(min = 0, max = 1024))]
    pub threads: u32,
    /// Client connections held at once over all listeners. Each needs up to two file descriptors.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_connections: u32,
    /// How long in-flight work may take to finish at stop; 0 = none is waited for.
    pub shutdown_timeout: Span,
    /// File that the process id is written to; null = none.
    pub pid_file: Option<FilePath>,
    /// Unix socket that `run --upgrade` and SIGUSR2 hand this instance over at; null = it can't be upgraded while it runs.
    pub upgrade_socket: Option<FilePath>,
    /// Directory for what must survive a restart: the generated cookie key, session tables, what operators changed. Default: `$STATE_DIRECTORY`
    /// (which systemd sets), else /var/lib/equipoise.
    pub state_dir: Option<FilePath>,
    /// User to become after binding, by name or number; null = stay. Ports below 1024 can still be bound.
    pub user: Option<Account>,
    /// Group to become after binding; null = the user's own.
    pub group: Option<Account>,
    /// Reload when a file that the configuration consists of changes: itself, an include, or what it names.
    pub watch_config: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: 0,
            max_connections: 65_536,
            shutdown_timeout: Span::secs(30),
            pid_file: None,
            upgrade_socket: Some(FilePath(UPGRADE_SOCKET.to_owned())),
            state_dir: None,
            user: None,
            group: None,
            watch_config: true,
        }
    }
}

/// The admin listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// ip:port, or unix:/path. An address that other machines reach needs token_file.
    pub bind: AdminAddress,
    /// File of the tokens that may change something, one a line (`openssl rand -hex 32`); lines that begin with `#` are
    /// comments. Several can be used while one is replaced. null = none: over TCP the API only reads, and at a Unix socket
    /// who may open it may change things.
    pub token_file: Option<FilePath>,
    /// TLS, as a listener's; not for Unix sockets. null = plain HTTP.
    pub tls: Option<Tls>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            bind: AdminAddress::Socket(([127, 0, 0, 1], 9900).into()),
            token_file: None,
            tls: None,
        }
    }
}

/// The program's own log and the access log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// error, warn, info, debug, trace, off, or a filter such as `info,equipoise::health=debug`.
    pub level: LogFilter,
    /// How the program's own log looks. It goes to stderr.
    pub format: LogFormat,
    /// One line a request.
    pub access_log: AccessLog,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LogFilter("info".into()),
            format: LogFormat::Text,
            access_log: AccessLog::default(),
        }
    }
}

/// What `/metrics` shows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Histograms of response and connect times by server rather than by pool. *Trap:* each server adds 38 series to
    /// every scrape.
    pub server_histograms: bool,
    /// Up to so many servers in all pools each has all counters of its own. With more servers, picks, connections, bytes
    /// and passed health checks are counted by pool, so that a thousand servers are less than a megabyte. 0: always by pool.
    pub server_counters_up_to: u32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            server_histograms: false,
            server_counters_up_to: 500,
        }
    }
}

/// How the program's own log looks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LogFormat {
    Text,
    Json,
}

/// The access log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// stdout, stderr, off, or a file, which is reopened on SIGUSR1.
    pub path: FilePath,
    /// combined, json, or a template of `%{field}` names.
    pub format: LogTemplate,
    /// Bytes held before a write is forced; 0 = every line at once.
    pub buffer: Size,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            path: FilePath("stdout".into()),
            format: LogTemplate("combined".into()),
            buffer: Size::kib(64),
        }
    }
}

/// Where clients connect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// ip:port, or a list of them. Quote IPv6: "[::]:80".
    #[schemars(extend("x-stands-empty" = true))]
    pub bind: OneOrMany<Bind>,
    /// What is spoken.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether connections of `client_address.trusted_proxies` begin with a PROXY header, version 1 or 2, that says whose they
    /// are. One that doesn't is closed. *Trap:* from anybody else none is expected, and none believed.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Connections at once; 0 = no limit of its own.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub max_connections: u32,
    /// Connections at once from one client address; 0 = no limit. Clients behind one NAT count as one.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub max_connections_per_client: u32,
    /// New connections a second from one client address (of IPv6, one /64), as many of them at once; 0 = no limit. Clients
    /// behind one NAT count as one.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub connection_rate_per_client: u32,
    /// TCP keep-alive probes that find dead clients.
    #[serde(default)]
    pub tcp_keepalive: TcpKeepalive,
    /// How the client's address is found and told to the servers.
    #[serde(default)]
    pub client_address: ClientAddress,
    /// TLS towards the clients; protocols https and tls need it.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Protocol http only. true: every request is answered by a redirect (308) to https, same host and path; a port
    /// number: to that port.
    #[serde(default)]
    pub redirect_https: RedirectHttps,
    /// HTTP towards the clients; protocols http and https.
    #[serde(default)]
    pub http: Http,
    /// Connections that are passed on as they are; protocols tcp and tls.
    #[serde(default)]
    pub tcp: Tcp,
    /// Name of the pool that everything goes to that no route takes. Needed, unless there are routes or redirect_https
    /// answers everything, or tcp.sni_routes; without it what no route takes gets 404, or is reset where it isn't HTTP.
    #[serde(default)]
    pub pool: Option<Name>,
    /// What is done with some of the requests, the first that fits; protocols http and https.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Protocol {
    #[default]
    Http,
    Https,
    Tcp,
    Tls,
}

/// Connections that are passed on as they are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// How long a connection may be silent in both directions.
    pub idle_timeout: Span,
    /// How long a connection may last after one side has closed its direction, without a byte in the other.
    pub half_close_timeout: Span,
    /// Protocol tcp: pools by the name that clients ask for by TLS, which isn't ended here. *.example.com is every name below
    /// example.com, * any name; the most special one counts. What fits none, has no name or is no TLS goes to the listener's
    /// pool.
    pub sni_routes: Named<Name>,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            idle_timeout: Span::secs(900),
            half_close_timeout: Span::secs(60),
            sni_routes: Named::default(),
        }
    }
}

/// TCP keep-alive probes (RFC 1122 section 4.2.3.6).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct TcpKeepalive {
    /// Silence before the first probe; 1s to 9h, in whole seconds.
    pub idle: Span,
    /// Between two probes; 1s to 9h, in whole seconds.
    pub interval: Span,
    /// Unanswered probes before the connection counts as dead.
    #[schemars(range(min = 1, max = 127))]
    pub probes: u32,
}

impl Default for TcpKeepalive {
    fn default() -> Self {
        Self {
            idle: Span::secs(7200),
            interval: Span::secs(75),
            probes: 10,
        }
    }
}

/// How the client's address is found and told to the servers.
#[allow(clippy::struct_excessive_bools)] // One for each header field.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct ClientAddress {
    /// Networks whose forwarding headers, and PROXY headers, are believed. Name only proxies of your own: any other could
    /// claim any address.
    pub trusted_proxies: Vec<Network>,
    /// append the peer, replace the list by the client, or off.
    pub x_forwarded_for: XForwardedFor,
    /// Whether servers get X-Real-IP.
    pub x_real_ip: bool,
    /// Whether servers get X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Port.
    pub x_forwarded_proto: bool,
    /// Whether servers get Forwarded (RFC 7239): replaced where `x_forwarded_for` is, appended otherwise. A trusted peer's is
    /// then read too, where there is no X-Forwarded-For.
    pub forwarded: bool,
    /// Whether requests and responses get a Via field.
    pub via: bool,
}

impl Default for ClientAddress {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            x_forwarded_for: XForwardedFor::Append,
            x_real_ip: false,
            x_forwarded_proto: true,
            forwarded: false,
            via: false,
        }
    }
}

/// What is done with X-Forwarded-For.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum XForwardedFor {
    Append,
    Replace,
    Off,
}
