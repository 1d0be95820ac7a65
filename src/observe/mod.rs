//! What can be seen from outside: metrics, the access log and the program's own log.
//!
//! Nothing here decides anything. The request path hands over one [`access_log::Record`] and adds
//! to counters whose handles it got once, when its listener, pool or server was built.

pub mod access_log;
pub mod events;
pub mod history;
pub mod labels;
pub mod latencies;
mod lines;
pub mod log;
pub mod metrics;
pub mod refused;
mod seldom;
pub mod timestamp;

pub use access_log::{AccessLog, Record};
pub use events::{Events, Topic};
pub use history::History;
pub use labels::{
    DelayReason, ErrorReason, PersistenceResult, PickedBy, RejectReason, RetryReason, ServerState,
    Termination,
};
pub use log::init_logging;
pub use metrics::{ListenerMetrics, Metrics, PoolMetrics, ServerMetrics, Traffic};
pub use seldom::Seldom;

/// This build's version, as in `equipoise_build_info` and the status API.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
