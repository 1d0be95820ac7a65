//! `pools.NAME.outlier_detection` as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::route_text::Percent;
use super::super::scalar;
use super::super::units::Span;

/// Taking servers out that fail real traffic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierDetection {
    /// Failures in a row that eject a server; 0 = any number.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub consecutive_failures: u32,
    /// How much more of its requests a server fails than the others of its pool, when it is ejected: at 20% one that fails
    /// 25% while the others fail 5%. 0% = however many.
    pub failure_rate: Percent,
    /// The last seconds that failure_rate is about, 1s to 10m.
    pub window: Span,
    /// Requests that a server must have had in the window before failure_rate ejects it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum: u32,
    /// How long a server is out the first time, 100ms to 1h. Each time soon after doubles it, up to 5m.
    pub ejection: Span,
    /// The share of the pool's servers that may be out at once, 1% to 100%; one always may, if another is available.
    pub max_ejected: Percent,
    /// What is a failure: connect_failure, reset, timeout, and statuses from 400 to 599 by number.
    #[schemars(length(min = 1))]
    pub on: Vec<FailureKind>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_rate: Percent(20),
            window: Span::secs(10),
            minimum: 20,
            ejection: Span::secs(30),
            max_ejected: Percent(50),
            on: vec![
                FailureKind::ConnectFailure,
                FailureKind::Reset,
                FailureKind::Timeout,
            ],
        }
    }
}

/// What counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection, or no TLS on it.
    ConnectFailure,
    /// The server broke off, or answered what isn't HTTP.
    Reset,
    /// The server didn't answer in time.
    Timeout,
    /// A response of this status.
    Status(u16),
}

impl Serialize for FailureKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ConnectFailure => serializer.serialize_str("connect_failure"),
            Self::Reset => serializer.serialize_str("reset"),
            Self::Timeout => serializer.serialize_str("timeout"),
            Self::Status(status) => serializer.serialize_u16(*status),
        }
    }
}

impl<'de> Deserialize<'de> for FailureKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = scalar::text(deserializer)?;
        match text.as_str() {
            "connect_failure" => Ok(Self::ConnectFailure),
            "reset" => Ok(Self::Reset),
            "timeout" => Ok(Self::Timeout),
            number => number
                .parse()
                .ok()
                .filter(|status| (400..600).contains(status))
                .map(Self::Status)
                .ok_or_else(|| serde::de::Error::custom("not a kind of failure")),
        }
    }
}

impl JsonSchema for FailureKind {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FailureKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = ["connect_failure", "reset", "timeout"].map(serde_json::Value::from);
        let statuses = (400_u16..600).map(serde_json::Value::from);
        let all: Vec<_> = words.into_iter().chain(statuses).collect();
        json_schema!({ "enum": all })
    }
}
