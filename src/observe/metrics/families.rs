//! The metric families: every name, its help text and its labels, in one place.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use super::outcomes::Accounts;
use super::sums::Sums;

/// Upper bounds in seconds, for requests as well as for parts of them: from a cache hit to the
/// longest default timeout.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Every family, registered.
pub(super) struct Families {
    pub(super) registry: Registry,
    pub(super) build_info: IntGaugeVec,
    pub(super) connections: IntCounterVec,
    pub(super) connections_active: IntGaugeVec,
    pub(super) connections_rejected: IntCounterVec,
    pub(super) connections_delayed: IntCounterVec,
    pub(super) listener_full: IntGaugeVec,
    pub(super) bytes: IntCounterVec,
    pub(super) requests: IntCounterVec,
    pub(super) request_duration: HistogramVec,
    /// Of the two of each pair one is shown.
    pub(super) upstream_response: ByPoolOrServer,
    pub(super) upstream_connect: ByPoolOrServer,
    pub(super) server_response: Sums,
    pub(super) outcomes: Accounts,
    pub(super) upstream_connections: IntCounterVec,
    pub(super) server_active: IntGaugeVec,
    pub(super) server_weight: IntGaugeVec,
    pub(super) server_up: IntGaugeVec,
    pub(super) server_state: IntGaugeVec,
    pub(super) server_last_change: IntGaugeVec,
    pub(super) server_bytes: IntCounterVec,
    pub(super) server_errors: IntCounterVec,
    pub(super) server_picks: IntCounterVec,
    pub(super) health_checks: IntCounterVec,
    pub(super) ejections: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) queue_length: IntGaugeVec,
    pub(super) queue_seconds: HistogramVec,
    pub(super) persistence: IntCounterVec,
    pub(super) table_entries: IntGaugeVec,
    pub(super) table_evictions: IntCounterVec,
    pub(super) store_requests: IntCounterVec,
    pub(super) store_up: IntGaugeVec,
    pub(super) tls_handshakes: IntCounterVec,
    pub(super) certificate_expiry: IntGaugeVec,
    pub(super) certificate_reloads: IntCounterVec,
    pub(super) acme_orders: IntCounterVec,
    pub(super) config_reloads: IntCounterVec,
    pub(super) config_last_reload: Gauge,
    pub(super) access_log_dropped: IntCounter,
    pub(super) descriptors: IntGaugeVec,
    pub(super) descriptors_limit: IntGaugeVec,
}

