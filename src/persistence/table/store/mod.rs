//! A session table that several nodes share, in a Redis or Valkey server.
//!
//! - A key is `equipoise:POOL:` and 32 hexadecimal digits; its value is the second when the session began, by the clock of the
//!   store (the nodes' own need not agree), and the server's name;
//!   its TTL is the idle timeout. It is read and written by one script ([`command`]), which runs as one step, so one of several nodes
//!   that bind one session wins, and all follow it.
//! - A request waits for the store only while the session is unknown here or moves, and at most `timeout` in all. What can wait goes
//!   through a queue of limited length.
//! - If the store fails, is late or takes no commands (a replica, a full one: [`complaint`]), it is left out at once, until it answers again ([`link`]). Then all that is known here is
//!   told to it again, in the background: of two bindings of a session the one that began later counts, on every node.

mod command;
mod complaint;
mod endpoint;
mod link;
mod queue;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use redis::RedisError;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use self::command::{Keys, Question, Rule, StoreClock};
use self::complaint::{complaint, is_answer};
use self::endpoint::Endpoint;
use self::link::State;
use self::queue::Job;
use super::local::Local;
use super::upkeep::Cursor;
use super::{Binding, Waited};
use crate::config::model::RedisStore;
use crate::persistence::{Moment, SessionKey};
use crate::supervise::{self, Task};

pub use endpoint::validate_url;

/// What is counted of a shared store. The default counts for nobody.
#[derive(Clone)]
pub struct StoreMetrics {
    /// Questions of requests that found a binding.
    pub hits: IntCounter,
    /// Questions of requests that found none.
    pub misses: IntCounter,
    /// Refusals and broken connections, in the background too.
    pub errors: IntCounter,
    /// Answers that did not come in time, in the background too.
    pub timeouts: IntCounter,
    /// Questions that were not asked because the store is away.
    pub skipped: IntCounter,
    /// 1 while the store is in use.
    pub up: IntGauge,
}

/// A store in use. When it is dropped, its connection ends.
pub(super) struct Attached(Arc<Store>, OnceLock<[AbortHandle; 2]>);

/// One store for one pool.
struct Store {
    settings: RedisStore,
    endpoint: Endpoint,
    pool: Arc<str>,
    keys: Keys,
    local: Arc<Local>,
    metrics: StoreMetrics,
    state: watch::Sender<State>,
    /// How many connections there have been; the last one's number.
    connections: AtomicU64,
    jobs: mpsc::Sender<Job>,
    queued: Mutex<Option<mpsc::Receiver<Job>>>,
    /// When it was logged last that it has refused a single command.
    told_refusal: Mutex<Option<Instant>>,
    /// Its clock, once it is known.
    clock: Mutex<Option<StoreClock>>,
    /// Where to go on with telling it all that is known here.
    again: Mutex<Option<Cursor>>,
}

/// Why there is no answer.
enum Failure {
    Away,
    Late,
    Refused,
    Broken,
}

impl Attached {
    /// `None` if the URL can't be read, which the configuration has checked, or so it is logged.
    pub(super) fn new(
        settings: &RedisStore,
        pool: &Arc<str>,
        local: Arc<Local>,
        metrics: StoreMetrics,
    ) -> Option<Self> {
        match Endpoint::parse(&settings.url) {
            Ok(endpoint) => Some(Self::at(endpoint, settings, pool, local, metrics)),
            Err(error) => {
                tracing::error!(
                    %pool,
                    "the URL of the session store {error}; sessions are kept in memory"
                );
                None
            }
        }
    }

    fn at(
        endpoint: Endpoint,
        settings: &RedisStore,
        pool: &Arc<str>,
        local: Arc<Local>,
        metrics: StoreMetrics,
    ) -> Self {
        let (jobs, queued) = mpsc::channel(queue::LENGTH);
        let store = Store {
            settings: settings.clone(),
            keys: Keys::new(pool, endpoint.is_cluster()),
            endpoint,
            pool: Arc::clone(pool),
            local,
            metrics,
            state: watch::Sender::new(State::Starting),
            connections: AtomicU64::new(0),
            jobs,
            queued: Mutex::new(Some(queued)),
            told_refusal: Mutex::new(None),
            clock: Mutex::new(None),
            again: Mutex::new(None),
        };
        Self(Arc::new(store), OnceLock::new())
    }

