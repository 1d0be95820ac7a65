//! Active health checks and name resolution: they watch each server and write their part of its gate.
//!
//! [`Watch`] runs one task a server, and one more where a name has to be resolved. The probes use
//! Pingora's connectors; when to check, what follows from a result and the words for it are ours.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::config::model::{HealthCheck, ServerAddress};
use crate::descriptors;
use crate::pool::{CheckResult, Checked, LastCheck, Pool, Server};
use crate::shortage;
use crate::supervise::{self, Task};
use crate::upstream::Link;

mod decision;
mod names;
mod probe;
mod resolve;
mod words;

use decision::Decision;
pub use probe::{Exchange, Failed, Probe};

/// The tasks that watch one pool's servers.
pub struct Watch {
    pool: Arc<Pool>,
    tracker: TaskTracker,
    running: Mutex<Vec<Watched>>,
}

struct Watched {
    server: Arc<Server>,
    check: Option<HealthCheck>,
    link: Arc<Link>,
    tasks: Vec<AbortHandle>,
    first: Arc<FirstResult>,
}

/// Tells that a server has had its first result, good or bad.
#[derive(Default)]
struct FirstResult {
    done: std::sync::atomic::AtomicBool,
    notify: Notify,
}

impl FirstResult {
    fn set(&self) {
        self.done.store(true, std::sync::atomic::Ordering::Release);
        self.notify.notify_waiters();
    }

    async fn wait(&self) {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.done.load(std::sync::atomic::Ordering::Acquire) {
            notified.await;
        }
    }
}

impl Watch {
    /// Begins to watch. Must be called within a Tokio runtime, as must [`Self::sync`].
    pub fn start(pool: &Arc<Pool>, link: &Arc<Link>, tracker: &TaskTracker) -> Self {
        let watch = Self {
            pool: Arc::clone(pool),
            tracker: tracker.clone(),
            running: Mutex::new(Vec::new()),
        };
        watch.sync(link);
        watch
    }

    /// Follows a reload: watches the servers that the pool has now, by its present settings, over `link`. A server that is
    /// already watched that way goes on being watched, without a check being broken off.
    pub fn sync(&self, link: &Arc<Link>) {
        let mut running = self.running.lock();
        let mut before = std::mem::take(&mut *running);
        let check = self.pool.settings().health_check.clone();
        let probe = check
            .as_ref()
            .map(|check| Arc::new(Probe::new(check, link)));
        for server in self.pool.servers().iter() {
            let same = before.iter().position(|watched| {
                Arc::ptr_eq(&watched.server, server)
                    && watched.check == check
                    && Arc::ptr_eq(&watched.link, link)
            });
            running.push(match same {
                Some(place) => before.swap_remove(place),
                None => self.watch(server, link, check.as_ref(), probe.as_ref()),
            });
        }
    }

    fn watch(
        &self,
        server: &Arc<Server>,
        link: &Arc<Link>,
        check: Option<&HealthCheck>,
        probe: Option<&Arc<Probe>>,
    ) -> Watched {
        let first = Arc::new(FirstResult::default());
        let of = format!("{}/{}", self.pool.name(), server.name());
        let mut tasks = Vec::new();
        if let ServerAddress::Name(host, port) = server.configured_address() {
            let (pool, host, port) = (Arc::downgrade(&self.pool), Arc::clone(host), *port);
            let server = Arc::clone(server);
            tasks.push(supervise::keep(
                &self.tracker,
                Task::Names,
                &of,
                move || {
                    resolve::keep_resolved(
                        Weak::clone(&pool),
                        Arc::clone(&server),
                        Arc::clone(&host),
                        port,
                    )
                },
            ));
        }
        if let (Some(check), Some(probe)) = (check, probe) {
            let (pool, check, probe) =
                (Arc::downgrade(&self.pool), check.clone(), Arc::clone(probe));
            let (server, first) = (Arc::clone(server), Arc::clone(&first));
            let begin = move || {
                keep_checking(
                    Weak::clone(&pool),
                    Arc::clone(&server),
                    check.clone(),
                    Arc::clone(&probe),
                    Arc::clone(&first),
                )
            };
            tasks.push(supervise::keep(
                &self.tracker,
                Task::HealthCheck,
                &of,
                begin,
            ));
        } else {
            first.set();
        }
        Watched {
            server: Arc::clone(server),
            check: check.cloned(),
            link: Arc::clone(link),
            tasks,
            first,
        }
    }

