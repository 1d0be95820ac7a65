//! Passive detection: what real traffic tells of a server, and taking out the one that fails it.
//!
//! A server is ejected for failures in a row, at once, or for failing a larger share of its requests than the others of its
//! pool do, which is looked at several times a second. Noting an outcome takes an addition or two to counters of the
//! server; only an ejection takes the pool's lock. `docs/availability.md` describes all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::tier::Tier;
use super::{Pool, Server, State};
use crate::config::model::{Fault, OutlierDetection};

mod backoff;
mod run;
mod share;
mod window;

use backoff::Backoff;
use run::Run;
use window::{Tally, Window};

/// What became of a request, or a connection, on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The connection was made.
    Connected,
    /// It was answered with this status. More of the answer may follow.
    Answered(u16),
    /// It came to its proper end.
    Completed,
    /// It failed.
    Failed(Fault),
    /// It was answered, and then it failed.
    BrokenOff(Fault),
}

/// What a server's traffic has told of it.
#[derive(Default)]
pub struct Traffic {
    /// Since the last look at the shares.
    tries: AtomicU32,
    failed: AtomicU32,
    run: Run,
    record: Mutex<Record>,
}

/// What is looked at a few times a second.
#[derive(Default)]
struct Record {
    window: Window,
    /// Until when it is out.
    ejected: Option<Ejection>,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy)]
struct Ejection {
    until: Instant,
    lasts: Duration,
}

impl Traffic {
    fn is_ejected(&self) -> bool {
        self.record.lock().ejected.is_some()
    }

    /// For how much longer it is out, and for how long in all, if it is.
    pub(super) fn ejection(&self, now: Instant) -> Option<(Duration, Duration)> {
        let ejection = self.record.lock().ejected?;
        let left = ejection.until.saturating_duration_since(now);
        Some((left, ejection.lasts))
    }

    /// It is out, as another process decided.
    pub(super) fn inherit_ejection(&self, until: Instant, lasts: Duration) {
        self.record.lock().ejected = Some(Ejection { until, lasts });
    }

    /// Begins anew: what was before an ejection says nothing about what is after it.
    fn forget(&self, record: &mut Record) {
        self.tries.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        self.run.end();
        record.window.clear();
    }
}

impl Pool {
    /// Notes what became of a request on a server, and takes the server out if that was once too often.
    pub fn note_outcome(self: &Arc<Self>, server: &Arc<Server>, outcome: Outcome) {
        if !self.watches_traffic.load(Ordering::Relaxed) {
            return;
        }
        let settings = self.settings.load();
        let Some(detection) = &settings.outlier_detection else {
            return;
        };
        let traffic = server.traffic();
        let outcome = match outcome {
            Outcome::Answered(status) if detection.heeds(Fault::Status(status)) => {
                Outcome::Failed(Fault::Status(status))
            }
            outcome => outcome,
        };
        let run = match outcome {
            Outcome::Connected | Outcome::Answered(_) => {
                traffic.tries.fetch_add(1, Ordering::Relaxed);
                traffic.run.answered();
                return;
            }
            Outcome::Completed => {
                traffic.run.completed();
                return;
            }
            Outcome::Failed(fault) | Outcome::BrokenOff(fault) if !detection.heeds(fault) => return,
            Outcome::Failed(fault) => {
                traffic.tries.fetch_add(1, Ordering::Relaxed);
                traffic.failed.fetch_add(1, Ordering::Relaxed);
                traffic.run.failed(fault)
            }
            Outcome::BrokenOff(_) => {
                traffic.failed.fetch_add(1, Ordering::Relaxed);
                traffic.run.broken_off()
            }
        };
        let most = detection.consecutive_failures;
        // Where it couldn't be ejected it is tried again after as many.
        if most > 0 && run >= most && run.is_multiple_of(most) {
            let why = traffic.run.words();
            self.eject(server, detection, &why, Instant::now());
        }
    }

