//! What is shown by pool rather than by server where there are many servers.
//!
//! A thousand servers that have had traffic are a thousand times a dozen series. The counters that are of use rather for a pool
//! than for one of its servers are summed up, so that `sum by (pool, …)` is the same either way. What servers counted
//! that are gone stays in their pool's sums: a counter that goes down is taken for one that began again at zero.

use std::collections::BTreeMap;
use std::mem;

use parking_lot::Mutex;
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily};

use super::exposition::label;

/// The families that are summed up. Of the health checks the failed ones stay, which are few and about one server.
const FAMILIES: [&str; 4] = [
    "equipoise_health_checks_total",
    "equipoise_server_bytes_total",
    "equipoise_server_picks_total",
    "equipoise_upstream_connections_total",
];

/// A series of a pool: its family, and the values of its labels in the order of their names.
type Series = (String, Vec<String>);

/// What servers had counted when they were removed, by series of their pool.
#[derive(Default)]
pub(super) struct Gone(Mutex<BTreeMap<Series, (Vec<LabelPair>, f64)>>);

impl Gone {
    /// Takes down what the series of a server that is to be removed have counted.
    pub(super) fn note(&self, families: &[MetricFamily], pool: &str, server: &str) {
        let mut gone = self.0.lock();
        for family in families {
            for metric in family.get_metric() {
                let is_its = label(metric, "pool") == Some(pool)
                    && label(metric, "server") == Some(server)
                    && is_coarse(family.name(), metric);
                if is_its {
                    add(&mut gone, family.name(), metric);
                }
            }
        }
    }

    /// Forgets a pool.
    pub(super) fn forget(&self, pool: &str) {
        let is_of = |labels: &[LabelPair]| {
            labels
                .iter()
                .any(|label| label.name() == "pool" && label.value() == pool)
        };
        self.0.lock().retain(|_, (labels, _)| !is_of(labels));
    }

    /// Sums up by pool what servers have counted.
    pub(super) fn sum_up(&self, families: &mut [MetricFamily]) {
        let gone = self.0.lock();
        for family in families {
            let name = family.name().to_owned();
            if !FAMILIES.contains(&&*name) {
                continue;
            }
            let mut sums: BTreeMap<_, _> = gone
                .iter()
                .filter(|((of, _), _)| *of == name)
                .map(|(series, sum)| (series.clone(), sum.clone()))
                .collect();
            let (coarse, mut metrics): (Vec<_>, Vec<_>) = mem::take(family.mut_metric())
                .into_iter()
                .partition(|metric| is_coarse(&name, metric));
            for metric in &coarse {
                add(&mut sums, &name, metric);
            }
            metrics.extend(sums.into_values().map(|(labels, sum)| {
                let mut counter = Counter::default();
                counter.set_value(sum);
                let mut metric = Metric::from_label(labels);
                metric.set_counter(counter);
                metric
            }));
            family.set_metric(metrics);
        }
    }
}

fn is_coarse(family: &str, metric: &Metric) -> bool {
    FAMILIES.contains(&family) && label(metric, "result") != Some("failure")
}

/// Adds a server's count to its pool's.
fn add(sums: &mut BTreeMap<Series, (Vec<LabelPair>, f64)>, family: &str, metric: &Metric) {
    let labels: Vec<LabelPair> = metric
        .get_label()
        .iter()
        .filter(|label| label.name() != "server")
        .cloned()
        .collect();
    let values = labels.iter().map(|label| label.value().to_owned());
    let series = (family.to_owned(), values.collect());
    let (_, sum) = sums.entry(series).or_insert((labels, 0.0));
    *sum += metric.get_counter().get_value();
}
