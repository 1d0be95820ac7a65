//! What the history of the instance is made of: counters, read every few seconds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::instance::{Instance, Running};
use crate::observe::ErrorReason;
use crate::observe::history::Reading;
use crate::observe::latencies::Latencies;
use crate::observe::metrics::Tally;

impl Instance {
    /// Reads what was counted, `elapsed` after the last time.
    pub(super) fn record_history(&self, elapsed: Duration) {
        let pools = self.state.lock().pools.clone();
        let tallies = self.metrics.tallies();
        let mut all = reading(&tallies.all);
        let mut readings = Vec::with_capacity(pools.len());
        for running in &pools {
            let reading = of_pool(running, &tallies.of_pool(running.pool.name()));
            all.active += reading.active;
            all.waiting += reading.waiting;
            all.latencies.add(&reading.latencies);
            readings.push((Arc::clone(running.pool.name()), reading));
        }
        self.history
            .record(SystemTime::now(), elapsed, all, readings);
    }
}

fn of_pool(running: &Running, tally: &Tally) -> Reading {
    let pool = &running.pool;
    let active = |server: &Arc<_>| u64::from(pool.active(server));
    Reading {
        latencies: pool.metrics().latencies(),
        active: pool.servers().iter().map(active).sum(),
        waiting: pool.queue_length() as u64,
        ..reading(tally)
    }
}

fn reading(tally: &Tally) -> Reading {
    let [_, _, _, responses_4xx, responses_5xx] = tally.classes;
    Reading {
        requests: tally.requests,
        responses_4xx,
        responses_5xx,
        errors: tally.errors,
        not_queued: tally.errors_by(ErrorReason::QueueFull)
            + tally.errors_by(ErrorReason::QueueTimeout),
        latencies: Latencies::default(),
        active: 0,
        waiting: 0,
    }
}
