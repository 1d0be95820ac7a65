//! All that was counted, so that another process goes on counting from there.
//!
//! Counters are taken over as they are. Histograms can't be set, so what another process counted is added to them where
//! they are shown ([`Inherited`]).

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::proto::{Bucket, Metric, MetricFamily};
use serde::{Deserialize, Serialize};

use super::exposition::label;
use super::{Metrics, families::Families};

/// The accounts of requests by listener and pool, which are no family of the registry.
const OUTCOMES: &str = "outcomes";
/// The sums of seconds by server, likewise.
const SUMS: &str = "sums";

/// One series: its family, and its labels by their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Series {
    family: String,
    labels: BTreeMap<String, String>,
}

/// What was counted at some moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    counts: Vec<(Series, u64)>,
    histograms: Vec<(Series, Distribution)>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Distribution {
    count: u64,
    sum: f64,
    /// By bucket, as they are shown: each with all below it.
    cumulative: Vec<u64>,
}

/// What another process counted, by series.
#[derive(Default)]
pub(super) struct Inherited(Mutex<BTreeMap<Series, Distribution>>);

impl Inherited {
    /// Adds it to what is to be shown.
    pub(super) fn add_to(&self, families: &mut [MetricFamily]) {
        let inherited = self.0.lock();
        if inherited.is_empty() {
            return;
        }
        for family in families {
            let name = family.name().to_owned();
            for metric in family.mut_metric() {
                if let Some(more) = inherited.get(&series(&name, metric)) {
                    more.add_to(metric);
                }
            }
        }
    }
}

impl Distribution {
    fn of(metric: &Metric) -> Self {
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        Self {
            count: histogram.get_sample_count(),
            sum: histogram.get_sample_sum(),
            cumulative: buckets.map(Bucket::cumulative_count).collect(),
        }
    }

    fn add_to(&self, metric: &mut Metric) {
        let mut histogram = metric.get_histogram().clone();
        // Another version may have other buckets: better none of it than some.
        if histogram.get_bucket().len() != self.cumulative.len() {
            return;
        }
        histogram.set_sample_count(histogram.get_sample_count() + self.count);
        histogram.set_sample_sum(histogram.get_sample_sum() + self.sum);
        let mut buckets = histogram.get_bucket().to_vec();
        for (bucket, more) in buckets.iter_mut().zip(&self.cumulative) {
            bucket.set_cumulative_count(bucket.cumulative_count() + more);
        }
        histogram.set_bucket(buckets);
        metric.set_histogram(histogram);
    }
}

impl Metrics {
    /// All that was counted so far, also by those before this process.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for family in self.families.counters() {
            for collected in family.collect() {
                for metric in collected.get_metric() {
                    totals.count(series(collected.name(), metric), value(metric));
                }
            }
        }
        for family in self.families.histograms() {
            let mut collected = family.collect();
            self.inherited.add_to(&mut collected);
            for family in collected {
                for metric in family.get_metric() {
                    let distribution = Distribution::of(metric);
                    if distribution.count > 0 {
                        let series = series(family.name(), metric);
                        totals.histograms.push((series, distribution));
                    }
                }
            }
        }
        self.families.outcomes.each(|listener, pool, what, count| {
            let labels = [("listener", listener), ("pool", pool), ("what", what)];
            totals.count(made(OUTCOMES, &labels), count);
        });
        self.families
            .server_response
            .each(|pool, server, what, count| {
                let labels = [("pool", pool), ("server", server), ("what", what)];
                totals.count(made(SUMS, &labels), count);
            });
        totals
    }

    /// Goes on from what another process has counted, of which `before` is known by now. What there is no series for is
    /// left out.
    pub fn inherit(&self, totals: &Totals, before: &Totals) {
        let known: BTreeMap<_, _> = before
            .counts
            .iter()
            .map(|(series, count)| (series, *count))
            .collect();
        let news = totals.counts.iter().filter_map(|(series, count)| {
            let more = count.saturating_sub(known.get(series).copied().unwrap_or(0));
            (more > 0).then_some((series, more))
        });
        let mut news: BTreeMap<_, _> = news.collect();
        for family in self.families.counters() {
            let order = family.desc();
            let order = order.first().map(|desc| desc.variable_labels.as_slice());
            for collected in family.collect() {
                for metric in collected.get_metric() {
                    let Some(more) = news.remove(&series(collected.name(), metric)) else {
                        continue;
                    };
                    let names = order.unwrap_or_default().iter();
                    let values: Vec<&str> = names
                        .map(|name| label(metric, name).unwrap_or(""))
                        .collect();
                    family.with_label_values(&values).inc_by(more);
                }
            }
        }
        for (series, more) in news {
            self.families.add(series, more);
        }
        let mut inherited = self.inherited.0.lock();
        for (series, distribution) in &totals.histograms {
            inherited.insert(series.clone(), distribution.clone());
        }
    }
}

