//! `pools.NAME` as it is written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::address::{SourceAddress, Upstream};
use super::super::balance_text::HashOn;
use super::super::route_text::Percent;
use super::super::scalar::{self, Scalar as _};
use super::super::text::Name;
use super::super::units::{Size, Span};
use super::{Discovery, HealthCheck, OutlierDetection, Persistence, Prefix, UpstreamTls};

/// A set of servers that do the same work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// How a server is picked.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// hash only, which needs it. What requests have in common that go to one server: path, query:NAME, header:NAME or
    /// cookie:NAME. Requests that don't have it take turns.
    #[serde(default)]
    pub hash_on: Option<HashOn>,
    /// source_hash only. How many leading bits of an address make one client.
    #[serde(default)]
    pub source_prefix: Prefix,
    /// hash and source_hash only. How much more than its share of the active requests a server may have before others
    /// stand in, 1.01 to 100; 1.25 is a good one; null = any number.
    #[serde(default)]
    pub bounded_load: Option<f64>,
    /// At least one, unless discovery finds them. A server that needs nothing else may be written as its address alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub servers: Vec<Listed>,
    /// Instead of servers: a name whose addresses, or services, they are.
    #[serde(default)]
    pub discovery: Option<Discovery>,
    /// How a client's requests stay on one server; absent = they don't.
    #[serde(default)]
    pub persistence: Option<Persistence>,
    /// How servers are checked. Absent: a TCP connection every 5s; null: they are not checked and count
    /// as up.
    #[serde(default = "default_health_check")]
    pub health_check: Option<HealthCheck>,
    /// Taking servers out that fail real traffic; null = never.
    #[serde(default)]
    pub outlier_detection: Option<OutlierDetection>,
    /// How long a server takes to reach its full weight when it becomes available, but not by the first checks of the
    /// process; 0 = off. Default: 30s for weighted_least_connections, off otherwise.
    #[serde(default)]
    pub slow_start: Option<Span>,
    /// Requests that wait when every server is at its max_connections.
    #[serde(default)]
    pub queue: Queue,
    /// Towards the servers.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When a request is tried again on another server. Only ever where that is safe: a POST that a
    /// server may have seen is never sent twice.
    #[serde(default)]
    pub retries: Retries,
    /// Idle connections to the servers.
    #[serde(default)]
    pub keepalive: Keepalive,
    /// TLS towards the servers; null = none.
    #[serde(default)]
    pub tls: Option<UpstreamTls>,
    /// true: the servers speak HTTP/2, over TLS or, without it, by prior knowledge. gRPC needs it.
    #[serde(default)]
    pub http2: bool,
    /// v1 or v2: each connection to a server begins with a PROXY header that says whose it is; v2 says what is known of the
    /// client's TLS, too. With HTTP a connection then belongs to one client connection. *Trap:* every server has to
    /// expect it. null = none.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Where connections to the servers come from, as the servers see it: client = the client's own address (Linux,
    /// `CAP_NET_ADMIN`, and routes that bring the answers back); an address = this one of this machine's. null = as the system
    /// chooses. With client and HTTP a connection then belongs to one client connection.
    #[serde(default)]
    pub source: Option<SourceAddress>,
}

/// Versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ProxyProtocol {
    V1,
    V2,
}

#[allow(clippy::unnecessary_wraps)] // serde wants the field's own type
fn default_health_check() -> Option<HealthCheck> {
    Some(HealthCheck::default())
}

/// How a server is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Algorithm {
    /// Smooth weighted round robin: exact shares, interleaved.
    #[default]
    WeightedRoundRobin,
    /// The fewest active requests for its weight; ties by smooth weighted round robin.
    WeightedLeastConnections,
    /// A client's address always leads to the same server, as long as that takes requests.
    SourceHash,
    /// What `hash_on` says always leads to the same server, as long as that takes requests.
    Hash,
    /// Of two servers drawn at random by weight the one with fewer active requests for its weight.
    RandomTwo,
    /// Of two servers drawn at random by weight the one with the smaller latency times active requests for its weight.
    PeakEwma,
}