    pub(super) fn settings(&self) -> &RedisStore {
        &self.0.settings
    }

    /// Begins to connect, and stays connected. Does so once.
    pub(super) fn start(&self, runtime: &Handle) {
        self.1.get_or_init(|| {
            let queued = Arc::new(tokio::sync::Mutex::new(self.0.queued.lock().take()));
            let (linked, worked) = (Arc::clone(&self.0), Arc::clone(&self.0));
            let of = &self.0.pool;
            [
                supervise::keep_on(runtime, Task::SessionStore, of, move || {
                    link::keep(Arc::clone(&linked))
                }),
                supervise::keep_on(runtime, Task::SessionStore, of, move || {
                    queue::work(Arc::clone(&worked), Arc::clone(&queued))
                }),
            ]
        });
    }

    /// The binding of a session, which this uses.
    pub(super) async fn look(
        &self,
        key: SessionKey,
        now: Moment,
        waited: &mut Waited,
    ) -> Option<Binding> {
        let question = self.0.question(now, None, Rule::Always);
        let said = self.ask(key, &question, waited).await?;
        self.0.count(said.is_some());
        said
    }

    /// Binds a session that is not bound; gives what then holds.
    pub(super) async fn bind(
        &self,
        key: SessionKey,
        server: &Arc<str>,
        now: Moment,
        waited: &mut Waited,
    ) -> Option<Binding> {
        self.offer(key, server, now, Rule::Always, waited).await
    }

    /// Binds a session that is not bound to another server than `from`; gives what then holds.
    pub(super) async fn rebind(
        &self,
        key: SessionKey,
        from: &str,
        to: &Arc<str>,
        now: Moment,
        waited: &mut Waited,
    ) -> Option<Binding> {
        self.offer(key, to, now, Rule::NotTo(from), waited).await
    }

    /// Compares a session that is in use with what the store knows.
    pub(super) fn check_later(&self, key: SessionKey, now: Moment) {
        self.later(Job::Check {
            key,
            now,
            uses: true,
        });
    }

    /// Overwrites what the store knows.
    pub(super) fn put_later(&self, key: SessionKey, binding: Binding, now: Moment) {
        self.later(Job::Put { key, binding, now });
    }

    /// Makes the store forget.
    pub(super) fn forget_later(&self, key: SessionKey) {
        self.later(Job::Forget { key });
    }

    /// Goes on with telling the store, after it was away, what is known here.
    pub(super) fn tell_again(&self, now: Moment) {
        let Some(mut again) = self.0.again.try_lock() else {
            return;
        };
        for _ in 0..queue::WALKS {
            let Some(cursor) = *again else {
                return;
            };
            // The requests' own jobs need room too.
            if self.0.jobs.capacity() < queue::LENGTH / 2 {
                return;
            }
            let walked = self.0.local.walk(cursor, now);
            *again = walked.as_ref().map(|(next, _)| *next);
            for key in walked.into_iter().flat_map(|(_, keys)| keys) {
                self.later(Job::Check {
                    key,
                    now,
                    uses: false,
                });
            }
        }
    }

    fn later(&self, job: Job) {
        // A full queue loses it: a check is made again at a later use, a binding is told by such a check, and what should be forgotten
        // expires.
        let _ = self.0.jobs.try_send(job);
        self.start_here();
    }

    async fn offer(
        &self,
        key: SessionKey,
        server: &Arc<str>,
        now: Moment,
        rule: Rule<'_>,
        waited: &mut Waited,
    ) -> Option<Binding> {
        let offer = Binding {
            server: Arc::clone(server),
            started: now,
        };
        let question = self.0.question(now, Some(&offer), rule);
        let said = self.ask(key, &question, waited).await??;
        self.0.count(said != offer);
        Some(said)
    }

