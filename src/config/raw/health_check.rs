//! `pools.NAME.health_check` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::text::{FieldValue, HostField, Pattern, RequestPath, StatusRange};
use super::super::units::Span;
use super::{Named, OneOrMany};

/// How servers are checked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// tcp: connect, then close; http: a request and what its response must be (over TLS if the pool has tls); tls: a
    /// handshake, with the pool's tls if it has one; grpc: the gRPC health checking protocol.
    pub r#type: CheckType,
    /// Between two checks of a server, spread by jitter.
    pub interval: Span,
    /// Between the first differing result and the decision.
    pub fast_interval: Span,
    /// For the whole check.
    pub timeout: Span,
    /// Successes in a row that bring a down server up.
    #[schemars(range(min = 1, max = 1000))]
    pub rise: u32,
    /// Failures in a row that take an up server down.
    #[schemars(range(min = 1, max = 1000))]
    pub fall: u32,
    /// What a server counts as before its first result. unknown: the first result decides, and until
    /// then it takes traffic only if no server is known to be up.
    pub initial: Initial,
    /// Checks go to this port instead of the server's own; null = its own.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// type http only. HEAD, GET, OPTIONS, POST or PUT. With `expect_body` a HEAD is sent as GET.
    pub method: Method,
    /// type http only. Path of the request, with its query if it needs one.
    pub path: RequestPath,
    /// type http only. The Host field; null = the server's address.
    pub host: Option<HostField>,
    /// type http only. Further header fields of the request.
    pub headers: Named<FieldValue>,
    /// type http only. Statuses that mean healthy: `200`, `200-399`, or a list of such.
    pub expect_status: OneOrMany<StatusRange>,
    /// type http only. A regular expression that the body must match; null = the body is not read.
    pub expect_body: Option<Pattern>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            r#type: CheckType::Tcp,
            interval: Span::secs(5),
            fast_interval: Span::secs(1),
            timeout: Span::secs(2),
            rise: 2,
            fall: 3,
            initial: Initial::Unknown,
            port: None,
            method: Method::Head,
            path: RequestPath("/".into()),
            host: None,
            headers: Named(Vec::new()),
            expect_status: OneOrMany(vec![StatusRange(200..=399)]),
            expect_body: None,
        }
    }
}

/// Kinds of health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum CheckType {
    Tcp,
    Http,
    Tls,
    Grpc,
}

/// What a server counts as before its first result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Initial {
    Unknown,
    Up,
    Down,
}

/// Method of an HTTP check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub enum Method {
    Head,
    Get,
    Options,
    Post,
    Put,
}
