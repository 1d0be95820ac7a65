//! Active health checks.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

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
    /// A TLS handshake.
    Tls,
    /// The gRPC health checking protocol: `grpc.health.v1.Health/Check` of the server as a whole.
    Grpc,
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