impl Families {
    #[expect(clippy::too_many_lines, reason = "a list")]
    pub(super) fn new() -> Self {
        let build = Builder(Registry::new());
        Self {
            build_info: build.gauges(
                "equipoise_build_info",
                "Always 1; the labels say which build this is.",
                &["version", "rustc"],
            ),
            connections: build.counters(
                "equipoise_connections_total",
                "Client connections accepted.",
                &["listener"],
            ),
            connections_active: build.gauges(
                "equipoise_connections_active",
                "Client connections held now.",
                &["listener"],
            ),
            connections_rejected: build.counters(
                "equipoise_connections_rejected_total",
                "Client connections closed without being served, by reason.",
                &["listener", "reason"],
            ),
            connections_delayed: build.counters(
                "equipoise_connections_delayed_total",
                "Client connections that had to wait for a place before they were served, by reason.",
                &["listener", "reason"],
            ),
            listener_full: build.gauges(
                "equipoise_listener_full",
                "At how many of its addresses new client connections wait for a place now.",
                &["listener"],
            ),
            bytes: build.counters(
                "equipoise_bytes_total",
                "Bytes received from (in) and sent to (out) clients.",
                &["listener", "direction"],
            ),
            requests: build.counters(
                "equipoise_http_requests_total",
                "HTTP requests that ended, by status class; code is none where no status was sent, server is empty where none was reached.",
                &["listener", "pool", "server", "code"],
            ),
            request_duration: build.histograms(
                "equipoise_http_request_duration_seconds",
                "Whole duration of HTTP requests, from the first byte of the request to the last of the response.",
                &["listener", "pool"],
            ),
            upstream_response: ByPoolOrServer::new(
                "equipoise_upstream_response_seconds",
                "From the request sent to the first byte of the server's response.",
            ),
            upstream_connect: ByPoolOrServer::new(
                "equipoise_upstream_connect_seconds",
                "Duration of making new connections to the server.",
            ),
            server_response: Sums::default(),
            outcomes: Accounts::default(),
            upstream_connections: build.counters(
                "equipoise_upstream_connections_total",
                "Connections to the server used, by whether they were kept alive from an earlier request.",
                &["pool", "server", "reused"],
            ),
            server_active: build.gauges(
                "equipoise_server_active",
                "Requests (HTTP) or connections (TCP) that the server works on now.",
                &["pool", "server"],
            ),
            server_weight: build.gauges(
                "equipoise_server_weight",
                "Weight of the server as configured or set by the operator.",
                &["pool", "server"],
            ),
            server_up: build.gauges(
                "equipoise_server_up",
                "1 if the server is held to be healthy, whatever the operator's word; 0 if not or not known.",
                &["pool", "server"],
            ),
            server_last_change: build.gauges(
                "equipoise_server_last_change_timestamp_seconds",
                "Since when the server is in the state that it is in (Unix time).",
                &["pool", "server"],
            ),
            server_bytes: build.counters(
                "equipoise_server_bytes_total",
                "Bytes of bodies (HTTP), or all bytes (TCP), from clients to the server (in) and from it to clients (out).",
                &["pool", "server", "direction"],
            ),
            server_errors: build.counters(
                "equipoise_server_errors_total",
                "Requests (HTTP) and connections (TCP) that the server failed, those included that another one served then.",
                &["pool", "server"],
            ),
            server_state: build.gauges(
                "equipoise_server_state",
                "1 for the state the server is in; up is always there, the others while they hold.",
                &["pool", "server", "state"],
            ),
            server_picks: build.counters(
                "equipoise_server_picks_total",
                "How often the server was chosen, and by what.",
                &["pool", "server", "by"],
            ),
            health_checks: build.counters(
                "equipoise_health_checks_total",
                "Active health checks that ended, by result.",
                &["pool", "server", "result"],
            ),
            ejections: build.counters(
                "equipoise_ejections_total",
                "How often the server was ejected for failing real traffic.",
                &["pool", "server"],
            ),
            retries: build.counters(
                "equipoise_retries_total",
                "Requests sent again, by reason.",
                &["pool", "reason"],
            ),
            queue_length: build.gauges(
                "equipoise_queue_length",
                "Requests that wait for a server now.",
                &["pool"],
            ),
            queue_seconds: build.histograms(
                "equipoise_queue_seconds",
                "How long requests waited for a server with room, whether they got one or not.",
                &["pool"],
            ),
            persistence: build.counters(
                "equipoise_persistence_total",
                "What session persistence made of requests.",
                &["pool", "result"],
            ),
            table_entries: build.gauges(
                "equipoise_session_table_entries",
                "Sessions that the pool's table remembers now.",
                &["pool"],
            ),
            table_evictions: build.counters(
                "equipoise_session_table_evictions_total",
                "Sessions that the pool's table forgot to make room for others.",
                &["pool"],
            ),
            store_requests: build.counters(
                "equipoise_session_store_requests_total",
                "What was asked of the shared store of the pool's session table, by result.",
                &["pool", "result"],
            ),
            store_up: build.gauges(
                "equipoise_session_store_up",
                "1 while the shared store of the pool's session table answers.",
                &["pool"],
            ),
            tls_handshakes: build.counters(
                "equipoise_tls_handshakes_total",
                "TLS handshakes with clients that ended; version is none where none came about.",
                &["listener", "version", "resumed", "result"],
            ),
            certificate_expiry: build.gauges(
                "equipoise_certificate_expiry_timestamp_seconds",
                "When the certificate that is served for the name expires; the earliest, where there are several.",
                &["listener", "name"],
            ),
            certificate_reloads: build.counters(
                "equipoise_certificate_reloads_total",
                "Times that changed files of a listener's TLS were taken up (success), or could not be used (failure).",
                &["listener", "result"],
            ),
            acme_orders: build.counters(
                "equipoise_acme_orders_total",
                "Tries to obtain a certificate by ACME, by result.",
                &["result"],
            ),
            config_reloads: build.counters(
                "equipoise_config_reloads_total",
                "Attempts to reload the configuration, by result.",
                &["result"],
            ),
            config_last_reload: build.add(Gauge::new(
                "equipoise_config_last_reload_success_timestamp_seconds",
                "When a configuration was last taken into use, the start included (Unix time).",
            )),
            access_log_dropped: build.add(IntCounter::new(
                "equipoise_access_log_dropped_total",
                "Access log lines lost because the log could not be written fast enough.",
            )),
            descriptors: build.gauges(
                "equipoise_descriptors",
                "File descriptors held for this use now.",
                &["use"],
            ),
            descriptors_limit: build.gauges(
                "equipoise_descriptors_limit",
                "File descriptors that may be held for this use.",
                &["use"],
            ),
            registry: build.0,
        }
    }

