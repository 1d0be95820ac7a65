//! Where clients connect, and what they may do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use ipnet::IpNet;

use super::route::{Action, HostPattern, PathForm, Route};
use super::tls::Tls;

/// Where clients connect.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// At least one.
    pub bind: Vec<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether trusted proxies introduce their clients by PROXY headers.
    pub proxy_protocol: bool,
    /// `0` = no limit of its own.
    pub max_connections: usize,
    /// `0` = no limit.
    pub max_connections_per_client: usize,
    /// New connections a second of one client; `0` = no limit.
    pub connection_rate_per_client: u32,
    /// Probes on idle client connections.
    pub tcp_keepalive: TcpKeepalive,
    /// The client's address.
    pub client_address: ClientAddress,
    /// HTTP behaviour.
    pub http: Http,
    /// `Some` exactly for the protocols https and tls.
    pub tls: Option<Tls>,
    /// Every request is sent on to https, at this port.
    pub redirect_https: Option<u16>,
    /// TCP behaviour, for the protocols tcp and tls.
    pub tcp: Tcp,
    /// Pools by the name that clients ask for by TLS, each pattern once; for the protocol tcp.
    pub sni_routes: Vec<(HostPattern, Arc<str>)>,
    /// Name of the pool that takes everything that no route takes. `None`: that gets 404, or is reset where it isn't HTTP.
    pub pool: Option<Arc<str>>,
    /// In their order; the first that fits is taken.
    pub routes: Vec<Route>,
}

impl Listener {
    /// The names of all pools that its requests may go to, some of them perhaps several times.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<str>> {
        let of_routes = self.routes.iter().flat_map(|route| {
            let (one, several): (_, &[(Arc<str>, u16)]) = match &route.action {
                Action::Pool(name) => (Some(name), &[]),
                Action::Split(shares) => (None, shares),
                Action::Redirect { .. } | Action::Respond { .. } => (None, &[]),
            };
            let mirror = route.mirror.as_ref().map(|mirror| &mirror.pool);
            one.into_iter()
                .chain(several.iter().map(|(name, _)| name))
                .chain(mirror)
        });
        let of_names = self.sni_routes.iter().map(|(_, pool)| pool);
        self.pool.iter().chain(of_routes).chain(of_names)
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
    /// Bytes as they come.
    Tcp,
    /// TLS that ends here, and the bytes in it.
    Tls,
}

impl Protocol {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// As the access log names what comes before any request; `None`: no HTTP has been spoken yet.
    pub fn logged(self) -> Option<&'static str> {
        match self {
            Self::Http => None,
            Self::Tcp => Some("TCP"),
            Self::Https | Self::Tls => Some("TLS"),
        }
    }
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
#[allow(clippy::struct_excessive_bools)] // One for each header field.
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
    /// Forwarded (RFC 7239).
    pub forwarded: bool,
    /// Via (RFC 9110 section 7.6.3), on requests and responses.
    pub via: bool,
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
    /// Requests on one connection of HTTP/1, `0` = no limit.
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
    /// Bytes a second that a body must come in at, `0` = no limit.
    pub min_receive_rate: u64,
    /// Whether a client of HTTP/1 that ends its side has gone.
    pub abort_on_half_close: bool,
    /// HTTP/2; `None` = not spoken.
    pub http2: Option<Http2>,
    /// `None`: responses are passed on as they are.
    pub compression: Option<Arc<Compression>>,
    /// Files instead of our own error pages.
    pub error_pages: Arc<[ErrorPage]>,
    /// The Server field: `None` = as the servers send it, empty = none.
    pub server_header: Option<HeaderValue>,
    /// Whether TRACE is passed on.
    pub trace: bool,
    /// What paths keep where paths are compared.
    pub path: PathForm,
}

/// Which responses are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// Media types in lower case; `text/*` is every kind of text.
    pub types: Vec<String>,
    /// Bytes; smaller responses are left alone.
    pub min_size: u64,
    /// The preferred first; at least one.
    pub codings: Vec<Coding>,
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

/// A file instead of our own error page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// For this status.
    pub status: u16,
    /// By the file's name.
    pub content_type: &'static str,
    /// As it was read.
    pub body: Bytes,
}

/// HTTP/2 towards clients (RFC 9113).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Requests at once on one connection, at least 1.
    pub max_streams: u32,
    /// How long a connection without a request may last.
    pub idle_timeout: Duration,
    /// Requests on one connection before it is told to go, `0` = no limit.
    pub max_requests: u32,
}

/// TCP behaviour towards clients and servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Silence in both directions.
    pub idle_timeout: Duration,
    /// Silence after one direction was closed.
    pub half_close_timeout: Duration,
}
