//! How rates, errors, latencies and load went of late: what plots show from before anybody looked.
//!
//! Counters are read every [`INTERVAL`] and what came in between is kept for [`KEPT`] intervals. Nothing of it happens on a
//! request's way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::latencies::{Latencies, Percentiles};

/// Between two readings.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Samples that are kept: a quarter of an hour.
const KEPT: usize = 180;
/// Readings that the last minute's latencies are found with.
const MINUTE: usize = 12;

/// What was counted so far, and what there is at this moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Requests, or connections where there are none, that ended.
    pub requests: u64,
    /// Responses with a 4xx.
    pub responses_4xx: u64,
    /// Responses with a 5xx.
    pub responses_5xx: u64,
    /// Requests that failed for the servers' part or ours, those with a 5xx included.
    pub errors: u64,
    /// Requests that the queue had no room for, or not in time.
    pub not_queued: u64,
    /// Times to the first byte of the servers' responses.
    pub latencies: Latencies,
    /// Requests or connections that servers work on.
    pub active: u64,
    /// Requests that wait for a server.
    pub waiting: u64,
}

/// What came between two readings, and what there was at the second one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Requests a second.
    pub requests: f64,
    /// Responses a second with a 4xx.
    pub responses_4xx: f64,
    /// Responses a second with a 5xx.
    pub responses_5xx: f64,
    /// Requests a second that failed without a 5xx: the response broke off, or there was none.
    pub broken: f64,
    /// `None` = there was no response.
    pub latency: Option<Percentiles>,
    /// Requests or connections that servers worked on.
    pub active: u64,
    /// Requests that waited for a server.
    pub waiting: u64,
    /// Requests that the queue had no room for, or not in time.
    not_queued: u64,
}

/// Samples, the oldest first, that end with the last one of the [`Excerpt`].
pub type Samples = Vec<Sample>;

/// A part of the history.
#[derive(Debug, Clone, Default)]
pub struct Excerpt {
    /// The number of the last sample, from 1; 0 before the first.
    pub last: u64,
    /// When the samples were taken, the oldest first.
    pub times: Vec<SystemTime>,
    /// Of everything that came in.
    pub all: Samples,
    /// By pool. One that came later has fewer.
    pub pools: Vec<(Arc<str>, Samples)>,
}

/// The history of the instance and of its pools.
#[derive(Default)]
pub struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    last: u64,
    times: VecDeque<SystemTime>,
    all: Series,
    pools: BTreeMap<Arc<str>, Series>,
}

#[derive(Default)]
struct Series {
    readings: VecDeque<Reading>,
    samples: VecDeque<Sample>,
}

impl History {
    /// Keeps what was read at a moment, `elapsed` after the last time. Pools that aren't among it are forgotten.
    pub fn record(
        &self,
        at: SystemTime,
        elapsed: Duration,
        all: Reading,
        pools: Vec<(Arc<str>, Reading)>,
    ) {
        let mut kept = self.0.lock();
        kept.last += 1;
        push(&mut kept.times, KEPT, at);
        kept.all.add(elapsed, all);
        let mut before = std::mem::take(&mut kept.pools);
        for (name, reading) in pools {
            let mut series = before.remove(&name).unwrap_or_default();
            series.add(elapsed, reading);
            kept.pools.insert(name, series);
        }
    }

    /// All samples after the one of that number.
    pub fn after(&self, number: u64) -> Excerpt {
        let kept = self.0.lock();
        let wanted = usize::try_from(kept.last.saturating_sub(number)).unwrap_or(usize::MAX);
        let pools = kept.pools.iter();
        Excerpt {
            last: kept.last,
            times: newest(&kept.times, wanted),
            all: newest(&kept.all.samples, wanted),
            pools: pools
                .map(|(name, series)| (Arc::clone(name), newest(&series.samples, wanted)))
                .collect(),
        }
    }

    /// The latencies of a pool in the last minute; `None` = there was no response.
    pub fn latency(&self, pool: &str) -> Option<Percentiles> {
        self.0.lock().pools.get(pool)?.latency()
    }

    /// The latencies of all pools in the last minute; `None` = there was no response.
    pub fn latency_of_all(&self) -> Option<Percentiles> {
        self.0.lock().all.latency()
    }

    /// How many requests a pool's queue had no room for, or not in time, within what is kept.
    pub fn not_queued(&self, pool: &str) -> u64 {
        let kept = self.0.lock();
        let series = kept.pools.get(pool);
        series.map_or(0, |series| {
            series.samples.iter().map(|sample| sample.not_queued).sum()
        })
    }
}

