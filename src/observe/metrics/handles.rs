//! Handles that are resolved once and then only counted with.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::families::{ByPoolOrServer, Families};
use super::sums::Sum;
use crate::observe::labels::{
    DelayReason, Label, PersistenceResult, PickedBy, RejectReason, RetryReason, ServerState,
};
use crate::observe::latencies::Latencies;

/// One counter for each word of a closed set.
#[derive(Clone)]
pub struct Counters<L> {
    counters: Arc<[IntCounter]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    /// `labels` are the family's first labels; `L` is its last.
    fn new(family: &IntCounterVec, labels: &[&str]) -> Self {
        let counter = |label: &L| {
            let values: Vec<&str> = labels.iter().copied().chain([label.as_str()]).collect();
            family.with_label_values(&values)
        };
        Self {
            counters: L::ALL.iter().map(counter).collect(),
            label: PhantomData,
        }
    }

    /// Counts one.
    pub fn inc(&self, label: L) {
        if let Some(counter) = self.counters.get(label.index()) {
            counter.inc();
        }
    }

    /// What was counted so far, all words together.
    pub fn sum(&self) -> u64 {
        self.counters.iter().map(IntCounter::get).sum()
    }

    /// What was counted so far, by word.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = L::ALL.iter().map(|label| label.as_str());
        words.zip(self.counters.iter().map(IntCounter::get))
    }

    /// What was counted so far.
    pub fn value(&self, label: L) -> u64 {
        self.counters.get(label.index()).map_or(0, IntCounter::get)
    }
}

/// What is counted at a listener.
#[derive(Clone)]
pub struct ListenerMetrics {
    /// Connections accepted.
    pub connections_total: IntCounter,
    /// Connections held now.
    pub connections_active: IntGauge,
    /// Bytes received from clients.
    pub bytes_in: IntCounter,
    /// Bytes sent to clients.
    pub bytes_out: IntCounter,
    /// Connections closed without being served.
    pub rejected: Counters<RejectReason>,
    /// Connections that had to wait for a place.
    pub delayed: Counters<DelayReason>,
    /// Addresses at which connections wait for a place now.
    pub full: IntGauge,
}

impl ListenerMetrics {
    pub(super) fn new(families: &Families, listener: &str) -> Self {
        Self {
            connections_total: families.connections.with_label_values(&[listener]),
            connections_active: families.connections_active.with_label_values(&[listener]),
            bytes_in: families.bytes.with_label_values(&[listener, "in"]),
            bytes_out: families.bytes.with_label_values(&[listener, "out"]),
            rejected: Counters::new(&families.connections_rejected, &[listener]),
            delayed: Counters::new(&families.connections_delayed, &[listener]),
            full: families.listener_full.with_label_values(&[listener]),
        }
    }
}

/// What is counted of a listener's TLS.
#[derive(Clone)]
pub struct TlsMetrics {
    /// By version (1.2, 1.3), each new and resumed.
    succeeded: [IntCounter; 4],
    /// Handshakes that broke off.
    pub failed: IntCounter,
    /// Handshakes that took too long.
    pub timed_out: IntCounter,
    /// Changed files that were taken up.
    pub reloads_succeeded: IntCounter,
    /// Changed files that could not be used.
    pub reloads_failed: IntCounter,
}

impl TlsMetrics {
    pub(super) fn new(families: &Families, listener: &str) -> Self {
        let handshakes = |version, resumed, result| {
            families
                .tls_handshakes
                .with_label_values(&[listener, version, resumed, result])
        };
        let reloads = |result| {
            families
                .certificate_reloads
                .with_label_values(&[listener, result])
        };
        Self {
            succeeded: [
                handshakes("TLSv1.2", "false", "success"),
                handshakes("TLSv1.2", "true", "success"),
                handshakes("TLSv1.3", "false", "success"),
                handshakes("TLSv1.3", "true", "success"),
            ],
            failed: handshakes("none", "false", "failure"),
            timed_out: handshakes("none", "false", "timeout"),
            reloads_succeeded: reloads("success"),
            reloads_failed: reloads("failure"),
        }
    }