    /// Returns when every server has had its first result, or after `at_most`.
    pub async fn first_results(&self, at_most: Duration) {
        let firsts: Vec<_> = self
            .running
            .lock()
            .iter()
            .map(|watched| Arc::clone(&watched.first))
            .collect();
        let all = async {
            for first in firsts {
                first.wait().await;
            }
        };
        // Not knowing in time is fine: that is what the state `unknown` is for.
        drop(tokio::time::timeout(at_most, all).await);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn keep_checking(
    pool: Weak<Pool>,
    server: Arc<Server>,
    check: HealthCheck,
    probe: Arc<Probe>,
    first: Arc<FirstResult>,
) {
    let mut decision = Decision::new(check.rise, check.fall, server.gate().checked());
    let mut wait = Duration::ZERO;
    let mut spread = true;
    loop {
        tokio::time::sleep(wait).await;
        if server.addresses().is_none() {
            // Without an address there is nothing to check, and name resolution logs why.
            first.set();
            wait = Duration::from_millis(200).min(check.interval);
            continue;
        }
        // A check that waits for its turn has not begun.
        let place = descriptors::check().await;
        let begun = Instant::now();
        // A little before the end, so that what has come by then is still judged.
        let deadline = begun + check.timeout.mul_f64(0.95);
        let outcome = tokio::time::timeout(check.timeout, probe.run(&server, deadline.into()))
            .await
            .unwrap_or_else(|_| Err(Failed::Broken(words::no_answer(check.timeout))));
        drop(place);
        let Some(pool) = pool.upgrade() else { return };
        let (result, reason) = match outcome {
            Ok(seen) => (CheckResult::Success, seen),
            Err(Failed::Broken(reason) | Failed::Unwanted(reason)) => {
                (CheckResult::Failure, reason)
            }
            Err(Failed::NotMade(shortage)) => {
                shortage::tell(shortage, "a health check could not be made");
                (CheckResult::NotMade, words::not_made(shortage))
            }
        };
        tracing::debug!(
            pool = &**pool.name(),
            server = &**server.name(),
            ?result,
            reason,
            "health check ended"
        );
        // A check that could not be made says nothing about the server, so its state stays.
        let decided = result.verdict().and_then(|passed| decision.observe(passed));
        if let Some(checked) = decided {
            pool.set_checked(&server, checked, &reason);
        } else if result == CheckResult::Failure && is_down_for_another(&server, &reason) {
            // What keeps it down is what there is to mend, whatever it went down for. Its state is the same, so nothing is logged.
            pool.set_checked(&server, Checked::Down, &reason);
        }
        pool.note_check(
            &server,
            LastCheck {
                result,
                reason,
                at: SystemTime::now(),
                duration: begun.elapsed(),
            },
        );
        first.set();
        wait = if decision.is_pending() {
            check.fast_interval
        } else {
            jittered(check.interval, std::mem::take(&mut spread))
        };
    }
}

/// Whether the server is down, and that for another reason.
fn is_down_for_another(server: &Server, reason: &str) -> bool {
    let gate = server.gate();
    gate.checked() == Checked::Down && gate.check_reason() != reason
}

/// The interval, give or take a tenth. The first one is anywhere in the interval, so that checks which
/// all began at the start don't go on arriving together.
fn jittered(interval: Duration, first: bool) -> Duration {
    let factor = if first {
        rand::rng().random_range(0.1..=1.0)
    } else {
        rand::rng().random_range(0.9..=1.1)
    };
    interval.mul_f64(factor)
}