    /// Asks for a request: what is left of its patience is the limit.
    async fn ask(
        &self,
        key: SessionKey,
        question: &Question<'_>,
        waited: &mut Waited,
    ) -> Option<Option<Binding>> {
        self.start_here();
        let patience = self.0.settings.timeout.saturating_sub(waited.0);
        let begin = Instant::now();
        let answer = self.0.ask(key, question, patience).await;
        waited.0 += begin.elapsed();
        answer.ok()
    }

    fn start_here(&self) {
        if self.1.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            self.start(&runtime);
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        for task in self.1.get().into_iter().flatten() {
            task.abort();
        }
    }
}

impl Store {
    fn question<'a>(
        &self,
        now: Moment,
        offer: Option<&'a Binding>,
        rule: Rule<'a>,
    ) -> Question<'a> {
        Question {
            now,
            clock: self.clock.lock().unwrap_or(StoreClock(0)),
            idle: Duration::from_secs(self.local.idle().into()),
            max_lifetime: self.local.max_lifetime(),
            offer,
            rule,
            uses: true,
        }
    }

    async fn ask(
        &self,
        key: SessionKey,
        question: &Question<'_>,
        patience: Duration,
    ) -> Result<Option<Binding>, Failure> {
        self.within(patience, async |connection| {
            self.keys.ask(connection, key, question).await
        })
        .await
    }

    async fn forget(&self, key: SessionKey) -> Result<(), Failure> {
        self.within(self.settings.timeout, async |connection| {
            self.keys.forget(connection, key).await
        })
        .await
    }

    /// Runs a command if the store is in use, `patience` long, and draws the conclusions if it fails.
    async fn within<T>(
        &self,
        patience: Duration,
        command: impl AsyncFnOnce(&mut redis::aio::MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Failure> {
        let mut used = None;
        let result = tokio::time::timeout(patience, async {
            let (number, mut connection) = self.connection().await.ok_or(Failure::Away)?;
            used = Some(number);
            command(&mut connection).await.map_err(|error| {
                self.metrics.errors.inc();
                self.concluded_from(number, &error)
            })
        })
        .await;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => {
                if matches!(failure, Failure::Away) {
                    self.metrics.skipped.inc();
                }
                Err(failure)
            }
            Err(_) => {
                self.metrics.timeouts.inc();
                // A request that had little patience left says nothing about the store.
                if let Some(number) = used
                    && patience >= self.settings.timeout / 2
                {
                    let limit = self.settings.timeout;
                    self.lost(number, &format!("no answer within {limit:?}"));
                }
                Err(Failure::Late)
            }
        }
    }

    fn concluded_from(&self, number: u64, error: &RedisError) -> Failure {
        if let Some(complaint) = complaint(error) {
            self.lost(number, complaint);
            return Failure::Broken;
        }
        if is_answer(error) {
            if self.may_tell_refusal() {
                tracing::warn!(
                    pool = %self.pool,
                    "the session store {} refuses a command: {error}; its session is kept in memory",
                    self.endpoint
                );
            }
            return Failure::Refused;
        }
        self.lost(number, &error.to_string());
        Failure::Broken
    }

    /// Once a minute, however many there are.
    fn may_tell_refusal(&self) -> bool {
        const PAUSE: Duration = Duration::from_secs(60);
        let mut told = self.told_refusal.lock();
        let may = told.is_none_or(|at| at.elapsed() >= PAUSE);
        if may {
            *told = Some(Instant::now());
        }
        may
    }

    fn count(&self, hit: bool) {
        if hit {
            self.metrics.hits.inc();
        } else {
            self.metrics.misses.inc();
        }
    }
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            hits: counter("hits"),
            misses: counter("misses"),
            errors: counter("errors"),
            timeouts: counter("timeouts"),
            skipped: counter("skipped"),
            up: gauge("up"),
        }
    }
}

#[expect(clippy::expect_used, reason = "the names are constants that are valid")]
pub(super) fn counter(name: &str) -> IntCounter {
    IntCounter::new(name, name).expect("a valid name")
}

#[expect(clippy::expect_used, reason = "the names are constants that are valid")]
pub(super) fn gauge(name: &str) -> IntGauge {
    IntGauge::new(name, name).expect("a valid name")
}
