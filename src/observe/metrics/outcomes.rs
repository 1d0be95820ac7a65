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
const STATUSES: usize = CLASSES * A_CLASS;
/// The classes of statuses, and how many statuses one has.
const CLASSES: usize = 5;
const A_CLASS: usize = 100;

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
    /// Responses by the first digit of their status, from 1xx on.
    pub classes: [u64; CLASSES],
    /// Errors by [`ErrorReason`].
    reasons: [u64; ErrorReason::ALL.len()],
}

/// The sums of all that was counted.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    /// Of everything.
    pub all: Tally,
    by_listener: BTreeMap<Box<str>, Tally>,
    by_pool: BTreeMap<Box<str>, Tally>,
}

impl Tally {
    fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.errors += more.errors;
        self.unserved += more.unserved;
        self.refused += more.refused;
        for (sum, count) in self.classes.iter_mut().zip(more.classes) {
            *sum += count;
        }
        for (sum, count) in self.reasons.iter_mut().zip(more.reasons) {
            *sum += count;
        }
    }

    /// The errors by the word of their reason.
    pub fn errors_by_word(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = ErrorReason::ALL.iter().map(|reason| reason.as_str());
        words.zip(self.reasons)
    }

    /// The errors for this reason.
    pub fn errors_by(&self, reason: ErrorReason) -> u64 {
        self.reasons.get(reason.index()).copied().unwrap_or(0)
    }
}

impl Tallies {
    /// The sums of what came in at a listener.
    pub fn of_listener(&self, listener: &str) -> Tally {
        self.by_listener.get(listener).copied().unwrap_or_default()
    }

    /// The sums of what was for a pool.
    pub fn of_pool(&self, pool: &str) -> Tally {
        self.by_pool.get(pool).copied().unwrap_or_default()
    }
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
        let (mut classes, mut reasons) = ([0; CLASSES], [0; ErrorReason::ALL.len()]);
        for (sum, statuses) in classes.iter_mut().zip(self.0.statuses.chunks(A_CLASS)) {
            *sum = statuses.iter().map(value).sum();
        }
        for (count, counter) in reasons.iter_mut().zip(&self.0.errors) {
            *count = value(counter);
        }
        Tally {
            requests: value(&self.0.ended),
            errors: reasons.iter().sum(),
            unserved: value(&self.0.unserved),
            refused: value(&self.0.refused),
            classes,
            reasons,
        }
    }
}

impl Account {
    /// Calls `visit` with each counter, and what it is called.
    fn each(&self, mut visit: impl FnMut(&str, &AtomicU64)) {
        visit("ended", &self.ended);
        visit("unserved", &self.unserved);
        visit("refused", &self.refused);
        for (reason, counter) in ErrorReason::ALL.iter().zip(&self.errors) {
            visit(reason.as_str(), counter);
        }
        for (code, counter) in (FIRST_STATUS..).zip(&self.statuses) {
            visit(&code.to_string(), counter);
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

    /// Calls `tell` with everything that was counted: listener, pool, what, and how often.
    pub(super) fn each(&self, mut tell: impl FnMut(&str, &str, &str, u64)) {
        for ((listener, pool), Outcomes(account)) in self.0.lock().iter() {
            account.each(|what, counter| {
                tell(listener, pool, what, counter.load(Ordering::Relaxed));
            });
        }
    }

    /// Adds to what was counted, if there is such an account.
    pub(super) fn add(&self, listener: &str, pool: &str, what: &str, more: u64) {
        let found = self.0.lock().get(&(listener.into(), pool.into())).cloned();
        if let Some(Outcomes(account)) = found {
            account.each(|of, counter| {
                if of == what {
                    counter.fetch_add(more, Ordering::Relaxed);
                }
            });
        }
    }

    /// The sums by listener and by pool.
    pub(super) fn tallies(&self) -> Tallies {
        let mut tallies = Tallies::default();
        for ((listener, pool), outcomes) in self.all() {
            let tally = outcomes.tally();
            tallies.all.add(&tally);
            tallies.by_listener.entry(listener).or_default().add(&tally);
            tallies.by_pool.entry(pool).or_default().add(&tally);
        }
        tallies
    }

    fn all(&self) -> Vec<(Names, Outcomes)> {
        let accounts = self.0.lock();
        accounts
            .iter()
            .map(|(names, outcomes)| (names.clone(), outcomes.clone()))
            .collect()
    }

    /// Their families: the statuses that were sent, and the errors by every reason.
    pub(super) fn collect(&self) -> [MetricFamily; 2] {
        let (mut responses, mut errors) = (Vec::new(), Vec::new());
        for ((listener, pool), Outcomes(account)) in &self.all() {
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
        let tallies = accounts.tallies();
        let web = tallies.of_listener("web");
        assert_eq!((web.requests, web.errors), (7, 2));
        assert_eq!((web.unserved, web.refused), (1, 1));
        assert_eq!(web.classes, [0, 1, 1, 2, 2]);
        assert_eq!(web.errors_by(ErrorReason::NoServer), 1);
        assert_eq!(tallies.of_pool("app").errors, 3);
        assert_eq!(tallies.all, tallies.of_pool("app"));
        assert_eq!(tallies.of_pool("none"), Tally::default());
        accounts.forget(|listener, _| listener == "web");
        assert_eq!(accounts.tallies().of_pool("app").errors, 1);
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
