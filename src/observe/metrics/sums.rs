//! Sums and counts of seconds by server: what is left of a histogram when there are too many servers for one each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily, MetricType, Summary};

use super::exposition::{Names, labels, metric};

/// What there is of each server.
const COUNT: &str = "count";
const NANOSECONDS: &str = "nanoseconds";

/// One server's sum.
#[derive(Clone, Default)]
pub struct Sum(Arc<Account>);

#[derive(Default)]
struct Account {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Sum {
    /// Adds one.
    pub fn add(&self, seconds: Duration) {
        let nanoseconds = u64::try_from(seconds.as_nanos()).unwrap_or(u64::MAX);
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// The sums of all servers.
#[derive(Default)]
pub(super) struct Sums(Mutex<BTreeMap<Names, Sum>>);

impl Sums {
    /// That of a server.
    pub(super) fn of(&self, pool: &str, server: &str) -> Sum {
        self.0
            .lock()
            .entry((pool.into(), server.into()))
            .or_default()
            .clone()
    }

    pub(super) fn forget(&self, is_gone: impl Fn(&str, &str) -> bool) {
        self.0
            .lock()
            .retain(|(pool, server), _| !is_gone(pool, server));
    }

    /// Calls `tell` with everything that was counted: pool, server, what, and how much.
    pub(super) fn each(&self, mut tell: impl FnMut(&str, &str, &str, u64)) {
        for ((pool, server), Sum(account)) in self.0.lock().iter() {
            tell(pool, server, COUNT, account.count.load(Ordering::Relaxed));
            let nanoseconds = account.nanoseconds.load(Ordering::Relaxed);
            tell(pool, server, NANOSECONDS, nanoseconds);
        }
    }

    /// Adds to what was counted, if there is such a server.
    pub(super) fn add(&self, pool: &str, server: &str, what: &str, more: u64) {
        let found = self.0.lock().get(&(pool.into(), server.into())).cloned();
        if let Some(Sum(account)) = found {
            let counter = if what == COUNT {
                &account.count
            } else {
                &account.nanoseconds
            };
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Their family: a summary without quantiles.
    pub(super) fn collect(&self) -> MetricFamily {
        let mut metrics = Vec::new();
        for ((pool, server), Sum(account)) in self.0.lock().iter() {
            let mut summary = Summary::default();
            summary.set_sample_count(account.count.load(Ordering::Relaxed));
            let nanoseconds = account.nanoseconds.load(Ordering::Relaxed);
            summary.set_sample_sum(Duration::from_nanos(nanoseconds).as_secs_f64());
            let mut metric = Metric::from_label(labels(&[("pool", pool), ("server", server)]));
            metric.set_summary(summary);
            metrics.push(metric);
        }
        metric(
            "equipoise_server_response_seconds",
            "From the request sent to the first byte of the server's response: sum and count.",
            MetricType::SUMMARY,
            metrics,
        )
    }
}