/// One server of a pool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolServer {
    /// Unique in the pool; the identity in cookies, metrics and API, which address and position are
    /// not. Default: the address.
    #[serde(default)]
    pub name: Option<Name>,
    /// host:port, ip:port, or unix:/path. A host name is resolved at run time.
    pub address: Upstream,
    /// What the server's session ids end in, for persistence of type route: Tomcat's jvmRoute. Unique in
    /// the pool. Default: the name.
    #[serde(default)]
    pub route: Option<Name>,
    /// Share of the work; 0 = takes no new sessions, keeps its bound ones.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: u16,
    /// Requests at once; 0 = no limit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub max_connections: u32,
    /// Used only when no server without this mark is available.
    #[serde(default)]
    pub backup: bool,
}

/// A server in the list: a mapping, or its address alone.
#[derive(Debug, Clone)]
pub struct Listed(pub PoolServer);

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a server or its address")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Listed, E> {
                let address = Upstream::parse(text).map_err(E::custom)?;
                Ok(Listed(PoolServer {
                    name: None,
                    address,
                    route: None,
                    weight: default_weight(),
                    max_connections: 0,
                    backup: false,
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listed, A::Error> {
                PoolServer::deserialize(MapAccessDeserializer::new(map)).map(Listed)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for Listed {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Listed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<Upstream>();
        let server = generator.subschema_for::<PoolServer>();
        json_schema!({ "anyOf": [server, address] })
    }
}

fn default_weight() -> u16 {
    1
}

/// Requests that wait when every server is full.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// How many may wait; 0 = none, 503 at once.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub size: u32,
    /// How long one may wait; 503 after it.
    pub timeout: Span,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            size: 0,
            timeout: Span::secs(5),
        }
    }
}

/// Towards the servers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until the connection stands; then another server is tried, or 504.
    pub connect: Span,
    /// Between two writes to the server.
    pub send: Span,
    /// Until the response's header, and between two reads of its body; 504 after it.
    pub receive: Span,
    /// How long a kept-alive connection to a server may lie idle. Keep it below the server's own
    /// keep-alive timeout.
    pub idle: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::secs(5),
            send: Span::secs(60),
            receive: Span::secs(60),
            idle: Span::secs(60),
        }
    }
}

/// When a request is tried again on another server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Tries after the first; 0 = none.
    #[schemars(range(min = 0, max = 100))]
    pub attempts: u32,
    /// What is tried again: connect_failure, reset_before_response, 502, 503, 504.
    pub on: Vec<RetryOn>,
    /// How much load tries after the first may add, in percent of the requests of the last seconds.
    pub budget: Percent,
    /// Bytes of a request's body that are kept for another try; a request with a longer body isn't tried again once some
    /// of it was sent. 0 = none; 64MiB at most.
    pub replay_buffer: Size,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: vec![RetryOn::ConnectFailure, RetryOn::ResetBeforeResponse],
            budget: Percent(20),
            replay_buffer: Size::kib(64),
        }
    }
}

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    ConnectFailure,
    ResetBeforeResponse,
    Status(u16),
}

impl Serialize for RetryOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ConnectFailure => serializer.serialize_str("connect_failure"),
            Self::ResetBeforeResponse => serializer.serialize_str("reset_before_response"),
            Self::Status(status) => serializer.serialize_u16(*status),
        }
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match scalar::text(deserializer)?.as_str() {
            "connect_failure" => Ok(Self::ConnectFailure),
            "reset_before_response" => Ok(Self::ResetBeforeResponse),
            "502" => Ok(Self::Status(502)),
            "503" => Ok(Self::Status(503)),
            "504" => Ok(Self::Status(504)),
            _ => Err(serde::de::Error::custom("not a reason to retry")),
        }
    }
}

impl JsonSchema for RetryOn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["connect_failure", "reset_before_response", 502, 503, 504] })
    }
}

/// Idle connections to the servers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keepalive {
    /// Kept per server; 0 = every request has a connection of its own.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub connections: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { connections: 128 }
    }
}
