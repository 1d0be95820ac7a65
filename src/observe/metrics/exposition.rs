//! What of the metrics is written out, and how.
//!
//! A thousand servers are a thousand times whatever one server has, so of a server's series those are left out that say
//! nothing: counters that have not counted yet, and the states that it isn't in. Listeners and pools show their zeros.

use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

/// A server's families of which only what isn't zero is shown.
const SPARSE: [&str; 7] = [
    "equipoise_ejections_total",
    "equipoise_health_checks_total",
    "equipoise_server_bytes_total",
    "equipoise_server_errors_total",
    "equipoise_server_picks_total",
    "equipoise_server_state",
    "equipoise_upstream_connections_total",
];

/// Shows each server's own requests only where there are any.
const REQUESTS: &str = "equipoise_http_requests_total";

/// Leaves out what says nothing.
pub(super) fn thin_out(families: &mut Vec<MetricFamily>) {
    for family in families.iter_mut() {
        if SPARSE.contains(&family.name()) {
            // Whether it is up is always told, so that a pool with nobody left is a sum that is 0. What has no server is
            // summed up, and a pool's.
            family.mut_metric().retain(|metric| {
                !is_zero(metric)
                    || label(metric, "state") == Some("up")
                    || label(metric, "server").is_none()
            });
        } else if family.name() == REQUESTS {
            family
                .mut_metric()
                .retain(|metric| !is_zero(metric) || label(metric, "server") == Some(""));
        }
    }
    // The encoder takes a family without series for a mistake.
    families.retain(|family| !family.get_metric().is_empty());
}

/// The two names that a series made by hand belongs to: of listener and pool, or of pool and server.
pub(super) type Names = (Box<str>, Box<str>);

/// A family made by hand.
pub(super) fn metric(
    name: &str,
    help: &str,
    kind: MetricType,
    metrics: Vec<Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// Labels made by hand, in the order of their names.
pub(super) fn labels(names: &[(&str, &str)]) -> Vec<LabelPair> {
    names
        .iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect()
}

/// A counter made by hand.
pub(super) fn counted(names: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    // Exact up to 2^53, as every counter of Prometheus.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels(names));
    metric.set_counter(counter);
    metric
}

/// A label's value.
pub(super) fn label<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    let mut labels = metric.get_label().iter();
    labels
        .find(|label| label.name() == name)
        .map(LabelPair::value)
}

fn is_zero(metric: &Metric) -> bool {
    metric.get_counter().get_value() == 0.0 && metric.get_gauge().get_value() == 0.0
}
