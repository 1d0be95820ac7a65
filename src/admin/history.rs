//! What `GET /api/v1/history` answers: how rates, errors, latencies and load went of late.

use schemars::JsonSchema;
use serde::Serialize;

use super::status::timestamp;
use crate::observe::history::{Excerpt, INTERVAL, Sample};

/// The samples that are asked for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HistoryStatus {
    /// Seconds between two samples.
    pub interval: f64,
    /// The number of the last sample, from 1; 0 before the first. `?after=` takes it.
    pub last: u64,
    /// When each was taken, RFC 3339, the oldest first.
    pub times: Vec<String>,
    /// Everything that came in.
    pub all: SeriesStatus,
    /// Each pool.
    pub pools: Vec<PoolSeries>,
}

/// One pool's samples.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PoolSeries {
    /// The pool's name.
    pub name: String,
    /// Its samples; of a pool that came later there are fewer than `times`, and they end with the same one.
    #[serde(flatten)]
    pub series: SeriesStatus,
}

/// Samples, each series the oldest first.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct SeriesStatus {
    /// Requests, or connections where there are none, a second.
    pub requests: Vec<f64>,
    /// Responses with a 4xx a second.
    pub responses_4xx: Vec<f64>,
    /// Responses with a 5xx a second.
    pub responses_5xx: Vec<f64>,
    /// Requests or connections a second that failed without a 5xx: the response broke off, or there was none.
    pub broken: Vec<f64>,
    /// Time to the first byte of servers' responses that half of them stayed below, in seconds; `null` = there was none.
    pub p50: Vec<Option<f64>>,
    /// That 95 % stayed below.
    pub p95: Vec<Option<f64>>,
    /// That 99 % stayed below.
    pub p99: Vec<Option<f64>>,
    /// Requests or connections that servers worked on at that moment.
    pub active: Vec<u64>,
    /// Requests that waited for a server at that moment.
    pub queue_length: Vec<u64>,
}

impl From<Excerpt> for HistoryStatus {
    fn from(excerpt: Excerpt) -> Self {
        Self {
            interval: INTERVAL.as_secs_f64(),
            last: excerpt.last,
            times: excerpt.times.into_iter().map(timestamp).collect(),
            all: SeriesStatus::of(&excerpt.all),
            pools: excerpt
                .pools
                .iter()
                .map(|(name, samples)| PoolSeries {
                    name: name.to_string(),
                    series: SeriesStatus::of(samples),
                })
                .collect(),
        }
    }
}

impl SeriesStatus {
    fn of(samples: &[Sample]) -> Self {
        let mut series = Self::default();
        for sample in samples {
            series.requests.push(rounded(sample.requests, 100.0));
            series
                .responses_4xx
                .push(rounded(sample.responses_4xx, 100.0));
            series
                .responses_5xx
                .push(rounded(sample.responses_5xx, 100.0));
            series.broken.push(rounded(sample.broken, 100.0));
            let latency = sample.latency;
            let seconds = |seconds: f64| rounded(seconds, 1e6);
            series.p50.push(latency.map(|latency| seconds(latency.p50)));
            series.p95.push(latency.map(|latency| seconds(latency.p95)));
            series.p99.push(latency.map(|latency| seconds(latency.p99)));
            series.active.push(sample.active);
            series.queue_length.push(sample.waiting);
        }
        series
    }
}

/// As exactly as it is looked at, so that a thousand samples are short.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