impl Families {
    /// Adds to what is no family of the registry.
    fn add(&self, series: &Series, more: u64) {
        let of = |name: &str| series.labels.get(name).map_or("", String::as_str);
        match series.family.as_str() {
            OUTCOMES => self
                .outcomes
                .add(of("listener"), of("pool"), of("what"), more),
            SUMS => self
                .server_response
                .add(of("pool"), of("server"), of("what"), more),
            _ => {}
        }
    }
}

impl Totals {
    fn count(&mut self, series: Series, count: u64) {
        if count > 0 {
            self.counts.push((series, count));
        }
    }
}

fn series(family: &str, metric: &Metric) -> Series {
    let labels = metric.get_label().iter();
    Series {
        family: family.to_owned(),
        labels: labels
            .map(|label| (label.name().to_owned(), label.value().to_owned()))
            .collect(),
    }
}

fn made(family: &str, labels: &[(&str, &str)]) -> Series {
    let labels = labels.iter();
    Series {
        family: family.to_owned(),
        labels: labels
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, as a whole number of floating point"
)]
fn value(metric: &Metric) -> u64 {
    metric.get_counter().get_value() as u64
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::observe::metrics::Metrics;

    fn shown(metrics: &Metrics, line: &str) -> bool {
        let text = String::from_utf8(metrics.render().1).expect("text");
        text.lines().any(|one| one == line)
    }

    #[test]
    fn the_next_process_goes_on_and_hears_of_the_rest_later() {
        let first = Metrics::new(SystemTime::UNIX_EPOCH);
        first.listener("web").connections_total.inc_by(3);
        first.outcomes("web", "app").ended(Some(200), None, true);
        first.outcomes("web", "gone").ended(Some(200), None, true);
        first.request_duration("web", "app").observe(0.2);
        first
            .server("app", "a")
            .responded(Duration::from_millis(500));
        let early = first.totals();
        let json = serde_json::to_string(&early).expect("JSON");
        let early: Totals = serde_json::from_str(&json).expect("totals");
        let second = Metrics::new(SystemTime::UNIX_EPOCH);
        second.listener("web").connections_total.inc();
        let outcomes = second.outcomes("web", "app");
        outcomes.ended(Some(200), None, true);
        second.request_duration("web", "app").observe(0.1);
        second.server("app", "a");
        second.inherit(&early, &Totals::default());
        assert!(shown(
            &second,
            "equipoise_connections_total{listener=\"web\"} 4"
        ));
        let responses =
            "equipoise_http_responses_total{code=\"200\",listener=\"web\",pool=\"app\"}";
        assert!(shown(&second, &format!("{responses} 2")));
        let duration =
            "equipoise_http_request_duration_seconds_count{listener=\"web\",pool=\"app\"}";
        assert!(shown(&second, &format!("{duration} 2")));
        assert!(
            !String::from_utf8(second.render().1)
                .unwrap()
                .contains("gone")
        );
        assert!(shown(
            &second,
            "equipoise_server_response_seconds_sum{pool=\"app\",server=\"a\"} 0.5"
        ));
        first.outcomes("web", "app").ended(Some(200), None, true);
        first.request_duration("web", "app").observe(0.3);
        second.inherit(&first.totals(), &early);
        assert!(shown(&second, &format!("{responses} 3")));
        assert!(shown(&second, &format!("{duration} 3")));
        assert_eq!(second.tallies().of_pool("app").requests, 3);
        // And so does the one after it.
        let third = Metrics::new(SystemTime::UNIX_EPOCH);
        third.outcomes("web", "app");
        third.request_duration("web", "app");
        third.inherit(&second.totals(), &Totals::default());
        assert!(shown(&third, &format!("{responses} 3")));
        assert!(shown(&third, &format!("{duration} 3")));
    }
}
