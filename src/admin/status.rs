//! What `GET /api/v1/status` answers. Names and meanings are part of the API.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::config::model::Operator;
use crate::observe::labels::ServerState;

/// The whole instance.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Status {
    /// This build's version.
    pub version: String,
    /// The process's id.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started: String,
    /// Seconds since then, by a clock that never jumps.
    pub uptime: f64,
    /// Whether it takes new work.
    pub state: InstanceState,
    /// The last reload; `null` before any.
    pub reload: Option<ReloadStatus>,
    /// In the order of the configuration.
    pub listeners: Vec<ListenerStatus>,
    /// In the order of the configuration.
    pub pools: Vec<PoolStatus>,
}

/// The life of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It takes new work.
    Running,
    /// It was drained by the API: it serves what comes, is not ready, and tells its connections to go.
    Draining,
    /// It finishes what it has.
    Stopping,
}

/// A reload that ended.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReloadStatus {
    /// How it ended.
    pub result: ReloadResult,
    /// When, RFC 3339.
    pub at: String,
    /// What was wrong, as the log says it; the first 20.
    pub problems: Vec<String>,
    /// The keys that changed; the first 20.
    pub changes: Vec<String>,
}

/// How a reload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadResult {
    /// The new configuration is in use.
    Success,
    /// It was refused: the one from before is in use.
    Failure,
}

/// One listener.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// `http` and so on, as in the configuration.
    pub protocol: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// The pool that takes what no route takes.
    pub pool: String,
    /// Client connections held now.
    pub connections_active: u64,
    /// Client connections accepted.
    pub connections_total: u64,
    /// Client connections that had to wait for a place.
    pub connections_delayed: u64,
    /// Whether new ones wait for a place now.
    pub full: bool,
    /// Requests that ended; with TCP there are none.
    pub requests: u64,
    /// Requests or connections that failed for the servers' part or ours, and connections that our limits left no room
    /// for.
    pub errors: u64,
    /// Those of the errors that no server had to do with.
    pub unserved: u64,
    /// Requests that were answered here with a 4xx: no errors, as they end for the client's part.
    pub refused: u64,
}

/// One pool.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// The algorithm's name in the configuration.
    pub algorithm: String,
    /// Servers that take new work now.
    pub available_servers: usize,
    /// Requests that wait for a server.
    pub queue_length: u64,
    /// Requests or connections for it that ended.
    pub requests: u64,
    /// Those of them that failed for the servers' part or ours.
    pub errors: u64,
    /// Those of the errors that no server had to do with.
    pub unserved: u64,
    /// In the order of the configuration; those that were added come last.
    pub servers: Vec<ServerStatus>,
    /// Names of servers of the file that were removed by the API.
    pub removed: Vec<String>,
}

/// One server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerStatus {
    /// Its name, unique in the pool.
    pub name: String,
    /// Its address as in the configuration.
    pub address: String,
    /// The address in use: the one of its name's that new connections are tried at first; `null` while it has none.
    pub server_address: Option<String>,
    /// What it is to new work.
    #[schemars(with = "String")]
    pub state: ServerState,
    /// Why, in words.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// As configured or set by the operator.
    pub weight: u32,
    /// What counts now: 0 while it takes nothing, less than `weight` during slow start. In the same
    /// unit as `weight`.
    pub effective_weight: f64,
    /// Used only when no other server is available.
    pub backup: bool,
    /// Requests or connections that it works on now.
    pub active: u64,
    /// How many it may work on at once; 0 = no limit.
    pub max_connections: u64,
    /// Requests that were sent to it and ended.
    pub requests: u64,
    /// Those of them that it failed: no connection, no whole response, no answer in time, a 5xx; also where another
    /// server served the request then.
    pub errors: u64,
    /// Recent mean time to the first byte of its responses, in seconds; `null` before any.
    pub latency: Option<f64>,
    /// `null` if it is not checked, or not yet.
    pub last_check: Option<CheckStatus>,
    /// What the operator wants of it.
    pub operator: OperatorState,
    /// Where it comes from.
    pub source: ServerSource,
    /// What is otherwise than the file says: `state`, `weight`, `max_connections`.
    pub overridden: Vec<&'static str>,
}

/// What the operator wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorState {
    /// It takes work.
    Ready,
    /// It keeps its sessions, and takes no new ones.
    Drain,
    /// It takes nothing.
    Maintenance,
}

impl From<Operator> for OperatorState {
    fn from(operator: Operator) -> Self {
        match operator {
            Operator::Ready => Self::Ready,
            Operator::Drain => Self::Drain,
            Operator::Maintenance => Self::Maintenance,
        }
    }
}

/// Where a server comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerSource {
    /// The configuration.
    File,
    /// It was added by the API.
    Api,
}

/// A health check that ended.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckStatus {
    /// How it ended.
    pub result: CheckResult,
    /// What was found, in words.
    pub reason: String,
    /// When it ended, RFC 3339.
    pub at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// As wanted.
    Success,
    /// Not as wanted, or not at all.
    Failure,
    /// It could not be made, for want of something of this process's or its machine's.
    NotMade,
}

/// A time as the API writes it: RFC 3339 in UTC with milliseconds.
pub fn timestamp(time: SystemTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let utc = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since_epoch| i128::try_from(since_epoch.as_nanos()).ok())
        .and_then(|nanoseconds| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    utc.format(format).unwrap_or_default()
}
