//! What `GET /api/v1/status` answers. Names and meanings are part of the API.

use std::collections::BTreeMap;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::model::Operator;
use crate::observe::labels::ServerState;
use crate::observe::latencies::Percentiles;
use crate::observe::metrics::Tally;
pub use crate::observe::timestamp::{self, timestamp};

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
    /// What gives the right to change something by the API.
    pub changes_by: ChangesBy,
    /// How long all servers took to the first byte of their responses in the last minute; `null` = there was no response.
    pub latency_percentiles: Option<LatencyPercentiles>,
    /// How many file descriptors are used of each share; `null` before they are shared out.
    pub descriptors: Option<DescriptorStatus>,
    /// The last reload; `null` before any.
    pub reload: Option<ReloadStatus>,
    /// Changed files of listeners' TLS that can't be used: what they held before is served.
    pub certificates_refused: Vec<RefusedCertificate>,
    /// The process that this one has taken over from, as long as it finishes what it has; `null` if there is none.
    pub predecessor: Option<PredecessorStatus>,
    /// In the order of the configuration.
    pub listeners: Vec<ListenerStatus>,
    /// In the order of the configuration.
    pub pools: Vec<PoolStatus>,
}

/// The process before this one.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PredecessorStatus {
    /// Its id.
    pub pid: u32,
    /// Connections of clients that it still serves; `null` before it has said so.
    pub connections: Option<usize>,
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

/// What gives the right to change something by the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangesBy {
    /// One of the tokens in `admin.token_file`.
    Token,
    /// The permission to open the Unix socket's file.
    Socket,
    /// Nothing: no token is configured.
    Nobody,
}

/// The latencies, in seconds, that so many of the requests stayed below.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct LatencyPercentiles {
    /// Half of them.
    pub p50: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
}

impl From<Percentiles> for LatencyPercentiles {
    fn from(Percentiles { p50, p95, p99 }: Percentiles) -> Self {
        Self { p50, p95, p99 }
    }
}

/// The file descriptors that this process may have, and what those are used for that are shared out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DescriptorStatus {
    /// How many the process may have.
    pub limit: u64,
    /// Connections of clients.
    pub clients: DescriptorShare,
    /// Connections to servers.
    pub servers: DescriptorShare,
    /// Those of them that are idle.
    pub idle: DescriptorShare,
}

/// A share of the file descriptors.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct DescriptorShare {
    /// How many are used.
    pub held: u64,
    /// How many may be.
    pub limit: u64,
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

/// A changed file of a listener's TLS that can't be used.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RefusedCertificate {
    /// The listener; `admin` is the admin listener.
    pub listener: String,
    /// Why, as the log says it.
    pub reason: String,
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
    /// Most client connections that it holds at once; 0 = no limit of its own.
    pub max_connections: u64,
    /// Client connections that had to wait for a place.
    pub connections_delayed: u64,
    /// Client connections that were closed without being served, by reason; reasons that never occurred are left out.
    pub rejected: BTreeMap<&'static str, u64>,
    /// TLS handshakes that came to nothing; `null` = the listener speaks no TLS.
    pub tls_handshakes_failed: Option<u64>,
    /// Whether new ones wait for a place now.
    pub full: bool,
    /// Requests that ended; with TCP there are none.
    pub requests: u64,
    /// Requests or connections that failed for the servers' part or ours, and connections that our limits left no room
    /// for.
    pub errors: u64,
    /// The errors by reason; reasons that never occurred are left out.
    pub error_reasons: BTreeMap<&'static str, u64>,
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
    /// Requests or connections that its servers work on now.
    pub active: u64,
    /// How many the servers that take new work may work on at once; `null` = at least one of them has no limit.
    pub capacity: Option<u64>,
    /// Requests that wait for a server.
    pub queue_length: u64,
    /// How many may wait.
    pub queue_size: u64,
    /// Requests that the queue had no room for, or not in time, in the last quarter of an hour.
    pub queue_refused_lately: u64,
    /// Requests or connections for it that ended.
    pub requests: u64,
    /// Those of them that failed for the servers' part or ours.
    pub errors: u64,
    /// The errors by reason; reasons that never occurred are left out.
    pub error_reasons: BTreeMap<&'static str, u64>,
    /// Those of the errors that no server had to do with.
    pub unserved: u64,
    /// Responses by class.
    pub responses: ResponseClasses,
    /// Requests that were sent again.
    pub retries: u64,
    /// How long its servers took to the first byte of their responses in the last minute; `null` = there was no response.
    pub latency_percentiles: Option<LatencyPercentiles>,
    /// What session persistence made of requests; `null` = the pool keeps no sessions.
    pub persistence: Option<PersistenceStatus>,
    /// In the order of the configuration; those that were added come last.
    pub servers: Vec<ServerStatus>,
    /// Names of servers of the file that were removed by the API.
    pub removed: Vec<String>,
}

/// Responses by the class of their status.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct ResponseClasses {
    /// 100 to 199.
    #[serde(rename = "1xx")]
    pub informational: u64,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    pub successful: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    pub redirection: u64,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    pub client_error: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    pub server_error: u64,
}

impl From<&Tally> for ResponseClasses {
    fn from(tally: &Tally) -> Self {
        let [
            informational,
            successful,
            redirection,
            client_error,
            server_error,
        ] = tally.classes;
        Self {
            informational,
            successful,
            redirection,
            client_error,
            server_error,
        }
    }
}

/// A pool's session persistence.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PersistenceStatus {
    /// Its type in the configuration.
    pub r#type: &'static str,
    /// What became of requests: `hit`, `miss`, `invalid`, `expired`, `unavailable`, `rebalanced`.
    pub results: BTreeMap<&'static str, u64>,
    /// Entries in this node's session table; `null` where sessions are in cookies.
    pub entries: Option<u64>,
    /// Most entries that it may have.
    pub size: Option<u64>,
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
    #[serde(serialize_with = "timestamp::serialize")]
    #[schemars(with = "String")]
    pub since: SystemTime,
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
