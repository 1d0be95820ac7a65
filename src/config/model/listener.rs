//! Where clients connect, and what they may do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

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
    /// `Some` exactly for the protocols https and tls.
    pub tls: Option<Tls>,
    /// Every request is sent on to https, at this port.
    pub redirect_https: Option<u16>,
    /// TCP behaviour, for the protocols tcp and tls.
    pub tcp: Tcp,
    /// Name of the pool that takes everything. `None` only if `redirect_https` answers everything.
    pub pool: Option<Arc<str>>,
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
    /// Bytes a second that a body has to arrive at, `0` = as it likes.
    pub min_receive_rate: u64,
    /// HTTP/2; `None` = not spoken.
    pub http2: Option<Http2>,
}

/// HTTP/2 towards clients (RFC 9113).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Requests at once on one connection, at least 1.
    pub max_streams: u32,
    /// How long a connection without a request may last.
    pub idle_timeout: Duration,
}

/// TCP behaviour towards clients and servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Silence in both directions.
    pub idle_timeout: Duration,
    /// Silence after one direction was closed.
    pub half_close_timeout: Duration,
}