    /// Adds a collector of someone else's.
    pub(super) fn register(&self, collector: Box<dyn Collector>) {
        if let Err(error) = self.registry.register(collector) {
            tracing::error!(%error, "a metrics collector could not be registered");
        }
    }

    /// The counters whose series come and go with listeners, pools and servers.
    pub(super) fn counters(&self) -> [&IntCounterVec; 17] {
        [
            &self.connections,
            &self.connections_rejected,
            &self.connections_delayed,
            &self.bytes,
            &self.requests,
            &self.upstream_connections,
            &self.server_bytes,
            &self.server_errors,
            &self.server_picks,
            &self.health_checks,
            &self.ejections,
            &self.retries,
            &self.persistence,
            &self.table_evictions,
            &self.store_requests,
            &self.tls_handshakes,
            &self.certificate_reloads,
        ]
    }

    /// The gauges whose series come and go with listeners, pools and servers.
    pub(super) fn gauges(&self) -> [&IntGaugeVec; 11] {
        [
            &self.connections_active,
            &self.listener_full,
            &self.server_active,
            &self.server_weight,
            &self.server_up,
            &self.server_state,
            &self.server_last_change,
            &self.queue_length,
            &self.table_entries,
            &self.store_up,
            &self.certificate_expiry,
        ]
    }

    /// The histograms whose series come and go with listeners, pools and servers.
    pub(super) fn histograms(&self) -> [&HistogramVec; 6] {
        [
            &self.request_duration,
            &self.queue_seconds,
            &self.upstream_response.by_pool,
            &self.upstream_response.by_server,
            &self.upstream_connect.by_pool,
            &self.upstream_connect.by_server,
        ]
    }

    /// Everything there is to show, in no order.
    pub(super) fn gather(&self, by_server: bool) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        families.extend(self.upstream_response.collect(by_server));
        families.extend(self.upstream_connect.collect(by_server));
        families.push(self.server_response.collect());
        families.extend(self.outcomes.collect());
        families
    }
}

/// A histogram that is shown by pool or by server, never by both: whoever sums it up gets the same either way.
pub(super) struct ByPoolOrServer {
    pub(super) by_pool: HistogramVec,
    pub(super) by_server: HistogramVec,
}

impl ByPoolOrServer {
    fn new(name: &str, help: &str) -> Self {
        Self {
            by_pool: valid(histograms(name, help, &["pool"])),
            by_server: valid(histograms(name, help, &["pool", "server"])),
        }
    }

    fn collect(&self, by_server: bool) -> Vec<MetricFamily> {
        if by_server {
            self.by_server.collect()
        } else {
            self.by_pool.collect()
        }
    }
}

fn histograms(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    HistogramVec::new(options, labels)
}

#[expect(
    clippy::expect_used,
    reason = "names and labels are the constants above; every test that makes a Metrics proves them valid"
)]
fn valid<T>(family: prometheus::Result<T>) -> T {
    family.expect("a valid metric name")
}

struct Builder(Registry);

impl Builder {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.add(histograms(name, help, labels))
    }

    #[expect(
        clippy::expect_used,
        reason = "names and labels are the constants above; every test that makes a Metrics proves them valid"
    )]
    fn add<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = valid(family);
        self.0
            .register(Box::new(family.clone()))
            .expect("a metric name used once");
        family
    }
}