    /// A handshake came about. `version` is OpenSSL's word for it.
    pub fn succeeded(&self, version: &str, resumed: bool) {
        let index = 2 * usize::from(version == "TLSv1.3") + usize::from(resumed);
        if let Some(counter) = self.succeeded.get(index) {
            counter.inc();
        }
    }
}

/// What is counted for a pool as a whole.
#[derive(Clone)]
pub struct PoolMetrics {
    /// Requests that wait for a server now.
    pub queue_length: IntGauge,
    /// Seconds that requests waited for a server.
    pub queue_seconds: Histogram,
    /// Requests sent again.
    pub retries: Counters<RetryReason>,
    /// What session persistence made of requests.
    pub persistence: Counters<PersistenceResult>,
    response: Histogram,
}

impl PoolMetrics {
    pub(super) fn new(families: &Families, pool: &str) -> Self {
        Self {
            queue_length: families.queue_length.with_label_values(&[pool]),
            queue_seconds: families.queue_seconds.with_label_values(&[pool]),
            retries: Counters::new(&families.retries, &[pool]),
            persistence: Counters::new(&families.persistence, &[pool]),
            response: families
                .upstream_response
                .by_pool
                .with_label_values(&[pool]),
        }
    }

    /// How long servers took to the first byte of their responses so far.
    pub fn latencies(&self) -> Latencies {
        Latencies::of(&self.response)
    }
}

/// What is counted for a pool's session table.
#[derive(Clone)]
pub struct SessionTableMetrics {
    /// Sessions remembered now.
    pub entries: IntGauge,
    /// Sessions forgotten to make room.
    pub evictions: IntCounter,
}

impl SessionTableMetrics {
    pub(super) fn new(families: &Families, pool: &str) -> Self {
        Self {
            entries: families.table_entries.with_label_values(&[pool]),
            evictions: families.table_evictions.with_label_values(&[pool]),
        }
    }
}

/// What is counted for the shared store of a pool's session table.
#[derive(Clone)]
pub struct SessionStoreMetrics {
    /// Questions it had an answer to.
    pub hits: IntCounter,
    /// Questions it had no answer to.
    pub misses: IntCounter,
    /// Questions that failed.
    pub errors: IntCounter,
    /// Questions that took too long.
    pub timeouts: IntCounter,
    /// Questions not asked because it had just failed.
    pub skipped: IntCounter,
    /// Whether it answers.
    pub up: IntGauge,
}

impl SessionStoreMetrics {
    pub(super) fn new(families: &Families, pool: &str) -> Self {
        let result = |result| families.store_requests.with_label_values(&[pool, result]);
        Self {
            hits: result("hit"),
            misses: result("miss"),
            errors: result("error"),
            timeouts: result("timeout"),
            skipped: result("skipped"),
            up: families.store_up.with_label_values(&[pool]),
        }
    }
}

/// What is counted of certificates by ACME.
#[derive(Clone)]
pub struct AcmeMetrics {
    /// Certificates obtained.
    pub success: IntCounter,
    /// Tries that failed.
    pub failure: IntCounter,
}

impl AcmeMetrics {
    pub(super) fn new(families: &Families) -> Self {
        let result = |result| families.acme_orders.with_label_values(&[result]);
        Self {
            success: result("success"),
            failure: result("failure"),
        }
    }
}

/// What is counted for a server.
#[derive(Clone)]
pub struct ServerMetrics {
    /// Requests or connections that it works on now.
    pub active: IntGauge,
    /// Its weight as configured or set by the operator.
    pub weight: IntGauge,
    /// How often it was chosen.
    pub picks: Counters<PickedBy>,
    /// Checks that it passed.
    pub checks_passed: IntCounter,
    /// Checks that it failed.
    pub checks_failed: IntCounter,
    /// How often passive detection took it out.
    pub ejections: IntCounter,
    /// Bytes from clients.
    pub bytes_in: IntCounter,
    /// Bytes to clients.
    pub bytes_out: IntCounter,
    /// Requests or connections that it failed.
    pub errors: IntCounter,
    response: Seconds,
    response_sum: Sum,
    connect: Seconds,
    /// New connections used.
    pub connections_new: IntCounter,
    /// Kept-alive connections used.
    pub connections_reused: IntCounter,
    up: IntGauge,
    last_change: IntGauge,
    states: Arc<[IntGauge]>,
}

