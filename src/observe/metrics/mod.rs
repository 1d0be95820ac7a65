//! Prometheus metrics.
//!
//! [`Metrics`] owns the registry and the families. Whoever counts gets a struct of handles once
//! ([`Metrics::listener`], [`Metrics::pool`], [`Metrics::server`], [`Metrics::traffic`]) and
//! afterwards only adds to atomics: no label is looked up on the request path. All series of a
//! handle exist from the start with the value 0; of a server's, those that say nothing are not shown ([`exposition`]).

mod coarse;
mod exposition;
mod families;
mod handles;
mod outcomes;
mod sums;
mod totals;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Encoder, Histogram, IntCounter, TextEncoder};

use super::Events;
use crate::supervise;
use coarse::Gone;
use exposition::{counted, label, metric};
use families::Families;
pub use handles::{
    AcmeMetrics, Counters, ListenerMetrics, PoolMetrics, ServerMetrics, SessionStoreMetrics,
    SessionTableMetrics, TlsMetrics, Traffic,
};
pub use outcomes::{Outcomes, Tallies, Tally};
use totals::Inherited;
pub use totals::Totals;

use crate::descriptors;

/// All metrics of the process.
pub struct Metrics {
    families: Families,
    by_server: Arc<AtomicBool>,
    /// Whether what is of more use by pool than by server is shown by pool alone.
    coarse: AtomicBool,
    gone: Gone,
    inherited: Inherited,
    events: Events,
}

impl Metrics {
    /// Builds and registers every family. The time of the last successful reload is set to `now`:
    /// the start counts as the first one.
    pub fn new(now: SystemTime) -> Arc<Self> {
        let families = Families::new();
        families.register(Box::new(ProcessCollector::for_self()));
        families.register(Box::new(super::log::dropped().clone()));
        families
            .build_info
            .with_label_values(&[super::VERSION, env!("EQUIPOISE_RUSTC")])
            .set(1);
        for result in ["success", "failure"] {
            families.config_reloads.with_label_values(&[result]);
        }
        let metrics = Self {
            families,
            by_server: Arc::default(),
            coarse: AtomicBool::new(false),
            gone: Gone::default(),
            inherited: Inherited::default(),
            events: Events::new(now),
        };
        metrics.set_last_reload(now);
        Arc::new(metrics)
    }

    /// What has happened of late. Whoever counts something may tell of it, too.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Whether each server has histograms of its own. Those of the pools go on counting meanwhile.
    pub fn set_server_histograms(&self, wanted: bool) {
        self.by_server.store(wanted, Ordering::Relaxed);
    }

    /// Whether all counters of each server are shown. Otherwise some are summed up by pool ([`coarse`]).
    pub fn set_server_counters(&self, wanted: bool) {
        self.coarse.store(!wanted, Ordering::Relaxed);
    }

    /// The exposition in Prometheus' text format: its content type and its body. With a thousand servers that takes some
    /// tens of milliseconds: nothing for a thread that requests are served on.
    pub fn render(&self) -> (String, Vec<u8>) {
        self.note_descriptors();
        let mut families = self.families.gather(self.by_server.load(Ordering::Relaxed));
        self.inherited.add_to(&mut families);
        families.extend(defects());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        if self.coarse.load(Ordering::Relaxed) {
            self.gone.sum_up(&mut families);
        }
        exposition::thin_out(&mut families);
        let encoder = TextEncoder::new();
        let mut body = Vec::with_capacity(64 * 1024);
        if let Err(error) = encoder.encode(&families, &mut body) {
            tracing::error!(%error, "metrics could not be written out");
        }
        // The version parameter is what Prometheus 3 insists on.
        ("text/plain; version=0.0.4; charset=utf-8".to_owned(), body)
    }

