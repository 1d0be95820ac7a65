//! How requests and connections end, by listener and pool: the one account that metrics, status and dashboard read.
//!
//! Plain atomics behind a handle that is resolved once: a status that nobody has seen before costs the request path
//! nothing, and whoever reads them waits for nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus::proto::{MetricFamily, MetricType};

use super::exposition::{Names, counted, metric};
use crate::observe::labels::{ErrorReason, Label};

/// The first status, and how many there may be.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// What was counted of what came in at a listener and was for a pool.
#[derive(Clone)]
pub struct Outcomes(Arc<Account>);

struct Account {
    ended: AtomicU64,
    /// By status, from [`FIRST_STATUS`] on.
    statuses: Box<[AtomicU64]>,
    /// By [`ErrorReason`].
    errors: Box<[AtomicU64]>,
    unserved: AtomicU64,
    refused: AtomicU64,
}

/// Sums of outcomes since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests, or connections of a listener that isn't HTTP, that ended.
    pub requests: u64,
    /// Those of them that failed for the servers' part or ours.
    pub errors: u64,
    /// Those errors that no server had to do with.
    pub unserved: u64,
    /// Requests that were answered here with a 4xx.
    pub refused: u64,
}

impl Outcomes {
    fn new() -> Self {
        let zeros = |count| {
            std::iter::repeat_with(AtomicU64::default)
                .take(count)
                .collect()
        };
        Self(Arc::new(Account {
            ended: AtomicU64::new(0),
            statuses: zeros(STATUSES),
            errors: zeros(ErrorReason::ALL.len()),
            unserved: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Counts one that ended: with the status that was sent, if there is one; why it counts as an error, if it does;
    /// and whether a server had to do with it.
    pub fn ended(&self, status: Option<u16>, error: Option<ErrorReason>, served: bool) {
        let add = |counter: Option<&AtomicU64>| {
            if let Some(counter) = counter {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        let account = &*self.0;
        add(Some(&account.ended));
        if let Some(index) = status.and_then(|status| status.checked_sub(FIRST_STATUS)) {
            add(account.statuses.get(usize::from(index)));
        }
        if let Some(error) = error {
            add(account.errors.get(error.index()));
            add((!served).then_some(&account.unserved));
        } else if !served && status.is_some_and(|status| (400..500).contains(&status)) {
            add(Some(&account.refused));
        }
    }

    fn tally(&self) -> Tally {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            requests: value(&self.0.ended),
            errors: self.0.errors.iter().map(value).sum(),
            unserved: value(&self.0.unserved),
            refused: value(&self.0.refused),
        }
    }
}

/// The accounts of all listeners and pools.
#[derive(Default)]
pub(super) struct Accounts(Mutex<BTreeMap<Names, Outcomes>>);

impl Accounts {
    /// The account of what comes in at `listener` and is for `pool`.
    pub(super) fn of(&self, listener: &str, pool: &str) -> Outcomes {
        self.0
            .lock()
            .entry((listener.into(), pool.into()))
            .or_insert_with(Outcomes::new)
            .clone()
    }

    pub(super) fn forget(&self, is_gone: impl Fn(&str, &str) -> bool) {
        self.0
            .lock()
            .retain(|(listener, pool), _| !is_gone(listener, pool));
    }

    /// The sums of those that are asked for by listener and pool.
    pub(super) fn tally(&self, wanted: impl Fn(&str, &str) -> bool) -> Tally {
        let mut sum = Tally::default();
        for ((listener, pool), outcomes) in self.0.lock().iter() {
            if wanted(listener, pool) {
                let more = outcomes.tally();
                sum.requests += more.requests;
                sum.errors += more.errors;
                sum.unserved += more.unserved;
                sum.refused += more.refused;
            }
        }
        sum
    }

    /// Their families: the statuses that were sent, and the errors by every reason.
    pub(super) fn collect(&self) -> [MetricFamily; 2] {
        let accounts: Vec<_> = {
            let guard = self.0.lock();
            guard
                .iter()
                .map(|(key, outcomes)| (key.clone(), outcomes.clone()))
                .collect()
        };
        let (mut responses, mut errors) = (Vec::new(), Vec::new());
        for ((listener, pool), Outcomes(account)) in &accounts {
            for (code, counter) in (FIRST_STATUS..).zip(&account.statuses) {
                let value = counter.load(Ordering::Relaxed);
                if value > 0 {
                    let code = code.to_string();
                    let labels = [("code", &*code), ("listener", listener), ("pool", pool)];
                    responses.push(counted(&labels, value));
                }
            }
            for (reason, counter) in ErrorReason::ALL.iter().zip(&account.errors) {
                let value = counter.load(Ordering::Relaxed);
                let labels = [
                    ("listener", &**listener),
                    ("pool", pool),
                    ("reason", reason.as_str()),
                ];
                errors.push(counted(&labels, value));
            }
        }
        [
            metric(
                "equipoise_http_responses_total",
                "Responses to clients by their exact status; a status is there once it was sent.",
                MetricType::COUNTER,
                responses,
            ),
            metric(
                "equipoise_errors_total",
                "Requests (HTTP) and connections (TCP) that failed for the servers' part or ours, by reason.",
                MetricType::COUNTER,
                errors,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_once_in_its_place() {
        let accounts = Accounts::default();
        let web = accounts.of("web", "app");
        web.ended(Some(200), None, true);
        web.ended(Some(404), None, true);
        web.ended(Some(502), Some(ErrorReason::ServerRefused), true);
        web.ended(Some(503), Some(ErrorReason::NoServer), false);
        web.ended(Some(403), None, false);
        web.ended(Some(302), None, false);
        web.ended(None, None, true);
        accounts
            .of("other", "app")
            .ended(Some(500), Some(ErrorReason::Status), true);
        let tally = |listener: &str, pool: &str| {
            accounts.tally(|l, p| (listener.is_empty() || l == listener) && p == pool)
        };
        let expected = Tally {
            requests: 7,
            errors: 2,
            unserved: 1,
            refused: 1,
        };
        assert_eq!(tally("web", "app"), expected);
        assert_eq!(tally("", "app").errors, 3);
        assert_eq!(tally("web", "none"), Tally::default());
        accounts.forget(|listener, _| listener == "web");
        assert_eq!(tally("", "app").errors, 1);
    }

    #[test]
    fn statuses_out_of_range_are_no_panic() {
        let outcomes = Outcomes::new();
        for status in [0, 99, 600, u16::MAX] {
            outcomes.ended(Some(status), None, true);
        }
        assert_eq!(outcomes.tally().requests, 4);
    }
}