impl Series {
    fn add(&mut self, elapsed: Duration, reading: Reading) {
        let before = self.readings.back().cloned().unwrap_or_default();
        push(&mut self.samples, KEPT, sample(&before, &reading, elapsed));
        push(&mut self.readings, MINUTE + 1, reading);
    }

    fn latency(&self) -> Option<Percentiles> {
        let last = self.readings.back()?;
        // As long as there are few readings the first one is compared with the beginning, when nothing was counted.
        let first = (self.readings.len() > MINUTE).then(|| self.readings.front());
        let before = first.flatten().map(|first| first.latencies.clone());
        last.latencies
            .since(&before.unwrap_or_default())
            .percentiles()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a few seconds, as a rate that is shown"
)]
fn sample(before: &Reading, now: &Reading, elapsed: Duration) -> Sample {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let came = |before: u64, now: u64| now.saturating_sub(before);
    let rate = |count: u64| count as f64 / seconds;
    let responses_5xx = came(before.responses_5xx, now.responses_5xx);
    Sample {
        requests: rate(came(before.requests, now.requests)),
        responses_4xx: rate(came(before.responses_4xx, now.responses_4xx)),
        responses_5xx: rate(responses_5xx),
        broken: rate(came(before.errors, now.errors).saturating_sub(responses_5xx)),
        latency: now.latencies.since(&before.latencies).percentiles(),
        active: now.active,
        waiting: now.waiting,
        not_queued: came(before.not_queued, now.not_queued),
    }
}

fn push<T>(kept: &mut VecDeque<T>, most: usize, new: T) {
    while kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(new);
}

/// The last ones, the oldest first.
fn newest<T: Copy>(kept: &VecDeque<T>, wanted: usize) -> Vec<T> {
    let skipped = kept.len().saturating_sub(wanted);
    kept.iter().skip(skipped).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(requests: u64, responses_5xx: u64, errors: u64) -> Reading {
        Reading {
            requests,
            responses_5xx,
            errors,
            ..Reading::default()
        }
    }

    fn record(history: &History, all: Reading, pools: &[(&str, Reading)]) {
        let pools = pools
            .iter()
            .map(|(name, reading)| (Arc::from(*name), reading.clone()));
        history.record(SystemTime::UNIX_EPOCH, INTERVAL, all, pools.collect());
    }

    #[test]
    fn samples_are_differences_as_rates() {
        let history = History::default();
        record(&history, reading(10, 0, 0), &[]);
        record(&history, reading(60, 5, 15), &[]);
        let excerpt = history.after(0);
        assert_eq!((excerpt.last, excerpt.times.len()), (2, 2));
        let [first, second] = excerpt.all[..] else {
            panic!("two samples")
        };
        assert!((first.requests - 2.0).abs() < 1e-9);
        assert!((second.requests - 10.0).abs() < 1e-9);
        assert!((second.responses_5xx - 1.0).abs() < 1e-9);
        assert!((second.broken - 2.0).abs() < 1e-9);
        assert_eq!(history.after(1).all, [second]);
        assert!(history.after(2).all.is_empty() && history.after(99).times.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_and_pools_come_and_go() {
        let history = History::default();
        for count in 0..KEPT as u64 + 20 {
            let app = ("app", reading(count, 0, 0));
            let late = ("late", reading(count, 0, 0));
            if count < 100 {
                record(&history, reading(count, 0, 0), &[app]);
            } else {
                record(&history, reading(count, 0, 0), &[app, late]);
            }
        }
        let excerpt = history.after(0);
        assert_eq!(excerpt.last, KEPT as u64 + 20);
        assert_eq!((excerpt.times.len(), excerpt.all.len()), (KEPT, KEPT));
        let lengths: Vec<_> = excerpt
            .pools
            .iter()
            .map(|(name, s)| (&**name, s.len()))
            .collect();
        assert_eq!(lengths, [("app", KEPT), ("late", 100)]);
        record(&history, Reading::default(), &[("late", reading(0, 0, 0))]);
        assert_eq!(history.after(0).pools.len(), 1);
    }

    #[test]
    fn counters_that_begin_anew_are_no_negative_rate() {
        let history = History::default();
        record(&history, reading(100, 10, 10), &[]);
        record(&history, reading(5, 0, 0), &[]);
        let last = history.after(1).all[0];
        assert_eq!(last, Sample::default());
    }

    #[test]
    fn requests_that_were_not_queued_add_up() {
        let history = History::default();
        for not_queued in [3, 3, 7] {
            let reading = Reading {
                not_queued,
                ..Reading::default()
            };
            record(&history, Reading::default(), &[("app", reading)]);
        }
        assert_eq!(
            (history.not_queued("app"), history.not_queued("no")),
            (7, 0)
        );
        assert_eq!(history.latency("app"), None);
    }
}