    /// Brings the gauges of descriptors up to date: they are counted elsewhere, and read rarely.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a count, as a whole number of floating point"
    )]
    fn note_descriptors(&self) {
        let Some(shares) = descriptors::shares() else {
            return;
        };
        let clients: i64 = self
            .families
            .connections_active
            .collect()
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .map(|metric| metric.get_gauge().get_value() as i64)
            .sum();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, held, limit) in [
            ("clients", clients, shares.clients),
            (
                "servers",
                count(descriptors::servers_held()),
                shares.servers,
            ),
            ("idle", count(descriptors::idle::count()), shares.idle),
        ] {
            let values = &[name];
            self.families
                .descriptors
                .with_label_values(values)
                .set(held);
            self.families
                .descriptors_limit
                .with_label_values(values)
                .set(count(limit));
        }
    }

    /// Handles of a listener.
    pub fn listener(&self, listener: &str) -> ListenerMetrics {
        ListenerMetrics::new(&self.families, listener)
    }

    /// Handles of a listener's TLS.
    pub fn tls(&self, listener: &str) -> TlsMetrics {
        TlsMetrics::new(&self.families, listener)
    }

    /// States the certificates that a listener serves: the expiry by each name, and no other names.
    pub fn set_certificates(&self, listener: &str, expiry: &HashMap<String, SystemTime>) {
        let family = &self.families.certificate_expiry;
        for (name, at) in expiry {
            let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            family
                .with_label_values(&[listener, name])
                .set(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
        }
        for collected in family.collect() {
            for metric in collected.get_metric() {
                if label(metric, "listener") == Some(listener)
                    && let Some(name) = label(metric, "name")
                    && !expiry.contains_key(name)
                {
                    // An error means that it is gone already.
                    let _ = family.remove_label_values(&[listener, name]);
                }
            }
        }
    }

    /// Handles of a pool.
    pub fn pool(&self, pool: &str) -> PoolMetrics {
        PoolMetrics::new(&self.families, pool)
    }

    /// Handles of a pool's session table.
    pub fn session_table(&self, pool: &str) -> SessionTableMetrics {
        SessionTableMetrics::new(&self.families, pool)
    }

    /// Handles of the shared store of a pool's session table.
    pub fn session_store(&self, pool: &str) -> SessionStoreMetrics {
        SessionStoreMetrics::new(&self.families, pool)
    }

    /// Handles of certificates by ACME.
    pub fn acme(&self) -> AcmeMetrics {
        AcmeMetrics::new(&self.families)
    }

    /// Handles of a server.
    pub fn server(&self, pool: &str, server: &str) -> ServerMetrics {
        ServerMetrics::new(&self.families, pool, server, &self.by_server)
    }

    /// The account of what comes in at a listener and is for a pool; `pool` is empty for what is for none.
    pub fn outcomes(&self, listener: &str, pool: &str) -> Outcomes {
        self.families.outcomes.of(listener, pool)
    }

    /// The sums of how requests and connections ended, by listener and by pool.
    pub fn tallies(&self) -> Tallies {
        self.families.outcomes.tallies()
    }

    /// Request counters of what comes in at a listener and goes to a server. `server` is empty for
    /// the requests that reached none.
    pub fn traffic(&self, listener: &str, pool: &str, server: &str) -> Traffic {
        Traffic::new(&self.families, listener, pool, server)
    }

    /// Whole duration of the requests that come in at a listener and go to a pool, in seconds.
    pub fn request_duration(&self, listener: &str, pool: &str) -> Histogram {
        self.families
            .request_duration
            .with_label_values(&[listener, pool])
    }

    /// Access log lines that were lost because the log could not be written fast enough.
    pub fn access_log_dropped(&self) -> IntCounter {
        self.families.access_log_dropped.clone()
    }

    /// Counts an attempt to reload the configuration at `now`.
    pub fn reloaded(&self, success: bool, now: SystemTime) {
        let result = if success { "success" } else { "failure" };
        self.families
            .config_reloads
            .with_label_values(&[result])
            .inc();
        if success {
            self.set_last_reload(now);
        }
    }

    /// Removes every series of a server. Call it after the server is gone, and before one of the
    /// same name is made: handles that still exist count into nothing.
    pub fn forget_server(&self, pool: &str, server: &str) {
        let families = &self.families;
        for family in [
            &families.health_checks,
            &families.server_bytes,
            &families.server_picks,
            &families.upstream_connections,
        ] {
            self.gone.note(&family.collect(), pool, server);
        }
        self.forget(&[("pool", pool), ("server", server)]);
        let gone = |of: &str, name: &str| of == pool && name == server;
        self.families.server_response.forget(gone);
    }

    /// Removes every series of a pool, its servers' included. See [`Self::forget_server`].
    pub fn forget_pool(&self, pool: &str) {
        self.forget(&[("pool", pool)]);
        self.gone.forget(pool);
        self.families.server_response.forget(|of, _| of == pool);
        self.families.outcomes.forget(|_, of| of == pool);
    }

    /// Removes every series of a listener. See [`Self::forget_server`].
    pub fn forget_listener(&self, listener: &str) {
        self.forget(&[("listener", listener)]);
        self.families.outcomes.forget(|of, _| of == listener);
    }

    fn forget(&self, labels: &[(&str, &str)]) {
        let families = &self.families;
        for family in families.counters() {
            remove_matching(family, labels);
        }
        for family in families.gauges() {
            remove_matching(family, labels);
        }
        for family in families.histograms() {
            remove_matching(family, labels);
        }
    }

    fn set_last_reload(&self, now: SystemTime) {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.families
            .config_last_reload
            .set(since_epoch.as_secs_f64());
    }
}

/// What is counted by the process itself, because some of it happens before there are metrics.
fn defects() -> [MetricFamily; 2] {
    let restarts = supervise::restarts()
        .map(|(task, count)| counted(&[("task", task.as_str())], count))
        .collect();
    [
        metric(
            "equipoise_panics_total",
            "Defects met while running: each ended the request, connection or task it was met in, and nothing else.",
            MetricType::COUNTER,
            vec![counted(&[], supervise::panics())],
        ),
        metric(
            "equipoise_task_restarts_total",
            "Background tasks that ended unexpectedly and were begun again.",
            MetricType::COUNTER,
            restarts,
        ),
    ]
}

/// Removes the series that carry all of `wanted`. Reads the family back instead of keeping a second
/// list of what was handed out: this runs at a reload, not on a request.
fn remove_matching<B>(family: &MetricVec<B>, wanted: &[(&str, &str)])
where
    B: MetricVecBuilder,
    MetricVec<B>: Collector,
{
    let order = family.desc();
    let Some(order) = order.first().map(|desc| desc.variable_labels.as_slice()) else {
        return;
    };
    for collected in family.collect() {
        for metric in collected.get_metric() {
            if wanted
                .iter()
                .all(|(name, wanted)| label(metric, name) == Some(*wanted))
            {
                let values: Vec<&str> = order
                    .iter()
                    .map(|name| label(metric, name).unwrap_or(""))
                    .collect();
                // An error means that it is gone already, which is what was asked for.
                let _ = family.remove_label_values(&values);
            }
        }
    }
}

#[cfg(test)]
mod tests;