/// Seconds, in the histogram of the pool, and where that is wanted in one of the server's own.
#[derive(Clone)]
struct Seconds {
    of_pool: Histogram,
    of_server: Histogram,
    by_server: Arc<AtomicBool>,
}

impl Seconds {
    fn new(family: &ByPoolOrServer, pool: &str, server: &str, by_server: &Arc<AtomicBool>) -> Self {
        Self {
            of_pool: family.by_pool.with_label_values(&[pool]),
            of_server: family.by_server.with_label_values(&[pool, server]),
            by_server: Arc::clone(by_server),
        }
    }

    fn observe(&self, seconds: Duration) {
        let seconds = seconds.as_secs_f64();
        self.of_pool.observe(seconds);
        if self.by_server.load(Ordering::Relaxed) {
            self.of_server.observe(seconds);
        }
    }
}

impl ServerMetrics {
    pub(super) fn new(
        families: &Families,
        pool: &str,
        server: &str,
        by_server: &Arc<AtomicBool>,
    ) -> Self {
        let labels = &[pool, server];
        let state = |state: &ServerState| {
            families
                .server_state
                .with_label_values(&[pool, server, state.as_str()])
        };
        Self {
            active: families.server_active.with_label_values(labels),
            weight: families.server_weight.with_label_values(labels),
            picks: Counters::new(&families.server_picks, labels),
            checks_passed: families
                .health_checks
                .with_label_values(&[pool, server, "success"]),
            checks_failed: families
                .health_checks
                .with_label_values(&[pool, server, "failure"]),
            ejections: families.ejections.with_label_values(labels),
            bytes_in: families
                .server_bytes
                .with_label_values(&[pool, server, "in"]),
            bytes_out: families
                .server_bytes
                .with_label_values(&[pool, server, "out"]),
            errors: families.server_errors.with_label_values(labels),
            response: Seconds::new(&families.upstream_response, pool, server, by_server),
            response_sum: families.server_response.of(pool, server),
            connect: Seconds::new(&families.upstream_connect, pool, server, by_server),
            connections_new: families
                .upstream_connections
                .with_label_values(&[pool, server, "false"]),
            connections_reused: families
                .upstream_connections
                .with_label_values(&[pool, server, "true"]),
            up: families.server_up.with_label_values(labels),
            last_change: families.server_last_change.with_label_values(labels),
            states: ServerState::ALL.iter().map(state).collect(),
        }
    }

    /// The first byte of a response came so long after the request was sent.
    pub fn responded(&self, after: Duration) {
        self.response.observe(after);
        self.response_sum.add(after);
    }

    /// A new connection was made in so long.
    pub fn connected(&self, after: Duration) {
        self.connections_new.inc();
        self.connect.observe(after);
    }

    /// Sets the state, exactly one of the series being 1 after it, since when that is, and whether the server is held
    /// to be healthy, which the operator's `drain` and `maintenance` don't change. Calls for one
    /// server must not overlap.
    pub fn set_state(&self, state: ServerState, healthy: bool, since: SystemTime) {
        self.up.set(i64::from(healthy));
        let since = since.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.last_change
            .set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        for (position, gauge) in self.states.iter().enumerate() {
            gauge.set(i64::from(position == state.index()));
        }
    }
}

/// Requests by status class between one listener and one server.
#[derive(Clone)]
pub struct Traffic {
    classes: Arc<[IntCounter; 6]>,
}

impl Traffic {
    pub(super) fn new(families: &Families, listener: &str, pool: &str, server: &str) -> Self {
        let class = |code| {
            families
                .requests
                .with_label_values(&[listener, pool, server, code])
        };
        Self {
            classes: Arc::new(["none", "1xx", "2xx", "3xx", "4xx", "5xx"].map(class)),
        }
    }

    /// Counts a request that ended with this status; 0, or what is no status at all, is one that
    /// got none.
    pub fn request(&self, status: u16) {
        let [none, ..] = &*self.classes;
        self.classes
            .get(usize::from(status / 100))
            .unwrap_or(none)
            .inc();
    }
}