    /// Lets servers back whose time is over, and takes one out that fails more than the others. To be called every fraction
    /// of a second.
    pub fn watch_traffic(self: &Arc<Self>, now: Instant) {
        if !self.watches_traffic.load(Ordering::Relaxed) {
            return;
        }
        let settings = self.settings.load_full();
        let Some(detection) = &settings.outlier_detection else {
            return;
        };
        let servers = self.servers();
        let mut all = Tally::default();
        let mut tallies = Vec::with_capacity(servers.len());
        for server in servers.iter() {
            if self.readmit(server, now) {
                continue;
            }
            let traffic = server.traffic();
            let mut record = traffic.record.lock();
            if record.ejected.is_some() {
                continue;
            }
            let news = Tally {
                tries: traffic.tries.swap(0, Ordering::Relaxed),
                failed: traffic.failed.swap(0, Ordering::Relaxed),
            };
            let tally = record.window.add(news, now, detection.window);
            all += tally;
            tallies.push((server, tally));
        }
        if detection.failure_rate == 0 {
            return;
        }
        let stands_out = |tally: &Tally| {
            tally.tries >= detection.minimum
                && share::stands_out(
                    *tally,
                    all - *tally,
                    f64::from(detection.failure_rate) / 100.0,
                )
        };
        let worst = tallies
            .iter()
            .filter(|(_, tally)| stands_out(tally))
            .max_by(|(_, a), (_, b)| a.share().total_cmp(&b.share()));
        if let Some((server, tally)) = worst {
            let why = share::words(*tally, all - *tally);
            self.eject(server, detection, &why, now);
        }
    }

    /// Takes a server out, unless too many are out already, or nobody would be left.
    fn eject(
        self: &Arc<Self>,
        server: &Arc<Server>,
        detection: &OutlierDetection,
        why: &str,
        now: Instant,
    ) {
        let state = self.state.lock();
        let tier = Tier::of(server.admission(), server.is_backup());
        if tier.is_none() {
            return;
        }
        let servers = self.servers.load();
        let out = servers.iter().filter(|other| other.traffic().is_ejected());
        let most = (servers.len() * detection.max_ejected as usize / 100).max(1);
        let spared = if out.count() >= most {
            Some("as many servers are ejected as may be")
        } else if !state.has_another_up(tier) {
            Some("it is the last one that is available")
        } else {
            None
        };
        if let Some(spared) = spared {
            drop(state);
            if self.told.spared.first_at(now) {
                let (pool, name) = (&*self.name, &**server.name());
                tracing::warn!(
                    pool,
                    server = name,
                    why,
                    "a server is not ejected: {spared}"
                );
            }
            return;
        }
        let traffic = server.traffic();
        let lasts = {
            let mut record = traffic.record.lock();
            let lasts = record.backoff.next(detection.ejection, now);
            record.ejected = Some(Ejection {
                until: now + lasts,
                lasts,
            });
            traffic.forget(&mut record);
            lasts
        };
        server.metrics().ejections.inc();
        let reason = format!("ejected for {lasts:?}: {why}");
        self.change_gate_in(state, server, true, |gate, at| {
            gate.set_ejected(Some(reason), at)
        });
    }

    /// Lets a server back whose time is over at `now`. Returns whether it did.
    fn readmit(self: &Arc<Self>, server: &Arc<Server>, now: Instant) -> bool {
        let over = server.traffic().end_ejection(now, |until| until <= now);
        if over {
            self.change_gate(server, false, |gate, at| gate.set_ejected(None, at));
        }
        over
    }
}

impl Traffic {
    /// Ends an ejection at `now`, if there is one, and if `ends` says so of its time. Returns whether there was.
    pub(super) fn end_ejection(&self, now: Instant, ends: impl Fn(Instant) -> bool) -> bool {
        let mut record = self.record.lock();
        let Some(ejection) = record.ejected.filter(|ejection| ends(ejection.until)) else {
            return false;
        };
        record.ejected = None;
        record.backoff.returned(ejection.lasts, now);
        self.forget(&mut record);
        true
    }
}

impl State {
    /// Whether a server that is known to be up is left when one of that class goes.
    fn has_another_up(&self, tier: Option<Tier>) -> bool {
        let itself = matches!(tier, Some(Tier::Up | Tier::BackupUp));
        self.census.known_up() > usize::from(itself)
    }
}

#[cfg(test)]
mod tests;
